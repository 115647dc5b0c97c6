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

use anyhow::{Context as _, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use crate::progress::Phase;
use crate::{exec, paths};

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

/// The program that puts a command inside a host.
pub(crate) fn enter() -> PathBuf {
    paths::bin().join("enter")
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Host {
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
        let mut command = Command::new(enter());
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

    /// Ends a daemon: TERM, then KILL after 20 s. Does nothing when it isn't running.
    ///
    /// # Errors
    /// When it doesn't end.
    pub fn stop_daemon(&self, name: &str) -> Result<()> {
        if self.daemon_pid(name).is_none() {
            return Ok(());
        }
        let gone = || Ok(self.daemon_pid(name).is_none().then_some(()));
        let what = format!("{name} on {self} to end");
        // It may end between the look and the signal.
        let _ = self.kill_daemon(name, "TERM");
        if exec::wait_until(&what, STOP, gone).is_err() {
            let _ = self.kill_daemon(name, "KILL");
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
        cgroup_hierarchies().into_iter().map(|h| h.join(scoped(&self.name))).collect()
    }

    fn up(&self) -> Result<()> {
        if self.init_pid().is_some() {
            return Ok(());
        }
        self.clean()?;
        for dir in ["run", "log", "fs"] {
            fs::create_dir_all(self.dir().join(dir))
                .with_context(|| format!("creating {}", self.dir().display()))?;
        }
        let cgroups = self.cgroup_dirs();
        for dir in &cgroups {
            make_cgroup(dir)?;
        }
        let lines = |dirs: &[PathBuf]| dirs.iter().map(|d| format!("{}\n", d.display())).collect::<String>();
        fs::write(self.dir().join("cgroup-roots"), lines(&cgroups))?;
        let join: Vec<PathBuf> =
            if cgroup2() { cgroups.iter().map(|d| d.join("init")).collect() } else { cgroups };
        fs::write(self.dir().join("cgroups"), lines(&join))?;
        self.nics()?;
        let mut start = Command::new("bash");
        start
            .arg(paths::state().join("lib/host-start.sh"))
            .arg(&self.name)
            .arg(paths::state())
            .arg(self.netns());
        exec::check(&mut start, exec::SHORT, None)?;
        let pid = exec::wait_until(&format!("{self} to boot"), exec::SHORT, || {
            let pid = processes().into_iter().map(|p| p.pid).find(|pid| self.is_init(*pid));
            Ok(pid.filter(|_| self.dir().join("ready").exists()))
        })
        .with_context(|| format!("see {}", self.log_dir().join("init.log").display()))?;
        fs::write(self.dir().join("init.pid"), format!("{pid}\n"))?;
        Ok(())
    }

    fn nics(&self) -> Result<()> {
        let (ns, under, i, mtu) = (self.netns(), underlay_netns(), self.index, UNDERLAY_MTU);
        ip(&format!("netns add {ns}"))?;
        ip(&format!("-n {ns} link set lo up"))?;
        for (nic, bridge) in [("eth0", "mgmt"), ("eth1", "data")] {
            let peer = format!("{bridge}{i}");
            ip(&format!("-n {ns} link add {nic} mtu {mtu} type veth peer name {peer} netns {under}"))?;
            ip(&format!("-n {under} link set {peer} mtu {mtu} master {bridge} up"))?;
        }
        let sysctls = ["net.ipv4.ip_forward=1", "net.ipv6.conf.eth1.disable_ipv6=1"];
        exec::check(
            Command::new("nsenter")
                .arg(format!("--net=/run/netns/{ns}"))
                .args(["sysctl", "-qw"])
                .args(sysctls),
            exec::SHORT,
            None,
        )?;
        ip(&format!("-n {ns} addr add {}/24 dev eth0", self.mgmt))?;
        ip(&format!("-n {ns} link set eth0 up"))?;
        ip(&format!("-n {ns} link set eth1 up"))?;
        ip(&format!("-n {ns} route add default via {GATEWAY}"))?;
        // The userspace datapath reads a copy of what arrives on eth1 (AF_PACKET): without this the kernel would
        // answer ARP and refuse tunnel packets beside it. Packets taken here were copied before.
        let rules = "table netdev underlay { chain ingress { type filter hook ingress device eth1 priority 0; policy drop; }; }";
        exec::check(
            Command::new("nsenter").arg(format!("--net=/run/netns/{ns}")).args(["nft", rules]),
            exec::SHORT,
            None,
        )?;
        Ok(())
    }

    /// Removes what this host left, alive or not.
    fn clean(&self) -> Result<()> {
        let inits: Vec<u32> =
            processes().into_iter().map(|p| p.pid).filter(|pid| self.is_init(*pid)).collect();
        for pid in inits {
            // All processes of a pid namespace die with its pid 1.
            let _ = exec::run(Command::new("kill").args(["-KILL", &pid.to_string()]), exec::SHORT, None);
        }
        let cgroups = self.cgroup_dirs();
        let what = format!("the processes of {self} to end");
        exec::wait_until(&what, exec::SHORT, || {
            let left: Vec<String> = cgroups.iter().flat_map(|dir| cgroup_processes(dir)).collect();
            // Those that somebody put in the cgroups but not in the pid namespace.
            for pid in &left {
                let _ = exec::run(Command::new("kill").args(["-KILL", pid]), exec::SHORT, None);
            }
            Ok(left.is_empty().then_some(()))
        })?;
        for dir in &cgroups {
            exec::wait_ok(&format!("{} to be removable", dir.display()), STOP, || remove_cgroup(dir))?;
        }
        if netns_exists(&self.netns()) {
            ip(&format!("netns del {}", self.netns()))?;
        }
        if self.dir().exists() {
            fs::remove_dir_all(self.dir()).with_context(|| format!("removing {}", self.dir().display()))?;
        }
        Ok(())
    }
}

/// Brings the underlay and the hosts up. Does nothing for a host that is up. State of an earlier sandbox none of
/// whose hosts lives (after a reboot) is removed first.
///
/// # Errors
/// When a step fails; what was made stays for a look and for [`down`].
pub fn up(phase: &Phase) -> Result<()> {
    if !all().iter().any(|h| h.init_pid().is_some()) {
        down(phase)?;
    }
    let lib = paths::state().join("lib");
    fs::create_dir_all(&lib)
        .and_then(|()| fs::create_dir_all(paths::bin()))
        .context("creating the sandbox's state")?;
    if cgroup2() {
        fs::write(paths::state().join("cgroup2"), "")?;
    }
    fs::write(init_script(), include_str!("../files/host-init.sh"))?;
    fs::write(lib.join("host-start.sh"), include_str!("../files/host-start.sh"))?;
    fs::write(lib.join("host-dirs"), HOST_DIRS.map(|d| format!("{d}\n")).concat())?;
    let names: String = all().iter().map(|h| format!("{} {}\n", h.mgmt, h.name)).collect();
    fs::write(lib.join("etc-hosts"), format!("127.0.0.1 localhost\n::1 localhost\n{names}"))?;
    fs::write(lib.join("etc-resolv"), "# hosts of the sandbox reach no name server\n")?;
    note_missing_dirs()?;
    install_script(&enter(), include_str!("../files/enter.sh"))?;
    underlay()?;
    for host in all() {
        phase.doing(format_args!("starting {host}"));
        host.up()?;
    }
    Ok(())
}

/// Writes an executable script.
pub(crate) fn install_script(path: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    // A new file put in place at once: somebody may be running the old one.
    let fresh = path.with_extension("new");
    fs::write(&fresh, text)
        .and_then(|()| fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755)))
        .and_then(|()| fs::rename(&fresh, path))
        .with_context(|| format!("writing {}", path.display()))
}

fn init_script() -> PathBuf {
    paths::state().join("lib/host-init.sh")
}

/// Mount points that this machine lacks are made by the hosts and removed by [`down`].
fn note_missing_dirs() -> Result<()> {
    let list = paths::state().join("made-dirs");
    let mut made = Vec::new();
    for dir in HOST_DIRS {
        made.extend(Path::new(dir).ancestors().filter(|d| !d.exists()).map(Path::to_owned));
        fs::create_dir_all(dir).with_context(|| format!("creating the mount point {dir}"))?;
    }
    let old = fs::read_to_string(&list).unwrap_or_default();
    let new: String = made.iter().map(|d| format!("{}\n", d.display())).collect();
    fs::write(&list, old + &new).with_context(|| format!("writing {}", list.display()))
}

/// Removes the mount points that were made, while they are empty and no other sandbox mounts over them: removing a
/// mount point takes away what other namespaces have mounted there.
fn remove_made_dirs() {
    let list = paths::state().join("made-dirs");
    let made = fs::read_to_string(&list).unwrap_or_default();
    let mut made: Vec<&str> = made.lines().collect();
    made.sort_by_key(|dir| std::cmp::Reverse(dir.len()));
    let mut others = other_sandboxes();
    if let Some(other) = others.pop() {
        let theirs = other.join("made-dirs");
        let both = fs::read_to_string(&theirs).unwrap_or_default() + &made.join("\n") + "\n";
        let _ = fs::write(theirs, both);
        return;
    }
    for dir in made {
        let _ = fs::remove_dir(dir);
    }
}

fn other_sandboxes() -> Vec<PathBuf> {
    let state = paths::state();
    let entries = fs::read_dir("/var/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let name =
        |path: &Path| path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"tombolo-sandbox"));
    entries.filter(|path| *path != state && name(path) && path.join("made-dirs").exists()).collect()
}

