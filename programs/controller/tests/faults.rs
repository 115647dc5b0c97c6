//! Things that go away and come back: the leader, the NB, the API server, our kinds.

mod common;

use std::time::{Duration, Instant};

use anyhow::Result;
use common::{Bed, Controller};
use tombolo_needs::needs;
use tombolo_testbed::eventually;

const SOON: Duration = Duration::from_secs(30);

fn logs(controller: &Controller, text: &str) -> Result<()> {
    eventually(&format!("{text:?} in the log"), SOON, || Ok(controller.log().contains(text).then_some(())))
        .map_err(|e| e.context(controller.log()))
}

// invariants 6 and 7
#[test]
fn the_leader_changes() -> Result<()> {
    let bed = needs!(Bed::start()?);
    bed.node("host1", "172.30.0.1")?;
    // Long enough that only a lease that was given up explains what follows.
    let long = ["--leader-elect-lease-duration=60s", "--leader-elect-renew-deadline=40s"];
    let mut a = Controller::start(&bed, "a", &long)?;
    logs(&a, "leading with epoch 1")?;
    bed.defaults()?;
    let b = Controller::start(&bed, "b", &[])?;
    logs(&b, "standing by: a leads")?;
    eventually("the standby to be ready", SOON, || Ok((b.get("/readyz")?.0 == 200).then_some(())))?;

    let stopped = Instant::now();
    assert!(a.stop()?.success());
    logs(&b, "leading with epoch 2")?;
    println!("fail-over after a clean stop: {:?}", stopped.elapsed());
    bed.pod("default", "one", "host1")?;
    bed.routed("default", "one")?;

    // A leader that hangs, and wakes up when another one leads.
    let mut c = Controller::start(&bed, "c", &[])?;
    logs(&c, "standing by: b leads")?;
    b.signal("STOP")?;
    let hung = Instant::now();
    logs(&c, "leading with epoch 3")?;
    println!("fail-over after the leader hung, lease 4 s: {:?}", hung.elapsed());
    b.signal("CONT")?;
    logs(&b, "no longer leading")?;
    bed.pod("default", "two", "host1")?;
    bed.routed("default", "two")?;

    let killed = Instant::now();
    c.kill();
    logs(&b, "leading with epoch 4")?;
    println!("fail-over after a kill, lease 4 s: {:?}", killed.elapsed());
    bed.pod("default", "three", "host1")?;
    let addresses =
        [bed.routed("default", "one")?, bed.routed("default", "two")?, bed.routed("default", "three")?];
    assert!(addresses[0] != addresses[1] && addresses[1] != addresses[2] && addresses[0] != addresses[2]);
    Ok(())
}

#[test]
fn servers_go_and_come_back() -> Result<()> {
    let mut bed = needs!(Bed::start()?);
    bed.node("host1", "172.30.0.1")?;
    let controller = Controller::start(&bed, "a", &[])?;
    bed.defaults()?;
    bed.pod("default", "one", "host1")?;
    bed.routed("default", "one")?;
    assert!(!controller.log().contains(" WARN "), "{}", controller.log());

    bed.nb.pause();
    bed.pod("default", "two", "host1")?;
    logs(&controller, "the NB database can't be reached")?;
    assert_eq!(controller.get("/readyz")?.0, 503);
    assert_eq!(controller.get("/livez")?.0, 200);
    bed.nb.resume()?;
    bed.routed("default", "two")?;
    logs(&controller, "the NB database answers again")?;

    bed.api.pause();
    logs(&controller, "the Kubernetes API server can't be reached")?;
    bed.api.resume()?;
    bed.pod("default", "three", "host1")?;
    bed.routed("default", "three")?;
    logs(&controller, "the Kubernetes API server answers again")?;
    eventually("readiness", SOON, || Ok((controller.get("/readyz")?.0 == 200).then_some(())))?;
    assert!(!controller.log().contains("panicked"), "{}", controller.log());
    // One line when it is gone and one when it is back, not one for each attempt.
    assert!(!controller.log().contains(" ERROR "), "{}", controller.log());

    // A Subnet's status follows within about a second.
    for want in [
        "leader_election_master_status{name=\"tombolo-controller\"} 1",
        "subnet_used_ip_count{subnet_name=\"ovn-default\",protocol=\"IPv4\",subnet_cidr=\"10.16.0.0/16\"} 3",
        "ovs_client_request_latency_milliseconds_count{db=\"OVN_Northbound\",method=\"transact\",code=\"0\"}",
        "tombolo_engine_commits_total ",
        "tombolo_nb_fresh 1",
    ] {
        eventually(&format!("{want:?} in the metrics"), SOON, || {
            Ok(controller.get("/metrics")?.1.contains(want).then_some(()))
        })?;
    }
    Ok(())
}

