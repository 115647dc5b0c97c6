//! MAC addresses and their uniqueness.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ParseError;

/// A MAC address (EUI-48).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac([u8; 6]);

impl Mac {
    /// From six octets, as on the wire.
    pub const fn new(octets: [u8; 6]) -> Self {
        Self(octets)
    }

    /// The six octets, as on the wire.
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// A MAC that depends on `seed` alone, with Kube-OVN's prefix `00:00:00`.
    ///
    /// 24 bits are left, so among some thousand seeds two will meet: where uniqueness matters, take
    /// [`MacTable::generate`].
    pub fn from_seed(seed: u64) -> Self {
        // The finalizer of SplitMix64: each bit of the seed reaches the low 24 bits.
        let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        // All-zero isn't a valid station address.
        let low = if z & 0xff_ffff == 0 { 1 } else { z & 0xff_ffff };
        let b = low.to_be_bytes();
        Self([0, 0, 0, b[5], b[6], b[7]])
    }

    /// [`Mac::from_seed`] of a text or other bytes (FNV-1a, 64 bit).
    pub fn from_seed_bytes(seed: &[u8]) -> Self {
        Self::from_seed(fnv1a(seed))
    }

    /// Upper case with colons, as Kube-OVN writes MACs into OVN (`00:00:00:7A:2E:93`).
    pub fn to_kube_ovn(self) -> String {
        self.to_string().to_ascii_uppercase()
    }

    /// Whether it can be the address of one station: not multicast, not all zero.
    pub fn is_unicast(self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3))
}

impl fmt::Display for Mac {
    /// Lower case with colons: the canonical form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Mac {
    type Err = ParseError;

    /// Six pairs of hex digits of any case, separated by `:` or by `-`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let err = || ParseError::Mac(text.to_owned());
        let trimmed = text.trim();
        let sep = if trimmed.contains('-') { '-' } else { ':' };
        let mut octets = [0; 6];
        let mut parts = trimmed.split(sep);
        for octet in &mut octets {
            let part = parts.next().ok_or_else(err)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(err());
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| err())?;
        }
        if parts.next().is_some() { Err(err()) } else { Ok(Self(octets)) }
    }
}

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The owner of each MAC within one L2 domain (a subnet). An owner may have several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MacTable {
    by_mac: BTreeMap<Mac, String>,
}

impl MacTable {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives `mac` to `owner`; once more for the same owner is fine.
    ///
    /// # Errors
    /// The present holder's name if that is another owner; nothing changes then.
    pub fn claim(&mut self, owner: &str, mac: Mac) -> Result<(), String> {
        match self.by_mac.get(&mac) {
            Some(holder) if holder != owner => Err(holder.clone()),
            Some(_) => Ok(()),
            None => {
                self.by_mac.insert(mac, owner.to_owned());
                Ok(())
            }
        }
    }

    /// Gives `owner` a free MAC with Kube-OVN's prefix. It depends on `seed` and on the MACs that
    /// are taken, nothing else. `None` if all 2²⁴ are taken.
    pub fn generate(&mut self, owner: &str, seed: &[u8]) -> Option<Mac> {
        let base = fnv1a(seed);
        // Quasi-random probing first; a plain scan can't miss the last free one.
        let probed = (0..64).map(|n| Mac::from_seed(base.wrapping_add(n)));
        let scanned = (1..=0xff_ffff_u32).map(|n| {
            let b = n.to_be_bytes();
            Mac([0, 0, 0, b[1], b[2], b[3]])
        });
        let mac = probed.chain(scanned).find(|mac| !self.by_mac.contains_key(mac))?;
        self.by_mac.insert(mac, owner.to_owned());
        Some(mac)
    }

    /// Who holds a MAC.
    pub fn holder(&self, mac: Mac) -> Option<&str> {
        self.by_mac.get(&mac).map(String::as_str)
    }

    /// Frees one MAC if `owner` holds it; returns whether it did.
    pub fn release(&mut self, owner: &str, mac: Mac) -> bool {
        let held = self.holder(mac) == Some(owner);
        if held {
            self.by_mac.remove(&mac);
        }
        held
    }

