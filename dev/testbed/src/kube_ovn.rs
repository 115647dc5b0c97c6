//! What real controllers of Kube-OVN left (`kube-ovn/`, with how it was recorded).

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::Nb;

/// A cluster as Kube-OVN leaves it.
#[derive(Clone, Debug)]
pub struct Left {
    /// Rows of the NB: `{table: {uuid: row}}`.
    pub rows: Value,
    /// A list of objects of the API server.
    pub objects: Value,
}

impl Left {
    /// What `version` left: `1.13.0` (with a Subnet on a router of Neutron's) or `1.14.10`.
    ///
    /// # Errors
    /// A version that isn't recorded.
    pub fn by(version: &str) -> Result<Self> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("kube-ovn").join(version);
        let read = |name: &str| -> Result<Value> {
            let path = dir.join(name);
            let text =
                std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))
        };
        Ok(Self { rows: read("nb.json")?, objects: read("objects.json")? })
    }
}

/// The rows of tables as [`Left::rows`] and backups have them: tables, uuids, rows.
pub fn rows(tables: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let tables = tables.as_object().into_iter().flatten().filter(|(name, _)| !name.starts_with('_'));
    tables.flat_map(|(table, rows)| {
        rows.as_object().into_iter().flatten().map(|(uuid, row)| (table.as_str(), uuid.as_str(), row))
    })
}

impl Nb {
    /// Inserts rows with their uuids, in one transaction.
    ///
    /// # Errors
    /// What the server refuses.
    pub fn insert(&self, tables: &Value) -> Result<()> {
        let mut params = vec![json!("OVN_Northbound")];
        params.extend(
            rows(tables).map(
                |(table, uuid, row)| json!({ "op": "insert", "table": table, "uuid": uuid, "row": row }),
            ),
        );
        let answer = Command::new("ovsdb-client")
            .args(["transact", self.address(), &Value::Array(params).to_string()])
            .output()
            .context("starting ovsdb-client")?;
        let said = String::from_utf8_lossy(&answer.stdout);
        ensure!(answer.status.success() && !said.contains("\"error\""), "inserting rows: {said}");
        Ok(())
    }
}
