//! The command line: Kube-OVN's names and defaults, and ours beside them.
//!
//! Decides which values are accepted and how they are read. The engine decides their meaning for OVN.

use std::ffi::OsString;
use std::net::IpAddr;
use std::time::Duration;

use clap::{Args, Command};
use tombolo_client::flags::Shape::{Bool, Value};
use tombolo_client::flags::{self, Inert, go_bool, go_duration};
use tombolo_client::{Databases, LogFormat};
use tombolo_ovn::addresses::{self, AddressError, Database};

/// Default namespace of our Lease.
const DEFAULT_NAMESPACE: &str = "kube-system";

/// Flags that act.
#[derive(Args, Clone, Debug)]
pub struct Acting {
    /// kubeconfig file; without it the pod's service account is used
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<String>,
    /// NB database: "tcp:IP:PORT,tcp:IP:PORT", "tcp:[IP1,IP2]:PORT", "ssl:…" or "unix:PATH" (default: from OVN_DB_IPS or the Service ovn-nb)
    #[arg(long = "ovn-nb-addr", default_value = "", hide_default_value = true)]
    ovn_nb_addr: String,
    /// SB database, in the same notation
    #[arg(long = "ovn-sb-addr", default_value = "", hide_default_value = true)]
    ovn_sb_addr: String,
    /// How OVN's databases are reached.
    #[command(flatten)]
    pub databases: Databases,
    /// Seconds until an NB transaction without an answer is given up
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    ovn_timeout: u64,

    /// The default VPC: the cluster's own router
    #[arg(long, default_value = "ovn-cluster")]
    pub cluster_router: String,
    /// The default Subnet
    #[arg(long, default_value = "ovn-default")]
    pub default_ls: String,
    /// CIDR of the default Subnet; "v4,v6" for two families
    #[arg(long, default_value = "10.16.0.0/16")]
    pub default_cidr: String,
    /// Gateway of the default Subnet (default: the first address of its CIDR)
    #[arg(long, default_value = "", hide_default_value = true)]
    pub default_gateway: String,
    /// Addresses of the default Subnet that pods never get
    #[arg(long, default_value = "", hide_default_value = true)]
    pub default_exclude_ips: String,
    /// Whether the agent checks that the default Subnet's gateway answers
    #[arg(long, default_value = "true", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = go_bool)]
    pub default_gateway_check: bool,
    /// The Subnet that joins the nodes to the pod network
    #[arg(long, default_value = "join")]
    pub node_switch: String,
    /// CIDR of that Subnet
    #[arg(long, default_value = "100.64.0.0/16")]
    pub node_switch_cidr: String,
    /// Gateway of that Subnet (default: the first address of its CIDR)
    #[arg(long, default_value = "", hide_default_value = true)]
    pub node_switch_gateway: String,
    /// The cluster's Service CIDR
    #[arg(long, default_value = "10.96.0.0/12")]
    pub service_cluster_ip_range: String,
    /// Show the routers of others (Neutron's) as Vpc objects
    #[arg(long, default_value = "true", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = go_bool)]
    pub enable_external_vpc: bool,
    /// Report on NetworkPolicies that this version enforces none; false where another program does
    #[arg(long, default_value = "true", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = go_bool)]
    pub enable_np: bool,
    /// The value of spec.enableLb of Subnets that don't set it
    #[arg(long, default_value = "true", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = go_bool)]
    pub enable_lb: bool,
    /// Pods send from their own addresses only, in all Vpcs (on routers of Neutron's they always do)
    #[arg(long, default_value = "false", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = go_bool)]
    pub enable_port_security: bool,
    /// Which routers of others are shown and may be used: "id=UUID|UUID", or keys of their external_ids; empty means all. (By "name=", OpenStack's tenants choose.)
    #[arg(long, value_name = "SELECTOR", default_value = "", hide_default_value = true)]
    pub external_vpc_selector: String,
    /// How long the Vpc of a router that is gone is kept while users' settings are on it
    #[arg(long, default_value = "24h", value_parser = go_duration)]
    pub external_vpc_retention: Duration,
    /// This cluster's id in OVN's external_ids (default: the uid of the namespace kube-system)
    #[arg(long, value_name = "ID")]
    pub cluster_id: Option<String>,

