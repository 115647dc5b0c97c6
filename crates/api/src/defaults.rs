//! What the controller fills in where a user wrote nothing.
//!
//! The result is written back into the spec, as Kube-OVN does, so that `kubectl get` shows what is in
//! effect. All functions are idempotent: a filled-in spec stays what it is (invariant 9).

use std::net::IpAddr;

use tombolo_net::{AddrRange, DualCidr, Family, parse_addr_pair};

use crate::{DEFAULT_SUBNET, DEFAULT_VPC, JOIN_SUBNET, OVN_PROVIDER, SubnetSpec, VpcSpec};

/// `Subnet.spec.gatewayType`: each node is the gateway of its own pods.
pub const DISTRIBUTED: &str = "distributed";
/// `Subnet.spec.gatewayType`: some nodes are.
pub const CENTRALIZED: &str = "centralized";

/// The names and switches that defaults depend on: the controller's flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// `--cluster-router`.
    pub default_vpc: String,
    /// `--default-ls`.
    pub default_subnet: String,
    /// `--node-switch`.
    pub join_subnet: String,
    /// `--enable-lb`.
    pub enable_lb: bool,
}

impl Default for Defaults {
    /// The defaults of Kube-OVN's flags.
    fn default() -> Self {
        Self {
            default_vpc: DEFAULT_VPC.into(),
            default_subnet: DEFAULT_SUBNET.into(),
            join_subnet: JOIN_SUBNET.into(),
            enable_lb: true,
        }
    }
}

/// Whether a provider's interfaces are in OVN.
pub fn is_ovn_provider(provider: &str) -> bool {
    provider == OVN_PROVIDER || provider.ends_with(".ovn")
}

/// The spec of subnet `name` with all defaults, and addresses in canonical form:
/// provider `ovn`; the default VPC (for providers in OVN); protocol and CIDR from `cidrBlock`; per family the
/// first address (the last of two) as gateway, excluded; `distributed` in the default VPC but for the join subnet;
/// `enableLb` in the default VPC but for the join subnet; `default` on the default subnet alone; no
/// underlay-to-overlay settings without a VLAN.
///
/// What can't be parsed stays as it is, for [`crate::validate::subnet`] to complain about.
pub fn subnet_defaults(name: &str, spec: &SubnetSpec, defaults: &Defaults) -> SubnetSpec {
    let mut spec = spec.clone();
    if spec.provider.is_empty() {
        spec.provider = OVN_PROVIDER.into();
    }
    if spec.vpc.is_empty() && is_ovn_provider(&spec.provider) {
        spec.vpc.clone_from(&defaults.default_vpc);
    }
    spec.default = name == defaults.default_subnet;
    if let Ok(cidr) = spec.cidr_block.parse::<DualCidr>() {
        spec.cidr_block = cidr.to_string();
        spec.protocol = cidr.protocol().into();
        fill_gateway(&mut spec, cidr);
    }
    if spec.vpc == defaults.default_vpc && name != defaults.join_subnet {
        if spec.gateway_type.is_empty() {
            spec.gateway_type = DISTRIBUTED.into();
        }
        spec.enable_lb.get_or_insert(defaults.enable_lb);
    }
    if spec.vlan.is_empty() {
        spec.u2o_interconnection = false;
        spec.u2o_interconnection_ip.clear();
        spec.u2o_features = Default::default();
    }
    spec
}

fn fill_gateway(spec: &mut SubnetSpec, cidr: DualCidr) {
    let given = if spec.gateway.trim().is_empty() { Ok(Vec::new()) } else { parse_addr_pair(&spec.gateway) };
    let Ok(given) = given else { return };
    // One of another family than the network's is an error of the user's: not to be hidden by a default.
    if given.iter().any(|g| cidr.of(Family::of(*g)).is_none()) {
        return;
    }
    let gateways: Vec<IpAddr> = cidr
        .iter()
        .map(|c| given.iter().copied().find(|g| Family::of(*g) == c.family()).unwrap_or(c.default_gateway()))
        .collect();
    spec.gateway = gateways.iter().map(|g| g.to_string()).collect::<Vec<_>>().join(",");
    let excluded: Vec<AddrRange> =
        spec.exclude_ips.iter().flat_map(|e| AddrRange::parse_exclude(e)).collect();
    for gateway in gateways {
        if !excluded.iter().any(|r| r.contains(gateway)) {
            spec.exclude_ips.push(gateway.to_string());
        }
    }
}

/// The spec with all defaults: static routes match the destination; only a reroute has a next hop.
pub fn vpc_defaults(spec: &VpcSpec) -> VpcSpec {
    let mut spec = spec.clone();
    for route in &mut spec.static_routes {
        if route.policy.is_empty() {
            route.policy = "policyDst".into();
        }
    }
    for route in &mut spec.policy_routes {
        if route.action != "reroute" {
            route.next_hop_ip.clear();
        }
    }
    spec
}
