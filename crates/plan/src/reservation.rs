//! IP objects that users make: an address that is kept from pods, or one for a pod that is yet to come. The pod of that
//! name gets it; what a user made isn't deleted with the pod.

use std::collections::BTreeMap;
use std::net::IpAddr;

use tombolo_api::annotations::{EPOCH, IP_RESERVED_LABEL, POD_UID};
use tombolo_api::validate::{self, PodRequest};
use tombolo_api::views::PodView;
use tombolo_api::{Ip, IpSpec};
use tombolo_names::Reason;
use tombolo_net::{Family, Mac, parse_addr_pair};

use crate::desired::{Intent, Kind, Plan};
use crate::owner::{Owner, OwnerKind};
use crate::pod::{is_refused, limits, port_name};
use crate::tenancy;
use crate::world::World;
use crate::write;

fn annotation<'a>(ip: &'a Ip, key: &str) -> Option<&'a str> {
    ip.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

fn label<'a>(ip: &'a Ip, key: &str) -> Option<&'a str> {
    ip.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

/// Whether a user made the object: our controllers write their epoch on it, Kube-OVN's the label `ip_reserved: false`.
#[must_use]
pub fn is_users(ip: &Ip) -> bool {
    annotation(ip, EPOCH).is_none() && label(ip, IP_RESERVED_LABEL) != Some("false")
}

/// Whether the object outlives its pod: a user made it, or marked it with Kube-OVN's label `ip_reserved: true`.
#[must_use]
pub fn is_kept(ip: &Ip) -> bool {
    is_users(ip) || label(ip, IP_RESERVED_LABEL) == Some("true")
}

/// What an IP object holds: one or two addresses, and a MAC if it says one.
///
/// # Errors
/// What can't be read, in words.
pub fn holds(ip: &Ip) -> Result<(Vec<IpAddr>, Option<Mac>), String> {
    let spec = &ip.spec;
    let text = match spec.ip_address.trim() {
        "" => {
            let parts = [spec.v4_ip_address.trim(), spec.v6_ip_address.trim()];
            parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(",")
        }
        text => text.to_owned(),
    };
    if text.is_empty() {
        return Err("it has no address: write one into spec.ipAddress".to_owned());
    }
    let addresses = parse_addr_pair(&text).map_err(|error| cut(&error))?;
    let mac = match spec.mac_address.trim() {
        "" => None,
        text => Some(text.parse::<Mac>().map_err(|error| cut(&error))?),
    };
    Ok((addresses, mac))
}

fn cut(error: &tombolo_net::ParseError) -> String {
    let text = error.to_string();
    if text.len() > 300 { validate::quoted(&text) } else { text }
}

/// What is wrong with an IP object that a user made. It has no rows.
pub fn plan(world: &World, name: &str) -> Plan {
    let mut plan = Plan::default();
    let Some(ip) = world.ips().get(name).filter(|ip| is_users(ip)) else { return plan };
    let spec = &ip.spec;
    let subnet = spec.subnet.as_str();
    if !world.subnets().contains(subnet) {
        let what = format!("there is no Subnet {}, so nothing is reserved", validate::quoted(subnet));
        plan.problem(Reason::SubnetNotFound, what);
    } else if let Some(why) = world.contested(name) {
        plan.problem(Reason::AddressConflict, format!("nothing is reserved in Subnet {subnet}: {why}"));
    }
    let pod = port_name(&spec.namespace, &spec.pod_name);
    if !spec.pod_name.is_empty()
        && World::owner_of_ip(ip).kind == OwnerKind::Ip
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
pub(crate) fn is_to_be_taken(ip: &Ip, pod: &PodView) -> bool {
    let Ok((_, mac)) = holds(ip) else { return false };
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    is_kept(ip)
        && (mac.is_none()
            || ip.spec.ip_address.is_empty()
            || annotation(ip, POD_UID).unwrap_or_default() != uid)
}

/// The object becomes this pod's: its MAC is filled in, and it says whose it is, before any row uses it (invariant 5).
pub(crate) fn take(world: &World, owner: &Owner, pod: &PodView, ip: &Ip, plan: &mut Plan) {
    let name = ip.metadata.name.as_deref().unwrap_or_default();
    let Some(node) = pod.spec.node_name.clone().filter(|node| !node.is_empty()) else { return };
    let (namespace, _) = owner.namespaced();
    let runs = tenancy::runs_with(pod, ip);
    if !runs {
        if let Some(problem) = tenancy::denied(world, &ip.spec.subnet, namespace) {
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
        // A pod whose address is there before it isn't looked at when one is chosen.
        if is_refused(&limits(world, pod, &ip.spec.subnet), plan) {
            return;
        }
    }
    let Some(has) = world.pool(&ip.spec.subnet).and_then(|pool| pool.of_owner(name)) else {
        plan.problem(
            Reason::SubnetNotFound,
            format!("the Subnet {} of IP object {name} isn't there", ip.spec.subnet),
        );
        plan.waits_for = Some(Owner::subnet(&ip.spec.subnet));
        return;
    };
    let text = |address: Option<IpAddr>| address.map(|a| a.to_string()).unwrap_or_default();
    let spec = IpSpec {
        ip_address: has.ip_text(),
        v4_ip_address: text(has.v4),
        v6_ip_address: text(has.v6),
        // A MAC keeps its user's spelling.
        mac_address: match ip.spec.mac_address.trim() {
            "" => has.mac.to_kube_ovn(),
            _ => ip.spec.mac_address.clone(),
        },
        node_name: node,
        ..ip.spec.clone()
    };
    let mut marks = BTreeMap::from([(POD_UID, pod.metadata.uid.clone())]);
    if runs && label(ip, IP_RESERVED_LABEL).is_none() {
        // A pod that runs with it already got it from an older Kube-OVN, which wrote no label: it ends with the pod.
        marks.insert(EPOCH, Some(world.epoch().to_string()));
    }
    let patches: [Option<Intent>; 2] = [
        write::annotations(Kind::Ip, &ip.metadata, &marks),
        write::spec(Kind::Ip, &ip.metadata, &ip.spec, &spec),
    ];
    plan.before.extend(write::merged(patches));
}

/// What a pod asks for that its IP object isn't, in words.
fn contradiction(pod: &PodView, ip: &Ip) -> Option<String> {
    let none = BTreeMap::new();
    let annotations = pod.metadata.annotations.as_ref().unwrap_or(&none);
    let wanted: PodRequest = match validate::pod(annotations, tombolo_api::OVN_PROVIDER) {
        Ok(wanted) => wanted,
        Err(problems) => return problems.into_iter().next().map(|problem| problem.message),
    };
    let (addresses, mac) = holds(ip).ok()?;
    if let Some(subnet) = wanted.subnet.filter(|subnet| *subnet != ip.spec.subnet) {
        return Some(format!("it is in Subnet {}, and the pod asks for Subnet {subnet}", ip.spec.subnet));
    }
    if let Some(other) = wanted.addresses.iter().find(|address| !addresses.contains(address)) {
        return Some(format!("it holds {}, and the pod asks for {other}", ip.spec.ip_address));
    }
    if let (Some(wanted), Some(mac)) = (wanted.mac, mac)
        && wanted != mac
    {
        return Some(format!("it holds the MAC {mac}, and the pod asks for {wanted}"));
    }
    let other = addresses.iter().find(|address| !wanted.families.contains(&Family::of(**address)))?;
    Some(format!("it holds {other}, and the pod's ip_family excludes that"))
}
