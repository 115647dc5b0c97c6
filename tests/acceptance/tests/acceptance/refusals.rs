//! What can't be done is refused where the user looks, and what is put right goes on by itself (invariant 10).

use anyhow::{Result, ensure};
use serde_json::json;
use tombolo_needs::needs;
use tombolo_sandbox::{exec, ovn};
use tombolo_tests_acceptance::{
    Net, SOON, apply_subnet, bed, condition, delete, event, get, namespaces, space,
};

const SUBNET: &str = "subnets.kubeovn.io";

/// Whether OVN has a switch of this name.
fn switch(name: &str) -> Result<bool> {
    let found = ovn::nbctl(["--bare", "--columns=name", "find", "Logical_Switch", &format!("name={name}")])?;
    Ok(!found.trim().is_empty())
}

#[test]
fn a_subnet_that_overlaps_neutrons_is_refused_until_it_does_not() -> Result<()> {
    // invariant 10
    let bed = needs!(bed()?);
    let space = space("acc-overlap")?;
    let net = bed.subnet("acc-overlap", "192.168.1.128/25", &space)?;
    let message = condition(SUBNET, &net.name, "Ready", "False CidrConflict")?;
    ensure!(message.contains("192.168.1.0/24"), "the message doesn't say with what: {message}");
    event("Subnet", "", &net.name, "CidrConflict")?;
    ensure!(!switch(&net.name)?, "a refused Subnet has a switch");
    let vpc = bed.objects.logical_router();
    apply_subnet(&net.name, &vpc, "12.9.0.0/24", &[&space.name], &json!({}))?;
    condition(SUBNET, &net.name, "Ready", "True ReconcileLogicalSwitchSuccess")?;
    ensure!(switch(&net.name)?, "a Ready Subnet has no switch");
    Ok(())
}

#[test]
fn of_two_subnets_that_overlap_the_first_stays() -> Result<()> {
    // invariant 10
    let bed = needs!(bed()?);
    let space = space("acc-two")?;
    let first = bed.ready_subnet("acc-first", "12.9.0.0/24", &space)?;
    let second = Net::of("acc-second", &space);
    apply_subnet(&second.name, &bed.objects.logical_router(), "12.9.0.0/25", &[&space.name], &json!({}))?;
    condition(SUBNET, &second.name, "Ready", "False CidrConflict")?;
    condition(SUBNET, &first.name, "Ready", "True ReconcileLogicalSwitchSuccess")?;
    delete(SUBNET, "", &first.name)?;
    condition(SUBNET, &second.name, "Ready", "True ReconcileLogicalSwitchSuccess").map(drop)
}

#[test]
fn a_subnet_of_an_unknown_vpc_waits_for_a_better_one() -> Result<()> {
    let bed = needs!(bed()?);
    let space = space("acc-unknown")?;
    namespaces(&bed.objects.logical_router(), &[&space.name])?;
    let other = Net::of("acc-nobody", &space);
    apply_subnet(&other.name, "nobody", "12.9.0.0/24", &[&space.name], &json!({}))?;
    condition(SUBNET, &other.name, "Ready", "False UnknownVpc")?;
    event("Subnet", "", &other.name, "UnknownVpc")?;
    apply_subnet(&other.name, &bed.objects.logical_router(), "12.9.0.0/24", &[&space.name], &json!({}))?;
    condition(SUBNET, &other.name, "Ready", "True ReconcileLogicalSwitchSuccess")?;
    drop(other);
    namespaces(&bed.objects.logical_router(), &[])
}

#[test]
fn what_neutrons_router_can_not_have_is_refused() -> Result<()> {
    // invariant 3
    let bed = needs!(bed()?);
    let space = space("acc-nat")?;
    let net = bed.ready_subnet("acc-nat", "12.9.0.0/24", &space)?;
    let vpc = bed.objects.logical_router();
    let nat =
        |on: bool| apply_subnet(&net.name, &vpc, "12.9.0.0/24", &[&space.name], &json!({"natOutgoing": on}));
    nat(true)?;
    let said = exec::wait_ok("a condition about natOutgoing", SOON, || {
        let subnet = get(SUBNET, "", &net.name)?;
        let text = subnet["status"]["conditions"].to_string();
        ensure!(text.contains("NotPossibleOnNeutronRouter") && text.contains("natOutgoing"), "{text}");
        Ok(text)
    })?;
    ensure!(said.contains("natOutgoing"), "{said}");
    event("Subnet", "", &net.name, "NotPossibleOnNeutronRouter")?;
    nat(false)?;
    condition(SUBNET, &net.name, "Validated", "True ValidateLogicalSwitchSuccess").map(drop)
}

#[test]
fn addresses_that_can_not_be_given_are_told_on_the_pod() -> Result<()> {
    // invariant 10
    let bed = needs!(bed()?);
    let space = space("acc-static")?;
    let _net = bed.ready_subnet("acc-static", "12.9.0.0/24", &space)?;
    let (ip, mac) = ("ovn.kubernetes.io/ip_address", "ovn.kubernetes.io/mac_address");
    space.create("one", None, &[(ip, "12.9.0.77"), (mac, "00:00:00:AB:CD:EF")])?;
    let one = space.ready("one", SOON)?;
    ensure!(one.address == "12.9.0.77", "the pod has {}", one.address);
    let link = exec::check(
        tombolo_sandbox::kubernetes::kubectl_command().args([
            "-n",
            &space.name,
            "exec",
            "one",
            "--",
            "ip",
            "link",
            "show",
            "eth0",
        ]),
        exec::SHORT,
        None,
    )?;
    ensure!(link.contains("link/ether 00:00:00:ab:cd:ef "), "{link}");

    space.create("two", None, &[(ip, "12.9.0.77")])?;
    let message = event("Pod", &space.name, "two", "AcquireAddressFailed")?;
    ensure!(message.contains("12.9.0.77") && message.contains("one"), "the holder isn't named: {message}");
    space.create("outside", None, &[(ip, "12.10.0.5")])?;
    let message = event("Pod", &space.name, "outside", "AcquireAddressFailed")?;
    ensure!(message.contains("12.10.0.5"), "{message}");

    // Once the holder is gone, the second one gets it by itself.
    delete("pod", &space.name, "one")?;
    ensure!(space.ready("two", SOON)?.address == "12.9.0.77", "another address");
    Ok(())
}

#[test]
fn a_full_subnet_is_told_and_a_freed_address_is_taken_at_once() -> Result<()> {
    // invariant 10
    let bed = needs!(bed()?);
    let space = space("acc-full")?;
    // Six addresses, the gateway's among them: five pods.
    let _net = bed.ready_subnet("acc-full", "12.9.0.0/29", &space)?;
    let names: Vec<String> = (1..=6).map(|n| format!("pod-{n}")).collect();
    for name in &names[..5] {
        space.create(name, None, &[])?;
    }
    for name in &names[..5] {
        space.ready(name, SOON)?;
    }
    space.create(&names[5], None, &[])?;
    event("Pod", &space.name, &names[5], "NoAvailableAddress")?;
    let freed =
        get("pod", &space.name, &names[2])?["status"]["podIP"].as_str().unwrap_or_default().to_owned();
    delete("pod", &space.name, &names[2])?;
    let last = space.ready(&names[5], SOON)?;
    ensure!(last.address == freed, "it got {}, free was {freed}", last.address);
    Ok(())
}
