//! The session on tokio: one task per database that dials, reads, writes and keeps time.
//!
//! Decides nothing of the protocol ([`crate::session`] does). Users hold a [`Client`]: snapshots without
//! locks held, changes as coalesced batches that lead from snapshot to snapshot, transactions as futures.

mod changes;
mod endpoint;
mod stream;
mod task;
pub mod tls;
pub mod unixctl;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use changes::{Changes, Update};
pub use endpoint::{Endpoint, EndpointError, Endpoints};
pub use tls::{TlsConfig, TlsError};
use tokio::sync::{mpsc, oneshot, watch};

use crate::replica::{IndexSpec, Replica};
use crate::schema::{Capabilities, Wanted};
use crate::session::{Backoff, Session, SessionConfig};
use crate::txn::{Txn, TxnError, TxnErrorKind, TxnReply};

/// What to connect to, and how.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Where: `tcp:10.0.0.1:6641,tcp:10.0.0.2:6641` (see [`Endpoints`]).
    pub endpoints: Endpoints,
    /// How the session behaves: database, wanted tables, indexes, leader only, timeouts. The number of
    /// endpoints and the seed are filled in.
    pub session: SessionConfig,
    /// Needed for `ssl:` endpoints.
    pub tls: Option<TlsConfig>,
    /// The program's name: it begins the comment of each transaction, so that the database's log says who wrote
    /// what. [`crate::txn::UNNAMED`] unless it is set.
    pub signature: &'static str,
}

impl ClientConfig {
    /// The usual behavior for these tables of a database.
    pub fn new(endpoints: Endpoints, database: impl Into<String>, wanted: Wanted) -> ClientConfig {
        ClientConfig {
            endpoints,
            session: SessionConfig::new(database, wanted),
            tls: None,
            signature: crate::txn::UNNAMED,
        }
    }

    /// Adds an index to the replica.
    #[must_use]
    pub fn index(mut self, index: IndexSpec) -> ClientConfig {
        self.session.indexes.push(index);
        self
    }

    /// Signs each transaction with the program's name (see [`ClientConfig::signature`]).
    #[must_use]
    pub fn signed(mut self, signature: &'static str) -> ClientConfig {
        self.signature = signature;
        self
    }

    /// Whether only the leader of a cluster will do (the default).
    #[must_use]
    pub fn leader_only(mut self, leader_only: bool) -> ClientConfig {
        self.session.leader_only = leader_only;
        self
    }

    /// After so much silence the server is probed, after as much again given up; zero: never.
    #[must_use]
    pub fn probe_interval(mut self, interval: Duration) -> ClientConfig {
        self.session.probe_interval = interval;
        self
    }

    /// Pauses between attempts.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> ClientConfig {
        self.session.backoff = backoff;
        self
    }

    /// Keys and certificates for `ssl:` endpoints.
    #[must_use]
    pub fn tls(mut self, tls: TlsConfig) -> ClientConfig {
        self.tls = Some(tls);
        self
    }
}

/// A client that can't be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// `ssl:` endpoints without keys and certificates.
    #[error("endpoint {0} needs TLS, but no private key, certificate and CA certificate are configured")]
    TlsMissing(Endpoint),
    /// Keys or certificates that can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The rest.
    #[error(transparent)]
    Spec(#[from] crate::session::SpecError),
}

/// The replica at one moment, and what it is worth.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The rows.
    pub replica: Replica,
    /// Whether it follows a usable server right now. Never plan on a replica that isn't fresh (invariant 6).
    pub fresh: bool,
    /// Counts changes of the replica: equal generations are equal replicas.
    pub generation: u64,
    /// What the server can do; of the last one if none is connected, `None` before the first.
    pub capabilities: Option<Arc<Capabilities>>,
}

/// How the connection is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether the replica is fresh.
    pub fresh: bool,
    /// The endpoint in use, or last tried.
    pub endpoint: String,
    /// Why the last connection or attempt ended; empty if none has.
    pub last_error: String,
    /// How often the replica was fresh.
    pub connects: u64,
    /// How often of these the server sent only what was missed.
    pub resumes: u64,
    /// How often the replica contradicted the server and was built anew.
    pub inconsistencies: u64,
}

/// Waiting for a fresh replica took too long.
#[derive(Clone, Debug, thiserror::Error)]
#[error("no usable OVSDB server within {waited:?}; endpoint {endpoint}: {last_error}")]
pub struct NotReady {
    /// How long.
    pub waited: Duration,
    /// The last endpoint tried.
    pub endpoint: String,
    /// What happened there.
    pub last_error: String,
}

