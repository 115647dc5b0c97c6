//! Who is looked at again when something changes, and what is known then. What isn't looked at stays as it is until a
//! restart, so that each of these is somebody who would wait in vain.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tombolo_ovsdb::{Datum, Row, Uuid};

use super::small::{ROUTER, Small};
use crate::Owner;
use crate::nb::table;
use crate::world::{Dirty, SPEC_KEY};

fn on_router(cidr: &str) -> Value {
    json!({ "vpc": ROUTER, "cidrBlock": cidr, "namespaces": ["a"] })
}

/// All that are looked at at once.
fn now(dirty: &Dirty) -> BTreeSet<String> {
    dirty.now.iter().map(ToString::to_string).collect()
}

fn has(dirty: &Dirty, owner: &str) -> bool {
    now(dirty).contains(owner)
}

/// The router, the Subnet `net2` on it, and the pod `a/p` with its port there.
fn tenant() -> Small {
    let mut small = Small::with_router();
    small.router(&[("neutron-net", "10.0.0.1/24")]);
    small.subnet("net2", on_router("10.1.0.0/24"));
    small.stand(&Owner::subnet("net2"));
    small.ip("a", "p", "net2", "10.1.0.9");
    small.pod("a", "p", json!({}));
    small.stand(&Owner::pod("a", "p"));
    small
}

#[test]
fn subnets_follow_what_their_vpc_says_of_itself() {
    let mut small = tenant();
    let vpc = |labels: Value, standby: bool, note: &str| {
        let meta = json!({ "name": ROUTER, "labels": labels, "annotations": { "note": note } });
        json!({ "metadata": meta, "spec": { "namespaces": ["a"] }, "status": { "standby": standby } })
    };
    small.object("Vpc", vpc(json!({}), false, ""));
    for (labels, standby, note, concerned) in [
        (json!({}), true, "", true),
        (json!({}), true, "words", false),
        (json!({ "ovn.kubernetes.io/vpc_external": "true" }), true, "words", true),
        (json!({ "ovn.kubernetes.io/vpc_external": "true" }), true, "words", false),
    ] {
        let dirty = small.object("Vpc", vpc(labels.clone(), standby, note));
        assert_eq!(has(&dirty, "subnet/net2"), concerned, "{labels} {standby} {note}");
    }
}

#[test]
fn pods_of_a_subnet_whose_vpc_comes_are_looked_at() {
    // A Subnet of a Vpc that doesn't exist binds nobody; one of a Vpc that does, its namespaces (invariant 12).
    let mut small = Small::cluster();
    small.namespace("b", json!({}));
    small.pod("b", "q", json!({}));
    small.subnet("s", json!({ "vpc": "mine", "cidrBlock": "10.2.0.0/24", "namespaces": ["b"] }));
    assert!(!crate::tenancy::bound(&small.world, "b"));
    let came = small.vpc("mine", json!({}));
    assert!(crate::tenancy::bound(&small.world, "b"));
    assert!(has(&came, "namespace/b") && has(&came, "pod/b/q"), "{came:?}");
    assert!(has(&small.gone("Vpc", "mine"), "namespace/b"));
}

#[test]
fn what_every_cluster_has_is_made_again_when_it_is_deleted() {
    let mut small = Small::with_router();
    small.subnet("s", json!({ "cidrBlock": "10.30.0.0/24" }));
    for (kind, name, made_again) in [
        ("Vpc", ROUTER, false),
        ("Subnet", "s", false),
        ("Subnet", "join", true),
        ("Subnet", "ovn-default", true),
        ("Vpc", "ovn-cluster", true),
    ] {
        assert_eq!(has(&small.gone(kind, name), "cluster/"), made_again, "{name}");
    }
    // What comes is nothing to make.
    assert!(!has(&small.vpc("ovn-cluster", json!({})), "cluster/"));
    assert!(!has(&small.subnet("join", json!({ "cidrBlock": "100.64.0.0/16" })), "cluster/"));
}

#[test]
fn it_is_known_which_pods_are_on_a_node() {
    let mut small = Small::cluster();
    let pod =
        |node: Value| json!({ "metadata": { "name": "p", "namespace": "a" }, "spec": { "nodeName": node } });
    let on = |small: &Small, node: &str| small.world.pods_of_node(node).count();
    small.object("Pod", pod(Value::Null));
    small.object("Pod", pod(json!("n")));
    small.object("Pod", pod(json!("n")));
    assert_eq!(on(&small, "n"), 1);
    // One of the same name, elsewhere: nobody saw the first one go.
    small.object("Pod", pod(json!("m")));
    assert_eq!((on(&small, "n"), on(&small, "m")), (0, 1));
    small.gone("Pod", "a/p");
    assert_eq!(on(&small, "m"), 0);
}

