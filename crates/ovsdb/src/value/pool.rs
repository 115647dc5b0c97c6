//! Sharing of strings that come again and again, such as the keys of `external_ids` and the names of nodes.
//!
//! Decides nothing that can be seen: equal strings may or may not be shared. Two small caches, one for keys
//! of maps and one for values, each string in the one slot its hash gives: bounded whatever comes, and what
//! comes often is mostly there.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::{Atom, Datum, Repr};

const KEY_SLOTS: usize = 1 << 10;
const VALUE_SLOTS: usize = 1 << 12;
/// Longer strings are hardly ever the same.
const LONGEST: usize = 64;

/// The caches.
pub(crate) struct Pool {
    hasher: RandomState,
    keys: Vec<Option<Arc<str>>>,
    values: Vec<Option<Arc<str>>>,
}

impl Pool {
    pub(crate) fn new() -> Pool {
        Pool { hasher: RandomState::new(), keys: vec![None; KEY_SLOTS], values: vec![None; VALUE_SLOTS] }
    }

    /// Replaces the strings of a map, just read and thus without other references, by shared ones.
    pub(crate) fn share(&mut self, datum: &mut Datum) {
        let Repr::Map(entries) = &mut datum.0 else { return };
        let Some(entries) = Arc::get_mut(entries) else { return };
        for (key, value) in entries {
            for (atom, slots) in [(key, &mut self.keys), (value, &mut self.values)] {
                if let Atom::String(text) = atom
                    && text.len() <= LONGEST
                {
                    let hash = self.hasher.hash_one(&**text) as usize;
                    let slots_len = slots.len();
                    let slot = &mut slots[hash % slots_len];
                    match slot {
                        Some(known) if known == text => *text = known.clone(),
                        _ => *slot = Some(text.clone()),
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_shared_and_nothing_else_changes() {
        let mut pool = Pool::new();
        let make = || Datum::map_of_strings([("vendor", "kube-ovn"), ("pod", "a")]);
        let (mut first, mut second) = (make(), make());
        pool.share(&mut first);
        pool.share(&mut second);
        assert_eq!((&first, &second), (&make(), &make()));
        let text = |datum: &Datum| datum.key("vendor").unwrap().as_ptr();
        assert_eq!(text(&first), text(&second));
    }
}
