//! The rows of a node: its port, its port group and its policies on the default Vpc's router.

use std::net::IpAddr;

use tombolo_net::Family;
use tombolo_ovn::nb::{LogicalRouter, LogicalRouterPolicy, LogicalSwitch, LogicalSwitchPort, PortGroup};
use tombolo_ovsdb::{Datum, Row, Uuid};

use crate::address;
use crate::desired::{DesiredRow, Edge, Managed, Rows};
use crate::names::{node_group, node_port};
use crate::nb::{self, table};
use crate::owner::Owner;
use crate::row::{child_ids, external_ids, string, strings};
use crate::world::{IpEntry, World};

/// The name of a node's port group in the database: the one that stands, or [`node_group`], which nodes `a-b` and `a.b`
/// share: the second one gets a unique name.
fn group_in_use(world: &World, node: &str) -> String {
    let uuid = world.node_group_uuid(node);
    if let Some(name) = world.nb().row(table::PORT_GROUP, &uuid).and_then(|row| row.str("name")) {
        return name.to_owned();
    }
    let name = node_group(node);
    let is_ours = |row: &Row| nb::owner_of(&world.config().cluster, row).is_some();
    let stands = nb::named(world.nb(), table::PORT_GROUP, &name).into_iter().any(|(_, row)| is_ours(row));
    // Of two that come at once it is the first one's.
    let earlier = || world.nodes().keys_before(node).any(|other| node_group(other) == name);
    if stands || earlier() { format!("{name}.{}", &uuid.simple().to_string()[..8]) } else { name }
}

pub(super) fn rows(world: &World, name: &str, ip: &IpEntry, router: Uuid) -> Rows {
    let cluster = &world.config().cluster;
    let owner = Owner::node(name);
    let join = world.config().join_subnet.as_str();
    let switch = world.switch_uuid(join);
    let group = group_in_use(world, name);
    let mut rows = vec![
        DesiredRow {
            table: table::SWITCH_PORT,
            uuid: world.row_uuid(table::SWITCH_PORT, &owner, "port"),
            columns: [
                (LogicalSwitchPort::NAME, string(&node_port(name))),
                (LogicalSwitchPort::ADDRESSES, strings([address::port_addresses(ip)])),
                (LogicalSwitchPort::EXTERNAL_IDS, child_ids(cluster, &owner, switch, [("ls", join)])),
            ]
            .into(),
            edges: vec![Edge { table: table::SWITCH, parent: switch, column: LogicalSwitch::PORTS }],
        },
        DesiredRow {
            table: table::PORT_GROUP,
            uuid: world.node_group_uuid(name),
            columns: [
                (PortGroup::NAME, string(&group)),
                (PortGroup::EXTERNAL_IDS, Managed::Keys(external_ids(cluster, &owner, [("node", name)]))),
            ]
            .into(),
            edges: Vec::new(),
        },
    ];
    let hop = |family| ip.addresses.iter().copied().find(|hop| Family::of(*hop) == family);
    let mut policy = |role: String, priority: i64, matching: String, hop: IpAddr| {
        rows.push(DesiredRow {
            table: table::POLICY,
            uuid: world.row_uuid(table::POLICY, &owner, &role),
            columns: [
                (LogicalRouterPolicy::PRIORITY, Managed::Whole(Datum::integer(priority))),
                (LogicalRouterPolicy::MATCH, string(&matching)),
                (LogicalRouterPolicy::ACTION, string("reroute")),
                (LogicalRouterPolicy::NEXTHOPS, strings([hop.to_string()])),
                (LogicalRouterPolicy::EXTERNAL_IDS, child_ids(cluster, &owner, router, [("node", name)])),
            ]
            .into(),
            edges: vec![Edge { table: table::ROUTER, parent: router, column: LogicalRouter::POLICIES }],
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
