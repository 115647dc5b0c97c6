//! The default Vpc: its router is ours, and nodes have routes to its Subnets.

use std::collections::BTreeSet;
use std::sync::Arc;

use tombolo_api::defaults::is_ovn_provider;
use tombolo_api::{Condition, JoinNetwork, NodeNetwork, NodeNetworks, Vpc, VpcStatus, condition, validate};
use tombolo_names::Reason;
use tombolo_ovn::nb::LogicalRouter;

use super::report::{attached, report, validated};
use crate::desired::{DesiredRow, Kind, Managed, Plan, Rows};
use crate::nb::table;
use crate::owner::Owner;
use crate::row::{external_ids, keys, string};
use crate::world::World;
use crate::write;

/// The default Vpc and its router.
pub(super) fn plan(world: &World, name: &str, object: Option<&Arc<Vpc>>) -> Plan {
    let mut plan = Plan::default();
    let owner = Owner::vpc(name);
    let cluster = &world.config().cluster;
    let uuid = world.row_uuid(table::ROUTER, &owner, "router");
    // The router stands whether or not the object does: all pods hang on it.
    plan.then_rows(Rows {
        rows: vec![DesiredRow {
            table: table::ROUTER,
            uuid,
            columns: [
                (LogicalRouter::NAME, string(name)),
                (
                    LogicalRouter::OPTIONS,
                    keys([("mac_binding_age_threshold", "300"), ("dynamic_neigh_routers", "true")]),
                ),
                (LogicalRouter::EXTERNAL_IDS, Managed::Keys(external_ids(cluster, &owner, []))),
            ]
            .into(),
            edges: Vec::new(),
        }],
        ..Rows::default()
    });
    let Some(vpc) = object else { return plan };
    if vpc.metadata.deletion_timestamp.is_some() {
        plan.then_write(write::finalizer(Kind::Vpc, &vpc.metadata, false));
        return plan;
    }
    let checked = validated(vpc, validate::Place::DefaultVpc, &mut plan);
    let old = vpc.status.clone().unwrap_or_default();
    let status = VpcStatus {
        conditions: old.conditions,
        standby: true,
        default: true,
        default_logical_switch: world.config().default_subnet.clone(),
        router: name.to_owned(),
        subnets: attached(world, uuid, Vec::new()),
        node_networks: Some(node_networks(world, name)),
        ..VpcStatus::default()
    };
    report(
        world,
        vpc,
        &mut plan,
        status,
        vec![Condition::new(condition::READY, true, Reason::RouterFound, ""), checked],
    );
    plan
}

/// The networks that nodes have routes to: what is in effect in the default Vpc, and nothing that is only wished
/// (invariant 11). Underlay networks and those of other providers aren't reached through `ovn0`.
fn node_networks(world: &World, name: &str) -> NodeNetworks {
    let join = world.config().join_subnet.as_str();
    let mut networks = NodeNetworks::default();
    for (subnet, established) in world.established_in(name) {
        let spec = &established.spec;
        if subnet == join {
            networks.join = Some(JoinNetwork {
                name: subnet.to_owned(),
                cidr_block: spec.cidr_block.clone(),
                gateway: spec.gateway.clone(),
            });
        } else if (spec.vlan.is_empty() || spec.logical_gateway) && is_ovn_provider(&spec.provider) {
            networks.subnets.push(NodeNetwork {
                name: subnet.to_owned(),
                cidr_block: spec.cidr_block.clone(),
                nat_outgoing: spec.nat_outgoing,
            });
        }
    }
    let nodes: BTreeSet<_> = world.nodes().values().flat_map(|n| n.internal_ips()).collect();
    networks.nodes = nodes.iter().map(ToString::to_string).collect();
    networks
}
