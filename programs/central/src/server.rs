//! Programs of OVN's that this one starts, and starts again when they end.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::database::{Database, endpoint};
use crate::file;
use crate::options::Options;
use crate::tls::files::Paths;

/// First and longest pause before a program that ended is started again. One that ran longer begins anew.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How long a program has to end by itself. A leader hands its work over in that time.
const END: Duration = Duration::from_secs(5);

/// A program and its arguments.
#[derive(Debug, Clone)]
pub struct Daemon {
    /// Its name, in the log.
    pub name: String,
    /// The program.
    pub program: &'static str,
    /// Its arguments.
    pub args: Vec<String>,
    /// Files of a run that was killed, which would keep it from starting.
    pub leftovers: Vec<PathBuf>,
}

/// Keeps a program running until `stop`.
pub async fn keep(daemon: Daemon, stop: CancellationToken) {
    let mut pause = PAUSE.0;
    loop {
        let began = Instant::now();
        match start(&daemon) {
            Ok(mut child) => {
                info!(pid = child.id(), "{} runs", daemon.name);
                tokio::select! {
                    status = child.wait() => warn!("{} ended: {status:?}", daemon.name),
                    () = stop.cancelled() => return end(&daemon.name, child).await,
                }
            }
            Err(error) => warn!("{error:#}"),
        }
        if began.elapsed() > PAUSE.1 {
            pause = PAUSE.0;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE.1),
            () = stop.cancelled() => return,
        }
    }
}

fn start(daemon: &Daemon) -> Result<Child> {
    for path in &daemon.leftovers {
        file::remove(path)?;
    }
    let mut command = Command::new(daemon.program);
    command.args(&daemon.args).stdin(Stdio::null()).kill_on_drop(true);
    command.spawn().with_context(|| format!("starting {} ({})", daemon.name, daemon.program))
}

async fn end(name: &str, mut child: Child) {
    if let Some(pid) = child.id() {
        let asked = Command::new("kill").args(["-TERM", &pid.to_string()]).status().await;
        if asked.is_ok_and(|status| status.success()) && tokio::time::timeout(END, child.wait()).await.is_ok()
        {
            info!("{name} has ended");
            return;
        }
    }
    warn!("{name} doesn't end by itself, and is killed");
    // One that is gone already is what was wanted.
    let _ = child.kill().await;
}

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
    file::tool(&["create", path, schema]).await.with_context(doing)?;
    let said = file::tool(&["transact", path, &transaction.to_string()]).await.with_context(doing)?;
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
    let mut args = vec!["-vconsole:info".to_owned(), "-vsyslog:off".to_owned()];
    if options.ssl {
        args.extend(Paths::below(&options.dir).options());
    }
    args
}
