//! What is to be traced, as users of Kube-OVN write it: `NS/POD|node//NODE IP [MAC] icmp|tcp PORT|udp PORT|arp request|reply`. Pure.

use std::net::IpAddr;

use anyhow::{Context, Result, bail, ensure};
use tombolo_net::Mac;

/// The form, for errors and help.
pub const FORM: &str = "NS/POD|node//NODE IP [MAC] icmp | tcp PORT | udp PORT | arp request|reply";

/// Where a packet starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// At a pod.
    Pod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// At a node's `ovn0`.
    Node(String),
}

/// What kind of packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An echo request.
    Icmp,
    /// To a port.
    Tcp(u16),
    /// To a port.
    Udp(u16),
    /// Who has that address?
    ArpRequest,
    /// I have mine.
    ArpReply,
}

/// A packet to be traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// From here.
    pub source: Source,
    /// To this address.
    pub to: IpAddr,
    /// With this MAC; without, the one that it would have.
    pub mac: Option<Mac>,
    /// Of this kind.
    pub kind: Kind,
}

/// `NS/POD` or `node//NODE`.
pub fn source(word: &str) -> Result<Source> {
    if let Some(node) = word.strip_prefix("node//").filter(|node| !node.is_empty()) {
        return Ok(Source::Node(node.to_owned()));
    }
    match word.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(Source::Pod { namespace: namespace.to_owned(), name: name.to_owned() })
        }
        // As in Kube-OVN a bare name is one in the default namespace.
        None if !word.is_empty() => {
            Ok(Source::Pod { namespace: "default".to_owned(), name: word.to_owned() })
        }
        _ => bail!("{word:?} is neither NAMESPACE/POD nor node//NODE"),
    }
}

/// Reads the words.
pub fn read(from: &str, words: &[String]) -> Result<Request> {
    let source = source(from)?;
    let mut words = words.iter().map(String::as_str).peekable();
    let to = words.next().with_context(|| format!("an address is missing: {FORM}"))?;
    let to: IpAddr = to.parse().with_context(|| format!("{to:?} is no address: {FORM}"))?;
    let mac = words.peek().and_then(|word| word.parse::<Mac>().ok());
    if mac.is_some() {
        words.next();
    }
    let kind = words.next().with_context(|| format!("the kind of packet is missing: {FORM}"))?;
    let detail = words.next();
    let port = || -> Result<u16> {
        let word = detail.with_context(|| format!("{kind} needs a port: {FORM}"))?;
        word.parse().with_context(|| format!("{word:?} is no port"))
    };
    let kind = match (kind, detail) {
        ("icmp", None) => Kind::Icmp,
        ("tcp", _) => Kind::Tcp(port()?),
        ("udp", _) => Kind::Udp(port()?),
        ("arp", Some("request")) => Kind::ArpRequest,
        ("arp", Some("reply")) => Kind::ArpReply,
        _ => bail!("no such packet: {FORM}"),
    };
    ensure!(words.next().is_none(), "too many words: {FORM}");
    let arp = matches!(kind, Kind::ArpRequest | Kind::ArpReply);
    ensure!(!arp || to.is_ipv4(), "arp is IPv4's: {to} isn't");
    Ok(Request { source, to, mac, kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Request> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        read(&words[0], &words[1..])
    }

    #[test]
    fn lines_of_kube_ovns_documents() {
        let pod =
            |namespace: &str, name: &str| Source::Pod { namespace: namespace.into(), name: name.into() };
        let icmp = parse("default/ds1-l6n7p 8.8.8.8 icmp").unwrap();
        assert_eq!((icmp.source, icmp.kind, icmp.mac), (pod("default", "ds1-l6n7p"), Kind::Icmp, None));
        let node = parse("node//kube-ovn-worker 8.8.8.8 00:00:00:aa:bb:cc tcp 80").unwrap();
        assert_eq!((node.source, node.kind), (Source::Node("kube-ovn-worker".into()), Kind::Tcp(80)));
        assert!(node.mac.is_some());
        assert_eq!(parse("a/b fd00::1 udp 53").unwrap().kind, Kind::Udp(53));
        assert_eq!(parse("a/b 10.0.0.1 arp reply").unwrap().kind, Kind::ArpReply);
        assert_eq!(parse("b 10.0.0.1 icmp").unwrap().source, pod("default", "b"));
    }

    #[test]
    fn anything_else_is_refused_with_the_form() {
        for line in [
            "a/b",
            "a/b x icmp",
            "a/b 1.1.1.1",
            "a/b 1.1.1.1 tcp",
            "a/b 1.1.1.1 tcp x",
            "a/b 1.1.1.1 arp",
            "a/b 1.1.1.1 icmp 8",
            "a/b fd00::1 arp request",
            "a//b 1.1.1.1 icmp",
            "node// 1.1.1.1 icmp",
            "a/b 1.1.1.1 tcp 80 y",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert!(format!("{:#}", parse("a/b 1.1.1.1 ping").unwrap_err()).contains("arp request|reply"));
    }
}