fn underlay() -> Result<()> {
    let under = underlay_netns();
    if netns_exists(&under) {
        return Ok(());
    }
    ip(&format!("netns add {under}"))?;
    ip(&format!("-n {under} link set lo up"))?;
    for bridge in ["mgmt", "data"] {
        ip(&format!("-n {under} link add {bridge} mtu {UNDERLAY_MTU} type bridge"))?;
        ip(&format!("-n {under} link set {bridge} up"))?;
    }
    ip(&format!("-n {under} addr add {GATEWAY}/24 dev mgmt"))
}

/// Takes everything down and checks that nothing is left. Logs are kept under [`paths::logs`].
///
/// # Errors
/// When something can't be removed: it is named.
pub fn down(phase: &Phase) -> Result<()> {
    keep_logs();
    for host in all() {
        phase.doing(format_args!("ending {host}"));
        host.clean()?;
    }
    let under = underlay_netns();
    if netns_exists(&under) {
        ip(&format!("netns del {under}"))?;
    }
    remove_made_dirs();
    if paths::state().exists() {
        fs::remove_dir_all(paths::state())
            .with_context(|| format!("removing {}", paths::state().display()))?;
    }
    phase.doing("looking for leftovers");
    let left = leftovers()?;
    if !left.is_empty() {
        bail!("the sandbox left something behind:\n{}", left.join("\n"));
    }
    Ok(())
}

