//! Tenants are apart: who gets onto which Subnet, and what a pod may send (invariants 11 and 12).

use serde_json::{Value, json};
use tombolo_plan::Kind;
use tombolo_tests_sim::situations::{VPC, document, installed, net2, openstack};
use tombolo_tests_sim::{Sim, config};

const IP: &str = "ovn.kubernetes.io/ip_address";
const SWITCH: &str = "ovn.kubernetes.io/logical_switch";
const SECURITY: &str = "ovn.kubernetes.io/port_security";

/// A column of a pod's or node's port.
fn port(sim: &Sim, name: &str, column: &str) -> Option<Vec<String>> {
    let rows = sim.nb().rows();
    let (_, row) = rows.rows("Logical_Switch_Port").find(|(_, row)| row.str("name") == Some(name))?;
    let strings = row.get(column).into_iter().flat_map(|it| it.strings());
    Some(strings.map(str::to_owned).collect())
}

fn told(sim: &Sim, name: &str, word: &str) -> bool {
    sim.notices.iter().any(|notice| notice.name == name && notice.message.contains(word))
}

fn annotate(sim: &mut Sim, kind: Kind, name: &str, annotations: &Value) {
    sim.apply(kind, &json!({ "metadata": { "name": name, "annotations": annotations } }));
}

#[test]
fn a_pod_gets_onto_a_tenants_subnet_by_the_words_of_vpc_and_subnet_alone() {
    // invariant 12
    let mut sim = document();
    sim.namespace("evil");
    sim.pod_with("evil", "by-name", "host1", &[(SWITCH, "net2")]);
    sim.pod_with("evil", "by-address", "host1", &[(SWITCH, "net2"), (IP, "12.0.1.50")]);
    sim.pod_with(
        "evil",
        "by-pool",
        "host1",
        &[(SWITCH, "net2"), ("ovn.kubernetes.io/ip_pool", "12.0.1.50,12.0.1.51")],
    );
    sim.converge();
    for pod in ["by-name", "by-address", "by-pool"] {
        assert_eq!(sim.pod_address(&format!("evil/{pod}")), None, "{pod}");
        assert_eq!(port(&sim, &format!("{pod}.evil"), "addresses"), None, "{pod}");
        assert_eq!(sim.reasons(Kind::Pod, pod), ["NamespaceNotInVpc"], "{pod}");
    }
    // The namespace's own annotations give nothing either.
    annotate(&mut sim, Kind::Namespace, "evil", &json!({ SWITCH: "net2" }));
    sim.pod("evil", "plain", "host1");
    sim.converge();
    assert!(sim.pod_address("evil/plain").is_some_and(|it| it.starts_with("10.16.")));
    // One word isn't enough …
    sim.vpc_namespaces(VPC, &["net2", "evil"]);
    sim.converge();
    assert_eq!(sim.reasons(Kind::Pod, "by-name"), ["NamespaceNotInVpc", "NamespaceNotInSubnet"]);
    assert_eq!(sim.pod_address("evil/by-name"), None);
    // … two are, and those that wait hear of it.
    sim.subnet("net2", &json!({ "namespaces": ["net2", "evil"] }));
    sim.converge();
    assert!(sim.pod_address("evil/by-name").is_some_and(|it| it.starts_with("12.0.1.")));
    assert!(sim.pod_address("evil/by-pool").is_some_and(|it| it.starts_with("12.0.1.5")));
}

#[test]
fn a_selector_counts_as_the_subnets_word_and_not_as_the_vpcs() {
    let mut sim = document();
    sim.apply(Kind::Namespace, &json!({ "metadata": { "name": "red", "labels": { "team": "red" } } }));
    sim.apply(Kind::Namespace, &json!({ "metadata": { "name": "blue", "labels": { "team": "red" } } }));
    sim.subnet("net2", &json!({ "namespaceSelectors": [{ "matchLabels": { "team": "red" } }] }));
    sim.vpc_namespaces(VPC, &["net2", "red"]);
    sim.converge();
    sim.pod("red", "a", "host1");
    sim.pod("blue", "a", "host1");
    sim.pod_with("blue", "b", "host1", &[(SWITCH, "net2")]);
    sim.converge();
    assert!(sim.pod_address("red/a").is_some_and(|it| it.starts_with("12.0.1.")));
    // The Vpc didn't say so: the cluster's own network, not the tenant's.
    assert!(sim.pod_address("blue/a").is_some_and(|it| it.starts_with("10.16.")));
    assert_eq!(sim.pod_address("blue/b"), None);
    assert_eq!(sim.reasons(Kind::Namespace, "blue"), ["NamespaceNotInVpc"]);
    // The label goes: its pods that run stay, and no new one comes.
    sim.apply(Kind::Namespace, &json!({ "metadata": { "name": "red", "labels": { "team": null } } }));
    sim.pod("red", "late", "host1");
    sim.converge();
    assert!(sim.pod_address("red/a").is_some_and(|it| it.starts_with("12.0.1.")));
    assert_eq!(
        sim.pod_address("red/late"),
        None,
        "a namespace of a tenant's Vpc isn't put into the default network"
    );
    assert_eq!(sim.reasons(Kind::Pod, "late"), ["NoSubnetInVpc"]);
}

