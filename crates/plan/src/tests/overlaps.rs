//! Whose place a network is, and what stays of it (invariants 3, 11).

use serde_json::{Value, json};
use tombolo_ovsdb::Datum;

use super::small::{ROUTER, Small, ready, reasons, tables};
use crate::nb::table;
use crate::{Owner, Plan};

fn on_router(cidr: &str) -> Value {
    json!({ "vpc": ROUTER, "cidrBlock": cidr })
}

fn plan(small: &Small, name: &str) -> Plan {
    small.plan(&Owner::subnet(name))
}

/// Nothing stands in the way of the Subnet.
fn is_served(small: &Small, name: &str) -> bool {
    let plan = plan(small, name);
    plan.problems.is_empty() && plan.rows().is_some()
}

/// Who is in the way, by the words of the plan.
fn conflicts(small: &Small, name: &str, with: &str) -> bool {
    let plan = plan(small, name);
    reasons(&plan).contains(&"CidrConflict") && plan.problems.iter().any(|it| it.message.contains(with))
}

#[test]
fn of_two_that_come_at_once_the_older_one_gets_the_network_and_the_other_is_told() {
    for (older, younger) in [("s1", "s2"), ("s2", "s1")] {
        let mut small = Small::with_router();
        small.subnet_of(1, older, on_router("10.0.0.0/24"));
        small.subnet_of(2, younger, on_router("10.0.0.0/16"));
        assert!(is_served(&small, older), "{older}");
        assert!(conflicts(&small, younger, &format!("Subnet {older}")), "{younger}");
        assert_eq!(plan(&small, younger).rows(), None);
    }
    // Of the same age, the names decide: each of both must come to the same.
    let mut small = Small::with_router();
    small.subnet_of(1, "s2", on_router("10.0.0.0/24"));
    small.subnet_of(1, "s1", on_router("10.0.0.0/24"));
    assert!(is_served(&small, "s1") && conflicts(&small, "s2", "Subnet s1"));
}

#[test]
fn what_stands_comes_before_an_older_wish() {
    // invariant 11
    let mut small = Small::with_router();
    small.subnet_of(2, "s1", on_router("10.0.0.0/24"));
    small.stand(&Owner::subnet("s1"));
    small.subnet_of(1, "s2", on_router("10.0.0.0/16"));
    assert!(is_served(&small, "s1"));
    assert!(conflicts(&small, "s2", "Subnet s1"));
    // Its port went with the router, its switch and its pods are there: it is the first to come back.
    small.without_router();
    small.router(&[]);
    assert!(is_served(&small, "s1"));
    assert!(conflicts(&small, "s2", "Subnet s1"));
}

#[test]
fn of_two_whose_ports_stand_both_the_older_one_stays() {
    let mut small = Small::with_router();
    small.subnet_of(1, "s2", on_router("10.0.0.0/24"));
    small.stand(&Owner::subnet("s2"));
    small.subnet_of(2, "s1", on_router("10.1.0.0/24"));
    small.stand(&Owner::subnet("s1"));
    let port = small.row(table::ROUTER_PORT, &Owner::subnet("s1"), &format!("port/{ROUTER}"));
    small
        .change(table::ROUTER_PORT, port, |row| row.with("networks", Datum::set_of_strings(["10.0.0.1/24"])));
    small.subnet_of(2, "s1", on_router("10.0.0.0/24"));
    assert!(is_served(&small, "s2"));
    assert!(conflicts(&small, "s1", "Subnet s2"));
}

#[test]
fn a_wish_that_is_refused_is_in_nobodys_way() {
    // by itself
    let mut small = Small::with_router();
    small.subnet_of(1, "s1", json!({ "vpc": ROUTER, "cidrBlock": "10.0.0.0/16", "natOutgoing": true }));
    small.subnet_of(2, "s2", on_router("10.0.0.0/24"));
    assert!(is_served(&small, "s2"));
    // for the port of a third
    let mut small = Small::with_router();
    small.subnet_of(3, "s3", on_router("10.0.9.0/24"));
    small.stand(&Owner::subnet("s3"));
    small.subnet_of(1, "s1", on_router("10.0.0.0/16"));
    small.subnet_of(2, "s2", on_router("10.0.0.0/24"));
    assert!(conflicts(&small, "s1", "Subnet s3"));
    assert!(is_served(&small, "s2"));
    // for the pods that it would cut off
    let mut small = Small::with_router();
    small.subnet_of(1, "s1", on_router("10.7.0.0/24"));
    small.stand(&Owner::subnet("s1"));
    small.ip("a", "p", "s1", "10.7.0.9");
    small.subnet_of(1, "s1", on_router("10.0.0.0/16"));
    assert!(reasons(&plan(&small, "s1")).contains(&"InUse"));
    small.subnet_of(2, "s2", on_router("10.0.0.0/24"));
    assert!(is_served(&small, "s2"));
}

