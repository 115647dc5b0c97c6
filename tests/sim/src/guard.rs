//! What must hold at every moment, whatever the faults: foreign rows are sacred (invariant 1), and rows use
//! persisted addresses only (invariant 5).

use std::collections::{BTreeMap, BTreeSet};

use tombolo_ovsdb::{ChangeSet, Datum, Name, Replica, Row, Txn, Uuid};
use tombolo_plan::nb::table;
use tombolo_plan::{ClusterId, Kind};

use crate::api::Api;
use crate::marks::{self, Said};
use crate::standing;

/// Edges on foreign parents that are ours to write (invariant 1).
const EDGES: [(&str, &str, Name); 2] =
    [(table::ROUTER, "ports", table::ROUTER_PORT), (table::ROUTER, "policies", table::POLICY)];

/// Guards the rows that aren't ours. Orphans count as foreign: no controller may touch them.
#[derive(Clone, Debug)]
pub struct Guard {
    cluster: ClusterId,
    /// Foreign rows as their owners left them, without references to rows of ours.
    expected: BTreeMap<(Name, Uuid), Row>,
}

impl Guard {
    /// Begins with what is there.
    #[must_use]
    pub fn new(cluster: &ClusterId, rows: &Replica) -> Guard {
        let mut guard = Guard { cluster: cluster.clone(), expected: BTreeMap::new() };
        guard.expected = guard.dump(rows);
        guard
    }

    fn is_ours(&self, row: &Row) -> bool {
        marks::is_ours(self.cluster.as_str(), row)
    }

    /// The row without our edges on it.
    fn without_edges(&self, rows: &Replica, table: Name, row: &Row) -> Row {
        let mut row = row.clone();
        for (_, column, child) in EDGES.iter().filter(|(parent, ..)| *parent == table) {
            let Some(datum) = row.get(column) else { continue };
            let foreign =
                datum.uuids().filter(|uuid| !rows.row(child, uuid).is_some_and(|row| self.is_ours(row)));
            let foreign = Datum::set_of_uuids(foreign);
            row.set(tombolo_ovsdb::name::intern(column), foreign);
        }
        row
    }

    fn dump(&self, rows: &Replica) -> BTreeMap<(Name, Uuid), Row> {
        let all =
            rows.tables().flat_map(|(name, table)| table.iter().map(move |(uuid, row)| (name, uuid, row)));
        all.filter(|(_, _, row)| !self.is_ours(row))
            .map(|(table, uuid, row)| ((table, uuid), self.without_edges(rows, table, row)))
            .collect()
    }

    /// Records a change by another client.
    pub fn foreign_write(&mut self, rows: &Replica, changes: &ChangeSet) {
        for (table, uuid, change) in changes.iter() {
            match &change.new {
                Some(row) if !self.is_ours(row) => {
                    let row = self.without_edges(rows, table, row);
                    self.expected.insert((table, uuid), row);
                }
                _ => {
                    self.expected.remove(&(table, uuid));
                }
            }
        }
    }

    /// Checks a commit of ours.
    ///
    /// # Panics
    /// When it touches what isn't ours.
    pub fn check_commit(&self, rows: &Replica, changes: &ChangeSet) {
        for (table, uuid, change) in changes.iter() {
            if let Some(row) = change.new.as_ref().filter(|_| change.old.is_none()) {
                assert!(self.is_ours(row), "invariant 2: {table} {uuid} was made without our marks: {row:?}");
                let same = |other: &Row| other.str("name") == row.str("name");
                assert!(
                    !matches!(table, table::SWITCH | table::ROUTER)
                        || rows.rows(table).filter(|(_, other)| same(other)).count() == 1,
                    "invariant 2: a second {table} of the name {:?} was made",
                    row.str("name")
                );
                continue;
            }
            let Some(old) = change.old.as_ref().filter(|row| !self.is_ours(row)) else { continue };
            let Some(new) = &change.new else {
                panic!("invariant 1: the foreign {table} {uuid} was deleted: {old:?}")
            };
            for (column, before) in old.iter() {
                let Some(after) = new.get(column).filter(|after| *after != before) else { continue };
                let edge = EDGES.iter().find(|(parent, edge, _)| (*parent, *edge) == (table, column));
                let Some((_, _, child)) = edge else {
                    panic!(
                        "invariant 1: {column} of the foreign {table} {uuid} was changed from {before:?} to {after:?}"
                    );
                };
                let (before, after): (BTreeSet<Uuid>, BTreeSet<Uuid>) = (before.uuid_set(), after.uuid_set());
                for moved in before.symmetric_difference(&after) {
                    let known = rows.row(child, moved).cloned();
                    let row = known.or_else(|| {
                        let mut gone = changes.of_table(child).filter(|(uuid, _)| uuid == moved);
                        gone.next().and_then(|(_, change)| change.old.clone())
                    });
                    assert!(
                        row.as_ref().is_some_and(|row| self.is_ours(row)),
                        "invariant 1: the foreign {moved} in {column} of {table} {uuid} was touched"
                    );
                }
            }
        }
    }

