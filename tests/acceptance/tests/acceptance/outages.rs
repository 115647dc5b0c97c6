//! Parts of the site are away, one after another, while pods run, come and go: everything is as it should be afterwards
//! without a restart of ours, nothing leaks, and running pods' pings go on as far as the network itself does.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tombolo_needs::needs;
use tombolo_sandbox::hosts::{self, Host};
use tombolo_sandbox::kubernetes::kubectl;
use tombolo_sandbox::ovn::{self, Database};
use tombolo_sandbox::{exec, programs};
use tombolo_tests_acceptance::pings::{Lost, Pings};
use tombolo_tests_acceptance::{LATER, Pod, SOON, Space, bed, healthy, restarts, space};

/// How long an outage lasts: long enough that every client that depends on the broken part notices.
const AWAY: Duration = Duration::from_secs(10);

/// Two pods on two hosts, and one that comes while something is broken.
struct Site {
    space: Space,
    one: Pod,
    two: Pod,
    controllers: Vec<(String, u64)>,
}

impl Site {
    fn new(name: &str) -> Result<Self> {
        let space = space(name)?;
        let one = space.pod("one", Some("host2"))?;
        let two = space.pod("two", Some("host3"))?;
        one.reaches(&two.address)?;
        Ok(Self { space, one, two, controllers: restarts("kube-ovn-controller")? })
    }

    /// Breaks something while pings run, pods come and a pod goes; mends it, and waits until all is well.
    fn survives(
        &self,
        what: &str,
        fault: impl FnOnce() -> Result<()>,
        mend: impl FnOnce() -> Result<()>,
    ) -> Result<Lost> {
        self.space.pod("old", Some("host3"))?;
        let pings = Pings::start(&self.one, &self.two.address)?;
        let broken = Instant::now();
        let done = fault().and_then(|()| {
            self.space.create("new-2", Some("host2"), &[])?;
            self.space.create("new-3", Some("host3"), &[])?;
            kubectl(["-n", &self.space.name, "delete", "pod", "old", "--wait=false"]).map(drop)
        });
        thread::sleep(AWAY.saturating_sub(broken.elapsed()));
        let whole = mend();
        let mended = Instant::now();
        done?;
        whole?;
        let new = [self.space.ready("new-2", LATER)?, self.space.ready("new-3", LATER)?];
        let ready = mended.elapsed();
        new[0].reaches(&new[1].address)?;
        let lost = pings.finish()?;
        healthy()?;
        println!(
            "| {what} | {lost} | new pods Ready {:.1} s after its end | all well after {:.1} s |",
            ready.as_secs_f64(),
            mended.elapsed().as_secs_f64()
        );
        ensure!(restarts("kube-ovn-controller")? == self.controllers, "{what}: the controller was restarted");
        for pod in ["new-2", "new-3", "old"] {
            tombolo_tests_acceptance::delete("pod", &self.space.name, pod)?;
        }
        Ok(lost)
    }

    /// As [`Site::survives`], for what isn't between the two pods: their pings go on.
    fn unmoved(
        &self,
        what: &str,
        fault: impl FnOnce() -> Result<()>,
        mend: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let lost = self.survives(what, fault, mend)?;
        // On a machine this busy, a single packet may be late without any fault.
        ensure!(lost.lost <= 2, "{what}: {lost}");
        Ok(())
    }
}

fn nothing() -> Result<()> {
    Ok(())
}

fn all(action: impl Fn(&Host) -> Result<()>) -> Result<()> {
    hosts::all().iter().try_for_each(action)
}

