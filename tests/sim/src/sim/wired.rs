//! The real session between an engine and the cluster of servers: connections, bytes, and what becomes of them.
//!
//! Decides when bytes arrive, whole or in pieces, and when a connection breaks. The session's events reach the engine
//! in the program's order (`driver::task` of `tombolo-ovsdb`, `nb` of `tombolo-controller`): changes before answers, a
//! rebuilt replica only once it is whole.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};
use tombolo_engine::{Event, Millis, NbEvent};
use tombolo_ovsdb::session::{Backoff, Disconnect, Input, Output, Session, SessionConfig, SessionEvent};
use tombolo_ovsdb::{ChangeSet, Replica, Txn};

use super::{Message, Sim, Wire};
use crate::cluster::{self, Cluster, DATABASE, MEMBERS, Reply};
use crate::fault::Fault;
use crate::mutant::Mutant;

/// The program's `--ovn-timeout`, `--ovsdb-inactivity-timeout` and `--ovsdb-con-timeout`.
const TXN_TIMEOUT: Duration = Duration::from_secs(60);
const PROBE: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(3);

/// Something on a connection.
#[derive(Debug)]
pub(super) enum Wired {
    /// A transaction on its way to a controller's own session.
    Submit(usize, u64, u64, Txn),
    /// An attempt to connect ended.
    Dialed(usize, u64, u64, bool),
    /// Bytes for a client; whether they begin a message.
    In(usize, u64, u64, Vec<u8>, bool),
    /// A connection is gone, for the client.
    Closed(usize, u64, u64),
    /// Bytes for a server.
    Out(u64, Vec<u8>),
    /// A connection is gone, for the server.
    HungUp(u64),
    /// Servers that were cut off notice; whether they are back.
    Rejoin(bool),
}

impl Wired {
    /// The controller, in which of its lives, if it is for one.
    pub(super) fn receiver(&self) -> Option<(usize, u64)> {
        match self {
            Wired::Submit(number, life, ..)
            | Wired::Dialed(number, life, ..)
            | Wired::In(number, life, ..)
            | Wired::Closed(number, life, _) => Some((*number, *life)),
            Wired::Out(..) | Wired::HungUp(_) | Wired::Rejoin(_) => None,
        }
    }

    fn is_in(&self, of: u64) -> bool {
        matches!(self, Wired::In(_, _, conn, ..) if *conn == of)
    }

    fn is_out(&self, of: u64) -> bool {
        matches!(self, Wired::Out(conn, _) if *conn == of)
    }
}

/// A transaction that a session sent.
#[derive(Debug)]
struct Asked {
    number: usize,
    life: u64,
    txn: Txn,
}

/// The servers and the connections to them.
#[derive(Debug)]
pub(super) struct Net {
    cluster: Cluster,
    /// Whose a connection is, until it is cut.
    owners: BTreeMap<u64, (usize, u64)>,
    /// Transactions under way, by connection and number of the request.
    asked: BTreeMap<(u64, u64), Asked>,
    next: u64,
}

impl Net {
    pub(super) fn new(rows: &Replica) -> Net {
        Net { cluster: Cluster::new(rows), owners: BTreeMap::new(), asked: BTreeMap::new(), next: 0 }
    }
}

/// A controller's session, and what it has passed to the engine.
pub(super) struct Link {
    session: Session,
    /// The connection in use or being made.
    conn: Option<u64>,
    told_fresh: bool,
    /// The replica was built anew, and the engine doesn't have that one yet.
    unseen: bool,
    /// Transactions sent and not answered.
    waiting: usize,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("conn", &self.conn).field("told_fresh", &self.told_fresh).finish()
    }
}

impl Link {
    fn new(config: &tombolo_plan::Config, seed: u64) -> Link {
        let mut session = SessionConfig::new(DATABASE, tombolo_plan::nb::wanted(&config.cluster));
        session.indexes = tombolo_plan::nb::indexes();
        session.endpoints = MEMBERS;
        session.probe_interval = PROBE;
        session.request_timeout = CONNECT * 10;
        session.backoff = Backoff { cap: Duration::from_secs(2), ..Backoff::default() };
        session.seed = seed;
        let session = Session::new(session).expect("invariant: there are endpoints");
        Link { session, conn: None, told_fresh: false, unseen: true, waiting: 0 }
    }

