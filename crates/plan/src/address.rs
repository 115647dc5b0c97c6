//! What pods and nodes have in common: a port, its address, and an IP object of the port's name.

use std::collections::BTreeMap;
use std::sync::Arc;

use tombolo_api::annotations::POD_UID;
use tombolo_api::views::PodView;
use tombolo_names::Reason;
use tombolo_net::Mac;

use crate::desired::{Kind, Plan, Rows};
use crate::nb;
use crate::owner::{Owner, OwnerKind};
use crate::world::{IpEntry, World};
use crate::write;

/// The value of a port's `addresses`: MAC and addresses, as Kube-OVN prints them.
pub(crate) fn port_addresses(ip: &IpEntry) -> String {
    let mac = ip.mac.map_or_else(|| ip.object.spec.mac_address.clone(), Mac::to_kube_ovn);
    std::iter::once(mac).chain(ip.addresses.iter().map(ToString::to_string)).collect::<Vec<_>>().join(" ")
}

/// The owner has no port any more. Rows first: an address is free only when no port bears it.
pub(crate) fn gone(ip: Option<&Arc<IpEntry>>, explained: bool) -> Plan {
    let ip = ip.filter(|ip| !ip.is_kept());
    let mut plan = Plan { explained, ..Plan::of_rows(Rows::none()) };
    plan.then_write(ip.map(|ip| write::end(Kind::Ip, &ip.object.metadata)));
    plan
}

/// An address that no port bears yet is given up for another one (invariant 5), unless a user chose it.
pub(crate) fn give_up(world: &World, ip: &IpEntry, plan: &mut Plan) {
    if !world.bears(&ip.owner) && !ip.is_kept() {
        plan.then_write([write::end(Kind::Ip, &ip.object.metadata)]);
    }
}

/// Whether another IP object holds the addresses of this one, which is given up then. `word`: how the message begins.
pub(crate) fn is_contested(world: &World, ip: &IpEntry, word: &str, plan: &mut Plan) -> bool {
    let Some(why) = world.contested(ip.name()) else { return false };
    plan.problem(Reason::AcquireAddressFailed, format!("{word}{why}"));
    give_up(world, ip, plan);
    true
}

/// The IP object, and so the port, that would be this owner's is another's of the same name (invariant 10). Who came first
/// keeps it.
pub(crate) fn name_taken(ip_name: &str, holder: &Owner) -> Plan {
    let mut plan = Plan::default();
    let whose = match holder.kind {
        OwnerKind::Ip => "an object that a user made for somebody else".to_owned(),
        _ => format!("that of {holder}"),
    };
    plan.problem(
        Reason::NameTaken,
        format!("the IP object {ip_name}, whose name is that of the port here, is {whose}; delete that, or use another name"),
    );
    plan.waits_for = Some(holder.clone());
    plan
}

/// Whether another owner's port still bears an address of `ip`: the rows of this owner wait for it then, since two
/// ports with one address would be two running pods with one address (invariant 5).
pub(crate) fn other_bears(world: &World, owner: &Owner, ip: &IpEntry, plan: &mut Plan) -> bool {
    for address in &ip.addresses {
        let bearers = nb::bearers(world.nb(), &world.config().cluster, ip.subnet(), *address);
        if let Some(other) = bearers.into_iter().find(|bearer| bearer != owner) {
            plan.problem(
                Reason::AcquireAddressFailed,
                format!("the address {address} is still on the port of {other}"),
            );
            plan.waits_for = Some(other);
            return true;
        }
    }
    false
}

/// The address was chosen for an earlier pod of the same name, whose end no watch delivered.
pub(crate) fn is_of_predecessor(ip: &IpEntry, pod: &PodView) -> bool {
    let chosen_for = ip.annotation(POD_UID);
    matches!((chosen_for, &pod.metadata.uid), (Some(a), Some(b)) if !a.is_empty() && a != b)
}

/// The new pod may ask for other things than its predecessor, and be on another node: it begins with nothing.
pub(crate) fn of_predecessor(ip: &IpEntry) -> Plan {
    let mut plan = Plan { explained: true, ..Plan::of_rows(Rows::none()) };
    let meta = &ip.object.metadata;
    if ip.is_kept() {
        let nobody = BTreeMap::from([(POD_UID, None)]);
        plan.then_write(write::annotations(Kind::Ip, meta, &nobody));
        return plan;
    }
    plan.then_write([write::end(Kind::Ip, meta)]);
    if let Some(held) = write::held_by_others(meta) {
        let text = format!(
            "the address of an earlier pod of this name is still held: the finalizer {held} keeps the IP object {}; the \
             pod is served when whoever put it there takes it away",
            ip.name()
        );
        plan.problem(Reason::AcquireAddressFailed, text);
    }
    plan
}
