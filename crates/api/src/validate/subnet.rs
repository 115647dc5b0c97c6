//! Rules for a Subnet.

use std::collections::HashSet;
use std::net::IpAddr;

use tombolo_net::{AddrRange, Cidr, DualCidr, Family, parse_addr, parse_addr_pair};

use super::{MOST, Problem, Reason};
use crate::defaults::{CENTRALIZED, DISTRIBUTED};
use crate::{Acl, NatOutgoingPolicyRule, SubnetSpec, VpcSpec};

/// Networks that pods can't have addresses of: "this network", loopback, link-local, multicast, broadcast.
const FORBIDDEN: [&str; 9] = [
    "0.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "224.0.0.0/4",
    "255.255.255.255/32",
    "::/128",
    "::1/128",
    "fe80::/10",
    "ff00::/8",
];

/// What the rules need to know of the cluster.
#[derive(Debug, Clone, Default)]
pub struct SubnetContext {
    /// Name of the default VPC (`--cluster-router`).
    pub default_vpc: String,
    /// The networks of Services (`--service-cluster-ip-range`).
    pub services: Vec<Cidr>,
    /// Internal addresses of the nodes, with the nodes' names.
    pub nodes: Vec<(String, IpAddr)>,
}

/// What is wrong with a Subnet by itself. `spec` is expected to have its defaults
/// ([`crate::defaults::subnet_defaults`]).
///
/// The rules are Kube-OVN's, but IPv6 in upper case is accepted: addresses are compared as
/// numbers here, not as texts.
pub fn subnet(name: &str, spec: &SubnetSpec, context: &SubnetContext) -> Vec<Problem> {
    let mut out = Vec::new();
    names(name, spec, context, &mut out);
    words(spec, &mut out);
    numbers(spec, &mut out);
    match spec.cidr_block.trim() {
        // A subnet without addresses (MAC only) is refused by `limits`, with a better reason.
        "" if spec.protocol == "Mac" => {}
        "" => out.push(Problem::refuse(
            "spec.cidrBlock",
            Reason::InvalidCidr,
            "is empty; write the subnet's network, for example 10.66.0.0/16",
        )),
        text => match text.parse::<DualCidr>() {
            Err(e) => out.push(Problem::refuse("spec.cidrBlock", Reason::InvalidCidr, e)),
            Ok(cidr) => with_cidr(spec, cidr, context, &mut out),
        },
    }
    let excluded = spec.exclude_ips.iter().enumerate().filter_map(|(i, text)| {
        let error = AddrRange::parse_exclude(text).err()?;
        Some(Problem::refuse(format!("spec.excludeIps[{i}]"), Reason::InvalidExcludeIps, error))
    });
    out.extend(excluded.take(MOST));
    let allowed = spec.allow_subnets.iter().enumerate().filter_map(|(i, text)| {
        let error = text.parse::<Cidr>().err()?;
        Some(Problem::refuse(format!("spec.allowSubnets[{i}]"), Reason::InvalidValue, error))
    });
    out.extend(allowed.take(MOST));
    let rules = spec.nat_outgoing_policy_rules.iter().enumerate().flat_map(|(i, rule)| nat_rule(i, rule));
    out.extend(rules.take(MOST));
    let acls = spec.acls.iter().enumerate().flat_map(|(i, acl)| acl_words(i, acl));
    out.extend(acls.take(MOST));
    conflicts(spec, &mut out);
    out
}

fn names(name: &str, spec: &SubnetSpec, context: &SubnetContext, out: &mut Vec<Problem>) {
    let refuse = |what: String| Problem::refuse("metadata.name", Reason::InvalidName, what);
    if name == spec.vpc || name == context.default_vpc {
        out.push(refuse(format!("{name} is also the name of a Vpc; choose another name for the Subnet")));
    }
    if name.starts_with("neutron-") || name.starts_with("provnet-") {
        out.push(refuse(
            "names that begin with neutron- or provnet- are OpenStack's; choose another one".into(),
        ));
    }
    // The name is a label's value on each IP of the subnet.
    if name.len() > 63 {
        out.push(refuse(format!("has {} characters; choose a name of at most 63", name.len())));
    }
}

fn words(spec: &SubnetSpec, out: &mut Vec<Problem>) {
    out.extend(word("spec.gatewayType", &spec.gateway_type, &[DISTRIBUTED, CENTRALIZED]));
    out.extend(word("spec.protocol", &spec.protocol, &["IPv4", "IPv6", "Dual", "Mac"]));
}

fn word(field: &str, value: &str, allowed: &[&str]) -> Option<Problem> {
    (!value.is_empty() && !allowed.contains(&value)).then(|| {
        Problem::refuse(
            field,
            Reason::InvalidValue,
            format!("{value:?} is unknown; write one of {}", allowed.join(", ")),
        )
    })
}

