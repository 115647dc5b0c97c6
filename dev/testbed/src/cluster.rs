//! An NB as production has it: three servers in a RAFT cluster, each of which can be killed, stopped, cut off
//! from its file, left without room on its disk, and brought back.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::disk::Disk;
use crate::eventually;
use crate::nb::{SCHEMA, are_there};
use crate::process::{Process, free_port};

const DATABASE: &str = "OVN_Northbound";
const PATIENCE: Duration = Duration::from_secs(60);
/// More than any run's log; it costs no memory until it is used.
const DISK_MEBIBYTES: u32 = 128;

/// A RAFT cluster of three.
#[derive(Debug)]
pub struct Cluster {
    members: Vec<Member>,
    dir: TempDir,
}

#[derive(Debug)]
struct Member {
    server: Option<Process>,
    /// Its own, where one may be mounted.
    disk: Option<Disk>,
    dir: PathBuf,
    port: u16,
    raft: String,
}

impl Cluster {
    /// Starts three members and waits until they have a leader. `None`, counted, if OVN's programs are missing.
    pub fn start() -> Result<Option<Self>> {
        if !are_there() {
            return Ok(None);
        }
        let dir = TempDir::new().context("making a directory for the NB")?;
        let member = |n: usize| -> Result<Member> {
            let (port, raft) = (free_port()?, format!("tcp:127.0.0.1:{}", free_port()?));
            let at = dir.path().join(format!("nb{n}"));
            std::fs::create_dir(&at).context("making a directory for a member of the NB")?;
            let disk = Disk::new(&at, DISK_MEBIBYTES)?;
            let dir = disk.as_ref().map_or(at, Disk::path);
            Ok(Member { server: None, disk, dir, port, raft })
        };
        let members = vec![member(0)?, member(1)?, member(2)?];
        let mut this = Self { members, dir };
        tool(&["create-cluster", &this.file(0), SCHEMA, &this.members[0].raft])?;
        this.start_member(0)?;
        for n in 1..this.members.len() {
            this.join(n)?;
        }
        this.leader()?;
        this.ctl(&["init"])?;
        Ok(Some(this))
    }

    fn file(&self, n: usize) -> String {
        self.members[n].dir.join("nb.db").display().to_string()
    }

    /// The files of all members.
    pub fn files(&self) -> Vec<PathBuf> {
        (0..self.members.len()).map(|n| self.file(n).into()).collect()
    }

    /// Whether each member has a disk that can be filled.
    pub fn has_disks(&self) -> bool {
        self.members.iter().all(|member| member.disk.is_some())
    }

    fn disk(&self, n: usize) -> Result<&Disk> {
        self.members[n].disk.as_ref().context("it has no disk of its own")
    }

    /// Leaves a member no room on its disk.
    pub fn fill_disk(&self, n: usize) -> Result<()> {
        self.disk(n)?.fill()
    }

    /// Makes room on a member's disk. What it wrote last may be broken (docs/operate/troubleshooting.md), so it joins anew.
    pub fn free_disk(&mut self, n: usize) -> Result<()> {
        self.disk(n)?.free()?;
        self.lose(n)
    }

    fn socket(&self, n: usize) -> PathBuf {
        self.dir.path().join(format!("nb{n}.ctl"))
    }

    /// How many members there are.
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// All addresses, as `--ovn-nb-addr` takes them.
    pub fn address(&self) -> String {
        let all: Vec<String> = self.members.iter().map(|m| format!("tcp:127.0.0.1:{}", m.port)).collect();
        all.join(",")
    }

    /// Process ids of the members that run.
    pub fn pids(&self) -> Vec<u32> {
        self.members.iter().filter_map(|m| m.server.as_ref()).map(Process::pid).collect()
    }

    /// The server that leads. Waits for an election.
    pub fn leader(&self) -> Result<usize> {
        eventually("a leader of the NB", PATIENCE, || {
            for n in 0..self.members.len() {
                let status = self.status(n).unwrap_or_default();
                // One that was stopped or cut off may still take itself for the leader; it knows of no other.
                if status.contains("Role: leader") && status.contains("Status: cluster member") {
                    return Ok(Some(n));
                }
            }
            Ok(None)
        })
    }

    fn status(&self, n: usize) -> Result<String> {
        if self.members[n].server.is_none() {
            bail!("member {n} doesn't run");
        }
        appctl(&self.socket(n), &["cluster/status", DATABASE])
    }

    /// The index after the last entry of the log, as the leader has it: it grows with each transaction (and with
    /// each election).
    pub fn log_end(&self) -> Result<u64> {
        let status = self.status(self.leader()?)?;
        let line = status.lines().find_map(|l| l.strip_prefix("Log: [")).context("no line \"Log:\"")?;
        let end = line.trim_end_matches(']').rsplit(", ").next().unwrap_or_default();
        end.parse().with_context(|| format!("the end of the log in {line:?}"))
    }

    /// Kills a member; its file stays.
    pub fn kill(&mut self, n: usize) {
        self.members[n].server = None;
    }

    /// Starts a member that was killed.
    pub fn start_member(&mut self, n: usize) -> Result<()> {
        let socket = self.socket(n);
        let _ = std::fs::remove_file(&socket); // of a server that was killed
        let args = [
            format!("--remote=ptcp:{}:127.0.0.1", self.members[n].port),
            "--no-chdir".to_owned(),
            format!("--unixctl={}", socket.display()),
            "-vconsole:warn".to_owned(),
            self.file(n),
        ];
        let program = tombolo_sandbox::kubernetes::util::which("ovsdb-server").unwrap_or_default();
        let log = self.dir.path().join(format!("nb{n}.log"));
        self.members[n].server = Some(Process::start(&program, &args, &[], &log)?);
        eventually("a member of the NB to answer", PATIENCE, || self.status(n).map(Some))?;
        Ok(())
    }

