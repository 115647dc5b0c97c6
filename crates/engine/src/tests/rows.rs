//! Rows: whose they are, what hangs on what, and when to look again.

use serde_json::json;
use tombolo_names::Reason;
use tombolo_ovsdb::{Datum, Row, Uuid};
use tombolo_plan::nb::{self, Ownership, table};
use tombolo_plan::{Kind, Owner};

use super::bed::Bed;
use crate::{Event, WatchEvent};

const OTHER: Uuid = Uuid::from_u128(77);

fn named(name: &str) -> Row {
    Row::new().with("name", Datum::string(name))
}

/// A switch of Neutron's.
fn foreign(name: &str) -> Row {
    named(name).with("external_ids", Datum::map_of_strings([("neutron:network_name", "net")]))
}

fn dirty(bed: &mut Bed) -> Vec<Owner> {
    std::iter::from_fn(|| bed.engine.reign.work.next()).collect()
}

#[test]
fn the_brake_knows_how_many_rows_are_ours() {
    // invariant 4: a tenth of them may go unexplained
    let mut bed = Bed::leading();
    let ours = bed.marks(&Owner::subnet("s"));
    let marked = |name: &str| named(name).with("external_ids", ours.clone());
    let mut counts = Vec::new();
    for row in [
        None,
        Some(foreign("x")),
        Some(marked("x")),
        Some(marked("y")),
        Some(foreign("y")),
        None,
        Some(marked("z")),
        Some(marked("z").with("other_config", Datum::map_of_strings([("a", "b")]))),
        None,
    ] {
        bed.rows([(table::SWITCH, OTHER, row)]);
        let cluster = &bed.engine.world().config().cluster;
        let is_ours = |row: &Row| nb::ownership(cluster, row) != Ownership::Foreign;
        let count: usize =
            nb::OWNED.iter().map(|table| bed.nb.rows(table).filter(|(_, row)| is_ours(row)).count()).sum();
        assert_eq!(bed.engine.own_rows, count);
        counts.push(count);
    }
    let none = counts[0];
    assert!(none > 3, "{none}");
    assert_eq!(counts, [0, 0, 1, 1, 0, 0, 1, 1, 0].map(|more| none + more));
}

#[test]
fn a_row_that_comes_wakes_who_waits_for_it_and_one_that_changes_does_not() {
    let mut bed = Bed::leading();
    let (pod, subnet) = (Owner::pod("a", "p"), Owner::subnet("s"));
    let row = named("s").with("external_ids", bed.marks(&subnet));
    bed.engine.reign.work.block(pod.clone(), subnet.clone());
    bed.rows([(table::SWITCH, OTHER, Some(row.clone()))]);
    assert!(dirty(&mut bed).contains(&pod));
    bed.engine.reign.work.block(pod.clone(), subnet);
    let changed = row.with("other_config", Datum::map_of_strings([("a", "b")]));
    bed.rows([(table::SWITCH, OTHER, Some(changed))]);
    assert!(!dirty(&mut bed).contains(&pod));
}

#[test]
fn who_waits_for_an_owner_is_left_alone_while_that_has_no_rows() {
    let mut bed = Bed::leading();
    let holder = Owner::ip("x");
    bed.engine.reign.work.block(Owner::pod("a", "p"), holder.clone());
    bed.engine.reign.work.add(holder);
    let plans = bed.engine.stats().plans;
    bed.settle();
    assert_eq!(bed.engine.stats().plans, plans + 1);
}

#[test]
fn a_subnet_whose_name_a_foreign_switch_has_waits_for_the_name_alone() {
    // invariant 1
    let mut bed = Bed::leading();
    bed.rows([(table::SWITCH, OTHER, Some(foreign("s")))]);
    bed.object(Kind::Subnet, "", "s", json!({ "metadata": {}, "spec": { "cidrBlock": "10.20.0.0/24" } }));
    bed.settle();
    assert!(bed.told.iter().any(|it| it.name == "s" && it.reason == Reason::NameTaken), "{:?}", bed.told);
    let waits = |bed: &Bed| bed.engine.reign.taken.waiting();
    assert_eq!(waits(&bed), 1);
    let changed = foreign("s").with("other_config", Datum::map_of_strings([("mcast_snoop", "true")]));
    bed.rows([(table::SWITCH, OTHER, Some(changed))]);
    assert_eq!(waits(&bed), 1, "it has the name as before");
    bed.rows([(table::SWITCH, OTHER, Some(foreign("t")))]);
    bed.settle();
    let uuid = bed.uuid(table::SWITCH, &Owner::subnet("s"), "switch");
    assert!(bed.nb.row(table::SWITCH, &uuid).is_some() && waits(&bed) == 0);
}

#[test]
fn while_rows_are_taken_over_one_that_is_put_right_is_looked_at_again() {
    let mut bed = Bed::taking_over();
    bed.rows([(table::SWITCH, OTHER, Some(foreign("s")))]);
    bed.object(Kind::Subnet, "", "s", json!({ "metadata": {}, "spec": { "cidrBlock": "10.20.0.0/24" } }));
    bed.settle();
    assert_eq!(bed.engine.reign.taken.waiting(), 1);
    let plans = bed.engine.stats().plans;
    // Its addresses, marks or networks are what tells; the switch stands for all of these.
    let changed = foreign("s").with("other_config", Datum::map_of_strings([("mcast_snoop", "true")]));
    bed.rows([(table::SWITCH, OTHER, Some(changed))]);
    bed.settle();
    assert!(bed.engine.stats().plans > plans, "nobody looked");
    assert_eq!(bed.engine.reign.taken.waiting(), 1);
}

