//! Pods: an address, then a port, then the annotations that the pod's node reads.

mod asking;
mod request;
mod rows;

use std::collections::BTreeMap;
use std::sync::Arc;

use tombolo_api::annotations::{
    ALLOCATED, CIDR, GATEWAY, INTERFACE_VERSION, IP_ADDRESS, LOGICAL_ROUTER, LOGICAL_SWITCH, MAC_ADDRESS,
    MTU, POD_NIC_TYPE, POD_UID, ROUTED, TRUE,
};
use tombolo_api::validate;
use tombolo_api::views::PodView;
use tombolo_names::Reason;
use tombolo_net::{Family, Mac};

use self::request::request;
use self::rows::{interface_version, rows};
use crate::address;
use crate::desired::{Intent, Kind, Plan};
use crate::names::pod_port;
use crate::nb::table;
use crate::owner::Owner;
use crate::reservation;
use crate::tenancy;
use crate::unserved;
use crate::world::{Established, IpEntry, World};
use crate::write;

/// Whether a pod has, or is to get, an interface of ours.
fn is_served(pod: &PodView) -> bool {
    !pod.spec.host_network && !pod.is_finished()
}

/// The desired state of a pod.
pub fn plan(world: &World, owner: &Owner) -> Plan {
    let (namespace, name) = owner.namespaced();
    let ip_name = pod_port(namespace, name);
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

/// The pod has an address.
fn serve(world: &World, owner: &Owner, pod: &Arc<PodView>, ip: &IpEntry) -> Plan {
    let mut plan = Plan::default();
    let subnet = ip.subnet();
    let uuid = world.row_uuid(table::SWITCH_PORT, owner, "port");
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
    let established = world.standing(subnet);
    let Some(established) = established else {
        plan.waits_for = Some(Owner::subnet(subnet));
        return plan;
    };
    if address::other_bears(world, owner, ip, &mut plan) {
        return plan;
    }
    let spec = &established.spec;
    plan.problems.extend(unserved::pod(world, pod, subnet, &spec.vpc));
    plan.then_rows(rows(world, owner, pod, ip, spec));
    plan.then_write(annotations(world, owner, pod, ip, established));
    plan
}

/// The annotations that the pod's node reads: the pod's interface and its network.
fn annotations(
    world: &World,
    owner: &Owner,
    pod: &PodView,
    ip: &IpEntry,
    Established { spec, net }: &Established,
) -> Option<Intent> {
    let port = world.row_uuid(table::SWITCH_PORT, owner, "port");
    let mtu = match spec.mtu {
        0 => world.router_mtu(&spec.vpc),
        mtu => Some(mtu),
    };
    let has = |family| ip.addresses.iter().any(|address| Family::of(*address) == family);
    let joined = |texts: Vec<String>| Some(texts.join(","));
    let cidrs = net.cidr.iter().filter(|cidr| has(cidr.family())).map(|cidr| cidr.to_string()).collect();
    let gateways = net.gateways.iter().filter(|it| has(Family::of(**it))).map(ToString::to_string).collect();
    let mut wanted = BTreeMap::from([
        (ALLOCATED, Some(TRUE.to_owned())),
        (IP_ADDRESS, Some(ip.object.spec.ip_address.clone())),
        (CIDR, joined(cidrs)),
        (GATEWAY, joined(gateways)),
        (LOGICAL_SWITCH, Some(ip.subnet().to_owned())),
        (LOGICAL_ROUTER, Some(spec.vpc.clone())),
        (POD_NIC_TYPE, Some(validate::VETH_PAIR.to_owned())),
        (ROUTED, Some(TRUE.to_owned())),
        // The agent believes the words above if this is the pod's own: they may have been copied with its manifest.
        (POD_UID, pod.metadata.uid.clone()),
    ]);
    // A deleted row comes back as it was.
    wanted.insert(INTERFACE_VERSION, interface_version(world, pod, ip, &port));
    // A MAC that the user wrote stays as it is spelled.
    let told = pod.annotation(MAC_ADDRESS).and_then(|text| text.parse::<Mac>().ok());
    if told.is_none() || told != ip.mac {
        wanted.insert(MAC_ADDRESS, Some(ip.object.spec.mac_address.clone()));
    }
    // While the router or its networks are away, the pod's MTU stays.
    if mtu.is_some() || !world.vpc_kind(&spec.vpc).is_neutron() {
        wanted.insert(MTU, mtu.map(|mtu| mtu.to_string()));
    }
    write::annotations(Kind::Pod, &pod.metadata, &wanted)
}
