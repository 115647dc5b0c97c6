//! Rules for a Vpc.

use std::collections::BTreeSet;

use tombolo_net::{Cidr, IfAddr, parse_addr};

use super::{MOST, Problem, Reason};
use crate::VpcSpec;

/// What is wrong with a Vpc by itself. `external`: its router is Neutron's (label `vpc_external`), so that a name of
/// Neutron's is right.
pub fn vpc(name: &str, spec: &VpcSpec, external: bool) -> Vec<Problem> {
    let mut out = Vec::new();
    if !external && name.starts_with("neutron-") {
        out.push(Problem::refuse(
            "metadata.name",
            Reason::InvalidName,
            "names that begin with neutron- are OpenStack's; choose another one",
        ));
    }
    if name.len() > 63 {
        let what = format!("has {} characters; choose a name of at most 63", name.len());
        out.push(Problem::refuse("metadata.name", Reason::InvalidName, what));
    }
    for mut found in [static_routes(spec), policy_routes(spec), peerings(name, spec)] {
        found.truncate(MOST);
        out.append(&mut found);
    }
    out
}

fn peerings(name: &str, spec: &VpcSpec) -> Vec<Problem> {
    let mut out = Vec::new();
    let mut remotes = BTreeSet::new();
    for (i, peering) in spec.vpc_peerings.iter().enumerate() {
        let field = |name: &str| format!("spec.vpcPeerings[{i}].{name}");
        if peering.remote_vpc.is_empty() || peering.remote_vpc == name {
            let what = "must be the name of another Vpc";
            out.push(Problem::refuse(field("remoteVpc"), Reason::InvalidValue, what));
        } else if !remotes.insert(&peering.remote_vpc) {
            let what = format!("{} is there twice; remove one", peering.remote_vpc);
            out.push(Problem::refuse(field("remoteVpc"), Reason::InvalidValue, what));
        }
        for part in peering.local_connect_ip.split(',') {
            if let Err(e) = part.parse::<IfAddr>() {
                out.push(Problem::refuse(field("localConnectIP"), Reason::InvalidValue, e));
            }
        }
    }
    out
}

fn static_routes(spec: &VpcSpec) -> Vec<Problem> {
    let mut out = Vec::new();
    for (i, route) in spec.static_routes.iter().enumerate() {
        let mut refuse = |name: &str, what: String| {
            out.push(Problem::refuse(format!("spec.staticRoutes[{i}].{name}"), Reason::InvalidValue, what));
        };
        if !["", "policyDst", "policySrc"].contains(&route.policy.as_str()) {
            refuse("policy", format!("{:?} is unknown; write policyDst or policySrc", route.policy));
        }
        if route.cidr.parse::<Cidr>().is_err() && parse_addr(&route.cidr).is_err() {
            refuse("cidr", format!("{:?} is neither a CIDR nor an address", route.cidr));
        }
        if let Err(e) = parse_addr(&route.next_hop_ip) {
            refuse("nextHopIP", e.to_string());
        }
        if !["", "ecmp_symmetric_reply"].contains(&route.ecmp_mode.as_str()) {
            refuse(
                "ecmpMode",
                format!("{:?} is unknown; write ecmp_symmetric_reply or nothing", route.ecmp_mode),
            );
        }
    }
    out
}

fn policy_routes(spec: &VpcSpec) -> Vec<Problem> {
    let mut out = Vec::new();
    for (i, route) in spec.policy_routes.iter().enumerate() {
        let mut refuse = |name: &str, what: String| {
            out.push(Problem::refuse(format!("spec.policyRoutes[{i}].{name}"), Reason::InvalidValue, what));
        };
        if !(0..=32_767).contains(&route.priority) {
            refuse("priority", format!("{} is out of range; write 0 to 32767", route.priority));
        }
        match route.action.as_str() {
            "allow" | "drop" => {}
            "reroute" => {
                for hop in route.next_hop_ip.split(',') {
                    if let Err(e) = parse_addr(hop) {
                        refuse("nextHopIP", e.to_string());
                    }
                }
            }
            other => refuse("action", format!("{other:?} is unknown; write allow, drop or reroute")),
        }
    }
    out
}
