//! One owner's rows against small databases. The invariants that are proved here are numbered in ARCHITECTURE.md.

mod entries;
mod taken_over;

use std::collections::BTreeMap;

use tombolo_ovsdb::{Condition, Datum, Mutation, Name, Op, Replica, Row, Schema, Uuid};
use tombolo_plan::desired::{DesiredRow, Edge, Managed, Rows};
use tombolo_plan::nb::{self, table};
use tombolo_plan::owner::{ClusterId, OWNER_KEY, Owner, PARENT_KEY};

use super::*;

const SWITCH: Uuid = Uuid::from_u128(1);
const PORT: Uuid = Uuid::from_u128(2);
const GROUP: Uuid = Uuid::from_u128(3);
const ROUTER: Uuid = Uuid::from_u128(4);

fn cluster() -> ClusterId {
    ClusterId::new("c1").unwrap()
}

fn replica() -> Replica {
    let schema = Schema::parse(tombolo_ovn::nb::SCHEMA).unwrap();
    Replica::new(&nb::wanted(&cluster()).intersect(&schema), &nb::indexes())
}

fn marks(owner: &Owner) -> Datum {
    Datum::map_of_strings(cluster().marks(owner))
}

fn named(name: &str) -> Row {
    Row::new().with("name", Datum::string(name))
}

fn ours(name: &str, owner: &Owner) -> Row {
    named(name).with("external_ids", marks(owner))
}

/// A pod's port on a switch, with what it hangs on.
fn port(owner: &Owner, parent: Uuid) -> Row {
    let mut ids = cluster().marks(owner);
    ids.insert(PARENT_KEY.to_owned(), parent.to_string());
    named("p.a").with("external_ids", Datum::map_of_strings(ids))
}

fn desired(table: Name, uuid: Uuid, owner: &Owner, columns: &[(Name, Managed)]) -> DesiredRow {
    let mut all: BTreeMap<Name, Managed> = columns.iter().cloned().collect();
    all.insert("external_ids", Managed::Keys(cluster().marks(owner)));
    DesiredRow { table, uuid, columns: all, edges: Vec::new() }
}

fn text(value: &str) -> Managed {
    Managed::Whole(Datum::string(value))
}

fn rows(rows: impl Into<Vec<DesiredRow>>) -> Rows {
    Rows { rows: rows.into(), ..Rows::default() }
}

fn run(nb: &Replica, owner: &Owner, rows: &Rows) -> Result<Group, Refusal> {
    diff(nb, &cluster(), owner, rows)
}

#[test]
fn nothing_to_do_is_nothing_done() {
    // invariant 9
    let (mut nb, owner) = (replica(), Owner::subnet("s"));
    assert!(run(&nb, &owner, &Rows::none()).unwrap().is_empty());
    nb.put(table::SWITCH, SWITCH, Some(ours("s", &owner)));
    let wanted = rows([desired(table::SWITCH, SWITCH, &owner, &[("name", text("s"))])]);
    assert!(run(&nb, &owner, &wanted).unwrap().is_empty());
}

#[test]
fn only_managed_columns_and_keys_are_written() {
    // invariant 1: what others wrote on a row of ours stays
    let (mut nb, owner) = (replica(), Owner::subnet("s"));
    let other = Datum::map_of_strings([("mcast_snoop", "false"), ("mine", "old")]);
    nb.put(table::SWITCH, SWITCH, Some(ours("before", &owner).with("other_config", other)));
    let keys = Managed::Keys(BTreeMap::from([("mine".to_owned(), "new".to_owned())]));
    let wanted =
        rows([desired(table::SWITCH, SWITCH, &owner, &[("name", text("s")), ("other_config", keys)])]);
    let group = run(&nb, &owner, &wanted).unwrap();
    assert_eq!(
        group.ops,
        [
            Op::update(table::SWITCH, SWITCH, named("s")),
            Op::mutate(table::SWITCH, SWITCH, Mutation::set_keys("other_config", [("mine", "new")])),
        ]
    );
    assert_eq!(group.deletes, 0);
}

