//! Masquerading on the node: one nftables table of our own, replaced as a whole and only when it differs. Pure;
//! [`crate::firewall`] puts it in place.
//!
//! Which connections get an address of the node, and why:
//!
//! - Those of pods of a natOutgoing Subnet to destinations outside of all Subnets: nothing there could answer them.
//! - Those to a pod whose destination a rule of this node (kube-proxy's, portmap's) has changed, when their
//!   client is a pod or a node. The answer of a pod has to pass this node's conntrack, which alone can undo it. To
//!   another pod OVN answers directly. To a node's address too: the router's policies lead pods' packets to
//!   that node's own ovn0, past this node. So such a client is seen as this node's join address.
//! - Not when its client is outside: pods' answers leave by the node that they run on, which for a hostPort, and for a
//!   NodePort with `externalTrafficPolicy: Local`, is this one. So such a Service sees its clients' own addresses.
//! - Those of the node itself to pods by another address than its own in the join subnet, because a socket is bound
//!   to it: pods and their policies know the node by its join address.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use tombolo_net::{Cidr, Family};

use crate::node::OVN0;
use crate::node_task::Accepted;

/// Name of our table: it holds our rules only, and all of them but [`crate::forward`]'s.
pub const TABLE: &str = "tombolo";

/// The table, as a script for `nft -f -`: it replaces the present one in one transaction. `None` until all is known: a
/// Subnet that is not known yet would count as outside (invariant 4). `nat_outgoing`: whether Subnets' field of that name
/// counts; the rules by which pods and nodes reach each other are there in any case.
pub fn ruleset(accepted: &Accepted, nat_outgoing: bool) -> Option<String> {
    let (port, subnets) = (accepted.port.as_ref()?, accepted.subnets.as_ref()?);
    let join = port.addresses.iter().map(|a| a.cidr());
    let inside: BTreeSet<Cidr> =
        subnets.values().flat_map(|s| s.networks.iter().copied()).chain(join).collect();
    let nat: BTreeSet<Cidr> = subnets
        .values()
        .filter(|s| nat_outgoing && s.nat_outgoing)
        .flat_map(|s| s.networks.iter().copied())
        .collect();
    let own: BTreeSet<IpAddr> = port.addresses.iter().map(|a| a.addr()).collect();
    // The first line makes the second one succeed also when there is no table yet.
    let mut text = format!("table inet {TABLE} {{}}\ndelete table inet {TABLE}\ntable inet {TABLE} {{\n");
    let mut rules = String::new();
    for (family, kind, ip, digit) in [(Family::V4, "ipv4_addr", "ip", 4), (Family::V6, "ipv6_addr", "ip6", 6)]
    {
        let addresses = |all: &BTreeSet<IpAddr>| -> Vec<String> {
            all.iter().filter(|ip| Family::of(**ip) == family).map(IpAddr::to_string).collect()
        };
        let networks = |all| outermost(all, family).iter().map(Cidr::to_string).collect::<Vec<_>>();
        for (name, intervals, elements) in [
            ("inside", true, networks(&inside)),
            ("nat", true, networks(&nat)),
            ("own", false, addresses(&own)),
            ("nodes", false, addresses(&accepted.nodes)),
        ] {
            let _ = write!(text, "  set {name}{digit} {{\n    type {kind}\n");
            if intervals {
                text.push_str("    flags interval\n");
            }
            if !elements.is_empty() {
                let _ = writeln!(text, "    elements = {{ {} }}", elements.join(", "));
            }
            text.push_str("  }\n");
        }
        let _ = write!(
            rules,
            "    iifname \"{OVN0}\" oifname != \"{OVN0}\" {ip} saddr @nat{digit} {ip} daddr != @inside{digit} counter masquerade\n    \
             oifname \"{OVN0}\" ct status dnat {ip} saddr @nodes{digit} counter masquerade\n    \
             oifname \"{OVN0}\" {ip} daddr @inside{digit} fib saddr type local {ip} saddr != @own{digit} counter masquerade\n"
        );
    }
    let _ = write!(
        text,
        "  chain postrouting {{\n    type nat hook postrouting priority srcnat; policy accept;\n    \
         iifname \"{OVN0}\" oifname \"{OVN0}\" ct status dnat counter masquerade\n{rules}  }}\n}}\n"
    );
    Some(text)
}

