//! The destinations by which a node stays reachable, and the networks that would cut it off (invariant 13). Pure.
//!
//! A route of ours beats others by its length, so one wrong network cuts a node off from its link, its tunnel peers,
//! the API server or OVN's databases, and then the controller can't undo it. Such a network is refused
//! here whatever the controller requests: it knows the nodes' addresses, not their links.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use tombolo_net::Cidr;
use tombolo_ovn::vswitch::{Interface, OpenVSwitch};
use tombolo_ovsdb::Replica;

use crate::node::{OVN0, PROTOCOL};

/// The role of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// This node's own end of OVN's tunnels.
    Encap,
    /// Another chassis' end.
    Peer,
    /// The Kubernetes API server.
    ApiServer,
    /// OVN's southbound database.
    Ovn,
    /// A next hop of the node's own routes.
    Gateway,
    /// A name server of resolv.conf.
    NameServer,
    /// Another node.
    Node,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encap => "this node's end of OVN's tunnels",
            Self::Peer => "another chassis' end of OVN's tunnels",
            Self::ApiServer => "the Kubernetes API server",
            Self::Ovn => "OVN's southbound database",
            Self::Gateway => "a gateway of this node",
            Self::NameServer => "a name server of this node",
            Self::Node => "a node of the cluster",
        })
    }
}

/// The destinations that must stay reachable past ovn0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Networks of local links, with the link's name.
    pub links: BTreeSet<(Cidr, String)>,
    /// Addresses.
    pub hosts: BTreeSet<(IpAddr, Role)>,
    /// The cluster's Service range: never routed, since a rule of the node's leads elsewhere.
    pub services: Vec<Cidr>,
}

/// Ranges that are never routed: loopback, link-local, multicast.
const NEVER: [&str; 6] = ["127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "::1/128", "fe80::/10", "ff00::/8"];

impl Surroundings {
    /// Why the node must have no route to `network` through ovn0, nor take it for the pods'.
    pub fn conflict(&self, network: Cidr) -> Option<String> {
        if network.prefix() == 0 {
            return Some("a default route is the host's own".to_owned());
        }
        let reserved = |text: &&str| text.parse::<Cidr>().is_ok_and(|never| never.overlaps(network));
        if let Some(never) = NEVER.iter().find(|text| reserved(text)) {
            return Some(format!("it overlaps {never}, which is never routed"));
        }
        if let Some((link, name)) = self.links.iter().find(|(link, _)| link.overlaps(network)) {
            return Some(format!("it overlaps {link}, the network of {name} on this node"));
        }
        if let Some(services) = self.services.iter().find(|services| services.overlaps(network)) {
            return Some(format!("it overlaps {services}, the cluster's Service range"));
        }
        let host = self.hosts.iter().find(|(ip, _)| network.contains(*ip));
        host.map(|(ip, role)| format!("it holds {ip}, {role}"))
    }

    /// Adds the links' addresses and the main table's routes: those on a link, and the next hops of the others.
    /// Routes through ovn0 are the pods', and routes with our protocol are the ones under judgment.
    pub fn add_kernel(
        &mut self,
        links: &[tombolo_linux::Link],
        addresses: &[(u32, tombolo_net::IfAddr)],
        routes: &[tombolo_linux::Route],
    ) {
        // Each of the pods' links has a link-local one, and none of these is ever routed.
        let link_local = |network: Cidr| matches!(network.network(), IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfe80);
        let name = |index: u32| {
            let link = links.iter().find(|l| l.index == index);
            link.map(|l| l.name.as_str()).filter(|name| *name != OVN0)
        };
        for (index, address) in addresses.iter().filter(|(_, a)| !link_local(a.cidr())) {
            if let Some(name) = name(*index) {
                self.links.insert((address.cidr(), name.to_owned()));
            }
        }
        for route in routes.iter().filter(|r| r.protocol != PROTOCOL && !link_local(r.dst)) {
            let Some(name) = name(route.link) else { continue };
            match route.gateway {
                Some(gateway) => drop(self.hosts.insert((gateway, Role::Gateway))),
                None if route.dst.prefix() > 0 => drop(self.links.insert((route.dst, name.to_owned()))),
                None => {} // a default route to a point-to-point link
            }
        }
    }

    /// Adds OVN's endpoints and tunnels from Open vSwitch's rows. Names of OVN's endpoints are returned, to be
    /// resolved.
    pub fn add_vswitch(&mut self, replica: &Replica) -> Vec<String> {
        let mut names = Vec::new();
        let ids = replica.rows(OpenVSwitch::TABLE).filter_map(|(_, row)| row.get(OpenVSwitch::EXTERNAL_IDS));
        for (key, value) in ids.flat_map(tombolo_ovsdb::Datum::str_map) {
            // Also in the form for one chassis of several: "ovn-encap-ip-<system-id>".
            if key.starts_with("ovn-encap-ip") {
                let ips = value.split(',').filter_map(|ip| ip.trim().parse().ok());
                self.hosts.extend(ips.map(|ip: IpAddr| (ip, Role::Encap)));
            } else if key.starts_with("ovn-remote") {
                for host in value.split(',').filter_map(endpoint_host) {
                    match host.parse() {
                        Ok(ip) => drop(self.hosts.insert((ip, Role::Ovn))),
                        Err(_) => names.push(host.to_owned()),
                    }
                }
            }
        }
        for (_, row) in replica.rows(Interface::TABLE) {
            let remote = row.key(Interface::OPTIONS, "remote_ip").and_then(|ip| ip.parse().ok());
            self.hosts.extend(remote.map(|ip: IpAddr| (ip, Role::Peer)));
        }
        names
    }
}

/// The host of `tcp:192.0.2.1:6642` or `ssl:[2001:db8::1]:6642`.
fn endpoint_host(endpoint: &str) -> Option<&str> {
    let (scheme, rest) = endpoint.trim().split_once(':')?;
    if !matches!(scheme, "tcp" | "ssl") {
        return None;
    }
    match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(host, _)| host),
        None => Some(rest.split_once(':').map_or(rest, |(host, _)| host)),
    }
    .filter(|host| !host.is_empty())
}

