//! Programs on a node: Open vSwitch's, and the host's own.
//!
//! Kube-OVN runs Open vSwitch in a pod of its own on each node, labelled `app=ovs`, and programs run there. Here the host may run
//! it, or a pod of ours on nodes without, and the agent doesn't see the host's processes (docs/understand/decisions/0007). So a
//! pod is made with the user's rights for as
//! long as the command lasts, as `kubectl debug node` does, with the agent's image, which each node has. From it a program
//! starts beside the node's ovs-vswitchd, wherever that runs: it is the one of that version.

use std::ffi::{OsStr, OsString};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use signal_hook::consts::SIGINT;
use tombolo_names::workloads::AGENT;

use crate::kubectl::{Kubectl, code, ready_pod};
use crate::process::{self, Captured};

/// Name and `app` label of the pod that is made.
const VISITOR: &str = "kube-ovn-ko";
/// Its container.
const CONTAINER: &str = "ko";
/// After which the kubelet ends a pod whose command was killed.
const LIFETIME: u32 = 4 * 3600;
/// For the kubelet to start it.
const STARTED: Duration = Duration::from_secs(60);
/// For the API server's answers.
const ANSWERED: Duration = Duration::from_secs(30);
/// Open vSwitch's directory in the pod, and in the agent's.
const RUN: &str = "/run/openvswitch";
/// The agent's volume with that directory.
const RUN_VOLUME: &str = "run-openvswitch";

/// Starts `$@` beside the node's ovs-vswitchd. Its words say what is missing, since a shell's own wouldn't.
const BESIDE_VSWITCHD: &str = r#"read -r pid 2>/dev/null </run/openvswitch/ovs-vswitchd.pid || {
  echo "Open vSwitch isn't running on this node: no /run/openvswitch/ovs-vswitchd.pid" >&2; exit 1; }
[ -e "/proc/$pid/ns/mnt" ] || {
  echo "the process $pid of /run/openvswitch/ovs-vswitchd.pid isn't there: is ovs-vswitchd running?" >&2; exit 1; }
exec nsenter -t "$pid" -m -- "$@""#;

/// A pod on a node from which the node's programs can be run.
#[derive(Debug)]
pub struct Way<'a> {
    kubectl: &'a Kubectl,
    pod: String,
    /// Kube-OVN's `ovs-ovn`, which stays; else one that was made, which goes with this.
    stays: bool,
}

impl<'a> Way<'a> {
    /// The way to `node`.
    pub fn to(kubectl: &'a Kubectl, node: &str) -> Result<Self> {
        let selector = format!("spec.nodeName={node}");
        let list = ["get", "pods", "-n", kubectl.namespace(), "-l", "app=ovs", "--field-selector", &selector];
        if let Some(pod) = ready_pod(&kubectl.json(&list)?) {
            return Ok(Self { kubectl, pod: pod.to_owned(), stays: true });
        }
        if let Err(error) = kubectl.try_json(&["get", "node", node])? {
            bail!("{error}");
        }
        let agents = kubectl.try_json(&["get", "daemonset", "-n", kubectl.namespace(), AGENT])?;
        let agents = agents.map_err(|why| {
            anyhow!("no ovs-ovn pod on node {node}, and no agent whose image could be used: run it on the host itself ({why})")
        })?;
        Self::make(kubectl, node, &visitor(&agents, node)?)
    }

    fn make(kubectl: &'a Kubectl, node: &str, pod: &Value) -> Result<Self> {
        // From here on an interrupt ends the program on the node, and this process goes on to remove the pod.
        signal_hook::flag::register(SIGINT, Arc::new(AtomicBool::new(false)))
            .context("preparing for interrupts")?;
        let namespace = kubectl.namespace();
        let mut create = kubectl.command(&["create", "-n", namespace, "-f", "-", "-o", "json"]);
        let made =
            process::capture(&mut create, pod.to_string().as_bytes(), ANSWERED, &kubectl.cannot_start())?
                .success(&format!("making a pod on node {node}, from which its programs can be run"))?;
        let made: Value = serde_json::from_slice(&made).context("reading the pod that was made")?;
        let name = made["metadata"]["name"].as_str().context("the pod that was made has no name")?;
        let way = Self { kubectl, pod: name.to_owned(), stays: false };
        let timeout = format!("--timeout={}s", STARTED.as_secs());
        let wait = ["wait", "-n", namespace, "--for=condition=Ready", &timeout, "pod", name];
        process::capture(&mut kubectl.command(&wait), b"", STARTED + ANSWERED, &kubectl.cannot_start())?
            .success(&format!("waiting for pod {namespace}/{name} to start on node {node}"))?;
        Ok(way)
    }

