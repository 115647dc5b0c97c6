//! Pods: an address, then a port, then what the pod's node is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use tombolo_api::SubnetSpec;
use tombolo_api::annotations::{
    ALLOCATED, CHASSIS, CIDR, GATEWAY, INTERFACE_VERSION, IP_ADDRESS, LOGICAL_ROUTER, LOGICAL_SWITCH,
    MAC_ADDRESS, MTU, POD_NIC_TYPE, POD_UID, ROUTED, TRUE, is_static_pod,
};
use tombolo_api::defaults::DISTRIBUTED;
use tombolo_api::validate::{self, Place};
use tombolo_api::views::PodView;
use tombolo_names::Reason;
use tombolo_net::{Family, Mac};
use tombolo_ovn::nb::{LogicalSwitch, LogicalSwitchPort, PortGroup};
use tombolo_ovsdb::Uuid;

use crate::address;
use crate::asking::Asking;
use crate::desired::{AddressRequest, DesiredRow, Edge, Kind, Link, Managed, Plan, Rows};
use crate::namespace;
use crate::nb::table;
use crate::node::group_uuid;
use crate::owner::Owner;
use crate::reservation;
use crate::row::{child_ids, string, strings};
use crate::subnet::{is_established, switch_uuid};
use crate::tenancy;
use crate::unserved;
use crate::world::{IpEntry, World};
use crate::write;

/// Name of a pod's port, and of its IP object.
#[must_use]
pub fn port_name(namespace: &str, name: &str) -> String {
    format!("{name}.{namespace}")
}

/// Whether a pod has, or is to get, an interface of ours.
fn is_served(pod: &PodView) -> bool {
    !pod.spec.host_network && !pod.is_finished()
}

/// What should stand of a pod.
pub fn plan(world: &World, owner: &Owner) -> Plan {
    let (namespace, name) = owner.namespaced();
    let ip_name = port_name(namespace, name);
    let named = world.ips().get(&ip_name);
    let ip = named.filter(|ip| ip.owner == *owner);
    let pod = world.pods().get(&owner.name);
    match (pod.filter(|pod| is_served(pod)), ip) {
        (None, ip) => address::gone(ip, pod.is_some() || world.is_seen_deleted(owner)),
        (Some(pod), None) => match named {
            Some(other) => address::name_taken(&ip_name, &other.owner),
            None => request(world, owner, pod, ip_name),
        },
        (Some(pod), Some(ip)) if address::is_of_predecessor(ip, pod) => address::of_predecessor(ip),
        (Some(pod), Some(ip)) => serve(world, owner, pod, ip),
    }
}

/// The pod needs an address.
fn request(world: &World, owner: &Owner, pod: &PodView, ip_name: String) -> Plan {
    let (namespace, name) = owner.namespaced();
    let mut plan = Plan::default();
    let Some(node) = pod.spec.node_name.clone().filter(|node| !node.is_empty()) else { return plan };
    if pod.is_terminating() {
        return plan; // it never got an address and needs none any more
    }
    if ip_name.len() > NAME_LENGTH {
        let what = format!(
            "the names of pod and namespace have {} characters together, and an IP object's name <pod>.<namespace> at most \
             {NAME_LENGTH}; choose shorter ones",
            ip_name.len()
        );
        plan.problem(Reason::InvalidName, what);
        return plan;
    }
    let none = BTreeMap::new();
    let annotations = pod.metadata.annotations.as_ref().unwrap_or(&none);
    let wanted = match validate::pod(annotations, tombolo_api::OVN_PROVIDER) {
        Ok(wanted) => wanted,
        Err(problems) => {
            for problem in problems {
                plan.problem(problem.reason, problem.message);
            }
            return plan;
        }
    };
    let choice = namespace::of_pod(world, wanted.subnet.as_deref(), namespace);
    plan.problems.extend(choice.refused);
    let usable = choice.usable;
    let Some(first) = usable.first() else {
        plan.waits_for = choice.waits_for;
        return plan;
    };
    if is_refused(&limits(world, pod, first), &mut plan) {
        return plan;
    }
    let ordinal = pod.stateful_set().and_then(|set| name.strip_prefix(set)?.strip_prefix('-')?.parse().ok());
    let asking = Asking { world, ip_name: &ip_name, wanted: &wanted };
    let chosen = match asking.choose(usable, ordinal) {
        Ok(chosen) => chosen,
        Err(refused) => {
            plan.problem(refused.problem.reason, refused.problem.message);
            plan.waits_for = refused.until_changed.map(|subnet| Owner::subnet(&subnet));
            plan.waits_for_address = refused.until_freed;
            return plan;
        }
    };
    plan.address = Some(AddressRequest {
        ip_name,
        subnets: chosen.subnets,
        addresses: chosen.addresses,
        families: wanted.families,
        mac: wanted.mac,
        pod_name: name.to_owned(),
        namespace: namespace.to_owned(),
        node,
        pod_type: if pod.stateful_set().is_some() { "StatefulSet".to_owned() } else { String::new() },
        pod_uid: pod.metadata.uid.clone().unwrap_or_default(),
    });
    plan
}