#[test]
fn pods_follow_the_chassis_of_their_node() {
    let mut small = Small::cluster();
    small.pod("a", "p", json!({}));
    let mut node = |chassis: Option<&str>, note: &str| {
        let mut annotations = json!({ "note": note });
        if let Some(chassis) = chassis {
            annotations["ovn.kubernetes.io/chassis"] = json!(chassis);
        }
        let dirty = small.object("Node", json!({ "metadata": { "name": "n", "annotations": annotations } }));
        has(&dirty, "pod/a/p")
    };
    assert!(!node(None, ""), "there is none to be on");
    assert!(node(Some("c1"), ""));
    assert!(!node(Some("c1"), "words"));
    assert!(node(Some("c2"), "words"));
    assert!(!node(None, "words"), "one that goes away is none to move from");
}

#[test]
fn waiting_pods_follow_the_labels_of_their_namespace() {
    let mut small = Small::cluster();
    small.pod("b", "q", json!({}));
    let mut namespace = |labels: Value, note: &str| {
        let meta = json!({ "name": "b", "labels": labels, "annotations": { "note": note } });
        let dirty = small.object("Namespace", json!({ "metadata": meta }));
        assert!(has(&dirty, "namespace/b"));
        has(&dirty, "pod/b/q")
    };
    assert!(namespace(Value::Null, ""));
    assert!(!namespace(Value::Null, "words"));
    assert!(namespace(json!({ "team": "x" }), "words"));
    assert!(!namespace(json!({ "team": "x" }), ""));
}

#[test]
fn all_namespaces_follow_a_subnet_that_begins_or_ends_to_select_by_labels() {
    let mut small = Small::cluster();
    small.namespace("b", json!({}));
    let spec = |selectors: Value| json!({ "cidrBlock": "10.30.0.0/24", "namespaceSelectors": selectors });
    let plain = small.subnet("s", spec(json!([])));
    assert!(!has(&plain, "namespace/b"));
    let selector = json!([{ "matchLabels": { "team": "x" } }]);
    assert!(has(&small.subnet("s", spec(selector)), "namespace/b"));
    assert!(has(&small.subnet("s", spec(json!([]))), "namespace/b"));
}

#[test]
fn nodes_follow_the_join_subnet_and_no_other() {
    let mut small = Small::cluster();
    small.object("Node", json!({ "metadata": { "name": "n" } }));
    for (name, concerned) in [("ovn-default", false), ("join", true)] {
        let mut spec = json!({ "cidrBlock": "10.16.0.0/16", "excludeIps": ["10.16.0.99"] });
        if name == "join" {
            spec = json!({ "cidrBlock": "100.64.0.0/16", "excludeIps": ["100.64.0.99"] });
        }
        small.subnet(name, spec);
        assert_eq!(has(&small.stand(&Owner::subnet(name)), "node/n"), concerned, "{name}");
    }
}

#[test]
fn an_entry_that_comes_or_goes_concerns_its_owner() {
    let mut small = Small::cluster();
    small.pod("a", "p", json!({}));
    let cluster = small.world.config().cluster.clone();
    let marks = |owner: &Owner| cluster.marks(owner);
    let pod = Owner::pod("a", "p");
    let port = small.row(table::SWITCH_PORT, &pod, "port");
    let mut ids = marks(&pod);
    let set = Uuid::from_u128(9);
    ids.insert(crate::owner::ENTRIES_KEY.to_owned(), format!("{set}/10.16.0.2"));
    let row = Row::new().with("external_ids", Datum::map_of_strings(ids));
    small.nb([(table::SWITCH_PORT, port, Some(row))]);
    let shared = |column, value| {
        Some(
            Row::new()
                .with("external_ids", Datum::map_of_strings(marks(&Owner::node("n"))))
                .with(column, value),
        )
    };
    let group = small.row(table::PORT_GROUP, &Owner::node("n"), "pods");
    for (table, uuid, column, element, other) in [
        (table::PORT_GROUP, group, "ports", Datum::uuid(port), Datum::uuid(set)),
        (table::ADDRESS_SET, set, "addresses", Datum::string("10.16.0.2"), Datum::string("10.16.0.3")),
    ] {
        // With the row come its entries: their owners wait for it (see the engine).
        assert!(!has(&small.nb([(table, uuid, shared(column, other.clone()))]), "pod/a/p"), "{column}");
        assert!(
            has(&small.nb([(table, uuid, shared(column, element.union(&other)))]), "pod/a/p"),
            "{column}"
        );
        assert!(!has(&small.nb([(table, uuid, shared(column, element.clone()))]), "pod/a/p"), "{column}");
        assert!(has(&small.nb([(table, uuid, shared(column, other))]), "pod/a/p"), "{column}");
        small.nb([(table, uuid, shared(column, element))]);
        assert!(has(&small.nb([(table, uuid, None)]), "pod/a/p"), "{column}");
    }
    // Such a row's own owner has nothing to do with it.
    small.nb([(table::PORT_GROUP, group, shared("ports", Datum::uuid(set)))]);
    let dirty = small.nb([(table::PORT_GROUP, group, shared("ports", Datum::uuid(port)))]);
    assert!(!has(&dirty, "node/n"));
}

