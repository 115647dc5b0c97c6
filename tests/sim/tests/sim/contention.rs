//! Another client undoes what we restore: we put it back a few times at once, then with pauses, and nothing else waits.

use tombolo_ovsdb::{Datum, Op, Row, Txn, Uuid};
use tombolo_plan::Kind;
use tombolo_plan::nb::table;
use tombolo_tests_sim::situations::{ROUTER, VPC, document};
use tombolo_tests_sim::{Sim, neutron::row_uuid};

/// Our port on Neutron's router.
fn our_port(sim: &Sim) -> Option<Uuid> {
    let name = format!("{VPC}-net2");
    sim.nb()
        .rows()
        .rows(table::ROUTER_PORT)
        .find(|(_, row)| row.str("name") == Some(&name))
        .map(|(uuid, _)| uuid)
}

/// Another client takes it away.
fn take_away(sim: &mut Sim, port: Uuid) {
    sim.foreign(&Txn::new([Op::remove_edge(table::ROUTER, row_uuid(table::ROUTER, ROUTER), "ports", port)]));
}

/// Another client checks each second for `seconds` and takes the port away if it is there. Returns when it was there.
fn fight(sim: &mut Sim, seconds: u64) -> Vec<u64> {
    let mut seen = Vec::new();
    for _ in 0..seconds {
        if let Some(port) = our_port(sim) {
            seen.push(sim.now);
            take_away(sim, port);
        }
        sim.advance(1_000);
    }
    seen
}

#[test]
fn a_port_that_is_taken_away_once_is_back_at_once() {
    let mut sim = document();
    let port = our_port(&sim).unwrap();
    take_away(&mut sim, port);
    sim.converge();
    assert_eq!(our_port(&sim), Some(port));
    assert_eq!(sim.reasons(Kind::Subnet, "net2"), [""; 0]);
    assert_eq!(sim.engine(0).stats().restored, 1);
    assert_eq!(sim.engine(0).stats().contended, 0);
}

#[test]
fn healing_never_fights() {
    let mut sim = document();
    let seen = fight(&mut sim, 3_600);
    let pauses: Vec<u64> = seen.windows(2).map(|two| (two[1] - two[0]) / 1_000).collect();
    // The first times at once, then with pauses that double up to five minutes.
    assert!(pauses[..5].iter().all(|pause| *pause <= 1), "{pauses:?}");
    assert!(pauses.windows(2).all(|two| two[1] + 1 >= two[0]), "{pauses:?}");
    assert!(seen.len() < 30 && pauses.iter().all(|pause| *pause <= 302), "{pauses:?}");
    assert_eq!(sim.engine(0).stats().contended, 1);
    assert!(sim.engine(0).stats().restored >= 10);
    // The user sees it where the user looks (invariant 10).
    assert!(sim.reasons(Kind::Subnet, "net2").iter().all(|reason| *reason == "ConflictingWriter"));
    let (status, reason, message) = sim.condition(Kind::Subnet, "net2", "Ready").unwrap();
    assert_eq!((status, reason), ("False", "ConflictingWriter"), "{message}");

    // Others don't wait, and neither does a change of what should stand.
    sim.pod("net2", "other", "host2");
    sim.advance(1_000);
    assert!(sim.pod_address("net2/other").is_some());
    sim.subnet("net2", &serde_json::json!({ "cidrBlock": "12.0.0.0/23" }));
    sim.advance(2_000);
    let row = our_port(&sim).and_then(|port| sim.nb().rows().row(table::ROUTER_PORT, &port).cloned());
    assert_eq!(row.unwrap().get("networks"), Some(&Datum::set_of_strings(["12.0.1.1/23"])));

    // It is over: nothing is left to say, and the next accident is mended at once.
    sim.advance(1_000_000);
    sim.converge();
    assert_eq!(sim.engine(0).stats().contended, 0);
    assert_eq!(sim.condition(Kind::Subnet, "net2", "Ready").unwrap().0, "True");
    let port = our_port(&sim).unwrap();
    take_away(&mut sim, port);
    sim.advance(1_000);
    assert_eq!(our_port(&sim), Some(port));
}

#[test]
fn a_contention_that_a_leader_knows_goes_with_the_lease() {
    let mut sim = document();
    fight(&mut sim, 600);
    assert_eq!(sim.engine(0).stats().contended, 1);
    sim.depose(0);
    sim.advance(1_000);
    assert_eq!(sim.engine(0).stats().contended, 0);
}

#[test]
fn a_fight_ends_by_itself() {
    let mut sim = document();
    fight(&mut sim, 600);
    // The other client has stopped: the port comes back within the longest pause and stays.
    sim.advance(301_000);
    assert!(our_port(&sim).is_some());
    assert_eq!(sim.condition(Kind::Subnet, "net2", "Ready").unwrap().0, "True");
    assert_eq!(sim.engine(0).stats().contended, 1);
    sim.advance(1_000_000);
    assert_eq!(sim.engine(0).stats().contended, 0);
    sim.converge();
}

#[test]
fn a_column_that_is_changed_again_and_again() {
    let mut sim = document();
    let name = "ubuntu.net2";
    let mut rounds = 0;
    for _ in 0..600 {
        let rows = sim.nb().rows();
        let (uuid, row) =
            rows.rows(table::SWITCH_PORT).find(|(_, row)| row.str("name") == Some(name)).unwrap();
        if row.get("addresses").is_some_and(|it| it.strings().any(|it| it.ends_with("12.0.1.2"))) {
            rounds += 1;
            let other = Row::new().with("addresses", Datum::set_of_strings(["unknown"]));
            sim.foreign(&Txn::new([Op::update(table::SWITCH_PORT, uuid, other)]));
        }
        sim.advance(1_000);
    }
    assert!((8..20).contains(&rounds), "{rounds}");
    assert!(sim.notices.iter().any(|it| it.kind == Kind::Pod && it.reason == "ConflictingWriter"));
}
