//! The programs of OVN's that a member runs, with their arguments.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tombolo_daemons::{Daemon, file};

use crate::database::{Database, endpoint};
use crate::file::ovsdb_tool;
use crate::options::Options;
use crate::tls::files::Paths;

/// The server of a database. Its listening addresses are in a database of its own: in the replicated one, all members would
/// have the same.
///
/// # Errors
/// When its settings can't be written.
pub async fn database(options: &Options, database: Database) -> Result<Daemon> {
    let settings = options.run_dir.join(format!("ovn{}_local_config.db", database.short()));
    local_config(options, database, &settings).await?;
    let path = |kind: &str| database.socket(&options.run_dir, kind);
    let mut args = common(options);
    args.extend([
        format!("--unixctl={}", path("ctl").display()),
        format!("--remote=punix:{}", path("sock").display()),
        "--remote=db:Local_Config,Config,connections".to_owned(),
        database.file(&options.dir).display().to_string(),
        settings.display().to_string(),
    ]);
    Ok(Daemon {
        name: format!("ovsdb-server of the {database}"),
        program: "ovsdb-server",
        args,
        leftovers: vec![path("ctl"), path("sock")],
    })
}

async fn local_config(options: &Options, database: Database, path: &Path) -> Result<()> {
    file::remove(path)?;
    let transaction = json!(["Local_Config",
        { "op": "insert", "table": "Connection", "uuid-name": "c",
          "row": { "target": database.listener(options.method(), options.address), "inactivity_probe": options.probe_interval } },
        { "op": "insert", "table": "Config", "row": { "connections": ["named-uuid", "c"] } },
    ]);
    let doing = || format!("writing the settings of the {database}'s server");
    let (path, schema) = (file::text(path)?, file::text(&options.local_config_schema)?);
    ovsdb_tool(&["create", path, schema]).await.with_context(doing)?;
    let said = ovsdb_tool(&["transact", path, &transaction.to_string()]).await.with_context(doing)?;
    ensure!(!said.contains("\"error\""), "{}: ovsdb-tool transact: {said}", doing());
    Ok(())
}

/// northd, by all members of both databases.
#[must_use]
pub fn northd(options: &Options, members: &[std::net::IpAddr]) -> Daemon {
    let all = |database: Database| {
        let each = members.iter().map(|ip| endpoint(options.method(), *ip, database.port()));
        each.collect::<Vec<_>>().join(",")
    };
    let control = options.run_dir.join("ovn-northd.ctl");
    let mut args = common(options);
    args.extend([
        format!("--unixctl={}", control.display()),
        format!("--ovnnb-db={}", all(Database::Nb)),
        format!("--ovnsb-db={}", all(Database::Sb)),
        format!("--n-threads={}", options.northd_threads),
    ]);
    Daemon { name: "ovn-northd".to_owned(), program: "ovn-northd", args, leftovers: vec![control] }
}

/// What both have: the log, and certificates.
fn common(options: &Options) -> Vec<String> {
    let mut args = tombolo_daemons::log();
    if options.ssl {
        args.extend(Paths::below(&options.dir).options());
    }
    args
}
