//! What the checks are decided from. Pure: how each is read is [`super::gather`]'s.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Context, Result};
use serde_json::Value;

use super::raft::Member;
use crate::database::Database;
use crate::database::servers::Server;
use crate::rows::{self, Row};

/// Something that was read, or why it couldn't be.
pub type Read<T> = Result<T, String>;

/// Everything.
#[derive(Debug)]
pub struct Facts {
    /// The controller's endpoints of the NB.
    pub nb: Read<Vec<String>>,
    /// The controller's endpoints of the SB.
    pub sb: Read<Vec<String>>,
    /// What each endpoint says of itself.
    pub servers: Vec<(Database, String, Read<Server>)>,
    /// Kubernetes' nodes.
    pub nodes: Read<Vec<Value>>,
    /// What was read on each node, by its name.
    pub hosts: Read<BTreeMap<String, Read<Host>>>,
    /// SB: `name`, `hostname`, `encaps`, `other_config`, `external_ids`.
    pub chassis: Read<Vec<Row>>,
    /// SB: `_uuid`, `ip`, `type`, `chassis_name`.
    pub encaps: Read<Vec<Row>>,
    /// SB: `name`, `nb_cfg`, `nb_cfg_timestamp`, read at last.
    pub chassis_private: Read<Vec<Row>>,
    /// SB: `options`, `nb_cfg`, read at first.
    pub sb_global: Read<Vec<Row>>,
    /// NB: `name`, `ports`, `external_ids`.
    pub routers: Read<Vec<Row>>,
    /// NB: `_uuid`, `name`, `networks`, `gateway_chassis`, `ha_chassis_group`, `external_ids`.
    pub router_ports: Read<Vec<Row>>,
    /// NB: `name`, `type`, `options`, of type `localnet`.
    pub localnets: Read<Vec<Row>>,
    /// NB: `_uuid`, `options`, of switch ports of type `router`.
    pub router_peers: Read<Vec<Row>>,
    /// NB: `name`, `ports`, `external_ids`.
    pub switches: Read<Vec<Row>>,
    /// NB: `_uuid`, `chassis_name`.
    pub gateway_chassis: Read<Vec<Row>>,
    /// NB: `_uuid`, `ha_chassis`.
    pub ha_groups: Read<Vec<Row>>,
    /// NB: `_uuid`, `chassis_name`.
    pub ha_chassis: Read<Vec<Row>>,
    /// Terms of the databases' members.
    pub terms: Vec<Member>,
    /// Subnets.
    pub subnets: Read<Vec<Value>>,
    /// Vpcs.
    pub vpcs: Read<Vec<Value>>,
    /// IPs.
    pub ips: Read<Vec<Value>>,
    /// The Service range, as the controller has it; none if it has no such flag.
    pub services: Read<Option<String>>,
    /// Deployments and DaemonSets of ours.
    pub workloads: Read<Vec<Value>>,
    /// Deployments and DaemonSets with the names of ours, Kube-OVN's among them.
    pub rivals: Read<Vec<Value>>,
    /// The Lease of Kube-OVN's controller, if there is one.
    pub kube_ovn_lease: Read<Option<Value>>,
    /// Seconds since 1970.
    pub now: i64,
    /// Whether the API server asks our webhook.
    pub webhook: Read<bool>,
    /// This cluster's id in `external_ids`.
    pub cluster: Read<String>,
}

impl Default for Facts {
    fn default() -> Self {
        fn unread<T>() -> Read<T> {
            Err("it was not read".to_owned())
        }
        Self {
            nb: unread(),
            sb: unread(),
            servers: Vec::new(),
            nodes: unread(),
            hosts: unread(),
            chassis: unread(),
            encaps: unread(),
            sb_global: unread(),
            routers: unread(),
            router_ports: unread(),
            localnets: unread(),
            router_peers: unread(),
            switches: unread(),
            gateway_chassis: unread(),
            ha_groups: unread(),
            ha_chassis: unread(),
            chassis_private: unread(),
            terms: Vec::new(),
            subnets: unread(),
            vpcs: unread(),
            ips: unread(),
            services: unread(),
            workloads: unread(),
            rivals: unread(),
            kube_ovn_lease: unread(),
            now: 0,
            webhook: unread(),
            cluster: unread(),
        }
    }
}

/// What a node's Open vSwitch, ovn-controller and links say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Host {
    /// `external_ids` of Open_vSwitch.
    pub settings: BTreeMap<String, String>,
    /// Of ovn-controller: `23.03.1`. None if the program isn't there.
    pub version: Option<String>,
    /// Addresses of its links, and their MTU.
    pub links: Vec<(IpAddr, u32)>,
    /// Tunnel ends that didn't answer, of those asked; none if there is no `ping`.
    pub silent: Option<Vec<String>>,
    /// How many were asked.
    pub asked: usize,
    /// Of the databases' members that run there: the database, and its term at two moments.
    pub terms: Vec<(Database, [u64; 2])>,
}

