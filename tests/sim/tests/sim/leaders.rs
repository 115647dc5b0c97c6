//! Leaders, restarts, stale replicas and lost watches: nothing is lost, nothing is deleted on partial knowledge.

use serde_json::json;
use tombolo_ovsdb::{Op, Txn};
use tombolo_plan::Kind;
use tombolo_plan::nb::table;
use tombolo_tests_sim::situations::{document, installed};
use tombolo_tests_sim::{Sim, dump};

/// `count` pods in the default subnet on one node.
fn with_pods(count: usize) -> Sim {
    let mut sim = installed();
    sim.namespace("a");
    for number in 0..count {
        sim.pod("a", &format!("p{number}"), "host1");
    }
    sim.converge();
    sim
}

fn ports(sim: &Sim) -> usize {
    sim.nb()
        .rows()
        .rows("Logical_Switch_Port")
        .filter(|(_, row)| row.key("external_ids", "pod").is_some())
        .count()
}

#[test]
fn a_restart_writes_nothing_and_chooses_nothing_anew() {
    // invariants 5 and 9
    let mut sim = document();
    let (rows, writes) = (dump::show(sim.nb().rows()), sim.writes.len());
    let address = sim.pod_address("net2/ubuntu").map(str::to_owned);
    sim.restart(0);
    sim.elect(0);
    sim.converge();
    assert_eq!(sim.writes.len(), writes);
    assert_eq!(dump::show(sim.nb().rows()), rows);
    assert_eq!(sim.pod_address("net2/ubuntu").map(str::to_owned), address);
    assert!(sim.engine(0).health().leading);
}

#[test]
fn the_database_refuses_a_deposed_leader() {
    // invariant 7: the second controller leads, the first one doesn't know yet
    let mut sim = with_pods(1);
    let second = sim.start_controller();
    sim.settle();
    sim.elect(second);
    let before = sim.commits.len();
    sim.pod("a", "late", "host1");
    sim.settle();
    assert!(sim.engine(second).health().leading);
    assert!(!sim.engine(0).health().leading);
    assert_eq!(sim.resigned.first().map(|(controller, _)| *controller), Some(0));
    // It may have learned of the new epoch before it wrote; what it wrote after, the database refused.
    assert!(sim.commits[before..].iter().all(|commit| commit.controller != 0 || commit.result.is_err()));
    assert!(sim.pod_address("a/late").is_some());
}

#[test]
fn a_leader_without_the_database_gives_the_lease_up() {
    // invariant 6
    let mut sim = with_pods(1);
    sim.disconnect_nb(0);
    sim.advance(1_000);
    let commits = sim.commits.len();
    sim.pod("a", "late", "host1");
    sim.advance(5_000);
    assert_eq!(sim.commits.len(), commits, "planned on a stale replica");
    assert!(sim.resigned.is_empty());
    sim.advance(10_000);
    assert_eq!(sim.resigned.len(), 1);
    sim.reconnect_nb(0, true);
    sim.elect(0);
    sim.converge();
    assert!(sim.pod_address("a/late").is_some());
}

#[test]
fn a_short_absence_of_the_database_is_no_reason_to_resign() {
    let mut sim = with_pods(1);
    for resume in [true, false] {
        sim.disconnect_nb(0);
        sim.advance(3_000);
        sim.pod("a", if resume { "resumed" } else { "replaced" }, "host1");
        sim.advance(3_000);
        sim.reconnect_nb(0, resume);
        sim.converge();
    }
    assert!(sim.resigned.is_empty());
    assert!(sim.pod_address("a/resumed").is_some() && sim.pod_address("a/replaced").is_some());
}

#[test]
fn nothing_is_deleted_while_a_list_is_incomplete() {
    // invariant 4
    let mut sim = with_pods(3);
    sim.break_watch(0, Kind::Pod);
    sim.advance(1_000);
    sim.delete(Kind::Pod, "a", "p0");
    sim.delete(Kind::Ip, "", "p1.a");
    sim.advance(30_000);
    assert_eq!(ports(&sim), 3);
    sim.resume_watch(0, Kind::Pod);
    sim.converge();
    assert_eq!(ports(&sim), 2);
    assert!(sim.api.get(Kind::Ip, "p0.a").is_none());
    assert!(sim.api.get(Kind::Ip, "p1.a").is_some());
}

