//! Reads of plans that a change must cover, each found by the histories of `tests/sim/tests/sim/properties.rs`.

use serde_json::{Value, json};

use super::small::{ROUTER, Small, reasons};
use crate::Owner;
use crate::nb::table;
use crate::world::Dirty;

fn has(dirty: &Dirty, owner: &str) -> bool {
    dirty.now.iter().any(|it| it.to_string() == owner)
}

/// A namespace `a` with a pod that waits for an address, and the router.
fn waiting() -> Small {
    let mut small = Small::with_router();
    small.router(&[("neutron-net", "10.0.0.1/24")]);
    small.namespace("a", json!({}));
    small.pod("a", "p", json!({}));
    small
}

fn spec(vpc: &str) -> Value {
    json!({ "vpc": vpc, "cidrBlock": "10.1.0.0/24", "namespaces": ["a"] })
}

fn subnet(small: &mut Small, meta: Value, spec: Value, status: Value) -> Dirty {
    let mut meta = meta;
    meta["name"] = json!("net2");
    small.object("Subnet", json!({ "metadata": meta, "spec": spec, "status": status }))
}

/// The Subnet is in effect in a Vpc.
fn standing(vpc: &str) -> Small {
    let mut small = waiting();
    subnet(&mut small, json!({}), spec(vpc), json!({}));
    small.stand(&Owner::subnet("net2"));
    small
}

#[test]
fn pods_that_wait_are_planned_when_their_subnet_is_deleted() {
    let mut small = standing("ovn-cluster");
    let meta = json!({ "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["f"] });
    assert!(has(&subnet(&mut small, meta, spec("ovn-cluster"), json!({})), "pod/a/p"));
    // The pod says why it waits; the namespace's user deleted the Subnet, and needs no warning.
    assert_eq!(reasons(&small.plan(&Owner::pod("a", "p"))), ["SubnetNotReady"]);
    assert_eq!(reasons(&small.plan(&Owner::namespace("a"))), [""; 0]);
}

#[test]
fn pods_that_wait_are_planned_when_a_verdict_is_no_longer_of_the_present_spec() {
    let mut small = waiting();
    let status = json!({ "conditions": [
        { "type": "Ready", "status": "False", "reason": "UnknownVpc", "message": "m", "observedGeneration": 1 },
    ] });
    subnet(&mut small, json!({ "generation": 1 }), spec("none"), status.clone());
    let dirty = subnet(&mut small, json!({ "generation": 2 }), spec("none"), status.clone());
    assert!(has(&dirty, "pod/a/p"));
    assert!(!has(&subnet(&mut small, json!({ "generation": 2 }), spec("none"), status), "pod/a/p"));
}

#[test]
fn pods_that_wait_are_planned_when_their_subnet_asks_for_another_vpc() {
    // It stands in the default Vpc; that it asks for a tenant's binds its namespaces (invariant 12).
    let mut small = standing("ovn-cluster");
    assert!(has(&subnet(&mut small, json!({}), spec(ROUTER), json!({})), "pod/a/p"));
}

#[test]
fn namespaces_are_planned_when_the_switch_of_their_subnet_is_lost() {
    let mut small = standing("ovn-cluster");
    let switch = small.row(table::SWITCH, &Owner::subnet("net2"), "switch");
    let dirty = small.nb([(table::SWITCH, switch, None)]);
    assert!(has(&dirty, "namespace/a") && has(&dirty, "pod/a/p"));
}

#[test]
fn subnets_are_planned_for_where_they_are_and_not_only_for_where_they_would_be() {
    // In effect on the router; the present wish is refused.
    let mut small = standing(ROUTER);
    subnet(&mut small, json!({}), spec("none"), json!({}));
    assert!(has(&small.vpc(ROUTER, json!({ "namespaces": ["b"] })), "subnet/net2"));
    assert!(has(&small.gone("Vpc", ROUTER), "subnet/net2"));
    // A network of Neutron's comes there, elsewhere and on top of it.
    let dirty = small.router(&[("neutron-net", "10.0.0.1/24"), ("neutron-other", "10.2.0.1/24")]);
    assert!(!has(&dirty, "subnet/net2"));
    let dirty = small.router(&[("neutron-net", "10.0.0.1/24"), ("neutron-other", "10.1.0.129/25")]);
    assert!(has(&dirty, "subnet/net2"));
}

#[test]
fn nothing_is_in_effect_of_a_subnet_that_is_going_when_its_switch_is_gone() {
    // A process that starts then knows of nothing, either.
    let mut small = standing("ovn-cluster");
    let switch = small.row(table::SWITCH, &Owner::subnet("net2"), "switch");
    small.nb([(table::SWITCH, switch, None)]);
    assert!(small.world.established("net2").is_some(), "the same comes back");
    small.stand(&Owner::subnet("net2"));
    let meta = json!({ "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["f"] });
    subnet(&mut small, meta, spec("ovn-cluster"), json!({}));
    assert!(small.world.established("net2").is_some());
    small.nb([(table::SWITCH, switch, None)]);
    assert!(small.world.established("net2").is_none());
}
