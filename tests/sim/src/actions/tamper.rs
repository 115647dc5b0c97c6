//! What operators do by hand to rows that aren't theirs: references taken away, entries taken out or put elsewhere,
//! marks lost. All of it is healed.

use tombolo_ovsdb::{Atom, Datum, Mutation, Name, Op, Txn, Uuid};
use tombolo_plan::nb::{self, Ownership, table};
use tombolo_plan::owner::PARENT_KEY;

use crate::Sim;

const CHILDREN: [Name; 4] = [table::SWITCH_PORT, table::ROUTER_PORT, table::POLICY, table::STATIC_ROUTE];

/// Does one of a few things to the so manieth of our rows that hang on another. None is hung on two: what is checked at each
/// transaction would find that wrong at once.
pub(super) fn tamper(sim: &mut Sim, number: usize, what: u8) {
    let cluster = sim.config().cluster.clone();
    let nb = sim.nb().rows();
    let is_ours = |row: &tombolo_ovsdb::Row| matches!(nb::ownership(&cluster, row), Ownership::Ours(_));
    let ours = |table: Name| -> Vec<Uuid> {
        nb.rows(table).filter(|(_, row)| is_ours(row)).map(|(uuid, _)| uuid).collect()
    };
    let rows: Vec<(Name, Uuid)> = CHILDREN
        .into_iter()
        .flat_map(|table| ours(table).into_iter().map(move |uuid| (table, uuid)))
        .collect();
    if rows.is_empty() {
        return;
    }
    let (of, uuid) = rows[number % rows.len()];
    let element = Atom::Uuid(uuid);
    // Where it is referred to, and what else might refer to it.
    let references = nb::parents(of)
        .iter()
        .copied()
        .chain(nb::shared_references(of).map(|(table, column, _)| (table, column)));
    let mut ops = Vec::new();
    for (parent, column) in references {
        let holds = |row: &tombolo_ovsdb::Row| row.get(column).is_some_and(|it| it.has_element(&element));
        let held = nb.rows(parent).filter(|(_, row)| holds(row)).map(|(uuid, _)| uuid);
        let others =
            ours(parent).into_iter().filter(|other| nb.row(parent, other).is_some_and(|row| !holds(row)));
        let is_shared = nb::SHARED.contains(&(parent, column));
        match what % 4 {
            0 if !is_shared => ops.extend(held.map(|at| Op::remove_edge(parent, at, column, uuid))),
            1 if is_shared => ops.extend(held.map(|at| Op::remove_edge(parent, at, column, uuid))),
            2 if is_shared => ops.extend(others.take(1).map(|at| Op::add_edge(parent, at, column, uuid))),
            _ => {}
        }
    }
    if what % 4 == 3 {
        let mark = Mutation::delete("external_ids", Datum::set_of_strings([PARENT_KEY]));
        ops.push(Op::mutate(of, uuid, [mark]));
    }
    if !ops.is_empty() {
        sim.foreign(&Txn::new(ops));
    }
}
