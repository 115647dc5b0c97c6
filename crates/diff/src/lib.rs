//! From what should stand to operations: `Rows × Replica → Group`.
//!
//! Decides whose a row is before touching it, what differs, which edges are missing, and what of the
//! owner is stale; it works on one owner at a time and looks at nothing else, so its cost doesn't grow with
//! the database. Pure. Doesn't decide whether the time has come to delete: that is the caller's and the
//! [`brake`]'s.

pub mod brake;

use std::collections::BTreeSet;

use tombolo_ovsdb::{Condition, Datum, Mutation, Op, Replica, Row, Uuid};
use tombolo_plan::desired::{DesiredRow, Edge, Managed, Rows};
use tombolo_plan::nb::{self, Ownership, table};
use tombolo_plan::owner::{ClusterId, Owner, PARENT_KEY};

/// The operations that bring one owner's rows to what is desired. They belong in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Whose rows.
    pub owner: Owner,
    /// What must still hold when the transaction is executed.
    pub guards: Vec<Op>,
    /// The writes.
    pub ops: Vec<Op>,
    /// How many rows are deleted.
    pub deletes: usize,
}

impl Group {
    /// Whether everything is as desired.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }
}

/// Why the rows can't be brought to what is desired. Nothing is written then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A row that isn't ours has the name (invariants 1 and 2).
    #[error(
        "the name {name} in the northbound table {table} is taken by {holder} (row {uuid}); \
         choose another name, or remove that row with the system that made it"
    )]
    NameTaken {
        /// The table.
        table: &'static str,
        /// The name.
        name: String,
        /// The row that has it.
        uuid: Uuid,
        /// Who, as far as the row says.
        holder: String,
    },
    /// A row has the uuid that is ours by construction, but not our marks.
    #[error(
        "row {uuid} of the northbound table {table} has lost its owner key, so it may not be changed; \
         restore its external_ids or delete it by hand"
    )]
    NotOurs {
        /// The table.
        table: &'static str,
        /// The row.
        uuid: Uuid,
    },
    /// The row that ours hangs on isn't there (yet).
    #[error("row {uuid} of the northbound table {table} is not there")]
    NoParent {
        /// The parent's table.
        table: &'static str,
        /// The parent.
        uuid: Uuid,
    },
    /// Deleting the row would delete what others hung on it.
    #[error(
        "{name} in the northbound table {table} holds {count} entries in {column} that are not ours, and they \
         would go with it; remove them with the system that made them"
    )]
    HoldsForeign {
        /// The table.
        table: &'static str,
        /// The row's name.
        name: String,
        /// The column.
        column: &'static str,
        /// How many.
        count: usize,
    },
    /// The row hangs on a row of somebody else's, where no version of ours put it.
    #[error(
        "row {uuid} of the northbound table {table} hangs on {parent}, which is not ours; take it out there by hand"
    )]
    HangsOnForeign {
        /// The table.
        table: &'static str,
        /// The row.
        uuid: Uuid,
        /// What it hangs on.
        parent: String,
    },
    /// Rows of others of our owners hang on the row: they go first, each with its own owner.
    #[error("{name} in the northbound table {table} is still used by {user} and goes after it")]
    InUse {
        /// The table.
        table: &'static str,
        /// The row's name.
        name: String,
        /// One of the owners.
        user: Owner,
    },
}

