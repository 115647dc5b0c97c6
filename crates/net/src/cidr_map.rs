//! Networks by what they overlap.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Cidr, Family, addr_bits};

/// Values by network, several at one network if need be. Finds the networks that overlap another one without a look at
/// the rest: two networks overlap only if one holds the other, so the wider ones are looked up by their prefix lengths,
/// and the narrower ones lie side by side.
#[derive(Clone, Debug)]
pub struct CidrMap<V> {
    networks: BTreeMap<(Family, u128, u8), BTreeSet<V>>,
    /// How many networks have a prefix of this length.
    prefixes: BTreeMap<(Family, u8), usize>,
}

impl<V> Default for CidrMap<V> {
    fn default() -> Self {
        CidrMap { networks: BTreeMap::new(), prefixes: BTreeMap::new() }
    }
}

fn key(cidr: Cidr) -> (Family, u128, u8) {
    (cidr.family(), addr_bits(cidr.network()), cidr.prefix())
}

impl<V: Ord> CidrMap<V> {
    /// Adds a value to a network. One that is there stays.
    pub fn insert(&mut self, cidr: Cidr, value: V) {
        let values = self.networks.entry(key(cidr)).or_default();
        if values.is_empty() {
            *self.prefixes.entry((cidr.family(), cidr.prefix())).or_default() += 1;
        }
        values.insert(value);
    }

    /// Takes a value from a network.
    pub fn remove(&mut self, cidr: Cidr, value: &V) {
        let Some(values) = self.networks.get_mut(&key(cidr)) else { return };
        if !values.remove(value) || !values.is_empty() {
            return;
        }
        self.networks.remove(&key(cidr));
        let prefix = (cidr.family(), cidr.prefix());
        if let Some(count) = self.prefixes.get_mut(&prefix) {
            *count -= 1;
            if *count == 0 {
                self.prefixes.remove(&prefix);
            }
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// The values of all networks that have an address in common with this one.
    pub fn overlapping(&self, cidr: Cidr) -> impl Iterator<Item = &V> {
        let family = cidr.family();
        let shorter = self.prefixes.range((family, 0)..(family, cidr.prefix()));
        let wider = shorter
            .filter_map(move |((_, prefix), _)| self.networks.get(&key(Cidr::new(cidr.network(), *prefix)?)));
        let (first, last) = (addr_bits(cidr.network()), addr_bits(cidr.last()));
        let inside = self.networks.range((family, first, 0)..=(family, last, u8::MAX));
        let inside = inside.filter(move |((_, _, prefix), _)| *prefix >= cidr.prefix());
        wider.chain(inside.map(|(_, values)| values)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cidr() -> impl Strategy<Value = Cidr> {
        let v4 = (0u32..64, 24u8..=32).prop_map(|(host, prefix)| format!("10.0.0.{host}/{prefix}"));
        let wide = (0u8..4, 0u8..=12).prop_map(|(net, prefix)| format!("{}.0.0.0/{prefix}", net * 5));
        let v6 = (0u32..64, 118u8..=128).prop_map(|(host, prefix)| format!("fd00::{host:x}/{prefix}"));
        prop_oneof![4 => v4, 1 => wide, 2 => v6, 1 => Just("::/0".to_owned())]
            .prop_map(|text| text.parse().unwrap())
    }

    proptest! {
        #[test]
        fn finds_what_a_look_at_all_finds(
            put in proptest::collection::vec((cidr(), 0u8..4), 0..40),
            taken in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
            asked in cidr(),
        ) {
            let mut map = CidrMap::default();
            let mut all: BTreeSet<(Cidr, u8)> = BTreeSet::new();
            for (cidr, value) in &put {
                map.insert(*cidr, *value);
                all.insert((*cidr, *value));
            }
            for index in taken.iter().filter(|_| !put.is_empty()) {
                let (cidr, value) = put[index.index(put.len())];
                map.remove(cidr, &value);
                all.remove(&(cidr, value));
            }
            let mut found: Vec<u8> = map.overlapping(asked).copied().collect();
            let mut expected: Vec<u8> =
                all.iter().filter(|(cidr, _)| cidr.overlaps(asked)).map(|(_, value)| *value).collect();
            found.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(map.is_empty(), all.is_empty());
            prop_assert_eq!(map.prefixes.values().sum::<usize>(), map.networks.len());
        }
    }

    #[test]
    fn what_was_never_put_in_takes_nothing_along() {
        let mut map = CidrMap::default();
        let (held, other): (Cidr, Cidr) = ("10.0.0.0/24".parse().unwrap(), "10.0.1.0/24".parse().unwrap());
        map.insert(held, 1);
        map.remove(held, &2);
        map.remove(other, &1);
        assert_eq!(map.overlapping(held).collect::<Vec<_>>(), [&1]);
    }
}
