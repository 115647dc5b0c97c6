//! World, owners and plans: what should stand in OVN and in Kubernetes.
//!
//! `World` is everything known; [`plan`] says for one owner what should be. Both are pure: no clock, no
//! randomness, no IO. Doesn't decide how rows get into the database (`tombolo-diff`) nor what is done when
//! (`tombolo-engine`).

mod address;
pub mod admission;
pub mod config;
pub mod desired;
pub mod kind;
pub mod nb;
pub mod owner;
pub mod world;

mod cluster;
pub mod leave;
mod limits;
mod lint;
pub mod names;
pub mod namespace;
pub mod node;
pub mod pod;
pub mod reservation;
mod row;
pub mod subnet;
mod tenancy;
pub mod time;
pub mod unserved;
mod vpc;
mod write;

#[cfg(test)]
mod tests;

pub use config::{Config, Selector};
pub use desired::{AddressRequest, AddressWait, Intent, Kind, Plan, Problem, Rows, Stage, Verb};
pub use kind::Object;
pub use owner::{ClusterId, Owner, OwnerKind};
pub use vpc::VpcKind;
pub use world::World;

/// The desired state of `owner`.
#[must_use]
pub fn plan(world: &World, owner: &Owner) -> Plan {
    let plan = decide(world, owner);
    if cfg!(debug_assertions)
        && let Some(rows) = plan.rows()
    {
        let wrong = lint::rows(world.nb(), rows);
        assert!(wrong.is_empty(), "the plan of {owner}: {wrong:#?}");
    }
    plan
}

fn decide(world: &World, owner: &Owner) -> Plan {
    if world.config().leaving {
        return leave::plan(world, owner);
    }
    match owner.kind {
        OwnerKind::Cluster => cluster::plan(world),
        OwnerKind::Vpc => vpc::plan(world, &owner.name),
        OwnerKind::Subnet => subnet::plan(world, &owner.name),
        OwnerKind::Namespace => namespace::plan(world, &owner.name),
        OwnerKind::Node => node::plan(world, &owner.name),
        OwnerKind::Pod => pod::plan(world, owner),
        OwnerKind::Ip => reservation::plan(world, &owner.name),
    }
}

/// The report on the owner's object when its rows can't be written (invariant 10); `None` when it says so, or
/// when its kind has no conditions and an Event must do.
#[must_use]
pub fn refusal_status(world: &World, owner: &Owner, problem: &Problem) -> Option<Intent> {
    match owner.kind {
        OwnerKind::Vpc => vpc::refusal_status(world, &owner.name, problem),
        OwnerKind::Subnet => subnet::refusal_status(world, &owner.name, problem),
        _ => None,
    }
}
