//! The program itself, against a real API server and a real NB.

mod common;

use std::time::Duration;

use anyhow::Result;
use common::{Bed, Controller};
use tombolo_needs::needs;
use tombolo_testbed::eventually;

const SOON: Duration = Duration::from_secs(20);

/// The scenario's objects, from the router that appears to the pod that is served.
#[test]
fn the_scenario_without_a_node() -> Result<()> {
    let bed = needs!(Bed::start()?);
    let mut controller = Controller::start(&bed, "a", &[])?;

    // Our install alone.
    eventually("ovn-cluster with both subnets", SOON, || {
        let vpc = bed.api.json(&["get", "vpc", "ovn-cluster"])?;
        let status = &vpc["status"];
        Ok((status["standby"] == true && status["subnets"] == serde_json::json!(["join", "ovn-default"]))
            .then_some(()))
    })?;
    let columns = bed.api.kubectl(&["get", "vpc"])?;
    let words: Vec<&str> = columns.split_whitespace().collect();
    assert_eq!(words, ["NAME", "STANDBY", "SUBNETS", "ovn-cluster", "true", "[\"join\",\"ovn-default\"]"]);

    // A router of Neutron's.
    let (router, network) = bed.nb.neutron_router(1, "router0", "192.168.1.0/24")?;
    eventually("the router's Vpc", SOON, || {
        let vpc = bed.api.json(&["get", "vpc", &router])?;
        let label = &vpc["metadata"]["labels"]["ovn.kubernetes.io/vpc_external"];
        Ok((label == "true" && vpc["status"]["subnets"] == serde_json::json!([network])).then_some(()))
    })?;

    // A node and a pod in the default subnet.
    bed.node("host1", "172.30.0.1")?;
    eventually("the node's port", SOON, || {
        let node = bed.api.json(&["get", "node", "host1"])?;
        let address = &node["metadata"]["annotations"]["ovn.kubernetes.io/ip_address"];
        Ok(address.as_str().map(str::to_owned))
    })?;
    bed.pod("default", "web", "host1")?;
    let address = bed.routed("default", "web")?;
    assert!(address.starts_with("10.16."), "{address}");

    // The user's part of the document.
    bed.api.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: net2}\n")?;
    bed.give_net2(&router)?;
    bed.api.apply(&format!(
        "apiVersion: kubeovn.io/v1\nkind: Subnet\nmetadata: {{name: net2}}\nspec:\n  vpc: {router}\n  namespaces: [net2]\n  cidrBlock: 12.0.1.0/24\n  natOutgoing: false\n"
    ))?;
    bed.pod("net2", "ubuntu", "host1")?;
    let address = bed.routed("net2", "ubuntu")?;
    assert!(address.starts_with("12.0.1."), "{address}");
    let ip = bed.api.json(&["get", "ip", "ubuntu.net2"])?;
    assert_eq!(ip["spec"]["ipAddress"], address.as_str());
    assert_eq!(ip["spec"]["subnet"], "net2");

    let shown = bed.nb.ctl(&["show"])?;
    for want in [
        format!("({router})"),
        "(net2)".to_owned(),
        "port ubuntu.net2".to_owned(),
        format!("port net2-{router}"),
        format!("router-port: {router}-net2"),
        format!("port {router}-net2"),
        "networks: [\"12.0.1.1/24\"]".to_owned(),
    ] {
        assert!(shown.contains(&want), "{want:?} is missing in\n{shown}");
    }
    eventually("the union of both sides' subnets", SOON, || {
        let vpc = bed.api.json(&["get", "vpc", &router])?;
        let mut all = vec!["net2".to_owned(), network.clone()];
        all.sort();
        Ok((vpc["status"]["subnets"] == serde_json::json!(all)).then_some(()))
    })?;

    // Uninstall in order.
    bed.api.kubectl(&["delete", "pod", "-n", "net2", "ubuntu", "--force", "--grace-period=0"])?;
    eventually("the pod's port and IP object to go", SOON, || {
        let ips = bed.api.kubectl(&["get", "ip", "-o", "name"])?;
        Ok((!bed.nb.ctl(&["show"])?.contains("ubuntu.net2") && !ips.contains("ubuntu.net2")).then_some(()))
    })?;
    bed.api.kubectl(&["delete", "subnet", "net2", "--wait=true", "--timeout=20s"])?;
    eventually("the subnet's rows to go", SOON, || {
        Ok((!bed.nb.ctl(&["show"])?.contains("net2")).then_some(()))
    })?;

    // Issue 4, step 5: nothing at warning or above in the ordinary course.
    let log = controller.log();
    assert!(!log.contains(" WARN ") && !log.contains(" ERROR "), "{log}");
    assert!(controller.stop()?.success());
    // The guard saw what was written.
    let seen = bed.guard.check()?;
    assert!(seen.ours >= 4 && seen.others >= 1, "{seen:?}");
    Ok(())
}

/// Counts of everything the program wrote, to either side.
fn written(controller: &Controller) -> Result<Vec<String>> {
    let metrics = controller.get("/metrics")?.1;
    let counts = |line: &&str| {
        line.starts_with("tombolo_api_writes_total")
            || line.starts_with("ovs_client_request_latency_milliseconds_count")
    };
    Ok(metrics.lines().filter(counts).map(str::to_owned).collect())
}

// invariants 9 and 10
#[test]
fn refusals_are_seen_and_idle_is_silent() -> Result<()> {
    let bed = needs!(Bed::start()?);
    let controller = Controller::start(&bed, "a", &[])?;
    bed.defaults()?;
    bed.node("host1", "172.30.0.1")?;
    let (router, _) = bed.nb.neutron_router(1, "router0", "192.168.1.0/24")?;
    let subnet = |name: &str, vpc: &str, cidr: &str| {
        bed.api.apply(&format!(
            "apiVersion: kubeovn.io/v1\nkind: Subnet\nmetadata: {{name: {name}}}\nspec: {{vpc: {vpc}, cidrBlock: {cidr}}}\n"
        ))
    };
    subnet("overlapping", &router, "192.168.1.128/25")?;
    subnet("nowhere", "no-such-vpc", "12.0.9.0/24")?;
    let outside = serde_json::json!({ "ovn.kubernetes.io/ip_address": "11.1.1.1" });
    bed.pod_with("default", "outside", "host1", &outside)?;
    for (kind, name) in [("Subnet", "overlapping"), ("Subnet", "nowhere"), ("Pod", "outside")] {
        eventually(&format!("a warning about {kind} {name}"), SOON, || {
            let events = bed.api.json(&["get", "events", "-n", "default"])?;
            let all = events["items"].as_array().cloned().unwrap_or_default();
            let about = |e: &&serde_json::Value| {
                e["involvedObject"]["kind"] == kind
                    && e["involvedObject"]["name"] == name
                    && e["type"] == "Warning"
            };
            Ok(all.iter().find(about).map(|_| ()))
        })?;
    }
    let described = bed.api.kubectl(&["describe", "subnet", "overlapping"])?;
    assert!(described.contains("Events:") && described.contains("Warning"), "{described}");
    let ready = bed.ready("subnet", "overlapping")?;
    assert_eq!(ready.status, "False", "{ready:?}");

    // The lease aside, which isn't counted here, nothing is written when nothing happens.
    std::thread::sleep(Duration::from_secs(3));
    let before = written(&controller)?;
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(written(&controller)?, before);
    Ok(())
}
