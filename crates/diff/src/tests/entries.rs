//! Entries in shared rows, against small databases.

use std::collections::BTreeMap;

use tombolo_ovn::nb as ovn;
use tombolo_ovsdb::{Atom, Datum, Mutation, Name, Op, Replica, Row, Schema, Uuid};
use tombolo_plan::desired::{DesiredRow, Entry, Managed, Rows, entries_mark};
use tombolo_plan::nb::{self, table};
use tombolo_plan::owner::Owner;

use super::{cluster, run};
use crate::{Group, Refusal};

const PORT: Uuid = Uuid::from_u128(2);
const SHARED: Uuid = Uuid::from_u128(3);
const OTHER: Uuid = Uuid::from_u128(4);

/// The database with all tables in which entries can be.
fn replica() -> Replica {
    let schema = Schema::parse(ovn::SCHEMA).unwrap();
    let wanted = nb::SHARED.into_iter().fold(nb::wanted(&cluster()), |wanted, (table, column)| {
        wanted.table(table, &[column, "name", "external_ids"])
    });
    Replica::new(&wanted.intersect(&schema), &nb::indexes())
}

fn pod(name: &str) -> Owner {
    Owner::pod("a", name)
}

fn entry(table: Name, column: Name, element: Atom) -> Entry {
    Entry { table, row: SHARED, column, element, value: None }
}

/// A shared row of ours, or (`None`) of others, with this in its column.
fn shared(owner: Option<&Owner>, column: Name, value: Datum) -> Row {
    let row = Row::new().with(column, value);
    match owner {
        Some(owner) => row.with("external_ids", Datum::map_of_strings(cluster().marks(owner))),
        None => row,
    }
}

/// The pod's port with the entries that it claims, as it stands or as it is wanted.
fn ids(owner: &Owner, entries: &[Entry]) -> BTreeMap<String, String> {
    let mut ids = cluster().marks(owner);
    ids.extend(entries_mark(entries));
    ids
}

fn standing(owner: &Owner, entries: &[Entry]) -> Row {
    Row::new().with("external_ids", Datum::map_of_strings(ids(owner, entries)))
}

fn wanted(owner: &Owner, entries: Vec<Entry>) -> Rows {
    let columns = BTreeMap::from([("external_ids", Managed::Keys(ids(owner, &entries)))]);
    Rows {
        rows: vec![DesiredRow { table: table::SWITCH_PORT, uuid: PORT, columns, edges: Vec::new() }],
        entries,
    }
}

/// What is done to the shared row.
fn on_shared(group: &Group) -> Vec<&Op> {
    group.ops.iter().filter(|op| op.target() == Some(SHARED)).collect()
}

fn mutation(table: Name, mutations: impl Into<Vec<Mutation>>) -> Op {
    Op::mutate(table, SHARED, mutations)
}

/// Each shared column whose elements are references or values, with an element and, for a map, a value.
fn kinds() -> Vec<(Name, Name, Atom, Option<Atom>)> {
    let text = |text: &str| Atom::from(text);
    vec![
        (table::PORT_GROUP, "ports", Atom::Uuid(PORT), None),
        (table::ADDRESS_SET, "addresses", text("10.0.0.2"), None),
        (table::DNS, "records", text("web.default.svc"), Some(text("10.0.0.2"))),
        (table::LOAD_BALANCER, "vips", text("10.96.0.1:443"), Some(text("10.0.0.2:6443"))),
    ]
}

fn holding(column: &Atom, value: Option<&Atom>) -> Datum {
    match value {
        Some(value) => Datum::map([(column.clone(), value.clone())]),
        None => Datum::set([column.clone()]),
    }
}

