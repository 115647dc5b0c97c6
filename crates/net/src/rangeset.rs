//! A set of numbers kept as ranges.

use std::collections::BTreeMap;
use std::iter::FromIterator;

use crate::{AddrRange, Family};

/// A set of `u128` (addresses of one family, see [`crate::addr_bits`]), kept as disjoint ranges that
/// don't touch. Size and cost depend on the number of ranges, not of members.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeSet {
    /// First member of a range → its last one.
    ranges: BTreeMap<u128, u128>,
    /// Number of members; `u128::MAX` also stands for 2¹²⁸.
    len: u128,
}

impl RangeSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// The set of one range, both ends included.
    pub fn from_range(range: (u128, u128)) -> Self {
        let mut set = Self::new();
        set.insert_range(range);
        set
    }

    /// Adds a range, both ends included; an inverted range adds nothing. O(log n) and the ranges it swallows.
    pub fn insert_range(&mut self, (first, last): (u128, u128)) {
        if first > last {
            return;
        }
        let (mut first, mut last) = (first, last);
        // The range that begins before us may reach or touch us.
        if let Some((&a, &b)) = self.ranges.range(..first).next_back()
            && b >= first - 1
        {
            if b >= last {
                return;
            }
            first = a;
        }
        // All that begin within us, or right after us, are swallowed.
        let limit = last.saturating_add(1);
        let swallowed: Vec<(u128, u128)> = self.ranges.range(first..=limit).map(|(a, b)| (*a, *b)).collect();
        for (a, b) in swallowed {
            self.ranges.remove(&a);
            self.shrink(a, b);
            last = last.max(b);
        }
        self.ranges.insert(first, last);
        self.len = self.len.saturating_add((last - first).saturating_add(1));
    }

    /// Removes a range, both ends included. O(log n) and the ranges it meets.
    pub fn remove_range(&mut self, (first, last): (u128, u128)) {
        if first > last {
            return;
        }
        let before =
            self.ranges.range(..first).next_back().map(|(a, b)| (*a, *b)).filter(|(_, b)| *b >= first);
        let met: Vec<(u128, u128)> =
            before.into_iter().chain(self.ranges.range(first..=last).map(|(a, b)| (*a, *b))).collect();
        for (a, b) in met {
            self.ranges.remove(&a);
            self.shrink(a, b);
            if a < first {
                self.ranges.insert(a, first - 1);
                self.len += first - a;
            }
            if b > last {
                self.ranges.insert(last + 1, b);
                self.len += b - last;
            }
        }
    }

    fn shrink(&mut self, first: u128, last: u128) {
        // The only set whose size doesn't fit is the one range of everything.
        let gone = last - first;
        self.len =
            if self.len == u128::MAX && first == 0 && last == u128::MAX { 0 } else { self.len - gone - 1 };
    }

    /// Adds one member; returns whether it was new.
    pub fn insert(&mut self, value: u128) -> bool {
        let new = !self.contains(value);
        if new {
            self.insert_range((value, value));
        }
        new
    }

    /// Removes one member; returns whether it was there.
    pub fn remove(&mut self, value: u128) -> bool {
        let there = self.contains(value);
        if there {
            self.remove_range((value, value));
        }
        there
    }

    /// Whether `value` is a member. O(log n).
    pub fn contains(&self, value: u128) -> bool {
        self.ranges.range(..=value).next_back().is_some_and(|(_, last)| *last >= value)
    }

    /// The lowest member that is not below `from`. O(log n).
    pub fn next_at_or_after(&self, from: u128) -> Option<u128> {
        if self.contains(from) {
            Some(from)
        } else {
            self.ranges.range(from..).next().map(|(first, _)| *first)
        }
    }

    /// The lowest member.
    pub fn first(&self) -> Option<u128> {
        self.ranges.keys().next().copied()
    }

    /// Number of members; `u128::MAX` also stands for 2¹²⁸.
    pub fn len(&self) -> u128 {
        self.len
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Its ranges in ascending order, both ends included.
    pub fn ranges(&self) -> impl Iterator<Item = (u128, u128)> {
        self.ranges.iter().map(|(a, b)| (*a, *b))
    }

    /// The text of `Subnet.status.v4availableIPrange` and its siblings:
    /// ranges in ascending order, `12.0.1.2-12.0.1.9,12.0.1.11`; see [`ranges_text`] for its limit.
    pub fn to_text(&self, family: Family) -> String {
        ranges_text(family, self.ranges())
    }
}

/// How many ranges a text of ranges shows: some 30 kB, so that a status stays far below what an API object may
/// have, however scattered the addresses are.
pub const TEXT_RANGES_MAX: usize = 1000;

