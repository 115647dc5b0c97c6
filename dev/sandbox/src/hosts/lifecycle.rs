//! Making and removing the hosts and their underlay, and the check that nothing of them is left.
//!
//! Decides the order; a host that is up is never touched again by [`up`].

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::cgroups::{self, cgroup2};
use super::processes::processes;
use super::{GATEWAY, HOST_DIRS, Host, STOP, UNDERLAY_MTU, all, init_script, install_script, underlay_netns};
use crate::progress::Phase;
use crate::{exec, paths};

impl Host {
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
            cgroups::make(dir)?;
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
        if cgroup2() {
            for dir in self.cgroup_dirs() {
                cgroups::delegate(&dir)?;
            }
        }
        fs::write(self.dir().join("init.pid"), format!("{pid}\n"))?;
        Ok(())
    }

    /// Takes the host's two cables out of their switches, or plugs them in again.
    ///
    /// # Errors
    /// When the host isn't up.
    pub fn cut_off(&self, cut: bool) -> Result<()> {
        let (under, i) = (underlay_netns(), self.index);
        for bridge in ["mgmt", "data"] {
            let master = if cut { "nomaster".to_owned() } else { format!("master {bridge}") };
            ip(&format!("-n {under} link set {bridge}{i} {master}"))?;
        }
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
            let left: Vec<String> = cgroups.iter().flat_map(|dir| cgroups::processes(dir)).collect();
            // Processes that were put in the cgroups but not in the pid namespace.
            for pid in &left {
                let _ = exec::run(Command::new("kill").args(["-KILL", pid]), exec::SHORT, None);
            }
            Ok(left.is_empty().then_some(()))
        })?;
        for dir in &cgroups {
            exec::wait_ok(&format!("{} to be removable", dir.display()), STOP, || cgroups::remove(dir))?;
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
    fs::write(init_script(), include_str!("../../files/host-init.sh"))?;
    fs::write(lib.join("host-start.sh"), include_str!("../../files/host-start.sh"))?;
    fs::write(lib.join("host-dirs"), HOST_DIRS.map(|d| format!("{d}\n")).concat())?;
    let names: String = all().iter().map(|h| format!("{} {}\n", h.mgmt, h.name)).collect();
    fs::write(lib.join("etc-hosts"), format!("127.0.0.1 localhost\n::1 localhost\n{names}"))?;
    fs::write(lib.join("etc-resolv"), "# hosts of the sandbox reach no name server\n")?;
    note_missing_dirs()?;
    install_script(&paths::enter(), include_str!("../../files/enter.sh"))?;
    underlay()?;
    for host in all() {
        phase.doing(format_args!("starting {host}"));
        host.up()?;
    }
    Ok(())
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
/// When the machine can't be inspected.
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
    // Every process of a host sees the host's mounts.
    let mut seen = BTreeMap::new();
    for process in processes().iter().filter(|process| process.alive) {
        let pid = process.pid;
        let Ok(namespace) = fs::read_link(format!("/proc/{pid}/ns/mnt")) else { continue };
        let inside = *seen.entry(namespace).or_insert_with(|| {
            fs::read_to_string(format!("/proc/{pid}/mountinfo"))
                .is_ok_and(|mounts| mounts.contains(&state_text))
        });
        if inside {
            let cmdline = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let cmdline = String::from_utf8_lossy(&cmdline).replace('\0', " ");
            left.push(format!("process {pid} {}", cmdline.trim_end()));
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
