//! What the token of one node's agent may do, by a real API server and the manifests as they are: write on its own Node what it
//! must, and nothing else anywhere.

#![allow(clippy::unwrap_used)] // A test program; helpers of tests aren't recognized as such.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tombolo_needs::needs;
use tombolo_testbed::{ApiServer, eventually};

const SOON: Duration = Duration::from_secs(30);

struct Agent<'a> {
    api: &'a ApiServer,
    kubeconfig: PathBuf,
}

impl Agent<'_> {
    /// The agent in the pod `pod`, with the token that the kubelet would give it.
    fn of<'a>(api: &'a ApiServer, dir: &std::path::Path, pod: Option<&str>) -> Result<Agent<'a>> {
        let mut args = vec!["create", "token", "kube-ovn-cni", "-n", "kube-system"];
        if let Some(pod) = pod {
            args.extend(["--bound-object-kind=Pod", "--bound-object-name", pod]);
        }
        let token = api.kubectl(&args)?;
        let admin = api.json(&["config", "view", "--raw"])?;
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "clusters": admin["clusters"], "current-context": "c",
            "contexts": [{ "name": "c", "context": { "cluster": admin["clusters"][0]["name"], "user": "agent" } }],
            "users": [{ "name": "agent", "user": { "token": token.trim() } }],
        });
        let kubeconfig = dir.join(pod.unwrap_or("unbound"));
        std::fs::write(&kubeconfig, config.to_string())?;
        Ok(Agent { api, kubeconfig })
    }

    fn kubectl(&self, args: &[&str]) -> Result<String> {
        let output = Command::new(self.api.program("kubectl")?)
            .arg(format!("--kubeconfig={}", self.kubeconfig.display()))
            .args(args)
            .output()
            .context("starting kubectl")?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// As the agent does it: kubectl would read the status first, which the agent has no need to.
    fn patch(&self, node: &str, status: bool, patch: &Value) -> Result<String> {
        let config: Value = serde_json::from_str(&std::fs::read_to_string(&self.kubeconfig)?)?;
        let server = config["clusters"][0]["cluster"]["server"].as_str().context("no server")?;
        let token = config["users"][0]["user"]["token"].as_str().context("no token")?;
        let (end, kind) = if status { ("/status", "strategic-merge-patch") } else { ("", "merge-patch") };
        let output = Command::new("curl")
            .args(["-sk", "-m", "30", "-X", "PATCH", "-d", &patch.to_string()])
            .args(["-H", &format!("Authorization: Bearer {token}")])
            .args(["-H", &format!("Content-Type: application/{kind}+json")])
            .arg(format!("{server}/api/v1/nodes/{node}{end}"))
            .output()
            .context("starting curl")?;
        let answer: Value = serde_json::from_slice(&output.stdout).context("reading the answer")?;
        match answer["kind"].as_str() {
            Some("Node") => Ok(answer.to_string()),
            _ => bail!("{}", answer["message"].as_str().unwrap_or("no message")),
        }
    }

    /// The API server's message when it refuses the patch.
    fn refused(&self, node: &str, status: bool, patch: &Value) -> Result<String> {
        match self.patch(node, status, patch) {
            Ok(_) => bail!("{node} was patched with {patch}"),
            Err(error) => Ok(error.to_string()),
        }
    }
}

fn condition(type_: &str, status: &str) -> Value {
    json!({ "status": { "conditions": [{ "type": type_, "status": status, "reason": "R", "message": "m" }] } })
}