#[test]
fn the_last_finalizer_of_an_address_stays_while_its_pod_lives_beside_a_short_list() {
    // invariant 4: to take the last finalizer away is to delete
    let mut sim = with_pods(2);
    let finalizer =
        json!({ "metadata": { "name": "p0.a", "finalizers": ["kubeovn.io/kube-ovn-controller"] } });
    sim.apply(Kind::Ip, &finalizer);
    sim.converge();
    // The list of pods lacks the pod; then a user deletes its IP object.
    sim.list_short(0, Kind::Pod, |key| key == "a/p1");
    sim.delete(Kind::Ip, "", "p0.a");
    sim.settle();
    assert!(sim.api.get(Kind::Ip, "p0.a").is_some(), "the pod lives, and its address with it");
    assert_eq!(ports(&sim), 2);
    sim.resume_watch(0, Kind::Pod);
    sim.converge();
    assert_eq!(ports(&sim), 2);
    assert!(sim.pod_address("a/p0").is_some());
}

#[test]
fn whoever_was_seen_to_go_is_not_asked_for() {
    let mut sim = with_pods(20);
    sim.node("host9", "172.30.0.9");
    sim.converge();
    for number in 0..20 {
        sim.delete(Kind::Pod, "a", &format!("p{number}"));
    }
    sim.delete(Kind::Node, "", "host9");
    sim.converge();
    assert_eq!(ports(&sim), 0);
    let asked: Vec<_> = sim.engine(0).stats().writes.iter().filter(|((_, verb), _)| *verb == "get").collect();
    assert!(asked.is_empty(), "{asked:?}");
}

#[test]
fn pods_that_went_while_nobody_led_are_cleaned_up() {
    let mut sim = with_pods(10);
    sim.depose(0);
    sim.settle();
    for number in 0..4 {
        sim.delete(Kind::Pod, "a", &format!("p{number}"));
    }
    sim.restart(0);
    sim.elect(0);
    sim.converge();
    assert_eq!(ports(&sim), 6);
    assert_eq!(sim.api.list(Kind::Ip).filter(|(name, _)| name.ends_with(".a")).count(), 6);
}

#[test]
fn what_a_new_leader_has_not_heard_of_stays() {
    // invariant 4: its watches lag behind what the last leader knew
    let mut sim = installed();
    let second = sim.start_controller();
    sim.settle();
    for kind in [Kind::Pod, Kind::Node] {
        sim.stall_watch(second, kind, 60_000);
    }
    sim.node("host3", "172.16.0.3");
    sim.namespace("a");
    sim.pod("a", "p", "host1");
    sim.advance(1_000);
    let (address, rows) = (sim.pod_address("a/p").map(str::to_owned), dump::show(sim.nb().rows()));
    assert!(address.is_some());
    sim.depose(0);
    sim.elect(second);
    sim.advance(20_000);
    assert!(sim.engine(second).health().leading);
    assert_eq!(dump::show(sim.nb().rows()), rows);
    // It asked, and knows now.
    assert!(sim.engine(second).world().pods().contains("a/p"));
    sim.delete(Kind::Pod, "a", "p");
    sim.advance(60_000);
    sim.converge();
    assert_eq!(ports(&sim), 0);
}

#[test]
fn a_deletion_that_waits_for_its_turn_counts_once() {
    // invariant 4: the API server's answers come one by one, so most rows wait for a transaction that is under way
    let mut sim = with_pods(60);
    sim.depose(0);
    sim.settle();
    for number in 0..45 {
        sim.delete(Kind::Pod, "a", &format!("p{number}"));
    }
    sim.restart(0);
    sim.knobs.latency = (0, 40);
    sim.elect(0);
    sim.converge();
    assert!(!sim.engine(0).health().brake_holding);
    assert_eq!(ports(&sim), 15);
}

