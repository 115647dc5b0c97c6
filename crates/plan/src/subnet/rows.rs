//! The rows of a Subnet: its switch, the pair of ports to the router and, on a router of our own, what it needs there.

use tombolo_api::SubnetSpec;
use tombolo_net::{Family, IfAddr};
use tombolo_ovn::nb::{
    LogicalRouter, LogicalRouterPolicy, LogicalRouterPort, LogicalRouterStaticRoute, LogicalSwitch,
    LogicalSwitchPort,
};
use tombolo_ovsdb::{Datum, Uuid};

use crate::desired::{DesiredRow, Edge, Managed, Rows};
use crate::names::{gateway_mac, router_port_name, switch_port_name};
use crate::nb::table;
use crate::owner::{MAC_KEY, Owner};
use crate::row::{child_ids, external_ids, keys, string, strings};
use crate::vpc::VpcKind;
use crate::world::{Established, Net, SPEC_KEY, World};

/// The router's row: Neutron's, or that of the default Vpc once it stands.
pub(super) fn router_uuid(world: &World, vpc: &str, kind: VpcKind) -> Option<Uuid> {
    kind.neutron_router().or_else(|| {
        let uuid = world.row_uuid(table::ROUTER, &Owner::vpc(vpc), "router");
        world.nb().row(table::ROUTER, &uuid).map(|_| uuid)
    })
}

pub(super) fn switch_row(world: &World, name: &str, spec: &SubnetSpec) -> DesiredRow {
    let cluster = &world.config().cluster;
    DesiredRow {
        table: table::SWITCH,
        uuid: world.switch_uuid(name),
        columns: [
            (LogicalSwitch::NAME, string(name)),
            (
                LogicalSwitch::EXTERNAL_IDS,
                Managed::Keys(external_ids(
                    cluster,
                    &Owner::subnet(name),
                    [(SPEC_KEY, Established::text(spec).as_str())],
                )),
            ),
        ]
        .into(),
        edges: Vec::new(),
    }
}

pub(super) fn rows(
    world: &World,
    name: &str,
    spec: &SubnetSpec,
    net: &Net,
    router: Uuid,
    kind: VpcKind,
) -> Rows {
    let cluster = &world.config().cluster;
    let owner = Owner::subnet(name);
    let vpc = spec.vpc.as_str();
    let kept = world.kept_gateway_mac(name);
    let mac = kept.unwrap_or_else(|| gateway_mac(cluster, name)).to_kube_ovn();
    let switch = switch_row(world, name, spec);
    let switch_uuid = switch.uuid;
    let mut rows = vec![switch];
    let port = router_port_name(vpc, name);
    let networks = net.gateways.iter().filter_map(|gateway| {
        Some(IfAddr::within(*gateway, net.cidr.of(Family::of(*gateway))?)?.to_string())
    });
    // One that is kept is so on another router, too: pods know it.
    let mark = kept.map(|_| (MAC_KEY, mac.as_str()));
    let ids = child_ids(cluster, &owner, router, [("lr", vpc), ("ls", name)].into_iter().chain(mark));
    rows.push(DesiredRow {
        table: table::ROUTER_PORT,
        uuid: world.row_uuid(table::ROUTER_PORT, &owner, &format!("port/{vpc}")),
        columns: [
            (LogicalRouterPort::NAME, string(&port)),
            (LogicalRouterPort::MAC, string(&mac)),
            (LogicalRouterPort::NETWORKS, strings(networks)),
            (LogicalRouterPort::EXTERNAL_IDS, ids),
        ]
        .into(),
        edges: vec![Edge { table: table::ROUTER, parent: router, column: LogicalRouter::PORTS }],
    });
    rows.push(DesiredRow {
        table: table::SWITCH_PORT,
        uuid: world.row_uuid(table::SWITCH_PORT, &owner, &format!("port/{vpc}")),
        columns: [
            (LogicalSwitchPort::NAME, string(&switch_port_name(name, vpc))),
            (LogicalSwitchPort::TYPE, string("router")),
            (LogicalSwitchPort::ADDRESSES, strings([mac])),
            (LogicalSwitchPort::OPTIONS, keys([("router-port", &port)])),
            (
                LogicalSwitchPort::EXTERNAL_IDS,
                child_ids(cluster, &owner, switch_uuid, [("ls", name), ("lr", vpc)]),
            ),
        ]
        .into(),
        edges: vec![Edge { table: table::SWITCH, parent: switch_uuid, column: LogicalSwitch::PORTS }],
    });
    if !kind.is_neutron() {
        rows.extend(routing(world, name, net, router));
    }
    Rows { rows, ..Rows::default() }
}

/// On a router of our own: traffic to the subnet is never rerouted to a node (Kube-OVN's priority 31000), and
/// the join subnet carries the default route, so that the policies that reroute are reached.
fn routing(world: &World, name: &str, net: &Net, router: Uuid) -> Vec<DesiredRow> {
    let cluster = &world.config().cluster;
    let owner = Owner::subnet(name);
    let mut rows = Vec::new();
    for cidr in net.cidr.iter() {
        let family = cidr.family();
        let word = if family == Family::V4 { "ip4" } else { "ip6" };
        rows.push(DesiredRow {
            table: table::POLICY,
            uuid: world.row_uuid(table::POLICY, &owner, &format!("allow/{word}")),
            columns: [
                (LogicalRouterPolicy::PRIORITY, Managed::Whole(Datum::integer(31_000))),
                (LogicalRouterPolicy::MATCH, string(&format!("{word}.dst == {cidr}"))),
                (LogicalRouterPolicy::ACTION, string("allow")),
                (LogicalRouterPolicy::EXTERNAL_IDS, child_ids(cluster, &owner, router, [("subnet", name)])),
            ]
            .into(),
            edges: vec![Edge { table: table::ROUTER, parent: router, column: LogicalRouter::POLICIES }],
        });
        let gateway = net.gateways.iter().find(|gateway| Family::of(**gateway) == family);
        if let Some(gateway) = gateway.filter(|_| name == world.config().join_subnet) {
            let everything = if family == Family::V4 { "0.0.0.0/0" } else { "::/0" };
            rows.push(DesiredRow {
                table: table::STATIC_ROUTE,
                uuid: world.row_uuid(table::STATIC_ROUTE, &owner, &format!("default/{word}")),
                columns: [
                    (LogicalRouterStaticRoute::IP_PREFIX, string(everything)),
                    (LogicalRouterStaticRoute::NEXTHOP, string(&gateway.to_string())),
                    (LogicalRouterStaticRoute::EXTERNAL_IDS, child_ids(cluster, &owner, router, [])),
                ]
                .into(),
                edges: vec![Edge {
                    table: table::ROUTER,
                    parent: router,
                    column: LogicalRouter::STATIC_ROUTES,
                }],
            });
        }
    }
    rows
}
