//! Things that cross each other on the wire, and work that must stay small.

use serde_json::json;
use tombolo_plan::{Kind, Owner};
use tombolo_tests_sim::situations::{ROUTER, VPC, document, installed, openstack};
use tombolo_tests_sim::{Neutron, Sim, config, dump};

/// Names of the ports in a node's port group.
fn group(sim: &Sim, node: &str) -> Vec<String> {
    let rows = sim.nb().rows();
    let group = rows.rows("Port_Group").find(|(_, row)| row.str("name") == Some(&format!("node.{node}")));
    let ports =
        group.map(|(_, row)| row.get("ports").expect("a monitored column").uuid_set()).unwrap_or_default();
    let name = |uuid| {
        rows.row("Logical_Switch_Port", uuid).and_then(|row| row.str("name")).expect("a port").to_owned()
    };
    ports.iter().map(name).collect()
}

fn has_port(sim: &Sim, name: &str) -> bool {
    sim.nb().rows().rows("Logical_Switch_Port").any(|(_, row)| row.str("name") == Some(name))
}

#[test]
fn of_two_subnets_that_come_at_once_and_overlap_one_is_served() {
    // Both are planned for one transaction, and neither stands yet.
    for names in [["s1", "s2"], ["s2", "s1"]] {
        let mut sim = installed();
        for name in names {
            sim.subnet(name, &json!({ "cidrBlock": "10.77.0.0/24" }));
        }
        sim.converge();
        let ready =
            |name| sim.condition(Kind::Subnet, name, "Ready").map(|it| (it.0 == "True", it.1.to_owned()));
        let served: Vec<_> = names.into_iter().filter(|name| ready(name).is_some_and(|it| it.0)).collect();
        assert_eq!(served.len(), 1, "{:?} {:?}", ready("s1"), ready("s2"));
        let refused = names.into_iter().find(|name| *name != served[0]).and_then(ready);
        assert_eq!(refused.map(|it| it.1).as_deref(), Some("CidrConflict"));
        let rows = sim.nb().rows();
        let stands = |name: &str| rows.rows("Logical_Switch").any(|(_, row)| row.str("name") == Some(name));
        assert!(stands(served[0]) && !(stands("s1") && stands("s2")));
    }
}

#[test]
fn an_answer_that_comes_after_the_end_brings_nothing_back() {
    let mut sim = installed();
    sim.namespace("a");
    sim.knobs.answers_later = 500;
    sim.pod("a", "p", "host1");
    // The address is written, then the annotations; the pod goes while those are on their way.
    sim.advance(520);
    assert_eq!(sim.pod_address("a/p"), Some("10.16.0.2"));
    sim.delete(Kind::Pod, "a", "p");
    sim.converge();
    assert!(!has_port(&sim, "p.a") && sim.api.get(Kind::Ip, "p.a").is_none());
    assert!(sim.engine(0).world().pods().is_empty());
    // The same for an object that our own write lets go.
    sim.subnet("s", &json!({ "cidrBlock": "10.199.0.0/24" }));
    sim.converge();
    sim.delete(Kind::Subnet, "", "s");
    sim.converge();
    assert!(!sim.engine(0).world().subnets().contains("s"));
}

#[test]
fn a_write_that_finds_nothing_is_an_end_too() {
    // The pod goes while the list is under way: no event says so, and the write is what finds out.
    let mut sim = installed();
    sim.namespace("a");
    sim.pod("a", "p", "host1");
    sim.converge();
    sim.break_watch(0, Kind::Ip);
    sim.advance(10);
    sim.delete(Kind::Ip, "", "p.a");
    sim.delete(Kind::Pod, "a", "p");
    sim.advance(100);
    sim.resume_watch(0, Kind::Ip);
    sim.converge();
    assert!(!has_port(&sim, "p.a"));
}

#[test]
fn an_address_chosen_during_a_list_is_not_forgotten() {
    // invariant 5
    let mut sim = installed();
    sim.namespace("a");
    sim.converge();
    // A list that began before the object was there, and ends after its creation was answered.
    let list = sim.begin_list(0, Kind::Ip);
    sim.pod("a", "p", "host1");
    sim.advance(50);
    assert_eq!(sim.pod_address("a/p"), Some("10.16.0.2"));
    // The next pod is planned between the end of the list and the event that shows the first one's address.
    sim.knobs.latency = (0, 0);
    sim.end_list(0, Kind::Ip, list);
    sim.pod("a", "q", "host1");
    sim.converge();
    let mut addresses = [sim.pod_address("a/p"), sim.pod_address("a/q")];
    addresses.sort();
    assert_eq!(addresses, [Some("10.16.0.2"), Some("10.16.0.3")]);
}

