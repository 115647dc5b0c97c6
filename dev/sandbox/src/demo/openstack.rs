//! Step 2: a VM, its network and a router, made in OpenStack, and the router as a Vpc in Kubernetes.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use super::console::Console;
use super::install::table;
use super::watch::Watch;
use crate::hosts;
use crate::kubernetes::kubectl_command;
use crate::neutron::{self, CIDR, NETWORK, Objects, ROUTER, SERVER, SERVER_IP, SUBNET};
use crate::progress::{Phase, show};
use crate::vm::{self, Vm};

/// A change in OVN is shown in Kubernetes within a second; this is when it is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// What OpenStack has after this step.
#[derive(Debug, Clone)]
pub struct Scene {
    /// Network, subnet and router.
    pub objects: Objects,
    /// The VM.
    pub vm: Vm,
    /// UUID of the security group that its port is in.
    pub group: String,
}

/// Plays the step.
///
/// # Errors
/// With the check that didn't hold.
pub fn play(stage: &Console, phase: &Phase) -> Result<Scene> {
    phase.doing("creating the network");
    stage.run(&format!("openstack network create {NETWORK} -c id -c name -c mtu"))?;
    stage.run(&format!(
        "openstack subnet create {SUBNET} --network {NETWORK} --subnet-range {CIDR} --gateway 192.168.1.1 -c id -c name -c cidr"
    ))?;
    let mut objects =
        Objects { network: id("networks", NETWORK)?, subnet: id("subnets", SUBNET)?, router: String::new() };
    stage.remark(format_args!(
        "The VM: there is no Nova here, so what Nova does is done by hand: a port bound to a host, a tap in its br-int, \
         a qemu.\n`openstack server list`, which needs Nova, is left out."
    ));
    let host = hosts::host(crate::VM_HOST);
    let vm = thread::scope(|scope| {
        let booting = objects.clone();
        let booting = scope.spawn(move || vm::up(phase, &booting, &host));
        let shown = router(stage, &objects);
        let vm = booting.join().map_err(|_| anyhow!("the thread that boots the VM failed"))?;
        shown?;
        vm
    })?;
    objects.router = id("routers", ROUTER)?;
    lists(stage, &objects)?;
    stage.remark(format_args!("The VM {SERVER} runs on {} and has {SERVER_IP} by OVN's DHCP.", vm.host));
    vpc(stage, &objects)?;
    let group = neutron::default_security_group()?;
    Ok(Scene { objects, vm, group })
}

fn id(kind: &str, name: &str) -> Result<String> {
    let found = neutron::api("GET", &format!("{kind}?name={name}&fields=id"), None)?;
    let id = found[kind][0]["id"].as_str().with_context(|| format!("Neutron has no {name}: {found}"))?;
    Ok(id.to_owned())
}

/// Creates the router and its interface, and measures how soon Kubernetes shows each.
fn router(stage: &Console, objects: &Objects) -> Result<()> {
    let mut routers = Watch::northbound("Logical_Router", "name")?;
    let mut ports = Watch::northbound("Logical_Router_Port", "name")?;
    let mut vpcs = Watch::start(kubectl_command().args(["get", "vpc", "--watch"]))?;
    // What is there is listed first: once it is, nothing that happens is missed.
    routers.next("the monitor of routers", PATIENCE, |line| line.contains("ovn-cluster").then_some(()))?;
    ports.next("the monitor of their ports", PATIENCE, |line| {
        line.contains("ovn-cluster-join").then_some(())
    })?;
    vpcs.next("the watch of Vpcs", PATIENCE, |line| line.starts_with("ovn-cluster ").then_some(()))?;

    stage.run(&format!("openstack router create {ROUTER} -c id -c name -c status"))?;
    let name = format!("neutron-{}", id("routers", ROUTER)?);
    let (there, ()) = routers.next("the router in OVN", PATIENCE, |line| inserted(line, &name))?;
    // The first line comes before the status.
    let (shown, row) = vpcs.next("the Vpc of the router", PATIENCE, |line| {
        (line.starts_with(&name) && line.contains(" true ")).then(|| line.to_owned())
    })?;
    let router = since(there, shown);
    show("# kubectl get vpc --watch");
    show(&row);

    stage.run(&format!("openstack router add subnet {ROUTER} {SUBNET}"))?;
    let (there, ()) = ports.next("the router's interface in OVN", PATIENCE, |line| inserted(line, "lrp-"))?;
    let switch = objects.switch();
    let (shown, row) = vpcs.next("the network in the router's Vpc", PATIENCE, |line| {
        (line.starts_with(&name) && line.contains(&switch)).then(|| line.to_owned())
    })?;
    let interface = since(there, shown);
    show("# kubectl get vpc --watch");
    show(&row);
    // Whole milliseconds, rounded up: the two moments are seen by two programs.
    show(format_args!(
        "   after its row in OVN's northbound database, the router was a Vpc within {} ms, its network in SUBNETS within {} ms",
        router.as_millis() + 1,
        interface.as_millis() + 1
    ));
    Ok(())
}