    pub(super) fn next_wakeup(&self) -> Option<Millis> {
        let at = self.session.next_wakeup()?.as_micros().div_ceil(1_000);
        Some(Millis::try_from(at).unwrap_or(Millis::MAX))
    }

    /// Follows a server, and nothing is under way but probes.
    pub(super) fn is_idle(&self) -> bool {
        self.session.is_fresh() && self.waiting == 0
    }
}

impl Sim {
    pub(super) fn new_link(&mut self) -> Option<Box<Link>> {
        self.nets.is_some().then(|| Box::new(Link::new(&self.config, self.rng.next_u64())))
    }

    pub(super) fn poll_link(&mut self, number: usize) {
        let due = |it: &Link| it.next_wakeup().is_some_and(|at| at <= self.now);
        if self.controllers[number].link.as_deref().is_some_and(due) {
            self.step_link(number, Input::Tick, None);
        }
    }

    /// Gives a session an input and does what it says.
    fn step_link(&mut self, number: usize, input: Input<'_>, sent: Option<&Txn>) {
        let now = Duration::from_millis(self.now);
        let controller = &mut self.controllers[number];
        let life = controller.life;
        let Some(link) = &mut controller.link else { return };
        let outputs = link.session.step(now, input);
        let (mut changes, mut resynced, mut publish) = (ChangeSet::default(), false, false);
        let mut answers = Vec::new();
        for output in outputs {
            match output {
                Output::Connect { endpoint } => self.dial(number, endpoint),
                Output::Send(bytes) => self.ask(number, bytes, sent),
                Output::Close => self.hang_up(number),
                Output::Event(SessionEvent::Changed(more)) => {
                    changes.merge(more);
                    publish = true;
                }
                Output::Event(SessionEvent::Answer { ticket, result }) => answers.push((ticket, result)),
                Output::Event(event) => {
                    resynced |= matches!(event, SessionEvent::Fresh { resumed: false, .. });
                    publish |= !matches!(event, SessionEvent::Rejected { .. });
                    self.note(number, &event);
                }
            }
        }
        if publish {
            self.tell_engine(number, changes, resynced);
        }
        for (id, result) in answers {
            if let Some(link) = &mut self.controllers[number].link {
                link.waiting = link.waiting.saturating_sub(1);
            }
            let at = self.arrival_at_once(number);
            self.post(at, Message::Event(number, life, Box::new(Event::CommitDone { id, result })));
        }
    }

    /// As `nb` of the program does.
    fn tell_engine(&mut self, number: usize, changes: ChangeSet, resynced: bool) {
        let Some(link) = &mut self.controllers[number].link else { return };
        let (replica, fresh) = (link.session.replica().clone(), link.session.is_fresh());
        let mut events = Vec::new();
        link.unseen |= resynced;
        if link.unseen && fresh {
            link.unseen = false;
            events.push(NbEvent::Replaced(replica));
        } else if !link.unseen && !changes.is_empty() {
            events.push(NbEvent::Changed { replica, changes });
        }
        if fresh != link.told_fresh {
            link.told_fresh = fresh;
            events.push(if fresh { NbEvent::Fresh } else { NbEvent::Stale });
        }
        let life = self.controllers[number].life;
        for event in events {
            let at = self.arrival_at_once(number);
            self.post(at, Message::Event(number, life, Box::new(Event::Nb(event))));
        }
    }

    /// Within a process nothing takes long, and the order stays.
    fn arrival_at_once(&mut self, number: usize) -> Millis {
        let last = self.wires.entry((number, Wire::Nb)).or_insert(0);
        *last = self.now.max(*last);
        *last
    }

