//! The NB: one client, its changes in order to the engine, one transaction at a time back.
//!
//! Decides the order in which the engine learns of a commit and of its rows, and when the log reports an NB that
//! is away. The protocol is `tombolo_ovsdb`'s business.

use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::FutureExt;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tombolo_diff::foreign;
use tombolo_engine::{Event, NbEvent};
use tombolo_ovn::nb;
use tombolo_ovsdb::driver::{Changes, Client, Endpoints, Status, Update};
use tombolo_ovsdb::session::Backoff;
use tombolo_ovsdb::{IndexSpec, Txn, TxnError, TxnReply, Wanted};
use tombolo_plan::owner::ClusterId;
use tracing::{error, info};

use crate::flags::Flags;
use crate::metrics::Metrics;
use tombolo_client::{Away, GRACE};

/// Begins the comment of each transaction, so that the database's log names its author.
const SIGNATURE: &str = tombolo_names::workloads::CONTROLLER_SIGNATURE;
/// How often the warning is repeated.
const REMIND: Duration = Duration::from_secs(60);

/// Starts connecting.
pub fn connect(flags: &Flags, wanted: Wanted, indexes: Vec<IndexSpec>) -> Result<Client> {
    let endpoints: Endpoints = flags.nb.join(",").parse().context("reading --ovn-nb-addr")?;
    let mut config = (flags.acting.databases.client(endpoints, nb::DATABASE, wanted))
        .signed(SIGNATURE)
        .leader_only(true)
        // An election takes about a second: look again often enough not to add to it.
        .backoff(Backoff { cap: Duration::from_secs(2), ..Backoff::default() });
    config.session.indexes = indexes;
    Client::connect(config).context("setting up the connection to the NB")
}

/// A transaction and its number.
#[derive(Debug)]
pub struct Commit {
    /// Comes back in [`Event::CommitDone`].
    pub id: u64,
    /// Its operations.
    pub txn: Txn,
}

type Answer = (u64, Result<TxnReply, TxnError>);

/// Passes changes and answers to the engine until `stop` is cancelled. Each commit is given up after
/// `deadline`, with an unknown outcome if it was sent.
pub async fn run(
    client: Client,
    cluster: ClusterId,
    deadline: Duration,
    metrics: Metrics,
    mut commits: mpsc::Receiver<Commit>,
    to: mpsc::Sender<Event>,
    stop: CancellationToken,
) {
    let mut nb = Nb {
        changes: client.changes(),
        to,
        fresh: false,
        unseen: true,
        away: Away::new(
            "the NB database",
            "pods keep their network; nothing new is done until it answers",
            Duration::ZERO,
        ),
        speak_at: Some(Instant::now() + GRACE),
    };
    let mut status = client.watch_status();
    let mut under_way: Option<Pin<Box<dyn Future<Output = Answer> + Send>>> = None;
    loop {
        let speak_at = nb.speak_at;
        tokio::select! {
            // In this order, so that changes are taken before the answer that follows them.
            biased;
            () = stop.cancelled() => return,
            update = nb.changes.recv() => {
                let Some(update) = update else { return };
                if !nb.forward(update).await {
                    return;
                }
            }
            (id, result) = async { under_way.as_mut().expect("invariant: guarded by the condition").await },
                if under_way.is_some() =>
            {
                under_way = None;
                // The transaction's changes are already queued: the engine must see them before the answer.
                while let Some(Some(update)) = nb.changes.recv().now_or_never() {
                    if !nb.forward(update).await {
                        return;
                    }
                }
                if nb.to.send(Event::CommitDone { id, result }).await.is_err() {
                    return;
                }
            }
            commit = commits.recv(), if under_way.is_none() => {
                let Some(Commit { id, txn }) = commit else { return };
                look_after(&cluster, &client, &metrics, &txn);
                let (client, metrics) = (client.clone(), metrics.clone());
                under_way = Some(Box::pin(async move {
                    let started = Instant::now();
                    let result = client.transact(txn, deadline).await;
                    metrics.transaction(&result, started.elapsed());
                    (id, result)
                }));
            }
            changed = status.changed() => {
                if changed.is_err() {
                    return;
                }
                let status = status.borrow_and_update().clone();
                metrics.nb(&status);
                nb.look(&status);
            }
            () = sleep_until(speak_at) => {
                nb.away.gone(&describe(&status.borrow()));
                nb.speak_at = Some(Instant::now() + REMIND);
            }
        }
    }
}

/// Counts what must not be (invariant 1), by a look of its own at what is sent.
fn look_after(cluster: &ClusterId, client: &Client, metrics: &Metrics, txn: &Txn) {
    for touched in foreign::touched(cluster, &client.snapshot().replica, &txn.ops) {
        error!(comment = txn.comment, "a transaction touches what isn't ours: {touched}");
        metrics.foreign_touched();
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn describe(status: &Status) -> String {
    match (status.endpoint.is_empty(), status.last_error.is_empty()) {
        (true, _) => "no attempt has ended yet".to_owned(),
        (false, true) => format!("{}: no answer", status.endpoint),
        (false, false) => format!("{}: {}", status.endpoint, status.last_error),
    }
}

struct Nb {
    changes: Changes,
    to: mpsc::Sender<Event>,
    /// The last state that the engine knows.
    fresh: bool,
    /// The replica was built anew, and the engine doesn't have that one yet.
    unseen: bool,
    away: Away,
    /// When the log reports an NB that is away; `None` while it isn't.
    speak_at: Option<Instant>,
}

impl Nb {
    /// Sends to the engine. False when it is gone.
    async fn forward(&mut self, update: Update) -> bool {
        let Update { snapshot, changes, resynced } = update;
        let mut events = Vec::with_capacity(2);
        // A replica that was built anew counts once it is complete; until then the engine keeps the old one, as
        // stale, and changes to one that it never saw mean nothing to it.
        self.unseen |= resynced;
        if self.unseen && snapshot.fresh {
            self.unseen = false;
            events.push(NbEvent::Replaced(snapshot.replica));
        } else if !self.unseen && !changes.is_empty() {
            events.push(NbEvent::Changed { replica: snapshot.replica, changes });
        }
        if snapshot.fresh != self.fresh {
            self.fresh = snapshot.fresh;
            events.push(if snapshot.fresh { NbEvent::Fresh } else { NbEvent::Stale });
        }
        for event in events {
            if self.to.send(Event::Nb(event)).await.is_err() {
                return false;
            }
        }
        true
    }

    fn look(&mut self, status: &Status) {
        if status.fresh {
            if self.speak_at.take().is_some() && !self.away.is_away() {
                info!(endpoint = status.endpoint, "following the NB");
            }
            self.away.back();
        } else if self.speak_at.is_none() {
            self.speak_at = Some(Instant::now() + GRACE);
        }
    }
}
