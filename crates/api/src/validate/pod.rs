//! What a pod's annotations ask for.

use std::collections::BTreeMap;
use std::net::IpAddr;

use tombolo_net::{Family, IfAddr, Mac, ParseError, parse_addr, parse_addr_pair};

use super::{Problem, Reason};
use crate::annotations as a;

/// Addresses to choose from: the `ip_pool` annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IpPool {
    /// One of these; each has one address, or one of each family. One that can't be read is empty: its place counts for
    /// the pods of a StatefulSet.
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
    // Longer than any address: no parser need see it, and no message repeats it.
    let too_long = |text: &str| text.len() > ADDRESS_LENGTH;
    if let Some(name) = value(a::LOGICAL_SWITCH) {
        match is_object_name(name) {
            true => request.subnet = Some(name.to_owned()),
            false => bad(a::LOGICAL_SWITCH, format!("{} can't be the name of a Subnet", quoted(name))),
        }
    }
    request.port_security = value(a::PORT_SECURITY) == Some(a::TRUE);
    if let Some(text) = value(a::IP_ADDRESS) {
        match static_addresses(text) {
            _ if too_long(text) => bad(a::IP_ADDRESS, format!("{} is not an address", quoted(text))),
            Ok(all) => request.addresses = all,
            Err(e) => bad(a::IP_ADDRESS, e.to_string()),
        }
    }
    if let Some(text) = value(a::MAC_ADDRESS).filter(|text| too_long(text)) {
        bad(a::MAC_ADDRESS, format!("{} is not a MAC address", quoted(text)));
    } else if let Some(text) = value(a::MAC_ADDRESS) {
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
            Err(what) => bad(a::IP_POOL, what),
        }
    }
    match value(a::IP_FAMILY).map(str::to_ascii_lowercase).as_deref() {
        None | Some("dual") => {}
        Some("ipv4") => request.families = vec![Family::V4],
        Some("ipv6") => request.families = vec![Family::V6],
        Some(other) => bad(a::IP_FAMILY, format!("{} is unknown; write ipv4 or ipv6", quoted(other))),
    }
    if let Some(other) = request.addresses.iter().find(|it| !request.families.contains(&Family::of(**it))) {
        bad(a::IP_FAMILY, format!("excludes {other}, which {} asks for; remove one of them", a::IP_ADDRESS));
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

fn ip_pool(text: &str) -> Result<IpPool, String> {
    if !text.contains([';', ',']) {
        return match parse_addr(text) {
            Ok(address) => Ok(IpPool::Addresses(vec![vec![address]])),
            Err(_) if is_object_name(text) => Ok(IpPool::Named(text.to_owned())),
            Err(_) => Err(format!("{} is neither an address nor the name of an IPPool", quoted(text))),
        };
    }
    let separator = if text.contains(';') { ';' } else { ',' };
    if separator == ','
        && text.len() <= ADDRESS_LENGTH
        && let Ok(pair) = parse_addr_pair(text)
    {
        // One pair of both families is one choice, anything else a list of choices.
        return Ok(IpPool::Addresses(vec![pair]));
    }
    // What doesn't fit isn't read: a pod that waits reads its annotations again and again.
    let entries = text.split(separator).take(POOL_ENTRIES + 1).count();
    if entries > POOL_ENTRIES {
        return Err(format!("has more than {POOL_ENTRIES} entries; make it shorter"));
    }
    let read = |part: &str| match part.len() {
        0..=ADDRESS_LENGTH => parse_addr_pair(part).unwrap_or_default(),
        _ => Vec::new(),
    };
    let all: Vec<_> = text.split(separator).map(read).collect();
    if all.iter().all(Vec::is_empty) {
        return Err(format!("{} has no entry that is an address", quoted(text)));
    }
    Ok(IpPool::Addresses(all))
}

/// So many addresses may be in an `ip_pool` annotation.
pub const POOL_ENTRIES: usize = 1_024;

/// No text of addresses or MACs is longer.
const ADDRESS_LENGTH: usize = 128;

/// RFC 1123 subdomain: what the API server takes as the name of a Subnet and of most objects.
#[must_use]
pub fn is_object_name(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// A user's text for a message: quoted, in one line, cut.
#[must_use]
pub fn quoted(text: &str) -> String {
    const SHOWN: usize = 64;
    match text.char_indices().nth(SHOWN) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}… ({} bytes)", &text[..end], text.len()),
    }
}
