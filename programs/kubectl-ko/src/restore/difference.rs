//! What makes a database that of a backup again: the fewest changes, each row with the uuid that it had, so that northd keeps the
//! switches, tunnel keys and flows of all rows that don't differ. (`ovsdb-client restore` gives every row a new uuid.) Pure.

use serde_json::{Map, Value, json};
use tombolo_names::rows::EPOCH;

use crate::snapshot::Snapshot;

/// Tables that aren't contents: how servers listen, and with which keys.
const OF_SERVERS: [&str; 2] = ["Connection", "SSL"];
/// The table of one row.
const GLOBAL: &str = "NB_Global";
/// Its columns that count what northd and the chassis have done, which a step back would confuse, and those of the servers.
const KEPT: [&str; 8] = [
    "nb_cfg",
    "nb_cfg_timestamp",
    "sb_cfg",
    "sb_cfg_timestamp",
    "hv_cfg",
    "hv_cfg_timestamp",
    "connections",
    "ssl",
];

/// What happens to a row.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// It comes back, as it was.
    Restored(Map<String, Value>),
    /// It goes: the backup hasn't got it.
    Removed,
    /// These columns go back.
    Changed(Map<String, Value>),
}

/// A row that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its table.
    pub table: String,
    /// Its uuid, now or (of one that comes back) as it was.
    pub uuid: String,
    /// What happens to it.
    pub what: What,
}

/// What makes `now` the same as `then`.
pub fn difference(now: &Snapshot, then: &Snapshot) -> Vec<Change> {
    let mut changes = Vec::new();
    for (table, uuid, row) in then.all().filter(|(table, _, row)| !is_kept(table, row)) {
        let uuid = if table == GLOBAL { only(now).unwrap_or(uuid) } else { uuid };
        let what = match now.row(table, uuid) {
            None => What::Restored(row.clone()),
            Some(present) => {
                let differs = |column: &str, value: &Value| {
                    present.get(column) != Some(value) && !(table == GLOBAL && KEPT.contains(&column))
                };
                let columns = row.iter().filter(|(column, value)| differs(column, value));
                What::Changed(columns.map(|(c, v)| (c.clone(), v.clone())).collect())
            }
        };
        if !matches!(&what, What::Changed(columns) if columns.is_empty()) {
            changes.push(Change { table: table.to_owned(), uuid: uuid.to_owned(), what });
        }
    }
    let gone = now.all().filter(|(table, uuid, row)| {
        then.row(table, uuid).is_none() && *table != GLOBAL && !is_kept(table, row)
    });
    changes.extend(gone.map(|(table, uuid, _)| Change {
        table: table.to_owned(),
        uuid: uuid.to_owned(),
        what: What::Removed,
    }));
    changes
}

/// Rows that stay as they are: the servers', and a leader's epoch, by which the database refuses its predecessors' writes.
fn is_kept(table: &str, row: &Map<String, Value>) -> bool {
    let ids = row.get("external_ids").map_or(&Value::Null, |ids| &ids[1]);
    let epoch = |pair: &Value| pair[0] == EPOCH;
    OF_SERVERS.contains(&table) || ids.as_array().is_some_and(|ids| ids.iter().any(epoch))
}

fn only(snapshot: &Snapshot) -> Option<&str> {
    snapshot.tables.get(GLOBAL)?.keys().next().map(String::as_str)
}

