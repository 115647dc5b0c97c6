//! World: everything known, in one place, with the indexes that keep the cost of a change local.
//!
//! Decides nothing about OVN. It answers "what is there" and, when something changes, "who must be looked
//! at again" ([`Dirty`]). The allocator's pools are here too: they are a projection of the IP objects plus
//! what was chosen and isn't persisted yet.

mod apply;
mod contested;
mod established;
mod networks;
mod pools;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use tombolo_api::views::{NamespaceView, NodeView, PodView};
use tombolo_api::{Ip, Subnet, SubnetSpec, Vpc};
use tombolo_net::{AddrRange, Addresses, Cidr, DualCidr, SubnetPool};
use tombolo_ovsdb::Replica;

use crate::config::Config;
use crate::desired::Problem;
use crate::owner::Owner;
use contested::Contested;
use networks::Networks;

pub(crate) use self::established::net_of;
pub use self::established::{Established, SPEC_KEY};

/// Owners to plan again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dirty {
    /// At once.
    pub now: BTreeSet<Owner>,
    /// Within a second: only a report (a count of addresses) is out of date.
    pub soon: BTreeSet<Owner>,
    /// At once, or a while after their last report: it lists what many others do, and is as long as they are many. The
    /// longer it is, the longer the while, up to a second.
    pub paced: BTreeSet<Owner>,
    /// What became free, by Subnet: as many of those who found none there may find one now.
    pub freed: Vec<(String, Addresses)>,
    /// Subnets that give out other addresses than before: whoever waits for one there may find one now.
    pub grown: BTreeSet<String>,
}

impl Dirty {
    /// Adds an owner to plan at once.
    pub fn insert(&mut self, owner: Owner) {
        self.now.insert(owner);
    }

    /// Adds owners to plan at once.
    pub fn extend(&mut self, owners: impl IntoIterator<Item = Owner>) {
        self.now.extend(owners);
    }
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
    /// What is wrong with the spec by itself.
    pub problems: Vec<Problem>,
}

impl SubnetEntry {
    /// It is being deleted.
    #[must_use]
    pub fn is_terminating(&self) -> bool {
        self.object.metadata.deletion_timestamp.is_some()
    }
}

/// The network of a Subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Net {
    /// One or two networks.
    pub cidr: DualCidr,
    /// A gateway for each.
    pub gateways: Vec<IpAddr>,
    /// What isn't handed out.
    pub excluded: Vec<AddrRange>,
}

/// Everything known.
#[derive(Clone, Debug)]
pub struct World {
    /// The operator's settings.
    pub config: Config,
    /// Wall-clock time as RFC 3339, for conditions. An input, like everything here.
    pub now: String,
    /// The same as seconds since 1970.
    pub now_secs: i64,
    /// Epoch of this leader, written on what it allocates.
    pub epoch: u64,
    /// The northbound database.
    pub nb: Replica,
    /// Vpcs by name.
    pub vpcs: BTreeMap<String, Arc<Vpc>>,
    /// Subnets by name.
    pub subnets: BTreeMap<String, SubnetEntry>,
    /// IP objects by name.
    pub ips: BTreeMap<String, Arc<Ip>>,
    /// Pods by `<namespace>/<name>`.
    pub pods: BTreeMap<Arc<str>, Arc<PodView>>,
    /// Nodes by name.
    pub nodes: BTreeMap<String, Arc<NodeView>>,
    /// Namespaces by name.
    pub namespaces: BTreeMap<String, Arc<NamespaceView>>,
    /// Networks of Services by `ServiceCIDR` objects, beside that of the flag.
    pub services: Vec<Cidr>,
    /// Owners whose object was seen to be deleted: that explains the deletion of their rows.
    pub seen_deleted: BTreeSet<Owner>,
    seen_deleted_limit: usize,
    established: BTreeMap<String, Established>,
    established_of_vpc: BTreeMap<String, BTreeSet<String>>,
    /// What the indexes of namespaces hold of each Subnet: namespaces by name, and whether it selects by labels.
    serves: BTreeMap<String, (Vec<String>, bool)>,
    pools: BTreeMap<String, SubnetPool>,
    contested: Contested,
    /// Ports without an IP object (any more), with their subnets: what they bear isn't free.
    borne: BTreeMap<String, String>,
    networks: Networks,
    subnets_of_vpc: BTreeMap<String, BTreeSet<String>>,
    vpcs_of_namespace: BTreeMap<String, BTreeSet<String>>,
    subnets_of_namespace: BTreeMap<String, BTreeSet<String>>,
    selecting_subnets: BTreeSet<String>,
    ips_of_subnet: BTreeMap<String, BTreeSet<String>>,
    pods_of_node: BTreeMap<String, BTreeSet<Arc<str>>>,
}

