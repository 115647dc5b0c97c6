//! The kind of a Vpc. Decided here, so that all readers get the same answer.

use tombolo_api::Vpc;
use tombolo_api::annotations::{TRUE, VPC_EXTERNAL};
use tombolo_api::validate::Place;
use tombolo_ovsdb::Uuid;

use super::neutron;
use crate::world::World;

/// The kinds of Vpcs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VpcKind {
    /// The cluster's own, on a router of ours.
    Default,
    /// A router of Neutron's, by its label, or because such a router is there. The row, if this cluster may use it; none while
    /// the router isn't there, or the operator keeps it from the cluster.
    Neutron(Option<Uuid>),
    /// A user's, with a router of its own: not served yet.
    Custom,
}

impl VpcKind {
    /// It is the cluster's own.
    #[must_use]
    pub fn is_default(self) -> bool {
        self == VpcKind::Default
    }

    /// It is a router of Neutron's, whether or not that is there.
    #[must_use]
    pub fn is_neutron(self) -> bool {
        matches!(self, VpcKind::Neutron(_))
    }

    /// The row of Neutron's router.
    #[must_use]
    pub fn neutron_router(self) -> Option<Uuid> {
        match self {
            VpcKind::Neutron(router) => router,
            VpcKind::Default | VpcKind::Custom => None,
        }
    }

    /// By which rules fields are judged there.
    #[must_use]
    pub fn place(self) -> Place {
        match self {
            VpcKind::Default => Place::DefaultVpc,
            VpcKind::Neutron(_) => Place::NeutronRouter,
            VpcKind::Custom => Place::CustomVpc,
        }
    }
}

/// Whether the object says that it is a router of Neutron's.
pub(super) fn is_labeled(vpc: &Vpc) -> bool {
    let labels = vpc.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(VPC_EXTERNAL)).is_some_and(|value| value == TRUE)
}

impl World {
    /// The kind of the Vpc of this name, whether or not there is an object.
    #[must_use]
    pub fn vpc_kind(&self, vpc: &str) -> VpcKind {
        if vpc == self.config().cluster_router {
            return VpcKind::Default;
        }
        let router = neutron::served(self, vpc).map(|(uuid, _)| uuid);
        if router.is_some() || self.vpcs().get(vpc).is_some_and(|object| is_labeled(object)) {
            VpcKind::Neutron(router)
        } else {
            VpcKind::Custom
        }
    }
}
