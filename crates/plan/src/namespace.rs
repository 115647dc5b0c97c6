//! The Subnets from which the pods of a namespace get addresses, and the namespace's annotations (Kube-OVN's) that name
//! them.

use std::collections::BTreeMap;

use tombolo_api::annotations::{CIDR, EXCLUDE_IPS, LOGICAL_SWITCH};
use tombolo_api::{ConditionStatus, condition};
use tombolo_names::Reason;

use crate::desired::{Kind, Plan, Problem};
use crate::owner::Owner;
use crate::tenancy;
use crate::world::{SubnetEntry, World};
use crate::write;

/// Where new pods of a namespace go.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Subnets that serve them, in the order in which they are tried.
    pub usable: Vec<String>,
    /// Why Subnets that list the namespace don't.
    pub refused: Vec<Problem>,
    /// Why Subnets that merely select it by its labels don't: for the namespace's Events, its pods may be elsewhere.
    pub unselected: Vec<Problem>,
    /// Subnets that are being deleted, by their user's own act: a pod that waits reports it, the namespace doesn't.
    pub leaving: Vec<Problem>,
    /// None is usable: the owner whose change may help.
    pub waits_for: Option<Owner>,
}

/// The answer to a pod that asks for a Subnet.
pub(crate) enum Verdict {
    /// It may be.
    Served,
    /// Not yet; nothing is wrong.
    Coming,
    /// No; why.
    Refused(Problem),
    /// No longer: the Subnet is being deleted.
    Leaving(Problem),
}

/// Whether a Subnet serves a new pod of a namespace.
pub(crate) fn verdict(world: &World, name: &str, namespace: &str) -> Verdict {
    let refused = |reason: Reason, message: String| Verdict::Refused(Problem { reason, message });
    let Some(entry) = world.subnets().get(name) else {
        // The default Subnet is ours to make: a pod that is older than it just waits.
        if name == world.config().default_subnet {
            return Verdict::Coming;
        }
        return refused(
            Reason::SubnetNotFound,
            format!("there is no Subnet {name}; create it, or name another one"),
        );
    };
    if let Some(problem) = tenancy::denied(world, name, namespace) {
        return Verdict::Refused(problem);
    }
    if entry.is_terminating() {
        let text = format!("Subnet {name} is being deleted and gives no more addresses; name another one");
        return Verdict::Leaving(Problem { reason: Reason::SubnetNotReady, message: text });
    }
    if world.standing(name).is_some() {
        return Verdict::Served;
    }
    match refusal(entry) {
        Some(why) => refused(Reason::SubnetNotReady, format!("Subnet {name} isn't served: {why}")),
        None => Verdict::Coming,
    }
}

/// Why a Subnet isn't served, in the words of its own condition; `None` while there is no verdict on its present spec.
fn refusal(entry: &SubnetEntry) -> Option<&str> {
    let object = &entry.object;
    let ready = condition::get(&object.status.as_ref()?.conditions, condition::READY)?;
    let present =
        ready.observed_generation.is_none() || ready.observed_generation == object.metadata.generation;
    (ready.status == ConditionStatus::False && present).then_some(ready.message.as_str())
}

