//! Engines, a database, an API server and the wires between them, under virtual time.
//!
//! Decides when a message arrives and what gets lost on the way: all chance comes from one seed, so that a run can
//! be had again. What engines do is checked at every commit ([`crate::guard`]).

mod connections;

use std::collections::{BTreeMap, BTreeSet};

use tombolo_engine::{
    Effect, Engine, Event, Leadership, Millis, NbEvent, Notice, WatchEvent, Write, WriteError,
};
use tombolo_ovsdb::{Txn, TxnError, TxnErrorKind, TxnReply};
use tombolo_plan::{Config, Kind};

use crate::api::{self, Api};
use crate::guard::{self, Guard};
use crate::nb::{Monitor, Server};
use crate::rng::Rng;

/// Wall-clock time at millisecond 0: 2026-11-24T00:00:00Z.
pub const UNIX_AT_ZERO: i64 = 1_795_478_400;
/// What is due later than this after all else ended counts as rest: retries of what is refused, retention.
const REST: Millis = 10_000;
/// Steps until something that never comes to rest is called so.
const LIMIT: u64 = 200_000;

/// How the wires behave.
#[derive(Clone, Debug)]
pub struct Knobs {
    /// Milliseconds that a message takes, from and to.
    pub latency: (u64, u64),
    /// Milliseconds more that an answer of the API server takes: watches then know before the writer does.
    pub answers_later: u64,
    /// Of a thousand writes, how many never reach the API server.
    pub api_lost: u64,
    /// Of a thousand writes, how many are done and their answer is lost.
    pub api_answer_lost: u64,
    /// Of a thousand transactions, how many never reach the database.
    pub nb_lost: u64,
    /// Of a thousand transactions, how many are done and their answer is lost.
    pub nb_answer_lost: u64,
}

impl Default for Knobs {
    /// Each message takes a millisecond and arrives.
    fn default() -> Self {
        Knobs {
            latency: (1, 1),
            answers_later: 0,
            api_lost: 0,
            api_answer_lost: 0,
            nb_lost: 0,
            nb_answer_lost: 0,
        }
    }
}

#[derive(Debug)]
enum Message {
    /// To an engine, if it is still the one that it was sent to.
    Event(usize, u64, Box<Event>),
    /// To the API server.
    Write(usize, u64, Write),
    /// To the database.
    Commit(usize, u64, u64, Txn),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wire {
    Watch(Kind),
    Nb,
    Lease,
}

/// A controller's process.
#[derive(Debug)]
struct Controller {
    engine: Engine,
    /// Counts restarts: what was sent to a predecessor is lost.
    life: u64,
    monitor: Monitor,
    nb_connected: bool,
    /// What the database sent since the connection broke.
    withheld: tombolo_ovsdb::ChangeSet,
    /// How far each watch has read the API server's log; `None` while it is broken.
    watches: BTreeMap<Kind, Option<usize>>,
    commit_out: bool,
    writes_out: BTreeSet<(Kind, String, String)>,
    writes_by_id: BTreeMap<u64, (Kind, String, String)>,
}

/// A transaction that reached the database.
#[derive(Clone, Debug)]
pub struct Committed {
    /// When.
    pub at: Millis,
    /// Whose.
    pub controller: usize,
    /// What.
    pub txn: Txn,
    /// Its outcome in the database, whatever became of the answer.
    pub result: Result<TxnReply, TxnError>,
}

/// A write that reached the API server.
#[derive(Clone, Debug)]
pub struct Written {
    /// When.
    pub at: Millis,
    /// Whose.
    pub controller: usize,
    /// What.
    pub write: Write,
    /// Why it was refused, if it was.
    pub error: Option<WriteError>,
}

/// The world.
#[derive(Debug)]
pub struct Sim {
    /// Virtual time.
    pub now: Millis,
    /// How the wires behave from now on.
    pub knobs: Knobs,
    /// The API server.
    pub api: Api,
    /// Everything that reached the database.
    pub commits: Vec<Committed>,
    /// Everything that reached the API server from engines.
    pub writes: Vec<Written>,
    /// Kubernetes Events.
    pub notices: Vec<Notice>,
    /// Lines of the log: warning, text.
    pub log: Vec<(bool, String)>,
    /// Who gave the lease up, and why.
    pub resigned: Vec<(usize, String)>,
    config: Config,
    nb: Server,
    rng: Rng,
    controllers: Vec<Controller>,
    queue: BTreeMap<(Millis, u64), Message>,
    sent: u64,
    wires: BTreeMap<(usize, Wire), Millis>,
    guard: Guard,
}

impl Sim {
    /// A world in which nothing is yet, with one controller that leads.
    #[must_use]
    pub fn new(config: Config, seed: u64) -> Sim {
        let mut sim = Sim::without_controller(config, seed);
        let first = sim.start_controller();
        sim.elect(first);
        sim
    }