#[test]
fn initial_values_are_never_compared() {
    let (mut nb, owner) = (replica(), Owner::subnet("s"));
    let initial = Managed::Initial(Datum::map_of_strings([("a", "1")]));
    let wanted =
        rows([desired(table::SWITCH, SWITCH, &owner, &[("name", text("s")), ("other_config", initial)])]);
    let group = run(&nb, &owner, &wanted).unwrap();
    let Op::Insert { row, .. } = &group.ops[0] else { panic!("{group:?}") };
    assert_eq!(row.key("other_config", "a"), Some("1"));
    nb.put(
        table::SWITCH,
        SWITCH,
        Some(ours("s", &owner).with("other_config", Datum::map_of_strings([("a", "2")]))),
    );
    assert!(run(&nb, &owner, &wanted).unwrap().is_empty());
}

#[test]
fn rows_of_others_that_hang_on_ours_keep_it() {
    // invariant 1: they would go with it
    let owner = Owner::subnet("s");
    for (table, column) in [
        (table::SWITCH, "acls"),
        (table::SWITCH, "qos_rules"),
        (table::SWITCH, "forwarding_groups"),
        (table::ROUTER, "nat"),
        (table::PORT_GROUP, "acls"),
        (table::ROUTER_PORT, "gateway_chassis"),
    ] {
        let mut nb = replica();
        let mut ids = cluster().marks(&owner);
        ids.insert(PARENT_KEY.to_owned(), ROUTER.to_string());
        let row = named("x").with("external_ids", Datum::map_of_strings(ids));
        let child = if table == table::ROUTER { Uuid::from_u128(9) } else { PORT };
        nb.put(table::ROUTER, ROUTER, Some(named("r").with("ports", Datum::uuid(child))));
        nb.put(table, child, Some(row.clone().with(column, Datum::uuid(GROUP))));
        let refusal = run(&nb, &owner, &Rows::none()).unwrap_err();
        assert!(matches!(refusal, Refusal::HoldsForeign { count: 1, .. }), "{table}.{column}: {refusal:?}");
        // Once it is gone the row goes, if none came in between.
        nb.put(table, child, Some(row));
        let group = run(&nb, &owner, &Rows::none()).unwrap();
        assert_eq!(group.deletes, 1, "{table}");
        let guarded = |op: &Op| matches!(op, Op::Wait { columns, .. } if columns.contains(&column));
        assert!(group.preconditions.iter().any(guarded), "{table}.{column}: {:?}", group.preconditions);
    }
}

#[test]
fn a_row_without_our_marks_is_never_touched() {
    // invariants 1 and 2: by its uuid it would be ours
    let (mut nb, owner) = (replica(), Owner::subnet("s"));
    let wanted = rows([desired(table::SWITCH, SWITCH, &owner, &[("name", text("s"))])]);
    let another = Datum::map_of_strings(ClusterId::new("c2").unwrap().marks(&owner));
    let orphan = Datum::map_of_strings([("tombolo.io/cluster", "c1"), (OWNER_KEY, "thing/of-the-future")]);
    for foreign in [Datum::empty_map(), another, orphan, marks(&Owner::subnet("t"))] {
        nb.put(table::SWITCH, SWITCH, Some(named("other").with("external_ids", foreign)));
        assert_eq!(run(&nb, &owner, &wanted), Err(Refusal::NotOurs { table: table::SWITCH, uuid: SWITCH }));
        // Nor is it deleted when nothing is wanted.
        assert!(run(&nb, &owner, &Rows::none()).unwrap().is_empty());
    }
}

#[test]
fn orphans_are_found_and_left() {
    // invariant 2
    let mut nb = replica();
    let ids = Datum::map_of_strings([("tombolo.io/cluster", "c1"), (OWNER_KEY, "thing/x")]);
    nb.put(table::SWITCH, SWITCH, Some(named("x").with("external_ids", ids)));
    nb.put(table::ROUTER, ROUTER, Some(ours("r", &Owner::vpc("r"))));
    assert_eq!(orphans(&nb, &cluster()), [(table::SWITCH, SWITCH, "thing/x".to_owned())]);
    assert_eq!(owners(&nb, &cluster()), [Owner::vpc("r")].into());
}