#[test]
fn a_subnet_that_goes_wants_no_name_any_more() {
    // invariant 12: who waits leaves no trace
    let mut bed = Bed::leading();
    bed.rows([(table::SWITCH, OTHER, Some(foreign("s")))]);
    bed.object(Kind::Subnet, "", "s", json!({ "metadata": {}, "spec": { "cidrBlock": "10.20.0.0/24" } }));
    bed.settle();
    assert_eq!(bed.engine.reign.taken.awaited().len(), 1);
    bed.delete(Kind::Subnet, "", "s");
    bed.settle();
    assert!(bed.engine.reign.taken.is_empty());
}

#[test]
fn a_row_that_lost_its_owner_key_is_left_alone_and_looked_at_now_and_then() {
    // invariant 2
    let mut bed = Bed::leading();
    let pod = Owner::pod("a", "p");
    bed.pod("p");
    bed.settle();
    let uuid = bed.uuid(table::SWITCH_PORT, &pod, "port");
    let bare = bed.row(table::SWITCH_PORT, uuid).with("external_ids", Datum::empty_map());
    bed.rows([(table::SWITCH_PORT, uuid, Some(bare.clone()))]);
    bed.settle();
    assert_eq!(bed.row(table::SWITCH_PORT, uuid), bare);
    assert!(bed.told.iter().any(|it| it.name == "p" && it.reason == Reason::RowNotOurs), "{:?}", bed.told);
    assert_eq!(bed.engine.reign.work.due(&pod), Some(bed.now + 30_000));
}

#[test]
fn nothing_is_deleted_while_a_list_is_under_way() {
    // invariant 4
    let mut bed = Bed::leading();
    bed.pod("p");
    bed.settle();
    bed.handle(Event::Watch(WatchEvent::Restarted(Kind::Node)));
    bed.delete(Kind::Pod, "a", "p");
    bed.settle();
    assert!(bed.has_port("p"));
    assert_eq!(bed.engine.reign.work.due(&Owner::pod("a", "p")), Some(bed.now + 1_000));
    bed.handle(Event::Watch(WatchEvent::Synced(Kind::Node)));
    bed.now += 1_000;
    bed.settle();
    assert!(!bed.has_port("p"));
}

#[test]
fn a_port_of_ours_that_somebody_moved_to_a_foreign_switch_stays_there_and_is_told_of() {
    // invariant 1
    let mut bed = Bed::leading();
    let pod = Owner::pod("a", "p");
    bed.pod("p");
    bed.settle();
    let uuid = bed.uuid(table::SWITCH_PORT, &pod, "port");
    let switch = bed.uuid(table::SWITCH, &Owner::subnet("ovn-default"), "switch");
    let kept = bed.row(table::SWITCH, switch).get("ports").unwrap().difference(&Datum::uuid(uuid));
    let left = bed.row(table::SWITCH, switch).with("ports", kept);
    let moved = foreign("x").with("ports", Datum::uuid(uuid));
    // In the same moment the pod goes: else its port would be hung where it belongs.
    bed.rows([(table::SWITCH, switch, Some(left)), (table::SWITCH, OTHER, Some(moved.clone()))]);
    let going = json!({
        "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["example.com/x"] },
        "spec": { "nodeName": "n" }, "status": { "phase": "Succeeded" },
    });
    bed.object(Kind::Pod, "a", "p", going);
    bed.settle();
    assert!(bed.has_port("p") && bed.row(table::SWITCH, OTHER).get("ports") == moved.get("ports"));
    assert!(
        bed.told.iter().any(|it| it.name == "p" && it.reason == Reason::HangsOnForeignRow),
        "{:?}",
        bed.told
    );
}

#[test]
fn a_pod_enters_the_group_of_its_node_whenever_that_comes() {
    let mut bed = Bed::leading();
    bed.pod("p");
    bed.settle();
    let port = bed.uuid(table::SWITCH_PORT, &Owner::pod("a", "p"), "port");
    let group = bed.uuid(table::PORT_GROUP, &Owner::node("n"), "pods");
    let is_in = |bed: &Bed| {
        let row = bed.nb.row(table::PORT_GROUP, &group);
        row.is_some_and(|row| row.get("ports").unwrap().contains_uuid(port))
    };
    // The node isn't known yet, and its group not made.
    assert!(bed.has_port("p") && bed.nb.row(table::PORT_GROUP, &group).is_none());
    assert_eq!(bed.engine.reign.awaited.awaited(), [group]);
    bed.object(Kind::Node, "", "n", json!({ "metadata": {} }));
    bed.settle();
    assert!(is_in(&bed));
    assert!(bed.engine.reign.awaited.is_empty());
    // An operator takes the port out, and it is put back.
    let without = bed.row(table::PORT_GROUP, group).with("ports", Datum::empty_set());
    bed.rows([(table::PORT_GROUP, group, Some(without))]);
    bed.settle();
    assert!(is_in(&bed));
    // An operator deletes the group, and all comes back.
    bed.rows([(table::PORT_GROUP, group, None)]);
    bed.settle();
    assert!(is_in(&bed));
    // An operator puts the port into another node's group, and it is taken out there.
    bed.object(Kind::Node, "", "m", json!({ "metadata": {} }));
    bed.settle();
    let other = bed.uuid(table::PORT_GROUP, &Owner::node("m"), "pods");
    let with = bed.row(table::PORT_GROUP, other).with("ports", Datum::uuid(port));
    bed.rows([(table::PORT_GROUP, other, Some(with))]);
    bed.settle();
    assert!(bed.row(table::PORT_GROUP, other).get("ports").unwrap().is_empty() && is_in(&bed));
    // A pod that is gone waits for nothing.
    bed.rows([(table::PORT_GROUP, group, None)]);
    bed.poll();
    bed.delete(Kind::Pod, "a", "p");
    bed.settle();
    assert!(bed.engine.reign.awaited.is_empty());
}
