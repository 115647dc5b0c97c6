//! What a namespace is told: which subnets its pods get addresses from (Kube-OVN's annotations).

use std::collections::BTreeMap;

use tombolo_api::annotations::{CIDR, EXCLUDE_IPS, LOGICAL_SWITCH};

use crate::desired::{Kind, Plan};
use crate::world::World;
use crate::write;

/// The subnets for pods of `namespace`, in the order in which they are tried.
pub fn subnets(world: &World, namespace: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    // A Vpc that lists the namespace may say which of its subnets comes first.
    if let Some(vpc) = world.vpc_of_namespace(namespace)
        && world.subnets.contains_key(&vpc.spec.default_subnet)
    {
        names.push(vpc.spec.default_subnet.clone());
    }
    for name in world.subnets_of_namespace(namespace) {
        if !names.iter().any(|n| n == name) {
            names.push(name.to_owned());
        }
    }
    if names.is_empty() {
        names.push(world.config.default_subnet.clone());
    }
    names
}

/// Annotations of the namespace.
pub fn plan(world: &World, name: &str) -> Plan {
    let mut plan = Plan::default();
    let Some(object) = world.namespaces.get(name).filter(|ns| ns.metadata.deletion_timestamp.is_none())
    else {
        return plan;
    };
    let subnets = subnets(world, name);
    let known: Vec<_> = subnets.iter().filter_map(|subnet| world.established(subnet)).collect();
    if known.len() != subnets.len() {
        return plan; // its Subnet is yet to come, and makes this owner dirty
    }
    let cidrs: Vec<&str> = known.iter().map(|it| it.spec.cidr_block.as_str()).collect();
    let excluded: Vec<String> = known.iter().map(|it| it.spec.exclude_ips.join(",")).collect();
    let wanted = BTreeMap::from([
        (LOGICAL_SWITCH, Some(subnets.join(","))),
        (CIDR, Some(cidrs.join(";"))),
        (EXCLUDE_IPS, Some(excluded.join(";"))),
    ]);
    plan.after.extend(write::annotations(Kind::Namespace, &object.metadata, &wanted));
    plan
}
