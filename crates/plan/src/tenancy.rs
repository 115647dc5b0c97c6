//! Which pods a Subnet serves, and what they may send (invariant 12).
//!
//! On the default Vpc Kube-OVN's semantics stay: a pod may name any Subnet. Elsewhere a Subnet is a tenant's: the Vpc *and*
//! the Subnet have to list or select the pod's namespace, whatever annotations say. Reads what is established, not what is
//! wished (invariant 11).

use std::collections::BTreeMap;

use tombolo_api::validate::{self, Allowed, Grants};
use tombolo_api::views::PodView;
use tombolo_api::{SubnetSpec, annotations as keys};
use tombolo_names::Reason;
use tombolo_net::{Family, Mac};

use crate::desired::Problem;
use crate::world::{IpEntry, World};

/// Whether a Subnet lists a namespace, or selects it by its labels.
fn has(world: &World, spec: &SubnetSpec, namespace: &str) -> bool {
    let none = BTreeMap::new();
    let labels = world.namespaces().get(namespace).and_then(|object| object.metadata.labels.as_ref());
    spec.namespaces.iter().any(|it| it == namespace)
        || spec.namespace_selectors.iter().any(|it| it.matches(labels.unwrap_or(&none)))
}

/// Why no (further) pod of a namespace may be on a Subnet; `None` if it may, or if nothing of the Subnet stands.
pub(crate) fn denied(world: &World, subnet: &str, namespace: &str) -> Option<Problem> {
    let problem = |reason: Reason, message: String| Some(Problem { reason, message });
    if subnet == world.config().join_subnet {
        let text = format!("Subnet {subnet} is the nodes' own, and no pod can be on it; name another one");
        return problem(Reason::SubnetIsForNodes, text);
    }
    let spec = &world.standing(subnet)?.spec;
    let vpc = spec.vpc.as_str();
    if world.vpc_kind(vpc).is_default() {
        return None;
    }
    let listed = |vpc: &str| {
        world.vpcs().get(vpc).is_some_and(|object| object.spec.namespaces.iter().any(|it| it == namespace))
    };
    if !listed(vpc) {
        let text = format!(
            "Subnet {subnet} is on Vpc {vpc}, which doesn't have namespace {namespace} in its spec.namespaces: no pod of \
             the namespace is let in until it is there"
        );
        return problem(Reason::NamespaceNotInVpc, text);
    }
    if !has(world, spec, namespace) {
        let text = format!(
            "Subnet {subnet} of Vpc {vpc} neither has namespace {namespace} in its spec.namespaces nor selects it: no pod \
             of the namespace is let in until it does"
        );
        return problem(Reason::NamespaceNotInSubnet, text);
    }
    None
}

/// Whether pods of a namespace may not be put elsewhere while none of its Subnets can serve them: a Vpc other than the
/// default one has it, or a Subnet that names such a Vpc lists it. Their user wants them apart from the rest of the
/// cluster; the default Subnet would be the wrong network. A Subnet of a Vpc that doesn't exist, by a typing error say, binds
/// no namespace.
pub(crate) fn bound(world: &World, namespace: &str) -> bool {
    let default = world.config().cluster_router.as_str();
    // A router of OpenStack's may be yet to come, or come back.
    let is_tenants =
        |vpc: &str| vpc != default && (vpc.starts_with("neutron-") || world.vpcs().contains(vpc));
    world.vpcs_of_namespace(namespace).any(|vpc| vpc != default)
        || world.listing_subnets(namespace).any(|subnet| {
            let wished = world.subnets().get(subnet).is_some_and(|entry| is_tenants(&entry.spec.vpc));
            wished || world.standing(subnet).is_some_and(|it| it.spec.vpc != default)
        })
}

/// Grants of a Subnet's annotations to its pods.
pub(crate) fn grants(world: &World, subnet: &str) -> Grants {
    let annotations =
        world.subnets().get(subnet).and_then(|entry| entry.object.metadata.annotations.as_ref());
    let (Some(all), Some(established)) = (annotations, world.established(subnet)) else {
        return Grants::default();
    };
    validate::subnet_annotations(Some(all), established.net.cidr, &established.net.gateways).0
}

/// The port security of a pod's port: its MAC with all that it may send from; empty for anything. On a router of
/// Neutron's the pods' neighbors are VMs whose ports have it, so it is on; only the Subnet can switch it off.
pub(crate) fn port_security(world: &World, spec: &SubnetSpec, pod: &PodView, ip: &IpEntry) -> Vec<String> {
    let grants = grants(world, ip.subnet());
    let asked = pod.annotation(keys::PORT_SECURITY).is_some_and(|it| it.trim() == keys::TRUE);
    let by_place = world.config().port_security || world.vpc_kind(&spec.vpc).is_neutron();
    if !asked && (!by_place || grants.unsecured) {
        return Vec::new();
    }
    let own = &ip.addresses;
    let has_family = |family| own.iter().any(|address| Family::of(*address) == family);
    let allowed = grants.allowed.iter().filter(|it| has_family(it.family()));
    // One that is the pod's own is there once.
    let allowed = allowed.filter(|it| !matches!(it, Allowed::Address(address) if own.contains(address)));
    let mac = ip.mac.map_or_else(|| ip.object.spec.mac_address.clone(), Mac::to_kube_ovn);
    let words: Vec<String> = std::iter::once(mac)
        .chain(own.iter().map(ToString::to_string))
        .chain(allowed.map(ToString::to_string))
        .collect();
    vec![words.join(" ")]
}

/// Whether a pod runs with an address already, by kubelet's word: what it has isn't taken from it.
pub(crate) fn runs_with(pod: &PodView, ip: &IpEntry) -> bool {
    let address = pod.status.pod_ip.as_deref().and_then(|text| text.parse::<std::net::IpAddr>().ok());
    address.is_some_and(|address| ip.addresses.contains(&address))
}
