//! Subnets as their users wish them, and the owners that a change of one concerns. `established` has the specs in effect.

use std::net::IpAddr;
use std::sync::Arc;

use tombolo_api::annotations::{ALLOWED_ADDRESSES, STATIC_IN_EXCLUDED, SUBNET_PORT_SECURITY};
use tombolo_api::defaults::{Defaults, subnet_defaults};
use tombolo_api::{Subnet, SubnetSpec, condition};
use tombolo_net::{AddrRange, DualCidr};

use super::established::net_of;
use super::store::{Index, Store};
use super::{Dirty, World};
use crate::config::Config;
use crate::desired::Problem;
use crate::owner::Owner;

/// Subnets by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Subnets {
    store: Store<SubnetEntry>,
    /// By `spec.vpc`.
    of_vpc: Index,
}

/// A Subnet as it is used: defaults filled in, texts parsed.
#[derive(Clone, Debug)]
pub struct SubnetEntry {
    /// The object.
    pub object: Arc<Subnet>,
    /// Its spec with defaults.
    pub spec: SubnetSpec,
    /// Its network; `None` when the spec can't be read.
    pub net: Option<Net>,
    /// Problems of the spec by itself.
    pub problems: Vec<Problem>,
}

impl SubnetEntry {
    /// It is being deleted.
    #[must_use]
    pub fn is_terminating(&self) -> bool {
        self.object.metadata.deletion_timestamp.is_some()
    }

    /// The annotations on which its pods' ports depend.
    fn grants(&self) -> [Option<&String>; 3] {
        let annotations = self.object.metadata.annotations.as_ref();
        [SUBNET_PORT_SECURITY, ALLOWED_ADDRESSES, STATIC_IN_EXCLUDED]
            .map(|key| annotations.and_then(|all| all.get(key)))
    }

    /// Whether it says the same as an earlier one, but for its report.
    fn same_but_status(&self, old: &SubnetEntry) -> bool {
        let (meta, before) = (&self.object.metadata, &old.object.metadata);
        old.spec == self.spec
            && old.object.spec == self.object.spec
            && old.grants() == self.grants()
            && before.finalizers == meta.finalizers
            && before.deletion_timestamp == meta.deletion_timestamp
    }
}

/// The network of a Subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Net {
    /// One or two networks.
    pub cidr: DualCidr,
    /// A gateway for each.
    pub gateways: Vec<IpAddr>,
    /// Addresses that aren't handed out.
    pub excluded: Vec<AddrRange>,
}

/// Reads a Subnet: fills defaults in and parses its texts.
pub(crate) fn read_subnet(config: &Config, object: Arc<Subnet>) -> SubnetEntry {
    let name = object.metadata.name.clone().unwrap_or_default();
    let defaults = Defaults {
        default_vpc: config.cluster_router.clone(),
        default_subnet: config.default_subnet.clone(),
        join_subnet: config.join_subnet.clone(),
        enable_lb: config.enable_lb,
    };
    let spec = subnet_defaults(&name, &object.spec, &defaults);
    let net = net_of(&spec);
    SubnetEntry { object, spec, net, problems: Vec::new() }
}

impl World {
    /// Subnets by name.
    #[must_use]
    pub fn subnets(&self) -> &Store<SubnetEntry> {
        &self.objects.subnets.store
    }

    /// Names of the Subnets whose `spec.vpc` is this one, ascending.
    pub fn subnets_of_vpc(&self, vpc: &str) -> impl Iterator<Item = &str> {
        self.objects.subnets.of_vpc.of(vpc).map(String::as_str)
    }

    /// A Subnet was added, changed or (`None`) is gone.
    pub fn apply_subnet(&mut self, name: &str, subnet: Option<Arc<Subnet>>, dirty: &mut Dirty) {
        let entry = subnet.map(|object| read_subnet(&self.config, object));
        let old = self.objects.subnets.store.put(name.to_owned(), entry.clone());
        if let (Some(old), Some(new)) = (&old, &entry)
            && new.same_but_status(old)
        {
            // By our own hand as a rule.
            dirty.soon.insert(Owner::subnet(name));
            self.report_changed(name, old, new, dirty);
            return;
        }
        dirty.insert(Owner::subnet(name));
        for (entry, present) in old.iter().map(|e| (e, false)).chain(entry.iter().map(|e| (e, true))) {
            self.objects.subnets.of_vpc.set(&entry.spec.vpc, name, present);
            self.networks.wish(name, entry, present);
        }
        let refreshed = self.refresh_established(name, dirty);
        for entry in old.iter().chain(&entry) {
            self.wish_concerns(name, &entry.spec.vpc, dirty);
            self.rivals_dirty(name, entry, dirty);
        }
        let granted = matches!((&old, &entry), (Some(old), Some(new)) if old.grants() != new.grants());
        if old.is_none() || entry.is_none() || granted {
            // Pods that hold an address in it are served, or get an Event that it is gone; or may send from others.
            self.users_dirty(name, dirty);
        }
        let is_leaving = |entry: &Option<SubnetEntry>| entry.as_ref().map(SubnetEntry::is_terminating);
        let wished_vpc = |entry: &Option<SubnetEntry>| entry.as_ref().map(|entry| entry.spec.vpc.clone());
        // Its pods wait for it by its wish, or have lost it. Pods that wait say why; the Vpc that it asks for decides
        // whether they may be elsewhere.
        let concerns_pods = self.established(name).is_none()
            || granted
            || is_leaving(&old) != is_leaving(&entry)
            || wished_vpc(&old) != wished_vpc(&entry);
        if concerns_pods && !refreshed {
            self.serves_changed(name, dirty);
        }
        if entry.is_none() && (name == self.config.join_subnet || name == self.config.default_subnet) {
            dirty.insert(Owner::cluster());
        }
    }

    /// Only the report of a Subnet changed: pods that wait for it say why.
    fn report_changed(&mut self, name: &str, old: &SubnetEntry, new: &SubnetEntry, dirty: &mut Dirty) {
        let ready = |entry: &SubnetEntry| {
            let object = &entry.object;
            let ready = condition::get(&object.status.as_ref()?.conditions, condition::READY)?;
            let is_of_now = ready.observed_generation == object.metadata.generation;
            Some((ready.status, ready.message.clone(), ready.observed_generation, is_of_now))
        };
        if ready(old) != ready(new) {
            self.serves_changed(name, dirty);
        }
    }

    /// A Vpc reports what is in effect. Of wishes it says whether its default Subnet is one, and one without a router
    /// stays for them.
    fn wish_concerns(&self, subnet: &str, vpc: &str, dirty: &mut Dirty) {
        let is_default = self.vpcs().get(vpc).is_some_and(|object| object.spec.default_subnet == subnet);
        if is_default || !self.has_router(vpc) {
            dirty.insert(Owner::vpc(vpc));
        }
    }

    /// Subnets of the default Vpc whose network, wished or in effect, is concerned.
    pub(super) fn conflicts_dirty(&self, concerns: impl Fn(DualCidr) -> bool, dirty: &mut Dirty) {
        let concerned = |subnet: &&str| {
            let wish = self.subnets().get(subnet).and_then(|entry| entry.net.as_ref());
            let nets = wish.into_iter().chain(self.established(subnet).map(|it| &it.net));
            nets.into_iter().any(|net| concerns(net.cidr))
        };
        let all = self.subnets_concerned(&self.config.cluster_router).into_iter();
        dirty.extend(all.filter(concerned).map(Owner::subnet));
    }
}
