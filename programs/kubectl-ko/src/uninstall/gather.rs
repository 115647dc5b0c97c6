//! Reads what is decided from. What can't be read is no failure here: it becomes a refusal.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tombolo_names::workloads::{AGENT, CENTRAL, CONTROLLER, HYPERVISOR, MONITOR, PINGER, UNINSTALL_HOSTS};

use super::facts::{Facts, Read};
use super::objects::{Found, ORDER, of_tombolo};
use crate::database::{Database, Place};
use crate::kubectl::{Kubectl, ready_pod};
use crate::process::capture;
use crate::rows::{self, Row};
use crate::snapshot::Snapshot;
use crate::{backup, ipam, times};

/// Programs of Tombolo itself: Deployments, DaemonSets, values of the label `app`.
const PROGRAMS: [&str; 5] = [CONTROLLER, AGENT, MONITOR, PINGER, UNINSTALL_HOSTS];
/// The container of a pod `ovs-ovn`.
const CONTAINER: &str = "openvswitch";
/// For what Open vSwitch's database on one node answers.
const DEADLINE: Duration = Duration::from_secs(30);
/// So many nodes at a time.
const AT_ONCE: usize = 8;

/// Reads everything. `cluster`: this cluster's id in OVN, where the user gave it.
pub fn gather(kubectl: &Kubectl, cluster: Option<&str>) -> Facts {
    let found = said(found(kubectl));
    // What doesn't run isn't asked: its absence is judged by what was found.
    let central = found.as_ref().is_ok_and(|found| found.workload(CENTRAL).is_some());
    let unasked = || Err("it wasn't asked, since it doesn't run".to_owned());
    Facts {
        namespace: kubectl.namespace().to_owned(),
        tombolo: said(tombolo(kubectl)),
        nodes: said(kubectl.list(&["get", "nodes"])),
        cluster: match cluster {
            Some(id) => Ok(id.to_owned()),
            None => said(ipam::cluster_id(kubectl)),
        },
        nb: if central { contents(kubectl, Database::Nb) } else { unasked() },
        sb: if central { contents(kubectl, Database::Sb) } else { unasked() },
        hosts: said(hosts(kubectl)),
        found,
        now: times::now(),
    }
}

fn said<T>(result: Result<T>) -> Read<T> {
    result.map_err(|error| format!("{error:#}"))
}

/// Which of the objects there are: one question, which a missing one doesn't fail.
fn found(kubectl: &Kubectl) -> Result<Found> {
    let names = ORDER.map(|object| object.word());
    let mut words = vec!["get", "-n", kubectl.namespace()];
    words.extend(names.iter().map(String::as_str));
    words.extend(["--ignore-not-found", "--request-timeout=30s", "-o", "json"]);
    let text = kubectl.output(&words)?;
    if text.trim_ascii().is_empty() {
        return Ok(Found::default());
    }
    let list: Value = serde_json::from_slice(&text).context("reading the output of kubectl get")?;
    let objects = list["items"].as_array().context("kubectl get printed no list")?;
    Ok(Found::sort(objects))
}

/// What of Tombolo itself is there, pods that are ending included.
fn tombolo(kubectl: &Kubectl) -> Result<Vec<String>> {
    let namespace = kubectl.namespace();
    let workloads = kubectl.list(&["get", "deployments,daemonsets,jobs,cronjobs", "-n", namespace])?;
    let mut all = of_tombolo(&workloads, &PROGRAMS);
    let selector = format!("app in ({})", PROGRAMS.join(","));
    for pod in kubectl.list(&["get", "pods", "-n", namespace, "-l", &selector])? {
        all.push(format!("pod/{}", pod["metadata"]["name"].as_str().unwrap_or_default()));
    }
    Ok(all)
}

/// A database's contents. The tool insists on the leader, which knows everything that was committed.
pub fn contents(kubectl: &Kubectl, database: Database) -> Read<Snapshot> {
    match Place::of(kubectl, database) {
        Ok(place @ Place::Pod(_)) => {
            said(backup::dump(kubectl, &place, database).and_then(|bytes| Snapshot::read(&bytes)))
        }
        Ok(Place::Here(_)) => Err(format!("no pod of {CENTRAL} is ready")),
        Err(error) => Err(format!("no pod of {CENTRAL} is ready, or it can't be seen ({error:#})")),
    }
}

/// Interfaces by node, of each with a pod `ovs-ovn`, some nodes at a time. A pod that isn't ready has no answer.
fn hosts(kubectl: &Kubectl) -> Result<BTreeMap<String, Read<Vec<Row>>>> {
    let selector = format!("app={HYPERVISOR}");
    let pods = kubectl.list(&["get", "pods", "-n", kubectl.namespace(), "-l", &selector])?;
    let mut by_node: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for pod in pods {
        if let Some(node) = pod["spec"]["nodeName"].as_str() {
            by_node.entry(node.to_owned()).or_default().push(pod);
        }
    }
    let mut all = BTreeMap::new();
    let mut ready = Vec::new();
    for (node, pods) in by_node {
        match ready_pod(&json!({ "items": pods })) {
            Some(pod) => ready.push((node, pod.to_owned())),
            None => drop(all.insert(node, Err(format!("its pod of {HYPERVISOR} isn't ready")))),
        }
    }
    for some in ready.chunks(AT_ONCE) {
        std::thread::scope(|scope| {
            let started: Vec<_> = some
                .iter()
                .map(|(node, pod)| (node, scope.spawn(|| said(interfaces(kubectl, pod)))))
                .collect();
            for (node, asked) in started {
                let host = asked.join().unwrap_or_else(|_| Err("looking at it failed".to_owned()));
                all.insert(node.clone(), host);
            }
        });
    }
    Ok(all)
}

fn interfaces(kubectl: &Kubectl, pod: &str) -> Result<Vec<Row>> {
    let exec = ["exec", "-n", kubectl.namespace(), pod, "-c", CONTAINER, "--", "ovs-vsctl", "--timeout=10"];
    let ask = ["--format=json", "--data=json", "--columns=name,external_ids", "list", "Interface"];
    let mut command = kubectl.command(&[&exec[..], &ask].concat());
    let text = capture(&mut command, b"", DEADLINE, &kubectl.cannot_start())?
        .success(&format!("reading Open vSwitch's interfaces in pod {pod}"))?;
    rows::parse(&text).with_context(|| format!("what pod {pod} says of its interfaces"))
}
