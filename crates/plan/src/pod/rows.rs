//! The rows of a pod: its port, and the entry in its node's port group.

use std::collections::BTreeMap;

use tombolo_api::SubnetSpec;
use tombolo_api::annotations::{CHASSIS, INTERFACE_VERSION, TRUE, is_static_pod};
use tombolo_api::defaults::DISTRIBUTED;
use tombolo_api::views::PodView;
use tombolo_ovn::nb::{LogicalSwitch, LogicalSwitchPort, PortGroup};
use tombolo_ovsdb::{Atom, Uuid};

use crate::address;
use crate::desired::{DesiredRow, Edge, Entry, Managed, Rows};
use crate::names::pod_port;
use crate::nb::table;
use crate::owner::Owner;
use crate::row::{child_ids, string, strings};
use crate::tenancy;
use crate::world::{IpEntry, World};

pub(super) fn rows(world: &World, owner: &Owner, pod: &PodView, ip: &IpEntry, spec: &SubnetSpec) -> Rows {
    let cluster = &world.config().cluster;
    let (namespace, name) = owner.namespaced();
    let subnet = ip.subnet();
    let switch = world.switch_uuid(subnet);
    let uuid = world.row_uuid(table::SWITCH_PORT, owner, "port");
    let mut row = DesiredRow {
        table: table::SWITCH_PORT,
        uuid,
        columns: [
            (LogicalSwitchPort::NAME, string(&pod_port(namespace, name))),
            (LogicalSwitchPort::ADDRESSES, strings([address::port_addresses(ip)])),
            (LogicalSwitchPort::PORT_SECURITY, strings(tenancy::port_security(world, spec, pod, ip))),
            (
                LogicalSwitchPort::EXTERNAL_IDS,
                child_ids(cluster, owner, switch, [("ls", subnet), ("pod", &format!("{namespace}/{name}"))]),
            ),
        ]
        .into(),
        edges: vec![Edge { table: table::SWITCH, parent: switch, column: LogicalSwitch::PORTS }],
    };
    let options = binding(world, pod, ip, &uuid);
    if !options.is_empty() {
        row.columns.insert(LogicalSwitchPort::OPTIONS, Managed::Keys(options));
    }
    let node = pod.spec.node_name.as_deref().unwrap_or_default();
    let leaves_by_node = world.vpc_kind(&spec.vpc).is_default() && spec.gateway_type == DISTRIBUTED;
    let group = Entry {
        table: table::PORT_GROUP,
        row: world.node_group_uuid(node),
        column: PortGroup::PORTS,
        element: Atom::Uuid(uuid),
        value: None,
    };
    let entries = if leaves_by_node && !node.is_empty() { vec![group] } else { Vec::new() };
    Rows { rows: vec![row], entries }
}

/// Which chassis may claim the port, and for which interface: two hosts may have one of the same pod, when a node's agent
/// is dead and its pod came back elsewhere.
fn binding(world: &World, pod: &PodView, ip: &IpEntry, port: &Uuid) -> BTreeMap<String, String> {
    let mut options = BTreeMap::new();
    let node = pod.spec.node_name.as_deref().and_then(|name| world.nodes().get(name));
    let chassis = node.and_then(|node| node.annotation(CHASSIS)).map(str::trim);
    // A comma would name several (ovn-nb(5)).
    let is_one = |name: &&str| !name.is_empty() && !name.contains([',', ' ']);
    if let Some(chassis) = chassis.filter(is_one) {
        options.insert("requested-chassis".to_owned(), chassis.to_owned());
    }
    if let Some(uid) = interface_version(world, pod, ip, port) {
        options.insert(IFACE_ID_VER.to_owned(), uid);
    }
    options
}

/// The UID that the pod's interface must bear for its port to be claimed for it; none if any will do. An interface that was
/// made by an agent that didn't write it, or is to be, would lose its port: so only from the port's first moment, for a pod
/// that doesn't run yet, and if the node's agent writes it. The pod says so then, for a row that has to be made anew.
pub(super) fn interface_version(world: &World, pod: &PodView, ip: &IpEntry, port: &Uuid) -> Option<String> {
    let uid = pod.metadata.uid.clone().filter(|uid| !uid.is_empty())?;
    let node = pod.spec.node_name.as_deref().and_then(|name| world.nodes().get(name));
    let writes = node.is_some_and(|node| node.annotation(INTERFACE_VERSION) == Some(TRUE));
    // A static pod's UID changes while it runs.
    let is_static = is_static_pod(pod.metadata.annotations.as_ref());
    let bound = match world.nb().row(table::SWITCH_PORT, port) {
        Some(row) => row.key("options", IFACE_ID_VER).is_some(),
        None => {
            let begins = writes && !is_static && !tenancy::runs_with(pod, ip);
            begins || pod.annotation(INTERFACE_VERSION) == Some(uid.as_str())
        }
    };
    bound.then_some(uid)
}

/// Key of a port's `options`, and of an interface's `external_ids` (ovn-controller(8)).
const IFACE_ID_VER: &str = "iface-id-ver";
