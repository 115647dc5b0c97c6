//! The command line: Kube-OVN's names where it has one.

use std::ffi::OsString;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, Command};
use tombolo_client::flags::Shape::{Bool, Value};
use tombolo_client::flags::{self, Inert, go_bool};
use tombolo_client::{Databases, LogFormat};
use tombolo_ovn::addresses::{self, Database};
use tombolo_ovsdb::Endpoints;

/// Flags that act.
#[derive(Args, Clone, Debug)]
pub struct Acting {
    /// NB database, all members: "tcp:IP:PORT,tcp:IP:PORT", "tcp:[IP1,IP2]:PORT", "ssl:…" or "unix:PATH" (default: from
    /// OVN_DB_IPS or the Service ovn-nb)
    #[arg(long = "ovn-nb-addr", default_value = "", hide_default_value = true)]
    nb: String,
    /// SB database, in the same notation
    #[arg(long = "ovn-sb-addr", default_value = "", hide_default_value = true)]
    sb: String,
    /// How OVN's databases are reached.
    #[command(flatten)]
    pub databases: Databases,
    /// Series for each port of each logical switch: as many as there are pods and VMs, several times over
    #[arg(long, default_value = "false", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = go_bool)]
    pub port_series: bool,
    /// Seconds within which a port that returns to a chassis counts as one that several chassis claim in turns
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86400))]
    flap_window: u64,
    /// Port of /livez, /readyz and /metrics
    #[arg(long, default_value_t = 10661)]
    pub metrics_port: u16,
    /// Addresses for them, separated by commas; "::" means all of both families (default: that, or POD_IPS where
    /// ENABLE_BIND_LOCAL_IP is true)
    #[arg(long, value_name = "ADDRESSES", default_value = "", hide_default_value = true)]
    metrics_address: String,
    /// Log format: text or json
    #[arg(long, default_value = "text")]
    pub log_format: LogFormat,
    /// The node we run on
    #[arg(long, env = "KUBE_NODE_NAME", hide = true, default_value = "")]
    pub kube_node_name: String,
}

/// Kube-OVN's flags without an effect here: the databases' servers are reached over the network, and tell what changes.
const INERT: &[Inert] = &[
    ("secure-serving", Bool, "false"),
    ("tls-min-version", Value, ""),
    ("tls-max-version", Value, ""),
    ("tls-cipher-suites", Value, ""),
    ("poll-interval", Value, "30"),
    ("poll-timeout", Value, "2"),
    ("system-run-dir", Value, "/var/run/openvswitch"),
    ("enable-metrics", Bool, "true"),
    ("log-perm", Value, "640"),
    ("v", Value, "0"),
];

/// The command line, read and checked.
#[derive(Clone, Debug)]
pub struct Options {
    /// The flags that act.
    pub acting: Acting,
    /// The members of the NB.
    pub nb: Endpoints,
    /// And of the SB.
    pub sb: Endpoints,
    /// Addresses to listen on; at least one.
    pub addresses: Vec<IpAddr>,
    /// Flags that were set to something other than their default and have no effect: `--name=value`.
    pub inert: Vec<String>,
}

impl Options {
    /// Reads a command line, whose first element is the program's name, and the environment.
    ///
    /// # Errors
    /// clap's answer, which also covers `--help`, or what is wrong with an address.
    pub fn read(
        args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
        env: &impl Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        let program = Command::new(tombolo_names::workloads::MONITOR)
            .version(env!("CARGO_PKG_VERSION"))
            .about("Metrics of OVN's databases");
        let (acting, inert) = flags::read::<Acting>(program, INERT, args)?;
        let nb = endpoints(Database::Nb, "--ovn-nb-addr", &acting.nb, env)?;
        let sb = endpoints(Database::Sb, "--ovn-sb-addr", &acting.sb, env)?;
        let addresses = flags::addresses(&acting.metrics_address, env).map_err(|why| {
            anyhow!(
                "--metrics-address={}: {why}; write addresses of this host separated by commas, or ::",
                acting.metrics_address
            )
        })?;
        Ok(Self { acting, nb, sb, addresses, inert })
    }

    /// Within it a return counts as a flap.
    #[must_use]
    pub fn flap_window(&self) -> Duration {
        Duration::from_secs(self.acting.flap_window)
    }
}

fn endpoints(
    database: Database,
    flag: &str,
    value: &str,
    env: &impl Fn(&str) -> Option<String>,
) -> Result<Endpoints> {
    let list = addresses::resolve(database, value, env).map_err(|error| anyhow!("{error}"))?;
    if list.is_empty() {
        bail!(
            "no address of a database: set {flag}=tcp:IP:PORT[,tcp:IP:PORT…], or the environment variable OVN_DB_IPS"
        );
    }
    list.join(",").parse().with_context(|| format!("reading {flag}"))
}

#[cfg(test)]
mod tests {
    use tombolo_ovsdb::Wanted;

    use super::*;

    fn read(args: &[&str]) -> Result<Options> {
        Options::read([&["kube-ovn-monitor"], args].concat(), &|_| None)
    }

    #[test]
    fn every_member_is_an_endpoint_and_mistakes_are_named() {
        let all = ["--ovn-nb-addr=tcp:[10.0.0.1,10.0.0.2]:6641", "--ovn-sb-addr=ssl:10.0.0.1:6642"];
        let options = read(&[&all[..], &["--poll-interval=5", "--log_file=/x"]].concat()).unwrap();
        assert_eq!(options.nb.list().len(), 2);
        assert_eq!(options.inert, ["--poll-interval=5"]);
        let config = options.acting.databases.client(options.sb.clone(), "OVN_Southbound", Wanted::new());
        assert!(config.tls.is_some(), "one of them speaks TLS");
        assert!(
            read(&["--ovn-nb-addr=tcp:10.0.0.1:6641"]).unwrap_err().to_string().contains("--ovn-sb-addr")
        );
        let error = read(&["--ovn-nb-addr=10.0.0.1", "--ovn-sb-addr=tcp:10.0.0.1:6642"]).unwrap_err();
        assert!(error.to_string().contains("10.0.0.1"), "{error}");
    }
}
