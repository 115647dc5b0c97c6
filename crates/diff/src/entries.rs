//! Entries: an owner's part of rows that several owners fill.
//!
//! An element is an owner's if it refers to a row of the owner, or if a row of the owner claims it. Where an owner's entries
//! are is found by the reverse indexes and those claims: a plan names what should be there, and never what was.

use std::collections::BTreeMap;

use tombolo_ovsdb::{Atom, Datum, Mutation, Name, Op, Row, Uuid};
use tombolo_plan::desired::Entry;
use tombolo_plan::nb;

use crate::{Comparison, Refusal};

/// What changes in one column of one shared row: one operation, whatever the row's size.
#[derive(Default)]
struct Change {
    gone: Vec<Atom>,
    new: Vec<Atom>,
    /// Of a map: keys with their values.
    set: Vec<(Atom, Atom)>,
}

impl Change {
    fn put(&mut self, entry: &Entry) {
        match &entry.value {
            Some(value) => self.set.push((entry.element.clone(), value.clone())),
            None => self.new.push(entry.element.clone()),
        }
    }
}

type Changes = BTreeMap<(Name, Uuid, Name), Change>;

impl Comparison<'_> {
    /// Puts the owner's entries where they should be, and takes away those that it no longer names.
    pub(crate) fn entries(&mut self) -> Result<(), Refusal> {
        let mut changes = Changes::new();
        self.stale_references(&mut changes);
        self.stale_claims(&mut changes);
        for entry in &self.desired.entries {
            self.enter(entry, &mut changes)?;
        }
        for ((table, row, column), change) in changes {
            let (gone, new, set) = (Datum::set(change.gone), Datum::set(change.new), Datum::map(change.set));
            let gone = (!gone.is_empty()).then(|| Mutation::delete(column, gone));
            if !(new.is_empty() && set.is_empty()) {
                self.group
                    .preconditions
                    .extend((!self.is_wanted(table, row)).then(|| Op::require_row(table, row)));
            }
            let new =
                [new, set].into_iter().filter(|it| !it.is_empty()).map(|it| Mutation::insert(column, it));
            self.group.ops.push(Op::mutate(table, row, gone.into_iter().chain(new).collect::<Vec<_>>()));
        }
        Ok(())
    }

    /// Entries are made on rows of ours; on others only where a user can grant it (invariant 1).
    fn may_enter(&self, table: &str, column: &str, row: &Row) -> bool {
        self.is_ours(row) || nb::GRANTED.contains(&(table, column))
    }

    /// References to the owner's rows.
    fn stale_references(&self, changes: &mut Changes) {
        for (target, uuid, _) in self.standing {
            let element = Atom::Uuid(*uuid);
            for (table, column, is_strong) in nb::shared_references(target) {
                // The database itself drops weak references to a row that goes.
                if !is_strong && !self.is_wanted(target, *uuid) {
                    continue;
                }
                for (row, held) in self.replica.holders(table, column, &element) {
                    if !self.names(row, column, &element) && self.may_enter(table, column, held) {
                        changes.entry((table, row, column)).or_default().gone.push(element.clone());
                    }
                }
            }
        }
    }

    /// Elements that the owner's rows claim.
    fn stale_claims(&self, changes: &mut Changes) {
        for (row, element) in self.standing.iter().flat_map(|(_, _, row)| nb::claimed(row)) {
            for (table, column) in nb::shared_values() {
                let Some(held) = self.replica.row(table, &row) else { continue };
                let is_there = held.get(column).is_some_and(|value| value.has_element(&element));
                // Two owners may have the same element: the last one takes it away.
                let is_anothers = || {
                    nb::claimants(self.replica, self.cluster, row, &element).iter().any(|it| it != self.owner)
                };
                if is_there
                    && !self.names(row, column, &element)
                    && self.may_enter(table, column, held)
                    && !is_anothers()
                {
                    changes.entry((table, row, column)).or_default().gone.push(element.clone());
                }
            }
        }
    }

    fn enter(&mut self, entry: &Entry, changes: &mut Changes) -> Result<(), Refusal> {
        let Entry { table, row, column, element, value } = entry;
        let place = (*table, *row, *column);
        let Some(held) = self.replica.row(table, row) else {
            if self.is_wanted(table, *row) {
                changes.entry(place).or_default().put(entry);
            } else {
                self.group.awaited.insert(*row);
            }
            return Ok(());
        };
        if !self.may_enter(table, column, held) {
            return Ok(());
        }
        let present = held.get(column);
        // Of a map.
        let there = present.and_then(|present| present.entry(element));
        let stands = match value {
            Some(value) => there == Some(value),
            None => present.is_some_and(|present| present.contains(element)),
        };
        if stands {
            return Ok(());
        }
        if there.is_some() {
            let claimants = nb::claimants(self.replica, self.cluster, *row, element);
            if let Some(holder) = claimants.into_iter().find(|it| it != self.owner) {
                return Err(Refusal::EntryTaken { table, column, element: format!("{element:?}"), holder });
            }
        }
        let change = changes.entry(place).or_default();
        // An insert leaves a key that is there as it is.
        change.gone.extend(there.map(|_| element.clone()));
        change.put(entry);
        Ok(())
    }
}
