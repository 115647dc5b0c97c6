//! What is taken along when the cluster leaves, and what is asked for first.

use serde_json::{Value, json};
use tombolo_ovsdb::{Datum, Row, Uuid};

use super::small::{Small, body, tables};
use crate::leave::{left, users};
use crate::nb::table;
use crate::owner::{CLUSTER_KEY, OWNER_KEY};
use crate::{Owner, OwnerKind};

const OURS: &str = "kubeovn.io/kube-ovn-controller";

/// A cluster with a node and two pods, that is to leave.
fn leaving() -> Small {
    let mut small = Small::cluster();
    small.object("Node", json!({ "metadata": { "name": "n" } }));
    for (pod, address) in [("p", "10.16.0.20"), ("q", "10.16.0.21")] {
        small.ip("a", pod, "ovn-default", address);
        small.pod("a", pod, json!({}));
        small.stand(&Owner::pod("a", pod));
    }
    small.world.config_mut().leaving = true;
    small
}

/// Sets an object's finalizers.
fn hold(small: &mut Small, kind: &str, name: &str, finalizers: &[&str]) {
    let spec = match kind {
        "Subnet" => json!({ "cidrBlock": "10.16.0.0/16" }),
        _ => json!({}),
    };
    let meta = json!({ "name": name, "finalizers": finalizers });
    small.object(kind, json!({ "metadata": meta, "spec": spec }));
}

#[test]
fn a_cluster_that_leaves_takes_all_its_rows_along_but_the_fence() {
    let small = leaving();
    for owner in [
        Owner::vpc("ovn-cluster"),
        Owner::subnet("ovn-default"),
        Owner::node("n"),
        Owner::pod("a", "p"),
        Owner::namespace("a"),
    ] {
        let plan = small.plan(&owner);
        assert_eq!((tables(&plan), plan.explained), (Some(vec![]), true), "{owner}");
    }
    // A controller that wakes up late must not write any more (invariant 7).
    assert_eq!(tables(&small.plan(&Owner::cluster())), None);
}

#[test]
fn objects_stay_without_our_finalizers_and_annotations() {
    let mut small = leaving();
    for (kind, name, owner) in [
        ("Vpc", "ovn-cluster", Owner::vpc("ovn-cluster")),
        ("Subnet", "ovn-default", Owner::subnet("ovn-default")),
        ("IP", "mine", Owner::cluster()),
    ] {
        for ours in [OURS, "kube-ovn-controller"] {
            hold(&mut small, kind, name, &["others", ours]);
            let plan = small.plan(&owner);
            assert_eq!(plan.last_writes().len(), 1, "{kind}");
            assert_eq!(body(&plan.last_writes()[0])["metadata"]["finalizers"], json!(["others"]), "{kind}");
        }
        hold(&mut small, kind, name, &["others"]);
        assert!(small.plan(&owner).last_writes().is_empty(), "{kind}");
    }
    let annotations = json!({ "ovn.kubernetes.io/logical_switch": "join", "mine": "stays" });
    for (kind, owner) in [("Node", Owner::node("n")), ("Namespace", Owner::namespace("n"))] {
        small.object(kind, json!({ "metadata": { "name": "n", "annotations": annotations } }));
        let plan = small.plan(&owner);
        let patch = json!({ "ovn.kubernetes.io/logical_switch": null });
        assert_eq!(body(&plan.last_writes()[0])["metadata"]["annotations"], patch, "{kind}");
    }
}

#[test]
fn whoever_would_lose_the_network_is_named() {
    let mut small = leaving();
    let mut pod = |name: &str, host: bool, phase: &str| {
        small.object(
            "Pod",
            json!({
                "metadata": { "name": name, "namespace": "a" },
                "spec": { "nodeName": "n", "hostNetwork": host }, "status": { "phase": phase },
            }),
        );
        users(&small.world).join(",")
    };
    assert_eq!(pod("q", false, "Running"), "a/p,a/q");
    assert_eq!(pod("q", true, "Running"), "a/p");
    assert_eq!(pod("q", false, "Succeeded"), "a/p");
    assert_eq!(pod("r", false, "Pending"), "a/p", "it has no port yet");
}

#[test]
fn what_is_left_is_told_until_nothing_is() {
    let mut small = leaving();
    let told = |small: &Small, word: &str| left(&small.world).iter().any(|line| line.contains(word));
    assert!(told(&small, "Logical_Switch_Port p.a of pod/a/p") && told(&small, "Logical_Router ovn-cluster"));
    let owners: Vec<Owner> = small.world.owners().filter(|owner| owner.kind != OwnerKind::Cluster).collect();
    for owner in owners.iter().rev().filter(|owner| owner.kind != OwnerKind::Ip) {
        small.stand(owner);
    }
    // The fence isn't counted, nor what others have.
    let marked = |owner: &str| {
        let ids = Datum::map_of_strings([(CLUSTER_KEY, "c1"), (OWNER_KEY, owner)]);
        Some(Row::new().with("name", Datum::string("x")).with("external_ids", ids))
    };
    let set = Uuid::from_u128(40);
    small.nb([(table::ADDRESS_SET, set, marked("cluster/"))]);
    assert_eq!(left(&small.world), [""; 0]);
    // What a later version wrote is somebody's to remove.
    small.nb([(table::ADDRESS_SET, set, marked("later/x"))]);
    assert!(told(&small, &format!("Address_Set {set}, whose owner this version doesn't know")));
    small.nb([(table::ADDRESS_SET, set, None)]);
    for (kind, name) in [("Vpc", "ovn-cluster"), ("Subnet", "ovn-default"), ("IP", "mine")] {
        for (finalizer, counts) in [(OURS, true), ("kube-ovn-controller", true), ("others", false)] {
            hold(&mut small, kind, name, &[finalizer]);
            assert_eq!(
                told(&small, &format!("the finalizer of {kind} {name}")),
                counts,
                "{kind} {finalizer}"
            );
        }
    }
    for kind in ["Node", "Namespace"] {
        let mut annotate = |annotations: Value| {
            small.object(kind, json!({ "metadata": { "name": "n", "annotations": annotations } }));
            told(&small, &format!("annotations of {kind} n"))
        };
        assert!(annotate(json!({ "ovn.kubernetes.io/cidr": "10.16.0.0/16" })));
        assert!(!annotate(json!({ "mine": "stays" })));
    }
}