#[test]
fn an_entry_comes_with_its_owner_and_goes_when_it_is_named_no_more() {
    for (table, column, element, value) in kinds() {
        let (owner, holder) = (pod("p"), Owner::node("n"));
        let one = Entry { value: value.clone(), ..entry(table, column, element.clone()) };
        let (with, without) = (wanted(&owner, vec![one.clone()]), wanted(&owner, Vec::new()));
        let alone = holding(&element, value.as_ref());
        let none = if value.is_some() { Datum::empty_map() } else { Datum::empty_set() };
        // The shared row isn't there: that is no obstacle, and said.
        let mut nb = replica();
        nb.put(table::SWITCH_PORT, PORT, Some(standing(&owner, std::slice::from_ref(&one))));
        let group = run(&nb, &owner, &with).unwrap();
        assert!(group.is_empty() && group.awaited.contains(&SHARED), "{column}: {group:?}");
        // It is, and the entry is one mutation, guarded.
        nb.put(table, SHARED, Some(shared(Some(&holder), column, none.clone())));
        let group = run(&nb, &owner, &with).unwrap();
        assert_eq!(
            on_shared(&group),
            [&mutation(table, [Mutation::insert(column, alone.clone())])],
            "{column}"
        );
        assert_eq!((group.preconditions, group.awaited.len()), (vec![Op::require_row(table, SHARED)], 0));
        // It stands: nothing to do.
        nb.put(table, SHARED, Some(shared(Some(&holder), column, alone.clone())));
        assert!(on_shared(&run(&nb, &owner, &with).unwrap()).is_empty(), "{column}");
        // The plan no longer names it: it is found although nothing says where it was.
        let gone = Mutation::delete(column, Datum::set([element.clone()]));
        let group = run(&nb, &owner, &without).unwrap();
        assert_eq!(on_shared(&group), [&mutation(table, [gone.clone()])], "{column}");
        assert_eq!(group.deletes, 0);
        // Beside others' elements it is one mutation all the same.
        let many = match &value {
            Some(value) => Datum::map((0..100).map(|it| (Atom::from(format!("x{it}")), value.clone()))),
            None if element.as_uuid().is_some() => Datum::set_of_uuids((100..200).map(Uuid::from_u128)),
            None => Datum::set_of_strings((0..100).map(|it| format!("10.1.0.{it}"))),
        };
        nb.put(table, SHARED, Some(shared(Some(&holder), column, many.union(&alone))));
        assert_eq!(on_shared(&run(&nb, &owner, &without).unwrap()), [&mutation(table, [gone])], "{column}");
        // invariant 1: neither made nor taken away on a row of others.
        nb.put(table, SHARED, Some(shared(None, column, none)));
        assert!(on_shared(&run(&nb, &owner, &with).unwrap()).is_empty(), "{column}");
        nb.put(table, SHARED, Some(shared(None, column, alone)));
        assert!(on_shared(&run(&nb, &owner, &without).unwrap()).is_empty(), "{column}");
    }
}

#[test]
fn an_owner_that_goes_takes_its_entries_along() {
    for (table, column, element, value) in kinds() {
        let (owner, holder) = (pod("p"), Owner::node("n"));
        let one = Entry { value: value.clone(), ..entry(table, column, element.clone()) };
        let mut nb = replica();
        let switch = shared(Some(&Owner::subnet("s")), "ports", Datum::uuid(PORT));
        nb.put(table::SWITCH, OTHER, Some(switch));
        nb.put(table::SWITCH_PORT, PORT, Some(standing(&owner, std::slice::from_ref(&one))));
        nb.put(table, SHARED, Some(shared(Some(&holder), column, holding(&element, value.as_ref()))));
        let group = run(&nb, &owner, &Rows::none()).unwrap();
        // The database itself drops a weak reference.
        let by_us = usize::from(element.as_uuid().is_none());
        assert_eq!((on_shared(&group).len(), group.deletes), (by_us, 1), "{column}: {group:?}");
    }
}

#[test]
fn an_element_of_two_owners_goes_with_the_last() {
    let (one, two, holder) = (pod("p"), pod("q"), Owner::node("n"));
    let address = entry(table::ADDRESS_SET, "addresses", Atom::from("10.0.0.2"));
    let mut nb = replica();
    let set = shared(Some(&holder), "addresses", Datum::string("10.0.0.2"));
    nb.put(table::ADDRESS_SET, SHARED, Some(set));
    nb.put(table::SWITCH_PORT, PORT, Some(standing(&one, std::slice::from_ref(&address))));
    nb.put(table::SWITCH_PORT, OTHER, Some(standing(&two, std::slice::from_ref(&address))));
    assert!(on_shared(&run(&nb, &one, &wanted(&one, Vec::new())).unwrap()).is_empty());
    // The other one claims it in another set alone.
    let elsewhere = Entry { row: Uuid::from_u128(77), ..address };
    nb.put(table::SWITCH_PORT, OTHER, Some(standing(&two, &[elsewhere])));
    assert_eq!(on_shared(&run(&nb, &one, &wanted(&one, Vec::new())).unwrap()).len(), 1);
}