#[test]
fn a_taken_name_is_refused_with_its_holder() {
    // invariant 2
    let owner = Owner::subnet("s");
    let wanted = rows([desired(table::SWITCH, SWITCH, &owner, &[("name", text("s"))])]);
    let neutron = Datum::map_of_strings([("neutron:network_name", "n")]);
    let another = Datum::map_of_strings(ClusterId::new("c2").unwrap().marks(&owner));
    let vendor = Datum::map_of_strings([("vendor", "kube-ovn")]);
    let later = Datum::map_of_strings([("tombolo.io/cluster", "c1"), (OWNER_KEY, "thing/of-the-future")]);
    for (ids, who) in [
        (neutron, "OpenStack Neutron"),
        (Datum::map_of_strings([("neutron:router_name", "r")]), "OpenStack Neutron"),
        (later, "another version"),
        (another, "the cluster c2"),
        (vendor, "the vendor kube-ovn"),
        (Datum::empty_map(), "an unknown system"),
        (marks(&Owner::subnet("t")), "subnet/t of this cluster"),
    ] {
        let mut nb = replica();
        nb.put(table::SWITCH, Uuid::from_u128(99), Some(named("s").with("external_ids", ids)));
        let refusal = run(&nb, &owner, &wanted).unwrap_err();
        assert!(refusal.to_string().contains(who), "{refusal}");
    }
    // And no other client may take it between our read and our write.
    let group = run(&replica(), &owner, &wanted).unwrap();
    assert_eq!(
        group.preconditions,
        [Op::require_none(table::SWITCH, [Condition::eq("name", Datum::string("s"))])]
    );
}

#[test]
fn a_child_is_made_with_its_edge_and_goes_by_it() {
    // invariant 1: on the parent one value is moved, whatever else is in the column
    let (mut nb, owner) = (replica(), Owner::pod("a", "p"));
    let wanted = wanted_on(&owner, SWITCH);
    assert_eq!(run(&nb, &owner, &wanted), Err(Refusal::NoParent { table: table::SWITCH, uuid: SWITCH }));
    nb.put(table::SWITCH, SWITCH, Some(named("s").with("ports", Datum::uuid(Uuid::from_u128(77)))));
    let group = run(&nb, &owner, &wanted).unwrap();
    assert_eq!(group.preconditions, [Op::require_row(table::SWITCH, SWITCH)]);
    assert!(matches!(&group.ops[0], Op::Insert { table: table::SWITCH_PORT, uuid: Some(PORT), .. }));
    assert_eq!(group.ops[1], Op::add_edge(table::SWITCH, SWITCH, "ports", PORT));

    nb.put(table::SWITCH_PORT, PORT, Some(port(&owner, SWITCH)));
    nb.put(
        table::SWITCH,
        SWITCH,
        Some(named("s").with("ports", Datum::set_of_uuids([Uuid::from_u128(77), PORT]))),
    );
    assert!(run(&nb, &owner, &wanted).unwrap().is_empty());
    let group = run(&nb, &owner, &Rows::none()).unwrap();
    assert_eq!(group.ops, [Op::remove_edge(table::SWITCH, SWITCH, "ports", PORT)]);
    assert_eq!(group.deletes, 1);
}

#[test]
fn an_edge_that_somebody_took_away_is_put_back() {
    let (mut nb, owner) = (replica(), Owner::pod("a", "p"));
    nb.put(table::SWITCH, SWITCH, Some(named("s")));
    nb.put(table::SWITCH_PORT, PORT, Some(port(&owner, SWITCH)));
    assert_eq!(
        run(&nb, &owner, &wanted_on(&owner, SWITCH)).unwrap().ops,
        [Op::add_edge(table::SWITCH, SWITCH, "ports", PORT)]
    );
}

