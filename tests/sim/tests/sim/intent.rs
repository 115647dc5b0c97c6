//! What users want survives: routers that vanish, databases that are restored empty, Subnets that move.

use serde_json::json;
use tombolo_names::Reason;
use tombolo_ovsdb::{Op, Txn};
use tombolo_plan::Kind;
use tombolo_plan::nb::table;
use tombolo_tests_sim::situations::{NETWORK, PORT, ROUTER, VPC, document, installed, net2, openstack};
use tombolo_tests_sim::{Neutron, Sim, dump};

const OTHER: &str = "11111111-2222-4333-8444-555555555555";
const OTHER_VPC: &str = "neutron-11111111-2222-4333-8444-555555555555";

/// All rows go, as from a database that is made anew.
fn empty(sim: &mut Sim) {
    let rows = sim.nb().rows();
    let roots = rows.tables().filter(|(name, _)| sim.nb().is_root(name));
    let gone = roots.flat_map(|(name, table)| table.iter().map(move |(uuid, _)| Op::delete(name, uuid)));
    let txn = Txn::new(gone.collect::<Vec<_>>());
    sim.foreign(&txn);
}

fn ready(sim: &Sim, subnet: &str) -> (String, String) {
    let (status, reason, _) = sim.condition(Kind::Subnet, subnet, "Ready").unwrap_or_default();
    (status.to_owned(), reason.to_owned())
}

fn networks(sim: &Sim, port: &str) -> Vec<String> {
    let rows = sim.nb().rows();
    let row = rows.rows(table::ROUTER_PORT).find(|(_, row)| row.str("name") == Some(port));
    let networks = row.and_then(|(_, row)| row.get("networks"));
    networks.into_iter().flat_map(|it| it.strings()).map(str::to_owned).collect()
}

// Subnets that move, and what they must not overlap.

#[test]
fn a_subnet_that_changes_its_network_does_not_take_that_of_a_younger_one() {
    let mut sim = document();
    sim.advance(5_000);
    sim.subnet("young", &json!({ "vpc": VPC, "cidrBlock": "12.0.2.0/24" }));
    sim.converge();
    assert_eq!(ready(&sim, "young").0, "True");
    sim.subnet("net2", &json!({ "cidrBlock": "12.0.2.0/23", "gateway": "12.0.2.1", "excludeIps": [] }));
    sim.converge();
    assert_eq!(ready(&sim, "net2"), ("False".to_owned(), "CidrConflict".to_owned()));
    assert_eq!(ready(&sim, "young").0, "True");
    // What stands stays.
    assert_eq!(networks(&sim, &format!("{VPC}-net2")), ["12.0.1.1/24"]);
    assert_eq!(networks(&sim, &format!("{VPC}-young")), ["12.0.2.1/24"]);
    // What it has is its own until it really leaves.
    sim.subnet("third", &json!({ "vpc": VPC, "cidrBlock": "12.0.1.0/24" }));
    sim.converge();
    assert_eq!(ready(&sim, "third"), ("False".to_owned(), "CidrConflict".to_owned()));
    // The move must not cut off a pod.
    sim.delete(Kind::Pod, "net2", "ubuntu");
    sim.converge();
    sim.subnet("net2", &json!({ "cidrBlock": "12.0.9.0/24", "gateway": "12.0.9.1", "excludeIps": [] }));
    sim.converge();
    assert_eq!(networks(&sim, &format!("{VPC}-net2")), ["12.0.9.1/24"]);
    assert_eq!(ready(&sim, "third").0, "True");
}

#[test]
fn a_subnet_that_moves_to_a_router_does_not_take_the_network_of_one_there() {
    let mut sim = document();
    Neutron(&mut sim).router(OTHER, "router1");
    sim.advance(5_000);
    sim.vpc_namespaces(OTHER_VPC, &["net2"]);
    sim.subnet("young", &json!({ "vpc": OTHER_VPC, "cidrBlock": "12.0.0.0/16" }));
    sim.converge();
    assert_eq!(ready(&sim, "young").0, "True");
    sim.subnet("net2", &json!({ "vpc": OTHER_VPC }));
    sim.converge();
    assert_eq!(ready(&sim, "net2"), ("False".to_owned(), "CidrConflict".to_owned()));
    assert_eq!(ready(&sim, "young").0, "True");
    assert_eq!(networks(&sim, &format!("{OTHER_VPC}-net2")), [""; 0]);
    // It stands where it was, pods and all.
    assert_eq!(networks(&sim, &format!("{VPC}-net2")), ["12.0.1.1/24"]);
    sim.delete(Kind::Subnet, "", "young");
    sim.converge();
    assert_eq!(networks(&sim, &format!("{OTHER_VPC}-net2")), ["12.0.1.1/24"]);
    assert_eq!(networks(&sim, &format!("{VPC}-net2")), [""; 0]);
    assert_eq!(ready(&sim, "net2").0, "True");
}

