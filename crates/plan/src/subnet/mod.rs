//! Subnets: a switch, and a pair of ports that connects it to its Vpc's router. On a router of Neutron's that
//! port is all there is (invariant 3).

mod alone;
mod in_use;
mod overlap;
mod problems;
mod report;
mod rows;

use tombolo_api::validate;
use tombolo_names::Reason;

use self::problems::problems;
pub(crate) use self::problems::problems_of_newcomer;
pub(crate) use self::report::refusal_status;
use self::report::report;
use self::rows::{router_uuid, rows, switch_row};
use crate::desired::{Kind, Plan, Problem, Rows};
use crate::nb::{self, table};
use crate::owner::Owner;
use crate::vpc::{VpcKind, neutron};
use crate::world::vpc_kind::is_hidden;
use crate::world::{SubnetEntry, World};
use crate::write;

/// The desired state of a Subnet.
pub fn plan(world: &World, name: &str) -> Plan {
    let owner = Owner::subnet(name);
    let Some(entry) = world.subnets().get(name) else {
        // Ports of pods still on the switch hold it: they go first, each with its own owner.
        let explained = world.is_seen_deleted(&owner);
        return Plan { explained, ..Plan::of_rows(Rows::none()) };
    };
    if entry.is_terminating() {
        return terminating(world, name, entry);
    }
    let mut plan = Plan::default();
    let meta = &entry.object.metadata;
    let mut problems = problems(world, name, &entry.spec, entry.net.as_ref(), entry, false);
    let refused = validate::blocks(&problems);
    // Nothing is written back into a spec that is refused: its user is to change it, and a default of the old
    // network (its gateway) would be in the way of the new one.
    if !refused {
        plan.then_write(write::merged([
            write::spec(Kind::Subnet, meta, &entry.object.spec, &entry.spec),
            write::finalizer(Kind::Subnet, meta, true),
        ]));
    }
    place(world, name, entry, refused, &mut plan);
    problems.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
    for problem in problems {
        plan.problem(problem.reason, problem.message);
    }
    plan.problems.extend(neutron::troubles(world, name));
    if plan.waits_for.is_none() {
        plan.then_write(report(world, name, entry, &plan.problems, refused));
    }
    plan
}

/// The rows: of the wish, or, where that is refused, of what is in effect (invariant 11). Without either, and where
/// what is in effect has come into a conflict, what stands stays as it is: taking the port away would cut pods off
/// for a typo, and putting it back could cut others off.
fn place(world: &World, name: &str, entry: &SubnetEntry, refused: bool, plan: &mut Plan) {
    let established = world.established(name);
    let accepted = match (&entry.net, refused) {
        (Some(net), false) => Some((&entry.spec, net)),
        _ => established
            .filter(|it| it.spec != entry.spec)
            .map(|it| (&it.spec, &it.net))
            .filter(|(spec, net)| !validate::blocks(&problems(world, name, spec, Some(net), entry, false))),
    };
    let candidate = accepted.map(|(spec, _)| spec).or(established.map(|it| &it.spec));
    let Some(spec) = candidate else { return };
    let kind = world.vpc_kind(&spec.vpc);
    if kind == VpcKind::Neutron(None) {
        if is_hidden(world, &spec.vpc) {
            return; // what stands on a router that the operator has since hidden stays
        }
        // The router was deleted under us: its port went with it, ours would dangle. Pods keep their
        // addresses and their switch. One that stands elsewhere stays there until it can move.
        let owner = Owner::subnet(name);
        let stands_elsewhere = nb::owns(world.nb(), &world.config().cluster, table::ROUTER_PORT, &owner);
        if let Some(established) = world.standing(name).filter(|_| !stands_elsewhere) {
            plan.explained = true; // what the port led to is gone
            plan.then_rows(Rows {
                rows: vec![switch_row(world, name, &established.spec)],
                ..Rows::default()
            });
        }
        return;
    }
    let Some((spec, net)) = accepted else { return };
    match router_uuid(world, &spec.vpc, kind) {
        Some(uuid) => {
            // The object is there and says itself where its port is to be: many may move at once.
            plan.explained = true;
            plan.then_rows(rows(world, name, spec, net, uuid, kind));
        }
        None => plan.waits_for = Some(Owner::vpc(&spec.vpc)),
    }
}

fn terminating(world: &World, name: &str, entry: &SubnetEntry) -> Plan {
    let mut plan = Plan { explained: true, ..Plan::default() };
    let users: Vec<&str> = world.ips_of_subnet(name).collect();
    if let Some(first) = users.first() {
        let message = format!(
            "{} addresses are in use, the first by {first}; the Subnet goes when the last one is released",
            users.len()
        );
        // A normal step, not a fault: the condition says it, and no warning.
        let problem = Problem { reason: Reason::InUse, message };
        plan.then_write(report(world, name, entry, std::slice::from_ref(&problem), false));
        return plan;
    }
    plan.then_rows(Rows::none());
    plan.then_write(write::finalizer(Kind::Subnet, &entry.object.metadata, false));
    plan
}
