//! The user's document, from an empty cluster to the uninstall. Expectations are written by hand from it.

use serde_json::json;
use tombolo_plan::Kind;
use tombolo_tests_sim::situations::{NETWORK, ROUTER, VPC, net2, openstack};
use tombolo_tests_sim::{Sim, config, dump};

fn installed() -> Sim {
    let mut sim = Sim::new(config(), 1);
    sim.node("ty-c3-medium-x86-02", "147.75.1.2");
    sim.namespace("kube-system");
    sim.converge();
    sim
}

#[test]
fn an_empty_cluster_gets_its_vpc_and_subnets() {
    let sim = installed();
    assert_eq!(sim.vpc_line("ovn-cluster"), r#"true ["join","ovn-default"]"#);
    assert_eq!(
        dump::number_macs(&dump::show(sim.nb().rows())),
        r#"switch (join)
    port join-ovn-cluster
        type: router
        addresses: ["<MAC 1>"]
        router-port: ovn-cluster-join
    port node-ty-c3-medium-x86-02
        addresses: ["<MAC 2> 100.64.0.2"]
switch (ovn-default)
    port ovn-default-ovn-cluster
        type: router
        addresses: ["<MAC 3>"]
        router-port: ovn-cluster-ovn-default
router (ovn-cluster)
    port ovn-cluster-join
        mac: "<MAC 1>"
        networks: ["100.64.0.1/16"]
    port ovn-cluster-ovn-default
        mac: "<MAC 3>"
        networks: ["10.16.0.1/16"]
"#
    );
    assert!(sim.log.iter().all(|(warning, _)| !warning), "{:#?}", sim.log);
}

#[test]
fn a_router_of_neutrons_is_shown_as_a_vpc() {
    let mut sim = installed();
    openstack(&mut sim);
    let before = sim.now;
    sim.settle();
    assert!(sim.now - before < 1_000);
    assert_eq!(sim.vpc_line(VPC), format!(r#"true ["neutron-{NETWORK}"]"#));
    let vpc = sim.object(Kind::Vpc, VPC);
    assert_eq!(vpc["metadata"]["labels"], json!({ "ovn.kubernetes.io/vpc_external": "true" }));
    assert_eq!(
        vpc["status"]["neutron"],
        json!({ "id": ROUTER, "name": "router0", "networks": [{
            "switch": format!("neutron-{NETWORK}"), "name": "provider", "cidrs": ["192.168.1.0/24"], "mtu": 1442,
        }]})
    );
    sim.converge();
}

#[test]
fn the_scenario() {
    let mut sim = installed();
    openstack(&mut sim);
    sim.converge();
    let before = dump::rows(sim.nb().rows(), |_, _| true);
    net2(&mut sim);
    sim.pod("net2", "ubuntu", "ty-c3-medium-x86-02");
    sim.converge();
    assert_eq!(
        dump::number_macs(&dump::show(sim.nb().rows())),
        r#"switch (join)
    port join-ovn-cluster
        type: router
        addresses: ["<MAC 1>"]
        router-port: ovn-cluster-join
    port node-ty-c3-medium-x86-02
        addresses: ["<MAC 2> 100.64.0.2"]
switch (net2)
    port net2-neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93
        type: router
        addresses: ["<MAC 3>"]
        router-port: neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93-net2
    port ubuntu.net2
        addresses: ["<MAC 4> 12.0.1.2"]
switch (neutron-cd59e36a-37db-4c27-b709-d35379a7920f) (aka provider)
    port 5cb326b9-89bc-4ca1-9f03-66750f0c3efb
        addresses: ["<mac 5> 192.168.1.61"]
    port a7a2f2be-c8e2-4129-b94b-f28f566e4ea6
        type: router
        router-port: lrp-a7a2f2be-c8e2-4129-b94b-f28f566e4ea6
switch (ovn-default)
    port ovn-default-ovn-cluster
        type: router
        addresses: ["<MAC 6>"]
        router-port: ovn-cluster-ovn-default
router (neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93) (aka router0)
    port lrp-a7a2f2be-c8e2-4129-b94b-f28f566e4ea6
        mac: "<mac 7>"
        networks: ["192.168.1.1/24"]
    port neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93-net2
        mac: "<MAC 3>"
        networks: ["12.0.1.1/24"]
router (ovn-cluster)
    port ovn-cluster-join
        mac: "<MAC 1>"
        networks: ["100.64.0.1/16"]
    port ovn-cluster-ovn-default
        mac: "<MAC 6>"
        networks: ["10.16.0.1/16"]
"#
    );
    // invariant 3: on Neutron's router one port, and nothing else of ours.
    let ours = dump::rows(sim.nb().rows(), |_, row| {
        row.key("external_ids", "lr").is_some_and(|lr| lr == VPC) || row.str("name") == Some("ubuntu.net2")
    });
    assert_eq!(
        dump::number_macs(&ours),
        r#"Logical_Router_Port neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93-net2
  external_ids: lr=neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93 ls=net2 tombolo.io/cluster=c1 tombolo.io/owner=subnet/net2 tombolo.io/parent=<neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93> vendor=kube-ovn
  mac: <MAC 1>
  networks: 12.0.1.1/24
Logical_Switch_Port net2-neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93
  addresses: <MAC 1>
  external_ids: lr=neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93 ls=net2 tombolo.io/cluster=c1 tombolo.io/owner=subnet/net2 tombolo.io/parent=<net2> vendor=kube-ovn
  options: router-port=neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93-net2
  type: router
Logical_Switch_Port ubuntu.net2
  addresses: "<MAC 2> 12.0.1.2"
  external_ids: ls=net2 pod=net2/ubuntu tombolo.io/cluster=c1 tombolo.io/owner=pod/net2/ubuntu tombolo.io/parent=<net2> vendor=kube-ovn
  port_security: "<MAC 2> 12.0.1.2"
"#
    );
    // The union of ours and Neutron's, sorted.
    assert_eq!(sim.vpc_line(VPC), format!(r#"true ["net2","neutron-{NETWORK}"]"#));
    assert_eq!(sim.pod_address("net2/ubuntu"), Some("12.0.1.2"));
    assert_eq!(sim.pod_annotation("net2/ubuntu", "tombolo.io/mtu"), Some("1442"));
    assert_eq!(sim.condition(Kind::Subnet, "net2", "Ready").map(|it| it.0), Some("True"));
    assert!(sim.log.iter().all(|(warning, _)| !warning), "{:#?}", sim.log);
    assert!(sim.notices.is_empty(), "{:#?}", sim.notices);
    // "Delete pods, namespaces, subnets in order."
    sim.delete(Kind::Pod, "net2", "ubuntu");
    sim.settle();
    sim.delete(Kind::Namespace, "", "net2");
    sim.settle();
    sim.delete(Kind::Subnet, "", "net2");
    sim.converge();
    assert!(sim.api.get(Kind::Subnet, "net2").is_none());
    assert_eq!(dump::rows(sim.nb().rows(), |_, _| true), before);
    assert_eq!(sim.vpc_line(VPC), format!(r#"true ["neutron-{NETWORK}"]"#));
    assert!(sim.log.iter().all(|(warning, _)| !warning), "{:#?}", sim.log);
}
