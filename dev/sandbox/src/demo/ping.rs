//! Step 7: the pod pings the VM, and the VM the pod.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::console::Console;
use super::install::table;
use super::manifests;
use super::openstack::Scene;
use crate::hosts::{self, Host};
use crate::kubernetes::kubectl;
use crate::neutron::SERVER_IP;
use crate::ovn;
use crate::progress::{Phase, show};
use crate::reach::Netns;

/// A pod in `net2`.
struct Pod {
    name: String,
    host: Host,
    address: String,
}

impl Pod {
    fn find(name: &str) -> Result<Self> {
        let text = kubectl(["-n", "net2", "get", "pod", name, "-o", "json"])?;
        let pod: Value = serde_json::from_str(&text).with_context(|| format!("reading the pod {name}"))?;
        let node = pod["spec"]["nodeName"].as_str().context("a pod without a node")?;
        let address = pod["status"]["podIP"].as_str().context("a pod without an address")?;
        Ok(Self { name: name.to_owned(), host: hosts::by_name(node)?, address: address.to_owned() })
    }
}

/// Plays the step.
///
/// # Errors
/// With the check that didn't hold.
pub fn play(stage: &Console, phase: &Phase, scene: &Scene) -> Result<()> {
    let printed = stage.run("kubectl -n net2 get pods")?;
    let rows = table(&printed);
    stage.same(
        "the pod is Ready and Running",
        rows.get(1).map(|row| row[..4].to_vec()),
        Some(vec!["ubuntu", "1/1", "Running", "0"]),
    )?;
    let ubuntu = Pod::find("ubuntu")?;
    without_rule(stage, phase, scene)?;
    phase.doing("pinging from the pod");
    from_pod(stage, &ubuntu, scene)?;
    phase.doing("a second pod");
    let node = if ubuntu.host == scene.vm.host { hosts::host(1) } else { scene.vm.host.clone() };
    stage.remark(format_args!("A second pod, on {node}: the document's, with another name and a nodeName."));
    stage.write("pod2.yaml", &manifests::pod_on("ubuntu-2", &node.name))?;
    stage.run("kubectl apply -f pod2.yaml")?;
    stage.run("kubectl -n net2 wait --for=condition=Ready pod/ubuntu-2 --timeout=120s")?;
    from_pod(stage, &Pod::find("ubuntu-2")?, scene)
}

/// Neutron's default security group lets nothing in: until OpenStack allows ICMP, the VM doesn't answer.
fn without_rule(stage: &Console, phase: &Phase, scene: &Scene) -> Result<()> {
    phase.doing("pinging without a rule in the security group");
    stage.remark("The VM's port is in Neutron's default security group, which lets nothing in yet.");
    let output = stage.try_run(&format!("kubectl -n net2 exec ubuntu -- ping {SERVER_IP} -c2 -W2"))?;
    stage.check(
        "without a rule the VM doesn't answer",
        output.stdout.contains(" 100% packet loss"),
        "100% packet loss",
        format_args!("{}{}", output.stdout, output.stderr),
    )?;
    phase.doing("adding a rule to the security group");
    let printed = stage.run(&format!(
        "openstack security group rule create --protocol icmp --ingress {} -c direction -c protocol -c remote_ip_prefix",
        scene.group
    ))?;
    stage.check("OpenStack allows ICMP", printed.contains("icmp"), "a rule for icmp", &printed)?;
    // Neutron has written the rule; this returns once all hypervisors have it.
    ovn::nbctl(["--wait=hv", "sync"])?;
    Ok(())
}

fn from_pod(stage: &Console, pod: &Pod, scene: &Scene) -> Result<()> {
    let (vm, mtu) = (&scene.vm, scene.vm.port.mtu);
    let place = if pod.host == vm.host { "one host" } else { "two hosts" };
    let place = format!("pod and VM on {place}: {} on {}, VM on {}", pod.name, pod.host, vm.host);
    let printed = stage.run(&format!("kubectl -n net2 exec {} -- ping {SERVER_IP} -c2", pod.name))?;
    stage.check(
        format_args!("{place}: the VM answers, one router away"),
        printed.contains("2 packets transmitted, 2 packets received, 0% packet loss")
            && printed.matches(" ttl=63 ").count() == 2,
        "2 replies with ttl=63, 0% packet loss",
        &printed,
    )?;
    let printed = stage.run(&format!("kubectl -n net2 exec {} -- ip link show eth0", pod.name))?;
    stage.check(
        format_args!("the pod's MTU is that of the VM's network, {mtu}"),
        printed.contains(&format!(" mtu {mtu} ")),
        format_args!("mtu {mtu}"),
        &printed,
    )?;
    let (whole, printed) = vm.ping(&pod.address, 2, 56)?;
    show(format_args!("VM# ping -c 2 {}", pod.address));
    show(printed.trim_end());
    stage.check(
        format_args!("{place}: the pod answers the VM"),
        whole && printed.matches(" ttl=63 ").count() == 2,
        "2 replies with ttl=63, 0% packet loss",
        &printed,
    )?;
    let inside = Netns::of_pod(&pod.host, &pod.address)?;
    inside.largest_to(SERVER_IP, mtu)?;
    stage.check(
        format_args!("a packet of {mtu} bytes that may not be fragmented passes from pod to VM, one more byte does not leave"),
        true,
        "",
        "",
    )?;
    inside.largest_from(vm, &pod.address)?;
    stage.check(
        format_args!("packets of {mtu} bytes that may not be fragmented pass from VM to pod, whole"),
        true,
        "",
        "",
    )
}
