//! Each fault is reported, loses nothing and is over once its cause is: our programs need no restart, and no pod loses
//! its address or a connection on the way.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tombolo_needs::needs;
use tombolo_sandbox::hosts::{self, Host};
use tombolo_sandbox::kubernetes::control_plane;
use tombolo_sandbox::ovn::{self, Database};
use tombolo_sandbox::{exec, logs, programs};
use tombolo_tests_acceptance::{LATER, Pod, SOON, Space, bed, get, healthy, restarts, space};

const GATEWAY: &str = "10.16.0.1";

/// Two pods on two hosts that reach each other, and the same once something has been broken and mended.
struct Witness {
    space: Space,
    one: Pod,
    two: Pod,
}

impl Witness {
    fn new(name: &str) -> Result<Self> {
        let space = space(name)?;
        let one = space.pod("one", Some("host2"))?;
        let two = space.pod("two", Some("host3"))?;
        one.reaches(&two.address)?;
        Ok(Self { space, one, two })
    }

    /// Both pods are the same, with their addresses, and reach each other; a new one comes up on `node`.
    fn still(&self, node: &str) -> Result<()> {
        for pod in [&self.one, &self.two] {
            let now = get("pod", &self.space.name, &pod.name)?;
            ensure!(
                now["status"]["podIP"] == pod.address.as_str(),
                "{} has another address: {now}",
                pod.name
            );
            ensure!(now["status"]["containerStatuses"][0]["restartCount"] == 0, "{} was restarted", pod.name);
        }
        self.one.reaches(&self.two.address)?;
        self.two.reaches(&self.one.address)?;
        self.two.reaches(GATEWAY)?;
        self.space.create("three", Some(node), &[])?;
        self.space.ready("three", LATER)?.reaches(&self.one.address)
    }
}

/// Runs its action when dropped: what a test broke is mended, whatever happened.
struct Mend<F: FnMut()>(F);

impl<F: FnMut()> Drop for Mend<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn start(host: &Host, daemon: &str) {
    if let Err(error) = host.start_again(daemon) {
        eprintln!("{daemon} on {host} isn't back: {error:#}");
    }
}

#[test]
fn a_northbound_that_is_away_is_a_warning_and_comes_back_without_a_restart() -> Result<()> {
    // invariants 6 and 10; the companion of the scenario's check that nothing is logged
    let _bed = needs!(bed()?);
    let witness = Witness::new("acc-nb")?;
    let before = restarts("kube-ovn-controller")?;
    let since = now()?;
    let mut mend = Mend(|| hosts::all().iter().for_each(|host| start(host, Database::Nb.daemon())));
    for host in hosts::all() {
        host.kill_daemon(Database::Nb.daemon(), "KILL")?;
    }
    exec::wait_ok("both replicas of the controller to warn", SOON, || {
        for replica in logs::controller()? {
            let lines = replica.since_first_sync(&since);
            let warned = lines.iter().any(|line| line.is_problem());
            ensure!(warned, "{} has logged {} lines, none of them a warning", replica.pod.name, lines.len());
        }
        Ok(())
    })?;
    // Asked for while nothing can be done: it must not be forgotten.
    witness.space.create("early", Some("host2"), &[])?;
    for replica in logs::controller()? {
        let host = hosts::by_name(&replica.pod.host)?;
        let said = host.exec(["curl", "-s", "http://127.0.0.1:10660/readyz"])?;
        ensure!(
            said.contains("ovn-nb") && said.contains("no usable server"),
            "{host} says that it is: {said}"
        );
    }
    (mend.0)();
    std::mem::forget(mend);
    witness.space.ready("early", LATER)?.reaches(&witness.one.address)?;
    witness.still("host3")?;
    ensure!(restarts("kube-ovn-controller")? == before, "the controller was restarted");
    healthy()
}

