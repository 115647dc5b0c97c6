//! Neutron's side moves: routers and networks come, change and go under our subnets.

use serde_json::json;
use tombolo_plan::{Kind, Selector};
use tombolo_tests_sim::situations::{NETWORK, PORT, ROUTER, VPC, document, installed, net2, openstack};
use tombolo_tests_sim::{Neutron, Sim, config, dump};

const OTHER: &str = "11111111-2222-4333-8444-555555555555";
const OTHER_VPC: &str = "neutron-11111111-2222-4333-8444-555555555555";

fn ours(sim: &Sim) -> String {
    dump::rows(sim.nb().rows(), |_, row| row.key("external_ids", "tombolo.io/owner").is_some())
}

#[test]
fn a_subnet_that_overlaps_neutrons_is_refused() {
    // invariant 10
    let mut sim = installed();
    openstack(&mut sim);
    sim.namespace("net2");
    sim.settle();
    sim.vpc_namespaces(VPC, &["net2"]);
    let before = ours(&sim);
    sim.subnet("net2", &json!({ "vpc": VPC, "namespaces": ["net2"], "cidrBlock": "192.168.0.0/16" }));
    sim.pod("net2", "ubuntu", "host1");
    sim.converge();
    let (status, reason, message) = sim.condition(Kind::Subnet, "net2", "Ready").unwrap();
    assert_eq!((status, reason), ("False", "CidrConflict"));
    assert!(message.contains("192.168.1.0/24") && message.contains("provider"), "{message}");
    assert_eq!(sim.condition(Kind::Subnet, "net2", "Validated").unwrap().0, "False");
    assert_eq!(sim.reasons(Kind::Subnet, "net2"), ["CidrConflict"]);
    assert_eq!(ours(&sim), before);
    assert_eq!(sim.pod_address("net2/ubuntu"), None);
    // Mended by the user: all comes by itself.
    sim.subnet(
        "net2",
        &json!({ "cidrBlock": "12.0.1.0/24", "gateway": "12.0.1.1", "excludeIps": ["12.0.1.1"] }),
    );
    sim.converge();
    assert_eq!(sim.condition(Kind::Subnet, "net2", "Ready").unwrap().0, "True");
    assert_eq!(sim.pod_address("net2/ubuntu"), Some("12.0.1.2"));
}

#[test]
fn two_subnets_on_one_router_do_not_overlap() {
    let mut sim = document();
    sim.subnet("net3", &json!({ "vpc": VPC, "cidrBlock": "12.0.1.128/25" }));
    sim.converge();
    assert_eq!(sim.condition(Kind::Subnet, "net3", "Ready").unwrap().1, "CidrConflict");
    assert_eq!(sim.condition(Kind::Subnet, "net2", "Ready").unwrap().0, "True");
    // The place is free once the first one is gone.
    sim.delete(Kind::Pod, "net2", "ubuntu");
    sim.delete(Kind::Subnet, "", "net2");
    sim.converge();
    assert_eq!(sim.condition(Kind::Subnet, "net3", "Ready").unwrap().0, "True");
}

#[test]
fn an_unknown_vpc_is_refused_until_it_is_there() {
    let mut sim = installed();
    sim.namespace("net2");
    sim.subnet("net2", &json!({ "vpc": VPC, "namespaces": ["net2"], "cidrBlock": "12.0.1.0/24" }));
    sim.pod("net2", "ubuntu", "host1");
    sim.converge();
    assert_eq!(sim.condition(Kind::Subnet, "net2", "Ready").unwrap().1, "UnknownVpc");
    openstack(&mut sim);
    sim.converge();
    assert_eq!(sim.condition(Kind::Subnet, "net2", "Ready").unwrap().1, "NamespaceNotInVpc");
    assert_eq!(sim.pod_address("net2/ubuntu"), None);
    sim.vpc_namespaces(VPC, &["net2"]);
    sim.converge();
    assert_eq!(sim.pod_address("net2/ubuntu"), Some("12.0.1.2"));
}