#[test]
fn a_namespace_that_leaves_keeps_what_runs_and_lets_nobody_in() {
    let mut sim = document();
    let before = port(&sim, "ubuntu.net2", "addresses");
    sim.vpc_namespaces(VPC, &[]);
    sim.pod("net2", "late", "host1");
    sim.pod_with("net2", "named", "host1", &[(SWITCH, "net2")]);
    sim.converge();
    assert_eq!(port(&sim, "ubuntu.net2", "addresses"), before);
    assert_eq!((sim.pod_address("net2/late"), sim.pod_address("net2/named")), (None, None));
    assert_eq!(sim.reasons(Kind::Pod, "late"), ["NamespaceNotInVpc"]);
    assert_eq!(sim.reasons(Kind::Pod, "named"), ["NamespaceNotInVpc"]);
    sim.vpc_namespaces(VPC, &["net2"]);
    sim.converge();
    assert!(sim.pod_address("net2/late").is_some() && sim.pod_address("net2/named").is_some());
}

#[test]
fn an_ip_object_is_no_way_in_either() {
    // invariant 12: a hand-made IP object of a pod of another namespace.
    let mut sim = document();
    sim.namespace("evil");
    let spec = json!({ "podName": "p", "namespace": "evil", "subnet": "net2", "ipAddress": "12.0.1.77",
        "v4IpAddress": "12.0.1.77", "macAddress": "00:00:00:AA:BB:77" });
    sim.apply(Kind::Ip, &json!({ "metadata": { "name": "p.evil" }, "spec": spec }));
    sim.pod("evil", "p", "host1");
    sim.converge();
    assert_eq!(port(&sim, "p.evil", "addresses"), None);
    assert_eq!(sim.pod_address("evil/p"), None);
    assert_eq!(sim.reasons(Kind::Pod, "p"), ["NamespaceNotInVpc"]);
    // One that is moved there by hand stays where it is.
    sim.pod("evil", "q", "host1");
    sim.converge();
    let before = port(&sim, "q.evil", "addresses");
    assert!(before.is_some());
    sim.apply(Kind::Ip, &json!({ "metadata": { "name": "q.evil" }, "spec": { "subnet": "net2", "ipAddress": "12.0.1.78", "v4IpAddress": "12.0.1.78" } }));
    sim.converge();
    assert_eq!(port(&sim, "q.evil", "addresses"), before);
}

#[test]
fn the_nodes_subnet_is_no_pods() {
    let mut sim = installed();
    sim.pod_with("kube-system", "p", "host1", &[(SWITCH, "join")]);
    sim.converge();
    assert_eq!(sim.pod_address("kube-system/p"), None);
    assert_eq!(sim.reasons(Kind::Pod, "p"), ["SubnetIsForNodes"]);
}

#[test]
fn on_the_default_vpc_a_pod_may_name_a_subnet() {
    let mut sim = installed();
    sim.namespace("a");
    sim.subnet("other", &json!({ "cidrBlock": "10.77.0.0/24" }));
    sim.converge();
    sim.pod_with("a", "p", "host1", &[(SWITCH, "other")]);
    sim.converge();
    assert_eq!(sim.pod_address("a/p"), Some("10.77.0.2"));
}

