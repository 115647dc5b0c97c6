//! Leaks: addresses, rows and interfaces that nothing needs any more.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tombolo_sandbox::kubernetes::{kubectl, kubectl_command};
use tombolo_sandbox::{exec, hosts, ovn};

use crate::SOON;

/// `kubectl ko ipam check`, once.
///
/// # Errors
/// With what it finds.
pub fn ipam_check() -> Result<()> {
    let output = exec::run(kubectl_command().args(["ko", "ipam", "check"]), exec::SHORT, None)?;
    ensure!(output.status.success(), "kubectl ko ipam check:\n{}{}", output.stdout, output.stderr);
    Ok(())
}

/// Waits until IP objects, annotations and rows agree (`kubectl ko ipam check`), and each host has just the interfaces
/// of its pods: in Open vSwitch, and as links.
///
/// # Errors
/// With what leaks.
pub fn none() -> Result<()> {
    exec::wait_ok("nothing to leak", SOON, || {
        ipam_check()?;
        let pods: Value = serde_json::from_str(&kubectl(["get", "pods", "-A", "-o", "json"])?)?;
        for host in hosts::all() {
            let (mut there, mut running) = (BTreeSet::new(), BTreeSet::new());
            for pod in pods["items"].as_array().context("a list of pods")? {
                let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
                let hosts_network = pod["spec"]["hostNetwork"] == true;
                let ended = ["Succeeded", "Failed"].contains(&text(&pod["status"]["phase"]).as_str());
                if pod["spec"]["nodeName"] == host.name.as_str() && !hosts_network && !ended {
                    let metadata = &pod["metadata"];
                    let name = format!("{}.{}", text(&metadata["name"]), text(&metadata["namespace"]));
                    if pod["status"]["phase"] == "Running" {
                        running.insert(name.clone());
                    }
                    there.insert(name);
                }
            }
            let columns =
                ["--format=json", "--data=json", "--columns=name,external_ids", "list", "Interface"];
            let table: Value = serde_json::from_str(&ovn::vsctl(&host, columns)?)?;
            let (mut present, mut links) = (BTreeSet::new(), BTreeSet::new());
            for row in table["data"].as_array().context("rows")? {
                let ids = row[1][1].as_array().into_iter().flatten();
                let id =
                    |key: &str| ids.clone().find(|pair| pair[0] == key).and_then(|pair| pair[1].as_str());
                if id("vendor") == Some("kube-ovn") && id("pod_name").is_some() {
                    present.insert(id("iface-id").unwrap_or_default().to_owned());
                    links.insert(row[0].as_str().unwrap_or_default().to_owned());
                }
            }
            let more: Vec<&String> = present.difference(&there).collect();
            ensure!(more.is_empty(), "{host} has interfaces of pods that aren't there: {more:?}");
            let fewer: Vec<&String> = running.difference(&present).collect();
            ensure!(fewer.is_empty(), "pods that run on {host} have no interface: {fewer:?}");
            // The host's end of each pod's pair is named so by Kube-OVN: <12 digits>_h.
            let veths = host.exec(["ip", "-o", "link", "show", "type", "veth"])?;
            for link in veths.lines().filter_map(|line| line.split([':', '@']).nth(1)).map(str::trim) {
                ensure!(
                    !link.ends_with("_h") || links.contains(link),
                    "{host} has the link {link} for nobody"
                );
            }
        }
        Ok(())
    })
}
