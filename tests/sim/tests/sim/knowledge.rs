//! What the engine must know before it does anything, and when it wants to be woken: an engine alone that receives one
//! event after the other.

use serde_json::json;
use tombolo_engine::{
    Effect, Engine, Event, Leadership, NbEvent, Object, Verb, WatchEvent, Write, WriteError,
};
use tombolo_names::Reason;
use tombolo_ovsdb::txn::OpIndex;
use tombolo_ovsdb::{TxnError, TxnErrorKind, TxnReply};
use tombolo_plan::Kind;
use tombolo_tests_sim::nb::Monitor;
use tombolo_tests_sim::{Sim, UNIX_AT_ZERO, api, config};

/// A cluster of one pod, and an engine that knows nothing of it yet.
struct Bed {
    sim: Sim,
    engine: Engine,
}

impl Bed {
    fn new() -> Bed {
        let mut sim = Sim::without_controller(config(), 1);
        sim.node("host1", "172.16.0.1");
        sim.namespace("a");
        sim.pod("a", "p", "host1");
        Bed { sim, engine: Engine::new(config(), UNIX_AT_ZERO) }
    }

    fn objects(&self, kind: Kind) -> Vec<Object> {
        self.sim
            .api
            .list(kind)
            .map(|(_, object)| api::decode(kind, object).expect("an object of its kind"))
            .collect()
    }

    fn list(&mut self, kind: Kind) {
        self.engine.handle(0, Event::Watch(WatchEvent::Restarted(kind)));
        for object in self.objects(kind) {
            self.engine.handle(0, Event::Watch(WatchEvent::Applied(object)));
        }
        self.engine.handle(0, Event::Watch(WatchEvent::Synced(kind)));
    }

    fn northbound(&mut self) {
        let wanted = tombolo_plan::nb::wanted(&self.sim.config().cluster);
        let monitor = Monitor::new(self.sim.nb(), &wanted, &tombolo_plan::nb::indexes());
        self.engine.handle(0, Event::Nb(NbEvent::Replaced(monitor.replica().clone())));
    }

    /// Holds the lease and knows everything; the epoch is yet to be taken.
    fn informed() -> Bed {
        let mut bed = Bed::new();
        bed.engine.handle(0, Event::Leadership(Leadership::Held));
        for kind in Kind::ALL {
            bed.list(kind);
        }
        bed.northbound();
        bed
    }

    /// Makes the objects that the engine wants made, but for its Vpc if that is to fail. How many Vpcs were asked for.
    fn make(&mut self, now: u64, effects: Vec<Effect>, of_vpc: Option<&WriteError>) -> usize {
        let mut vpcs = 0;
        for Write { id, kind, verb, .. } in writes(effects) {
            let Verb::Create(object) = verb else { continue };
            vpcs += usize::from(kind == Kind::Vpc);
            let result = match of_vpc.filter(|_| kind == Kind::Vpc) {
                Some(error) => Err(error.clone()),
                None => Ok(Some(
                    api::decode(kind, &self.sim.apply(kind, &object)).expect("an object of its kind"),
                )),
            };
            self.engine.handle(now, Event::WriteDone { id, result });
        }
        vpcs
    }

    /// The engine takes the epoch, which is all that it does, and leads.
    fn lead(&mut self) {
        let effects = self.engine.poll(0);
        let [Effect::Commit { id, .. }] = &effects[..] else { panic!("{effects:?}") };
        self.engine.handle(0, Event::CommitDone { id: *id, result: Ok(TxnReply { results: Vec::new() }) });
        assert!(self.engine.health().leading);
    }
}

#[test]
fn nothing_begins_before_everything_is_known() {
    // invariant 4
    let mut bed = Bed::new();
    bed.engine.handle(0, Event::Leadership(Leadership::Held));
    bed.northbound();
    for kind in Kind::ALL {
        assert!(bed.engine.poll(0).is_empty(), "before the list of {kind:?}");
        assert_eq!(bed.engine.next_wakeup(), None);
        assert!(!bed.engine.health().synced);
        bed.list(kind);
    }
    assert!(bed.engine.health().synced && bed.engine.health().nb_fresh);
    assert_eq!(bed.engine.next_wakeup(), Some(0), "the epoch can be taken");
    bed.lead();
    assert_ne!(bed.engine.health().dirty, 0);
}

#[test]
fn a_database_out_of_reach_ends_the_work_and_then_the_lease() {
    // invariant 6
    let mut bed = Bed::informed();
    bed.lead();
    while !bed.engine.poll(1).is_empty() || bed.engine.has_more() {}
    bed.engine.handle(5, Event::Nb(NbEvent::Stale));
    assert!(!bed.engine.health().nb_fresh);
    let plans = bed.engine.stats().plans;
    bed.sim.pod("a", "q", "host1");
    for object in bed.objects(Kind::Pod) {
        bed.engine.handle(6, Event::Watch(WatchEvent::Applied(object)));
    }
    assert!(bed.engine.poll(6).is_empty());
    assert_eq!(bed.engine.stats().plans, plans);
    assert_eq!(bed.engine.next_wakeup(), Some(10_005));
    assert!(bed.engine.poll(10_004).is_empty());
    let effects = bed.engine.poll(10_005);
    assert!(matches!(&effects[..], [Effect::Resign { .. }]), "{effects:?}");
    assert!(!bed.engine.health().leading);
}

/// The writes that are to be done now.
fn writes(effects: Vec<Effect>) -> Vec<Write> {
    let all = effects.into_iter();
    all.filter_map(|it| if let Effect::Write(write) = it { Some(write) } else { None }).collect()
}

fn is_said(effects: &[Effect], words: &str) -> bool {
    effects.iter().any(|it| matches!(it, Effect::Log { message, .. } if message.contains(words)))
}

