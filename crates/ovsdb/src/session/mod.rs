//! The protocol as a state machine, without sockets and clock.
//!
//! Decides: which server to talk to (leader only, rotation, backoff), what to ask after connecting, when
//! a server is given up (probe, deadlines, lost leadership), how the replica follows (one
//! `monitor_cond_since` per database, resumed where that is sound, invariant 6) and what became of each
//! transaction (invariant 8). Doesn't decide how bytes travel: `driver` does.
//!
//! ```text
//!  Waiting ──► Connecting ──► Server: list_dbs, monitor _Server ──► Schema: get_schema
//!     ▲                                                                    │
//!     └──────────── any failure: stale, next endpoint ◄── Live ◄── Monitor: monitor_cond_since
//! ```
//!
//! Time is a `Duration` since any fixed origin; randomness is a seed. The same inputs give the same
//! outputs, which is what the simulations rely on.

mod config;
mod handshake;
mod live;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub use config::{Backoff, Disconnect, SessionConfig, SessionEvent, SpecError};
use serde_json::Value;

use crate::replica::Replica;
use crate::schema::{Capabilities, Layout};
use crate::txn::{Txn, TxnError, TxnErrorKind};
use crate::value::{Pool, Uuid};
use crate::wire::{self, Frames, Message};

/// What happens to a session.
#[derive(Debug)]
pub enum Input<'a> {
    /// The connection asked for by [`Output::Connect`] is there.
    Connected,
    /// It could not be made; why.
    ConnectFailed(String),
    /// Bytes arrived.
    Bytes(&'a [u8]),
    /// The connection is gone; why.
    Closed(String),
    /// Time passed (see [`Session::next_wakeup`]); also the first input of all.
    Tick,
    /// A transaction to send, now or not at all.
    Submit {
        /// Names it in [`SessionEvent::Answer`]; chosen by the caller, unique.
        ticket: u64,
        /// What to do.
        txn: Txn,
        /// When the caller gives up, on the session's time scale.
        deadline: Duration,
    },
}

/// What a session wants done, in this order.
#[derive(Debug)]
pub enum Output {
    /// Connect to this endpoint (an index into the caller's list).
    Connect {
        /// The index.
        endpoint: usize,
    },
    /// Send bytes on the connection.
    Send(Vec<u8>),
    /// Close the connection, or give up making it.
    Close,
    /// Tell the users.
    Event(SessionEvent),
}

/// A session with one database.
pub struct Session {
    config: SessionConfig,
    random: u64,
    state: State,
    outputs: Vec<Output>,

    /// The endpoints in the order tried, and the position of the current one.
    order: Vec<usize>,
    position: usize,
    /// Attempts since a connection was last good.
    failures: u32,
    /// Good connections in a row that were lost soon.
    short_lives: u32,

    frames: Frames,
    next_id: u64,
    pending: BTreeMap<u64, Pending>,
    last_heard: Duration,
    /// When the unanswered probe was sent.
    probed: Option<Duration>,
    /// When the current connection became fresh.
    fresh_since: Duration,

    server: ServerRow,
    server_replica: Replica,
    /// The newest log index seen, of this cluster: an older server has less than we know.
    newest: Option<(Uuid, i64)>,
    /// Since when servers of this cluster were met that have less, and none that has it all.
    behind_since: Option<Duration>,

    layout: Arc<Layout>,
    capabilities: Option<Arc<Capabilities>>,
    replica: Replica,
    generation: u64,
    resume: Option<Resume>,
    pool: Pool,
}

#[derive(Debug)]
enum State {
    Waiting { until: Duration },
    Connecting { deadline: Duration },
    Online { phase: Phase },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Learning what server this is.
    Server { listed: bool, monitored: bool },
    /// Learning the schema.
    Schema,
    /// Waiting for the content.
    Monitor,
    /// Following.
    Live,
}

/// Where to resume: sound only on the same cluster with the same monitor.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Resume {
    cid: Uuid,
    spec: String,
    last: Uuid,
}

/// Our row of `_Server.Database`.
#[derive(Clone, Debug, Default)]
struct ServerRow {
    clustered: bool,
    connected: bool,
    leader: bool,
    cid: Option<Uuid>,
    index: Option<i64>,
}

struct Pending {
    request: Request,
    deadline: Deadline,
}

