//! A session's configuration, and the events it reports.

use std::sync::Arc;
use std::time::Duration;

use crate::replica::{ChangeSet, Inconsistency, IndexSpec};
use crate::schema::{Capabilities, Wanted};
use crate::txn::{TxnError, TxnReply};

/// How a session behaves.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// The database's name, such as `OVN_Northbound`.
    pub database: String,
    /// What to mirror.
    pub wanted: Wanted,
    /// The replica's indexes.
    pub indexes: Vec<IndexSpec>,
    /// How many endpoints there are, at least 1.
    pub endpoints: usize,
    /// Use only the leader of a cluster. Needed by writers that rely on reading their own writes.
    pub leader_only: bool,
    /// After so much silence the server is probed; after as much again it is given up. Zero: never. Only once
    /// the replica is fresh; before, the deadlines of requests watch over the server.
    pub probe_interval: Duration,
    /// How long a dial may take, TLS included. Short, so that a host that is off doesn't hold up the others.
    pub connect_timeout: Duration,
    /// How long a request of ours (transactions aside) may be met with silence.
    pub request_timeout: Duration,
    /// The same for the request for the content. A server composes a big snapshot in one go, silent and deaf to
    /// probes meanwhile (seconds for 50,000 rows, more when busy); giving it up then would start it over.
    pub snapshot_timeout: Duration,
    /// Pauses between attempts.
    pub backoff: Backoff,
    /// The largest message accepted, in bytes. The whole database comes in one message.
    pub max_message: usize,
    /// For shuffling and jitter.
    pub seed: u64,
}

impl SessionConfig {
    /// The usual behavior: leader only, probe after 5 s, dials 5 s, requests 30 s, snapshots 5 min, messages up to 1 GiB.
    pub fn new(database: impl Into<String>, wanted: Wanted) -> SessionConfig {
        SessionConfig {
            database: database.into(),
            wanted,
            indexes: Vec::new(),
            endpoints: 1,
            leader_only: true,
            probe_interval: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            snapshot_timeout: Duration::from_secs(300),
            backoff: Backoff::default(),
            max_message: 1 << 30,
            seed: 0,
        }
    }
}

/// Pauses between rounds of attempts, and after good connections that were short: `first`, doubled each time
/// up to `cap`, and of that half to whole.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// After the first round.
    pub first: Duration,
    /// The longest.
    pub cap: Duration,
    /// A connection that lived so long counts as good: the next loss starts anew, without a pause.
    pub stable_after: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff {
            first: Duration::from_millis(100),
            cap: Duration::from_secs(5),
            stable_after: Duration::from_secs(5),
        }
    }
}

/// A configuration that can't work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// No endpoint.
    #[error("no endpoint is given for the OVSDB connection")]
    NoEndpoints,
}

/// Why a connection was given up or lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Disconnect {
    /// It couldn't be made.
    #[error("connecting: {0}")]
    ConnectFailed(String),
    /// The other side or the network closed it.
    #[error("connection closed: {0}")]
    Closed(String),
    /// The server doesn't serve the database.
    #[error("the server has no database {wanted}; it has: {}", .there.join(", "))]
    NoDatabase {
        /// What we want.
        wanted: String,
        /// What it has.
        there: Vec<String>,
    },
    /// The server isn't the leader of its cluster (any more).
    #[error("the server is not the cluster's leader")]
    NotLeader,
    /// The server has no contact with the majority of its cluster.
    #[error("the server has lost contact with its cluster")]
    Isolated,
    /// The server knows less than we have seen already.
    #[error(
        "the server is behind: its log ends at {index}, {newest} was seen (if the database was restored from an older \
         copy, that is accepted within seconds)"
    )]
    Behind {
        /// The server's log index.
        index: i64,
        /// The newest seen.
        newest: i64,
    },
    /// The schema was changed under us.
    #[error("the database's schema changed")]
    SchemaChanged,
    /// The server ended the monitor: the database was converted or removed.
    #[error("the server ended the monitor")]
    MonitorCanceled,
    /// Silence in spite of a probe.
    #[error("the server doesn't answer probes")]
    ProbeTimeout,
    /// Silence after a request.
    #[error("the server doesn't answer {method}")]
    RequestTimeout {
        /// The request.
        method: &'static str,
    },
    /// An error in answer to a request of the handshake.
    #[error("the server refuses {method}: {error}")]
    Refused {
        /// The request.
        method: &'static str,
        /// The server's words.
        error: String,
    },
    /// Bytes that make no sense.
    #[error("protocol: {0}")]
    Protocol(String),
    /// The replica contradicts the server: it is dropped and built anew.
    #[error("replica inconsistent, rebuilding it: {0}")]
    Inconsistent(Inconsistency),
}

/// What users of a session learn.
#[derive(Clone, Debug)]
pub enum SessionEvent {
    /// The replica changed.
    Changed(ChangeSet),
    /// The replica is fresh: it has all the server had, and follows.
    Fresh {
        /// The server's endpoint.
        endpoint: usize,
        /// The server sent only what was missed; else the replica was built anew.
        resumed: bool,
        /// What the server can do.
        capabilities: Arc<Capabilities>,
    },
    /// The replica was fresh and isn't any more.
    Stale {
        /// The server's endpoint.
        endpoint: usize,
        /// Why.
        reason: Disconnect,
    },
    /// An attempt failed before the replica was fresh.
    Rejected {
        /// The server's endpoint.
        endpoint: usize,
        /// Why.
        reason: Disconnect,
        /// When the next attempt starts.
        retry_in: Duration,
    },
    /// What became of a transaction.
    Answer {
        /// As given with it.
        ticket: u64,
        /// The result.
        result: Result<TxnReply, TxnError>,
    },
}