fn acl_words(index: usize, acl: &Acl) -> Vec<Problem> {
    let actions = ["allow", "allow-related", "allow-stateless", "drop", "reject", "pass"];
    let direction = ["from-lport", "to-lport"];
    [
        word(&format!("spec.acls[{index}].direction"), &acl.direction, &direction),
        word(&format!("spec.acls[{index}].action"), &acl.action, &actions),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn numbers(spec: &SubnetSpec, out: &mut Vec<Problem>) {
    let mut number = |field: &str, value: u32, min: u32, max: u32, why: &str| {
        if value != 0 && !(min..=max).contains(&value) {
            out.push(Problem::refuse(
                field,
                Reason::InvalidValue,
                format!("{value} is out of range; write {min} to {max}{why}, or leave it out"),
            ));
        }
    };
    let v6 = spec.cidr_block.parse::<DualCidr>().is_ok_and(|c| c.v6().is_some());
    let (min, why) = if v6 { (1280, " (IPv6 demands 1280)") } else { (68, "") };
    number("spec.mtu", spec.mtu, min, 65_535, why);
    number("spec.policyRoutingPriority", spec.policy_routing_priority, 1, 32_765, "");
    number("spec.policyRoutingTableID", spec.policy_routing_table_id, 1, i32::MAX as u32, "");
}

fn with_cidr(spec: &SubnetSpec, cidr: DualCidr, context: &SubnetContext, out: &mut Vec<Problem>) {
    for net in cidr.iter() {
        if net.prefix() == net.family().bits() {
            out.push(Problem::refuse(
                "spec.cidrBlock",
                Reason::InvalidCidr,
                format!("{net} has one address, which leaves none for pods; choose a shorter prefix"),
            ));
        }
        let forbidden = FORBIDDEN.iter().filter_map(|f| f.parse::<Cidr>().ok()).find(|f| f.overlaps(net));
        if let Some(forbidden) = forbidden {
            out.push(Problem::refuse(
                "spec.cidrBlock",
                Reason::ForbiddenRange,
                format!("{net} overlaps {forbidden}, which can't be used for pods; choose another network"),
            ));
        }
    }
    if spec.vpc == context.default_vpc && spec.vlan.is_empty() {
        for services in context.services.iter().filter(|it| cidr.iter().any(|own| own.overlaps(**it))) {
            out.push(Problem::refuse(
                "spec.cidrBlock",
                Reason::CidrConflict,
                format!("{cidr} overlaps {services}, the network of Services; choose another network"),
            ));
        }
        for (node, addr) in context.nodes.iter().filter(|(_, addr)| cidr.contains(*addr)) {
            out.push(Problem::refuse(
                "spec.cidrBlock",
                Reason::CidrConflict,
                format!("{cidr} holds {addr}, the address of node {node}; choose another network"),
            ));
        }
    }
    gateway(spec, cidr, out);
    inside("spec.u2oInterconnectionIP", &spec.u2o_interconnection_ip, cidr, out);
    for (i, vip) in spec.vips.iter().enumerate() {
        inside(&format!("spec.vips[{i}]"), vip, cidr, out);
    }
    if !spec.external_egress_gateway.is_empty() {
        match parse_addr_pair(&spec.external_egress_gateway) {
            Ok(all) if all.iter().all(|a| cidr.of(Family::of(*a)).is_some()) => {}
            Ok(_) => out.push(Problem::refuse(
                "spec.externalEgressGateway",
                Reason::InvalidValue,
                format!("{} is of another family than {cidr}", spec.external_egress_gateway),
            )),
            Err(e) => out.push(Problem::refuse("spec.externalEgressGateway", Reason::InvalidValue, e)),
        }
    }
}

fn gateway(spec: &SubnetSpec, cidr: DualCidr, out: &mut Vec<Problem>) {
    if spec.gateway.trim().is_empty() {
        return;
    }
    let refuse = |what: String| Problem::refuse("spec.gateway", Reason::InvalidGateway, what);
    let all = match parse_addr_pair(&spec.gateway) {
        Ok(all) => all,
        Err(e) => return out.push(refuse(e.to_string())),
    };
    for addr in all {
        match cidr.of(Family::of(addr)) {
            Some(net) if net.is_pair() && addr == net.network() => out.push(refuse(format!(
                "{addr} is the first of the two addresses of {net}; OVN would drop what the other one sends, so write {}, \
                 or leave it out",
                net.default_gateway()
            ))),
            Some(net) if net.usable().contains(addr) => {}
            Some(net) if net.contains(addr) => out.push(refuse(format!(
                "{addr} is the network or broadcast address of {net}; choose another one, or leave it out for {}",
                net.default_gateway()
            ))),
            _ => out.push(refuse(format!("{addr} is outside of {cidr}; choose an address inside, or leave it out"))),
        }
    }
}

fn inside(field: &str, text: &str, cidr: DualCidr, out: &mut Vec<Problem>) {
    for part in text.split(',').filter(|p| !p.trim().is_empty()) {
        match parse_addr(part) {
            Ok(addr) if cidr.contains(addr) => {}
            Ok(addr) => out.push(Problem::refuse(
                field,
                Reason::AddressOutsideSubnet,
                format!("{addr} is outside of {cidr}; choose an address inside"),
            )),
            Err(e) => out.push(Problem::refuse(field, Reason::InvalidValue, e)),
        }
    }
}

fn nat_rule(index: usize, rule: &NatOutgoingPolicyRule) -> Vec<Problem> {
    let mut out = Vec::new();
    let field = format!("spec.natOutgoingPolicyRules[{index}].action");
    out.extend(word(&field, &rule.action, &["nat", "forward"]));
    let mut families = Vec::new();
    for (name, text) in [("srcIPs", &rule.match_.src_ips), ("dstIPs", &rule.match_.dst_ips)] {
        let field = format!("spec.natOutgoingPolicyRules[{index}].match.{name}");
        for part in text.split(',').filter(|_| !text.is_empty()) {
            let family = parse_addr(part).map(Family::of).or_else(|_| part.parse::<Cidr>().map(Cidr::family));
            match family {
                Ok(family) => families.push(family),
                Err(_) => out.push(Problem::refuse(
                    field.as_str(),
                    Reason::InvalidValue,
                    format!("{part:?} is neither an address nor a CIDR"),
                )),
            }
        }
    }
    if families.windows(2).any(|w| w[0] != w[1]) {
        out.push(Problem::refuse(
            format!("spec.natOutgoingPolicyRules[{index}].match"),
            Reason::InvalidValue,
            "mixes IPv4 and IPv6; write one rule for each",
        ));
    }
    out
}

fn conflicts(spec: &SubnetSpec, out: &mut Vec<Problem>) {
    let mut both = |condition: bool, field: &str, other: &str| {
        if condition {
            out.push(Problem::refuse(
                field,
                Reason::ConflictingFields,
                format!("can't be combined with {other}; remove one of them"),
            ));
        }
    };
    both(
        !spec.external_egress_gateway.is_empty() && spec.nat_outgoing,
        "spec.externalEgressGateway",
        "spec.natOutgoing: true",
    );
    both(
        spec.logical_gateway && spec.u2o_interconnection,
        "spec.logicalGateway",
        "spec.u2oInterconnection: true",
    );
}

/// Problems of a network that overlaps others which it has to share a router with. `taken` are those others, with
/// words for whose they are (`Subnet net1`, `Neutron's network provider`); the subnet itself must not be among them.
pub fn overlaps<'a>(cidr: DualCidr, taken: impl IntoIterator<Item = (&'a str, Cidr)>) -> Vec<Problem> {
    taken
        .into_iter()
        .filter(|(_, other)| cidr.iter().any(|c| c.overlaps(*other)))
        .map(|(whose, other)| {
            Problem::refuse(
                "spec.cidrBlock",
                Reason::CidrConflict,
                format!("{cidr} overlaps {other} of {whose} on the same router; choose another network"),
            )
        })
        .collect()
}

