//! Engines, a database, an API server and the wires between them, under virtual time.
//!
//! Decides when a message arrives and what gets lost on the way: all chance comes from one seed, so that a run can
//! be had again. What engines do is checked at every commit ([`crate::guard`]).

mod checks;
mod connections;
mod knobs;
mod wired;
mod writes;

use std::collections::{BTreeMap, BTreeSet};

use tombolo_engine::{Effect, Engine, Event, Millis, NbEvent, Notice, WatchEvent, Write, WriteError};
use tombolo_ovsdb::{Txn, TxnError, TxnReply};
use tombolo_plan::{Config, Kind};

pub use knobs::Knobs;

use crate::api::{self, Api};
use crate::coverage;
use crate::fault::{Fault, Hits};
use crate::guard::{Epochs, Guard};
use crate::mutant::Mutant;
use crate::nb::{Monitor, Server};
use crate::rng::Rng;

/// Wall-clock time at millisecond 0: 2026-11-24T00:00:00Z.
pub const UNIX_AT_ZERO: i64 = 1_795_478_400;
/// What is due later than this after all else ended counts as rest: retries of what is refused, retention.
const REST: Millis = 10_000;
/// Steps until something that never comes to rest is called so.
const LIMIT: u64 = 200_000;

#[derive(Debug)]
enum Message {
    /// To an engine, if it is still the one that it was sent to.
    Event(usize, u64, Box<Event>),
    /// To the API server.
    Write(usize, u64, Write),
    /// To the API server, from a sender that no longer waits for the answer.
    Late(usize, Write),
    /// To the database.
    Commit(usize, u64, u64, Txn),
    /// Something on a connection with a real session.
    Wired(wired::Wired),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wire {
    Watch(Kind),
    Nb,
    Lease,
    /// Bytes of a connection, to the client and to the server.
    BytesIn,
    BytesOut,
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
    /// The real session, where there is one.
    link: Option<Box<wired::Link>>,
    /// Its process stands still until then.
    frozen_until: Millis,
    /// Seconds by which the clock on the wall was ahead when it started.
    ahead: i64,
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
    /// Each event is checked by [`coverage::uncovered`]: slow.
    pub checks_coverage: bool,
    /// So many were.
    pub covered: usize,
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
    /// Trouble met so far.
    pub hits: Hits,
    /// Seconds that the clocks on the wall are ahead.
    pub wall_ahead: i64,
    /// Steps until something that never comes to rest is called so.
    pub limit: u64,
    /// Prints what happens.
    pub is_loud: bool,
    /// Specs of Subnets as they were before their last edits.
    pub before_edits: BTreeMap<String, serde_json::Value>,
    /// Rows that others changed so far.
    pub foreign_rows: usize,
    config: Config,
    nb: Server,
    rng: Rng,
    controllers: Vec<Controller>,
    queue: BTreeMap<(Millis, u64), Message>,
    sent: u64,
    wires: BTreeMap<(usize, Wire), Millis>,
    guard: Guard,
    epochs: Epochs,
    two_lead: bool,
    /// What is done wrong on purpose.
    mutant: Option<Mutant>,
    /// When the brake was let go by a mutant's hand.
    let_go: Millis,
    nets: Option<wired::Net>,
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

    /// As [`Sim::new`], and controllers hear of the database through the real session, over connections to a cluster of
    /// servers.
    #[must_use]
    pub fn wired(config: Config, seed: u64) -> Sim {
        let mut sim = Sim::without_controller(config, seed);
        sim.nets = Some(wired::Net::new(sim.nb.rows()));
        sim
    }

    /// A world without controllers.
    #[must_use]
    pub fn without_controller(config: Config, seed: u64) -> Sim {
        let nb = Server::northbound();
        Sim {
            now: 0,
            knobs: Knobs::default(),
            checks_coverage: false,
            covered: 0,
            api: Api::at(tombolo_plan::time::text(UNIX_AT_ZERO)),
            commits: Vec::new(),
            writes: Vec::new(),
            notices: Vec::new(),
            log: Vec::new(),
            resigned: Vec::new(),
            hits: Hits::default(),
            wall_ahead: 0,
            limit: LIMIT,
            is_loud: false,
            before_edits: BTreeMap::new(),
            foreign_rows: 0,
            epochs: Epochs::default(),
            two_lead: false,
            mutant: None,
            let_go: 0,
            nets: None,
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

    /// Makes the world around the engines do wrong from now on.
    pub fn do_wrong(&mut self, mutant: Mutant) {
        self.mutant = Some(mutant);
        self.do_wrong_wired(mutant);
    }

    /// What is done wrong on purpose.
    #[must_use]
    pub fn mutant(&self) -> Option<Mutant> {
        self.mutant
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

    /// What others have done so far, counted: users and Neutron. What does nothing doesn't count.
    #[must_use]
    pub fn effects(&self) -> usize {
        self.foreign_rows + self.api.log().len()
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
        self.foreign_rows += changes.iter().count();
        self.guard.foreign_write(self.nb.rows(), &changes);
        self.publish(&changes);
    }

    /// Something of the users' at the API server.
    pub fn user<T>(&mut self, act: impl FnOnce(&mut Api) -> T) -> T {
        let seconds = i64::try_from(self.now / 1_000).unwrap_or(0);
        self.api.now = tombolo_plan::time::text(UNIX_AT_ZERO + self.wall_ahead + seconds);
        let result = act(&mut self.api);
        self.fan_out();
        result
    }

    // The wires.

    /// Prints what happens, for a user who replays a run.
    fn tell(&self, what: impl FnOnce() -> String) {
        if self.is_loud {
            eprintln!("{:>9.3} {}", self.now as f64 / 1_000.0, what());
        }
    }

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
        if matches!(wire.1, Wire::Watch(_)) && *last >= self.now + 1_000 {
            self.hits.hit(Fault::WatchLate);
        }
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
                    if self.rng.permille(self.knobs.watch_repeated) {
                        self.hits.hit(Fault::WatchRepeated);
                        self.send_event(number, Wire::Watch(kind), Event::Watch(event.clone()));
                    }
                    self.send_event(number, Wire::Watch(kind), Event::Watch(event));
                }
            }
        }
    }

