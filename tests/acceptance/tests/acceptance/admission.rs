//! The optional admission, as it is deployed: by its Service, with the controller's own service account.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tombolo_needs::needs;
use tombolo_sandbox::kubernetes::{self, kubectl};
use tombolo_sandbox::{exec, programs};
use tombolo_tests_acceptance::router::Router;
use tombolo_tests_acceptance::{Net, SOON, apply_subnet, bed, get, namespaces, space};

/// As the chart has it with `validatingWebhook.enabled`.
fn manifest() -> Result<String> {
    tombolo_chart::cases::part("admission", "admission.yaml")
}

/// Goes with the test.
struct Admission;

impl Admission {
    fn apply() -> Result<Self> {
        kubernetes::apply(&manifest()?)?;
        Ok(Self)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let gone = manifest().and_then(|text| {
            let file = std::env::temp_dir().join("tombolo-admission.yaml");
            fs::write(&file, text).context("writing what is to be deleted")?;
            kubectl(["delete", "--ignore-not-found", "-f", &file.display().to_string()])
        });
        if let Err(error) = gone {
            eprintln!("the admission stays: {error:#}");
        }
    }
}

fn refused(what: &str, result: Result<()>, reason: &str) -> Result<()> {
    let Err(error) = result else { anyhow::bail!("{what} was not refused") };
    let said = format!("{error:#}");
    ensure!(said.contains(reason), "{what} was refused otherwise: {said}");
    Ok(())
}

#[test]
fn what_is_wrong_is_refused_before_it_is_stored() -> Result<()> {
    // invariants 3 and 10
    let bed = needs!(bed()?);
    let space = space("acc-admission")?;
    let vpc = bed.objects.logical_router();
    let net = bed.ready_subnet("acc-admission", "12.9.0.0/24", &space)?;
    let pod = space.pod("one", None)?;
    let _admission = Admission::apply()?;
    let bad = || apply_subnet("acc-bad", &vpc, "192.168.1.128/25", &[&space.name], &json!({}));
    let stays = Net::of("acc-bad", &space);
    // Each replica first gives the API server its certificate; until then an invalid object is stored and reported.
    exec::wait_ok("the overlap to be refused", SOON, || {
        let result = bad();
        kubectl(["delete", "subnets.kubeovn.io", "acc-bad", "--ignore-not-found"])?;
        refused("an overlap with Neutron's network", result, "192.168.1.0/24")
    })?;
    // By both replicas: kube-proxy sends each question to either.
    for _ in 0..10 {
        refused("the overlap", bad(), "192.168.1.0/24")?;
    }
    ensure!(get("subnets.kubeovn.io", "", &stays.name).is_err(), "what was refused is stored");
    apply_subnet(
        &net.name,
        &vpc,
        "12.9.0.0/24",
        &[&space.name],
        &json!({"excludeIps": ["12.9.0.1", "12.9.0.9"]}),
    )?;

    let delete = || kubectl(["delete", "vpcs.kubeovn.io", &vpc, "--timeout=30s"]).map(drop);
    refused("the deletion of a Vpc with a Subnet", delete(), "Subnets hang on this Vpc: acc-admission")?;
    pod.reaches("12.9.0.1")?;
    drop(net);
    drop(space);
    exec::wait_ok("the Vpc to be free of Subnets", SOON, || {
        let subnets = get("vpcs.kubeovn.io", "", &vpc)?["status"]["subnets"].to_string();
        ensure!(!subnets.contains("acc-"), "{subnets}");
        Ok(())
    })?;
    let uid = get("vpcs.kubeovn.io", "", &vpc)?["metadata"]["uid"].clone();
    delete()?;
    exec::wait_ok("the Vpc to come back", SOON, || {
        ensure!(get("vpcs.kubeovn.io", "", &vpc)?["metadata"]["uid"] != uid, "it hasn't gone");
        Ok(())
    })?;

    // What the controller itself deletes isn't held up: the Vpc of a router that is gone.
    let router = Router::new("acc-admission", "192.168.86.0/24")?;
    namespaces(&router.vpc(), &[])?;
    router.delete()?;
    exec::wait_ok("the Vpc of the router to go", SOON, || {
        ensure!(get("vpcs.kubeovn.io", "", &router.vpc()).is_err(), "it is still there");
        Ok(())
    })?;
    programs::leader().map(drop)
}
