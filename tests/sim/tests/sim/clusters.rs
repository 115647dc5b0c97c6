//! Two clusters in one database: the other's rows are foreign, and a name that both want is a condition.

use serde_json::json;
use tombolo_ovsdb::{Datum, Op, Row, Txn, Uuid};
use tombolo_plan::nb::table;
use tombolo_plan::owner::{CLUSTER_KEY, OWNER_KEY, VENDOR_KEY};
use tombolo_plan::{ClusterId, Config, Kind};
use tombolo_tests_sim::situations::{VPC, document, installed, net2, openstack};
use tombolo_tests_sim::{Sim, config, dump};

fn marks(owner: &str) -> Datum {
    Datum::map_of_strings([(VENDOR_KEY, "kube-ovn"), (CLUSTER_KEY, "c2"), (OWNER_KEY, owner)])
}

fn uuid(words: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_DNS, words.as_bytes())
}

/// The other cluster's switch `name` with ports of these names.
fn switch(sim: &mut Sim, name: &str, ports: &[&str]) {
    let row =
        Row::new().with("name", Datum::string(name)).with("external_ids", marks(&format!("subnet/{name}")));
    let mut ops = vec![Op::insert(table::SWITCH, uuid(name), row)];
    for port in ports {
        let owner = port
            .rsplit_once('.')
            .map_or_else(|| format!("node/{port}"), |(pod, ns)| format!("pod/{ns}/{pod}"));
        let row = Row::new()
            .with("name", Datum::string(*port))
            .with("addresses", Datum::set_of_strings(["00:00:00:00:00:09 12.0.1.2"]))
            .with("external_ids", marks(&owner));
        ops.push(Op::insert(table::SWITCH_PORT, uuid(port), row));
        ops.push(Op::add_edge(table::SWITCH, uuid(name), "ports", uuid(port)));
    }
    sim.foreign(&Txn::new(ops));
}

/// The other cluster takes a port of its own away.
fn remove(sim: &mut Sim, switch: &str, port: &str) {
    sim.foreign(&Txn::new([Op::remove_edge(table::SWITCH, uuid(switch), "ports", uuid(port))]));
}

/// Another cluster on a copy of the database.
fn beside(first: &Sim, config: Config) -> Sim {
    let mut sim = Sim::without_controller(config, 1);
    let rows = first.nb().rows();
    let all = rows.tables().flat_map(|(name, table)| {
        table.iter().map(move |(uuid, row)| Op::insert(name, uuid, Row::clone(row)))
    });
    sim.foreign(&Txn::new(all.collect::<Vec<_>>()));
    let controller = sim.start_controller();
    sim.elect(controller);
    sim
}

fn failures(sim: &Sim) -> usize {
    sim.commits.iter().filter(|commit| commit.result.is_err()).count()
}

#[test]
fn rows_of_another_cluster_are_foreign_whatever_they_say() {
    // invariants 1 and 2: the guard of the simulation watches over them
    let mut sim = installed();
    openstack(&mut sim);
    sim.settle();
    let router =
        Row::new().with("name", Datum::string("other")).with("external_ids", marks("vpc/ovn-cluster"));
    sim.foreign(&Txn::new([Op::insert(table::ROUTER, uuid("other"), router)]));
    switch(&mut sim, "other", &["web.net2", "old.net2"]);
    net2(&mut sim);
    sim.pod("net2", "ubuntu", "host1");
    sim.converge();
    // Their addresses are on another switch, so they are free on this one.
    assert_eq!(sim.pod_address("net2/ubuntu"), Some("12.0.1.2"));
    sim.restart(0);
    sim.elect(0);
    sim.converge();
    sim.delete(Kind::Pod, "net2", "ubuntu");
    sim.delete(Kind::Subnet, "", "net2");
    sim.converge();
    let shown = dump::show(sim.nb().rows());
    assert!(shown.contains("port web.net2") && shown.contains("port old.net2"), "{shown}");
    assert_eq!(sim.engine(0).stats().orphans, 0);
}

#[test]
fn a_pod_whose_port_name_another_cluster_has_waits_for_it() {
    let mut sim = document();
    switch(&mut sim, "other", &["web.net2"]);
    let before = failures(&sim);
    sim.pod("net2", "web", "host1");
    sim.pod("net2", "innocent", "host1");
    sim.settle();
    assert_eq!(sim.reasons(Kind::Pod, "web"), ["NameTaken"]);
    let said = sim.notices.iter().find(|it| it.name == "web").unwrap().message.clone();
    assert!(said.contains("web.net2") && said.contains("the cluster c2"), "{said}");
    assert_eq!(sim.pod_address("net2/web"), None);
    assert!(sim.pod_address("net2/innocent").is_some());
    // No transaction was tried for it, and none is as time passes (invariant 9).
    sim.converge();
    assert_eq!(failures(&sim), before);
    let commits = sim.commits.len();
    sim.advance(3_600_000);
    assert_eq!((sim.commits.len(), sim.reasons(Kind::Pod, "web").len()), (commits, 1));
    // It is gone: the pod is served at once.
    let at = sim.now;
    remove(&mut sim, "other", "web.net2");
    sim.settle();
    assert!(sim.pod_address("net2/web").is_some());
    assert!(sim.now - at < 2_000);
    sim.converge();
}

