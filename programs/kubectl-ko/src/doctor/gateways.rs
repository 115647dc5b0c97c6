//! Checks of Neutron's routers that Subnets share: whether their gateways' chassis live, and what packets their networks carry. Pure.

use std::collections::{BTreeMap, BTreeSet};

use tombolo_names::rows::{CLUSTER, OWNER};

use super::facts::{Facts, name};
use super::finding::{Check, Seen, Severity, say};
use crate::rows::Row;

/// The checks.
pub const CHECKS: &[Check] = &[
    Check {
        name: "gateway-alive",
        expects: "each gateway port of a router has a chassis that is alive",
        worst: Severity::Error,
        run: alive,
    },
    Check {
        name: "neutron-mtu",
        expects: "Subnets and Neutron's networks on one router carry packets of one size",
        worst: Severity::Warning,
        run: mtu,
    },
];

/// A chassis that is so many seconds behind the others doesn't answer: Neutron's agent_down_time.
const SILENT: i64 = 75;

/// What keeps a chassis from being a gateway.
fn trouble(facts: &Facts, id: &str) -> Result<Option<String>, String> {
    let chassis = facts.chassis.as_ref().map_err(Clone::clone)?;
    let Some(row) = chassis.iter().find(|row| row.text("name") == id) else {
        return Ok(Some(format!("{id} isn't in the SB")));
    };
    let private = facts.chassis_private.as_ref().map_err(Clone::clone)?;
    let wanted = facts.sb_global.as_ref().map_err(Clone::clone)?.first().and_then(|row| row.number("nb_cfg"));
    let stamp = |row: &Row| row.number("nb_cfg_timestamp").unwrap_or_default() / 1_000;
    let newest = private.iter().map(stamp).max().unwrap_or_default();
    let own = private.iter().find(|row| row.text("name") == id);
    let behind = own.filter(|row| row.number("nb_cfg") < wanted).map(|row| newest - stamp(row));
    Ok(behind.filter(|seconds| *seconds > SILENT).map(|seconds| {
        let ago = crate::times::ago(seconds);
        format!("{} ({id}) doesn't answer: it is {ago} behind the others", row.text("hostname"))
    }))
}

/// The chassis that a router's port may be bound to; none if it is no gateway.
fn candidates<'a>(facts: &'a Facts, port: &Row) -> Result<Option<BTreeSet<&'a str>>, String> {
    let read = |rows: &'a super::facts::Read<Vec<Row>>| rows.as_ref().map_err(Clone::clone);
    let (direct, groups) = (port.uuids("gateway_chassis"), port.uuids("ha_chassis_group"));
    if direct.is_empty() && groups.is_empty() {
        return Ok(None);
    }
    let by_uuid = |rows: &'a [Row], uuids: Vec<&str>| -> Vec<&'a Row> {
        rows.iter().filter(|row| uuids.contains(&row.uuid("_uuid"))).collect()
    };
    let mut all: BTreeSet<&str> = BTreeSet::new();
    all.extend(by_uuid(read(&facts.gateway_chassis)?, direct).iter().map(|row| row.text("chassis_name")));
    for group in by_uuid(read(&facts.ha_groups)?, groups) {
        let members = by_uuid(read(&facts.ha_chassis)?, group.uuids("ha_chassis"));
        all.extend(members.iter().map(|row| row.text("chassis_name")));
    }
    Ok(Some(all))
}

fn alive(facts: &Facts) -> Result<Seen, String> {
    let routers = facts.routers.as_ref().map_err(Clone::clone)?;
    let ports = facts.router_ports.as_ref().map_err(Clone::clone)?;
    let mut seen = Seen { looked_at: format!("{} routers", routers.len()), ..Seen::default() };
    for router in routers {
        let on = router.uuids("ports");
        for port in ports.iter().filter(|port| on.contains(&port.uuid("_uuid"))) {
            let Some(all) = candidates(facts, port)? else { continue };
            let mut troubles = Vec::new();
            for id in &all {
                troubles.extend(trouble(facts, id)?);
            }
            if !all.is_empty() && troubles.is_empty() {
                continue;
            }
            let object = format!("router/{}", router.text("name"));
            let gateway = format!("gateway port {}", port.text("name"));
            if all.is_empty() {
                let sentence =
                    format!("{gateway} has no chassis: the router's network is cut off from outside");
                let fix = "make a host a gateway for Neutron (ovn-cms-options=enable-chassis-as-gw, ovn-bridge-mappings), and let Neutron place it: \
                           openstack router unset --external-gateway, then set it again";
                seen.found.push(say(Severity::Error, object, sentence, fix));
            } else if troubles.len() == all.len() {
                let sentence = format!(
                    "none of the chassis of {gateway} is alive, so that the router's network is cut off from outside: {}",
                    troubles.join("; ")
                );
                let fix = "start ovn-controller on one of these hosts; for hosts that are gone, give Neutron others and place the gateway anew \
                           (openstack router unset --external-gateway, then set it again)";
                seen.found.push(say(Severity::Error, object, sentence, fix));
            } else {
                let sentence = format!(
                    "{} of {} chassis of {gateway} aren't alive: {}",
                    troubles.len(),
                    all.len(),
                    troubles.join("; ")
                );
                let fix = "look at ovn-controller on these hosts before another one fails";
                seen.found.push(say(Severity::Note, object, sentence, fix));
            }
        }
    }
    Ok(seen)
}