#[test]
fn who_grows_or_moves_comes_before_younger_wishes() {
    // Its own port is no third one's.
    let mut small = Small::with_router();
    small.subnet_of(1, "s1", on_router("10.0.0.0/24"));
    small.stand(&Owner::subnet("s1"));
    small.subnet_of(1, "s1", on_router("10.0.0.0/16"));
    small.subnet_of(2, "s2", on_router("10.0.1.0/24"));
    assert!(is_served(&small, "s1"));
    assert!(conflicts(&small, "s2", "Subnet s1"));
    // What s1 stands on keeps s2 out; where s1 moves, it still would: s2 is older and comes first.
    let mut small = Small::with_router();
    small.subnet_of(2, "s1", on_router("10.0.0.0/24"));
    small.stand(&Owner::subnet("s1"));
    small.subnet_of(1, "s2", on_router("10.9.0.0/24"));
    small.stand(&Owner::subnet("s2"));
    small.subnet_of(1, "s2", on_router("10.0.0.0/23"));
    small.subnet_of(2, "s1", on_router("10.0.1.0/24"));
    assert!(conflicts(&small, "s1", "Subnet s2"));
}

#[test]
fn a_second_router_of_the_same_name_takes_no_port_away() {
    // Nobody can say which of both is meant, and the port stands on one of them (invariant 4).
    let mut small = Small::with_router();
    let labels = json!({ "ovn.kubernetes.io/vpc_external": "true" });
    small.object("Vpc", json!({ "metadata": { "name": ROUTER, "labels": labels }, "spec": {} }));
    small.subnet("s1", on_router("10.0.0.0/24"));
    small.stand(&Owner::subnet("s1"));
    let twin = small.world.nb().rows(table::ROUTER).find(|(_, row)| row.str("name") == Some(ROUTER));
    let twin = twin.map(|(_, row)| tombolo_ovsdb::Row::clone(row)).unwrap().with("ports", Datum::empty_set());
    let twins = tombolo_ovsdb::Uuid::from_u128(2);
    small.nb([(table::ROUTER, twins, Some(twin))]);
    assert_eq!(tables(&plan(&small, "s1")), None);
    // A router that is gone took the port along: the switch is what is left, for pods to keep their addresses.
    small.nb([(table::ROUTER, twins, None)]);
    small.without_router();
    let lost = plan(&small, "s1");
    assert_eq!((tables(&lost), lost.explained), (Some(vec![table::SWITCH]), true));
}

#[test]
fn the_rows_of_a_subnet_go_by_its_users_word_only() {
    // invariant 4
    let mut small = Small::with_router();
    small.subnet("s1", on_router("10.0.0.0/24"));
    small.stand(&Owner::subnet("s1"));
    let going = json!({ "name": "s1", "deletionTimestamp": "2026-01-01T00:00:00Z" });
    small.object("Subnet", json!({ "metadata": going, "spec": on_router("10.0.0.0/24") }));
    let terminating = plan(&small, "s1");
    assert_eq!((tables(&terminating), terminating.explained), (Some(vec![]), true));
    small.gone("Subnet", "s1");
    let unseen = plan(&small, "s1");
    assert_eq!((tables(&unseen), unseen.explained), (Some(vec![]), false));
    small.world.mark_deleted(Owner::subnet("s1"));
    assert!(plan(&small, "s1").explained);
}

#[test]
fn a_network_can_shrink_to_what_is_in_use_and_no_further() {
    // invariant 11
    let mut small = Small::with_router();
    small.subnet("s1", on_router("10.0.0.0/24"));
    small.stand(&Owner::subnet("s1"));
    small.ip("a", "low", "s1", "10.0.0.9");
    small.ip("a", "high", "s1", "10.0.0.200");
    small.subnet("s1", on_router("10.0.0.0/25"));
    let refused = plan(&small, "s1");
    assert_eq!(reasons(&refused), ["InUse"]);
    assert!(refused.problems[0].message.contains("(10.0.0.200 of high.a)"), "{:?}", refused.problems);
    small.gone("IP", "high.a");
    assert!(is_served(&small, "s1"));
    for network in ["10.0.0.0/24", "10.0.0.0/23"] {
        small.subnet("s1", on_router(network));
        assert!(is_served(&small, "s1"), "{network}");
    }
}

#[test]
fn three_holders_are_named_and_that_there_are_more() {
    let mut small = Small::with_router();
    small.subnet("s1", on_router("10.0.0.0/24"));
    small.stand(&Owner::subnet("s1"));
    let message = |small: &mut Small| {
        small.subnet("s1", on_router("10.1.0.0/24"));
        plan(small, "s1").problems[0].message.clone()
    };
    for last in 11..14 {
        small.ip("a", &format!("p{last}"), "s1", &format!("10.0.0.{last}"));
    }
    let three = message(&mut small);
    assert!(three.contains("p13.a") && !three.contains("and others"), "{three}");
    small.ip("a", "p14", "s1", "10.0.0.14");
    let four = message(&mut small);
    assert!(four.contains("p13.a, and others") && !four.contains("p14"), "{four}");
}

#[test]
fn what_a_subnet_goes_without_doesnt_make_it_unready_once_it_stands() {
    let mut small = Small::with_router();
    let annotations = json!({ "ovn.kubernetes.io/bgp": "true" });
    let meta = json!({ "name": "s1", "annotations": annotations });
    small.object("Subnet", json!({ "metadata": meta, "spec": on_router("10.0.0.0/24") }));
    let not_yet = ("False".to_owned(), "NotSupportedYet".to_owned());
    assert_eq!(ready(&plan(&small, "s1")), not_yet);
    small.stand(&Owner::subnet("s1"));
    assert_eq!(ready(&plan(&small, "s1")), ("True".to_owned(), not_yet.1));
}
