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
    let output = Command::new("timeout")
        .args(["120", env!("CARGO_BIN_EXE_tombolo-controller"), how, "--pprof-port=0"])
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