/// Ranges in ascending order as the text of `Subnet.status`. After [`TEXT_RANGES_MAX`] of them it ends with `,...`
/// (Kube-OVN has no limit). No more of `ranges` is read than that.
pub fn ranges_text(family: Family, ranges: impl IntoIterator<Item = (u128, u128)>) -> String {
    let mut ranges = ranges.into_iter();
    let mut text = String::new();
    for range in ranges.by_ref().take(TEXT_RANGES_MAX) {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&AddrRange::from_bits(family, range).to_string());
    }
    if ranges.next().is_some() {
        text.push_str(",...");
    }
    text
}

/// Ascending numbers as the ranges they form.
pub fn runs(numbers: impl IntoIterator<Item = u128>) -> impl Iterator<Item = (u128, u128)> {
    let mut numbers = numbers.into_iter().peekable();
    std::iter::from_fn(move || {
        let first = numbers.next()?;
        let mut last = first;
        while let Some(next) = numbers.next_if(|n| last.checked_add(1) == Some(*n)) {
            last = next;
        }
        Some((first, last))
    })
}

impl FromIterator<(u128, u128)> for RangeSet {
    fn from_iter<I: IntoIterator<Item = (u128, u128)>>(iter: I) -> Self {
        let mut set = Self::new();
        iter.into_iter().for_each(|r| set.insert_range(r));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_whole_space() {
        let mut all = RangeSet::from_range((0, u128::MAX));
        assert_eq!(all.len(), u128::MAX);
        assert!(all.remove(7));
        assert_eq!((all.len(), all.ranges().count()), (u128::MAX, 2));
        assert!(all.remove(u128::MAX));
        assert_eq!(all.len(), u128::MAX - 1);
        assert!(all.insert(7) && all.insert(u128::MAX));
        assert_eq!(all, RangeSet::from_range((0, u128::MAX)));
        assert!(!all.is_empty());
        all.remove_range((0, u128::MAX));
        assert_eq!(all, RangeSet::new());
        assert!(all.is_empty());
    }

    #[test]
    fn text() {
        let mut set = RangeSet::from_range((0x0c00_0102, 0x0c00_01fe));
        set.remove(0x0c00_0104);
        assert_eq!(set.to_text(Family::V4), "12.0.1.2-12.0.1.3,12.0.1.5-12.0.1.254");
        assert_eq!(RangeSet::new().to_text(Family::V4), "");
    }

    #[test]
    fn a_scattered_set_has_a_bounded_text() {
        let odd = |n: u128| (0..n).map(|i| (2 * i, 2 * i)).collect::<RangeSet>();
        let full = odd(TEXT_RANGES_MAX as u128).to_text(Family::V4);
        assert_eq!(full.split(',').count(), TEXT_RANGES_MAX);
        assert!(full.ends_with(".206"), "{full}");
        let cut = odd(30_000).to_text(Family::V4);
        assert_eq!(cut, format!("{full},..."));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u8, u8),
        Remove(u8, u8),
    }

    proptest! {
        // The model: a plain set of bytes.
        #[test]
        fn behaves_like_a_set(steps in prop::collection::vec(prop_oneof![
            (any::<u8>(), 0u8..40).prop_map(|(a, n)| Step::Insert(a, a.saturating_add(n))),
            (any::<u8>(), 0u8..40).prop_map(|(a, n)| Step::Remove(a, a.saturating_add(n))),
        ], 0..60), base in prop_oneof![Just(0u128), Just(u128::MAX - 255)]) {
            let (mut set, mut model) = (RangeSet::new(), BTreeSet::new());
            let at = |v: u8| base + u128::from(v);
            for step in steps {
                match step {
                    Step::Insert(a, b) => { set.insert_range((at(a), at(b))); model.extend((a..=b).map(at)); }
                    Step::Remove(a, b) => { set.remove_range((at(a), at(b))); (a..=b).for_each(|v| { model.remove(&at(v)); }); }
                }
                prop_assert_eq!(set.len(), model.len() as u128);
                let members: BTreeSet<u128> = set.ranges().flat_map(|(a, b)| a..=b).collect();
                prop_assert_eq!(&members, &model);
                let ranges: Vec<_> = set.ranges().collect();
                prop_assert_eq!(&runs(model.iter().copied()).collect::<Vec<_>>(), &ranges);
                prop_assert!(ranges.windows(2).all(|w| w[0].1 + 1 < w[1].0), "ranges touch: {:?}", ranges);
                for v in [0, 1, 100, 254, 255] {
                    prop_assert_eq!(set.contains(at(v)), model.contains(&at(v)));
                    prop_assert_eq!(set.next_at_or_after(at(v)), model.range(at(v)..).next().copied());
                }
            }
        }
    }
}
