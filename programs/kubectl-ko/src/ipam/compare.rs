//! The differences between IP objects, pods' annotations and switch ports. Pure.
//!
//! An IP object is compared with the controller's present use of it: it goes with its pod, a StatefulSet's too.
//! One without pod and namespace is a reservation, which has no owner and no port.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Report;
use super::facts::{Addresses, Facts, Ip, Port};

/// Compares everything with everything.
pub fn compare(facts: &Facts) -> Report {
    let mut found = BTreeSet::new();
    twins(facts, &mut found);
    for (name, ip) in &facts.ips {
        found.extend(inside(facts, ip).map(|fault| format!("ip/{name}: {fault}")));
        found.extend(owned(facts, name, ip).map(|fault| format!("ip/{name}: {fault}")));
    }
    for name in facts.pods.keys() {
        found.extend(pod(facts, name).map(|fault| format!("pod/{name}: {fault}")));
    }
    for (name, port) in &facts.ports {
        let owner = port.owner.as_ref().filter(|_| !facts.ips.contains_key(name));
        found
            .extend(owner.map(|owner| format!("port/{name}: belongs to {owner}, but there is no IP object")));
    }
    shared(facts, &mut found);
    Report {
        differences: found,
        ips: facts.ips.len(),
        pods: facts.pods.len(),
        ports: facts.ports.values().filter(|port| port.owner.is_some()).count(),
    }
}

/// Two IP objects of one address.
fn twins(facts: &Facts, found: &mut BTreeSet<String>) {
    let mut taken: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for (name, ip) in &facts.ips {
        for address in &ip.addresses {
            if let Some(other) = taken.insert((&ip.subnet, address), name) {
                found.insert(format!(
                    "ip/{name}: {address} in subnet {} is also given to ip/{other}",
                    ip.subnet
                ));
            }
        }
    }
}

/// The address against its Subnet.
fn inside(facts: &Facts, ip: &Ip) -> Option<String> {
    let Some(networks) = facts.subnets.get(&ip.subnet) else {
        return Some(format!("there is no subnet {}", ip.subnet));
    };
    let outside = ip.addresses.iter().find(|address| {
        address.parse::<IpAddr>().is_ok_and(|a| !networks.iter().any(|network| network.contains(a)))
    });
    // Where no router port stands, nothing is established that it could lie outside of.
    let outside = outside.filter(|_| !networks.is_empty())?;
    let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
    Some(format!("{outside} is outside of subnet {}, which has {}", ip.subnet, networks.join(" ")))
}

/// An IP object against its pod or node, and that one's port.
fn owned(facts: &Facts, name: &str, ip: &Ip) -> Option<String> {
    let (there, owner, expected) = match (ip.namespace.as_str(), ip.pod.as_str()) {
        ("", "") => return None, // a reservation
        ("", node) => (facts.nodes.contains(node), format!("node {node}"), format!("node-{node}")),
        (namespace, pod) => {
            let key = format!("{pod}.{namespace}");
            (facts.pods.contains_key(&key), format!("pod {namespace}/{pod}"), key)
        }
    };
    if !there {
        return Some(format!("there is no {owner}"));
    }
    if name != expected {
        return Some(format!("holds an address for {owner}, whose IP object is ip/{expected}"));
    }
    match facts.ports.get(name) {
        None => Some("no switch port of that name in the NB".to_owned()),
        Some(Port { owner: None, .. }) => {
            Some("the switch port of that name isn't this cluster's (--cluster-id?)".to_owned())
        }
        Some(port) if port.addresses != ip.addresses => Some(format!(
            "the switch port has {}, the IP object {}",
            show(&port.addresses),
            show(&ip.addresses)
        )),
        Some(_) => None,
    }
}

/// A pod's annotations against its IP object and its port.
fn pod(facts: &Facts, name: &str) -> Option<String> {
    let pod = &facts.pods[name];
    let ip = facts.ips.get(name);
    if !pod.allocated {
        // Its port first: that one can carry traffic.
        let port = facts.ports.get(name).filter(|port| port.owner.is_some());
        let has = match (port, ip) {
            (Some(port), _) => format!("a switch port with {}", show(&port.addresses)),
            (None, Some(ip)) => format!("an IP object with {}", show(&ip.addresses)),
            (None, None) => return None,
        };
        return Some(format!("has {has}, but isn't annotated as allocated"));
    }
    let Some(ip) = ip else {
        return Some(format!("annotated with {}, but there is no IP object", show(&pod.addresses)));
    };
    (pod.addresses != ip.addresses).then(|| {
        format!("annotated with {}, the IP object has {}", show(&pod.addresses), show(&ip.addresses))
    })
}

/// Two ports of one address (or MAC) on one switch, one of them ours.
fn shared(facts: &Facts, found: &mut BTreeSet<String>) {
    for (switch, names) in &facts.switches {
        let mut bearers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for name in names {
            for address in facts.ports.get(name).into_iter().flat_map(|port| &port.addresses) {
                bearers.entry(address).or_default().push(name);
            }
        }
        for (address, names) in bearers.into_iter().filter(|(_, names)| names.len() > 1) {
            if names.iter().any(|name| facts.ports[*name].owner.is_some()) {
                let also: Vec<String> = names[1..].iter().map(|name| format!("port/{name}")).collect();
                found.insert(format!(
                    "port/{}: {address} on switch {switch} is also on {}",
                    names[0],
                    also.join(" ")
                ));
            }
        }
    }
}

fn show(addresses: &Addresses) -> String {
    if addresses.is_empty() {
        return "nothing".to_owned();
    }
    addresses.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