#[test]
fn a_choice_that_was_never_persisted_is_free_again() {
    // invariant 5: the leader loses the lease before its writes get through
    let mut sim = installed();
    sim.namespace("a");
    sim.converge();
    sim.knobs.api_lost = 1_000;
    sim.pod("a", "p", "host1");
    sim.advance(50);
    sim.depose(0);
    sim.settle();
    sim.delete(Kind::Pod, "a", "p");
    sim.knobs.api_lost = 0;
    sim.elect(0);
    sim.settle();
    sim.pod("a", "q", "host1");
    sim.converge();
    assert!(sim.pod_address("a/q").is_some());
    assert_eq!(sim.object(Kind::Subnet, "ovn-default")["status"]["v4usingIPs"], 1);
}

#[test]
fn a_pod_of_the_same_name_on_another_node_begins_with_nothing() {
    let mut sim = installed();
    sim.namespace("a");
    sim.subnet("s", &json!({ "cidrBlock": "10.199.0.0/24" }));
    sim.pod("a", "p", "host1");
    sim.converge();
    assert_eq!(group(&sim, "host1"), ["p.a"]);
    // The engine learns of the deletion and of the new pod at once.
    sim.delete(Kind::Pod, "a", "p");
    sim.pod_with(
        "a",
        "p",
        "host2",
        &[("ovn.kubernetes.io/logical_switch", "s"), ("ovn.kubernetes.io/ip_address", "10.199.0.7")],
    );
    sim.converge();
    assert_eq!(sim.pod_address("a/p"), Some("10.199.0.7"));
    assert_eq!(group(&sim, "host1"), Vec::<String>::new());
    assert_eq!(group(&sim, "host2"), ["p.a"]);
    assert_eq!(sim.object(Kind::Ip, "p.a")["spec"]["nodeName"], "host2");
}

