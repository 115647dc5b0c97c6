//! What a node keeps, and what it shares with nobody.

use serde_json::{Value, json};
use tombolo_ovsdb::Datum;

use super::small::{Small, reasons};
use crate::desired::{Managed, Verb};
use crate::nb::table;
use crate::{Owner, Plan};

fn node(small: &mut Small, name: &str, annotations: Value) -> Plan {
    small.object("Node", json!({ "metadata": { "name": name, "annotations": annotations } }));
    small.plan(&Owner::node(name))
}

/// An IP object of a node's.
fn ip(small: &mut Small, node: &str, address: &str, marks: Value) {
    small.object(
        "IP",
        json!({
            "metadata": { "name": format!("node-{node}"), "annotations": marks },
            "spec": {
                "podName": node, "nodeName": node, "subnet": "join", "ipAddress": address,
                "macAddress": format!("02:00:00:00:01:{}", &address[address.len() - 2..]),
            },
        }),
    );
}

fn ours() -> Value {
    json!({ "tombolo.io/epoch": "1" })
}

/// The name of a node's port group, as its plan has it.
fn group(small: &Small, name: &str) -> String {
    let plan = small.plan(&Owner::node(name));
    let rows = plan.rows().unwrap().rows.clone();
    let row = rows.iter().find(|row| row.table == table::PORT_GROUP).unwrap();
    let Managed::Whole(name) = &row.columns["name"] else { panic!("{row:?}") };
    Datum::as_str(name).unwrap().to_owned()
}

#[test]
fn a_node_gets_back_the_address_it_was_told_if_nobody_else_has_it() {
    let mut small = Small::cluster();
    ip(&mut small, "other", "100.64.0.20", ours());
    let mut asked = |address: &str| {
        let plan = node(&mut small, "n", json!({ "ovn.kubernetes.io/ip_address": address }));
        plan.address().unwrap().addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    };
    assert_eq!(asked("100.64.0.30"), "100.64.0.30");
    assert_eq!(asked("100.64.0.20"), "", "another node has it");
    assert_eq!(asked("10.9.9.9"), "", "the join network was another one");
}

#[test]
fn a_node_waits_for_the_router_that_an_operator_deleted() {
    // `ovn-nbctl lr-del ovn-cluster`: the node's policies hang on it, and the Vpc brings it back.
    let mut small = Small::cluster();
    ip(&mut small, "n", "100.64.0.30", ours());
    let plan = node(&mut small, "n", json!({}));
    assert!(plan.rows().is_some() && plan.waits_for.is_none());
    let vpc = Owner::vpc("ovn-cluster");
    let router = small.row(table::ROUTER, &vpc, "router");
    small.nb([(table::ROUTER, router, None)]);
    let plan = small.plan(&Owner::node("n"));
    assert_eq!((plan.rows(), &plan.waits_for), (None, &Some(vpc)));
}

#[test]
fn two_nodes_whose_groups_would_have_one_name_get_two() {
    let both = || {
        let mut small = Small::cluster();
        for (name, address) in [("a-b", "100.64.0.21"), ("a.b", "100.64.0.22")] {
            node(&mut small, name, json!({}));
            ip(&mut small, name, address, ours());
        }
        small
    };
    // At once: the first one by name has the plain one.
    let mut small = both();
    let own = group(&small, "a.b");
    assert_eq!(group(&small, "a-b"), "node.a.b");
    assert!(own.starts_with("node.a.b.") && own.len() > "node.a.b.".len(), "{own}");
    // Whichever stands keeps it, and the other one is told apart.
    small.stand(&Owner::node("a-b"));
    assert_eq!((group(&small, "a-b"), group(&small, "a.b")), ("node.a.b".to_owned(), own));
    let mut small = both();
    small.gone("Node", "a-b");
    small.stand(&Owner::node("a.b"));
    node(&mut small, "a-b", json!({}));
    assert_eq!(group(&small, "a.b"), "node.a.b");
    assert!(group(&small, "a-b").starts_with("node.a.b."));
    // A node alone has it in any case.
    let mut small = Small::cluster();
    node(&mut small, "c-d", json!({}));
    node(&mut small, "a", json!({}));
    ip(&mut small, "c-d", "100.64.0.23", ours());
    assert_eq!(group(&small, "c-d"), "node.c.d");
}

#[test]
fn an_address_that_is_anothers_is_given_up_unless_a_port_or_a_user_has_it() {
    // invariant 5
    let gives_up = |marks: Value, stands: bool| {
        let mut small = Small::cluster();
        node(&mut small, "n", json!({}));
        if stands {
            ip(&mut small, "n", "100.64.0.20", marks.clone());
            small.stand(&Owner::node("n"));
        }
        ip(&mut small, "other", "100.64.0.21", ours());
        ip(&mut small, "n", "100.64.0.21", marks);
        let plan = small.plan(&Owner::node("n"));
        assert_eq!(reasons(&plan), ["AcquireAddressFailed"]);
        plan.first_writes().iter().any(|intent| intent.verb == Verb::Delete)
    };
    assert!(gives_up(ours(), false));
    assert!(!gives_up(ours(), true));
    assert!(!gives_up(json!({}), false));
    assert!(!gives_up(json!({}), true));
}
