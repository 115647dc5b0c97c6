//! Watches: which kinds are complete, and what a relist no longer holds.

use std::collections::{BTreeMap, BTreeSet};

use crate::io::Kind;

#[derive(Clone, Debug, Default)]
struct Source {
    /// A list was complete at least once.
    ever: bool,
    /// Keys seen since the list under way began.
    listing: Option<BTreeSet<String>>,
}

/// The state of the watches.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    kinds: BTreeMap<Kind, Source>,
}

impl Sources {
    /// A list begins.
    pub fn restarted(&mut self, kind: Kind) {
        self.kinds.entry(kind).or_default().listing = Some(BTreeSet::new());
    }

    /// An object (`name` or `namespace/name`) is there.
    pub fn seen(&mut self, kind: Kind, key: &str) {
        if let Some(keys) = self.kinds.get_mut(&kind).and_then(|source| source.listing.as_mut()) {
            keys.insert(key.to_owned());
        }
    }

    /// The list is complete; the keys it held, for the caller to drop the others.
    pub fn synced(&mut self, kind: Kind) -> BTreeSet<String> {
        let source = self.kinds.entry(kind).or_default();
        source.ever = true;
        source.listing.take().unwrap_or_default()
    }

    /// Each kind was complete once: enough to plan.
    #[must_use]
    pub fn can_plan(&self) -> bool {
        Kind::ALL.iter().all(|kind| self.kinds.get(kind).is_some_and(|source| source.ever))
    }

    /// Each kind is complete now: enough to delete (invariant 4).
    #[must_use]
    pub fn can_delete(&self) -> bool {
        Kind::ALL
            .iter()
            .all(|kind| self.kinds.get(kind).is_some_and(|source| source.ever && source.listing.is_none()))
    }
}
