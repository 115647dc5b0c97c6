//! Subnet: a logical switch with its addresses and gateway.

// Several columns have the same type or priority; the lint takes them for repetitions.
#![allow(clippy::duplicated_attributes)]

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Condition, IpCount, LabelSelector, is_default, is_false, is_zero};

/// What a user wants of a subnet.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kubeovn.io",
    version = "v1",
    kind = "Subnet",
    plural = "subnets",
    singular = "subnet",
    shortname = "subnet",
    status = "SubnetStatus",
    doc = "Subnet is a logical switch: a network for pods, connected to a Vpc's router.",
    derive = "Default",
    derive = "PartialEq",
    printcolumn(name = "Provider", type_ = "string", json_path = ".spec.provider"),
    printcolumn(name = "Vpc", type_ = "string", json_path = ".spec.vpc"),
    printcolumn(name = "Vlan", type_ = "string", json_path = ".spec.vlan"),
    printcolumn(name = "Protocol", type_ = "string", json_path = ".spec.protocol"),
    printcolumn(name = "CIDR", type_ = "string", json_path = ".spec.cidrBlock"),
    printcolumn(name = "Private", type_ = "boolean", json_path = ".spec.private"),
    printcolumn(name = "NAT", type_ = "boolean", json_path = ".spec.natOutgoing"),
    printcolumn(name = "Default", type_ = "boolean", json_path = ".spec.default"),
    printcolumn(name = "GatewayType", type_ = "string", json_path = ".spec.gatewayType"),
    printcolumn(name = "V4Used", type_ = "number", json_path = ".status.v4usingIPs"),
    printcolumn(name = "V4Available", type_ = "number", json_path = ".status.v4availableIPs"),
    printcolumn(name = "V6Used", type_ = "number", json_path = ".status.v6usingIPs"),
    printcolumn(name = "V6Available", type_ = "number", json_path = ".status.v6availableIPs"),
    printcolumn(name = "ExcludeIPs", type_ = "string", json_path = ".spec.excludeIps"),
    printcolumn(name = "U2OInterconnectionIP", type_ = "string", json_path = ".status.u2oInterconnectionIP"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", priority = 1)
)]
#[serde(rename_all = "camelCase", default)]
pub struct SubnetSpec {
    /// This is the default subnet.
    pub default: bool,
    /// The VPC whose router it is connected to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub vpc: String,
    /// `IPv4`, `IPv6`, `Dual` or `Mac`; follows from `cidrBlock`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub protocol: String,
    /// Namespaces whose pods get addresses here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Further such namespaces, by their labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespace_selectors: Vec<LabelSelector>,
    /// The network: one CIDR, or `v4,v6`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cidr_block: String,
    /// Address of the gateway, or `v4,v6`; the first one of the network if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub gateway: String,
    /// Addresses (`a`) and ranges (`a..b`) that are not handed out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_ips: Vec<String>,
    /// `ovn`, or `<attachment>.<namespace>.ovn` for further interfaces.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub provider: String,
    /// `distributed` or `centralized`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub gateway_type: String,
    /// Gateway nodes of a centralized gateway, separated by commas.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub gateway_node: String,
    /// Gateway nodes by their labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gateway_node_selectors: Vec<LabelSelector>,
    /// Traffic that leaves the cluster gets the node's address.
    pub nat_outgoing: bool,
    /// Exceptions from `natOutgoing`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nat_outgoing_policy_rules: Vec<NatOutgoingPolicyRule>,
    /// Addresses of gateways outside that egress traffic is routed to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub external_egress_gateway: String,
    /// Priority of the node's routing rule for it, 1–32765.
    #[serde(skip_serializing_if = "is_zero")]
    pub policy_routing_priority: u32,
    /// The node's routing table for it.
    #[serde(rename = "policyRoutingTableID", skip_serializing_if = "is_zero")]
    pub policy_routing_table_id: u32,
    /// MTU of the pods' interfaces in bytes; 0: chosen by the network.
    #[serde(skip_serializing_if = "is_zero")]
    pub mtu: u32,
    /// Only the subnet itself and `allowSubnets` may reach its pods.
    pub private: bool,
    /// Networks that may reach a private subnet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_subnets: Vec<String>,
    /// VLAN of an underlay subnet.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub vlan: String,
    /// Virtual addresses within the network.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vips: Vec<String>,
    /// Underlay subnet whose gateway is the logical router.
    #[serde(skip_serializing_if = "is_false")]
    pub logical_gateway: bool,
    /// Don't wait for the gateway to answer when a pod starts.
    #[serde(skip_serializing_if = "is_false")]
    pub disable_gateway_check: bool,
    /// Not reachable through cluster interconnection.
    #[serde(skip_serializing_if = "is_false")]
    pub disable_inter_connection: bool,
    /// Answer DHCP.
    #[serde(rename = "enableDHCP", skip_serializing_if = "is_false")]
    pub enable_dhcp: bool,
    /// Options of DHCPv4 answers.
    #[serde(rename = "dhcpV4Options", skip_serializing_if = "String::is_empty")]
    pub dhcp_v4_options: String,
    /// Options of DHCPv6 answers.
    #[serde(rename = "dhcpV6Options", skip_serializing_if = "String::is_empty")]
    pub dhcp_v6_options: String,
    /// Send IPv6 router advertisements.
    #[serde(rename = "enableIPv6RA", skip_serializing_if = "is_false")]
    pub enable_ipv6_ra: bool,
    /// What they say.
    #[serde(rename = "ipv6RAConfigs", skip_serializing_if = "String::is_empty")]
    pub ipv6_ra_configs: String,
    /// ACLs on the switch.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub acls: Vec<Acl>,
    /// Pods of one subnet may reach each other in spite of its ACLs.
    #[serde(rename = "allowEWTraffic", skip_serializing_if = "is_false")]
    pub allow_ew_traffic: bool,
    /// Connect an underlay subnet with the overlay ones.
    #[serde(skip_serializing_if = "is_false")]
    pub u2o_interconnection: bool,
    /// The router's address for it.
    #[serde(rename = "u2oInterconnectionIP", skip_serializing_if = "String::is_empty")]
    pub u2o_interconnection_ip: String,
    /// Details of it.
    #[serde(skip_serializing_if = "is_default")]
    pub u2o_features: U2oFeatures,
    /// Services are load-balanced on the switch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_lb: Option<bool>,
    /// Several gateway nodes at a time.
    #[serde(skip_serializing_if = "is_false")]
    pub enable_ecmp: bool,
    /// Multicast snooping.
    #[serde(skip_serializing_if = "is_false")]
    pub enable_multicast_snoop: bool,
    /// Addresses of LoadBalancer Services come from here.
    #[serde(rename = "enableExternalLBAddress", skip_serializing_if = "is_false")]
    pub enable_external_lb_address: bool,
    /// Route table of the router that the subnet uses.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub route_table: String,
    /// Network of the nodes that an underlay subnet uses.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node_network: String,
}

