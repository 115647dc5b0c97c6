//! What stands in the way of a take-over: objects and wishes of Kube-OVN's that this version doesn't serve. Pure.
//!
//! Whoever relies on them would lose them without a word, so each blocks. Words come from the same tables as the controller's.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde_json::Value;
use tombolo_api::annotations::{
    EIP, LOGICAL_SWITCH, MULTUS_DEFAULT_NETWORK, NORTH_GATEWAY, SNAT, VPC_EXTERNAL, suffix,
};
use tombolo_api::validate::{self, Place};
use tombolo_api::{DEFAULT_VPC, OVN_PROVIDER, SubnetSpec, VpcSpec};

use super::{flags, router};
use crate::snapshot::Snapshot;

/// Kinds of Kube-OVN's that nothing here serves: resource and kind.
pub const KINDS: [(&str, &str); 22] = [
    ("vlans", "Vlan"),
    ("provider-networks", "ProviderNetwork"),
    ("security-groups", "SecurityGroup"),
    ("vpc-nat-gateways", "VpcNatGateway"),
    ("iptables-eips", "IptablesEIP"),
    ("iptables-fip-rules", "IptablesFIPRule"),
    ("iptables-dnat-rules", "IptablesDnatRule"),
    ("iptables-snat-rules", "IptablesSnatRule"),
    ("ovn-eips", "OvnEip"),
    ("ovn-fips", "OvnFip"),
    ("ovn-snat-rules", "OvnSnatRule"),
    ("ovn-dnat-rules", "OvnDnatRule"),
    ("switch-lb-rules", "SwitchLBRule"),
    ("router-lb-rules", "RouterLBRule"),
    ("vpc-dnses", "VpcDns"),
    ("vpc-egress-gateways", "VpcEgressGateway"),
    ("vips", "Vip"),
    ("ippools", "IPPool"),
    ("qos-policies", "QoSPolicy"),
    ("bgp-confs", "BgpConf"),
    ("evpn-confs", "EvpnConf"),
    ("dnsnameresolvers", "DNSNameResolver"),
];
/// Annotations of Services by which somebody reaches them, on addresses that nothing here has.
const REACHED_BY: [&str; 5] =
    ["vpc", "service_external_ip_from_subnet", "attachmentprovider", "switch_lb_vip", "router_lb_vip"];
/// So many objects of a kind are named.
const NAMED: usize = 5;

/// Everything that is looked at.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Objects of [`KINDS`], by kind; a kind that the API server doesn't know has none.
    pub unserved: BTreeMap<&'static str, Vec<Value>>,
    /// NetworkPolicies, and those of administrators.
    pub policies: Vec<Value>,
    /// Subnets.
    pub subnets: Vec<Value>,
    /// Vpcs.
    pub vpcs: Vec<Value>,
    /// Pods.
    pub pods: Vec<Value>,
    /// Services.
    pub services: Vec<Value>,
    /// IPs.
    pub ips: Vec<Value>,
    /// Kube-OVN's ConfigMaps that switch something on.
    pub switches: Vec<Value>,
    /// Nodes.
    pub nodes: Vec<Value>,
    /// The Deployment and the DaemonSet whose flags are looked at.
    pub workloads: Vec<Value>,
    /// The northbound.
    pub nb: Snapshot,
}

/// The outcome.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// What must be changed first.
    pub blocks: Vec<String>,
    /// What is lost without harm to anything else: pods go on without it.
    pub lost: Vec<String>,
    /// What goes on if ours is told the same.
    pub same: Vec<String>,
}

