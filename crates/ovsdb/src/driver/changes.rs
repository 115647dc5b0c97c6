//! Changes to subscribers: coalesced, so a slow one costs memory in proportion to the rows, not to time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{Notify, watch};

use super::Snapshot;
use crate::replica::{ChangeSet, Replica};

/// What happened since the last update: `changes` lead exactly from its snapshot to this one.
#[derive(Clone, Debug)]
pub struct Update {
    /// The replica after the changes, and whether it is fresh.
    pub snapshot: Snapshot,
    /// The rows that changed; empty if only freshness did.
    pub changes: ChangeSet,
    /// The replica was built anew in between: changes in it may have come in any order.
    pub resynced: bool,
}

/// A subscription.
#[derive(Debug)]
pub struct Changes {
    queue: Arc<Queue>,
}

#[derive(Debug)]
struct Queue {
    pending: Mutex<Pending>,
    notify: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    update: Option<Update>,
    ended: bool,
}

impl Changes {
    /// The next update; waits for one. `None` once the client is gone. Cancel safe.
    pub async fn recv(&mut self) -> Option<Update> {
        loop {
            {
                let mut pending = lock(&self.queue.pending);
                if let Some(update) = pending.update.take() {
                    return Some(update);
                }
                if pending.ended {
                    return None;
                }
            }
            self.queue.notify.notified().await;
        }
    }
}

/// Those who subscribed.
#[derive(Debug, Default)]
pub(super) struct Hub {
    queues: Mutex<Vec<Weak<Queue>>>,
}

impl Hub {
    pub(super) fn subscribe(&self, snapshots: &watch::Receiver<Snapshot>) -> Changes {
        // Under the lock, so that no update falls between the snapshot and the subscription.
        let mut queues = lock(&self.queues);
        let snapshot = snapshots.borrow().clone();
        let mut replica = snapshot.replica.clone();
        let changes = Replica::default().changes_to(&mut replica);
        let update = Update { snapshot, changes, resynced: true };
        let queue = Arc::new(Queue {
            pending: Mutex::new(Pending { update: Some(update), ended: false }),
            notify: Notify::new(),
        });
        queues.push(Arc::downgrade(&queue));
        Changes { queue }
    }

    /// Publishes a snapshot and notifies the subscribers of the changes that led to it.
    pub(super) fn publish(&self, sender: &watch::Sender<Snapshot>, update: &Update) {
        let mut queues = lock(&self.queues);
        sender.send_replace(update.snapshot.clone());
        queues.retain(|queue| {
            let Some(queue) = queue.upgrade() else { return false };
            let mut pending = lock(&queue.pending);
            match &mut pending.update {
                Some(before) => {
                    before.changes.merge(update.changes.clone());
                    before.snapshot = update.snapshot.clone();
                    before.resynced |= update.resynced;
                }
                None => pending.update = Some(update.clone()),
            }
            drop(pending);
            queue.notify.notify_one();
            true
        });
    }

    /// No more will come.
    pub(super) fn end(&self) {
        for queue in lock(&self.queues).drain(..).filter_map(|queue| queue.upgrade()) {
            lock(&queue.pending).ended = true;
            queue.notify.notify_one();
        }
    }
}

/// A panic while one of these is held would have to come from the allocator: the content is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
