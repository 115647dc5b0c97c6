//! What becomes of writes to the API server and of transactions: they are lost, late, repeated, refused, or done.

use tombolo_engine::{Event, Verb, Write, WriteError};
use tombolo_ovsdb::{Txn, TxnError, TxnErrorKind, TxnReply};

use super::{Committed, Message, Sim, Wire, Written};
use crate::api;
use crate::fault::Fault;
use crate::guard;
use crate::mutant::Mutant;

/// A write that its sender has given up is done at most so much later.
const LATE: u64 = 5_000;

impl Sim {
    pub(super) fn write(&mut self, number: usize, life: u64, write: Write) {
        let (id, kind) = (write.id, write.kind);
        let result = if self.strikes(self.knobs.api_lost, Fault::WriteLost) {
            Err(WriteError::Unavailable("connection refused".to_owned()))
        } else if self.strikes(self.knobs.api_late, Fault::WriteLate) {
            let at = self.now + self.rng.below(LATE);
            self.post(at, Message::Late(number, write));
            Err(WriteError::Unavailable("timed out".to_owned()))
        } else if matches!(write.verb, Verb::MergePatch { .. })
            && self.strikes(self.knobs.api_conflict, Fault::WriteConflict)
        {
            Err(WriteError::Conflict("the object has been modified".to_owned()))
        } else {
            if self.strikes(self.knobs.api_repeated, Fault::WriteRepeated) {
                // The first answer is lost, and a proxy on the way tries again: the sender gets the second answer.
                let _ = self.do_write(number, write.clone());
            }
            let done = self.do_write(number, write);
            if self.strikes(self.knobs.api_answer_lost, Fault::WriteAnswerLost) {
                Err(WriteError::Unavailable("connection reset".to_owned()))
            } else {
                done.and_then(|object| {
                    let decoded = object.map(|object| api::decode(kind, &object)).transpose();
                    decoded.map_err(|invalid| {
                        WriteError::Unavailable(format!("unreadable answer: {}", invalid.1))
                    })
                })
            }
        };
        let at = self.arrival(None) + self.knobs.answers_later;
        self.post(at, Message::Event(number, life, Box::new(Event::WriteDone { id, result })));
    }

    /// Does a write, even if its sender no longer waits for the answer.
    pub(super) fn do_write(
        &mut self,
        number: usize,
        write: Write,
    ) -> Result<Option<serde_json::Value>, WriteError> {
        let lies = self.mutant == Some(Mutant::SaysGone) && write.verb == Verb::Read;
        let done = if lies { Err(WriteError::NotFound) } else { self.user(|api| api.write(&write)) };
        let error = done.as_ref().err().cloned();
        self.tell(|| {
            let verb = match &write.verb {
                Verb::Create(_) => "creates",
                Verb::MergePatch { .. } => "patches",
                Verb::Delete => "deletes",
                Verb::Read => "reads",
            };
            format!(
                "controller {number} {verb} {:?} {} {}: {error:?}",
                write.kind, write.namespace, write.name
            )
        });
        self.writes.push(Written { at: self.now, controller: number, write, error });
        done
    }

    pub(super) fn commit(&mut self, number: usize, life: u64, id: u64, txn: Txn) {
        let lost = self.strikes(self.knobs.nb_lost, Fault::TxnLost);
        let alive = self.controllers[number].life == life;
        let result = if lost || (alive && !self.controllers[number].nb_connected) {
            Err(failed(TxnErrorKind::NotConnected, "no connection"))
        } else {
            let (answer, asked) = self.execute_txn(number, life, txn);
            let result = asked.read_reply(&answer);
            if self.strikes(self.knobs.nb_answer_lost, Fault::TxnAnswerLost) {
                Err(failed(TxnErrorKind::UnknownOutcome, "the connection was lost"))
            } else {
                result
            }
        };
        // The database sends the update before the reply, over the same connection.
        let at = self.arrival(Some((number, Wire::Nb)));
        self.post(at, Message::Event(number, life, Box::new(Event::CommitDone { id, result })));
    }

    /// Executes a transaction in the database, checks it, and publishes its changes to all monitors. Returns the answer
    /// in a server's words, and the transaction that it answers.
    pub(super) fn execute_txn(&mut self, number: usize, life: u64, asked: Txn) -> (serde_json::Value, Txn) {
        let txn = match self.mutant {
            Some(mutant) => mutant.transaction(&asked),
            None => asked.clone(),
        };
        if self.mutant == Some(Mutant::SaysCommitted) && !txn.comment.starts_with("epoch") {
            return (Mutant::lie(&asked), asked);
        }
        let before = self.nb.clone();
        let (mut answer, changes) = self.nb.transact(&txn.all_ops());
        let result: Result<TxnReply, TxnError> = txn.read_reply(&answer);
        self.tell(|| {
            let all: Vec<_> = changes.iter().map(|(table, uuid, _)| (table, uuid)).collect();
            let error = result.as_ref().err();
            format!("controller {number} commits {:?} {error:?}: {all:?}", txn.comment)
        });
        let cluster = &self.config.cluster;
        self.epochs.check(cluster, (number, life), &txn, before.rows(), self.nb.rows(), &changes);
        self.guard.check_commit(self.nb.rows(), &changes);
        guard::check_addresses(cluster, self.nb.rows(), &self.api, &changes);
        guard::check_standing(cluster, before.rows(), self.nb.rows(), &changes);
        guard::check_living(cluster, before.rows(), &self.api, &changes);
        if let Err(error) = &result
            && error.kind == TxnErrorKind::PreconditionFailed
            && matches!(error.at, Some(tombolo_ovsdb::txn::OpIndex::Precondition(0)))
            && txn.comment.starts_with("tombolo")
        {
            self.hits.hit(Fault::Fenced);
        }
        // Guards that were dropped are as if they had held.
        if let (Some(list), true) = (answer.as_array_mut(), self.mutant.is_some()) {
            for _ in txn.preconditions.len()..asked.preconditions.len() {
                list.insert(0, serde_json::json!({}));
            }
        }
        self.commits.push(Committed { at: self.now, controller: number, txn, result });
        self.publish(&changes);
        (answer, asked)
    }

    /// Whether a kind of trouble strikes now, that does so in `chance` of a thousand cases.
    pub(super) fn strikes(&mut self, chance: u64, fault: Fault) -> bool {
        let strikes = self.rng.permille(chance);
        if strikes {
            self.hits.hit(fault);
        }
        strikes
    }
}

pub(super) fn failed(kind: TxnErrorKind, message: &str) -> TxnError {
    TxnError { kind, at: None, message: message.to_owned() }
}