    fn note(&mut self, number: usize, event: &SessionEvent) {
        self.tell(|| match event {
            SessionEvent::Fresh { endpoint, resumed, .. } => {
                format!("the session of {number} is fresh at {endpoint}, resumed: {resumed}")
            }
            other => format!("the session of {number}: {other:?}"),
        });
        match event {
            SessionEvent::Fresh { resumed: true, .. } => self.hits.hit(Fault::Resumed),
            SessionEvent::Stale { reason, .. } | SessionEvent::Rejected { reason, .. } => match reason {
                Disconnect::NotLeader => self.hits.hit(Fault::FollowerPassedOver),
                Disconnect::Behind { .. } => self.hits.hit(Fault::ServerBehind),
                Disconnect::ProbeTimeout | Disconnect::RequestTimeout { .. } => {
                    self.hits.hit(Fault::ServerSilent);
                }
                Disconnect::Protocol(why) => panic!("the session of {number} can't read the server: {why}"),
                Disconnect::Inconsistent(why) => panic!("the replica of {number}: {why}"),
                _ => {}
            },
            _ => {}
        }
    }

    fn dial(&mut self, number: usize, endpoint: usize) {
        let refused = self.strikes(self.knobs.nb_refused, Fault::ConnectRefused);
        let Some(net) = &mut self.nets else { return };
        net.next += 1;
        let conn = net.next;
        let life = self.controllers[number].life;
        net.owners.insert(conn, (number, life));
        if !refused {
            net.cluster.connect(conn, endpoint);
        }
        if let Some(link) = &mut self.controllers[number].link {
            link.conn = Some(conn);
        }
        // A new connection doesn't wait for the bytes of an old one.
        self.wires.remove(&(number, Wire::BytesIn));
        self.wires.remove(&(number, Wire::BytesOut));
        let at = self.arrival(Some((number, Wire::BytesIn)));
        self.post(at, Message::Wired(Wired::Dialed(number, life, conn, !refused)));
    }

    fn ask(&mut self, number: usize, bytes: Vec<u8>, sent: Option<&Txn>) {
        let life = self.controllers[number].life;
        let Some(conn) = self.controllers[number].link.as_ref().and_then(|link| link.conn) else { return };
        if let Some(txn) = sent {
            let request: Value = serde_json::from_slice(&bytes).expect("a request is JSON");
            if request["method"] == "transact" {
                // What is on the wire is what was asked for.
                let ops = serde_json::to_value(txn.all_ops()).expect("operations are JSON");
                assert_eq!(
                    request["params"].as_array().map(|all| &all[1..]),
                    ops.as_array().map(|all| &all[..])
                );
                let id = request["id"].as_u64().expect("a number");
                let asked = Asked { number, life, txn: txn.clone() };
                if let Some(net) = &mut self.nets {
                    net.asked.insert((conn, id), asked);
                }
                if self.strikes(self.knobs.nb_lost, Fault::TxnLost) {
                    self.cut(conn);
                }
            }
        }
        if self.nets.as_ref().is_none_or(|net| !net.owners.contains_key(&conn)) {
            return;
        }
        let at = self.arrival(Some((number, Wire::BytesOut)));
        self.post(at, Message::Wired(Wired::Out(conn, bytes)));
    }

    fn send_all(&mut self, messages: Vec<(u64, Vec<u8>)>) {
        for (conn, bytes) in messages {
            self.send(conn, bytes);
        }
    }

    fn send(&mut self, conn: u64, bytes: Vec<u8>) {
        let Some((number, life)) = self.nets.as_ref().and_then(|net| net.owners.get(&conn).copied()) else {
            return;
        };
        let mut rest = bytes;
        let mut begins = true;
        if self.strikes(self.knobs.split, Fault::FrameSplit) {
            for _ in 0..self.rng.within((1, 3)) {
                let length = usize::try_from(self.rng.below(rest.len() as u64)).unwrap_or(0);
                let tail = rest.split_off(length);
                let at = self.arrival(Some((number, Wire::BytesIn)));
                self.post(at, Message::Wired(Wired::In(number, life, conn, rest, begins)));
                (rest, begins) = (tail, false);
            }
        }
        let at = self.arrival(Some((number, Wire::BytesIn)));
        self.post(at, Message::Wired(Wired::In(number, life, conn, rest, begins)));
    }

    /// The client closes its connection: what it sent before still arrives.
    fn hang_up(&mut self, number: usize) {
        let Some(conn) = self.controllers[number].link.as_mut().and_then(|link| link.conn.take()) else {
            return;
        };
        let at = self.arrival(Some((number, Wire::BytesOut)));
        self.post(at, Message::Wired(Wired::HungUp(conn)));
    }

