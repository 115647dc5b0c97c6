//! Which networks are where: those that Subnets wish, by Vpc, and those of the ports on each router. A router has as
//! many ports as Subnets: who overlaps whom is found without a look at all of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tombolo_net::{Cidr, CidrMap, DualCidr};
use tombolo_neutron as neutron;
use tombolo_ovn::nb::LogicalRouter;
use tombolo_ovsdb::{Atom, ChangeSet, Replica, Row, Uuid};

use super::{Dirty, SubnetEntry, World};
use crate::nb::{self, Ownership, table};
use crate::owner::{ClusterId, Owner, OwnerKind};

/// The indexes.
#[derive(Clone, Debug, Default)]
pub(super) struct Networks {
    /// Networks that Subnets wish, by Vpc.
    wishes: BTreeMap<String, CidrMap<String>>,
    routers: HashMap<Uuid, OnRouter>,
    /// Where each router port is.
    places: HashMap<Uuid, Place>,
    /// The MTU on Neutron's routers, by name.
    mtus: BTreeMap<String, u32>,
}

#[derive(Clone, Debug, Default)]
struct OnRouter {
    ports: CidrMap<Uuid>,
    /// Those that lead to Neutron's networks.
    of_neutron: BTreeSet<Uuid>,
    /// Those of our Subnets, by Subnet.
    of_subnets: BTreeSet<(Arc<str>, Uuid)>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Place {
    routers: Vec<Uuid>,
    networks: Vec<Cidr>,
    of_neutron: bool,
    of_subnet: Option<Arc<str>>,
}

impl Networks {
    /// A Subnet wishes its network, or (`present` is false) no longer does.
    pub(super) fn wish(&mut self, name: &str, entry: &SubnetEntry, present: bool) {
        let vpc = &entry.spec.vpc;
        for cidr in entry.net.iter().flat_map(|net| net.cidr.iter()) {
            if present {
                self.wishes.entry(vpc.clone()).or_default().insert(cidr, name.to_owned());
            } else if let Some(wishes) = self.wishes.get_mut(vpc) {
                wishes.remove(cidr, &name.to_owned());
                if wishes.is_empty() {
                    self.wishes.remove(vpc);
                }
            }
        }
    }

    /// Reads again where a port is.
    fn refresh(&mut self, nb: &Replica, cluster: &ClusterId, port: Uuid) {
        let old = self.places.remove(&port).unwrap_or_default();
        for router in &old.routers {
            let Some(on) = self.routers.get_mut(router) else { continue };
            old.networks.iter().for_each(|network| on.ports.remove(*network, &port));
            on.of_neutron.remove(&port);
            if let Some(subnet) = &old.of_subnet {
                on.of_subnets.remove(&(subnet.clone(), port));
            }
            if on.ports.is_empty() && on.of_neutron.is_empty() && on.of_subnets.is_empty() {
                self.routers.remove(router);
            }
        }
        let Some(row) = nb.row(table::ROUTER_PORT, &port) else { return };
        let key = Atom::Uuid(port);
        let routers = nb.holders(table::ROUTER, LogicalRouter::PORTS, &key);
        let place = Place {
            routers: routers.map(|(router, _)| router).collect(),
            networks: neutron::cidrs(row).collect(),
            of_neutron: neutron::network_of(row).is_some(),
            of_subnet: match nb::ownership(cluster, row) {
                Ownership::Ours(owner) if owner.kind == OwnerKind::Subnet => Some(owner.name),
                _ => None,
            },
        };
        for router in &place.routers {
            let on = self.routers.entry(*router).or_default();
            place.networks.iter().for_each(|network| on.ports.insert(*network, port));
            if place.of_neutron {
                on.of_neutron.insert(port);
            }
            if let Some(subnet) = &place.of_subnet {
                on.of_subnets.insert((subnet.clone(), port));
            }
        }
        if !place.routers.is_empty() {
            self.places.insert(port, place);
        }
    }

    /// Each router that a port is on, with each network it has there.
    fn of_port(&self, port: Uuid) -> impl Iterator<Item = (Uuid, Cidr)> {
        self.places.get(&port).into_iter().flat_map(|place| {
            place.routers.iter().flat_map(|router| place.networks.iter().map(|network| (*router, *network)))
        })
    }
}

/// Whether a router's row says the same but for what hangs on it: floating IPs come and go all the time, and say nothing
/// of the router itself.
fn same_router(old: &Row, new: &Row) -> bool {
    let read = |row: &Row| {
        let mut row = row.clone();
        for column in ["ports", "policies", "static_routes", "nat"] {
            row.remove(column);
        }
        row
    };
    read(old) == read(new)
}

impl World {
    /// Names of the Subnets that wish for a network in this Vpc which overlaps `cidr`, ascending.
    pub(crate) fn wished_in(&self, vpc: &str, cidr: DualCidr) -> BTreeSet<&str> {
        let wishes = self.networks.wishes.get(vpc);
        let found = wishes.into_iter().flat_map(|wishes| cidr.iter().flat_map(|it| wishes.overlapping(it)));
        found.map(String::as_str).collect()
    }

