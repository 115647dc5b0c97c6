//! Running pods must fit the rows that stand in the database: their addresses fit the router port of their switch, and
//! their annotations fit both. Wishes that were refused, mistyped or taken back show here when something follows them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;
use tombolo_ovsdb::{Replica, Row, Uuid};
use tombolo_plan::Kind;

use crate::marks;
use crate::sim::Sim;

/// An address and the length of its network's prefix.
pub(crate) type Network = (IpAddr, u32);

/// A switch of ours as pods see it.
#[derive(Debug, Default)]
struct Switch {
    /// Addresses of its router's ports, with their networks.
    routed: Vec<Network>,
    /// The router's name.
    router: Option<String>,
    router_row: Option<Uuid>,
    /// Ports of pods and nodes, and what they bear.
    ports: Vec<(String, Vec<IpAddr>)>,
}

pub(crate) fn network(text: &str) -> Option<Network> {
    let (address, length) = text.split_once('/')?;
    Some((address.parse().ok()?, length.parse().ok()?))
}

/// The first address of a network.
fn base(network: Network) -> Network {
    let (address, length) = network;
    let base = match address {
        IpAddr::V4(it) => {
            let mask = u32::MAX.checked_shl(32 - length.min(32)).unwrap_or(0);
            IpAddr::from((u32::from(it) & mask).to_be_bytes())
        }
        IpAddr::V6(it) => {
            let mask = u128::MAX.checked_shl(128 - length.min(128)).unwrap_or(0);
            IpAddr::from((u128::from(it) & mask).to_be_bytes())
        }
    };
    (base, length)
}

pub(crate) fn holds(whole: Network, address: IpAddr) -> bool {
    whole.0.is_ipv4() == address.is_ipv4() && base(whole).0 == base((address, whole.1)).0
}

fn addresses(port: &Row) -> Vec<IpAddr> {
    let texts = port.get("addresses").into_iter().flat_map(|it| it.strings());
    texts.flat_map(|text| text.split(' ')).filter_map(|word| word.parse().ok()).collect()
}

/// Switches of ours, by name.
fn switches(cluster: &str, rows: &Replica) -> BTreeMap<String, Switch> {
    let mut router_of: BTreeMap<Uuid, (Uuid, String)> = BTreeMap::new();
    for (router, row) in rows.rows("Logical_Router") {
        for port in row.get("ports").into_iter().flat_map(|it| it.uuids()) {
            router_of.insert(port, (router, row.str("name").unwrap_or_default().to_owned()));
        }
    }
    let mut router_ports: BTreeMap<&str, (Uuid, &Row)> = BTreeMap::new();
    for (uuid, row) in rows.rows("Logical_Router_Port") {
        router_ports.insert(row.str("name").unwrap_or_default(), (uuid, row));
    }
    let mut all = BTreeMap::new();
    for (_, row) in rows.rows("Logical_Switch").filter(|(_, row)| marks::is_ours(cluster, row)) {
        let mut switch = Switch::default();
        for uuid in row.get("ports").into_iter().flat_map(|it| it.uuids()) {
            let Some(port) = rows.row("Logical_Switch_Port", &uuid) else { continue };
            match marks::owner(cluster, port) {
                Some(("pod" | "node", _)) => {
                    let name = port.str("name").unwrap_or_default().to_owned();
                    switch.ports.push((name, addresses(port)));
                }
                Some(("subnet", _)) => {
                    let peer = port.key("options", "router-port").and_then(|name| router_ports.get(name));
                    let Some((uuid, peer)) = peer else { continue };
                    let Some((router, name)) = router_of.get(uuid) else { continue };
                    let networks = peer.get("networks").into_iter().flat_map(|it| it.strings());
                    switch.routed.extend(networks.filter_map(network));
                    switch.router = Some(name.clone());
                    switch.router_row = Some(*router);
                }
                _ => {}
            }
        }
        all.insert(row.str("name").unwrap_or_default().to_owned(), switch);
    }
    all
}

/// What is wrong with the rows by themselves: two ports of one address behind one router, an address that its switch's
/// router doesn't lead to, an address that is the router's own.
#[must_use]
pub fn wrong_rows(cluster: &str, rows: &Replica) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut seen: BTreeMap<(Option<Uuid>, IpAddr), String> = BTreeMap::new();
    for (name, switch) in &switches(cluster, rows) {
        for (port, borne) in &switch.ports {
            for address in borne {
                if let Some(router) = switch.router_row
                    && let Some(other) = seen.insert((Some(router), *address), port.clone())
                {
                    wrong.push(format!(
                        "invariant 5: {address} is on the ports {other} and {port} behind one router"
                    ));
                }
                if switch.routed.iter().any(|(gateway, _)| gateway == address) {
                    wrong.push(format!(
                        "invariant 11: the port {port} on {name} bears {address}, its router's own address"
                    ));
                }
                if !switch.routed.is_empty() && !switch.routed.iter().any(|it| holds(*it, *address)) {
                    wrong.push(format!(
                        "invariant 11: the port {port} on {name} bears {address}, and the router's port there is {:?}",
                        switch.routed
                    ));
                }
            }
        }
    }
    wrong
}

fn list<T>(text: &Value, read: impl Fn(&str) -> Option<T>) -> Vec<T> {
    text.as_str().unwrap_or_default().split(',').filter_map(|word| read(word.trim())).collect()
}