    /// Make rows that Kube-OVN made for this cluster ours, in place, where they say what ours would (docs/operate/take-over.md)
    #[arg(long, default_value = "false", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = go_bool)]
    pub take_over: bool,
    /// Take everything of this cluster out of OVN and off its objects, and end; "force": though pods are on the network
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "unused", value_parser = ["unused", "force"])]
    pub uninstall: Option<String>,
    /// With --uninstall: stop this installation's Deployment and DaemonSet first, unless pods are on the network (the chart's
    /// `helm uninstall` does)
    #[arg(long, requires = "uninstall")]
    pub uninstall_workloads: bool,
    /// Wait until the DaemonSet kube-ovn-uninstall-hosts has cleaned all hosts, and end (the chart's `helm uninstall` does)
    #[arg(long, conflicts_with = "uninstall")]
    pub uninstall_hosts: bool,

    /// How long a lease is valid after it was last seen to change
    #[arg(long, default_value = "30s", value_parser = go_duration)]
    pub leader_elect_lease_duration: Duration,
    /// How long the leader tries to renew before it gives up
    #[arg(long, default_value = "20s", value_parser = go_duration)]
    pub leader_elect_renew_deadline: Duration,
    /// Time between two renewals
    #[arg(long, default_value = "6s", value_parser = go_duration)]
    pub leader_elect_retry_period: Duration,

    /// Port of /livez, /readyz and /metrics; 0 for none
    #[arg(long, default_value_t = 10660)]
    pub pprof_port: u16,
    /// Addresses for them and for admission, separated by commas; "::" means all of both families (default: that, or POD_IPS
    /// where ENABLE_BIND_LOCAL_IP is true)
    #[arg(long, value_name = "ADDRESSES", default_value = "", hide_default_value = true)]
    metrics_address: String,
    /// Port of the admission webhook, which judges a Subnet before the API server stores it; 0 for none
    #[arg(long, default_value_t = 0)]
    pub admission_port: u16,
    /// CA of the client certificate that the API server shows there; empty: none is required
    #[arg(long, value_name = "FILE", default_value = "", hide_default_value = true)]
    pub admission_client_ca: String,
    /// Serve /metrics (health is served in any case)
    #[arg(long, default_value = "true", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = go_bool)]
    pub enable_metrics: bool,
    /// Log verbosity as in Kubernetes' programs: from 4 on, debugging lines too
    #[arg(short = 'v', long = "v", default_value_t = 0)]
    pub verbosity: u32,
    /// Log format: text or json
    #[arg(long, default_value = "text")]
    pub log_format: LogFormat,

    /// Namespace of the Lease
    #[arg(long, env = "POD_NAMESPACE", hide = true, default_value = DEFAULT_NAMESPACE)]
    pub pod_namespace: String,
    /// Name under which we hold the Lease
    #[arg(long, env = "POD_NAME", hide = true)]
    pub pod_name: Option<String>,
    /// The node we run on
    #[arg(long, env = "KUBE_NODE_NAME", hide = true)]
    pub kube_node_name: Option<String>,
}

