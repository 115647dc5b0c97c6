//! A Subnet's status: its conditions, and the number of its addresses in use.

use tombolo_api::{Condition, IpCount, SubnetStatus, condition};
use tombolo_names::Reason;
use tombolo_net::Family;

use crate::desired::{Intent, Kind, Problem};
use crate::vpc::neutron;
use crate::world::{SubnetEntry, World};
use crate::write;

pub(super) fn report(
    world: &World,
    name: &str,
    entry: &SubnetEntry,
    problems: &[Problem],
    refused: bool,
) -> Option<Intent> {
    let object = &entry.object;
    let mut status = object.status.clone().unwrap_or_default();
    let text = problems.iter().map(|p| p.message.as_str()).collect::<Vec<_>>().join("; ");
    let first = problems.first();
    let ready = match first {
        Some(problem) if refused || neutron::is_trouble(problem) || !world.is_established(name) => {
            Condition::new(condition::READY, false, problem.reason, &*text)
        }
        Some(problem) => Condition::new(condition::READY, true, problem.reason, &*text),
        None => Condition::new(condition::READY, true, Reason::ReconcileLogicalSwitchSuccess, ""),
    };
    let validated = match first {
        Some(problem) if refused => Condition::new(condition::VALIDATED, false, problem.reason, &*text),
        _ => Condition::new(condition::VALIDATED, true, Reason::ValidateLogicalSwitchSuccess, ""),
    };
    for mut new in [ready, validated] {
        new.observed_generation = object.metadata.generation;
        condition::set(&mut status.conditions, new, world.now());
    }
    count(world, name, &mut status);
    write::status(Kind::Subnet, &object.metadata, object.status.as_ref(), &status)
}

/// The report that the rows are refused: by what stands in the database, or by the database itself.
pub(crate) fn refusal_status(world: &World, name: &str, problem: &Problem) -> Option<Intent> {
    let entry = world.subnets().get(name)?;
    report(world, name, entry, std::slice::from_ref(problem), true)
}

/// How many addresses are in use and left.
fn count(world: &World, name: &str, status: &mut SubnetStatus) {
    let Some(pool) = world.pool(name) else { return };
    let numbers = |family| {
        pool.pool(family).map_or(
            (IpCount::default(), String::new(), IpCount::default(), String::new()),
            |pool| {
                (
                    IpCount::from(pool.available()),
                    pool.available_ranges(),
                    IpCount::from(pool.using()),
                    pool.using_ranges(),
                )
            },
        )
    };
    let (available, available_range, using, using_range) = numbers(Family::V4);
    status.v4_available_ips = available;
    status.v4_available_ip_range = available_range;
    status.v4_using_ips = using;
    status.v4_using_ip_range = using_range;
    let (available, available_range, using, using_range) = numbers(Family::V6);
    status.v6_available_ips = available;
    status.v6_available_ip_range = available_range;
    status.v6_using_ips = using;
    status.v6_using_ip_range = using_range;
}
