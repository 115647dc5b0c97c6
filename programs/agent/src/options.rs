//! The command line: Kube-OVN's names and defaults where it has one (kube-ovn-daemon), ours beside them.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::{ArgAction, Args, Command};
use tombolo_api::DEFAULT_VPC;
use tombolo_client::LogFormat;
use tombolo_client::flags::Shape::{Bool, Value};
use tombolo_client::flags::{self, Inert, go_bool};
use tombolo_net::{Cidr, DualCidr};

/// Kube-OVN's flags that have no effect in this version, those of its older charts too, with its defaults or, where ours behaves
/// otherwise, the value that has its behavior. A DaemonSet that doesn't start is a cluster without new pods.
const INERT: &[Inert] = &[
    ("encap-checksum", Bool, "true"),
    ("enable-mirror", Bool, "false"),
    ("enable-arp-detect-ip-conflict", Bool, "true"),
    ("enable-tproxy", Bool, "false"),
    ("host-tunnel-src", Bool, "false"),
    ("set-vxlan-tx-off", Bool, "false"),
    ("enable-metrics", Bool, "true"),
    ("enable-verbose-conn-check", Bool, "false"),
    ("enable-verbose-conn-log", Bool, "false"),
    ("enable-ovn-ipsec", Bool, "false"),
    ("cert-manager-ipsec-cert", Bool, "false"),
    ("secure-serving", Bool, "false"),
    ("non-primary-cni-mode", Bool, "false"),
    ("enable-non-primary-cni", Bool, "false"),
    ("enable-pprof", Bool, "false"),
    ("mac-learning-fallback", Bool, "false"),
    ("enable-node-local-access-vpc-nat-gw-eip", Bool, "true"),
    ("install-cni-config", Bool, "true"),
    ("network-type", Value, "geneve"),
    ("mirror-iface", Value, "mirror0"),
    ("dpdk-tunnel-iface", Value, "br-phy"),
    ("default-provider-name", Value, "provider"),
    ("default-interface-name", Value, ""),
    ("ovs-vsctl-concurrency", Value, "100"),
    ("kubelet-dir", Value, "/var/lib/kubelet"),
    ("external-gateway-config-ns", Value, "kube-system"),
    ("external-gateway-net", Value, "external"),
    ("external-gateway-switch", Value, "external"),
    ("external-gateway-vlanid", Value, "0"),
    ("udp-conn-check-port", Value, "8101"),
    ("tcp-conn-check-port", Value, "8100"),
    ("log-perm", Value, "640"),
    ("tls-min-version", Value, ""),
    ("tls-max-version", Value, ""),
    ("tls-cipher-suites", Value, ""),
    ("cert-manager-issuer-name", Value, "kube-ovn"),
    ("ovn-ipsec-cert-duration", Value, "63072000"),
    ("cni-conf-file", Value, "/kube-ovn/01-kube-ovn.conflist"),
    ("node-local-dns-ip", Value, ""),
    ("vlan-name", Value, ""),
    ("v", Value, "0"),
];