#[test]
fn pods_beside_vms_send_from_their_own_addresses_whatever_they_say() {
    // invariant 12
    let mut sim = document();
    sim.pod_with("net2", "sly", "host1", &[(SECURITY, "false")]);
    sim.converge();
    for pod in ["ubuntu.net2", "sly.net2"] {
        assert_eq!(port(&sim, pod, "port_security"), port(&sim, pod, "addresses"), "{pod}");
    }
    // The Subnet's owner adds an address, and may switch it off.
    annotate(
        &mut sim,
        Kind::Subnet,
        "net2",
        &json!({ "tombolo.io/allowed-addresses": "12.0.1.100,12.0.1.0/29,12.0.1.64/28" }),
    );
    sim.converge();
    let security = port(&sim, "sly.net2", "port_security").unwrap_or_default();
    assert!(security[0].ends_with(" 12.0.1.100 12.0.1.64/28"), "{security:?}");
    assert!(told(&sim, "net2", "holds the gateway"), "what grants nothing is said");
    annotate(&mut sim, Kind::Subnet, "net2", &json!({ "tombolo.io/port-security": "false" }));
    sim.converge();
    assert_eq!(port(&sim, "sly.net2", "port_security"), Some(Vec::new()));
    annotate(
        &mut sim,
        Kind::Subnet,
        "net2",
        &json!({ "tombolo.io/port-security": null, "tombolo.io/allowed-addresses": null }),
    );
    sim.converge();
    assert_eq!(port(&sim, "sly.net2", "port_security"), port(&sim, "sly.net2", "addresses"));
}

#[test]
fn on_the_default_vpc_a_pod_may_secure_its_port_and_a_flag_secures_all() {
    let mut sim = installed();
    sim.namespace("a");
    sim.pod("a", "open", "host1");
    sim.pod_with("a", "secured", "host1", &[(SECURITY, "true")]);
    sim.converge();
    assert_eq!(port(&sim, "open.a", "port_security"), Some(Vec::new()));
    assert_eq!(port(&sim, "secured.a", "port_security"), port(&sim, "secured.a", "addresses"));
    let mut sim = Sim::new(tombolo_plan::Config { port_security: true, ..config() }, 1);
    sim.node("host1", "172.16.0.1");
    sim.namespace("a");
    sim.pod_with("a", "p", "host1", &[(SECURITY, "false")]);
    sim.converge();
    assert_eq!(port(&sim, "p.a", "port_security"), port(&sim, "p.a", "addresses"));
}

#[test]
fn a_static_address_in_exclude_ips_takes_the_subnets_word() {
    let mut sim = installed();
    sim.namespace("a");
    sim.subnet("s", &json!({ "cidrBlock": "10.77.0.0/24", "namespaces": ["a"], "excludeIps": ["10.77.0.10..10.77.0.20"] }));
    sim.converge();
    sim.pod_with("a", "static", "host1", &[(IP, "10.77.0.15")]);
    sim.pod_with("a", "pool", "host1", &[("ovn.kubernetes.io/ip_pool", "10.77.0.16,10.77.0.30")]);
    sim.pod_with("a", "gateway", "host1", &[(IP, "10.77.0.1")]);
    sim.converge();
    assert_eq!(sim.pod_address("a/static"), None);
    assert!(told(&sim, "static", "tombolo.io/static-in-excluded"));
    assert_eq!(sim.pod_address("a/pool"), Some("10.77.0.30"));
    assert!(told(&sim, "gateway", "is the gateway"));
    annotate(&mut sim, Kind::Subnet, "s", &json!({ "tombolo.io/static-in-excluded": "true" }));
    sim.converge();
    assert_eq!(sim.pod_address("a/static"), Some("10.77.0.15"));
    assert_eq!(sim.pod_address("a/gateway"), None);
    // What has its address keeps it when the word is taken back.
    annotate(&mut sim, Kind::Subnet, "s", &json!({ "tombolo.io/static-in-excluded": null }));
    sim.delete(Kind::Ip, "", "static.a");
    sim.converge();
    assert_eq!(sim.pod_address("a/static"), Some("10.77.0.15"));
}

#[test]
fn a_subnet_that_is_not_served_takes_nobody_down() {
    // invariant 11
    let mut sim = installed();
    sim.namespace("default");
    sim.subnet(
        "typo",
        &json!({ "vpc": "typo", "namespaces": ["default", "kube-system"], "cidrBlock": "10.88.0.0/24" }),
    );
    sim.converge();
    sim.pod("default", "p", "host1");
    sim.pod("kube-system", "dns", "host1");
    sim.converge();
    for pod in ["default/p", "kube-system/dns"] {
        assert!(sim.pod_address(pod).is_some_and(|it| it.starts_with("10.16.")), "{pod}");
    }
    assert!(told(&sim, "p", "there is no Vpc typo"), "{:?}", sim.notices);
    let annotations = &sim.object(Kind::Namespace, "default")["metadata"]["annotations"];
    assert_eq!(annotations["ovn.kubernetes.io/cidr"], "10.16.0.0/16");
    // The next Subnet of the namespace comes before the default one.
    sim.subnet("good", &json!({ "namespaces": ["default"], "cidrBlock": "10.89.0.0/24" }));
    sim.converge();
    sim.pod("default", "q", "host1");
    sim.converge();
    assert_eq!(sim.pod_address("default/q"), Some("10.89.0.2"));
    // What was refused is put right: from then on it serves.
    sim.subnet("typo", &json!({ "vpc": "ovn-cluster", "namespaces": ["kube-system"] }));
    sim.converge();
    sim.pod("kube-system", "dns2", "host1");
    sim.converge();
    assert_eq!(sim.pod_address("kube-system/dns2"), Some("10.88.0.2"));
}