    /// A connection breaks: of what is under way in each direction, some arrives and the rest never does.
    fn cut(&mut self, conn: u64) {
        // Nothing more is sent on it, though neither side knows yet.
        let Some((number, life)) = self.nets.as_mut().and_then(|net| net.owners.remove(&conn)) else {
            return;
        };
        self.hits.hit(Fault::ConnectionCut);
        self.tell(|| format!("connection {conn} of {number} is cut"));
        let mut last = (self.now, self.now);
        for inward in [true, false] {
            let of = |message: &Message| match message {
                Message::Wired(it) => {
                    if inward {
                        it.is_in(conn)
                    } else {
                        it.is_out(conn)
                    }
                }
                _ => false,
            };
            // In the order in which they were sent: those for a process that stands still were put off.
            let mut keys: Vec<_> = self.queue.iter().filter(|(_, it)| of(it)).map(|(key, _)| *key).collect();
            keys.sort_by_key(|(_, sent)| *sent);
            let kept = usize::try_from(self.rng.below(keys.len() as u64 + 1)).unwrap_or(0);
            let end = keys[..kept].iter().map(|(at, _)| *at).max().unwrap_or(self.now);
            if inward {
                last.0 = end;
            } else {
                last.1 = end;
            }
            for (position, key) in keys[kept..].iter().enumerate() {
                let gone = self.queue.remove(key);
                let inside = matches!(gone, Some(Message::Wired(Wired::In(.., false))));
                if position == 0 && inside {
                    self.hits.hit(Fault::CutInFrame);
                }
            }
        }
        let later = self.rng.within(self.knobs.latency);
        self.post(last.0 + later, Message::Wired(Wired::Closed(number, life, conn)));
        self.post(last.1 + later, Message::Wired(Wired::HungUp(conn)));
    }

    pub(super) fn deliver_wired(&mut self, message: Wired) {
        match message {
            Wired::Submit(number, life, ticket, txn) if self.controllers[number].life == life => {
                if let Some(link) = &mut self.controllers[number].link {
                    link.waiting += 1;
                }
                let deadline = Duration::from_millis(self.now) + TXN_TIMEOUT;
                let input = Input::Submit { ticket, txn: txn.clone(), deadline };
                self.step_link(number, input, Some(&txn));
            }
            Wired::Dialed(number, life, conn, done) if self.is_current(number, life, conn) => {
                if done {
                    self.step_link(number, Input::Connected, None);
                } else {
                    let why = "connection refused".to_owned();
                    self.step_link(number, Input::ConnectFailed(why), None);
                }
            }
            Wired::In(number, life, conn, bytes, _) if self.is_current(number, life, conn) => {
                self.step_link(number, Input::Bytes(&bytes), None);
            }
            Wired::Closed(number, life, conn) if self.is_current(number, life, conn) => {
                if let Some(link) = &mut self.controllers[number].link {
                    link.conn = None;
                }
                self.step_link(number, Input::Closed("connection reset".to_owned()), None);
            }
            Wired::Out(conn, bytes) => self.serve(conn, &bytes),
            Wired::HungUp(conn) => {
                if let Some(net) = &mut self.nets {
                    net.cluster.disconnect(conn);
                }
            }
            Wired::Rejoin(back) => self.rejoin(back),
            // For a predecessor, or on a connection that was given up.
            Wired::Submit(..) | Wired::Dialed(..) | Wired::In(..) | Wired::Closed(..) => {}
        }
    }

    fn is_current(&self, number: usize, life: u64, conn: u64) -> bool {
        let controller = &self.controllers[number];
        controller.life == life && controller.link.as_ref().is_some_and(|link| link.conn == Some(conn))
    }

    /// A server reads.
    fn serve(&mut self, conn: u64, bytes: &[u8]) {
        let Some(net) = &mut self.nets else { return };
        for reply in net.cluster.receive(conn, bytes) {
            match reply {
                Reply::Send(bytes) => self.send(conn, bytes),
                Reply::Kept => self.hits.hit(Fault::TxnToOldLeader),
                Reply::Resume(false) => self.hits.hit(Fault::ResumeRefused),
                Reply::Resume(true) => {}
                Reply::Transact(id) => {
                    let asked = self.nets.as_mut().and_then(|net| net.asked.remove(&(conn, id)));
                    let Some(Asked { number, life, txn }) = asked else {
                        panic!("nobody asked for the transaction {id} of connection {conn}")
                    };
                    if !self.is_current(number, life, conn) {
                        self.hits.hit(Fault::TxnLate);
                    }
                    let (result, _) = self.execute_txn(number, life, txn);
                    if self.strikes(self.knobs.nb_answer_lost, Fault::TxnAnswerLost) {
                        self.cut(conn);
                    } else {
                        self.send(conn, cluster::answer(&json!(id), &result));
                    }
                }
            }
        }
    }

