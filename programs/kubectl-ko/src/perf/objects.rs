//! The objects of a measurement: two pods in the pod network, two in the hosts', a Service. Pure.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::measure::PORT;

/// This program in the image.
pub const PROGRAM: &str = "/kube-ovn/kubectl-ko";
/// Which objects belong together.
pub const LABEL: &str = "kube-ovn-perf";
/// After which the kubelet ends pods of a command that was killed.
const LIFETIME: u32 = 7_200;
/// Nobody's account.
const NOBODY: u32 = 65_534;

/// What a pod is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// In the pod network.
    Server,
    /// In the pod network.
    Client,
    /// In its node's.
    HostServer,
    /// In its node's.
    HostClient,
}

impl Role {
    const ALL: [Role; 4] = [Role::Server, Role::Client, Role::HostServer, Role::HostClient];

    fn word(self) -> &'static str {
        match self {
            Role::Server => "server",
            Role::Client => "client",
            Role::HostServer => "host-server",
            Role::HostClient => "host-client",
        }
    }

    fn is_server(self) -> bool {
        matches!(self, Role::Server | Role::HostServer)
    }
}

/// Where, and with what.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The servers' node.
    pub server: String,
    /// The clients' node; the servers' if there is one only.
    pub client: String,
    /// Which run of the command this is.
    pub run: String,
    image: String,
    secrets: Value,
}

impl Plan {
    /// Of the cluster's nodes and agents.
    pub fn of(nodes: &[Value], agents: &Value, image: Option<&str>, run: &str) -> Result<Self> {
        let ready = |node: &&Value| {
            let conditions = node["status"]["conditions"].as_array();
            let is_ready = conditions
                .is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"));
            is_ready && node["spec"]["unschedulable"] != true
        };
        let mut names = nodes.iter().filter(ready).filter_map(|node| node["metadata"]["name"].as_str());
        let server = names.next().context("no node is ready, so that there is nothing to measure between")?;
        let client = names.next().unwrap_or(server);
        let spec = &agents["spec"]["template"]["spec"];
        let own = spec["containers"][0]["image"].as_str();
        let image =
            image.or(own).context("the agent's DaemonSet has no image: name one that has this program")?;
        Ok(Self {
            server: server.to_owned(),
            client: client.to_owned(),
            run: run.to_owned(),
            image: image.to_owned(),
            secrets: spec.get("imagePullSecrets").cloned().unwrap_or_else(|| json!([])),
        })
    }

    /// The name of a pod.
    pub fn name(&self, role: Role) -> String {
        format!("{LABEL}-{}-{}", role.word(), self.run)
    }

