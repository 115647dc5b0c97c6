//! Before anything goes for an object that no event said to be gone, the API server is asked (invariant 4).

use serde_json::json;
use tombolo_api::annotations::FINALIZER;
use tombolo_plan::{Kind, Verb};

use super::bed::{Bed, writes};
use crate::{Write, WriteError};

/// A leader that has an address of the unknown pod `p`, and no port. Returns its writes to pods and addresses.
fn address_without_pod(bed: &mut Bed) -> Vec<Write> {
    bed.ip("p", "10.16.0.10", json!([FINALIZER]));
    concerned(bed)
}

fn concerned(bed: &mut Bed) -> Vec<Write> {
    let mut all = writes(&bed.poll());
    all.retain(|it| matches!(it.kind, Kind::Pod | Kind::Ip));
    all
}

fn only_asks(all: &[Write]) {
    let [Write { kind: Kind::Pod, verb: Verb::Read, namespace, name, .. }] = all else { panic!("{all:?}") };
    assert_eq!((namespace.as_str(), name.as_str()), ("a", "p"));
}

#[test]
fn an_address_loses_its_finalizer_once_the_api_server_says_that_its_pod_is_gone() {
    // invariant 4
    let mut bed = Bed::leading();
    let asked = address_without_pod(&mut bed);
    only_asks(&asked);
    bed.answer(&asked[0], Err(WriteError::NotFound));
    bed.settle();
    assert!(!bed.is_there(Kind::Ip, "", "p.a"));
}

#[test]
fn a_pod_that_no_watch_has_shown_yet_keeps_its_address() {
    // invariant 4
    let mut bed = Bed::leading();
    bed.store(Kind::Pod, "a", "p", json!({ "metadata": {}, "spec": { "nodeName": "n" } }));
    let asked = address_without_pod(&mut bed);
    only_asks(&asked);
    let pod = bed.served(&asked[0]);
    bed.answer(&asked[0], pod);
    let later = bed.settle();
    assert!(later.iter().all(|it| it.kind != Kind::Ip), "{later:?}");
    assert!(bed.has_port("p"));
}

#[test]
fn an_answer_that_the_watch_has_overtaken_is_not_believed_later() {
    // invariant 4
    let mut bed = Bed::leading();
    let asked = address_without_pod(&mut bed);
    only_asks(&asked);
    // It comes while "not found" is on its way, and then a list lacks it.
    bed.pod("p");
    bed.answer(&asked[0], Err(WriteError::NotFound));
    bed.vanish(Kind::Pod, "a", "p");
    bed.list(Kind::Pod);
    only_asks(&concerned(&mut bed));
}
