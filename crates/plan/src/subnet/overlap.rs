//! Networks on the same router: which of two that overlap comes first, and whose one is.

use std::collections::BTreeMap;

use tombolo_api::{SubnetSpec, validate};
use tombolo_net::{Cidr, DualCidr};
use tombolo_neutron as neutron;
use tombolo_ovsdb::Uuid;

use super::alone::problems_alone;
use super::in_use;
use super::rows::router_uuid;
use crate::names::router_port_name;
use crate::nb::{self, table};
use crate::owner::{Owner, OwnerKind};
use crate::vpc::VpcKind;
use crate::world::{Net, SubnetEntry, World};

/// The networks this one must not overlap, with words for whose they are. What a port of ours on the router bears is
/// taken, whatever its Subnet would rather have by now. Of two Subnets without such a port, the one whose switch
/// stands comes first, then the older one; one that is yet to be admitted (`newcomer`) comes after all others.
pub(super) fn taken(
    world: &World,
    name: &str,
    spec: &SubnetSpec,
    net: &Net,
    entry: &SubnetEntry,
    kind: VpcKind,
    newcomer: bool,
) -> Vec<(String, Cidr)> {
    let mut taken = Vec::new();
    let router = router_uuid(world, &spec.vpc, kind);
    // What Kube-OVN made of this very Subnet is to become ours.
    let own = world.config().take_over.then(|| router_port_name(&spec.vpc, name));
    let Standing { ours, others } = overlapping_ports(world, router, net.cidr, own.as_deref());
    let age = |entry: &SubnetEntry, name: &str| {
        (entry.object.metadata.creation_timestamp.as_ref().map(|t| t.0), name.to_owned())
    };
    let (holds_own, stands) = (!newcomer && holds(world, router, name, net), world.is_established(name));
    for (other, cidrs) in ours.iter().filter(|(other, _)| *other != name) {
        let older = || world.subnets().get(other).is_some_and(|it| age(it, other) < age(entry, name));
        if !holds_own || older() {
            taken.extend(cidrs.iter().map(|cidr| (format!("Subnet {other}"), *cidr)));
        }
    }
    for other in world.wished_in(&spec.vpc, net.cidr).into_iter().filter(|other| *other != name) {
        let Some((other_entry, theirs)) = world.subnets().get(other).and_then(|e| Some((e, e.net.as_ref()?)))
        else {
            continue;
        };
        if holds(world, router, other, theirs) {
            continue; // its port counts, see above
        }
        let first = match (world.is_established(other), stands) {
            _ if newcomer => true,
            _ if holds_own => false,
            (true, false) => true,
            (false, true) => false,
            _ => age(other_entry, other) < age(entry, name),
        };
        // A wish that is refused by itself, or because of rows that stand, is in no other Subnet's way.
        let vain = || {
            validate::blocks(&problems_alone(world, other, &other_entry.spec, kind))
                || overlapping_ports(world, router, theirs.cidr, None)
                    .ours
                    .keys()
                    .any(|third| third != other && third != name)
                || !in_use::problems(world, other, theirs).is_empty()
        };
        if first && !vain() {
            taken.extend(theirs.cidr.iter().map(|cidr| (format!("Subnet {other}"), cidr)));
        }
    }
    if kind.is_neutron() {
        taken.extend(others);
    }
    taken
}

/// Networks of a router's ports.
struct Standing {
    /// Of our Subnets' ports, by Subnet.
    ours: BTreeMap<String, Vec<Cidr>>,
    /// Of other ports, Neutron's among them, with words for their owners.
    others: Vec<(String, Cidr)>,
}

/// The ports on a router whose networks overlap this one, but for Kube-OVN's of the name `own`.
fn overlapping_ports(world: &World, router: Option<Uuid>, cidr: DualCidr, own: Option<&str>) -> Standing {
    let mut ours: BTreeMap<String, Vec<Cidr>> = BTreeMap::new();
    let mut others = BTreeMap::new();
    for port in router.into_iter().flat_map(|router| world.ports_on(router, cidr)) {
        let Some(row) = world.nb().row(table::ROUTER_PORT, &port) else { continue };
        match nb::ownership(&world.config().cluster, row) {
            nb::Ownership::Ours(owner) if owner.kind == OwnerKind::Subnet => {
                ours.entry(owner.name.to_string()).or_default().extend(neutron::cidrs(row));
            }
            nb::Ownership::Ours(_) => {}
            nb::Ownership::Foreign | nb::Ownership::Orphan => {
                let port_name = row.str("name").unwrap_or_default();
                if own == Some(port_name) && nb::is_kube_ovns(row) {
                    continue;
                }
                let whose = match neutron::network_of(row) {
                    Some(switch) => match neutron::network_display_name(world.nb(), switch) {
                        Some(display) => format!("Neutron's network {display:?}"),
                        None => format!("Neutron's network {switch}"),
                    },
                    None => format!("the router port {port_name}"),
                };
                others.insert((port_name, port), neutron::cidrs(row).map(move |it| (whose.clone(), it)));
            }
        }
    }
    Standing { ours, others: others.into_values().flatten().collect() }
}

/// Whether a port of the Subnet on this router bears the whole network.
fn holds(world: &World, router: Option<Uuid>, name: &str, net: &Net) -> bool {
    let cluster = &world.config().cluster;
    let ports = nb::owned(world.nb(), cluster, table::ROUTER_PORT, &Owner::subnet(name));
    let on_it = ports.into_iter().filter(|(port, _)| router.is_some_and(|it| world.is_on(*port, it)));
    let cidrs: Vec<Cidr> = on_it.flat_map(|(_, row)| neutron::cidrs(row)).collect();
    net.cidr.iter().all(|it| cidrs.contains(&it))
}
