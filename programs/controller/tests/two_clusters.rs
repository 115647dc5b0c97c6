//! Two Kubernetes clusters on one OVN, each with its own controller: to each, the other's rows are foreign.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use common::{Bed, Controller};
use tombolo_needs::needs;
use tombolo_testbed::eventually;

const SOON: Duration = Duration::from_secs(40);
/// Flags the second cluster needs, as names of the default Vpc and its Subnets are shared (docs/operate/install.md).
const SECOND: [&str; 5] = [
    "--cluster-router=ovn-cluster-b",
    "--default-ls=ovn-default-b",
    "--node-switch=join-b",
    "--default-cidr=10.17.0.0/16",
    "--node-switch-cidr=100.65.0.0/16",
];

/// Waits until the object's condition `Ready` is `status` for `reason` (any if empty); its message.
fn ready(bed: &Bed, kind: &str, name: &str, status: &str, reason: &str) -> Result<String> {
    eventually(&format!("{kind} {name} to be Ready={status} ({reason})"), SOON, || {
        let ready = bed.ready(kind, name)?;
        let found = ready.status == status && (reason.is_empty() || ready.reason == reason);
        Ok(found.then_some(ready.message))
    })
}

/// Waits until a pod has an Event of this reason; its text.
fn event(bed: &Bed, pod: &str, reason: &str) -> Result<String> {
    eventually(&format!("an Event {reason} on pod {pod}"), SOON, || {
        let of_pod = format!("--field-selector=involvedObject.name={pod}");
        let events = bed.api.json(&["get", "events", "-n", "net2", &of_pod])?;
        let found = events["items"].as_array().into_iter().flatten().find(|e| e["reason"] == reason);
        Ok(found.map(|event| event["message"].as_str().unwrap_or_default().to_owned()))
    })
}

/// What is neither cluster's.
fn neutrons(bed: &Bed) -> Result<BTreeMap<String, String>> {
    let mut rows = bed.guard.foreign("NB")?;
    rows.retain(|_, text| !text.contains("tombolo.io/cluster"));
    Ok(rows)
}

#[test]
fn names_clash_and_nothing_else() -> Result<()> {
    // invariants 1, 2 and 10
    let [a, b] = needs!(Bed::start_pair()?);
    let mut of_a = Controller::start(&a, "a", &[])?;
    a.defaults().map_err(|error| error.context(of_a.log()))?;
    // A second one without these flags: its default Vpc reports the clash, and nothing of the first one is touched.
    let mut untold = Controller::start(&b, "untold", &[])?;
    let message = ready(&b, "vpc", "ovn-cluster", "False", "NameTaken")?;
    ensure!(message.contains("the cluster "), "{message}");
    ensure!(untold.stop()?.success());
    let mut of_b = Controller::start(&b, "b", &SECOND)?;
    b.shows("ovn-cluster-b", &["join-b", "ovn-default-b"])?;
    // The objects that it left are deleted by hand, and take nothing of the first one's with them.
    for (kind, name) in [("subnet", "join"), ("subnet", "ovn-default"), ("vpc", "ovn-cluster")] {
        b.api.kubectl(&["delete", kind, name, "--timeout=20s"])?;
    }

    // One router of Neutron's for both, shown in both.
    let (router, _) = a.nb.neutron_router(1, "router0", "192.168.1.0/24")?;
    for (bed, node) in [(&a, "host-a"), (&b, "host-b")] {
        bed.node(node, "172.30.0.1")?;
        bed.api.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: net2}\n")?;
        bed.give_net2(&router)?;
    }
    a.subnet_of_net2("net2", &router, "12.0.1.0/24")?;
    a.pod("net2", "ubuntu", "host-a")?;
    let first = a.routed("net2", "ubuntu")?;

    // The second one's Subnet of that name; one whose network is the first one's; and one that is neither.
    b.subnet_of_net2("net2", &router, "12.0.2.0/24")?;
    let message = ready(&b, "subnet", "net2", "False", "NameTaken")?;
    ensure!(message.contains("net2") && message.contains("the cluster "), "{message}");
    b.api.kubectl(&["delete", "subnet", "net2", "--timeout=20s"])?;
    b.subnet_of_net2("net2-b", &router, "12.0.1.128/25")?;
    let message = ready(&b, "subnet", "net2-b", "False", "")?;
    ensure!(message.contains("12.0.1."), "the network that it overlaps: {message}");
    b.subnet_of_net2("net2-b", &router, "12.0.2.0/24")?;
    ready(&b, "subnet", "net2-b", "True", "")?;

    // A pod whose port's name is taken says so and waits; any other is served.
    b.pod("net2", "ubuntu", "host-b")?;
    let message = event(&b, "ubuntu", "NameTaken")?;
    ensure!(message.contains("ubuntu.net2") && message.contains("the cluster "), "{message}");
    b.pod("net2", "debian", "host-b")?;
    ensure!(b.routed("net2", "debian")?.starts_with("12.0.2."));
    ensure!(a.routed("net2", "ubuntu")? == first, "the first one's pod is as it was");

    // Both are made anew, and neither takes the other's.
    let before = neutrons(&a)?;
    ensure!(of_a.stop()?.success() && of_b.stop()?.success());
    let _of_a = Controller::start(&a, "a2", &[])?;
    let _of_b = Controller::start(&b, "b2", &SECOND)?;
    for (bed, name, node) in [(&a, "more-a", "host-a"), (&b, "more-b", "host-b")] {
        bed.pod("net2", name, node)?;
        bed.routed("net2", name)?;
    }
    ensure!(before == neutrons(&a)? && before.len() > 3, "Neutron's rows have changed: {before:?}");

    // The first one's goes: the name is free, and the second one's pod is served without being touched.
    a.api.kubectl(&["delete", "pod", "-n", "net2", "ubuntu", "--force", "--grace-period=0"])?;
    ensure!(b.routed("net2", "ubuntu")?.starts_with("12.0.2."));
    // And the other way round.
    a.pod("net2", "ubuntu", "host-a")?;
    event(&a, "ubuntu", "NameTaken")?;

    // All of the first one's pods and Subnets go; the second one's stand, on the switch and on the router.
    a.api.kubectl(&["delete", "pod", "-n", "net2", "--all", "--force", "--grace-period=0"])?;
    a.api.kubectl(&["delete", "subnet", "net2", "--timeout=20s"])?;
    eventually("the first one's Subnet to go from the NB", SOON, || {
        let shown = a.nb.ctl(&["show"])?;
        Ok((!shown.contains("12.0.1.1/24")).then_some(()))
    })?;
    let shown = b.nb.ctl(&["show"])?;
    for want in ["port ubuntu.net2", "port debian.net2", "port more-b.net2", "networks: [\"12.0.2.1/24\"]"] {
        ensure!(shown.contains(want), "{want:?} is missing in\n{shown}");
    }
    for bed in [&a, &b] {
        let seen = bed.guard.check()?;
        ensure!(seen.ours > 20, "the guard saw what was written: {seen:?}");
    }
    Ok(())
}
