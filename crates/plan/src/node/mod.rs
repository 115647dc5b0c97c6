//! Nodes: a port in the join subnet, by which node and pods of the default Vpc reach each other, and the
//! policies that send a node's pods out through it.

mod rows;

use std::collections::BTreeMap;
use std::net::IpAddr;

use tombolo_api::annotations::{
    ALLOCATED, CIDR, GATEWAY, IP_ADDRESS, LOGICAL_SWITCH, MAC_ADDRESS, PORT_NAME, TRUE,
};
use tombolo_api::views::NodeView;
use tombolo_net::{Family, parse_addr_pair};

use self::rows::rows;
use crate::address;
use crate::desired::{AddressRequest, Kind, Plan};
use crate::names::node_port;
use crate::nb::table;
use crate::owner::Owner;
use crate::unserved;
use crate::world::World;
use crate::write;

/// The desired state of a node.
pub fn plan(world: &World, name: &str) -> Plan {
    let owner = Owner::node(name);
    let named = world.ips().get(&node_port(name));
    // A pod may have the name of a node's port: what is its own isn't the node's to take or to delete.
    let ip = named.filter(|ip| ip.owner == owner);
    let Some(node) = world.nodes().get(name) else {
        return address::gone(ip, world.is_seen_deleted(&owner));
    };
    let join = world.config().join_subnet.as_str();
    let mut plan = Plan::default();
    let Some(entry) = world.standing(join) else {
        plan.waits_for = Some(Owner::subnet(join));
        return plan;
    };
    if let Some(other) = named.filter(|_| ip.is_none()) {
        return address::name_taken(&node_port(name), &other.owner);
    }
    let Some(ip) = ip else {
        plan.then_address(request(world, name, node));
        return plan;
    };
    if address::is_contested(world, ip, "", &mut plan) {
        return plan;
    }
    if address::other_bears(world, &owner, ip, &mut plan) {
        return plan;
    }
    let router = world.row_uuid(table::ROUTER, &Owner::vpc(&world.config().cluster_router), "router");
    if world.nb().row(table::ROUTER, &router).is_none() {
        // Its policies hang there. An operator deleted the router, and the Vpc brings it back.
        plan.waits_for = Some(Owner::vpc(&world.config().cluster_router));
        return plan;
    }
    plan.then_rows(rows(world, name, ip, router));
    let wanted = BTreeMap::from([
        (ALLOCATED, Some(TRUE.to_owned())),
        (IP_ADDRESS, Some(ip.object.spec.ip_address.clone())),
        (MAC_ADDRESS, Some(ip.object.spec.mac_address.clone())),
        (CIDR, Some(entry.spec.cidr_block.clone())),
        (GATEWAY, Some(entry.spec.gateway.clone())),
        (LOGICAL_SWITCH, Some(join.to_owned())),
        (PORT_NAME, Some(node_port(name))),
    ]);
    plan.then_write(write::annotations(Kind::Node, &node.metadata, &wanted));
    plan.problems.extend(unserved::node(node));
    plan
}

/// A node keeps the address in its annotations while that is free.
fn request(world: &World, name: &str, node: &NodeView) -> AddressRequest {
    let join = world.config().join_subnet.as_str();
    let told = |key| node.annotation(key).unwrap_or_default();
    let pool = world.pool(join);
    let free = |a: &IpAddr| pool.is_some_and(|p| p.cidr().contains(*a) && p.holder(*a).is_none());
    AddressRequest {
        ip_name: node_port(name),
        subnets: vec![join.to_owned()],
        addresses: parse_addr_pair(told(IP_ADDRESS)).unwrap_or_default().into_iter().filter(free).collect(),
        families: vec![Family::V4, Family::V6],
        mac: told(MAC_ADDRESS).parse().ok().filter(|mac| pool.is_some_and(|p| p.mac_holder(*mac).is_none())),
        pod_name: name.to_owned(),
        namespace: String::new(),
        node: name.to_owned(),
        pod_type: String::new(),
        pod_uid: node.metadata.uid.clone().unwrap_or_default(),
    }
}
