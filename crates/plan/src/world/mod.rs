//! World: everything known, in one place, with the indexes that keep the cost of a change local.
//!
//! Decides nothing about OVN. It answers "what is there" and, when something changes, "which owners need a new plan"
//! ([`Dirty`]). A file for each input holds its store, its indexes and its `apply_…`. The allocator's pools are
//! here too: they are a projection of the IP objects plus what was chosen and isn't persisted yet.

mod contested;
mod deletions;
mod dirty;
mod established;
mod ips;
mod kinds;
mod namespaces;
mod nb;
mod networks;
mod nodes;
mod pods;
mod pools;
mod rows;
mod services;
mod serving;
mod store;
mod subnets;
pub(crate) mod vpc_kind;
mod vpcs;

use std::sync::Arc;

use tombolo_api::views::{NamespaceView, NodeView};
use tombolo_net::Cidr;
use tombolo_ovsdb::Replica;

use crate::config::Config;
use crate::owner::{Owner, OwnerKind};

pub use self::dirty::Dirty;
pub use self::established::{Established, SPEC_KEY};
pub use self::ips::IpEntry;
pub use self::pools::NoAddress;
pub use self::store::Store;
pub(crate) use self::subnets::read_subnet;
pub use self::subnets::{Net, SubnetEntry};
pub use self::vpc_kind::VpcKind;

/// Everything known.
#[derive(Clone, Debug)]
pub struct World {
    config: Config,
    now: String,
    now_secs: i64,
    epoch: u64,
    nb: Replica,
    objects: Objects,
    deletions: deletions::Deletions,
    in_effect: established::InEffect,
    serving: serving::Serving,
    pools: pools::Pools,
    networks: networks::Networks,
}

/// Objects of the watches; a line for each kind.
#[derive(Clone, Debug, Default)]
struct Objects {
    vpcs: vpcs::Vpcs,
    subnets: subnets::Subnets,
    ips: ips::Ips,
    nodes: Store<Arc<NodeView>>,
    namespaces: Store<Arc<NamespaceView>>,
    pods: pods::Pods,
    /// Networks of Services by `ServiceCIDR` objects, beside that of the flag.
    services: Vec<Cidr>,
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
            objects: Objects::default(),
            deletions: deletions::Deletions::default(),
            in_effect: established::InEffect::default(),
            serving: serving::Serving::default(),
            pools: pools::Pools::default(),
            networks: networks::Networks::default(),
        }
    }

    /// The operator's settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The settings, to change them.
    #[cfg(test)]
    pub(crate) fn config_mut(&mut self) -> &mut Config {
        &mut self.config
    }

    /// Wall-clock time as RFC 3339, for conditions. An input, like everything here.
    #[must_use]
    pub fn now(&self) -> &str {
        &self.now
    }

    /// The same as seconds since 1970.
    #[must_use]
    pub fn now_secs(&self) -> i64 {
        self.now_secs
    }

    /// Sets the time, in seconds since 1970.
    pub fn set_time(&mut self, seconds: i64) {
        self.now_secs = seconds;
        self.now = crate::time::text(seconds);
    }

    /// Epoch of this leader, written on what it allocates.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// A leader begins.
    pub fn set_epoch(&mut self, epoch: u64) {
        self.epoch = epoch;
    }

    /// Every owner for which there is an object; rows may have further ones.
    pub fn owners(&self) -> impl Iterator<Item = Owner> {
        std::iter::once(Owner::cluster())
            .chain(self.vpcs().keys().map(|name| Owner::vpc(name)))
            .chain(self.subnets().keys().map(|name| Owner::subnet(name)))
            .chain(self.namespaces().keys().map(|name| Owner::namespace(name)))
            .chain(self.nodes().keys().map(|name| Owner::node(name)))
            .chain(self.pods().keys().map(|name| Owner { kind: OwnerKind::Pod, name: name.clone() }))
            .chain(self.ips().values().flat_map(|ip| ip.owners()))
    }
}
