//! The address that a pod needs: on which Subnets, and what its annotations ask for.

use std::collections::BTreeMap;

use tombolo_api::validate;
use tombolo_api::views::PodView;
use tombolo_names::Reason;

use super::asking::Asking;
use crate::desired::{AddressRequest, Plan};
use crate::limits::{is_refused, limits};
use crate::namespace;
use crate::owner::Owner;
use crate::world::World;

/// The pod needs an address.
pub(super) fn request(world: &World, owner: &Owner, pod: &PodView, ip_name: String) -> Plan {
    let (namespace, name) = owner.namespaced();
    let mut plan = Plan::default();
    let Some(node) = pod.spec.node_name.clone().filter(|node| !node.is_empty()) else { return plan };
    if pod.is_terminating() {
        return plan; // it never got an address and needs none any more
    }
    if ip_name.len() > NAME_LENGTH {
        let what = format!(
            "the names of pod and namespace have {} characters together, and an IP object's name <pod>.<namespace> at most \
             {NAME_LENGTH}; choose shorter ones",
            ip_name.len()
        );
        plan.problem(Reason::InvalidName, what);
        return plan;
    }
    let none = BTreeMap::new();
    let annotations = pod.metadata.annotations.as_ref().unwrap_or(&none);
    let wanted = match validate::pod(annotations, tombolo_api::OVN_PROVIDER) {
        Ok(wanted) => wanted,
        Err(problems) => {
            for problem in problems {
                plan.problem(problem.reason, problem.message);
            }
            return plan;
        }
    };
    let choice = namespace::of_pod(world, wanted.subnet.as_deref(), namespace);
    plan.problems.extend(choice.refused.into_iter().chain(choice.leaving));
    let usable = choice.usable;
    let Some(first) = usable.first() else {
        plan.waits_for = choice.waits_for;
        return plan;
    };
    if is_refused(&limits(world, pod, first), &mut plan) {
        return plan;
    }
    let ordinal = pod.stateful_set().and_then(|set| name.strip_prefix(set)?.strip_prefix('-')?.parse().ok());
    let asking = Asking { world, ip_name: &ip_name, wanted: &wanted };
    let chosen = match asking.choose(usable, ordinal) {
        Ok(chosen) => chosen,
        Err(refused) => {
            plan.problem(refused.problem.reason, refused.problem.message);
            plan.waits_for = refused.until_changed.map(|subnet| Owner::subnet(&subnet));
            plan.waits_for_address = refused.until_freed;
            return plan;
        }
    };
    plan.then_address(AddressRequest {
        ip_name,
        subnets: chosen.subnets,
        addresses: chosen.addresses,
        families: wanted.families,
        mac: wanted.mac,
        pod_name: name.to_owned(),
        namespace: namespace.to_owned(),
        node,
        pod_type: if pod.stateful_set().is_some() { "StatefulSet".to_owned() } else { String::new() },
        pod_uid: pod.metadata.uid.clone().unwrap_or_default(),
    });
    plan
}

/// The longest name of an object.
const NAME_LENGTH: usize = 253;
