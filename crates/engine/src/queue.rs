//! Whose turn is next: fair between namespaces, first come first served within one.
//!
//! Decides an order alone. Kinds that others hang on come first, in the order of [`OwnerKind`]; they are the
//! administrator's. Pods are the tenants': their namespaces take turns, so that ten thousand of one delay another
//! namespace's first one by one turn (invariant 12).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use tombolo_plan::{Owner, OwnerKind};

/// Owners, each at most once.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    /// The number under which an owner waits: the lower one came earlier.
    places: HashMap<Owner, u64>,
    /// All but pods.
    first: BTreeMap<(OwnerKind, u64), Owner>,
    /// Pods by namespace.
    lanes: HashMap<Arc<str>, BTreeMap<u64, Owner>>,
    /// The namespaces that have a lane; the front one is next.
    turns: VecDeque<Arc<str>>,
    next_place: u64,
}

impl Queue {
    /// Appends an owner; one that is in already keeps its place.
    pub fn push(&mut self, owner: Owner) {
        let place = self.next_place;
        self.next_place += 1;
        self.push_at(owner, place);
    }

    /// Puts an owner in at a place that it had before, in this queue or in another one.
    pub fn push_at(&mut self, owner: Owner, place: u64) {
        if self.places.contains_key(&owner) {
            return;
        }
        self.places.insert(owner.clone(), place);
        if owner.kind != OwnerKind::Pod {
            self.first.insert((owner.kind, place), owner);
            return;
        }
        let namespace = owner.namespaced().0;
        if let Some(lane) = self.lanes.get_mut(namespace) {
            lane.insert(place, owner);
        } else {
            let namespace: Arc<str> = Arc::from(namespace);
            self.turns.push_back(namespace.clone());
            self.lanes.insert(namespace, BTreeMap::from([(place, owner)]));
        }
    }

    /// Takes an owner out, wherever it stands.
    pub fn remove(&mut self, owner: &Owner) {
        let Some(place) = self.places.remove(owner) else { return };
        if owner.kind != OwnerKind::Pod {
            self.first.remove(&(owner.kind, place));
        } else if let Some(lane) = self.lanes.get_mut(owner.namespaced().0) {
            // An empty lane goes when its turn comes.
            lane.remove(&place);
        }
        if self.places.is_empty() {
            self.lanes.clear();
            self.turns.clear();
        }
    }

    /// The next one.
    pub fn pop(&mut self) -> Option<Owner> {
        if let Some((_, owner)) = self.first.pop_first() {
            self.places.remove(&owner);
            return Some(owner);
        }
        while let Some(namespace) = self.turns.pop_front() {
            let lane = self.lanes.get_mut(&namespace);
            if let Some(owner) = lane.and_then(|lane| lane.pop_first()).map(|(_, owner)| owner) {
                self.places.remove(&owner);
                if self.lanes.get(&namespace).is_some_and(|lane| !lane.is_empty()) {
                    self.turns.push_back(namespace);
                } else {
                    self.lanes.remove(&namespace);
                }
                return Some(owner);
            }
            self.lanes.remove(&namespace);
        }
        None
    }

    /// Whether an owner waits.
    #[must_use]
    pub fn contains(&self, owner: &Owner) -> bool {
        self.places.contains_key(owner)
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether no owner waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(queue: &mut Queue) -> Vec<String> {
        std::iter::from_fn(|| queue.pop()).map(|owner| owner.to_string()).collect()
    }

    #[test]
    fn first_come_first_served_and_not_by_the_alphabet() {
        let mut queue = Queue::default();
        for name in ["z", "m", "a", "z"] {
            queue.push(Owner::pod("n", name));
        }
        queue.push(Owner::subnet("t"));
        queue.push(Owner::subnet("s"));
        queue.push(Owner::vpc("v"));
        assert_eq!(all(&mut queue), ["vpc/v", "subnet/t", "subnet/s", "pod/n/z", "pod/n/m", "pod/n/a"]);
    }

    #[test]
    fn namespaces_take_turns() {
        // invariant 12
        let mut queue = Queue::default();
        for number in 0..10_000 {
            queue.push(Owner::pod("big", &number.to_string()));
        }
        queue.push(Owner::pod("small", "one"));
        queue.push(Owner::pod("small", "two"));
        let first: Vec<String> = (0..5).filter_map(|_| queue.pop()).map(|owner| owner.to_string()).collect();
        assert_eq!(first, ["pod/big/0", "pod/small/one", "pod/big/1", "pod/small/two", "pod/big/2"]);
        assert_eq!(queue.len(), 10_002 - 5);
    }

    #[test]
    fn who_leaves_is_gone_and_leaves_nothing() {
        let mut queue = Queue::default();
        for name in ["a", "b", "c"] {
            queue.push(Owner::pod(name, "p"));
        }
        queue.remove(&Owner::pod("b", "p"));
        queue.remove(&Owner::pod("b", "p"));
        queue.push_at(Owner::pod("a", "earlier"), 0);
        assert_eq!(all(&mut queue), ["pod/a/earlier", "pod/c/p"]);
        queue.push(Owner::pod("a", "p"));
        queue.remove(&Owner::pod("a", "p"));
        assert!(queue.is_empty() && queue.lanes.is_empty() && queue.turns.is_empty());
    }
}