    /// A world without controllers.
    #[must_use]
    pub fn without_controller(config: Config, seed: u64) -> Sim {
        let nb = Server::northbound();
        Sim {
            now: 0,
            knobs: Knobs::default(),
            api: Api::at(tombolo_plan::time::text(UNIX_AT_ZERO)),
            commits: Vec::new(),
            writes: Vec::new(),
            notices: Vec::new(),
            log: Vec::new(),
            resigned: Vec::new(),
            guard: Guard::new(&config.cluster, nb.rows()),
            config,
            nb,
            rng: Rng::new(seed),
            controllers: Vec::new(),
            queue: BTreeMap::new(),
            sent: 0,
            wires: BTreeMap::new(),
        }
    }

    /// The settings of all controllers.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The database.
    #[must_use]
    pub fn nb(&self) -> &Server {
        &self.nb
    }

    /// How many controllers there are.
    #[must_use]
    pub fn controllers(&self) -> usize {
        self.controllers.len()
    }

    /// An engine.
    #[must_use]
    pub fn engine(&self, controller: usize) -> &Engine {
        &self.controllers[controller].engine
    }

    // Others who write.

    /// A foreign writer's transaction in the database.
    ///
    /// # Panics
    /// When the database refuses it: what Neutron writes is right by definition.
    pub fn foreign(&mut self, txn: &Txn) {
        let (result, changes) = self.nb.execute(txn);
        if let Err(error) = result {
            panic!("the foreign writer's transaction failed: {error}");
        }
        self.guard.foreign_write(self.nb.rows(), &changes);
        self.publish(&changes, None);
    }

    /// Something of the users' at the API server.
    pub fn user<T>(&mut self, act: impl FnOnce(&mut Api) -> T) -> T {
        self.api.now = tombolo_plan::time::text(UNIX_AT_ZERO + i64::try_from(self.now / 1_000).unwrap_or(0));
        let result = act(&mut self.api);
        self.fan_out();
        result
    }

    // The wires.

    fn post(&mut self, at: Millis, message: Message) {
        self.sent += 1;
        self.queue.insert((at, self.sent), message);
    }

    /// When a message sent now arrives. What goes over one wire keeps its order.
    fn arrival(&mut self, wire: Option<(usize, Wire)>) -> Millis {
        let at = self.now + self.rng.within(self.knobs.latency);
        let Some(wire) = wire else { return at };
        let last = self.wires.entry(wire).or_insert(0);
        *last = at.max(*last);
        *last
    }

    fn send_event(&mut self, number: usize, wire: Wire, event: Event) {
        let at = self.arrival(Some((number, wire)));
        let life = self.controllers[number].life;
        self.post(at, Message::Event(number, life, Box::new(event)));
    }

    /// Sends what happened at the API server to all watches.
    fn fan_out(&mut self) {
        for number in 0..self.controllers.len() {
            for kind in Kind::ALL {
                let Some(Some(read)) = self.controllers[number].watches.get(&kind).copied() else { continue };
                let new = self.api.log()[read..].iter().filter(|entry| entry.kind == kind);
                let events: Vec<WatchEvent> = new.map(api::watch_event).collect();
                self.controllers[number].watches.insert(kind, Some(self.api.log().len()));
                for event in events {
                    self.send_event(number, Wire::Watch(kind), Event::Watch(event));
                }
            }
        }
    }

    /// Sends changes of the database to all clients.
    fn publish(&mut self, changes: &tombolo_ovsdb::ChangeSet, _by: Option<usize>) {
        for number in 0..self.controllers.len() {
            let controller = &mut self.controllers[number];
            let seen = controller.monitor.apply(changes);
            if !controller.nb_connected {
                controller.withheld.merge(seen);
                continue;
            }
            if !seen.is_empty() {
                let replica = controller.monitor.replica().clone();
                self.send_event(number, Wire::Nb, Event::Nb(NbEvent::Changed { replica, changes: seen }));
            }
        }
    }

    // Time.

