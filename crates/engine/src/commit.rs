//! Transactions: what goes into one, and what becomes of it.

use tombolo_diff::Group;
use tombolo_names::Reason;
use tombolo_ovsdb::{Op, Retry, Txn, TxnError, TxnErrorKind, TxnReply};
use tombolo_plan::{Owner, Problem};

use crate::io::{Effect, Millis};
use crate::{Engine, Lead, PAUSE, fence};

/// Operations in one transaction, at most: a big entry blocks a RAFT server.
const MAX_OPS: usize = 500;

/// The transaction under way.
#[derive(Clone, Debug)]
pub(crate) enum Commit {
    /// Takes the epoch.
    Epoch { id: u64 },
    /// Rows of these owners.
    Rows { id: u64, owners: Vec<Owner> },
}

/// What goes into the next transaction.
#[derive(Default)]
pub(crate) struct Batch {
    owners: Vec<Owner>,
    preconditions: Vec<Op>,
    ops: Vec<Op>,
}

impl Batch {
    pub(crate) fn is_full(&self) -> bool {
        self.ops.len() + self.preconditions.len() >= MAX_OPS
    }

    pub(crate) fn push(&mut self, group: Group) {
        self.owners.push(group.owner);
        for guard in group.preconditions {
            // Many owners hang on one parent; once is enough.
            if !self.preconditions.contains(&guard) {
                self.preconditions.push(guard);
            }
        }
        self.ops.extend(group.ops);
    }
}

impl Engine {
    pub(crate) fn send(&mut self, batch: Batch) {
        let Lead::Leading(epoch) = self.lead else { return };
        if batch.ops.is_empty() {
            return;
        }
        let mut txn = Txn::new(batch.ops).require(fence::precondition(&self.world.config().cluster, epoch));
        txn.preconditions.extend(batch.preconditions);
        let first = batch.owners.first().map(ToString::to_string).unwrap_or_default();
        let cluster = &self.world.config().cluster;
        let more = batch.owners.len() - 1;
        let txn = txn.comment(format!("tombolo {epoch} of {cluster}: {first} and {more} more"));
        for owner in &batch.owners {
            self.reign.work.state(owner).committing = true;
        }
        let id = self.id();
        self.commit = Some(Commit::Rows { id, owners: batch.owners });
        self.out.push(Effect::Commit { id, txn });
    }

    pub(crate) fn take_epoch(&mut self) {
        let (txn, epoch) = fence::take(self.world.nb(), &self.world.config().cluster, self.world.epoch());
        let id = self.id();
        self.lead = Lead::Taking(epoch);
        self.commit = Some(Commit::Epoch { id });
        self.out.push(Effect::Commit { id, txn });
    }

    pub(crate) fn commit_done(&mut self, now: Millis, id: u64, result: Result<TxnReply, TxnError>) {
        let Some(commit) = self.commit.take_if(|commit| match commit {
            Commit::Epoch { id: ours } | Commit::Rows { id: ours, .. } => *ours == id,
        }) else {
            return;
        };
        match commit {
            Commit::Epoch { .. } => match (&self.lead, result) {
                (Lead::Taking(epoch), Ok(_)) => self.lead_with(*epoch),
                (Lead::Taking(_), Err(error)) => {
                    // Another controller took one, or the database is away: try again from the replica as it is.
                    self.lead = Lead::Held(now + PAUSE);
                    self.log(true, format!("taking the epoch failed and is tried again: {error}"));
                }
                _ => {}
            },
            Commit::Rows { owners, .. } => {
                for owner in &owners {
                    self.reign.work.state(owner).committing = false;
                }
                if matches!(self.lead, Lead::Leading(_)) {
                    self.rows_done(now, owners, result);
                }
            }
        }
    }

    pub(crate) fn rows_done(&mut self, now: Millis, owners: Vec<Owner>, result: Result<TxnReply, TxnError>) {
        let error = match result {
            Ok(_) => {
                self.stats.commits += 1;
                self.stats.committed_owners += owners.len() as u64;
                for owner in &owners {
                    self.stats.restored += u64::from(self.reign.contention.done(owner, now));
                    self.reign.work.state(owner).succeeded();
                    self.reign.work.add(owner.clone());
                    self.reign.work.settle(owner);
                }
                return;
            }
            Err(error) => error,
        };
        self.stats.failed_commit(error.kind.as_str());
        owners.iter().for_each(|owner| self.reign.contention.failed(owner));
        let fenced = error.kind == TxnErrorKind::PreconditionFailed
            && matches!(error.at, Some(tombolo_ovsdb::txn::OpIndex::Precondition(0)));
        if fenced {
            self.resign(&format!("the database refused our epoch: {error}"));
            return;
        }
        match error.retry() {
            Retry::Split if owners.len() > 1 => {
                // One object must not stop the others: halves, until the culprit stands alone.
                let (left, right) = owners.split_at(owners.len() / 2);
                for part in [right, left] {
                    self.reign.parts.push_front(part.iter().cloned().collect());
                }
            }
            Retry::Split => {
                for owner in &owners {
                    self.quarantine(now, owner, &error.to_string());
                }
            }
            Retry::Replan | Retry::WhenConnected => {
                for owner in &owners {
                    self.reign.work.back_off(owner, now, PAUSE);
                }
            }
        }
        for owner in &owners {
            self.reign.work.settle(owner);
        }
    }

    pub(crate) fn quarantine(&mut self, now: Millis, owner: &Owner, why: &str) {
        self.stats.quarantined += 1;
        let problem = Problem {
            reason: Reason::RefusedByOvn,
            message: format!("OVN's northbound database refuses the rows of {owner}: {why}"),
        };
        self.tell(owner, std::slice::from_ref(&problem));
        self.report_refusal(now, owner, &problem);
        self.reign.work.state(owner).refused = Some(problem);
        self.reign.work.back_off(owner, now, 1_000);
    }
}

#[cfg(test)]
mod tests {
    use tombolo_ovsdb::Uuid;

    use super::*;

    fn group(preconditions: &[u128], ops: usize) -> Group {
        let preconditions =
            preconditions.iter().map(|it| Op::require_row("Logical_Switch", Uuid::from_u128(*it))).collect();
        let ops = vec![Op::delete("Logical_Switch", Uuid::from_u128(9)); ops];
        Group { owner: Owner::pod("n", "p"), preconditions, ops, deletes: 0, awaited: Default::default() }
    }

    #[test]
    fn what_many_hang_on_is_guarded_once() {
        let mut batch = Batch::default();
        for _ in 0..3 {
            batch.push(group(&[1, 2], 1));
        }
        assert_eq!((batch.preconditions.len(), batch.ops.len(), batch.owners.len()), (2, 3, 3));
    }

    #[test]
    fn guards_fill_a_transaction_as_operations_do() {
        let mut batch = Batch::default();
        batch.push(group(&[1, 2], MAX_OPS - 3));
        assert!(!batch.is_full());
        batch.push(group(&[3], 0));
        assert!(batch.is_full());
    }
}