#[test]
fn a_node_whose_name_another_cluster_has() {
    let mut sim = installed();
    let group =
        Row::new().with("name", Datum::string("node.host3")).with("external_ids", marks("node/host3"));
    sim.foreign(&Txn::new([Op::insert(table::PORT_GROUP, uuid("g"), group)]));
    switch(&mut sim, "other", &["node-host3"]);
    let before = failures(&sim);
    sim.node("host3", "172.16.0.3");
    sim.converge();
    assert_eq!(sim.reasons(Kind::Node, "host3"), ["NameTaken"]);
    remove(&mut sim, "other", "node-host3");
    sim.settle();
    assert_eq!(sim.reasons(Kind::Node, "host3"), ["NameTaken", "NameTaken"], "its port group");
    sim.foreign(&Txn::new([Op::delete(table::PORT_GROUP, uuid("g"))]));
    sim.converge();
    assert!(dump::show(sim.nb().rows()).contains("port node-host3"));
    assert_eq!(failures(&sim), before);
}

#[test]
fn a_subnet_whose_switch_or_port_another_cluster_has() {
    let mut sim = installed();
    openstack(&mut sim);
    sim.settle();
    switch(&mut sim, "net2", &[]);
    // The router's port to our Subnet: two clusters on one router of Neutron's, with a Subnet of one name.
    let router = tombolo_tests_sim::neutron::row_uuid(table::ROUTER, tombolo_tests_sim::situations::ROUTER);
    let name = format!("{VPC}-net2");
    let port = Row::new()
        .with("name", Datum::string(&*name))
        .with("mac", Datum::string("00:00:00:00:00:08"))
        .with("networks", Datum::set_of_strings(["13.0.0.1/24"]))
        .with("external_ids", marks("subnet/net2"));
    sim.foreign(&Txn::new([
        Op::insert(table::ROUTER_PORT, uuid("p"), port),
        Op::add_edge(table::ROUTER, router, "ports", uuid("p")),
    ]));
    net2(&mut sim);
    sim.converge();
    let (status, reason, message) = sim.condition(Kind::Subnet, "net2", "Ready").unwrap();
    assert_eq!((status, reason), ("False", "NameTaken"));
    assert!(message.contains("the cluster c2"), "{message}");
    sim.foreign(&Txn::new([Op::delete(table::SWITCH, uuid("net2"))]));
    sim.converge();
    let (status, reason, message) = sim.condition(Kind::Subnet, "net2", "Ready").unwrap();
    assert_eq!((status, reason), ("False", "NameTaken"));
    assert!(message.contains(&name), "{message}");
    sim.foreign(&Txn::new([Op::remove_edge(table::ROUTER, router, "ports", uuid("p"))]));
    sim.converge();
    assert_eq!(sim.condition(Kind::Subnet, "net2", "Ready").unwrap().0, "True");
    assert_eq!(failures(&sim), 0);
}

#[test]
fn two_clusters_with_the_same_names_for_everything() {
    // A second installation with the first one's defaults: nothing works, all of it says why, the first is unharmed.
    let mut sim = document();
    let theirs = dump::show(sim.nb().rows());
    let mut config = config();
    config.cluster = ClusterId::new("c2").unwrap();
    let mut second = beside(&sim, config);
    second.node("host1", "172.17.0.1");
    second.converge();
    let (status, reason, message) = second.condition(Kind::Vpc, "ovn-cluster", "Ready").unwrap();
    assert_eq!((status, reason), ("False", "NameTaken"), "{message}");
    assert!(message.contains("the cluster c1"), "{message}");
    assert_eq!(dump::show(second.nb().rows()), theirs);
    sim.converge();

    // With names of its own, it is one more.
    let mut config = tombolo_tests_sim::config();
    config.cluster = ClusterId::new("c3").unwrap();
    config.cluster_router = "c3".to_owned();
    config.default_subnet = "c3-default".to_owned();
    config.join_subnet = "c3-join".to_owned();
    let mut third = beside(&sim, config);
    third.node("host9", "172.17.0.9");
    third.namespace("net2");
    third.settle();
    third.subnet("c3-net", &json!({ "vpc": VPC, "cidrBlock": "13.0.1.0/24" }));
    third.pod("net2", "ubuntu", "host9");
    third.converge();
    // The same pod in both.
    assert_eq!(third.reasons(Kind::Pod, "ubuntu"), ["NameTaken"]);
    assert_eq!(third.vpc_line("c3"), r#"true ["c3-default","c3-join"]"#);
    assert_eq!(third.condition(Kind::Subnet, "c3-net", "Ready").unwrap().0, "True");
    // A network of the other's on the router is one that ours must not overlap.
    third.subnet("c3-late", &json!({ "vpc": VPC, "cidrBlock": "12.0.1.128/25" }));
    third.converge();
    assert_eq!(third.condition(Kind::Subnet, "c3-late", "Ready").unwrap().1, "CidrConflict");
}