#[derive(Clone, Copy, Debug)]
enum Deadline {
    /// So long after the last sign of life: a big snapshot may take its time while it flows.
    Silence { since: Duration, limit: Duration },
    /// At this moment.
    At(Duration),
}

#[derive(Debug)]
enum Request {
    ListDbs,
    MonitorServer,
    ChangeAware,
    GetSchema,
    /// `since`: it was `monitor_cond_since`, else `monitor_cond`.
    Monitor {
        since: bool,
        spec: String,
    },
    Probe,
    Transact {
        ticket: u64,
        txn: Txn,
    },
}

impl Request {
    fn method(&self) -> &'static str {
        match self {
            Request::ListDbs => "list_dbs",
            Request::MonitorServer => "monitor_cond of _Server",
            Request::ChangeAware => "set_db_change_aware",
            Request::GetSchema => "get_schema",
            Request::Monitor { since: true, .. } => "monitor_cond_since",
            Request::Monitor { since: false, .. } => "monitor_cond",
            Request::Probe => "echo",
            Request::Transact { .. } => "transact",
        }
    }
}

impl Session {
    /// A session that will connect on the first tick.
    pub fn new(config: SessionConfig) -> Result<Session, SpecError> {
        if config.endpoints == 0 {
            return Err(SpecError::NoEndpoints);
        }
        let random = config.seed;
        let frames = Frames::new(config.max_message);
        let mut session = Session {
            random,
            state: State::Waiting { until: Duration::ZERO },
            outputs: Vec::new(),
            order: (0..config.endpoints).collect(),
            position: 0,
            failures: 0,
            short_lives: 0,
            frames,
            next_id: 0,
            pending: BTreeMap::new(),
            last_heard: Duration::ZERO,
            probed: None,
            fresh_since: Duration::ZERO,
            server: ServerRow::default(),
            server_replica: Replica::default(),
            newest: None,
            behind_since: None,
            layout: Arc::default(),
            capabilities: None,
            replica: Replica::default(),
            generation: 0,
            resume: None,
            pool: Pool::new(),
            config,
        };
        // Shuffled, so that many clients don't all start at the first endpoint.
        for i in (1..session.order.len()).rev() {
            let j = session.random_below(i + 1);
            session.order.swap(i, j);
        }
        Ok(session)
    }

    /// The replica; as of the last update received, whether fresh or not.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Whether the replica follows a usable server right now.
    pub fn is_fresh(&self) -> bool {
        matches!(self.state, State::Online { phase: Phase::Live })
    }

    /// Counts the changes of the replica.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What the server can do; of the last one if none is connected.
    pub fn capabilities(&self) -> Option<&Arc<Capabilities>> {
        self.capabilities.as_ref()
    }

    /// The endpoint in use or being tried.
    pub fn endpoint(&self) -> usize {
        self.order[self.position]
    }

    /// When [`Input::Tick`] is due at the latest.
    pub fn next_wakeup(&self) -> Option<Duration> {
        match &self.state {
            State::Waiting { until } => Some(*until),
            State::Connecting { deadline } => Some(*deadline),
            State::Online { .. } => {
                let requests = self.pending.values().map(|p| self.due(p.deadline));
                let probe = self.probes().then(|| match self.probed {
                    Some(at) => at + self.config.probe_interval,
                    None => self.last_heard + self.config.probe_interval,
                });
                requests.chain(probe).min()
            }
        }
    }

    /// Takes one input and says what to do.
    pub fn step(&mut self, now: Duration, input: Input<'_>) -> Vec<Output> {
        match input {
            Input::Connected => self.connected(now),
            Input::ConnectFailed(reason) => {
                if matches!(self.state, State::Connecting { .. }) {
                    self.lost(now, Disconnect::ConnectFailed(reason), false);
                }
            }
            Input::Closed(reason) => {
                if !matches!(self.state, State::Waiting { .. }) {
                    self.lost(now, Disconnect::Closed(reason), false);
                }
            }
            Input::Bytes(bytes) => self.bytes(now, bytes),
            Input::Tick => self.tick(now),
            Input::Submit { ticket, txn, deadline } => self.submit(now, ticket, txn, deadline),
        }
        std::mem::take(&mut self.outputs)
    }

