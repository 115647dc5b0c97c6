//! Targets that were named: `tcp-192.0.2.1-80,udp-192.0.2.1-53`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// How a target is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// It takes a connection.
    Tcp,
    /// It answers a datagram.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// One target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// How.
    pub protocol: Protocol,
    /// Where.
    pub address: SocketAddr,
}

/// Reads Kube-OVN's notation, elements separated by commas.
///
/// # Errors
/// Names the element and what is wrong with it.
pub fn parse(text: &str) -> Result<Vec<Target>, String> {
    words(text).map(one).collect()
}

fn one(word: &str) -> Result<Target, String> {
    let wrong = || format!("{word:?} is no target: write tcp-IP-PORT or udp-IP-PORT");
    let (protocol, rest) = word.split_once('-').ok_or_else(wrong)?;
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return Err(wrong()),
    };
    let (ip, port) = rest.rsplit_once('-').ok_or_else(wrong)?;
    let ip: IpAddr = ip.trim_start_matches('[').trim_end_matches(']').parse().map_err(|_| wrong())?;
    Ok(Target { protocol, address: SocketAddr::new(ip, port.parse().map_err(|_| wrong())?) })
}

/// Reads addresses, separated by commas.
///
/// # Errors
/// Names the element.
pub fn addresses(text: &str) -> Result<Vec<IpAddr>, String> {
    words(text).map(|word| word.parse().map_err(|_| format!("{word:?} is no IP address"))).collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_as_kube_ovn_writes_them() {
        let all = parse("tcp-192.0.2.1-80, udp-fd00::1-53,").unwrap();
        let texts: Vec<_> = all.iter().map(|t| format!("{} {}", t.protocol, t.address)).collect();
        assert_eq!(texts, ["tcp 192.0.2.1:80", "udp [fd00::1]:53"]);
        assert!(parse("").unwrap().is_empty());
        for wrong in ["192.0.2.1", "tcp-192.0.2.1", "icmp-192.0.2.1-1", "tcp-host-80", "tcp-192.0.2.1-99999"]
        {
            assert!(parse(wrong).unwrap_err().contains(wrong));
        }
        assert!(addresses("192.0.2.1,x").is_err());
    }
}
