//! The command line, and the environment by which Kube-OVN's manifests give the same.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Parser;
use tombolo_client::LogFormat;

use crate::decide::check_members;

/// ovn-central: a member of OVN's northbound and southbound databases, and a northd
#[derive(Debug, Clone, Parser)]
#[command(name = "ovn-central", version)]
pub struct Options {
    /// Addresses of all members, separated by commas; 1, 3 or 5
    #[arg(long, env = "NODE_IPS", value_name = "ADDRESSES")]
    pub members: String,
    /// The address of this one
    #[arg(long, env = "POD_IP", value_name = "ADDRESS")]
    pub address: IpAddr,
    /// Directory of the databases' files
    #[arg(long, default_value = "/etc/ovn", value_name = "DIRECTORY")]
    pub dir: PathBuf,
    /// Directory of sockets
    #[arg(long, default_value = "/run/ovn", value_name = "DIRECTORY")]
    pub run_dir: PathBuf,
    /// Directory of the schemas `ovn-nb.ovsschema` and `ovn-sb.ovsschema`
    #[arg(long, default_value = "/usr/share/ovn", value_name = "DIRECTORY")]
    pub schemas: PathBuf,
    /// The schema of a server's own settings
    #[arg(long, default_value = "/usr/share/openvswitch/local-config.ovsschema", value_name = "FILE")]
    pub local_config_schema: PathBuf,
    /// Milliseconds without a leader until members elect one, set when a cluster is founded. OVN's default of 1000 doesn't
    /// survive large transactions
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(100..=600_000))]
    pub election_timer: u32,
    /// Milliseconds of silence after which a database probes its client; 0 for never
    #[arg(long, env = "PROBE_INTERVAL", default_value_t = 180_000)]
    pub probe_interval: u32,
    /// Clients of the databases speak TLS; so do members with each other, in clusters that are founded with it
    #[arg(long, env = "ENABLE_SSL", default_value_t = false, action = clap::ArgAction::Set)]
    pub ssl: bool,
    /// Seconds from a new authority of certificates to the first one that it issues: whoever has a copy of the former one's
    /// certificate renews it in that time
    #[arg(long, default_value_t = 30 * 24 * 3600, value_name = "SECONDS")]
    pub tls_overlap: u64,
    /// Threads of northd
    #[arg(long, env = "OVN_NORTHD_N_THREADS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub northd_threads: u32,
    /// kubeconfig file; without it the pod's service account is used
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Port of /livez, /readyz and /metrics; 0 for none
    #[arg(long, default_value_t = 10666)]
    pub metrics_port: u16,
    /// Log format: text or json
    #[arg(long, default_value = "text")]
    pub log_format: LogFormat,
    /// Namespace of the ConfigMap, and of this pod
    #[arg(long, env = "POD_NAMESPACE", hide = true, default_value = "kube-system")]
    pub pod_namespace: String,
    /// This pod, which is labeled with what it leads; none outside of a pod
    #[arg(long, env = "POD_NAME", hide = true)]
    pub pod_name: Option<String>,
}

impl Options {
    /// Reads a command line; its first element is the program's name.
    ///
    /// # Errors
    /// clap's answer, which also covers `--help`.
    pub fn read(args: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Self, clap::Error> {
        Self::try_parse_from(args)
    }

    /// All members, ascending.
    ///
    /// # Errors
    /// A list that isn't one, has no odd number, or lacks this member.
    pub fn all(&self) -> Result<Vec<IpAddr>> {
        let words = self.members.split(',').map(str::trim).filter(|word| !word.is_empty());
        let mut all: Vec<IpAddr> = words
            .map(|word| word.parse().with_context(|| format!("--members: {word:?} is no address")))
            .collect::<Result<_>>()?;
        all.sort();
        if let Err(why) = check_members(self.address, &all) {
            bail!("--members={}: {why}", self.members);
        }
        Ok(all)
    }

    /// By which method clients connect.
    #[must_use]
    pub fn method(&self) -> &'static str {
        method(self.ssl)
    }
}

/// A connection's method, ovsdb(7).
#[must_use]
pub fn method(tls: bool) -> &'static str {
    if tls { "ssl" } else { "tcp" }
}