impl World {
    /// An empty world.
    #[must_use]
    pub fn new(config: Config) -> Self {
        World {
            config,
            now: String::new(),
            now_secs: 0,
            epoch: 0,
            nb: Replica::default(),
            vpcs: BTreeMap::new(),
            subnets: BTreeMap::new(),
            ips: BTreeMap::new(),
            pods: BTreeMap::new(),
            nodes: BTreeMap::new(),
            namespaces: BTreeMap::new(),
            services: Vec::new(),
            seen_deleted: BTreeSet::new(),
            seen_deleted_limit: apply::SEEN_DELETED,
            established: BTreeMap::new(),
            established_of_vpc: BTreeMap::new(),
            serves: BTreeMap::new(),
            pools: BTreeMap::new(),
            contested: Contested::default(),
            borne: BTreeMap::new(),
            networks: Networks::default(),
            subnets_of_vpc: BTreeMap::new(),
            vpcs_of_namespace: BTreeMap::new(),
            subnets_of_namespace: BTreeMap::new(),
            selecting_subnets: BTreeSet::new(),
            ips_of_subnet: BTreeMap::new(),
            pods_of_node: BTreeMap::new(),
        }
    }

    /// Names of the Subnets whose `spec.vpc` is this one, ascending.
    pub fn subnets_of_vpc(&self, vpc: &str) -> impl Iterator<Item = &str> {
        self.subnets_of_vpc.get(vpc).into_iter().flatten().map(String::as_str)
    }

    /// Names of the Subnets for pods of this namespace, ascending, by `spec.namespaces` and by
    /// `spec.namespaceSelectors` of what is in effect; of the wish while nothing is.
    #[must_use]
    pub fn subnets_of_namespace(&self, namespace: &str) -> Vec<&str> {
        let mut names: BTreeSet<&str> =
            self.subnets_of_namespace.get(namespace).into_iter().flatten().map(String::as_str).collect();
        let labels = self.namespaces.get(namespace).and_then(|object| object.metadata.labels.as_ref());
        for name in &self.selecting_subnets {
            let selects = self.effective(name).is_some_and(|spec| {
                let none = BTreeMap::new();
                spec.namespace_selectors.iter().any(|s| s.matches(labels.unwrap_or(&none)))
            });
            if selects {
                names.insert(name);
            }
        }
        names.into_iter().collect()
    }

    /// Names of the Vpcs that have the namespace in `spec.namespaces`, ascending.
    pub fn vpcs_of_namespace(&self, namespace: &str) -> impl Iterator<Item = &str> {
        self.vpcs_of_namespace.get(namespace).into_iter().flatten().map(String::as_str)
    }

    /// Names of the Subnets that have the namespace in `spec.namespaces`, ascending.
    pub fn listing_subnets(&self, namespace: &str) -> impl Iterator<Item = &str> {
        self.subnets_of_namespace.get(namespace).into_iter().flatten().map(String::as_str)
    }

    /// The networks of Services: that of the flag and those of `ServiceCIDR` objects.
    #[must_use]
    pub fn service_networks(&self) -> Vec<Cidr> {
        let mut all: Vec<Cidr> = self.config.service_cidr.iter().flat_map(|it| it.iter()).collect();
        for network in &self.services {
            if !all.contains(network) {
                all.push(*network);
            }
        }
        all
    }

    /// Names of the IP objects in this subnet.
    pub fn ips_of_subnet(&self, subnet: &str) -> impl Iterator<Item = &str> {
        self.ips_of_subnet.get(subnet).into_iter().flatten().map(String::as_str)
    }

    /// Pods (`<namespace>/<name>`) on this node.
    pub fn pods_of_node(&self, node: &str) -> impl Iterator<Item = &Arc<str>> {
        self.pods_of_node.get(node).into_iter().flatten()
    }

    /// Pods of this namespace.
    pub fn pods_of_namespace<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Arc<str>> {
        let first: Arc<str> = Arc::from(format!("{namespace}/"));
        self.pods
            .range(first..)
            .map(|(name, _)| name)
            .take_while(move |name| name.strip_prefix(namespace).is_some_and(|rest| rest.starts_with('/')))
    }

    /// All namespaces that are known, or have pods: their own object may be on its way. As many steps as there are.
    pub(crate) fn all_namespaces(&self) -> BTreeSet<String> {
        let mut all: BTreeSet<String> = self.namespaces.keys().cloned().collect();
        let mut next = self.pods.keys().next();
        while let Some((namespace, _)) = next.and_then(|name| name.split_once('/')) {
            // The first name behind those that begin with `<namespace>/`.
            let behind: Arc<str> = Arc::from(format!("{namespace}0"));
            all.insert(namespace.to_owned());
            next = self.pods.range(behind..).next().map(|(name, _)| name);
        }
        all
    }

    /// The allocator of a subnet.
    #[must_use]
    pub fn pool(&self, subnet: &str) -> Option<&SubnetPool> {
        self.pools.get(subnet)
    }

    /// Why an IP object's addresses aren't its own, if another holds them.
    #[must_use]
    pub fn contested(&self, ip: &str) -> Option<&str> {
        self.contested.why(ip)
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

    /// Every owner for which there is an object; rows may have further ones.
    pub fn owners(&self) -> impl Iterator<Item = Owner> {
        std::iter::once(Owner::cluster())
            .chain(self.vpcs.keys().map(|name| Owner::vpc(name)))
            .chain(self.subnets.keys().map(|name| Owner::subnet(name)))
            .chain(self.namespaces.keys().map(|name| Owner::namespace(name)))
            .chain(self.nodes.keys().map(|name| Owner::node(name)))
            .chain(self.pods.keys().map(|name| Owner { kind: crate::OwnerKind::Pod, name: name.clone() }))
            .chain(self.ips.values().flat_map(|ip| Self::owners_of_ip(ip)))
    }
}
