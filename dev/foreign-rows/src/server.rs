//! One ovsdb-server of any database, for tests that need no more of it than transactions by hand.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tombolo_ovsdb::Schema;
use tombolo_testbed::{Process, eventually};

use crate::{Database, wire};

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// What it was made with.
    pub schema: Schema,
    /// Its database.
    pub database: Database,
    /// Where it listens, `unix:PATH`.
    pub address: String,
    /// The database's file.
    pub file: PathBuf,
    process: Option<Process>,
    dir: Arc<TempDir>,
}

impl Server {
    /// A standalone server, or a cluster of one. `None`, counted, if Open vSwitch's programs are missing.
    ///
    /// # Errors
    /// When it doesn't start.
    pub fn start(database: Database, schema: &str, clustered: bool) -> Result<Option<Server>> {
        let programs = [
            ("ovsdb-server", "openvswitch-switch"),
            ("ovsdb-tool", "openvswitch-switch"),
            ("ovs-appctl", "openvswitch-switch"),
            ("setpriv", "util-linux"),
        ];
        if !programs.into_iter().all(|(name, package)| tombolo_needs::program(name, package)) {
            return Ok(None);
        }
        let dir = Arc::new(TempDir::new()?);
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("schema"), schema)?;
        let mut tool = Command::new("ovsdb-tool");
        if clustered {
            tool.arg("create-cluster")
                .arg(path("db"))
                .arg(path("schema"))
                .arg(format!("unix:{}", path("raft").display()));
        } else {
            tool.arg("create").arg(path("db")).arg(path("schema"));
        }
        let output = tool.output()?;
        ensure!(output.status.success(), "ovsdb-tool: {}", String::from_utf8_lossy(&output.stderr));
        let (address, file) = (format!("unix:{}", path("sock").display()), path("db"));
        let mut server =
            Server { schema: Schema::parse(schema)?, database, address, file, process: None, dir };
        server.resume()?;
        Ok(Some(server))
    }

    /// A server on another file, beside this one that is stopped.
    ///
    /// # Errors
    /// When it doesn't start.
    pub fn at(&self, file: &Path) -> Result<Server> {
        let (schema, database) = (self.schema.clone(), self.database);
        let (address, file, dir) = (self.address.clone(), file.to_owned(), self.dir.clone());
        let mut server = Server { schema, database, address, file, process: None, dir };
        server.resume()?;
        Ok(server)
    }

    /// Starts it again after [`Self::kill`].
    ///
    /// # Errors
    /// When it doesn't start.
    pub fn resume(&mut self) -> Result<()> {
        let path = |name: &str| self.dir.path().join(name).display().to_string();
        let args = [
            format!("--remote=punix:{}", path("sock")),
            format!("--unixctl={}", path("ctl")),
            "--no-chdir".to_owned(),
            "-vconsole:warn".to_owned(),
            self.file.display().to_string(),
        ];
        for left in ["sock", "ctl"] {
            let _ = std::fs::remove_file(path(left));
        }
        let program = which("ovsdb-server").context("looked for above")?;
        self.process = Some(Process::start(&program, &args, &[], &self.dir.path().join("log"))?);
        eventually("the server to take transactions", Duration::from_secs(30), || {
            wire::transact(&self.address, self.database.name(), &[json!({"op": "comment", "comment": ""})])
                .map(Some)
        })
        .map(drop)
    }

    /// Kills the server.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Has the file compacted.
    ///
    /// # Errors
    /// When the server can't.
    pub fn compact(&self) -> Result<()> {
        // The server answers before the new file has taken the old one's place.
        let inode = || std::fs::metadata(&self.file).map(|metadata| metadata.ino());
        let before = inode()?;
        let control = self.dir.path().join("ctl");
        let output =
            Command::new("ovs-appctl").arg("-t").arg(control).arg("ovsdb-server/compact").output()?;
        ensure!(output.status.success(), "compact: {}", String::from_utf8_lossy(&output.stderr));
        eventually("the compacted file", Duration::from_secs(30), || Ok((inode()? != before).then_some(())))
    }

    /// A transaction with a comment; an empty one is left out.
    ///
    /// # Errors
    /// When the server refuses it.
    pub fn transact(&self, comment: &str, operations: &[Value]) -> Result<Vec<Value>> {
        let mut operations = operations.to_vec();
        if !comment.is_empty() {
            operations.push(json!({"op": "comment", "comment": comment}));
        }
        wire::transact(&self.address, self.database.name(), &operations)
    }
}

fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|dir| dir.join(program))
        .find(|file| file.exists())
}
