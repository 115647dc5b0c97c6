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

    /// The list is complete; the keys it held, for the caller to drop the others. `None` if none had begun: then
    /// nothing is known of what is gone (invariant 4).
    pub fn synced(&mut self, kind: Kind) -> Option<BTreeSet<String>> {
        let source = self.kinds.entry(kind).or_default();
        source.ever = true;
        source.listing.take()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planning_needs_each_list_once_and_deleting_needs_them_now() {
        // invariant 4
        let mut sources = Sources::default();
        for kind in Kind::ALL {
            assert!(!sources.can_plan());
            sources.restarted(kind);
            sources.synced(kind);
        }
        assert!(sources.can_plan() && sources.can_delete());
        sources.restarted(Kind::Pod);
        assert!(sources.can_plan() && !sources.can_delete());
        sources.seen(Kind::Pod, "a/p");
        sources.seen(Kind::Node, "n");
        assert_eq!(sources.synced(Kind::Pod), Some(BTreeSet::from(["a/p".to_owned()])));
        assert!(sources.can_delete());
        // An end without a beginning.
        assert_eq!(sources.synced(Kind::Pod), None);
    }

    #[test]
    fn a_list_that_begins_again_forgets_what_it_saw() {
        let mut sources = Sources::default();
        sources.restarted(Kind::Pod);
        sources.seen(Kind::Pod, "a/p");
        sources.restarted(Kind::Pod);
        assert_eq!(sources.synced(Kind::Pod), Some(BTreeSet::new()));
    }
}