/// A connection to one database. Clones share it; it ends with the last clone.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    commands: mpsc::UnboundedSender<task::Command>,
    snapshots: watch::Receiver<Snapshot>,
    status: watch::Receiver<Status>,
    hub: Arc<changes::Hub>,
    tickets: AtomicU64,
    signature: &'static str,
    task: tokio::task::AbortHandle,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Client {
    /// Starts connecting, and keeps at it until the last clone is dropped. Must be called within a tokio
    /// runtime; returns at once.
    pub fn connect(config: ClientConfig) -> Result<Client, ClientError> {
        let endpoints = config.endpoints.list().to_vec();
        let tls = match config.tls {
            Some(tls) => Some(tls::Tls::new(tls)?),
            None => match endpoints.iter().find(|e| matches!(e, Endpoint::Ssl(_))) {
                Some(endpoint) => return Err(ClientError::TlsMissing(endpoint.clone())),
                None => None,
            },
        };
        let signature = config.signature;
        let mut session = config.session;
        session.endpoints = endpoints.len();
        if session.seed == 0 {
            session.seed = seed();
        }
        let database = session.database.clone();
        let session = Session::new(session)?;
        let (commands, receiver) = mpsc::unbounded_channel();
        let (snapshot_sender, snapshots) = watch::channel(Snapshot::default());
        let (status_sender, status) = watch::channel(Status::default());
        let hub = Arc::new(changes::Hub::default());
        let task = task::Task {
            session,
            database,
            endpoints,
            tls,
            snapshots: snapshot_sender,
            status: status_sender,
            hub: hub.clone(),
            waiting: Default::default(),
        };
        let task = tokio::spawn(task.run(receiver)).abort_handle();
        let tickets = AtomicU64::new(0);
        Ok(Client { shared: Arc::new(Handle { commands, snapshots, status, hub, tickets, signature, task }) })
    }

    /// The replica as it is now.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshots.borrow().clone()
    }

    /// The replica as it changes; a slow reader sees only the latest. Once [`Client::transact`] has returned `Ok`, this
    /// shows the write as [`Client::snapshot`] does.
    pub fn watch(&self) -> watch::Receiver<Snapshot> {
        self.shared.snapshots.clone()
    }

    /// What the server can do; `None` before the first connection.
    pub fn capabilities(&self) -> Option<Arc<Capabilities>> {
        self.shared.snapshots.borrow().capabilities.clone()
    }

    /// How the connection is.
    pub fn status(&self) -> Status {
        self.shared.status.borrow().clone()
    }

    /// The status as it changes.
    pub fn watch_status(&self) -> watch::Receiver<Status> {
        self.shared.status.clone()
    }

    /// Changes from now on. The first [`Update`] comes at once and leads from the empty replica to the
    /// current one.
    pub fn changes(&self) -> Changes {
        self.shared.hub.subscribe(&self.shared.snapshots)
    }

    /// Waits until the replica is fresh.
    pub async fn ready(&self, within: Duration) -> Result<Snapshot, NotReady> {
        let mut snapshots = self.shared.snapshots.clone();
        let wait = async {
            match snapshots.wait_for(|snapshot| snapshot.fresh).await {
                Ok(snapshot) => snapshot.clone(),
                // The task has ended, so nothing will ever come.
                Err(_) => std::future::pending().await,
            }
        };
        tokio::time::timeout(within, wait).await.map_err(|_| {
            let status = self.status();
            NotReady { waited: within, endpoint: status.endpoint, last_error: status.last_error }
        })
    }

    /// Sends a transaction and waits for its answer, at most `within`. When it returns `Ok`, snapshots
    /// hold the write already. Not connected is an error at once: nothing is queued, because what was
    /// planned on an old replica must be planned again on the new one.
    pub async fn transact(&self, txn: Txn, within: Duration) -> Result<TxnReply, TxnError> {
        let (answer, answered) = oneshot::channel();
        let ticket = self.shared.tickets.fetch_add(1, Ordering::Relaxed);
        let txn = sign(txn, self.shared.signature);
        let command = task::Command { ticket, txn, within, answer };
        let gone = || TxnError::of(TxnErrorKind::NotConnected, "the OVSDB client has ended");
        self.shared.commands.send(command).map_err(|_| gone())?;
        match answered.await {
            Ok(result) => result,
            Err(_) => {
                Err(TxnError::of(TxnErrorKind::UnknownOutcome, "the OVSDB client ended before the answer"))
            }
        }
    }
}

/// The transaction with the program's name before its comment.
fn sign(mut txn: Txn, signature: &str) -> Txn {
    let separator = if txn.comment.is_empty() { "" } else { ": " };
    txn.comment = format!("{signature}{separator}{}", txn.comment);
    txn
}

/// Different for each client: the standard library seeds its hash maps from the system.
fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_begin_with_the_programs_name() {
        let txn = Txn::new([]);
        assert_eq!(sign(txn.clone(), "me").comment, "me");
        assert_eq!(sign(txn.comment("epoch 7"), "me").comment, "me: epoch 7");
    }
}