#[test]
fn a_tenants_namespace_waits_rather_than_be_in_the_default_network() {
    let mut sim = installed();
    openstack(&mut sim);
    sim.settle();
    sim.namespace("net2");
    sim.vpc_namespaces(VPC, &["net2"]);
    sim.pod("net2", "early", "host1");
    sim.converge();
    assert_eq!(sim.pod_address("net2/early"), None);
    assert_eq!(sim.reasons(Kind::Pod, "early"), ["NoSubnetInVpc"]);
    // Refused: it overlaps Neutron's network.
    sim.subnet("net2", &json!({ "vpc": VPC, "namespaces": ["net2"], "cidrBlock": "192.168.1.0/24" }));
    sim.pod("net2", "p", "host1");
    sim.converge();
    assert_eq!(sim.pod_address("net2/p"), None);
    assert_eq!(sim.reasons(Kind::Pod, "p"), ["SubnetNotReady"]);
    sim.subnet("net2", &json!({ "cidrBlock": "12.0.1.0/24", "gateway": "12.0.1.1" }));
    sim.converge();
    for pod in ["net2/early", "net2/p"] {
        assert!(sim.pod_address(pod).is_some_and(|it| it.starts_with("12.0.1.")), "{pod}");
    }
}

#[test]
fn a_default_subnet_of_another_vpc_is_not_used_and_said() {
    let mut sim = installed();
    openstack(&mut sim);
    sim.settle();
    net2(&mut sim);
    sim.subnet("other", &json!({ "cidrBlock": "10.77.0.0/24", "namespaces": ["b"] }));
    sim.apply(Kind::Vpc, &json!({ "metadata": { "name": VPC }, "spec": { "defaultSubnet": "other" } }));
    sim.pod("net2", "p", "host1");
    sim.converge();
    assert!(sim.pod_address("net2/p").is_some_and(|it| it.starts_with("12.0.1.")));
    assert_eq!(sim.reasons(Kind::Namespace, "net2"), ["DefaultSubnetOfAnotherVpc"]);
}

#[test]
fn names_in_annotations_that_are_none_are_refused_cut_and_in_one_line() {
    let mut sim = installed();
    sim.namespace("a");
    let bomb = format!("net2\nlevel=error {}", "x".repeat(100_000));
    sim.pod_with("a", "bomb", "host1", &[(SWITCH, &bomb)]);
    sim.pod_with("a", "pool", "host1", &[("ovn.kubernetes.io/ip_pool", &bomb)]);
    sim.converge();
    assert_eq!(sim.reasons(Kind::Pod, "bomb"), ["InvalidAnnotation"]);
    assert_eq!(sim.reasons(Kind::Pod, "pool"), ["InvalidAnnotation"]);
    assert!(
        sim.notices.iter().all(|it| it.message.len() < 400 && !it.message.contains('\n')),
        "{:?}",
        sim.notices
    );
}

#[test]
fn a_name_too_long_for_an_ip_object_is_told() {
    let mut sim = installed();
    sim.namespace("a");
    let name = format!("{}.{}", "x".repeat(200), "y".repeat(52));
    sim.pod("a", &name, "host1");
    sim.converge();
    assert_eq!(sim.reasons(Kind::Pod, &name), ["InvalidName"]);
    assert!(
        !sim.writes
            .iter()
            .any(|it| format!("{it:?}").contains("Create") && format!("{it:?}").contains("xxxx"))
    );
}

#[test]
fn a_pod_whose_namespace_is_yet_to_be_seen_follows_its_subnets_choice() {
    let mut sim = installed();
    sim.subnet("s", &json!({ "vpc": "neutron-none", "cidrBlock": "10.77.0.0/24", "namespaces": ["late"] }));
    sim.pod("late", "p", "host1");
    sim.converge();
    assert_eq!(sim.pod_address("late/p"), None);
    // The namespace's own object is still on its way when the Subnet chooses others.
    let selectors = json!([{ "matchLabels": { "team": "a" } }]);
    sim.subnet("s", &json!({ "namespaces": null, "namespaceSelectors": selectors }));
    sim.converge();
    assert_eq!(sim.pod_annotation("late/p", "ovn.kubernetes.io/logical_switch"), Some("ovn-default"));
}
