//! The command line: Kube-OVN's names where it has one, but no target outside of the site unless one is named.

use std::ffi::OsString;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::{Args, Command, ValueEnum};
use tombolo_client::LogFormat;
use tombolo_client::flags::Shape::{Bool, Value};
use tombolo_client::flags::{self, Inert, go_bool};

use crate::targets::{self, Target};

/// How often is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Round after round.
    Server,
    /// One round, then the end.
    Job,
}

/// Flags that act.
#[derive(Args, Clone, Debug)]
pub struct Acting {
    /// Port of /livez, /readyz and /metrics
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// Addresses for them, separated by commas; "::" means all of both families (default: that, or POD_IPS where
    /// ENABLE_BIND_LOCAL_IP is true)
    #[arg(long, value_name = "ADDRESSES", default_value = "", hide_default_value = true)]
    metrics_address: String,
    /// kubeconfig file; without it the pod's service account is used
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<std::path::PathBuf>,
    /// Namespace of the pods that are pinged
    #[arg(long, default_value = "kube-system")]
    pub ds_namespace: String,
    /// Their label "app": the name of the DaemonSet
    #[arg(long, default_value = tombolo_names::workloads::PINGER)]
    pub ds_name: String,
    /// Seconds between two rounds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
    /// "server": round after round; "job": one round, then the end
    #[arg(long, value_enum, default_value = "server")]
    pub mode: Mode,
    /// Exit code of a job in which something failed
    #[arg(long, default_value_t = 0)]
    pub exit_code: u8,
    /// A name that the cluster's DNS must resolve; empty for none
    #[arg(long, default_value = "kubernetes.default")]
    pub internal_dns: String,
    /// A name that needs the DNS outside of the cluster; empty for none
    #[arg(long, default_value = "", hide_default_value = true)]
    pub external_dns: String,
    /// Addresses outside of the cluster to be pinged, separated by commas; empty for none
    #[arg(long, value_name = "ADDRESSES", default_value = "", hide_default_value = true)]
    external_address: String,
    /// Addresses of VMs to be pinged, separated by commas
    #[arg(long, value_name = "ADDRESSES", default_value = "", hide_default_value = true)]
    vm_targets: String,
    /// Ports to be reached: tcp-IP-PORT, udp-IP-PORT, separated by commas
    #[arg(long, value_name = "TARGETS", default_value = "", hide_default_value = true)]
    target_ip_ports: String,
    /// At most so many other pods, and so many other nodes, are pinged from here; each is by as many others
    #[arg(long, default_value_t = 10)]
    pub targets: usize,
    /// Show what is measured at /metrics (health is served in any case)
    #[arg(long, default_value = "true", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = go_bool)]
    pub enable_metrics: bool,
    /// Also reach the pods' ports for checks, and serve them
    #[arg(long, default_value = "false", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = go_bool)]
    pub enable_verbose_conn_check: bool,
    /// The TCP port for checks
    #[arg(long, default_value_t = 8100)]
    pub tcp_conn_check_port: u16,
    /// The UDP port for checks
    #[arg(long, default_value_t = 8101)]
    pub udp_conn_check_port: u16,
    /// Log format: text or json
    #[arg(long, default_value = "text")]
    pub log_format: LogFormat,
    /// This pod
    #[arg(long, env = "POD_NAME", hide = true, default_value = "")]
    pub pod_name: String,
    /// Its addresses
    #[arg(long, env = "POD_IPS", hide = true, default_value = "")]
    pod_ips: String,
    /// Its node
    #[arg(long, env = "KUBE_NODE_NAME", hide = true, default_value = "")]
    pub node_name: String,
    /// Its node's address
    #[arg(long, env = "HOST_IP", hide = true, default_value = "")]
    pub host_ip: String,
}

/// Kube-OVN's flags without an effect here: a pinger sees what pods see, and nothing of its host.
const INERT: &[Inert] = &[
    ("network-mode", Value, "kube-ovn"),
    ("secure-serving", Bool, "false"),
    ("tls-min-version", Value, ""),
    ("tls-max-version", Value, ""),
    ("tls-cipher-suites", Value, ""),
    ("poll-timeout", Value, "2"),
    ("poll-interval", Value, "15"),
    ("system-run-dir", Value, "/var/run/openvswitch"),
    ("log-perm", Value, "640"),
    ("v", Value, "0"),
];

