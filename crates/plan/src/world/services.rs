//! Networks of Services, by `ServiceCIDR` objects and by the flag: no Subnet of the default Vpc may overlap one.

use tombolo_net::Cidr;

use super::{Dirty, World};

impl World {
    /// The networks of Services: that of the flag and those of `ServiceCIDR` objects.
    #[must_use]
    pub fn service_networks(&self) -> Vec<Cidr> {
        let mut all: Vec<Cidr> = self.config.service_cidr.iter().flat_map(|it| it.iter()).collect();
        for network in &self.objects.services {
            if !all.contains(network) {
                all.push(*network);
            }
        }
        all
    }

    /// The networks of Services by the cluster's objects: all there are.
    pub fn apply_services(&mut self, networks: Vec<Cidr>, dirty: &mut Dirty) {
        let before = std::mem::replace(&mut self.objects.services, networks);
        let gone = before.iter().filter(|it| !self.objects.services.contains(it));
        let new = self.objects.services.iter().filter(|it| !before.contains(it));
        let changed: Vec<Cidr> = gone.chain(new).copied().collect();
        self.conflicts_dirty(
            |net| net.iter().any(|own| changed.iter().any(|services| own.overlaps(*services))),
            dirty,
        );
    }
}