#[test]
fn what_holds_others_rows_is_not_deleted() {
    // invariants 1 and 4
    let (mut nb, owner, pod) = (replica(), Owner::subnet("s"), Owner::pod("a", "p"));
    let with = |children: Datum| ours("s", &owner).with("ports", children);
    // A port that isn't in our replica is foreign.
    nb.put(table::SWITCH, SWITCH, Some(with(Datum::uuid(Uuid::from_u128(77)))));
    let refusal = run(&nb, &owner, &Rows::none()).unwrap_err();
    assert!(matches!(refusal, Refusal::HoldsForeign { count: 1, .. }), "{refusal}");
    // A pod of ours holds it too: it goes first.
    nb.put(table::SWITCH_PORT, PORT, Some(port(&pod, SWITCH)));
    nb.put(table::SWITCH, SWITCH, Some(with(Datum::uuid(PORT))));
    assert_eq!(
        run(&nb, &owner, &Rows::none()),
        Err(Refusal::InUse { table: table::SWITCH, name: "s".to_owned(), user: pod })
    );
    // Its own port doesn't; but what hangs on it must be the same when it goes.
    nb.put(table::SWITCH_PORT, PORT, Some(port(&owner, SWITCH)));
    let group = run(&nb, &owner, &Rows::none()).unwrap();
    let same = Op::require_columns(table::SWITCH, SWITCH, Row::new().with("ports", Datum::uuid(PORT)));
    assert!(group.preconditions.contains(&same), "{:?}", group.preconditions);
    assert_eq!(
        group.ops,
        [Op::remove_edge(table::SWITCH, SWITCH, "ports", PORT), Op::delete(table::SWITCH, SWITCH)]
    );
    assert_eq!(group.deletes, 2);
}

#[test]
fn a_name_can_pass_from_an_old_row_of_ours_to_a_new_one() {
    let (mut nb, owner) = (replica(), Owner::subnet("s"));
    nb.put(table::SWITCH, SWITCH, Some(ours("s", &owner)));
    let new = Uuid::from_u128(5);
    let group =
        run(&nb, &owner, &rows([desired(table::SWITCH, new, &owner, &[("name", text("s"))])])).unwrap();
    assert_eq!(group.ops[0], Op::delete(table::SWITCH, SWITCH));
    assert!(matches!(&group.ops[1], Op::Insert { uuid: Some(uuid), .. } if *uuid == new));
}

#[test]
fn an_old_row_of_ours_that_stays_keeps_its_name() {
    // A port that hangs nowhere goes by the database's own hand, not by this transaction.
    let (mut nb, owner) = (replica(), Owner::pod("a", "p"));
    nb.put(table::SWITCH, SWITCH, Some(named("s")));
    nb.put(table::SWITCH_PORT, OTHER, Some(port(&owner, SWITCH)));
    let refusal = run(&nb, &owner, &wanted_on(&owner, SWITCH)).unwrap_err();
    assert!(matches!(refusal, Refusal::NameTaken { uuid: OTHER, .. }), "{refusal:?}");
}

#[test]
fn a_parent_and_its_child_are_made_together() {
    let (nb, owner) = (replica(), Owner::subnet("s"));
    let switch = desired(table::SWITCH, SWITCH, &owner, &[("name", text("s"))]);
    let mut port = desired(table::SWITCH_PORT, PORT, &owner, &[("name", text("s-r"))]);
    port.edges = vec![Edge { table: table::SWITCH, parent: SWITCH, column: "ports" }];
    let group = run(&nb, &owner, &rows([switch, port])).unwrap();
    let [Op::Insert { .. }, Op::Insert { .. }, edge] = &group.ops[..] else { panic!("{group:?}") };
    assert_eq!(*edge, Op::add_edge(table::SWITCH, SWITCH, "ports", PORT));
    // That the switch is there is no guard: it comes with the same transaction.
    assert!(!group.preconditions.contains(&Op::require_row(table::SWITCH, SWITCH)), "{group:?}");
}