/// What the pod's annotations ask for that it can't have on a Subnet.
pub(crate) fn limits(world: &World, pod: &PodView, subnet: &str) -> Vec<validate::Problem> {
    let annotations = pod.metadata.annotations.as_ref();
    annotations.map_or_else(Vec::new, |all| {
        validate::pod_limits(all, tombolo_api::OVN_PROVIDER, place(world, subnet))
    })
}

/// Whether the pod isn't to be served for what it can't have, which it is told then. What it can go without is told when
/// it is served (see [`unserved::pod`]).
pub(crate) fn is_refused(limits: &[validate::Problem], plan: &mut Plan) -> bool {
    let refused = validate::refused(limits);
    for problem in limits.iter().filter(|_| refused) {
        plan.problem(problem.reason, problem.message.clone());
    }
    refused
}

/// The longest name of an object.
const NAME_LENGTH: usize = 253;

fn place(world: &World, subnet: &str) -> Place {
    let vpc = world.established(subnet).map(|it| it.spec.vpc.as_str()).unwrap_or_default();
    world.vpc_kind(vpc).place()
}

/// The pod has an address.
fn serve(world: &World, owner: &Owner, pod: &Arc<PodView>, ip: &IpEntry) -> Plan {
    let mut plan = Plan::default();
    let subnet = ip.subnet();
    let cluster = &world.config().cluster;
    let uuid = cluster.row_uuid(table::SWITCH_PORT, owner, "port");
    let port = world.nb().row(table::SWITCH_PORT, &uuid);
    if !world.subnets().contains(subnet) {
        plan.problem(Reason::SubnetNotFound, format!("the Subnet {subnet} of the pod's address is gone"));
        address::give_up(world, ip, &mut plan);
        return plan;
    }
    if address::is_contested(world, ip, "AddressConflict: ", &mut plan) {
        return plan;
    }
    // Whoever may write IP objects or pods' annotations doesn't thereby get into a tenant's network. What runs stays.
    let stands = port.is_some_and(|row| row.key("external_ids", "ls") == Some(subnet));
    if !stands
        && !tenancy::runs_with(pod, ip)
        && let Some(problem) = tenancy::denied(world, subnet, owner.namespaced().0)
    {
        plan.problems.push(problem);
        address::give_up(world, ip, &mut plan);
        return plan;
    }
    if reservation::is_to_be_taken(ip, pod) {
        reservation::take(world, owner, pod, ip, &mut plan);
        return plan;
    }
    let established = world.established(subnet).filter(|_| is_established(world, subnet));
    let Some(established) = established else {
        plan.waits_for = Some(Owner::subnet(subnet));
        return plan;
    };
    if address::other_bears(world, owner, ip, &mut plan) {
        return plan;
    }
    let spec = &established.spec;
    plan.problems.extend(unserved::pod(world, pod, subnet, &spec.vpc));
    plan.rows = Some(rows(world, owner, pod, ip, spec));
    let mtu = match spec.mtu {
        0 => world.router_mtu(&spec.vpc),
        mtu => Some(mtu),
    };
    let has = |family| ip.addresses.iter().any(|address| Family::of(*address) == family);
    let joined = |texts: Vec<String>| Some(texts.join(","));
    let net = &established.net;
    let cidrs = net.cidr.iter().filter(|cidr| has(cidr.family())).map(|cidr| cidr.to_string()).collect();
    let gateways = net.gateways.iter().filter(|it| has(Family::of(**it))).map(ToString::to_string).collect();
    let mut wanted = BTreeMap::from([
        (ALLOCATED, Some(TRUE.to_owned())),
        (IP_ADDRESS, Some(ip.object.spec.ip_address.clone())),
        (CIDR, joined(cidrs)),
        (GATEWAY, joined(gateways)),
        (LOGICAL_SWITCH, Some(subnet.to_owned())),
        (LOGICAL_ROUTER, Some(spec.vpc.clone())),
        (POD_NIC_TYPE, Some(validate::VETH_PAIR.to_owned())),
        (ROUTED, Some(TRUE.to_owned())),
        // The agent believes the words above if this is the pod's own: they may have been copied with its manifest.
        (POD_UID, pod.metadata.uid.clone()),
    ]);
    // A row that somebody deletes comes back as it was.
    wanted.insert(INTERFACE_VERSION, interface_version(world, pod, ip, &uuid));
    // A MAC that the user wrote stays as it is spelled.
    let told = pod.annotation(MAC_ADDRESS).and_then(|text| text.parse::<Mac>().ok());
    if told.is_none() || told != ip.mac {
        wanted.insert(MAC_ADDRESS, Some(ip.object.spec.mac_address.clone()));
    }
    // While the router or its networks are away, what the pod was told of them stays.
    if mtu.is_some() || !world.vpc_kind(&spec.vpc).is_neutron() {
        wanted.insert(MTU, mtu.map(|mtu| mtu.to_string()));
    }
    plan.after.extend(write::annotations(Kind::Pod, &pod.metadata, &wanted));
    plan
}

