//! Neutron's side of a router on which Subnets stand: switched off, led elsewhere, kept from the cluster by its operator.

use serde_json::json;
use tombolo_ovsdb::{Datum, Op, Row, Txn};
use tombolo_plan::nb::table;
use tombolo_plan::{Kind, Selector};
use tombolo_tests_sim::neutron::row_uuid;
use tombolo_tests_sim::situations::{ROUTER, VPC, document, net2, openstack};
use tombolo_tests_sim::{Neutron, Sim, config, dump};

fn ours(sim: &Sim) -> String {
    dump::rows(sim.nb().rows(), |_, row| row.key("external_ids", "tombolo.io/owner").is_some())
}

fn enable(sim: &mut Sim, enabled: bool) {
    let row = Row::new().with("enabled", Datum::boolean(enabled));
    sim.foreign(&Txn::new([Op::update(table::ROUTER, row_uuid(table::ROUTER, ROUTER), row)]));
}

/// `openstack router add route`.
fn add_route(sim: &mut Sim, prefix: &str) {
    let row = Row::new()
        .with("ip_prefix", Datum::string(prefix))
        .with("nexthop", Datum::string("192.168.1.61"))
        .with("external_ids", Datum::map_of_strings([("neutron:is_static_route", "true")]));
    let uuid = row_uuid(table::STATIC_ROUTE, prefix);
    sim.foreign(&Txn::new([
        Op::insert(table::STATIC_ROUTE, uuid, row),
        Op::add_edge(table::ROUTER, row_uuid(table::ROUTER, ROUTER), "static_routes", uuid),
    ]));
}

fn remove_route(sim: &mut Sim, prefix: &str) {
    let uuid = row_uuid(table::STATIC_ROUTE, prefix);
    let router = row_uuid(table::ROUTER, ROUTER);
    sim.foreign(&Txn::new([Op::remove_edge(table::ROUTER, router, "static_routes", uuid)]));
}

fn ready(sim: &Sim, kind: Kind, name: &str) -> (String, String, String) {
    let (status, reason, message) = sim.condition(kind, name, "Ready").unwrap_or_default();
    (status.to_owned(), reason.to_owned(), message.to_owned())
}

// invariants 10 and 11
#[test]
fn a_router_that_is_switched_off_is_told_and_what_stands_stays() {
    let mut sim = document();
    let before = ours(&sim);
    enable(&mut sim, false);
    sim.converge();
    for (kind, name) in [(Kind::Vpc, VPC), (Kind::Subnet, "net2")] {
        let (status, reason, message) = ready(&sim, kind, name);
        assert_eq!((&*status, &*reason), ("False", "RouterDisabled"), "{kind:?}");
        assert!(message.contains("router0") && message.contains("openstack router set"), "{message}");
        assert_eq!(sim.reasons(kind, name), ["RouterDisabled"]);
    }
    // The spec is right, and pods are still given their addresses.
    assert_eq!(sim.condition(Kind::Subnet, "net2", "Validated").unwrap().0, "True");
    assert_eq!(ours(&sim), before);
    sim.pod("net2", "second", "host1");
    sim.converge();
    assert_eq!(sim.pod_address("net2/second"), Some("12.0.1.3"));
    enable(&mut sim, true);
    sim.converge();
    assert_eq!(ready(&sim, Kind::Vpc, VPC).0, "True");
    let (status, reason, message) = ready(&sim, Kind::Subnet, "net2");
    assert_eq!((&*status, &*reason, &*message), ("True", "ReconcileLogicalSwitchSuccess", ""), "{reason}");
    // Said once, not again as it goes.
    assert_eq!(sim.reasons(Kind::Subnet, "net2"), ["RouterDisabled"]);
}

// invariants 10 and 11
#[test]
fn a_route_inside_a_subnet_is_told_and_others_are_not() {
    let mut sim = document();
    let before = ours(&sim);
    // Wider ones lose to the router's own link; those elsewhere are none of ours.
    for harmless in ["0.0.0.0/0", "12.0.0.0/16", "10.0.0.0/8", "fd00::/8", "nonsense"] {
        add_route(&mut sim, harmless);
    }
    sim.converge();
    assert_eq!(ready(&sim, Kind::Subnet, "net2").0, "True");
    assert!(sim.reasons(Kind::Subnet, "net2").is_empty());
    for inside in ["12.0.1.128/25", "12.0.1.77", "12.0.1.0/24"] {
        add_route(&mut sim, inside);
        sim.converge();
        let (status, reason, message) = ready(&sim, Kind::Subnet, "net2");
        assert_eq!((&*status, &*reason), ("False", "RouteConflict"), "{inside}");
        assert!(message.contains(inside) && message.contains("192.168.1.61"), "{message}");
        let (status, reason, message) = ready(&sim, Kind::Vpc, VPC);
        assert_eq!((&*status, &*reason), ("True", "RouteConflict"), "{inside}");
        assert!(message.contains("Subnet net2") && message.contains(inside), "{message}");
        assert_eq!(ours(&sim), before);
        remove_route(&mut sim, inside);
        sim.converge();
        assert_eq!(ready(&sim, Kind::Subnet, "net2").0, "True", "{inside}");
        assert_eq!(ready(&sim, Kind::Vpc, VPC).1, "RouterFound", "{inside}");
    }
    // One that changes in place.
    add_route(&mut sim, "12.0.0.0/23");
    sim.converge();
    assert_eq!(ready(&sim, Kind::Subnet, "net2").0, "True");
    let row = Row::new().with("ip_prefix", Datum::string("12.0.1.64/26"));
    sim.foreign(&Txn::new([Op::update(
        table::STATIC_ROUTE,
        row_uuid(table::STATIC_ROUTE, "12.0.0.0/23"),
        row,
    )]));
    sim.converge();
    assert_eq!(ready(&sim, Kind::Subnet, "net2").1, "RouteConflict");
}

