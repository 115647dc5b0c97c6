//! From what should stand to operations: `Rows × Replica → Group`.
//!
//! Decides the ownership of a row before touching it, what differs, which edges are missing, and what the owner
//! has that is stale; it works on one owner at a time and reads nothing else, so its cost doesn't grow with the
//! database. Pure. Doesn't decide whether the time has come to delete: the caller and the [`brake`] do.

pub mod brake;
mod columns;
mod edges;
mod entries;
pub mod foreign;
mod refusal;
mod take_over;

use std::collections::BTreeSet;

use tombolo_ovsdb::{Atom, Op, Replica, Row, Uuid};
use tombolo_plan::desired::Rows;
use tombolo_plan::nb::{self, Ownership, table};
use tombolo_plan::owner::{ClusterId, Owner};

pub use refusal::Refusal;
pub use take_over::take_over;

/// Tables in which a name is one row's.
const NAMED: [&str; 5] =
    [table::SWITCH, table::ROUTER, table::ROUTER_PORT, table::SWITCH_PORT, table::PORT_GROUP];

/// The operations that bring one owner's rows to what is desired. They belong in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Whose rows.
    pub owner: Owner,
    /// What must still hold when the transaction is executed.
    pub preconditions: Vec<Op>,
    /// The writes.
    pub ops: Vec<Op>,
    /// How many rows are deleted.
    pub deletes: usize,
    /// Shared rows that aren't there: the owner has yet to put its entries there.
    pub awaited: BTreeSet<Uuid>,
}

impl Group {
    /// Nothing yet of this owner.
    fn of(owner: &Owner) -> Group {
        Group {
            owner: owner.clone(),
            preconditions: Vec::new(),
            ops: Vec::new(),
            deletes: 0,
            awaited: BTreeSet::new(),
        }
    }

    /// Whether everything is as desired.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }
}

/// One owner, what stands of it, and what should.
struct Comparison<'a> {
    replica: &'a Replica,
    cluster: &'a ClusterId,
    owner: &'a Owner,
    desired: &'a Rows,
    /// The rows that should stand.
    wanted: BTreeSet<(&'a str, Uuid)>,
    /// The entries that should be there: shared rows, columns, elements.
    named: BTreeSet<(Uuid, &'a str, &'a Atom)>,
    /// The owner's rows that stand.
    standing: &'a [(&'static str, Uuid, &'a Row)],
    group: Group,
}

/// Compares what should stand of `owner` with what stands.
///
/// # Errors
/// A [`Refusal`]; one owner's never concerns another.
pub fn diff(replica: &Replica, cluster: &ClusterId, owner: &Owner, desired: &Rows) -> Result<Group, Refusal> {
    let standing: Vec<_> = nb::all_owned(replica, cluster, owner).collect();
    let mut comparison = Comparison {
        replica,
        cluster,
        owner,
        desired,
        wanted: desired.rows.iter().map(|row| (row.table, row.uuid)).collect(),
        named: desired.entries.iter().map(|it| (it.row, it.column, &it.element)).collect(),
        standing: &standing,
        group: Group::of(owner),
    };
    // What goes comes first: a name it holds may be wanted again.
    for (table, uuid, row) in &standing {
        if !comparison.is_wanted(table, *uuid) {
            comparison.remove(table, *uuid, row)?;
        }
    }
    for row in &desired.rows {
        match replica.row(row.table, &row.uuid) {
            Some(present) => {
                if nb::ownership(cluster, present) != Ownership::Ours(owner.clone()) {
                    return Err(Refusal::NotOurs { table: row.table, uuid: row.uuid });
                }
                comparison.leave(row);
                columns::update(&mut comparison.group, row, present);
            }
            None => comparison.insert(row)?,
        }
        for edge in &row.edges {
            comparison.connect(edge, row.uuid)?;
        }
    }
    comparison.entries()?;
    Ok(comparison.group)
}

impl<'a> Comparison<'a> {
    fn is_wanted(&self, table: &str, uuid: Uuid) -> bool {
        self.wanted.contains(&(table, uuid))
    }

    fn names(&self, row: Uuid, column: &'a str, element: &'a Atom) -> bool {
        self.named.contains(&(row, column, element))
    }

    fn is_ours(&self, row: &Row) -> bool {
        nb::owner_of(self.cluster, row).is_some()
    }
}

/// Rows of this cluster whose owner no version of ours knows, as `(table, uuid, owner text)`: reported,
/// never touched. Scans all rows of the tables that have owners, so it is for reports, not for the path of an event.
#[must_use]
pub fn orphans(replica: &Replica, cluster: &ClusterId) -> Vec<(&'static str, Uuid, String)> {
    let mut found = Vec::new();
    for table in nb::OWNED {
        for (uuid, row) in replica.rows(table) {
            if nb::ownership(cluster, row) == Ownership::Orphan {
                let text = row.key("external_ids", tombolo_plan::owner::OWNER_KEY).unwrap_or_default();
                found.push((table, uuid, text.to_owned()));
            }
        }
    }
    found
}

/// All owners that have a row.
#[must_use]
pub fn owners(replica: &Replica, cluster: &ClusterId) -> BTreeSet<Owner> {
    nb::OWNED
        .iter()
        .flat_map(|table| replica.rows(table))
        .filter_map(|(_, row)| nb::owner_of(cluster, row))
        .collect()
}

#[cfg(test)]
mod tests;
