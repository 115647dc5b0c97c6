//! A member's file of a database: what it is, how it is made, how it is put aside. By ovsdb-tool(1); nothing is ever deleted.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tombolo_daemons::file::{aside, file_name, remove, text};
use tombolo_daemons::tool;
use tombolo_ovsdb::Uuid;
use tracing::info;

use crate::database::Database;
use crate::decide::File;

/// Runs ovsdb-tool; its standard output.
///
/// # Errors
/// Its standard error, or that it takes too long.
pub async fn ovsdb_tool(args: &[&str]) -> Result<String> {
    tool("ovsdb-tool", args).await
}

/// Reads what a file is.
///
/// # Errors
/// A directory or a program that can't be used; a file that makes no sense is no error.
pub async fn look(path: &Path, database: Database) -> Result<File> {
    match std::fs::metadata(path) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(File::Missing),
        Err(error) => return Err(error).with_context(|| format!("looking at {}", path.display())),
    }
    // One that can't be opened is nothing that could be judged: Kube-OVN's belong to another user.
    std::fs::File::open(path).with_context(|| {
        format!(
            "opening {}: the file must be root's, and readable (chown root: it, and its directory)",
            path.display()
        )
    })?;
    let file = text(path)?;
    // Before anything is concluded from a failure: the program itself works.
    ovsdb_tool(&["--version"]).await?;
    let name = match ovsdb_tool(&["db-name", file]).await {
        Ok(name) => name,
        Err(why) => return Ok(File::Unreadable(format!("{why:#}"))),
    };
    if name != database.name() {
        return Ok(File::Unreadable(format!("{} is a database {name}", path.display())));
    }
    if ovsdb_tool(&["db-is-standalone", file]).await.is_ok() {
        return Ok(File::Standalone);
    }
    let server = ovsdb_tool(&["db-sid", file]).await.and_then(|id| id.parse::<Uuid>().map_err(Into::into));
    match (server, ovsdb_tool(&["db-local-address", file]).await) {
        (Ok(server), Ok(address)) => {
            // One that hasn't joined, and was given no id, has none.
            let cluster = ovsdb_tool(&["db-cid", file]).await.ok().and_then(|id| id.parse().ok());
            Ok(File::Clustered { cluster, server, address })
        }
        (Err(why), _) | (_, Err(why)) => Ok(File::Unreadable(format!("{why:#}"))),
    }
}

/// Founds a cluster of one member; its id. `contents`: the schema, or none for the standalone database that is in the file's
/// place, which stays beside it.
///
/// # Errors
/// As ovsdb-tool says.
pub async fn create(path: &Path, contents: Option<&Path>, raft: &str, election_timer: u32) -> Result<Uuid> {
    let new = staged(path)?;
    let timer = format!("--election-timer={election_timer}");
    ovsdb_tool(&[&timer, "create-cluster", text(&new)?, text(contents.unwrap_or(path))?, raft]).await?;
    let cluster =
        ovsdb_tool(&["db-cid", text(&new)?]).await?.parse().context("reading the new cluster's id")?;
    if contents.is_none() {
        // A second name first: at no moment is there no file, which would be an empty member.
        let aside = aside(path)?;
        std::fs::hard_link(path, &aside).with_context(|| format!("keeping {}", path.display()))?;
        info!("the standalone database stays as {}", aside.display());
    }
    std::fs::rename(&new, path).with_context(|| format!("moving {} into place", new.display()))?;
    Ok(cluster)
}

/// Makes a file that joins a cluster by the members at these addresses.
///
/// # Errors
/// As ovsdb-tool says.
pub async fn join(
    path: &Path,
    database: Database,
    cluster: Uuid,
    raft: &str,
    others: &[String],
) -> Result<()> {
    let new = staged(path)?;
    let id = format!("--cid={cluster}");
    let mut args = vec![id.as_str(), "join-cluster", text(&new)?, database.name(), raft];
    args.extend(others.iter().map(String::as_str));
    ovsdb_tool(&args).await?;
    std::fs::rename(&new, path).with_context(|| format!("moving {} into place", new.display()))
}

/// The name of a file that isn't complete; one of a run that was interrupted goes.
fn staged(path: &Path) -> Result<PathBuf> {
    let new = path.with_extension("new");
    for path in [&new, &new.with_file_name(format!(".{}.~lock~", file_name(&new)))] {
        remove(path)?;
    }
    Ok(new)
}
