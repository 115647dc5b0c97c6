//! A big cluster whose lists lie: most of its objects are missing from one, which says that it is complete. The brake
//! must hold what nothing explains (invariant 4), and all is well once the truth is known.

use std::collections::BTreeSet;

use serde_json::json;
use tombolo_plan::Kind;
use tombolo_plan::nb::table;

use crate::fault::Fault;
use crate::rng::Rng;
use crate::{Knobs, Sim, guard, marks, outcome};

fn ports(sim: &Sim) -> usize {
    let rows = sim.nb().rows().rows(table::SWITCH_PORT);
    rows.filter(|(_, row)| row.key("external_ids", "pod").is_some()).count()
}

/// Rows of ours, counted here.
fn rows(sim: &Sim) -> usize {
    let cluster = sim.config().cluster.as_str();
    let all = sim.nb().rows().tables().flat_map(|(_, table)| table.iter());
    all.filter(|(_, row)| marks::is_ours(cluster, row)).count()
}

/// So many rows may go unexplained at most, says the documentation (invariant 4): fifty, or a tenth of what there is.
fn documented_allowance(rows: usize) -> usize {
    std::cmp::max(50, rows / 10)
}

/// All nodes lose their addresses at once without an explanation: the nodes themselves are there.
fn nodes_without_addresses(sim: &mut Sim, rng: &mut Rng) {
    let nodes = rng.within((60, 100));
    for number in 0..nodes {
        sim.node(&format!("many{number}"), &format!("172.17.0.{}", number + 1));
    }
    sim.converge();
    let policies = |sim: &Sim| {
        let rows = sim.nb().rows().rows(table::POLICY);
        rows.filter(|(_, row)| row.str("match").is_some_and(|it| it.contains(".dst == 172.17."))).count()
            as u64
    };
    assert_eq!(policies(sim), nodes);
    let allowed = documented_allowance(rows(sim)) as u64;
    sim.hits.hit(Fault::ObjectsLost);
    let addresses = |sim: &mut Sim, number: u64, addresses: serde_json::Value| {
        let status = json!({ "addresses": addresses });
        sim.apply(Kind::Node, &json!({ "metadata": { "name": format!("many{number}") }, "status": status }));
    };
    (0..nodes).for_each(|number| addresses(sim, number, json!(null)));
    for _ in 0..6 {
        sim.advance(rng.within((1, 5_000)));
    }
    let gone = nodes - policies(sim);
    assert!(gone <= allowed, "invariant 4: {gone} policies of {nodes} went, and nothing explains it");
    for number in 0..nodes {
        let address = format!("172.17.0.{}", number + 1);
        addresses(sim, number, json!([{ "type": "InternalIP", "address": address }]));
    }
    sim.converge();
    assert_eq!(policies(sim), nodes);
}

pub(super) fn play(sim: &mut Sim, rng: &mut Rng) {
    sim.knobs.latency = (0, rng.within((1, 30)));
    let first = sim.start_controller();
    sim.elect(first);
    if rng.permille(300) {
        nodes_without_addresses(sim, rng);
        return;
    }
    sim.node("host0", "172.16.0.1");
    sim.node("host1", "172.16.0.2");
    sim.namespace("ns0");
    let pods = rng.within((80, 120));
    for number in 0..pods {
        let node = if rng.permille(500) { "host0" } else { "host1" };
        sim.pod("ns0", &format!("p{number}"), node);
    }
    sim.converge();
    let stood = ports(sim);
    assert_eq!(stood as u64, pods);

    // The list says that most have gone; or the API server says so too when it is asked for one of them.
    let really = rng.permille(500);
    let kind = if really || rng.permille(600) { Kind::Pod } else { Kind::Ip };
    let kept: BTreeSet<String> =
        sim.api.list(kind).map(|(key, _)| key.to_owned()).filter(|_| rng.permille(200)).collect();
    let mut lost = Vec::new();
    if really {
        sim.hits.hit(Fault::ObjectsLost);
        lost = sim.api.lose(kind, |key| !kept.contains(key));
    }
    if rng.permille(500) {
        sim.restart(first);
    }
    sim.list_short(first, kind, |key| kept.contains(key));
    sim.elect(first);
    for round in 0..6 {
        sim.pod("ns0", &format!("new{round}"), "host0");
        sim.advance(rng.within((1, 5_000)));
        // No other client chooses addresses, and no write is late (invariant 5).
        guard::check_ips(&sim.api);
    }
    let old = |sim: &Sim| {
        let rows = sim.nb().rows().rows(table::SWITCH_PORT);
        rows.filter(|(_, row)| row.key("external_ids", "pod").is_some_and(|pod| pod.starts_with("ns0/p")))
            .count()
    };
    let gone = stood - old(sim).min(stood);
    // What the API server itself says to be gone is explained.
    assert!(
        really || gone == 0,
        "invariant 4: {gone} ports of {stood} went, and nothing but a list explains it"
    );

    // The truth.
    sim.settle();
    sim.api.put_back(kind, lost);
    sim.break_watch(first, kind);
    sim.advance(rng.below(3_000));
    sim.resume_watch(first, kind);
    sim.knobs = Knobs::default();
    sim.advance(70_000);
    sim.converge();
    outcome::check_outcome(sim);
    let (now, all) = (ports(sim), stood + 6);
    assert!(now == all, "work undone: {now} ports where {all} pods are");
}