/// What is run on a node; its arguments are addresses to be pinged.
pub const SCRIPT: &str = r#"echo '== settings'; ovs-vsctl --format=json --data=json --columns=external_ids list Open_vSwitch
echo '== version'; ovn-controller --version 2>/dev/null | head -n 1
echo '== addresses'; ip -o addr
echo '== links'; ip -o link
echo '== terms'
for d in nb:OVN_Northbound sb:OVN_Southbound; do
  s=/run/ovn/ovn${d%%:*}_db.ctl
  [ -S "$s" ] || continue
  a=$(ovs-appctl -T 5 -t "$s" cluster/status "${d#*:}" 2>/dev/null | sed -n 's/^Term: //p')
  sleep 1
  echo "${d%%:*} $a $(ovs-appctl -T 5 -t "$s" cluster/status "${d#*:}" 2>/dev/null | sed -n 's/^Term: //p')"
done
echo '== ping'; command -v ping >/dev/null || { echo none; exit 0; }
for a in "$@"; do ping -n -q -c 2 -W 1 "$a" >/dev/null 2>&1 || echo "$a"; done"#;

impl Host {
    /// Reads what the script printed.
    pub fn read(text: &str, asked: usize) -> Result<Self> {
        let part = |name: &str| {
            let start = format!("== {name}");
            let lines = text.lines().skip_while(|line| *line != start).skip(1);
            lines.take_while(|line| !line.starts_with("== ")).collect::<Vec<_>>().join("\n")
        };
        let (links, addresses) = (part("links"), part("addresses"));
        let settings = rows::parse(part("settings").as_bytes()).context("reading Open vSwitch's settings")?;
        let settings = settings.first().context("Open vSwitch has no settings")?;
        let mtus: BTreeMap<&str, u32> = links.lines().filter_map(mtu).collect();
        let address = |line: &str| -> Option<(IpAddr, u32)> {
            let words: Vec<&str> = line.split_whitespace().collect();
            let link = words.get(1)?.split('@').next()?;
            let address = words.get(3)?.split('/').next()?.parse().ok()?;
            Some((address, *mtus.get(link)?))
        };
        let term = |line: &str| -> Option<(Database, [u64; 2])> {
            let mut words = line.split_whitespace();
            let word = words.next()?;
            let database = [Database::Nb, Database::Sb].into_iter().find(|d| d.word() == word)?;
            Some((database, [words.next()?.parse().ok()?, words.next()?.parse().ok()?]))
        };
        let ping = part("ping");
        Ok(Self {
            settings: settings.pairs("external_ids").map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            version: part("version").split_whitespace().nth(1).map(str::to_owned),
            links: addresses.lines().filter_map(address).collect(),
            silent: (ping.trim() != "none").then(|| ping.lines().map(str::to_owned).collect()),
            asked,
            terms: part("terms").lines().filter_map(term).collect(),
        })
    }

    /// The MTU of the link with an address.
    pub fn mtu_of(&self, address: &str) -> Option<u32> {
        let address: IpAddr = address.parse().ok()?;
        self.links.iter().find(|(a, _)| *a == address).map(|(_, mtu)| *mtu)
    }

    /// A setting; empty if it isn't set.
    pub fn setting(&self, key: &str) -> &str {
        self.settings.get(key).map(String::as_str).unwrap_or_default()
    }
}

/// Name and MTU of a line of `ip -o link`.
fn mtu(line: &str) -> Option<(&str, u32)> {
    let mut words = line.split_whitespace();
    let name = words.nth(1)?.trim_end_matches(':').split('@').next()?;
    let mtu = words.skip_while(|word| *word != "mtu").nth(1)?;
    Some((name, mtu.parse().ok()?))
}

/// An object's name.
pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// A node's addresses.
pub fn addresses(node: &Value) -> impl Iterator<Item = IpAddr> {
    let all = node["status"]["addresses"].as_array().into_iter().flatten();
    all.filter_map(|address| address["address"].as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_prints() {
        let text = "== settings\n{\"data\":[[[\"map\",[[\"ovn-remote\",\"tcp:1.1.1.1:6642\"],[\"system-id\",\"a\"]]]]],\"headings\":[\"external_ids\"]}\n\
            == version\novn-controller 23.03.1\n== addresses\n1: lo    inet 127.0.0.1/8 scope host lo\n\
            5: br-phy    inet 10.9.0.1/24 brd 10.9.0.255 scope global br-phy\n\
            == links\n1: lo: <LOOPBACK> mtu 65536 qdisc\n5: br-phy: <UP> mtu 9000 qdisc\n== terms\nnb 5 6\nsb\n== ping\n10.9.0.3\n";
        let host = Host::read(text, 2).unwrap();
        assert_eq!((host.setting("system-id"), host.setting("none")), ("a", ""));
        assert_eq!(host.version.as_deref(), Some("23.03.1"));
        assert_eq!((host.mtu_of("10.9.0.1"), host.mtu_of("10.9.0.2")), (Some(9000), None));
        assert_eq!(host.silent, Some(vec!["10.9.0.3".to_owned()]));
        assert_eq!(host.terms, [(Database::Nb, [5, 6])], "a standalone database has none");
        let without = text.replace("ovn-controller 23.03.1\n", "").replace("10.9.0.3\n", "none\n");
        let host = Host::read(&without, 2).unwrap();
        assert_eq!((host.version, host.silent), (None, None));
        assert!(Host::read("", 0).is_err());
    }
}