#[test]
fn a_key_with_another_value_is_its_first_owners() {
    let (one, two, holder) = (pod("p"), pod("q"), Owner::node("n"));
    let name = |address: &str| Entry {
        value: Some(Atom::from(address)),
        ..entry(table::DNS, "records", Atom::from("web"))
    };
    let mut nb = replica();
    let records = shared(Some(&holder), "records", Datum::map_of_strings([("web", "10.0.0.2")]));
    nb.put(table::DNS, SHARED, Some(records));
    nb.put(table::SWITCH_PORT, OTHER, Some(standing(&one, &[name("10.0.0.2")])));
    let refusal = run(&nb, &two, &wanted(&two, vec![name("10.0.0.3")])).unwrap_err();
    assert!(matches!(&refusal, Refusal::EntryTaken { holder, .. } if *holder == one), "{refusal}");
    // Its own is overwritten: an insert alone would leave what is there.
    let group = run(&nb, &one, &wanted(&one, vec![name("10.0.0.4")])).unwrap();
    let both = [
        Mutation::delete("records", Datum::string("web")),
        Mutation::insert("records", Datum::map_of_strings([("web", "10.0.0.4")])),
    ];
    assert_eq!(on_shared(&group), [&mutation(table::DNS, both)]);
}

#[test]
fn a_granted_edge_is_one_on_anybodys_switch() {
    // invariant 1
    let owner = Owner::vpc("v");
    let column = ovn::LogicalSwitch::LOAD_BALANCER_GROUP;
    let mut nb = replica();
    let marks = Datum::map_of_strings(cluster().marks(&owner));
    let group = Row::new().with("name", Datum::string("g")).with("external_ids", marks);
    nb.put(table::SWITCH, SHARED, Some(shared(None, column, Datum::empty_set())));
    let row = DesiredRow {
        table: table::PORT_GROUP,
        uuid: OTHER,
        columns: BTreeMap::from([("external_ids", Managed::Keys(cluster().marks(&owner)))]),
        edges: Vec::new(),
    };
    nb.put(table::PORT_GROUP, OTHER, Some(group));
    let granted = entry(table::SWITCH, column, Atom::Uuid(OTHER));
    let wanted = Rows { rows: vec![row], entries: vec![granted] };
    let done = run(&nb, &owner, &wanted).unwrap();
    assert_eq!(on_shared(&done), [&Op::add_edge(table::SWITCH, SHARED, column, OTHER)]);
}

#[test]
fn entries_of_one_owner_in_one_row_are_one_operation() {
    let (owner, holder) = (pod("p"), Owner::node("n"));
    let address = |text: &str| entry(table::ADDRESS_SET, "addresses", Atom::from(text));
    let (old, new) =
        ([address("10.0.0.2"), address("fd00::2")], vec![address("10.0.0.3"), address("fd00::3")]);
    let mut nb = replica();
    let there = Datum::set_of_strings(["10.0.0.2", "fd00::2", "10.0.0.9"]);
    nb.put(table::ADDRESS_SET, SHARED, Some(shared(Some(&holder), "addresses", there)));
    nb.put(table::SWITCH_PORT, PORT, Some(standing(&owner, &old)));
    let group = run(&nb, &owner, &wanted(&owner, new)).unwrap();
    let both = [
        Mutation::delete("addresses", Datum::set_of_strings(["10.0.0.2", "fd00::2"])),
        Mutation::insert("addresses", Datum::set_of_strings(["10.0.0.3", "fd00::3"])),
    ];
    assert_eq!(on_shared(&group), [&mutation(table::ADDRESS_SET, both)]);
}