#[test]
fn our_kinds_come_later() -> Result<()> {
    let bed = needs!(Bed::start_without_crds()?);
    let controller = Controller::start(&bed, "a", &[])?;
    for plural in ["vpcs", "subnets", "ips"] {
        logs(&controller, &format!("the kind {plural}.kubeovn.io is not installed"))?;
    }
    assert_eq!(controller.get("/readyz")?.0, 503);
    bed.api.apply_crds()?;
    logs(&controller, "leading with epoch 1")?;
    eventually("the default Vpc", SOON, || bed.api.json(&["get", "vpc", "ovn-cluster"]).map(Some))?;
    assert_eq!(controller.log().matches("is not installed").count(), 3, "{}", controller.log());
    Ok(())
}

// invariant 2
#[test]
fn a_living_kube_ovn_keeps_ours_from_leading() -> Result<()> {
    let bed = needs!(Bed::start()?);
    let renew = |second: u32| {
        bed.api.apply(&format!(
            "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {{name: kube-ovn-controller, namespace: kube-system}}\nspec: {{holderIdentity: kube-ovn-controller-x, leaseDurationSeconds: 3, renewTime: \"2020-01-01T00:00:{second:02}.000000Z\"}}\n"
        ))
    };
    renew(0)?;
    let controller = Controller::start(&bed, "a", &[])?;
    for second in 1..6 {
        std::thread::sleep(Duration::from_secs(1));
        renew(second)?;
    }
    assert!(
        controller.log().contains("a controller of Kube-OVN's (kube-ovn-controller-x)"),
        "{}",
        controller.log()
    );
    assert!(!controller.log().contains("leading with epoch"), "{}", controller.log());
    assert_eq!(bed.nb.ctl(&["--bare", "--columns=name", "list", "Logical_Router"])?.trim(), "");
    // It is stopped: its lease runs out.
    logs(&controller, "leading with epoch 1")?;
    // It is started again beside us.
    renew(59)?;
    logs(&controller, "standing down")?;
    logs(&controller, "no longer leading")?;
    Ok(())
}

#[test]
fn nothing_answers_at_the_start() -> Result<()> {
    let mut bed = needs!(Bed::start()?);
    bed.node("host1", "172.30.0.1")?;
    bed.pod("default", "early", "host1")?;
    bed.api.pause();
    bed.nb.pause();
    let mut controller = Controller::start(&bed, "a", &[])?;
    logs(&controller, "the Kubernetes API server can't be reached")?;
    assert_eq!(controller.get("/readyz")?.0, 503);
    bed.api.resume()?;
    logs(&controller, "the NB database can't be reached")?;
    assert_eq!(controller.get("/readyz")?.0, 503);
    bed.nb.resume()?;
    bed.routed("default", "early")?;

    // Ending is prompt when nothing answers, too.
    bed.api.pause();
    bed.nb.pause();
    let asked = Instant::now();
    assert!(controller.stop()?.success());
    println!("end while nothing answers: {:?}", asked.elapsed());
    Ok(())
}