#[test]
fn what_hangs_on_a_router_goes_by_its_edge_and_keeps_the_router() {
    // invariants 1 and 3
    let (vpc, owner) = (Owner::vpc("r"), Owner::subnet("s"));
    for (table, column) in
        [(table::ROUTER_PORT, "ports"), (table::POLICY, "policies"), (table::STATIC_ROUTE, "static_routes")]
    {
        let child = |owner: &Owner| {
            let mut ids = cluster().marks(owner);
            ids.insert(PARENT_KEY.to_owned(), ROUTER.to_string());
            Row::new().with("external_ids", Datum::map_of_strings(ids))
        };
        let mut nb = replica();
        nb.put(table::ROUTER, ROUTER, Some(ours("r", &vpc).with(column, Datum::uuid(OTHER))));
        nb.put(table, OTHER, Some(child(&owner)));
        let group = run(&nb, &owner, &Rows::none()).unwrap();
        assert_eq!(group.ops, [Op::remove_edge(table::ROUTER, ROUTER, column, OTHER)], "{table}");
        assert_eq!(group.deletes, 1);
        let used = Refusal::InUse { table: table::ROUTER, name: "r".to_owned(), user: owner.clone() };
        assert_eq!(run(&nb, &vpc, &Rows::none()), Err(used), "{table}");
        // What is the router's own goes with it.
        nb.put(table, OTHER, Some(child(&vpc)));
        let group = run(&nb, &vpc, &Rows::none()).unwrap();
        assert!(group.ops.contains(&Op::delete(table::ROUTER, ROUTER)), "{table}: {group:?}");
        // Two foreign ones.
        let two = Datum::set_of_uuids([OTHER, GROUP]);
        nb.put(table::ROUTER, ROUTER, Some(ours("r", &vpc).with(column, two)));
        nb.put(table, OTHER, Some(Row::new()));
        let refusal = run(&nb, &vpc, &Rows::none()).unwrap_err();
        assert!(matches!(refusal, Refusal::HoldsForeign { count: 2, .. }), "{table}: {refusal:?}");
    }
}

const OTHER: Uuid = Uuid::from_u128(9);

fn with_ports(row: Row, ports: &[Uuid]) -> Row {
    row.with("ports", Datum::set_of_uuids(ports.iter().copied()))
}

/// A pod's port as it is wanted on a switch.
fn wanted_on(owner: &Owner, parent: Uuid) -> Rows {
    let mut row = desired(table::SWITCH_PORT, PORT, owner, &[("name", text("p.a"))]);
    let mut ids = cluster().marks(owner);
    ids.insert(PARENT_KEY.to_owned(), parent.to_string());
    row.columns.insert("external_ids", Managed::Keys(ids));
    row.edges = vec![Edge { table: table::SWITCH, parent, column: "ports" }];
    rows([row])
}

#[test]
fn a_row_that_moves_leaves_its_former_parent() {
    let (mut nb, owner) = (replica(), Owner::pod("a", "p"));
    let (s, t) = (Owner::subnet("s"), Owner::subnet("t"));
    nb.put(table::SWITCH, SWITCH, Some(with_ports(ours("s", &s), &[PORT])));
    nb.put(table::SWITCH, OTHER, Some(ours("t", &t)));
    nb.put(table::SWITCH_PORT, PORT, Some(port(&owner, SWITCH)));
    let group = run(&nb, &owner, &wanted_on(&owner, OTHER)).unwrap();
    assert!(group.ops.contains(&Op::remove_edge(table::SWITCH, SWITCH, "ports", PORT)), "{group:?}");
    assert!(group.ops.contains(&Op::add_edge(table::SWITCH, OTHER, "ports", PORT)));
    assert_eq!(group.deletes, 0);
    // Where it hangs is found through the database, whatever the mark says.
    nb.put(table::SWITCH_PORT, PORT, Some(port(&owner, GROUP)));
    let group = run(&nb, &owner, &wanted_on(&owner, OTHER)).unwrap();
    assert!(group.ops.contains(&Op::remove_edge(table::SWITCH, SWITCH, "ports", PORT)), "{group:?}");
    // In place: nothing is searched for, nothing is done.
    assert!(
        run(&nb, &owner, &wanted_on(&owner, SWITCH))
            .unwrap()
            .ops
            .iter()
            .all(|op| !matches!(op, Op::Mutate { table: table::SWITCH, .. }))
    );
}

#[test]
fn a_switch_of_others_is_not_touched_by_a_move() {
    // invariant 1
    let (mut nb, owner) = (replica(), Owner::pod("a", "p"));
    nb.put(table::SWITCH, SWITCH, Some(with_ports(named("neutron-x"), &[PORT])));
    nb.put(table::SWITCH, OTHER, Some(ours("t", &Owner::subnet("t"))));
    nb.put(table::SWITCH_PORT, PORT, Some(port(&owner, SWITCH)));
    let group = run(&nb, &owner, &wanted_on(&owner, OTHER)).unwrap();
    assert!(group.ops.iter().all(|op| op.target() != Some(SWITCH)), "{group:?}");
    // It can't go from there either, and that is said.
    nb.put(table::SWITCH_PORT, PORT, Some(ours("p.a", &owner)));
    let refusal = run(&nb, &owner, &Rows::none()).unwrap_err();
    assert!(matches!(refusal, Refusal::HangsOnForeign { .. }) && refusal.to_string().contains("neutron-x"));
}

