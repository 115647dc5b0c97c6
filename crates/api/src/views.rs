//! Slim views of core objects, for watches: only what Tombolo reads is decoded and kept.
//!
//! A view is never written back: objects are changed by patches only, since a view doesn't have all fields.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::Resource;
use serde::{Deserialize, Deserializer, Serialize};

use crate::kubelet::Needs;

/// kubectl's copy of what was applied: often the largest annotation, never of use to us.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The parts of [`ObjectMeta`] that are kept; the rest (managedFields above all) is skipped unread.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SlimMeta {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    finalizers: Option<Vec<String>>,
}

fn slim_meta<'de, D: Deserializer<'de>>(d: D) -> Result<ObjectMeta, D::Error> {
    let mut slim = SlimMeta::deserialize(d)?;
    if let Some(annotations) = &mut slim.annotations {
        annotations.remove(LAST_APPLIED);
    }
    Ok(ObjectMeta {
        name: slim.name,
        namespace: slim.namespace,
        uid: slim.uid,
        resource_version: slim.resource_version,
        generation: slim.generation,
        labels: slim.labels,
        annotations: slim.annotations,
        owner_references: slim.owner_references,
        creation_timestamp: slim.creation_timestamp,
        deletion_timestamp: slim.deletion_timestamp,
        finalizers: slim.finalizers,
        ..ObjectMeta::default()
    })
}

/// A pod.
#[derive(Resource, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[resource(inherit = Pod)]
pub struct PodView {
    /// Slim metadata.
    #[serde(deserialize_with = "slim_meta")]
    pub metadata: ObjectMeta,
    /// Spec.
    #[serde(default)]
    pub spec: PodViewSpec,
    /// Status.
    #[serde(default)]
    pub status: PodViewStatus,
}

/// What is kept of a pod's spec.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodViewSpec {
    /// The node; absent until it is scheduled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// The pod uses the node's network: none of our business.
    pub host_network: bool,
    /// `Always`, `OnFailure` or `Never`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<String>,
    /// What its containers need of the node.
    #[serde(skip_serializing)]
    pub containers: Needs,
    /// The same of those that begin before them.
    #[serde(skip_serializing)]
    pub init_containers: Needs,
}

impl PodViewSpec {
    /// What all of its containers need of the node.
    pub fn needs(&self) -> Needs {
        self.containers | self.init_containers
    }
}

/// What is kept of a pod's status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodViewStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The address that kubelet reports.
    #[serde(rename = "podIP", skip_serializing_if = "Option::is_none")]
    pub pod_ip: Option<String>,
}

impl PodView {
    /// Its containers have ended for good, so its address can be given to others: it has succeeded, or
    /// has failed (kubelet sets either phase only when nothing will be restarted).
    pub fn is_finished(&self) -> bool {
        matches!(self.status.phase.as_deref(), Some("Succeeded" | "Failed"))
    }

    /// It is being deleted.
    pub fn is_terminating(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// One of its annotations.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        annotation(&self.metadata, key)
    }

    /// Name of its logical switch port for the first interface: `<pod>.<namespace>`.
    pub fn port_name(&self) -> String {
        let part = |s: &Option<String>| s.clone().unwrap_or_default();
        format!("{}.{}", part(&self.metadata.name), part(&self.metadata.namespace))
    }

    /// The StatefulSet that owns it: its address outlives the pod.
    pub fn stateful_set(&self) -> Option<&str> {
        let owners = self.metadata.owner_references.as_deref().unwrap_or_default();
        owners
            .iter()
            .find(|o| o.kind == "StatefulSet" && o.api_version.starts_with("apps/"))
            .map(|o| o.name.as_str())
    }
}

/// A node.
#[derive(Resource, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[resource(inherit = Node)]
pub struct NodeView {
    /// Slim metadata.
    #[serde(deserialize_with = "slim_meta")]
    pub metadata: ObjectMeta,
    /// Spec.
    #[serde(default)]
    pub spec: NodeViewSpec,
    /// Status.
    #[serde(default)]
    pub status: NodeViewStatus,
}

/// What is kept of a node's spec.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeViewSpec {
    /// Network that the controller-manager gave the node, if it does.
    #[serde(rename = "podCIDR", skip_serializing_if = "Option::is_none")]
    pub pod_cidr: Option<String>,
}

/// What is kept of a node's status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeViewStatus {
    /// Addresses.
    pub addresses: Vec<NodeViewAddress>,
}

/// An address of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeViewAddress {
    /// `InternalIP`, `ExternalIP`, `Hostname` …
    #[serde(rename = "type")]
    pub type_: String,
    /// The address or name.
    pub address: String,
}

impl NodeView {
    /// Its internal addresses in the order of the object (the first one is the primary family's).
    pub fn internal_ips(&self) -> impl Iterator<Item = IpAddr> {
        self.status
            .addresses
            .iter()
            .filter(|a| a.type_ == "InternalIP")
            .filter_map(|a| a.address.parse().ok())
    }

    /// One of its annotations.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        annotation(&self.metadata, key)
    }
}

/// A namespace.
#[derive(Resource, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[resource(inherit = Namespace)]
pub struct NamespaceView {
    /// Slim metadata.
    #[serde(deserialize_with = "slim_meta")]
    pub metadata: ObjectMeta,
}

impl NamespaceView {
    /// One of its annotations.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        annotation(&self.metadata, key)
    }
}

fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(key).map(String::as_str)
}

/// A Service, as far as it can ask for what kube-proxy doesn't give.
#[derive(Resource, Debug, Clone, Default, PartialEq, Deserialize)]
#[resource(inherit = Service)]
pub struct ServiceView {
    /// Slim metadata.
    #[serde(deserialize_with = "slim_meta")]
    pub metadata: ObjectMeta,
    /// Spec.
    #[serde(default)]
    pub spec: ServiceViewSpec,
}

/// What is kept of a Service's spec.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceViewSpec {
    /// `ClusterIP`, `NodePort`, `LoadBalancer`, `ExternalName`.
    #[serde(rename = "type")]
    pub type_: Option<String>,
    /// Its address; `None` for a headless one.
    #[serde(rename = "clusterIP")]
    pub cluster_ip: Option<String>,
    /// Labels of its pods; empty where the user or another controller names its endpoints.
    pub selector: Option<BTreeMap<String, String>>,
}

impl ServiceView {
    /// It has an address of its own (or a port of the nodes) that leads to pods by their labels.
    pub fn leads_to_pods(&self) -> bool {
        let headless = self.spec.cluster_ip.as_deref() == Some("None");
        let elsewhere = self.spec.type_.as_deref() == Some("ExternalName");
        !headless && !elsewhere && self.spec.selector.as_ref().is_some_and(|selector| !selector.is_empty())
    }
}

/// A NetworkPolicy: that there is one is all that counts.
#[derive(Resource, Debug, Clone, Default, PartialEq, Deserialize)]
#[resource(inherit = NetworkPolicy)]
pub struct NetworkPolicyView {
    /// Slim metadata.
    #[serde(deserialize_with = "slim_meta")]
    pub metadata: ObjectMeta,
}
