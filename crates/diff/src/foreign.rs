//! What a transaction does to rows of others: a second look at it, just before it is sent, by other means than those that made it.

use std::collections::BTreeSet;

use tombolo_names::rows::PREFIX;
use tombolo_ovn::nb::LogicalRouter;
use tombolo_ovsdb::{Condition, Datum, Mutation, Mutator, Name, Op, Replica, Row, Uuid};
use tombolo_plan::nb::{self, Ownership, table};
use tombolo_plan::owner::{CLUSTER_KEY, ClusterId, STANDS_FOR_KEY, VENDOR, VENDOR_KEY};

/// The edges that we hang on a router of others (invariant 1); beside them what the user grants, [`nb::GRANTED`].
const EDGES: &[(Name, Name)] =
    &[(table::ROUTER, LogicalRouter::PORTS), (table::ROUTER, LogicalRouter::POLICIES)];

/// The writes that touch a row of others otherwise than by the edges that are allowed, in words; always none. Of what the replica
/// shows: of others' rows, it has those that we refer to.
#[must_use]
pub fn touched(cluster: &ClusterId, replica: &Replica, ops: &[Op]) -> Vec<String> {
    let inserted: BTreeSet<Uuid> = ops.iter().filter_map(inserted).collect();
    let ours = |table: Name, conditions: &[Condition]| match selected(conditions) {
        Some(row) if inserted.contains(&row) => true,
        // One that is gone is nobody's: the write has no effect, and the transaction fails for it.
        Some(row) => {
            replica.row(table, &row).is_none_or(|row| nb::ownership(cluster, row) != Ownership::Foreign)
        }
        None => false,
    };
    let judge = |op: &Op| match op {
        Op::Insert { table, row, .. } if nb::ownership(cluster, row) == Ownership::Foreign => {
            Some(format!("an insert into {table} without our mark"))
        }
        Op::Update { table, conditions, .. } if !ours(table, conditions) => {
            Some(format!("an update of {table} where {conditions:?}"))
        }
        Op::Delete { table, conditions } if !ours(table, conditions) => {
            Some(format!("a deletion from {table} where {conditions:?}"))
        }
        Op::Mutate { table, conditions, mutations }
            if selected(conditions)
                .and_then(|row| replica.row(table, &row))
                .is_some_and(|row| is_take_over(cluster, row, mutations)) =>
        {
            None
        }
        Op::Mutate { table, conditions, mutations } if !ours(table, conditions) => {
            let allowed =
                |column| EDGES.contains(&(*table, column)) || nb::GRANTED.contains(&(*table, column));
            let other = mutations.iter().find(|mutation| !allowed(mutation.column))?;
            Some(format!("a change of {table}.{} where {conditions:?}", other.column))
        }
        _ => None,
    };
    ops.iter().filter_map(judge).collect()
}

/// Whether our marks, and nothing else, come to a row that may be Kube-OVN's: it is in no cluster of ours, and Neutron hasn't
/// marked it.
fn is_take_over(cluster: &ClusterId, row: &Row, mutations: &[Mutation]) -> bool {
    let [Mutation { column: LogicalRouter::EXTERNAL_IDS, mutator: Mutator::Insert, value }] = mutations
    else {
        return false;
    };
    let theirs = row.get(LogicalRouter::EXTERNAL_IDS).map(Datum::str_map).unwrap_or_default();
    let is_free = !theirs.keys().any(|key| key.starts_with(PREFIX) || key.starts_with("neutron:"));
    let is_mark = |(key, value)| key == VENDOR_KEY && value == VENDOR || str::starts_with(key, PREFIX);
    let is_this_clusters = value.key(CLUSTER_KEY) == Some(cluster.as_str());
    is_free && is_this_clusters && value.key(STANDS_FOR_KEY).is_some() && value.string_entries().all(is_mark)
}

fn inserted(op: &Op) -> Option<Uuid> {
    match op {
        Op::Insert { uuid, .. } => *uuid,
        _ => None,
    }
}

/// The one row that conditions select by its uuid.
fn selected(conditions: &[Condition]) -> Option<Uuid> {
    conditions
        .iter()
        .find(|c| **c == Condition { value: c.value.clone(), ..Condition::uuid(Uuid::nil()) })?
        .value
        .as_uuid()
}

#[cfg(test)]
mod tests {
    use tombolo_ovn::nb::{LogicalSwitch, LogicalSwitchPort};
    use tombolo_ovsdb::{Schema, Wanted};

    use tombolo_plan::owner::OWNER_KEY;

    use super::*;

    const THEIRS: Uuid = Uuid::from_u128(1);
    const OURS: Uuid = Uuid::from_u128(2);
    const ROUTER: Uuid = Uuid::from_u128(3);

