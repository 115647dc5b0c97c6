//! Tenants are apart (invariant 12): whose pods get onto a Subnet behind Neutron's router, and what a pod can send there.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tombolo_needs::needs;
use tombolo_sandbox::exec;
use tombolo_sandbox::kubernetes::kubectl;
use tombolo_tests_acceptance::frames::{self, Arrivals};
use tombolo_tests_acceptance::{SOON, bed, get, space};

#[test]
fn a_pod_behind_neutrons_router_bears_its_own_addresses_only() -> Result<()> {
    // invariant 12
    let bed = needs!(bed()?);
    let space = space("acc-forgery")?;
    let net = bed.ready_subnet("acc-forgery", "12.9.0.0/24", &space)?;
    let (evil, victim) = (space.pod("evil", Some("host1"))?, space.pod("victim", Some("host2"))?);
    let gateway = "12.9.0.1";
    evil.reaches(&victim.address)?;
    let mut arrivals = Arrivals::at(&victim)?;
    // A source that is another's, then its own: what comes first must be its own.
    for kind in ["echo", "arp"] {
        let stolen = if kind == "echo" { "192.168.1.61" } else { gateway };
        frames::send(&evil, kind, stolen, &victim.address, gateway)?;
        frames::send(&evil, kind, &evil.address, &victim.address, gateway)?;
        let before = arrivals.until(&format!("{kind} {}", evil.address))?;
        let forged: Vec<&String> = before.iter().filter(|line| line.ends_with(stolen)).collect();
        ensure!(forged.is_empty(), "the victim saw {forged:?}");
    }
    // The Subnet may allow it: this also shows that the frames would have been seen.
    kubectl(["annotate", "subnets.kubeovn.io", &net.name, "tombolo.io/port-security=false"])?;
    exec::wait_ok("the forged frame to pass where the Subnet allows it", SOON, || {
        frames::send(&evil, "echo", "192.168.1.61", &victim.address, gateway)?;
        frames::send(&evil, "echo", &evil.address, &victim.address, gateway)?;
        let before = arrivals.until(&format!("echo {}", evil.address))?;
        ensure!(before.iter().any(|line| line == "echo 192.168.1.61"), "only {before:?} came");
        Ok(())
    })
}

#[test]
fn a_pod_of_another_namespace_does_not_get_onto_a_tenants_subnet() -> Result<()> {
    // invariant 12
    let bed = needs!(bed()?);
    let tenant = space("acc-tenant")?;
    let net = bed.ready_subnet("acc-tenant", "12.9.0.0/24", &tenant)?;
    let stranger = space("acc-stranger")?;
    for (name, annotations) in [
        ("by-name", vec![("ovn.kubernetes.io/logical_switch", net.name.as_str())]),
        (
            "by-address",
            vec![
                ("ovn.kubernetes.io/logical_switch", net.name.as_str()),
                ("ovn.kubernetes.io/ip_address", "12.9.0.77"),
            ],
        ),
    ] {
        stranger.create(name, Some("host1"), &annotations)?;
        exec::wait_ok(&format!("an Event that says why {name} isn't served"), SOON, || {
            let selector = format!("involvedObject.kind=Pod,involvedObject.name={name},type=Warning");
            let events = kubectl([
                "-n",
                &stranger.name,
                "get",
                "events",
                "--field-selector",
                &selector,
                "-o",
                "json",
            ])?;
            let events: serde_json::Value = serde_json::from_str(&events)?;
            let items = events["items"].as_array().context("a list")?;
            ensure!(
                items.iter().any(|it| it["message"].as_str().is_some_and(|text| text.contains(&net.name))),
                "there is none that names the Subnet"
            );
            Ok(())
        })?;
        thread::sleep(Duration::from_secs(3));
        let pod = get("pod", &stranger.name, name)?;
        ensure!(pod["status"]["podIP"].is_null(), "{name} was served: {}", json!(pod["status"]["podIP"]));
    }
    // The tenant's own are served as before.
    tenant.pod("own", Some("host1"))?.reaches("12.9.0.1")
}
