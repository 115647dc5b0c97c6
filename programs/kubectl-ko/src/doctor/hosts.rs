//! Checks of chassis, tunnels and gateways. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tombolo_names::annotations::CHASSIS;

use super::facts::{Facts, Host, name};
use super::finding::{Check, Seen, Severity, say};
use crate::rows::Row;

/// What Geneve adds to a packet: outer IPv4, UDP, Geneve with OVN's option, the inner Ethernet header. IPv6 adds 20 more.
const OVERHEAD: u32 = 58;
/// Of an IPv6 header over IPv4's.
const OVERHEAD_V6: u32 = 20;

/// The checks.
pub const CHECKS: &[Check] = &[
    Check {
        name: "hosts-settings",
        expects: "system-id, ovn-encap-type and ovn-encap-ip are set",
        worst: Severity::Error,
        run: settings,
    },
    Check {
        name: "nodes-chassis",
        expects: "each node has a chassis in the SB",
        worst: Severity::Error,
        run: chassis,
    },
    Check {
        name: "encap-unique",
        expects: "no two chassis have one tunnel address",
        worst: Severity::Error,
        run: unique,
    },
    Check {
        name: "encap-type",
        expects: "all chassis speak one kind of tunnel",
        worst: Severity::Error,
        run: kinds,
    },
    Check {
        name: "encap-reachable",
        expects: "nodes reach all tunnel addresses",
        worst: Severity::Warning,
        run: reachable,
    },
    Check {
        name: "tunnel-mtu",
        expects: "the tunnels' links carry the largest packets of pods",
        worst: Severity::Warning,
        run: mtu,
    },
    Check {
        name: "gateway-hosts",
        expects: "no node is a gateway of Neutron's by accident",
        worst: Severity::Note,
        run: gateways,
    },
];

/// Hosts that were read; those that weren't are put into `seen`.
pub fn read<'a>(facts: &'a Facts, seen: &mut Seen) -> Result<BTreeMap<&'a str, &'a Host>, String> {
    let mut all = BTreeMap::new();
    for (node, host) in facts.hosts.as_ref().map_err(Clone::clone)? {
        match host {
            Ok(host) => {
                all.insert(node.as_str(), host);
            }
            Err(why) => seen.unseen.push((format!("node/{node}"), why.clone())),
        }
    }
    if !all.is_empty() {
        seen.looked_at = format!("{} nodes", all.len());
    }
    Ok(all)
}

fn settings(facts: &Facts) -> Result<Seen, String> {
    let mut seen = Seen::default();
    for (node, host) in read(facts, &mut seen)? {
        let missing = ["system-id", "ovn-encap-type", "ovn-encap-ip"]
            .into_iter()
            .filter(|key| host.setting(key).is_empty());
        let missing: Vec<&str> = missing.collect();
        let object = format!("node/{node}");
        if !missing.is_empty() {
            let sentence = format!("external_ids of Open_vSwitch lack {}", missing.join(", "));
            let fix = "set them on the host (kubectl ko openstack-config); system-id comes from Open vSwitch's start script";
            seen.found.push(say(Severity::Error, object, sentence, fix));
        } else if !host.links.is_empty() && host.mtu_of(host.setting("ovn-encap-ip")).is_none() {
            let sentence =
                format!("no link has the address {} of ovn-encap-ip", host.setting("ovn-encap-ip"));
            seen.found.push(say(
                Severity::Error,
                object,
                sentence,
                "set ovn-encap-ip to an address of this host",
            ));
        }
    }
    Ok(seen)
}

/// The chassis of a node: what its agent wrote, else by its name.
fn of<'a>(node: &Value, all: &'a [Row]) -> Option<&'a Row> {
    let annotated = node["metadata"]["annotations"][CHASSIS].as_str();
    let by = |chassis: &&Row| match annotated {
        Some(id) => chassis.text("name") == id,
        None => chassis.text("hostname") == name(node),
    };
    all.iter().find(by)
}