/// Looks at everything.
pub fn check(facts: &Facts) -> Report {
    let mut report = Report::default();
    for (_, kind) in KINDS {
        let objects = facts.unserved.get(kind).map_or(&[][..], Vec::as_slice);
        if !objects.is_empty() {
            report.blocks.push(format!("{}: this version serves no {kind}", named(kind, objects)));
        }
    }
    if !facts.policies.is_empty() {
        for kind in facts.policies.iter().map(|it| text(it, "kind")).collect::<BTreeSet<_>>() {
            let some: Vec<Value> =
                facts.policies.iter().filter(|it| text(it, "kind") == kind).cloned().collect();
            report.blocks.push(format!(
                "{}: this version enforces none, so what they forbid would pass",
                named(if kind.is_empty() { "NetworkPolicy" } else { kind }, &some)
            ));
        }
    }
    let machines: Vec<Value> =
        facts.ips.iter().filter(|ip| ip["spec"]["podType"] == "VirtualMachine").cloned().collect();
    if !machines.is_empty() {
        report.blocks.push(format!(
            "{}: the port of a KubeVirt VM has the VM's name, which this version doesn't serve",
            named("IP", &machines)
        ));
    }
    for switch in facts.switches.iter().filter(|it| it["data"].as_object().is_some_and(is_on)) {
        report.blocks.push(format!("ConfigMap {}: this version doesn't serve it", full_name(switch)));
    }
    flags::look(&facts.workloads, &mut report);
    for vpc in &facts.vpcs {
        look_at_vpc(vpc, &mut report);
        dropped("Vpc", vpc, &validate::UNSERVED_ON_VPCS, &mut report);
    }
    for node in &facts.nodes {
        dropped("Node", node, &validate::UNSERVED_ON_NODES, &mut report);
    }
    for subnet in &facts.subnets {
        look_at_subnet(subnet, facts, &mut report);
        dropped("Subnet", subnet, &validate::UNSERVED_ON_SUBNETS, &mut report);
    }
    for service in &facts.services {
        look_at_service(service, facts, &mut report);
    }
    for pod in facts.pods.iter().filter(|pod| has_a_port(pod)) {
        let annotations: BTreeMap<String, String> = read(&pod["metadata"]["annotations"]).unwrap_or_default();
        let subnet = annotations.get(LOGICAL_SWITCH);
        let place = subnet.map_or(Place::DefaultVpc, |subnet| place_of_subnet(subnet, facts));
        let limits = validate::pod_limits(&annotations, OVN_PROVIDER, place);
        let words = format!("Pod {}", full_name(pod));
        let (serious, other): (Vec<_>, Vec<_>) =
            limits.into_iter().partition(|it| is_more_than_lost(&it.field));
        add(&words, &other, &mut report);
        report.blocks.extend(serious.iter().map(|problem| format!("{words}: {problem}")));
        if let Some(subnet) = subnet.filter(|_| place == Place::NeutronRouter) {
            admitted(&words, text(&pod["metadata"], "namespace"), subnet, facts, &mut report);
        }
    }
    router::look(facts, &mut report);
    report
}

/// Annotations of an object that nothing here serves, and without which it goes on.
fn dropped(kind: &str, object: &Value, unserved: &[&str], report: &mut Report) {
    let annotations: Option<BTreeMap<String, String>> = read(&object["metadata"]["annotations"]);
    let limits = validate::annotation_limits(unserved, annotations.as_ref());
    add(&format!("{kind} {}", full_name(object)), &limits, report);
}

/// Whether a pod has a port in OVN.
pub fn has_a_port(pod: &Value) -> bool {
    let is_over = ["Succeeded", "Failed"].iter().any(|phase| pod["status"]["phase"] == *phase);
    pod["spec"]["hostNetwork"] != true && !is_over
}

fn is_on(data: &serde_json::Map<String, Value>) -> bool {
    data.iter().any(|(key, value)| key.starts_with("enable") && value == "true")
}

/// Annotations without which a running pod doesn't go on as it was: a further interface, addresses outside, a first interface
/// of another network.
fn is_more_than_lost(field: &str) -> bool {
    let keys = [EIP, SNAT, NORTH_GATEWAY, MULTUS_DEFAULT_NETWORK];
    keys.iter().any(|key| field.contains(key)) || field.contains(".ovn.kubernetes.io/")
}

/// Behind a Neutron router a pod's namespace is admitted by the Vpc and by the Subnet; Kube-OVN asks for less.
fn admitted(words: &str, namespace: &str, subnet: &str, facts: &Facts, report: &mut Report) {
    let Some(subnet) = facts.subnets.iter().find(|it| it["metadata"]["name"] == subnet) else { return };
    let Some(vpc) = facts.vpcs.iter().find(|it| it["metadata"]["name"] == subnet["spec"]["vpc"]) else {
        return;
    };
    for (kind, object) in [("Vpc", vpc), ("Subnet", subnet)] {
        let by_selector = object["spec"]["namespaceSelectors"].as_array().is_some_and(|all| !all.is_empty());
        let lists = object["spec"]["namespaces"].as_array();
        if !by_selector && !lists.is_some_and(|all| all.iter().any(|it| it == namespace)) {
            report.blocks.push(format!(
                "{words}: spec.namespaces of {kind} {} doesn't list {namespace}, so its successor would be refused: add it",
                full_name(object)
            ));
        }
    }
}