/// Kube-OVN's flags that have no effect in this version, with its defaults, those of its older charts too.
const INERT: &[Inert] = &[
    ("default-logical-gateway", Bool, "false"),
    ("default-u2o-interconnection", Bool, "false"),
    ("cluster-tcp-loadbalancer", Value, "cluster-tcp-loadbalancer"),
    ("cluster-udp-loadbalancer", Value, "cluster-udp-loadbalancer"),
    ("cluster-sctp-loadbalancer", Value, "cluster-sctp-loadbalancer"),
    ("cluster-tcp-session-loadbalancer", Value, "cluster-tcp-session-loadbalancer"),
    ("cluster-udp-session-loadbalancer", Value, "cluster-udp-session-loadbalancer"),
    ("cluster-sctp-session-loadbalancer", Value, "cluster-sctp-session-loadbalancer"),
    ("worker-num", Value, "3"),
    ("enable-pprof", Bool, "false"),
    ("nodepg-probe-time", Value, "1"),
    ("network-type", Value, "geneve"),
    ("default-provider-name", Value, "provider"),
    ("default-interface-name", Value, ""),
    ("default-exchange-link-name", Bool, "false"),
    ("default-vlan-name", Value, "ovn-vlan"),
    ("default-vlan-id", Value, "1"),
    ("ls-dnat-mod-dl-dst", Bool, "true"),
    ("ls-ct-skip-dst-lport-ips", Bool, "true"),
    ("pod-nic-type", Value, "veth-pair"),
    ("pod-default-fip-type", Value, ""),
    ("np-enforcement", Value, "standard"),
    ("enable-eip-snat", Bool, "true"),
    ("enable-ecmp", Bool, "false"),
    ("keep-vm-ip", Bool, "true"),
    ("enable-lb-svc", Bool, "false"),
    ("enable-ovn-lb-prefer-local", Bool, "false"),
    ("enable-anp", Bool, "false"),
    ("enable-dns-name-resolver", Bool, "false"),
    ("enable-ovn-ipsec", Bool, "false"),
    ("enable-live-migration-optimize", Bool, "true"),
    ("external-gateway-config-ns", Value, "kube-system"),
    ("external-gateway-switch", Value, "external"),
    ("external-gateway-net", Value, "external"),
    ("external-gateway-vlanid", Value, "0"),
    ("node-local-dns-ip", Value, ""),
    ("skip-conntrack-dst-cidrs", Value, ""),
    ("gc-interval", Value, "360"),
    ("inspect-interval", Value, "20"),
    ("bfd-min-tx", Value, "100"),
    ("bfd-min-rx", Value, "100"),
    ("detect-mult", Value, "3"),
    ("bfd-detect-mult", Value, "3"),
    ("ovsdb-con-maxretry", Value, "60"),
    ("cust-crd-retry-min-delay", Value, "1"),
    ("cust-crd-retry-max-delay", Value, "20"),
    ("custcrd-retry-min-delay", Value, "1"),
    ("custcrd-retry-max-delay", Value, "20"),
    ("secure-serving", Bool, "false"),
    ("non-primary-cni-mode", Bool, "false"),
    ("image", Value, ""),
    ("frr-image", Value, ""),
    ("tls-min-version", Value, ""),
    ("tls-max-version", Value, ""),
    ("tls-cipher-suites", Value, ""),
    ("log-perm", Value, "640"),
    ("cert-manager-ipsec-cert", Bool, "false"),
    ("cert-manager-issuer-name", Value, "kube-ovn"),
    ("ovn-ipsec-cert-duration", Value, "63072000"),
    ("enable-record-tunnel-key", Bool, "false"),
];

/// The command line, read and checked.
#[derive(Clone, Debug)]
pub struct Flags {
    /// The flags that act.
    pub acting: Acting,
    /// NB endpoints, `METHOD:…`, at least one.
    pub nb: Vec<String>,
    /// SB endpoints; may be empty.
    pub sb: Vec<String>,
    /// Addresses to listen on; at least one.
    pub addresses: Vec<IpAddr>,
    /// Flags that were set to something other than their default and have no effect: `--name=value`.
    pub inert: Vec<String>,
}

/// Why the command line is refused.
#[derive(Debug, thiserror::Error)]
pub enum FlagError {
    /// clap's answer, which also covers `--help` and `--version`.
    #[error(transparent)]
    Clap(#[from] clap::Error),
    /// An address that can't be read.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// No NB address from anywhere.
    #[error(
        "no NB database: set --ovn-nb-addr=tcp:IP:6641[,tcp:IP:6641…], or the environment variable OVN_DB_IPS"
    )]
    NoNb,
    /// Addresses to listen on that can't be read.
    #[error("--metrics-address={0}: {1}; write addresses of this host separated by commas, or ::")]
    Listen(String, String),
    /// The three durations of the leader election don't fit together.
    #[error(
        "leader election: the lease duration ({0:?}) must exceed the renew deadline ({1:?}), and that 1.2 × the retry period ({2:?})"
    )]
    Election(Duration, Duration, Duration),
}