#[test]
fn a_lease_without_a_fresh_replica_is_no_busy_loop() {
    // invariant 6; a wake-up that polling doesn't serve fails in the simulation
    let mut sim = Sim::without_controller(config(), 1);
    sim.start_controller();
    sim.settle();
    sim.disconnect_nb(0);
    sim.settle();
    sim.elect(0);
    sim.advance(30_000);
    assert_eq!(sim.resigned.len(), 1);
    assert!(sim.commits.is_empty());
    sim.reconnect_nb(0, false);
    sim.elect(0);
    sim.converge();
    assert_eq!(sim.vpc_line("ovn-cluster"), r#"true ["join","ovn-default"]"#);
}

#[test]
fn a_subnet_that_vanishes_leaves_its_pods_connected() {
    // invariant 4: a user removed the finalizer
    let mut sim = document();
    sim.apply(Kind::Subnet, &json!({ "metadata": { "name": "net2", "finalizers": [] } }));
    sim.delete(Kind::Subnet, "", "net2");
    sim.converge();
    assert!(sim.api.get(Kind::Subnet, "net2").is_none());
    assert!(has_port(&sim, "ubuntu.net2"));
    assert_eq!(sim.reasons(Kind::Pod, "ubuntu"), ["SubnetNotFound"]);
    // Its last pod takes the switch along.
    sim.delete(Kind::Pod, "net2", "ubuntu");
    sim.converge();
    assert!(!dump::show(sim.nb().rows()).contains("net2"));
}

#[test]
fn a_subnet_that_is_made_anew_takes_its_pods_in() {
    let mut sim = document();
    sim.apply(Kind::Subnet, &json!({ "metadata": { "name": "net2", "finalizers": [] } }));
    sim.delete(Kind::Subnet, "", "net2");
    sim.converge();
    let rows = dump::rows(sim.nb().rows(), |_, row| row.str("name") == Some("ubuntu.net2"));
    sim.subnet("net2", &json!({ "vpc": VPC, "namespaces": ["net2"], "cidrBlock": "12.0.1.0/24" }));
    sim.converge();
    assert_eq!(dump::rows(sim.nb().rows(), |_, row| row.str("name") == Some("ubuntu.net2")), rows);
    assert_eq!(sim.object(Kind::Subnet, "net2")["status"]["v4usingIPs"], 1);
    assert_eq!(sim.condition(Kind::Subnet, "net2", "Ready").unwrap().0, "True");
}

#[test]
fn an_ip_object_with_a_taken_address_gets_it_when_it_is_free() {
    // Two IP objects of one address: a foreign hand restored a backup, say.
    let mut sim = installed();
    sim.namespace("a");
    sim.pod("a", "p", "host1");
    sim.converge();
    let spec = &sim.object(Kind::Ip, "p.a")["spec"];
    // A controller's, by its label; a user's own would be left as it is.
    let labels = json!({ "ovn.kubernetes.io/ip_reserved": "false" });
    let mut copy = json!({ "metadata": { "name": "q.a", "labels": labels }, "spec": spec.clone() });
    copy["spec"]["podName"] = json!("q");
    copy["spec"]["macAddress"] = json!("00:00:00:00:00:99");
    sim.apply(Kind::Ip, &copy);
    sim.pod("a", "q", "host1");
    sim.converge();
    // The one that has no port yet gives way.
    assert_eq!(sim.pod_address("a/p"), Some("10.16.0.2"));
    assert_eq!(sim.pod_address("a/q"), Some("10.16.0.3"));
}

#[test]
fn many_pods_at_once_cost_each_its_share() {
    let count = 2_000;
    let mut sim = installed();
    sim.namespace("a");
    for number in 0..count {
        sim.pod("a", &format!("p{number}"), if number % 2 == 0 { "host1" } else { "host2" });
    }
    let plans = sim.engine(0).stats().plans;
    sim.settle();
    let plans = (sim.engine(0).stats().plans - plans) as usize;
    assert!(plans < count * 9, "{plans} plans for {count} pods");
    // POST of the IP object, PATCH of the pod: the Subnet's status is written with at most one write a second.
    let writes = sim.engine(0).stats().writes.clone();
    assert_eq!(writes[&("ip", "create")], count as u64 + 2);
    assert_eq!(writes[&("pod", "patch")], count as u64);
    assert_eq!(sim.api.list(Kind::Ip).count(), count + 2);
}

#[test]
fn the_report_of_a_subnet_is_written_once_a_second() {
    let mut sim = installed();
    sim.namespace("a");
    sim.converge();
    let reports =
        |sim: &Sim| sim.engine(0).stats().writes.get(&("subnet", "patch_status")).copied().unwrap_or(0);
    let (before, began) = (reports(&sim), sim.now);
    for number in 0..200 {
        sim.pod("a", &format!("p{number}"), "host1");
        sim.advance(20);
    }
    let seconds = (sim.now - began).div_ceil(1_000);
    assert!(reports(&sim) - before <= seconds + 1, "{} reports in {seconds} s", reports(&sim) - before);
    sim.converge();
    assert_eq!(sim.object(Kind::Subnet, "ovn-default")["status"]["v4usingIPs"], 200);
}

#[test]
fn what_neutron_does_on_its_own_networks_costs_nothing() {
    let mut sim = document();
    let plans = sim.engine(0).stats().plans;
    for number in 0..50 {
        Neutron(&mut sim).vm(
            tombolo_tests_sim::situations::NETWORK,
            &format!("vm-{number}"),
            &format!("192.168.1.{}", 100 + number),
        );
    }
    sim.settle();
    assert_eq!(sim.engine(0).stats().plans, plans);
}

#[test]
fn deletions_seen_by_a_standby_are_not_kept_for_ever() {
    let mut sim = installed();
    let standby = sim.start_controller();
    sim.namespace("a");
    for number in 0..3_000 {
        sim.pod("a", &format!("p{number}"), "host1");
        sim.delete(Kind::Pod, "a", &format!("p{number}"));
    }
    sim.settle();
    assert!(sim.engine(standby).world().deletions_seen() <= 1_024);
    assert!(sim.engine(0).world().deletions_seen() <= 1_024);
}

#[test]
fn a_router_that_appears_while_nobody_leads_is_found() {
    let mut sim = installed();
    sim.depose(0);
    sim.settle();
    openstack(&mut sim);
    sim.settle();
    assert!(sim.api.get(Kind::Vpc, VPC).is_none());
    sim.elect(0);
    sim.converge();
    assert!(sim.vpc_line(VPC).starts_with("true"));
    // And one that went.
    sim.depose(0);
    sim.settle();
    Neutron(&mut sim).delete_router(ROUTER);
    sim.elect(0);
    sim.converge();
    assert!(sim.api.get(Kind::Vpc, VPC).is_none());
}

#[test]
fn every_fault_at_once_ends_well() {
    let mut sim = installed();
    sim.knobs.latency = (0, 40);
    (sim.knobs.api_lost, sim.knobs.api_answer_lost, sim.knobs.nb_lost, sim.knobs.nb_answer_lost) =
        (100, 100, 100, 100);
    openstack(&mut sim);
    sim.advance(3_000);
    sim.namespace("net2");
    sim.vpc_namespaces(VPC, &["net2"]);
    sim.subnet("net2", &json!({ "vpc": VPC, "namespaces": ["net2"], "cidrBlock": "12.0.1.0/24" }));
    for number in 0..60 {
        sim.pod("net2", &format!("p{number}"), "host1");
        sim.advance(30);
        if number % 3 == 0 {
            sim.delete(Kind::Pod, "net2", &format!("p{}", number / 2));
        }
    }
    sim.advance(60_000);
    sim.knobs = tombolo_tests_sim::Knobs::default();
    sim.advance(120_000);
    sim.converge();
    for (key, _) in sim.api.list(Kind::Pod) {
        assert!(sim.pod_address(key).is_some(), "{key}");
    }
    let owner = Owner::pod("net2", "p59");
    assert!(tombolo_plan::plan(sim.engine(0).world(), &owner).last_writes().is_empty());
}
