//! Real OVSDB servers for tests: one per test, in a directory of its own, gone with it.
//!
//! Decides how servers are started, stopped, killed and joined to clusters; asserts nothing itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tombolo_ovn::nb;
use tombolo_ovsdb::driver::unixctl;
use tombolo_ovsdb::{Client, ClientConfig, Endpoints, Schema, Wanted};

/// No wait in a test is longer; reaching it is a failure, not a measure.
pub const LIMIT: Duration = Duration::from_secs(60);

/// The northbound schema of the older generation, as Debian 12 ships it.
pub const NB_23_03: &str = include_str!("../../../schemas/ovn-23.03/ovn-nb.ovsschema");

/// Whether the servers' programs are installed; the first that isn't is counted as missing.
#[must_use]
pub fn are_there() -> bool {
    ["ovsdb-server", "ovsdb-tool"].into_iter().all(|name| tombolo_needs::program(name, "openvswitch-switch"))
}

/// Servers sharing a directory: one standalone, or the members of a cluster.
pub struct Servers {
    dir: TempDir,
    database: String,
    members: Vec<Member>,
}

struct Member {
    child: Option<Child>,
    /// Remotes besides the unix socket.
    remotes: Vec<String>,
    extra: Vec<String>,
}

impl Drop for Servers {
    fn drop(&mut self) {
        for member in 0..self.members.len() {
            self.kill(member);
        }
    }
}

impl Servers {
    /// One standalone server of a schema.
    pub async fn standalone(schema: &str) -> Result<Servers> {
        Servers::standalone_with(schema, &[], &[]).await
    }

    /// One standalone server with more remotes (`ptcp:…`, `pssl:…`) and arguments.
    pub async fn standalone_with(schema: &str, remotes: &[String], extra: &[String]) -> Result<Servers> {
        let mut servers = Servers::empty(schema)?;
        servers.tool(&["create", "s0.db", "schema"])?;
        servers.add(remotes, extra);
        servers.start(0).await?;
        Ok(servers)
    }

    /// A cluster of `size` members.
    pub async fn cluster(schema: &str, size: usize) -> Result<Servers> {
        let mut servers = Servers::empty(schema)?;
        // A generous election timer: on a busy machine the default second loses leaders for no reason.
        servers.tool(&["--election-timer=5000", "create-cluster", "s0.db", "schema", "unix:s0.raft"])?;
        servers.add(&[], &[]);
        servers.start(0).await?;
        for member in 1..size {
            let (file, local) = (format!("s{member}.db"), format!("unix:s{member}.raft"));
            let database = servers.database.clone();
            servers.tool(&["join-cluster", &file, &database, &local, "unix:s0.raft"])?;
            servers.add(&[], &[]);
            servers.start(member).await?;
        }
        for member in 0..size {
            servers.wait_status(member, "Status: cluster member").await?;
        }
        servers.leader().await?;
        Ok(servers)
    }

    fn empty(schema: &str) -> Result<Servers> {
        let dir = tempfile::Builder::new().prefix("ovsdb-").tempdir().context("making a directory")?;
        fs::write(dir.path().join("schema"), schema).context("writing the schema")?;
        let database = Schema::parse(schema)?.name;
        Ok(Servers { dir, database, members: Vec::new() })
    }

    fn add(&mut self, remotes: &[String], extra: &[String]) {
        self.members.push(Member { child: None, remotes: remotes.to_vec(), extra: extra.to_vec() });
    }

