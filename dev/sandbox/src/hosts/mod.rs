//! Three hosts on one machine: each has its own network, mount, pid, uts, ipc and cgroup namespaces, the standard
//! paths of a machine, and two NICs (eth0 for management, eth1 for the tunnels) on an underlay that is a network
//! namespace of its own. Nothing is made in the machine's root network namespace.
//!
//! Decides names, addresses and paths; not what runs on the hosts.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use serde::{Deserialize, Serialize};

mod cgroups;
mod lifecycle;
mod processes;

pub use lifecycle::{down, leftovers, up};

use crate::{exec, paths};
use processes::{process, processes};

/// How many hosts there are: as many as a RAFT cluster needs to lose one.
pub const COUNT: u8 = 3;
/// MTU of both underlay networks: a tunnelled packet of full size fits.
pub const UNDERLAY_MTU: u32 = 9000;
/// The underlay's own address on the management network: the hosts' default gateway.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 254);

/// Directories that are each host's own, at their standard paths.
const HOST_DIRS: [&str; 12] = [
    "/var/lib/kubelet",
    "/var/lib/containerd",
    "/var/lib/cni",
    "/var/lib/ovn",
    "/var/lib/openvswitch",
    "/etc/openvswitch",
    "/etc/cni/net.d",
    "/etc/containerd",
    "/etc/kubernetes",
    "/etc/neutron",
    "/opt/cni/bin",
    "/opt/containerd",
];
const STOP: Duration = Duration::from_secs(20);

/// One of the sandbox's machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// 1 to [`COUNT`].
    pub index: u8,
    /// `host1` …: the host name inside, and its directory in the state.
    pub name: String,
    /// Address of eth0 (172.30.0.0/24): databases, RAFT, API server, kubelet.
    pub mgmt: Ipv4Addr,
    /// Address of br-phy (172.31.0.0/24): the Geneve tunnels' end.
    pub encap: Ipv4Addr,
}

/// How a daemon was started, kept so that it can be started again.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Daemon {
    program: String,
    args: Vec<String>,
    env: BTreeMap<String, String>,
}

/// All hosts in order.
pub fn all() -> Vec<Host> {
    (1..=COUNT).map(host).collect()
}

/// The host with this index (1-based).
pub fn host(index: u8) -> Host {
    Host {
        index,
        name: format!("host{index}"),
        mgmt: Ipv4Addr::new(172, 30, 0, index),
        encap: Ipv4Addr::new(172, 31, 0, index),
    }
}

/// The host with this name.
///
/// # Errors
/// When there is none.
pub fn by_name(name: &str) -> Result<Host> {
    let names: Vec<String> = all().into_iter().map(|h| h.name).collect();
    all()
        .into_iter()
        .find(|h| h.name == name)
        .ok_or_else(|| anyhow!("no host {name:?}: there are {}", names.join(", ")))
}

/// The underlay's network namespace.
pub fn underlay_netns() -> String {
    scoped("under")
}

