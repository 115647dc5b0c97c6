//! What goes into the engine and what comes out: the whole contract between the pure state machine and
//! the program around it.
//!
//! The engine decides; the program executes. Nothing here reads a clock, a socket or a random number, so
//! a simulation can drive the same code with virtual time.

use tombolo_names::Reason;
use tombolo_ovsdb::{ChangeSet, Replica, Txn, TxnError, TxnReply};

/// Milliseconds on a monotonic clock of the program's choosing. Only differences matter.
pub type Millis = u64;

pub use tombolo_plan::{Kind, Verb};

pub use tombolo_plan::Object;

/// What a Kubernetes watch says.
#[derive(Clone, Debug)]
pub enum WatchEvent {
    /// A (re)list of this kind begins; objects not applied again before [`WatchEvent::Synced`] are gone.
    /// Until then the kind counts as not synced, and nothing is deleted on its account (invariant 4).
    Restarted(Kind),
    /// The object was listed, added or changed.
    Applied(Object),
    /// The object was seen to be deleted: that is what explains the deletion of its rows (invariant 4).
    Deleted(Object),
    /// The list of this kind is complete.
    Synced(Kind),
    /// An object that could not be decoded. It is reported, and its rows are left alone: one bad object
    /// never stops the others.
    Malformed {
        /// Its kind.
        kind: Kind,
        /// Namespace; empty for cluster-scoped kinds.
        namespace: String,
        /// Its name.
        name: String,
        /// What the decoder said.
        error: String,
    },
}

/// What the session with the NB says.
#[derive(Clone, Debug)]
pub enum NbEvent {
    /// A complete replica: the first, or a new one after a reconnect that could not resume.
    Replaced(Replica),
    /// The replica after `changes`, in the order in which the server committed them.
    Changed {
        /// The replica with the changes applied.
        replica: Replica,
        /// The rows that changed.
        changes: ChangeSet,
    },
    /// The session is lost or the server is cut off: the replica may be old (invariant 6).
    Stale,
    /// The session is back and the replica is known to be current again.
    Fresh,
}

/// Whether this process holds the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// The lease is ours. The engine then takes the epoch in the NB before it writes anything else.
    Held,
    /// Another replica holds the lease, or it was given up.
    Lost,
}

/// Everything that can happen to the engine.
#[derive(Clone, Debug)]
pub enum Event {
    /// From a Kubernetes watch.
    Watch(WatchEvent),
    /// The networks of Services by the cluster's `ServiceCIDR` objects, all of them.
    ServiceNetworks(Vec<tombolo_net::Cidr>),
    /// From the NB session.
    Nb(NbEvent),
    /// From the lease.
    Leadership(Leadership),
    /// A [`Write`] ended. With `Ok`, the object as the API server returned it (`None` after a delete).
    WriteDone {
        /// The write.
        id: u64,
        /// Its outcome.
        result: Result<Option<Object>, WriteError>,
    },
    /// A [`Effect::Commit`] ended. The replica already holds what was committed: the server sends the
    /// update before the reply.
    CommitDone {
        /// The transaction.
        id: u64,
        /// Its outcome.
        result: Result<TxnReply, TxnError>,
    },
    /// The time asked for by [`crate::Engine::next_wakeup`] has come.
    Tick,
}

/// Kind, namespace and name of an object.
pub(crate) type ObjectKey = (Kind, String, String);

/// Why a write to the API server failed, as far as it decides what happens next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// 409 on create: an object of that name is there.
    #[error("already exists")]
    AlreadyExists,
    /// 409 on a write with a precondition: the object changed or has another uid.
    #[error("conflict: {0}")]
    Conflict(String),
    /// 404.
    #[error("not found")]
    NotFound,
    /// 400, 403, 422: the same request will be refused again.
    #[error("refused by the API server: {0}")]
    Refused(String),
    /// The API server is away, overloaded, or the outcome is unknown.
    #[error("the API server did not answer: {0}")]
    Unavailable(String),
}

/// One write to the API server.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// Comes back in [`Event::WriteDone`].
    pub id: u64,
    /// The kind of object.
    pub kind: Kind,
    /// Namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// For [`Verb::Delete`]: only an object with this uid. `None` means any.
    pub uid: Option<String>,
    /// What is done.
    pub verb: Verb,
}

/// A Kubernetes Event for the user (invariant 10). The program adds the involved object's API version
/// and its own name, and aggregates nothing: the engine says each thing once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The object it is about.
    pub kind: Kind,
    /// Namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// The object's uid, so that `kubectl describe` finds the Event.
    pub uid: String,
    /// `Warning` rather than `Normal`.
    pub warning: bool,
    /// CamelCase reason.
    pub reason: Reason,
    /// What is wrong and what the user can do.
    pub message: String,
}

/// What the program is to do.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Write to the API server. Many may be under way at once; never two for one object.
    Write(Write),
    /// Commit to the NB. Never more than one under way.
    Commit {
        /// Comes back in [`Event::CommitDone`].
        id: u64,
        /// The transaction, fence included.
        txn: Txn,
    },
    /// Post a Kubernetes Event.
    Notify(Notice),
    /// Write one log line, beside what the program logs itself.
    Log {
        /// A warning rather than information.
        warning: bool,
        /// The line.
        message: String,
    },
    /// Give the lease up: the database refused our epoch, or the replica stayed stale too long
    /// (invariants 6 and 7).
    Resign {
        /// Why, for the log.
        reason: String,
    },
}
