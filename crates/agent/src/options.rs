//! The command line: Kube-OVN's names and defaults where it has one (kube-ovn-daemon), ours beside them.
//!
//! A flag of Kube-OVN's that has no effect here is accepted all the same, so that an existing manifest starts;
//! [`Options::inert`] says which of them were set.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser};
use tombolo_observe::LogFormat;

/// kube-ovn-cni: the node agent
#[derive(Debug, Clone, Parser)]
#[command(name = "kube-ovn-daemon", version, about = "The node agent: attaches pods to OVN")]
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
    /// The socket that the CNI plugin asks
    #[arg(long, default_value = tombolo_cni::agent::SOCKET, value_name = "SOCKET")]
    pub bind_socket: PathBuf,
    /// The interface that tunnels leave by, or several separated by commas of which the first that exists counts;
    /// empty: the one that has OVN's encapsulation address
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAMES")]
    pub iface: String,
    /// MTU of pods; 0: that of the interface less the tunnel's header
    #[arg(long, default_value_t = 0)]
    pub mtu: u32,
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
    /// Masquerade what leaves the cluster from Subnets with natOutgoing, by nftables
    #[arg(long, default_value = "true", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = go_bool, action = ArgAction::Set)]
    pub nat_outgoing: bool,
    /// Port for metrics, /livez and /readyz
    #[arg(long, default_value_t = 10665)]
    pub pprof_port: u16,
    /// Address for them
    #[arg(long, default_value = "0.0.0.0")]
    pub metrics_address: IpAddr,
    /// What is logged, for example "info,tombolo_ovsdb=debug"; RUST_LOG wins
    #[arg(long, default_value = "info")]
    pub log_filter: String,
    /// "text" or "json"
    #[arg(long, default_value = "text")]
    pub log_format: LogFormat,
    #[command(flatten)]
    inert: Inert,
}

/// Flags of Kube-OVN's daemon without an effect here.
#[derive(Debug, Clone, Default, Args)]
#[group(skip)]
struct Inert {
    #[arg(long, hide = true)]
    network_type: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    encap_checksum: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    enable_mirror: Option<String>,
    #[arg(long, hide = true)]
    mirror_iface: Option<String>,
    #[arg(long, hide = true)]
    dpdk_tunnel_iface: Option<String>,
    #[arg(long, hide = true)]
    default_provider_name: Option<String>,
    #[arg(long, hide = true)]
    default_interface_name: Option<String>,
    #[arg(long, hide = true)]
    ovs_vsctl_concurrency: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    enable_arp_detect_ip_conflict: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    enable_tproxy: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    host_tunnel_src: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    set_vxlan_tx_off: Option<String>,
    #[arg(long, hide = true)]
    kubelet_dir: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    enable_metrics: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    enable_verbose_conn_log: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    enable_ovn_ipsec: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    secure_serving: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    non_primary_cni_mode: Option<String>,
    #[arg(long, hide = true)]
    external_gateway_config_ns: Option<String>,
    #[arg(long, hide = true)]
    external_gateway_switch: Option<String>,
    #[arg(long, hide = true)]
    udp_conn_check_port: Option<String>,
    #[arg(long, hide = true)]
    tcp_conn_check_port: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    logtostderr: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    alsologtostderr: Option<String>,
    #[arg(long, alias = "log_file", hide = true)]
    log_file: Option<String>,
    #[arg(long, alias = "log_file_max_size", hide = true)]
    log_file_max_size: Option<String>,
    #[arg(long, short = 'v', hide = true)]
    v: Option<String>,
}

/// As Go reads a flag: `--x`, `--x=true`, `--x=1`, `--x=F` …
fn go_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        other => Err(format!("{other:?} is neither true nor false")),
    }
}

impl Options {
    /// The flags that were given and have no effect.
    pub fn inert(&self) -> Vec<&'static str> {
        let i = &self.inert;
        [
            ("--network-type", &i.network_type),
            ("--encap-checksum", &i.encap_checksum),
            ("--enable-mirror", &i.enable_mirror),
            ("--mirror-iface", &i.mirror_iface),
            ("--dpdk-tunnel-iface", &i.dpdk_tunnel_iface),
            ("--default-provider-name", &i.default_provider_name),
            ("--default-interface-name", &i.default_interface_name),
            ("--ovs-vsctl-concurrency", &i.ovs_vsctl_concurrency),
            ("--enable-arp-detect-ip-conflict", &i.enable_arp_detect_ip_conflict),
            ("--enable-tproxy", &i.enable_tproxy),
            ("--host-tunnel-src", &i.host_tunnel_src),
            ("--set-vxlan-tx-off", &i.set_vxlan_tx_off),
            ("--kubelet-dir", &i.kubelet_dir),
            ("--enable-metrics", &i.enable_metrics),
            ("--enable-verbose-conn-log", &i.enable_verbose_conn_log),
            ("--enable-ovn-ipsec", &i.enable_ovn_ipsec),
            ("--secure-serving", &i.secure_serving),
            ("--non-primary-cni-mode", &i.non_primary_cni_mode),
            ("--external-gateway-config-ns", &i.external_gateway_config_ns),
            ("--external-gateway-switch", &i.external_gateway_switch),
            ("--udp-conn-check-port", &i.udp_conn_check_port),
            ("--tcp-conn-check-port", &i.tcp_conn_check_port),
            ("--logtostderr", &i.logtostderr),
            ("--alsologtostderr", &i.alsologtostderr),
            ("--log-file", &i.log_file),
            ("--log-file-max-size", &i.log_file_max_size),
            ("--v", &i.v),
        ]
        .into_iter()
        .filter(|(_, value)| value.is_some())
        .map(|(name, _)| name)
        .collect()
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

    /// Names of the interfaces that tunnels may leave by.
    pub fn interfaces(&self) -> Vec<String> {
        self.iface.split(',').map(str::trim).filter(|n| !n.is_empty()).map(str::to_owned).collect()
    }

    /// Where metrics are served.
    pub fn metrics_at(&self) -> SocketAddr {
        SocketAddr::new(self.metrics_address, self.pprof_port)
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
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_parser_is_sound() {
        Options::command().debug_assert();
    }

    #[test]
    fn a_manifest_of_kube_ovn_starts() {
        let options = Options::try_parse_from([
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
        let inert = options.inert();
        assert!(inert.contains(&"--enable-mirror") && inert.contains(&"--log-file"), "{inert:?}");
        assert!(options.nat_outgoing);
        assert_eq!(options.cni_conf_name, "01-kube-ovn.conflist");
    }
}
