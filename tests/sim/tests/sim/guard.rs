//! Canaries: the guard of foreign rows catches what it is there to catch, in each table, and lets our own work pass.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tombolo_ovsdb::{Datum, Mutation, Name, Op, Row, Txn, Uuid};
use tombolo_plan::nb::table;
use tombolo_plan::owner::Owner;
use tombolo_tests_sim::guard::Guard;
use tombolo_tests_sim::nb::Server;
use tombolo_tests_sim::neutron::row_uuid;
use tombolo_tests_sim::situations::{NETWORK, PORT, ROUTER, document};
use tombolo_tests_sim::{Neutron, config};

/// The document's database with a gateway, and rows of Neutron's in many tables.
fn database() -> (Server, Guard) {
    let mut sim = document();
    Neutron(&mut sim).network("external", "public", 1500);
    Neutron(&mut sim).gateway(ROUTER, "external", "gw", "203.0.113.7/24", "192.168.1.0/24");
    sim.converge();
    let server = sim.nb().clone();
    let guard = Guard::new(&config().cluster, server.rows());
    (server, guard)
}

/// Whether the guard lets a transaction of ours pass, at the commit and when all is at rest.
fn passes(ops: Vec<Op>) -> bool {
    let (mut server, guard) = database();
    let (result, changes) = server.execute(&Txn::new(ops.clone()));
    assert!(result.is_ok() && !changes.is_empty(), "{ops:?}: {result:?}");
    let commit = catch_unwind(AssertUnwindSafe(|| guard.check_commit(server.rows(), &changes))).is_ok();
    let rest = catch_unwind(AssertUnwindSafe(|| guard.check_all(server.rows()))).is_ok();
    assert_eq!(commit, rest, "the two checks disagree on {ops:?}");
    commit
}

fn marked(owner: &Owner) -> Row {
    Row::new().with("external_ids", Datum::map_of_strings(config().cluster.marks(owner)))
}

#[test]
fn a_change_of_any_foreign_row_is_caught() {
    // invariant 1
    let (server, _) = database();
    let key = tombolo_plan::owner::CLUSTER_KEY;
    let mut tables = std::collections::BTreeSet::new();
    for (name, rows) in server.rows().tables() {
        for (uuid, row) in rows.iter().filter(|(_, row)| row.key("external_ids", key).is_none()) {
            tables.insert(name);
            let column: Name = ["external_ids", "match", "name", "chassis_name"]
                .into_iter()
                .find(|column| row.get(column).is_some())
                .expect("a column to write");
            let op = if column == "external_ids" {
                Op::mutate(name, uuid, Mutation::set_keys(column, [("tombolo.io/mark", "1")]))
            } else {
                Op::update(name, uuid, Row::new().with(column, Datum::string("changed")))
            };
            assert!(!passes(vec![op]), "{name} {uuid}");
            if server.is_root(name) {
                assert!(!passes(vec![Op::delete(name, uuid)]), "{name} {uuid}");
            }
        }
    }
    for name in [
        table::ROUTER,
        table::ROUTER_PORT,
        table::SWITCH,
        table::SWITCH_PORT,
        table::STATIC_ROUTE,
        table::PORT_GROUP,
        "ACL",
        "NAT",
        "Gateway_Chassis",
    ] {
        assert!(tables.contains(name), "no foreign row of {name} was tried");
    }
}

#[test]
fn edges_on_a_foreign_router_are_ours_only_for_rows_of_ours() {
    // invariant 1
    let router = row_uuid(table::ROUTER, ROUTER);
    let (port, policy, route) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
    let owner = Owner::subnet("net2");
    let lrp = marked(&owner)
        .with("name", Datum::string("mine"))
        .with("networks", Datum::set_of_strings(["12.0.9.1/24"]));
    let insert = |table: Name, uuid: Uuid, row: &Row| Op::insert(table, uuid, row.clone());
    assert!(passes(vec![
        insert(table::ROUTER_PORT, port, &lrp),
        Op::add_edge(table::ROUTER, router, "ports", port)
    ]));
    let rule = marked(&owner).with("match", Datum::string("ip4"));
    let rule = rule.with("action", Datum::string("allow"));
    assert!(passes(vec![
        insert(table::POLICY, policy, &rule),
        Op::add_edge(table::ROUTER, router, "policies", policy)
    ]));
    // A route is never ours to hang there (invariant 3).
    let way = marked(&owner)
        .with("ip_prefix", Datum::string("0.0.0.0/0"))
        .with("nexthop", Datum::string("1.1.1.1"));
    assert!(!passes(vec![
        insert(table::STATIC_ROUTE, route, &way),
        Op::add_edge(table::ROUTER, router, "static_routes", route)
    ]));
    // Neither is an unmarked port, nor Neutron's own.
    let unmarked = Row::new().with("name", Datum::string("mine"));
    assert!(!passes(vec![
        insert(table::ROUTER_PORT, port, &unmarked),
        Op::add_edge(table::ROUTER, router, "ports", port)
    ]));
    assert!(!passes(vec![Op::remove_edge(
        table::ROUTER,
        router,
        "ports",
        row_uuid(table::ROUTER_PORT, PORT)
    )]));
    // A port of ours on Neutron's switch isn't either.
    let lsp = marked(&Owner::pod("a", "p")).with("name", Datum::string("p.a"));
    let switch = row_uuid(table::SWITCH, NETWORK);
    assert!(!passes(vec![
        insert(table::SWITCH_PORT, port, &lsp),
        Op::add_edge(table::SWITCH, switch, "ports", port)
    ]));
}

#[test]
fn a_row_without_our_marks_is_caught() {
    // invariant 2
    let unmarked = Row::new().with("name", Datum::string("somebodys"));
    assert!(!passes(vec![Op::insert(table::SWITCH, Uuid::from_u128(9), unmarked)]));
    let mine = marked(&Owner::subnet("s")).with("name", Datum::string("s"));
    assert!(passes(vec![Op::insert(table::SWITCH, Uuid::from_u128(9), mine)]));
}
