//! What is refused before it is stored, and what is only said.

use serde_json::{Value, json};

use super::small::{ROUTER, Small};
use crate::admission::subnet;

fn object(name: &str, more: Value, spec: Value) -> tombolo_api::Subnet {
    let mut meta = json!({ "name": name });
    meta.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let object = json!({ "apiVersion": "kubeovn.io/v1", "kind": "Subnet", "metadata": meta, "spec": spec });
    serde_json::from_value(object).unwrap()
}

/// The reasons of refusals and of warnings.
fn verdict(small: &Small, new: &tombolo_api::Subnet, old: Option<&tombolo_api::Subnet>) -> (String, String) {
    let verdict = subnet(&small.world, new, old);
    let words = |all: Vec<tombolo_api::validate::Problem>| {
        all.iter().map(|it| it.reason.as_str()).collect::<Vec<_>>().join(",")
    };
    (words(verdict.refused), words(verdict.warnings))
}

fn said(refused: &str, warnings: &str) -> (String, String) {
    (refused.to_owned(), warnings.to_owned())
}

#[test]
fn what_may_pass_by_itself_is_a_warning() {
    let small = Small::with_router();
    let new = |more: Value, spec: Value| verdict(&small, &object("s", more, spec), None);
    let on = |vpc: &str, namespaces: Value| json!({ "vpc": vpc, "cidrBlock": "10.0.0.0/24", "namespaces": namespaces });
    assert_eq!(new(json!({}), on(ROUTER, json!(["a"]))), said("", ""));
    // A Vpc, or a namespace in it, may come later.
    assert_eq!(new(json!({}), on("yet-to-come", json!([]))), said("", "UnknownVpc"));
    assert_eq!(new(json!({}), on(ROUTER, json!(["b"]))), said("", "NamespaceNotInVpc"));
    // What is left out takes nothing from the rest.
    let annotated = json!({ "annotations": { "ovn.kubernetes.io/bgp": "true" } });
    assert_eq!(new(annotated, on(ROUTER, json!([]))), said("", "NotSupportedYet"));
    // What only the user can change is refused.
    let nat = json!({ "vpc": ROUTER, "cidrBlock": "10.0.0.0/24", "natOutgoing": true });
    assert_eq!(new(json!({}), nat), said("NotPossibleOnNeutronRouter", ""));
}

#[test]
fn who_is_in_trouble_can_take_one_step_after_the_other() {
    let small = Small::with_router();
    let spec = |namespaces: Value, nat: bool, private: bool| json!({ "vpc": ROUTER, "cidrBlock": "10.0.0.0/24", "namespaces": namespaces, "natOutgoing": nat, "private": private });
    let old = object("s", json!({}), spec(json!([]), true, false));
    let change = |more: Value, spec: Value| verdict(&small, &object("s", more, spec), Some(&old));
    // What was wrong before is no reason; what is worse than before is.
    assert_eq!(change(json!({}), spec(json!(["a"]), true, false)), said("", "NotPossibleOnNeutronRouter"));
    assert_eq!(
        change(json!({}), spec(json!([]), true, true)),
        said("NotSupportedYet", "NotPossibleOnNeutronRouter")
    );
    // Nothing is said of a spec that stays, or of an object that goes: its finalizer must come off.
    assert_eq!(change(json!({ "labels": { "x": "y" } }), spec(json!([]), true, false)), said("", ""));
    let going = json!({ "deletionTimestamp": "2026-01-01T00:00:00Z" });
    assert_eq!(change(going, spec(json!([]), true, true)), said("", ""));
}

#[test]
fn a_newcomer_comes_after_all_others_whatever_time_it_bears() {
    let mut small = Small::with_router();
    let spec = |cidr: &str| json!({ "vpc": ROUTER, "cidrBlock": cidr });
    small.subnet_of(9, "waiting", spec("10.0.0.0/24"));
    let old = json!({ "creationTimestamp": "2020-01-01T00:00:00Z" });
    assert_eq!(verdict(&small, &object("s", old, spec("10.0.0.0/16")), None), said("CidrConflict", ""));
    // One that stands and would grow into it does, too.
    small.subnet_of(1, "s", spec("10.1.0.0/24"));
    small.stand(&crate::Owner::subnet("s"));
    let (before, after) =
        (object("s", json!({}), spec("10.1.0.0/24")), object("s", json!({}), spec("10.0.0.0/15")));
    assert_eq!(verdict(&small, &after, Some(&before)), said("CidrConflict", ""));
}
