//! An object that nothing serves gets an Event, where its user looks: once, within seconds, whichever replica leads.

mod common;

use std::time::Duration;

use anyhow::Result;
use common::{Bed, Controller};
use serde_json::{Value, json};
use tombolo_testbed::eventually;

const SOON: Duration = Duration::from_secs(20);

/// Events of ours about an object.
fn about(bed: &Bed, namespace: &str, kind: &str, name: &str) -> Result<Vec<Value>> {
    let events = bed.api.json(&["get", "events", "-n", namespace])?;
    let all = events["items"].as_array().cloned().unwrap_or_default();
    let ours = |event: &Value| {
        event["involvedObject"]["kind"] == kind
            && event["involvedObject"]["name"] == name
            && event["source"]["component"] == "kube-ovn-controller"
    };
    Ok(all.into_iter().filter(ours).collect())
}

/// Waits for the one Event of this reason; its message.
fn said(bed: &Bed, namespace: &str, kind: &str, name: &str, reason: &str) -> Result<String> {
    eventually(&format!("{reason} on {kind} {namespace}/{name}"), SOON, || {
        let events = about(bed, namespace, kind, name)?;
        let event = events.into_iter().find(|event| event["reason"] == reason && event["type"] == "Warning");
        Ok(event.and_then(|event| event["message"].as_str().map(str::to_owned)))
    })
}

fn policy(bed: &Bed, name: &str) -> Result<()> {
    bed.api.apply(&format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: net2}}\nspec: {{podSelector: {{}}, policyTypes: [Ingress, Egress]}}\n"
    ))
}

fn service(bed: &Bed, name: &str, annotations: &Value, spec: &Value) -> Result<()> {
    let object = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": name, "namespace": "net2", "annotations": annotations }, "spec": spec,
    });
    bed.api.apply(&object.to_string())
}

fn pod(bed: &Bed, namespace: &str, name: &str, container: &Value) -> Result<()> {
    let mut container = container.clone();
    container["name"] = json!("c");
    container["image"] = json!("none");
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": namespace },
        "spec": { "nodeName": "host1", "containers": [container] },
    });
    bed.api.apply(&pod.to_string())
}

const REFUSALS: [(&str, &str, &str); 6] = [
    ("NetworkPolicy", "deny-all", "NetworkPolicyNotEnforced"),
    ("Service", "web", "ServiceCannotReachPods"),
    ("Service", "exported", "ServiceNotServed"),
    ("Pod", "probed", "ProbesNotServed"),
    ("Pod", "ported", "HostPortNotServed"),
    ("NetworkPolicy", "late", "NetworkPolicyNotEnforced"),
];

