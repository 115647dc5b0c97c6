//! What stands of a Subnet, as against what its user wishes (invariant 11).
//!
//! A spec counts once its rows are in the database. A wish that is refused leaves no trace: pools, pods, namespaces,
//! nodes and reports read what is here, and only the plan of the Subnet itself reads the wish.

use tombolo_api::SubnetSpec;

use super::{Net, World};

/// A Subnet as it is in effect.
#[derive(Clone, Debug, PartialEq)]
pub struct Established {
    /// The accepted spec, defaults filled in.
    pub spec: SubnetSpec,
    /// Its network.
    pub net: Net,
}

impl World {
    /// What is in effect of a Subnet; `None` while its switch has never stood.
    #[must_use]
    pub fn established(&self, subnet: &str) -> Option<&Established> {
        self.established.get(subnet)
    }

    /// Takes the wish for what is established.
    pub(super) fn establish_wish(&mut self, subnet: &str) {
        let wish = self
            .subnets
            .get(subnet)
            .and_then(|entry| Some(Established { spec: entry.spec.clone(), net: entry.net.clone()? }));
        match wish {
            Some(wish) => drop(self.established.insert(subnet.to_owned(), wish)),
            None if !self.subnets.contains_key(subnet) => drop(self.established.remove(subnet)),
            None => {}
        }
    }
}
