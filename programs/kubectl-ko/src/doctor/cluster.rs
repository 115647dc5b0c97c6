//! Checks of what the cluster says of itself, and of Neutron beside it. Pure.

use serde_json::Value;
use tombolo_names::rows::{CLUSTER, OWNER};
use tombolo_names::workloads::NETWORK_DEGRADED;
use tombolo_names::{Reason, Severity as Gravity};

use super::facts::{Facts, name};
use super::finding::{Check, Said, Seen, Severity, say};

/// What is done about a component that isn't up.
const LOGS: &str = "kubectl -n kube-system describe it, and look at its pods' logs (kubectl ko log kube-ovn)";
/// The command that is open to all of Neutron's releases.
const SYNC: &str = "neutron-ovn-db-sync-util --ovn-neutron_sync_mode=log";

/// The checks.
pub const CHECKS: &[Check] = &[
    Check {
        name: "workloads-ready",
        expects: "controller and agents are ready, and ovn-central where it is ours",
        worst: Severity::Error,
        run: workloads,
    },
    Check {
        name: "objects-served",
        expects: "no Vpc, Subnet, IP or Node reports that it isn't served",
        worst: Severity::Warning,
        run: served,
    },
    Check { name: "brake", expects: "no deletions are held back", worst: Severity::Error, run: brake },
    Check {
        name: "admission",
        expects: "the API server asks before it stores a Vpc or a Subnet",
        worst: Severity::Note,
        run: admission,
    },
    Check {
        name: "neutron-repair",
        expects: "Neutron's repair leaves this cluster's rows alone",
        worst: Severity::Warning,
        run: repair,
    },
];

fn workloads(facts: &Facts) -> Result<Seen, String> {
    let all = facts.workloads.as_ref().map_err(Clone::clone)?;
    let mut seen = Seen::default();
    if !all.is_empty() {
        seen.looked_at = format!("{} workloads", all.len());
    }
    for workload in all {
        let number = |key: &str| workload["status"][key].as_u64();
        let deployment = workload["kind"] == "Deployment";
        let (wanted, ready) = if deployment {
            (workload["spec"]["replicas"].as_u64().unwrap_or(1), number("readyReplicas").unwrap_or(0))
        } else {
            (number("desiredNumberScheduled").unwrap_or(0), number("numberReady").unwrap_or(0))
        };
        if ready < wanted {
            let severity = if ready == 0 || !deployment { Severity::Error } else { Severity::Warning };
            let object = format!(
                "{}/{}",
                workload["kind"].as_str().unwrap_or_default().to_lowercase(),
                name(workload)
            );
            seen.found.push(say(severity, object, format!("{ready} of {wanted} pods are ready"), LOGS));
        }
    }
    Ok(seen)
}

/// The reason of a condition that says so, with its message.
fn refusals<'a>(
    object: &'a Value,
    of_type: impl Fn(&str) -> bool + 'a,
) -> impl Iterator<Item = (&'a str, &'a str)> + 'a {
    let all = object["status"]["conditions"].as_array().into_iter().flatten();
    let text = |condition: &'a Value, key: &str| condition[key].as_str().unwrap_or_default();
    all.filter(move |condition| of_type(text(condition, "type")) && !text(condition, "reason").is_empty())
        .map(move |condition| (text(condition, "reason"), text(condition, "message")))
}

fn served(facts: &Facts) -> Result<Seen, String> {
    let kinds =
        [("vpc", &facts.vpcs), ("subnet", &facts.subnets), ("ip", &facts.ips), ("node", &facts.nodes)];
    let mut seen = Seen::default();
    let mut looked = 0;
    for (kind, objects) in kinds {
        let objects = match objects {
            Ok(objects) => objects,
            Err(why) => {
                seen.unseen.push((format!("{kind}s"), why.clone()));
                continue;
            }
        };
        looked += objects.len();
        for object in objects {
            seen.found.extend(unserved(kind, object));
        }
    }
    if looked > 0 {
        seen.looked_at = format!("{looked} objects");
    }
    Ok(seen)
}

fn unserved(kind: &str, object: &Value) -> Option<Said> {
    let ours = |of_type: &str| {
        if kind == "node" { of_type == NETWORK_DEGRADED } else { of_type != NETWORK_DEGRADED }
    };
    let known = |word: &str| Reason::all().find(|reason| reason.as_str() == word);
    let worst = refusals(object, ours)
        .filter_map(|(word, message)| Some((known(word)?, message)))
        // The brake has a check of its own.
        .filter(|(reason, _)| reason.severity() > Gravity::Fine && *reason != Reason::DeletionsHeld)
        .max_by_key(|(reason, _)| reason.severity())?;
    let (reason, message) = worst;
    let severity = if reason.severity() == Gravity::Refused { Severity::Warning } else { Severity::Note };
    let sentence = format!("{}: {message}", reason.as_str());
    Some(say(severity, format!("{kind}/{}", name(object)), sentence, reason.remedy()))
}

