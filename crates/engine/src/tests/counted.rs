//! What is counted and said, and to which leadership it belongs.

use serde_json::json;
use tombolo_names::Reason;
use tombolo_ovsdb::{TxnError, TxnErrorKind};
use tombolo_plan::{Kind, Owner, Verb};

use super::bed::{Bed, commit, writes};
use crate::{Effect, Event, Leadership, Write, WriteError};

/// The write by which the pod's address is persisted.
fn of_address(effects: &[Effect]) -> Write {
    writes(effects).into_iter().find(|it| it.kind == Kind::Ip).unwrap()
}

#[test]
fn a_transaction_says_whose_rows_it_holds_and_is_counted() {
    let mut bed = Bed::leading();
    let (commits, owners) = (bed.engine.stats().commits, bed.engine.stats().committed_owners);
    bed.pod("p");
    let effects = bed.poll();
    bed.carry_out(effects);
    let effects = bed.poll();
    // In the database's log.
    assert!(commit(&effects).1.comment.ends_with(": pod/a/p and 0 more"), "{}", commit(&effects).1.comment);
    bed.carry_out(effects);
    bed.settle();
    let stats = bed.engine.stats();
    assert_eq!((stats.commits, stats.committed_owners), (commits + 1, owners + 1));
    assert!(commits > 0 && owners > 0);
}

#[test]
fn rows_that_the_database_refuses_are_counted() {
    // invariant 8
    let mut bed = Bed::leading();
    bed.pod("p");
    let effects = bed.poll();
    bed.carry_out(effects);
    let (id, _) = commit(&bed.poll());
    let message = "no".to_owned();
    let error = TxnError { kind: TxnErrorKind::ConstraintViolation, at: None, message };
    bed.handle(Event::CommitDone { id, result: Err(error) });
    assert_eq!(bed.engine.stats().quarantined, 1);
}

#[test]
fn an_api_server_that_is_away_is_logged_once_and_counted_each_time() {
    // invariant 10
    let mut bed = Bed::leading();
    bed.pod("p");
    for count in 1..4 {
        let write = of_address(&bed.poll());
        bed.answer(&write, Err(WriteError::Unavailable("away".to_owned())));
        bed.poll();
        assert_eq!(bed.engine.stats().failed_writes, count);
        assert_eq!(bed.log.iter().filter(|it| it.contains("it is tried again")).count(), 1);
        bed.now += 1_000;
    }
}

#[test]
fn who_waits_for_an_answer_is_not_planned_meanwhile() {
    let mut bed = Bed::leading();
    bed.pod("p");
    of_address(&bed.poll());
    let plans = bed.engine.stats().plans;
    bed.engine.reign.work.add(Owner::pod("a", "p"));
    bed.poll();
    assert_eq!(bed.engine.stats().plans, plans);
}

#[test]
fn what_an_earlier_leadership_wrote_is_no_failure_of_this_one() {
    let mut bed = Bed::leading();
    bed.pod("p");
    let write = of_address(&bed.poll());
    bed.handle(Event::Leadership(Leadership::Lost));
    bed.lead();
    bed.answer(&write, Err(WriteError::Refused("by a webhook".to_owned())));
    let stats = bed.engine.stats();
    assert_eq!((stats.failed_writes, stats.problems.get(&Reason::WriteRefused)), (0, None));
}

#[test]
fn an_address_that_a_finalizer_holds_is_told_of_once() {
    // invariant 10
    let mut bed = Bed::leading();
    bed.pod("p");
    bed.ip("p", "10.16.0.10", json!(["example.com/dhcp"]));
    bed.settle();
    assert!(bed.has_port("p"));
    bed.delete(Kind::Pod, "a", "p");
    bed.settle();
    for _ in 0..3 {
        bed.engine.reign.work.add(Owner::pod("a", "p"));
        bed.settle();
    }
    let told = bed.told.iter().filter(|it| it.kind == Kind::Ip && it.reason == Reason::HeldByFinalizer);
    assert_eq!(told.count(), 1, "{:?}", bed.told);
}

#[test]
fn a_pod_whose_annotations_do_not_stay_is_written_once_and_then_with_pauses() {
    // invariant 9
    let mut bed = Bed::leading();
    bed.pod("p");
    let mut patches = 0;
    for _ in 0..10 {
        let effects = bed.poll();
        let (of_pod, others): (Vec<Effect>, Vec<Effect>) =
            effects.into_iter().partition(|it| matches!(it, Effect::Write(write) if write.kind == Kind::Pod));
        patches += of_pod.len();
        for write in writes(&of_pod) {
            // A webhook drops what is written.
            let unchanged = bed.served(&Write { verb: Verb::Read, ..write.clone() });
            bed.answer(&write, unchanged);
        }
        bed.carry_out(others);
    }
    assert_eq!((patches, bed.engine.stats().vain_writes), (1, 1));
    assert_eq!(bed.engine.reign.work.due(&Owner::pod("a", "p")), Some(bed.now + 30_000));
    assert!(bed.told.iter().any(|it| it.name == "p" && it.reason == Reason::WriteWithoutEffect));
}
