//! Transactions: preconditions, operations, and typed reading of the answer.
//!
//! Decides what counts as success. An answer has one element for each operation; an error found at
//! commit is an extra element; after a failed operation the rest is null; a count of 0 on an update,
//! mutate or delete is an error too (invariant 8). Whether and how to try again is a property of the
//! error: [`TxnError::retry`]. Doesn't decide when to send: that is [`crate::session`].

use serde_json::Value;

use crate::ops::{self, Op};
use crate::value::{Datum, Uuid};

/// Begins the comment of a transaction whose program gave the client no name: none is anonymous.
pub const UNNAMED: &str = "tombolo-ovsdb";

/// A transaction as a value: planned, printed, compared and sent as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// Waits and asserts; they come first. If one fails nothing is written.
    pub preconditions: Vec<Op>,
    /// The writes.
    pub ops: Vec<Op>,
    /// Goes into the database's log with the transaction; empty for none.
    pub comment: String,
}

impl Txn {
    /// A transaction of these operations.
    pub fn new(ops: impl Into<Vec<Op>>) -> Txn {
        Txn { preconditions: Vec::new(), ops: ops.into(), comment: String::new() }
    }

    /// Adds a precondition.
    #[must_use]
    pub fn require(mut self, op: Op) -> Txn {
        self.preconditions.push(op);
        self
    }

    /// Sets the comment.
    #[must_use]
    pub fn comment(mut self, text: impl Into<String>) -> Txn {
        self.comment = text.into();
        self
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// The operations in the order sent: preconditions, writes, comment.
    pub fn all_ops(&self) -> Vec<Op> {
        let mut all = self.preconditions.clone();
        all.extend_from_slice(&self.ops);
        if !self.comment.is_empty() {
            all.push(Op::Comment(self.comment.clone()));
        }
        all
    }

    /// Reads the `result` of the answer.
    pub fn read_reply(&self, result: &Value) -> Result<TxnReply, TxnError> {
        let elements = result.as_array().ok_or_else(|| {
            TxnError::of(TxnErrorKind::Protocol, format!("the answer to a transaction is no array: {result}"))
        })?;
        let sent = self.preconditions.len() + self.ops.len() + usize::from(!self.comment.is_empty());
        if let Some((index, element)) = elements.iter().enumerate().find(|(_, e)| e.get("error").is_some()) {
            return Err(self.failed(index, sent, element));
        }
        if elements.len() != sent {
            let text = format!("the answer has {} elements for {sent} operations", elements.len());
            return Err(TxnError::of(TxnErrorKind::Protocol, text));
        }
        let ops = &elements[self.preconditions.len()..self.preconditions.len() + self.ops.len()];
        let mut results = Vec::with_capacity(ops.len());
        for (index, (op, element)) in self.ops.iter().zip(ops).enumerate() {
            results.push(self.read_result(index, op, element)?);
        }
        Ok(TxnReply { results })
    }

    fn read_result(&self, index: usize, op: &Op, element: &Value) -> Result<OpResult, TxnError> {
        let bad = || TxnError {
            kind: TxnErrorKind::Protocol,
            at: Some(OpIndex::Op(index)),
            message: format!("unexpected result of {}: {element}", op.name()),
        };
        match op {
            Op::Insert { .. } => {
                let uuid = element.get("uuid").and_then(ops::uuid_of).ok_or_else(bad)?;
                Ok(OpResult::Inserted(uuid))
            }
            Op::Update { table, .. } | Op::Mutate { table, .. } | Op::Delete { table, .. } => {
                let count = element.get("count").and_then(Value::as_u64).ok_or_else(bad)?;
                if count == 0 {
                    return Err(TxnError {
                        kind: TxnErrorKind::NothingMatched,
                        at: Some(OpIndex::Op(index)),
                        message: format!(
                            "{} in {table} matched no row ({:?}); the rest of the transaction was committed",
                            op.name(),
                            op.target()
                        ),
                    });
                }
                Ok(OpResult::Count(count))
            }
            Op::Select { .. } => {
                let rows = element.get("rows").and_then(Value::as_array).ok_or_else(bad)?;
                let mut read = Vec::with_capacity(rows.len());
                for row in rows {
                    let cells = row.as_object().ok_or_else(bad)?;
                    let cells = cells.iter().map(|(column, value)| {
                        let datum: Datum = serde_json::from_value(value.clone()).map_err(|_| bad())?;
                        Ok((crate::name::intern(column), datum))
                    });
                    read.push(cells.collect::<Result<_, TxnError>>()?);
                }
                Ok(OpResult::Rows(read))
            }
            Op::Wait { .. } | Op::Comment(_) | Op::Assert { .. } => Ok(OpResult::Nothing),
        }
    }

    fn failed(&self, index: usize, sent: usize, element: &Value) -> TxnError {
        let text = |key| element.get(key).and_then(Value::as_str).unwrap_or_default();
        let (error, details) = (text("error"), text("details"));
        let at = if index < self.preconditions.len() {
            Some(OpIndex::Precondition(index))
        } else if index < self.preconditions.len() + self.ops.len() {
            Some(OpIndex::Op(index - self.preconditions.len()))
        } else {
            None
        };
        debug_assert!(at.is_some() || index + 1 >= sent, "an error past the operations is the commit's");
        let kind = match error {
            // Only a wait can time out; with timeout 0 it means "the precondition didn't hold".
            "timed out" => TxnErrorKind::PreconditionFailed,
            "duplicate uuid" => TxnErrorKind::DuplicateUuid,
            "constraint violation" | "domain error" | "range error" => TxnErrorKind::ConstraintViolation,
            "referential integrity violation" => TxnErrorKind::ReferentialIntegrity,
            "not owner" => TxnErrorKind::NotOwner,
            "cluster error" if details.contains("not leader") => TxnErrorKind::NotLeader,
            // "lost leadership", "timeout", "shutdown": the entry may yet be committed by the next leader.
            "cluster error" => TxnErrorKind::UnknownOutcome,
            // Said of a database that was being converted or has just left the cluster.
            "canceled" | "database is being converted" => TxnErrorKind::NotConnected,
            _ => TxnErrorKind::Refused,
        };
        let what = match at {
            Some(OpIndex::Precondition(i)) => {
                format!("precondition {i} ({})", describe(&self.preconditions[i]))
            }
            Some(OpIndex::Op(i)) => format!("operation {i} ({})", describe(&self.ops[i])),
            None => "commit".to_owned(),
        };
        let separator = if details.is_empty() { "" } else { ": " };
        TxnError { kind, at, message: format!("{what}: {error}{separator}{details}") }
    }
}

fn describe(op: &Op) -> String {
    match (op.table(), op.target()) {
        (Some(table), Some(uuid)) => format!("{} {table} {uuid}", op.name()),
        (Some(table), None) => format!("{} {table}", op.name()),
        _ => op.name().to_owned(),
    }
}

/// A committed transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnReply {
    /// One for each of [`Txn::ops`].
    pub results: Vec<OpResult>,
}

