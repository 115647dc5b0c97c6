//! A node: the program with real ovsdb-server, ovs-vswitchd and ovn-controller in directories of its own.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tombolo_needs::needs;
use tombolo_testbed::eventually;

const SOON: Duration = Duration::from_secs(30);

struct Node {
    dir: TempDir,
    pods: Vec<Child>,
}

impl Drop for Node {
    fn drop(&mut self) {
        while !self.pods.is_empty() {
            self.end();
        }
    }
}

impl Node {
    fn new() -> Result<Option<Self>> {
        let programs =
            ["ovsdb-server", "ovsdb-tool", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl", "ovn-controller"];
        if !programs.into_iter().all(|name| tombolo_needs::program(name, "openvswitch-switch, ovn-host")) {
            return Ok(None);
        }
        let dir = tempfile::Builder::new().prefix("node-").tempdir()?;
        fs::create_dir_all(dir.path().join("etc"))?;
        fs::create_dir_all(dir.path().join("run"))?;
        Ok(Some(Self { dir, pods: Vec::new() }))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("OVS_RUNDIR", self.path("run")).env("OVN_RUNDIR", self.path("run"));
        command.env("OVS_DBDIR", self.path("etc")).env("OVS_LOGDIR", self.path("")).stdin(Stdio::null());
        command
    }

    /// Starts one more pod; its number.
    fn pod(&mut self, remote: &str) -> Result<usize> {
        let number = self.pods.len();
        let log = fs::File::create(self.path(&format!("log{number}")))?;
        let child = self
            .command(env!("CARGO_BIN_EXE_tombolo-hypervisor"))
            .args([&format!("--ovn-remote={remote}"), "--address=127.0.0.1", "--node=n1"])
            .arg(format!("--dir={}", self.path("etc").display()))
            .arg(format!("--run-dir={}", self.path("run").display()))
            .arg(format!("--ready-file={}", self.path(&format!("ready{number}")).display()))
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.pods.push(child);
        Ok(number)
    }

    /// Ends the oldest pod as Kubernetes does.
    fn end(&mut self) {
        let mut pod = self.pods.remove(0);
        let _ = Command::new("kill").args(["-TERM", &pod.id().to_string()]).status();
        let _ = pod.wait();
    }

    fn log(&self, number: usize) -> String {
        fs::read_to_string(self.path(&format!("log{number}"))).unwrap_or_default()
    }

    fn vsctl(&self, args: &[&str]) -> Result<String> {
        let output = self.command("ovs-vsctl").arg("--timeout=10").args(args).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().replace('"', ""))
    }

    fn get(&self, key: &str) -> Result<String> {
        self.vsctl(&["--no-wait", "--if-exists", "get", "open", ".", &format!("external_ids:{key}")])
    }

    fn says(&self, number: usize, words: &str) -> Result<()> {
        until(words, || self.log(number).contains(words)).with_context(|| self.log(number))
    }

    fn is_ready(&self, number: usize) -> Result<()> {
        until("the pod to be ready", || self.path(&format!("ready{number}")).exists())
            .with_context(|| self.log(number))
    }
}

fn until(what: &str, holds: impl Fn() -> bool) -> Result<()> {
    eventually(what, SOON, || Ok(holds().then_some(())))
}

