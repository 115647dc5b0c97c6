//! The agent's reads from the API server: this node's pods, the Node, and the two objects by which the controller
//! configures the node ([`crate::assignment`]). Each is one object or one node's, requested by name, so that no change of a pod
//! or a Subnet elsewhere is sent to every agent. The agent's writes are in [`crate::report`].

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{Config, Event};
use kube::{Api, Client, Resource};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tombolo_api::annotations as keys;
use tombolo_api::views::PodView;
use tombolo_api::{Ip, NodeNetworks, Vpc};
use tombolo_client::{ApiServer, follow};
use tombolo_names::workloads::NETWORK_DEGRADED as DEGRADED;
use tombolo_observe::{Health, Probe};

use crate::assignment::{Inputs, Objects, Seen, port_name};
use crate::pods::Pods;

/// A client by kubeconfig, or by the pod's service account; and the API server's host.
pub async fn client(kubeconfig: Option<&Path>) -> anyhow::Result<(Client, Option<String>)> {
    let config = tombolo_client::config(kubeconfig).await?;
    let host = config.cluster_url.host().map(str::to_owned);
    Ok((Client::try_from(config).context("making a client for the API server")?, host))
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
    #[serde(default)]
    message: String,
}

/// A condition that is there already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    /// `True` or `False`.
    pub status: String,
    /// Its class.
    pub reason: String,
    /// Its message.
    pub message: String,
}

/// The fields of the Node that we also write.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Written {
    /// The Node is there.
    pub seen: bool,
    /// Its uid.
    pub uid: String,
    /// The condition NetworkUnavailable.
    pub condition: Option<Condition>,
    /// The condition [`DEGRADED`].
    pub degraded: Option<Condition>,
    /// The annotation with the chassis.
    pub chassis: Option<String>,
    /// The annotation that its interfaces bear `iface-id-ver`.
    pub interface_version: Option<String>,
}

/// Feeds a watch's events to `each`.
async fn feed<K>(api: Api<K>, config: Config, api_server: &ApiServer, mut each: impl FnMut(Event<K>))
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut events = follow(api, config, api_server);
    while let Some(event) = events.next().await {
        each(event);
    }
}

/// Follows this node's pods.
pub async fn pods(client: Client, api_server: ApiServer, node: &str, pods: Arc<Pods>, health: Health) {
    let config = Config::default().fields(&format!("spec.nodeName={node}"));
    health.fail(Probe::Ready, "pods", "the API server has not listed this node's pods yet");
    let mut listed = Vec::new();
    feed(Api::<PodView>::all(client), config, &api_server, |event| match event {
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

/// Only the metadata that [`Pods`] reads.
fn slim(meta: ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: meta.name,
        namespace: meta.namespace,
        uid: meta.uid,
        annotations: meta.annotations,
        ..ObjectMeta::default()
    }
}

/// Follows the Node, for the fields that we write.
pub async fn node(client: Client, api_server: ApiServer, node: &str, written: watch::Sender<Written>) {
    let put = |node: NodeObject| {
        let conditions = node.status.conditions;
        let condition = |type_: &str| {
            let found = conditions.iter().find(|c| c.type_ == type_)?.clone();
            Some(Condition { status: found.status, reason: found.reason, message: found.message })
        };
        let annotations = node.metadata.annotations.unwrap_or_default();
        let now = Written {
            seen: true,
            uid: node.metadata.uid.unwrap_or_default(),
            condition: condition("NetworkUnavailable"),
            degraded: condition(DEGRADED),
            chassis: annotations.get(keys::CHASSIS).cloned(),
            interface_version: annotations.get(keys::INTERFACE_VERSION).cloned(),
        };
        written.send_if_modified(|w| std::mem::replace(w, now.clone()) != now);
    };
    feed(Api::<NodeObject>::all(client), named(node), &api_server, |event| match event {
        Event::InitApply(node) | Event::Apply(node) => put(node),
        Event::Delete(_) | Event::Init | Event::InitDone => {}
    })
    .await;
}

fn named(name: &str) -> Config {
    Config::default().fields(&format!("metadata.name={name}"))
}

/// Follows one object; `read` takes its relevant content out of it.
async fn follow_one<K, T>(
    client: Client,
    api_server: &ApiServer,
    name: &str,
    read: impl Fn(K) -> Option<T>,
    mut put: impl FnMut(Seen<T>),
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut listed = false;
    // An object that doesn't fit the schema is `Unreadable`.
    let api = Api::<DeserializeGuard<K>>::all(client);
    feed(api, named(name), api_server, |event| {
        let seen = |guard: DeserializeGuard<K>| match guard.0 {
            Ok(object) => read(object).map_or(Seen::Absent, Seen::Known),
            Err(invalid) => Seen::Unreadable(invalid.error),
        };
        match event {
            Event::Init => listed = false,
            Event::InitApply(guard) => {
                listed = true;
                put(seen(guard));
            }
            Event::Apply(guard) => put(seen(guard)),
            // While a watch starts over, the known state stays.
            Event::InitDone if !listed => put(Seen::Absent),
            Event::InitDone => {}
            Event::Delete(_) => put(Seen::Absent),
        }
    })
    .await;
}

/// Follows the node's assignment: the default Vpc `router` and the node's IP object.
pub async fn assignment(
    client: Client,
    api_server: ApiServer,
    node: &str,
    router: &str,
    inputs: watch::Sender<Inputs>,
) {
    let objects = std::sync::Mutex::new(Objects::default());
    let change = |change: &dyn Fn(&mut Objects)| {
        let mut objects = objects.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut objects);
        inputs.send_if_modified(|now| {
            let new = objects.inputs(node, router, now);
            let changed = *now != new;
            *now = new;
            changed
        });
    };
    let networks = |vpc: Vpc| -> Option<NodeNetworks> { vpc.status?.node_networks };
    let spec = |ip: Ip| Some(ip.spec);
    let port = port_name(node);
    tokio::join!(
        follow_one(client.clone(), &api_server, router, networks, |seen| {
            change(&|objects| objects.networks = seen.clone());
        }),
        follow_one(client, &api_server, &port, spec, |seen| change(&|objects| objects.ip = seen.clone())),
    );
}
