//! A standalone database's file, as `ovsdb-client backup` and `ovsdb-tool cluster-to-standalone` write it (ovsdb(5)): a schema
//! and the rows. Pure: bytes in, tables out.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

/// What each record begins with.
const MAGIC: &str = "OVSDB JSON ";

/// Rows by uuid.
pub type Rows = BTreeMap<String, Map<String, Value>>;

/// The contents of a database at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The schema, as the server has it.
    pub schema: Value,
    /// When it was written, in milliseconds since 1970.
    pub date: Option<i64>,
    /// Rows by table; each has all persistent columns, in a form in which equal values are equal.
    pub tables: BTreeMap<String, Rows>,
}

impl Snapshot {
    /// Reads a file.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        ensure!(!bytes.is_empty(), "the file is empty");
        if bytes.starts_with(b"OVSDB CLUSTER") {
            bail!(
                "it is a member's own file of a cluster: convert it by ovsdb-tool cluster-to-standalone first"
            );
        }
        let mut records = records(bytes)?.into_iter();
        let schema = records.next().context("the file has no schema")?;
        ensure!(schema["tables"].is_object(), "its first record is no schema");
        let rows = records.next();
        if records.next().is_some() {
            bail!("it holds a history of changes: reduce it to the rows by ovsdb-tool compact first");
        }
        let mut snapshot = Self { schema, ..Self::default() };
        for (name, value) in rows.as_ref().and_then(Value::as_object).into_iter().flatten() {
            match name.as_str() {
                "_date" => snapshot.date = value.as_i64(),
                table if !table.starts_with('_') => {
                    let rows = snapshot.rows(table, value)?;
                    snapshot.tables.insert(table.to_owned(), rows);
                }
                _ => {}
            }
        }
        Ok(snapshot)
    }

    /// The database's name, version and checksum.
    pub fn kind(&self) -> [&str; 3] {
        ["name", "version", "cksum"].map(|key| self.schema[key].as_str().unwrap_or_default())
    }

    /// A row.
    pub fn row(&self, table: &str, uuid: &str) -> Option<&Map<String, Value>> {
        self.tables.get(table)?.get(uuid)
    }

    /// All rows.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str, &Map<String, Value>)> {
        self.tables.iter().flat_map(|(table, rows)| {
            rows.iter().map(move |(uuid, row)| (table.as_str(), uuid.as_str(), row))
        })
    }

    fn rows(&self, table: &str, value: &Value) -> Result<Rows> {
        let columns = self.schema["tables"][table]["columns"]
            .as_object()
            .with_context(|| format!("it has rows of {table}, which its schema hasn't"))?;
        let rows = value.as_object().with_context(|| format!("its rows of {table} can't be read"))?;
        let full = |row: &Value| -> Option<Map<String, Value>> {
            let row = row.as_object()?;
            let kept = columns.iter().filter(|(_, column)| column["ephemeral"] != true);
            let value = |(name, column): (&String, &Value)| {
                let value = row.get(name).map_or_else(|| default(&column["type"]), canonical);
                (name.clone(), value)
            };
            Some(kept.map(value).collect())
        };
        rows.iter()
            .map(|(uuid, row)| {
                let row = full(row).with_context(|| format!("its row {uuid} of {table} can't be read"))?;
                Ok((uuid.clone(), row))
            })
            .collect()
    }
}

/// The records' JSON, each checked by its length and hash.
fn records(bytes: &[u8]) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let number = all.len() + 1;
        let end = rest.iter().position(|byte| *byte == b'\n').context("its last record has no end")?;
        let header = std::str::from_utf8(&rest[..end]).ok().and_then(|line| line.strip_prefix(MAGIC));
        let (length, hash) = header
            .and_then(|line| line.split_once(' '))
            .with_context(|| format!("its record {number} isn't of an OVSDB file"))?;
        let length: usize = length.parse().with_context(|| format!("the length of its record {number}"))?;
        let body = rest.get(end + 1..end + 1 + length);
        let body = body.with_context(|| format!("its record {number} is cut off"))?;
        let found = sha1_smol::Sha1::from(body).digest().to_string();
        ensure!(found == hash.trim(), "its record {number} is damaged: SHA-1 {found}, {hash} is expected");
        all.push(serde_json::from_slice(body).with_context(|| format!("its record {number}"))?);
        rest = &rest[end + 1 + length..];
    }
    Ok(all)
}

