//! The API server's side: watches of this node's pods, of the Node and of the Subnets; and the two things the agent
//! writes: the condition NetworkUnavailable and the annotation with the chassis.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, watcher};
use kube::runtime::{WatchStreamExt, watcher::Event};
use kube::{Api, Client, Config, Resource};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::Instant;
use tombolo_api::annotations as keys;
use tombolo_api::views::PodView;
use tombolo_observe::{Health, Probe};

use crate::attach::NodeState;
use crate::node::{NodePort, NodeSubnet};
use crate::node_task::Inputs;
use crate::pods::Pods;

/// Kube-OVN's reasons of the condition NetworkUnavailable.
const REACHABLE: &str = "JoinSubnetGatewayReachable";
const UNREACHABLE: &str = "JoinSubnetGatewayUnreachable";
/// How long the node's network must be away before the node says so: ovs-vswitchd's restart takes a second or two
/// and is no reason to move pods elsewhere.
const UNREACHABLE_AFTER: Duration = Duration::from_secs(10);
/// How long one write may take.
const WRITE: Duration = Duration::from_secs(15);
/// Pause after a write that failed.
const RETRY: Duration = Duration::from_secs(5);

/// A client by kubeconfig, or by the pod's service account.
pub async fn client(kubeconfig: Option<&Path>) -> anyhow::Result<Client> {
    let config = match kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path)
                .with_context(|| format!("reading kubeconfig {}", path.display()))?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                .await
                .context("reading kubeconfig")?
        }
        None => {
            Config::infer().await.context("finding the API server (no --kubeconfig, and not in a pod?)")?
        }
    };
    Client::try_from(config).context("making a client for the API server")
}

/// A node's conditions beside its annotations.
#[derive(Resource, Debug, Clone, Default, Deserialize)]
#[resource(inherit = Node)]
struct NodeObject {
    metadata: ObjectMeta,
    #[serde(default)]
    status: NodeObjectStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct NodeObjectStatus {
    #[serde(default)]
    conditions: Vec<NodeCondition>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
struct NodeCondition {
    #[serde(rename = "type")]
    type_: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    reason: String,
}

/// What the Node says that we also write.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Written {
    seen: bool,
    condition: Option<(String, String)>,
    chassis: Option<String>,
}

/// Feeds a stream's events to `each`, and says in the log when the API server goes and comes.
async fn follow<K>(what: &str, api: Api<K>, config: watcher::Config, mut each: impl FnMut(Event<K>))
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut stream = watcher(api, config).default_backoff().boxed();
    let mut away = false;
    while let Some(event) = stream.next().await {
        match event {
            Ok(event) => {
                if std::mem::take(&mut away) {
                    tracing::info!("watching {what} again");
                }
                each(event);
            }
            Err(error) if !std::mem::replace(&mut away, true) => {
                tracing::warn!(%error, "watching {what}; pods keep their network, and it is tried again");
            }
            Err(error) => tracing::debug!(%error, "watching {what}"),
        }
    }
}

/// Follows this node's pods.
pub async fn pods(client: Client, node: &str, pods: Arc<Pods>, health: Health) {
    let config = watcher::Config::default().fields(&format!("spec.nodeName={node}"));
    health.fail(Probe::Ready, "pods", "the API server has not listed this node's pods yet");
    let mut listed = Vec::new();
    follow("pods", Api::<PodView>::all(client), config, |event| match event {
        Event::Init => listed.clear(),
        Event::InitApply(pod) => listed.push(slim(pod.metadata)),
        Event::InitDone => {
            pods.replace(std::mem::take(&mut listed));
            health.ok(Probe::Ready, "pods");
        }
        Event::Apply(pod) => pods.put(slim(pod.metadata)),
        Event::Delete(pod) => pods.remove(&pod.metadata),
    })
    .await;
}

/// Only what waiting for a pod looks at.
fn slim(meta: ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: meta.name,
        namespace: meta.namespace,
        uid: meta.uid,
        annotations: meta.annotations,
        ..ObjectMeta::default()
    }
}

/// Follows the Node.
pub async fn node(
    client: Client,
    node: &str,
    inputs: watch::Sender<Inputs>,
    written: watch::Sender<Written>,
) {
    let config = watcher::Config::default().fields(&format!("metadata.name={node}"));
    let put = |node: NodeObject| {
        let annotations = node.metadata.annotations.unwrap_or_default();
        let port = NodePort::read(|key| annotations.get(key).map(String::as_str)).transpose();
        inputs.send_if_modified(|i| {
            let changed = i.port != port;
            i.port = port;
            changed
        });
        let condition = node.status.conditions.into_iter().find(|c| c.type_ == "NetworkUnavailable");
        let now = Written {
            seen: true,
            condition: condition.map(|c| (c.status, c.reason)),
            chassis: annotations.get(keys::CHASSIS).cloned(),
        };
        written.send_if_modified(|w| std::mem::replace(w, now.clone()) != now);
    };
    follow("this node", Api::<NodeObject>::all(client), config, |event| match event {
        Event::InitApply(node) | Event::Apply(node) => put(node),
        // The port stays until the node's own end: its pods may still run.
        Event::Delete(_) | Event::Init | Event::InitDone => {}
    })
    .await;
}