#[test]
fn what_a_neutron_router_cannot_have_is_refused() {
    // invariants 3 and 10
    let mut sim = installed();
    openstack(&mut sim);
    sim.settle();
    sim.subnet("net2", &json!({ "vpc": VPC, "cidrBlock": "12.0.1.0/24", "natOutgoing": true }));
    sim.apply(
        Kind::Vpc,
        &json!({ "metadata": { "name": VPC }, "spec": { "staticRoutes": [{ "cidr": "0.0.0.0/0", "nextHopIP": "192.168.1.9" }] } }),
    );
    sim.converge();
    assert_eq!(sim.condition(Kind::Subnet, "net2", "Ready").unwrap().1, "NotPossibleOnNeutronRouter");
    let (status, reason, _) = sim.condition(Kind::Vpc, VPC, "Validated").unwrap();
    assert_eq!((status, reason), ("False", "NotPossibleOnNeutronRouter"));
    assert_eq!(sim.reasons(Kind::Vpc, VPC), ["NotPossibleOnNeutronRouter"]);
}

#[test]
fn a_vpc_that_a_user_deletes_comes_back_and_the_router_stays() {
    // invariant 3
    let mut sim = document();
    let before = sim.object(Kind::Vpc, VPC)["metadata"]["uid"].clone();
    sim.delete(Kind::Vpc, "", VPC);
    sim.converge();
    let vpc = sim.object(Kind::Vpc, VPC);
    assert_ne!(vpc["metadata"]["uid"], before);
    assert_eq!(vpc["metadata"]["labels"]["ovn.kubernetes.io/vpc_external"], "true");
    assert_eq!(sim.vpc_line(VPC), format!(r#"true ["net2","neutron-{NETWORK}"]"#));
    // What the user had written in it is gone, which the Subnet says; what stands stays.
    assert_eq!(sim.condition(Kind::Subnet, "net2", "Ready").unwrap().1, "NamespaceNotInVpc");
    assert!(dump::show(sim.nb().rows()).contains(&format!("port {VPC}-net2")));
    // With a finalizer of a Kube-OVN before us.
    sim.apply(
        Kind::Vpc,
        &json!({ "metadata": { "name": VPC, "finalizers": ["kubeovn.io/kube-ovn-controller"] } }),
    );
    sim.delete(Kind::Vpc, "", VPC);
    sim.converge();
    assert_eq!(sim.vpc_line(VPC), format!(r#"true ["net2","neutron-{NETWORK}"]"#));
    // The label is put back.
    sim.apply(
        Kind::Vpc,
        &json!({ "metadata": { "name": VPC, "labels": { "ovn.kubernetes.io/vpc_external": null } } }),
    );
    sim.converge();
    assert_eq!(sim.object(Kind::Vpc, VPC)["metadata"]["labels"]["ovn.kubernetes.io/vpc_external"], "true");
}

#[test]
fn a_vpc_without_intent_goes_with_its_router_and_one_with_intent_after_the_retention() {
    let mut sim = installed();
    openstack(&mut sim);
    Neutron(&mut sim).router(OTHER, "router1");
    sim.settle();
    sim.vpc_namespaces(VPC, &["net2"]);
    sim.settle();
    Neutron(&mut sim).detach(ROUTER, NETWORK, PORT);
    Neutron(&mut sim).delete_router(ROUTER);
    Neutron(&mut sim).delete_router(OTHER);
    sim.settle();
    assert!(sim.api.get(Kind::Vpc, OTHER_VPC).is_none());
    assert_eq!(sim.vpc_line(VPC), "false []");
    sim.advance(3_500_000);
    assert!(sim.api.get(Kind::Vpc, VPC).is_some());
    sim.advance(200_000);
    assert!(sim.api.get(Kind::Vpc, VPC).is_none());
    sim.converge();
}

#[test]
fn a_router_that_comes_back_in_time_finds_its_vpc_as_it_was() {
    let mut sim = document();
    Neutron(&mut sim).detach(ROUTER, NETWORK, PORT);
    Neutron(&mut sim).delete_router(ROUTER);
    sim.settle();
    // A restart in between keeps the time that has passed.
    sim.advance(1_000_000);
    sim.restart(0);
    sim.elect(0);
    sim.settle();
    Neutron(&mut sim).router(ROUTER, "router0");
    sim.converge();
    assert_eq!(sim.object(Kind::Vpc, VPC)["spec"]["namespaces"], json!(["net2"]));
    assert_eq!(sim.vpc_line(VPC), r#"true ["net2"]"#);
}

#[test]
fn names_and_networks_of_neutron_are_followed() {
    let mut sim = document();
    Neutron(&mut sim).rename_router(ROUTER, "renamed");
    Neutron(&mut sim).network("small", "small", 1300);
    Neutron(&mut sim).attach(ROUTER, "small", "small-port", "192.168.2.1/24");
    Neutron(&mut sim).network("external", "public", 1200);
    Neutron(&mut sim).gateway(ROUTER, "external", "gw", "203.0.113.7/24", "192.168.1.0/24");
    sim.converge();
    let neutron = &sim.object(Kind::Vpc, VPC)["status"]["neutron"];
    assert_eq!(neutron["name"], "renamed");
    assert_eq!(
        sim.vpc_line(VPC),
        format!(r#"true ["net2","neutron-{NETWORK}","neutron-external","neutron-small"]"#)
    );
    let networks = neutron["networks"].as_array().unwrap();
    let gateways: Vec<_> =
        networks.iter().filter(|it| it["externalGateway"] == true).map(|it| &it["name"]).collect();
    assert_eq!(gateways, [&json!("public")]);
    // The smallest of the tenants' networks; the external one doesn't count.
    assert_eq!(sim.pod_annotation("net2/ubuntu", "tombolo.io/mtu"), Some("1300"));
}

#[test]
fn neutrons_maintenance_is_not_fought() {
    // invariant 9
    let mut sim = document();
    let commits = sim.commits.len();
    Neutron(&mut sim).maintenance();
    sim.converge();
    assert_eq!(sim.commits.len(), commits);
}

#[test]
fn a_selector_limits_which_routers_are_shown() {
    let mut config = config();
    config.router_selector = Selector::parse("name=k8s-*").unwrap();
    let mut sim = Sim::new(config, 1);
    Neutron(&mut sim).router(ROUTER, "router0");
    Neutron(&mut sim).router(OTHER, "k8s-1");
    sim.converge();
    assert!(sim.api.get(Kind::Vpc, VPC).is_none());
    assert_eq!(sim.vpc_line(OTHER_VPC), "true []");
    // Renamed into the selection, and out of it.
    Neutron(&mut sim).rename_router(ROUTER, "k8s-0");
    sim.converge();
    assert_eq!(sim.vpc_line(VPC), "true []");
    Neutron(&mut sim).rename_router(ROUTER, "router0");
    sim.converge();
    assert!(sim.api.get(Kind::Vpc, VPC).is_none());
}

#[test]
fn a_switch_of_neutrons_with_the_name_of_a_subnet_is_left_alone() {
    // invariant 2
    use tombolo_ovsdb::{Datum, Op, Row, Txn};
    let mut sim = installed();
    openstack(&mut sim);
    sim.settle();
    let uuid = tombolo_tests_sim::neutron::row_uuid("Logical_Switch", "foreign");
    sim.foreign(&Txn::new([Op::insert(
        "Logical_Switch",
        uuid,
        Row::new().with("name", Datum::string("net2")),
    )]));
    net2(&mut sim);
    sim.pod("net2", "ubuntu", "host1");
    sim.settle();
    assert_eq!(sim.condition(Kind::Subnet, "net2", "Ready").unwrap().0, "False");
    assert_eq!(sim.reasons(Kind::Subnet, "net2"), ["NameTaken"]);
    // Its owner takes it away.
    sim.foreign(&Txn::new([Op::delete("Logical_Switch", uuid)]));
    sim.converge();
    assert_eq!(sim.pod_address("net2/ubuntu"), Some("12.0.1.2"));
}

#[test]
fn a_refused_subnet_is_put_right_by_changing_its_network_alone() {
    // invariant 10: no default of the old network (its gateway) is in the way
    let mut sim = installed();
    openstack(&mut sim);
    sim.namespace("net2");
    sim.settle();
    sim.vpc_namespaces(VPC, &["net2"]);
    sim.subnet("net2", &json!({ "vpc": VPC, "namespaces": ["net2"], "cidrBlock": "192.168.1.128/25" }));
    sim.converge();
    assert_eq!(sim.condition(Kind::Subnet, "net2", "Ready").unwrap().1, "CidrConflict");
    assert!(sim.object(Kind::Subnet, "net2")["spec"].get("gateway").is_none());
    sim.subnet("net2", &json!({ "cidrBlock": "12.9.0.0/24" }));
    sim.converge();
    assert_eq!(sim.condition(Kind::Subnet, "net2", "Ready").unwrap().0, "True");
    assert_eq!(sim.object(Kind::Subnet, "net2")["spec"]["gateway"], "12.9.0.1");
}
