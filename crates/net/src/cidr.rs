//! Networks and interface addresses.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{AddrRange, Family, ParseError, addr_bits, bits_addr};

/// A network: always masked, so two `Cidr` are equal exactly if they hold the same addresses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr(IpNet);

impl Cidr {
    /// The network of `prefix` bits that holds `addr`. `None` if the prefix is longer than an address.
    pub fn new(addr: IpAddr, prefix: u8) -> Option<Self> {
        IpNet::new(addr, prefix).ok().map(|net| Self(net.trunc()))
    }

    /// The network address (all host bits zero).
    pub fn network(self) -> IpAddr {
        self.0.network()
    }

    /// The last address (all host bits one): IPv4's broadcast address.
    pub fn last(self) -> IpAddr {
        self.0.broadcast()
    }

    /// Prefix length, 0–32 or 0–128.
    pub fn prefix(self) -> u8 {
        self.0.prefix_len()
    }

    /// Address family.
    pub fn family(self) -> Family {
        Family::of(self.0.addr())
    }

    /// All its addresses as a range.
    pub fn range(self) -> AddrRange {
        AddrRange::spanning(self.network(), self.last())
    }

    /// The addresses that hosts may have, as a range.
    ///
    /// Without the first and the last one (network and broadcast address; for IPv6 the
    /// subnet-router anycast address of RFC 4291 §2.6.1 and the last, as Kube-OVN does), except in
    /// networks of two (RFC 3021, RFC 6164) or one address, which are usable entirely.
    pub fn usable(self) -> AddrRange {
        let (first, last) = (addr_bits(self.network()), addr_bits(self.last()));
        if last - first < 2 {
            return self.range();
        }
        AddrRange::spanning(bits_addr(self.family(), first + 1), bits_addr(self.family(), last - 1))
    }

    /// Whether it is an IPv4 network of two addresses. northd takes the last one for a broadcast address there too, if the
    /// router has the first, and drops what comes from it: the last one has to be the router's, the first the host's.
    pub fn is_pair(self) -> bool {
        self.family() == Family::V4 && self.prefix() == 31
    }

    /// The addresses that hosts behind a router of OVN may have, as a range: the usable ones, but see [`Cidr::is_pair`].
    pub fn assignable(self) -> AddrRange {
        if self.is_pair() { AddrRange::spanning(self.network(), self.network()) } else { self.usable() }
    }

    /// The gateway where a user names none: the lowest usable address, as Kube-OVN's, but see [`Cidr::is_pair`].
    pub fn default_gateway(self) -> IpAddr {
        if self.is_pair() { self.last_usable() } else { self.first_usable() }
    }

    /// The lowest address a host may have.
    pub fn first_usable(self) -> IpAddr {
        self.usable().first()
    }

    /// The highest address a host may have.
    pub fn last_usable(self) -> IpAddr {
        self.usable().last()
    }

    /// Number of addresses, network and broadcast included; `u128::MAX` for `::/0`.
    pub fn size(self) -> u128 {
        self.range().size()
    }

    /// Whether it holds an address (`false` for the other family).
    pub fn contains(self, addr: IpAddr) -> bool {
        self.0.contains(&addr)
    }

    /// Whether it holds all of another network (also an equal one).
    pub fn contains_net(self, other: Self) -> bool {
        self.0.contains(&other.0)
    }

    /// Whether the two have an address in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains_net(other) || other.contains_net(self)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Cidr {
    type Err = ParseError;

    /// `address/prefix`; host bits are cleared.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let net: IpNet = text.trim().parse().map_err(|_| ParseError::Cidr(text.to_owned()))?;
        Ok(Self(net.trunc()))
    }
}

/// An interface's address: a host address and its network's prefix length, as in
/// `Logical_Router_Port.networks` (`12.0.1.1/24`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfAddr(IpNet);

impl IfAddr {
    /// `None` if the prefix is longer than an address.
    pub fn new(addr: IpAddr, prefix: u8) -> Option<Self> {
        IpNet::new(addr, prefix).ok().map(Self)
    }

    /// `addr` with the prefix length of `cidr`; `None` if it lies outside.
    pub fn within(addr: IpAddr, cidr: Cidr) -> Option<Self> {
        if cidr.contains(addr) { Self::new(addr, cidr.prefix()) } else { None }
    }

