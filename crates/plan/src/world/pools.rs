//! The allocator's pools: what the IP objects hold, what was chosen and isn't persisted yet, and what ports bear.

use std::collections::BTreeMap;
use std::sync::Arc;

use tombolo_net::{Addresses, Family, Mac, SubnetPool, SubnetPoolError};
use tombolo_ovsdb::Row;

use super::contested::{Contested, Wish};
use super::{Dirty, IpEntry, World};
use crate::desired::AddressRequest;
use crate::nb::{self, table};
use crate::owner::{Owner, OwnerKind};

/// The pools by Subnet, and what is special about some of their holders.
#[derive(Clone, Debug, Default)]
pub(super) struct Pools {
    by_subnet: BTreeMap<String, SubnetPool>,
    contested: Contested,
    /// Ports without an IP object (any more), with their subnets: what they bear isn't free.
    borne: BTreeMap<String, String>,
}

/// Why a request got no address: what each subnet said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAddress {
    /// Subnet and reason, in the order tried.
    pub tried: Vec<(String, SubnetPoolError)>,
}

impl World {
    /// The allocator of a subnet.
    #[must_use]
    pub fn pool(&self, subnet: &str) -> Option<&SubnetPool> {
        self.pools.by_subnet.get(subnet)
    }

    /// Why an IP object's addresses aren't its own, if another holds them.
    #[must_use]
    pub fn contested(&self, ip: &str) -> Option<&str> {
        self.pools.contested.why(ip)
    }

    /// Chooses addresses for a request. The choice holds until [`World::release`] or until the IP object
    /// that persists it is deleted.
    ///
    /// # Errors
    /// The reason of each subnet.
    pub fn allocate(&mut self, request: &AddressRequest) -> Result<(String, Addresses), NoAddress> {
        let mut tried = Vec::new();
        for subnet in &request.subnets {
            let Some(pool) = self.pools.by_subnet.get_mut(subnet) else { continue };
            // Of several subnets, asked-for addresses decide: a subnet that can't contain them is not meant.
            if request.subnets.len() > 1 && request.addresses.iter().any(|a| !pool.cidr().contains(*a)) {
                continue;
            }
            match pool.assign_families(&request.ip_name, &request.addresses, request.mac, &request.families) {
                Ok(addresses) => {
                    // From here on it is the one who asked that holds it. What its port bears in another subnet stays
                    // taken until that port goes.
                    if self.pools.borne.get(&request.ip_name) == Some(subnet) {
                        self.pools.borne.remove(&request.ip_name);
                    }
                    return Ok((subnet.clone(), addresses));
                }
                Err(error) => tried.push((subnet.clone(), error)),
            }
        }
        Err(NoAddress { tried })
    }

    /// Takes back what was chosen for an IP object that was never persisted.
    pub fn release(&mut self, owner: &Owner, subnet: &str, ip: &str, dirty: &mut Dirty) {
        if self.ips().contains(ip) {
            return;
        }
        // A port bears an address of one subnet.
        let elsewhere = self.pools.borne.get(ip).is_some_and(|borne| borne != subnet);
        if self.bears(owner) && !elsewhere {
            self.keep_borne(ip, subnet);
        } else {
            self.unclaim(ip, subnet, dirty);
        }
    }

    /// Whether the port of a pod or node stands. Its address isn't free then, whatever becomes of the IP object: it may
    /// be in use (invariant 5).
    pub(crate) fn bears(&self, owner: &Owner) -> bool {
        let uuid = self.row_uuid(table::SWITCH_PORT, owner, "port");
        self.nb.row(table::SWITCH_PORT, &uuid).is_some() || self.is_borne_by_kube_ovns(owner)
    }

    /// Whether a port that Kube-OVN left for this pod or node stands, though none of ours takes its place: the pod ended before.
    fn is_borne_by_kube_ovns(&self, owner: &Owner) -> bool {
        let name = match owner.kind {
            _ if !self.config.take_over => return false,
            OwnerKind::Pod => {
                let (namespace, pod) = owner.namespaced();
                crate::names::pod_port(namespace, pod)
            }
            OwnerKind::Node => crate::names::node_port(&owner.name),
            _ => return false,
        };
        nb::named(&self.nb, table::SWITCH_PORT, &name).into_iter().any(|(_, row)| nb::is_kube_ovns(row))
    }

    pub(super) fn keep_borne(&mut self, port: &str, subnet: &str) {
        self.pools.contested.remove(port);
        self.pools.borne.insert(port.to_owned(), subnet.to_owned());
    }

    /// There is an IP object for a port again: what the port bears in another subnet is free.
    pub(super) fn leave_borne(&mut self, port: &str, subnet: &str, dirty: &mut Dirty) {
        if let Some(other) = self.pools.borne.remove(port).filter(|other| other != subnet) {
            self.unclaim(port, &other, dirty);
        }
    }

    /// The port is gone.
    pub(super) fn forget_borne(&mut self, port: &str, dirty: &mut Dirty) {
        if let Some(subnet) = self.pools.borne.remove(port) {
            self.unclaim(port, &subnet, dirty);
        }
    }

    /// Takes what ports bear whose IP objects went unseen: for a process that begins to lead.
    pub fn adopt_ports(&mut self) {
        let ports: Vec<Arc<Row>> = self.nb.rows(table::SWITCH_PORT).map(|(_, row)| row.clone()).collect();
        for port in ports {
            self.adopt_port(&port);
        }
    }

