//! The northbound database as text that two moments can be compared by: one sorted JSON line a row, without what
//! northd and ovn-controller's reports write by themselves, and without the time of Neutron's last heartbeat.
//!
//! Which columns and keys those are says one list that is reviewed when OVN grows ([`crate::exceptions`]).
//! Everything else counts, in every table that the server has.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value, json};

use crate::exceptions::about;
use crate::ovn::Database;
use crate::{exec, hosts, keys};

/// What Neutron adds once, some seconds after its start, to every row of a table, others' too (`maintenance.py`:
/// `check_for_igmp_snoop_support`, `check_for_mcast_flood_reports`, `check_router_mac_binding_options`).
const NEUTRON_ADDS: &[(&str, &str, &str)] = &[
    ("Logical_Switch", "other_config", "mcast_snoop"),
    ("Logical_Switch", "other_config", "mcast_flood_unregistered"),
    ("Logical_Switch_Port", "options", "mcast_flood_reports"),
    ("Logical_Router", "options", "always_learn_from_arp_request"),
    ("Logical_Router", "options", "dynamic_neigh_routers"),
];

/// What the list says of a column: (key or all of it, who writes it). What we ourselves may write counts here.
fn exceptions<'a>(
    table: &'a str,
    column: &'a str,
) -> impl Iterator<Item = (Option<&'static str>, &'static str)> + 'a {
    let lines = about(Database::Nb.name(), table, column).filter(|line| line.who != "us");
    lines.map(|line| (line.key, line.who))
}

/// A canonical dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    lines: BTreeSet<String>,
}

impl Dump {
    /// The rows: one JSON object a line, sorted; `_table` and `_uuid` come first.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// Only the rows of which `keep` holds; it sees the row with `_table` and `_uuid`.
    ///
    /// # Panics
    /// Never: the lines were written from JSON.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(&Value) -> bool) -> Self {
        let kept = |line: &&String| serde_json::from_str(line).is_ok_and(|row| keep(&row));
        Self { lines: self.lines.iter().filter(kept).cloned().collect() }
    }

    /// The rows after a change to each, so that something doesn't count.
    #[must_use]
    pub fn edited(&self, change: impl Fn(&mut Value)) -> Self {
        let rows = self.lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let edit = |mut row: Value| {
            change(&mut row);
            row.to_string()
        };
        Self { lines: rows.map(edit).collect() }
    }

    /// What `later` has less (`-`) and more (`+`) than this; empty when both are the same. A key that Neutron adds to
    /// every row at its start ([`NEUTRON_ADDS`]) doesn't count as more; that it goes, or changes, counts.
    pub fn difference(&self, later: &Self) -> Vec<String> {
        let later = later.without_additions(self);
        let gone = self.lines.difference(&later.lines).map(|line| format!("- {line}"));
        gone.chain(later.lines.difference(&self.lines).map(|line| format!("+ {line}"))).collect()
    }

    /// The rows without the keys of [`NEUTRON_ADDS`] that `earlier` has the row, and not the key, of.
    fn without_additions(&self, earlier: &Self) -> Self {
        let rows = earlier.lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let before: BTreeMap<String, Value> = rows.map(|row| (row["_uuid"].to_string(), row)).collect();
        self.edited(|row| {
            let Some(before) = before.get(&row["_uuid"].to_string()) else { return };
            for (table, column, key) in NEUTRON_ADDS {
                if row["_table"] == *table
                    && before[*column].get(*key).is_none()
                    && let Some(map) = row[*column].as_object_mut()
                {
                    map.remove(*key);
                }
            }
        })
    }
}

/// Dumps the northbound database, all tables in one transaction at the leader.
///
/// # Errors
/// When the database can't be read.
pub fn nb() -> Result<Dump> {
    let database = Database::Nb;
    let schema = ovsdb(&["get-schema", &database.remotes(), database.name()])?;
    let tables = schema["tables"].as_object().context("a schema without tables")?;
    let mut transaction = vec![json!(database.name())];
    transaction.extend(tables.keys().map(|table| json!({"op": "select", "table": table, "where": []})));
    let answer = ovsdb(&["transact", &database.remotes(), &Value::Array(transaction).to_string()])?;
    let answers =
        answer.as_array().filter(|a| a.len() == tables.len()).context("a short answer of the database")?;
    let mut lines = BTreeSet::new();
    for (table, answer) in tables.keys().zip(answers) {
        let Some(rows) = answer["rows"].as_array() else { bail!("reading {table}: {answer}") };
        lines.extend(rows.iter().filter_map(Value::as_object).map(|row| canonical(table, row).to_string()));
    }
    Ok(Dump { lines })
}

fn ovsdb(words: &[&str]) -> Result<Value> {
    let mut command = hosts::host(1).command("ovsdb-client");
    command.arg("--timeout=30").args(keys::options()).args(words);
    let text = exec::check(&mut command, exec::SHORT, None).context("reading the northbound database")?;
    serde_json::from_str(&text).context("reading ovsdb-client's output")
}

