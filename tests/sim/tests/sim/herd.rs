//! What one event costs, counted in plans (finding 12): an address that becomes free, a Subnet that comes, a pod that comes.
//! The count must not grow with those who wait or with how many of a kind there are.

use serde_json::json;
use tombolo_plan::Kind;
use tombolo_tests_sim::{Sim, config};

/// How many owners the leader plans because of this.
fn plans(sim: &mut Sim, act: impl FnOnce(&mut Sim)) -> u64 {
    sim.settle();
    let before = sim.engine(0).stats().plans;
    act(sim);
    // Until the event's own work is done; reports that are late on purpose belong to it.
    sim.advance(3_000);
    sim.engine(0).stats().plans - before
}

/// Fails unless the second of two counts is about the first one, however many more there are.
#[track_caller]
fn flat(what: &str, few: u64, many: u64) {
    println!("{what}: {few} plans among few, {many} among many");
    assert!(few > 0, "{what}: nothing happened");
    assert!(many <= few * 2 + 4, "{what}: {few} plans among few, {many} among many");
}

fn cluster(subnets: &[(&str, &str)]) -> Sim {
    let mut sim = Sim::new(config(), 1);
    sim.node("host1", "172.16.0.1");
    sim.namespace("ns");
    for (name, cidr) in subnets {
        sim.subnet(name, &json!({ "cidrBlock": cidr, "namespaces": ["ns"] }));
    }
    sim.settle();
    sim
}

#[test]
fn a_freed_address_wakes_one_of_those_that_wait_for_one() {
    let among = |waiting: usize| {
        // Thirteen addresses beside the network's, the gateway's and the broadcast address.
        let mut sim = cluster(&[("full", "12.0.1.0/28")]);
        for number in 0..13 + waiting {
            sim.pod("ns", &format!("p{number:03}"), "host1");
            sim.settle();
        }
        assert_eq!(sim.api.list(Kind::Ip).filter(|(_, ip)| ip["spec"]["subnet"] == "full").count(), 13);
        let plans = plans(&mut sim, |sim| sim.delete(Kind::Pod, "ns", "p000"));
        assert_eq!(sim.api.list(Kind::Ip).filter(|(_, ip)| ip["spec"]["subnet"] == "full").count(), 13);
        plans
    };
    flat("a freed address of a full Subnet", among(10), among(150));
}

#[test]
fn a_freed_address_concerns_those_only_who_want_that_one() {
    let among = |contested: usize| {
        let mut sim = cluster(&[("net", "12.0.2.0/24")]);
        for number in 0..contested + 2 {
            sim.pod("ns", &format!("p{number:03}"), "host1");
        }
        sim.settle();
        // IP objects that were edited by hand: all of them name the address of the last pod.
        let last = format!("p{:03}.ns", contested + 1);
        let wanted = sim.object(Kind::Ip, &last)["spec"]["ipAddress"].clone();
        for number in 0..contested {
            let spec = json!({ "ipAddress": wanted, "v4IpAddress": wanted });
            let metadata = json!({ "name": format!("p{number:03}.ns") });
            sim.apply(Kind::Ip, &json!({ "metadata": metadata, "spec": spec }));
        }
        sim.settle();
        // Another one goes.
        plans(&mut sim, |sim| sim.delete(Kind::Pod, "ns", &format!("p{contested:03}")))
    };
    flat("an address that is freed beside contested ones", among(10), among(150));
}

#[test]
fn a_subnet_that_comes_costs_the_same_among_many() {
    let among = |there: usize| {
        let mut sim = cluster(&[]);
        for number in 0..there {
            let cidr = format!("12.{}.{}.0/24", number / 250 + 1, number % 250);
            sim.subnet(&format!("s{number:03}"), &json!({ "cidrBlock": cidr }));
        }
        sim.settle();
        plans(&mut sim, |sim| sim.subnet("new", &json!({ "cidrBlock": "13.0.0.0/24" })))
    };
    flat("a Subnet that comes", among(10), among(150));
}

#[test]
fn a_pod_that_comes_costs_the_same_among_many() {
    let among = |there: usize| {
        let mut sim = cluster(&[("net", "12.0.2.0/23")]);
        for number in 0..there {
            sim.pod("ns", &format!("p{number:03}"), "host1");
        }
        sim.settle();
        plans(&mut sim, |sim| sim.pod("ns", "new", "host1"))
    };
    flat("a pod that comes", among(10), among(200));
}
