//! Neutron's routers as far as this cluster uses them: which ones it may, and what on Neutron's side is in the way of a
//! Subnet that stands on one.
//!
//! One answer for all readers: a router that `--external-vpc-selector` leaves out serves no Subnet, whatever Vpc objects
//! bear its name.

use tombolo_names::Reason;
use tombolo_neutron::{self as neutron, Router};
use tombolo_ovsdb::Row;

use crate::desired::Problem;
use crate::world::vpc_kind::served;
use crate::world::{Net, World};

/// So many routes are named; a message has its limits.
const NAMED: usize = 3;

/// The same router with its ports.
pub(crate) fn router(world: &World, name: &str) -> Option<Router> {
    let (uuid, row) = served(world, name)?;
    Some(neutron::read_router(world.nb(), uuid, row))
}

/// Troubles that Neutron's side makes a Subnet on one of its routers. The Subnet stays as it is.
pub(crate) fn troubles(world: &World, subnet: &str) -> Vec<Problem> {
    let Some(established) = world.established(subnet) else { return Vec::new() };
    let Some((uuid, row)) = served(world, &established.spec.vpc) else { return Vec::new() };
    let routes = neutron::routes(world.nb(), uuid);
    disabled(row).into_iter().chain(diverted(&routes, &established.net)).collect()
}

/// The same for the Vpc, with the names of the Subnets concerned.
pub(crate) fn troubles_of_vpc(world: &World, vpc: &str) -> Vec<Problem> {
    let Some((uuid, row)) = served(world, vpc) else { return Vec::new() };
    let mut troubles: Vec<Problem> = disabled(row).into_iter().collect();
    let routes = neutron::routes(world.nb(), uuid);
    if routes.is_empty() {
        return troubles;
    }
    for (name, established) in world.established_in(vpc) {
        if let Some(problem) = diverted(&routes, &established.net) {
            let message = format!("Subnet {name}: {}", problem.message);
            troubles.push(Problem { message, ..problem });
        }
    }
    troubles
}

/// Whether a problem is one of these: what it is about doesn't work, whatever else is right.
pub(crate) fn is_trouble(problem: &Problem) -> bool {
    matches!(problem.reason, Reason::RouterDisabled | Reason::RouteConflict)
}

fn disabled(row: &Row) -> Option<Problem> {
    (!neutron::is_enabled(row)).then(|| Problem {
        reason: Reason::RouterDisabled,
        message: format!(
            "router {:?} is switched off in OpenStack (admin_state_up is false): nothing passes it; `openstack \
             router set --enable {}` switches it on",
            neutron::display_name(row).unwrap_or_default(),
            neutron::router_id(row.str("name").unwrap_or_default())
        ),
    })
}

/// Routes into a part of the network, which beat the router's own link to it: the longer prefix counts. A route to
/// the very same network loses to the link in OVN today, but its author meant another place. Wider ones are
/// harmless.
fn diverted(routes: &[neutron::Route], net: &Net) -> Option<Problem> {
    let inside = |route: &&neutron::Route| net.cidr.iter().any(|cidr| cidr.contains_net(route.prefix));
    let all: Vec<&neutron::Route> = routes.iter().filter(inside).collect();
    if all.is_empty() {
        return None;
    }
    let mut named: Vec<String> =
        all.iter().take(NAMED).map(|route| format!("{} via {}", route.prefix, route.next_hop)).collect();
    if all.len() > NAMED {
        named.push(format!("and {} more", all.len() - NAMED));
    }
    Some(Problem {
        reason: Reason::RouteConflict,
        message: format!(
            "Neutron's router has a route inside {} ({}): packets to these addresses don't reach the pods; remove the \
             route from the router in OpenStack, or move the Subnet to another network",
            net.cidr,
            named.join(", ")
        ),
    })
}
