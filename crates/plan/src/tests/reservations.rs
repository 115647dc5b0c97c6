//! Addresses that users reserve by IP objects of their own, and the pods that get them (invariant 5).

use serde_json::{Value, json};

use super::addresses::{cluster, holder, p};
use super::small::{Small, body, reasons};
use crate::{Owner, Plan};

/// An IP object that a user made for the pod `a/p`, or (with a label) wants kept.
fn reserved(small: &mut Small, meta: Value, spec: Value) {
    let mut object = json!({
        "metadata": { "name": "p.a" },
        "spec": { "podName": "p", "namespace": "a", "subnet": "dual" },
    });
    for (key, more) in [("metadata", meta), ("spec", spec)] {
        object[key].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    }
    small.object("IP", object);
}

/// What the plan of the pod `a/p` writes on its IP object before anything else.
fn taken(plan: &Plan) -> Value {
    plan.first_writes().first().map_or(Value::Null, |intent| body(intent).clone())
}

#[test]
fn the_pod_gets_what_was_reserved_for_it_and_the_object_says_all_of_it() {
    let mut small = cluster();
    small.pod("a", "p", json!({}));
    let mut patch = |spec: Value| {
        reserved(&mut small, json!({}), spec);
        assert_eq!(holder(&small, "dual", "10.50.0.9"), Some("p.a"));
        let plan = small.plan(&p());
        assert_eq!(plan.rows(), None, "no row uses it before");
        taken(&plan)
    };
    let by_text = patch(json!({ "ipAddress": "10.50.0.9,fd50::9" }));
    assert_eq!(by_text["spec"]["v4IpAddress"], "10.50.0.9");
    assert_eq!(by_text["spec"]["v6IpAddress"], "fd50::9");
    assert_eq!(by_text["spec"]["nodeName"], "n");
    assert!(by_text["spec"]["macAddress"].is_string());
    assert_eq!(by_text["metadata"]["annotations"], json!({ "tombolo.io/pod-uid": "uid-p" }));
    let by_family = patch(json!({ "v4IpAddress": "10.50.0.9", "v6IpAddress": "fd50::9" }));
    assert_eq!(by_family["spec"]["ipAddress"], "10.50.0.9,fd50::9");
    // One family alone is enough to reserve it.
    assert_eq!(patch(json!({ "v4IpAddress": "10.50.0.9" }))["spec"]["ipAddress"], "10.50.0.9");
}

#[test]
fn whatever_a_reserved_object_lacks_is_filled_in_before_the_rows() {
    let mac = "02:00:00:00:00:09";
    let all =
        json!({ "ipAddress": "10.50.0.9", "v4IpAddress": "10.50.0.9", "macAddress": mac, "nodeName": "n" });
    let marked = json!({ "labels": { "ovn.kubernetes.io/ip_reserved": "true" }, "annotations": { "tombolo.io/pod-uid": "uid-p" } });
    let mut small = cluster();
    small.pod("a", "p", json!({}));
    reserved(&mut small, marked.clone(), all.clone());
    let plan = small.plan(&p());
    assert!(plan.first_writes().is_empty() && plan.rows().is_some());
    let mut without = |meta: &Value, key: &str| {
        let mut spec = all.clone();
        spec.as_object_mut().unwrap().remove(key);
        reserved(&mut small, meta.clone(), spec);
        let plan = small.plan(&p());
        assert_eq!(plan.rows(), None, "{key}");
        taken(&plan)
    };
    assert!(without(&marked, "macAddress")["spec"]["macAddress"].is_string());
    assert_eq!(without(&marked, "ipAddress")["spec"], json!({ "ipAddress": "10.50.0.9" }));
    let unmarked = json!({ "labels": marked["labels"] });
    assert_eq!(without(&unmarked, "none")["metadata"]["annotations"]["tombolo.io/pod-uid"], "uid-p");
}

#[test]
fn what_a_pod_already_runs_with_ends_with_it_and_a_reservation_doesnt() {
    let ends = |phase: Value, labels: Value| {
        let mut small = cluster();
        let meta = json!({ "name": "p", "namespace": "a" });
        small.object("Pod", json!({ "metadata": meta, "spec": { "nodeName": "n" }, "status": phase }));
        reserved(&mut small, json!({ "labels": labels }), json!({ "ipAddress": "10.50.0.9" }));
        taken(&small.plan(&p()))["metadata"]["annotations"].get("tombolo.io/epoch").is_some()
    };
    let runs = json!({ "podIP": "10.50.0.9" });
    assert!(ends(runs.clone(), json!({})));
    assert!(!ends(json!({}), json!({})));
    assert!(!ends(runs, json!({ "ovn.kubernetes.io/ip_reserved": "true" })));
}

#[test]
fn a_pod_that_asks_for_something_else_than_is_reserved_for_it_is_told() {
    let told = |annotations: Value| {
        let mut small = cluster();
        small.pod("a", "p", annotations);
        reserved(
            &mut small,
            json!({}),
            json!({ "ipAddress": "10.50.0.9", "macAddress": "02:00:00:00:00:09" }),
        );
        let plan = small.plan(&p());
        assert_eq!(plan.first_writes().is_empty(), !plan.problems.is_empty());
        reasons(&plan).join(",")
    };
    assert_eq!(told(json!({})), "");
    for (key, same, other) in [
        ("logical_switch", "dual", "s"),
        ("mac_address", "02:00:00:00:00:09", "02:00:00:00:00:08"),
        ("ip_address", "10.50.0.9", "10.50.0.8"),
    ] {
        let key = format!("ovn.kubernetes.io/{key}");
        assert_eq!(told(json!({ &key: same })), "", "{key}");
        assert_eq!(told(json!({ &key: other })), "AcquireAddressFailed", "{key}");
    }
}

#[test]
fn the_user_of_a_reservation_is_told_why_nobody_gets_it() {
    let mut small = cluster();
    let mut message = |name: &str, spec: Value| {
        small.object("IP", json!({ "metadata": { "name": name }, "spec": spec }));
        let plan = small.plan(&Owner::ip(name));
        plan.problems.first().map(|it| it.message.clone()).unwrap_or_default()
    };
    let pod = |namespace: &str| json!({ "podName": "p", "namespace": namespace, "subnet": "s", "ipAddress": "10.30.0.9" });
    assert!(message("mine", pod("")).contains("spec.namespace is empty"));
    assert!(message("mine", pod("a")).contains("an IP object named \"p.a\""));
    let unread = |text: &str| json!({ "subnet": "s", "ipAddress": text });
    assert!(message("mine", unread("10.30.0.x")).contains("10.30.0.x"));
    // Whatever somebody writes there, an Event holds it.
    let long = message("mine", unread(&"x".repeat(2_000)));
    assert!((50..1_000).contains(&long.len()), "{long}");
    // The pod is told, too, that the name is another's.
    small.object(
        "IP",
        json!({ "metadata": { "name": "p.a" }, "spec": { "subnet": "s", "ipAddress": "10.30.0.7" } }),
    );
    small.pod("a", "p", json!({}));
    let plan = small.plan(&p());
    assert_eq!(reasons(&plan), ["NameTaken"]);
    assert!(plan.problems[0].message.contains("that a user made"), "{:?}", plan.problems);
}
