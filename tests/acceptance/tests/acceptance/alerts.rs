//! A real Prometheus finds our programs and judges the chart's alerts: none fires on a sandbox that is well, and the one that is
//! meant for it when a member of OVN's database is down.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use tombolo_needs::needs;
use tombolo_sandbox::hosts;
use tombolo_sandbox::ovn::Database;
use tombolo_sandbox::progress::Phase;
use tombolo_sandbox::prometheus::{self, Prometheus};
use tombolo_sandbox::{exec, paths};
use tombolo_tests_acceptance::{LATER, bed, healthy};

/// The alert waits for two minutes.
const FIRES: Duration = Duration::from_secs(300);
/// What can be seen of the sandbox: its OVN runs on the hosts, so that there is no ovn-central.
const JOBS: [(&str, usize); 4] =
    [("kube-ovn-controller", 2), ("kube-ovn-cni", 3), ("kube-ovn-pinger", 3), ("kube-ovn-monitor", 1)];

/// Stopped when dropped, whatever happened.
struct Running(Prometheus);

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.0.stop() {
            eprintln!("Prometheus doesn't end: {error:#}");
        }
    }
}

#[test]
fn a_member_that_is_down_is_the_one_alert_and_all_targets_are_up() -> Result<()> {
    let _bed = needs!(bed()?);
    let start = |phase: &Phase| prometheus::start(phase);
    let running = Running(Phase::run("Prometheus", paths::logs().join("prometheus.log"), start)?);
    let prometheus = &running.0;
    exec::wait_ok("all our programs to be targets, and up", LATER, || {
        let targets = prometheus.targets()?;
        let down: Vec<_> = targets.iter().filter(|target| target.health != "up").collect();
        ensure!(down.is_empty(), "{down:?}");
        let mut jobs: BTreeMap<&str, usize> = BTreeMap::new();
        targets.iter().for_each(|target| *jobs.entry(&target.job).or_default() += 1);
        ensure!(jobs == BTreeMap::from(JOBS), "{jobs:?}");
        Ok(())
    })?;
    exec::wait_ok("each alert to be evaluated, and none to fire", LATER, || {
        for (alert, rule) in prometheus.rules()? {
            ensure!(rule.health == "ok", "{alert}: {} {}", rule.health, rule.error);
            ensure!(rule.state != "firing", "{alert} fires: {:?}", rule.labels);
        }
        Ok(())
    })?;

    let host = hosts::host(3);
    host.kill_daemon(Database::Nb.daemon(), "KILL")?;
    let fired = exec::wait_ok("the alert for the member", FIRES, || {
        let rules = prometheus.rules()?;
        let rule = &rules["TomboloOvnMemberDown"];
        ensure!(rule.state == "firing", "it is {}", rule.state);
        let (one, address) = (rule.labels.join(" "), format!("{}:", host.mgmt));
        ensure!(rule.labels.len() == 1 && one.contains(&address), "{one}");
        let others =
            rules.iter().filter(|(name, rule)| rule.state == "firing" && *name != "TomboloOvnMemberDown");
        let others: Vec<_> = others.map(|(name, _)| name.clone()).collect();
        ensure!(others.is_empty(), "others fire: {others:?}");
        Ok(())
    });
    host.start_again(Database::Nb.daemon())?;
    fired?;
    exec::wait_ok("the alert to end", LATER, || {
        let rule = &prometheus.rules()?["TomboloOvnMemberDown"];
        ensure!(rule.state == "inactive", "it is {}: {:?}", rule.state, rule.labels);
        Ok(())
    })?;
    healthy()
}
