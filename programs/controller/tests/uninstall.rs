//! `--uninstall`: what is left of a cluster that has left.

mod common;

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use common::{Bed, Controller};
use tombolo_testbed::eventually;

const SOON: Duration = Duration::from_secs(30);

/// Runs the program to its end: whether it succeeded, and what it said.
fn uninstall(bed: &Bed, how: &str) -> Result<(bool, String)> {
    uninstall_with(bed, &[how])
}

fn uninstall_with(bed: &Bed, how: &[&str]) -> Result<(bool, String)> {
    let output = Command::new("timeout")
        .args(["120", env!("CARGO_BIN_EXE_tombolo-controller"), "--pprof-port=0"])
        .args(how)
        .arg(format!("--kubeconfig={}", bed.api.kubeconfig().display()))
        .arg(format!("--ovn-nb-addr={}", bed.nb.address()))
        .args(["--leader-elect-lease-duration=4s", "--leader-elect-renew-deadline=3s"])
        .arg("--leader-elect-retry-period=1s")
        .env("POD_NAME", "uninstall")
        .output()?;
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok((output.status.success(), text.concat()))
}

/// Rows with this cluster's id, but for the fence.
fn rows(bed: &Bed) -> Result<Vec<String>> {
    let id = bed.api.cluster_uid()?;
    let mut rows = Vec::new();
    for table in [
        "Logical_Switch",
        "Logical_Switch_Port",
        "Logical_Router",
        "Logical_Router_Port",
        "Logical_Router_Policy",
        "Logical_Router_Static_Route",
        "Port_Group",
        "Address_Set",
    ] {
        let found = bed.nb.ctl(&["--bare", "--no-heading", "--columns=_uuid,external_ids", "list", table])?;
        let ours = found.split("\n\n").filter(|row| row.contains(&id) && !row.contains("tombolo.io/epoch"));
        rows.extend(ours.map(|row| format!("{table}: {row}")));
    }
    Ok(rows)
}

fn marks(bed: &Bed) -> Result<Vec<String>> {
    let mut marked = Vec::new();
    for kind in ["nodes", "namespaces"] {
        for object in bed.api.json(&["get", kind])?["items"].as_array().into_iter().flatten() {
            let keys = object["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
            let ours =
                keys.keys().filter(|key| key.contains("ovn.kubernetes.io") || key.contains("tombolo.io"));
            marked.extend(ours.map(|key| format!("{kind} {}: {key}", object["metadata"]["name"])));
        }
    }
    Ok(marked)
}

/// Router and network of Neutron's.
fn installed(bed: &Bed) -> Result<(String, String)> {
    let (router, network) = bed.nb.neutron_router(1, "router0", "192.168.1.0/24")?;
    bed.node("host1", "172.30.0.1")?;
    bed.defaults()?;
    bed.api.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: net2}\n")?;
    bed.give_net2(&router)?;
    bed.subnet_of_net2("net2", &router, "12.0.1.0/24")?;
    bed.pod("net2", "ubuntu", "host1")?;
    bed.pod("default", "web", "host1")?;
    bed.routed("net2", "ubuntu")?;
    bed.routed("default", "web")?;
    // What the agent writes.
    bed.api.kubectl(&["annotate", "node", "host1", "ovn.kubernetes.io/chassis=chassis-1"])?;
    Ok((router, network))
}

