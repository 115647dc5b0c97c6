//! Addresses: requested, taken, exhausted, released, and never held by two (invariant 5).

use serde_json::json;
use tombolo_plan::Kind;
use tombolo_tests_sim::Sim;
use tombolo_tests_sim::situations::installed;

const IP: &str = "ovn.kubernetes.io/ip_address";
const MAC: &str = "ovn.kubernetes.io/mac_address";

/// A subnet of three addresses for namespace `small`, one of them the gateway's.
fn small() -> Sim {
    let mut sim = installed();
    sim.namespace("small");
    sim.subnet("small", &json!({ "cidrBlock": "10.77.0.0/30", "namespaces": ["small"] }));
    sim.converge();
    sim
}

#[test]
fn what_is_asked_for_is_given() {
    let mut sim = small();
    sim.pod_with("small", "p", "host1", &[(IP, "10.77.0.2"), (MAC, "00:00:00:53:6b:b6")]);
    sim.converge();
    assert_eq!(sim.pod_address("small/p"), Some("10.77.0.2"));
    let port =
        sim.nb().rows().rows("Logical_Switch_Port").find(|(_, row)| row.str("name") == Some("p.small"));
    assert_eq!(port.and_then(|(_, row)| row.str("addresses")), Some("00:00:00:53:6B:B6 10.77.0.2"));
}

#[test]
fn what_is_outside_or_unreadable_is_refused_on_the_pod_and_others_go_on() {
    // invariants 8 and 10
    let mut sim = small();
    sim.pod_with("small", "outside", "host1", &[(IP, "10.99.0.2")]);
    sim.pod_with("small", "garbage", "host1", &[(IP, "10.77.0.two")]);
    sim.pod_with("small", "mac", "host1", &[(MAC, "zz")]);
    sim.pod("small", "good", "host1");
    sim.converge();
    assert_eq!(sim.reasons(Kind::Pod, "outside"), ["AcquireAddressFailed"]);
    assert_eq!(sim.reasons(Kind::Pod, "garbage"), ["InvalidAnnotation"]);
    assert_eq!(sim.reasons(Kind::Pod, "mac"), ["InvalidAnnotation"]);
    assert_eq!(sim.pod_address("small/good"), Some("10.77.0.2"));
}

#[test]
fn an_address_that_was_chosen_in_a_subnet_that_is_gone_is_given_up_for_one_elsewhere() {
    // The Subnet had no address in use when it went; the object with this one arrived a moment later.
    let mut sim = small();
    sim.apply(
        Kind::Ip,
        &json!({
            "metadata": { "name": "p.small", "annotations": { "tombolo.io/epoch": "1" } },
            "spec": { "podName": "p", "namespace": "small", "nodeName": "host1", "subnet": "gone",
                "ipAddress": "10.99.0.2", "v4IpAddress": "10.99.0.2", "macAddress": "00:00:00:53:6B:B7" },
        }),
    );
    sim.pod("small", "p", "host1");
    sim.converge();
    assert_eq!(sim.pod_address("small/p"), Some("10.77.0.2"));
    assert_eq!(sim.object(Kind::Ip, "p.small")["spec"]["subnet"], "small");
}

#[test]
fn a_taken_address_is_told_with_its_holder_and_given_once_it_is_free() {
    let mut sim = small();
    sim.pod("small", "first", "host1");
    sim.converge();
    sim.pod_with("small", "second", "host1", &[(IP, "10.77.0.2")]);
    sim.converge();
    assert_eq!(sim.reasons(Kind::Pod, "second"), ["AcquireAddressFailed"]);
    // Kube-OVN's word and the holder.
    let told = |message: &str| message.starts_with("AddressConflict: ") && message.contains("first.small");
    assert!(sim.notices.iter().any(|notice| told(&notice.message)), "{:#?}", sim.notices);
    sim.delete(Kind::Pod, "small", "first");
    sim.converge();
    assert_eq!(sim.pod_address("small/second"), Some("10.77.0.2"));
}

#[test]
fn a_full_subnet_says_so_and_serves_who_waits() {
    let mut sim = small();
    sim.pod("small", "a", "host1");
    sim.converge();
    sim.pod("small", "b", "host1");
    sim.converge();
    assert_eq!(sim.reasons(Kind::Pod, "b"), ["NoAvailableAddress"]);
    sim.delete(Kind::Pod, "small", "a");
    sim.converge();
    assert_eq!(sim.pod_address("small/b"), Some("10.77.0.2"));
    let status = &sim.object(Kind::Subnet, "small")["status"];
    assert_eq!((&status["v4usingIPs"], &status["v4availableIPs"]), (&json!(1), &json!(0)));
}

#[test]
fn a_finished_pod_gives_its_address_back() {
    let mut sim = small();
    sim.pod("small", "job", "host1");
    sim.converge();
    sim.patch_pod("small", "job", &json!({ "status": { "phase": "Succeeded" } }));
    sim.converge();
    assert!(sim.api.get(Kind::Ip, "job.small").is_none());
    sim.pod("small", "next", "host1");
    sim.converge();
    assert_eq!(sim.pod_address("small/next"), Some("10.77.0.2"));
}

