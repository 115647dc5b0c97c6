//! Checks of addresses: whose networks overlap, on a router or with what nodes need. Pure.

use serde_json::Value;
use tombolo_names::rows::{CLUSTER, OWNER};
use tombolo_net::{Cidr, IfAddr};

use super::facts::{Facts, addresses, name};
use super::finding::{Check, Said, Seen, Severity, say};
use crate::rows::Row;

/// The checks.
pub const CHECKS: &[Check] = &[
    Check {
        name: "cidr-router",
        expects: "networks on one router don't overlap, Neutron's included",
        worst: Severity::Error,
        run: routers,
    },
    Check {
        name: "cidr-nodes",
        expects: "networks of the default Vpc don't cover nodes, tunnels or the Service range",
        worst: Severity::Error,
        run: nodes,
    },
];

fn routers(facts: &Facts) -> Result<Seen, String> {
    let routers = facts.routers.as_ref().map_err(Clone::clone)?;
    let ports = facts.router_ports.as_ref().map_err(Clone::clone)?;
    let mut seen = Seen::default();
    let mut looked = 0;
    for router in routers {
        let on = router.uuids("ports");
        let mut here: Vec<&Row> = ports.iter().filter(|port| on.contains(&port.uuid("_uuid"))).collect();
        // A database lists rows in no order; a report has one.
        here.sort_by_key(|port| port.text("name"));
        looked += here.len();
        for (index, port) in here.iter().enumerate() {
            seen.found.extend(here[index + 1..].iter().filter_map(|other| clash(router, port, other)));
        }
    }
    if looked > 0 {
        seen.looked_at = format!("{looked} ports of {} routers", routers.len());
    }
    // A Subnet that isn't served has no port yet; its condition is what objects-served reports.
    Ok(seen)
}

fn clash(router: &Row, one: &Row, other: &Row) -> Option<Said> {
    let (a, b) = networks(one)
        .into_iter()
        .find_map(|a| networks(other).into_iter().find(|b| a.overlaps(*b)).map(|b| (a, b)))?;
    let sentence = format!(
        "{} has {a}, {} has {b}: addresses in both reach one of them at random",
        owner(one),
        owner(other)
    );
    let fix = "move one of them: a Subnet by spec.cidrBlock or spec.vpc, a subnet of Neutron's by openstack router remove subnet";
    Some(say(Severity::Error, format!("router/{}", router.text("name")), sentence, fix))
}

fn networks(port: &Row) -> Vec<Cidr> {
    port.texts("networks").iter().filter_map(|n| n.parse::<IfAddr>().ok()).map(IfAddr::cidr).collect()
}

/// Whose a port is, for a reader.
fn owner(port: &Row) -> String {
    if let Some(owner) = port.key("external_ids", OWNER) {
        let of = port.key("external_ids", CLUSTER).unwrap_or_default();
        return format!("{owner} of cluster {of}");
    }
    match port.key("external_ids", "neutron:network_name") {
        Some(network) => format!("Neutron's network {network}"),
        None => format!("port {}", port.text("name")),
    }
}

fn nodes(facts: &Facts) -> Result<Seen, String> {
    let subnets = facts.subnets.as_ref().map_err(Clone::clone)?;
    let nodes = facts.nodes.as_ref().map_err(Clone::clone)?;
    let services = facts.services.as_ref().map_err(Clone::clone)?.clone().unwrap_or_default();
    let services = cidrs(&services);
    let external: Vec<&str> = facts
        .vpcs
        .as_ref()
        .map_err(Clone::clone)?
        .iter()
        .filter(|vpc| vpc["status"]["default"] != true)
        .map(name)
        .collect();
    let mut seen = Seen::default();
    let default = |subnet: &&Value| !external.contains(&subnet["spec"]["vpc"].as_str().unwrap_or_default());
    for subnet in subnets.iter().filter(default) {
        seen.looked_at = format!("{} Subnets, {} nodes", subnets.len(), nodes.len());
        let object = format!("subnet/{}", name(subnet));
        let fix = "give the Subnet another network (spec.cidrBlock)";
        for cidr in cidrs(subnet["spec"]["cidrBlock"].as_str().unwrap_or_default()) {
            for node in nodes.iter().filter(|node| addresses(node).any(|a| cidr.contains(a))) {
                let sentence = format!(
                    "{cidr} has an address of node {}: pods can't reach it, and it can lose its network",
                    name(node)
                );
                seen.found.push(say(Severity::Error, &*object, sentence, fix));
            }
            if let Some(end) = tunnel_end(facts, cidr) {
                let sentence = format!(
                    "{cidr} has the tunnel address {end}: packets to that host would go into their own tunnel"
                );
                seen.found.push(say(Severity::Error, &*object, sentence, fix));
            }
            if let Some(range) = services.iter().find(|range| range.overlaps(cidr)) {
                let sentence = format!(
                    "{cidr} overlaps the Service range {range}: Services and pods take each other's addresses"
                );
                seen.found.push(say(Severity::Error, &*object, sentence, fix));
            }
        }
    }
    Ok(seen)
}

fn tunnel_end(facts: &Facts, cidr: Cidr) -> Option<std::net::IpAddr> {
    let encaps = facts.encaps.as_ref().ok()?;
    encaps.iter().filter_map(|encap| encap.text("ip").parse().ok()).find(|ip| cidr.contains(*ip))
}

/// Of a list with commas.
fn cidrs(list: &str) -> Vec<Cidr> {
    list.split(',').filter_map(|cidr| cidr.trim().parse().ok()).collect()
}