/// Copies the logs of the sandbox that goes down to [`paths::logs`]`/last`: a look at what went wrong comes later.
fn keep_logs() {
    let last = paths::logs().join("last");
    let with_logs: Vec<Host> = all().into_iter().filter(|h| h.log_dir().exists()).collect();
    if with_logs.is_empty() {
        return;
    }
    let _ = fs::remove_dir_all(&last);
    for host in with_logs {
        let to = last.join(&host.name);
        let made = fs::create_dir_all(&to);
        // Logs are a courtesy: that they can't be kept must not keep the sandbox up.
        if made.is_ok() {
            let _ = exec::run(
                Command::new("cp").arg("-r").arg(host.log_dir().join(".")).arg(&to),
                exec::SHORT,
                None,
            );
        }
    }
}

/// What of a sandbox exists on this machine: processes, network namespaces, mounts, cgroups, interfaces, the state.
///
/// # Errors
/// When the machine can't be looked at.
pub fn leftovers() -> Result<Vec<String>> {
    let mut left = Vec::new();
    for host in all() {
        left.extend(
            host.cgroup_dirs().into_iter().filter(|d| d.exists()).map(|d| format!("cgroup {}", d.display())),
        );
    }
    let state = paths::state();
    let state_text = format!("{}/", state.display());
    let netns: Vec<String> = all().iter().map(Host::netns).chain([underlay_netns()]).collect();
    for process in processes() {
        let cmdline = fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
        let cmdline = String::from_utf8_lossy(&cmdline).replace('\0', " ");
        if process.alive && cmdline.contains(&state_text) {
            left.push(format!("process {} {}", process.pid, cmdline.trim_end()));
        }
    }
    left.extend(
        netns.iter().filter(|name| netns_exists(name)).map(|name| format!("network namespace {name}")),
    );
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("reading the mounts")?;
    for line in mounts.lines() {
        if line.contains(&state_text) || netns.iter().any(|name| line.contains(&format!("/netns/{name} "))) {
            left.push(format!("mount {line}"));
        }
    }
    for line in exec::check(Command::new("ip").args(["-o", "link"]), exec::SHORT, None)?.lines() {
        let name = line.split(": ").nth(1).unwrap_or_default();
        if ["mgmt", "data", "br-int", "br-phy", "ovs-netdev", "genev_sys"].iter().any(|p| name.starts_with(p))
        {
            left.push(format!("interface {line}"));
        }
    }
    if state.exists() {
        left.push(format!("directory {}", state.display()));
    }
    Ok(left)
}