#[test]
fn deletions_that_the_api_server_explains_need_no_release() {
    // Finding 19: both controllers were down while half of the pods went. Each of them is asked for before its rows go.
    let mut sim = with_pods(120);
    sim.depose(0);
    sim.settle();
    for number in 0..60 {
        sim.delete(Kind::Pod, "a", &format!("p{number}"));
    }
    sim.restart(0);
    let before = sim.writes.len();
    sim.elect(0);
    sim.converge();
    assert!(!sim.engine(0).health().brake_holding);
    assert_eq!(ports(&sim), 60);
    let asked = sim.writes[before..].iter().filter(|it| it.write.verb == tombolo_engine::Verb::Read);
    assert_eq!(asked.count(), 60);
    assert!(sim.api.list(Kind::Ip).filter(|(name, _)| name.ends_with(".a")).count() == 60);
}

#[test]
fn many_unexplained_deletions_wait_for_a_human() {
    // invariant 4: the nodes are there, and all of a sudden none has an address, for whatever reason
    let mut sim = with_pods(1);
    let node = |number: usize| format!("many{number}");
    for number in 0..80 {
        sim.node(&node(number), &format!("172.17.0.{}", number + 1));
    }
    sim.converge();
    let policies = |sim: &Sim| {
        let rows = sim.nb().rows().rows(table::POLICY);
        rows.filter(|(_, row)| row.str("match").is_some_and(|it| it.starts_with("ip4.dst == 172.17.")))
            .count()
    };
    assert_eq!(policies(&sim), 80);
    for number in 0..80 {
        let status = json!({ "addresses": null });
        sim.apply(Kind::Node, &json!({ "metadata": { "name": node(number) }, "status": status }));
    }
    sim.settle();
    sim.advance(120_000);
    assert!(sim.engine(0).health().brake_holding);
    assert_eq!(policies(&sim), 30, "more than 50 rows went unexplained");
    assert_eq!(sim.reasons(Kind::Vpc, "ovn-cluster"), ["DeletionsHeld"]);
    // Others are served all the same.
    sim.pod("a", "new", "host1");
    sim.settle();
    assert!(sim.pod_address("a/new").is_some());
    // A process that leads no more doesn't say that it holds anything.
    let mut deposed = sim.engine(0).stats().held;
    assert_eq!(deposed, 30);
    sim.depose(0);
    sim.advance(100);
    deposed = sim.engine(0).stats().held;
    assert_eq!((deposed, sim.engine(0).health().brake_holding), (0, false));
    sim.elect(0);
    sim.advance(10_000);
    sim.apply(
        Kind::Vpc,
        &json!({ "metadata": { "name": "ovn-cluster", "annotations": { "tombolo.io/brake-release": "now" } } }),
    );
    sim.converge();
    assert_eq!(policies(&sim), 0);
    assert!(!sim.engine(0).health().brake_holding);
}

#[test]
fn a_new_leader_serves_the_oldest_first() {
    // invariant 12: the alphabet would have it the other way round
    let mut sim = with_pods(1);
    sim.depose(0);
    sim.settle();
    for name in ["z", "m", "b"] {
        sim.pod("a", name, "host1");
        sim.advance(5_000);
    }
    sim.elect(0);
    sim.converge();
    let address = |name: &str| sim.pod_address(name).and_then(|text| text.parse::<std::net::IpAddr>().ok());
    let got = ["a/z", "a/m", "a/b"].map(address);
    assert!(got[0].is_some() && got.is_sorted(), "{got:?}");
}

#[test]
fn deletions_that_are_done_are_not_counted_against_later_ones() {
    // invariant 4: twice fewer rows than the brake holds, and rest in between
    let mut sim = with_pods(1);
    let node = |number: usize| format!("many{number}");
    for number in 0..80 {
        sim.node(&node(number), &format!("172.17.0.{}", number + 1));
    }
    sim.converge();
    for wave in [0..40, 40..80] {
        for number in wave {
            let status = json!({ "addresses": null });
            sim.apply(Kind::Node, &json!({ "metadata": { "name": node(number) }, "status": status }));
        }
        sim.converge();
        let health = sim.engine(0).health();
        assert_eq!((health.brake_holding, health.dirty), (false, 0));
    }
}

