//! Addresses that are chosen and not yet persisted. Two are left in the Subnet.

use tombolo_names::Reason;
use tombolo_plan::{Kind, Verb};

use super::bed::{Bed, writes};
use crate::{Write, WriteError};

/// The IP objects to be made: their names and addresses.
fn chosen(bed: &mut Bed) -> (Vec<Write>, Vec<String>) {
    let mut all = writes(&bed.poll());
    all.retain(|it| it.kind == Kind::Ip);
    let address = |it: &Write| match &it.verb {
        Verb::Create(object) => object["spec"]["ipAddress"].as_str().unwrap().to_owned(),
        other => panic!("{other:?}"),
    };
    let addresses = all.iter().map(address).collect();
    (all, addresses)
}

fn unavailable() -> WriteError {
    WriteError::Unavailable("away".to_owned())
}

#[test]
fn what_was_chosen_for_a_pod_that_goes_before_it_is_persisted_is_free_again() {
    let mut bed = Bed::leading();
    bed.pod("p");
    let (write, _) = chosen(&mut bed);
    bed.answer(&write[0], Err(unavailable()));
    bed.delete(Kind::Pod, "a", "p");
    bed.settle();
    bed.pod("q");
    bed.pod("r");
    bed.settle();
    assert!(bed.has_port("q") && bed.has_port("r"), "{:?}", bed.told);
}

#[test]
fn what_is_chosen_again_after_a_failed_write_is_nobody_elses() {
    // invariant 5
    let mut bed = Bed::leading();
    bed.pod("p");
    let (write, first) = chosen(&mut bed);
    bed.answer(&write[0], Err(unavailable()));
    bed.now += 100;
    let (write, again) = chosen(&mut bed);
    assert_eq!((again.len(), &again), (1, &first));
    bed.pod("q");
    let (_, other) = chosen(&mut bed);
    assert!(other.len() == 1 && other != first, "{other:?}");
    bed.pod("r");
    assert!(chosen(&mut bed).0.is_empty());
    assert!(
        bed.told.iter().any(|it| it.name == "r" && it.reason == Reason::NoAvailableAddress),
        "{:?}",
        bed.told
    );
    let made = bed.served(&write[0]);
    bed.answer(&write[0], made);
    bed.settle();
    assert!(bed.has_port("p"));
}