/// Compares what should stand of `owner` with what stands.
///
/// # Errors
/// A [`Refusal`]; one owner's never concerns another.
pub fn diff(replica: &Replica, cluster: &ClusterId, owner: &Owner, desired: &Rows) -> Result<Group, Refusal> {
    let mut group = Group { owner: owner.clone(), guards: Vec::new(), ops: Vec::new(), deletes: 0 };
    let wanted: BTreeSet<(&str, Uuid)> = desired.rows.iter().map(|row| (row.table, row.uuid)).collect();
    // What goes comes first: a name it holds may be wanted again.
    for table in nb::OWNED {
        for (uuid, row) in nb::owned(replica, cluster, table, owner) {
            if !wanted.contains(&(table, uuid)) {
                remove(replica, cluster, &mut group, table, uuid, row)?;
            }
        }
    }
    for row in &desired.rows {
        match replica.row(row.table, &row.uuid) {
            Some(present) => {
                if nb::ownership(cluster, present) != Ownership::Ours(owner.clone()) {
                    return Err(Refusal::NotOurs { table: row.table, uuid: row.uuid });
                }
                if let Some(edge) = &row.edge {
                    // A row that moves leaves the place where it was, in the same transaction.
                    let marked = present.key("external_ids", PARENT_KEY);
                    if marked != Some(edge.parent.to_string().as_str()) {
                        leave(replica, cluster, &mut group, edge, row.uuid);
                    }
                }
                update(&mut group, row, present);
            }
            None => insert(replica, cluster, owner, &mut group, row)?,
        }
        if let Some(edge) = &row.edge {
            connect(replica, &mut group, edge, row.uuid, &wanted)?;
        }
    }
    for link in &desired.links {
        // The row that refers is another owner's. While it isn't there nothing can be linked; its arrival
        // makes this owner dirty again.
        let Some(row) = replica.row(link.table, &link.row) else { continue };
        let present = row.get(link.column).is_some_and(|column| column.contains_uuid(link.target));
        if !present && !matches!(nb::ownership(cluster, row), Ownership::Foreign) {
            group.guards.push(Op::require_row(link.table, link.row));
            group.ops.push(Op::add_edge(link.table, link.row, link.column, link.target));
        }
    }
    for link in &desired.unlinked {
        let Some(row) = replica.row(link.table, &link.row) else { continue };
        let present = row.get(link.column).is_some_and(|column| column.contains_uuid(link.target));
        if present && !matches!(nb::ownership(cluster, row), Ownership::Foreign) {
            group.ops.push(Op::remove_edge(link.table, link.row, link.column, link.target));
        }
    }
    Ok(group)
}

fn insert(
    replica: &Replica,
    cluster: &ClusterId,
    owner: &Owner,
    group: &mut Group,
    row: &DesiredRow,
) -> Result<(), Refusal> {
    let cells = row.columns.iter().map(|(column, managed)| {
        let datum = match managed {
            Managed::Whole(datum) | Managed::Initial(datum) => datum.clone(),
            Managed::Keys(keys) => Datum::map_of_strings(keys.iter().map(|(k, v)| (k.as_str(), v.as_str()))),
        };
        (*column, datum)
    });
    let cells: Row = cells.collect();
    // Names of switches and routers are no index of the schema, so the database would take a second one. Those of ports
    // and port groups are: the database would refuse the whole transaction.
    let named = [table::SWITCH, table::ROUTER, table::ROUTER_PORT, table::SWITCH_PORT, table::PORT_GROUP];
    if named.contains(&row.table)
        && let Some(name) = cells.str("name")
    {
        let stays = |uuid: Uuid, row: &Row| match nb::ownership(cluster, row) {
            // Our own stale row of that name goes in this very transaction.
            Ownership::Ours(holder) => {
                holder != *owner || !group.ops.iter().any(|op| op.target() == Some(uuid))
            }
            _ => true,
        };
        let taken = nb::named(replica, row.table, name).into_iter().find(|(uuid, row)| stays(*uuid, row));
        if let Some((uuid, holder)) = taken {
            return Err(Refusal::NameTaken {
                table: row.table,
                name: name.to_owned(),
                uuid,
                holder: describe_holder(cluster, holder),
            });
        }
        if matches!(row.table, table::SWITCH | table::ROUTER) {
            // Nobody else may have taken the name since.
            let other = vec![Condition::eq("name", Datum::string(name))];
            if nb::named(replica, row.table, name).is_empty() {
                group.guards.push(Op::require_none(row.table, other));
            }
        }
    }
    group.ops.push(Op::insert(row.table, row.uuid, cells));
    Ok(())
}

fn describe_holder(cluster: &ClusterId, row: &Row) -> String {
    match nb::ownership(cluster, row) {
        Ownership::Ours(owner) => format!("{owner} of this cluster"),
        Ownership::Orphan => "a row of this cluster made by another version".to_owned(),
        Ownership::Foreign => match row.key("external_ids", tombolo_plan::owner::CLUSTER_KEY) {
            Some(other) => format!("the cluster {other}"),
            None if row.key("external_ids", "neutron:router_name").is_some()
                || row.key("external_ids", "neutron:network_name").is_some() =>
            {
                "OpenStack Neutron".to_owned()
            }
            None => match row.key("external_ids", tombolo_plan::owner::VENDOR_KEY) {
                Some(vendor) => format!("the vendor {vendor}"),
                None => "an unknown system".to_owned(),
            },
        },
    }
}

