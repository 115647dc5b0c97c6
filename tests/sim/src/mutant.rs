//! What the simulation does wrong on purpose, at the engine's boundary: proof that the checks would notice if the product
//! did so itself.
//!
//! That a parent's row must stand (the third kind of guard) is no mutant: without it the edge matches nothing, which is an
//! error too (invariant 8), and nothing observable is lost.

use serde_json::{Value, json};
use tombolo_ovsdb::{Datum, Op, Row, Txn};
use tombolo_plan::{ClusterId, Owner};

/// A wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Transactions go out without the fence.
    NoFence,
    /// The epoch is taken without a look at the one that is there.
    NoEpochCheck,
    /// Switches and routers are made without a look at who else has the name.
    NoNameGuard,
    /// Switches and routers are deleted without a look at what hangs on them by now.
    NoContentGuard,
    /// The brake releases the deletions it holds at once, without an operator's decision.
    NoBrake,
    /// What a list lacks is said to have been deleted.
    LostAsDeleted,
    /// A list is said to be complete before it is.
    EarlySyncMark,
    /// Foreign rows bear our marks.
    ForeignAsOurs,
    /// The API server answers each read of an object with NotFound.
    SaysGone,
    /// Transactions are said to be committed and aren't.
    SaysCommitted,
    /// A server that is cut off says that it leads and knows everything.
    StaleAsFresh,
}

/// What the audit by a fresh engine says.
const AUDIT: &str = "incremental differs from full";

impl Mutant {
    /// All of them.
    pub const ALL: [Mutant; 11] = [
        Mutant::NoFence,
        Mutant::NoEpochCheck,
        Mutant::NoNameGuard,
        Mutant::NoContentGuard,
        Mutant::NoBrake,
        Mutant::LostAsDeleted,
        Mutant::EarlySyncMark,
        Mutant::ForeignAsOurs,
        Mutant::SaysGone,
        Mutant::SaysCommitted,
        Mutant::StaleAsFresh,
    ];

    /// By which words the check that is there for it catches it. Any other failure doesn't count: it could be of a check that
    /// has nothing to do with it, or of the simulation itself.
    #[must_use]
    pub fn caught_by(self) -> &'static [&'static str] {
        match self {
            Mutant::NoFence | Mutant::NoEpochCheck => &["invariant 7: "],
            Mutant::NoNameGuard => &["invariant 2: a second "],
            Mutant::NoContentGuard | Mutant::ForeignAsOurs => &["invariant 1: "],
            Mutant::NoBrake | Mutant::LostAsDeleted | Mutant::SaysGone => &["invariant 4: "],
            // Absence is asked for before anything is deleted, so what is left of a list that ends early is work undone.
            Mutant::EarlySyncMark => &["invariant 4: ", "work undone: ", AUDIT],
            Mutant::SaysCommitted => &["invariant 9: ", AUDIT],
            Mutant::StaleAsFresh => &["invariant 6: "],
        }
    }

    /// The transaction that goes out.
    #[must_use]
    pub fn transaction(self, txn: &Txn) -> Txn {
        let mut txn = txn.clone();
        let takes_epoch = txn.comment.starts_with("epoch");
        match self {
            Mutant::NoFence if !takes_epoch && !txn.preconditions.is_empty() => {
                txn.preconditions.remove(0);
            }
            Mutant::NoEpochCheck if takes_epoch => txn.preconditions.clear(),
            Mutant::NoNameGuard if !takes_epoch => {
                txn.preconditions.retain(|guard| !matches!(guard, Op::Wait { rows, .. } if rows.is_empty()));
            }
            Mutant::NoContentGuard if !takes_epoch => {
                let is_of_edges =
                    |guard: &Op| matches!(guard, Op::Wait { columns, .. } if columns.contains(&"ports"));
                txn.preconditions.retain(|guard| !is_of_edges(guard));
            }
            _ => {}
        }
        txn
    }

    /// The answer to a transaction that went through.
    #[must_use]
    pub fn lie(txn: &Txn) -> Value {
        let answer = |op: &Op| match op {
            Op::Insert { uuid, .. } => json!({ "uuid": ["uuid", uuid] }),
            Op::Update { .. } | Op::Mutate { .. } | Op::Delete { .. } => json!({ "count": 1 }),
            _ => json!({}),
        };
        txn.all_ops().iter().map(answer).collect()
    }

    /// A foreign row as the server shows it to a client.
    #[must_use]
    pub fn shown(cluster: &ClusterId, row: &Row) -> Row {
        let mut marks = cluster.marks(&Owner::pod("ns0", "ghost"));
        if let Some(ids) = row.get("external_ids") {
            marks.extend(ids.str_map());
        }
        row.clone()
            .with("external_ids", Datum::map_of_strings(marks.iter().map(|(k, v)| (k.as_str(), v.as_str()))))
    }
}
