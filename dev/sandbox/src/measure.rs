//! How fast and how big our programs are in the sandbox that is up: a pod from its creation to Ready, the CNI ADD within,
//! and the memory of each process.
//!
//! Decides what is measured and how; judges nothing. The machine runs everything else as well, so these are upper bounds.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::demo::watch::Watch;
use crate::kubernetes::{self, kubectl, kubectl_command};
use crate::programs::{self, NAMESPACE, OurProcess};
use crate::progress::{Phase, show};
use crate::{exec, paths};

/// How many pods are made, one after another.
pub const PODS: usize = 30;
const PLACE: &str = "measure";
const READY: Duration = Duration::from_secs(60);

/// What was measured.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Of each pod, the time from the API server's event of its creation to that of its Ready condition.
    pub ready: Vec<Duration>,
    /// Of each pod, the time that the agent took for the CNI ADD, in whole milliseconds.
    pub add: Vec<Duration>,
    /// Our processes and their memory, after these pods.
    pub processes: Vec<OurProcess>,
}

/// Makes `pods` pods in the default subnet, each once the one before is Ready, and removes them.
///
/// # Errors
/// When a pod isn't Ready within a minute.
pub fn run(pods: usize) -> Result<Measured> {
    Phase::run("measure", paths::logs().join("measure.log"), |phase| {
        remove()?;
        kubectl(["create", "namespace", PLACE])?;
        let result = all(phase, pods);
        remove()?;
        result
    })
}

fn remove() -> Result<()> {
    let mut command = kubectl_command();
    command.args(["delete", "namespace", PLACE, "--ignore-not-found", "--timeout=100s"]);
    exec::check(&mut command, Duration::from_secs(120), None).map(drop)
}

fn all(phase: &Phase, pods: usize) -> Result<Measured> {
    let since = exec::check(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]), exec::SHORT, None)?;
    let path = format!("/api/v1/namespaces/{PLACE}/pods?watch=true");
    let mut events = Watch::start(kubectl_command().args(["get", "--raw", &path]))?;
    let mut ready = Vec::new();
    for number in 1..=pods {
        let name = format!("pod-{number}");
        phase.doing(format_args!("{name} of {pods}"));
        kubernetes::apply(&pod(&name).to_string())?;
        let (created, ()) = events.next("the pod's creation", READY, |line| event(line, &name, |_| true))?;
        let (done, ()) = events.next("the pod to be Ready", READY, |line| event(line, &name, is_ready))?;
        ready.push(done - created);
    }
    phase.doing("reading the agents' logs and the processes");
    let add = adds(since.trim())?;
    ensure!(add.len() == pods, "{} ADDs of {pods} pods are in the agents' logs", add.len());
    Ok(Measured { ready, add, processes: programs::processes()? })
}

fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": PLACE},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [{
            "name": "sleep", "image": "kubeovn/kube-ovn:v1.8.4", "imagePullPolicy": "IfNotPresent",
            "command": ["sleep", "3600"],
        }]},
    })
}

fn event(line: &str, name: &str, wanted: impl Fn(&Value) -> bool) -> Option<()> {
    let event: Value = serde_json::from_str(line).ok()?;
    (event["object"]["metadata"]["name"] == name && wanted(&event["object"])).then_some(())
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

/// Of each ADD that the agents logged for our pods, how long it took.
fn adds(since: &str) -> Result<Vec<Duration>> {
    let mut found = Vec::new();
    for agent in programs::pods()?.into_iter().filter(|pod| pod.app == "kube-ovn-cni") {
        let since = format!("--since-time={since}");
        let log = kubectl(["-n", NAMESPACE, "logs", &agent.name, "-c", "cni-server", &since])?;
        found.extend(log.lines().filter_map(add));
    }
    Ok(found)
}

/// The duration in `… ADD pod="measure/pod-1" … ms=17`.
fn add(line: &str) -> Option<Duration> {
    let (_, rest) = line.split_once(&format!(" ADD pod=\"{PLACE}/"))?;
    let (_, ms) = rest.rsplit_once(" ms=")?;
    ms.split_whitespace().next()?.parse().ok().map(Duration::from_millis)
}

/// Of some durations, that in the middle and the longest, in milliseconds.
fn middle_and_longest(durations: &[Duration]) -> (u128, u128) {
    let mut sorted: Vec<u128> = durations.iter().map(Duration::as_millis).collect();
    sorted.sort_unstable();
    (sorted.get(sorted.len() / 2).copied().unwrap_or_default(), sorted.last().copied().unwrap_or_default())
}

impl Measured {
    /// Prints a table, then the same as one line of JSON.
    pub fn show(&self) {
        let (ready, ready_max) = middle_and_longest(&self.ready);
        let (add, add_max) = middle_and_longest(&self.add);
        show(format_args!("{:<34} {:>8} {:>8}", "", "p50", "longest"));
        show(format_args!(
            "{:<34} {ready:>5} ms {ready_max:>5} ms",
            format!("pod created to Ready ({})", self.ready.len())
        ));
        show(format_args!("{:<34} {add:>5} ms {add_max:>5} ms", "CNI ADD within"));
        show(format_args!("\n{:<22} {:<8} {:>10} {:>12}", "program", "host", "RSS", "anonymous"));
        let mebibytes = |kib: u64| format!("{:.1} MiB", kib as f64 / 1024.0);
        for p in &self.processes {
            show(format_args!(
                "{:<22} {:<8} {:>10} {:>12}",
                p.program,
                p.host,
                mebibytes(p.rss_kib),
                mebibytes(p.anonymous_kib)
            ));
        }
        show(self.json());
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        let (ready, ready_max) = middle_and_longest(&self.ready);
        let (add, add_max) = middle_and_longest(&self.add);
        let mut memory: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for p in &self.processes {
            memory
                .entry(&p.program)
                .or_default()
                .push(json!({"host": p.host, "rss_kib": p.rss_kib, "anonymous_kib": p.anonymous_kib}));
        }
        json!({
            "pods": self.ready.len(),
            "ready_ms": {"p50": ready, "max": ready_max},
            "cni_add_ms": {"p50": add, "max": add_max},
            "memory": memory,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_of_measured_pods_are_read_from_the_log() {
        let line = |pod: &str, ms: &str| {
            format!(
                "2026-11-24T06:54:32.875869Z  INFO tombolo_agent::server: ADD pod=\"{pod}\" container=\"6ef9\" ips=\"10.16.0.2\"{ms}"
            )
        };
        assert_eq!(add(&line("measure/pod-1", " ms=17")), Some(Duration::from_millis(17)));
        assert_eq!(add(&line("default/pod-1", " ms=17")), None);
        assert_eq!(add(&line("measure/pod-1", "")), None);
    }

    #[test]
    fn the_middle_is_the_middle() {
        let ms = |all: &[u64]| all.iter().copied().map(Duration::from_millis).collect::<Vec<_>>();
        assert_eq!(middle_and_longest(&ms(&[9, 1, 5])), (5, 9));
        assert_eq!(middle_and_longest(&[]), (0, 0));
    }

    #[test]
    fn only_a_true_ready_condition_counts() {
        let line = |status: &str| {
            json!({"type": "MODIFIED", "object": {"metadata": {"name": "p"}, "status": {"conditions": [{"type": "Ready", "status": status}]}}}).to_string()
        };
        assert!(event(&line("True"), "p", is_ready).is_some());
        assert!(event(&line("False"), "p", is_ready).is_none());
        assert!(event(&line("True"), "q", is_ready).is_none());
    }
}