    /// Runs until nothing is under way and nothing is due within ten seconds, then checks what must always hold.
    ///
    /// # Panics
    /// When it never comes to rest, or an invariant is violated.
    pub fn settle(&mut self) {
        for _ in 0..LIMIT {
            if !self.step(Some(REST)) {
                self.check();
                return;
            }
        }
        let tail: Vec<_> = self.log.iter().rev().take(5).collect();
        panic!("invariant 9: never at rest; dirty: {:?}, last lines: {tail:#?}", self.dirty());
    }

    /// Lets time pass.
    ///
    /// # Panics
    /// When an invariant is violated.
    pub fn advance(&mut self, millis: Millis) {
        let until = self.now + millis;
        loop {
            self.poll();
            if self.next().is_none_or(|at| at > until) {
                break;
            }
            self.step(None);
        }
        self.now = until;
        self.poll();
        self.check();
    }

    fn dirty(&self) -> Vec<usize> {
        self.controllers.iter().map(|controller| controller.engine.health().dirty).collect()
    }

    fn next(&self) -> Option<Millis> {
        let message = self.queue.keys().next().map(|(at, _)| *at);
        let wakeups = self.controllers.iter().filter_map(|controller| controller.engine.next_wakeup());
        message.into_iter().chain(wakeups).min()
    }

    /// The next thing that happens. False when that is nothing, or a wake-up later than `rest` from now.
    fn step(&mut self, rest: Option<Millis>) -> bool {
        self.poll();
        let Some(at) = self.next() else { return false };
        let is_message = self.queue.keys().next().is_some_and(|(due, _)| *due == at);
        if !is_message && rest.is_some_and(|rest| at > self.now + rest) {
            return false;
        }
        if !is_message && at <= self.now {
            // The engines have just been polled: a program would spin here.
            panic!("a wake-up at {at} that polling at {} did not serve", self.now);
        }
        self.now = at.max(self.now);
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let message = entry.remove();
            self.deliver(message);
        }
        true
    }

    fn poll(&mut self) {
        for number in 0..self.controllers.len() {
            let effects = self.controllers[number].engine.poll(self.now);
            for effect in effects {
                self.execute(number, effect);
            }
        }
    }

