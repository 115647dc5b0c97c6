//! Writes whose effect doesn't show: CRDs that are older than the controller, finalizers of others. Said once, never a
//! loop, and no reason to serve less than can be served.

use serde_json::{Value, json};
use tombolo_plan::Kind;
use tombolo_plan::nb::table;
use tombolo_tests_sim::Sim;
use tombolo_tests_sim::situations::{VPC, document, installed};

const OURS: &str = "kubeovn.io/kube-ovn-controller";
const FOREIGN: &str = "example.com/dhcp-server";

/// Writes to objects of a kind since a moment.
fn writes(sim: &Sim, since: usize, kind: Kind) -> usize {
    sim.writes[since..].iter().filter(|written| written.write.kind == kind).count()
}

fn said(sim: &Sim, reason: &str) -> (usize, usize) {
    let lines = sim.log.iter().filter(|(warning, text)| *warning && text.contains(reason)).count();
    (lines, sim.notices.iter().filter(|notice| notice.reason == reason).count())
}

fn switches(sim: &Sim, name: &str) -> usize {
    sim.nb().rows().rows(table::SWITCH).filter(|(_, row)| row.str("name") == Some(name)).count()
}

#[test]
fn a_status_that_the_crd_lacks_is_not_written_for_ever() {
    // Case c06 (a), invariant 9.
    let mut sim = document();
    sim.user(|api| api.prune(Kind::Vpc, &["status", "neutron"]));
    sim.apply(Kind::Vpc, &json!({ "metadata": { "name": VPC, "annotations": { "a": "1" } } }));
    let before = sim.writes.len();
    sim.advance(60_000);
    assert!(writes(&sim, before, Kind::Vpc) <= 3, "{}", writes(&sim, before, Kind::Vpc));
    let before = sim.writes.len();
    sim.advance(3_600_000);
    let hour = writes(&sim, before, Kind::Vpc);
    assert!((2..=10).contains(&hour), "it is tried again, with pauses: {hour}");
    assert_eq!(said(&sim, "CRDTooOld"), (1, 1));
    assert_eq!(sim.engine(0).stats().unchanged, 1);
    // The rest of the status is kept up.
    sim.subnet("net3", &json!({ "vpc": VPC, "namespaces": ["net2"], "cidrBlock": "12.0.2.0/24" }));
    sim.advance(5_000);
    let subnets = sim.object(Kind::Vpc, VPC)["status"]["subnets"].as_array().cloned().unwrap_or_default();
    assert!(subnets.contains(&json!("net3")), "{subnets:?}");

    // `kubectl apply -f charts/tombolo/files/crds/`: the watch begins anew, and all is well at once.
    sim.user(tombolo_tests_sim::api::Api::prune_nothing);
    sim.break_watch(0, Kind::Vpc);
    sim.resume_watch(0, Kind::Vpc);
    sim.advance(5_000);
    assert!(sim.object(Kind::Vpc, VPC)["status"]["neutron"].is_object());
    assert_eq!((sim.engine(0).stats().unchanged, said(&sim, "CRDTooOld").1), (0, 1));
    sim.converge();
}

#[test]
fn a_default_that_the_crd_lacks_keeps_no_subnet_from_being_served() {
    // Case c06 (b).
    let mut sim = installed();
    sim.user(|api| api.prune(Kind::Subnet, &["spec", "enableLb"]));
    sim.namespace("c06");
    for name in ["c06", "other"] {
        let octet = name.len();
        let spec = json!({ "cidrBlock": format!("10.86.{octet}.0/24"), "namespaces": [name] });
        sim.subnet(name, &spec);
    }
    sim.pod("c06", "p", "host1");
    sim.advance(10_000);
    assert_eq!(switches(&sim, "c06"), 1);
    assert_eq!(sim.pod_address("c06/p"), Some("10.86.3.2"));
    assert_eq!(sim.condition(Kind::Subnet, "c06", "Ready").unwrap().0, "True");
    // Its other defaults and the finalizer are there.
    let object = sim.object(Kind::Subnet, "c06");
    assert_eq!(object["spec"]["gateway"], "10.86.3.1");
    assert_eq!(object["metadata"]["finalizers"], json!([OURS]));
    let before = sim.writes.len();
    sim.advance(10_000);
    assert!(writes(&sim, before, Kind::Subnet) <= 3);
    // One line of the log for the CRD, however many Subnets; an Event on each.
    assert_eq!(said(&sim, "CRDTooOld"), (1, 2));
    // It can go again.
    sim.delete(Kind::Pod, "c06", "p");
    sim.delete(Kind::Subnet, "", "c06");
    sim.advance(20_000);
    assert_eq!((switches(&sim, "c06"), sim.api.get(Kind::Subnet, "c06").is_none()), (0, true));
}

#[test]
fn finalizers_that_the_api_server_drops_are_no_loop_either() {
    let mut sim = installed();
    sim.user(|api| api.prune(Kind::Subnet, &["metadata", "finalizers"]));
    sim.namespace("a");
    let before = sim.writes.len();
    sim.subnet("s", &json!({ "namespaces": ["a"], "cidrBlock": "10.9.0.0/24" }));
    sim.advance(20_000);
    assert_eq!(switches(&sim, "s"), 1);
    assert!(writes(&sim, before, Kind::Subnet) < 12, "{}", writes(&sim, before, Kind::Subnet));
}