impl Flags {
    /// Reads a command line (its first element is the program's name) and the environment.
    pub fn parse(
        args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, FlagError> {
        let (acting, inert): (Acting, _) = flags::read(command(), INERT, args)?;
        let (lease, renew, retry) = (
            acting.leader_elect_lease_duration,
            acting.leader_elect_renew_deadline,
            acting.leader_elect_retry_period,
        );
        if lease <= renew || renew.as_secs_f64() <= 1.2 * retry.as_secs_f64() || retry.is_zero() {
            return Err(FlagError::Election(lease, renew, retry));
        }
        let nb = addresses::resolve(Database::Nb, &acting.ovn_nb_addr, &env)?;
        let sb = addresses::resolve(Database::Sb, &acting.ovn_sb_addr, &env)?;
        if nb.is_empty() {
            return Err(FlagError::NoNb);
        }
        let addresses = flags::addresses(&acting.metrics_address, &env)
            .map_err(|why| FlagError::Listen(acting.metrics_address.clone(), why))?;
        Ok(Self { acting, nb, sb, addresses, inert })
    }

    /// Deadline of one NB transaction.
    pub fn ovn_timeout(&self) -> Duration {
        Duration::from_secs(self.acting.ovn_timeout)
    }

    /// The filter of log lines.
    pub fn log_filter(&self) -> &'static str {
        match self.acting.verbosity {
            // The client's own line for each request that fails repeats ours, one a minute.
            0..=3 => "info,kube_client=warn,kube_client::client::builder=off,kube_runtime=error",
            4..=5 => {
                "info,tombolo_controller=debug,tombolo_client=debug,tombolo_engine=debug,tombolo_ovsdb=debug"
            }
            _ => {
                "debug,tombolo_controller=trace,tombolo_client=trace,tombolo_engine=trace,tombolo_ovsdb=trace,hyper_util=info"
            }
        }
    }
}

