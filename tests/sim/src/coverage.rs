//! Does each change of the world make everyone dirty whose plan reads what changed?
//!
//! Decides it by brute force: at an event every owner is planned before and after it, on a copy of the World. An owner with
//! another plan than before must be among those that the World calls dirty, wait for one of them, or be on its way
//! already. The first history in which it matters finds a read that nothing covers.

use std::collections::{BTreeMap, BTreeSet};

use tombolo_engine::{Engine, Event, NbEvent, WatchEvent};
use tombolo_plan::nb::table;
use tombolo_plan::world::Dirty;
use tombolo_plan::{Owner, Plan, World, plan};

/// Owners that an event concerned and the World didn't call dirty, a line each; nothing if all is well.
#[must_use]
pub fn uncovered(engine: &Engine, event: &Event) -> Vec<String> {
    let world = engine.world();
    let mut after = world.clone();
    let mut dirty = Dirty::default();
    if !apply(&mut after, event, &mut dirty) {
        return Vec::new();
    }
    let (plans_before, plans_after) = (plans(world), plans(&after));
    let none = Plan::default();
    let all: BTreeSet<&Owner> = plans_before.keys().chain(plans_after.keys()).collect();
    let mut lines = Vec::new();
    for owner in all {
        let before = plans_before.get(owner).unwrap_or(&none);
        let plan = plans_after.get(owner).unwrap_or(&none);
        if before != plan && !engine.is_pending(owner) && !is_covered(engine, owner, before, &dirty) {
            lines.push(format!(
                "{owner} is not dirty after {}\nbefore {before:#?}\nafter {plan:#?}",
                shown(event)
            ));
        }
    }
    lines
}

/// An event in a few words.
#[must_use]
pub fn shown(event: &Event) -> String {
    match event {
        Event::Watch(WatchEvent::Applied(object)) => format!("{:?} {}", object.kind(), object.key()),
        Event::Watch(WatchEvent::Deleted(object)) => format!("{:?} {} is gone", object.kind(), object.key()),
        Event::WriteDone { id, result } => {
            format!("write {id}: {}", result.as_ref().err().map_or("done".to_owned(), ToString::to_string))
        }
        Event::Nb(NbEvent::Changed { changes, .. }) => {
            let all: Vec<_> = changes.iter().map(|(table, uuid, _)| (table, uuid)).collect();
            format!("rows changed: {all:?}")
        }
        Event::Nb(NbEvent::Replaced(_)) => "a new replica".to_owned(),
        other => format!("{other:?}"),
    }
}

fn is_covered(engine: &Engine, owner: &Owner, before: &Plan, dirty: &Dirty) -> bool {
    let is_dirty = |owner: &Owner| {
        dirty.now.contains(owner) || dirty.soon.contains(owner) || dirty.paced.contains(owner)
    };
    let waits = engine.waits_for(owner).is_some_and(is_dirty);
    let may_have = |subnet: &String| {
        dirty.grown.contains(subnet) || dirty.freed.iter().any(|(freed, _)| freed == subnet)
    };
    // Those who wait for an address are woken one by one, by the engine's waiters; who asks for one is on its way.
    let wakes = before.waits_for_address.as_ref().is_some_and(|wait| wait.subnets.iter().any(may_have));
    is_dirty(owner) || waits || wakes
}

/// The plans of all owners.
fn plans(world: &World) -> BTreeMap<Owner, Plan> {
    let mut owners = tombolo_engine::owners(world);
    // Routers of other systems, too: a Vpc may have the name of one.
    owners.extend(world.nb().rows(table::ROUTER).filter_map(|(_, row)| row.str("name").map(Owner::vpc)));
    owners.into_iter().map(|owner| (owner.clone(), plan(world, &owner))).collect()
}

/// Does to the world what the engine does; false for an event that changes nothing in it.
fn apply(world: &mut World, event: &Event, dirty: &mut Dirty) -> bool {
    match event {
        Event::Watch(WatchEvent::Applied(object)) | Event::WriteDone { result: Ok(Some(object)), .. } => {
            world.apply(object.clone(), dirty);
        }
        Event::Watch(WatchEvent::Deleted(object)) => {
            let (kind, key) = (object.kind(), object.key());
            if let Some(owner) = kind.owner(&key) {
                world.mark_deleted(owner);
            }
            world.remove(kind, &key, dirty);
        }
        Event::ServiceNetworks(networks) => world.apply_services(networks.clone(), dirty),
        Event::Nb(NbEvent::Replaced(replica)) => {
            let mut replica = replica.clone();
            let changes = world.nb().changes_to(&mut replica);
            world.apply_nb(replica, &changes, dirty);
        }
        Event::Nb(NbEvent::Changed { replica, changes }) => world.apply_nb(replica.clone(), changes, dirty),
        _ => return false,
    }
    true
}
