//! Whose a row of the NB is, for people: Neutron's, a Kubernetes cluster's, or another's. Pure. Neutron marks most of its rows; those
//! that it doesn't (ACLs, routes, NAT) belong with the row that refers to them.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};
use tombolo_names::rows::{CLUSTER, VENDOR, VENDOR_KEY};

use crate::snapshot::Snapshot;

/// Whose a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Neutron's.
    Neutron,
    /// Of a Kubernetes cluster: ours, or Kube-OVN's.
    Kubernetes,
    /// Neither has marked it.
    Other,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Neutron => "Neutron's",
            Side::Kubernetes => "Kubernetes'",
            Side::Other => "others'",
        })
    }
}

/// Keys of `external_ids` that only Neutron writes, beside those that begin with `neutron:`.
const NEUTRONS_KEYS: [&str; 2] = ["subnet_id", "ls_name"];
/// Beginnings of its rows' names.
const NEUTRONS_NAMES: [&str; 4] = ["neutron-", "neutron_pg_drop", "provnet-", "lrp-"];
/// How far up an unmarked row's owner is looked for: a rule in a group of a port is at most so deep.
const DEPTH: usize = 4;

/// Whose the rows of a snapshot are.
#[derive(Debug)]
pub struct Owners<'a> {
    rows: &'a Snapshot,
    /// The row that refers to a row, by uuid: its table and uuid.
    referrers: BTreeMap<&'a str, (&'a str, &'a str)>,
}

impl<'a> Owners<'a> {
    /// Of the rows of `rows`.
    pub fn of(rows: &'a Snapshot) -> Self {
        let mut referrers = BTreeMap::new();
        for (table, uuid, row) in rows.all() {
            for value in row.values() {
                for referred in uuids(value) {
                    referrers.entry(referred).or_insert((table, uuid));
                }
            }
        }
        Self { rows, referrers }
    }

    /// Whose this row is.
    pub fn side(&self, table: &str, uuid: &str) -> Side {
        let (mut table, mut uuid) = (table, uuid);
        for _ in 0..DEPTH {
            let Some(row) = self.rows.row(table, uuid) else { return Side::Other };
            if let Some(side) = marked(row) {
                return side;
            }
            match self.referrers.get(uuid) {
                Some(above) => (table, uuid) = *above,
                None => return Side::Other,
            }
        }
        Side::Other
    }
}

/// What the row itself says.
fn marked(row: &Map<String, Value>) -> Option<Side> {
    let ids: Vec<(&str, &str)> = pairs(row.get("external_ids").unwrap_or(&Value::Null)).collect();
    let has = |key: &str| ids.iter().any(|(k, _)| *k == key);
    if has(CLUSTER) || ids.contains(&(VENDOR_KEY, VENDOR)) {
        return Some(Side::Kubernetes);
    }
    let neutrons_key = |(key, _): &(&str, &str)| key.starts_with("neutron:") || NEUTRONS_KEYS.contains(key);
    let name = text(row, "name");
    let neutrons = ids.iter().any(neutrons_key) || NEUTRONS_NAMES.iter().any(|start| name.starts_with(start));
    neutrons.then_some(Side::Neutron)
}

/// A row's name for a reader: with the name that its owner shows, where it has one.
pub fn name(row: &Map<String, Value>, uuid: &str) -> String {
    let name = row.get("name").and_then(Value::as_str).filter(|name| !name.is_empty()).unwrap_or(uuid);
    let shown = ["neutron:network_name", "neutron:router_name", "neutron:port_name"];
    let ids = row.get("external_ids").unwrap_or(&Value::Null);
    match pairs(ids).find(|(key, value)| shown.contains(key) && !value.is_empty() && *value != name) {
        Some((_, shown)) => format!("{name} ({shown})"),
        None => name.to_owned(),
    }
}

/// A value in a row's `external_ids`.
pub fn id<'a>(row: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    pairs(row.get("external_ids")?).find(|(have, _)| *have == key).map(|(_, value)| value)
}

/// A string of a row; empty if the column isn't there, or holds none.
pub fn text<'a>(row: &'a Map<String, Value>, column: &str) -> &'a str {
    row.get(column).and_then(Value::as_str).unwrap_or_default()
}

/// The pairs of a map of strings.
pub fn pairs(value: &Value) -> impl Iterator<Item = (&str, &str)> {
    let all = if value[0] == "map" { value[1].as_array() } else { None };
    all.into_iter().flatten().filter_map(|pair| Some((pair[0].as_str()?, pair[1].as_str()?)))
}

/// The rows that a value refers to.
pub fn uuids(value: &Value) -> Vec<&str> {
    match value.as_array().map(Vec::as_slice) {
        Some([kind, one]) if kind == "uuid" => one.as_str().into_iter().collect(),
        Some([kind, Value::Array(all)]) if kind == "set" => all.iter().flat_map(uuids).collect(),
        Some([kind, Value::Array(all)]) if kind == "map" => {
            all.iter().filter_map(Value::as_array).flatten().flat_map(uuids).collect()
        }
        _ => Vec::new(),
    }
}