/// The MTU of the tenants' networks on a router of Neutron's, by their names. Those behind a gateway port are outside.
fn networks<'a>(facts: &'a Facts, ports: &[&Row]) -> Result<BTreeMap<&'a str, u64>, String> {
    let peers = facts.router_peers.as_ref().map_err(Clone::clone)?;
    let switches = facts.switches.as_ref().map_err(Clone::clone)?;
    let is_gateway =
        |port: &Row| !port.uuids("gateway_chassis").is_empty() || !port.uuids("ha_chassis_group").is_empty();
    let names: Vec<&str> =
        ports.iter().filter(|port| !is_gateway(port)).map(|port| port.text("name")).collect();
    let lead: Vec<&str> = peers
        .iter()
        .filter(|peer| peer.key("options", "router-port").is_some_and(|port| names.contains(&port)))
        .map(|peer| peer.uuid("_uuid"))
        .collect();
    let on = switches.iter().filter(|switch| switch.uuids("ports").iter().any(|port| lead.contains(port)));
    Ok(on
        .filter_map(|s| Some((s.text("name"), s.key("external_ids", "neutron:mtu")?.parse().ok()?)))
        .collect())
}

fn mtu(facts: &Facts) -> Result<Seen, String> {
    let routers = facts.routers.as_ref().map_err(Clone::clone)?;
    let all = facts.router_ports.as_ref().map_err(Clone::clone)?;
    let subnets = facts.subnets.as_ref().map_err(Clone::clone)?;
    let cluster = facts.cluster.as_ref().map_err(Clone::clone)?;
    let mut seen = Seen::default();
    let mut looked = 0;
    for router in routers {
        let on = router.uuids("ports");
        let ports: Vec<&Row> = all.iter().filter(|port| on.contains(&port.uuid("_uuid"))).collect();
        let networks = networks(facts, &ports)?;
        let Some(least) = networks.values().min().copied() else { continue };
        let ours = ports.iter().filter(|port| port.key("external_ids", CLUSTER) == Some(cluster));
        let named = ours.filter_map(|port| port.key("external_ids", OWNER)?.strip_prefix("subnet/"));
        for subnet in named.filter_map(|subnet| subnets.iter().find(|it| name(it) == subnet)) {
            looked += 1;
            // Without one of its own, its pods have the smallest of the router's networks.
            let own = subnet["spec"]["mtu"].as_u64().filter(|mtu| *mtu > 0);
            let mtu = own.unwrap_or(least);
            let words = |differs: &dyn Fn(u64) -> bool| {
                let all = networks.iter().filter(|(_, network)| differs(**network));
                all.map(|(network, mtu)| format!("{network} has {mtu}")).collect::<Vec<_>>().join(", ")
            };
            let object = format!("subnet/{}", name(subnet));
            let router = router.text("name");
            let (smaller, larger) = (words(&|network| network < mtu), words(&|network| network > mtu));
            if !smaller.is_empty() {
                let sentence = format!(
                    "its mtu is {mtu}, and on router {router} {smaller}: larger packets of its pods don't reach VMs there, and the tunnels between \
                     hosts may not carry them"
                );
                let fix = format!("set spec.mtu to {least}, or to 0 to follow Neutron's");
                seen.found.push(say(Severity::Warning, object, sentence, fix));
            } else if !larger.is_empty() {
                let sentence = format!(
                    "its mtu is {mtu}, and on router {router} {larger}: TCP settles on the smaller one, but larger UDP packets of VMs don't reach its pods"
                );
                let fix = if own.is_some() && mtu < least {
                    format!("set spec.mtu to {least}, or to 0 to follow Neutron's")
                } else {
                    "give Neutron's networks on this router one mtu (openstack network set --mtu)".to_owned()
                };
                seen.found.push(say(Severity::Note, object, sentence, fix));
            }
        }
    }
    if looked == 0 {
        seen.looked_at = format!("{} routers, no Subnet beside a network of Neutron's", routers.len());
    } else {
        seen.looked_at = format!("{looked} Subnets beside networks of Neutron's");
    }
    Ok(seen)
}