/// Follows the Subnets.
pub async fn subnets(client: Client, node_switch: &str, inputs: watch::Sender<Inputs>) {
    let mut all: BTreeMap<String, NodeSubnet> = BTreeMap::new();
    let mut listed = false;
    // A Subnet that doesn't fit the schema is no reason to lose sight of the others.
    let api = Api::<DeserializeGuard<tombolo_api::Subnet>>::all(client);
    follow("subnets", api, watcher::Config::default(), |event| {
        let mut put = |guard: DeserializeGuard<tombolo_api::Subnet>| {
            let name = guard.meta().name.clone().unwrap_or_default();
            match guard.0.ok().and_then(|s| NodeSubnet::read(&name, &s.spec, node_switch)) {
                Some(subnet) => all.insert(name, subnet),
                None => all.remove(&name),
            };
        };
        match event {
            Event::Init => {
                all.clear();
                listed = false;
            }
            Event::InitApply(guard) | Event::Apply(guard) => put(guard),
            Event::InitDone => listed = true,
            Event::Delete(guard) => {
                all.remove(guard.meta().name.as_deref().unwrap_or_default());
            }
        }
        // While a watch starts over, what was known stays.
        if listed {
            inputs.send_if_modified(|i| {
                let changed = i.subnets.as_ref() != Some(&all);
                i.subnets = Some(all.clone());
                changed
            });
        }
    })
    .await;
}

/// Keeps the Node's condition and its annotation `chassis` as they should be; writes only what differs
/// (invariant 9).
pub async fn report(
    client: Client,
    node: &str,
    mut state: watch::Receiver<NodeState>,
    mut chassis: watch::Receiver<Option<String>>,
    mut written: watch::Receiver<Written>,
) {
    let api: Api<Node> = Api::all(client);
    let mut away_since: Option<Instant> = None;
    // A node that isn't ready yet says so at once: nothing runs there.
    let mut was_ready = false;
    loop {
        let mut wake: Option<Instant> = None;
        let now = written.borrow_and_update().clone();
        let wanted = match &*state.borrow_and_update() {
            NodeState::Ready { .. } => {
                away_since = None;
                was_ready = true;
                Some(("False", REACHABLE, "the join subnet's gateway answers on ovn0".to_owned()))
            }
            NodeState::NotReady { why, .. } => {
                let until = *away_since.get_or_insert_with(Instant::now) + UNREACHABLE_AFTER;
                if was_ready && Instant::now() < until {
                    wake = Some(until);
                    None
                } else {
                    Some(("True", UNREACHABLE, why.clone()))
                }
            }
        };
        let id = chassis.borrow_and_update().clone();
        let mut failed = false;
        if now.seen {
            if let Some((status, reason, message)) = wanted
                && now.condition.as_ref().map(|(s, r)| (s.as_str(), r.as_str())) != Some((status, reason))
            {
                failed |=
                    write("condition", set_condition(&api, node, status, reason, &message)).await.is_err();
            }
            if let Some(id) = id.filter(|id| now.chassis.as_deref() != Some(id)) {
                failed |= write("annotation", annotate(&api, node, &id)).await.is_err();
            }
        }
        if failed {
            wake = Some(Instant::now() + RETRY);
        }
        let timer = async {
            match wake {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let alive = tokio::select! {
            changed = state.changed() => changed.is_ok(),
            changed = chassis.changed() => changed.is_ok(),
            changed = written.changed() => changed.is_ok(),
            () = timer => true,
        };
        if !alive {
            return;
        }
    }
}

async fn write(what: &str, request: impl Future<Output = kube::Result<Node>>) -> Result<(), ()> {
    match tokio::time::timeout(WRITE, request).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => {
            tracing::warn!(%error, "writing this node's {what}");
            Err(())
        }
        Err(_) => {
            tracing::warn!("writing this node's {what}: no answer in {WRITE:?}");
            Err(())
        }
    }
}

async fn set_condition(
    api: &Api<Node>,
    node: &str,
    status: &str,
    reason: &str,
    message: &str,
) -> kube::Result<Node> {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    // A strategic merge: conditions are merged by their type, so kubelet's are left alone.
    let patch = serde_json::json!({ "status": { "conditions": [{
        "type": "NetworkUnavailable",
        "status": status,
        "reason": reason,
        "message": message,
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }] } });
    api.patch_status(node, &PatchParams::default(), &Patch::Strategic(patch)).await
}

async fn annotate(api: &Api<Node>, node: &str, chassis: &str) -> kube::Result<Node> {
    let patch = serde_json::json!({ "metadata": { "annotations": { keys::CHASSIS: chassis } } });
    api.patch(node, &PatchParams::default(), &Patch::Merge(patch)).await
}