#[test]
fn the_other_replica_goes_on_when_the_leader_is_gone() -> Result<()> {
    // invariants 5 and 7
    let _bed = needs!(bed()?);
    let witness = Witness::new("acc-leader")?;
    let leader = programs::leader()?;
    tombolo_tests_acceptance::delete("pod", programs::NAMESPACE, &leader)?;
    exec::wait_ok("another leader", LATER, || {
        let now = programs::leader()?;
        ensure!(now != leader, "{now} still leads");
        Ok(())
    })?;
    witness.still("host2")?;
    healthy()
}

#[test]
fn a_leader_that_is_killed_neither_forgets_nor_chooses_again() -> Result<()> {
    // invariant 5
    let _bed = needs!(bed()?);
    let witness = Witness::new("acc-kill")?;
    let leader = programs::leader()?;
    let pods = programs::pods()?;
    let pod = pods.iter().find(|pod| pod.name == leader).context("the leader is no pod of ours")?;
    let killed = programs::kill(&hosts::by_name(&pod.host)?, "kube-ovn-controller", "KILL")?;
    ensure!(killed == 1, "{killed} controllers on {}", pod.host);
    witness.still("host3")?;
    healthy()
}

#[test]
fn an_agent_that_is_killed_leaves_pods_as_they_are() -> Result<()> {
    let _bed = needs!(bed()?);
    let witness = Witness::new("acc-agent")?;
    let killed = programs::kill(&witness.one.host, "kube-ovn-daemon", "KILL")?;
    ensure!(killed == 1, "{killed} agents on {}", witness.one.host);
    // Its pods go on without it.
    let (whole, output) = witness.two.ping(&witness.one.address)?;
    ensure!(whole, "without the agent: {output}");
    witness.still(&witness.one.host.name)?;
    healthy()
}

#[test]
fn a_restart_of_ovs_vswitchd_passes() -> Result<()> {
    let _bed = needs!(bed()?);
    let witness = Witness::new("acc-vswitchd")?;
    ovn::restart_vswitchd(&witness.one.host, "KILL")?;
    witness.still(&witness.one.host.name)?;
    exec::wait_ok("the node to reach its pod", SOON, || {
        witness.one.host.exec(["ping", "-c1", "-W2", &witness.one.address])
    })?;
    healthy()
}

#[test]
fn a_restart_of_containerd_passes() -> Result<()> {
    let _bed = needs!(bed()?);
    let witness = Witness::new("acc-containerd")?;
    let host = &witness.one.host;
    let _mend = Mend(|| start(host, "containerd"));
    host.stop_daemon("containerd")?;
    start(host, "containerd");
    exec::wait_ok("containerd to answer", SOON, || host.exec(["ctr", "version"]))?;
    witness.still(&host.name)?;
    healthy()
}

#[test]
fn an_api_server_that_is_away_takes_nothing_with_it() -> Result<()> {
    // invariants 4 and 6
    let _bed = needs!(bed()?);
    let witness = Witness::new("acc-api")?;
    let before = restarts("kube-ovn-controller")?;
    let rows = ovn::nbctl(["--bare", "--columns=name", "list", "Logical_Switch_Port"])?;
    let host = control_plane::host();
    let _mend = Mend(|| start(&host, "kube-apiserver"));
    host.kill_daemon("kube-apiserver", "KILL")?;
    // Long enough for watches to fail and be tried again.
    std::thread::sleep(Duration::from_secs(8));
    let during = ovn::nbctl(["--bare", "--columns=name", "list", "Logical_Switch_Port"])?;
    let names =
        |text: &str| text.split_whitespace().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
    ensure!(
        names(&rows) == names(&during),
        "ports changed while the API server was away:\n{rows}\nnow:\n{during}"
    );
    host.start_again("kube-apiserver")?;
    exec::wait_ok("the API server", LATER, || {
        tombolo_sandbox::kubernetes::kubectl(["get", "--raw=/readyz", "--request-timeout=5s"])
    })?;
    witness.still("host2")?;
    ensure!(restarts("kube-ovn-controller")? == before, "the controller was restarted");
    healthy()
}

fn now() -> Result<String> {
    let mut date = std::process::Command::new("date");
    Ok(exec::check(date.args(["-u", "+%Y-%m-%dT%H:%M:%S.%6NZ"]), exec::SHORT, None)?.trim().to_owned())
}
