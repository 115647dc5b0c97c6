//! Which fields can't be honored, where, and why.
//!
//! One table per kind of object. For routers of Neutron's it distinguishes fields that no client but Neutron can put
//! into effect, since Neutron removes or rewrites the rows (static routes at the next router update before release 28,
//! NAT rows always, chassis of gateways, the router's own columns), from those that this version just doesn't
//! implement. Invariant 3: one router port per subnet and router policies, nothing else.

use std::collections::BTreeMap;

use super::{Problem, Reason, Severity};
use crate::annotations as a;
use crate::defaults::CENTRALIZED;
use crate::{OVN_PROVIDER, SubnetSpec, VpcSpec};

/// Whose router a subnet is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The default VPC's.
    DefaultVpc,
    /// A tenant's, made by us.
    CustomVpc,
    /// Neutron's.
    NeutronRouter,
}

/// What is with a field at a place.
#[derive(Clone, Copy)]
enum Verdict {
    /// Honored, or without effect where it doesn't apply.
    Fine,
    /// This version doesn't do it.
    NotYet,
    /// Impossible on Neutron's router, for this reason.
    Impossible(&'static str),
}
use Verdict::{Fine, Impossible, NotYet};

struct Row<S> {
    field: &'static str,
    is_set: fn(&S) -> bool,
    /// On routers of our own.
    ours: Verdict,
    /// On a router of Neutron's.
    neutron: Verdict,
}

const NAT: &str = "Neutron removes NAT rules that it didn't make; addresses outside are translated by the router's \
                   external gateway in OpenStack, so set it there";
const EGRESS: &str = "traffic leaves through the router's external gateway in OpenStack, not through nodes; set the \
                      gateway there";
const GATEWAY: &str = "the router's gateway is Neutron's, and a second one would rewrite its binding; set the gateway \
                       in OpenStack";
const ROUTES: &str = "Neutron removes static routes that it didn't make (before release 28 at each router update); use \
                      `openstack router add route`";
const OPTIONS: &str = "the router's settings are Neutron's, which replaces them at each update";
const PORTS: &str =
    "a router of Neutron's gets one port per Subnet and no other; connect the routers in OpenStack";

const SUBNET: &[Row<SubnetSpec>] = &[
    Row { field: "spec.natOutgoing", is_set: |s| s.nat_outgoing, ours: Fine, neutron: Impossible(NAT) },
    Row {
        field: "spec.natOutgoingPolicyRules",
        is_set: |s| !s.nat_outgoing_policy_rules.is_empty(),
        ours: NotYet,
        neutron: Impossible(NAT),
    },
    Row {
        field: "spec.externalEgressGateway",
        is_set: |s| !s.external_egress_gateway.is_empty(),
        ours: NotYet,
        neutron: Impossible(EGRESS),
    },
    Row {
        field: "spec.gatewayType",
        is_set: |s| s.gateway_type == CENTRALIZED,
        ours: NotYet,
        neutron: Impossible(GATEWAY),
    },
    Row {
        field: "spec.gatewayNode",
        // On a distributed gateway it says nothing.
        is_set: |s| !s.gateway_node.is_empty() && s.gateway_type == CENTRALIZED,
        ours: NotYet,
        neutron: Impossible(GATEWAY),
    },
    Row {
        field: "spec.gatewayNodeSelectors",
        is_set: |s| !s.gateway_node_selectors.is_empty() && s.gateway_type == CENTRALIZED,
        ours: NotYet,
        neutron: Impossible(GATEWAY),
    },
    Row { field: "spec.enableEcmp", is_set: |s| s.enable_ecmp, ours: NotYet, neutron: Impossible(GATEWAY) },
    Row {
        field: "spec.routeTable",
        is_set: |s| !s.route_table.is_empty(),
        ours: NotYet,
        neutron: Impossible(ROUTES),
    },
    Row { field: "spec.vlan", is_set: |s| !s.vlan.is_empty(), ours: NotYet, neutron: NotYet },
    Row { field: "spec.logicalGateway", is_set: |s| s.logical_gateway, ours: NotYet, neutron: NotYet },
    Row {
        field: "spec.u2oInterconnection",
        is_set: |s| s.u2o_interconnection,
        ours: NotYet,
        neutron: NotYet,
    },
    Row { field: "spec.nodeNetwork", is_set: |s| !s.node_network.is_empty(), ours: NotYet, neutron: NotYet },
    Row { field: "spec.private", is_set: |s| s.private, ours: NotYet, neutron: NotYet },
    Row {
        field: "spec.allowSubnets",
        is_set: |s| !s.allow_subnets.is_empty() && s.private,
        ours: NotYet,
        neutron: NotYet,
    },
    Row { field: "spec.acls", is_set: |s| !s.acls.is_empty(), ours: NotYet, neutron: NotYet },
    Row { field: "spec.allowEWTraffic", is_set: |s| s.allow_ew_traffic, ours: NotYet, neutron: NotYet },
    Row { field: "spec.enableDHCP", is_set: |s| s.enable_dhcp, ours: NotYet, neutron: NotYet },
    Row { field: "spec.enableIPv6RA", is_set: |s| s.enable_ipv6_ra, ours: NotYet, neutron: NotYet },
    Row {
        field: "spec.enableMulticastSnoop",
        is_set: |s| s.enable_multicast_snoop,
        ours: NotYet,
        neutron: NotYet,
    },
    Row {
        field: "spec.enableExternalLBAddress",
        is_set: |s| s.enable_external_lb_address,
        ours: NotYet,
        neutron: NotYet,
    },
    Row { field: "spec.vips", is_set: |s| !s.vips.is_empty(), ours: NotYet, neutron: NotYet },
    Row { field: "spec.protocol", is_set: |s| s.protocol == "Mac", ours: NotYet, neutron: NotYet },
    Row {
        field: "spec.provider",
        is_set: |s| !s.provider.is_empty() && s.provider != OVN_PROVIDER,
        ours: NotYet,
        neutron: NotYet,
    },
    // The join subnet of Kube-OVN has it; without interconnection of clusters it says nothing.
    Row {
        field: "spec.disableInterConnection",
        is_set: |s| s.disable_inter_connection,
        ours: Fine,
        neutron: Fine,
    },
];

const VPC: &[Row<VpcSpec>] = &[
    Row {
        field: "spec.staticRoutes",
        is_set: |s| !s.static_routes.is_empty(),
        ours: NotYet,
        neutron: Impossible(ROUTES),
    },
    Row {
        field: "spec.policyRoutes",
        is_set: |s| !s.policy_routes.is_empty(),
        ours: NotYet,
        neutron: NotYet,
    },
    Row {
        field: "spec.vpcPeerings",
        is_set: |s| !s.vpc_peerings.is_empty(),
        ours: NotYet,
        neutron: Impossible(PORTS),
    },
    Row {
        field: "spec.enableExternal",
        is_set: |s| s.enable_external,
        ours: NotYet,
        neutron: Impossible(GATEWAY),
    },
    Row {
        field: "spec.extraExternalSubnets",
        is_set: |s| !s.extra_external_subnets.is_empty(),
        ours: NotYet,
        neutron: Impossible(GATEWAY),
    },
    Row { field: "spec.enableBfd", is_set: |s| s.enable_bfd, ours: NotYet, neutron: Impossible(GATEWAY) },
    Row {
        field: "spec.bfdPort",
        is_set: |s| s.bfd_port.as_ref().is_some_and(|b| b.enabled),
        ours: NotYet,
        neutron: Impossible(GATEWAY),
    },
    Row {
        field: "spec.dynamicRouting",
        is_set: |s| s.dynamic_routing.as_ref().is_some_and(|d| d.enabled),
        ours: NotYet,
        neutron: Impossible(OPTIONS),
    },
];

fn check<S>(rows: &[Row<S>], spec: &S, place: Place) -> Vec<Problem> {
    let set = rows.iter().filter(|row| (row.is_set)(spec));
    set.filter_map(|row| {
        let verdict = if place == Place::NeutronRouter { row.neutron } else { row.ours };
        problem(row.field, verdict, Severity::Refuse)
    })
    .collect()
}

fn problem(field: &str, verdict: Verdict, severity: Severity) -> Option<Problem> {
    let (reason, what) = match verdict {
        Fine => return None,
        NotYet => (Reason::NotSupportedYet, "this version can't do it; remove it".to_owned()),
        Impossible(why) => {
            (Reason::NotPossibleOnNeutronRouter, format!("not possible on a router of OpenStack: {why}"))
        }
    };
    Some(Problem::new(field.to_owned(), reason, what, severity))
}

/// Fields of a Subnet (with its defaults) that can't be honored where it is. All refuse it: a subnet that is private
/// for its user and open in truth, or waits for NAT that never comes, is worse than none.
pub fn subnet_limits(spec: &SubnetSpec, place: Place) -> Vec<Problem> {
    check(SUBNET, spec, place)
}

/// Fields of a Vpc that can't be honored.
pub fn vpc_limits(spec: &VpcSpec, place: Place) -> Vec<Problem> {
    check(VPC, spec, place)
}

/// Annotations of a pod, their meaning on Neutron's router, and whether the pod can run without.
const POD: &[(&str, Verdict, Severity)] = &[
    // Without these the pod would be less protected, or not who it says: better not at all.
    (a::SECURITY_GROUPS, NotYet, Severity::Refuse),
    (a::VIP, NotYet, Severity::Refuse),
    (a::VF, NotYet, Severity::Refuse),
    (a::VF_REPRESENTOR, NotYet, Severity::Refuse),
    (a::EIP, Impossible(NAT), Severity::Ignored),
    (a::SNAT, Impossible(NAT), Severity::Ignored),
    (a::NORTH_GATEWAY, Impossible(EGRESS), Severity::Ignored),
    (a::AAPS, NotYet, Severity::Ignored),
    (a::PORT_VIPS, NotYet, Severity::Ignored),
    (a::LAYER2_FORWARD, NotYet, Severity::Ignored),
    (a::INGRESS_RATE, NotYet, Severity::Ignored),
    (a::EGRESS_RATE, NotYet, Severity::Ignored),
    (a::INGRESS_BURST, NotYet, Severity::Ignored),
    (a::EGRESS_BURST, NotYet, Severity::Ignored),
    (a::LATENCY, NotYet, Severity::Ignored),
    (a::LIMIT, NotYet, Severity::Ignored),
    (a::LOSS, NotYet, Severity::Ignored),
    (a::JITTER, NotYet, Severity::Ignored),
    (a::MIRROR, NotYet, Severity::Ignored),
    (a::BGP, NotYet, Severity::Ignored),
    (a::ACTIVATION_STRATEGY, NotYet, Severity::Ignored),
    (a::DHCP_V4_OPTIONS, NotYet, Severity::Ignored),
    (a::DHCP_V6_OPTIONS, NotYet, Severity::Ignored),
    (a::POD_NIC_TYPE, NotYet, Severity::Ignored),
];

/// Annotations of a pod that can't be honored for the interface of `provider`. Empty ones and flags that
/// aren't `true` say nothing.
pub fn pod_limits(annotations: &BTreeMap<String, String>, provider: &str, place: Place) -> Vec<Problem> {
    let rows = POD.iter().filter(|(default_key, ..)| {
        let value = annotations.get(&a::for_provider(provider, default_key));
        // The one kind of interface that there is may be asked for.
        value.is_some_and(|value| asks(value) && (*default_key != a::POD_NIC_TYPE || value != VETH_PAIR))
    });
    let mut found: Vec<Problem> = rows
        .filter_map(|(default_key, verdict, severity)| {
            let verdict = if place == Place::NeutronRouter { *verdict } else { NotYet };
            problem(&field(&a::for_provider(provider, default_key)), verdict, *severity)
        })
        .collect();
    if provider == OVN_PROVIDER {
        found.extend(other_interfaces(annotations));
    }
    found
}

/// The kind of interface that pods have.
pub const VETH_PAIR: &str = "veth-pair";

/// What a pod asks for beside its first interface: another first one, or further ones of ours. Whose the networks in
/// Multus' list of further ones are isn't known here; those of ours have annotations of their own.
fn other_interfaces(annotations: &BTreeMap<String, String>) -> impl Iterator<Item = Problem> {
    let default = annotations.get(a::MULTUS_DEFAULT_NETWORK).filter(|value| asks(value)).map(|_| {
        let what = "this version can't leave the first interface to another network: the pod has an address and a port \
                    in OVN all the same";
        Problem::ignored(field(a::MULTUS_DEFAULT_NETWORK), Reason::NotSupportedYet, what)
    });
    let is_further = |key: &&String| {
        let domain = key.split_once('/').map_or("", |(domain, _)| domain);
        domain.strip_suffix(".ovn.kubernetes.io").is_some_and(|interface| !interface.is_empty())
    };
    let further = annotations.keys().find(is_further).map(|key| {
        let what = "this version gives a pod one interface, so annotations of further ones have no effect";
        Problem::ignored(field(key), Reason::NotSupportedYet, what)
    });
    default.into_iter().chain(further)
}

/// Annotations of Subnets that nothing here serves.
pub const UNSERVED_ON_SUBNETS: [&str; 2] = [a::BGP, a::CLUSTER_ACCESS];
/// The same of Vpcs.
pub const UNSERVED_ON_VPCS: [&str; 1] = [a::VPC_LB];
/// The same of Nodes.
pub const UNSERVED_ON_NODES: [&str; 2] = [a::TUNNEL_INTERFACE, a::NODE_NETWORKS];

/// What is dropped of an object's annotations: those of `unserved` that ask for something.
pub fn annotation_limits(unserved: &[&str], annotations: Option<&BTreeMap<String, String>>) -> Vec<Problem> {
    let value = |key: &str| annotations.and_then(|all| all.get(key));
    // Flags that are `on` or not (`vpc_lb`) are among them.
    let dropped = unserved.iter().filter(|key| value(key).is_some_and(|value| asks(value) && value != "off"));
    dropped.filter_map(|key| problem(&field(key), NotYet, Severity::Ignored)).collect()
}

fn field(key: &str) -> String {
    format!("metadata.annotations[{key}]")
}

/// Whether an annotation's value wants anything.
fn asks(value: &str) -> bool {
    !matches!(value, "" | "false")
}
