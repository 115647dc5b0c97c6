//! Names and MACs that follow from an object's name: rows of one owner that another one's plan, or a tool, has to find.

use tombolo_net::Mac;

use crate::owner::ClusterId;

/// Name of a pod's port, and of its IP object.
#[must_use]
pub fn pod_port(namespace: &str, name: &str) -> String {
    format!("{name}.{namespace}")
}

/// Name of a node's port, and of its IP object.
#[must_use]
pub fn node_port(node: &str) -> String {
    format!("node-{node}")
}

/// Name of a node's port group; dashes become dots, as an address set's name can't have them.
#[must_use]
pub fn node_group(node: &str) -> String {
    format!("node.{}", node.replace('-', "."))
}

/// Name of the router's port to a subnet, as Kube-OVN names it.
#[must_use]
pub fn router_port_name(vpc: &str, subnet: &str) -> String {
    format!("{vpc}-{subnet}")
}

/// Name of the switch's port to its router, as Kube-OVN names it.
#[must_use]
pub fn switch_port_name(subnet: &str, vpc: &str) -> String {
    format!("{subnet}-{vpc}")
}

/// MAC of the router in a subnet. Always the same for the same cluster and name.
#[must_use]
pub fn gateway_mac(cluster: &ClusterId, subnet: &str) -> Mac {
    Mac::from_seed_bytes(format!("{}\nsubnet/{subnet}", cluster.as_str()).as_bytes())
}
