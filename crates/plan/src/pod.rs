//! Pods: an address, then a port, then what the pod's node is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use tombolo_api::annotations::{
    ALLOCATED, CIDR, GATEWAY, IP_ADDRESS, LOGICAL_ROUTER, LOGICAL_SWITCH, MAC_ADDRESS, MTU, POD_NIC_TYPE,
    POD_UID, ROUTED, TRUE,
};
use tombolo_api::defaults::DISTRIBUTED;
use tombolo_api::validate::{self, IpPool, Place, PodRequest};
use tombolo_api::views::PodView;
use tombolo_api::{ConditionStatus, Ip, condition};
use tombolo_net::{Mac, parse_addr_pair};
use tombolo_neutron as neutron;

use crate::desired::{AddressRequest, DesiredRow, Edge, Kind, Link, Plan, Rows};
use crate::namespace;
use crate::nb::{self, table};
use crate::node::group_uuid;
use crate::owner::Owner;
use crate::row::{child_ids, string, strings};
use crate::subnet::{is_established, switch_uuid};
use crate::world::{Established, SubnetEntry, World};
use crate::write;

/// Name of a pod's port, and of its IP object.
#[must_use]
pub fn port_name(namespace: &str, name: &str) -> String {
    format!("{name}.{namespace}")
}

/// The value of a port's `addresses`: MAC and addresses, as Kube-OVN prints them.
#[must_use]
pub fn port_addresses(ip: &Ip) -> String {
    let mac = ip.spec.mac_address.parse::<Mac>().map_or(ip.spec.mac_address.clone(), |mac| mac.to_kube_ovn());
    let addresses = parse_addr_pair(&ip.spec.ip_address).unwrap_or_default();
    std::iter::once(mac).chain(addresses.iter().map(ToString::to_string)).collect::<Vec<_>>().join(" ")
}

/// Whether a pod has, or is to get, an interface of ours.
fn is_served(pod: &PodView) -> bool {
    !pod.spec.host_network && !pod.is_finished()
}

/// What should stand of a pod.
pub fn plan(world: &World, owner: &Owner) -> Plan {
    let (namespace, name) = owner.namespaced();
    let ip_name = port_name(namespace, name);
    // Two pods can share a port's name ("a.b" in "c" and "a" in "b.c" can't: a namespace has no dots).
    let ip = world.ips.get(&ip_name).filter(|ip| World::owner_of_ip(ip) == *owner);
    let pod = world.pods.get(&owner.name);
    match pod.filter(|pod| is_served(pod)) {
        None => {
            // Rows first: an address is free only when no port bears it.
            let explained = pod.is_some() || world.seen_deleted.contains(owner);
            let after = ip.map(|ip| write::delete(Kind::Ip, &ip.metadata)).into_iter().collect();
            Plan { rows: Some(Rows::none()), after, explained, ..Plan::default() }
        }
        Some(pod) => match ip {
            None => request(world, owner, pod, ip_name),
            // The new pod may ask for other things, and be on another node: it begins with nothing.
            Some(ip) if is_of_predecessor(ip, pod) => Plan {
                rows: Some(Rows::none()),
                after: vec![write::delete(Kind::Ip, &ip.metadata)],
                explained: true,
                ..Plan::default()
            },
            Some(ip) => serve(world, owner, pod, ip),
        },
    }
}

/// Whether the port of somebody else still bears an address of `ip`: the rows of this owner wait for it then, since
/// two ports of one address would be two running pods of one address (invariant 5).
pub(crate) fn other_bears(world: &World, owner: &Owner, ip: &Ip, plan: &mut Plan) -> bool {
    for address in parse_addr_pair(&ip.spec.ip_address).unwrap_or_default() {
        let bearers = nb::bearers(&world.nb, &world.config.cluster, &ip.spec.subnet, address);
        if let Some(other) = bearers.into_iter().find(|bearer| bearer != owner) {
            plan.problem(
                "AcquireAddressFailed",
                format!("the address {address} is still on the port of {other}"),
            );
            plan.waits_for = Some(other);
            return true;
        }
    }
    false
}

/// The address was chosen for a pod of the same name that is gone, without anybody having seen it go.
fn is_of_predecessor(ip: &Ip, pod: &PodView) -> bool {
    let chosen_for = ip.metadata.annotations.as_ref().and_then(|all| all.get(POD_UID));
    matches!((chosen_for, &pod.metadata.uid), (Some(a), Some(b)) if !a.is_empty() && a != b)
}

