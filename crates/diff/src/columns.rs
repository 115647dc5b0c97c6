//! Columns of rows: what is inserted, and what differs.

use tombolo_ovn::nb::LogicalSwitch;
use tombolo_ovsdb::{Condition, Datum, Mutation, Name, Op, Row, Uuid};
use tombolo_plan::desired::{DesiredRow, Managed};
use tombolo_plan::nb::{self, Ownership, table};
use tombolo_plan::owner::{CLUSTER_KEY, ClusterId, VENDOR, VENDOR_KEY};

use crate::{Comparison, Group, NAMED, Refusal};

/// A column with more elements than this is changed by what differs, and not written anew.
const LARGE: usize = 16;

impl Comparison<'_> {
    /// Inserts a row, unless its name is taken.
    pub(crate) fn insert(&mut self, row: &DesiredRow) -> Result<(), Refusal> {
        let (replica, cluster, owner) = (self.replica, self.cluster, self.owner);
        let group = &mut self.group;
        let cells = row.columns.iter().map(|(column, managed)| {
            let datum = match managed {
                Managed::Whole(datum) | Managed::Initial(datum) => datum.clone(),
                Managed::Keys(keys) => {
                    Datum::map_of_strings(keys.iter().map(|(k, v)| (k.as_str(), v.as_str())))
                }
            };
            (*column, datum)
        });
        // An older server refuses the whole transaction for a column that it lacks.
        let cells: Row = cells.filter(|(column, _)| nb::has(replica, row.table, column)).collect();
        // Names of switches and routers are no index of the schema, so the database would take a second one. Those of ports
        // and port groups are: the database would refuse the whole transaction.
        if NAMED.contains(&row.table)
            && let Some(name) = cells.str(LogicalSwitch::NAME)
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
                // No other client may have taken the name since.
                let other = vec![Condition::eq(LogicalSwitch::NAME, Datum::string(name))];
                if nb::named(replica, row.table, name).is_empty() {
                    group.preconditions.push(Op::require_none(row.table, other));
                }
            }
        }
        group.ops.push(Op::insert(row.table, row.uuid, cells));
        Ok(())
    }
}

fn describe_holder(cluster: &ClusterId, row: &Row) -> String {
    match nb::ownership(cluster, row) {
        Ownership::Ours(owner) => format!("{owner} of this cluster"),
        Ownership::Orphan => "a row of this cluster made by another version".to_owned(),
        Ownership::Foreign => match row.key(LogicalSwitch::EXTERNAL_IDS, CLUSTER_KEY) {
            Some(other) => format!("the cluster {other}"),
            None if row.key(LogicalSwitch::EXTERNAL_IDS, "neutron:router_name").is_some()
                || row.key(LogicalSwitch::EXTERNAL_IDS, "neutron:network_name").is_some() =>
            {
                "OpenStack Neutron".to_owned()
            }
            None => match row.key(LogicalSwitch::EXTERNAL_IDS, VENDOR_KEY) {
                Some(VENDOR) => format!(
                    "the vendor {VENDOR} (a cluster that Kube-OVN leaves is taken over by --take-over, see \
                     docs/operate/take-over.md)"
                ),
                Some(vendor) => format!("the vendor {vendor}"),
                None => "an unknown system".to_owned(),
            },
        },
    }
}

pub(crate) fn update(group: &mut Group, desired: &DesiredRow, present: &Row) {
    let mut cells = Row::new();
    let mut mutations = Vec::new();
    for (column, managed) in &desired.columns {
        // A column that the server's schema lacks can't differ.
        let Some(value) = present.get(column) else { continue };
        match managed {
            Managed::Whole(datum) if datum != value => match by_difference(column, value, datum) {
                Some(differing) => mutations.extend(differing),
                None => cells.set(column, datum.clone()),
            },
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

/// What leads from a large value to another one that differs little; `None` where writing it anew is no more.
fn by_difference(column: Name, value: &Datum, wanted: &Datum) -> Option<Vec<Mutation>> {
    if value.len() <= LARGE || value.is_map() != wanted.is_map() {
        return None;
    }
    let new = wanted.differing_from(value);
    let gone = Datum::set(value.differing_from(wanted).elements().cloned());
    if 2 * (gone.len() + new.len()) > value.len() {
        return None;
    }
    let gone = (!gone.is_empty()).then(|| Mutation::delete(column, gone));
    let new = (!new.is_empty()).then(|| Mutation::insert(column, new));
    Some(gone.into_iter().chain(new).collect())
}