/// The result of one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResult {
    /// Insert: the row's uuid.
    Inserted(Uuid),
    /// Update, mutate, delete: how many rows, at least 1.
    Count(u64),
    /// Select: the rows.
    Rows(Vec<crate::row::Row>),
    /// Wait, comment, assert.
    Nothing,
}

/// Which operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OpIndex {
    /// Of [`Txn::preconditions`].
    Precondition(usize),
    /// Of [`Txn::ops`].
    Op(usize),
}

/// A transaction that did not commit, or of which that isn't known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("OVSDB transaction: {message}")]
pub struct TxnError {
    /// What kind of failure.
    pub kind: TxnErrorKind,
    /// Which operation, if one is to blame; `None` for the commit as a whole and for the connection.
    pub at: Option<OpIndex>,
    /// In words, with the server's details.
    pub message: String,
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TxnErrorKind {
    /// A precondition (or another wait) didn't hold: the world changed, or we are no longer the leader.
    PreconditionFailed,
    /// An insert of a uuid that the table has already.
    DuplicateUuid,
    /// A value outside its type, or an index with the same value twice.
    ConstraintViolation,
    /// A strong reference to a row that isn't there, or a row deleted that is still referred to.
    ReferentialIntegrity,
    /// An update, mutate or delete matched no row. The other operations *were* committed.
    NothingMatched,
    /// Any other refusal of an operation: a syntax error, an unknown column, a permission.
    Refused,
    /// The server is not the leader of its cluster; nothing was committed.
    NotLeader,
    /// An assert of a lock that isn't held.
    NotOwner,
    /// There is no usable connection; nothing was sent.
    NotConnected,
    /// The deadline passed before anything was sent.
    Deadline,
    /// Sent, and then the connection or the deadline was lost: it may or may not be committed.
    UnknownOutcome,
    /// The answer makes no sense.
    Protocol,
}

impl TxnErrorKind {
    /// A short name for metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            TxnErrorKind::PreconditionFailed => "precondition_failed",
            TxnErrorKind::DuplicateUuid => "duplicate_uuid",
            TxnErrorKind::ConstraintViolation => "constraint_violation",
            TxnErrorKind::ReferentialIntegrity => "referential_integrity",
            TxnErrorKind::NothingMatched => "nothing_matched",
            TxnErrorKind::Refused => "refused",
            TxnErrorKind::NotLeader => "not_leader",
            TxnErrorKind::NotOwner => "not_owner",
            TxnErrorKind::NotConnected => "not_connected",
            TxnErrorKind::Deadline => "deadline",
            TxnErrorKind::UnknownOutcome => "unknown_outcome",
            TxnErrorKind::Protocol => "protocol",
        }
    }
}