fn command() -> Command {
    Command::new("kube-ovn-controller")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Runs a Kubernetes cluster's network in an OVN that OpenStack Neutron may share")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Flags, FlagError> {
        let all = ["x", "--ovn-nb-addr=tcp:127.0.0.1:6641"].iter().chain(args).map(|s| s.to_string());
        Flags::parse(all, |_| None)
    }

    #[test]
    fn the_command_is_well_formed() {
        flags::command::<Acting>(command(), INERT).debug_assert();
    }

    #[test]
    fn bools_as_go_reads_them() {
        assert!(parse(&[]).unwrap().acting.enable_external_vpc);
        assert!(parse(&["--enable-external-vpc"]).unwrap().acting.enable_external_vpc);
        assert!(!parse(&["--enable-external-vpc=false"]).unwrap().acting.enable_external_vpc);
        assert!(!parse(&["--enable-external-vpc=0"]).unwrap().acting.enable_external_vpc);
        assert!(parse(&["--enable-external-vpc=yes"]).is_err());
    }

    #[test]
    fn values_with_equals_or_a_space_and_the_last_wins() {
        assert_eq!(parse(&["--default-cidr=10.0.0.0/8"]).unwrap().acting.default_cidr, "10.0.0.0/8");
        assert_eq!(parse(&["--default-cidr", "10.0.0.0/8"]).unwrap().acting.default_cidr, "10.0.0.0/8");
        let twice =
            parse(&["--default-ls=a", "--default-ls=b", "--enable-ecmp=false", "--enable-ecmp"]).unwrap();
        assert_eq!(twice.acting.default_ls, "b");
        assert_eq!(twice.inert, ["--enable-ecmp=true"]);
        assert!(!parse(&["--enable-np=false"]).unwrap().acting.enable_np);
    }

    // The flags of Kube-OVN's own manifest (facts: the names and values are its interface).
    #[test]
    fn a_manifest_of_kube_ovn_starts() {
        let flags = parse(&[
            "--default-ls=ovn-default",
            "--default-cidr=10.16.0.0/16",
            "--default-gateway=10.16.0.1",
            "--default-gateway-check=true",
            "--default-logical-gateway=false",
            "--default-u2o-interconnection=false",
            "--default-exclude-ips=",
            "--cluster-router=ovn-cluster",
            "--node-switch=join",
            "--node-switch-cidr=100.64.0.0/16",
            "--service-cluster-ip-range=10.96.0.0/12",
            "--network-type=geneve",
            "--default-provider-name=provider",
            "--default-interface-name=",
            "--default-exchange-link-name=false",
            "--default-vlan-id=100",
            "--ls-dnat-mod-dl-dst=true",
            "--ls-ct-skip-dst-lport-ips=true",
            "--pod-nic-type=veth-pair",
            "--enable-lb=true",
            "--enable-np=true",
            "--np-enforcement=standard",
            "--enable-eip-snat=true",
            "--enable-external-vpc=false",
            "--logtostderr=false",
            "--alsologtostderr=true",
            "--gc-interval=360",
            "--inspect-interval=20",
            "--log_file=/var/log/kube-ovn/kube-ovn-controller.log",
            "--log_file_max_size=200",
            "--enable-lb-svc=false",
            "--keep-vm-ip=true",
            "--enable-metrics=true",
            "--node-local-dns-ip=",
            "--secure-serving=false",
            "--enable-ovn-ipsec=false",
            "--enable-anp=false",
            "--ovsdb-con-timeout=3",
            "--ovsdb-inactivity-timeout=10",
            "--enable-live-migration-optimize=true",
            "--enable-ovn-lb-prefer-local=false",
            "--image=docker.io/kubeovn/kube-ovn:v1.15.0",
            "--detect-mult=3",
            "--log-perm=640",
            "--cert-manager-ipsec-cert=false",
            "--enable-record-tunnel-key=true",
            "--tls-min-version=TLS12",
            "--tls-max-version=",
            "--tls-cipher-suites=",
            "--stderrthreshold=2",
            "--vmodule=",
            "-v=3",
        ])
        .unwrap();
        assert_eq!(
            flags.inert,
            [
                "--default-vlan-id=100",
                "--image=docker.io/kubeovn/kube-ovn:v1.15.0",
                "--tls-min-version=TLS12",
                "--enable-record-tunnel-key=true"
            ]
        );
        assert_eq!(flags.acting.verbosity, 3);
        assert!(!flags.acting.enable_external_vpc);
    }

    #[test]
    fn defaults_set_no_inert_flag() {
        let flags = parse(&[]).unwrap();
        assert!(flags.inert.is_empty(), "{:?}", flags.inert);
        assert_eq!(flags.acting.leader_elect_lease_duration, Duration::from_secs(30));
        assert_eq!(flags.acting.external_vpc_retention, Duration::from_secs(86_400));
        assert_eq!(flags.acting.pprof_port, 10660);
        assert_eq!(flags.nb, ["tcp:127.0.0.1:6641"]);
    }

    #[test]
    fn an_nb_is_needed_and_an_unknown_flag_is_refused() {
        let none: [&str; 1] = ["x"];
        assert!(matches!(Flags::parse(none, |_| None), Err(FlagError::NoNb)));
        assert!(matches!(parse(&["--no-such-flag"]), Err(FlagError::Clap(_))));
    }

    #[test]
    fn election_times_must_fit() {
        assert!(matches!(parse(&["--leader-elect-lease-duration=20s"]), Err(FlagError::Election(..))));
        assert!(matches!(parse(&["--leader-elect-retry-period=0"]), Err(FlagError::Election(..))));
        assert!(
            parse(&[
                "--leader-elect-lease-duration=4s",
                "--leader-elect-renew-deadline=3s",
                "--leader-elect-retry-period=1s"
            ])
            .is_ok()
        );
    }
}