fn hold(sim: &mut Sim, ip: &str, finalizers: &Value) {
    sim.apply(Kind::Ip, &json!({ "metadata": { "name": ip, "finalizers": finalizers } }));
    sim.advance(1_000);
}

#[test]
fn kube_ovns_own_finalizers_on_an_ip_are_taken_away() {
    // Case c05.
    for finalizer in [OURS, "kube-ovn-controller"] {
        let mut sim = document();
        hold(&mut sim, "ubuntu.net2", &json!([finalizer]));
        let before = sim.writes.len();
        sim.delete(Kind::Pod, "net2", "ubuntu");
        sim.advance(5_000);
        assert!(sim.api.get(Kind::Ip, "ubuntu.net2").is_none(), "{finalizer}");
        assert!(writes(&sim, before, Kind::Ip) <= 3, "{}", writes(&sim, before, Kind::Ip));
        sim.pod("net2", "ubuntu", "host2");
        sim.converge();
        assert!(sim.pod_address("net2/ubuntu").is_some());
    }
}

#[test]
fn a_foreign_finalizer_is_waited_for_with_one_delete() {
    // Case c05.
    let mut sim = document();
    hold(&mut sim, "ubuntu.net2", &json!([FOREIGN, OURS]));
    let before = sim.writes.len();
    sim.delete(Kind::Pod, "net2", "ubuntu");
    sim.advance(600_000);
    let written: Vec<_> = sim.writes[before..].iter().filter(|it| it.write.kind == Kind::Ip).collect();
    let deletes = written.iter().filter(|it| it.write.verb == tombolo_engine::Verb::Delete).count();
    assert_eq!((written.len(), deletes), (2, 1), "{written:#?}");
    // It is said where one looks: on the object that is held.
    let notices: Vec<_> = sim.notices.iter().filter(|it| it.reason == "HeldByFinalizer").collect();
    assert_eq!(notices.len(), 1);
    assert!(notices[0].kind == Kind::Ip && notices[0].message.contains(FOREIGN), "{notices:?}");
    assert_eq!(sim.engine(0).stats().unchanged, 1);

    // The address stays taken (invariant 5), and a pod of the same name waits, with an Event that says why.
    sim.pod("net2", "other", "host1");
    sim.pod("net2", "ubuntu", "host2");
    sim.advance(10_000);
    assert_eq!(sim.pod_address("net2/other"), Some("12.0.1.3"));
    assert_eq!(sim.pod_address("net2/ubuntu"), None);
    assert!(
        sim.notices.iter().any(|it| {
            (it.kind, it.name.as_str()) == (Kind::Pod, "ubuntu") && it.message.contains(FOREIGN)
        })
    );
    // A restart asks for nothing again.
    let before = sim.writes.len();
    sim.restart(0);
    sim.elect(0);
    sim.advance(60_000);
    assert_eq!(writes(&sim, before, Kind::Ip), 0);

    sim.apply(Kind::Ip, &json!({ "metadata": { "name": "ubuntu.net2", "finalizers": [] } }));
    sim.advance(5_000);
    assert!(sim.pod_address("net2/ubuntu").is_some());
    assert_eq!(sim.engine(0).stats().unchanged, 0);
    sim.converge();
}

#[test]
fn the_ip_of_a_node_and_a_vpc_are_waited_for_in_the_same_way() {
    let mut sim = document();
    hold(&mut sim, "node-host2", &json!([FOREIGN]));
    sim.apply(Kind::Vpc, &json!({ "metadata": { "name": VPC, "finalizers": [FOREIGN] } }));
    sim.advance(1_000);
    let before = sim.writes.len();
    sim.delete(Kind::Node, "", "host2");
    sim.advance(60_000);
    assert_eq!(writes(&sim, before, Kind::Ip), 1);
    sim.delete(Kind::Pod, "net2", "ubuntu");
    sim.delete(Kind::Subnet, "", "net2");
    sim.apply(Kind::Vpc, &json!({ "metadata": { "name": VPC }, "spec": { "namespaces": null } }));
    sim.advance(60_000);
    let before = sim.writes.len();
    tombolo_tests_sim::Neutron(&mut sim).delete_router(tombolo_tests_sim::situations::ROUTER);
    sim.advance(60_000);
    assert!(writes(&sim, before, Kind::Vpc) <= 2, "{}", writes(&sim, before, Kind::Vpc));
    assert!(sim.object(Kind::Vpc, VPC)["metadata"]["deletionTimestamp"].is_string());
    // The node comes back while its object is still held.
    sim.node("host2", "172.16.0.2");
    sim.apply(Kind::Ip, &json!({ "metadata": { "name": "node-host2", "finalizers": [] } }));
    sim.apply(Kind::Vpc, &json!({ "metadata": { "name": VPC, "finalizers": [] } }));
    sim.advance(10_000);
    assert!(sim.api.get(Kind::Vpc, VPC).is_none());
    sim.converge();
}

#[test]
fn a_pod_that_somebody_strips_is_not_written_for_ever() {
    // invariant 9: a foreign webhook removes our annotation each time
    let mut sim = document();
    sim.user(|api| api.prune(Kind::Pod, &["metadata", "annotations", "ovn.kubernetes.io/routed"]));
    sim.pod("net2", "stripped", "host1");
    sim.advance(60_000);
    let before = sim.writes.len();
    sim.advance(3_600_000);
    let hour = writes(&sim, before, Kind::Pod);
    assert!(hour <= 10, "{hour}");
}