/// The pod needs an address.
fn request(world: &World, owner: &Owner, pod: &PodView, ip_name: String) -> Plan {
    let (namespace, name) = owner.namespaced();
    let mut plan = Plan::default();
    let Some(node) = pod.spec.node_name.clone().filter(|node| !node.is_empty()) else { return plan };
    if pod.is_terminating() {
        return plan; // it never got an address and needs none any more
    }
    let none = BTreeMap::new();
    let annotations = pod.metadata.annotations.as_ref().unwrap_or(&none);
    let wanted = match validate::pod(annotations, tombolo_api::OVN_PROVIDER) {
        Ok(wanted) => wanted,
        Err(problems) => {
            for problem in problems {
                plan.problem(problem.reason.as_str(), problem.message);
            }
            return plan;
        }
    };
    let subnets = match &wanted.subnet {
        Some(subnet) => vec![subnet.clone()],
        None => namespace::subnets(world, namespace),
    };
    let usable: Vec<String> = subnets
        .iter()
        .filter(|subnet| {
            is_established(world, subnet)
                && !world.subnets.get(*subnet).is_none_or(SubnetEntry::is_terminating)
        })
        .cloned()
        .collect();
    let Some(first) = usable.first() else {
        match subnets.iter().find(|subnet| world.subnets.contains_key(*subnet)) {
            Some(subnet) => {
                plan.waits_for = Some(Owner::subnet(subnet));
                if world.subnets.get(subnet).is_some_and(SubnetEntry::is_terminating) {
                    let text = format!(
                        "Subnet {subnet} is being deleted and gives no more addresses; name another one"
                    );
                    plan.problem("SubnetNotReady", text);
                } else if let Some(why) = refusal(world, subnet) {
                    plan.problem("SubnetNotReady", format!("the pod waits for Subnet {subnet}: {why}"));
                }
            }
            None => {
                let names = subnets.join(", ");
                let coming = subnets.iter().all(|subnet| *subnet == world.config.default_subnet);
                plan.waits_for = Some(Owner::subnet(subnets.first().map_or("", String::as_str)));
                // The default Subnet is ours to make: a pod that is older than it just waits.
                if !coming {
                    plan.problem(
                        "SubnetNotFound",
                        format!("there is no Subnet {names}; create it, or name another one"),
                    );
                }
            }
        }
        return plan;
    };
    let place = place(world, first);
    let limits = validate::pod_limits(annotations, tombolo_api::OVN_PROVIDER, place);
    for problem in &limits {
        plan.problem(problem.reason.as_str(), problem.message.clone());
    }
    if validate::refused(&limits) {
        return plan;
    }
    if let Some(subnet) = outside(world, &wanted, &usable) {
        plan.problem("AcquireAddressFailed", subnet);
        return plan;
    }
    let addresses = match (&wanted.addresses[..], &wanted.pool) {
        ([], Some(IpPool::Addresses(choices))) => choose(world, &usable, choices),
        ([], Some(IpPool::Named(pool))) => {
            plan.problem("NotSupportedYet", format!("IPPool {pool}: this version doesn't serve IPPools"));
            return plan;
        }
        (addresses, _) => addresses.to_vec(),
    };
    plan.address = Some(AddressRequest {
        ip_name,
        subnets: usable,
        addresses,
        mac: wanted.mac,
        pod_name: name.to_owned(),
        namespace: namespace.to_owned(),
        node,
        pod_type: if pod.stateful_set().is_some() { "StatefulSet".to_owned() } else { String::new() },
        pod_uid: pod.metadata.uid.clone().unwrap_or_default(),
    });
    plan
}

/// Why a Subnet isn't served, in the words of its own condition.
fn refusal<'a>(world: &'a World, subnet: &str) -> Option<&'a str> {
    let status = world.subnets.get(subnet)?.object.status.as_ref()?;
    let ready = condition::get(&status.conditions, condition::READY)?;
    (ready.status == ConditionStatus::False).then_some(ready.message.as_str())
}

fn place(world: &World, subnet: &str) -> Place {
    let vpc = world.established(subnet).map(|it| it.spec.vpc.as_str()).unwrap_or_default();
    if vpc == world.config.cluster_router {
        Place::DefaultVpc
    } else if world.is_external(vpc) {
        Place::NeutronRouter
    } else {
        Place::CustomVpc
    }
}

/// The first of the choices that is free, or the first, so that the allocator says what is wrong with it.
fn choose(world: &World, subnets: &[String], choices: &[Vec<std::net::IpAddr>]) -> Vec<std::net::IpAddr> {
    let free = |choice: &&Vec<std::net::IpAddr>| {
        subnets.iter().filter_map(|subnet| world.pool(subnet)).any(|pool| {
            choice.iter().all(|address| pool.cidr().contains(*address) && pool.holder(*address).is_none())
        })
    };
    choices.iter().find(free).or(choices.first()).cloned().unwrap_or_default()
}

