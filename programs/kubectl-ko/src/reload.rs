//! `ko reload`: our workloads anew, one kind after the other, each waited for: the databases (which carry Neutron's network, one member
//! at a time), then the controller, then the agents. Pods and VMs keep their network meanwhile.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use tombolo_names::workloads::{AGENT, CENTRAL, CONTROLLER};

use crate::kubectl::Kubectl;
use crate::process::capture;

/// For a workload to be new and ready.
const PATIENCE: Duration = Duration::from_secs(600);
/// In this order. Open vSwitch isn't among them: it carries traffic.
const ORDER: [(&str, &str); 3] = [("deployment", CENTRAL), ("deployment", CONTROLLER), ("daemonset", AGENT)];

/// Restarts them.
pub fn command(kubectl: &Kubectl) -> Result<ExitCode> {
    let mut all = Vec::new();
    for (kind, name) in ORDER {
        match kubectl.try_json(&["get", kind, "-n", kubectl.namespace(), name])? {
            Ok(workload) => all.push((kind, name, workload)),
            // OVN that isn't ours has no pods here.
            Err(why) if why.contains("NotFound") && name == CENTRAL => {}
            Err(why) => anyhow::bail!("{kind}/{name}: {why}"),
        }
    }
    for (kind, name, workload) in &all {
        let (ready, wanted) = readiness(workload);
        ensure!(
            *name != CENTRAL || ready == wanted,
            "{kind}/{name}: {ready} of {wanted} members are ready; restarting another could stop the databases: repair that one first"
        );
    }
    for (kind, name, _) in &all {
        let object = format!("{kind}/{name}");
        let namespace = kubectl.namespace();
        let said = kubectl.output(&["rollout", "restart", "-n", namespace, &object])?;
        print!("{}", String::from_utf8_lossy(&said));
        let timeout = format!("--timeout={}s", PATIENCE.as_secs());
        let wait = ["rollout", "status", "-n", namespace, &timeout, &object];
        let deadline = PATIENCE + Duration::from_secs(30);
        let said = capture(&mut kubectl.command(&wait), b"", deadline, &kubectl.cannot_start())?
            .success(&format!("waiting for {object}; nothing after it was restarted"))?;
        print!("{}", String::from_utf8_lossy(&said));
    }
    Ok(ExitCode::SUCCESS)
}

fn readiness(workload: &Value) -> (u64, u64) {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    (number(&workload["status"]["readyReplicas"]), number(&workload["spec"]["replicas"]))
}