fn rows(world: &World, owner: &Owner, pod: &PodView, ip: &IpEntry, spec: &SubnetSpec) -> Rows {
    let cluster = &world.config().cluster;
    let (namespace, name) = owner.namespaced();
    let subnet = ip.subnet();
    let switch = switch_uuid(cluster, subnet);
    let uuid = cluster.row_uuid(table::SWITCH_PORT, owner, "port");
    let mut row = DesiredRow {
        table: table::SWITCH_PORT,
        uuid,
        columns: [
            (LogicalSwitchPort::NAME, string(&port_name(namespace, name))),
            (LogicalSwitchPort::ADDRESSES, strings([address::port_addresses(ip)])),
            (LogicalSwitchPort::PORT_SECURITY, strings(tenancy::port_security(world, spec, pod, ip))),
            (
                LogicalSwitchPort::EXTERNAL_IDS,
                child_ids(cluster, owner, switch, [("ls", subnet), ("pod", &format!("{namespace}/{name}"))]),
            ),
        ]
        .into(),
        edge: Some(Edge { table: table::SWITCH, parent: switch, column: LogicalSwitch::PORTS }),
    };
    let options = binding(world, pod, ip, &uuid);
    if !options.is_empty() {
        row.columns.insert(LogicalSwitchPort::OPTIONS, Managed::Keys(options));
    }
    let node = pod.spec.node_name.as_deref().unwrap_or_default();
    let link = Link {
        table: table::PORT_GROUP,
        row: group_uuid(cluster, node),
        column: PortGroup::PORTS,
        target: uuid,
    };
    let leaves_by_node = world.vpc_kind(&spec.vpc).is_default() && spec.gateway_type == DISTRIBUTED;
    let (mut links, mut unlinked) = (Vec::new(), Vec::new());
    if !node.is_empty() {
        if leaves_by_node { &mut links } else { &mut unlinked }.push(link);
    }
    Rows { rows: vec![row], links, unlinked }
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
fn interface_version(world: &World, pod: &PodView, ip: &IpEntry, port: &Uuid) -> Option<String> {
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
