//! No tenant starves another, and nothing costs the square of a number that a tenant chooses (invariant 12). Counted in
//! plans and writes, not in time.

use serde_json::json;
use tombolo_engine::{Engine, Event, Leadership, NbEvent, WatchEvent};
use tombolo_plan::Kind;
use tombolo_plan::nb::table;
use tombolo_tests_sim::situations::{document, installed};
use tombolo_tests_sim::{Sim, api, config};

fn plans(sim: &Sim) -> u64 {
    sim.engine(0).stats().plans
}

fn address(pod: &str) -> String {
    format!("10.77.{}", pod)
}

/// A Subnet whose `room` addresses are held by pods of `a`, and `waiting` pods in `b` that wait for one.
fn crowded(room: usize, waiting: usize) -> Sim {
    let mut sim = installed();
    for name in ["a", "b", "c"] {
        sim.namespace(name);
    }
    let excluded = format!("{}..10.77.255.254", address(&format!("0.{}", room + 2)));
    let spec = json!({
        "cidrBlock": "10.77.0.0/16", "namespaces": ["a", "b", "c"], "excludeIps": [excluded],
    });
    sim.subnet("crowded", &spec);
    sim.settle();
    for number in 0..room {
        sim.pod("a", &format!("first-{number}"), "host1");
    }
    sim.settle();
    // The names descend as time goes on: the alphabet decides nothing.
    for number in (0..waiting).rev() {
        sim.pod("b", &format!("w{number:04}"), "host1");
    }
    sim.settle();
    sim
}

#[test]
fn a_freed_address_costs_as_much_with_a_thousand_waiters_as_with_ten() {
    let cost = |waiting: usize| {
        let mut sim = crowded(3, waiting);
        sim.limit = 2_000_000;
        assert_eq!(sim.engine(0).stats().waiting_for_address, waiting as u64);
        let before = plans(&sim);
        sim.delete(Kind::Pod, "a", "first-0");
        sim.settle();
        // The one that came first has it.
        assert!(sim.pod_address(&format!("b/w{:04}", waiting - 1)).is_some());
        assert_eq!(sim.engine(0).stats().waiting_for_address, waiting as u64 - 1);
        plans(&sim) - before
    };
    let (few, many) = (cost(10), cost(1_000));
    assert!(many <= few + 2, "{few} plans with 10 waiters, {many} with 1,000");
}

#[test]
fn who_came_first_is_served_first_and_namespaces_take_turns() {
    let mut sim = crowded(2, 50);
    sim.pod("c", "late", "host1");
    sim.settle();
    sim.delete(Kind::Pod, "a", "first-0");
    sim.settle();
    sim.delete(Kind::Pod, "a", "first-1");
    sim.settle();
    let served: Vec<&str> = ["b/w0049", "b/w0048", "b/w0000", "c/late"]
        .into_iter()
        .filter(|pod| sim.pod_address(pod).is_some())
        .collect();
    assert_eq!(served, ["b/w0049", "c/late"]);
    // A Subnet that grows serves all, and so does a waiter's end hand on.
    sim.delete(Kind::Pod, "b", "w0048");
    sim.delete(Kind::Pod, "b", "w0049");
    sim.settle();
    assert!(sim.pod_address("b/w0047").is_some());
    sim.subnet("crowded", &json!({ "excludeIps": [] }));
    sim.converge();
    assert_eq!(sim.engine(0).stats().waiting_for_address, 0);
}

#[test]
fn those_who_wait_for_an_address_of_their_own_are_woken_by_that_one() {
    let mut sim = crowded(3, 0);
    for number in 2..5 {
        let wish = address(&format!("0.{number}"));
        sim.pod_with("b", &format!("p{number}"), "host1", &[("ovn.kubernetes.io/ip_address", &wish)]);
    }
    sim.settle();
    let pool = format!("{},{}", address("0.3"), address("0.4"));
    sim.pod_with("c", "choosy", "host1", &[("ovn.kubernetes.io/ip_pool", &pool)]);
    sim.settle();
    let holder = |sim: &Sim, number: u8| {
        (0..3)
            .map(|it| format!("a/first-{it}"))
            .find(|pod| sim.pod_address(pod) == Some(address(&format!("0.{number}")).as_str()))
    };
    let first = holder(&sim, 4).unwrap();
    let before = plans(&sim);
    sim.delete(Kind::Pod, "a", first.strip_prefix("a/").unwrap());
    sim.settle();
    assert_eq!(sim.pod_address("b/p4"), Some(address("0.4").as_str()));
    assert!(plans(&sim) - before < 16, "{}", plans(&sim) - before);
    // The pool's other address: its own waiter came first, the choosy one is served by what that one leaves.
    sim.delete(Kind::Pod, "b", "p3");
    let next = holder(&sim, 3).unwrap();
    sim.delete(Kind::Pod, "a", next.strip_prefix("a/").unwrap());
    sim.converge();
    assert_eq!(sim.pod_address("c/choosy"), Some(address("0.3").as_str()));
}