// invariants 1 and 13
#[test]
fn a_cluster_leaves_nothing_but_its_fence() -> Result<()> {
    let Some(bed) = Bed::start()? else { return Ok(()) };
    let mut controller = Controller::start(&bed, "a", &[])?;
    let (router, network) = installed(&bed)?;
    let full = rows(&bed)?;
    assert!(full.len() > 8, "{full:?}");

    // Pods are there: nothing happens, and the message names them.
    assert!(controller.stop()?.success());
    let (success, text) = uninstall(&bed, "--uninstall")?;
    assert!(!success && text.contains("default/web") && text.contains("net2/ubuntu"), "{text}");
    assert!(text.contains("nothing was removed"), "{text}");
    assert_eq!(rows(&bed)?, full);

    for (namespace, pod) in [("net2", "ubuntu"), ("default", "web")] {
        bed.api.kubectl(&["delete", "pod", "-n", namespace, pod, "--force", "--grace-period=0"])?;
    }
    let (success, text) = uninstall(&bed, "--uninstall")?;
    assert!(success, "{text}");
    assert_eq!(rows(&bed)?, [] as [String; 0]);
    assert_eq!(marks(&bed)?, [] as [String; 0]);
    let fences = bed.nb.ctl(&["--bare", "--columns=name", "list", "Address_Set"])?;
    assert!(fences.trim().starts_with("tombolo.epoch.") && fences.trim().lines().count() == 1, "{fences}");
    let ports = bed.nb.ctl(&["--bare", "--columns=ports", "list", "Logical_Router", &router])?;
    assert_eq!(ports.split_whitespace().count(), 1, "Neutron's own port");

    // Again: it is done already.
    let (success, text) = uninstall(&bed, "--uninstall")?;
    assert!(success, "{text}");

    // Until the kinds go, a new start finds everybody again.
    let mut again = Controller::start(&bed, "b", &[])?;
    bed.defaults()?;
    bed.shows(&router, &["net2", &network])?;
    assert!(again.stop()?.success());
    let (success, text) = uninstall(&bed, "--uninstall")?;
    assert!(success, "{text}");
    let crds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts/tombolo/files/crds");
    bed.api.kubectl(&["delete", "-f", crds, "--timeout=60s"])?;
    Ok(())
}

// invariant 1
#[test]
fn what_holds_a_row_back_is_said() -> Result<()> {
    let Some(bed) = Bed::start()? else { return Ok(()) };
    let mut controller = Controller::start(&bed, "a", &[])?;
    installed(&bed)?;
    // Another client hung a port of its own on our switch.
    bed.nb.ctl(&["lsp-add", "net2", "theirs"])?;
    // A leader is there: nothing happens.
    let waits = std::thread::scope(|scope| -> Result<()> {
        let waiting = scope.spawn(|| uninstall(&bed, "--uninstall=force"));
        std::thread::sleep(Duration::from_secs(6));
        ensure!(rows(&bed)?.len() > 8, "it does not wait for the lease");
        controller.stop()?;
        let (success, text) = waiting.join().unwrap()?;
        ensure!(!success && text.contains("standing by: a leads"), "{text}");
        ensure!(text.contains("lose their network"), "{text}");
        ensure!(text.contains("the rest:") && text.contains("net2"), "{text}");
        Ok(())
    });
    waits?;
    let left = rows(&bed)?;
    assert!(left.iter().all(|row| row.contains("subnet/net2")), "{left:?}");
    bed.nb.ctl(&["lsp-del", "theirs"])?;
    let (success, text) = uninstall(&bed, "--uninstall=force")?;
    assert!(success, "{text}");
    assert_eq!(rows(&bed)?, [] as [String; 0]);
    eventually("no finalizer", SOON, || {
        let subnets =
            bed.api.kubectl(&["get", "subnet", "-o", "jsonpath={.items[*].metadata.finalizers}"])?;
        Ok(subnets.trim().is_empty().then_some(()))
    })
}

