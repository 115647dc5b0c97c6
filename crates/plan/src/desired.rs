//! Desired: what should stand, as values. Nothing in it is left to choose when it is carried out.

use std::collections::BTreeMap;

use serde_json::Value;
use tombolo_names::Reason;
use tombolo_ovsdb::{Atom, Datum};
use uuid::Uuid;

pub use crate::kind::Kind;
use crate::nb;
use crate::owner::{ENTRIES_KEY, Owner};

/// What is managed of a column. What isn't named here is never compared and never written.
#[derive(Clone, Debug, PartialEq)]
pub enum Managed {
    /// The whole column is ours: the row must hold exactly this value.
    Whole(Datum),
    /// Keys of a map column; other keys belong to others (`options`, `other_config` are written by Neutron's
    /// maintenance worker on every row, facts of neutron's maintenance.py) and are kept.
    Keys(BTreeMap<String, String>),
    /// Written when the row is made and never compared again: northd or others change it.
    Initial(Datum),
}

/// A row of ours.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredRow {
    /// OVSDB table.
    pub table: &'static str,
    /// Deterministic uuid; a row taken over from Kube-OVN keeps its own.
    pub uuid: Uuid,
    /// The managed columns.
    pub columns: BTreeMap<&'static str, Managed>,
    /// Where the row hangs: nowhere in a root table. A row that isn't in a root table vanishes without an edge, so both
    /// are always in one transaction. Edges that aren't named here are taken away.
    pub edges: Vec<Edge>,
}

/// Membership of a row in a column of its parent. Foreign parents are touched by `mutate` of this one
/// value, never by `update` (invariant 1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// The parent's table.
    pub table: &'static str,
    /// The parent row.
    pub parent: Uuid,
    /// Its column of references: `ports`, `policies`, `static_routes`.
    pub column: &'static str,
}

/// An element of a set, or a key of a map, in a row that several owners fill (see [`crate::nb::SHARED`]): a port in a
/// node's port group, an address in a set, a name in DNS records. It is kept by one `mutate`, whatever the row's size, and
/// taken away when the owner no longer names it.
///
/// While the shared row isn't there the entry isn't, either; its arrival makes this owner dirty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The table of the shared row.
    pub table: &'static str,
    /// The shared row.
    pub row: Uuid,
    /// Its column.
    pub column: &'static str,
    /// The element or key. A reference is to a row of this owner. Of any other, a row of this owner says in its
    /// `external_ids` that it is the owner's ([`entries_mark`]).
    pub element: Atom,
    /// The key's value, in a column that is a map.
    pub value: Option<Atom>,
}

/// The key of `external_ids` that says which entries are the owner's, for one of its rows; none if all are references to
/// its rows, which say it by themselves.
#[must_use]
pub fn entries_mark(entries: &[Entry]) -> Option<(String, String)> {
    let values = entries.iter().filter(|entry| !nb::is_reference(entry.table, entry.column));
    let mut words: Vec<String> = values.map(|entry| nb::entry_word(entry.row, &entry.element)).collect();
    words.sort_unstable();
    words.dedup();
    (!words.is_empty()).then(|| (ENTRIES_KEY.to_owned(), words.join(" ")))
}

/// All rows of one owner.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// The rows, parents before children.
    pub rows: Vec<DesiredRow>,
    /// What the owner puts into rows that it shares with others.
    pub entries: Vec<Entry>,
}

impl Rows {
    /// Nothing at all: whatever the owner still has is to go.
    #[must_use]
    pub fn none() -> Self {
        Rows::default()
    }
}

/// What is done to an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Verb {
    /// POST the object.
    Create(Value),
    /// PATCH with `application/merge-patch+json`.
    MergePatch {
        /// `status`, or the object itself.
        status: bool,
        /// The patch. It carries `metadata.uid` or `metadata.resourceVersion` where a precondition is needed.
        patch: Value,
    },
    /// DELETE.
    Delete,
    /// GET: is it there? Asked before anything is deleted on account of an object that no event said to be gone.
    Read,
}

/// A write that the plan asks for because the object is not as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    /// Kind of the object.
    pub kind: Kind,
    /// Namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// For [`Verb::Delete`]: only an object with this uid. `None` means any.
    pub uid: Option<String>,
    /// The write.
    pub verb: Verb,
}