fn update(group: &mut Group, desired: &DesiredRow, present: &Row) {
    let mut cells = Row::new();
    let mut mutations = Vec::new();
    for (column, managed) in &desired.columns {
        // A column that the server's schema lacks can't differ.
        let Some(value) = present.get(column) else { continue };
        match managed {
            Managed::Whole(datum) if datum != value => cells.set(column, datum.clone()),
            Managed::Keys(keys) => {
                let differing: Vec<(&str, &str)> = keys
                    .iter()
                    .map(|(key, wanted)| (key.as_str(), wanted.as_str()))
                    .filter(|(key, wanted)| value.key(key) != Some(wanted))
                    .collect();
                if !differing.is_empty() {
                    mutations.extend(Mutation::set_keys(column, differing));
                }
                let stale: Vec<&str> = value
                    .string_entries()
                    .map(|(key, _)| key)
                    .filter(|key| nb::is_own_key(desired.table, column, key) && !keys.contains_key(*key))
                    .collect();
                if !stale.is_empty() {
                    mutations.push(Mutation::delete(column, Datum::set_of_strings(stale)));
                }
            }
            Managed::Whole(_) | Managed::Initial(_) => {}
        }
    }
    if !cells.is_empty() {
        group.ops.push(Op::update(desired.table, desired.uuid, cells));
    }
    if !mutations.is_empty() {
        group.ops.push(Op::mutate(desired.table, desired.uuid, mutations));
    }
}

fn connect(
    replica: &Replica,
    group: &mut Group,
    edge: &Edge,
    child: Uuid,
    wanted: &BTreeSet<(&str, Uuid)>,
) -> Result<(), Refusal> {
    match replica.row(edge.table, &edge.parent) {
        Some(parent) => {
            if parent.get(edge.column).is_some_and(|column| column.contains_uuid(child)) {
                return Ok(());
            }
            group.guards.push(Op::require_row(edge.table, edge.parent));
        }
        None if wanted.contains(&(edge.table, edge.parent)) => {} // inserted by this group
        None => return Err(Refusal::NoParent { table: edge.table, uuid: edge.parent }),
    }
    group.ops.push(Op::add_edge(edge.table, edge.parent, edge.column, child));
    Ok(())
}

/// The rows of a table whose column of references holds a row. Looks at each of them, so it is for rows that have lost or
/// changed their mark, and not for the path of an event.
fn holders<'a>(
    replica: &'a Replica,
    table: &'a str,
    column: &'a str,
    child: Uuid,
) -> impl Iterator<Item = (Uuid, &'a Row)> {
    let holds = move |row: &Row| row.get(column).is_some_and(|column| column.contains_uuid(child));
    replica.rows(table).map(|(uuid, row)| (uuid, &**row)).filter(move |(_, row)| holds(row))
}

/// Whether a row of ours may have been hung on this one by us: on our own, and on routers of others (invariant 1).
fn is_place_of_ours(cluster: &ClusterId, table: &str, row: &Row) -> bool {
    table == table::ROUTER || nb::ownership(cluster, row) != Ownership::Foreign
}

/// Takes the edges of a row away that lead from anywhere but where it is to hang.
fn leave(replica: &Replica, cluster: &ClusterId, group: &mut Group, edge: &Edge, child: Uuid) {
    for (parent, row) in holders(replica, edge.table, edge.column, child) {
        if parent != edge.parent && is_place_of_ours(cluster, edge.table, row) {
            group.ops.push(Op::remove_edge(edge.table, parent, edge.column, child));
        }
    }
}

