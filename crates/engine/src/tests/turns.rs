//! A turn ends after so many plans, and says whether there is more to do.

use tombolo_plan::Owner;

use super::bed::{Bed, commit, writes};
use crate::TURN;

/// Owners that are planned and have nothing to do.
fn idle(count: usize) -> impl Iterator<Item = Owner> {
    (0..count).map(|number| Owner::ip(&number.to_string()))
}

#[test]
fn a_turn_that_ends_with_the_last_of_the_work_leaves_no_more() {
    // invariant 9
    let mut bed = Bed::leading();
    idle(TURN).for_each(|owner| bed.engine.reign.work.add(owner));
    bed.poll();
    assert!(!bed.engine.has_more());
    idle(TURN + 1).for_each(|owner| bed.engine.reign.work.add(owner));
    bed.poll();
    assert!(bed.engine.has_more());
    bed.poll();
    assert!(!bed.engine.has_more());
}

#[test]
fn those_who_waited_for_a_transaction_fill_a_turn_as_others_do() {
    let mut bed = Bed::leading();
    idle(TURN + 1).for_each(|owner| bed.engine.reign.after_commit.push(owner));
    let plans = bed.engine.stats().plans;
    bed.poll();
    assert_eq!(bed.engine.stats().plans, plans + TURN as u64);
    assert!(bed.engine.has_more());
    bed.poll();
    assert_eq!(bed.engine.stats().plans, plans + TURN as u64 + 1);
    assert!(!bed.engine.has_more());
}

/// Whether the brake still counts what was deleted before: fifty of fifty rows that nothing explains.
fn counts_on(bed: &Bed) -> bool {
    !bed.engine.reign.brake.clone().charge(1, 0)
}

#[test]
fn the_brake_counts_on_until_all_is_done() {
    // invariant 4: what goes in many transactions goes in one plan
    let mut bed = Bed::leading();
    assert!(bed.engine.reign.brake.charge(50, 0) && counts_on(&bed));
    bed.pod("p");
    let effects = bed.poll();
    assert!(!writes(&effects).is_empty() && counts_on(&bed), "a write is under way");
    bed.carry_out(effects);
    let effects = bed.poll();
    commit(&effects);
    assert!(writes(&effects).is_empty() && counts_on(&bed), "a transaction is under way");
    bed.carry_out(effects);
    bed.settle();
    assert!(!counts_on(&bed));
}

#[test]
fn the_brake_counts_on_while_others_wait_for_their_turn() {
    // invariant 4
    let mut bed = Bed::leading();
    assert!(bed.engine.reign.brake.charge(50, 0));
    idle(TURN + 1).for_each(|owner| bed.engine.reign.after_commit.push(owner));
    bed.poll();
    assert!(counts_on(&bed));
    bed.poll();
    assert!(!counts_on(&bed));
}