/// What the chart's hooks run: a Job that stops the others and takes back what they did, and one that waits for the hosts.
#[test]
fn the_charts_uninstallation_stops_what_runs_unless_pods_are_on_the_network() -> Result<()> {
    let Some(bed) = Bed::start()? else { return Ok(()) };
    let mut controller = Controller::start(&bed, "a", &[])?;
    installed(&bed)?;
    let workload = |kind: &str, name: &str| {
        let spec = "{selector: {matchLabels: {app: x}}, template: {metadata: {labels: {app: x}}, spec: {containers: [{name: c, image: i}]}}}";
        format!(
            "apiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: kube-system}}\nspec: {spec}\n"
        )
    };
    bed.api.apply(&workload("Deployment", "kube-ovn-controller"))?;
    bed.api.apply(&workload("DaemonSet", "kube-ovn-cni"))?;
    let replicas = || {
        bed.api.kubectl(&[
            "-n",
            "kube-system",
            "get",
            "deployment",
            "kube-ovn-controller",
            "-o",
            "jsonpath={.spec.replicas}",
        ])
    };
    let agents = || bed.api.kubectl(&["-n", "kube-system", "get", "daemonset", "-o", "name"]);

    let chart = ["--uninstall=unused", "--uninstall-workloads"];
    let (success, text) = uninstall_with(&bed, &chart)?;
    assert!(!success && text.contains("nothing was removed: 2 pods are still on this network"), "{text}");
    assert_eq!(replicas()?.trim(), "1", "nothing was stopped either");
    assert!(agents()?.contains("kube-ovn-cni"));
    assert!(!rows(&bed)?.is_empty());

    for (namespace, pod) in [("net2", "ubuntu"), ("default", "web")] {
        bed.api.kubectl(&["-n", namespace, "delete", "pod", pod, "--grace-period=0", "--force"])?;
    }
    eventually("the pods' addresses are free", SOON, || {
        let ips = bed.api.kubectl(&["get", "ips.kubeovn.io", "-o", "name"])?;
        Ok((!ips.contains("net2") && !ips.contains("web")).then_some(()))
    })?;
    // A pod of ours on the network, which measures it.
    bed.api.apply(&workload("DaemonSet", "kube-ovn-pinger"))?;
    bed.api.apply(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: pinger, namespace: kube-system, labels: {app: kube-ovn-pinger}}\n\
         spec: {containers: [{name: c, image: i}]}\n",
    )?;
    // What ends a Deployment's pods runs in no cluster without nodes: the test does, once it is asked to.
    std::thread::scope(|scope| -> Result<()> {
        let leaves = scope.spawn(|| uninstall_with(&bed, &chart));
        eventually("the pinger is stopped", SOON, || {
            Ok((!agents()?.contains("kube-ovn-pinger")).then_some(()))
        })?;
        assert_eq!(replicas()?.trim(), "1", "its pod is still to be taken off the network");
        bed.api.kubectl(&["-n", "kube-system", "delete", "pod", "pinger", "--grace-period=0", "--force"])?;
        eventually("the controllers and agents are stopped", SOON, || {
            Ok((replicas()?.trim() == "0" && agents()?.trim().is_empty()).then_some(()))
        })?;
        assert!(controller.stop()?.success());
        let (success, text) = leaves.join().expect("a thread of this test")?;
        assert!(success, "{text}");
        Ok(())
    })?;
    assert_eq!(rows(&bed)?, Vec::<String>::new());

    bed.api.apply(&workload("DaemonSet", "kube-ovn-uninstall-hosts"))?;
    let status = |ready: u32| {
        let patch = format!(
            r#"{{"status": {{"observedGeneration": 1, "desiredNumberScheduled": 2, "currentNumberScheduled": 2, "numberMisscheduled": 0, "numberReady": {ready}}}}}"#
        );
        bed.api.kubectl(&[
            "-n",
            "kube-system",
            "patch",
            "daemonset",
            "kube-ovn-uninstall-hosts",
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ])
    };
    status(1)?;
    let lease = || bed.api.kubectl(&["-n", "kube-system", "get", "lease", "-o", "name"]);
    std::thread::scope(|scope| -> Result<()> {
        let waits = scope.spawn(|| uninstall_with(&bed, &["--uninstall-hosts"]));
        std::thread::sleep(Duration::from_secs(5));
        assert!(!waits.is_finished() && lease()?.contains("tombolo-controller"), "one host isn't clean");
        status(2)?;
        let (success, text) = waits.join().expect("a thread of this test")?;
        assert!(success && text.contains("2 hosts are clean"), "{text}");
        Ok(())
    })?;
    assert!(!lease()?.contains("tombolo-controller"), "{}", lease()?);
    Ok(())
}
