//! How a change of one input changes the world, and whom it makes dirty.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tombolo_api::annotations::{ALLOWED_ADDRESSES, CHASSIS, STATIC_IN_EXCLUDED, SUBNET_PORT_SECURITY};
use tombolo_api::views::{NamespaceView, NodeView, PodView};
use tombolo_api::{Ip, Subnet, Vpc, condition};
use tombolo_net::{Cidr, DualCidr};
use tombolo_neutron as neutron;
use tombolo_ovsdb::{ChangeSet, Replica};

use super::{Dirty, SubnetEntry, World};
use crate::nb::{self, Ownership, table};
use crate::owner::{Owner, OwnerKind};

/// So many deletions are remembered before those without rows are forgotten.
pub(super) const SEEN_DELETED: usize = 1_024;

pub(super) fn index(map: &mut BTreeMap<String, BTreeSet<String>>, key: &str, name: &str, present: bool) {
    if present {
        map.entry(key.to_owned()).or_default().insert(name.to_owned());
    } else if let Some(names) = map.get_mut(key) {
        names.remove(name);
        if names.is_empty() {
            map.remove(key);
        }
    }
}

/// Whether an object's metadata say the same, but for its version.
fn same_but_status(old: &ObjectMeta, new: &ObjectMeta) -> bool {
    let read =
        |meta: &ObjectMeta| ObjectMeta { resource_version: None, managed_fields: None, ..meta.clone() };
    read(old) == read(new)
}

/// What a Subnet's annotations say that its pods' ports depend on.
fn grants(entry: &SubnetEntry) -> [Option<&String>; 3] {
    let annotations = entry.object.metadata.annotations.as_ref();
    [SUBNET_PORT_SECURITY, ALLOWED_ADDRESSES, STATIC_IN_EXCLUDED]
        .map(|key| annotations.and_then(|all| all.get(key)))
}

impl World {
    /// A Vpc was added, changed or (`None`) is gone.
    pub fn apply_vpc(&mut self, name: &str, vpc: Option<Arc<Vpc>>, dirty: &mut Dirty) {
        let old = match &vpc {
            Some(vpc) => self.vpcs.insert(name.to_owned(), vpc.clone()),
            None => self.vpcs.remove(name),
        };
        for (vpc, present) in old.iter().map(|v| (v, false)).chain(vpc.iter().map(|v| (v, true))) {
            for namespace in &vpc.spec.namespaces {
                index(&mut self.vpcs_of_namespace, namespace, name, present);
            }
        }
        let same = matches!((&old, &vpc), (Some(old), Some(new)) if old.spec == new.spec && same_but_status(&old.metadata, &new.metadata));
        if same {
            dirty.paced.insert(Owner::vpc(name)); // its own report, as a rule
        } else {
            dirty.insert(Owner::vpc(name));
        }
        // Subnets depend on what the Vpc says of itself, not on its own report.
        let spec_changed = match (&old, &vpc) {
            (Some(old), Some(new)) => {
                old.spec != new.spec
                    || old.metadata.labels != new.metadata.labels
                    || old.status.as_ref().map(|s| s.standby) != new.status.as_ref().map(|s| s.standby)
            }
            _ => true,
        };
        if spec_changed {
            dirty.extend(self.subnets_of_vpc(name).map(Owner::subnet));
            // Their pods that wait may be let in now.
            for namespace in old.iter().chain(&vpc).flat_map(|vpc| &vpc.spec.namespaces) {
                self.namespace_dirty(namespace, dirty);
            }
        }
        if old.is_none() != vpc.is_none() {
            // Whether it is there decides where pods of its Subnets' namespaces may be.
            let subnets: Vec<String> = self.subnets_of_vpc(name).map(str::to_owned).collect();
            subnets.iter().for_each(|subnet| self.serves_changed(subnet, dirty));
        }
        if vpc.is_none() && name == self.config.cluster_router {
            dirty.insert(Owner::cluster());
        }
    }

