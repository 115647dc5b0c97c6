//! Random histories: whatever users, Neutron and faults do in whatever order, it ends well. The simulation itself checks
//! at every commit that foreign rows are untouched, that deletions are of rows of ours, and that no address is used
//! before it is persisted or twice (invariants 1, 2 and 5).

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::json;
use tombolo_plan::Kind;
use tombolo_tests_sim::actions::Action;
use tombolo_tests_sim::actions::edit::Field;
use tombolo_tests_sim::outcome::check_outcome;
use tombolo_tests_sim::{Knobs, Neutron, Sim, config, dump};

/// `SIM_CASES` and `SIM_SEED` ask for more, and for other ones.
fn settings(cases: u32) -> ProptestConfig {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    ProptestConfig {
        cases: number("SIM_CASES").and_then(|cases| u32::try_from(cases).ok()).unwrap_or(cases),
        rng_seed: RngSeed::Fixed(number("SIM_SEED").unwrap_or(1)),
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    }
}

fn building() -> impl Strategy<Value = Action> {
    let n = 0..12u8;
    prop_oneof![
        1 => n.clone().prop_map(Action::AddNode),
        1 => n.clone().prop_map(Action::AddNamespace),
        3 => (n.clone(), n.clone(), n.clone()).prop_map(|(a, b, c)| Action::AddSubnet(a, b, c)),
        3 => (n.clone(), prop::sample::select(&Field::ALL[..]), any::<u8>())
            .prop_map(|(a, field, c)| Action::EditSubnet(a, field, c)),
        1 => n.clone().prop_map(Action::UndoSubnet),
        1 => (n.clone(), n.clone()).prop_map(|(a, b)| Action::Label(a, b)),
        1 => (n.clone(), n.clone()).prop_map(|(a, b)| Action::MoveNode(a, b)),
        3 => (n.clone(), n.clone()).prop_map(|(a, b)| Action::VpcNamespaces(a, b)),
        8 => (n.clone(), n.clone(), n.clone(), n.clone()).prop_map(|(a, b, c, d)| Action::AddPod(a, b, c, d)),
        2 => n.clone().prop_map(Action::AddRouter),
        2 => (n.clone(), n.clone(), n.clone()).prop_map(|(a, b, c)| Action::Attach(a, b, c)),
        1 => (n.clone(), n.clone()).prop_map(|(a, b)| Action::AddVm(a, b)),
        1 => (n.clone(), n).prop_map(|(a, b)| Action::RenameRouter(a, b)),
        1 => Just(Action::Maintenance),
    ]
}

fn taking_away() -> impl Strategy<Value = Action> {
    let n = 0..12u8;
    prop_oneof![
        1 => n.clone().prop_map(Action::RemoveNode),
        1 => n.clone().prop_map(Action::RemoveNamespace),
        2 => n.clone().prop_map(Action::RemoveSubnet),
        1 => n.clone().prop_map(Action::RemoveVpc),
        3 => (n.clone(), n.clone()).prop_map(|(a, b)| Action::RemovePod(a, b)),
        1 => (n.clone(), n.clone()).prop_map(|(a, b)| Action::TerminatePod(a, b)),
        1 => (n.clone(), n.clone()).prop_map(|(a, b)| Action::FinishPod(a, b)),
        2 => (n.clone(), n.clone()).prop_map(|(a, b)| Action::RemoveIp(a, b)),
        2 => n.clone().prop_map(Action::RemoveRouter),
        1 => (n.clone(), n.clone()).prop_map(|(a, b)| Action::Detach(a, b)),
        1 => (n.clone(), any::<bool>()).prop_map(|(a, b)| Action::ForeignSwitch(a, b)),
        2 => (any::<u8>(), n).prop_map(|(a, b)| Action::Tamper(a, b)),
    ]
}