#[test]
fn pods_that_have_exhausted_their_pool_cost_nothing_until_one_of_its_addresses_is_free() {
    // invariant 12
    let mut sim = crowded(4, 0);
    let pool = format!("{},{}", address("0.2"), address("0.3"));
    for number in 0..100 {
        sim.pod_with("b", &format!("p{number:02}"), "host1", &[("ovn.kubernetes.io/ip_pool", &pool)]);
    }
    sim.settle();
    let holder = |sim: &Sim, end: &str| {
        (0..4)
            .map(|it| format!("first-{it}"))
            .find(|pod| sim.pod_address(&format!("a/{pod}")) == Some(address(end).as_str()))
    };
    // The Subnet reports another number of addresses each time, and none of them is in the pool.
    let other = holder(&sim, "0.4").unwrap();
    let before = plans(&sim);
    sim.delete(Kind::Pod, "a", &other);
    sim.settle();
    sim.pod("a", &other, "host1");
    sim.settle();
    assert!(plans(&sim) - before < 16, "{}", plans(&sim) - before);
    let wanted = holder(&sim, "0.3").unwrap();
    sim.delete(Kind::Pod, "a", &wanted);
    sim.converge();
    let served = (0..100).filter(|it| sim.pod_address(&format!("b/p{it:02}")).is_some()).count();
    assert_eq!(served, 1);
}

#[test]
fn a_released_address_is_looked_at_by_those_that_bear_it_and_no_others() {
    // A network that changed under its pods: each of them is contested.
    let cost = |pods: usize| {
        let mut sim = installed();
        sim.limit = 2_000_000;
        sim.namespace("a");
        sim.subnet("s", &json!({ "cidrBlock": "10.78.0.0/16", "namespaces": ["a"] }));
        sim.settle();
        for number in 0..pods {
            sim.pod("a", &format!("p{number}"), "host1");
        }
        sim.settle();
        // A user copies IP objects by hand, so that two bear each address.
        for number in 0..pods {
            let mut copy = sim.object(Kind::Ip, &format!("p{number}.a")).clone();
            let name = format!("copy{number}.a");
            copy["metadata"] = json!({ "name": name });
            copy["spec"]["podName"] = json!(format!("copy{number}"));
            sim.pod("a", &format!("copy{number}"), "host1");
            sim.user(|api| api.force(Kind::Ip, copy));
        }
        sim.settle();
        let before = plans(&sim);
        sim.delete(Kind::Pod, "a", "p0");
        sim.settle();
        plans(&sim) - before
    };
    let (few, many) = (cost(5), cost(200));
    assert!(many <= few + 2, "{few} plans with 5 pods, {many} with 200");
}

#[test]
fn a_subnet_more_on_a_router_makes_none_of_the_others_plan_again() {
    let cost = |subnets: usize| {
        let mut sim = installed();
        sim.limit = 2_000_000;
        for number in 0..subnets {
            let cidr = format!("10.{}.{}.0/24", 100 + number / 200, number % 200);
            sim.subnet(&format!("s{number}"), &json!({ "cidrBlock": cidr }));
        }
        sim.settle();
        let before = plans(&sim);
        sim.subnet("one-more", &json!({ "cidrBlock": "10.200.0.0/24" }));
        sim.settle();
        let added = plans(&sim) - before;
        let before = plans(&sim);
        sim.delete(Kind::Subnet, "", "one-more");
        sim.settle();
        (added, plans(&sim) - before)
    };
    let (few, many) = (cost(5), cost(100));
    assert!(many.0 <= few.0 + 2 && many.1 <= few.1 + 2, "{few:?} plans with 5 Subnets, {many:?} with 100");
}

#[test]
fn no_transaction_grows_with_the_number_of_pods() {
    // A long entry blocks a RAFT server, and all who write to it.
    let mut sim = installed();
    sim.knobs.latency = (0, 40);
    sim.namespace("a");
    for number in 0..400 {
        sim.pod("a", &format!("p{number}"), "host1");
    }
    sim.converge();
    let longest =
        sim.commits.iter().map(|it| it.txn.ops.len() + it.txn.preconditions.len()).max().unwrap_or(0);
    assert!((300..=520).contains(&longest), "{longest} operations");
}