#[test]
fn a_terminating_pod_keeps_its_network_until_it_is_gone() {
    let mut sim = small();
    sim.pod("small", "p", "host1");
    sim.converge();
    sim.terminate_pod("small", "p");
    sim.converge();
    assert_eq!(sim.pod_address("small/p"), Some("10.77.0.2"));
    sim.delete(Kind::Pod, "small", "p");
    sim.converge();
    assert!(sim.api.get(Kind::Ip, "p.small").is_none());
}

#[test]
fn a_pod_of_the_same_name_comes_again() {
    let mut sim = small();
    for _ in 0..3 {
        sim.pod("small", "p", "host1");
        sim.converge();
        assert_eq!(sim.pod_address("small/p"), Some("10.77.0.2"));
        sim.delete(Kind::Pod, "small", "p");
        // The next one is there before anything was cleaned up.
        sim.pod("small", "p", "host1");
        sim.converge();
        assert_eq!(sim.pod_address("small/p"), Some("10.77.0.2"));
        sim.delete(Kind::Pod, "small", "p");
        sim.converge();
    }
}

#[test]
fn an_ip_object_deleted_by_hand_comes_back_with_the_same_address() {
    let mut sim = installed();
    sim.namespace("a");
    sim.pod("a", "p", "host1");
    sim.pod("a", "q", "host1");
    sim.converge();
    let before = sim.pod_address("a/p").map(str::to_owned);
    sim.delete(Kind::Ip, "", "p.a");
    sim.converge();
    assert_eq!(sim.pod_address("a/p").map(str::to_owned), before);
    assert!(sim.api.get(Kind::Ip, "p.a").is_some());
}

#[test]
fn a_pod_without_a_node_or_with_the_nodes_network_gets_nothing() {
    let mut sim = small();
    let pod = json!({ "metadata": { "namespace": "small", "name": "pending" }, "spec": {}, "status": {} });
    sim.apply(Kind::Pod, &pod);
    let pod = json!({
        "metadata": { "namespace": "small", "name": "host" }, "spec": { "nodeName": "host1", "hostNetwork": true },
    });
    sim.apply(Kind::Pod, &pod);
    sim.converge();
    assert!(sim.api.list(Kind::Ip).all(|(name, _)| !name.ends_with(".small")));
}

#[test]
fn a_node_that_goes_takes_its_rows_along() {
    let mut sim = installed();
    sim.node("host9", "192.0.2.9");
    sim.converge();
    assert!(sim.api.get(Kind::Ip, "node-host9").is_some());
    sim.delete(Kind::Node, "", "host9");
    sim.converge();
    assert!(sim.api.get(Kind::Ip, "node-host9").is_none());
    let left = sim
        .nb()
        .rows()
        .tables()
        .flat_map(|(_, table)| table.iter())
        .filter(|(_, row)| row.key("external_ids", "tombolo.io/owner") == Some("node/host9"));
    assert_eq!(left.count(), 0);
}

#[test]
fn one_port_that_the_database_refuses_does_not_stop_the_others() {
    // invariant 8: a foreign port has the name
    use tombolo_ovsdb::{Datum, Op, Row, Txn, Uuid};
    let mut sim = installed();
    sim.namespace("a");
    let (switch, port) = (Uuid::from_u128(1), Uuid::from_u128(2));
    sim.foreign(&Txn::new([
        Op::insert("Logical_Switch", switch, Row::new().with("name", Datum::string("theirs"))),
        Op::insert("Logical_Switch_Port", port, Row::new().with("name", Datum::string("p3.a"))),
        Op::add_edge("Logical_Switch", switch, "ports", port),
    ]));
    for number in 0..8 {
        sim.pod("a", &format!("p{number}"), "host1");
    }
    sim.settle();
    sim.advance(5_000);
    for number in [0, 1, 2, 4, 5, 6, 7] {
        assert!(sim.pod_address(&format!("a/p{number}")).is_some(), "p{number}");
    }
    assert_eq!(sim.reasons(Kind::Pod, "p3"), ["RefusedByOVN"]);
    // Its owner takes it away.
    sim.foreign(&Txn::new([Op::remove_edge("Logical_Switch", switch, "ports", port)]));
    sim.advance(120_000);
    assert!(sim.pod_address("a/p3").is_some());
}

#[test]
fn an_address_that_a_port_bears_is_nobody_elses() {
    // invariant 5: the last address of a full subnet, a pod that waits for it, an IP object deleted by hand
    let mut sim = small();
    sim.pod("small", "z", "host1");
    sim.converge();
    sim.pod("small", "a", "host1");
    sim.converge();
    sim.delete(Kind::Ip, "", "z.small");
    sim.converge();
    assert_eq!((sim.pod_address("small/z"), sim.pod_address("small/a")), (Some("10.77.0.2"), None));
    // The same when no controller saw the deletion: the next leader finds the port.
    sim.depose(0);
    sim.settle();
    sim.delete(Kind::Ip, "", "z.small");
    sim.restart(0);
    sim.elect(0);
    sim.converge();
    assert_eq!((sim.pod_address("small/z"), sim.pod_address("small/a")), (Some("10.77.0.2"), None));
    // It is free once the port is gone, also if the IP object went first.
    sim.delete(Kind::Ip, "", "z.small");
    sim.delete(Kind::Pod, "small", "z");
    sim.converge();
    assert_eq!(sim.pod_address("small/a"), Some("10.77.0.2"));
}