fn brake(facts: &Facts) -> Result<Seen, String> {
    let vpcs = facts.vpcs.as_ref().map_err(Clone::clone)?;
    let default = vpcs.iter().find(|vpc| vpc["status"]["default"] == true);
    let default = default.ok_or("no Vpc says that it is the default one: has the controller run?")?;
    let held = refusals(default, |_| true).find(|(reason, _)| *reason == Reason::DeletionsHeld.as_str());
    let found = held.map(|(_, message)| {
        let object = format!("vpc/{}", name(default));
        say(
            Severity::Error,
            object,
            format!("deletions are held back: {message}"),
            Reason::DeletionsHeld.remedy(),
        )
    });
    Ok(Seen {
        looked_at: format!("vpc/{}", name(default)),
        found: found.into_iter().collect(),
        ..Seen::default()
    })
}

fn admission(facts: &Facts) -> Result<Seen, String> {
    let on = *facts.webhook.as_ref().map_err(Clone::clone)?;
    let off = (!on).then(|| {
        let sentence = "it is off: a Vpc with Subnets can be deleted, and a refused Subnet is stored, with a condition that says why".to_owned();
        say(Severity::Note, "cluster", sentence, "validatingWebhook.enabled=true")
    });
    Ok(Seen {
        looked_at: "the webhook's configuration".to_owned(),
        found: off.into_iter().collect(),
        ..Seen::default()
    })
}

/// What Neutron's repair does here, as far as its rows tell its release.
fn repair(facts: &Facts) -> Result<Seen, String> {
    let ports = facts.router_ports.as_ref().map_err(Clone::clone)?;
    let routers = facts.routers.as_ref().map_err(Clone::clone)?;
    let neutrons: Vec<_> =
        ports.iter().filter(|port| port.key("external_ids", "neutron:router_name").is_some()).collect();
    let theirs = routers.iter().filter(|router| router.key("external_ids", "neutron:router_name").is_some());
    let theirs: Vec<_> = theirs.collect();
    if theirs.is_empty() {
        return Err("Neutron has no router here, so that its rows don't tell its release".to_owned());
    }
    let mode = "whether neutron-server repairs at each start ([ovn] neutron_sync_mode in its ml2_conf.ini) can't be seen from here";
    let mut seen = Seen::default();
    if neutrons.is_empty() {
        return Err(format!(
            "no router of Neutron's has a port of its own, so that its rows don't tell its release; {mode}"
        ));
    }
    // Since 24 a port's row has the router's name in OVN, before its uuid.
    let named = |port: &&&crate::rows::Row| {
        port.key("external_ids", "neutron:router_name").is_some_and(|n| n.starts_with("neutron-"))
    };
    let old = neutrons.iter().filter(|port| !named(port)).count();
    let cluster = facts.cluster.as_deref().unwrap_or_default();
    let on: Vec<&str> = theirs.iter().flat_map(|router| router.uuids("ports")).collect();
    let ours = |port: &&crate::rows::Row| {
        port.key("external_ids", CLUSTER) == Some(cluster) && on.contains(&port.uuid("_uuid"))
    };
    let subnets: Vec<&str> =
        ports.iter().filter(ours).filter_map(|port| port.key("external_ids", OWNER)).collect();
    let sentence = if old > 0 {
        format!(
            "Neutron is older than 24 ({old} ports): repair stops at a router port that isn't its own ({} here), so that routes and NAT of no \
             router are repaired; ports on routers stay, groups and ACLs of others are removed; {mode}",
            subnets.len()
        )
    } else {
        format!(
            "Neutron is 24 or newer: from 26.0.3, 27.0.2 and 28 on repair leaves ports and routes of others alone, before it stops at the \
             first one ({} here); {mode}",
            subnets.len()
        )
    };
    let severity = if old > 0 && !subnets.is_empty() { Severity::Warning } else { Severity::Note };
    let fix = format!(
        "look at the package's release on Neutron's host; before a repair run {SYNC}, which changes nothing"
    );
    seen.found.push(say(severity, "neutron", sentence, fix));
    Ok(seen)
}