#[test]
fn many_subnets_move_at_once_and_the_brake_does_not_hold_them() {
    // invariant 4: what an object says itself is explained
    let mut sim = installed();
    openstack(&mut sim);
    Neutron(&mut sim).router(OTHER, "router1");
    sim.settle();
    for number in 0..60 {
        let spec = json!({ "vpc": VPC, "cidrBlock": format!("12.1.{number}.0/24") });
        sim.subnet(&format!("s{number}"), &spec);
    }
    sim.converge();
    for number in 0..60 {
        sim.subnet(&format!("s{number}"), &json!({ "vpc": OTHER_VPC }));
    }
    sim.converge();
    assert!(!sim.engine(0).health().brake_holding);
    let shown = dump::show(sim.nb().rows());
    assert!(!shown.contains(&format!("port {VPC}-s")), "{shown}");
    assert_eq!(shown.matches(&format!("port {OTHER_VPC}-s")).count(), 60);
}

#[test]
fn many_subnets_whose_router_is_made_anew_move_and_their_pods_with_them() {
    // The router is deleted under them first, and its successor has another uuid.
    let mut sim = installed();
    openstack(&mut sim);
    sim.settle();
    sim.namespace("net2");
    sim.vpc_namespaces(VPC, &["net2"]);
    for number in 0..60 {
        let spec = json!({ "vpc": VPC, "namespaces": ["net2"], "cidrBlock": format!("12.1.{number}.0/24") });
        sim.subnet(&format!("s{number}"), &spec);
    }
    sim.settle();
    for number in 0..60 {
        let subnet = format!("s{number}");
        sim.pod_with(
            "net2",
            &format!("p{number}"),
            "host1",
            &[("ovn.kubernetes.io/logical_switch", &subnet)],
        );
    }
    sim.converge();
    let pods = |sim: &Sim| {
        dump::rows(sim.nb().rows(), |name, row| {
            name == table::SWITCH_PORT && row.key("external_ids", "pod").is_some()
        })
    };
    let before = pods(&sim);
    Neutron(&mut sim).detach(ROUTER, NETWORK, PORT);
    Neutron(&mut sim).delete_router(ROUTER);
    sim.settle();
    Neutron(&mut sim).router(OTHER, "router0");
    Neutron(&mut sim).attach(OTHER, NETWORK, PORT, "192.168.1.1/24");
    sim.settle();
    sim.vpc_namespaces(OTHER_VPC, &["net2"]);
    for number in 0..60 {
        sim.subnet(&format!("s{number}"), &json!({ "vpc": OTHER_VPC }));
    }
    sim.converge();
    assert!(!sim.engine(0).health().brake_holding);
    let shown = dump::show(sim.nb().rows());
    assert!(!shown.contains(VPC), "{shown}");
    assert_eq!(shown.matches(&format!("port {OTHER_VPC}-s")).count(), 60);
    // No port of a pod was touched: pods work again without being made anew.
    assert_eq!(pods(&sim), before);
    for number in 0..60 {
        let pod = format!("net2/p{number}");
        assert_eq!(sim.pod_annotation(&pod, "ovn.kubernetes.io/logical_router"), Some(OTHER_VPC));
        let address = format!("12.1.{number}.2");
        assert_eq!(sim.pod_address(&pod), Some(&*address));
    }
}

