//! The schema of a database that runs: after an upgrade of OVN the member that leads brings it up to the image's.
//!
//! A file keeps the schema that it was made with, whatever program serves it, and a northd finds only the columns that are in it.
//! A schema never goes back: that would delete what is in newer columns.

use anyhow::{Context, Result};
use tombolo_daemons::file::text;
use tombolo_daemons::tool;

use crate::database::Database;
use crate::options::Options;

/// Brings the schema up, on a member that leads. The former version and the new one, if they differed.
///
/// # Errors
/// What ovsdb-client says; a schema without a version.
pub async fn bring_up(options: &Options, database: Database) -> Result<Option<(String, String)>> {
    let file = options.schemas.join(format!("ovn-{}.ovsschema", database.short()));
    let file = text(&file)?;
    let server = format!("unix:{}", database.socket(&options.run_dir, "sock").display());
    let doing = || format!("looking for the schema's version of the {database}");
    let ours = tool("ovsdb-tool", &["schema-version", file]).await.with_context(doing)?;
    let theirs = ["--timeout=10", "get-schema-version", &server, database.name()];
    let served = tool("ovsdb-client", &theirs).await.with_context(doing)?;
    let (ours, served) = (ours.trim().to_owned(), served.trim().to_owned());
    if !is_newer(&ours, &served)? {
        return Ok(None);
    }
    tool("ovsdb-client", &["--timeout=60", "convert", &server, file])
        .await
        .with_context(|| format!("converting the {database} from schema {served} to {ours}"))?;
    Ok(Some((served, ours)))
}

/// Whether a version `x.y.z` (RFC 7047, 3.1) is later than another.
fn is_newer(version: &str, than: &str) -> Result<bool> {
    let parts = |text: &str| {
        let parts: Result<Vec<u64>, _> = text.split('.').map(str::parse).collect();
        parts.with_context(|| format!("{text:?} is no version of a schema"))
    };
    Ok(parts(version)? > parts(than)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (version, than, newer) in
            [("7.11.0", "7.3.1", true), ("7.3.1", "7.11.0", false), ("7.3.1", "7.3.1", false)]
        {
            assert_eq!(is_newer(version, than).unwrap(), newer, "{version} {than}");
        }
        assert!(is_newer("", "7.3.1").is_err() && is_newer("7.3.1", "seven").is_err());
    }
}
