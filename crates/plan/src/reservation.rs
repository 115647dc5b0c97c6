//! IP objects that users make: an address that is kept from pods, or one for a pod that is yet to come. The pod of that
//! name gets it; what a user made isn't deleted with the pod.

use std::collections::BTreeMap;
use std::net::IpAddr;

use tombolo_api::IpSpec;
use tombolo_api::annotations::{EPOCH, IP_RESERVED_LABEL, POD_UID};
use tombolo_api::validate::{self, PodRequest};
use tombolo_api::views::PodView;
use tombolo_names::Reason;
use tombolo_net::Family;

use crate::desired::{Intent, Kind, Plan};
use crate::limits::{is_refused, limits};
use crate::names::pod_port;
use crate::owner::{Owner, OwnerKind};
use crate::tenancy;
use crate::world::{IpEntry, World};
use crate::write;

/// The desired state of an IP object that a user made: no rows, only its problems.
pub fn plan(world: &World, name: &str) -> Plan {
    let mut plan = Plan::default();
    let Some(ip) = world.ips().get(name).filter(|ip| ip.is_users()) else { return plan };
    let spec = &ip.object.spec;
    let subnet = spec.subnet.as_str();
    if !world.subnets().contains(subnet) {
        let what = format!("there is no Subnet {}, so nothing is reserved", validate::quoted(subnet));
        plan.problem(Reason::SubnetNotFound, what);
    } else if let Some(why) = world.contested(name) {
        plan.problem(Reason::AddressConflict, format!("nothing is reserved in Subnet {subnet}: {why}"));
    }
    let pod = pod_port(&spec.namespace, &spec.pod_name);
    if !spec.pod_name.is_empty()
        && ip.owner.kind == OwnerKind::Ip
        // One of a further interface: kept for it.
        && !name.starts_with(&format!("{pod}."))
    {
        let what = match spec.namespace.as_str() {
            "" => "spec.namespace is empty: the address is kept, but no pod gets it".to_owned(),
            _ => format!(
                "the address is kept, but pod {pod} gets it only from an IP object named {}",
                validate::quoted(&pod)
            ),
        };
        plan.problem(Reason::InvalidName, what);
    }
    plan
}

/// Whether an IP object that outlives its pods has yet to become this pod's.
pub(crate) fn is_to_be_taken(ip: &IpEntry, pod: &PodView) -> bool {
    let Ok((_, mac)) = ip.holds() else { return false };
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    ip.is_kept()
        && (mac.is_none()
            || ip.object.spec.ip_address.is_empty()
            || ip.annotation(POD_UID).unwrap_or_default() != uid)
}

/// The object becomes this pod's: its MAC is filled in, and it says whose it is, before any row uses it (invariant 5).
pub(crate) fn take(world: &World, owner: &Owner, pod: &PodView, ip: &IpEntry, plan: &mut Plan) {
    let name = ip.name();
    let Some(node) = pod.spec.node_name.clone().filter(|node| !node.is_empty()) else { return };
    let (namespace, _) = owner.namespaced();
    let runs = tenancy::runs_with(pod, ip);
    if !runs {
        if let Some(problem) = tenancy::denied(world, ip.subnet(), namespace) {
            plan.problems.push(problem);
            return;
        }
        if let Some(what) = contradiction(pod, ip) {
            plan.problem(
                Reason::AcquireAddressFailed,
                format!("IP object {name} is this pod's, but {what}; change one of them"),
            );
            return;
        }
        // No address is chosen for a pod that finds one: nothing has checked its annotations yet.
        if is_refused(&limits(world, pod, ip.subnet()), plan) {
            return;
        }
    }
    let Some(has) = world.pool(ip.subnet()).and_then(|pool| pool.of_owner(name)) else {
        plan.problem(
            Reason::SubnetNotFound,
            format!("the Subnet {} of IP object {name} isn't there", ip.subnet()),
        );
        plan.waits_for = Some(Owner::subnet(ip.subnet()));
        return;
    };
    let text = |address: Option<IpAddr>| address.map(|a| a.to_string()).unwrap_or_default();
    let spec = IpSpec {
        ip_address: has.ip_text(),
        v4_ip_address: text(has.v4),
        v6_ip_address: text(has.v6),
        // A MAC keeps its user's spelling.
        mac_address: match ip.object.spec.mac_address.trim() {
            "" => has.mac.to_kube_ovn(),
            _ => ip.object.spec.mac_address.clone(),
        },
        node_name: node,
        ..ip.object.spec.clone()
    };
    let mut marks = BTreeMap::from([(POD_UID, pod.metadata.uid.clone())]);
    if runs && ip.label(IP_RESERVED_LABEL).is_none() {
        // A pod that runs with it already got it from an older Kube-OVN, which wrote no label: it ends with the pod.
        marks.insert(EPOCH, Some(world.epoch().to_string()));
    }
    let patches: [Option<Intent>; 2] = [
        write::annotations(Kind::Ip, &ip.object.metadata, &marks),
        write::spec(Kind::Ip, &ip.object.metadata, &ip.object.spec, &spec),
    ];
    plan.then_write(write::merged(patches));
}

/// A wish of a pod that its IP object contradicts, in words.
fn contradiction(pod: &PodView, ip: &IpEntry) -> Option<String> {
    let none = BTreeMap::new();
    let annotations = pod.metadata.annotations.as_ref().unwrap_or(&none);
    let wanted: PodRequest = match validate::pod(annotations, tombolo_api::OVN_PROVIDER) {
        Ok(wanted) => wanted,
        Err(problems) => return problems.into_iter().next().map(|problem| problem.message),
    };
    let (addresses, mac) = ip.holds().ok()?;
    if let Some(subnet) = wanted.subnet.filter(|subnet| *subnet != ip.subnet()) {
        return Some(format!("it is in Subnet {}, and the pod asks for Subnet {subnet}", ip.subnet()));
    }
    if let Some(other) = wanted.addresses.iter().find(|address| !addresses.contains(address)) {
        return Some(format!("it holds {}, and the pod asks for {other}", ip.object.spec.ip_address));
    }
    if let (Some(wanted), Some(mac)) = (wanted.mac, mac)
        && wanted != mac
    {
        return Some(format!("it holds the MAC {mac}, and the pod asks for {wanted}"));
    }
    let other = addresses.iter().find(|address| !wanted.families.contains(&Family::of(**address)))?;
    Some(format!("it holds {other}, and the pod's ip_family excludes that"))
}