/// An exception from `natOutgoing`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NatOutgoingPolicyRule {
    /// Which traffic.
    #[serde(rename = "match")]
    pub match_: NatOutgoingPolicyMatch,
    /// `nat` or `forward`.
    pub action: String,
}

/// The traffic that a [`NatOutgoingPolicyRule`] is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NatOutgoingPolicyMatch {
    /// Sources: addresses and networks of one family, separated by commas.
    #[serde(rename = "srcIPs", skip_serializing_if = "String::is_empty")]
    pub src_ips: String,
    /// Destinations, likewise.
    #[serde(rename = "dstIPs", skip_serializing_if = "String::is_empty")]
    pub dst_ips: String,
}

/// An ACL on the switch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Acl {
    /// `from-lport` or `to-lport`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub direction: String,
    /// 0–32767.
    #[serde(skip_serializing_if = "is_default")]
    pub priority: i32,
    /// OVN match expression.
    #[serde(rename = "match", skip_serializing_if = "String::is_empty")]
    pub match_: String,
    /// `allow`, `allow-related`, `allow-stateless`, `drop` or `reject`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub action: String,
}

/// Details of the interconnection of an underlay subnet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct U2oFeatures {
    /// Only overlay networks are routed that way.
    #[serde(skip_serializing_if = "is_false")]
    pub overlay_only_routing: bool,
}

/// What is. Always written as a whole, as in Kube-OVN.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SubnetStatus {
    /// Conditions: Ready, Validated, Error.
    pub conditions: Vec<Condition>,
    /// IPv4 addresses that can still be handed out.
    #[serde(rename = "v4availableIPs")]
    pub v4_available_ips: IpCount,
    /// They, as `a-b,c`.
    #[serde(rename = "v4availableIPrange")]
    pub v4_available_ip_range: String,
    /// IPv4 addresses in use.
    #[serde(rename = "v4usingIPs")]
    pub v4_using_ips: IpCount,
    /// They, as `a-b,c`.
    #[serde(rename = "v4usingIPrange")]
    pub v4_using_ip_range: String,
    /// IPv6 addresses that can still be handed out.
    #[serde(rename = "v6availableIPs")]
    pub v6_available_ips: IpCount,
    /// They, as `a-b,c`.
    #[serde(rename = "v6availableIPrange")]
    pub v6_available_ip_range: String,
    /// IPv6 addresses in use.
    #[serde(rename = "v6usingIPs")]
    pub v6_using_ips: IpCount,
    /// They, as `a-b,c`.
    #[serde(rename = "v6usingIPrange")]
    pub v6_using_ip_range: String,
    /// The node that is the centralized gateway.
    #[serde(rename = "activateGateway")]
    pub activate_gateway: String,
    /// UUID of the DHCPv4 options in OVN.
    #[serde(rename = "dhcpV4OptionsUUID")]
    pub dhcp_v4_options_uuid: String,
    /// UUID of the DHCPv6 options in OVN.
    #[serde(rename = "dhcpV6OptionsUUID")]
    pub dhcp_v6_options_uuid: String,
    /// The router's address on an underlay subnet.
    #[serde(rename = "u2oInterconnectionIP")]
    pub u2o_interconnection_ip: String,
    /// Its MAC.
    #[serde(rename = "u2oInterconnectionMAC")]
    pub u2o_interconnection_mac: String,
    /// Its VPC.
    #[serde(rename = "u2oInterconnectionVPC")]
    pub u2o_interconnection_vpc: String,
    /// The rules in effect.
    #[serde(rename = "natOutgoingPolicyRules")]
    pub nat_outgoing_policy_rules: Vec<NatOutgoingPolicyRuleStatus>,
    /// Source address of multicast queries.
    #[serde(rename = "mcastQuerierIP")]
    pub mcast_querier_ip: String,
    /// Source MAC of multicast queries.
    #[serde(rename = "mcastQuerierMAC")]
    pub mcast_querier_mac: String,
}

/// A [`NatOutgoingPolicyRule`] in effect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NatOutgoingPolicyRuleStatus {
    /// Its ID.
    #[serde(rename = "ruleID")]
    pub rule_id: String,
    /// Which traffic.
    #[serde(rename = "match")]
    pub match_: NatOutgoingPolicyMatch,
    /// `nat` or `forward`.
    pub action: String,
}
