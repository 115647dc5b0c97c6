//! The work that a change leaves: the owners to plan again, and when.

use std::collections::BTreeSet;

use tombolo_net::Addresses;

use crate::owner::Owner;

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
    /// Addresses that became free, by Subnet: as many of the owners that found none there may find one now.
    pub freed: Vec<(String, Addresses)>,
    /// Subnets that give out other addresses than before: owners that wait for one there may find one now.
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
