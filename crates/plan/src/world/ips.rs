//! IP objects: each holds addresses of a Subnet for a pod, a node or its user.

use std::sync::Arc;

use tombolo_api::Ip;

use super::store::{Index, Store};
use super::{Dirty, SubnetEntry, World};
use crate::owner::Owner;

/// IP objects by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Ips {
    store: Store<Arc<Ip>>,
    /// By `spec.subnet`.
    of_subnet: Index,
}

impl World {
    /// IP objects by name.
    #[must_use]
    pub fn ips(&self) -> &Store<Arc<Ip>> {
        &self.objects.ips.store
    }

    /// Names of the IP objects in this subnet.
    pub fn ips_of_subnet(&self, subnet: &str) -> impl Iterator<Item = &str> {
        self.objects.ips.of_subnet.of(subnet).map(String::as_str)
    }

    /// The owner an IP object belongs to: the pod or node whose port has its name. Any other reserves an address for
    /// nobody, and is its own owner.
    #[must_use]
    pub fn owner_of_ip(ip: &Ip) -> Owner {
        let name = ip.metadata.name.as_deref().unwrap_or_default();
        let spec = &ip.spec;
        if spec.namespace.is_empty() {
            let node = if spec.node_name.is_empty() { &spec.pod_name } else { &spec.node_name };
            if !node.is_empty() && crate::node::port_name(node) == name {
                return Owner::node(node);
            }
        } else if crate::pod::port_name(&spec.namespace, &spec.pod_name) == name {
            return Owner::pod(&spec.namespace, &spec.pod_name);
        }
        Owner::ip(name)
    }

    /// Who is concerned by an IP object: its owner; and the object itself, if a user made it and is to be told of it.
    pub fn owners_of_ip(ip: &Ip) -> impl Iterator<Item = Owner> {
        let users = crate::reservation::is_users(ip);
        let itself = users.then(|| Owner::ip(ip.metadata.name.as_deref().unwrap_or_default()));
        itself.into_iter().chain([Self::owner_of_ip(ip)])
    }

    /// The owners of the addresses in a Subnet, and the IP objects that users made in it.
    pub(super) fn users_dirty(&self, subnet: &str, dirty: &mut Dirty) {
        let users = self.ips_of_subnet(subnet).filter_map(|ip| self.ips().get(ip));
        dirty.extend(users.flat_map(|ip| World::owners_of_ip(ip)));
    }

    /// An IP object was added, changed or (`None`) is gone.
    pub fn apply_ip(&mut self, name: &str, ip: Option<Arc<Ip>>, dirty: &mut Dirty) {
        let old = self.objects.ips.store.put(name.to_owned(), ip.clone());
        let same_place = matches!((&old, &ip), (Some(old), Some(new)) if old.spec.subnet == new.spec.subnet);
        if let Some(old) = &old {
            if !same_place {
                self.objects.ips.of_subnet.set(&old.spec.subnet, name, false);
                if ip.is_none() && self.bears(&World::owner_of_ip(old)) {
                    self.keep_borne(name, &old.spec.subnet);
                } else {
                    self.unclaim(name, &old.spec.subnet, dirty);
                }
            }
            dirty.extend(World::owners_of_ip(old));
        }
        if let Some(ip) = &ip {
            if !same_place {
                self.objects.ips.of_subnet.set(&ip.spec.subnet, name, true);
            }
            self.leave_borne(name, &ip.spec.subnet, dirty);
            self.claim(name, ip, dirty);
            dirty.extend(World::owners_of_ip(ip));
        }
        for subnet in old.iter().chain(&ip).map(|ip| &ip.spec.subnet) {
            let leaving = self.subnets().get(subnet).is_some_and(SubnetEntry::is_terminating);
            if leaving {
                dirty.insert(Owner::subnet(subnet));
            } else {
                dirty.soon.insert(Owner::subnet(subnet));
            }
        }
    }
}