/// The name servers of a resolv.conf.
pub fn name_servers(text: &str) -> impl Iterator<Item = IpAddr> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let server = words.next().filter(|word| *word == "nameserver").and_then(|_| words.next())?;
        server.split('%').next()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use tombolo_linux::{Link, Route};
    use tombolo_ovsdb::{Datum, Row, Schema, Uuid};

    use super::*;
    use crate::ports::{INDEXES, wanted};

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    fn link(index: u32, name: &str) -> Link {
        Link {
            index,
            name: name.to_owned(),
            mac: None,
            mtu: 1500,
            txqueuelen: 1000,
            up: true,
            carrier: true,
            kind: String::new(),
        }
    }

    fn route(dst: &str, gateway: Option<&str>, link: u32, protocol: u8) -> Route {
        Route { dst: cidr(dst), gateway: gateway.map(|g| g.parse().unwrap()), link, protocol, source: None }
    }

    /// A node with two links, tunnels, an API server, OVN and name servers elsewhere.
    fn node() -> Surroundings {
        let schema = Schema::parse(tombolo_ovn::vswitch::SCHEMA).unwrap();
        let mut replica = Replica::new(&wanted().intersect(&schema), INDEXES);
        let ids = [
            ("ovn-encap-ip", "172.31.0.1,172.31.4.1"),
            ("ovn-remote", "tcp:198.51.100.1:6642,ssl:[2001:db8:9::1]:6642,tcp:sb.example:6642,unix:/x"),
            ("ovn-remote-probe-interval", "60000"),
            ("system-id", "10.10.10.10"),
        ];
        let row = Row::new().with(OpenVSwitch::EXTERNAL_IDS, Datum::map_of_strings(ids));
        replica.put(OpenVSwitch::TABLE, Uuid::from_u128(1), Some(row));
        let tunnel = [("remote_ip", "172.31.0.2"), ("key", "flow")];
        let row = Row::new()
            .with(Interface::NAME, Datum::string("ovn-abc-0"))
            .with(Interface::OPTIONS, Datum::map_of_strings(tunnel));
        replica.put(Interface::TABLE, Uuid::from_u128(2), Some(row));
        let mut node = Surroundings::default();
        assert_eq!(node.add_vswitch(&replica), ["sb.example"]);
        let addresses = [
            (1, "127.0.0.1/8".parse().unwrap()),
            (2, "192.168.0.11/24".parse().unwrap()),
            (2, "2001:db8::11/64".parse().unwrap()),
            (3, "203.0.113.7/32".parse().unwrap()),
            (9, "100.64.0.2/16".parse().unwrap()),
        ];
        let routes = [
            route("0.0.0.0/0", Some("203.0.112.1"), 3, 3),
            route("192.168.0.0/24", None, 2, 2),
            route("192.0.2.0/24", None, 3, 3),
            route("10.0.0.0/8", Some("192.168.0.1"), 2, 4),
            route("100.64.0.0/16", None, 9, 2),
            route("10.16.0.0/16", Some("100.64.0.1"), 9, PROTOCOL),
        ];
        node.add_kernel(
            &[link(1, "lo"), link(2, "eth0"), link(3, "eth1"), link(9, OVN0)],
            &addresses,
            &routes,
        );
        node.services.push(cidr("10.96.0.0/12"));
        node.hosts.insert(("198.51.100.7".parse().unwrap(), Role::ApiServer));
        node.hosts.extend(
            name_servers("# x\nnameserver 198.18.0.53\nnameserver fe80::1%eth0\noptions a")
                .map(|ip| (ip, Role::NameServer)),
        );
        node
    }

    #[test]
    fn what_would_cut_the_node_off_is_refused() {
        // invariant 13
        let node = node();
        for (network, why) in [
            ("0.0.0.0/0", "default route"),
            ("::/0", "default route"),
            ("0.0.0.0/1", "127.0.0.0/8"),
            ("128.0.0.0/1", "never routed"),
            ("192.168.0.0/26", "192.168.0.0/24, the network of eth0"), // longer than the link's own
            ("192.168.0.0/24", "the network of eth0"),
            ("192.168.0.0/16", "the network of eth0"), // covers
            ("2001:db8::/96", "the network of eth0"),
            ("203.0.113.0/24", "the network of eth1"), // the node's own address
            ("192.0.2.128/25", "the network of eth1"), // on a link by a route
            ("203.0.112.0/24", "203.0.112.1, a gateway"), // outside of any link's network
            ("172.31.0.0/25", "this node's end of OVN's tunnels"),
            ("172.31.0.2/32", "another chassis"),
            ("172.31.4.0/24", "this node's end"),
            ("198.51.100.0/29", "southbound"),
            ("2001:db8:9::/48", "southbound"),
            ("198.51.100.4/30", "the Kubernetes API server"),
            ("198.18.0.0/15", "a name server"),
            ("10.100.0.0/16", "Service range"),
            ("169.254.20.0/24", "never routed"),
            ("fe80::/64", "never routed"),
        ] {
            let conflict = node.conflict(cidr(network));
            assert!(conflict.as_deref().is_some_and(|c| c.contains(why)), "{network}: {conflict:?}");
        }
    }

    #[test]
    fn everything_else_is_not() {
        let node = node();
        for network in [
            "10.16.0.0/16", // within another program's route by a gateway, as pods' networks often are
            "10.32.0.0/11",
            "100.64.0.0/16", // ovn0's own
            "100.64.128.0/17",
            "172.31.1.0/24",
            "10.10.10.0/24", // an address in a key that isn't one's endpoint
            "2001:db8:1::/64",
            "fd00:10:16::/112",
            "192.168.1.0/24",
        ] {
            assert_eq!(node.conflict(cidr(network)), None, "{network}");
        }
    }

    #[test]
    fn whatever_is_accepted_leaves_every_known_address_alone() {
        // A property, over all networks of a few lengths around each address.
        let node = node();
        let all: Vec<IpAddr> = node
            .hosts
            .iter()
            .map(|(ip, _)| *ip)
            .chain(node.links.iter().flat_map(|(link, _)| [link.network(), link.last()]))
            .collect();
        for ip in &all {
            let bits = if ip.is_ipv4() { 32 } else { 128 };
            for prefix in 0..=bits {
                let network = Cidr::new(*ip, prefix).unwrap();
                assert!(node.conflict(network).is_some(), "{network} takes {ip}");
            }
        }
    }

    #[test]
    fn endpoints_and_name_servers() {
        assert_eq!(endpoint_host("tcp:192.0.2.1:6642"), Some("192.0.2.1"));
        assert_eq!(endpoint_host(" ssl:[::1]:6642"), Some("::1"));
        assert_eq!(endpoint_host("tcp:name"), Some("name"));
        assert_eq!(endpoint_host("unix:/run/sb.sock"), None);
        assert_eq!(endpoint_host("60000"), None);
        assert_eq!(endpoint_host("tcp::6642"), None);
        assert_eq!(name_servers("nameserver\nsearch x\n").count(), 0);
    }
}
