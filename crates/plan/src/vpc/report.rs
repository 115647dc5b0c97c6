//! A Vpc's status: the parts that all kinds of Vpcs have.

use tombolo_api::{Condition, Vpc, VpcStatus, condition, validate};
use tombolo_names::Reason;
use tombolo_ovsdb::Uuid;

use crate::desired::{Intent, Kind, Plan, Problem};
use crate::world::World;
use crate::write;

/// The switches on a router, ours and Neutron's, sorted.
pub(super) fn attached(world: &World, router: Uuid, neutron: Vec<String>) -> Vec<String> {
    let mut names = neutron;
    names.extend(world.subnets_on(router).map(str::to_owned));
    names.sort_unstable();
    names.dedup();
    names
}

pub(super) fn report(
    world: &World,
    vpc: &Vpc,
    plan: &mut Plan,
    mut status: VpcStatus,
    conditions: Vec<Condition>,
) {
    for new in conditions {
        condition::set(&mut status.conditions, new, world.now());
    }
    plan.then_write(write::status(Kind::Vpc, &vpc.metadata, vpc.status.as_ref(), &status));
}

/// Whether all of the spec can be honored; Events name the rest too.
pub(super) fn validated(vpc: &Vpc, place: validate::Place, plan: &mut Plan) -> Condition {
    let name = vpc.metadata.name.as_deref().unwrap_or_default();
    let mut problems = validate::vpc(name, &vpc.spec, place == validate::Place::NeutronRouter);
    problems.extend(validate::vpc_limits(&vpc.spec, place));
    let annotations = vpc.metadata.annotations.as_ref();
    problems.extend(validate::annotation_limits(&validate::UNSERVED_ON_VPCS, annotations));
    let mut condition = match validate::summary(&problems) {
        None => Condition::new(condition::VALIDATED, true, Reason::ValidateVpcSuccess, ""),
        Some((reason, text)) => Condition::new(condition::VALIDATED, false, reason, text),
    };
    for problem in problems {
        plan.problem(problem.reason, problem.message);
    }
    condition.observed_generation = vpc.metadata.generation;
    condition
}

/// `spec.defaultSubnet`, if it is a Subnet of this Vpc.
pub(super) fn default_switch(world: &World, vpc: &Vpc) -> String {
    let name = vpc.metadata.name.as_deref().unwrap_or_default();
    let is_one = world.subnets_of_vpc(name).any(|subnet| subnet == vpc.spec.default_subnet);
    if is_one { vpc.spec.default_subnet.clone() } else { String::new() }
}

/// The report that the rows are refused: by what stands in the database, or by the database itself.
pub(crate) fn refusal_status(world: &World, name: &str, problem: &Problem) -> Option<Intent> {
    let vpc = world.vpcs().get(name)?;
    let mut status = vpc.status.clone().unwrap_or_default();
    status.standby = false;
    let mut ready = Condition::new(condition::READY, false, problem.reason, problem.message.as_str());
    ready.observed_generation = vpc.metadata.generation;
    condition::set(&mut status.conditions, ready, world.now());
    write::status(Kind::Vpc, &vpc.metadata, vpc.status.as_ref(), &status)
}
