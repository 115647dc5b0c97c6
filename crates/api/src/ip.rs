//! IP: the record of one allocated address.

// Several columns have the same type or priority; the lint takes them for repetitions.
#![allow(clippy::duplicated_attributes)]

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an interface was given. The object's name is that of its logical switch port:
/// `<pod>.<namespace>`, or `node-<node>`. Written before the rows that use it (invariant 5).
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kubeovn.io",
    version = "v1",
    kind = "IP",
    root = "Ip",
    plural = "ips",
    singular = "ip",
    shortname = "ip",
    doc = "IP records the addresses of one interface of a pod or node.",
    derive = "Default",
    derive = "PartialEq",
    printcolumn(name = "V4IP", type_ = "string", json_path = ".spec.v4IpAddress"),
    printcolumn(name = "V6IP", type_ = "string", json_path = ".spec.v6IpAddress"),
    printcolumn(name = "Mac", type_ = "string", json_path = ".spec.macAddress"),
    printcolumn(name = "Node", type_ = "string", json_path = ".spec.nodeName"),
    printcolumn(name = "Subnet", type_ = "string", json_path = ".spec.subnet"),
    printcolumn(name = "Namespace", type_ = "string", json_path = ".spec.namespace", priority = 1),
    printcolumn(name = "Pod", type_ = "string", json_path = ".spec.podName", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", priority = 1)
)]
#[serde(rename_all = "camelCase", default)]
pub struct IpSpec {
    /// The pod's name (the node's, for a node).
    pub pod_name: String,
    /// The pod's namespace; empty for a node.
    pub namespace: String,
    /// The subnet.
    pub subnet: String,
    /// Subnets of further interfaces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attach_subnets: Vec<String>,
    /// The node.
    pub node_name: String,
    /// All addresses: `v4`, `v6` or `v4,v6`.
    pub ip_address: String,
    /// IPv4 address.
    pub v4_ip_address: String,
    /// IPv6 address.
    pub v6_ip_address: String,
    /// Addresses of further interfaces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attach_ips: Vec<String>,
    /// MAC address.
    pub mac_address: String,
    /// MAC addresses of further interfaces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attach_macs: Vec<String>,
    /// ID of the pod's sandbox.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// Empty, `StatefulSet` or `VirtualMachine`: whether the address outlives the pod.
    pub pod_type: String,
}
