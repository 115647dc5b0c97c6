//! Columns that several owners fill, and whose element is whose.

use std::sync::LazyLock;

use tombolo_ovn::Reference;
use tombolo_ovn::nb::{AddressSet, Dns, LoadBalancer, LoadBalancerGroup, LogicalSwitch, PortGroup};
use tombolo_ovsdb::{Atom, Datum, Replica, Row, Uuid};

use super::{OWNED, facts, owner_of, table};
use crate::owner::{ClusterId, ENTRIES_KEY, Owner};

/// Columns in which several owners have entries (see [`crate::desired::Entry`]). What else is in them is left alone.
pub const SHARED: [(&str, &str); 7] = [
    (table::ADDRESS_SET, AddressSet::ADDRESSES),
    (table::DNS, Dns::RECORDS),
    (table::LOAD_BALANCER, LoadBalancer::VIPS),
    (table::LOAD_BALANCER_GROUP, LoadBalancerGroup::LOAD_BALANCER),
    (table::SWITCH, LogicalSwitch::DNS_RECORDS),
    (table::SWITCH, LogicalSwitch::LOAD_BALANCER_GROUP),
    (table::PORT_GROUP, PortGroup::PORTS),
];

/// Those of them in which we may have an entry on a row of others, too, where a user grants it (invariant 1).
pub const GRANTED: [(&str, &str); 2] =
    [(table::SWITCH, LogicalSwitch::DNS_RECORDS), (table::SWITCH, LogicalSwitch::LOAD_BALANCER_GROUP)];

/// Whether the elements of a column refer to rows.
#[must_use]
pub fn is_reference(table: &str, column: &str) -> bool {
    reference(table, column).is_some()
}

fn reference(table: &str, column: &str) -> Option<&'static Reference> {
    facts(table)?.references.iter().find(|reference| reference.column == column)
}

/// The columns of [`SHARED`] whose elements refer to rows of a table, each with its table and whether the reference is
/// strong: then a row can't go while it is referred to.
pub fn shared_references(table: &str) -> impl Iterator<Item = (&'static str, &'static str, bool)> {
    // Asked for each row of each plan: the schema is read once.
    static ALL: LazyLock<Vec<(&Reference, &str)>> = LazyLock::new(|| {
        let found = SHARED.into_iter().map(|(holder, column)| Some((reference(holder, column)?, holder)));
        found.flatten().collect()
    });
    let all = ALL.iter().filter(move |(reference, _)| reference.table == table);
    all.map(|(reference, holder)| (*holder, reference.column, !reference.weak))
}

/// The columns of [`SHARED`] whose elements are values, each with its table.
pub fn shared_values() -> impl Iterator<Item = (&'static str, &'static str)> {
    static ALL: LazyLock<Vec<(&str, &str)>> =
        LazyLock::new(|| SHARED.into_iter().filter(|(table, column)| !is_reference(table, column)).collect());
    ALL.iter().copied()
}

/// The owner of ours to whose row an element of a column of references refers.
pub fn owner_referred_to(
    replica: &Replica,
    cluster: &ClusterId,
    table: &str,
    column: &str,
    target: Uuid,
) -> Option<Owner> {
    owner_of(cluster, replica.row(reference(table, column)?.table, &target)?)
}

/// The elements in which two values of a column differ; of a map also the keys whose value is another one.
pub fn changed_elements(before: Option<&Datum>, after: Option<&Datum>) -> Vec<Atom> {
    let none = Datum::empty_set();
    let (before, after) = (before.unwrap_or(&none), after.unwrap_or(&none));
    if before == after {
        return Vec::new();
    }
    let (gone, new) = (before.differing_from(after), after.differing_from(before));
    gone.elements().chain(new.elements()).cloned().collect()
}

/// How a mark names an entry (see [`crate::desired::entries_mark`]): no blank is in one.
pub(crate) fn entry_word(row: Uuid, element: &Atom) -> String {
    let text = element.as_str().map_or_else(|| format!("{element:?}"), str::to_owned);
    format!("{row}/{text}")
}

/// The entries that a row of ours claims for its owner: shared rows and elements.
pub fn claimed(row: &Row) -> impl Iterator<Item = (Uuid, Atom)> {
    let words = row.key("external_ids", ENTRIES_KEY).unwrap_or_default().split(' ');
    words.filter_map(|word| {
        let (place, element) = word.split_once('/')?;
        Some((place.parse().ok()?, Atom::from(element)))
    })
}

/// The owners of ours whose rows claim an entry.
pub fn claimants(replica: &Replica, cluster: &ClusterId, place: Uuid, element: &Atom) -> Vec<Owner> {
    let key = Atom::from(entry_word(place, element));
    let rows = OWNED.into_iter().flat_map(|table| replica.find(table, BY_ENTRY, &key));
    let mut owners: Vec<Owner> = rows.filter_map(|(_, row)| owner_of(cluster, row)).collect();
    owners.sort_unstable();
    owners.dedup();
    owners
}

/// Index: rows of ours by the entries that they claim.
pub(super) const BY_ENTRY: &str = "entry";

pub(super) fn by_entry(row: &Row) -> Vec<Atom> {
    let words = row.key("external_ids", ENTRIES_KEY).unwrap_or_default().split(' ');
    words.filter(|word| !word.is_empty()).map(Atom::from).collect()
}
