//! Wishes that this version doesn't serve, in words: an Event on the object names each wish that is dropped.
//!
//! A pod's plan reports its own. NetworkPolicies and Services are no owners of rows: the controller follows them beside
//! the engine and takes its words from here.

use std::collections::BTreeMap;

use tombolo_api::views::{NodeView, PodView, ServiceView};
use tombolo_api::{annotations, validate};
use tombolo_names::Reason;

use crate::desired::Problem;
use crate::limits::limits;
use crate::world::World;

/// Reasons of what holds for as long as the object is as it is: one Event for an object and a reason is enough,
/// across leaders.
pub const REASONS: [Reason; 6] = [
    Reason::NetworkPolicyNotEnforced,
    Reason::ServiceCannotReachPods,
    Reason::ServiceNotServed,
    Reason::ProbesNotServed,
    Reason::HostPortNotServed,
    Reason::AnnotationNotServed,
];

const READ: &str = "see \"Behind a Neutron router\" in docs/understand/differences.md";

fn problem(reason: Reason, message: String) -> Problem {
    Problem { reason, message }
}

/// Annotations of a Node that have no effect.
#[must_use]
pub fn node(node: &NodeView) -> Option<Problem> {
    dropped(&validate::annotation_limits(&validate::UNSERVED_ON_NODES, node.metadata.annotations.as_ref()))
}

/// All that an object goes without, in one Event: its reason is said once.
fn dropped(limits: &[validate::Problem]) -> Option<Problem> {
    validate::summary(limits).map(|(_, text)| problem(Reason::AnnotationNotServed, text))
}

/// Wishes that a served pod doesn't get on this Subnet. Its annotations may be younger than its address.
pub(crate) fn pod(world: &World, pod: &PodView, subnet: &str, vpc: &str) -> Vec<Problem> {
    let mut all: Vec<Problem> = dropped(&limits(world, pod, subnet)).into_iter().collect();
    let needs = pod.spec.needs();
    if !(needs.probes || needs.host_ports) || !world.vpc_kind(vpc).is_neutron() {
        return all;
    }
    let place = format!("Subnet {subnet} behind Neutron's router {vpc}");
    if needs.probes {
        all.push(problem(
            Reason::ProbesNotServed,
            format!(
                "a node has no route to pods on {place}: the kubelet's probes by httpGet, tcpSocket and grpc fail there, \
                 so the pod never gets ready or is started over and over; use probes by exec, {READ}"
            ),
        ));
    }
    if needs.host_ports {
        all.push(problem(
            Reason::HostPortNotServed,
            format!("a node has no route to pods on {place}: hostPort leads nowhere there, {READ}"),
        ));
    }
    all
}

/// Where the pods of a namespace are, if nodes have no route to them: words for the first such Subnet among `subnets`.
#[must_use]
pub fn unreachable(world: &World, subnets: &str) -> Option<String> {
    subnets.split(',').find_map(|name| {
        let vpc = world.established(name.trim())?.spec.vpc.as_str();
        world
            .vpc_kind(vpc)
            .is_neutron()
            .then(|| format!("Subnet {} behind Neutron's router {vpc}", name.trim()))
    })
}

/// The report on a NetworkPolicy.
#[must_use]
pub fn network_policy() -> Problem {
    problem(
        Reason::NetworkPolicyNotEnforced,
        "no NetworkPolicy is enforced in this version: what this one forbids passes all the same; see \"Status\" in the \
         README (--enable-np=false on kube-ovn-controller says that another program enforces it)"
            .to_owned(),
    )
}

/// The report on a Service. `behind`: where the pods of its namespace are, if nodes have no route to them.
#[must_use]
pub fn service(service: &ServiceView, default_vpc: &str, behind: Option<&str>) -> Vec<Problem> {
    let mut all = Vec::new();
    let none = BTreeMap::new();
    let present = service.metadata.annotations.as_ref().unwrap_or(&none);
    let dropped: Vec<&str> = present
        .iter()
        .filter(|(key, _)| is_of_kube_ovn(key))
        // Kube-OVN's controller wrote this one itself on each Service.
        .filter(|(key, value)| {
            key.as_str() != annotations::key("ovn", "vpc")
                || !value.is_empty() && value.as_str() != default_vpc
        })
        .map(|(key, _)| key.as_str())
        .take(8)
        .collect();
    if !dropped.is_empty() {
        all.push(problem(
            Reason::ServiceNotServed,
            format!(
                "{} has no effect: Services are kube-proxy's in this version; see \"Status\" in the README",
                dropped.join(", ")
            ),
        ));
    }
    all.extend(behind.filter(|_| service.leads_to_pods()).map(service_unreachable));
    all
}

/// The report on a Service whose pods are in such a place.
#[must_use]
pub fn service_unreachable(place: &str) -> Problem {
    problem(
        Reason::ServiceCannotReachPods,
        format!(
            "pods of this namespace are on {place}, to which nodes have no route: neither the Service's address nor a \
             NodePort leads to them; reach them by their own addresses (a headless Service tells them), {READ}"
        ),
    )
}

fn is_of_kube_ovn(key: &str) -> bool {
    key.split_once('/').is_some_and(|(domain, _)| {
        domain == "ovn.kubernetes.io" || domain == "kubeovn.io" || domain.ends_with(".kubeovn.io")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reasons(annotations: serde_json::Value, spec: serde_json::Value, behind: Option<&str>) -> Vec<Reason> {
        let object = json!({ "metadata": { "name": "s", "annotations": annotations }, "spec": spec });
        let service: ServiceView = serde_json::from_value(object).unwrap();
        super::service(&service, "ovn-cluster", behind).into_iter().map(|p| p.reason).collect()
    }

    #[test]
    fn services_are_told_what_they_lack_and_no_more() {
        let plain = json!({ "clusterIP": "10.96.0.9", "selector": { "app": "a" } });
        let net2 = Some("Subnet net2");
        assert!(reasons(json!({}), plain.clone(), None).is_empty());
        assert!(reasons(json!({ "ovn.kubernetes.io/vpc": "ovn-cluster" }), plain.clone(), None).is_empty());
        assert!(reasons(json!({ "metallb.io/pool": "a" }), plain.clone(), None).is_empty());
        for key in [
            "ovn.kubernetes.io/vpc",
            "ovn.kubernetes.io/switch_lb_vip",
            "ovn.kubernetes.io/bgp",
            "kubeovn.io/x",
            "lb.kubeovn.io/x",
        ] {
            assert_eq!(
                reasons(json!({ key: "x" }), plain.clone(), None),
                [Reason::ServiceNotServed],
                "{key}"
            );
        }
        assert_eq!(reasons(json!({}), plain, net2), [Reason::ServiceCannotReachPods]);
        for other in [
            json!({ "clusterIP": "None", "selector": { "app": "a" } }),
            json!({ "clusterIP": "10.96.0.9" }),
            json!({ "type": "ExternalName", "externalName": "x", "selector": { "app": "a" } }),
        ] {
            assert!(reasons(json!({}), other.clone(), net2).is_empty(), "{other}");
        }
    }
}
