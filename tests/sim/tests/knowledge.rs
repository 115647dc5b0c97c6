//! What the engine must know before it does anything, and when it wants to be woken: an engine alone, told one thing after
//! the other.

use tombolo_engine::{Effect, Engine, Event, Leadership, NbEvent, Object, Verb, WatchEvent, Write};
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
        self.sim.api.list(kind).map(|(_, object)| api::decode(kind, object).unwrap()).collect()
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

    /// Makes the objects that the engine wants made: without its Vpc there are no rows.
    fn create(&mut self, now: u64) {
        for effect in self.engine.poll(now) {
            let Effect::Write(Write { id, kind, verb: Verb::Create(object), .. }) = effect else { continue };
            let made = self.sim.apply(kind, &object);
            let result = Ok(Some(api::decode(kind, &made).unwrap()));
            self.engine.handle(now, Event::WriteDone { id, result });
        }
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

fn guard_failed(at: usize) -> TxnError {
    let message = "a guard didn't hold".to_owned();
    TxnError { kind: TxnErrorKind::GuardFailed, at: Some(OpIndex::Guard(at)), message }
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
    bed.engine.handle(7, Event::CommitDone { id, result: Err(guard_failed(0)) });
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
        bed.create(1);
        let id = commit(&bed.engine.poll(1));
        bed.engine.handle(2, Event::CommitDone { id, result: Err(guard_failed(at)) });
        let effects = bed.engine.poll(2);
        let resigned = effects.iter().any(|it| matches!(it, Effect::Resign { .. }));
        assert_eq!((resigned, bed.engine.health().leading), (is_over, !is_over), "guard {at}: {effects:?}");
        assert_eq!(bed.engine.stats().failed_commits, [("guard_failed", 1)].into());
    }
}
