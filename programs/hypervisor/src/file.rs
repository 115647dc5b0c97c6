//! Open vSwitch's database file: made where there is none, converted to the schema of the version that starts, never deleted.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use tombolo_daemons::file::{aside, text};
use tombolo_daemons::tool;
use tracing::info;

/// Makes the file ready for ovsdb-server; whether it was there before.
///
/// # Errors
/// One that is no database of Open vSwitch: it stays.
pub async fn prepare(path: &Path, schema: &Path) -> Result<bool> {
    let (file, schema) = (text(path)?, text(schema)?);
    if !path.exists() {
        tool("ovsdb-tool", &["create", file, schema]).await?;
        info!("{file} is made");
        return Ok(false);
    }
    let name = tool("ovsdb-tool", &["db-name", file]).await.with_context(|| {
        format!("{file} can't be read, and stays: put a backup in its place, or move it away to begin with an empty one")
    })?;
    ensure!(name == "Open_vSwitch", "{file} is a database {name}, and stays: move it away");
    if tool("ovsdb-tool", &["needs-conversion", file, schema]).await? == "yes" {
        let kept = aside(path)?;
        std::fs::copy(path, &kept).with_context(|| format!("keeping {file}"))?;
        tool("ovsdb-tool", &["convert", file, schema]).await?;
        info!("{file} is converted to this version's schema; as it was it is {}", kept.display());
    }
    Ok(true)
}
