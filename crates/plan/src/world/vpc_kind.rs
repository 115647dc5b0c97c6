//! The kind of a Vpc. Decided here, so that all readers get the same answer.

use tombolo_api::Vpc;
use tombolo_api::annotations::{TRUE, VPC_EXTERNAL};
use tombolo_api::validate::{self, Place};
use tombolo_neutron as neutron;
use tombolo_ovsdb::{Row, Uuid};

use super::World;

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
pub(crate) fn is_labeled(vpc: &Vpc) -> bool {
    let labels = vpc.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(VPC_EXTERNAL)).is_some_and(|value| value == TRUE)
}

/// The row of Neutron's router of this name, if this cluster may use it.
pub(crate) fn served<'a>(world: &'a World, name: &str) -> Option<(Uuid, &'a Row)> {
    // Neutron's `neutron-<uuid>` always can be a name; a row that only looks like Neutron's may not.
    if !world.config().external_vpcs || !validate::is_object_name(name) {
        return None;
    }
    let (uuid, row) = neutron::router_named(world.nb(), name)?;
    let selected = world.config().router_selector.selects(|key| match key {
        "name" => neutron::display_name(row),
        "id" => row.str("name").map(neutron::router_id),
        key => row.key("external_ids", key),
    });
    selected.then_some((uuid, row))
}

/// Neutron has a router of this name, and the operator's flags keep it from this cluster.
pub(crate) fn is_hidden(world: &World, name: &str) -> bool {
    neutron::router_named(world.nb(), name).is_some() && served(world, name).is_none()
}

impl World {
    /// The kind of the Vpc of this name, whether or not there is an object.
    #[must_use]
    pub fn vpc_kind(&self, vpc: &str) -> VpcKind {
        if vpc == self.config().cluster_router {
            return VpcKind::Default;
        }
        let router = served(self, vpc).map(|(uuid, _)| uuid);
        if router.is_some() || self.vpcs().get(vpc).is_some_and(|object| is_labeled(object)) {
            VpcKind::Neutron(router)
        } else {
            VpcKind::Custom
        }
    }
}