    /// `words` on the node, to be completed by the caller.
    pub fn command<S: AsRef<OsStr>>(&self, words: &[S]) -> Command {
        let container = if self.stays { "openvswitch" } else { CONTAINER };
        let exec = ["exec", "-i", "-n", self.kubectl.namespace(), &self.pod, "-c", container, "--"];
        let mut command = self.kubectl.command(&exec);
        if !self.stays {
            command.args(["sh", "-c", BESIDE_VSWITCHD, "ko"]);
        }
        command.args(words);
        command
    }

    /// What they print.
    pub fn capture<S: AsRef<OsStr>>(&self, words: &[S], deadline: Duration) -> Result<Captured> {
        process::capture(&mut self.command(words), b"", deadline, &self.kubectl.cannot_start())
    }

    /// Runs them with this terminal.
    pub fn run<S: AsRef<OsStr>>(&self, words: &[S]) -> Result<ExitCode> {
        self.command(words).status().map(code).with_context(|| self.kubectl.cannot_start())
    }
}

impl Drop for Way<'_> {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        let namespace = self.kubectl.namespace();
        let delete = ["delete", "pod", "-n", namespace, "--now", "--wait=false", &self.pod];
        let mut delete = self.kubectl.command(&delete);
        let gone = process::capture(&mut delete, b"", ANSWERED, &self.kubectl.cannot_start())
            .and_then(|got| got.success("kubectl delete"));
        if let Err(error) = gone {
            eprintln!("pod {namespace}/{} stays: delete it by hand ({error:#})", self.pod);
        }
    }
}

/// The pod that is made: in the host's process and network namespaces, on this node whatever its taints.
fn visitor(agents: &Value, node: &str) -> Result<Value> {
    let spec = &agents["spec"]["template"]["spec"];
    let container = &spec["containers"][0];
    let image = container["image"].as_str().context("the agent's DaemonSet has no image")?;
    let volumes = spec["volumes"].as_array().into_iter().flatten();
    let run = volumes.filter(|v| v["name"] == RUN_VOLUME).find_map(|v| v["hostPath"]["path"].as_str());
    Ok(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "generateName": format!("{VISITOR}-"), "labels": { "app": VISITOR } },
        "spec": {
            "nodeName": node, "hostNetwork": true, "hostPID": true, "restartPolicy": "Never",
            "automountServiceAccountToken": false, "activeDeadlineSeconds": LIFETIME,
            "terminationGracePeriodSeconds": 1, "tolerations": [{ "operator": "Exists" }],
            "imagePullSecrets": spec.get("imagePullSecrets").cloned().unwrap_or_else(|| json!([])),
            "containers": [{
                "name": CONTAINER, "image": image, "imagePullPolicy": "IfNotPresent",
                "command": ["sleep", LIFETIME.to_string()],
                "securityContext": { "privileged": true },
                "volumeMounts": [{ "name": RUN_VOLUME, "mountPath": RUN }],
            }],
            "volumes": [{ "name": RUN_VOLUME, "hostPath": { "path": run.unwrap_or(RUN) } }],
        },
    }))
}

/// Runs `program` on `node`.
pub fn exec(kubectl: &Kubectl, program: &str, node: &str, arguments: &[OsString]) -> Result<ExitCode> {
    let words: Vec<OsString> = std::iter::once(program.into()).chain(arguments.iter().cloned()).collect();
    Way::to(kubectl, node)?.run(&words)
}

/// What a program on a node prints.
pub fn capture(kubectl: &Kubectl, node: &str, words: &[&str], deadline: Duration) -> Result<Captured> {
    Way::to(kubectl, node)?.capture(words, deadline)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_says_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("pid");
        let script = BESIDE_VSWITCHD.replace("/run/openvswitch/ovs-vswitchd.pid", &at.display().to_string());
        let run = || Command::new("sh").args(["-c", &script, "ko", "echo", "there"]).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(text(&run().stderr).contains("isn't running on this node"));
        std::fs::write(&at, "4000000\n").unwrap();
        assert!(text(&run().stderr).contains("is ovs-vswitchd running?"));
    }

    #[test]
    fn the_pod_has_the_agents_image_and_directory() {
        let agents = json!({ "spec": { "template": { "spec": {
            "containers": [{ "image": "r/tombolo:1" }],
            "volumes": [{ "name": "x" }, { "name": "run-openvswitch", "hostPath": { "path": "/var/snap/run" } }],
        } } } });
        let pod = visitor(&agents, "host1").unwrap();
        assert_eq!(pod["spec"]["nodeName"], "host1");
        assert_eq!(pod["spec"]["containers"][0]["image"], "r/tombolo:1");
        assert_eq!(pod["spec"]["volumes"][0]["hostPath"]["path"], "/var/snap/run");
        assert!(visitor(&json!({}), "host1").is_err());
    }
}