    /// Waits until all members that run have caught up and take part.
    pub fn settle(&self) -> Result<()> {
        eventually("all members of the NB to take part", PATIENCE, || {
            let end = self.log_end()?;
            for n in 0..self.members.len() {
                let status = self.status(n)?;
                let part = status.contains("Status: cluster member") && !status.contains("Role: candidate");
                let caught_up = status
                    .lines()
                    .find_map(|l| l.strip_prefix("Log: ["))
                    .and_then(|l| l.trim_end_matches(']').rsplit(", ").next()?.parse::<u64>().ok())
                    .is_some_and(|own| own >= end);
                if !part || !caught_up {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
    }

    /// Sends a member a signal (`STOP` cuts it off: its connections stay open and nothing answers).
    pub fn signal(&self, n: usize, name: &str) -> Result<()> {
        self.members[n].server.as_ref().context("it doesn't run")?.signal(name)
    }

    /// Lets the leader hand its office on. Returns who led.
    pub fn transfer(&self) -> Result<usize> {
        let leader = self.leader()?;
        appctl(&self.socket(leader), &["cluster/failure-test", "transfer-leadership"])?;
        Ok(leader)
    }

    /// Lets each member that runs compact its log (the leader hands its office on for that).
    pub fn compact(&self) -> Result<()> {
        for n in (0..self.members.len()).filter(|n| self.members[*n].server.is_some()) {
            appctl(&self.socket(n), &["ovsdb-server/compact", DATABASE])?;
        }
        Ok(())
    }

    /// A member's disk is gone: it is killed, the leader kicks it out of the cluster, and it joins as a new one.
    pub fn lose(&mut self, n: usize) -> Result<()> {
        let status = self.status(n)?;
        let id = status
            .lines()
            .find_map(|l| l.strip_prefix("Server ID: "))
            .and_then(|l| l.split_whitespace().next())
            .context("no line \"Server ID:\"")?
            .to_owned();
        self.kill(n);
        std::fs::remove_file(self.file(n)).context("losing a file of the NB")?;
        eventually("the lost member to be forgotten", PATIENCE, || {
            let leader = self.leader()?;
            let kicked = appctl(&self.socket(leader), &["cluster/kick", DATABASE, &id]);
            let servers = self.status(leader)?;
            Ok((kicked.is_err() && !servers.contains(&format!("{id} ("))).then_some(()))
        })?;
        let _ = std::fs::remove_file(self.members[n].dir.join(".nb.db.~lock~")); // of the server that was killed
        // Its place in the cluster is another one: the old address belongs to a server that is gone.
        self.members[n].raft = format!("tcp:127.0.0.1:{}", free_port()?);
        self.join(n)
    }

    fn join(&mut self, n: usize) -> Result<()> {
        let own = self.members[n].raft.clone();
        let others = self.members.iter().enumerate().filter(|(m, other)| *m != n && other.server.is_some());
        let others: Vec<String> = others.map(|(_, other)| other.raft.clone()).collect();
        let file = self.file(n);
        let mut args = vec!["join-cluster", &file, DATABASE, &own];
        args.extend(others.iter().map(String::as_str));
        tool(&args)?;
        self.start_member(n)?;
        eventually("a new member to join", PATIENCE, || {
            Ok(self.status(n)?.contains("Status: cluster member").then_some(()))
        })
    }

    /// What `ovn-nbctl ARGS` prints. Asked again while there is no leader.
    pub fn ctl(&self, args: &[&str]) -> Result<String> {
        eventually(&format!("ovn-nbctl {}", args.join(" ")), PATIENCE, || {
            let mut command = Command::new("ovn-nbctl");
            command.arg(format!("--db={}", self.address())).arg("--timeout=10").args(args);
            checked(command.output().context("starting ovn-nbctl")?, "ovn-nbctl").map(Some)
        })
    }

    /// A router of Neutron's with a network: see [`crate::neutron::router`].
    pub fn neutron_router(&self, n: u8, name: &str, cidr: &str) -> Result<(String, String)> {
        crate::neutron::router(|args| self.ctl(args), n, name, cidr)
    }

    /// The address of one member.
    pub fn address_of(&self, n: usize) -> String {
        format!("127.0.0.1:{}", self.members[n].port)
    }

    /// The logs of all members, for a test that failed.
    pub fn logs(&self) -> String {
        let read =
            |n| std::fs::read_to_string(self.dir.path().join(format!("nb{n}.log"))).unwrap_or_default();
        (0..self.members.len()).map(|n| format!("member {n}:\n{}", read(n))).collect()
    }
}

fn appctl(socket: &Path, args: &[&str]) -> Result<String> {
    let mut command = Command::new("ovs-appctl");
    // A server that was stopped never answers.
    command.arg("-t").arg(socket).arg("--timeout=3").args(args);
    checked(command.output().context("starting ovs-appctl")?, args[0])
}

fn tool(args: &[&str]) -> Result<String> {
    checked(Command::new("ovsdb-tool").args(args).output().context("starting ovsdb-tool")?, "ovsdb-tool")
}

fn checked(output: Output, what: &str) -> Result<String> {
    if !output.status.success() {
        bail!("{what}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