#[test]
fn a_subnets_report_is_written_once_a_second_at_most() {
    let mut sim = installed();
    sim.knobs.latency = (0, 40);
    sim.namespace("a");
    sim.converge();
    let before = sim.writes.len();
    // 200 pods in three seconds.
    for number in 0..200 {
        sim.pod("a", &format!("p{number}"), "host1");
        sim.advance(15);
    }
    let reports = sim.writes[before..].iter().filter(|it| it.write.kind == Kind::Subnet).count();
    assert!((2..=5).contains(&reports), "{reports}");
}

#[test]
fn a_vpcs_report_is_the_rarer_the_longer_it_is() {
    // It lists all of its Subnets: written for each that comes, a thousand would cost a million lines.
    let mut sim = installed();
    sim.knobs.latency = (0, 40);
    sim.converge();
    let listed = |sim: &Sim| {
        let vpc = sim.object(Kind::Vpc, "ovn-cluster");
        (
            vpc["status"]["subnets"].as_array().map_or(0, Vec::len),
            vpc["status"]["nodeNetworks"]["subnets"].as_array().map_or(0, Vec::len),
        )
    };
    let (before, there) = (sim.writes.len(), listed(&sim));
    let plans_before = plans(&sim);
    // 200 Subnets in three seconds.
    for number in 0..200 {
        sim.subnet(&format!("s{number}"), &json!({ "cidrBlock": format!("10.78.{number}.0/24") }));
        sim.advance(15);
    }
    sim.advance(1_200);
    let reports = sim.writes[before..].iter().filter(|it| it.write.kind == Kind::Vpc).count();
    assert!((2..=25).contains(&reports), "{reports}");
    assert_eq!(listed(&sim), (there.0 + 200, there.1 + 200));
    let plans = plans(&sim) - plans_before;
    assert!(plans < 200 * 10, "{plans} plans for 200 Subnets");
    // Its last word is true: who deletes a Subnet and then the Vpc isn't refused for what is gone.
    let mut few = installed();
    few.knobs.latency = (0, 5);
    for name in ["a", "b"] {
        few.subnet(name, &json!({ "cidrBlock": if name == "a" { "10.78.1.0/24" } else { "10.78.2.0/24" } }));
    }
    few.advance(100);
    let before = listed(&few);
    for name in ["a", "b"] {
        few.delete(Kind::Subnet, "", name);
        few.advance(60);
    }
    few.advance(60);
    assert_eq!(listed(&few), (before.0 - 2, before.1 - 2));
    // One that comes alone is there at once.
    sim.advance(1_200);
    sim.subnet("alone", &json!({ "cidrBlock": "10.79.0.0/24" }));
    sim.advance(300);
    assert_eq!(listed(&sim), (there.0 + 201, there.1 + 201));
}

#[test]
fn nodes_that_join_together_share_their_reports() {
    // The default Vpc's status lists the addresses of all nodes: a thousand that join would cost a million lines.
    let mut sim = installed();
    sim.knobs.latency = (0, 40);
    sim.converge();
    let listed = |sim: &Sim| {
        let networks = &sim.object(Kind::Vpc, "ovn-cluster")["status"]["nodeNetworks"];
        networks["nodes"].as_array().map_or(0, Vec::len)
    };
    let (before, there) = (sim.writes.len(), listed(&sim));
    for number in 0..100 {
        sim.node(&format!("new{number}"), &format!("172.16.9.{number}"));
        sim.advance(15);
    }
    sim.advance(1_200);
    let reports = sim.writes[before..].iter().filter(|it| it.write.kind == Kind::Vpc).count();
    assert!((2..=15).contains(&reports), "{reports}");
    assert_eq!(listed(&sim), there + 100);
}

/// An engine that has read a cluster of so many pods in `big`, and one in `small`, and leads; what is left is to plan.
fn loaded(pods: usize) -> (Sim, Engine) {
    let mut sim = Sim::without_controller(config(), 1);
    sim.node("host1", "172.16.0.1");
    for name in ["big", "small"] {
        sim.namespace(name);
    }
    for number in 0..pods {
        sim.pod("big", &format!("p{number:05}"), "host1");
    }
    sim.pod("small", "one", "host1");
    let engine = Engine::new(config(), tombolo_tests_sim::UNIX_AT_ZERO);
    (sim, engine)
}