#[test]
fn a_row_that_lost_its_mark_is_found_by_its_edge() {
    let (mut nb, owner) = (replica(), Owner::pod("a", "p"));
    nb.put(table::SWITCH, SWITCH, Some(with_ports(ours("s", &Owner::subnet("s")), &[PORT])));
    nb.put(table::SWITCH_PORT, PORT, Some(ours("p.a", &owner)));
    let group = run(&nb, &owner, &Rows::none()).unwrap();
    assert_eq!(group.ops, [Op::remove_edge(table::SWITCH, SWITCH, "ports", PORT)]);
    assert_eq!(group.deletes, 1);
    // It stays where it is wanted, and gets its mark back.
    let group = run(&nb, &owner, &wanted_on(&owner, SWITCH)).unwrap();
    assert!(group.ops.iter().all(|op| op.target() == Some(PORT)) && !group.is_empty(), "{group:?}");
    // Our port on a router of others is our edge there.
    let port = Uuid::from_u128(10);
    nb.put(table::ROUTER, ROUTER, Some(with_ports(named("neutron-r"), &[port, OTHER])));
    let subnet = Owner::subnet("s2");
    nb.put(table::ROUTER_PORT, port, Some(ours("r-s2", &subnet)));
    let group = run(&nb, &subnet, &Rows::none()).unwrap();
    assert_eq!(group.ops, [Op::remove_edge(table::ROUTER, ROUTER, "ports", port)]);
}

#[test]
fn keys_that_only_we_write_go_when_they_are_wanted_no_more() {
    // invariant 1: and no other key does
    let (mut nb, owner) = (replica(), Owner::pod("a", "p"));
    let mut ids = cluster().marks(&owner);
    ids.extend(
        [("ls", "s"), ("tombolo.io/old", "1"), ("neutron:revision_number", "2"), ("theirs", "3")]
            .map(|(k, v)| (k.to_owned(), v.to_owned())),
    );
    let options = Datum::map_of_strings([
        ("requested-chassis", "host1"),
        ("iface-id-ver", "u"),
        ("mcast_flood", "true"),
    ]);
    let row = named("p.a").with("external_ids", Datum::map_of_strings(ids)).with("options", options);
    nb.put(table::SWITCH_PORT, PORT, Some(row));
    let keys = Managed::Keys(BTreeMap::from([("iface-id-ver".to_owned(), "u".to_owned())]));
    let wanted = rows([desired(table::SWITCH_PORT, PORT, &owner, &[("options", keys)])]);
    let group = run(&nb, &owner, &wanted).unwrap();
    let gone = |column, keys: &[&str]| Mutation::delete(column, Datum::set_of_strings(keys.iter().copied()));
    let all = [gone("external_ids", &["ls", "tombolo.io/old"]), gone("options", &["requested-chassis"])];
    assert_eq!(group.ops, [Op::mutate(table::SWITCH_PORT, PORT, all)]);
    // A column that the plan doesn't mention is left alone here.
    let wanted = rows([desired(table::SWITCH_PORT, PORT, &owner, &[])]);
    let group = run(&nb, &owner, &wanted).unwrap();
    assert_eq!(
        group.ops,
        [Op::mutate(table::SWITCH_PORT, PORT, [gone("external_ids", &["ls", "tombolo.io/old"])])]
    );
}