    /// A Subnet was added, changed or (`None`) is gone.
    pub fn apply_subnet(&mut self, name: &str, subnet: Option<Arc<Subnet>>, dirty: &mut Dirty) {
        let entry = subnet.map(|object| crate::subnet::read(&self.config, object));
        let old = match &entry {
            Some(entry) => self.subnets.insert(name.to_owned(), entry.clone()),
            None => self.subnets.remove(name),
        };
        let same_spec = matches!((&old, &entry), (Some(old), Some(new)) if old.spec == new.spec
            && old.object.spec == new.object.spec
            && grants(old) == grants(new)
            && old.object.metadata.finalizers == new.object.metadata.finalizers
            && old.object.metadata.deletion_timestamp == new.object.metadata.deletion_timestamp);
        if same_spec {
            // Only its report changed, by our own hand as a rule.
            dirty.soon.insert(Owner::subnet(name));
            // Pods that wait for it say why.
            let ready = |entry: &Option<SubnetEntry>| {
                let status = entry.as_ref()?.object.status.as_ref()?;
                let ready = condition::get(&status.conditions, condition::READY)?;
                Some((ready.status, ready.message.clone(), ready.observed_generation))
            };
            if ready(&old) != ready(&entry) {
                self.serves_changed(name, dirty);
            }
            return;
        }
        dirty.insert(Owner::subnet(name));
        for (entry, present) in old.iter().map(|e| (e, false)).chain(entry.iter().map(|e| (e, true))) {
            index(&mut self.subnets_of_vpc, &entry.spec.vpc, name, present);
            self.networks.wish(name, entry, present);
        }
        self.refresh_established(name, dirty);
        if !self.established.contains_key(name) {
            // Its pods wait for it by its wish, or have lost it.
            self.serves_changed(name, dirty);
        }
        for entry in old.iter().chain(&entry) {
            self.wish_concerns(name, &entry.spec.vpc, dirty);
            self.rivals_dirty(name, entry, dirty);
        }
        let granted = matches!((&old, &entry), (Some(old), Some(new)) if grants(old) != grants(new));
        if old.is_none() || entry.is_none() || granted {
            // Pods that hold an address in it are served, or told that it is gone; or may send from others.
            let users = self.ips_of_subnet(name).filter_map(|ip| self.ips.get(ip));
            dirty.extend(users.flat_map(|ip| World::owners_of_ip(ip)));
        }
        if granted {
            self.serves_changed(name, dirty);
        }
        if entry.is_none() && (name == self.config.join_subnet || name == self.config.default_subnet) {
            dirty.insert(Owner::cluster());
        }
    }

    /// A Vpc reports what is in effect. Of wishes it says whether its default Subnet is one, and one without a router
    /// stays for them.
    fn wish_concerns(&self, subnet: &str, vpc: &str, dirty: &mut Dirty) {
        let is_default = self.vpcs.get(vpc).is_some_and(|object| object.spec.default_subnet == subnet);
        if is_default || !self.has_router(vpc) {
            dirty.insert(Owner::vpc(vpc));
        }
    }

    /// The Vpc's router is ours to make, or there.
    fn has_router(&self, vpc: &str) -> bool {
        let kind = self.vpc_kind(vpc);
        kind.is_default() || kind.neutron_router().is_some()
    }

    /// The namespace's own annotations, and its pods that wait for an address.
    pub(super) fn namespace_dirty(&self, namespace: &str, dirty: &mut Dirty) {
        dirty.insert(Owner::namespace(namespace));
        for name in self.pods_of_namespace(namespace) {
            let ip = |pod: &Arc<PodView>| self.ips.get(&pod.port_name());
            // One whose address a user reserved may wait to be let in.
            let waits = self
                .pods
                .get(name)
                .is_some_and(|pod| ip(pod).is_none_or(|ip| crate::reservation::is_users(ip)));
            if waits {
                dirty.insert(Owner { kind: OwnerKind::Pod, name: name.clone() });
            }
        }
    }