/// One form for equal values: a set of one is its element, and sets and maps are in order.
fn canonical(value: &Value) -> Value {
    let Some([kind, Value::Array(elements)]) = value.as_array().map(Vec::as_slice) else {
        return value.clone();
    };
    if kind == "set" && elements.len() == 1 {
        return elements[0].clone();
    }
    let mut elements = elements.clone();
    elements.sort_by_cached_key(Value::to_string);
    Value::Array(vec![kind.clone(), Value::Array(elements)])
}

/// The value of a column that a file leaves out (RFC 7047 §5.2.1).
fn default(kind: &Value) -> Value {
    let empty = |what: &str| Value::Array(vec![what.into(), Value::Array(Vec::new())]);
    if kind["value"].is_null() && kind["min"] == 0 {
        return empty("set");
    }
    if !kind["value"].is_null() {
        return empty("map");
    }
    let key = if kind.is_object() { &kind["key"] } else { kind };
    let atom = if key.is_object() { &key["type"] } else { key };
    match atom.as_str() {
        Some("integer") => 0.into(),
        Some("real") => 0.0.into(),
        Some("boolean") => false.into(),
        Some("uuid") => Value::Array(vec!["uuid".into(), "00000000-0000-0000-0000-000000000000".into()]),
        _ => "".into(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// A file as OVSDB writes it.
    pub fn file(records: &[Value]) -> Vec<u8> {
        let mut out = Vec::new();
        for record in records {
            let body = format!("{record}\n");
            let hash = sha1_smol::Sha1::from(&body).digest();
            out.extend(format!("{MAGIC}{} {hash}\n{body}", body.len()).into_bytes());
        }
        out
    }

    pub fn schema() -> Value {
        let map = json!({ "key": "string", "value": "string", "min": 0, "max": "unlimited" });
        let uuids = json!({ "key": { "type": "uuid", "refTable": "Port" }, "min": 0, "max": "unlimited" });
        json!({ "name": "OVN_Northbound", "version": "7.0.0", "cksum": "1 2", "tables": {
            "Switch": { "isRoot": true, "columns": { "name": { "type": "string" }, "ids": { "type": map }, "ports": { "type": uuids } } },
            "Port": { "columns": { "name": { "type": "string" }, "tag": { "type": { "key": "integer", "min": 0 } },
                "seen": { "type": "integer", "ephemeral": true } } },
        } })
    }

    fn why(bytes: &[u8]) -> String {
        format!("{:#}", Snapshot::read(bytes).unwrap_err())
    }

    #[test]
    fn rows_in_one_form() {
        let rows = json!({ "_date": 5, "_comment": "x",
            "Switch": { "s": { "name": "a", "ports": ["set", [["uuid", "p"]]] } },
            "Port": { "p": { "tag": ["set", [3]], "seen": 9 } } });
        let read = Snapshot::read(&file(&[schema(), rows])).unwrap();
        assert_eq!((read.date, read.kind()), (Some(5), ["OVN_Northbound", "7.0.0", "1 2"]));
        let switch = Value::Object(read.row("Switch", "s").unwrap().clone());
        assert_eq!(switch, json!({ "name": "a", "ids": ["map", []], "ports": ["uuid", "p"] }));
        assert_eq!(Value::Object(read.row("Port", "p").unwrap().clone()), json!({ "name": "", "tag": 3 }));
        assert_eq!(read.all().count(), 2);
    }

    #[test]
    fn order_is_no_difference() {
        assert_eq!(canonical(&json!(["set", [2, 1]])), canonical(&json!(["set", [1, 2]])));
        assert_eq!(
            canonical(&json!(["map", [["b", "1"], ["a", "2"]]])),
            json!(["map", [["a", "2"], ["b", "1"]]])
        );
        assert_eq!(canonical(&json!(["uuid", "x"])), json!(["uuid", "x"]));
    }

    #[test]
    fn what_is_no_backup_is_refused_in_a_sentence() {
        assert!(why(b"").contains("empty"));
        assert!(why(b"OVSDB CLUSTER 12 ab\n").contains("cluster-to-standalone"));
        assert!(why(b"<html>\n").contains("isn't of an OVSDB file"));
        let whole = file(&[schema(), json!({ "Switch": {} })]);
        assert!(why(&whole[..whole.len() - 3]).contains("record 2 is cut off"));
        let mut damaged = whole.clone();
        let last = damaged.len() - 4;
        damaged[last] = b'X';
        assert!(why(&damaged).contains("record 2 is damaged"));
        assert!(why(&file(&[schema(), json!({}), json!({})])).contains("ovsdb-tool compact"));
        assert!(why(&file(&[schema(), json!({ "Nope": {} })])).contains("which its schema hasn't"));
    }
}