    pub(super) fn publish_wired(&mut self, changes: &ChangeSet) {
        if let Some(net) = &mut self.nets {
            let messages = net.cluster.append(changes, self.nb.rows());
            self.send_all(messages);
        }
    }

    pub(super) fn do_wrong_wired(&mut self, mutant: Mutant) {
        if let Some(net) = &mut self.nets {
            net.cluster.do_wrong(mutant, &self.config.cluster);
        }
    }

    // What happens to connections and servers.

    /// Cuts a controller's connection.
    pub fn cut_connection(&mut self, number: usize) {
        if let Some(conn) = self.controllers[number].link.as_ref().and_then(|link| link.conn) {
            self.cut(conn);
        }
    }

    /// What a controller and its server say to each other takes so long from now on, until the connection is another.
    pub fn stall_connection(&mut self, number: usize, inward: bool, outward: bool, millis: Millis) {
        for (wire, stalls) in [(Wire::BytesIn, inward), (Wire::BytesOut, outward)] {
            if stalls {
                let last = self.wires.entry((number, wire)).or_insert(0);
                *last = (*last).max(self.now + millis);
            }
        }
    }

    /// Another server of the database leads. If the old one is cut off it notices after so many milliseconds, and is
    /// back after as many more.
    pub fn change_nb_leader(&mut self, cut_off_for: Option<Millis>) {
        let Some(net) = &mut self.nets else { return };
        let before = net.cluster.leader();
        let messages = net.cluster.change_leader(cut_off_for.is_some());
        if net.cluster.leader() == before {
            return;
        }
        self.hits.hit(Fault::LeaderChanged);
        self.tell(|| format!("server {before} no longer leads; cut off for {cut_off_for:?}"));
        self.send_all(messages);
        if let Some(millis) = cut_off_for {
            self.hits.hit(Fault::LeaderCutOff);
            if self.mutant != Some(Mutant::StaleAsFresh) {
                self.post(self.now + millis, Message::Wired(Wired::Rejoin(false)));
                self.post(self.now + millis * 2, Message::Wired(Wired::Rejoin(true)));
            }
        }
    }

    fn rejoin(&mut self, back: bool) {
        if let Some(net) = &mut self.nets {
            let messages = net.cluster.rejoin(back);
            self.send_all(messages);
        }
    }

    /// The servers forget their history.
    pub fn compact_nb(&mut self) {
        if let Some(net) = &mut self.nets {
            self.hits.hit(Fault::Compacted);
            net.cluster.compact();
        }
    }

    /// Removes what a process that is killed now had under way to the database, some of it at least.
    pub(super) fn drop_connection(&mut self, number: usize) {
        if let Some(conn) = self.controllers[number].link.as_mut().and_then(|link| link.conn.take()) {
            self.cut(conn);
        }
    }

    /// At rest each session's replica is what a monitor shows that was never interrupted.
    ///
    /// # Panics
    /// When it isn't.
    pub fn check_links(&self) {
        for (number, controller) in self.controllers.iter().enumerate() {
            let Some(link) = controller.link.as_ref().filter(|link| link.session.is_fresh()) else {
                continue;
            };
            let (seen, wanted) = (link.session.replica(), controller.monitor_of(&self.nb, &self.config));
            for (name, table) in wanted.replica().tables() {
                let (there, here): (Vec<_>, Vec<_>) = (table.iter().collect(), seen.rows(name).collect());
                assert_eq!(
                    here, there,
                    "invariant 6: the replica of controller {number} differs from the database in {name}"
                );
            }
            let told = controller.engine.world().nb().clone();
            for (name, table) in seen.tables() {
                assert!(table.iter().eq(told.rows(name)), "controller {number} plans on another {name}");
            }
        }
    }
}
