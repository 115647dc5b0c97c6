//! The list of the chart's values, `charts/tombolo/files/values.yaml`.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

/// The list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Values that have an effect.
    pub served: Vec<Served>,
    /// Values of Kube-OVN's charts that have none.
    pub unserved: Vec<Unserved>,
}

/// A value that has an effect.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Served {
    /// Its name in the templates.
    pub name: String,
    /// Where it may be written, dots between keys; the first one is shown in values.yaml.
    pub paths: Vec<String>,
    /// Its JSON type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Of an array, the type of its elements.
    #[serde(default = "string")]
    pub items: String,
    /// The values that it may have; none means all of its type.
    #[serde(default, rename = "enum")]
    pub choices: Vec<String>,
    /// Its default.
    pub default: Value,
    /// Its meaning, in Markdown.
    pub about: String,
}

fn string() -> String {
    "string".to_owned()
}

/// Values without an effect.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unserved {
    /// Where they are written; a path stands for all below it.
    pub paths: Vec<String>,
    /// The only values that are accepted; none means all.
    pub only: Option<Vec<Value>>,
    /// The reason, a sentence.
    pub why: String,
}

/// Reads the list.
///
/// # Errors
/// A list that can't be read, or that contradicts itself.
pub fn read() -> Result<Table> {
    let path = crate::chart().join("files/values.yaml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let table: Table = serde_yaml::from_str(&text).with_context(|| format!("parsing {}", path.display()))?;
    table.check()?;
    Ok(table)
}

impl Table {
    fn check(&self) -> Result<()> {
        let served = self.served.iter().flat_map(|value| &value.paths);
        let mut paths: Vec<&String> =
            served.chain(self.unserved.iter().flat_map(|value| &value.paths)).collect();
        paths.sort();
        for pair in paths.windows(2) {
            let below = pair[1].strip_prefix(pair[0].as_str()).is_some_and(|rest| rest.starts_with('.'));
            ensure!(pair[0] != pair[1], "the path {} is there twice", pair[0]);
            ensure!(!below, "{} is a value, and so is {} below it", pair[0], pair[1]);
        }
        for value in &self.served {
            let fits = match value.kind.as_str() {
                "string" => value.default.is_string(),
                "boolean" => value.default.is_boolean(),
                "integer" => value.default.is_u64(),
                "array" => value.default.is_array(),
                "object" => value.default.is_object(),
                _ => false,
            };
            ensure!(fits, "the default of {} is no {}", value.name, value.kind);
            ensure!(!value.paths.is_empty(), "{} has no path", value.name);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_meaning() {
        let table = |paths: &str| -> Table {
            serde_yaml::from_str(&format!("served: []\nunserved: [{{paths: [{paths}], why: w}}]")).unwrap()
        };
        assert!(table("a.b, a.c, ab").check().is_ok());
        assert!(table("a.b, a.b").check().is_err());
        assert!(table("a, a.b").check().is_err());
        assert!(read().unwrap().served.len() > 40);
    }
}