/// Annotations of pods, nodes and namespaces that contradict the rows: for each family that a pod has, network and
/// gateway must be those of the router's port; and no annotation may name what isn't there.
#[must_use]
pub fn wrong_words(sim: &Sim) -> Vec<String> {
    let rows = sim.nb().rows();
    let cluster = sim.config().cluster.as_str();
    let switches = switches(cluster, rows);
    let mut wrong = Vec::new();
    let told = |object: &Value, key: &str| {
        object["metadata"]["annotations"][format!("ovn.kubernetes.io/{key}")].clone()
    };
    for kind in [Kind::Pod, Kind::Node] {
        for (name, object) in sim.api.list(kind) {
            let switch_name = told(object, "logical_switch");
            let port = match name.split_once('/') {
                Some((namespace, name)) => format!("{name}.{namespace}"),
                None => format!("node-{name}"),
            };
            let Some(switch) = switches.get(switch_name.as_str().unwrap_or_default()) else { continue };
            // Only those that are annotated as allocated, and whose port stands.
            let Some((_, borne)) = switch.ports.iter().find(|(it, _)| *it == port) else { continue };
            if told(object, "allocated") != "true" {
                continue;
            }
            let mut say = |what: String| wrong.push(format!("invariant 11: {kind:?} {name} was told {what}"));
            let ip = list(&told(object, "ip_address"), |word| word.parse::<IpAddr>().ok());
            if ip != *borne {
                say(format!("the addresses {ip:?}, and its port bears {borne:?}"));
            }
            if switch.routed.is_empty() {
                continue;
            }
            let stands: Vec<Network> = switch.routed.iter().map(|it| base(*it)).collect();
            let cidrs: Vec<Network> = list(&told(object, "cidr"), network);
            let gateways = list(&told(object, "gateway"), |word| word.parse::<IpAddr>().ok());
            let of_its_families = |it: &IpAddr| borne.iter().any(|address| address.is_ipv4() == it.is_ipv4());
            let missing = stands.iter().any(|it| of_its_families(&it.0) && !cidrs.contains(it));
            if missing || cidrs.iter().any(|it| !stands.contains(it)) {
                say(format!("the networks {cidrs:?}, and its router's port has {stands:?}"));
            }
            let own: Vec<IpAddr> = switch.routed.iter().map(|it| it.0).collect();
            let missing = own.iter().any(|it| of_its_families(it) && !gateways.contains(it));
            if missing || gateways.iter().any(|it| !own.contains(it)) {
                say(format!("the gateways {gateways:?}, and its router's port has {own:?}"));
            }
            let router = told(object, "logical_router");
            if router.is_string() && router.as_str() != switch.router.as_deref() {
                say(format!("the router {router}, and it hangs on {:?}", switch.router));
            }
        }
    }
    for (name, object) in sim.api.list(Kind::Namespace) {
        // While one of its Subnets isn't ready, the namespace's annotations aren't updated.
        let chooses = |spec: &Value| {
            spec["namespaceSelectors"].is_array()
                || spec["namespaces"].as_array().is_some_and(|all| all.iter().any(|it| it == name))
        };
        let waits = sim.api.list(Kind::Subnet).any(|(subnet, it)| {
            let ready = sim.condition(Kind::Subnet, subnet, "Ready");
            chooses(&it["spec"]) && ready.is_none_or(|it| it.0 != "True")
        });
        if waits {
            continue;
        }
        let (names, cidrs) = (told(object, "logical_switch"), told(object, "cidr"));
        let names: Vec<&str> = names.as_str().unwrap_or_default().split(',').collect();
        let cidrs: Vec<&str> = cidrs.as_str().unwrap_or_default().split(';').collect();
        if names.len() != cidrs.len() {
            wrong.push(format!("invariant 11: namespace {name} was told {names:?} and {cidrs:?}"));
            continue;
        }
        for (subnet, cidr) in names.iter().zip(cidrs) {
            let Some(switch) = switches.get(*subnet).filter(|it| !it.routed.is_empty()) else { continue };
            let mut said: Vec<Network> = cidr.split(',').filter_map(network).map(base).collect();
            let mut stands: Vec<Network> = switch.routed.iter().map(|it| base(*it)).collect();
            said.sort_unstable();
            stands.sort_unstable();
            if said != stands {
                wrong.push(format!(
                    "invariant 11: namespace {name} was told {said:?} of {subnet}, and its router's port has {stands:?}"
                ));
            }
        }
    }
    wrong
}

/// All of it, at rest.
///
/// # Panics
/// When anything is wrong.
pub fn check(sim: &Sim) {
    let mut wrong = wrong_rows(sim.config().cluster.as_str(), sim.nb().rows());
    wrong.extend(wrong_words(sim));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let of = |text: &str| network(text).unwrap();
        assert_eq!(base(of("12.0.1.77/26")), of("12.0.1.64/26"));
        assert_eq!(base(of("fd00::1:7/112")), of("fd00::1:0/112"));
        assert_eq!(base(of("1.2.3.4/0")), of("0.0.0.0/0"));
        assert_eq!(base(of("1.2.3.4/32")), of("1.2.3.4/32"));
        assert!(holds(of("12.0.1.1/24"), "12.0.1.255".parse().unwrap()));
        assert!(!holds(of("12.0.1.1/24"), "12.0.2.0".parse().unwrap()));
        assert!(!holds(of("0.0.0.0/0"), "fd00::1".parse().unwrap()));
    }
}