#[test]
fn the_first_leader_makes_the_subnets_of_the_flags() {
    let mut bed = Bed::informed();
    bed.lead();
    let made = writes(bed.engine.poll(1)).into_iter().filter(|it| it.kind == Kind::Subnet);
    let specs: Vec<_> = made
        .filter_map(|it| if let Verb::Create(object) = it.verb { Some(object["spec"].clone()) } else { None })
        .collect();
    let join = json!({
        "cidrBlock": "100.64.0.0/16", "default": false, "disableInterConnection": true, "natOutgoing": false,
        "private": false, "provider": "ovn", "vpc": "ovn-cluster",
    });
    let default = json!({
        "cidrBlock": "10.16.0.0/16", "default": true, "gatewayType": "distributed", "natOutgoing": true,
        "private": false, "provider": "ovn", "vpc": "ovn-cluster",
    });
    assert_eq!(specs, [join, default]);
}

#[test]
fn a_refusal_is_forgotten_once_the_write_goes_through() {
    let mut bed = Bed::informed();
    bed.lead();
    let refused = WriteError::Refused("by a webhook".to_owned());
    let effects = bed.engine.poll(1);
    assert_eq!(bed.make(1, effects, Some(&refused)), 1);
    let effects = bed.engine.poll(1);
    assert_eq!(bed.engine.stats().problems.get(&Reason::WriteRefused), Some(&1));
    bed.make(1, effects, Some(&refused));
    let effects = bed.engine.poll(30_000);
    assert_eq!(bed.make(30_000, effects, None), 0, "too early");
    let effects = bed.engine.poll(30_001);
    assert_eq!(bed.make(30_001, effects, None), 1);
    let effects = bed.engine.poll(30_001);
    assert!(is_said(&effects, "nothing is wrong any more"), "{effects:?}");
}

#[test]
fn who_loses_a_race_again_and_again_is_told() {
    let mut bed = Bed::informed();
    bed.lead();
    let (mut now, mut failures) = (1, 0);
    for _ in 0..100 {
        let effects = bed.engine.poll(now);
        let told = bed.engine.stats().problems.contains_key(&Reason::WriteNotDone);
        assert!(!told || failures > 6, "after {failures} failures");
        failures += bed.make(now, effects, Some(&WriteError::AlreadyExists));
        now = bed.engine.next_wakeup().map_or(now + 1_000, |at| at.max(now));
    }
    assert!(failures > 6, "{failures} failures");
    assert!(bed.engine.stats().problems.contains_key(&Reason::WriteNotDone));
}

#[test]
fn an_object_that_a_patch_does_not_find_is_gone() {
    // A list that was under way says nothing of it, so the watch may never do.
    let mut bed = Bed::informed();
    bed.lead();
    let effects = bed.engine.poll(1);
    bed.make(1, effects, None);
    let patches = writes(bed.engine.poll(1)).into_iter().filter(|it| it.kind == Kind::Subnet);
    let patch = patches.into_iter().find(|it| matches!(it.verb, Verb::MergePatch { .. })).unwrap();
    assert!(bed.engine.world().subnets().contains(&patch.name));
    bed.engine.handle(2, Event::WriteDone { id: patch.id, result: Err(WriteError::NotFound) });
    assert!(!bed.engine.world().subnets().contains(&patch.name));
}

#[test]
fn an_object_that_cannot_be_read_is_counted() {
    let mut bed = Bed::informed();
    for count in 1..3 {
        let (namespace, name, error) = (String::new(), "s".to_owned(), "no number".to_owned());
        let event = WatchEvent::Malformed { kind: Kind::Subnet, namespace, name, error };
        bed.engine.handle(0, Event::Watch(event));
        assert_eq!(bed.engine.stats().malformed, count);
    }
}

fn precondition_failed(at: usize) -> TxnError {
    let message = "a guard didn't hold".to_owned();
    TxnError { kind: TxnErrorKind::PreconditionFailed, at: Some(OpIndex::Precondition(at)), message }
}

/// The transaction that is to be sent now.
fn commit(effects: &[Effect]) -> u64 {
    let id = effects.iter().find_map(|it| if let Effect::Commit { id, .. } = it { Some(*id) } else { None });
    id.unwrap_or_else(|| panic!("{effects:?}"))
}

#[test]
fn an_epoch_that_somebody_else_took_is_tried_again_after_a_pause() {
    let mut bed = Bed::informed();
    let id = commit(&bed.engine.poll(0));
    bed.engine.handle(7, Event::CommitDone { id, result: Err(precondition_failed(0)) });
    assert_eq!(bed.engine.next_wakeup(), Some(107));
    let early = bed.engine.poll(106);
    assert!(early.iter().all(|it| matches!(it, Effect::Log { .. })), "{early:?}");
    commit(&bed.engine.poll(107));
}

#[test]
fn only_the_epochs_own_guard_ends_a_leadership() {
    // invariant 7: any other one says that a row changed meanwhile
    for (at, is_over) in [(1, false), (0, true)] {
        let mut bed = Bed::informed();
        bed.lead();
        let effects = bed.engine.poll(1);
        bed.make(1, effects, None);
        let id = commit(&bed.engine.poll(1));
        bed.engine.handle(2, Event::CommitDone { id, result: Err(precondition_failed(at)) });
        let effects = bed.engine.poll(2);
        let resigned = effects.iter().any(|it| matches!(it, Effect::Resign { .. }));
        assert_eq!((resigned, bed.engine.health().leading), (is_over, !is_over), "guard {at}: {effects:?}");
        assert_eq!(bed.engine.stats().failed_commits, [("precondition_failed", 1)].into());
    }
}
