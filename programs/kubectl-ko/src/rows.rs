//! Rows of an OVSDB database, as `ovn-nbctl`, `ovn-sbctl`, `ovs-vsctl` print them with `--format=json --data=json`.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::database::{Database, Place, tool};
use crate::kubectl::Kubectl;

/// A database that is read several times.
#[derive(Debug)]
pub struct Reader<'a> {
    kubectl: &'a Kubectl,
    /// Where the tools run.
    pub place: Place,
    database: Database,
}

impl<'a> Reader<'a> {
    /// For `database`.
    pub fn of(kubectl: &'a Kubectl, database: Database) -> Result<Self> {
        Ok(Self { kubectl, place: Place::of(kubectl, database)?, database })
    }

    /// A table's rows. `_uuid` is a column.
    pub fn list(&self, table: &str, columns: &[&str]) -> Result<Vec<Row>> {
        let program = self.database.program();
        let columns = format!("--columns={}", columns.join(","));
        let words = ["--no-leader-only", "--format=json", "--data=json", &columns, "list", table];
        let words: Vec<_> = words.map(Into::into).to_vec();
        let what = format!("reading {table} of {}", self.database.schema());
        let text = tool(self.kubectl, &self.place, program, &words)?.success(&what)?;
        parse(&text).context(what)
    }
}

/// A row: its columns by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row(BTreeMap<String, Value>);

impl Row {
    /// A string; empty if the column isn't there, or holds nothing.
    pub fn text(&self, column: &str) -> &str {
        self.0.get(column).and_then(Value::as_str).unwrap_or_default()
    }

    /// A number.
    pub fn number(&self, column: &str) -> Option<i64> {
        self.0.get(column).and_then(Value::as_i64)
    }

    /// The row's uuid, or the one row that a column refers to.
    pub fn uuid(&self, column: &str) -> &str {
        self.uuids(column).first().copied().unwrap_or_default()
    }

    /// The rows that a column refers to.
    pub fn uuids(&self, column: &str) -> Vec<&str> {
        let one = |value: &'_ Value| (value[0] == "uuid").then_some(());
        let Some(value) = self.0.get(column) else { return Vec::new() };
        if one(value).is_some() {
            return value[1].as_str().into_iter().collect();
        }
        let all = value[1].as_array().map_or(&[][..], Vec::as_slice);
        all.iter().filter(|v| one(v).is_some()).filter_map(|v| v[1].as_str()).collect()
    }

    /// A set of strings; one of one element is written as that.
    pub fn texts(&self, column: &str) -> Vec<&str> {
        let Some(value) = self.0.get(column) else { return Vec::new() };
        match value[1].as_array() {
            Some(all) => all.iter().filter_map(Value::as_str).collect(),
            None => value.as_str().into_iter().collect(),
        }
    }

    /// A value of a map of strings.
    pub fn key(&self, column: &str, key: &str) -> Option<&str> {
        self.pairs(column).find(|(k, _)| *k == key).map(|(_, value)| value)
    }

    /// A map of strings.
    pub fn pairs(&self, column: &str) -> impl Iterator<Item = (&str, &str)> {
        let all = self.0.get(column).and_then(|value| value[1].as_array());
        all.into_iter().flatten().filter_map(|pair| Some((pair[0].as_str()?, pair[1].as_str()?)))
    }
}

/// Reads a table.
pub fn parse(text: &[u8]) -> Result<Vec<Row>> {
    let table: Value = serde_json::from_slice(text).context("the tool's output is no JSON")?;
    let headings: Vec<&str> =
        table["headings"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let rows = table["data"].as_array().context("the tool's output is no table")?;
    let row = |cells: &Value| {
        let cells = cells.as_array().into_iter().flatten().cloned();
        Row(headings.iter().map(|&h| h.to_owned()).zip(cells).collect())
    };
    Ok(rows.iter().map(row).collect())
}

/// Rows for tests, as JSON objects.
#[cfg(test)]
pub fn rows(objects: Value) -> Vec<Row> {
    let all = objects.as_array().cloned().unwrap_or_default();
    all.iter().filter_map(Value::as_object).map(|o| Row(o.clone().into_iter().collect())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_all_kinds() {
        let text = br#"{"headings":["_uuid","name","ports","ids","tag","networks"],"data":[[["uuid","u"],"n",
            ["set",[["uuid","a"],["uuid","b"]]],["map",[["k","v"]]],["set",[]],"1.0.0.1/24"]]}"#;
        let rows = parse(text).unwrap();
        let row = &rows[0];
        assert_eq!((row.uuid("_uuid"), row.text("name"), row.text("absent")), ("u", "n", ""));
        assert_eq!(row.uuids("ports"), ["a", "b"]);
        assert_eq!((row.key("ids", "k"), row.key("ids", "x")), (Some("v"), None));
        assert_eq!((row.number("tag"), row.texts("networks")), (None, vec!["1.0.0.1/24"]));
        assert!(parse(b"no").is_err());
    }
}