/// The networks of a family that lie in no other one: a set of intervals takes no overlaps.
fn outermost(networks: &BTreeSet<Cidr>, family: Family) -> Vec<Cidr> {
    let of_family: Vec<Cidr> = networks.iter().copied().filter(|n| n.family() == family).collect();
    let covered = |n: &Cidr| of_family.iter().any(|other| other != n && other.contains_net(*n));
    of_family.iter().copied().filter(|n| !covered(n)).collect()
}

#[cfg(test)]
mod tests {
    use tombolo_net::DualCidr;

    use super::*;
    use crate::node::{NodePort, NodeSubnet};

    #[test]
    fn the_whole_table() {
        let subnet = |cidr: &str, nat_outgoing| NodeSubnet {
            networks: cidr.parse::<DualCidr>().unwrap().iter().collect(),
            nat_outgoing,
        };
        let subnets = [
            ("ovn-default".to_owned(), subnet("10.16.0.0/16,fd00:10:16::/112", true)),
            ("inner".to_owned(), subnet("10.16.128.0/24", true)),
            ("plain".to_owned(), subnet("10.17.0.0/16", false)),
        ];
        let port = NodePort {
            iface_id: "node-n1".into(),
            mac: "00:00:00:6E:53:FD".parse().unwrap(),
            addresses: vec!["100.64.0.2/16".parse().unwrap()],
            gateways: vec!["100.64.0.1".parse().unwrap()],
        };
        let nodes = ["192.0.2.1", "192.0.2.2", "2001:db8::1"].map(|ip| ip.parse().unwrap()).into();
        let accepted = Accepted { port: Some(port), subnets: Some(subnets.into()), nodes };
        let want = r#"table inet tombolo {}
delete table inet tombolo
table inet tombolo {
  set inside4 {
    type ipv4_addr
    flags interval
    elements = { 10.16.0.0/16, 10.17.0.0/16, 100.64.0.0/16 }
  }
  set nat4 {
    type ipv4_addr
    flags interval
    elements = { 10.16.0.0/16 }
  }
  set own4 {
    type ipv4_addr
    elements = { 100.64.0.2 }
  }
  set nodes4 {
    type ipv4_addr
    elements = { 192.0.2.1, 192.0.2.2 }
  }
  set inside6 {
    type ipv6_addr
    flags interval
    elements = { fd00:10:16::/112 }
  }
  set nat6 {
    type ipv6_addr
    flags interval
    elements = { fd00:10:16::/112 }
  }
  set own6 {
    type ipv6_addr
  }
  set nodes6 {
    type ipv6_addr
    elements = { 2001:db8::1 }
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    iifname "ovn0" oifname "ovn0" ct status dnat counter masquerade
    iifname "ovn0" oifname != "ovn0" ip saddr @nat4 ip daddr != @inside4 counter masquerade
    oifname "ovn0" ct status dnat ip saddr @nodes4 counter masquerade
    oifname "ovn0" ip daddr @inside4 fib saddr type local ip saddr != @own4 counter masquerade
    iifname "ovn0" oifname != "ovn0" ip6 saddr @nat6 ip6 daddr != @inside6 counter masquerade
    oifname "ovn0" ct status dnat ip6 saddr @nodes6 counter masquerade
    oifname "ovn0" ip6 daddr @inside6 fib saddr type local ip6 saddr != @own6 counter masquerade
  }
}
"#;
        assert_eq!(ruleset(&accepted, true).unwrap(), want);
        // Without masquerading for outside destinations, node ports and the node's own traffic are translated all the same.
        let without = ruleset(&accepted, false).unwrap();
        let rules = |text: &str| text.matches(" counter masquerade").count();
        assert_eq!(rules(&without), rules(want));
        assert!(want.contains("set nat4 {\n    type ipv4_addr\n    flags interval\n    elements"));
        assert!(without.contains("set nat4 {\n    type ipv4_addr\n    flags interval\n  }"));
        assert_eq!(ruleset(&Accepted { subnets: None, ..accepted }, true), None); // invariant 4
    }
}