#[test]
fn a_turn_ends_before_the_work_does() {
    // Finding 38: a lost lease, a question of the API server's and a stale database don't wait for 5,000 plans.
    let (sim, mut engine) = loaded(5_000);
    let monitor = tombolo_tests_sim::nb::Monitor::new(
        sim.nb(),
        &tombolo_plan::nb::wanted(&sim.config().cluster),
        &tombolo_plan::nb::indexes(),
    );
    engine.handle(0, Event::Nb(NbEvent::Replaced(monitor.replica().clone())));
    for kind in Kind::ALL {
        engine.handle(0, Event::Watch(WatchEvent::Restarted(kind)));
        for (_, object) in sim.api.list(kind) {
            let object = api::decode(kind, object).unwrap();
            engine.handle(0, Event::Watch(WatchEvent::Applied(object)));
        }
        engine.handle(0, Event::Watch(WatchEvent::Synced(kind)));
    }
    engine.handle(0, Event::Leadership(Leadership::Held));
    let effects = engine.poll(0);
    let [tombolo_engine::Effect::Commit { id, .. }] = &effects[..] else { panic!("{effects:?}") };
    engine.handle(
        0,
        Event::CommitDone { id: *id, result: Ok(tombolo_ovsdb::TxnReply { results: Vec::new() }) },
    );
    for turn in 1.. {
        let before = engine.stats().plans;
        engine.poll(5);
        assert!(engine.stats().plans - before <= 512, "{}", engine.stats().plans - before);
        assert!(engine.has_more() && engine.next_wakeup() == Some(5), "after {turn} turns");
        if turn == 5 {
            break;
        }
    }
    // The lease is lost in the middle: nothing more is planned.
    engine.handle(5, Event::Leadership(Leadership::Lost));
    let before = engine.stats().plans;
    assert!(engine.poll(5).is_empty() && !engine.has_more());
    assert_eq!((engine.stats().plans, engine.next_wakeup()), (before, None));
}

#[test]
fn what_only_a_leader_knows_goes_with_the_lease() {
    let mut sim = document();
    // A row of a later version: an orphan.
    let before = sim.engine(0).stats().clone();
    assert_eq!((before.orphans, before.held, before.contended), (0, 0, 0));
    let mut row = sim
        .nb()
        .rows()
        .rows(table::SWITCH)
        .find(|(_, row)| row.str("name") == Some("net2"))
        .map(|(_, row)| (**row).clone())
        .unwrap();
    let mut ids = row.get("external_ids").unwrap().str_map();
    ids.insert("tombolo.io/owner".to_owned(), "gateway/g".to_owned());
    row = tombolo_ovsdb::Row::new()
        .with("name", tombolo_ovsdb::Datum::string("of-later"))
        .with("external_ids", tombolo_ovsdb::Datum::map_of_strings(ids));
    let uuid = tombolo_ovsdb::Uuid::from_u128(77);
    sim.foreign(&tombolo_ovsdb::Txn::new([tombolo_ovsdb::Op::insert(table::SWITCH, uuid, row)]));
    sim.restart(0);
    sim.elect(0);
    sim.settle();
    assert_eq!(sim.engine(0).stats().orphans, 1);
    sim.depose(0);
    sim.advance(1_000);
    let after = sim.engine(0).stats();
    assert_eq!((after.orphans, after.held, after.contended, after.unchanged), (0, 0, 0, 0));
    assert!(!sim.engine(0).health().brake_holding);
}

#[test]
fn texts_of_users_are_one_line_everywhere() {
    // Finding 14: a pod's annotation forged lines of the log.
    let mut sim = document();
    let evil = format!("x\n2026 ERROR forged\u{1b}[31m{}", "y".repeat(200_000));
    sim.pod_with("net2", "evil", "host1", &[("ovn.kubernetes.io/logical_switch", &evil)]);
    sim.pod_with("net2", "evil2", "host1", &[("ovn.kubernetes.io/ip_pool", &evil)]);
    sim.pod_with("net2", "evil3", "host1", &[("ovn.kubernetes.io/ip_address", &evil)]);
    sim.subnet("evil", &json!({ "vpc": "no\nsuch", "cidrBlock": "10.1.0.0/24" }));
    sim.settle();
    let fits = |text: &str, longest: usize| text.len() <= longest && !text.contains(char::is_control);
    assert!(sim.log.iter().all(|(_, text)| fits(text, 2_048)), "{:?}", sim.log);
    assert!(sim.notices.iter().all(|it| fits(&it.message, 1_024)));
    assert!(sim.notices.iter().any(|it| it.name == "evil"));
    let (_, _, message) = sim.condition(Kind::Subnet, "evil", "Ready").unwrap();
    assert!(fits(message, 8_192), "{message:?}");
}