/// Words for a static address that no subnet of the pod contains.
fn outside(world: &World, wanted: &PodRequest, subnets: &[String]) -> Option<String> {
    let address = wanted.addresses.iter().find(|address| {
        !subnets.iter().filter_map(|subnet| world.pool(subnet)).any(|pool| pool.cidr().contains(**address))
    })?;
    let cidrs: Vec<&str> =
        subnets.iter().filter_map(|s| world.established(s)).map(|e| e.spec.cidr_block.as_str()).collect();
    Some(format!(
        "the address {address} asked for by {IP_ADDRESS} is outside of {} ({}); choose one inside, or another subnet",
        subnets.join(", "),
        cidrs.join(", ")
    ))
}

/// The pod has an address.
fn serve(world: &World, owner: &Owner, pod: &Arc<PodView>, ip: &Ip) -> Plan {
    let mut plan = Plan::default();
    let subnet = ip.spec.subnet.as_str();
    if !world.subnets.contains_key(subnet) {
        plan.problem("SubnetNotFound", format!("the Subnet {subnet} of the pod's address is gone"));
        return plan;
    }
    let cluster = &world.config.cluster;
    let uuid = cluster.row_uuid(table::SWITCH_PORT, owner, "port");
    if let Some(why) = world.contested(&ip.metadata.name.clone().unwrap_or_default()) {
        plan.problem("AcquireAddressFailed", why.to_owned());
        // An address that no port bears yet is given up for another one (invariant 5).
        if world.nb.row(table::SWITCH_PORT, &uuid).is_none() {
            plan.before.push(write::delete(Kind::Ip, &ip.metadata));
        }
        return plan;
    }
    let Some(entry) = world.established(subnet).filter(|_| is_established(world, subnet)) else {
        plan.waits_for = Some(Owner::subnet(subnet));
        return plan;
    };
    if other_bears(world, owner, ip, &mut plan) {
        return plan;
    }
    plan.rows = Some(rows(world, owner, pod, ip, entry));
    let mtu = match entry.spec.mtu {
        0 => neutron::router(&world.nb, &entry.spec.vpc)
            .and_then(|router| neutron::router_mtu(&world.nb, &router)),
        mtu => Some(mtu),
    };
    let mut wanted = BTreeMap::from([
        (ALLOCATED, Some(TRUE.to_owned())),
        (IP_ADDRESS, Some(ip.spec.ip_address.clone())),
        (MAC_ADDRESS, Some(ip.spec.mac_address.clone())),
        (CIDR, Some(entry.spec.cidr_block.clone())),
        (GATEWAY, Some(entry.spec.gateway.clone())),
        (LOGICAL_SWITCH, Some(subnet.to_owned())),
        (LOGICAL_ROUTER, Some(entry.spec.vpc.clone())),
        (POD_NIC_TYPE, Some("veth-pair".to_owned())),
        (ROUTED, Some(TRUE.to_owned())),
    ]);
    // While the router or its networks are away, what the pod was told of them stays.
    if mtu.is_some() || !world.is_external(&entry.spec.vpc) {
        wanted.insert(MTU, mtu.map(|mtu| mtu.to_string()));
    }
    plan.after.extend(write::annotations(Kind::Pod, &pod.metadata, &wanted));
    plan
}

fn rows(world: &World, owner: &Owner, pod: &PodView, ip: &Ip, entry: &Established) -> Rows {
    let cluster = &world.config.cluster;
    let (namespace, name) = owner.namespaced();
    let subnet = ip.spec.subnet.as_str();
    let switch = switch_uuid(cluster, subnet);
    let uuid = cluster.row_uuid(table::SWITCH_PORT, owner, "port");
    let addresses = port_addresses(ip);
    let secured = pod.annotation(tombolo_api::annotations::PORT_SECURITY) == Some(TRUE);
    let security: Vec<String> = secured.then(|| addresses.clone()).into_iter().collect();
    let row = DesiredRow {
        table: table::SWITCH_PORT,
        uuid,
        columns: [
            ("name", string(&port_name(namespace, name))),
            ("addresses", strings([addresses])),
            ("port_security", strings(security)),
            (
                "external_ids",
                child_ids(cluster, owner, switch, [("ls", subnet), ("pod", &format!("{namespace}/{name}"))]),
            ),
        ]
        .into(),
        edge: Some(Edge { table: table::SWITCH, parent: switch, column: "ports" }),
    };
    let node = pod.spec.node_name.as_deref().unwrap_or_default();
    let link =
        Link { table: table::PORT_GROUP, row: group_uuid(cluster, node), column: "ports", target: uuid };
    let leaves_by_node =
        entry.spec.vpc == world.config.cluster_router && entry.spec.gateway_type == DISTRIBUTED;
    let (mut links, mut unlinked) = (Vec::new(), Vec::new());
    if !node.is_empty() {
        if leaves_by_node { &mut links } else { &mut unlinked }.push(link);
    }
    Rows { rows: vec![row], links, unlinked }
}