    /// All of them, as one list.
    pub fn objects(&self, namespace: &str) -> Value {
        let mut items: Vec<Value> = Role::ALL.iter().map(|role| self.pod(*role)).collect();
        let port =
            |protocol: &str| json!({ "name": protocol.to_lowercase(), "protocol": protocol, "port": PORT });
        items.push(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": self.name(Role::Server), "namespace": namespace, "labels": { LABEL: self.run } },
            "spec": { "selector": { LABEL: self.run, "role": Role::Server.word() }, "ports": [port("TCP"), port("UDP")] },
        }));
        json!({ "apiVersion": "v1", "kind": "List", "items": items })
    }

    fn pod(&self, role: Role) -> Value {
        let command = if role.is_server() {
            json!([PROGRAM, "measure", "serve", "$(POD_IP)"])
        } else {
            json!(["sleep", LIFETIME.to_string()])
        };
        let is_hosts = matches!(role, Role::HostServer | Role::HostClient);
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": self.name(role), "labels": { LABEL: self.run, "role": role.word() } },
            "spec": {
                "nodeName": if role.is_server() { &self.server } else { &self.client },
                "hostNetwork": is_hosts, "restartPolicy": "Never", "automountServiceAccountToken": false,
                "activeDeadlineSeconds": LIFETIME, "terminationGracePeriodSeconds": 1,
                "tolerations": [{ "operator": "Exists" }], "imagePullSecrets": self.secrets,
                "containers": [{
                    "name": "ko", "image": self.image, "imagePullPolicy": "IfNotPresent", "command": command,
                    "env": [{ "name": "POD_IP", "valueFrom": { "fieldRef": { "fieldPath": "status.podIP" } } }],
                    "securityContext": { "runAsUser": NOBODY, "runAsNonRoot": true, "allowPrivilegeEscalation": false,
                        "capabilities": { "drop": ["ALL"] } },
                }],
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, ready: &str, spec: Value) -> Value {
        json!({ "metadata": { "name": name }, "spec": spec, "status": { "conditions": [{ "type": "Ready", "status": ready }] } })
    }

    fn agents() -> Value {
        json!({ "spec": { "template": { "spec": { "containers": [{ "image": "r/tombolo:1" }], "imagePullSecrets": [{ "name": "s" }] } } } })
    }

    #[test]
    fn two_nodes_that_are_ready_or_one_twice() {
        let nodes = [
            node("down", "False", json!({})),
            node("a", "True", json!({})),
            node("drained", "True", json!({ "unschedulable": true })),
            node("b", "True", json!({})),
        ];
        let plan = Plan::of(&nodes, &agents(), None, "1").unwrap();
        assert_eq!(
            (plan.server.as_str(), plan.client.as_str(), plan.image.as_str()),
            ("a", "b", "r/tombolo:1")
        );
        let alone = Plan::of(&nodes[..2], &agents(), Some("other:2"), "1").unwrap();
        assert_eq!(
            (alone.server.as_str(), alone.client.as_str(), alone.image.as_str()),
            ("a", "a", "other:2")
        );
        assert!(Plan::of(&nodes[..1], &agents(), None, "1").is_err());
        assert!(Plan::of(&nodes, &json!({}), None, "1").is_err());
    }

    #[test]
    fn pods_and_a_service_that_go_by_one_label() {
        let nodes = [node("a", "True", json!({})), node("b", "True", json!({}))];
        let plan = Plan::of(&nodes, &agents(), None, "r1").unwrap();
        let list = plan.objects("kube-system");
        let items = list["items"].as_array().unwrap();
        assert!(
            items.len() == 5 && items.iter().all(|item| item["metadata"]["labels"][LABEL] == "r1"),
            "{list:#}"
        );
        let of = |role: Role| {
            items
                .iter()
                .find(|item| item["kind"] == "Pod" && item["metadata"]["name"] == plan.name(role))
                .unwrap()
        };
        for (role, node, hosts) in [
            (Role::Server, "a", false),
            (Role::Client, "b", false),
            (Role::HostServer, "a", true),
            (Role::HostClient, "b", true),
        ] {
            let spec = &of(role)["spec"];
            assert_eq!(
                (spec["nodeName"].as_str(), spec["hostNetwork"].as_bool()),
                (Some(node), Some(hosts)),
                "{role:?}"
            );
            assert_eq!(spec["imagePullSecrets"][0]["name"], "s");
        }
        assert_eq!(
            of(Role::Server)["spec"]["containers"][0]["command"],
            json!([PROGRAM, "measure", "serve", "$(POD_IP)"])
        );
        // The Service leads to the server in the pod network alone.
        let selector = &items[4]["spec"]["selector"];
        let chosen = items[..4].iter().filter(|pod| {
            let labels = &pod["metadata"]["labels"];
            selector.as_object().unwrap().iter().all(|(key, value)| &labels[key] == value)
        });
        let chosen: Vec<_> = chosen.map(|pod| &pod["metadata"]["name"]).collect();
        assert_eq!(chosen, [&json!(plan.name(Role::Server))]);
        assert!(items.iter().all(|item| item["metadata"]["name"].as_str().unwrap().len() <= 63));
    }
}