fn chassis(facts: &Facts) -> Result<Seen, String> {
    let nodes = facts.nodes.as_ref().map_err(Clone::clone)?;
    let all = facts.chassis.as_ref().map_err(Clone::clone)?;
    let mut seen =
        Seen { looked_at: format!("{} nodes, {} chassis", nodes.len(), all.len()), ..Seen::default() };
    for node in nodes.iter().filter(|node| of(node, all).is_none()) {
        let annotated = node["metadata"]["annotations"][CHASSIS].as_str();
        let sentence = match annotated {
            Some(id) => format!("its chassis {id} isn't in the SB: no port of its pods can be bound"),
            None => "no chassis in the SB has its name, and no agent has written one".to_owned(),
        };
        let fix = "look at ovn-controller on the host, and at ovn-remote (check hosts-endpoints)";
        seen.found.push(say(Severity::Error, format!("node/{}", name(node)), sentence, fix));
    }
    Ok(seen)
}

fn unique(facts: &Facts) -> Result<Seen, String> {
    let encaps = facts.encaps.as_ref().map_err(Clone::clone)?;
    let mut by: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for encap in encaps {
        by.entry(encap.text("ip")).or_default().insert(encap.text("chassis_name"));
    }
    let mut seen = Seen::default();
    if !encaps.is_empty() {
        seen.looked_at = format!("{} tunnel addresses", by.len());
    }
    for (ip, chassis) in by.into_iter().filter(|(_, chassis)| chassis.len() > 1) {
        let names: Vec<&str> = chassis.into_iter().collect();
        let sentence = format!(
            "chassis {} have it both: ovn-controller of one can't register, and traffic to it is lost",
            names.join(" and ")
        );
        let fix = "give each host its own ovn-encap-ip; a chassis of a host that is gone: kubectl ko sbctl chassis-del NAME";
        seen.found.push(say(Severity::Error, format!("encap/{ip}"), sentence, fix));
    }
    Ok(seen)
}

fn kinds(facts: &Facts) -> Result<Seen, String> {
    let encaps = facts.encaps.as_ref().map_err(Clone::clone)?;
    let mut by: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for encap in encaps {
        by.entry(encap.text("chassis_name")).or_default().insert(encap.text("type"));
    }
    let mut seen = Seen::default();
    if !by.is_empty() {
        seen.looked_at = format!("{} chassis", by.len());
    }
    let common = by.values().cloned().reduce(|a, b| a.intersection(&b).copied().collect());
    if common.is_some_and(|common| common.is_empty()) {
        let all: BTreeSet<&str> = by.values().flatten().copied().collect();
        let all: Vec<&str> = all.into_iter().collect();
        let sentence = format!(
            "chassis have no kind of tunnel in common ({}): those without one don't reach each other",
            all.join(", ")
        );
        let fix = "on each host: ovs-vsctl set open . external-ids:ovn-encap-type=geneve";
        seen.found.push(say(Severity::Error, "cluster", sentence, fix));
    }
    Ok(seen)
}

fn reachable(facts: &Facts) -> Result<Seen, String> {
    let mut seen = Seen::default();
    let hosts = read(facts, &mut seen)?;
    seen.looked_at = String::new();
    let mut asked = 0;
    for (node, host) in hosts {
        let object = format!("node/{node}");
        let Some(silent) = &host.silent else {
            seen.unseen.push((object, "the host has no ping".to_owned()));
            continue;
        };
        asked += host.asked;
        if !silent.is_empty() {
            let sentence = format!(
                "{} of {} tunnel addresses don't answer its ping: {}",
                silent.len(),
                host.asked,
                silent.join(" ")
            );
            let fix = "check the tunnels' network, and firewalls: UDP 6081 for Geneve, and ICMP for this check and for path MTU";
            seen.found.push(say(Severity::Warning, object, sentence, fix));
        }
    }
    if asked > 0 {
        seen.looked_at = format!("{asked} pings");
    }
    Ok(seen)
}

