//! Owners whose object was seen to be deleted: that explains the deletion of their rows (invariant 4).

use std::collections::BTreeSet;

use super::World;
use crate::nb;
use crate::owner::Owner;

/// So many deletions are remembered before those without rows are forgotten.
const REMEMBERED: usize = 1_024;

/// The owners, and how many there may be.
#[derive(Clone, Debug)]
pub(super) struct Deletions {
    seen: BTreeSet<Owner>,
    limit: usize,
}

impl Default for Deletions {
    fn default() -> Self {
        Deletions { seen: BTreeSet::new(), limit: REMEMBERED }
    }
}

impl World {
    /// The object was seen to be deleted: the deletion of its rows is explained.
    pub fn mark_deleted(&mut self, owner: Owner) {
        // A standby's engine never takes them out: those without rows left to delete have no further use.
        if self.deletions.seen.len() >= self.deletions.limit {
            let mut kept = std::mem::take(&mut self.deletions.seen);
            kept.retain(|owner| nb::all_owned(&self.nb, &self.config.cluster, owner).next().is_some());
            self.deletions.limit = (kept.len() * 2).max(REMEMBERED);
            self.deletions.seen = kept;
        }
        self.deletions.seen.insert(owner);
    }

    /// The object is there again, or nothing of it is left to delete.
    pub fn forget_deleted(&mut self, owner: &Owner) {
        self.deletions.seen.remove(owner);
    }

    /// Whether the owner's object was seen to be deleted.
    #[must_use]
    pub fn is_seen_deleted(&self, owner: &Owner) -> bool {
        self.deletions.seen.contains(owner)
    }

    /// The number of owners whose deletion is remembered.
    #[must_use]
    pub fn deletions_seen(&self) -> usize {
        self.deletions.seen.len()
    }
}
