//! What a pod's annotations ask for.

use std::collections::BTreeMap;
use std::net::IpAddr;

use tombolo_net::{Family, IfAddr, Mac, ParseError, parse_addr, parse_addr_pair};

use super::{Problem, Reason};
use crate::annotations as a;

/// Addresses to choose from: the `ip_pool` annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IpPool {
    /// One of these; each has one address, or one of each family.
    Addresses(Vec<Vec<IpAddr>>),
    /// Those of the IPPool object of this name.
    Named(String),
}

/// What a user asks for one interface of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodRequest {
    /// The wanted subnet.
    pub subnet: Option<String>,
    /// Static addresses, at most one of each family, IPv4 first.
    pub addresses: Vec<IpAddr>,
    /// Static MAC.
    pub mac: Option<Mac>,
    /// Addresses to choose from, if none is named.
    pub pool: Option<IpPool>,
    /// Families to take addresses of.
    pub families: Vec<Family>,
    /// Only the pod's own addresses may send.
    pub port_security: bool,
}

/// Reads a pod's annotations for the interface of `provider` (`ovn` for the first one). What the controller wrote itself
/// has the same keys and is read the same way.
///
/// # Errors
/// All that can't be parsed; all of it refuses the pod, since it would get other addresses than it asked for.
pub fn pod(annotations: &BTreeMap<String, String>, provider: &str) -> Result<PodRequest, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut request = PodRequest {
        subnet: None,
        addresses: Vec::new(),
        mac: None,
        pool: None,
        families: vec![Family::V4, Family::V6],
        port_security: false,
    };
    let value = |key: &str| {
        let key = a::for_provider(provider, key);
        annotations.get(&key).map(|v| v.trim()).filter(|v| !v.is_empty())
    };
    let mut bad = |key: &str, what: String| {
        let field = format!("metadata.annotations[{}]", a::for_provider(provider, key));
        problems.push(Problem::refuse(field, Reason::InvalidAnnotation, what));
    };
    request.subnet = value(a::LOGICAL_SWITCH).map(str::to_owned);
    request.port_security = value(a::PORT_SECURITY) == Some(a::TRUE);
    if let Some(text) = value(a::IP_ADDRESS) {
        match static_addresses(text) {
            Ok(all) => request.addresses = all,
            Err(e) => bad(a::IP_ADDRESS, e.to_string()),
        }
    }
    if let Some(text) = value(a::MAC_ADDRESS) {
        match text.parse::<Mac>() {
            Ok(mac) if mac.is_unicast() => request.mac = Some(mac),
            Ok(mac) => {
                bad(a::MAC_ADDRESS, format!("{mac} is not the address of one station; choose another one"))
            }
            Err(e) => bad(a::MAC_ADDRESS, e.to_string()),
        }
    }
    if let Some(text) = value(a::IP_POOL) {
        match ip_pool(text) {
            Ok(pool) => request.pool = Some(pool),
            Err(e) => bad(a::IP_POOL, e.to_string()),
        }
    }
    match value(a::IP_FAMILY).map(str::to_ascii_lowercase).as_deref() {
        None | Some("dual") => {}
        Some("ipv4") => request.families = vec![Family::V4],
        Some("ipv6") => request.families = vec![Family::V6],
        Some(other) => bad(a::IP_FAMILY, format!("{other:?} is unknown; write ipv4 or ipv6")),
    }
    if problems.is_empty() { Ok(request) } else { Err(problems) }
}

/// Kube-OVN takes addresses with a prefix length too, and makes nothing of the length.
fn static_addresses(text: &str) -> Result<Vec<IpAddr>, ParseError> {
    let bare = text.split(',').map(|part| match part.trim().parse::<IfAddr>() {
        Ok(with_prefix) => with_prefix.addr().to_string(),
        Err(_) => part.to_owned(),
    });
    parse_addr_pair(&bare.collect::<Vec<_>>().join(","))
}

fn ip_pool(text: &str) -> Result<IpPool, ParseError> {
    if text.contains(';') {
        return text.split(';').map(parse_addr_pair).collect::<Result<_, _>>().map(IpPool::Addresses);
    }
    if text.contains(',') {
        // One pair of both families is one choice, anything else a list of choices.
        if let Ok(pair) = parse_addr_pair(text) {
            return Ok(IpPool::Addresses(vec![pair]));
        }
        return text
            .split(',')
            .map(|t| parse_addr(t).map(|a| vec![a]))
            .collect::<Result<_, _>>()
            .map(IpPool::Addresses);
    }
    Ok(parse_addr(text).map_or_else(|_| IpPool::Named(text.to_owned()), |a| IpPool::Addresses(vec![vec![a]])))
}