fn canonical(table: &str, row: &Map<String, Value>) -> Value {
    let mut result = Map::new();
    result.insert("_table".to_owned(), json!(table));
    for (column, value) in row {
        if column == "_version" || exceptions(table, column).any(|(key, _)| key.is_none()) {
            continue;
        }
        let mut value = plain(value);
        if let Value::Object(map) = &mut value {
            for (key, who) in exceptions(table, column) {
                let Some(key) = key.filter(|key| map.contains_key(*key)) else { continue };
                match who {
                    "counter" => map.insert(key.to_owned(), json!("(a number)")),
                    _ => map.remove(key),
                };
            }
        }
        result.insert(column.clone(), value);
    }
    Value::Object(result)
}

/// OVSDB's notation (RFC 7047 section 5.1) as plain JSON: sets sorted, a set of one like its element, maps as objects.
fn plain(value: &Value) -> Value {
    match value.as_array().map(Vec::as_slice) {
        Some([Value::String(kind), Value::String(id)]) if kind == "uuid" => json!(id),
        Some([Value::String(kind), Value::Array(members)]) if kind == "set" => {
            let mut members: Vec<Value> = members.iter().map(plain).collect();
            members.sort_by_cached_key(Value::to_string);
            if let [one] = members.as_slice() { one.clone() } else { Value::Array(members) }
        }
        Some([Value::String(kind), Value::Array(pairs)]) if kind == "map" => {
            let key = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let pairs = pairs.iter().map(|pair| (key(&plain(&pair[0])), plain(&pair[1])));
            Value::Object(pairs.collect())
        }
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dump(rows: &[(&str, Value)]) -> Dump {
        let line = |(table, row): &(&str, Value)| canonical(table, row.as_object().unwrap()).to_string();
        Dump { lines: rows.iter().map(line).collect() }
    }

    #[test]
    fn order_and_notation_do_not_count() {
        let one = json!({"_uuid": ["uuid", "a"], "_version": ["uuid", "1"], "ports": ["set", [["uuid", "y"], ["uuid", "x"]]],
            "external_ids": ["map", [["b", "2"], ["a", "1"]]], "name": "s"});
        let two = json!({"_uuid": ["uuid", "a"], "_version": ["uuid", "2"], "ports": ["set", [["uuid", "x"], ["uuid", "y"]]],
            "external_ids": ["map", [["a", "1"], ["b", "2"]]], "name": "s"});
        let (one, two) = (dump(&[("Logical_Switch", one)]), dump(&[("Logical_Switch", two)]));
        assert_eq!(one, two);
        let expected = r#"{"_table":"Logical_Switch","_uuid":"a","external_ids":{"a":"1","b":"2"},"name":"s","ports":["x","y"]}"#;
        assert_eq!(one.lines().collect::<Vec<_>>(), [expected]);
    }

    /// Neutron's start falls into a comparison when our network was there first.
    #[test]
    fn neutrons_start_does_not_count_and_the_loss_of_what_it_wrote_does() {
        let switch = |config: Value| json!({"_uuid": ["uuid", "s"], "name": "ovn-default", "other_config": ["map", config]});
        let before = dump(&[("Logical_Switch", switch(json!([["mine", "1"]])))]);
        let started = dump(&[("Logical_Switch", switch(json!([["mcast_snoop", "false"], ["mine", "1"]])))]);
        let other = dump(&[("Logical_Switch", switch(json!([["mcast_snoop", "true"], ["mine", "2"]])))]);
        let none: Vec<String> = Vec::new();
        assert_eq!(before.difference(&started), none);
        assert_eq!(started.difference(&before).len(), 2, "the key is lost");
        assert_eq!(started.difference(&other).len(), 2, "the key changed");
        assert_eq!(before.difference(&other).len(), 2, "another key changed beside it");
        let created = dump(&[("Logical_Switch", switch(json!([["mcast_snoop", "false"]])))]);
        assert_eq!(dump(&[]).difference(&created), [format!("+ {}", created.lines().next().unwrap())]);
    }

    #[test]
    fn what_northd_writes_does_not_count_and_all_else_does() {
        let port = |up: bool, name: &str| json!({"_uuid": ["uuid", "a"], "up": up, "name": name});
        let table = "Logical_Switch_Port";
        assert_eq!(dump(&[(table, port(true, "p"))]), dump(&[(table, port(false, "p"))]));
        let difference = dump(&[(table, port(true, "p"))]).difference(&dump(&[(table, port(true, "q"))]));
        assert_eq!(difference.len(), 2);
        let global = |prefix: &str, mine: &str| json!({"_uuid": ["uuid", "g"], "options": ["map", [["mac_prefix", prefix], ["mine", mine]]]});
        assert_eq!(dump(&[("NB_Global", global("a", "1"))]), dump(&[("NB_Global", global("b", "1"))]));
        assert_ne!(dump(&[("NB_Global", global("a", "1"))]), dump(&[("NB_Global", global("a", "2"))]));
        let router = |ids: Value| json!({"_uuid": ["uuid", "r"], "external_ids": ["map", ids]});
        let revision =
            |number: &str| dump(&[("Logical_Router", router(json!([["neutron:revision_number", number]])))]);
        assert_eq!(revision("1"), revision("2"));
        assert_ne!(revision("1"), dump(&[("Logical_Router", router(json!([])))]));
    }
}