    fn tick(&mut self, now: Duration) {
        match &self.state {
            State::Waiting { until } if *until <= now => {
                self.state = State::Connecting { deadline: now + self.config.connect_timeout };
                let endpoint = self.endpoint();
                self.outputs.push(Output::Connect { endpoint });
            }
            State::Connecting { deadline } if *deadline <= now => {
                self.lost(now, Disconnect::ConnectFailed("no answer in time".to_owned()), true);
            }
            State::Online { .. } => self.tick_online(now),
            State::Waiting { .. } | State::Connecting { .. } => {}
        }
    }

    fn tick_online(&mut self, now: Duration) {
        let expired: Vec<u64> =
            self.pending.iter().filter(|(_, p)| self.due(p.deadline) <= now).map(|(id, _)| *id).collect();
        for id in expired {
            let Some(pending) = self.pending.remove(&id) else { continue };
            match pending.request {
                Request::Transact { ticket, .. } => {
                    // Asks the server to drop it; whether it does in time isn't known.
                    self.outputs.push(Output::Send(wire::notification("cancel", &[id])));
                    let message = "no answer within the deadline; it may yet be committed";
                    self.answer(ticket, Err(TxnError::of(TxnErrorKind::UnknownOutcome, message)));
                }
                Request::Probe => return self.lost(now, Disconnect::ProbeTimeout, true),
                other => {
                    let method = other.method();
                    return self.lost(now, Disconnect::RequestTimeout { method }, true);
                }
            }
        }
        let interval = self.config.probe_interval;
        if self.probes() && self.probed.is_none() && now >= self.last_heard + interval {
            self.probed = Some(now);
            self.send(now, Request::Probe, Deadline::Silence { since: now, limit: interval }, &[0u8; 0]);
        }
    }

    fn probes(&self) -> bool {
        !self.config.probe_interval.is_zero() && self.is_fresh()
    }

    fn due(&self, deadline: Deadline) -> Duration {
        match deadline {
            Deadline::At(at) => at,
            Deadline::Silence { since, limit } => since.max(self.last_heard) + limit,
        }
    }

    fn bytes(&mut self, now: Duration, bytes: &[u8]) {
        if !matches!(self.state, State::Online { .. }) {
            return;
        }
        self.last_heard = now;
        self.probed = None;
        self.frames.push(bytes);
        loop {
            let message = match self.frames.next_frame() {
                Ok(Some(frame)) => Message::parse(&frame),
                Ok(None) => return,
                Err(error) => Err(error),
            };
            let handled = match message {
                Ok(message) => self.message(now, message),
                Err(error) => Err(Disconnect::Protocol(error.to_string())),
            };
            if let Err(reason) = handled {
                return self.lost(now, reason, true);
            }
        }
    }

    fn message(&mut self, now: Duration, message: Message) -> Result<(), Disconnect> {
        match message {
            Message::Request { id, method, params } => match method.as_str() {
                "echo" => {
                    self.outputs.push(Output::Send(wire::response(&id, Ok(&params))));
                    Ok(())
                }
                "update2" => self.update(now, &params, false),
                "update3" => self.update(now, &params, true),
                "monitor_canceled" => Err(Disconnect::MonitorCanceled),
                _ if id.is_null() => Ok(()),
                _ => {
                    self.outputs.push(Output::Send(wire::response(&id, Err("unknown method"))));
                    Ok(())
                }
            },
            Message::Response { id, result } => {
                // An answer whose request has expired is late, not wrong.
                let Some(pending) = id.as_u64().and_then(|id| self.pending.remove(&id)) else {
                    return Ok(());
                };
                match pending.request {
                    Request::Probe => Ok(()),
                    Request::Transact { ticket, txn } => {
                        let answer = match result {
                            Ok(result) => serde_json::from_str::<Value>(result.get())
                                .map_err(|e| TxnError::of(TxnErrorKind::Protocol, e.to_string()))
                                .and_then(|result| txn.read_reply(&result)),
                            Err(error) => Err(refused(&error)),
                        };
                        self.answer(ticket, answer);
                        Ok(())
                    }
                    request => self.handshake(now, request, result),
                }
            }
        }
    }

    fn submit(&mut self, now: Duration, ticket: u64, txn: Txn, deadline: Duration) {
        if !self.is_fresh() {
            let message = "not connected to a usable server; nothing was sent";
            return self.answer(ticket, Err(TxnError::of(TxnErrorKind::NotConnected, message)));
        }
        if deadline <= now {
            let message = "the deadline had passed before anything was sent";
            return self.answer(ticket, Err(TxnError::of(TxnErrorKind::Deadline, message)));
        }
        let ops = txn.all_ops();
        let database = self.config.database.clone();
        let params = wire::Transact { database: &database, ops: &ops };
        self.send(now, Request::Transact { ticket, txn }, Deadline::At(deadline), &params);
    }