    /// The host's address.
    pub fn addr(self) -> IpAddr {
        self.0.addr()
    }

    /// Prefix length.
    pub fn prefix(self) -> u8 {
        self.0.prefix_len()
    }

    /// The network it is in.
    pub fn cidr(self) -> Cidr {
        Cidr(self.0.trunc())
    }

    /// Address family.
    pub fn family(self) -> Family {
        Family::of(self.0.addr())
    }
}

impl fmt::Display for IfAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for IfAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for IfAddr {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        text.trim().parse().map(Self).map_err(|_| ParseError::IfAddr(text.to_owned()))
    }
}

/// The networks of a subnet: one family, or both (`10.16.0.0/16,fd00:10:16::/112`). Never empty.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DualCidr {
    v4: Option<Cidr>,
    v6: Option<Cidr>,
}

impl DualCidr {
    /// From up to one network of each family. `None` if there is none, or one in the wrong place.
    pub fn new(v4: Option<Cidr>, v6: Option<Cidr>) -> Option<Self> {
        let fits = v4.is_none_or(|c| c.family() == Family::V4) && v6.is_none_or(|c| c.family() == Family::V6);
        (fits && (v4.is_some() || v6.is_some())).then_some(Self { v4, v6 })
    }

    /// The IPv4 network.
    pub fn v4(self) -> Option<Cidr> {
        self.v4
    }

    /// The IPv6 network.
    pub fn v6(self) -> Option<Cidr> {
        self.v6
    }

    /// The network of one family.
    pub fn of(self, family: Family) -> Option<Cidr> {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }

    /// Its one or two networks, IPv4 first.
    pub fn iter(self) -> impl Iterator<Item = Cidr> {
        self.v4.into_iter().chain(self.v6)
    }

    /// `IPv4`, `IPv6` or `Dual`, as in `Subnet.spec.protocol`.
    pub fn protocol(self) -> &'static str {
        match (self.v4, self.v6) {
            (Some(_), Some(_)) => "Dual",
            (Some(_), None) => "IPv4",
            (None, _) => "IPv6",
        }
    }

    /// Whether one of the networks holds the address.
    pub fn contains(self, addr: IpAddr) -> bool {
        self.iter().any(|c| c.contains(addr))
    }

    /// Whether any two networks of one family have an address in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.iter().any(|a| other.iter().any(|b| a.overlaps(b)))
    }
}

impl From<Cidr> for DualCidr {
    fn from(cidr: Cidr) -> Self {
        match cidr.family() {
            Family::V4 => Self { v4: Some(cidr), v6: None },
            Family::V6 => Self { v4: None, v6: Some(cidr) },
        }
    }
}

impl fmt::Display for DualCidr {
    /// `v4`, `v6` or `v4,v6`, masked: Kube-OVN's `cidrBlock`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.v4, self.v6) {
            (Some(a), Some(b)) => write!(f, "{a},{b}"),
            (Some(a), None) | (None, Some(a)) => write!(f, "{a}"),
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Debug for DualCidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for DualCidr {
    type Err = ParseError;

    /// One network, or one of each family in either order, separated by a comma.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let dual = || ParseError::Dual(text.to_owned());
        let mut parts = text.split(',');
        let first: Cidr = parts.next().unwrap_or_default().parse()?;
        let Some(second) = parts.next() else { return Ok(first.into()) };
        let second: Cidr = second.parse()?;
        if parts.next().is_some() {
            return Err(dual());
        }
        match (first.family(), second.family()) {
            (Family::V4, Family::V6) => Ok(Self { v4: Some(first), v6: Some(second) }),
            (Family::V6, Family::V4) => Ok(Self { v4: Some(second), v6: Some(first) }),
            _ => Err(dual()),
        }
    }
}