    /// The directory of the servers.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn tool(&self, args: &[&str]) -> Result<()> {
        let output = Command::new("ovsdb-tool").args(args).current_dir(self.dir()).output();
        let output = output.context("starting ovsdb-tool (Debian package openvswitch-common)")?;
        if !output.status.success() {
            bail!("ovsdb-tool {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// Starts a member and waits until it takes connections.
    pub async fn start(&mut self, member: usize) -> Result<()> {
        let dir = self.dir.path().to_owned();
        let state = &mut self.members[member];
        let mut command = Command::new("ovsdb-server");
        command
            .arg(format!("--unixctl={}", dir.join(format!("s{member}.ctl")).display()))
            .arg(format!("--log-file={}", dir.join(format!("s{member}.log")).display()))
            .arg("-vconsole:off")
            .arg(format!("--remote=punix:s{member}.sock"))
            .args(state.remotes.iter().map(|remote| format!("--remote={remote}")))
            .args(&state.extra)
            .arg(format!("s{member}.db"))
            .current_dir(&dir)
            .env("OVS_RUNDIR", &dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // What a killed server left behind.
        for name in [format!("s{member}.sock"), format!("s{member}.ctl")] {
            let _ = fs::remove_file(dir.join(name));
        }
        let child = command.spawn().context("starting ovsdb-server (Debian package openvswitch-common)")?;
        state.child = Some(child);
        let started = Instant::now();
        // The control socket comes after the database's.
        let sockets = [self.socket(member), dir.join(format!("s{member}.ctl"))];
        while !sockets.iter().all(|socket| std::os::unix::net::UnixStream::connect(socket).is_ok()) {
            let child = self.members[member].child.as_mut().context("started above")?;
            if let Some(status) = child.try_wait()? {
                bail!("ovsdb-server ended at once ({status}): {}", self.log(member));
            }
            if started.elapsed() > LIMIT {
                bail!("ovsdb-server takes no connections: {}", self.log(member));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Kills a member with SIGKILL.
    pub fn kill(&mut self, member: usize) {
        if let Some(mut child) = self.members[member].child.take() {
            // A stopped process dies of SIGKILL too. Errors mean it is gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends a signal such as `STOP` or `CONT` to a member.
    pub fn signal(&self, member: usize, signal: &str) -> Result<()> {
        let child = self.members[member].child.as_ref().context("the member runs")?;
        let status = Command::new("kill").arg(format!("-{signal}")).arg(child.id().to_string()).status()?;
        anyhow::ensure!(status.success(), "kill -{signal}: {status}");
        Ok(())
    }

    /// The log of a member, for messages.
    pub fn log(&self, member: usize) -> String {
        fs::read_to_string(self.dir().join(format!("s{member}.log"))).unwrap_or_default()
    }

    /// The socket of a member.
    pub fn socket(&self, member: usize) -> PathBuf {
        self.dir().join(format!("s{member}.sock"))
    }

    /// All members' sockets as endpoints.
    pub fn endpoints(&self) -> Endpoints {
        let list: Vec<String> =
            (0..self.members.len()).map(|m| format!("unix:{}", self.socket(m).display())).collect();
        list.join(",").parse().expect("invariant: paths without commas")
    }

    /// The endpoint of a member, as clients' status shows it.
    pub fn endpoint(&self, member: usize) -> String {
        format!("unix:{}", self.socket(member).display())
    }

    /// Gives a control command to a member.
    pub async fn appctl(&self, member: usize, command: &str, args: &[&str]) -> Result<String> {
        let socket = self.dir().join(format!("s{member}.ctl"));
        Ok(unixctl::call(&socket, command, args, LIMIT).await?)
    }

    /// Waits until `cluster/status` of a member contains a text.
    pub async fn wait_status(&self, member: usize, text: &str) -> Result<()> {
        let started = Instant::now();
        loop {
            let status = self.appctl(member, "cluster/status", &[&self.database]).await?;
            if status.contains(text) {
                return Ok(());
            }
            if started.elapsed() > LIMIT {
                bail!("member {member} never reached {text:?}: {status}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The member that leads; waits for an election.
    pub async fn leader(&self) -> Result<usize> {
        let started = Instant::now();
        while started.elapsed() < LIMIT {
            for (member, state) in self.members.iter().enumerate() {
                if state.child.is_none() {
                    continue;
                }
                let status = self.appctl(member, "cluster/status", &[&self.database]).await?;
                if status.contains("Role: leader") && status.contains("Leader: self") {
                    return Ok(member);
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the cluster elects no leader")
    }

    /// Makes the leader hand over to another member, and returns the new one.
    pub async fn transfer_leadership(&self) -> Result<usize> {
        let old = self.leader().await?;
        self.appctl(old, "cluster/failure-test", &["transfer-leadership"]).await?;
        let started = Instant::now();
        loop {
            let new = self.leader().await?;
            if new != old {
                return Ok(new);
            }
            anyhow::ensure!(started.elapsed() < LIMIT, "member {old} keeps the leadership");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A client's configuration for all members and each table and column of the newer schema.
    pub fn config(&self) -> ClientConfig {
        ClientConfig::new(self.endpoints(), nb::DATABASE, all_of_nb())
    }

    /// A client of [`Servers::config`] with a fresh replica.
    pub async fn client(&self) -> Result<Client> {
        let client = Client::connect(self.config())?;
        client.ready(LIMIT).await?;
        Ok(client)
    }
}

/// Each table and column of the pinned NB schema, the newer generation's.
pub fn all_of_nb() -> Wanted {
    Wanted::everything(&Schema::parse(nb::SCHEMA).expect("invariant: the pinned schema parses"))
}

/// Waits until a check on a client's snapshot holds.
pub async fn until(
    client: &Client,
    what: &str,
    check: impl Fn(&tombolo_ovsdb::Snapshot) -> bool,
) -> Result<tombolo_ovsdb::Snapshot> {
    let mut changes = client.changes();
    let wait = async {
        while let Some(update) = changes.recv().await {
            if check(&update.snapshot) {
                return Some(update.snapshot);
            }
        }
        None
    };
    match tokio::time::timeout(LIMIT, wait).await {
        Ok(Some(snapshot)) => Ok(snapshot),
        Ok(None) => bail!("the client ended while waiting for: {what}"),
        Err(_) => bail!("never seen: {what}; {:?}", client.status()),
    }
}

/// A free TCP port of the loopback address. Another process may take it before it is used; tests that
/// use it retry.
pub fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
