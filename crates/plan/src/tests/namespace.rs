//! Where the pods of a namespace go (invariants 11, 12).

use serde_json::{Value, json};
use tombolo_ovsdb::{Datum, Row};

use super::small::{ROUTER, Small, body, reasons};
use crate::Owner;
use crate::namespace::choose;
use crate::nb::table;
use crate::world::SPEC_KEY;

/// A cluster whose namespace `a` is in the Vpc of Neutron's router, with a Subnet there for each of these names.
fn tenants(names: &[&str]) -> Small {
    let mut small = Small::with_router();
    for (number, name) in names.iter().enumerate() {
        small.subnet(name, spec(number));
        small.stand(&Owner::subnet(name));
    }
    small
}

fn spec(number: usize) -> Value {
    json!({ "vpc": ROUTER, "cidrBlock": format!("10.{number}.0.0/24"), "namespaces": ["a"] })
}

#[test]
fn the_default_subnet_of_a_vpc_comes_first_and_each_once() {
    let mut small = tenants(&["net1", "net2", "net3"]);
    assert_eq!(choose(&small.world, "a").usable, ["net1", "net2", "net3"]);
    small.vpc(ROUTER, json!({ "namespaces": ["a"], "defaultSubnet": "net2" }));
    assert_eq!(choose(&small.world, "a").usable, ["net2", "net1", "net3"]);
    // One of another Vpc is none of this Vpc's to give.
    small.vpc(ROUTER, json!({ "namespaces": ["a"], "defaultSubnet": "ovn-default" }));
    assert_eq!(choose(&small.world, "a").usable, ["net1", "net2", "net3"]);
    assert_eq!(reasons(&small.plan(&Owner::namespace("a"))), ["DefaultSubnetOfAnotherVpc"]);
}

#[test]
fn pods_wait_for_a_switch_that_is_lost() {
    let mut small = tenants(&["net1"]);
    let switch = small.row(table::SWITCH, &Owner::subnet("net1"), "switch");
    let row = Row::clone(small.world.nb().row(table::SWITCH, &switch).unwrap());
    small.nb([(table::SWITCH, switch, None)]);
    let choice = choose(&small.world, "a");
    assert_eq!((choice.usable, choice.waits_for), (vec![], Some(Owner::subnet("net1"))));
    small.nb([(table::SWITCH, switch, Some(row))]);
    assert_eq!(choose(&small.world, "a").usable, ["net1"]);
}

#[test]
fn a_switch_that_says_nothing_readable_serves_nobody() {
    // It bears our marks, and a spec of another version's or somebody's making.
    let mut small = Small::with_router();
    let marks = small.world.config().cluster.marks(&Owner::subnet("net1"));
    let ids = marks.into_iter().chain([(SPEC_KEY.to_owned(), "{".to_owned())]);
    let row = Row::new().with("name", Datum::string("net1")).with("external_ids", Datum::map_of_strings(ids));
    small.nb([(table::SWITCH, small.row(table::SWITCH, &Owner::subnet("net1"), "switch"), Some(row))]);
    small.subnet("net1", spec(1));
    let choice = choose(&small.world, "a");
    assert_eq!((choice.usable, choice.waits_for), (vec![], Some(Owner::subnet("net1"))));
}

#[test]
fn only_a_verdict_on_the_present_spec_is_told_as_a_reason() {
    let mut small = Small::with_router();
    let mut refused = |status: &str, observed: Value| {
        let ready = json!({ "type": "Ready", "status": status, "reason": "R", "message": "words", "observedGeneration": observed });
        let object = json!({
            "metadata": { "name": "net1", "generation": 2 }, "spec": spec(1), "status": { "conditions": [ready] },
        });
        small.object("Subnet", object);
        let choice = choose(&small.world, "a");
        assert!(choice.usable.is_empty());
        choice.refused.iter().any(|it| it.message.contains("words"))
    };
    assert!(refused("False", json!(2)) && refused("False", Value::Null));
    assert!(!refused("False", json!(1)), "what was wrong with the last one");
    assert!(!refused("True", json!(2)));
}

#[test]
fn pods_arent_told_of_a_subnet_that_merely_selects_their_namespace() {
    let mut small = tenants(&["net1"]);
    small.namespace("b", json!({ "team": "x" }));
    let told = |small: &Small| {
        let choice = choose(&small.world, "b");
        let words = |all: Vec<crate::Problem>| {
            all.into_iter().map(|it| it.reason.as_str()).collect::<Vec<_>>().join(",")
        };
        (words(choice.refused), words(choice.unselected), choice.usable.join(","))
    };
    let selecting = |namespaces: Value| {
        let selectors = json!([{ "matchLabels": { "team": "x" } }]);
        json!({ "vpc": ROUTER, "cidrBlock": "10.0.0.0/24", "namespaces": namespaces, "namespaceSelectors": selectors })
    };
    small.subnet("net1", selecting(json!(["a"])));
    small.stand(&Owner::subnet("net1"));
    // The Vpc doesn't have it, so its pods are elsewhere, and the namespace is told.
    assert_eq!(told(&small), (String::new(), "NamespaceNotInVpc".to_owned(), "ovn-default".to_owned()));
    assert_eq!(reasons(&small.plan(&Owner::namespace("b"))), ["NamespaceNotInVpc"]);
    small.vpc(ROUTER, json!({ "namespaces": ["a", "b"] }));
    assert_eq!(told(&small), (String::new(), String::new(), "net1".to_owned()));
    // Listed by name, both would be wrong elsewhere.
    small.subnet("net1", selecting(json!(["a", "b"])));
    small.stand(&Owner::subnet("net1"));
    small.vpc(ROUTER, json!({ "namespaces": ["a"] }));
    assert_eq!(told(&small), ("NamespaceNotInVpc".to_owned(), String::new(), String::new()));
}

#[test]
fn a_typing_error_in_the_vpc_of_a_subnet_lets_no_pod_onto_the_default_one() {
    // invariant 12: what stands is a tenant's, whatever the wish says by now.
    let mut small = tenants(&["net1"]);
    small.vpc(ROUTER, json!({}));
    small.subnet("net1", json!({ "vpc": "nuetron-r", "cidrBlock": "10.0.0.0/24", "namespaces": ["a"] }));
    assert!(choose(&small.world, "a").usable.is_empty());
    // A Subnet of the default Vpc binds nobody.
    small.namespace("b", json!({}));
    small.subnet("s", json!({ "cidrBlock": "10.30.0.0/24", "namespaces": ["b"] }));
    small.stand(&Owner::subnet("s"));
    assert!(!crate::tenancy::bound(&small.world, "b"));
    assert!(crate::tenancy::bound(&small.world, "a"));
}

#[test]
fn a_namespace_keeps_what_it_was_told_as_long_as_all_of_it_is_known() {
    let patches = |told: &str| {
        let mut small = Small::with_router();
        let meta = json!({ "name": "a", "annotations": { "ovn.kubernetes.io/logical_switch": told } });
        small.object("Namespace", json!({ "metadata": meta }));
        let plan = small.plan(&Owner::namespace("a"));
        plan.last_writes()
            .iter()
            .map(|intent| body(intent)["metadata"]["annotations"].clone())
            .collect::<Vec<_>>()
    };
    // Its Vpc has no Subnet any more; the networks of those it was told of may have changed.
    let known = patches("ovn-default,join");
    assert_eq!(known[0]["ovn.kubernetes.io/cidr"], "10.16.0.0/16;100.64.0.0/16");
    // A list that is shorter than that of the names would say a wrong network of each.
    assert!(patches("ovn-default,gone").is_empty());
    assert!(patches("gone").is_empty());
}
