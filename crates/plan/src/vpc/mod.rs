//! Vpcs: the default one is a router of ours; those of Neutron's routers are a view of them and nothing
//! more (invariant 3): whatever is done to the Vpc, the router stays.

mod default;
mod external;
pub(crate) mod neutron;
mod report;

use tombolo_api::{Condition, Vpc, condition};
use tombolo_names::Reason;

pub(crate) use self::report::refusal_status;
use self::report::report;
use crate::desired::{Kind, Plan, Rows};
pub use crate::world::VpcKind;
use crate::world::World;
use crate::world::vpc_kind::{is_hidden, is_labeled};
use crate::write;

/// The desired state of a Vpc.
pub fn plan(world: &World, name: &str) -> Plan {
    let object = world.vpcs().get(name);
    if name == world.config().cluster_router {
        return default::plan(world, name, object);
    }
    match (neutron::router(world, name), object) {
        (Some(router), None) => external::announce(&router),
        (Some(router), Some(vpc)) => external::plan(world, vpc, &router),
        (None, Some(vpc)) if is_labeled(vpc) => external::without_router(world, vpc),
        (None, Some(vpc)) => custom(world, vpc),
        (None, None) => external::not_shown(world, name),
    }
}

/// A Vpc that a user made. Routers of our own beside the default one are yet to come.
fn custom(world: &World, vpc: &Vpc) -> Plan {
    let name = vpc.metadata.name.as_deref().unwrap_or_default();
    let mut plan = Plan::of_rows(Rows::none());
    if vpc.metadata.deletion_timestamp.is_some() {
        plan.then_write(write::finalizer(Kind::Vpc, &vpc.metadata, false));
        return plan;
    }
    let (reason, message) = if is_hidden(world, name) {
        (
            Reason::RouterNotShown,
            "--external-vpc-selector or --enable-external-vpc keeps this router of Neutron's from the cluster; no \
             Subnet is served on it",
        )
    } else {
        (
            Reason::NotSupportedYet,
            "this version serves the default Vpc and routers of OpenStack Neutron; a Vpc with a router of its own is \
             not served",
        )
    };
    plan.problem(reason, message);
    let status = vpc.status.clone().unwrap_or_default();
    report(world, vpc, &mut plan, status, vec![Condition::new(condition::READY, false, reason, message)]);
    plan
}