fn trouble() -> impl Strategy<Value = Action> {
    prop_oneof![
        Just(Action::Restart),
        (0..10u8).prop_map(Action::LoseLease),
        (0..6u8).prop_map(Action::Relist),
        (0..50u8, any::<bool>()).prop_map(|(a, b)| Action::NbAway(a, b)),
        (0..20u8).prop_map(Action::Wait),
    ]
}

/// Actions, and the milliseconds after each.
fn history(longest: usize) -> impl Strategy<Value = Vec<(Action, u64)>> {
    let action = prop_oneof![5 => building(), 2 => taking_away(), 1 => trouble()];
    prop::collection::vec((action, prop_oneof![Just(0u64), 1..6u64, 50..200u64]), 1..longest)
}

fn play(sim: &mut Sim, history: &[(Action, u64)]) {
    for (action, gap) in history {
        action.act(sim);
        sim.advance(*gap);
    }
}

proptest! {
    #![proptest_config(settings(300))]

    #[test]
    fn every_history_converges(history in history(40), latency in 0..30u64) {
        let mut sim = Sim::new(config(), latency);
        sim.knobs.latency = (0, latency);
        sim.knobs.answers_later = latency / 2;
        play(&mut sim, &history);
        sim.knobs = Knobs::default();
        sim.advance(61_000);
        sim.converge();
        check_outcome(&sim);
    }

    #[test]
    fn every_history_converges_on_bad_wires(history in history(30), seed in any::<u64>()) {
        let mut sim = Sim::new(config(), seed);
        sim.knobs = Knobs { latency: (0, 40), answers_later: 15, api_lost: 60, api_answer_lost: 60, nb_lost: 60, nb_answer_lost: 60, ..Knobs::default() };
        play(&mut sim, &history);
        sim.knobs = Knobs::default();
        sim.advance(130_000);
        sim.converge();
        check_outcome(&sim);
    }
}

proptest! {
    #![proptest_config(settings(150))]

    /// The World's rules for which owners a change makes dirty are hand-written: a read that none covers fails here.
    #[test]
    fn whoever_reads_what_changed_is_planned_again(history in history(40), latency in 0..30u64) {
        let mut sim = Sim::new(config(), latency);
        sim.checks_coverage = true;
        sim.knobs.latency = (0, latency);
        play(&mut sim, &history);
        sim.advance(61_000);
        prop_assert!(sim.covered > 0, "no event was checked");
    }
}

fn quarrel() -> impl Strategy<Value = Action> {
    prop_oneof![
        2 => (0..3u8).prop_map(Action::Usurp),
        1 => (0..3u8).prop_map(Action::Depose),
        1 => (0..20u8).prop_map(Action::Wait),
    ]
}

proptest! {
    #![proptest_config(settings(200))]

    /// Invariants 5 and 7: up to three controllers that all believe to lead, on bad wires. The checks at each commit
    /// hold for all of them together.
    #[test]
    fn leaders_that_quarrel_do_no_harm(
        history in prop::collection::vec(
            (prop_oneof![5 => building(), 2 => taking_away(), 3 => quarrel()], prop_oneof![Just(0u64), 1..30u64, 50..300u64]),
            1..40,
        ),
        seed in any::<u64>(),
        lost in 0..60u64,
    ) {
        let mut sim = Sim::new(config(), seed);
        sim.start_controller();
        sim.start_controller();
        sim.knobs = Knobs { latency: (0, 60), answers_later: 20, api_lost: lost, api_answer_lost: lost, nb_lost: lost, nb_answer_lost: lost, ..Knobs::default() };
        play(&mut sim, &history);
        sim.knobs = Knobs::default();
        (0..3).for_each(|number| sim.depose(number));
        sim.settle();
        sim.elect(1);
        sim.advance(130_000);
        sim.converge();
        check_outcome(&sim);
    }
}

/// Things that don't depend on each other, whose outcome has no choice in it.
#[derive(Clone, Debug)]
enum Piece {
    Node(u8),
    Namespace(u8),
    Router(u8),
    Vpc(u8),
    Subnet(u8),
    Pod(u8, u8),
    Vm(u8),
}