/// Takes away a stale row of the owner: of a table that isn't a root, its edge; the database then drops the
/// row itself.
fn remove(
    replica: &Replica,
    cluster: &ClusterId,
    group: &mut Group,
    table: &'static str,
    uuid: Uuid,
    row: &Row,
) -> Result<(), Refusal> {
    let parent = match table {
        table::SWITCH_PORT => Some((table::SWITCH, "ports")),
        table::ROUTER_PORT => Some((table::ROUTER, "ports")),
        table::POLICY => Some((table::ROUTER, "policies")),
        table::STATIC_ROUTE => Some((table::ROUTER, "static_routes")),
        _ => None,
    };
    let untouched = keeps_others(table, uuid, row)?;
    if let Some((parent_table, column)) = parent {
        let parent = row.key("external_ids", PARENT_KEY).and_then(|text| text.parse::<Uuid>().ok());
        let holds = |parent: &Uuid| {
            replica
                .row(parent_table, parent)
                .is_some_and(|row| row.get(column).is_some_and(|column| column.contains_uuid(uuid)))
        };
        let mut parents: Vec<Uuid> = parent.filter(holds).into_iter().collect();
        if parents.is_empty() {
            // The mark was lost, or an older version moved the row and left an edge behind.
            for (parent, holder) in holders(replica, parent_table, column, uuid) {
                if !is_place_of_ours(cluster, parent_table, holder) {
                    let name = holder.str("name").unwrap_or_default();
                    let parent = format!("{name:?} of the table {parent_table}");
                    return Err(Refusal::HangsOnForeign { table, uuid, parent });
                }
                parents.push(parent);
            }
        }
        if !parents.is_empty() {
            group.guards.extend(untouched);
            group.ops.extend(parents.into_iter().map(|it| Op::remove_edge(parent_table, it, column, uuid)));
            group.deletes += 1;
        }
        return Ok(());
    }
    group.guards.extend(untouched);
    // What hangs on a switch or router goes with it: never anybody else's.
    let columns = match table {
        table::SWITCH | table::ROUTER => nb::edge_columns(table),
        _ => &[],
    };
    for column in columns {
        let Some(children) = row.get(column) else { continue };
        let child_table = match (table, *column) {
            (table::SWITCH, _) => table::SWITCH_PORT,
            (_, "policies") => table::POLICY,
            (_, "static_routes") => table::STATIC_ROUTE,
            _ => table::ROUTER_PORT,
        };
        let mut foreign = 0;
        for child in children.uuids() {
            match replica.row(child_table, &child).map(|row| nb::ownership(cluster, row)) {
                Some(Ownership::Ours(user)) if user == group.owner => {}
                Some(Ownership::Ours(user)) => {
                    let name = row.str("name").unwrap_or_default().to_owned();
                    return Err(Refusal::InUse { table, name, user });
                }
                // Rows that aren't in the replica are none of ours.
                Some(Ownership::Foreign | Ownership::Orphan) | None => foreign += 1,
            }
        }
        if foreign > 0 {
            return Err(Refusal::HoldsForeign {
                table,
                name: row.str("name").unwrap_or_default().to_owned(),
                column,
                count: foreign,
            });
        }
        group.guards.push(Op::require_columns(table, uuid, Row::new().with(column, children.clone())));
    }
    group.ops.push(Op::delete(table, uuid));
    group.deletes += 1;
    Ok(())
}

/// Refuses to take a row away on which rows hang that can't be ours: NAT rules, ACLs and the like, which somebody put
/// there by hand. What must still hold when it is taken away.
fn keeps_others(table: &'static str, uuid: Uuid, row: &Row) -> Result<Option<Op>, Refusal> {
    let mut empty = Row::new();
    for column in nb::others_columns(table) {
        // A column that the server's schema lacks holds nothing.
        let Some(children) = row.get(column) else { continue };
        if !children.is_empty() {
            return Err(Refusal::HoldsForeign {
                table,
                name: row.str("name").unwrap_or_default().to_owned(),
                column,
                count: children.len(),
            });
        }
        empty.set(column, children.clone());
    }
    Ok((!empty.is_empty()).then(|| Op::require_columns(table, uuid, empty)))
}

/// Rows of this cluster whose owner no version of ours knows, as `(table, uuid, owner text)`: reported,
/// never touched. Scans the owner indexes, so it is for reports, not for the path of an event.
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
        .filter_map(|(_, row)| match nb::ownership(cluster, row) {
            Ownership::Ours(owner) => Some(owner),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests;
