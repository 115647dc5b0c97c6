//! Addresses, CIDRs, ranges, MACs and the address allocator.
//!
//! This crate decides what an address, a network and a range *are* (their canonical form, so that
//! `==` means "the same in the database") and which address of a subnet is handed out next. It does
//! not decide which subnet a pod belongs to, stores nothing, and knows nothing of Kubernetes or OVN.
//! No IO, no clock, no randomness.
//!
//! Canonical forms: MACs in lower case, IPv6 compressed and in lower case, CIDRs masked.

mod addr;
mod cidr;
mod cidr_map;
mod mac;
mod pool;
mod range;
mod rangeset;
mod subnet;

pub use addr::{Family, addr_bits, bits_addr, parse_addr, parse_addr_pair};
pub use cidr::{Cidr, DualCidr, IfAddr};
pub use cidr_map::CidrMap;
pub use mac::{Mac, MacTable};
pub use pool::{Pool, ReserveError};
pub use range::AddrRange;
pub use rangeset::{RangeSet, TEXT_RANGES_MAX, ranges_text, runs};
pub use subnet::{Addresses, SubnetPool, SubnetPoolError};

/// Why a text is not an address, a network, a range or a MAC.
///
/// The message names the text and what was expected, so that it can be shown to users as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not an IP address.
    #[error("{0:?} is not an IP address; write it like 10.16.0.5 or fd00:10:16::5")]
    Addr(String),
    /// Not a network in CIDR notation.
    #[error("{0:?} is not a CIDR; write it like 10.16.0.0/16 or fd00:10:16::/112")]
    Cidr(String),
    /// Not an interface address (host address with prefix length).
    #[error("{0:?} is not an address with a prefix length; write it like 10.16.0.1/16")]
    IfAddr(String),
    /// Not a range.
    #[error("{0:?} is not an address range; write one address, or first..last like 10.16.0.1..10.16.0.9")]
    Range(String),
    /// The last address of a range comes before the first.
    #[error("range {0:?} ends before it begins; write the lower address first")]
    RangeOrder(String),
    /// Two addresses that belong together are of different families.
    #[error("{0:?} mixes IPv4 and IPv6; both ends must be of one family")]
    MixedFamilies(String),
    /// A dual-stack text without exactly one IPv4 and one IPv6 part.
    #[error("{0:?} is not a dual-stack pair; write one IPv4 and one IPv6 part, separated by a comma")]
    Dual(String),
    /// Not a MAC address.
    #[error("{0:?} is not a MAC address; write it like 00:00:00:7a:2e:93")]
    Mac(String),
}