/// A wish for an address, for the engine's allocator. The choice is persisted as an IP object before any
/// row uses it (invariant 5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressRequest {
    /// Name of the IP object, which is the name of the port (`ubuntu.net2`, `node-host1`).
    pub ip_name: String,
    /// Subnets to try, in order.
    pub subnets: Vec<String>,
    /// Addresses the user asked for; empty for any.
    pub addresses: Vec<std::net::IpAddr>,
    /// Families to take addresses of, where the subnet has them.
    pub families: Vec<tombolo_net::Family>,
    /// MAC the user asked for.
    pub mac: Option<tombolo_net::Mac>,
    /// Pod or node name, as `spec.podName`.
    pub pod_name: String,
    /// Namespace, empty for a node.
    pub namespace: String,
    /// Node the pod runs on.
    pub node: String,
    /// Kube-OVN's `spec.podType`.
    pub pod_type: String,
    /// UID of the pod or node.
    pub pod_uid: String,
}

/// Addresses that others have, of which one would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressWait {
    /// Subnets in which any of them would do.
    pub subnets: Vec<String>,
    /// The addresses, in the user's order.
    pub addresses: Vec<std::net::IpAddr>,
}

/// Something the user must be told (invariant 10): a condition and an Event on the object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Its class.
    pub reason: Reason,
    /// What is wrong and what the user can do.
    pub message: String,
}

/// A step of a plan. The engine has one executor for each kind; another system to write to is one more kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// An address is chosen and persisted; the plan that follows from it is another one.
    Address(AddressRequest),
    /// Objects of the API server are written.
    Objects(Vec<Intent>),
    /// The owner's rows are brought to these, all of them.
    Rows(Rows),
}

/// The plan of one owner. A plan without rows leaves those that stand.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Each is carried out only when the one before leaves nothing to do: a choice is persisted before rows use it
    /// (invariant 5), and a status never runs ahead of the database.
    pub stages: Vec<Stage>,
    /// What keeps the object from being served, told as Event; conditions are among the writes.
    pub problems: Vec<Problem>,
    /// The object is there and undergoing deletion, was seen to be deleted, or says itself that these rows go: its
    /// deletions are explained (invariant 4).
    pub explained: bool,
    /// The owner whose rows these hang on, when they aren't there yet: plan again when they are.
    pub waits_for: Option<Owner>,
    /// What the user chose from is taken: plan again when one of these is free.
    pub waits_for_address: Option<AddressWait>,
    /// Plan again after so many seconds, even if nothing changes.
    pub again_secs: Option<u64>,
}

impl Plan {
    /// A plan that begins with rows.
    #[must_use]
    pub fn of_rows(rows: Rows) -> Plan {
        Plan { stages: vec![Stage::Rows(rows)], ..Plan::default() }
    }

    /// An address is chosen next.
    pub(crate) fn then_address(&mut self, request: AddressRequest) {
        self.stages.push(Stage::Address(request));
    }

    /// Rows are written next.
    pub(crate) fn then_rows(&mut self, rows: Rows) {
        self.stages.push(Stage::Rows(rows));
    }

    /// Objects are written next, together with those that the last stage writes already.
    pub(crate) fn then_write(&mut self, intents: impl IntoIterator<Item = Intent>) {
        let intents: Vec<Intent> = intents.into_iter().collect();
        match self.stages.last_mut() {
            Some(Stage::Objects(all)) => all.extend(intents),
            _ if intents.is_empty() => {}
            _ => self.stages.push(Stage::Objects(intents)),
        }
    }

    /// The address that is asked for.
    #[must_use]
    pub fn address(&self) -> Option<&AddressRequest> {
        self.stages.iter().find_map(|stage| match stage {
            Stage::Address(request) => Some(request),
            _ => None,
        })
    }

    /// The rows; `None` leaves those that stand.
    #[must_use]
    pub fn rows(&self) -> Option<&Rows> {
        self.stages.iter().find_map(|stage| match stage {
            Stage::Rows(rows) => Some(rows),
            _ => None,
        })
    }

    /// The objects that are written before all else.
    #[must_use]
    pub fn first_writes(&self) -> &[Intent] {
        Plan::writes_of(self.stages.first())
    }

    /// The objects that are written after all else.
    #[must_use]
    pub fn last_writes(&self) -> &[Intent] {
        Plan::writes_of(self.stages.last())
    }

    fn writes_of(stage: Option<&Stage>) -> &[Intent] {
        match stage {
            Some(Stage::Objects(intents)) => intents,
            _ => &[],
        }
    }

    /// Adds a problem.
    pub fn problem(&mut self, reason: Reason, message: impl Into<String>) {
        self.problems.push(Problem { reason, message: message.into() });
    }
}
