//! What a Subnet's annotations under `tombolo.io/` grant to its pods: users who may change the Subnet decide, a pod's
//! author can't (invariant 12).

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use tombolo_net::{Cidr, DualCidr, Family};

use super::pod::quoted;
use super::{Problem, Reason};
use crate::annotations as a;

/// So many addresses may be allowed beside a pod's own: each stands on each port of the Subnet.
const ALLOWED_MAX: usize = 64;

/// An address or network that pods may send from beside their own addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// One address.
    Address(IpAddr),
    /// All addresses of a network.
    Network(Cidr),
}

impl Allowed {
    /// Its family.
    #[must_use]
    pub fn family(self) -> Family {
        match self {
            Self::Address(address) => Family::of(address),
            Self::Network(cidr) => cidr.family(),
        }
    }

    /// Its first and its last address.
    fn ends(self) -> (IpAddr, IpAddr) {
        match self {
            Self::Address(address) => (address, address),
            Self::Network(cidr) => (cidr.range().first(), cidr.range().last()),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text.parse::<IpAddr>() {
            Ok(address) => Some(Self::Address(address)),
            // With host bits OVN would take it for one address and its broadcast address.
            Err(_) => {
                let cidr = text.parse::<Cidr>().ok()?;
                let address = text.split('/').next()?.trim().parse::<IpAddr>().ok()?;
                (cidr.network() == address).then_some(Self::Network(cidr))
            }
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Network(cidr) => cidr.fmt(f),
        }
    }
}

/// What a Subnet grants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Its pods may send from any address.
    pub unsecured: bool,
    /// What its pods may send from beside their own addresses.
    pub allowed: Vec<Allowed>,
    /// Its pods may ask for static addresses inside `excludeIps`.
    pub static_in_excluded: bool,
}

/// Reads the annotations; `cidr` and `gateways` are the Subnet's network. Invalid ones grant nothing and are reported.
#[must_use]
pub fn subnet_annotations(
    annotations: Option<&BTreeMap<String, String>>,
    cidr: DualCidr,
    gateways: &[IpAddr],
) -> (Grants, Vec<Problem>) {
    let mut grants = Grants::default();
    let mut problems = Vec::new();
    let value = |key: &str| annotations?.get(key).map(|v| v.trim()).filter(|v| !v.is_empty());
    let mut bad = |key: &str, what: String| {
        problems.push(Problem::ignored(
            format!("metadata.annotations[{key}]"),
            Reason::InvalidAnnotation,
            what,
        ));
    };
    let flag = |key: &str, bad: &mut dyn FnMut(&str, String)| match value(key) {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(other) => {
            bad(key, format!("{} is neither true nor false and has no effect", quoted(other)));
            None
        }
    };
    grants.unsecured = flag(a::SUBNET_PORT_SECURITY, &mut bad) == Some(false);
    grants.static_in_excluded = flag(a::STATIC_IN_EXCLUDED, &mut bad) == Some(true);
    let key = a::ALLOWED_ADDRESSES;
    let texts = value(key).into_iter().flat_map(|text| text.split(','));
    for text in texts.map(str::trim).filter(|text| !text.is_empty()) {
        if grants.allowed.len() == ALLOWED_MAX {
            bad(key, format!("has more than {ALLOWED_MAX} entries; those after them have no effect"));
            break;
        }
        let Some(allowed) = Allowed::parse(text) else {
            bad(key, format!("{} is neither an address nor a network and has no effect", quoted(text)));
            continue;
        };
        let (first, last) = allowed.ends();
        let holds = |address: &&IpAddr| {
            Family::of(**address) == allowed.family() && (first..=last).contains(*address)
        };
        if !cidr.contains(first) || !cidr.contains(last) {
            bad(key, format!("{allowed} is outside of {cidr} and has no effect; choose one inside"));
        } else if let Some(gateway) = gateways.iter().find(holds) {
            let what =
                format!("{allowed} holds the gateway {gateway}, which is never a pod's; it has no effect");
            bad(key, what);
        } else {
            grants.allowed.push(allowed);
        }
    }
    (grants, problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> (Grants, Vec<String>) {
        let all = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let cidr = "10.0.0.0/24,fd00::/64".parse().unwrap();
        let gateways = ["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        let (grants, problems) = subnet_annotations(Some(&all), cidr, &gateways);
        (grants, problems.into_iter().map(|problem| problem.message).collect())
    }

    #[test]
    fn nothing_is_granted_unasked() {
        assert_eq!(read(&[]), (Grants::default(), Vec::new()));
        assert_eq!(
            read(&[(a::SUBNET_PORT_SECURITY, "true"), (a::STATIC_IN_EXCLUDED, "false")]).0,
            Grants::default()
        );
    }

    #[test]
    fn grants() {
        let (grants, problems) = read(&[
            (a::SUBNET_PORT_SECURITY, "false"),
            (a::STATIC_IN_EXCLUDED, "true"),
            (a::ALLOWED_ADDRESSES, "10.0.0.100, 10.0.0.16/28,fd00::100"),
        ]);
        assert_eq!(problems, Vec::<String>::new());
        assert!(grants.unsecured && grants.static_in_excluded);
        let allowed: Vec<String> = grants.allowed.iter().map(ToString::to_string).collect();
        assert_eq!(allowed, ["10.0.0.100", "10.0.0.16/28", "fd00::100"]);
    }

    #[test]
    fn what_cannot_be_granted_is_told_and_grants_nothing() {
        // The gateway itself, a network that holds it, what is outside, host bits, no address at all.
        for text in ["10.0.0.1", "10.0.0.0/28", "10.9.0.1", "10.0.0.128/23", "10.0.0.17/28", "x", "fd00::/64"]
        {
            let (grants, problems) = read(&[(a::ALLOWED_ADDRESSES, text)]);
            assert_eq!((grants.allowed.len(), problems.len()), (0, 1), "{text}: {problems:?}");
        }
        let (grants, problems) = read(&[(a::SUBNET_PORT_SECURITY, "off")]);
        assert!(!grants.unsecured && problems.len() == 1, "{problems:?}");
        let many = (0..200).map(|n| format!("10.0.0.{}", n + 2)).collect::<Vec<_>>().join(",");
        let (grants, problems) = read(&[(a::ALLOWED_ADDRESSES, &many)]);
        assert_eq!((grants.allowed.len(), problems.len()), (ALLOWED_MAX, 1));
    }
}
