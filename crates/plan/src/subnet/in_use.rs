//! Edits of a Subnet that addresses in use forbid (invariant 11): a network that leaves some of them out, and another
//! gateway while pods have the old one as their default route, or have the new one themselves.

use std::net::IpAddr;

use tombolo_api::validate::{Problem, Reason};
use tombolo_net::Family;

use crate::world::{Net, World};

/// So many holders are named.
const NAMED: usize = 3;

/// Problems of a network in place of the one that is in effect. Growth, a second family and other
/// `excludeIps` are no problem: what is in use stays as it is.
pub(super) fn problems(world: &World, name: &str, net: &Net) -> Vec<Problem> {
    let (Some(established), Some(pool)) = (world.established(name), world.pool(name)) else {
        return Vec::new();
    };
    if established.net == *net {
        return Vec::new();
    }
    let mut found = Vec::new();
    for family in [Family::V4, Family::V6] {
        let Some(pool) = pool.pool(family) else { continue };
        let (old, new) = (established.net.cidr.of(family), net.cidr.of(family));
        let grows = matches!((old, new), (Some(old), Some(new)) if new.contains_net(old));
        if !grows {
            let lost = pool.iter().filter(|(address, _)| !net.cidr.contains(*address));
            if let Some(holders) = holders(lost) {
                found.push(Problem::refuse(
                    "spec.cidrBlock",
                    Reason::InUse,
                    format!("{} leaves out addresses in use ({holders}); delete their holders first, or choose a network that holds them", net.cidr),
                ));
            }
        }
        let gateway = |net: &Net| net.gateways.iter().copied().find(|it| Family::of(*it) == family);
        let (old, new) = (gateway(&established.net), gateway(net));
        if old == new {
            continue;
        }
        if let Some((new, holder)) = new.and_then(|new| Some((new, pool.holder(new)?))) {
            found.push(Problem::refuse(
                "spec.gateway",
                Reason::InUse,
                format!("{new} is the address of {holder}; choose another one, or delete its holder first"),
            ));
        } else if let (Some(old), Some(holders)) = (old, holders(pool.iter())) {
            found.push(Problem::refuse(
                "spec.gateway",
                Reason::InUse,
                format!("{old} is the gateway of addresses in use ({holders}), which would be cut off; delete their holders first"),
            ));
        }
    }
    found
}

/// The first by address; `None` if there are none. A count would make another text, and another Event, of each pod that
/// comes or goes.
fn holders<'a>(held: impl Iterator<Item = (IpAddr, &'a str)>) -> Option<String> {
    let mut names: Vec<String> =
        held.take(NAMED + 1).map(|(address, holder)| format!("{address} of {holder}")).collect();
    if names.len() > NAMED {
        names[NAMED] = "and others".to_owned();
    }
    (!names.is_empty()).then(|| names.join(", "))
}