/// The command line, read and checked.
#[derive(Clone, Debug)]
pub struct Options {
    /// The flags that act.
    pub acting: Acting,
    /// Addresses to listen on; at least one.
    pub addresses: Vec<IpAddr>,
    /// This pod's.
    pub pod_ips: Vec<IpAddr>,
    /// Outside of the cluster.
    pub external: Vec<IpAddr>,
    /// VMs.
    pub vms: Vec<IpAddr>,
    /// Ports to be reached.
    pub ports: Vec<Target>,
    /// Flags that were set to something other than their default and have no effect: `--name=value`.
    pub inert: Vec<String>,
}

impl Options {
    /// Reads a command line, whose first element is the program's name, and the environment.
    ///
    /// # Errors
    /// clap's answer, which also covers `--help`, or what is wrong with a flag.
    pub fn read(
        args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
        env: &impl Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        let program = Command::new(tombolo_names::workloads::PINGER)
            .version(env!("CARGO_PKG_VERSION"))
            .about("Measures the network from a pod on each node");
        let (acting, inert) = flags::read::<Acting>(program, INERT, args)?;
        let wrong = |flag: &str, value: &str| {
            let given = format!("--{flag}={value}");
            move |why: String| anyhow!("{given}: {why}")
        };
        let list = |flag: &str, value: &str| targets::addresses(value).map_err(wrong(flag, value));
        Ok(Self {
            addresses: flags::addresses(&acting.metrics_address, env)
                .map_err(wrong("metrics-address", &acting.metrics_address))?,
            pod_ips: list("pod-ips", &acting.pod_ips)?,
            external: list("external-address", &acting.external_address)?,
            vms: list("vm-targets", &acting.vm_targets)?,
            ports: targets::parse(&acting.target_ip_ports)
                .map_err(wrong("target-ip-ports", &acting.target_ip_ports))?,
            acting,
            inert,
        })
    }

    /// From the start of a round to the next one's.
    #[must_use]
    pub fn interval(&self) -> Duration {
        Duration::from_secs(self.acting.interval)
    }

    /// This pod's first address.
    #[must_use]
    pub fn pod_ip(&self) -> String {
        self.pod_ips.first().map(IpAddr::to_string).unwrap_or_default()
    }

    /// Whether this pod has addresses of that family, too. One without any known address pings all.
    #[must_use]
    pub fn speaks(&self, other: &IpAddr) -> bool {
        self.pod_ips.is_empty() || self.pod_ips.iter().any(|own| own.is_ipv4() == other.is_ipv4())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<Options> {
        Options::read([&["kube-ovn-pinger"], args].concat(), &|_| None)
    }

    #[test]
    fn nothing_outside_of_the_site_is_asked_unless_it_is_named() {
        let options = read(&["--network-mode=kube-ovn", "--alsologtostderr=true", "--mode=job"]).unwrap();
        assert!(options.external.is_empty() && options.acting.external_dns.is_empty());
        assert_eq!(options.acting.mode, Mode::Job);
        let options = read(&["--external-address=192.0.2.1,fd00::1", "--vm-targets=192.0.2.9"]).unwrap();
        assert_eq!((options.external.len(), options.vms.len()), (2, 1));
        let error = read(&["--target-ip-ports=tcp-x-1"]).unwrap_err().to_string();
        assert!(error.contains("--target-ip-ports=tcp-x-1") && error.contains("tcp-IP-PORT"), "{error}");
    }

    #[test]
    fn a_pod_pings_the_families_that_it_has() {
        let options = read(&["--pod-ips=10.16.0.2"]).unwrap();
        assert!(
            options.speaks(&"192.0.2.1".parse().unwrap()) && !options.speaks(&"fd00::1".parse().unwrap())
        );
        assert!(read(&[]).unwrap().speaks(&"fd00::1".parse().unwrap()));
    }
}