/// The one transaction of all changes. It fails as a whole if a row to be changed has gone meanwhile.
pub fn transaction(database: &str, changes: &[Change]) -> Value {
    let mut params = vec![json!(database)];
    for Change { table, uuid, what } in changes {
        let row = json!([["_uuid", "==", ["uuid", uuid]]]);
        match what {
            What::Restored(columns) => {
                params.push(json!({ "op": "insert", "table": table, "uuid": uuid, "row": columns }));
            }
            What::Removed => params.push(json!({ "op": "delete", "table": table, "where": row })),
            What::Changed(columns) => {
                params
                    .push(json!({ "op": "wait", "table": table, "where": row, "columns": [], "until": "==",
                    "rows": [{}], "timeout": 0 }));
                params.push(json!({ "op": "update", "table": table, "where": row, "row": columns }));
            }
        }
    }
    params.push(json!({ "op": "comment", "comment": "kubectl ko nb restore" }));
    Value::Array(params)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::owners::{Owners, Side};

    fn snapshot(rows: Value) -> Snapshot {
        let columns = json!({ "name": { "type": "string" }, "nb_cfg": { "type": "integer" },
            "external_ids": { "type": { "key": "string", "value": "string", "min": 0, "max": "unlimited" } },
            "ports": { "type": { "key": "uuid", "min": 0, "max": "unlimited" } } });
        let table = json!({ "columns": columns });
        let schema = json!({ "name": "OVN_Northbound", "tables":
            { "NB_Global": table, "Switch": table, "Port": table, "Connection": table } });
        Snapshot::read(&crate::snapshot::tests::file(&[schema, rows])).unwrap()
    }

    #[test]
    fn the_fewest_changes_with_the_same_uuids() {
        let then = snapshot(
            json!({ "Switch": { "a": { "name": "a" }, "b": { "name": "b", "ports": ["set", [["uuid", "p"], ["uuid", "q"]]] } },
            "Port": { "p": {}, "q": {} } }),
        );
        let now = snapshot(
            json!({ "Switch": { "a": { "name": "a" }, "b": { "name": "b" }, "c": { "name": "c" } } }),
        );
        let changes = difference(&now, &then);
        let short: Vec<String> = changes
            .iter()
            .map(|c| {
                format!(
                    "{} {} {}",
                    c.table,
                    c.uuid,
                    match &c.what {
                        What::Restored(_) => "+".to_owned(),
                        What::Removed => "-".to_owned(),
                        What::Changed(columns) => columns.keys().cloned().collect::<Vec<_>>().join(","),
                    }
                )
            })
            .collect();
        assert_eq!(short, ["Port p +", "Port q +", "Switch b ports", "Switch c -"]);
        assert!(difference(&then, &then).is_empty());
        let transaction = transaction("OVN_Northbound", &changes);
        assert_eq!(transaction[1]["uuid"], "p");
        assert_eq!(transaction[3]["op"], "wait");
        assert_eq!(
            transaction[5],
            json!({ "op": "delete", "table": "Switch", "where": [["_uuid", "==", ["uuid", "c"]]] })
        );
    }

    #[test]
    fn servers_counters_and_the_epoch_stay() {
        let epoch = |n: &str| json!({ "name": "e", "external_ids": ["map", [[EPOCH, n]]] });
        let then = snapshot(
            json!({ "NB_Global": { "old": { "nb_cfg": 1, "name": "x" } }, "Connection": { "k": {} },
            "Port": { "e": epoch("3") } }),
        );
        let now = snapshot(json!({ "NB_Global": { "new": { "nb_cfg": 9 } }, "Connection": { "l": {} },
            "Port": { "e": epoch("4") } }));
        let changes = difference(&now, &then);
        assert_eq!(changes.len(), 1, "{changes:?}");
        let name = [("name".to_owned(), json!("x"))].into_iter().collect();
        assert_eq!((changes[0].uuid.as_str(), &changes[0].what), ("new", &What::Changed(name)));
        assert!(difference(&now, &snapshot(json!({}))).is_empty());
    }

    #[test]
    fn owners_by_marks_or_by_the_row_above() {
        let ids = |key: &str| json!(["map", [[key, "v"]]]);
        let rows = snapshot(json!({
            "Switch": { "n": { "external_ids": ids("neutron:network_name"), "ports": ["uuid", "rule"] },
                "k": { "external_ids": ids("tombolo.io/cluster") }, "x": { "name": "x" }, "pg": { "name": "neutron_pg_drop" } },
            "Port": { "rule": {}, "alone": {} } }));
        let owners = Owners::of(&rows);
        assert_eq!(owners.side("Switch", "n"), Side::Neutron);
        assert_eq!(owners.side("Port", "rule"), Side::Neutron);
        assert_eq!(owners.side("Switch", "pg"), Side::Neutron);
        assert_eq!(owners.side("Switch", "k"), Side::Kubernetes);
        assert_eq!(owners.side("Switch", "x"), Side::Other);
        assert_eq!(owners.side("Port", "alone"), Side::Other);
    }
}
