//! Vpc: a logical router, ours or Neutron's.

// Several columns have the same type or priority; the lint takes them for repetitions.
#![allow(clippy::duplicated_attributes)]

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Condition, LabelSelector, is_default, is_false, is_zero};

/// What a user wants of a router.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kubeovn.io",
    version = "v1",
    kind = "Vpc",
    plural = "vpcs",
    singular = "vpc",
    shortname = "vpc",
    status = "VpcStatus",
    doc = "Vpc is a logical router: the default one, a tenant's, or one that Neutron made.",
    derive = "Default",
    derive = "PartialEq",
    printcolumn(name = "Standby", type_ = "boolean", json_path = ".status.standby"),
    printcolumn(name = "Subnets", type_ = "string", json_path = ".status.subnets"),
    printcolumn(
        name = "Router",
        type_ = "string",
        json_path = ".status.neutron.name",
        description = "Name of the router in OpenStack",
        priority = 1
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status",
        priority = 1
    ),
    printcolumn(
        name = "EnableExternal",
        type_ = "boolean",
        json_path = ".status.enableExternal",
        priority = 1
    ),
    printcolumn(name = "EnableBfd", type_ = "boolean", json_path = ".status.enableBfd", priority = 1),
    printcolumn(
        name = "ExtraExternalSubnets",
        type_ = "string",
        json_path = ".status.extraExternalSubnets",
        priority = 1
    ),
    printcolumn(name = "Namespaces", type_ = "string", json_path = ".spec.namespaces", priority = 1),
    printcolumn(
        name = "DefaultSubnet",
        type_ = "string",
        json_path = ".status.defaultLogicalSwitch",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", priority = 1)
)]
#[serde(rename_all = "camelCase", default)]
pub struct VpcSpec {
    /// Subnet for pods of the VPC's namespaces that name none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub default_subnet: String,
    /// Namespaces whose pods may be in the VPC's subnets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Static routes of the router.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub static_routes: Vec<StaticRoute>,
    /// Policy routes of the router.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policy_routes: Vec<PolicyRoute>,
    /// Links to the routers of other VPCs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vpc_peerings: Vec<VpcPeering>,
    /// Connect the router to the default external subnet.
    #[serde(skip_serializing_if = "is_false")]
    pub enable_external: bool,
    /// Further external subnets to connect the router to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_external_subnets: Vec<String>,
    /// Watch the external gateways by BFD.
    #[serde(skip_serializing_if = "is_false")]
    pub enable_bfd: bool,
    /// The router's port for BFD.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bfd_port: Option<BfdPort>,
    /// OVN's dynamic routing on the router.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dynamic_routing: Option<VpcDynamicRouting>,
}

/// A static route of a VPC's router.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StaticRoute {
    /// What `cidr` is matched with: `policyDst` (default) or `policySrc`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub policy: String,
    /// A network or an address.
    pub cidr: String,
    /// Address of the next hop.
    #[serde(rename = "nextHopIP")]
    pub next_hop_ip: String,
    /// ECMP mode: empty or `ecmp_symmetric_reply`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ecmp_mode: String,
    /// BFD session that the route depends on.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bfd_id: String,
    /// Route table; empty is the main one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub route_table: String,
}

/// A policy route of a VPC's router.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyRoute {
    /// 0–32767; the highest that matches wins.
    #[serde(skip_serializing_if = "is_default")]
    pub priority: i32,
    /// OVN match expression.
    #[serde(rename = "match", skip_serializing_if = "String::is_empty")]
    pub match_: String,
    /// `allow`, `drop` or `reroute`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub action: String,
    /// For `reroute`: one address, or several separated by commas (ECMP).
    #[serde(rename = "nextHopIP", skip_serializing_if = "String::is_empty")]
    pub next_hop_ip: String,
}

/// A link to another VPC.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VpcPeering {
    /// The other VPC.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remote_vpc: String,
    /// This router's address on the link, with prefix length.
    #[serde(rename = "localConnectIP", skip_serializing_if = "String::is_empty")]
    pub local_connect_ip: String,
}

/// A router port that speaks BFD.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BfdPort {
    /// Whether there is one.
    pub enabled: bool,
    /// Its addresses: `v4`, `v6` or `v4,v6`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ip: String,
    /// The nodes that may host it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<LabelSelector>,
}