/// kube-ovn-cni: the node agent
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Name of this node
    #[arg(long, env = "KUBE_NODE_NAME", value_name = "NAME")]
    pub node_name: Option<String>,
    /// kubeconfig file; without it the pod's service account is used
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Open vSwitch's database on this node
    #[arg(long, default_value = "/run/openvswitch/db.sock", value_name = "SOCKET")]
    pub ovs_socket: String,
    /// The socket for the CNI plugin's requests
    #[arg(long, default_value = tombolo_cni::agent::SOCKET, value_name = "SOCKET")]
    pub bind_socket: PathBuf,
    /// The interface that tunnels leave by, or several separated by commas of which the first that exists counts;
    /// empty: the one that has OVN's encapsulation address
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAMES")]
    pub iface: String,
    /// MTU of pods; 0: that of the interface less the tunnel's header
    #[arg(long, default_value_t = 0)]
    pub mtu: u32,
    /// The default Vpc: its status lists the networks that nodes have routes to
    #[arg(long, default_value = DEFAULT_VPC, value_name = "NAME")]
    pub cluster_router: String,
    /// The Subnet that joins the nodes to the pod network
    #[arg(long, default_value = "join")]
    pub node_switch: String,
    /// The cluster's Service CIDR
    #[arg(long, default_value = "10.96.0.0/12")]
    pub service_cluster_ip_range: String,
    /// Name of the network configuration
    #[arg(long, default_value = "01-kube-ovn.conflist", value_name = "NAME")]
    pub cni_conf_name: String,
    /// The runtime's directory of network configurations
    #[arg(long, default_value = "/etc/cni/net.d", value_name = "DIRECTORY")]
    pub cni_conf_dir: PathBuf,
    /// The runtime's directory of plugins
    #[arg(long, default_value = "/opt/cni/bin", value_name = "DIRECTORY")]
    pub cni_bin_dir: PathBuf,
    /// The plugin to install there; empty: the file "kube-ovn" beside this program, if there is one
    #[arg(long, default_value = "", hide_default_value = true, value_name = "FILE")]
    pub cni_plugin: String,
    /// Masquerade traffic that leaves the cluster from Subnets with natOutgoing, by nftables
    #[arg(long, default_value = "true", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = go_bool, action = ArgAction::Set)]
    pub nat_outgoing: bool,
    /// Take everything of ours off this host, and end; "force": though pods are attached
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "unused", value_parser = ["unused", "force"])]
    pub uninstall: Option<String>,
    /// Port for metrics, /livez and /readyz
    #[arg(long, default_value_t = 10665)]
    pub pprof_port: u16,
    /// Address for them; without it all of the node's, of both families
    #[arg(long, value_name = "ADDRESS")]
    pub metrics_address: Option<IpAddr>,
    /// Filter of log lines, for example "info,tombolo_ovsdb=debug"; RUST_LOG wins
    #[arg(long, default_value = "info")]
    pub log_filter: String,
    /// "text" or "json"
    #[arg(long, default_value = "text")]
    pub log_format: LogFormat,
    /// Flags that were set to something other than their default and have no effect: `--name=value`.
    #[arg(skip)]
    pub inert: Vec<String>,
}

fn command() -> Command {
    Command::new("kube-ovn-daemon")
        .version(env!("CARGO_PKG_VERSION"))
        .about("The node agent: attaches pods to OVN")
}

