//! Step 1: our network alone, before OpenStack has a router.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::console::Console;
use super::{clean, manifests, shape};
use crate::hosts::{self, Host};
use crate::kubernetes::kubectl;
use crate::progress::Phase;

/// Where the agent puts the configuration that makes a node Ready.
const CNI_CONFIGURATION: &str = "/etc/cni/net.d/01-kube-ovn.conflist";

/// A pod of the demo in the default subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its name, in the namespace `default`.
    pub name: String,
    /// The host that it runs on.
    pub host: Host,
    /// Its address.
    pub address: String,
}

/// The rows of a table that `kubectl get` printed, its heading first.
pub fn table(printed: &str) -> Vec<Vec<&str>> {
    printed.lines().map(|line| line.split_whitespace().collect()).collect()
}

/// Plays the step. Returns the demo's pods, which stay.
///
/// # Errors
/// With the check that didn't hold.
pub fn play(stage: &Console, phase: &Phase) -> Result<()> {
    let printed = stage.run("kubectl get vpc")?;
    stage.same(
        "the default Vpc is there with its two subnets",
        table(&printed),
        [["NAME", "STANDBY", "SUBNETS"], ["ovn-cluster", "true", r#"["join","ovn-default"]"#]],
    )?;
    nodes(stage)?;
    phase.doing("waiting for pods in ovn-default");
    let pods = pods(stage)?;
    phase.doing("checking the way between nodes and pods");
    join(stage)?;
    traffic(stage, &pods)
}

fn nodes(stage: &Console) -> Result<()> {
    let printed = stage.run("kubectl get nodes")?;
    let rows = table(&printed);
    let ready: Vec<(&str, &str)> = rows.iter().skip(1).map(|row| (row[0], row[1])).collect();
    stage.same("all nodes are Ready", ready, [("host1", "Ready"), ("host2", "Ready"), ("host3", "Ready")])?;
    for host in hosts::all() {
        let text = host.exec(["cat", CNI_CONFIGURATION])?;
        let conf: Value =
            serde_json::from_str(&text).with_context(|| format!("reading {CNI_CONFIGURATION} on {host}"))?;
        stage.same(
            format_args!("{host} is Ready through our CNI plugin"),
            conf["plugins"][0]["type"].as_str(),
            Some("kube-ovn"),
        )?;
    }
    Ok(())
}

fn pods(stage: &Console) -> Result<Vec<Pod>> {
    let all: String = hosts::all().iter().map(|h| manifests::probed(&format!("demo-{h}"), &h.name)).collect();
    stage.write("demo-pods.yaml", &all)?;
    stage.remark(
        "A web server on each node, with a TCP, an HTTP and a command probe. The image has the document's name, but\n\
         is a small stand-in made here: Debian's bash, inetutils-ping and busybox.",
    );
    stage.run("kubectl apply -f demo-pods.yaml")?;
    stage.run(&format!("kubectl wait --for=condition=Ready pod -l {} --timeout=120s", clean::LABEL))?;
    stage.run(&format!("kubectl get pods -l {} -o wide", clean::LABEL))?;
    let list: Value = serde_json::from_str(&kubectl(["get", "pods", "-l", clean::LABEL, "-o", "json"])?)
        .context("reading the demo's pods")?;
    let mut pods = Vec::new();
    for pod in list["items"].as_array().into_iter().flatten() {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (name, address) = (text(&pod["metadata"]["name"]), text(&pod["status"]["podIP"]));
        let annotation =
            |key: &str| text(&pod["metadata"]["annotations"][format!("ovn.kubernetes.io/{key}")]);
        stage.same(
            format_args!("{name} is in ovn-default, Ready by its probes, not restarted"),
            (
                annotation("logical_switch"),
                annotation("ip_address"),
                &pod["status"]["containerStatuses"][0]["restartCount"],
            ),
            ("ovn-default".to_owned(), address.clone(), &Value::from(0)),
        )?;
        pods.push(Pod { name, host: hosts::by_name(&text(&pod["spec"]["nodeName"]))?, address });
    }
    stage.same("one pod a node", pods.len(), usize::from(hosts::COUNT))?;
    Ok(pods)
}

/// Each node has a port in the subnet `join`, and an interface with its address.
fn join(stage: &Console) -> Result<()> {
    let printed = stage.run("kubectl ko nbctl show join")?;
    for host in hosts::all() {
        let port = format!("node-{host}");
        let addresses = shape::attribute(&printed, &port, "addresses").unwrap_or_default();
        let pair = addresses.trim_matches(['[', ']', '"']);
        let (mac, address) = pair.split_once(' ').unwrap_or_default();
        let shown = stage.on(&host, "ip address show ovn0")?;
        let has = |what: String| !address.is_empty() && shown.contains(&what);
        stage.check(
            format_args!("ovn0 on {host} is the port {port}"),
            has(format!("inet {address}/16 ")) && has(format!("link/ether {} ", mac.to_ascii_lowercase())),
            format_args!("{address}/16 and {mac} on ovn0"),
            &shown,
        )?;
    }
    Ok(())
}

/// From each node to each pod and back. The first of each is shown.
fn traffic(stage: &Console, pods: &[Pod]) -> Result<()> {
    let mut failed: BTreeMap<String, String> = BTreeMap::new();
    let (mut first, mut pings) = (true, 0);
    for host in hosts::all() {
        for pod in pods {
            let to_pod = format!("ping -c1 -W3 {}", pod.address);
            let to_node = format!("ping -c1 -W3 {}", host.mgmt);
            let (there, back) = if std::mem::take(&mut first) {
                let there = stage.on(&host, &to_pod)?;
                (there, stage.run(&format!("kubectl exec {} -- {to_node}", pod.name))?)
            } else {
                let there = host.try_exec(to_pod.split(' '))?.stdout;
                let words = ["exec", &pod.name, "--"].into_iter().chain(to_node.split(' '));
                (
                    there,
                    crate::exec::run(
                        crate::kubernetes::kubectl_command().args(words),
                        crate::exec::SHORT,
                        None,
                    )?
                    .stdout,
                )
            };
            for (what, output) in
                [(format!("{host} to {}", pod.name), there), (format!("{} to {host}", pod.name), back)]
            {
                pings += 1;
                if !output.contains(" 0% packet loss") {
                    failed.insert(what, output);
                }
            }
        }
    }
    let lost =
        failed.iter().map(|(what, output)| format!("{what}:\n{output}")).collect::<Vec<_>>().join("\n");
    stage.check(
        format_args!("each node reaches each pod, each pod each node: {pings} pings"),
        failed.is_empty(),
        "0% packet loss each",
        lost,
    )
}
