//! What a transaction of ours may touch (invariants 1 and 2), by the rows before and after it. Pure.

use std::fmt;
use std::sync::Arc;

use tombolo_names::rows::{PREFIX, STANDS_FOR, VENDOR_KEY};
use tombolo_ovsdb::{Datum, Name, Row, Uuid};
use tombolo_plan::ClusterId;
use tombolo_plan::nb::{self, Ownership};

use crate::database::Database;
use crate::exceptions;
use crate::rows::{Rows, Touch};

/// What the comments of the controller's transactions begin with.
const CONTROLLER: &str = tombolo_names::workloads::CONTROLLER_SIGNATURE;
/// What the comments of our programs' transactions begin with. The last is the client's own, of a program that gave it no
/// name: forgetting to sign hides nothing.
pub const SIGNATURES: [&str; 3] =
    [CONTROLLER, tombolo_names::workloads::AGENT_SIGNATURE, tombolo_ovsdb::txn::UNNAMED];

/// The columns of its own interfaces that the agent writes.
const OF_INTERFACE: [&str; 3] = ["external_ids", "mac", "mtu_request"];
/// The bridge on which the agent's ports hang.
const BR_INT: &str = "br-int";

/// Whether a transaction with this comment is ours.
#[must_use]
pub fn is_signed(comment: &str) -> bool {
    let signed = |signature: &str| {
        comment.strip_prefix(signature).is_some_and(|rest| rest.is_empty() || rest.starts_with(": "))
    };
    SIGNATURES.iter().any(|signature| signed(signature))
}

/// The cluster for which a controller says that it wrote, if the comment is a controller's.
///
/// # Errors
/// When it names none.
pub fn cluster_of(comment: &str) -> Result<Option<&str>, String> {
    let Some(rest) = comment.strip_prefix(CONTROLLER).filter(|_| is_signed(comment)) else { return Ok(None) };
    // `epoch 7 of c1`, or `tombolo 7 of c1: pod/a/b and 3 more`.
    let words: Vec<&str> = rest.trim_start_matches(": ").splitn(5, ' ').collect();
    match words[..] {
        ["epoch", _, "of", cluster] => Ok(Some(cluster)),
        ["tombolo", _, "of", cluster, _] if cluster.ends_with(':') => Ok(cluster.strip_suffix(':')),
        _ => Err(format!("nobody can say for which cluster this was written: {comment:.200?}")),
    }
}

/// A transaction, as it is judged.
pub struct Case<'a> {
    /// Whose rows are ours.
    pub cluster: &'a ClusterId,
    /// The database.
    pub database: Database,
    /// What the transaction touched.
    pub touched: &'a [Touch],
    /// The rows after it.
    pub rows: &'a Rows,
}

/// What is wrong with a transaction that bears our signature; nothing if it is as it should be.
#[must_use]
pub fn signed(case: &Case) -> Vec<String> {
    let judge = |touch: &Touch| match case.database {
        Database::Northbound => case.northbound(touch),
        Database::Southbound => Err("invariant 1: nothing of ours writes here at all".to_owned()),
        Database::Vswitch => case.vswitch(touch),
    };
    let said = |touch: &Touch| judge(touch).err().map(|why| format!("{}: {why}", Shown(touch)));
    case.touched.iter().filter_map(said).collect()
}

/// What is wrong with a transaction that doesn't bear it: rows with our marks are made by our programs only, so one of
/// them forgot to sign.
#[must_use]
pub fn unsigned(case: &Case) -> Vec<String> {
    let new = |touch: &&Touch| touch.before.is_none();
    let ours = |touch: &&Touch| {
        touch.after.as_ref().is_some_and(|row| match case.database {
            Database::Northbound => is_ours(case.cluster, row),
            Database::Southbound => false,
            Database::Vswitch => row.key("external_ids", tombolo_names::rows::CONTAINER).is_some(),
        })
    };
    let said = |touch: &Touch| format!("{}: a row of ours, and no signature", Shown(touch));
    case.touched.iter().filter(new).filter(ours).map(said).collect()
}

/// Whether a row of the NB is ours. An orphan isn't: no controller may touch it.
#[must_use]
pub fn is_ours(cluster: &ClusterId, row: &Row) -> bool {
    matches!(nb::ownership(cluster, row), Ownership::Ours(_))
}

/// Whether a row of Kube-OVN's got our marks, and is otherwise as it was. It may be Kube-OVN's if it is of no cluster and
/// Neutron hasn't marked it.
fn is_taken_over(touch: &Touch, before: &Row, after: &Row) -> bool {
    let ids = |row: &Row| row.get("external_ids").map(Datum::str_map).unwrap_or_default();
    let (old, new) = (ids(before), ids(after));
    let is_mark = |key: &str| key.starts_with(PREFIX) || key == VENDOR_KEY;
    !old.keys().any(|key| key.starts_with(PREFIX) || key.starts_with("neutron:"))
        && new.contains_key(STANDS_FOR)
        && old.iter().all(|(key, value)| new.get(key) == Some(value))
        && new.keys().all(|key| old.contains_key(key) || is_mark(key))
        && touch.changed().all(|(column, ..)| column == "external_ids")
}