    /// Sends changes of the database to all clients.
    fn publish(&mut self, changes: &tombolo_ovsdb::ChangeSet) {
        self.publish_wired(changes);
        for number in 0..self.controllers.len() {
            let controller = &mut self.controllers[number];
            if controller.link.is_some() {
                continue;
            }
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
        for _ in 0..self.limit {
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
        let links = self.controllers.iter().filter_map(|it| Some((it, it.link.as_deref()?.next_wakeup()?)));
        let links = links.map(|(controller, at)| at.max(controller.frozen_until));
        message.into_iter().chain(self.next_of_engines()).chain(links).min()
    }

    fn next_of_engines(&self) -> Option<Millis> {
        let all = self.controllers.iter();
        all.filter_map(|it| it.engine.next_wakeup().map(|at| at.max(it.frozen_until))).min()
    }

    /// Nothing is under way but what sessions do to keep their connections.
    fn is_quiet(&self, rest: Millis) -> bool {
        self.queue.is_empty()
            && self.next_of_engines().is_none_or(|at| at > self.now + rest)
            && self.controllers.iter().all(|it| it.link.as_ref().is_none_or(|link| link.is_idle()))
    }

    /// The next thing that happens. False when that is nothing, or a wake-up later than `rest` from now.
    fn step(&mut self, rest: Option<Millis>) -> bool {
        self.poll();
        if rest.is_some_and(|rest| self.is_quiet(rest)) {
            return false;
        }
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
            let ((_, sent), message) = entry.remove_entry();
            let to = match &message {
                Message::Event(number, life, _) => Some((*number, *life)),
                Message::Wired(message) => message.receiver(),
                Message::Write(..) | Message::Late(..) | Message::Commit(..) => None,
            };
            let to = to.filter(|(number, life)| self.controllers[*number].life == *life);
            if let Some(until) = to.map(|it| self.controllers[it.0].frozen_until).filter(|it| *it > self.now)
            {
                // In the order in which they were sent.
                self.queue.insert((until, sent), message);
                continue;
            }
            self.deliver(message);
            if let Some((number, _)) = to.filter(|_| self.rng.below(10_000) < self.knobs.crash) {
                self.poll();
                self.crash(number);
            }
        }
        true
    }

    fn poll(&mut self) {
        for number in 0..self.controllers.len() {
            if self.controllers[number].frozen_until > self.now {
                continue;
            }
            self.poll_link(number);
            loop {
                let effects = self.controllers[number].engine.poll(self.now);
                for effect in effects {
                    self.execute(number, effect);
                }
                if !self.controllers[number].engine.has_more() {
                    break;
                }
            }
            if self.mutant == Some(Mutant::NoBrake) {
                self.let_go(number);
            }
        }
        let lead = self.controllers.iter().filter(|it| it.engine.health().leading).count() > 1;
        if lead && !std::mem::replace(&mut self.two_lead, lead) {
            self.hits.hit(Fault::TwoLeaders);
        }
        self.two_lead = lead;
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
                if self.controllers[number].link.is_some() {
                    self.post(self.now, Message::Wired(wired::Wired::Submit(number, life, id, txn)));
                } else {
                    let at = self.arrival(None);
                    self.post(at, Message::Commit(number, life, id, txn));
                }
            }
            Effect::Notify(notice) => self.notices.push(notice),
            Effect::Log { warning, message } => {
                self.tell(|| format!("controller {number} says: {message}"));
                self.log.push((warning, message));
            }
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
                    if self.is_loud {
                        let event = coverage::shown(&event);
                        eprintln!("{:>9.3} controller {number} hears: {event}", self.now as f64 / 1_000.0);
                    }
                    if self.checks_coverage && controller.engine.health().leading {
                        let uncovered = coverage::uncovered(&controller.engine, &event);
                        assert!(uncovered.is_empty(), "at {}: {}", self.now, uncovered.join("\n"));
                        self.covered += 1;
                    }
                    controller.engine.handle(self.now, *event);
                }
            }
            Message::Write(number, life, write) => self.write(number, life, write),
            Message::Late(number, write) => drop(self.do_write(number, write)),
            Message::Commit(number, life, id, txn) => self.commit(number, life, id, txn),
            Message::Wired(message) => self.deliver_wired(message),
        }
    }
}