#[test]
fn databases_that_are_killed_stopped_compacted_and_lost() -> Result<()> {
    // invariants 5, 6 and 8
    let _bed = needs!(bed()?);
    let site = Site::new("acc-databases")?;
    for database in [Database::Nb, Database::Sb] {
        let (name, daemon) = (database.name(), database.daemon());
        let leader = ovn::leader(database)?;
        let again = || leader.start_again(daemon).map(drop);
        site.unmoved(&format!("leader of {name} killed"), || leader.end_daemon(daemon, "KILL"), again)?;
        let leader = ovn::leader(database)?;
        let (stop, go) = (|| leader.kill_daemon(daemon, "STOP"), || leader.kill_daemon(daemon, "CONT"));
        site.unmoved(&format!("leader of {name} stopped (SIGSTOP) and woken"), stop, go)?;
    }
    for database in [Database::Nb, Database::Sb] {
        let leader = ovn::leader(database)?;
        let others = leader.others();
        // Its clients still reach it: one that doesn't check whether it is connected to the others is stuck with it.
        site.unmoved(
            &format!("leader of {} cut off from its peers", database.name()),
            || ovn::cut_off_member(&leader, database, true),
            || {
                let done = exec::wait_ok("another leader", LATER, || ovn::leader_among(&others, database))
                    .and_then(|_| site.space.ready("new-2", LATER));
                ovn::cut_off_member(&leader, database, false)?;
                done.map(drop)
            },
        )?;
    }
    site.unmoved(
        "both databases compacted every second, the leadership handed over each time",
        || {
            for _ in 0..10 {
                for database in [Database::Nb, Database::Sb] {
                    all(|host| ovn::compact(host, database))?;
                    ovn::transfer(database)?;
                }
                thread::sleep(Duration::from_secs(1));
            }
            Ok(())
        },
        nothing,
    )?;
    site.unmoved(
        "both databases compacted every 5 s for two minutes",
        || {
            for round in 0..24 {
                let began = Instant::now();
                for database in [Database::Nb, Database::Sb] {
                    all(|host| ovn::compact(host, database))?;
                }
                // So that there is something new to compact, and ours writes all the while.
                let pod = format!("round-{round}");
                site.space.create(&pod, Some("host2"), &[])?;
                site.space.ready(&pod, SOON)?;
                kubectl(["-n", &site.space.name, "delete", "pod", &pod, "--wait=false"])?;
                thread::sleep(Duration::from_secs(5).saturating_sub(began.elapsed()));
            }
            Ok(())
        },
        nothing,
    )?;
    let daemons = [Database::Nb.daemon(), Database::Sb.daemon()];
    site.unmoved(
        "all servers of both databases killed",
        || all(|host| daemons.iter().try_for_each(|daemon| host.end_daemon(daemon, "KILL"))),
        || all(|host| daemons.iter().try_for_each(|daemon| host.start_again(daemon).map(drop))),
    )?;
    let member = ovn::leader(Database::Nb)?;
    site.unmoved(
        "the leader of the northbound loses its file and joins anew",
        || ovn::rejoin(&member, Database::Nb),
        nothing,
    )
}

#[test]
fn agents_and_what_they_need_killed_while_pods_come_and_go() -> Result<()> {
    // invariants 5 and 8
    let _bed = needs!(bed()?);
    let site = Site::new("acc-midway")?;
    let host = hosts::host(2);
    let names: Vec<String> = (1..=8).map(|n| format!("pod-{n}")).collect();
    type Blow<'a> = (&'a str, &'a dyn Fn() -> Result<()>);
    let blows: [Blow; 3] = [
        ("agent", &|| programs::kill(&host, "kube-ovn-daemon", "KILL").map(drop)),
        ("ovs-vswitchd", &|| ovn::restart_vswitchd(&host, "KILL")),
        ("containerd", &|| {
            host.end_daemon("containerd", "KILL")?;
            host.start_again("containerd")?;
            exec::wait_ok("containerd to answer", SOON, || host.exec(["ctr", "version"])).map(drop)
        }),
    ];
    for (what, blow) in blows {
        for name in &names {
            site.space.create(name, Some(&host.name), &[])?;
        }
        // ADDs are under way, each at another step.
        thread::sleep(Duration::from_millis(700));
        blow()?;
        let mut addresses = BTreeSet::new();
        for name in &names {
            let pod = site.space.ready(name, LATER)?;
            ensure!(addresses.insert(pod.address.clone()), "{name} and another pod have {}", pod.address);
        }
        let last = site.space.ready(&names[7], SOON)?;
        last.reaches(&site.two.address)?;
        let mut words = vec!["-n", &site.space.name, "delete", "pod", "--wait=false"];
        words.extend(names.iter().map(String::as_str));
        kubectl(words)?;
        thread::sleep(Duration::from_millis(300));
        blow()?;
        for name in &names {
            tombolo_tests_acceptance::delete("pod", &site.space.name, name)?;
        }
        healthy()?;
        println!("{what} killed during 8 ADDs and 8 DELs: all pods came, nothing is left");
    }
    site.one.reaches(&site.two.address)?;
    ensure!(restarts("kube-ovn-controller")? == site.controllers, "the controller was restarted");
    Ok(())
}

