//! Leaving: the desired state of a cluster that is uninstalled, which is nothing but the fence of its writes.
//!
//! Decides what goes from OVN and from objects, owner by owner like any other plan, so that ownership, the fence and what
//! holds a row back are the same. Objects stay, without our finalizers: their kinds can be deleted then, and until
//! then, a controller that starts again finds all addresses.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tombolo_api::annotations as keys;

use crate::desired::{Kind, Plan, Rows};
use crate::nb::{self, Ownership, table};
use crate::owner::{Owner, OwnerKind};
use crate::world::World;
use crate::write;

/// The annotations of controller and agent on nodes.
const ON_NODES: [&str; 13] = [
    keys::ALLOCATED,
    keys::ROUTED,
    keys::IP_ADDRESS,
    keys::MAC_ADDRESS,
    keys::CIDR,
    keys::GATEWAY,
    keys::LOGICAL_SWITCH,
    keys::LOGICAL_ROUTER,
    keys::PORT_NAME,
    keys::CHASSIS,
    keys::INTERFACE_VERSION,
    keys::TUNNEL_INTERFACE,
    keys::NODE_NETWORKS,
];
/// The controller's annotations on namespaces.
const ON_NAMESPACES: [&str; 3] = [keys::LOGICAL_SWITCH, keys::CIDR, keys::EXCLUDE_IPS];
/// So many of a kind are named.
const NAMED: usize = 10;

/// The desired state of `owner`.
pub(crate) fn plan(world: &World, owner: &Owner) -> Plan {
    let mut plan = Plan { explained: true, ..Plan::of_rows(Rows::none()) };
    let name = &*owner.name;
    match owner.kind {
        // Its one row is the fence, which stays: a controller that wakes up late must not write any more.
        OwnerKind::Cluster => {
            plan.stages.clear();
            let held = world.ips().values().map(|ip| &ip.object.metadata).filter(|meta| is_held(meta));
            plan.then_write(held.filter_map(|meta| write::finalizer(Kind::Ip, meta, false)));
        }
        // The cluster's plan covers it: its object owns no rows.
        OwnerKind::Ip => plan.stages.clear(),
        OwnerKind::Vpc => {
            let vpc = world.vpcs().get(name);
            plan.then_write(vpc.and_then(|vpc| write::finalizer(Kind::Vpc, &vpc.metadata, false)));
        }
        OwnerKind::Subnet => {
            let meta = world.subnets().get(name).map(|entry| &entry.object.metadata);
            plan.then_write(meta.and_then(|meta| write::finalizer(Kind::Subnet, meta, false)));
        }
        OwnerKind::Node => {
            let meta = world.nodes().get(name).map(|node| &node.metadata);
            plan.then_write(meta.and_then(|meta| bare(Kind::Node, meta, &ON_NODES)));
        }
        OwnerKind::Namespace => {
            let meta = world.namespaces().get(name).map(|namespace| &namespace.metadata);
            plan.then_write(meta.and_then(|meta| bare(Kind::Namespace, meta, &ON_NAMESPACES)));
        }
        // Its annotations go with the pod.
        OwnerKind::Pod => {}
    }
    plan
}

fn bare(kind: Kind, meta: &ObjectMeta, keys: &[&'static str]) -> Option<crate::desired::Intent> {
    let wanted: BTreeMap<&str, Option<String>> = keys.iter().map(|key| (*key, None)).collect();
    write::annotations(kind, meta, &wanted)
}

fn is_held(meta: &ObjectMeta) -> bool {
    let finalizers = meta.finalizers.as_deref().unwrap_or_default();
    finalizers.iter().any(|f| f == keys::FINALIZER || f == keys::OLD_FINALIZER)
}

/// Pods that still run on the network: they would lose it. Ascending.
#[must_use]
pub fn users(world: &World) -> Vec<String> {
    let mut users: BTreeSet<String> = BTreeSet::new();
    for (_, row) in world.nb().rows(table::SWITCH_PORT) {
        if let Some(owner) = nb::owner_of(&world.config().cluster, row)
            && owner.kind == OwnerKind::Pod
            && world.pods().get(&owner.name).is_some_and(|pod| !pod.spec.host_network && !pod.is_finished())
        {
            users.insert(owner.name.to_string());
        }
    }
    users.into_iter().collect()
}

/// Remains of this cluster, in words, the first ones of each kind; empty when it has left.
#[must_use]
pub fn left(world: &World) -> Vec<String> {
    let cluster = &world.config().cluster;
    let mut left = Vec::new();
    for table in nb::OWNED {
        let ours = world.nb().rows(table).filter_map(|(uuid, row)| match nb::ownership(cluster, row) {
            Ownership::Ours(owner) if owner.kind != OwnerKind::Cluster => {
                Some(format!("{table} {} of {owner}", row.str("name").map_or(uuid.to_string(), str::to_owned)))
            }
            Ownership::Orphan => Some(format!(
                "{table} {uuid}, whose owner this version doesn't know: a newer one wrote it; remove it with that \
                 version, or by hand"
            )),
            _ => None,
        });
        left.extend(ours.take(NAMED));
    }
    let held = |kind: &str, metas: &mut dyn Iterator<Item = &ObjectMeta>| -> Vec<String> {
        let held = metas.filter(|meta| is_held(meta)).take(NAMED);
        held.map(|meta| format!("the finalizer of {kind} {}", meta.name.as_deref().unwrap_or_default()))
            .collect()
    };
    left.extend(held("Vpc", &mut world.vpcs().values().map(|o| &o.metadata)));
    left.extend(held("Subnet", &mut world.subnets().values().map(|o| &o.object.metadata)));
    left.extend(held("IP", &mut world.ips().values().map(|o| &o.object.metadata)));
    let marked =
        |kind: Kind, metas: &mut dyn Iterator<Item = &ObjectMeta>, keys: &[&'static str]| -> Vec<String> {
            let marked = metas.filter(|meta| bare(kind, meta, keys).is_some()).take(NAMED);
            marked
                .map(|meta| format!("annotations of {kind:?} {}", meta.name.as_deref().unwrap_or_default()))
                .collect()
        };
    left.extend(marked(Kind::Node, &mut world.nodes().values().map(|o| &o.metadata), &ON_NODES));
    left.extend(marked(
        Kind::Namespace,
        &mut world.namespaces().values().map(|o| &o.metadata),
        &ON_NAMESPACES,
    ));
    left
}