    /// The ports on a router whose networks overlap `cidr`, ascending.
    pub(crate) fn ports_on(&self, router: Uuid, cidr: DualCidr) -> BTreeSet<Uuid> {
        let on = self.networks.routers.get(&router);
        on.into_iter().flat_map(|on| cidr.iter().flat_map(|it| on.ports.overlapping(it))).copied().collect()
    }

    /// Names of the Subnets that have a port on a router, ascending, wherever they would rather be by now.
    pub(crate) fn subnets_on(&self, router: Uuid) -> impl Iterator<Item = &str> {
        let on = self.networks.routers.get(&router);
        on.into_iter().flat_map(|on| &on.of_subnets).map(|(subnet, _)| &**subnet)
    }

    /// Whether a port is on a router.
    pub(crate) fn is_on(&self, port: Uuid, router: Uuid) -> bool {
        self.networks.places.get(&port).is_some_and(|place| place.routers.contains(&router))
    }

    /// The MTU that pods behind Neutron's router of this name should use; `None` if there is none, or no tenant's network
    /// on it says one.
    pub(crate) fn router_mtu(&self, router: &str) -> Option<u32> {
        self.networks.mtus.get(router).copied()
    }

    /// Reads the MTU on a router again: whether it is another one than before.
    pub(super) fn refresh_mtu(&mut self, router: &str) -> bool {
        let new = neutron::router_named(&self.nb, router).and_then(|(uuid, row)| {
            let ports = self.networks.routers.get(&uuid).into_iter().flat_map(|on| &on.of_neutron);
            neutron::router_mtu(&self.nb, row, ports.copied())
        });
        let old = match new {
            Some(new) => self.networks.mtus.insert(router.to_owned(), new),
            None => self.networks.mtus.remove(router),
        };
        old != new
    }

    /// The Subnets on the same router that overlap this one: their conflict begins or ends with it.
    pub(super) fn rivals_dirty(&self, name: &str, entry: &SubnetEntry, dirty: &mut Dirty) {
        let Some(net) = &entry.net else { return };
        let rivals = self.wished_in(&entry.spec.vpc, net.cidr);
        dirty.extend(rivals.into_iter().filter(|other| *other != name).map(Owner::subnet));
    }

    /// Takes in what changed on routers, and the Subnets that this concerns: of a port, those whose networks overlap its
    /// own; of the router itself, all.
    pub(super) fn neighbors_dirty(&mut self, before: &Replica, changes: &ChangeSet, dirty: &mut Dirty) {
        let mut ports: BTreeSet<Uuid> = changes.of_table(table::ROUTER_PORT).map(|(port, _)| port).collect();
        for (_, change) in changes.of_table(table::ROUTER) {
            let of = |row: &Option<Arc<Row>>| row.as_ref().and_then(|row| row.get("ports").cloned());
            let (old, new) = (of(&change.old).unwrap_or_default(), of(&change.new).unwrap_or_default());
            ports.extend(old.difference(&new).uuids());
            ports.extend(new.difference(&old).uuids());
            if let (Some(old), Some(new)) = (&change.old, &change.new)
                && same_router(old, new)
            {
                continue;
            }
            for name in change.old.iter().chain(&change.new).filter_map(|row| row.str("name")) {
                dirty.extend(self.subnets_concerned(name).into_iter().map(Owner::subnet));
            }
        }
        let mut places = BTreeSet::new();
        for port in ports {
            places.extend(self.networks.of_port(port));
            self.networks.refresh(&self.nb, &self.config.cluster, port);
            places.extend(self.networks.of_port(port));
        }
        for (_, change) in changes.of_table(table::SWITCH) {
            // The name of a network is in what is said of an overlap with it.
            if !nb::only_edges(table::SWITCH, change) {
                for name in change.old.iter().chain(&change.new).filter_map(|row| row.str("name")) {
                    let key = Atom::from(name);
                    let on = self.nb.find(table::ROUTER_PORT, neutron::BY_NETWORK, &key);
                    places.extend(on.flat_map(|(port, _)| self.networks.of_port(port)));
                }
            }
        }
        for (router, cidr) in places {
            // Those in effect there, wherever they would rather be by now.
            let ports = self.ports_on(router, cidr.into()).into_iter();
            let subnets = ports.filter_map(|port| self.networks.places.get(&port)?.of_subnet.as_ref());
            dirty.extend(subnets.map(|subnet| Owner::subnet(subnet)));
            let rows = [before, &self.nb].into_iter().filter_map(|nb| nb.row(table::ROUTER, &router));
            let names: BTreeSet<&str> = rows.filter_map(|row| row.str("name")).collect();
            for name in names {
                for subnet in self.wished_in(name, cidr.into()) {
                    dirty.insert(Owner::subnet(subnet));
                    // Whether this one can be served decides about those that it is in the way of.
                    if let Some(entry) = self.subnets().get(subnet) {
                        self.rivals_dirty(subnet, entry, dirty);
                    }
                }
            }
        }
    }
}