    fn send(&mut self, _now: Duration, request: Request, deadline: Deadline, params: &impl serde::Serialize) {
        let id = self.next_id;
        self.next_id += 1;
        let method = match &request {
            Request::MonitorServer => "monitor_cond",
            other => other.method(),
        };
        self.outputs.push(Output::Send(wire::request(id, method, params)));
        self.pending.insert(id, Pending { request, deadline });
    }

    fn answer(&mut self, ticket: u64, result: Result<crate::txn::TxnReply, TxnError>) {
        self.outputs.push(Output::Event(SessionEvent::Answer { ticket, result }));
    }

    fn connected(&mut self, now: Duration) {
        if !matches!(self.state, State::Connecting { .. }) {
            return;
        }
        self.frames = Frames::new(self.config.max_message);
        self.last_heard = now;
        self.probed = None;
        self.server = ServerRow::default();
        self.start_handshake(now);
    }

    /// The connection is lost or given up; `close` if it has to be closed by us.
    fn lost(&mut self, now: Duration, reason: Disconnect, close: bool) {
        let endpoint = self.endpoint();
        let was_fresh = self.is_fresh();
        if close {
            self.outputs.push(Output::Close);
        }
        if matches!(reason, Disconnect::Inconsistent(_)) {
            self.resume = None;
        }
        let wait = if was_fresh { self.pause_after_life(now) } else { self.pause_after_failure() };
        self.position = (self.position + 1) % self.order.len();
        self.state = State::Waiting { until: now + wait };
        self.frames = Frames::new(self.config.max_message);
        let event = if was_fresh {
            SessionEvent::Stale { endpoint, reason }
        } else {
            SessionEvent::Rejected { endpoint, reason, retry_in: wait }
        };
        self.outputs.push(Output::Event(event));
        for (_, pending) in std::mem::take(&mut self.pending) {
            if let Request::Transact { ticket, .. } = pending.request {
                let message = "the connection was lost before the answer; it may have been committed";
                self.answer(ticket, Err(TxnError::of(TxnErrorKind::UnknownOutcome, message)));
            }
        }
    }

    /// How long to wait after an attempt that failed: not at all while there are endpoints not yet tried in
    /// this round, then exponentially more after each round.
    fn pause_after_failure(&mut self) -> Duration {
        let endpoints = u32::try_from(self.order.len()).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        if self.failures.is_multiple_of(endpoints) {
            self.backoff(self.failures / endpoints - 1)
        } else {
            Duration::ZERO
        }
    }

    /// How long to wait after a connection that was good: not at all, unless such connections keep being
    /// short; each may cost the server a whole snapshot.
    fn pause_after_life(&mut self, now: Duration) -> Duration {
        self.failures = 0;
        if now >= self.fresh_since + self.config.backoff.stable_after {
            self.short_lives = 0;
            return Duration::ZERO;
        }
        self.short_lives = self.short_lives.saturating_add(1);
        self.backoff(self.short_lives - 1)
    }

    fn backoff(&mut self, times: u32) -> Duration {
        let full = self.config.backoff.first.saturating_mul(1 << times.min(16)).min(self.config.backoff.cap);
        // Half to whole: clients that lost one server don't come back in step.
        let jitter = self.random_below(1001) as u32;
        full / 2 + full / 2 * jitter / 1000
    }

    /// splitmix64: good enough to spread clients, and the same on each run of a simulation.
    fn random_below(&mut self, bound: usize) -> usize {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        usize::try_from(z % bound.max(1) as u64).unwrap_or(0)
    }
}

/// An error in place of the whole result: the server didn't look at the operations.
fn refused(error: &Value) -> TxnError {
    let name = error.get("error").and_then(Value::as_str).or(error.as_str()).unwrap_or_default();
    let kind = match name {
        "canceled" => TxnErrorKind::UnknownOutcome,
        "unknown database" => TxnErrorKind::NotConnected,
        _ => TxnErrorKind::Refused,
    };
    TxnError::of(kind, format!("the server refused the request: {error}"))
}
