//! Owners that wait for rows: for one to come, or for one of another system to go.
//!
//! Decides nothing; it keeps who waits for which row, both ways, and no trace of an owner that no longer waits.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tombolo_ovsdb::Uuid;
use tombolo_plan::Owner;

/// Rows, and the owners that wait for each.
#[derive(Debug, Default)]
pub(crate) struct ForRows {
    owners: BTreeMap<Uuid, BTreeSet<Owner>>,
    rows: HashMap<Owner, BTreeSet<Uuid>>,
}

impl ForRows {
    /// The owner waits for a row.
    pub(crate) fn wait(&mut self, owner: &Owner, row: Uuid) {
        self.owners.entry(row).or_default().insert(owner.clone());
        self.rows.entry(owner.clone()).or_default().insert(row);
    }

    /// The owner waits for no row until its plan says so again.
    pub(crate) fn forget(&mut self, owner: &Owner) {
        for row in self.rows.remove(owner).into_iter().flatten() {
            if let Some(owners) = self.owners.get_mut(&row) {
                owners.remove(owner);
                if owners.is_empty() {
                    self.owners.remove(&row);
                }
            }
        }
    }

    /// The row came, went or changed: the owners that waited for it. Each is planned, and forgotten then.
    pub(crate) fn wake(&mut self, row: Uuid) -> BTreeSet<Owner> {
        self.owners.remove(&row).unwrap_or_default()
    }

    /// Whether no owner waits, and none is remembered.
    pub(crate) fn is_empty(&self) -> bool {
        self.owners.is_empty() && self.rows.is_empty()
    }

    /// The rows that owners wait for.
    #[cfg(test)]
    pub(crate) fn awaited(&self) -> Vec<Uuid> {
        self.owners.keys().copied().collect()
    }

    /// The number of owners that wait, each once for each row.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.owners.values().map(BTreeSet::len).sum()
    }
}