    fn execute(&mut self, number: usize, effect: Effect) {
        let life = self.controllers[number].life;
        match effect {
            Effect::Write(write) => {
                let object = (write.kind, write.namespace.clone(), write.name.clone());
                let controller = &mut self.controllers[number];
                assert!(
                    controller.writes_out.insert(object.clone()),
                    "two writes of {object:?} at once: {write:?}"
                );
                controller.writes_by_id.insert(write.id, object);
                let at = self.arrival(None);
                self.post(at, Message::Write(number, life, write));
            }
            Effect::Commit { id, txn } => {
                let controller = &mut self.controllers[number];
                assert!(!std::mem::replace(&mut controller.commit_out, true), "two transactions at once");
                let at = self.arrival(None);
                self.post(at, Message::Commit(number, life, id, txn));
            }
            Effect::Notify(notice) => self.notices.push(notice),
            Effect::Log { warning, message } => self.log.push((warning, message)),
            Effect::Resign { reason } => {
                self.resigned.push((number, reason));
                self.depose(number);
            }
        }
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::Event(number, life, event) => {
                let controller = &mut self.controllers[number];
                if controller.life == life {
                    match &*event {
                        Event::CommitDone { .. } => controller.commit_out = false,
                        Event::WriteDone { id, .. } => {
                            if let Some(object) = controller.writes_by_id.remove(id) {
                                controller.writes_out.remove(&object);
                            }
                        }
                        _ => {}
                    }
                    controller.engine.handle(self.now, *event);
                }
            }
            Message::Write(number, life, write) => self.write(number, life, write),
            Message::Commit(number, life, id, txn) => self.commit(number, life, id, txn),
        }
    }

    fn write(&mut self, number: usize, life: u64, write: Write) {
        let (id, kind) = (write.id, write.kind);
        let result = if self.rng.permille(self.knobs.api_lost) {
            Err(WriteError::Unavailable("connection refused".to_owned()))
        } else {
            let done = self.user(|api| api.write(&write));
            let error = done.as_ref().err().cloned();
            self.writes.push(Written { at: self.now, controller: number, write, error });
            if self.rng.permille(self.knobs.api_answer_lost) {
                Err(WriteError::Unavailable("connection reset".to_owned()))
            } else {
                done.and_then(|object| {
                    let decoded = object.map(|object| api::decode(kind, &object)).transpose();
                    decoded.map_err(|invalid| {
                        WriteError::Unavailable(format!("unreadable answer: {}", invalid.1))
                    })
                })
            }
        };
        let at = self.arrival(None) + self.knobs.answers_later;
        self.post(at, Message::Event(number, life, Box::new(Event::WriteDone { id, result })));
    }

    fn commit(&mut self, number: usize, life: u64, id: u64, txn: Txn) {
        let lost = self.rng.permille(self.knobs.nb_lost);
        let alive = self.controllers[number].life == life;
        let result = if lost || (alive && !self.controllers[number].nb_connected) {
            Err(failed(TxnErrorKind::NotConnected, "no connection"))
        } else {
            let (result, changes) = self.nb.execute(&txn);
            self.guard.check_commit(self.nb.rows(), &changes);
            guard::check_addresses(&self.config.cluster, self.nb.rows(), &self.api, &changes);
            self.commits.push(Committed { at: self.now, controller: number, txn, result: result.clone() });
            self.publish(&changes, Some(number));
            if self.rng.permille(self.knobs.nb_answer_lost) {
                Err(failed(TxnErrorKind::UnknownOutcome, "the connection was lost"))
            } else {
                result
            }
        };
        // The database sends the update before the reply, over the same connection.
        let at = self.arrival(Some((number, Wire::Nb)));
        self.post(at, Message::Event(number, life, Box::new(Event::CommitDone { id, result })));
    }

    /// Checks what must hold whenever nothing is under way.
    ///
    /// # Panics
    /// When it doesn't.
    pub fn check(&self) {
        self.guard.check_all(self.nb.rows());
    }

    /// What an engine that starts now on copies of the stores would do: nothing, if the one that leads has done
    /// all there is to do and nothing else (`incremental == full`, invariant 9).
    #[must_use]
    pub fn audit(&self) -> Vec<String> {
        let mut nb = self.nb.clone();
        let mut controller = self.fresh_controller(0);
        let engine = &mut controller.engine;
        for kind in Kind::ALL {
            engine.handle(self.now, Event::Watch(WatchEvent::Restarted(kind)));
            for (_, object) in self.api.list(kind) {
                let entry = api::Entry { kind, what: api::Happened::Applied, object: object.clone() };
                engine.handle(self.now, Event::Watch(api::watch_event(&entry)));
            }
            engine.handle(self.now, Event::Watch(WatchEvent::Synced(kind)));
        }
        engine.handle(self.now, Event::Nb(NbEvent::Replaced(controller.monitor.replica().clone())));
        engine.handle(self.now, Event::Leadership(Leadership::Held));
        for effect in engine.poll(self.now) {
            let Effect::Commit { id, txn } = effect else { continue };
            let (result, changes) = nb.execute(&txn);
            let changes = controller.monitor.apply(&changes);
            let replica = controller.monitor.replica().clone();
            engine.handle(self.now, Event::Nb(NbEvent::Changed { replica, changes }));
            engine.handle(self.now, Event::CommitDone { id, result });
        }
        assert!(engine.health().leading, "the auditing engine does not lead");
        let acts = engine.poll(self.now).into_iter().filter_map(|effect| match effect {
            Effect::Write(write) => Some(format!("{write:?}")),
            Effect::Commit { txn, .. } => Some(format!("{txn:?}")),
            Effect::Notify(_) | Effect::Log { .. } | Effect::Resign { .. } => None,
        });
        acts.collect()
    }

    /// Settles, and checks that a fresh engine would find nothing to do, and that nothing is done as time passes.
    ///
    /// # Panics
    /// When there is something to do.
    pub fn converge(&mut self) {
        self.settle();
        guard::check_ips(&self.api);
        let acts = self.audit();
        assert!(
            acts.is_empty(),
            "incremental differs from full: {acts:#?}\nlast lines of the log: {:#?}, {:?}",
            self.log.iter().rev().take(12).collect::<Vec<_>>(),
            self.controllers[0].engine.health()
        );
        let (commits, writes) = (self.commits.len(), self.writes.len());
        self.advance(120_000);
        assert_eq!(
            (self.commits.len(), self.writes.len()),
            (commits, writes),
            "invariant 9: not silent at rest"
        );
    }
}

fn failed(kind: TxnErrorKind, message: &str) -> TxnError {
    TxnError { kind, at: None, message: message.to_owned() }
}
