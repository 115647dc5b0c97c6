//! Nodes: a port in the join subnet, by which node and pods of the default Vpc reach each other, and the
//! policies that send a node's pods out through it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use tombolo_api::annotations::{
    ALLOCATED, CIDR, GATEWAY, IP_ADDRESS, LOGICAL_SWITCH, MAC_ADDRESS, PORT_NAME, TRUE,
};
use tombolo_net::{Family, parse_addr_pair};
use tombolo_ovn::nb::{LogicalRouter, LogicalRouterPolicy, LogicalSwitch, LogicalSwitchPort, PortGroup};
use tombolo_ovsdb::{Datum, Uuid};

use crate::address;
use crate::desired::{AddressRequest, DesiredRow, Edge, Kind, Managed, Plan, Rows};
use crate::nb::{self, table};
use crate::owner::{ClusterId, Owner};
use crate::row::{child_ids, external_ids, string, strings};
use crate::subnet::{is_established, switch_uuid};
use crate::unserved;
use crate::world::{IpEntry, World};
use crate::write;

/// Name of a node's port, and of its IP object.
#[must_use]
pub fn port_name(node: &str) -> String {
    format!("node-{node}")
}

/// Name of a node's port group; dashes become dots, as an address set's name can't have them.
#[must_use]
pub fn group_name(node: &str) -> String {
    format!("node.{}", node.replace('-', "."))
}

/// The name of a node's port group in the database: the one that stands, or [`group_name`], which nodes `a-b` and `a.b`
/// share: the one that comes second gets a name that nobody else has.
fn group_in_use(world: &World, node: &str) -> String {
    let uuid = group_uuid(&world.config().cluster, node);
    if let Some(name) = world.nb().row(table::PORT_GROUP, &uuid).and_then(|row| row.str("name")) {
        return name.to_owned();
    }
    let name = group_name(node);
    let is_ours = |row: &tombolo_ovsdb::Row| {
        matches!(nb::ownership(&world.config().cluster, row), nb::Ownership::Ours(_))
    };
    let stands = nb::named(world.nb(), table::PORT_GROUP, &name).into_iter().any(|(_, row)| is_ours(row));
    // Of two that come at once it is the first one's.
    let earlier = || world.nodes().keys_before(node).any(|other| group_name(other) == name);
    if stands || earlier() { format!("{name}.{}", &uuid.simple().to_string()[..8]) } else { name }
}

/// The row of a node's port group: the pods of the default Vpc on it.
#[must_use]
pub fn group_uuid(cluster: &ClusterId, node: &str) -> Uuid {
    cluster.row_uuid(table::PORT_GROUP, &Owner::node(node), "pods")
}

/// What should stand of a node.
pub fn plan(world: &World, name: &str) -> Plan {
    let owner = Owner::node(name);
    let named = world.ips().get(&port_name(name));
    // A pod may have the name of a node's port: what is its own isn't the node's to take or to delete.
    let ip = named.filter(|ip| ip.owner == owner);
    let Some(node) = world.nodes().get(name) else {
        return address::gone(ip, world.is_seen_deleted(&owner));
    };
    let join = world.config().join_subnet.as_str();
    let mut plan = Plan::default();
    let Some(entry) = world.established(join).filter(|_| is_established(world, join)) else {
        plan.waits_for = Some(Owner::subnet(join));
        return plan;
    };
    if let Some(other) = named.filter(|_| ip.is_none()) {
        return address::name_taken(&port_name(name), &other.owner);
    }
    let Some(ip) = ip else {
        // A node keeps the address that it was told before, if nobody else has it.
        let told = |key| node.annotation(key).unwrap_or_default();
        let pool = world.pool(join);
        let free = |a: &IpAddr| pool.is_some_and(|p| p.cidr().contains(*a) && p.holder(*a).is_none());
        plan.address = Some(AddressRequest {
            ip_name: port_name(name),
            subnets: vec![join.to_owned()],
            addresses: parse_addr_pair(told(IP_ADDRESS))
                .unwrap_or_default()
                .into_iter()
                .filter(free)
                .collect(),
            families: vec![Family::V4, Family::V6],
            mac: told(MAC_ADDRESS)
                .parse()
                .ok()
                .filter(|mac| pool.is_some_and(|p| p.mac_holder(*mac).is_none())),
            pod_name: name.to_owned(),
            namespace: String::new(),
            node: name.to_owned(),
            pod_type: String::new(),
            pod_uid: node.metadata.uid.clone().unwrap_or_default(),
        });
        return plan;
    };
    if address::is_contested(world, ip, "", &mut plan) {
        return plan;
    }
    if address::other_bears(world, &owner, ip, &mut plan) {
        return plan;
    }
    let router =
        world.config().cluster.row_uuid(table::ROUTER, &Owner::vpc(&world.config().cluster_router), "router");
    if world.nb().row(table::ROUTER, &router).is_none() {
        // Its policies hang there. An operator deleted the router, and the Vpc brings it back.
        plan.waits_for = Some(Owner::vpc(&world.config().cluster_router));
        return plan;
    }
    plan.rows = Some(rows(world, name, ip, router));
    let wanted = BTreeMap::from([
        (ALLOCATED, Some(TRUE.to_owned())),
        (IP_ADDRESS, Some(ip.object.spec.ip_address.clone())),
        (MAC_ADDRESS, Some(ip.object.spec.mac_address.clone())),
        (CIDR, Some(entry.spec.cidr_block.clone())),
        (GATEWAY, Some(entry.spec.gateway.clone())),
        (LOGICAL_SWITCH, Some(join.to_owned())),
        (PORT_NAME, Some(port_name(name))),
    ]);
    plan.after.extend(write::annotations(Kind::Node, &node.metadata, &wanted));
    plan.problems.extend(unserved::node(node));
    plan
}