#[test]
fn a_row_hangs_on_each_parent_that_is_named_and_on_no_other() {
    let (mut nb, owner) = (replica(), Owner::subnet("s"));
    let vpc = Owner::vpc("v");
    let policy = || {
        let mut row = desired(table::POLICY, PORT, &owner, &[]);
        row.edges =
            [ROUTER, GROUP].map(|parent| Edge { table: table::ROUTER, parent, column: "policies" }).to_vec();
        row
    };
    nb.put(table::ROUTER, ROUTER, Some(ours("a", &vpc)));
    nb.put(table::ROUTER, GROUP, Some(ours("b", &vpc)));
    let edge = |router| Op::add_edge(table::ROUTER, router, "policies", PORT);
    let group = run(&nb, &owner, &rows([policy()])).unwrap();
    assert_eq!(group.ops[1..], [edge(ROUTER), edge(GROUP)]);
    // One of the edges is there, and one to a third router is too many.
    nb.put(table::POLICY, PORT, Some(Row::new().with("external_ids", marks(&owner))));
    nb.put(table::ROUTER, ROUTER, Some(ours("a", &vpc).with("policies", Datum::uuid(PORT))));
    nb.put(table::ROUTER, OTHER, Some(ours("c", &vpc).with("policies", Datum::uuid(PORT))));
    let group = run(&nb, &owner, &rows([policy()])).unwrap();
    assert_eq!(group.ops, [Op::remove_edge(table::ROUTER, OTHER, "policies", PORT), edge(GROUP)]);
    // It goes from all of them.
    let group = run(&nb, &owner, &Rows::none()).unwrap();
    let gone = |router| Op::remove_edge(table::ROUTER, router, "policies", PORT);
    assert_eq!((&group.ops[..], group.deletes), (&[gone(ROUTER), gone(OTHER)][..], 1));
}

#[test]
fn a_large_column_is_changed_by_what_differs() {
    let (mut nb, owner) = (replica(), Owner::pod("a", "p"));
    let addresses =
        |numbers: std::ops::Range<u32>| Datum::set_of_strings(numbers.map(|it| format!("10.0.0.{it}")));
    let wanted = |numbers| {
        rows([desired(
            table::SWITCH_PORT,
            PORT,
            &owner,
            &[("addresses", Managed::Whole(addresses(numbers)))],
        )])
    };
    let put = |nb: &mut Replica, numbers| {
        nb.put(table::SWITCH_PORT, PORT, Some(ours("p.a", &owner).with("addresses", addresses(numbers))));
    };
    put(&mut nb, 0..100);
    let differing =
        [Mutation::delete("addresses", addresses(0..1)), Mutation::insert("addresses", addresses(100..101))];
    assert_eq!(
        run(&nb, &owner, &wanted(1..101)).unwrap().ops,
        [Op::mutate(table::SWITCH_PORT, PORT, differing)]
    );
    // What is small, or differs much, is written anew.
    let anew =
        |numbers| [Op::update(table::SWITCH_PORT, PORT, Row::new().with("addresses", addresses(numbers)))];
    assert_eq!(run(&nb, &owner, &wanted(80..160)).unwrap().ops, anew(80..160));
    put(&mut nb, 0..16);
    assert_eq!(run(&nb, &owner, &wanted(1..17)).unwrap().ops, anew(1..17));
}

#[test]
fn a_column_that_the_server_lacks_is_left_out() {
    let schema = include_str!("../../../../schemas/ovn-23.03/ovn-nb.ovsschema");
    let schema = Schema::parse(schema).unwrap();
    let lacking = tombolo_ovn::nb::LogicalRouterPolicy::CHAIN;
    assert!(schema.column(table::POLICY, lacking).is_none(), "the older one has it by now: choose another");
    let wanted = nb::wanted(&cluster()).table(table::POLICY, &[lacking]);
    let mut nb = Replica::new(&wanted.intersect(&schema), &nb::indexes());
    let owner = Owner::subnet("s");
    nb.put(table::ROUTER, ROUTER, Some(ours("r", &Owner::vpc("r"))));
    let mut row = desired(table::POLICY, PORT, &owner, &[(lacking, text("x")), ("match", text("1"))]);
    row.edges = vec![Edge { table: table::ROUTER, parent: ROUTER, column: "policies" }];
    let group = run(&nb, &owner, &rows([row])).unwrap();
    let Op::Insert { row, .. } = &group.ops[0] else { panic!("{group:?}") };
    assert!(row.get("match").is_some() && row.get(lacking).is_none(), "{row:?}");
}