#[test]
fn what_is_set_stays_and_one_pod_follows_another() -> Result<()> {
    let mut node = needs!(Node::new()?);
    fs::write(node.path("etc/system-id.conf"), "the-nodes-own\n")?;
    node.pod("tcp:127.0.0.1:16642")?;
    node.says(0, "ovn-controller runs")?;
    node.is_ready(0)?;
    ensure!(node.get("system-id")? == "the-nodes-own" && node.get("hostname")? == "n1");
    ensure!(node.get("ovn-encap-ip")? == "127.0.0.1" && node.get("ovn-remote")? == "tcp:127.0.0.1:16642");
    ensure!(node.get("ovn-match-northd-version")?.is_empty());
    let other = node.vsctl(&["--no-wait", "get", "open", ".", "other_config"])?;
    ensure!(
        !other.contains("offload") && !other.contains("threads") && !other.contains("flow-restore-wait"),
        "{other}"
    );

    // An operator's values: another tunnel address, another host name.
    node.vsctl(&[
        "--no-wait",
        "set",
        "open",
        ".",
        "external_ids:ovn-encap-ip=127.0.0.9",
        "external_ids:hostname=n1.site",
    ])?;

    // An upgrade with another list of members: the new pod waits, and is ready, until the old one ends.
    node.pod("tcp:127.0.0.2:16642")?;
    node.says(1, "this one goes on when it ends")?;
    node.is_ready(1)?;
    ensure!(!node.log(1).contains("ovsdb-server runs"));
    let pid = fs::read_to_string(node.path("run/ovsdb-server.pid"))?;
    node.end();
    node.says(1, "ovn-controller runs")?;
    ensure!(!node.path("ready1").exists(), "a rollout would go on to the next node");
    node.is_ready(1)?;
    ensure!(fs::read_to_string(node.path("run/ovsdb-server.pid"))? != pid);
    until("the new list of members", || {
        node.get("ovn-remote").is_ok_and(|value| value == "tcp:127.0.0.2:16642")
    })?;
    ensure!(node.get("system-id")? == "the-nodes-own");
    ensure!(node.get("ovn-encap-ip")? == "127.0.0.9" && node.get("hostname")? == "n1.site");
    Ok(())
}

#[test]
fn a_nodes_own_open_vswitch_is_left_alone() -> Result<()> {
    let mut node = needs!(Node::new()?);
    let (file, socket) = (node.path("etc/conf.db"), node.path("run/db.sock"));
    let created = node
        .command("ovsdb-tool")
        .args(["create", &file.display().to_string(), "/usr/share/openvswitch/vswitch.ovsschema"])
        .status()?;
    ensure!(created.success());
    let mut own = node
        .command("ovsdb-server")
        .args([&format!("--remote=punix:{}", socket.display()), &file.display().to_string()])
        .spawn()?;
    until("the node's own server", || socket.exists())?;
    node.vsctl(&["--no-wait", "init"])?;
    let before = node.vsctl(&["--no-wait", "list", "open"])?;
    node.pod("tcp:127.0.0.1:16642")?;
    let said = node.says(0, "its own Open vSwitch, which is left alone");
    let ready = node.is_ready(0);
    let same = node.vsctl(&["--no-wait", "list", "open"])? == before;
    own.kill()?;
    own.wait()?;
    said.and(ready)?;
    ensure!(same && !node.log(0).contains("ovsdb-server runs"), "{}", node.log(0));
    Ok(())
}

#[test]
fn a_file_that_makes_no_sense_stays() -> Result<()> {
    let mut node = needs!(Node::new()?);
    fs::write(node.path("etc/conf.db"), "no database")?;
    node.pod("tcp:127.0.0.1:16642")?;
    node.says(0, "can't be read, and stays")?;
    ensure!(fs::read_to_string(node.path("etc/conf.db"))? == "no database" && !node.path("ready0").exists());
    Ok(())
}

#[test]
fn an_interface_that_no_node_has_is_refused() -> Result<()> {
    let mut node = needs!(Node::new()?);
    let output = node
        .command(env!("CARGO_BIN_EXE_tombolo-hypervisor"))
        .args(["--ovn-remote=tcp:127.0.0.1:1", "--address=127.0.0.1", "--node=n1", "--iface=nope0,nope1"])
        .arg(format!("--dir={}", node.path("etc").display()))
        .arg(format!("--run-dir={}", node.path("run").display()))
        .arg(format!("--ready-file={}", node.path("ready").display()))
        .output()?;
    let text = String::from_utf8([output.stdout, output.stderr].concat())?;
    ensure!(!output.status.success() && text.contains("--iface=nope0,nope1: no such interface"), "{text}");
    node.pods.clear();
    Ok(())
}
