//! Before the end: OVN's pods are replaced one after the other, as an upgrade does it, while a pod talks to one on another host.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::console::Console;
use super::pings::Pings;
use crate::hosts::{self, Host};
use crate::kubernetes::kubectl;
use crate::progress::Phase;
use crate::{exec, neutron, ovn};

/// For all hosts.
const ROLLOUT: Duration = Duration::from_secs(150);
/// From a new ovn-controller to its flows.
const FLOWS: Duration = Duration::from_secs(40);
/// The pods: both hosts have Open vSwitch as a pod, or one of each kind.
const FROM: &str = "demo-host1";
const TO: &str = "demo-host3";

/// Plays the step.
///
/// # Errors
/// With the check that didn't hold.
pub fn play(stage: &Console, phase: &Phase) -> Result<()> {
    let address = kubectl(["get", "pod", TO, "-o", "jsonpath={.status.podIP}"])?;
    stage.remark("A rollout of OVN's databases, one member after the other, of controllers and agents: no packet is lost.");
    let ping = Pings::start("default", FROM, &address)?;
    let said = stage.run("kubectl ko reload")?;
    for workload in ["ovn-central", "kube-ovn-controller", "kube-ovn-cni"] {
        let done = said.lines().any(|line| line.contains(&format!("\"{workload}\" successfully rolled out")));
        stage.check(format_args!("{workload} is new"), done, "rolled out", &said)?;
    }
    let (sent, lost) = ping.end()?;
    stage.check(format_args!("none of {sent} pings was lost"), sent > 20 && lost == 0, "0", lost)?;
    ovn::settled(phase)?;

    stage.remark("A rollout of Open vSwitch and ovn-controller: chassis, names and flows stay.");
    let before = (chassis()?, ports()?);
    let pids = vswitchds()?;
    let ping = Pings::start("default", FROM, &address)?;
    stage.run("kubectl -n kube-system rollout restart daemonset/ovs-ovn")?;
    phase
        .doing("giving the tunnels' end its address again, as a host without the kernel's datapath needs it");
    let mut old = pids;
    exec::wait_until("Open vSwitch to be replaced on each host", ROLLOUT, || {
        for (index, now) in vswitchds()? {
            if !now.is_empty()
                && old.get(&index).is_some_and(|then| *then != now)
                && ovn::tunnels(&hosts::host(index)).is_ok()
            {
                old.remove(&index);
            }
        }
        Ok(old.is_empty().then_some(()))
    })?;
    stage.run("kubectl -n kube-system rollout status daemonset/ovs-ovn --timeout=150s")?;
    phase.doing("waiting for the flows of the last host");
    let words = ["exec", FROM, "--", "ping", "-c3", "-W3", &address];
    let answers = exec::wait_ok("the pods to reach each other", FLOWS, || {
        let answers = kubectl(words)?;
        ensure!(answers.contains(" 0% packet loss"), "{answers}");
        Ok(answers)
    });
    let missing = answers.as_ref().err().map(|error| format!("{error:#}")).unwrap_or_default();
    stage.check("the pods reach each other", answers.is_ok(), "0% packet loss", missing)?;
    let (sent, lost) = ping.end()?;
    stage.remark(format!(
        "{lost} of {sent} pings, five a second, were lost: the userspace datapath of this machine ends with its program, the kernel's\n\
         doesn't."
    ));
    stage.check(
        "most of the time they did",
        sent > 20 && lost * 2 < sent,
        "less than half lost",
        format!("{lost} of {sent}"),
    )?;
    stage.same("the same chassis, and the same ports on them", (chassis()?, ports()?), before)?;
    neutron::sees_all(phase)
}

fn chassis() -> Result<String> {
    ovn::sbctl(["--bare", "--columns=_uuid,name,hostname", "list", "Chassis"]).map(|text| sorted(&text))
}

fn ports() -> Result<String> {
    ovn::sbctl(["--bare", "--columns=logical_port,chassis", "find", "Port_Binding", "chassis!=[]"])
        .map(|text| sorted(&text))
}

fn sorted(text: &str) -> String {
    let mut rows: Vec<String> = text.split("\n\n").map(|row| row.trim().replace('\n', " ")).collect();
    rows.sort();
    rows.join("\n")
}

/// The number of each host's ovs-vswitchd, where it is a pod; nothing while there is none.
fn vswitchds() -> Result<BTreeMap<u8, String>> {
    let pid = |host: Host| -> Result<(u8, String)> {
        let read = host.try_exec(["cat", "/run/openvswitch/ovs-vswitchd.pid"])?;
        Ok((host.index, read.stdout.trim().to_owned()))
    };
    ovn::BY_POD.map(hosts::host).into_iter().map(pid).collect()
}