impl Case<'_> {
    fn northbound(&self, touch: &Touch) -> Result<(), String> {
        match (&touch.before, &touch.after) {
            (None, Some(row)) if !is_ours(self.cluster, row) => {
                Err(format!("invariant 2: made without our marks: {row:?}"))
            }
            (Some(before), Some(after))
                if is_ours(self.cluster, after) && is_taken_over(touch, before, after) =>
            {
                Ok(())
            }
            (Some(row), _) if !is_ours(self.cluster, row) => {
                self.foreign(touch, "OVN_Northbound", |_, row| is_ours(self.cluster, row))
            }
            (Some(_), Some(row)) if !is_ours(self.cluster, row) => {
                Err(format!("invariant 2: it has lost our marks: {row:?}"))
            }
            _ => Ok(()),
        }
    }

    /// Of a foreign row, only edges to rows of ours may have changed, and weak references to rows of ours that the
    /// database removes itself when those rows go.
    fn foreign(
        &self,
        touch: &Touch,
        database: &str,
        is_ours: impl Fn(Name, &Row) -> bool,
    ) -> Result<(), String> {
        if touch.after.is_none() {
            return Err("invariant 1: a foreign row was deleted".to_owned());
        }
        for (column, old, new) in touch.changed() {
            let gone = old.difference(new);
            let come = new.difference(old);
            let edge = exceptions::is_edge(database, touch.table, column);
            let ours = |uuid: Uuid| self.of_any_table(uuid).is_some_and(|(table, row)| is_ours(table, &row));
            let swept = |uuid: Uuid| {
                self.rows.weak(touch.table, column).is_some_and(|target| {
                    let deleted = |t: &&Touch| t.table == target && t.uuid == uuid && t.after.is_none();
                    self.touched
                        .iter()
                        .find(deleted)
                        .and_then(|t| t.before.as_ref())
                        .is_some_and(|row| is_ours(target, row))
                })
            };
            let allowed = !old.is_map()
                && gone.uuids().all(|uuid| (edge && ours(uuid)) || swept(uuid))
                && come.uuids().all(|uuid| edge && ours(uuid))
                && gone.uuids().count() + come.uuids().count() == gone.len() + come.len();
            if !allowed {
                return Err(format!(
                    "invariant 1: {column} of a foreign row was changed from {old:?} to {new:?}"
                ));
            }
        }
        Ok(())
    }

    /// A row by its uuid alone, as it was before the transaction, or as it is new.
    fn of_any_table(&self, uuid: Uuid) -> Option<(Name, Arc<Row>)> {
        if let Some(touch) = self.touched.iter().find(|touch| touch.uuid == uuid) {
            let row = touch.before.as_ref().or(touch.after.as_ref())?;
            return Some((touch.table, row.clone()));
        }
        self.rows.tables().find_map(|table| Some((table, self.rows.get(table, &uuid)?.clone())))
    }

    fn vswitch(&self, touch: &Touch) -> Result<(), String> {
        let ours = |row: &Row| match touch.table {
            "Interface" => is_our_interface(row),
            "Port" => self.is_our_port(row),
            _ => false,
        };
        match (&touch.before, &touch.after) {
            (None, Some(row)) if !ours(row) => {
                Err(format!("invariant 1: made, and not a port of ours: {row:?}"))
            }
            (Some(bridge), Some(_)) if touch.table == "Bridge" => {
                if bridge.str("name") != Some(BR_INT) {
                    return Err(format!("invariant 1: not {BR_INT}: {bridge:?}"));
                }
                self.foreign(touch, "Open_vSwitch", |table, row| table == "Port" && self.is_our_port(row))
            }
            (Some(row), _) if !ours(row) => Err(format!("invariant 1: a foreign row was touched: {row:?}")),
            (Some(_), Some(row)) if !ours(row) => Err(format!("it is no longer ours: {row:?}")),
            (Some(_), Some(_)) => {
                let allowed: &[&str] = if touch.table == "Interface" { &OF_INTERFACE } else { &[] };
                match touch.changed().find(|(column, ..)| !allowed.contains(column)) {
                    Some((column, ..)) => Err(format!("{column} isn't for the agent to write")),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn is_our_port(&self, port: &Row) -> bool {
        let interfaces = port.get("interfaces").map(|datum| datum.uuid_set()).unwrap_or_default();
        let ours = |uuid: &Uuid| {
            self.of_any_table(*uuid)
                .is_some_and(|(table, row)| table == "Interface" && is_our_interface(&row))
        };
        !interfaces.is_empty() && interfaces.iter().all(ours)
    }
}

/// A pod's, or the node's own.
fn is_our_interface(row: &Row) -> bool {
    let id = |key: &str| row.key("external_ids", key);
    let pod = id("vendor") == Some("kube-ovn") && id("pod_name").is_some();
    // Kube-OVN's agent, from which it is taken over, writes no vendor there.
    let node = row.str("name") == Some("ovn0") && id("iface-id").is_some_and(|id| id.starts_with("node-"));
    pod || node
}

/// A row in a message.
struct Shown<'a>(&'a Touch);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Touch { table, uuid, before, after } = self.0;
        let name = before.as_ref().or(after.as_ref()).and_then(|row| row.str("name")).unwrap_or_default();
        write!(f, "{table} {uuid} {name:.80}")
    }
}