    /// An IP object was added, changed or (`None`) is gone.
    pub fn apply_ip(&mut self, name: &str, ip: Option<Arc<Ip>>, dirty: &mut Dirty) {
        let old = match &ip {
            Some(ip) => self.ips.insert(name.to_owned(), ip.clone()),
            None => self.ips.remove(name),
        };
        let same_place = matches!((&old, &ip), (Some(old), Some(new)) if old.spec.subnet == new.spec.subnet);
        if let Some(old) = &old {
            if !same_place {
                index(&mut self.ips_of_subnet, &old.spec.subnet, name, false);
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
                index(&mut self.ips_of_subnet, &ip.spec.subnet, name, true);
            }
            if let Some(subnet) = self.borne.remove(name).filter(|subnet| *subnet != ip.spec.subnet) {
                self.unclaim(name, &subnet, dirty);
            }
            self.claim(name, ip, dirty);
            dirty.extend(World::owners_of_ip(ip));
        }
        for subnet in old.iter().chain(&ip).map(|ip| &ip.spec.subnet) {
            let leaving = self.subnets.get(subnet).is_some_and(SubnetEntry::is_terminating);
            if leaving {
                dirty.insert(Owner::subnet(subnet));
            } else {
                dirty.soon.insert(Owner::subnet(subnet));
            }
        }
    }

    /// A pod was added, changed or (`None`) is gone.
    pub fn apply_pod(&mut self, name: &Arc<str>, pod: Option<Arc<PodView>>, dirty: &mut Dirty) {
        let old = match &pod {
            Some(pod) => self.pods.insert(name.clone(), pod.clone()),
            None => self.pods.remove(name),
        };
        let node = |pod: &Option<Arc<PodView>>| pod.as_ref().and_then(|pod| pod.spec.node_name.clone());
        let (before, after) = (node(&old), node(&pod));
        if before != after {
            if let Some(pods) = before.and_then(|node| self.pods_of_node.get_mut(&node)) {
                pods.remove(name);
            }
            if let Some(node) = after {
                self.pods_of_node.entry(node).or_default().insert(name.clone());
            }
        }
        dirty.insert(Owner { kind: OwnerKind::Pod, name: name.clone() });
    }

    /// The same, by a key that may not be held yet.
    pub(crate) fn apply_pod_named(&mut self, name: &str, pod: Option<Arc<PodView>>, dirty: &mut Dirty) {
        let name = self.pods.get_key_value(name).map_or_else(|| Arc::from(name), |(name, _)| name.clone());
        self.apply_pod(&name, pod, dirty);
    }

    /// A node was added, changed or (`None`) is gone.
    pub fn apply_node(&mut self, name: &str, node: Option<Arc<NodeView>>, dirty: &mut Dirty) {
        let addresses = |node: Option<&Arc<NodeView>>| -> Vec<std::net::IpAddr> {
            node.into_iter().flat_map(|node| node.internal_ips()).collect()
        };
        let (before, after) = (addresses(self.nodes.get(name)), addresses(node.as_ref()));
        let chassis = |node: &Arc<NodeView>| node.annotation(CHASSIS).map(str::to_owned);
        let chassis_now = node.as_ref().and_then(chassis);
        let old = match node {
            Some(node) => self.nodes.insert(name.to_owned(), node),
            None => self.nodes.remove(name),
        };
        // The ports of its pods name its chassis. One that goes away is none to move them from.
        if chassis_now.is_some() && old.as_ref().and_then(chassis) != chassis_now {
            let pods = self.pods_of_node(name);
            dirty.extend(pods.map(|name| Owner { kind: OwnerKind::Pod, name: name.clone() }));
        }
        dirty.insert(Owner::node(name));
        if before != after {
            // Agents are told the nodes' addresses there, all of them.
            dirty.paced.insert(Owner::vpc(&self.config.cluster_router));
            // Subnets must not hold the address of a node, whichever of both came first.
            let moved: Vec<_> = before
                .iter()
                .chain(&after)
                .filter(|ip| before.contains(ip) != after.contains(ip))
                .copied()
                .collect();
            self.conflicts_dirty(|net| moved.iter().any(|ip| net.contains(*ip)), dirty);
        }
    }