/// A Service of pods to which no node has a route: Kube-OVN's load balancer on the switch served it, and kube-proxy can't.
fn look_at_service(service: &Value, facts: &Facts, report: &mut Report) {
    let namespace = text(&service["metadata"], "namespace");
    let annotations: BTreeMap<String, String> = read(&service["metadata"]["annotations"]).unwrap_or_default();
    let default = facts.vpcs.iter().find(|vpc| vpc["status"]["default"] == true);
    let default = default.map_or(DEFAULT_VPC, |vpc| text(&vpc["metadata"], "name"));
    for (key, value) in annotations.iter().filter(|(key, value)| is_of_kube_ovn(key) && asks(value)) {
        let line = format!("Service {}: metadata.annotations[{key}]", full_name(service));
        if suffix(key) == "vpc" && value == default {
            // Kube-OVN's controller wrote it on each Service.
        } else if REACHED_BY.contains(&suffix(key)) {
            report.blocks.push(format!(
                "{line}: clients reach it by {value}, which nothing here serves; give them another way to it and remove the annotation"
            ));
        } else {
            report.lost.push(format!("{line}: Services are kube-proxy's"));
        }
    }
    let leads_to_pods = service["spec"]["selector"].as_object().is_some_and(|all| !all.is_empty())
        && !["None", ""].contains(&text(&service["spec"], "clusterIP"));
    let lists = |subnet: &&Value| {
        let all = subnet["spec"]["namespaces"].as_array();
        all.is_some_and(|all| all.iter().any(|it| it == namespace))
            && place_of_vpc(text(&subnet["spec"], "vpc"), facts) == Place::NeutronRouter
    };
    if let Some(subnet) = facts.subnets.iter().find(lists).filter(|_| leads_to_pods) {
        report.blocks.push(format!(
            "Service {}: its pods are on Subnet {} behind Neutron's router, where kube-proxy doesn't reach them and nothing else serves it",
            full_name(service),
            full_name(subnet)
        ));
    }
}

fn is_of_kube_ovn(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    domain == "ovn.kubernetes.io" || domain.ends_with(".ovn.kubernetes.io")
}

/// Whether an annotation's value wants anything.
fn asks(value: &str) -> bool {
    !matches!(value, "" | "false" | "off")
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_default()
}

fn look_at_vpc(vpc: &Value, report: &mut Report) {
    let words = format!("Vpc {}", full_name(vpc));
    if vpc["status"]["default"] != true && !is_external(vpc) {
        report.blocks.push(format!(
            "{words}: this version serves the default Vpc and Neutron's routers, no Vpc of its own"
        ));
        return;
    }
    let place = if is_external(vpc) { Place::NeutronRouter } else { Place::DefaultVpc };
    match read::<VpcSpec>(&vpc["spec"]) {
        Some(spec) => add(&words, &validate::vpc_limits(&spec, place), report),
        None => report.blocks.push(format!("{words}: its spec can't be read")),
    }
}

fn look_at_subnet(subnet: &Value, facts: &Facts, report: &mut Report) {
    let words = format!("Subnet {}", full_name(subnet));
    match read::<SubnetSpec>(&subnet["spec"]) {
        Some(spec) => {
            add(&words, &validate::subnet_limits(&spec, place_of_vpc(&spec.vpc, facts)), report);
        }
        None => report.blocks.push(format!("{words}: its spec can't be read")),
    }
}

fn add(words: &str, problems: &[validate::Problem], report: &mut Report) {
    for problem in problems {
        let line = format!("{words}: {problem}");
        match problem.severity {
            validate::Severity::Refuse => report.blocks.push(line),
            validate::Severity::Ignored => report.lost.push(line),
        }
    }
}

fn place_of_subnet(subnet: &str, facts: &Facts) -> Place {
    let found = facts.subnets.iter().find(|it| it["metadata"]["name"] == subnet);
    place_of_vpc(found.and_then(|it| it["spec"]["vpc"].as_str()).unwrap_or_default(), facts)
}

fn place_of_vpc(vpc: &str, facts: &Facts) -> Place {
    match facts.vpcs.iter().find(|it| it["metadata"]["name"] == vpc) {
        Some(vpc) if is_external(vpc) => Place::NeutronRouter,
        _ => Place::DefaultVpc,
    }
}

fn is_external(vpc: &Value) -> bool {
    vpc["metadata"]["labels"][VPC_EXTERNAL] == "true"
}

fn read<T: DeserializeOwned>(value: &Value) -> Option<T> {
    serde_json::from_value(value.clone()).ok()
}

/// An object's name, with its namespace where it has one.
pub fn full_name(object: &Value) -> String {
    let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
    match text("namespace") {
        "" => text("name").to_owned(),
        namespace => format!("{namespace}/{}", text("name")),
    }
}