fn pieces() -> Vec<Piece> {
    let mut all = Vec::new();
    for n in 0..2 {
        all.extend([
            Piece::Node(n),
            Piece::Namespace(n),
            Piece::Router(n),
            Piece::Vpc(n),
            Piece::Subnet(n),
            Piece::Vm(n),
        ]);
        all.extend((0..3).map(|pod| Piece::Pod(n, pod)));
    }
    all
}

fn put(sim: &mut Sim, piece: &Piece) {
    match *piece {
        // With the addresses of its earlier annotations, so that the engine chooses none.
        Piece::Node(n) => {
            let annotations = json!({
                "ovn.kubernetes.io/ip_address": format!("100.64.0.{}", n + 2),
                "ovn.kubernetes.io/mac_address": format!("00:00:00:00:0a:0{n}"),
            });
            let status =
                json!({ "addresses": [{ "type": "InternalIP", "address": format!("172.16.0.{n}") }] });
            let object = json!({ "metadata": { "name": format!("host{n}"), "annotations": annotations }, "status": status });
            sim.apply(Kind::Node, &object);
        }
        Piece::Namespace(n) => sim.namespace(&format!("ns{n}")),
        Piece::Router(n) => {
            let (router, network, port) = (format!("r{n}"), format!("n{n}"), format!("rp{n}"));
            let mut neutron = Neutron(sim);
            neutron.router(&router, "router");
            neutron.network(&network, "network", 1442);
            neutron.attach(&router, &network, &port, &format!("192.168.{n}.1/24"));
        }
        // A user's manifest, applied before or after the router is there.
        Piece::Vpc(n) => {
            let metadata = json!({ "name": format!("neutron-r{n}"), "labels": { "ovn.kubernetes.io/vpc_external": "true" } });
            sim.apply(
                Kind::Vpc,
                &json!({ "metadata": metadata, "spec": { "namespaces": [format!("ns{n}")] } }),
            );
        }
        Piece::Subnet(n) => {
            let spec = json!({ "vpc": format!("neutron-r{n}"), "namespaces": [format!("ns{n}")], "cidrBlock": format!("12.0.{n}.0/24") });
            sim.subnet(&format!("net{n}"), &spec);
        }
        Piece::Pod(n, pod) => {
            let address = format!("12.0.{n}.{}", pod + 10);
            let mac = format!("00:00:00:00:{n:02x}:{pod:02x}");
            let wish =
                [("ovn.kubernetes.io/ip_address", &*address), ("ovn.kubernetes.io/mac_address", &*mac)];
            sim.pod_with(&format!("ns{n}"), &format!("p{pod}"), &format!("host{n}"), &wish);
        }
        Piece::Vm(n) => {
            let mut neutron = Neutron(sim);
            neutron.network(&format!("lan{n}"), "lan", 1442);
            neutron.vm(&format!("lan{n}"), &format!("vm{n}"), "10.9.9.9");
        }
    }
}

/// Rows of ours as text; the epoch counts leaders and is none of the outcome.
fn outcome(sim: &Sim) -> String {
    dump::rows(sim.nb().rows(), |_, row| row.key("external_ids", "tombolo.io/epoch").is_none())
}

proptest! {
    #![proptest_config(settings(200))]

    #[test]
    fn the_order_of_events_does_not_matter(
        order in Just(pieces()).prop_shuffle(),
        gaps in prop::collection::vec(0..8u64, 18),
        seed in any::<u64>(),
    ) {
        let mut expected = Sim::new(config(), 0);
        for piece in pieces() {
            put(&mut expected, &piece);
            expected.settle();
        }
        expected.converge();
        let mut sim = Sim::new(config(), seed);
        sim.knobs.latency = (0, 10);
        for (piece, gap) in order.iter().zip(gaps) {
            put(&mut sim, piece);
            sim.advance(gap);
        }
        sim.converge();
        prop_assert_eq!(outcome(&sim), outcome(&expected));
        check_outcome(&sim);
    }
}