    /// The networks of Services by the cluster's objects: all there are.
    pub fn apply_services(&mut self, networks: Vec<Cidr>, dirty: &mut Dirty) {
        let before = std::mem::replace(&mut self.services, networks);
        let gone = before.iter().filter(|it| !self.services.contains(it));
        let new = self.services.iter().filter(|it| !before.contains(it));
        let changed: Vec<Cidr> = gone.chain(new).copied().collect();
        self.conflicts_dirty(
            |net| net.iter().any(|own| changed.iter().any(|services| own.overlaps(*services))),
            dirty,
        );
    }

    /// Subnets of the default Vpc whose network, wished or in effect, is concerned.
    fn conflicts_dirty(&self, concerns: impl Fn(DualCidr) -> bool, dirty: &mut Dirty) {
        let concerned = |subnet: &&str| {
            let wish = self.subnets.get(*subnet).and_then(|entry| entry.net.as_ref());
            let nets = wish.into_iter().chain(self.established.get(*subnet).map(|it| &it.net));
            nets.into_iter().any(|net| concerns(net.cidr))
        };
        dirty.extend(self.subnets_of_vpc(&self.config.cluster_router).filter(concerned).map(Owner::subnet));
    }

    /// A namespace was added, changed or (`None`) is gone.
    pub fn apply_namespace(&mut self, name: &str, namespace: Option<Arc<NamespaceView>>, dirty: &mut Dirty) {
        let labels =
            |object: &Option<Arc<NamespaceView>>| object.as_ref().and_then(|o| o.metadata.labels.clone());
        let new_labels = labels(&namespace);
        let old = match namespace {
            Some(namespace) => self.namespaces.insert(name.to_owned(), namespace),
            None => self.namespaces.remove(name),
        };
        if old.is_none() || labels(&old) != new_labels {
            self.namespace_dirty(name, dirty);
        }
        dirty.insert(Owner::namespace(name));
    }