/// Two processes report the two moments, so the later one may be read first: that is no time at all.
fn since(from: Instant, to: Instant) -> Duration {
    to.saturating_duration_since(from)
}

/// Matches a monitor's line that reports a new row whose name begins so.
fn inserted(line: &str, name: &str) -> Option<()> {
    let mut fields = line.split(',').map(|field| field.trim_matches('"'));
    (fields.nth(1) == Some("insert") && fields.next().is_some_and(|value| value.starts_with(name)))
        .then_some(())
}

/// The document's lists, from OpenStack's own client.
fn lists(stage: &Console, objects: &Objects) -> Result<()> {
    let [routers, networks, subnets] =
        stage.run_together(["openstack router list", "openstack network list", "openstack subnet list"])?;
    for (printed, words) in [
        (&routers, [objects.router.as_str(), ROUTER, "ACTIVE", "UP"].as_slice()),
        (&networks, &[&objects.network, NETWORK, &objects.subnet]),
        (&subnets, &[&objects.subnet, SUBNET, &objects.network, CIDR]),
    ] {
        let cells: Vec<Vec<&str>> = printed
            .lines()
            .filter(|line| line.starts_with('|'))
            .map(|line| line.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect())
            .collect();
        let row = cells.iter().find(|row| row.contains(&words[1]));
        stage.check(
            format_args!("OpenStack lists {}", words[1]),
            row.is_some_and(|row| words.iter().all(|word| row.contains(word))),
            words.join(" "),
            printed,
        )?;
    }
    Ok(())
}

fn vpc(stage: &Console, objects: &Objects) -> Result<()> {
    let printed = stage.run("kubectl get vpc")?;
    let (router, network) = (objects.logical_router(), format!("[\"{}\"]", objects.switch()));
    stage.same(
        "the router is a Vpc, the network one of its subnets, under the document's columns",
        table(&printed),
        [
            ["NAME", "STANDBY", "SUBNETS"],
            [&router, "true", &network],
            ["ovn-cluster", "true", r#"["join","ovn-default"]"#],
        ],
    )?;
    let printed = stage.run("kubectl get vpc -l ovn.kubernetes.io/vpc_external=true -o name")?;
    stage.same("it is labelled as somebody else's", printed.trim(), format!("vpc.kubeovn.io/{router}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_rows_count() {
        let id = "8433d622-a8d6-41a7-8b31-49abfd64f639";
        assert!(inserted(&format!("{id},insert,lrp-1"), "lrp-").is_some());
        assert!(inserted(&format!("{id},insert,\"lrp-1\""), "lrp-").is_some());
        assert!(inserted(&format!("{id},initial,lrp-1"), "lrp-").is_none());
        assert!(inserted(&format!("{id},insert,other"), "lrp-").is_none());
        assert!(inserted("", "lrp-").is_none());
    }
}
