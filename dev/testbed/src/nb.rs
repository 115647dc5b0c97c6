//! A standalone NB database, or a cluster of one, and `ovn-nbctl` on it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tombolo_needs::program;
use tombolo_sandbox::kubernetes::util::which;

use crate::eventually;
use crate::process::{Process, free_port};

const OVN_25_03: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/ovn-25.03/ovn-nb.ovsschema");
const PATIENCE: Duration = Duration::from_secs(30);

/// OVN 23.03's schema.
pub(crate) const SCHEMA: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/ovn-23.03/ovn-nb.ovsschema");

/// Whether the programs that an NB needs are installed; the first that isn't is counted as missing.
pub(crate) fn are_there() -> bool {
    [
        ("ovsdb-server", "openvswitch-switch"),
        ("ovsdb-tool", "openvswitch-switch"),
        ("ovs-appctl", "openvswitch-switch"),
        ("ovn-nbctl", "ovn-common"),
        ("setpriv", "util-linux"),
    ]
    .into_iter()
    .all(|(name, package)| program(name, package))
}

/// A running NB.
#[derive(Debug)]
pub struct Nb {
    server: Option<Process>,
    program: PathBuf,
    args: Vec<String>,
    address: String,
    file: PathBuf,
    dir: TempDir,
}

impl Nb {
    /// A standalone database with OVN 23.03's schema. `None`, counted, if OVN's programs are missing.
    pub fn start() -> Result<Option<Self>> {
        Self::start_as(false, SCHEMA)
    }

    /// A RAFT cluster with one member: it resumes monitors, as every production database does.
    pub fn start_clustered() -> Result<Option<Self>> {
        Self::start_as(true, SCHEMA)
    }

    /// The same with OVN 25.03's schema, which has more tables and columns.
    pub fn start_newer() -> Result<Option<Self>> {
        Self::start_as(true, OVN_25_03)
    }

    fn start_as(clustered: bool, schema: &str) -> Result<Option<Self>> {
        if !are_there() {
            return Ok(None);
        }
        let dir = TempDir::new().context("making a directory for the NB")?;
        let file = dir.path().join("nb.db");
        let mut tool = Command::new("ovsdb-tool");
        if clustered {
            tool.arg("create-cluster").arg(&file).arg(schema).arg(format!("tcp:127.0.0.1:{}", free_port()?));
        } else {
            tool.arg("create").arg(&file).arg(schema);
        }
        let output = tool.output().context("starting ovsdb-tool")?;
        if !output.status.success() {
            bail!("ovsdb-tool: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let port = free_port()?;
        let args = vec![
            format!("--remote=ptcp:{port}:127.0.0.1"),
            "--no-chdir".to_owned(),
            format!("--unixctl={}", dir.path().join("nb.ctl").display()),
            "-vconsole:warn".to_owned(),
            file.display().to_string(),
        ];
        let program = which("ovsdb-server").unwrap_or_default();
        let mut nb =
            Self { server: None, program, args, address: format!("tcp:127.0.0.1:{port}"), file, dir };
        nb.resume()?;
        nb.ctl(&["init"])?;
        Ok(Some(nb))
    }

    /// Another name for the same database; the server is the first one's.
    pub fn beside(&self) -> Result<Self> {
        Ok(Self {
            server: None,
            program: self.program.clone(),
            args: self.args.clone(),
            address: self.address.clone(),
            file: self.file.clone(),
            dir: TempDir::new().context("making a directory")?,
        })
    }

    /// Starts the server again after [`Self::pause`].
    pub fn resume(&mut self) -> Result<()> {
        let log = self.dir.path().join("nb.log");
        self.server = Some(Process::start(&self.program, &self.args, &[], &log)?);
        eventually("the NB to answer", PATIENCE, || self.ctl(&["get-connection"]).map(Some)).map(drop)
    }

    /// Kills the server; the file keeps what was committed.
    pub fn pause(&mut self) {
        self.server = None;
    }

    /// `tcp:127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The database's file.
    pub fn file(&self) -> PathBuf {
        self.file.clone()
    }

    /// The server's process, to be stopped and continued.
    pub fn process(&self) -> Option<&Process> {
        self.server.as_ref()
    }

    /// How many transactions a standalone database has committed since it was created: the records of its file
    /// (the server compacts it by itself only after a day, or when it has become very large).
    pub fn transactions(&self) -> Result<u64> {
        let file = std::fs::read(&self.file).context("reading the NB's file")?;
        let records = file.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"OVSDB JSON "));
        Ok(records.count() as u64)
    }

    /// What `ovn-nbctl ARGS` prints.
    pub fn ctl(&self, args: &[&str]) -> Result<String> {
        let output = Command::new("ovn-nbctl")
            .arg(format!("--db={}", self.address))
            .arg("--timeout=20")
            .args(args)
            .output()
            .context("starting ovn-nbctl")?;
        if !output.status.success() {
            bail!("ovn-nbctl {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A router of Neutron's with a network: see [`crate::neutron::router`].
    pub fn neutron_router(&self, n: u8, name: &str, cidr: &str) -> Result<(String, String)> {
        crate::neutron::router(|args| self.ctl(args), n, name, cidr)
    }
}