    /// Compares all foreign rows with what they should be.
    ///
    /// # Panics
    /// When one differs.
    pub fn check_all(&self, rows: &Replica) {
        let present = self.dump(rows);
        for (place, row) in &self.expected {
            assert_eq!(present.get(place), Some(row), "invariant 1: the foreign row {place:?}");
        }
        for place in present.keys() {
            assert!(self.expected.contains_key(place), "invariant 2: {place:?} bears no mark of ours");
        }
    }
}

/// Checks that ports of a commit have addresses that are persisted, and that no two have the same.
///
/// # Panics
/// When one isn't.
pub fn check_addresses(cluster: &ClusterId, rows: &Replica, api: &Api, changes: &ChangeSet) {
    let mut switches = BTreeSet::new();
    for (uuid, change) in changes.of_table(table::SWITCH_PORT) {
        let Some(row) = &change.new else { continue };
        let Some((kind @ ("pod" | "node"), owner)) = marks::owner(cluster.as_str(), row) else { continue };
        let owner = format!("{kind}/{owner}");
        let name = row.str("name").unwrap_or_default();
        let addresses: Vec<&str> = row.get("addresses").into_iter().flat_map(|it| it.strings()).collect();
        // A user may delete it while the transaction is on its way.
        let ip = api.get(Kind::Ip, name).or_else(|| api.last(Kind::Ip, name)).unwrap_or_else(|| {
            panic!(
                "invariant 5: the port of {owner} has {addresses:?}, and there was never an IP object {name}"
            )
        });
        let spec = &ip["spec"];
        let text = |key: &str| spec[key].as_str().unwrap_or_default().to_owned();
        let wanted = format!("{} {}", text("macAddress"), text("ipAddress").replace(',', " "));
        assert_eq!(addresses, [wanted.as_str()], "invariant 5: the port of {owner}");
        for (switch, parent) in rows.rows(table::SWITCH) {
            if parent.get("ports").is_some_and(|ports| ports.contains_uuid(uuid)) {
                switches.insert(switch);
            }
        }
    }
    for switch in switches {
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        let ports = rows.row(table::SWITCH, &switch).and_then(|row| row.get("ports")).map(Datum::uuid_set);
        for port in ports.into_iter().flatten() {
            let Some(row) = rows.row(table::SWITCH_PORT, &port) else { continue };
            let name = row.str("name").unwrap_or_default();
            for address in row.get("addresses").into_iter().flat_map(|it| it.strings()) {
                for word in address.split(' ') {
                    if let Some(other) = seen.insert(word.to_ascii_lowercase(), name.to_owned()) {
                        panic!("invariant 5: {word} is on the ports {other} and {name} of one switch");
                    }
                }
            }
        }
    }
}

/// Checks that no two IP objects have one address, but for those that a foreign hand made so.
///
/// # Panics
/// When two have.
pub fn check_ips(api: &Api) {
    let mut seen: BTreeMap<(String, String), String> = BTreeMap::new();
    for (name, ip) in api.list(Kind::Ip) {
        // One that a user made and no pod has may ask for a taken address: the engine reports that.
        let chosen = ["tombolo.io/epoch", "tombolo.io/pod-uid"]
            .iter()
            .any(|key| ip["metadata"]["annotations"][key].is_string());
        if !chosen {
            continue;
        }
        let subnet = ip["spec"]["subnet"].as_str().unwrap_or_default();
        for address in ip["spec"]["ipAddress"].as_str().unwrap_or_default().split(',') {
            let other = seen.insert((subnet.to_owned(), address.to_owned()), name.to_owned());
            assert_eq!(other, None, "invariant 5: {address} of {subnet} is {name}'s too");
        }
    }
}

/// Who took which epoch: only the newest one may write (invariant 7).
#[derive(Clone, Debug, Default)]
pub struct Epochs(BTreeMap<u64, (usize, u64)>);