/// A kind and some of its objects: `Vip a, b and 3 more`.
fn named(kind: &str, objects: &[Value]) -> String {
    let names: Vec<String> = objects.iter().take(NAMED).map(full_name).collect();
    let more = objects.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{kind} {}{more}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, spec: Value) -> Value {
        json!({ "metadata": { "name": name }, "spec": spec })
    }

    /// What a default installation of Kube-OVN has.
    fn default_installation() -> Facts {
        let subnet = |name: &str, more: Value| {
            let mut spec = json!({ "vpc": "ovn-cluster", "protocol": "IPv4", "provider": "ovn", "gatewayType": "distributed",
                "cidrBlock": "10.16.0.0/16", "gateway": "10.16.0.1", "enableLb": true, "natOutgoing": true });
            spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            object(name, spec)
        };
        let mut vpc = object("ovn-cluster", json!({}));
        vpc["status"] = json!({ "default": true });
        Facts {
            subnets: vec![
                subnet("ovn-default", json!({})),
                subnet("join", json!({ "disableInterConnection": true })),
            ],
            vpcs: vec![vpc],
            pods: vec![json!({ "metadata": { "name": "p", "namespace": "a",
                "annotations": { "ovn.kubernetes.io/logical_switch": "ovn-default" } } })],
            ..Facts::default()
        }
    }

    /// The same, with a router of Neutron's.
    fn beside_neutron() -> Facts {
        let mut facts = default_installation();
        let mut vpc = object("neutron-1", json!({}));
        vpc["metadata"]["labels"] = json!({ VPC_EXTERNAL: "true" });
        facts.vpcs.push(vpc);
        facts
    }

    #[test]
    fn a_default_installation_can_be_taken_over() {
        assert_eq!(check(&default_installation()), Report::default());
    }

    #[test]
    fn everything_unserved_is_named() {
        let mut facts = default_installation();
        let vips = ["a", "b", "c", "d", "e", "f"].map(|name| object(name, json!({}))).to_vec();
        facts.unserved.insert("Vip", vips);
        facts.policies.push(json!({ "metadata": { "name": "deny", "namespace": "a" } }));
        facts.vpcs.push(object("custom", json!({})));
        facts.subnets[0]["spec"]["private"] = json!(true);
        facts.subnets.push(object("broken", json!({ "excludeIps": 7 })));
        facts.pods[0]["metadata"]["annotations"]["ovn.kubernetes.io/security_groups"] = json!("web");
        facts.pods[0]["metadata"]["annotations"]["ovn.kubernetes.io/ingress_rate"] = json!("3");
        let Report { blocks, lost, .. } = check(&facts);
        for words in [
            "Vip a, b, c, d, e and 1 more: this version serves no Vip",
            "NetworkPolicy a/deny: this version enforces none",
            "Vpc custom: this version serves the default Vpc",
            "Subnet ovn-default: spec.private: this version can't do it",
            "Subnet broken: its spec can't be read",
            "Pod a/p: metadata.annotations[ovn.kubernetes.io/security_groups]",
        ] {
            assert!(blocks.iter().any(|line| line.starts_with(words)), "{words}: {blocks:#?}");
        }
        assert_eq!(blocks.len(), 6, "{blocks:#?}");
        assert_eq!(lost.len(), 1, "{lost:?}");
    }

    #[test]
    fn whatever_runs_and_would_be_cut_off_blocks() {
        let mut facts = default_installation();
        let pod = |name: &str, key: &str, value: &str| json!({ "metadata": { "name": name, "namespace": "a", "annotations": { key: value } } });
        facts.pods = vec![
            pod("second", "net1.default.ovn.kubernetes.io/logical_switch", "ovn-default"),
            pod("outside", "ovn.kubernetes.io/eip", "1.2.3.4"),
            pod("multus", "v1.multus-cni.io/default-network", "macvlan"),
        ];
        let mut over = pod("over", "ovn.kubernetes.io/eip", "1.2.3.5");
        over["status"] = json!({ "phase": "Succeeded" });
        facts.pods.push(over);
        facts.ips.push(json!({ "metadata": { "name": "vm1.a" }, "spec": { "podType": "VirtualMachine" } }));
        facts
            .switches
            .push(json!({ "metadata": { "name": "ovn-external-gw-config", "namespace": "kube-system" },
            "data": { "enable-external-gw": "true" } }));
        facts.policies.push(json!({ "kind": "AdminNetworkPolicy", "metadata": { "name": "deny" } }));
        let Report { blocks, lost, .. } = check(&facts);
        for words in [
            "Pod a/second",
            "Pod a/outside",
            "Pod a/multus",
            "IP vm1.a",
            "ConfigMap kube-system/ovn-external-gw-config",
            "AdminNetworkPolicy deny",
        ] {
            assert!(blocks.iter().any(|line| line.starts_with(words)), "{words}: {blocks:#?}");
        }
        assert_eq!((blocks.len(), lost.len()), (6, 0), "{blocks:#?} {lost:?}");
        facts.switches[0]["data"]["enable-external-gw"] = json!("false");
        assert_eq!(check(&facts).blocks.len(), 5);
    }

    #[test]
    fn annotations_of_other_objects_are_judged_one_by_one() {
        let mut facts = default_installation();
        facts.subnets[0]["metadata"]["annotations"] = json!({ "ovn.kubernetes.io/bgp": "true" });
        facts.vpcs[0]["metadata"]["annotations"] = json!({ "ovn.kubernetes.io/vpc_lb": "on" });
        facts.nodes = vec![json!({ "metadata": { "name": "n1", "annotations":
            { "ovn.kubernetes.io/tunnel_interface": "eth1", "ovn.kubernetes.io/chassis": "c" } } })];
        facts.pods[0]["metadata"]["annotations"]["ovn.kubernetes.io/mirror"] = json!("true");
        let service = |name: &str, annotations: Value| json!({ "metadata": { "name": name, "namespace": "a", "annotations": annotations } });
        facts.services = vec![
            service("usual", json!({ "ovn.kubernetes.io/vpc": "ovn-cluster", "example.com/x": "y" })),
            service("tenant", json!({ "ovn.kubernetes.io/vpc": "tenant" })),
            service("outside", json!({ "ovn.kubernetes.io/service_external_ip_from_subnet": "ext" })),
            service("announced", json!({ "ovn.kubernetes.io/bgp": "cluster" })),
            service("silent", json!({ "ovn.kubernetes.io/switch_lb_vip": "" })),
        ];
        let Report { blocks, lost, same } = check(&facts);
        assert_eq!(blocks.len(), 2, "{blocks:#?}");
        assert!(
            blocks[0].starts_with("Service a/tenant: metadata.annotations[ovn.kubernetes.io/vpc]"),
            "{blocks:?}"
        );
        assert!(
            blocks[1].contains("a/outside") && blocks[1].contains("clients reach it by ext"),
            "{blocks:?}"
        );
        for words in [
            "Vpc ovn-cluster: metadata.annotations[ovn.kubernetes.io/vpc_lb]",
            "Node n1: metadata.annotations[ovn.kubernetes.io/tunnel_interface]",
            "Subnet ovn-default: metadata.annotations[ovn.kubernetes.io/bgp]",
            "Service a/announced: metadata.annotations[ovn.kubernetes.io/bgp]",
            "Pod a/p: metadata.annotations[ovn.kubernetes.io/mirror]",
        ] {
            assert!(lost.iter().any(|line| line.starts_with(words)), "{words}: {lost:#?}");
        }
        assert_eq!((lost.len(), same.len()), (5, 0), "{lost:#?}");
    }

    #[test]
    fn behind_neutrons_router_services_and_namespaces_are_judged() {
        let mut facts = beside_neutron();
        facts.subnets.push(object("net2", json!({ "vpc": "neutron-1", "namespaces": ["net2"] })));
        facts.pods = vec![json!({ "metadata": { "name": "p", "namespace": "net2",
            "annotations": { "ovn.kubernetes.io/logical_switch": "net2" } } })];
        let service = |namespace: &str, ip: &str| {
            json!({ "metadata": { "name": "web", "namespace": namespace },
                "spec": { "selector": { "app": "web" }, "clusterIP": ip } })
        };
        facts.services =
            vec![service("net2", "10.96.0.7"), service("net2", "None"), service("a", "10.96.0.8")];
        let blocks = check(&facts).blocks;
        assert_eq!(blocks.len(), 2, "{blocks:#?}");
        assert!(blocks[0].starts_with("Service net2/web: its pods are on Subnet net2"), "{blocks:?}");
        assert!(blocks[1].contains("spec.namespaces of Vpc neutron-1 doesn't list net2"), "{blocks:?}");
        facts.vpcs[1]["spec"]["namespaces"] = json!(["net2"]);
        facts.services.truncate(0);
        assert_eq!(check(&facts), Report::default());
    }

    #[test]
    fn neutrons_routers_have_limits_of_their_own() {
        let mut facts = beside_neutron();
        facts.subnets.push(object("net2", json!({ "vpc": "neutron-1", "natOutgoing": true })));
        let Report { blocks, .. } = check(&facts);
        assert_eq!(blocks.len(), 1, "{blocks:?}");
        assert!(blocks[0].starts_with("Subnet net2: spec.natOutgoing: not possible"), "{blocks:?}");
    }
}