// invariant 10
#[test]
fn what_nothing_serves_is_said_once_on_its_object() -> Result<()> {
    let Some(bed) = Bed::start()? else { return Ok(()) };
    bed.node("host1", "172.30.0.1")?;
    bed.api.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: net2}\n")?;
    // One of each is there before a controller starts.
    policy(&bed, "deny-all")?;
    let selector = json!({ "selector": { "app": "web" }, "ports": [{ "port": 80 }] });
    service(&bed, "web", &json!({}), &selector)?;
    let mut a = Controller::start(&bed, "a", &[])?;
    bed.defaults()?;
    let message = said(&bed, "net2", "NetworkPolicy", "deny-all", "NetworkPolicyNotEnforced")?;
    assert!(message.contains("README"), "{message}");
    // Its namespace has its pods on the default Vpc as yet.
    assert!(about(&bed, "net2", "Service", "web")?.is_empty());

    let (router, _) = bed.nb.neutron_router(1, "router0", "192.168.1.0/24")?;
    bed.give_net2(&router)?;
    bed.subnet_of_net2("net2", &router, "12.0.1.0/24")?;
    let message = said(&bed, "net2", "Service", "web", "ServiceCannotReachPods")?;
    assert!(message.contains("net2") && message.contains(&router), "{message}");
    service(
        &bed,
        "exported",
        &json!({ "ovn.kubernetes.io/service_external_ip_from_subnet": "ext" }),
        &json!({ "clusterIP": "None", "selector": { "app": "web" }, "ports": [{ "port": 80 }] }),
    )?;
    let message = said(&bed, "net2", "Service", "exported", "ServiceNotServed")?;
    assert!(message.contains("ovn.kubernetes.io/service_external_ip_from_subnet"), "{message}");

    pod(&bed, "net2", "probed", &json!({ "readinessProbe": { "httpGet": { "port": 8080, "path": "/" } } }))?;
    pod(&bed, "net2", "ported", &json!({ "ports": [{ "containerPort": 80, "hostPort": 18036 }] }))?;
    // Those that lack nothing.
    pod(&bed, "net2", "quiet", &json!({ "readinessProbe": { "exec": { "command": ["true"] } } }))?;
    pod(&bed, "default", "probed", &json!({ "livenessProbe": { "tcpSocket": { "port": 80 } } }))?;
    for (namespace, name) in
        [("net2", "quiet"), ("default", "probed"), ("net2", "probed"), ("net2", "ported")]
    {
        bed.routed(namespace, name)?;
    }
    said(&bed, "net2", "Pod", "probed", "ProbesNotServed")?;
    said(&bed, "net2", "Pod", "ported", "HostPortNotServed")?;

    // Another leader, a restart, a relist: nothing is said again.
    let mut b = Controller::start(&bed, "b", &[])?;
    assert!(a.stop()?.success());
    policy(&bed, "late")?;
    said(&bed, "net2", "NetworkPolicy", "late", "NetworkPolicyNotEnforced")?;
    assert!(b.stop()?.success());
    let _c = Controller::start(&bed, "c", &[])?;
    policy(&bed, "last")?;
    said(&bed, "net2", "NetworkPolicy", "last", "NetworkPolicyNotEnforced")?;
    bed.api.kubectl(&["annotate", "networkpolicy", "-n", "net2", "deny-all", "touched=yes"])?;
    bed.api.kubectl(&["label", "service", "-n", "net2", "web", "touched=yes"])?;
    std::thread::sleep(Duration::from_secs(2));
    for (kind, name, reason) in REFUSALS {
        let events = about(&bed, "net2", kind, name)?;
        let of: Vec<&Value> = events.iter().filter(|event| event["reason"] == reason).collect();
        assert_eq!(of.len(), 1, "{kind} {name}: {events:?}");
    }
    for (namespace, name) in [("net2", "quiet"), ("default", "probed")] {
        assert_eq!(about(&bed, namespace, "Pod", name)?, [] as [Value; 0]);
    }
    assert!(about(&bed, "default", "Service", "kubernetes")?.is_empty());
    let described = bed.api.kubectl(&["describe", "networkpolicy", "-n", "net2", "deny-all"])?;
    println!("{described}");

    // A successor of the same name is another object.
    bed.api.kubectl(&["delete", "networkpolicy", "-n", "net2", "deny-all"])?;
    policy(&bed, "deny-all")?;
    eventually("a word on the new policy", SOON, || {
        Ok((about(&bed, "net2", "NetworkPolicy", "deny-all")?.len() == 2).then_some(()))
    })
}

#[test]
fn an_operator_whose_policies_are_enforced_elsewhere_says_so() -> Result<()> {
    let Some(bed) = Bed::start()? else { return Ok(()) };
    bed.api.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: net2}\n")?;
    policy(&bed, "deny-all")?;
    let _a = Controller::start(&bed, "a", &["--enable-np=false"])?;
    bed.defaults()?;
    service(&bed, "lb", &json!({ "ovn.kubernetes.io/bgp": "true" }), &json!({ "ports": [{ "port": 80 }] }))?;
    said(&bed, "net2", "Service", "lb", "ServiceNotServed")?;
    assert!(about(&bed, "net2", "NetworkPolicy", "deny-all")?.is_empty());
    Ok(())
}
