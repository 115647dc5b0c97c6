//! The output of `kubectl` and `ovn-nbctl`, as comparable facts. Decides how texts are read, so that two ways to write one
//! address are one address; not which side is right.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::Value;
use tombolo_net::{Cidr, IfAddr};

use tombolo_names::annotations::{ALLOCATED, IP_ADDRESS, MAC_ADDRESS};
use tombolo_names::rows::{CLUSTER, OWNER};

/// Lists of `kubectl get … -o json`, and tables of `ovn-nbctl --format=json --data=json list …`.
pub struct Lists {
    pub ips: Value,
    pub pods: Value,
    pub nodes: Value,
    pub subnets: Value,
    /// Columns `_uuid`, `name`, `type`, `addresses`, `external_ids`.
    pub ports: Value,
    /// Columns `name`, `ports`.
    pub switches: Value,
    /// Columns `networks`, `external_ids`.
    pub router_ports: Value,
    /// The id of this cluster in OVN's `external_ids`.
    pub cluster: String,
}

/// MAC and addresses in their canonical form: `{"00:…", "10.16.0.2"}`.
pub type Addresses = BTreeSet<String>;

/// An IP object.
#[derive(Debug)]
pub struct Ip {
    pub pod: String,
    pub namespace: String,
    pub subnet: String,
    /// With the MAC.
    pub addresses: Addresses,
}

/// A pod that has, or is to get, an interface of ours.
#[derive(Debug)]
pub struct Pod {
    pub allocated: bool,
    /// Its annotated addresses.
    pub addresses: Addresses,
}

/// A switch port.
#[derive(Debug)]
pub struct Port {
    /// The pod or node of this cluster that it belongs to: `pod/net2/ubuntu`, `node/host1`.
    pub owner: Option<String>,
    /// The addresses of this port; none for a router's.
    pub addresses: Addresses,
}

/// Everything, by name.
#[derive(Debug)]
pub struct Facts {
    pub ips: BTreeMap<String, Ip>,
    /// By the name of a pod's port, `<pod>.<namespace>`.
    pub pods: BTreeMap<String, Pod>,
    pub nodes: BTreeSet<String>,
    pub ports: BTreeMap<String, Port>,
    /// Switches and the names of their ports.
    pub switches: BTreeMap<String, BTreeSet<String>>,
    /// Subnets and their established networks; none where no router port stands.
    pub subnets: BTreeMap<String, Vec<Cidr>>,
}

impl Facts {
    /// Reads all lists.
    pub fn read(lists: &Lists) -> Self {
        let (ports, names) = ports(&lists.ports, &lists.cluster);
        let uuids = |value: &Value| match value[0].as_str() {
            // A set of one is written as its element.
            Some("uuid") => vec![value.clone()],
            _ => value[1].as_array().cloned().unwrap_or_default(),
        };
        let switches = rows(&lists.switches).iter().map(|row| {
            let of = uuids(&row[1]).iter().filter_map(|id| names.get(id[1].as_str()?).cloned()).collect();
            (row[0].as_str().unwrap_or_default().to_owned(), of)
        });
        Self {
            ips: items(&lists.ips).iter().map(|ip| (name(ip), read_ip(ip))).collect(),
            pods: items(&lists.pods).iter().filter_map(read_pod).collect(),
            nodes: items(&lists.nodes).iter().map(name).collect(),
            ports,
            switches: switches.collect(),
            subnets: subnets(lists),
        }
    }
}

fn read_ip(ip: &Value) -> Ip {
    let spec = &ip["spec"];
    let (mac, addresses) = (text(&spec["macAddress"]), text(&spec["ipAddress"]));
    Ip {
        pod: text(&spec["podName"]),
        namespace: text(&spec["namespace"]),
        subnet: text(&spec["subnet"]),
        addresses: canonical(std::iter::once(mac.as_str()).chain(addresses.split(','))),
    }
}

/// Those on their node's network, and those that have ended, need no address.
fn read_pod(pod: &Value) -> Option<(String, Pod)> {
    let ended = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if pod["spec"]["hostNetwork"] == true || ended {
        return None;
    }
    let annotations = &pod["metadata"]["annotations"];
    let (mac, addresses) = (text(&annotations[MAC_ADDRESS]), text(&annotations[IP_ADDRESS]));
    let read = Pod {
        allocated: annotations[ALLOCATED] == "true",
        addresses: canonical(std::iter::once(mac.as_str()).chain(addresses.split(','))),
    };
    Some((format!("{}.{}", name(pod), text(&pod["metadata"]["namespace"])), read))
}

/// All ports by name, and their names by uuid.
fn ports(table: &Value, cluster: &str) -> (BTreeMap<String, Port>, BTreeMap<String, String>) {
    let (mut ports, mut names) = (BTreeMap::new(), BTreeMap::new());
    for row in rows(table) {
        let port_name = text(&row[1]);
        names.insert(text(&row[0][1]), port_name.clone());
        let router = row[2].as_str().is_some_and(|kind| !kind.is_empty());
        let words = strings(&row[3]);
        let words = words.iter().flat_map(|set| set.split_whitespace());
        let addresses = canonical(words.filter(|_| !router).filter(|word| word.contains(['.', ':'])));
        let (of, owner) = (key(&row[4], CLUSTER), key(&row[4], OWNER));
        let ours = of == cluster && (owner.starts_with("pod/") || owner.starts_with("node/"));
        ports.insert(port_name, Port { owner: (ours && !router).then_some(owner), addresses });
    }
    (ports, names)
}

/// The established network of each Subnet is its router port's: its spec may be a request that was refused.
fn subnets(lists: &Lists) -> BTreeMap<String, Vec<Cidr>> {
    let mut all: BTreeMap<String, Vec<Cidr>> =
        items(&lists.subnets).iter().map(|subnet| (name(subnet), Vec::new())).collect();
    for row in rows(&lists.router_ports) {
        if key(&row[1], CLUSTER) != lists.cluster {
            continue;
        }
        let owner = key(&row[1], OWNER);
        if let Some(networks) = owner.strip_prefix("subnet/").and_then(|subnet| all.get_mut(subnet)) {
            let stand = strings(&row[0]).into_iter().filter_map(|n| n.parse::<IfAddr>().ok());
            networks.extend(stand.map(IfAddr::cidr));
        }
    }
    all
}

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

fn rows(table: &Value) -> &[Value] {
    table["data"].as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn name(object: &Value) -> String {
    text(&object["metadata"]["name"])
}

/// A set of strings, as OVSDB's JSON has it: a set of one is written as its element.
fn strings(value: &Value) -> Vec<String> {
    match value[1].as_array() {
        Some(all) => all.iter().map(text).collect(),
        None => value.as_str().map(str::to_owned).into_iter().collect(),
    }
}

/// The value of a key of a map.
fn key(map: &Value, key: &str) -> String {
    let pairs = map[1].as_array().map_or(&[][..], Vec::as_slice);
    pairs.iter().find(|pair| pair[0] == key).map(|pair| text(&pair[1])).unwrap_or_default()
}

fn canonical<'a>(words: impl Iterator<Item = &'a str>) -> Addresses {
    let one = |word: &str| match word.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => word.to_ascii_lowercase(),
    };
    words.map(str::trim).filter(|word| !word.is_empty()).map(one).collect()
}
