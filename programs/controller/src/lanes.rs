//! Waiting lines, one for each namespace, served in turn: requests of one tenant's ten thousand pods delay another
//! tenant's first request by one turn (invariant 12).

use std::collections::{HashMap, VecDeque};

/// Items in lanes. Within a lane the first to come is the first to go.
#[derive(Debug)]
pub struct Lanes<T> {
    lanes: HashMap<String, VecDeque<T>>,
    /// The lanes that hold something; the front one is next.
    turns: VecDeque<String>,
    len: usize,
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Lanes { lanes: HashMap::new(), turns: VecDeque::new(), len: 0 }
    }
}

impl<T> Lanes<T> {
    /// Appends an item to a lane.
    pub fn push(&mut self, lane: &str, item: T) {
        self.len += 1;
        if let Some(items) = self.lanes.get_mut(lane) {
            items.push_back(item);
        } else {
            self.turns.push_back(lane.to_owned());
            self.lanes.insert(lane.to_owned(), VecDeque::from([item]));
        }
    }

    /// The next item, of the lane whose turn it is.
    pub fn pop(&mut self) -> Option<T> {
        let lane = self.turns.pop_front()?;
        let items = self.lanes.get_mut(&lane)?;
        let item = items.pop_front();
        if items.is_empty() {
            self.lanes.remove(&lane);
        } else {
            self.turns.push_back(lane);
        }
        self.len -= usize::from(item.is_some());
        item
    }

    /// How many items a lane holds.
    #[must_use]
    pub fn len_of(&self, lane: &str) -> usize {
        self.lanes.get(lane).map_or(0, VecDeque::len)
    }

    /// How many items there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_take_turns() {
        // invariant 12
        let mut lanes = Lanes::default();
        for number in 0..10_000 {
            lanes.push("big", number);
        }
        lanes.push("small", 20_000);
        lanes.push("small", 20_001);
        assert_eq!((lanes.len(), lanes.len_of("small"), lanes.len_of("none")), (10_002, 2, 0));
        let first: Vec<i32> = (0..5).filter_map(|_| lanes.pop()).collect();
        assert_eq!(first, [0, 20_000, 1, 20_001, 2]);
        assert_eq!(std::iter::from_fn(|| lanes.pop()).count(), 10_002 - 5);
        assert!(lanes.lanes.is_empty() && lanes.turns.is_empty() && lanes.len() == 0);
    }
}