impl Epochs {
    /// Checks a transaction of a controller's (its number and life) that was executed.
    ///
    /// # Panics
    /// When it wrote under an epoch that is another's or not the newest, or took one that was taken.
    pub fn check(
        &mut self,
        cluster: &ClusterId,
        who: (usize, u64),
        txn: &Txn,
        before: &Replica,
        after: &Replica,
        changes: &ChangeSet,
    ) {
        let name = cluster.as_str();
        let (old, new) = (marks::epoch(before, name), marks::epoch(after, name));
        let said = marks::said(name, &txn.comment);
        let said = said.unwrap_or_else(|| {
            panic!("invariant 7: nobody can say under which epoch {who:?} wrote: {:?}", txn.comment)
        });
        if let Some(epoch) = new.filter(|_| old != new) {
            let other = self.0.insert(epoch, who);
            assert!(other.is_none(), "invariant 7: the epoch {epoch} of {other:?} was taken by {who:?} too");
            assert!(old.is_none_or(|old| old < epoch), "invariant 7: the epoch went from {old:?} to {epoch}");
            assert_eq!(said, Said::Takes(epoch), "invariant 7: {who:?} took the epoch {epoch}");
        }
        assert!(new.is_some() || old.is_none(), "invariant 7: {who:?} took the epoch away");
        if changes.is_empty() {
            return;
        }
        match said {
            Said::Takes(epoch) => assert_eq!(new, Some(epoch), "invariant 7: {who:?} took another epoch"),
            Said::Writes(said) => {
                let comment = &txn.comment;
                assert_eq!(old, Some(said), "invariant 7: {who:?} wrote under the epoch {said}: {comment}");
                let taker = self.0.get(&said);
                assert_eq!(taker, Some(&who), "invariant 7: {who:?} wrote under another's epoch {said}");
            }
        }
    }
}

/// Checks that a commit leaves no pod with an address that its switch's router doesn't lead to, or bears itself, and none
/// that another one behind the router has too. What was wrong before, by others' hands, isn't blamed on the commit.
///
/// # Panics
/// When it does.
pub fn check_standing(cluster: &ClusterId, before: &Replica, rows: &Replica, changes: &ChangeSet) {
    let concerned = |table: &str| {
        matches!(table, table::SWITCH | table::SWITCH_PORT | table::ROUTER | table::ROUTER_PORT)
    };
    if !changes.iter().any(|(table, ..)| concerned(table)) {
        return;
    }
    let wrong = standing::wrong_rows(cluster.as_str(), rows);
    if wrong.is_empty() {
        return;
    }
    let old = standing::wrong_rows(cluster.as_str(), before);
    let new: Vec<&String> = wrong.iter().filter(|it| !old.contains(it)).collect();
    assert!(new.is_empty(), "{}", new[0]);
}

/// Checks that no port of a pod goes that lives and of which nothing was ever taken away (invariant 4).
///
/// # Panics
/// When one does.
pub fn check_living(cluster: &ClusterId, before: &Replica, api: &Api, changes: &ChangeSet) {
    for (_, change) in changes.of_table(table::SWITCH_PORT).filter(|(_, change)| change.new.is_none()) {
        let Some(row) = &change.old else { continue };
        let Some(("pod", owner)) = marks::owner(cluster.as_str(), row) else { continue };
        let Some(pod) = api.get(Kind::Pod, owner) else { continue };
        let ends = pod["metadata"]["deletionTimestamp"].is_string();
        if ends || matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
            continue;
        }
        let (namespace, name) = owner.split_once('/').unwrap_or_default();
        let subnet = row.key("external_ids", "ls").unwrap_or_default();
        let touched = |entry: &crate::api::Entry| {
            let text = |field: &str| entry.object["metadata"][field].as_str().unwrap_or_default();
            let same = match entry.kind {
                Kind::Pod => text("name") == name && text("namespace") == namespace,
                Kind::Ip => text("name") == format!("{name}.{namespace}"),
                Kind::Subnet => text("name") == subnet,
                _ => false,
            };
            same && (entry.what == crate::api::Happened::Deleted || !text("deletionTimestamp").is_empty())
        };
        let stood = before.rows(table::SWITCH).any(|(_, row)| row.str("name") == Some(subnet));
        assert!(
            !stood || api.log().iter().any(touched),
            "invariant 4: the port of pod {owner} was deleted, which lives"
        );
    }
}