macro_rules! serde_as_text {
    ($($t:ty),*) => {$(
        impl Serialize for $t {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $t {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

serde_as_text!(Cidr, IfAddr, DualCidr);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn usable_ends() {
        for (net, first, last) in [
            ("12.0.1.0/24", "12.0.1.1", "12.0.1.254"),
            ("12.0.1.9/30", "12.0.1.9", "12.0.1.10"),
            ("12.0.1.8/31", "12.0.1.8", "12.0.1.9"),
            ("12.0.1.8/32", "12.0.1.8", "12.0.1.8"),
            ("255.255.255.0/24", "255.255.255.1", "255.255.255.254"),
            ("FD00::/112", "fd00::1", "fd00::fffe"),
            ("fd00::8/127", "fd00::8", "fd00::9"),
        ] {
            assert_eq!(cidr(net).first_usable().to_string(), first, "{net}");
            assert_eq!(cidr(net).last_usable().to_string(), last, "{net}");
        }
    }

    #[test]
    fn masked_and_canonical() {
        assert_eq!(cidr("12.0.1.77/24").to_string(), "12.0.1.0/24");
        assert_eq!(cidr("FD00:0:0::1/64").to_string(), "fd00::/64");
        assert_eq!(cidr("::/0").size(), u128::MAX);
        assert_eq!(cidr("0.0.0.0/0").size(), 1 << 32);
        for bad in ["", "12.0.1.0", "12.0.1.0/33", "12.0.1/24", "12.0.1.0/-1", "a/24"] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn dual() {
        let both: DualCidr = "fd00::1/112,10.16.0.9/16".parse().unwrap();
        assert_eq!(both.to_string(), "10.16.0.0/16,fd00::/112");
        assert_eq!(both.protocol(), "Dual");
        assert_eq!((both.v4(), both.v6()), (Some(cidr("10.16.0.0/16")), Some(cidr("fd00::/112"))));
        for (inside, outside) in [("10.16.255.255", "10.17.0.0"), ("fd00::ffff", "fd00::1:0")] {
            assert!(both.contains(inside.parse().unwrap()), "{inside}");
            assert!(!both.contains(outside.parse().unwrap()), "{outside}");
        }
        assert!(both.overlaps("fd00::/64".parse().unwrap()));
        assert!(!both.overlaps("fd01::/64,10.17.0.0/16".parse().unwrap()));
        for bad in ["", "10.0.0.0/8,", "10.0.0.0/8,11.0.0.0/8", "10.0.0.0/8,fd00::/64,fd01::/64"] {
            assert!(bad.parse::<DualCidr>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn interface_addresses_keep_the_host() {
        let a: IfAddr = "12.0.1.1/24".parse().unwrap();
        assert_eq!((a.to_string().as_str(), a.cidr()), ("12.0.1.1/24", cidr("12.0.1.0/24")));
        assert_eq!((a.prefix(), IfAddr::within(a.addr(), a.cidr())), (24, Some(a)));
        assert_eq!(IfAddr::within("12.0.2.1".parse().unwrap(), a.cidr()), None);
    }

    fn any_cidr() -> impl Strategy<Value = Cidr> {
        prop_oneof![
            (any::<u32>(), 0u8..=32).prop_map(|(a, p)| Cidr::new(IpAddr::V4(a.into()), p).unwrap()),
            // Short prefixes in a small space, so that overlaps do happen.
            (0u32..1024, 22u8..=32).prop_map(|(a, p)| Cidr::new(IpAddr::V4(a.into()), p).unwrap()),
            (any::<u128>(), 0u8..=128).prop_map(|(a, p)| Cidr::new(IpAddr::V6(a.into()), p).unwrap()),
        ]
    }

    proptest! {
        #[test]
        fn round_trip(c in any_cidr()) {
            prop_assert_eq!(c.to_string().parse::<Cidr>().unwrap(), c);
            let json = serde_json::to_string(&c).unwrap();
            prop_assert_eq!(serde_json::from_str::<Cidr>(&json).unwrap(), c);
            prop_assert!(c.contains(c.network()) && c.contains(c.last()) && c.contains(c.first_usable()));
        }

        #[test]
        fn overlap_is_symmetric_and_means_a_common_address(a in any_cidr(), b in any_cidr()) {
            prop_assert_eq!(a.overlaps(b), b.overlaps(a));
            prop_assert!(a.overlaps(a));
            let common = a.contains(b.network()) || b.contains(a.network());
            prop_assert_eq!(a.overlaps(b), common);
        }
    }
}