    /// Takes what a port bears if there is no IP object for it: it went while the port was being made.
    pub(super) fn adopt_port(&mut self, port: &Row) {
        let Some(owner) = nb::owner_of(&self.config.cluster, port) else { return };
        let (Some(name), Some(subnet)) = (port.str("name"), port.key("external_ids", "ls")) else { return };
        if !matches!(owner.kind, OwnerKind::Pod | OwnerKind::Node) || self.ips().contains(name) {
            return;
        }
        let Some(pool) = self.pools.by_subnet.get_mut(subnet) else { return };
        let mut words =
            port.get("addresses").and_then(|it| it.strings().next()).unwrap_or_default().split(' ');
        let mac = words.next().and_then(|mac| mac.parse::<Mac>().ok());
        let addresses: Vec<_> = words.filter_map(|word| word.parse().ok()).collect();
        if assign_these(pool, name, &addresses, mac).is_ok() {
            self.pools.borne.insert(name.to_owned(), subnet.to_owned());
        }
    }

    pub(super) fn claim(&mut self, name: &str, ip: &IpEntry, dirty: &mut Dirty) {
        self.pools.contested.remove(name);
        let subnet = ip.subnet();
        let mut wants = Vec::new();
        let error = match ip.holds() {
            Ok((addresses, mac)) => {
                let had = self.pools.by_subnet.get(subnet).and_then(|pool| pool.of_owner(name));
                let other = |had: &Addresses| {
                    // One that has a family more than the object says was a mere intention.
                    mac.is_some_and(|mac| had.mac != mac) || !had.iter().eq(addresses.iter().copied())
                };
                if had.as_ref().is_some_and(other) {
                    // An address chosen for it, or an earlier one of it, may be another IP object's by right.
                    self.unclaim(name, subnet, dirty);
                }
                let Some(pool) = self.pools.by_subnet.get_mut(subnet) else { return };
                match assign_these(pool, name, &addresses, mac) {
                    Ok(_) => return,
                    Err(error) => {
                        wants = addresses.into_iter().map(Wish::Address).chain(mac.map(Wish::Mac)).collect();
                        error.to_string()
                    }
                }
            }
            Err(error) => error,
        };
        self.pools.contested.insert(name, subnet, wants, error);
    }

    pub(super) fn unclaim(&mut self, name: &str, subnet: &str, dirty: &mut Dirty) {
        self.pools.contested.remove(name);
        let freed = self.pools.by_subnet.get_mut(subnet).and_then(|pool| pool.release(name));
        dirty.soon.insert(Owner::subnet(subnet));
        if let Some(freed) = freed {
            self.reclaim_contested(subnet, &freed, dirty);
            dirty.freed.push((subnet.to_owned(), freed));
        }
    }

    /// Addresses of the subnet are free again: each may be another IP object's by right, the oldest one's of those
    /// that bear it. The others have nothing to gain.
    fn reclaim_contested(&mut self, subnet: &str, freed: &Addresses, dirty: &mut Dirty) {
        for wish in freed.iter().map(Wish::Address).chain([Wish::Mac(freed.mac)]) {
            let age = |name: &String| {
                let meta = self.ips().get(name).map(|ip| &ip.object.metadata);
                (meta.and_then(|meta| meta.creation_timestamp.as_ref()).map(|time| time.0), name.clone())
            };
            let mut names: Vec<String> =
                self.pools.contested.wanting(subnet, wish).map(str::to_owned).collect();
            names.sort_by_cached_key(age);
            for name in names {
                let Some(ip) = self.ips().get(&name).cloned() else { continue };
                self.claim(&name, &ip, dirty);
                if self.pools.contested.why(&name).is_none() {
                    dirty.extend(ip.owners());
                    break;
                }
            }
        }
    }

    /// Makes or remakes the pool of a subnet, by what is in effect. What was given in it stays given; a network that
    /// grew takes it over, with the IP objects that didn't fit before.
    pub(super) fn refresh_pool(&mut self, subnet: &str, dirty: &mut Dirty) {
        let Some(net) = self.established(subnet).map(|it| it.net.clone()) else {
            self.pools.by_subnet.remove(subnet);
            return;
        };
        if let Some(pool) = self.pools.by_subnet.get_mut(subnet).filter(|pool| pool.cidr() == net.cidr) {
            pool.set_excluded(&net.gateways, &net.excluded);
            dirty.grown.insert(subnet.to_owned());
            return;
        }
        let mut pool = SubnetPool::new(net.cidr, &net.gateways, &net.excluded);
        // The router's own MAC must stay the router's.
        let gateway = self.gateway_mac(subnet);
        if let Err(holder) = pool.claim_mac("gateway", gateway) {
            debug_assert!(false, "an empty pool has no holder, but {holder}");
        }
        if let Some(old) = self.pools.by_subnet.remove(subnet) {
            for owner in old.owners() {
                let Some(has) = old.of_owner(owner) else { continue };
                let addresses: Vec<_> = has.iter().collect();
                // One that doesn't fit any more belongs to an IP object, which is contested then.
                drop(assign_these(&mut pool, owner, &addresses, Some(has.mac)));
            }
        }
        self.pools.by_subnet.insert(subnet.to_owned(), pool);
        dirty.grown.insert(subnet.to_owned());
        let names: Vec<String> = self.ips_of_subnet(subnet).map(str::to_owned).collect();
        for name in names {
            if let Some(ip) = self.ips().get(&name).cloned() {
                self.claim(&name, &ip, dirty);
            }
        }
    }
}

/// Gives an owner these addresses and no others: one that has a single family in a subnet of both keeps it so.
fn assign_these(
    pool: &mut SubnetPool,
    owner: &str,
    addresses: &[std::net::IpAddr],
    mac: Option<Mac>,
) -> Result<Addresses, SubnetPoolError> {
    let families: Vec<Family> = addresses.iter().map(|address| Family::of(*address)).collect();
    pool.assign_families(owner, addresses, mac, &families)
}