    /// The replica changed.
    pub fn apply_nb(&mut self, replica: Replica, changes: &ChangeSet, dirty: &mut Dirty) {
        let before = std::mem::replace(&mut self.nb, replica);
        self.rows_of_subnets_changed(changes, dirty);
        self.neighbors_dirty(&before, changes, dirty);
        for table in nb::OWNED {
            for (_, change) in changes.of_table(table) {
                for row in change.old.iter().chain(&change.new) {
                    if let Ownership::Ours(owner) = nb::ownership(&self.config.cluster, row) {
                        // A port group of a node that appears: its pods have yet to be linked to it.
                        let appeared = change.old.is_none() && table == table::PORT_GROUP;
                        if appeared && owner.kind == OwnerKind::Node {
                            let pods = self.pods_of_node(&owner.name);
                            dirty.extend(pods.map(|name| Owner { kind: OwnerKind::Pod, name: name.clone() }));
                        }
                        // A child that comes or goes is its own owner's business, and each pod is one.
                        if !nb::only_edges(table, change) || self.is_leaving(&owner) {
                            dirty.insert(owner);
                        }
                    }
                }
                match (&change.old, &change.new, table) {
                    (None, Some(row), table::SWITCH_PORT) => self.adopt_port(row),
                    (Some(row), None, table::SWITCH_PORT)
                        if matches!(nb::ownership(&self.config.cluster, row), Ownership::Ours(_)) =>
                    {
                        self.forget_borne(row.str("name").unwrap_or_default(), dirty);
                    }
                    // Whether a Subnet stands decides whose place it is where two overlap.
                    (None, Some(row), table::SWITCH) | (Some(row), None, table::SWITCH) => {
                        if let Ownership::Ours(owner) = nb::ownership(&self.config.cluster, row)
                            && let Some(entry) = self.subnets.get(&*owner.name)
                        {
                            self.rivals_dirty(&owner.name, entry, dirty);
                        }
                    }
                    _ => {}
                }
                // A switch or router of ours that lost or regained a child concerns the child's owner.
                self.children_dirty(table, change, dirty);
            }
        }
        for router in neutron::routers_touched(&self.nb, changes) {
            if self.has_router(&router) && self.vpcs.contains_key(&router) {
                dirty.paced.insert(Owner::vpc(&router));
            } else {
                dirty.insert(Owner::vpc(&router));
            }
            let routes = |replica: &Replica| {
                neutron::router_named(replica, &router).map(|(uuid, _)| neutron::routes(replica, uuid))
            };
            if routes(&before) != routes(&self.nb) {
                // One may lie inside of a Subnet.
                dirty.extend(self.subnets_of_vpc(&router).map(Owner::subnet));
            }
            if self.refresh_mtu(&router) {
                // Its pods were told the old one.
                for (subnet, _) in self.established_in(&router) {
                    let users = self.ips_of_subnet(subnet).filter_map(|ip| self.ips.get(ip));
                    dirty.extend(users.map(|ip| World::owner_of_ip(ip)));
                }
            }
        }
        // A name that was taken is free again, or the other way round.
        for (_, change) in changes.of_table(table::SWITCH) {
            for row in change.old.iter().chain(&change.new) {
                let renamed = change.old.is_none() || change.new.is_none();
                if let Some(name) = row.str("name").filter(|name| renamed && self.subnets.contains_key(*name))
                {
                    dirty.insert(Owner::subnet(name));
                }
            }
        }
    }

    /// The owner's object is gone or going: what still hangs on its rows is what it waits for.
    fn is_leaving(&self, owner: &Owner) -> bool {
        self.config.leaving
            || owner.kind == OwnerKind::Subnet
                && self.subnets.get(&*owner.name).is_none_or(SubnetEntry::is_terminating)
    }

    /// References to rows of ours that vanished from a parent: their owners put them back.
    fn children_dirty(&self, parent: &'static str, change: &tombolo_ovsdb::Change, dirty: &mut Dirty) {
        let Some(old) = &change.old else { return };
        // A port group's ports hang on their switch: its references keep nothing.
        for reference in nb::edges(parent).iter().filter(|reference| !reference.weak) {
            let column = reference.column;
            let Some(before) = old.get(column) else { continue };
            let after = change.new.as_ref().and_then(|row| row.get(column));
            if Some(before) == after {
                continue;
            }
            let lost = after.map_or_else(|| before.clone(), |after| before.difference(after));
            for uuid in lost.uuids() {
                if let Some(row) = self.nb.row(reference.table, &uuid)
                    && let Ownership::Ours(owner) = nb::ownership(&self.config.cluster, row)
                {
                    dirty.insert(owner);
                }
            }
        }
    }

    /// The object was seen to be deleted: the deletion of its rows is explained.
    pub fn mark_deleted(&mut self, owner: Owner) {
        // On a standby nobody takes them out again: those without anything left to delete say nothing.
        if self.seen_deleted.len() >= self.seen_deleted_limit {
            let mut kept = std::mem::take(&mut self.seen_deleted);
            kept.retain(|owner| {
                nb::OWNED.iter().any(|table| nb::owns(&self.nb, &self.config.cluster, table, owner))
            });
            self.seen_deleted_limit = (kept.len() * 2).max(SEEN_DELETED);
            self.seen_deleted = kept;
        }
        self.seen_deleted.insert(owner);
    }
}
