//! The command line, and the environment by which Kube-OVN's manifests give the same.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use nix::ifaddrs::getifaddrs;
use tombolo_client::LogFormat;

/// ovs-ovn: Open vSwitch and ovn-controller on a node that has none of its own
#[derive(Debug, Clone, Parser)]
#[command(name = "ovs-ovn", version)]
pub struct Options {
    /// The southbound database's members: tcp:IP:PORT or ssl:IP:PORT, separated by commas
    #[arg(long, value_name = "REMOTES")]
    pub ovn_remote: String,
    /// The node's address, the tunnels' end unless --iface names another
    #[arg(long, env = "HOST_IP", value_name = "ADDRESS")]
    pub address: IpAddr,
    /// The interface whose address is the tunnels' end, or several, separated by commas, of which the first that exists counts
    #[arg(long, default_value = "", value_name = "NAMES")]
    pub iface: String,
    /// The node's name
    #[arg(long, env = "KUBE_NODE_NAME", value_name = "NAME")]
    pub node: String,
    /// Milliseconds of silence after which ovn-controller probes the database
    #[arg(long, default_value_t = 10_000)]
    pub ovn_remote_probe_interval: u32,
    /// Seconds of silence after which ovn-controller probes Open vSwitch
    #[arg(long, default_value_t = 180)]
    pub ovn_openflow_probe_interval: u32,
    /// Directory of Open vSwitch's database
    #[arg(long, default_value = "/etc/openvswitch", value_name = "DIRECTORY")]
    pub dir: PathBuf,
    /// Directory of Open vSwitch's sockets
    #[arg(long, default_value = "/run/openvswitch", value_name = "DIRECTORY")]
    pub run_dir: PathBuf,
    /// The schema of Open vSwitch's database
    #[arg(long, default_value = "/usr/share/openvswitch/vswitch.ovsschema", value_name = "FILE")]
    pub schema: PathBuf,
    /// Directory with cacert, cert and key for ssl: remotes
    #[arg(long, default_value = "/var/run/tls", value_name = "DIRECTORY")]
    pub tls_dir: PathBuf,
    /// File that exists while Open vSwitch works here, or another pod or the node itself runs it
    #[arg(long, default_value = "/tmp/ready", value_name = "FILE")]
    pub ready_file: PathBuf,
    /// Log format: text or json
    #[arg(long, default_value = "text")]
    pub log_format: LogFormat,
}

impl Options {
    /// Reads a command line; its first element is the program's name.
    ///
    /// # Errors
    /// clap's answer, which also covers `--help`.
    pub fn read(args: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Self, clap::Error> {
        Self::try_parse_from(args)
    }

    /// The tunnels' end.
    ///
    /// # Errors
    /// Interfaces none of which exists, or has an address.
    pub fn encap_ip(&self) -> Result<IpAddr> {
        let names: Vec<&str> = self.iface.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        if names.is_empty() {
            return Ok(self.address);
        }
        let all: Vec<_> = getifaddrs().context("reading the node's interfaces")?.collect();
        let address = |name: &&str| {
            let of = all.iter().filter(|one| one.interface_name == **name);
            of.filter_map(|one| {
                let address = one.address.as_ref()?;
                let four = address.as_sockaddr_in().map(|four| IpAddr::from(four.ip()));
                four.or_else(|| address.as_sockaddr_in6().map(|six| IpAddr::from(six.ip())))
            })
            .find(|ip| ip.is_ipv4() == self.address.is_ipv4() && !is_link_local(*ip))
        };
        names.iter().find_map(address).with_context(|| {
            format!("--iface={}: no such interface has an address of the node's family", self.iface)
        })
    }

    /// Whether the database is reached by TLS.
    #[must_use]
    pub fn tls(&self) -> bool {
        self.ovn_remote.starts_with("ssl:")
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}