/// What to do after a [`TxnError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Retry {
    /// Plan again from the replica as it is once it is fresh; never send the same transaction blindly.
    Replan,
    /// Nothing was written and the content isn't to blame: plan again after the connection is back.
    WhenConnected,
    /// The content is to blame: split the batch until the culprit stands alone.
    Split,
}

impl TxnError {
    pub(crate) fn of(kind: TxnErrorKind, message: impl Into<String>) -> TxnError {
        TxnError { kind, at: None, message: message.into() }
    }

    /// What to do about it.
    pub fn retry(&self) -> Retry {
        match self.kind {
            TxnErrorKind::PreconditionFailed
            | TxnErrorKind::NothingMatched
            | TxnErrorKind::NotOwner
            | TxnErrorKind::UnknownOutcome => Retry::Replan,
            TxnErrorKind::NotLeader | TxnErrorKind::NotConnected | TxnErrorKind::Deadline => {
                Retry::WhenConnected
            }
            TxnErrorKind::DuplicateUuid
            | TxnErrorKind::ConstraintViolation
            | TxnErrorKind::ReferentialIntegrity
            | TxnErrorKind::Refused
            | TxnErrorKind::Protocol => Retry::Split,
        }
    }

    /// Whether anything of the transaction may have been written.
    pub fn may_have_committed(&self) -> bool {
        matches!(
            self.kind,
            TxnErrorKind::UnknownOutcome | TxnErrorKind::NothingMatched | TxnErrorKind::Protocol
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Row;
    use serde_json::json;

    fn txn() -> Txn {
        let uuid = Uuid::from_u128(1);
        Txn::new([
            Op::insert("T", uuid, Row::new()),
            Op::update("T", uuid, Row::new().with("name", Datum::string("x"))),
        ])
        .require(Op::require_row("T", uuid))
        .comment("why")
    }

    #[test]
    fn success() {
        let uuid = Uuid::from_u128(1);
        let reply = json!([{}, {"uuid": ["uuid", uuid]}, {"count": 1}, {}]);
        let results = txn().read_reply(&reply).unwrap().results;
        assert_eq!(results, [OpResult::Inserted(uuid), OpResult::Count(1)]);
    }

    #[test]
    fn a_failed_guard_is_told_from_a_failed_operation() {
        let error = txn().read_reply(&json!([{"error": "timed out"}, null, null, null])).unwrap_err();
        assert_eq!(
            (error.kind, error.at),
            (TxnErrorKind::PreconditionFailed, Some(OpIndex::Precondition(0)))
        );
        assert_eq!(error.retry(), Retry::Replan);
        let error = txn().read_reply(&json!([{}, {"error": "duplicate uuid"}, null, null])).unwrap_err();
        assert_eq!((error.kind, error.at), (TxnErrorKind::DuplicateUuid, Some(OpIndex::Op(0))));
    }

    #[test]
    fn an_error_at_commit_is_an_extra_element() {
        let uuid = ["uuid", "00000000-0000-0000-0000-000000000001"];
        let reply = json!([{}, {"uuid": uuid}, {"count": 1}, {},
            {"error": "referential integrity violation", "details": "Table T"}]);
        let error = txn().read_reply(&reply).unwrap_err();
        assert_eq!((error.kind, error.at), (TxnErrorKind::ReferentialIntegrity, None));
        assert!(error.message.contains("Table T"));
    }

    #[test]
    fn a_count_of_zero_is_an_error() {
        // invariant 8
        let uuid = ["uuid", "00000000-0000-0000-0000-000000000001"];
        let error = txn().read_reply(&json!([{}, {"uuid": uuid}, {"count": 0}, {}])).unwrap_err();
        assert_eq!((error.kind, error.at), (TxnErrorKind::NothingMatched, Some(OpIndex::Op(1))));
        assert!(error.may_have_committed());
    }

    #[test]
    fn too_few_results_are_no_success() {
        let error = txn().read_reply(&json!([{}])).unwrap_err();
        assert_eq!(error.kind, TxnErrorKind::Protocol);
    }
}