    /// How many MACs are taken.
    pub fn len(&self) -> usize {
        self.by_mac.len()
    }

    /// Whether none is taken.
    pub fn is_empty(&self) -> bool {
        self.by_mac.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms() {
        let mac: Mac = "00:00:00:7A:2e:93".parse().unwrap();
        assert_eq!(mac.to_string(), "00:00:00:7a:2e:93");
        assert_eq!(mac.to_kube_ovn(), "00:00:00:7A:2E:93");
        assert_eq!("00-00-00-7a-2e-93".parse::<Mac>().unwrap(), mac);
        assert_eq!(serde_json::to_string(&mac).unwrap(), "\"00:00:00:7a:2e:93\"");
        for bad in ["", "00:00:00:7a:2e", "00:00:00:7a:2e:93:01", "0:0:0:7a:2e:93", "00:00:00:7a:2e:+3", "x"]
        {
            assert!(bad.parse::<Mac>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_station_is_neither_a_group_nor_nobody() {
        for (mac, is_one) in [
            ("00:00:00:00:00:01", true),
            ("fe:16:3e:00:00:00", true),
            ("00:00:00:00:00:00", false),
            ("01:00:5e:00:00:01", false),
            ("ff:ff:ff:ff:ff:ff", false),
        ] {
            assert_eq!(mac.parse::<Mac>().unwrap().is_unicast(), is_one, "{mac}");
        }
    }

    // A router port's MAC is computed anew by each version: with another function all gateways would change theirs.
    #[test]
    fn a_seed_gives_the_same_mac_in_each_version() {
        for (seed, mac) in [
            (0, "00:00:00:1d:cd:af"),
            (1, "00:00:00:02:5c:c1"),
            (u64::MAX, "00:00:00:65:2c:20"),
            // The hash of these two ends with 24 zero bits.
            (0x61c8_8646_80b5_83eb, "00:00:00:00:00:01"),
            (0x9e0d_27c9_1fb2_2d2e, "00:00:00:00:00:01"),
        ] {
            assert_eq!(Mac::from_seed(seed).to_string(), mac, "{seed:#x}");
        }
        assert_eq!(Mac::from_seed_bytes(b"").to_string(), "00:00:00:a4:ff:30");
        assert_eq!(Mac::from_seed_bytes(b"ubuntu.net2").to_string(), "00:00:00:07:32:43");
    }

    #[test]
    fn claims_are_exclusive_and_idempotent() {
        let mut table = MacTable::new();
        assert!(table.is_empty());
        let mac = table.generate("a", b"a").unwrap();
        assert!(!table.is_empty());
        assert_eq!(table.claim("a", mac), Ok(()));
        assert_eq!(table.claim("b", mac), Err("a".to_owned()));
        assert!(!table.release("b", mac));
        assert!(table.release("a", mac));
        assert_eq!(table.claim("b", mac), Ok(()));
    }

    #[test]
    fn many_pods_get_distinct_macs() {
        let mut table = MacTable::new();
        for n in 0..50_000 {
            let owner = format!("pod-{n}.ns");
            assert!(table.generate(&owner, owner.as_bytes()).unwrap().is_unicast());
        }
        assert_eq!(table.len(), 50_000);
    }

    proptest! {
        #[test]
        fn round_trip(octets: [u8; 6]) {
            let mac = Mac::new(octets);
            prop_assert_eq!(mac.to_string().parse::<Mac>().unwrap(), mac);
            prop_assert_eq!(mac.to_kube_ovn().parse::<Mac>().unwrap(), mac);
        }

        #[test]
        fn seeded_has_the_prefix(seed: u64) {
            let mac = Mac::from_seed(seed);
            prop_assert_eq!(&mac.octets()[..3], &[0, 0, 0]);
            prop_assert_eq!(Mac::new(mac.octets()), mac);
            prop_assert!(mac.is_unicast());
            prop_assert_eq!(mac, Mac::from_seed(seed));
        }
    }
}