/// Problems between a Subnet and the Vpc it names. `vpc` is `None` if there is no such object; `standby`: whether its
/// router is there.
pub fn subnet_in_vpc(
    spec: &SubnetSpec,
    vpc: Option<&VpcSpec>,
    standby: bool,
    default_vpc: &str,
) -> Vec<Problem> {
    let Some(vpc) = vpc else {
        return vec![Problem::refuse(
            "spec.vpc",
            Reason::UnknownVpc,
            format!("there is no Vpc {}; see `kubectl get vpc` for those that exist", spec.vpc),
        )];
    };
    if !standby {
        return vec![Problem::refuse(
            "spec.vpc",
            Reason::VpcNotReady,
            format!("Vpc {} has no router yet; see its conditions", spec.vpc),
        )];
    }
    if spec.vpc == default_vpc {
        return Vec::new();
    }
    let known: HashSet<&String> = vpc.namespaces.iter().collect();
    let missing = spec.namespaces.iter().filter(|ns| !known.contains(ns));
    missing
        .take(MOST)
        .map(|ns| {
            Problem::refuse(
                "spec.namespaces",
                Reason::NamespaceNotInVpc,
                format!("namespace {ns} isn't in spec.namespaces of Vpc {}; add it there first", spec.vpc),
            )
        })
        .collect()
}