#[test]
fn an_agent_writes_on_its_own_node_and_only_what_it_must() -> Result<()> {
    // invariant 12
    let api = needs!(ApiServer::start()?);
    api.apply_crds()?;
    for template in ["rbac.yaml", "node-policy.yaml"] {
        api.apply(&tombolo_chart::cases::part("existing", template)?)?;
    }
    for node in ["a", "b"] {
        api.apply(
            &json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": node,
            "labels": { "kept": "yes" }, "annotations": { "kept": "yes" } } })
            .to_string(),
        )?;
        let status = json!({ "status": { "addresses": [{ "type": "InternalIP", "address": "10.0.0.1" }],
            "conditions": [{ "type": "Ready", "status": "True", "reason": "K", "message": "kubelet" }] } });
        let patch = status.to_string();
        api.kubectl(&["patch", "node", node, "--subresource=status", "--type=merge", "-p", &patch])?;
        api.apply(
            &json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": format!("agent-{node}"), "namespace": "kube-system" },
            "spec": { "nodeName": node, "serviceAccountName": "kube-ovn-cni",
                "containers": [{ "name": "c", "image": "none" }] } })
            .to_string(),
        )?;
    }
    let dir = tempfile::tempdir()?;
    let agent = Agent::of(&api, dir.path(), Some("agent-a"))?;
    let chassis = |value: &str| {
        json!({ "metadata": { "annotations": { "ovn.kubernetes.io/chassis": value,
        "tombolo.io/iface-id-ver": "true" } } })
    };

    // A new policy takes the API server a moment.
    let told =
        eventually("the policy to be in force", SOON, || Ok(agent.refused("b", false, &chassis("x")).ok()))?;
    ensure!(told.contains("the agent of node a may write on its own Node only, not on b"), "{told}");

    // What it must do.
    agent.patch("a", false, &chassis("c1"))?;
    agent.patch("a", false, &chassis("c2"))?;
    agent.patch("a", true, &condition("NetworkUnavailable", "True"))?;
    agent.patch("a", true, &condition("NetworkUnavailable", "False"))?;
    agent.patch("a", true, &condition("tombolo.io/NetworkDegraded", "True"))?;
    agent.kubectl(&["get", "node", "a"])?;
    agent.kubectl(&["get", "pods", "-A", "--field-selector=spec.nodeName=a"])?;
    agent.kubectl(&["get", "ips.kubeovn.io", "--field-selector=metadata.name=node-a"])?;
    agent.kubectl(&["get", "vpcs.kubeovn.io", "--field-selector=metadata.name=ovn-cluster"])?;

    // What it must not, on its own Node either.
    let mut refused = Vec::new();
    for (status, patch, word) in [
        (false, json!({ "spec": { "taints": [{ "key": "k", "effect": "NoSchedule" }] } }), "taint"),
        (false, json!({ "spec": { "unschedulable": true } }), "spec"),
        (false, json!({ "metadata": { "labels": { "node-role.kubernetes.io/x": "" } } }), "label"),
        (false, json!({ "metadata": { "labels": { "kept": null } } }), "label"),
        (false, json!({ "metadata": { "finalizers": ["x.y/z"] } }), "finalizer"),
        (
            false,
            json!({ "metadata": { "annotations": { "ovn.kubernetes.io/cidr": "0.0.0.0/0" } } }),
            "annotations",
        ),
        (false, json!({ "metadata": { "annotations": { "kept": null } } }), "annotations"),
        (true, json!({ "metadata": { "labels": { "x": "y" } } }), "label"),
        (true, json!({ "metadata": { "annotations": { "x": "y" } } }), "annotations"),
        (true, condition("Ready", "False"), "conditions"),
        (true, condition("Other", "True"), "conditions"),
        (
            true,
            json!({ "status": { "addresses": [{ "type": "InternalIP", "address": "10.0.0.9" }] } }),
            "status",
        ),
        (true, json!({ "status": { "capacity": { "cpu": "1000" } } }), "status"),
    ] {
        refused.push((agent.refused("a", status, &patch)?, word));
    }
    for (told, word) in refused {
        ensure!(told.contains(word) && told.contains("tombolo-agent-own-node"), "{word}: {told}");
    }
    agent.refused("b", true, &condition("NetworkUnavailable", "True"))?;
    for args in [
        &["delete", "node", "b"][..],
        &["get", "secrets", "-A"],
        &["get", "configmaps", "-A"],
        &["patch", "pod", "-n", "kube-system", "agent-a", "-p", "{}"],
        &["create", "token", "kube-ovn-controller", "-n", "kube-system"],
    ] {
        ensure!(agent.kubectl(args).is_err(), "{args:?} is allowed");
    }
    // Events: in its own name, about its own Node or about pods.
    for (kind, name, by, allowed) in [
        ("Node", "a", "a", true),
        ("Pod", "any", "a", true),
        ("Node", "b", "a", false),
        ("Pod", "any", "b", false),
        ("Secret", "any", "a", false),
    ] {
        let event = json!({ "apiVersion": "v1", "kind": "Event", "type": "Warning", "reason": "X", "message": "x",
            "metadata": { "generateName": "x.", "namespace": "default" }, "reportingInstance": by,
            "involvedObject": { "apiVersion": "v1", "kind": kind, "name": name, "namespace": "default" } });
        let file = dir.path().join("event.json");
        std::fs::write(&file, event.to_string())?;
        let posted = agent.kubectl(&["create", "-f", &file.display().to_string()]);
        let told = posted.as_ref().err().map(|error| format!("{error:#}")).unwrap_or_default();
        ensure!(posted.is_ok() == allowed, "an Event about {kind} {name} by {by}: {told}");
        ensure!(allowed || told.contains("tombolo-agent-own-events"), "{told}");
    }
    // A token that is bound to no pod belongs to no agent.
    let nobody = Agent::of(&api, dir.path(), None)?;
    ensure!(nobody.refused("a", false, &chassis("x"))?.contains("not bound to a pod"));

    // Others write as before.
    api.kubectl(&["label", "node", "a", "x=y"])?;
    let node = api.json(&["get", "node", "a"])?;
    ensure!(node["metadata"]["annotations"]["ovn.kubernetes.io/chassis"] == "c2", "{node}");
    Ok(())
}

#[test]
fn neither_program_reads_secrets() -> Result<()> {
    // All Roles, those for the uninstallation too.
    let text: String = ["rbac.yaml", "uninstall.yaml"]
        .map(|template| tombolo_chart::cases::part("existing", template))
        .into_iter()
        .collect::<Result<_>>()?;
    let roles: String = text.split("---\n").filter(|document| document.contains("Role\n")).collect();
    let text = roles;
    ensure!(
        text.contains("resources: [")
            && !text.contains("secrets")
            && !text.contains("\"*\"")
            && !text.contains("'*'")
    );
    Ok(())
}