fn mtu(facts: &Facts) -> Result<Seen, String> {
    let mut seen = Seen::default();
    let hosts = read(facts, &mut seen)?;
    seen.looked_at = String::new();
    let mut carried: BTreeMap<&str, u32> = BTreeMap::new();
    for (node, host) in hosts {
        let end = host.setting("ovn-encap-ip");
        match host.mtu_of(end) {
            Some(mtu) => {
                let header = OVERHEAD + if end.contains(':') { OVERHEAD_V6 } else { 0 };
                carried.insert(node, mtu.saturating_sub(header));
            }
            None => seen.unseen.push((format!("node/{node}"), format!("the link with {end:?} is unknown"))),
        }
    }
    let Some((least, most)) = carried.values().min().zip(carried.values().max()) else { return Ok(seen) };
    seen.looked_at = format!("{} nodes", carried.len());
    if least != most {
        let narrow: Vec<&str> =
            carried.iter().filter(|(_, mtu)| *mtu == least).map(|(node, _)| *node).collect();
        let sentence = format!(
            "tunnels of {} carry {least} bytes, others' up to {most}: large packets between them vanish",
            narrow.join(", ")
        );
        seen.found.push(say(
            Severity::Warning,
            "cluster",
            sentence,
            "give the tunnels' links one MTU on all hosts, Neutron's too",
        ));
    }
    for subnet in facts.subnets.as_ref().map_err(Clone::clone)? {
        let wanted = subnet["spec"]["mtu"].as_u64().unwrap_or_default();
        if wanted > u64::from(*least) {
            let sentence = format!("its mtu is {wanted}, and the narrowest tunnel carries {least}");
            let fix = format!("set spec.mtu to {least} or less, or raise the MTU of the tunnels' links");
            seen.found.push(say(Severity::Warning, format!("subnet/{}", name(subnet)), sentence, fix));
        }
    }
    Ok(seen)
}

fn gateways(facts: &Facts) -> Result<Seen, String> {
    let (nodes, all) =
        (facts.nodes.as_ref().map_err(Clone::clone)?, facts.chassis.as_ref().map_err(Clone::clone)?);
    let physical: BTreeSet<&str> = facts
        .localnets
        .as_ref()
        .map_err(Clone::clone)?
        .iter()
        .filter_map(|port| port.key("options", "network_name"))
        .collect();
    let pairs: Vec<(&Value, &Row)> = nodes.iter().filter_map(|node| Some((node, of(node, all)?))).collect();
    let mut seen = Seen::default();
    if !pairs.is_empty() {
        seen.looked_at = format!("{} nodes", pairs.len());
    }
    for (node, chassis) in pairs {
        // OVN before 22.12 writes these into external_ids, later ones into other_config.
        let value = |key: &str| {
            chassis.key("other_config", key).or_else(|| chassis.key("external_ids", key)).unwrap_or_default()
        };
        let mapped: Vec<&str> = value("ovn-bridge-mappings")
            .split(',')
            .filter_map(|m| m.split(':').next())
            .filter(|m| physical.contains(m))
            .collect();
        let option = value("ovn-cms-options").contains("enable-chassis-as-gw");
        if option || !mapped.is_empty() {
            let what = if option {
                "has enable-chassis-as-gw".to_owned()
            } else {
                format!("maps Neutron's {}", mapped.join(", "))
            };
            let sentence = format!(
                "it {what}: Neutron may put its routers' gateways there, and a drained node takes them down"
            );
            let fix =
                "keep it if that is meant; else remove ovn-cms-options or ovn-bridge-mappings on that host";
            seen.found.push(say(Severity::Note, format!("node/{}", name(node)), sentence, fix));
        }
    }
    Ok(seen)
}