#[test]
fn a_subnet_moves_from_a_router_of_neutrons_to_ours_and_back() {
    let mut sim = document();
    let row = |sim: &Sim| {
        let rows = sim.nb().rows();
        let port =
            rows.rows(table::SWITCH_PORT).find(|(_, row)| row.str("name") == Some("ubuntu.net2")).unwrap();
        (port.0, port.1.get("addresses").unwrap().clone())
    };
    let group = |sim: &Sim| {
        let rows = sim.nb().rows();
        let groups = rows.rows(table::PORT_GROUP).filter(|(_, row)| row.str("name") == Some("node.host1"));
        groups.flat_map(|(_, row)| row.get("ports").unwrap().uuids().collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    let before = row(&sim);
    let policies = |sim: &Sim| dump::rows(sim.nb().rows(), |name, _| name == table::POLICY);
    let before_policies = policies(&sim);
    assert!(!group(&sim).contains(&before.0));

    sim.subnet("net2", &json!({ "vpc": "ovn-cluster" }));
    sim.converge();
    assert_eq!(ready(&sim, "net2").0, "True");
    assert_eq!(sim.vpc_line("ovn-cluster"), r#"true ["join","net2","ovn-default"]"#);
    assert_eq!(sim.vpc_line(VPC), format!(r#"true ["neutron-{NETWORK}"]"#));
    assert_eq!(networks(&sim, "ovn-cluster-net2"), ["12.0.1.1/24"]);
    assert_eq!(networks(&sim, &format!("{VPC}-net2")), [""; 0]);
    assert!(policies(&sim).contains("ip4.dst == 12.0.1.0/24"), "{}", policies(&sim));
    // The pod's port stays as it is and is one of its node's now; the network's largest packet is ours to say.
    assert_eq!(row(&sim), before);
    assert!(group(&sim).contains(&before.0));
    assert_eq!(sim.pod_annotation("net2/ubuntu", "ovn.kubernetes.io/logical_router"), Some("ovn-cluster"));
    assert_eq!(sim.pod_annotation("net2/ubuntu", "tombolo.io/mtu"), None);

    sim.subnet("net2", &json!({ "vpc": VPC }));
    sim.converge();
    assert_eq!(ready(&sim, "net2").0, "True");
    assert_eq!(row(&sim), before);
    assert_eq!(policies(&sim), before_policies);
    assert!(!group(&sim).contains(&before.0), "it is none of its node's any more");
    assert_eq!(sim.pod_annotation("net2/ubuntu", "ovn.kubernetes.io/logical_router"), Some(VPC));
    assert_eq!(sim.pod_annotation("net2/ubuntu", "tombolo.io/mtu"), Some("1442"));
}

#[test]
fn a_subnet_that_is_to_move_where_no_router_is_stays() {
    let mut sim = document();
    Neutron(&mut sim).router(OTHER, "router1");
    sim.settle();
    sim.vpc_namespaces(OTHER_VPC, &["net2"]);
    sim.settle();
    Neutron(&mut sim).delete_router(OTHER);
    sim.settle();
    for (vpc, why) in [(OTHER_VPC, "VpcNotReady"), ("typo", "UnknownVpc")] {
        sim.subnet("net2", &json!({ "vpc": vpc }));
        sim.converge();
        assert_eq!(ready(&sim, "net2"), ("False".to_owned(), why.to_owned()));
        assert_eq!(networks(&sim, &format!("{VPC}-net2")), ["12.0.1.1/24"], "{vpc}");
    }
    // The old router goes as well: now the port that led to it can go, too.
    sim.subnet("net2", &json!({ "vpc": OTHER_VPC }));
    Neutron(&mut sim).detach(ROUTER, NETWORK, PORT);
    Neutron(&mut sim).delete_router(ROUTER);
    sim.converge();
    let shown = dump::show(sim.nb().rows());
    assert!(!shown.contains(VPC) && shown.contains("port ubuntu.net2"), "{shown}");
    Neutron(&mut sim).router(OTHER, "router1");
    sim.converge();
    assert_eq!(ready(&sim, "net2").0, "True");
    assert_eq!(networks(&sim, &format!("{OTHER_VPC}-net2")), ["12.0.1.1/24"]);
}

// Vpcs of routers that are not there.

#[test]
fn a_database_that_is_restored_empty_costs_no_intent() {
    let mut sim = document();
    Neutron(&mut sim).router(OTHER, "router1");
    sim.settle();
    sim.vpc_namespaces(OTHER_VPC, &["other"]);
    sim.converge();
    empty(&mut sim);
    sim.settle();
    // The fence went too: the lease is given up. The next leader begins with an empty database.
    assert_eq!(sim.resigned.len(), 1);
    sim.elect(0);
    sim.converge();
    for (vpc, namespace) in [(VPC, "net2"), (OTHER_VPC, "other")] {
        let (status, reason, message) = sim.condition(Kind::Vpc, vpc, "Ready").unwrap();
        assert_eq!((status, reason), ("False", "RouterNotFound"), "{message}");
        assert_eq!(sim.object(Kind::Vpc, vpc)["spec"]["namespaces"], json!([namespace]));
    }
    assert_eq!(ready(&sim, "net2"), ("False".to_owned(), "VpcNotReady".to_owned()));
    // Neutron writes its own anew (neutron-ovn-db-sync-util): all is as it was.
    openstack(&mut sim);
    Neutron(&mut sim).router(OTHER, "router1");
    sim.converge();
    assert_eq!(ready(&sim, "net2").0, "True");
    assert_eq!(sim.vpc_line(VPC), format!(r#"true ["net2","neutron-{NETWORK}"]"#));
    assert_eq!(sim.vpc_line(OTHER_VPC), "true []");
    assert_eq!(sim.pod_address("net2/ubuntu"), Some("12.0.1.2"));
    assert!(dump::show(sim.nb().rows()).contains("port ubuntu.net2"));
}

#[test]
fn a_replica_that_is_replaced_by_an_empty_one_or_stale_costs_no_intent() {
    // invariants 4 and 6
    let mut sim = document();
    sim.disconnect_nb(0);
    empty(&mut sim);
    sim.advance(5_000);
    // While it is stale nothing is said or done.
    assert_eq!(sim.condition(Kind::Vpc, VPC, "Ready").unwrap().0, "True");
    sim.advance(30_000);
    assert_eq!(sim.resigned.len(), 1, "{:?}", sim.resigned);
    sim.reconnect_nb(0, false);
    sim.elect(0);
    sim.converge();
    assert_eq!(sim.condition(Kind::Vpc, VPC, "Ready").unwrap().1, "RouterNotFound");
    assert_eq!(sim.object(Kind::Vpc, VPC)["spec"]["namespaces"], json!(["net2"]));
    openstack(&mut sim);
    sim.converge();
    assert_eq!(sim.pod_address("net2/ubuntu"), Some("12.0.1.2"));
    assert_eq!(ready(&sim, "net2").0, "True");
}

#[test]
fn the_retention_counts_across_restarts_and_not_from_them() {
    let mut sim = installed();
    openstack(&mut sim);
    sim.settle();
    sim.vpc_namespaces(VPC, &["net2"]);
    sim.settle();
    Neutron(&mut sim).detach(ROUTER, NETWORK, PORT);
    Neutron(&mut sim).delete_router(ROUTER);
    sim.settle();
    let since = |sim: &Sim| {
        let conditions = sim.object(Kind::Vpc, VPC)["status"]["conditions"].as_array().unwrap().clone();
        conditions.iter().find(|it| it["type"] == "Ready").unwrap()["lastTransitionTime"].clone()
    };
    let first = since(&sim);
    for _ in 0..5 {
        sim.advance(700_000);
        sim.restart(0);
        sim.elect(0);
        sim.settle();
        assert_eq!(since(&sim), first);
    }
    sim.advance(200_000);
    assert!(sim.api.get(Kind::Vpc, VPC).is_none());
    sim.converge();
}

#[test]
fn a_user_may_delete_the_vpc_of_a_router_that_is_gone() {
    let mut sim = installed();
    openstack(&mut sim);
    sim.settle();
    sim.vpc_namespaces(VPC, &["net2"]);
    Neutron(&mut sim).detach(ROUTER, NETWORK, PORT);
    Neutron(&mut sim).delete_router(ROUTER);
    sim.converge();
    sim.delete(Kind::Vpc, "", VPC);
    sim.converge();
    assert!(sim.api.get(Kind::Vpc, VPC).is_none());
}

#[test]
fn a_vpc_that_was_only_hidden_has_its_whole_time_when_its_router_goes() {
    let mut config = tombolo_tests_sim::config();
    config.router_selector = tombolo_plan::Selector::parse("name=shown").unwrap();
    let mut sim = Sim::new(config, 1);
    Neutron(&mut sim).router(ROUTER, "shown");
    sim.settle();
    sim.vpc_namespaces(VPC, &["net2"]);
    sim.settle();
    Neutron(&mut sim).rename_router(ROUTER, "hidden");
    sim.settle();
    assert_eq!(sim.condition(Kind::Vpc, VPC, "Ready").unwrap().1, "RouterNotShown");
    // The router is there: nothing that the user wrote is out of date, however long it takes.
    sim.advance(8_000_000);
    assert_eq!(sim.object(Kind::Vpc, VPC)["spec"]["namespaces"], json!(["net2"]));
    Neutron(&mut sim).delete_router(ROUTER);
    sim.settle();
    assert_eq!(sim.condition(Kind::Vpc, VPC, "Ready").unwrap().1, "RouterNotFound");
    sim.advance(3_500_000);
    assert!(sim.api.get(Kind::Vpc, VPC).is_some());
    sim.advance(200_000);
    assert!(sim.api.get(Kind::Vpc, VPC).is_none());
    sim.converge();
}

#[test]
fn an_overlap_that_neutron_makes_later_is_counted() {
    // invariant 10: condition and Event are held by neutron.rs; the metric
    let mut sim = installed();
    openstack(&mut sim);
    sim.settle();
    net2(&mut sim);
    let count = |sim: &Sim| sim.engine(0).stats().problems.get(&Reason::CidrConflict).copied().unwrap_or(0);
    assert_eq!(count(&sim), 0);
    let at = sim.now;
    Neutron(&mut sim).network("late", "late", 1442);
    Neutron(&mut sim).attach(ROUTER, "late", "late-port", "12.0.0.1/16");
    sim.settle();
    assert_eq!(count(&sim), 1);
    assert!(sim.now - at < 2_000, "{} ms", sim.now - at);
    sim.converge();
    assert_eq!(count(&sim), 1);
}
