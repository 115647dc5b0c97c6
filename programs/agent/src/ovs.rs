//! The node's Open vSwitch database: one replica (invariant 6), and writes that are planned on it.
//!
//! Decides how writes are sent: those that come while one is in flight share the next transaction; one that the
//! server refuses is tried alone, so that a bad one stops no other (invariant 8).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tombolo_ovn::vswitch;
use tombolo_ovsdb::{
    Client, ClientConfig, ClientError, Endpoints, Op, Replica, Retry, Snapshot, Txn, TxnError, TxnErrorKind,
};

use crate::ports::{self, PlanError};

/// Begins the comment of each transaction, so that the database's log names its author.
const SIGNATURE: &str = tombolo_names::workloads::AGENT_SIGNATURE;
/// How long one transaction may take.
const TRANSACTION: Duration = Duration::from_secs(10);
/// How many writes share a transaction at most: a node has some hundred pods, and ovs-vswitchd takes them as one
/// reconfiguration.
const BATCH: usize = 64;

/// Why a write or a wait failed.
#[derive(Debug, thiserror::Error)]
pub enum OvsError {
    /// No fresh replica within the time given.
    #[error("Open vSwitch's database on this node can't be reached ({0}): is ovsdb-server running?")]
    NotConnected(String),
    /// It can't be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The server refused it.
    #[error("writing to Open vSwitch's database: {0}")]
    Refused(#[source] TxnError),
    /// The awaited state did not come in time.
    #[error("{0}")]
    Deadline(String),
    /// The agent is going down.
    #[error("the agent is stopping")]
    Stopping,
}

type Plan = Box<dyn FnMut(&Replica, &str) -> Result<Vec<Op>, PlanError> + Send>;

struct Job {
    /// Two jobs with a key in common don't share a transaction: the second is planned on the first one's
    /// outcome.
    keys: Vec<String>,
    plan: Plan,
    deadline: Instant,
    done: oneshot::Sender<Result<(), OvsError>>,
}

/// The database, for all of the agent. Goes with its last clone.
#[derive(Debug)]
pub struct Ovs {
    client: Client,
    view: watch::Receiver<Snapshot>,
    jobs: mpsc::UnboundedSender<Job>,
    _writer: AbortOnDropHandle<()>,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Job({})", self.keys.join(" "))
    }
}

impl Ovs {
    /// Starts connecting to `endpoints` (`unix:/run/openvswitch/db.sock`); returns at once.
    pub fn connect(endpoints: Endpoints) -> Result<Self, ClientError> {
        let mut config = ClientConfig::new(endpoints, vswitch::DATABASE, ports::wanted()).signed(SIGNATURE);
        for index in ports::INDEXES {
            config = config.index(*index);
        }
        let client = Client::connect(config)?;
        let view = client.watch();
        let (jobs, queue) = mpsc::unbounded_channel();
        let writer = AbortOnDropHandle::new(tokio::spawn(write(client.clone(), view.clone(), queue)));
        Ok(Self { client, view, jobs, _writer: writer })
    }

    /// The replica as it is; maybe stale.
    pub fn snapshot(&self) -> Snapshot {
        self.view.borrow().clone()
    }

    /// The replica as it changes.
    pub fn view(&self) -> watch::Receiver<Snapshot> {
        self.view.clone()
    }

    /// How the connection is, in words.
    pub fn status(&self) -> String {
        let status = self.client.status();
        if status.last_error.is_empty() {
            status.endpoint
        } else {
            format!("{}: {}", status.endpoint, status.last_error)
        }
    }

    /// The replica once it is fresh.
    pub async fn fresh(&self, deadline: Instant) -> Result<Replica, OvsError> {
        self.wait(deadline, |replica| Some(replica.clone()), || "it has not answered in time".to_owned())
            .await
    }

    /// Waits until `look` finds its object in a fresh replica; `missing` words the error at the deadline.
    pub async fn wait<T>(
        &self,
        deadline: Instant,
        mut look: impl FnMut(&Replica) -> Option<T>,
        missing: impl Fn() -> String,
    ) -> Result<T, OvsError> {
        let mut view = self.view.clone();
        loop {
            let fresh = {
                let snapshot = view.borrow_and_update();
                if snapshot.fresh
                    && let Some(found) = look(&snapshot.replica)
                {
                    return Ok(found);
                }
                snapshot.fresh
            };
            match tokio::time::timeout_at(deadline, view.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(OvsError::Stopping),
                Err(_) if fresh => return Err(OvsError::Deadline(missing())),
                Err(_) => return Err(OvsError::NotConnected(self.status())),
            }
        }
    }

    /// Plans on a fresh replica and commits, until `deadline`. `keys` name its objects: of two with a key in
    /// common the second is planned on the outcome of the first. The plan may be asked again when the outcome of an
    /// attempt is unknown, on a replica that shows it; so it must cope with its own rows being there. The second
    /// argument makes names of new rows unique. When this returns, the replica shows the outcome.
    pub async fn apply(
        &self,
        keys: impl Into<Vec<String>>,
        deadline: Instant,
        plan: impl FnMut(&Replica, &str) -> Result<Vec<Op>, PlanError> + Send + 'static,
    ) -> Result<(), OvsError> {
        let (done, answer) = oneshot::channel();
        let job = Job { keys: keys.into(), plan: Box::new(plan), deadline, done };
        self.jobs.send(job).map_err(|_| OvsError::Stopping)?;
        answer.await.map_err(|_| OvsError::Stopping)?
    }
}