fn netns_exists(name: &str) -> bool {
    Path::new("/run/netns").join(name).exists()
}

/// `ip` with the words of a line.
pub(crate) fn ip(words: &str) -> Result<()> {
    exec::check(Command::new("ip").args(words.split(' ')), exec::SHORT, None)?;
    Ok(())
}

fn cgroup2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.procs").exists()
}

fn cgroup_hierarchies() -> Vec<PathBuf> {
    if cgroup2() {
        return vec![PathBuf::from("/sys/fs/cgroup")];
    }
    let mut found: Vec<PathBuf> = fs::read_dir("/sys/fs/cgroup")
        .into_iter()
        .flatten()
        .flatten()
        // Controllers mounted together have symlinks beside their directory.
        .filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir()))
        .map(|entry| entry.path())
        .filter(|path| path.join("cgroup.procs").exists())
        .collect();
    found.sort();
    found
}

fn make_cgroup(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("creating the cgroup {}", dir.display()))?;
    let parent = dir.parent().unwrap_or(dir);
    // A new group of the v1 cpuset controller is empty, and nothing can run in it.
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if let Ok(value) = fs::read_to_string(parent.join(file))
            && !cgroup2()
        {
            fs::write(dir.join(file), value).with_context(|| format!("setting {}/{file}", dir.display()))?;
        }
    }
    if cgroup2() {
        let controllers = fs::read_to_string(parent.join("cgroup.controllers")).unwrap_or_default();
        for controller in controllers.split_whitespace() {
            // One that can't be handed down is missing in the hosts; kubelet names it if it needs it.
            let _ = fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
    Ok(())
}

fn cgroup_processes(dir: &Path) -> Vec<String> {
    let mut found: Vec<String> =
        fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default().lines().map(str::to_owned).collect();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            found.extend(cgroup_processes(&entry.path()));
        }
    }
    found
}

fn remove_cgroup(dir: &Path) -> Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove_cgroup(&entry.path())?;
        }
    }
    fs::remove_dir(dir).with_context(|| format!("removing the cgroup {}", dir.display()))
}

struct Process {
    pid: u32,
    /// Its pid in the innermost pid namespace.
    inner: u32,
    /// Neither a zombie nor dead.
    alive: bool,
}

fn process(pid: u32) -> Option<Process> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
    let inner = field("NSpid:")?.split_whitespace().last()?.parse().ok()?;
    Some(Process { pid, inner, alive: !field("State:")?.starts_with(['Z', 'X']) })
}

fn processes() -> Vec<Process> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| process(entry.file_name().to_str()?.parse().ok()?))
        .collect()
}
