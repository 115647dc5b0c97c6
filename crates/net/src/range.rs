//! Address ranges, as in `Subnet.spec.excludeIps` and `Subnet.status`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::{Family, ParseError, addr_bits, bits_addr};

/// A range of addresses of one family, both ends included. Never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddrRange {
    first: IpAddr,
    last: IpAddr,
}

impl AddrRange {
    /// `None` if the families differ or `last` is before `first`.
    pub fn new(first: IpAddr, last: IpAddr) -> Option<Self> {
        (first.is_ipv4() == last.is_ipv4() && first <= last).then_some(Self { first, last })
    }

    /// Both ends in any order; of one family, which the caller has made sure of.
    pub(crate) fn spanning(a: IpAddr, b: IpAddr) -> Self {
        Self { first: a.min(b), last: a.max(b) }
    }

    /// The lowest address.
    pub fn first(self) -> IpAddr {
        self.first
    }

    /// The highest address.
    pub fn last(self) -> IpAddr {
        self.last
    }

    /// Address family.
    pub fn family(self) -> Family {
        Family::of(self.first)
    }

    /// Both ends as numbers.
    pub fn bits(self) -> (u128, u128) {
        (addr_bits(self.first), addr_bits(self.last))
    }

    /// From both ends as numbers, lower first.
    pub fn from_bits(family: Family, (first, last): (u128, u128)) -> Self {
        Self::spanning(bits_addr(family, first), bits_addr(family, last))
    }

    /// Number of addresses; `u128::MAX` for all of IPv6.
    pub fn size(self) -> u128 {
        let (first, last) = self.bits();
        (last - first).saturating_add(1)
    }

    /// Whether it holds an address.
    pub fn contains(self, addr: IpAddr) -> bool {
        addr.is_ipv4() == self.first.is_ipv4() && self.first <= addr && addr <= self.last
    }

    /// Parses an element of `excludeIps`: `a`, or `a..b` with `a` not after `b`.
    ///
    /// # Errors
    /// [`ParseError::Range`], [`ParseError::RangeOrder`] or [`ParseError::MixedFamilies`].
    pub fn parse_exclude(text: &str) -> Result<Self, ParseError> {
        Self::parse_with(text, "..")
    }

    fn parse_with(text: &str, sep: &str) -> Result<Self, ParseError> {
        let (a, b) = text.split_once(sep).unwrap_or((text, text));
        let parse = |s: &str| s.trim().parse::<IpAddr>().map_err(|_| ParseError::Range(text.to_owned()));
        let (first, last) = (parse(a)?, parse(b)?);
        if first.is_ipv4() != last.is_ipv4() {
            return Err(ParseError::MixedFamilies(text.to_owned()));
        }
        Self::new(first, last).ok_or_else(|| ParseError::RangeOrder(text.to_owned()))
    }

    /// The form of `excludeIps`: `a`, or `a..b`.
    pub fn to_exclude(self) -> String {
        if self.first == self.last {
            self.first.to_string()
        } else {
            format!("{}..{}", self.first, self.last)
        }
    }
}

impl From<IpAddr> for AddrRange {
    fn from(addr: IpAddr) -> Self {
        Self { first: addr, last: addr }
    }
}

impl fmt::Display for AddrRange {
    /// The form of `Subnet.status`: `a`, or `a-b`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl FromStr for AddrRange {
    type Err = ParseError;

    /// Reads both forms: `a`, `a-b` and `a..b`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse_with(text, if text.contains("..") { ".." } else { "-" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms() {
        let r = AddrRange::parse_exclude("12.0.1.1..12.0.1.9").unwrap();
        assert_eq!((r.to_string().as_str(), r.size()), ("12.0.1.1-12.0.1.9", 9));
        assert_eq!(r.to_exclude(), "12.0.1.1..12.0.1.9");
        assert_eq!(AddrRange::parse_exclude("FD00::1").unwrap().to_exclude(), "fd00::1");
        assert_eq!(
            AddrRange::parse_exclude("1.1.1.9..1.1.1.1"),
            Err(ParseError::RangeOrder("1.1.1.9..1.1.1.1".into()))
        );
        assert!(matches!(AddrRange::parse_exclude("1.1.1.9..fd00::1"), Err(ParseError::MixedFamilies(_))));
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let held =
            ["12.0.1.0", "12.0.1.1", "12.0.1.9", "12.0.1.10", "::c00:105"].map(|it| r.contains(ip(it)));
        assert_eq!(held, [false, true, true, false, false]);
        assert_eq!(AddrRange::new(ip("12.0.1.1"), ip("12.0.1.9")), Some(r));
        assert_eq!(AddrRange::new(ip("12.0.1.9"), ip("12.0.1.1")), None);
        assert_eq!(AddrRange::new(ip("12.0.1.1"), ip("fd00::1")), None);
        let one = AddrRange::from(ip("12.0.1.1"));
        assert_eq!((one.to_string().as_str(), one.first(), one.last()), ("12.0.1.1", r.first(), r.first()));
        for bad in ["", "..", "1.1.1.1..", "1.1.1.1-1.1.1.3", "1.1.1.1..1.1.1.2..1.1.1.3", "1.1.1.0/24"] {
            assert!(AddrRange::parse_exclude(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(a: u32, b: u32, c: u128, d: u128) {
            for r in [
                AddrRange::spanning(IpAddr::V4(a.into()), IpAddr::V4(b.into())),
                AddrRange::spanning(IpAddr::V6(c.into()), IpAddr::V6(d.into())),
            ] {
                prop_assert_eq!(AddrRange::parse_exclude(&r.to_exclude()).unwrap(), r);
                prop_assert_eq!(r.to_string().parse::<AddrRange>().unwrap(), r);
                prop_assert_eq!(AddrRange::from_bits(r.family(), r.bits()), r);
            }
        }
    }
}