/// Takes jobs as they come and commits them, one transaction in flight.
async fn write(client: Client, mut view: watch::Receiver<Snapshot>, mut queue: mpsc::UnboundedReceiver<Job>) {
    let mut waiting: Vec<Job> = Vec::new();
    loop {
        if waiting.is_empty() {
            let Some(job) = queue.recv().await else { return };
            waiting.push(job);
        }
        while let Ok(job) = queue.try_recv() {
            waiting.push(job);
        }
        if !until_fresh(&client, &mut view, &mut waiting).await {
            return;
        }
        let mut batch = take_batch(&mut waiting);
        match commit(&client, &mut batch).await {
            Ok(()) => {
                for job in batch {
                    let _ = job.done.send(Ok(()));
                }
            }
            Err(error) => match error.retry() {
                // They go first in the next round, planned anew.
                Retry::Replan | Retry::WhenConnected => {
                    tracing::debug!(%error, jobs = batch.len(), "planning again");
                    batch.append(&mut waiting);
                    waiting = batch;
                    // The same view would give the same plan: wait until it shows more, but not for ever, in case
                    // it has shown it already.
                    let _ = tokio::time::timeout(Duration::from_secs(1), view.changed()).await;
                }
                Retry::Split => {
                    for job in batch {
                        alone(&client, job).await;
                    }
                }
            },
        }
    }
}

/// Waits for a fresh replica, giving up jobs whose time is over. `false` when there will be none.
async fn until_fresh(client: &Client, view: &mut watch::Receiver<Snapshot>, waiting: &mut Vec<Job>) -> bool {
    loop {
        let now = Instant::now();
        let late = |job: &mut Job| job.deadline <= now;
        for job in waiting.extract_if(.., late) {
            let status = client.status();
            let _ = job
                .done
                .send(Err(OvsError::NotConnected(format!("{}: {}", status.endpoint, status.last_error))));
        }
        let Some(first) = waiting.iter().map(|j| j.deadline).min() else { return true };
        if view.borrow_and_update().fresh {
            return true;
        }
        if let Ok(Err(_)) = tokio::time::timeout_at(first, view.changed()).await {
            return false;
        }
    }
}

/// Takes up to [`BATCH`] jobs without a key in common, in the order they came for each key. Jobs without a waiting
/// request are dropped.
fn take_batch(waiting: &mut Vec<Job>) -> Vec<Job> {
    let (mut batch, mut later, mut keys) = (Vec::new(), Vec::new(), BTreeSet::new());
    for job in waiting.drain(..).filter(|j| !j.done.is_closed()) {
        let free = batch.len() < BATCH && job.keys.iter().all(|k| !keys.contains(k));
        keys.extend(job.keys.iter().cloned());
        if free { &mut batch } else { &mut later }.push(job);
    }
    *waiting = later;
    batch
}

static TAG: AtomicU64 = AtomicU64::new(0);

/// Plans the jobs and commits them together. Jobs that can't be planned, or have nothing to write, are answered and
/// taken out of the batch.
async fn commit(client: &Client, batch: &mut Vec<Job>) -> Result<(), TxnError> {
    let Snapshot { replica, fresh, .. } = client.snapshot();
    if !fresh {
        let message = "the connection was lost before planning".to_owned();
        return Err(TxnError { kind: TxnErrorKind::NotConnected, at: None, message });
    }
    let (mut ops, mut kept) = (Vec::new(), Vec::new());
    for mut job in batch.drain(..) {
        let tag = TAG.fetch_add(1, Ordering::Relaxed).to_string();
        match (job.plan)(&replica, &tag) {
            Ok(planned) if planned.is_empty() => {
                let _ = job.done.send(Ok(()));
            }
            Ok(planned) => {
                ops.extend(planned);
                kept.push(job);
            }
            Err(e) => {
                let _ = job.done.send(Err(e.into()));
            }
        }
    }
    *batch = kept;
    if ops.is_empty() {
        return Ok(());
    }
    let keys: Vec<&str> = batch.iter().filter_map(|j| j.keys.first()).map(String::as_str).collect();
    client.transact(Txn::new(ops).comment(keys.join(" ")), TRANSACTION).await.map(|_| ())
}

/// Commits a job of a batch that was refused.
async fn alone(client: &Client, job: Job) {
    let mut single = vec![job];
    let result = commit(client, &mut single).await;
    if let Some(job) = single.pop() {
        let _ = job.done.send(result.map_err(OvsError::Refused));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(keys: &[&str]) -> (Job, oneshot::Receiver<Result<(), OvsError>>) {
        let (done, answer) = oneshot::channel();
        let keys = keys.iter().map(|k| (*k).to_owned()).collect();
        (Job { keys, plan: Box::new(|_, _| Ok(Vec::new())), deadline: Instant::now(), done }, answer)
    }

    #[tokio::test]
    async fn a_batch_keeps_the_order_of_each_key() {
        let (jobs, answers): (Vec<_>, Vec<_>) =
            [&["a"][..], &["a", "b"], &["b"], &["c"]].into_iter().map(job).unzip();
        let mut waiting = jobs;
        let keys = |jobs: &[Job]| jobs.iter().map(|j| j.keys.join("")).collect::<Vec<_>>();
        let first = take_batch(&mut waiting);
        assert_eq!(keys(&first), ["a", "c"], "b must not overtake the one that waits for a");
        assert_eq!(keys(&take_batch(&mut waiting)), ["ab"]);
        assert_eq!(keys(&take_batch(&mut waiting)), ["b"]);
        drop(answers);
        let mut given_up = vec![job(&["a"]).0];
        assert!(take_batch(&mut given_up).is_empty(), "its request is gone");
    }
}
