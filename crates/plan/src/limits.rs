//! What a pod's annotations ask for and its Subnet can't give.

use tombolo_api::validate::{self, Place};
use tombolo_api::views::PodView;

use crate::desired::Plan;
use crate::world::World;

/// Wishes in the pod's annotations that it can't have on a Subnet.
pub(crate) fn limits(world: &World, pod: &PodView, subnet: &str) -> Vec<validate::Problem> {
    let annotations = pod.metadata.annotations.as_ref();
    annotations.map_or_else(Vec::new, |all| {
        validate::pod_limits(all, tombolo_api::OVN_PROVIDER, place(world, subnet))
    })
}

/// Whether the pod is refused for a wish that it can't have, with an Event. Wishes that it can go without are named once
/// it is served (see [`crate::unserved::pod`]).
pub(crate) fn is_refused(limits: &[validate::Problem], plan: &mut Plan) -> bool {
    let refused = validate::blocks(limits);
    for problem in limits.iter().filter(|_| refused) {
        plan.problem(problem.reason, problem.message.clone());
    }
    refused
}

fn place(world: &World, subnet: &str) -> Place {
    let vpc = world.established(subnet).map(|it| it.spec.vpc.as_str()).unwrap_or_default();
    world.vpc_kind(vpc).place()
}
