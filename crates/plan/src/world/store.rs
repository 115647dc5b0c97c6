//! How the World keeps objects: by name, and their names by what they mention.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// Objects by name, ascending. Only the World's `apply_…` methods change one.
#[derive(Clone, Debug)]
pub struct Store<V, K = String> {
    by_name: BTreeMap<K, V>,
}

impl<V, K> Default for Store<V, K> {
    fn default() -> Self {
        Store { by_name: BTreeMap::new() }
    }
}

impl<V, K: Ord + Borrow<str>> Store<V, K> {
    /// The object of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&V> {
        self.by_name.get(name)
    }

    /// Whether there is an object of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Names and objects.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.by_name.iter()
    }

    /// Names.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.by_name.keys()
    }

    /// Objects.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.by_name.values()
    }

    /// The number of objects.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The name as the store holds it.
    pub(super) fn key(&self, name: &str) -> Option<&K> {
        self.by_name.get_key_value(name).map(|(key, _)| key)
    }

    /// Names from `first` on.
    pub(super) fn keys_from<'a>(&'a self, first: &str) -> impl Iterator<Item = &'a K> + use<'a, V, K> {
        self.by_name.range::<str, _>((Bound::Included(first), Bound::Unbounded)).map(|(key, _)| key)
    }

    /// Names before `end`.
    pub(crate) fn keys_before<'a>(&'a self, end: &str) -> impl Iterator<Item = &'a K> + use<'a, V, K> {
        self.by_name.range::<str, _>((Bound::Unbounded, Bound::Excluded(end))).map(|(key, _)| key)
    }

    /// Puts the object of a name, or (`None`) takes it out; the one before.
    pub(super) fn put(&mut self, name: K, object: Option<V>) -> Option<V> {
        match object {
            Some(object) => self.by_name.insert(name, object),
            None => self.by_name.remove(name.borrow()),
        }
    }
}

/// Names of objects by something that they mention: an object comes and goes, and no key stays without a name.
#[derive(Clone, Debug)]
pub(super) struct Index<N = String> {
    by_key: BTreeMap<String, BTreeSet<N>>,
}

impl<N> Default for Index<N> {
    fn default() -> Self {
        Index { by_key: BTreeMap::new() }
    }
}

impl<N: Ord + Borrow<str>> Index<N> {
    /// Names under this key, ascending.
    pub(super) fn of(&self, key: &str) -> impl Iterator<Item = &N> {
        self.by_key.get(key).into_iter().flatten()
    }

    /// The number of names under this key.
    pub(super) fn count(&self, key: &str) -> usize {
        self.by_key.get(key).map_or(0, BTreeSet::len)
    }

    /// Puts a name under a key.
    pub(super) fn insert(&mut self, key: &str, name: N) {
        self.by_key.entry(key.to_owned()).or_default().insert(name);
    }

    /// Takes a name away from a key.
    pub(super) fn remove(&mut self, key: &str, name: &str) {
        if let Some(names) = self.by_key.get_mut(key) {
            names.remove(name);
            if names.is_empty() {
                self.by_key.remove(key);
            }
        }
    }
}

impl Index {
    /// Puts a name under a key, or takes it away.
    pub(super) fn set(&mut self, key: &str, name: &str, present: bool) {
        if present {
            self.insert(key, name.to_owned());
        } else {
            self.remove(key, name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_puts_takes_out_and_says_what_was_there() {
        let mut store: Store<u8> = Store::default();
        assert_eq!(store.put("b".to_owned(), Some(1)), None);
        assert_eq!(store.put("b".to_owned(), Some(2)), Some(1));
        store.put("a".to_owned(), Some(3));
        assert_eq!((store.get("b"), store.len(), store.contains("c")), (Some(&2), 2, false));
        assert_eq!(store.keys_before("b").collect::<Vec<_>>(), ["a"]);
        assert_eq!(store.keys_from("b").collect::<Vec<_>>(), ["b"]);
        assert_eq!(store.put("b".to_owned(), None), Some(2));
        assert_eq!(store.put("b".to_owned(), None), None);
        assert_eq!(store.keys().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn an_index_keeps_no_key_without_names() {
        let mut index = Index::default();
        index.set("k", "b", true);
        index.set("k", "a", true);
        assert_eq!(index.of("k").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(index.count("k"), 2);
        index.set("k", "a", false);
        index.set("k", "b", false);
        index.set("other", "b", false);
        assert_eq!(index.count("k"), 0);
        assert!(index.by_key.is_empty());
    }
}