/// The Subnets that name the namespace, in the order in which they are tried: a Vpc that has it may say which comes first.
fn candidates(world: &World, namespace: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for vpc in world.vpcs_of_namespace(namespace) {
        let Some(first) = world.vpcs().get(vpc).map(|object| &object.spec.default_subnet) else { continue };
        // One of another Vpc is none of this Vpc's to give.
        if world.subnets().get(first).is_some_and(|entry| entry.spec.vpc == vpc) && !names.contains(first) {
            names.push(first.clone());
        }
    }
    for name in world.subnets_of_namespace(namespace) {
        if !names.iter().any(|n| n == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// Where new pods of a namespace go that name no Subnet themselves. A Subnet that isn't served doesn't take them down:
/// the next one does, or the default one where that is safe (see [`tenancy::bound`]).
pub(crate) fn choose(world: &World, namespace: &str) -> Choice {
    let mut choice = Choice::default();
    let mut coming = None;
    let all = candidates(world, namespace);
    for name in &all {
        let listed = world.listing_subnets(namespace).any(|it| it == name);
        match verdict(world, name, namespace) {
            Verdict::Served => choice.usable.push(name.clone()),
            Verdict::Coming => drop(coming.get_or_insert(name)),
            Verdict::Refused(problem) if listed => choice.refused.push(problem),
            Verdict::Leaving(problem) if listed => choice.leaving.push(problem),
            // One that only selects the namespace is no word of its own.
            Verdict::Leaving(_) => {}
            Verdict::Refused(problem) => choice.unselected.push(problem),
        }
    }
    if !choice.usable.is_empty() {
        return choice;
    }
    if let Some(name) = coming {
        choice.waits_for = Some(Owner::subnet(name));
    } else if tenancy::bound(world, namespace) {
        choice.waits_for = all.first().map(|name| Owner::subnet(name));
        if all.is_empty() {
            choice.refused.push(Problem {
                reason: Reason::NoSubnetInVpc,
                message: format!(
                    "a Vpc has namespace {namespace} in its spec.namespaces, but no Subnet names the namespace; add it to \
                     spec.namespaces of one"
                ),
            });
        }
    } else {
        let default = world.config().default_subnet.as_str();
        match verdict(world, default, namespace) {
            Verdict::Served => choice.usable.push(default.to_owned()),
            Verdict::Coming => choice.waits_for = Some(Owner::subnet(default)),
            Verdict::Refused(problem) => {
                choice.waits_for = Some(Owner::subnet(default));
                choice.refused.push(problem);
            }
            Verdict::Leaving(problem) => {
                choice.waits_for = Some(Owner::subnet(default));
                choice.leaving.push(problem);
            }
        }
    }
    choice
}

/// Where a pod goes: on the Subnet that it names, or where its namespace's pods go.
pub(crate) fn of_pod(world: &World, named: Option<&str>, namespace: &str) -> Choice {
    let Some(name) = named else { return choose(world, namespace) };
    let mut choice = Choice::default();
    match verdict(world, name, namespace) {
        Verdict::Served => choice.usable.push(name.to_owned()),
        Verdict::Coming => choice.waits_for = Some(Owner::subnet(name)),
        Verdict::Refused(problem) | Verdict::Leaving(problem) => {
            choice.refused.push(problem);
            choice.waits_for = Some(Owner::subnet(name));
        }
    }
    choice
}

/// Annotations of the namespace.
pub fn plan(world: &World, name: &str) -> Plan {
    let mut plan = Plan::default();
    let Some(object) = world.namespaces().get(name).filter(|ns| ns.metadata.deletion_timestamp.is_none())
    else {
        return plan;
    };
    let choice = choose(world, name);
    // That its Subnet is yet to be made is nothing to warn of before there are pods.
    plan.problems
        .extend(choice.refused.into_iter().filter(|problem| problem.reason != Reason::NoSubnetInVpc));
    plan.problems.extend(choice.unselected);
    plan.problems.extend(stray_defaults(world, name));
    // While no Subnet serves new pods, the namespace keeps the Subnets that it names; their networks may have changed.
    let told = object.metadata.annotations.as_ref().and_then(|all| all.get(LOGICAL_SWITCH));
    let subnets: Vec<String> = match choice.usable.is_empty() {
        true => told.into_iter().flat_map(|told| told.split(',')).map(str::to_owned).collect(),
        false => choice.usable,
    };
    if plan.waits_for.is_none() {
        plan.waits_for = choice.waits_for;
    }
    let known: Vec<_> = subnets.iter().filter_map(|subnet| world.established(subnet)).collect();
    if known.is_empty() || known.len() != subnets.len() {
        return plan;
    }
    let cidrs: Vec<&str> = known.iter().map(|subnet| subnet.spec.cidr_block.as_str()).collect();
    let excluded: Vec<String> = known.iter().map(|subnet| subnet.spec.exclude_ips.join(",")).collect();
    let wanted = BTreeMap::from([
        (LOGICAL_SWITCH, Some(subnets.join(","))),
        (CIDR, Some(cidrs.join(";"))),
        (EXCLUDE_IPS, Some(excluded.join(";"))),
    ]);
    plan.then_write(write::annotations(Kind::Namespace, &object.metadata, &wanted));
    plan
}

/// Words for a `spec.defaultSubnet` that isn't a Subnet of its Vpc: it isn't used.
fn stray_defaults(world: &World, namespace: &str) -> Vec<Problem> {
    let stray = |vpc: &str| {
        let wanted = world.vpcs().get(vpc)?.spec.default_subnet.as_str();
        let entry: &SubnetEntry = world.subnets().get(wanted)?;
        (entry.spec.vpc != vpc).then(|| Problem {
            reason: Reason::DefaultSubnetOfAnotherVpc,
            message: format!(
                "spec.defaultSubnet of Vpc {vpc} is {wanted}, which is a Subnet of Vpc {}; it isn't used for namespace \
                 {namespace}",
                entry.spec.vpc
            ),
        })
    };
    world.vpcs_of_namespace(namespace).filter_map(stray).collect()
}
