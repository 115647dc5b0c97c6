//! What must be once all has come to rest: what each object stands for is there, and nothing of what is gone.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tombolo_plan::Kind;
use tombolo_plan::nb::table;

use crate::sim::Sim;

/// The Subnets from which a pod may get its address: the one that it names, those that choose its namespace, or the default one.
fn subnets_of(sim: &Sim, pod: &Value) -> Vec<String> {
    let named = pod["metadata"]["annotations"]["ovn.kubernetes.io/logical_switch"].as_str();
    let namespace = &pod["metadata"]["namespace"];
    let labels = sim.api.get(Kind::Namespace, namespace.as_str().unwrap_or_default());
    let is_labeled = labels.is_some_and(|it| it["metadata"]["labels"]["team"].is_string());
    let chosen = |spec: &Value| {
        spec["namespaces"].as_array().is_some_and(|all| all.contains(namespace))
            || (spec["namespaceSelectors"].is_array() && is_labeled)
    };
    let all = sim.api.list(Kind::Subnet);
    let mut names: Vec<String> = match named {
        Some(named) => vec![named.to_owned()],
        None => all.filter(|(_, it)| chosen(&it["spec"])).map(|(name, _)| name.to_owned()).collect(),
    };
    if names.is_empty() {
        names.push(sim.config().default_subnet.clone());
    }
    names
}

/// Every object got what it is due, or a report says why not (invariant 10).
///
/// # Panics
/// When one has neither.
pub fn check_outcome(sim: &Sim) {
    let rows = sim.nb().rows();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    // Each router of Neutron's is a Vpc that lists the switches on it.
    for (_, router) in rows.rows(table::ROUTER) {
        let name = router.str("name").unwrap_or_default();
        let ports = router.get("ports").expect("a monitored column").uuid_set();
        let lrps: Vec<_> = ports.iter().filter_map(|port| rows.row(table::ROUTER_PORT, port)).collect();
        let on = |row: &tombolo_ovsdb::Row, switch: &tombolo_ovsdb::Row| {
            let ports = switch.get("ports").expect("a monitored column").uuid_set();
            ports
                .iter()
                .filter_map(|port| rows.row(table::SWITCH_PORT, port))
                .any(|port| port.key("options", "router-port") == row.str("name"))
        };
        let mut switches: Vec<&str> = rows
            .rows(table::SWITCH)
            .filter(|(_, switch)| lrps.iter().any(|lrp| on(lrp, switch)))
            .filter_map(|(_, switch)| switch.str("name"))
            .collect();
        switches.sort_unstable();
        assert_eq!(sim.vpc_line(name), format!("true {}", json!(switches)), "{name}");
    }
    // A Subnet that is ready has its port where it should be.
    for (name, subnet) in sim.api.list(Kind::Subnet) {
        if subnet["metadata"]["deletionTimestamp"].is_string() {
            continue;
        }
        let (ready, reason, _) = sim.condition(Kind::Subnet, name, "Ready").expect("a Ready condition");
        let lrp = format!("{}-{name}", text(&subnet["spec"]["vpc"]));
        let stands = rows.rows(table::ROUTER_PORT).any(|(_, row)| row.str("name") == Some(&lrp));
        assert!(ready != "True" || stands, "{name} is ready and has no port {lrp}");
        assert!(
            ready == "True" || !sim.reasons(Kind::Subnet, name).is_empty(),
            "{name}: {reason} without an Event"
        );
    }
    for (name, pod) in sim.api.list(Kind::Pod) {
        let finished = pod["status"]["phase"] == "Succeeded";
        let port = format!("{}.{}", text(&pod["metadata"]["name"]), text(&pod["metadata"]["namespace"]));
        let has_port = rows.rows(table::SWITCH_PORT).any(|(_, row)| row.str("name") == Some(&port));
        if finished {
            assert!(!has_port && sim.api.get(Kind::Ip, &port).is_none(), "{name} has finished");
            continue;
        }
        let served = sim.pod_address(name).is_some() && has_port;
        let terminating = pod["metadata"]["deletionTimestamp"].is_string();
        let told = !sim.reasons(Kind::Pod, &text(&pod["metadata"]["name"])).is_empty();
        // For one that waits for its Subnet, the Subnet's condition says why.
        let waits = subnets_of(sim, pod)
            .iter()
            .any(|name| sim.condition(Kind::Subnet, name, "Ready").is_none_or(|it| it.0 != "True"));
        assert!(served || terminating || told || waits, "{name} has no network and nobody says why");
    }
    // Nothing is left of pods that are gone.
    let pods: BTreeSet<&str> = sim.api.list(Kind::Pod).map(|(name, _)| name).collect();
    for (_, row) in rows.rows(table::SWITCH_PORT) {
        let gone = row.key("external_ids", "pod").filter(|pod| !pods.contains(pod));
        assert_eq!(gone, None, "a port of a pod that is gone");
    }
}
