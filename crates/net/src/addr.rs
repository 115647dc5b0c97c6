//! IP addresses as numbers, and the two families.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::ParseError;

/// Address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    #[serde(rename = "IPv4")]
    V4,
    /// IPv6.
    #[serde(rename = "IPv6")]
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(addr: IpAddr) -> Self {
        if addr.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Address length in bits: 32 or 128.
    pub fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

impl fmt::Display for Family {
    /// `IPv4` or `IPv6`, as in `Subnet.spec.protocol`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// An address as a number, network byte order (IPv4 in the low 32 bits).
pub fn addr_bits(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(a) => u128::from(u32::from(a)),
        IpAddr::V6(a) => u128::from(a),
    }
}

/// The address of a number; of an IPv4 number only the low 32 bits count.
pub fn bits_addr(family: Family, bits: u128) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::from(bits as u32)),
        Family::V6 => IpAddr::V6(Ipv6Addr::from(bits)),
    }
}

/// Parses one address; spaces around it are ignored.
///
/// # Errors
/// [`ParseError::Addr`] if the text is anything else, also an address with a prefix length.
pub fn parse_addr(text: &str) -> Result<IpAddr, ParseError> {
    text.trim().parse().map_err(|_| ParseError::Addr(text.to_owned()))
}

/// Parses the `ip_address` annotation's form: one address, or `v4,v6` in either order.
/// The result has the IPv4 address first.
///
/// # Errors
/// [`ParseError::Addr`] for a bad address, [`ParseError::Dual`] for two of one family or more than two.
pub fn parse_addr_pair(text: &str) -> Result<Vec<IpAddr>, ParseError> {
    let mut addrs = text.split(',').map(parse_addr).collect::<Result<Vec<_>, _>>()?;
    match addrs.as_slice() {
        [_] => {}
        [a, b] if a.is_ipv4() != b.is_ipv4() => addrs.sort(),
        _ => return Err(ParseError::Dual(text.to_owned())),
    }
    Ok(addrs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs() {
        let both = vec!["10.0.0.1".parse::<IpAddr>().unwrap(), "fd00::1".parse().unwrap()];
        assert_eq!(parse_addr_pair("10.0.0.1,fd00::1").unwrap(), both);
        assert_eq!(parse_addr_pair("fd00::1, 10.0.0.1").unwrap(), both);
        assert_eq!(parse_addr_pair(" 10.0.0.1 ").unwrap(), both[..1]);
        for bad in ["", ",", "10.0.0.1,", "10.0.0.1,10.0.0.2", "10.0.0.1,fd00::1,fd00::2"] {
            assert!(parse_addr_pair(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn numbers() {
        for text in ["0.0.0.0", "10.16.0.5", "255.255.255.255", "::", "fd00::5", "ffff::ffff"] {
            let addr = parse_addr(text).unwrap();
            assert_eq!(bits_addr(Family::of(addr), addr_bits(addr)), addr);
        }
    }
    #[test]
    fn families() {
        let text = |family: Family| (family.bits(), family.to_string());
        assert_eq!(text(Family::V4), (32, "IPv4".to_owned()));
        assert_eq!(text(Family::V6), (128, "IPv6".to_owned()));
    }
}