fn rows(world: &World, name: &str, ip: &IpEntry, router: Uuid) -> Rows {
    let cluster = &world.config().cluster;
    let owner = Owner::node(name);
    let join = world.config().join_subnet.as_str();
    let switch = switch_uuid(cluster, join);
    let group = group_in_use(world, name);
    let mut rows = vec![
        DesiredRow {
            table: table::SWITCH_PORT,
            uuid: cluster.row_uuid(table::SWITCH_PORT, &owner, "port"),
            columns: [
                (LogicalSwitchPort::NAME, string(&port_name(name))),
                (LogicalSwitchPort::ADDRESSES, strings([address::port_addresses(ip)])),
                (LogicalSwitchPort::EXTERNAL_IDS, child_ids(cluster, &owner, switch, [("ls", join)])),
            ]
            .into(),
            edge: Some(Edge { table: table::SWITCH, parent: switch, column: LogicalSwitch::PORTS }),
        },
        DesiredRow {
            table: table::PORT_GROUP,
            uuid: group_uuid(cluster, name),
            columns: [
                (PortGroup::NAME, string(&group)),
                (PortGroup::EXTERNAL_IDS, Managed::Keys(external_ids(cluster, &owner, [("node", name)]))),
            ]
            .into(),
            edge: None,
        },
    ];
    let hop = |family| ip.addresses.iter().copied().find(|hop| Family::of(*hop) == family);
    let mut policy = |role: String, priority: i64, matching: String, hop: IpAddr| {
        rows.push(DesiredRow {
            table: table::POLICY,
            uuid: cluster.row_uuid(table::POLICY, &owner, &role),
            columns: [
                (LogicalRouterPolicy::PRIORITY, Managed::Whole(Datum::integer(priority))),
                (LogicalRouterPolicy::MATCH, string(&matching)),
                (LogicalRouterPolicy::ACTION, string("reroute")),
                (LogicalRouterPolicy::NEXTHOPS, strings([hop.to_string()])),
                (LogicalRouterPolicy::EXTERNAL_IDS, child_ids(cluster, &owner, router, [("node", name)])),
            ]
            .into(),
            edge: Some(Edge { table: table::ROUTER, parent: router, column: LogicalRouter::POLICIES }),
        });
    };
    // Pods to the node itself.
    let addresses = world.nodes().get(name).into_iter().flat_map(|node| node.internal_ips());
    for (number, address) in addresses.enumerate() {
        let Some(hop) = hop(Family::of(address)) else { continue };
        let word = if address.is_ipv4() { "ip4" } else { "ip6" };
        policy(format!("node/{number}"), 30_000, format!("{word}.dst == {address}"), hop);
    }
    // Its pods to the world.
    for family in [Family::V4, Family::V6] {
        let Some(hop) = hop(family) else { continue };
        let word = if family == Family::V4 { "ip4" } else { "ip6" };
        let matching = format!("{word}.src == ${group}_{word}");
        policy(format!("egress/{word}"), 29_000, matching, hop);
    }
    Rows { rows, ..Rows::default() }
}