#[test]
fn a_mark_on_the_default_vpc_releases_the_brake_and_no_other() {
    // invariant 4
    let mut sim = with_pods(1);
    for number in 0..80 {
        sim.node(&format!("many{number}"), &format!("172.17.0.{}", number + 1));
    }
    sim.converge();
    for number in 0..80 {
        let meta = json!({ "name": format!("many{number}") });
        sim.apply(Kind::Node, &json!({ "metadata": meta, "status": { "addresses": null } }));
    }
    sim.settle();
    for (vpc, holds) in [("another", true), ("ovn-cluster", false)] {
        let meta = json!({ "name": vpc, "annotations": { "tombolo.io/brake-release": "now" } });
        sim.apply(Kind::Vpc, &json!({ "metadata": meta }));
        sim.settle();
        assert_eq!(sim.engine(0).health().brake_holding, holds, "{vpc}");
    }
    sim.converge();
}

#[test]
fn pods_that_came_again_under_their_names_are_no_unexplained_deletions() {
    // invariant 4: no controller led while all pods of a set were recreated
    let mut sim = with_pods(60);
    sim.depose(0);
    sim.settle();
    for number in 0..60 {
        sim.delete(Kind::Pod, "a", &format!("p{number}"));
        sim.pod("a", &format!("p{number}"), "host1");
    }
    sim.restart(0);
    sim.elect(0);
    sim.converge();
    assert!(!sim.engine(0).health().brake_holding);
    assert_eq!(ports(&sim), 60);
}

#[test]
fn ports_of_the_dead_that_a_restored_database_brings_back_keep_nobody_off_the_network() {
    // Finding 19: an older copy of the database has the ports of pods whose addresses others have by now.
    let mut sim = with_pods(80);
    let old = sim.nb().clone();
    for number in 0..80 {
        sim.delete(Kind::Pod, "a", &format!("p{number}"));
    }
    sim.converge();
    for number in 0..80 {
        sim.pod("a", &format!("q{number}"), "host2");
    }
    sim.converge();
    let held: Vec<_> = sim.api.list(Kind::Ip).map(|(name, _)| name.to_owned()).collect();
    // The operator puts the old copy back: the ports of `p`, none of `q`.
    let now = sim.nb().rows().clone();
    let mut ops = Vec::new();
    for (switch, row) in old.rows().rows(table::SWITCH) {
        let before = row.get("ports").cloned().unwrap_or_default();
        let after =
            now.row(table::SWITCH, &switch).and_then(|row| row.get("ports").cloned()).unwrap_or_default();
        for port in before.difference(&after).uuids() {
            let mut port_row = (**old.rows().row(table::SWITCH_PORT, &port).unwrap()).clone();
            port_row.remove("_uuid");
            ops.push(Op::insert(table::SWITCH_PORT, port, port_row));
            ops.push(Op::add_edge(table::SWITCH, switch, "ports", port));
        }
        for port in after.difference(&before).uuids() {
            ops.push(Op::remove_edge(table::SWITCH, switch, "ports", port));
        }
    }
    sim.foreign(&Txn::new(ops));
    sim.converge();
    assert!(!sim.engine(0).health().brake_holding);
    assert_eq!(ports(&sim), 80);
    let names: Vec<_> = sim.api.list(Kind::Ip).map(|(name, _)| name.to_owned()).collect();
    assert_eq!(names, held, "the same addresses");
}

#[test]
fn deletions_that_were_seen_need_no_release() {
    let mut sim = with_pods(120);
    for number in 0..100 {
        sim.delete(Kind::Pod, "a", &format!("p{number}"));
    }
    sim.converge();
    assert_eq!(ports(&sim), 20);
}