#[test]
fn who_overlaps_a_subnet_is_looked_at_when_its_switch_comes_or_goes() {
    let mut small = tenant();
    small.subnet("late", on_router("10.1.0.0/16"));
    let switch = small.row(table::SWITCH, &Owner::subnet("net2"), "switch");
    let row = Row::clone(small.world.nb().row(table::SWITCH, &switch).unwrap());
    assert!(has(&small.nb([(table::SWITCH, switch, None)]), "subnet/late"));
    assert!(has(&small.nb([(table::SWITCH, switch, Some(row))]), "subnet/late"));
}

#[test]
fn a_subnet_is_looked_at_when_somebodys_switch_of_its_name_comes_or_goes() {
    let mut small = tenant();
    let uuid = Uuid::from_u128(77);
    let theirs = || Row::new().with("name", Datum::string("net2"));
    assert!(has(&small.nb([(table::SWITCH, uuid, Some(theirs()))]), "subnet/net2"));
    let busy = theirs().with("ports", Datum::uuid(Uuid::from_u128(78)));
    assert!(!has(&small.nb([(table::SWITCH, uuid, Some(busy))]), "subnet/net2"));
    assert!(has(&small.nb([(table::SWITCH, uuid, None)]), "subnet/net2"));
}

#[test]
fn pods_are_told_another_mtu_and_only_then() {
    let mut small = tenant();
    let network = Uuid::from_u128(200);
    let ids = |mtu: &'static str, name: &'static str| {
        Datum::map_of_strings([("neutron:network_name", name), ("neutron:mtu", mtu)])
    };
    let mut told = |mtu, name| {
        let dirty = small.change(table::SWITCH, network, |row| row.with("external_ids", ids(mtu, name)));
        has(&dirty, "pod/a/p")
    };
    assert!(told("1300", "shown"));
    assert!(!told("1300", "renamed"));
    assert!(told("1400", "renamed"));
}

#[test]
fn a_subnet_that_overlaps_a_network_of_neutrons_follows_its_name_and_not_its_ports() {
    let mut small = tenant();
    small.subnet("late", on_router("10.0.0.0/16"));
    let network = Uuid::from_u128(200);
    let renamed = [("neutron:network_name", "renamed"), ("neutron:mtu", "1400")];
    let dirty =
        small.change(table::SWITCH, network, |row| row.with("external_ids", Datum::map_of_strings(renamed)));
    assert!(has(&dirty, "subnet/late"));
    let plan = small.plan(&Owner::subnet("late"));
    assert!(plan.problems.iter().any(|it| it.message.contains("\"renamed\"")), "{:?}", plan.problems);
    let dirty =
        small.change(table::SWITCH, network, |row| row.with("ports", Datum::uuid(Uuid::from_u128(5))));
    assert!(now(&dirty).is_empty(), "{dirty:?}");
}

#[test]
fn a_subnet_that_goes_is_looked_at_when_a_port_leaves_its_switch() {
    let leave = |change: fn(&mut Small)| {
        let mut small = tenant();
        change(&mut small);
        small.gone("Pod", "a/p");
        small.stand(&Owner::pod("a", "p"))
    };
    assert!(!has(&leave(|_| ()), "subnet/net2"), "ports come and go all the time");
    let going = leave(|small| {
        let meta = json!({ "name": "net2", "deletionTimestamp": "2026-01-01T00:00:00Z" });
        small.object("Subnet", json!({ "metadata": meta, "spec": on_router("10.1.0.0/24") }));
    });
    assert!(has(&going, "subnet/net2"));
    assert!(has(&leave(|small| drop(small.gone("Subnet", "net2"))), "subnet/net2"));
    assert!(has(&leave(|small| small.world.config_mut().leaving = true), "subnet/net2"));
}