#[test]
fn a_host_that_is_cut_off_comes_back() -> Result<()> {
    // invariants 4 and 6
    let _bed = needs!(bed()?);
    let site = Site::new("acc-cut")?;
    // Not the one with the API server, nor Neutron's.
    let host = hosts::host(3);
    let (cut, mend) = (|| host.cut_off(true), || host.cut_off(false));
    let lost = site.survives("a host cut off from all others", cut, mend)?;
    ensure!(lost.lost > 0, "it was not cut off: {lost}");
    Ok(())
}

/// Takes our programs out of the cluster, or puts them back. Pods' interfaces and rows stay.
fn without_us(away: bool) -> Result<()> {
    let replicas = if away { "--replicas=0" } else { "--replicas=2" };
    kubectl(["-n", programs::NAMESPACE, "scale", "deployment/kube-ovn-controller", replicas])?;
    let nowhere = if away { json!("nowhere") } else { Value::Null };
    let patch =
        json!({"spec": {"template": {"spec": {"nodeSelector": {"tombolo.io/test": nowhere}}}}}).to_string();
    kubectl(["-n", programs::NAMESPACE, "patch", "daemonset/kube-ovn-cni", "--type=merge", "-p", &patch])?;
    exec::wait_ok("our programs to come or go", LATER, || {
        let left = programs::pods()?;
        ensure!(left.is_empty() == away, "there are {left:?}");
        Ok(())
    })
}

/// How many pings are lost while something is broken, from before to after it.
fn loss(from: &Pod, to: &Pod, fault: impl FnOnce() -> Result<()>) -> Result<Lost> {
    let pings = Pings::start(from, &to.address)?;
    fault()?;
    pings.finish()
}

#[test]
fn running_pods_lose_no_more_than_without_our_programs() -> Result<()> {
    let _bed = needs!(bed()?);
    let site = Site::new("acc-paired")?;
    let faults: [(&str, &dyn Fn() -> Result<()>); 2] = [
        ("ovs-vswitchd killed and started", &|| ovn::restart_vswitchd(&site.two.host, "KILL")),
        ("a host cut off for 5 s", &|| {
            site.two.host.cut_off(true)?;
            thread::sleep(Duration::from_secs(5));
            site.two.host.cut_off(false)
        }),
    ];
    let run =
        || faults.iter().map(|(_, fault)| loss(&site.one, &site.two, fault)).collect::<Result<Vec<Lost>>>();
    let with = run()?;
    healthy()?;
    without_us(true)?;
    let without = run();
    without_us(false)?;
    healthy()?;
    for ((what, _), (with, without)) in faults.iter().zip(with.iter().zip(&without?)) {
        println!("| {what} | with our programs {with} | without {without} |");
        // Five pings a second: how long the fault itself takes is never quite the same.
        ensure!(with.lost <= without.lost + 10, "{what}: {with}, without our programs {without}");
    }
    Ok(())
}
