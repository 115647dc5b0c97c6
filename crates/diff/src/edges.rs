//! Where rows hang: edges made and taken away, and rows that go.

use tombolo_ovn::nb::LogicalSwitch;
use tombolo_ovsdb::{Atom, Op, Row, Uuid};
use tombolo_plan::desired::{DesiredRow, Edge};
use tombolo_plan::nb::{self, Ownership, table};
use tombolo_plan::owner::PARENT_KEY;

use crate::{Comparison, Refusal};

impl Comparison<'_> {
    /// Hangs a row on its parent, if it doesn't hang there.
    pub(crate) fn connect(&mut self, edge: &Edge, child: Uuid) -> Result<(), Refusal> {
        match self.replica.row(edge.table, &edge.parent) {
            Some(parent) => {
                if parent.get(edge.column).is_some_and(|column| column.contains_uuid(child)) {
                    return Ok(());
                }
                self.group.preconditions.push(Op::require_row(edge.table, edge.parent));
            }
            None if self.is_wanted(edge.table, edge.parent) => {} // inserted by this group
            None => return Err(Refusal::NoParent { table: edge.table, uuid: edge.parent }),
        }
        self.group.ops.push(Op::add_edge(edge.table, edge.parent, edge.column, child));
        Ok(())
    }

    /// The rows that a row hangs on: tables, columns and rows.
    fn parents(&self, table: &str, child: Uuid) -> Vec<(&'static str, &'static str, Uuid, &Row)> {
        let child = Atom::Uuid(child);
        let mut found = Vec::new();
        for (parent, column) in nb::parents(table) {
            let holders = self.replica.holders(parent, column, &child);
            found.extend(holders.map(|(uuid, row)| (*parent, *column, uuid, &**row)));
        }
        found
    }

    /// Whether we may have hung a row on this one: on our own, and on routers of others (invariant 1).
    fn is_place_of_ours(&self, table: &str, row: &Row) -> bool {
        table == table::ROUTER || nb::ownership(self.cluster, row) != Ownership::Foreign
    }

    /// Takes the edges of a row away that lead from anywhere but where it is to hang: a row that moves leaves its former
    /// place in the same transaction.
    pub(crate) fn leave(&mut self, row: &DesiredRow) {
        let stays = |column, parent| row.edges.iter().any(|it| it.parent == parent && it.column == column);
        let parents = self.parents(row.table, row.uuid).into_iter();
        let left = parents.filter(|(table, column, parent, held)| {
            !stays(*column, *parent) && self.is_place_of_ours(table, held)
        });
        let ops: Vec<Op> =
            left.map(|(table, column, parent, _)| Op::remove_edge(table, parent, column, row.uuid)).collect();
        self.group.ops.extend(ops);
    }

    /// Takes away a stale row of the owner: of a table that isn't a root, its edges; the database then drops the row
    /// itself.
    pub(crate) fn remove(&mut self, table: &'static str, uuid: Uuid, row: &Row) -> Result<(), Refusal> {
        let untouched = keeps_others(table, uuid, row)?;
        if !nb::parents(table).is_empty() {
            let parents = self.parents(table, uuid);
            // Its mark proves that we hung it there, whatever has become of the parent.
            let marked =
                row.key(LogicalSwitch::EXTERNAL_IDS, PARENT_KEY).and_then(|it| it.parse::<Uuid>().ok());
            let (ours, others): (Vec<_>, Vec<_>) = parents
                .into_iter()
                .partition(|(table, _, at, held)| marked == Some(*at) || self.is_place_of_ours(table, held));
            if let (true, Some((parent, _, _, held))) = (ours.is_empty(), others.first()) {
                let name = held.str(LogicalSwitch::NAME).unwrap_or_default();
                let parent = format!("{name:?} of the table {parent}");
                return Err(Refusal::HangsOnForeign { table, uuid, parent });
            }
            if !ours.is_empty() {
                let edges =
                    ours.iter().map(|(parent, column, at, _)| Op::remove_edge(parent, *at, column, uuid));
                let edges: Vec<Op> = edges.collect();
                self.group.preconditions.extend(untouched);
                self.group.ops.extend(edges);
                self.group.deletes += 1;
            }
            return Ok(());
        }
        self.group.preconditions.extend(untouched);
        self.keeps_other_owners(table, uuid, row)?;
        self.group.ops.push(Op::delete(table, uuid));
        self.group.deletes += 1;
        Ok(())
    }

    /// What hangs on a switch or router goes with it: never another owner's rows.
    fn keeps_other_owners(&mut self, table: &'static str, uuid: Uuid, row: &Row) -> Result<(), Refusal> {
        for reference in nb::edges(table) {
            let Some(children) = row.get(reference.column) else { continue };
            let name = || row.str(LogicalSwitch::NAME).unwrap_or_default().to_owned();
            let mut foreign = 0;
            for child in children.uuids() {
                let child = self.replica.row(reference.table, &child);
                match child.map(|row| nb::ownership(self.cluster, row)) {
                    Some(Ownership::Ours(user)) if user == *self.owner => {}
                    Some(Ownership::Ours(user)) => return Err(Refusal::InUse { table, name: name(), user }),
                    // Rows that aren't in the replica are none of ours.
                    Some(Ownership::Foreign | Ownership::Orphan) | None => foreign += 1,
                }
            }
            if foreign > 0 {
                return Err(Refusal::HoldsForeign {
                    table,
                    name: name(),
                    column: reference.column,
                    count: foreign,
                });
            }
            let same = Row::new().with(reference.column, children.clone());
            self.group.preconditions.push(Op::require_columns(table, uuid, same));
        }
        Ok(())
    }
}

/// Refuses to take a row away on which rows hang that can't be ours: NAT rules, ACLs and the like, put there by hand.
/// Returns what must still hold when it is taken away.
fn keeps_others(table: &'static str, uuid: Uuid, row: &Row) -> Result<Option<Op>, Refusal> {
    let mut empty = Row::new();
    for column in nb::others_columns(table) {
        // A column that the server's schema lacks holds nothing.
        let Some(children) = row.get(column) else { continue };
        if !children.is_empty() {
            return Err(Refusal::HoldsForeign {
                table,
                name: row.str(LogicalSwitch::NAME).unwrap_or_default().to_owned(),
                column,
                count: children.len(),
            });
        }
        empty.set(column, children.clone());
    }
    Ok((!empty.is_empty()).then(|| Op::require_columns(table, uuid, empty)))
}