impl Options {
    /// Reads a command line; its first element is the program's name.
    pub fn read(args: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Self, clap::Error> {
        let (options, inert): (Self, _) = flags::read(command(), INERT, args)?;
        Ok(Self { inert, ..options })
    }

    /// Name of this node: the flag, `KUBE_NODE_NAME`, or `NODE_NAME`.
    pub fn node(&self) -> anyhow::Result<String> {
        self.node_name
            .clone()
            .or_else(|| std::env::var("NODE_NAME").ok())
            .filter(|name| !name.is_empty())
            .ok_or_else(|| {
                anyhow::anyhow!("this node's name is not given: set KUBE_NODE_NAME or --node-name")
            })
    }

    /// Open vSwitch's database as an OVSDB endpoint: a bare path means a unix socket, as in Kube-OVN.
    pub fn ovs_endpoint(&self) -> String {
        if self.ovs_socket.starts_with('/') {
            format!("unix:{}", self.ovs_socket)
        } else {
            self.ovs_socket.clone()
        }
    }

    /// The directory of Open vSwitch's sockets, where its database is reached by one.
    #[must_use]
    pub fn ovs_run_dir(&self) -> Option<PathBuf> {
        let path = self.ovs_socket.strip_prefix("unix:").unwrap_or(&self.ovs_socket);
        path.starts_with('/').then(|| Path::new(path).parent().map(Path::to_owned)).flatten()
    }

    /// The cluster's Service ranges; none, with a warning, if they don't read.
    pub fn services(&self) -> Vec<Cidr> {
        match self.service_cluster_ip_range.parse::<DualCidr>() {
            Ok(cidr) => cidr.iter().collect(),
            Err(e) => {
                tracing::warn!("--service-cluster-ip-range: {e}; networks are not compared with it");
                Vec::new()
            }
        }
    }

    /// Names of the interfaces that tunnels may leave by.
    pub fn interfaces(&self) -> Vec<String> {
        self.iface.split(',').map(str::trim).filter(|n| !n.is_empty()).map(str::to_owned).collect()
    }

    /// Where metrics are served; `::` means both families ([`tombolo_observe::listen::bind`]).
    pub fn metrics_at(&self) -> SocketAddr {
        SocketAddr::new(self.metrics_address.unwrap_or(Ipv6Addr::UNSPECIFIED.into()), self.pprof_port)
    }

    /// The plugin to install.
    pub fn plugin(&self) -> Option<PathBuf> {
        if !self.cni_plugin.is_empty() {
            return Some(self.cni_plugin.clone().into());
        }
        let beside = std::env::current_exe().ok()?.with_file_name(crate::install::PLUGIN);
        beside.exists().then_some(beside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parser_is_sound() {
        flags::command::<Options>(command(), INERT).debug_assert();
    }

    #[test]
    fn a_manifest_of_kube_ovn_starts() {
        let options = Options::read([
            "kube-ovn-daemon",
            "--ovs-socket=/run/openvswitch/db.sock",
            "--bind-socket=/run/openvswitch/kube-ovn-daemon.sock",
            "--enable-mirror=false",
            "--mirror-iface=mirror0",
            "--node-switch=join",
            "--encap-checksum=true",
            "--service-cluster-ip-range=10.96.0.0/12",
            "--iface=eth1, eth0",
            "--dpdk-tunnel-iface=br-phy",
            "--network-type=geneve",
            "--default-interface-name=",
            "--logtostderr=false",
            "--alsologtostderr=true",
            "--log_file=/var/log/kube-ovn/kube-ovn-cni.log",
        ]);
        let options = options.unwrap();
        assert_eq!(options.interfaces(), ["eth1", "eth0"]);
        assert_eq!(options.ovs_endpoint(), "unix:/run/openvswitch/db.sock");
        assert_eq!(options.ovs_run_dir(), Some("/run/openvswitch".into()));
        assert!(options.inert.is_empty(), "{:?}", options.inert);
        assert!(options.nat_outgoing);
        assert_eq!(options.cni_conf_name, "01-kube-ovn.conflist");
    }
    #[test]
    fn every_flag_of_its_charts_is_accepted_and_those_set_in_vain_are_named() {
        let inert = [
            "enable-pprof=false",
            "mac-learning-fallback=false",
            "enable-verbose-conn-check=true",
            "log-perm=640",
            "tls-min-version=TLS12",
            "tls-max-version=",
            "tls-cipher-suites=",
            "cert-manager-ipsec-cert=false",
            "cert-manager-issuer-name=kube-ovn",
            "ovn-ipsec-cert-duration=63072000",
            "enable-node-local-access-vpc-nat-gw-eip=true",
            "cni-conf-file=/kube-ovn/01-kube-ovn.conflist",
            "install-cni-config=true",
            "node-local-dns-ip=",
            "stderrthreshold=2",
            "vmodule=",
            "log_file_max_size=200",
            "skip_headers",
            "enable-metrics",
            "v=3",
        ];
        let args = inert.iter().map(|flag| format!("--{flag}"));
        let served = ["--cluster-router=b-cluster", "--node-switch=b-join"].map(str::to_owned);
        let program = ["kube-ovn-daemon".to_owned()];
        let options = Options::read(program.into_iter().chain(args).chain(served)).unwrap();
        let vain = ["--enable-verbose-conn-check=true", "--tls-min-version=TLS12", "--v=3"];
        assert_eq!(options.inert, vain);
        assert_eq!(options.cluster_router, "b-cluster");
        assert!(Options::read(["kube-ovn-daemon", "--clustr-router=x"]).is_err());
    }

    #[test]
    fn metrics_are_reachable_by_both_families() {
        let at = |args: &[&str]| Options::read(["x"].iter().chain(args)).unwrap().metrics_at().to_string();
        assert_eq!(at(&[]), "[::]:10665");
        assert_eq!(at(&["--metrics-address=192.0.2.1", "--pprof-port=1"]), "192.0.2.1:1");
    }
}