/// The name of a thing of this sandbox where all sandboxes' things are: network namespaces, cgroups.
fn scoped(name: &str) -> String {
    format!("tombolo{}-{name}", paths::suffix())
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Host {
    /// All hosts but this one.
    pub fn others(&self) -> Vec<Host> {
        all().into_iter().filter(|other| other.index != self.index).collect()
    }

    /// The host's directory in the state, the same path inside and outside.
    pub fn dir(&self) -> PathBuf {
        paths::state().join(&self.name)
    }

    /// `/var/log` of the host, seen from outside.
    pub fn log_dir(&self) -> PathBuf {
        self.dir().join("log")
    }

    /// Log of a daemon started by [`Host::daemon`].
    pub fn daemon_log(&self, name: &str) -> PathBuf {
        self.log_dir().join(format!("{name}.log"))
    }

    /// The name of its network namespace, for `ip netns` and `ip -n`.
    pub fn netns(&self) -> String {
        scoped(&self.name)
    }

    /// A command that runs inside all the host's namespaces and in its cgroups. Add arguments and environment as
    /// usual; run it by [`crate::exec`], which can end it: killing only the started process would leave the
    /// program inside behind.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(paths::enter());
        command.arg(&self.name).arg(program);
        command
    }

    /// Runs `words` inside the host and returns standard output, within [`exec::SHORT`].
    ///
    /// # Errors
    /// As [`exec::check`].
    pub fn exec<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Result<String> {
        exec::check(&mut self.words(words)?, exec::SHORT, None)
    }

    /// As [`Host::exec`], whatever the exit status is.
    ///
    /// # Errors
    /// As [`exec::run`].
    pub fn try_exec<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Result<exec::Output> {
        exec::run(&mut self.words(words)?, exec::SHORT, None)
    }

    /// Runs a shell script (`bash -e`) inside the host and returns standard output, within [`exec::SHORT`].
    ///
    /// # Errors
    /// As [`exec::check`].
    pub fn script(&self, script: &str) -> Result<String> {
        self.exec(["bash", "-ec", script])
    }

    fn words<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Result<Command> {
        let mut words = words.into_iter();
        let program = words.next().context("a command has at least one word")?;
        let mut command = self.command(program);
        command.args(words);
        Ok(command)
    }

    /// Starts `program` detached inside the host, output appended to [`Host::daemon_log`]. Does nothing when a daemon
    /// of this name runs already. Returns its pid as seen from outside.
    ///
    /// # Errors
    /// When it can't be started. That it stays alive is the caller's to wait for.
    pub fn daemon(&self, name: &str, program: &str, args: &[&str], env: &[(&str, &str)]) -> Result<u32> {
        let daemon = Daemon {
            program: program.to_owned(),
            args: args.iter().map(|a| (*a).to_owned()).collect(),
            env: env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        };
        self.start(name, &daemon)
    }

    fn start(&self, name: &str, daemon: &Daemon) -> Result<u32> {
        if let Some(pid) = self.daemon_pid(name) {
            return Ok(pid);
        }
        fs::write(self.run_file(name, "json"), serde_json::to_string_pretty(daemon)?)
            .with_context(|| format!("keeping how {name} of {self} is started"))?;
        let (pid_file, log) = (self.run_file(name, "pid"), self.daemon_log(name));
        // The background job is no group leader, so setsid(1) becomes the daemon without a fork: `$!` is its pid.
        let script =
            "cd /; exec >>\"$1\" 2>&1 </dev/null; pid=$2; shift 2; setsid \"$@\" & echo $! >\"$pid\"";
        let mut command = self.command("bash");
        command
            .args(["-c", script, "daemon"])
            .arg(&log)
            .arg(&pid_file)
            .arg(&daemon.program)
            .args(&daemon.args);
        command.envs(&daemon.env);
        exec::check(&mut command, exec::SHORT, None).with_context(|| format!("starting {name} on {self}"))?;
        self.daemon_pid(name).ok_or_else(|| {
            let tail = crate::progress::tail(&log, 10).join("\n");
            anyhow!("{name} on {self} ended at once; its log {} ends:\n{tail}", log.display())
        })
    }

    /// The daemon's pid as seen from outside, while it lives.
    pub fn daemon_pid(&self, name: &str) -> Option<u32> {
        let inner: u32 = fs::read_to_string(self.run_file(name, "pid")).ok()?.trim().parse().ok()?;
        let namespace = fs::read_link(format!("/proc/{}/ns/pid", self.init_pid()?)).ok()?;
        processes()
            .into_iter()
            .find(|p| {
                p.inner == inner
                    && p.alive
                    && fs::read_link(format!("/proc/{}/ns/pid", p.pid)).is_ok_and(|n| n == namespace)
            })
            .map(|p| p.pid)
    }

    /// Names of the daemons that were started on this host, dead ones as well.
    pub fn daemons(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.dir().join("run"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".json")?.to_owned()))
            .collect();
        names.sort();
        names
    }

    /// Sends a signal (`TERM`, `KILL`, `STOP` …) to a daemon.
    ///
    /// # Errors
    /// When it isn't running.
    pub fn kill_daemon(&self, name: &str, signal: &str) -> Result<()> {
        let pid = self.daemon_pid(name).ok_or_else(|| anyhow!("{name} is not running on {self}"))?;
        exec::check(Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()), exec::SHORT, None)?;
        Ok(())
    }

    /// Ends a daemon: TERM, then after 20 s KILL. Does nothing when it isn't running.
    ///
    /// # Errors
    /// When it doesn't end.
    pub fn stop_daemon(&self, name: &str) -> Result<()> {
        self.stop_daemon_within(name, STOP)
    }

    /// As [`Host::stop_daemon`] with another time until it and its children (its process group) get KILL.
    ///
    /// # Errors
    /// When it doesn't end.
    pub fn stop_daemon_within(&self, name: &str, grace: Duration) -> Result<()> {
        let Some(pid) = self.daemon_pid(name) else { return Ok(()) };
        let gone = || Ok(self.daemon_pid(name).is_none().then_some(()));
        let what = format!("{name} on {self} to end");
        // It may end between the look and the signal.
        let _ = self.kill_daemon(name, "TERM");
        if exec::wait_until(&what, grace, gone).is_err() {
            // setsid made it the leader of a group.
            crate::progress::kill_group(pid, "KILL");
            exec::wait_until(&what, STOP, gone)?;
        }
        Ok(())
    }

    /// Starts a daemon again as it was started before (after [`Host::stop_daemon`], [`Host::kill_daemon`] or a crash).
    ///
    /// # Errors
    /// When it never was started, or can't be.
    pub fn start_again(&self, name: &str) -> Result<u32> {
        let path = self.run_file(name, "json");
        let spec =
            fs::read_to_string(&path).with_context(|| format!("{name} was never started on {self}"))?;
        self.start(name, &serde_json::from_str(&spec).with_context(|| format!("reading {}", path.display()))?)
    }

    /// Sends a signal that ends a daemon (`TERM`, `KILL`) and waits until it has.
    ///
    /// # Errors
    /// When it isn't running, or doesn't end.
    pub fn end_daemon(&self, name: &str, signal: &str) -> Result<()> {
        self.kill_daemon(name, signal)?;
        exec::wait_until(&format!("{name} on {self} to end"), exec::SHORT, || {
            Ok(self.daemon_pid(name).is_none().then_some(()))
        })
    }

    fn run_file(&self, name: &str, kind: &str) -> PathBuf {
        self.dir().join("run").join(format!("{name}.{kind}"))
    }

    /// Pid 1 of the host as seen from outside, while it lives.
    pub fn init_pid(&self) -> Option<u32> {
        let pid: u32 = fs::read_to_string(self.dir().join("init.pid")).ok()?.trim().parse().ok()?;
        self.is_init(pid).then_some(pid)
    }

    /// Whether `pid` is this host's pid 1: another process may bear the number after a reboot.
    fn is_init(&self, pid: u32) -> bool {
        let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
        let mut words = line.split(|b| *b == 0);
        words.any(|w| w == init_script().as_os_str().as_encoded_bytes())
            && words.next() == Some(self.name.as_bytes())
            && process(pid).is_some_and(|p| p.inner == 1 && p.alive)
    }

    fn cgroup_dirs(&self) -> Vec<PathBuf> {
        cgroups::hierarchies().into_iter().map(|h| h.join(scoped(&self.name))).collect()
    }
}

/// Writes an executable script.
pub(crate) fn install_script(path: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    // A new file, renamed into place: a process may still be running the old one.
    let fresh = path.with_extension("new");
    fs::write(&fresh, text)
        .and_then(|()| fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755)))
        .and_then(|()| fs::rename(&fresh, path))
        .with_context(|| format!("writing {}", path.display()))
}

fn init_script() -> PathBuf {
    paths::state().join("lib/host-init.sh")
}
