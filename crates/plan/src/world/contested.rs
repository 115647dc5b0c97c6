//! IP objects whose addresses another one holds, and the addresses that each of them waits for.
//!
//! Decides which of them gain when an address becomes free: those that bear that very address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use tombolo_net::Mac;

/// Something of which a Subnet has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wish {
    Address(IpAddr),
    Mac(Mac),
}

#[derive(Clone, Debug)]
struct Entry {
    why: String,
    subnet: String,
    wants: Vec<Wish>,
}

/// The IP objects of all Subnets that another one holds the addresses of.
#[derive(Clone, Debug, Default)]
pub(super) struct Contested {
    entries: BTreeMap<String, Entry>,
    wanting: BTreeMap<(String, Wish), BTreeSet<String>>,
}

impl Contested {
    /// `name` can't have what it bears, for this reason.
    pub(super) fn insert(&mut self, name: &str, subnet: &str, wants: Vec<Wish>, why: String) {
        self.remove(name);
        for wish in &wants {
            self.wanting.entry((subnet.to_owned(), *wish)).or_default().insert(name.to_owned());
        }
        self.entries.insert(name.to_owned(), Entry { why, subnet: subnet.to_owned(), wants });
    }

    /// `name` is contested no more.
    pub(super) fn remove(&mut self, name: &str) {
        let Some(entry) = self.entries.remove(name) else { return };
        for wish in entry.wants {
            let key = (entry.subnet.clone(), wish);
            if let Some(names) = self.wanting.get_mut(&key) {
                names.remove(name);
                if names.is_empty() {
                    self.wanting.remove(&key);
                }
            }
        }
    }

    /// Why `name` is contested, if it is.
    pub(super) fn why(&self, name: &str) -> Option<&str> {
        self.entries.get(name).map(|entry| entry.why.as_str())
    }

    /// Those that bear this, ascending.
    pub(super) fn wanting(&self, subnet: &str, wish: Wish) -> impl Iterator<Item = &str> {
        self.wanting.get(&(subnet.to_owned(), wish)).into_iter().flatten().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_who_want_it_are_found() {
        let address = |text: &str| Wish::Address(text.parse().unwrap());
        let mut all = Contested::default();
        for number in 0..100 {
            let wish = address(&format!("10.0.0.{number}"));
            all.insert(&format!("p{number}"), "s", vec![wish], "held".to_owned());
        }
        let found = |all: &Contested, subnet: &str, text: &str| {
            all.wanting(subnet, address(text)).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(found(&all, "s", "10.0.0.7"), ["p7"]);
        assert!(found(&all, "other", "10.0.0.7").is_empty());
        // What it wants now counts, not what it wanted.
        all.insert("p7", "s", vec![address("10.0.0.8")], "held".to_owned());
        assert!(found(&all, "s", "10.0.0.7").is_empty());
        assert_eq!(found(&all, "s", "10.0.0.8"), ["p7", "p8"]);
        for number in 0..100 {
            all.remove(&format!("p{number}"));
        }
        assert!(all.entries.is_empty() && all.wanting.is_empty());
    }
}