/// OVN's dynamic routing on a router.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VpcDynamicRouting {
    /// Whether it is on.
    pub enabled: bool,
    /// Kinds of routes to announce: `connected`, `connected-as-host`, `static`, `nat`, `lb`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub redistribute: Vec<String>,
    /// Announce routes bound to a chassis there only.
    #[serde(skip_serializing_if = "is_false")]
    pub local_only: bool,
    /// Let ovn-controller make the VRF.
    #[serde(skip_serializing_if = "is_false")]
    pub maintain_vrf: bool,
    /// Name of the VRF.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub vrf_name: String,
    /// Linux routing table of the VRF.
    #[serde(skip_serializing_if = "is_zero")]
    pub vrf_id: u32,
}

/// What is. Always written as a whole: no field is left out, as in Kube-OVN.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VpcStatus {
    /// Conditions: Ready, Validated, Error.
    pub conditions: Vec<Condition>,
    /// The router exists.
    pub standby: bool,
    /// This is the default VPC.
    pub default: bool,
    /// The VPC's default subnet.
    pub default_logical_switch: String,
    /// Name of the logical router.
    pub router: String,
    /// Load balancer for TCP.
    pub tcp_load_balancer: String,
    /// Load balancer for UDP.
    pub udp_load_balancer: String,
    /// Load balancer for SCTP.
    pub sctp_load_balancer: String,
    /// Load balancer for TCP with session affinity.
    pub tcp_session_load_balancer: String,
    /// Load balancer for UDP with session affinity.
    pub udp_session_load_balancer: String,
    /// Load balancer for SCTP with session affinity.
    pub sctp_session_load_balancer: String,
    /// The logical switches on the router, ours and Neutron's, sorted.
    pub subnets: Vec<String>,
    /// The VPCs this one is linked to.
    pub vpc_peerings: Vec<String>,
    /// The router is connected to the default external subnet.
    pub enable_external: bool,
    /// The further external subnets it is connected to.
    pub extra_external_subnets: Vec<String>,
    /// BFD is on.
    pub enable_bfd: bool,
    /// The router's port for BFD.
    pub bfd_port: BfdPortStatus,
    /// What Neutron says about its router; absent for routers of our own. An addition to Kube-OVN's API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub neutron: Option<NeutronRouterStatus>,
    /// On the default VPC: the established networks that every node has routes to. Agents configure nodes from
    /// this and from nothing that a user writes. An addition to Kube-OVN's API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_networks: Option<NodeNetworks>,
}

/// The networks that nodes reach through `ovn0`, as they stand in OVN.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeNetworks {
    /// The join subnet; absent until it is established.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join: Option<JoinNetwork>,
    /// The established overlay subnets of the default VPC but the join subnet, by name.
    pub subnets: Vec<NodeNetwork>,
    /// Addresses of the cluster's nodes (`InternalIP`), sorted: what pods send there is led to that node's own port.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
}

/// The network in which nodes have their own port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct JoinNetwork {
    /// Name of the subnet.
    pub name: String,
    /// One or two networks: `100.64.0.0/16,fd00:100:64::/112`.
    pub cidr_block: String,
    /// A gateway for each: `100.64.0.1,fd00:100:64::1`.
    pub gateway: String,
}

/// A network that nodes have a route to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeNetwork {
    /// Name of the subnet.
    pub name: String,
    /// One or two networks: `10.16.0.0/16,fd00:10:16::/112`.
    pub cidr_block: String,
    /// Traffic from it that leaves the cluster gets the node's address.
    pub nat_outgoing: bool,
}

/// The router's port for BFD.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BfdPortStatus {
    /// Name of the router port.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its addresses.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ip: String,
    /// The nodes that host it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
}

/// A router as Neutron knows it, read from its rows in OVN.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NeutronRouterStatus {
    /// UUID of the router.
    pub id: String,
    /// Its name in OpenStack.
    pub name: String,
    /// The networks it is connected to, sorted by switch.
    pub networks: Vec<NeutronNetworkStatus>,
}

/// A network of Neutron on one of its routers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NeutronNetworkStatus {
    /// Name of the logical switch: `neutron-<network uuid>`.
    pub switch: String,
    /// Its name in OpenStack.
    pub name: String,
    /// Networks of the router's ports there. Subnets of ours on this router must not overlap them.
    pub cidrs: Vec<String>,
    /// MTU in bytes; 0 if not known.
    #[serde(skip_serializing_if = "is_zero")]
    pub mtu: u32,
    /// It is the network of the router's external gateway.
    #[serde(skip_serializing_if = "is_false")]
    pub external_gateway: bool,
}
