//! What stands is what counts (invariant 11), on real nodes: a refused Subnet changes no route and no NAT, a refused edit
//! doesn't reach pods.

use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tombolo_needs::needs;
use tombolo_sandbox::kubernetes::kubectl;
use tombolo_sandbox::{exec, hosts};
use tombolo_tests_acceptance::{Net, SOON, apply_subnet, bed, condition, get, space};

const SUBNET: &str = "subnets.kubeovn.io";
const READY: &str = "True ReconcileLogicalSwitchSuccess";

/// Waits until a Subnet says that its wish is refused.
fn refused(subnet: &str, wish: &str) -> Result<()> {
    exec::wait_ok(&format!("{wish} to be refused"), SOON, || {
        let object = get(SUBNET, "", subnet)?;
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        ensure!(conditions.iter().any(|it| it["type"] == "Validated" && it["status"] == "False"), "{object}");
        Ok(())
    })
}

/// Our routes and NAT sets of each host.
fn node_networks() -> Result<Vec<String>> {
    hosts::all()
        .iter()
        .map(|host| {
            let routes = host.exec(["ip", "route", "show", "proto", "84"])?;
            let sets = host.exec(["nft", "list", "table", "inet", "tombolo"])?;
            ensure!(routes.contains("10.16.0.0/16"), "{host} has no route to the default Subnet: {routes}");
            Ok(format!("{host}\n{routes}\n{sets}"))
        })
        .collect()
}

#[test]
fn a_refused_subnet_changes_no_route_and_no_nat_of_any_node() -> Result<()> {
    // invariants 11 and 13
    let _bed = needs!(bed()?);
    let before = node_networks()?;
    let space = space("acc-refused")?;
    for (number, cidr) in ["172.16.0.0/12", "172.30.0.0/25", "0.0.0.0/1", "10.100.0.0/16", "172.30.0.2/32"]
        .into_iter()
        .enumerate()
    {
        let net = Net::of(&format!("acc-refused-{number}"), &space);
        apply_subnet(&net.name, "ovn-cluster", cidr, &[], &json!({}))?;
        refused(&net.name, cidr)?;
        // Longer than an agent takes to follow.
        thread::sleep(Duration::from_secs(3));
        ensure!(node_networks()? == before, "{cidr}, refused, shows on a node");
        for host in hosts::all() {
            host.exec(["ping", "-c1", "-W2", "172.30.0.1"])?;
        }
    }
    Ok(())
}

fn told(namespace: &str, pod: &str) -> Result<Value> {
    Ok(get("pod", namespace, pod)?["metadata"]["annotations"].clone())
}

#[test]
fn a_refused_edit_reaches_no_pod() -> Result<()> {
    // invariant 11
    let bed = needs!(bed()?);
    let space = space("acc-edit")?;
    let net = bed.ready_subnet("acc-edit", "12.9.0.0/24", &space)?;
    let first = space.pod("first", Some("host1"))?;
    let before = told(&space.name, "first")?;
    for (number, patch) in [
        json!({"cidrBlock": "192.168.1.0/24", "gateway": "192.168.1.1"}),
        json!({"cidrBlock": "12.10.0.0/24"}),
        json!({"gateway": first.address.clone()}),
        json!({"gateway": "12.9.0.0"}),
        json!({"mtu": 70_000}),
    ]
    .into_iter()
    .enumerate()
    {
        let spec = get(SUBNET, "", &net.name)?["spec"].clone();
        let undo: serde_json::Map<String, Value> = patch
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, _)| (key.clone(), spec[key].clone()))
            .collect();
        let edit = |spec: Value| {
            kubectl(["patch", SUBNET, &net.name, "--type=merge", "-p", &json!({"spec": spec}).to_string()])
        };
        edit(patch.clone())?;
        refused(&net.name, &patch.to_string())?;
        let pod = space.pod(&format!("meanwhile-{number}"), Some("host2"))?;
        ensure!(pod.address.starts_with("12.9.0."), "a new pod has {} with {patch}", pod.address);
        pod.reaches(&first.address)?;
        ensure!(told(&space.name, "first")? == before, "the running pod was told something by {patch}");
        edit(Value::Object(undo))?;
        condition(SUBNET, &net.name, "Ready", READY)?;
        pod.reaches("12.9.0.1")?;
    }
    Ok(())
}