/// A cluster whose operator keeps the router from it, with the objects of a user who wants it all the same.
fn kept(change: impl FnOnce(&mut tombolo_plan::Config), labels: serde_json::Value) -> Sim {
    let mut config = config();
    change(&mut config);
    let mut sim = Sim::new(config, 1);
    sim.node("host1", "172.16.0.1");
    openstack(&mut sim);
    sim.converge();
    let vpc = json!({
        "apiVersion": "kubeovn.io/v1", "kind": "Vpc", "metadata": { "name": VPC, "labels": labels },
        "spec": { "namespaces": ["net2"] },
    });
    sim.apply(Kind::Vpc, &vpc);
    net2(&mut sim);
    sim.pod("net2", "ubuntu", "host1");
    sim.converge();
    sim
}

// invariant 3
#[test]
fn a_vpc_object_does_not_open_a_router_that_the_operator_keeps() {
    type Change = fn(&mut tombolo_plan::Config);
    let changes: [(&str, Change); 4] = [
        ("off", |config| config.external_vpcs = false),
        ("name", |config| config.router_selector = Selector::parse("name=prod-*").unwrap()),
        ("id", |config| config.router_selector = Selector::parse(&format!("id!={ROUTER}")).unwrap()),
        ("key", |config| config.router_selector = Selector::parse("neutron:nothing").unwrap()),
    ];
    for (what, change) in changes {
        for labels in [json!({}), json!({ "ovn.kubernetes.io/vpc_external": "true" })] {
            let sim = kept(change, labels.clone());
            let router = sim.nb().rows().row(table::ROUTER, &row_uuid(table::ROUTER, ROUTER)).unwrap();
            assert_eq!(router.get("ports").unwrap().uuids().count(), 1, "{what} {labels}");
            let (status, _, message) = ready(&sim, Kind::Subnet, "net2");
            assert_eq!(status, "False", "{what} {labels}");
            assert!(!message.is_empty(), "{what} {labels}");
            let (status, reason, message) = ready(&sim, Kind::Vpc, VPC);
            assert_eq!((&*status, &*reason), ("False", "RouterNotShown"), "{what} {labels}");
            assert!(message.contains("--external-vpc-selector"), "{message}");
            assert_eq!(sim.pod_address("net2/ubuntu"), None, "{what} {labels}");
        }
    }
}

#[test]
fn routers_are_selected_by_their_id() {
    let select = |config: &mut tombolo_plan::Config| {
        let text = format!("id=11111111-2222-4333-8444-555555555555|{ROUTER}");
        config.router_selector = Selector::parse(&text).unwrap();
    };
    let mut sim = kept(select, json!({}));
    assert_eq!(sim.pod_address("net2/ubuntu"), Some("12.0.1.2"));
    Neutron(&mut sim).rename_router(ROUTER, "another");
    sim.converge();
    assert_eq!(ready(&sim, Kind::Subnet, "net2").0, "True");
}

// invariant 11
#[test]
fn what_stands_on_a_router_that_is_hidden_by_a_new_name_stays() {
    let select = |config: &mut tombolo_plan::Config| {
        config.router_selector = Selector::parse("name=router*").unwrap();
    };
    let mut sim = kept(select, json!({}));
    assert_eq!(sim.pod_address("net2/ubuntu"), Some("12.0.1.2"));
    let before = ours(&sim);
    Neutron(&mut sim).rename_router(ROUTER, "mine");
    sim.converge();
    assert_eq!(ours(&sim), before);
    let (status, reason, message) = ready(&sim, Kind::Subnet, "net2");
    assert_eq!((&*status, &*reason), ("False", "VpcNotReady"));
    assert!(message.contains("--external-vpc-selector"), "{message}");
    Neutron(&mut sim).rename_router(ROUTER, "router0");
    sim.converge();
    assert_eq!(ready(&sim, Kind::Subnet, "net2").0, "True");
    assert_eq!(ours(&sim), before);
}