#[test]
fn who_hangs_on_a_row_is_looked_at_when_somebody_takes_it_off() {
    let mut small = tenant();
    let switch = small.row(table::SWITCH, &Owner::subnet("net2"), "switch");
    let without = |row: Row, column: &'static str, child: Uuid| {
        let kept = row.get(column).unwrap().difference(&Datum::uuid(child));
        row.with(column, kept)
    };
    let port = small.row(table::SWITCH_PORT, &Owner::pod("a", "p"), "port");
    assert!(has(&small.change(table::SWITCH, switch, |row| without(row, "ports", port)), "pod/a/p"));
    let router = crate::world::vpc_kind::served(&small.world, ROUTER).unwrap().0;
    let port = small.row(table::ROUTER_PORT, &Owner::subnet("net2"), &format!("port/{ROUTER}"));
    assert!(has(&small.change(table::ROUTER, router, |row| without(row, "ports", port)), "subnet/net2"));
    let router = small.row(table::ROUTER, &Owner::vpc("ovn-cluster"), "router");
    let policy = small.row(table::POLICY, &Owner::subnet("ovn-default"), "allow/ip4");
    let dirty = small.change(table::ROUTER, router, |row| without(row, "policies", policy));
    assert!(has(&dirty, "subnet/ovn-default") && !has(&dirty, "subnet/join"));
    // What comes to hang there is its own owner's business.
    let dirty = small.change(table::SWITCH, switch, |row| row.with("ports", Datum::uuid(Uuid::from_u128(5))));
    assert!(!has(&dirty, "pod/a/p"));
}

#[test]
fn deletions_that_left_rows_behind_are_remembered_however_many_come() {
    // invariant 4; on a standby nobody takes them out
    let mut small = tenant();
    small.world.mark_deleted(Owner::pod("a", "p"));
    for number in 0..5_000 {
        small.world.mark_deleted(Owner::pod("b", &number.to_string()));
    }
    assert!(small.world.is_seen_deleted(&Owner::pod("a", "p")));
    assert!(small.world.deletions_seen() <= 1_025, "{}", small.world.deletions_seen());
    small.gone("Pod", "a/p");
    assert!(small.plan(&Owner::pod("a", "p")).explained);
}

#[test]
fn a_switch_that_doesnt_say_its_network_has_that_of_its_router_port() {
    // Made by an earlier version; the user has changed the wish since, while nobody looked (invariant 11).
    let mut small = tenant();
    let switch = small.row(table::SWITCH, &Owner::subnet("net2"), "switch");
    let row = Row::clone(small.world.nb().row(table::SWITCH, &switch).unwrap());
    let mut ids = row.get("external_ids").unwrap().str_map();
    ids.remove(SPEC_KEY);
    small.nb([(table::SWITCH, switch, None)]);
    small.gone("Subnet", "net2");
    small.subnet("net2", on_router("10.9.0.0/24"));
    small.nb([(table::SWITCH, switch, Some(row.with("external_ids", Datum::map_of_strings(ids))))]);
    let established = small.world.established("net2").unwrap();
    assert_eq!((&*established.spec.cidr_block, &*established.spec.gateway), ("10.1.0.0/24", "10.1.0.1"));
    assert_eq!(small.world.pool("net2").unwrap().cidr().to_string(), "10.1.0.0/24");
    // Where the port bears another gateway than the first address, that is the one.
    let port = small.row(table::ROUTER_PORT, &Owner::subnet("net2"), &format!("port/{ROUTER}"));
    small.change(table::ROUTER_PORT, port, |row| {
        row.with("networks", Datum::set_of_strings(["10.1.0.254/24"]))
    });
    assert_eq!(small.world.established("net2").unwrap().spec.gateway, "10.1.0.254");
}

#[test]
fn a_vpc_reports_its_router_at_leisure_and_a_new_router_is_shown_at_once() {
    let mut small = tenant();
    let network = |small: &mut Small, address: &'static str| small.router(&[("neutron-net", address)]);
    let dirty = network(&mut small, "10.0.0.9/24");
    assert!(dirty.paced.contains(&Owner::vpc(ROUTER)) && !has(&dirty, "vpc/neutron-r"));
    let default = small.row(table::ROUTER, &Owner::vpc("ovn-cluster"), "router");
    let dirty = small.change(table::ROUTER, default, |row| row.with("ports", Datum::empty_set()));
    assert!(dirty.paced.contains(&Owner::vpc("ovn-cluster")));
    small.gone("Vpc", ROUTER);
    assert!(has(&network(&mut small, "10.0.0.1/24"), "vpc/neutron-r"));
}

#[test]
fn subnets_are_looked_at_when_a_route_of_their_router_comes_or_goes_and_not_for_less() {
    let mut small = tenant();
    let router = crate::world::vpc_kind::served(&small.world, ROUTER).unwrap().0;
    let route = Uuid::from_u128(300);
    let row = Row::new().with("ip_prefix", Datum::string("10.1.0.9/32"));
    small.nb([(table::STATIC_ROUTE, route, Some(row.with("nexthop", Datum::string("10.0.0.9"))))]);
    let mut routed = |routes: Datum| {
        let dirty = small.change(table::ROUTER, router, |row| row.with("static_routes", routes));
        has(&dirty, "subnet/net2")
    };
    assert!(routed(Datum::uuid(route)));
    assert!(routed(Datum::empty_set()));
    // A port of Neutron's beside it says nothing of its network.
    assert!(!has(&small.router(&[("neutron-net", "10.0.0.9/24")]), "subnet/net2"));
}