    fn mark(owner: &str) -> Row {
        let ids = Datum::map_of_strings([(CLUSTER_KEY, "c1"), (OWNER_KEY, owner)]);
        Row::from_cells([(LogicalSwitch::EXTERNAL_IDS, ids)])
    }

    fn judged(ops: &[Op]) -> usize {
        let schema = Schema::parse(tombolo_ovn::nb::SCHEMA).unwrap();
        let mut replica = Replica::new(&Wanted::everything(&schema).intersect(&schema), &[]);
        let theirs = Row::from_cells([(LogicalSwitch::NAME, Datum::string("neutron-x"))]);
        replica.put(table::SWITCH, THEIRS, Some(theirs.clone()));
        replica.put(table::SWITCH, OURS, Some(mark("subnet/net2")));
        replica.put(table::ROUTER, ROUTER, Some(theirs));
        touched(&ClusterId::new("c1").unwrap(), &replica, ops).len()
    }

    fn update(uuid: Uuid) -> Op {
        let row = Row::from_cells([(LogicalSwitch::NAME, Datum::string("y"))]);
        Op::Update { table: table::SWITCH, conditions: vec![Condition::uuid(uuid)], row }
    }

    fn delete(uuid: Uuid) -> Op {
        Op::Delete { table: table::SWITCH, conditions: vec![Condition::uuid(uuid)] }
    }

    #[test]
    fn writes_to_our_own_rows_and_edges_on_routers_are_none() {
        let insert = |row| Op::Insert {
            table: table::SWITCH_PORT,
            uuid: Some(Uuid::from_u128(9)),
            uuid_name: None,
            row,
        };
        let edge = Op::add_edge(table::ROUTER, ROUTER, LogicalRouter::PORTS, Uuid::from_u128(9));
        let fine = [update(OURS), delete(OURS), insert(mark("pod/a/p")), edge, delete(Uuid::from_u128(77))];
        assert_eq!(judged(&fine), 0);
        assert_eq!(judged(&[insert(Row::from_cells([(LogicalSwitchPort::NAME, Datum::string("p"))]))]), 1);
    }

    #[test]
    fn our_marks_come_to_rows_that_may_be_kube_ovns() {
        let ids = LogicalSwitch::EXTERNAL_IDS;
        let take = |row, pairs: &[(&str, &str)]| {
            let value = Datum::map_of_strings(pairs.iter().copied());
            Op::mutate(table::SWITCH, row, [Mutation::insert(ids, value)])
        };
        let marks =
            [(CLUSTER_KEY, "c1"), (OWNER_KEY, "subnet/s"), (STANDS_FOR_KEY, "u"), (VENDOR_KEY, VENDOR)];
        let judged = |theirs: &[(&str, &str)], op: Op| {
            let schema = Schema::parse(tombolo_ovn::nb::SCHEMA).unwrap();
            let mut replica = Replica::new(&Wanted::everything(&schema).intersect(&schema), &[]);
            let row = Row::from_cells([(ids, Datum::map_of_strings(theirs.iter().copied()))]);
            replica.put(table::SWITCH, THEIRS, Some(row));
            touched(&ClusterId::new("c1").unwrap(), &replica, &[op]).len()
        };
        let theirs = [(VENDOR_KEY, VENDOR)];
        assert_eq!(judged(&theirs, take(THEIRS, &marks)), 0);
        assert_eq!(judged(&[("neutron:network_name", "n")], take(THEIRS, &marks)), 1);
        assert_eq!(judged(&[(CLUSTER_KEY, "c2")], take(THEIRS, &marks)), 1);
        assert_eq!(judged(&theirs, take(THEIRS, &marks[..2])), 1, "without what it stands for");
        assert_eq!(judged(&theirs, take(THEIRS, &[marks[2], ("ls", "s")])), 1);
    }

    #[test]
    fn anything_else_on_a_row_of_others_is_one() {
        assert_eq!(judged(&[update(THEIRS)]), 1);
        assert_eq!(judged(&[delete(THEIRS), update(OURS)]), 1);
        let edge = |column| Op::add_edge(table::SWITCH, THEIRS, column, Uuid::from_u128(9));
        assert_eq!(judged(&[edge(LogicalSwitch::PORTS)]), 1);
        assert_eq!(judged(&[edge(LogicalSwitch::DNS_RECORDS)]), 0, "the user may grant it");
        let route = Op::add_edge(table::ROUTER, ROUTER, LogicalRouter::STATIC_ROUTES, Uuid::from_u128(9));
        assert_eq!(judged(&[route]), 1);
        // Rows that are named by anything but their uuid could be anybody's.
        let all = Op::Delete { table: table::SWITCH, conditions: Vec::new() };
        assert_eq!(judged(&[all]), 1);
    }
}
