//! `kubectl ko` on the whole sandbox: what needs nodes with Open vSwitch, and databases with Neutron's rows in them.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tombolo_needs::needs;
use tombolo_sandbox::kubernetes::{kubectl, kubectl_command};
use tombolo_sandbox::{exec, hosts, ovn};
use tombolo_tests_acceptance::{bed, space};

/// For a command that makes a pod on each node.
const LONG: Duration = Duration::from_secs(180);

fn ko(words: &[&str]) -> Result<String> {
    exec::check(kubectl_command().arg("ko").args(words), LONG, None)
}

#[test]
fn doctor_finds_no_error_and_sees_every_node() -> Result<()> {
    let _bed = needs!(bed()?);
    // Its exit code is that of a finding, should there be one; the report says which.
    let output = exec::run(kubectl_command().args(["ko", "doctor", "-o", "json"]), LONG, None)?;
    let report: Value = serde_json::from_str(&output.stdout).with_context(|| format!("{output:?}"))?;
    ensure!(report["summary"]["error"] == 0, "{report:#}");
    let all = report["findings"].as_array().context("no findings")?;
    for name in
        ["hosts-settings", "hosts-endpoints", "nodes-chassis", "encap-reachable", "tunnel-mtu", "northd-pin"]
    {
        let unseen = all.iter().find(|finding| finding["name"] == name && finding["checked"] != true);
        ensure!(unseen.is_none(), "{unseen:?}");
    }
    let left = kubectl([
        "-n",
        "kube-system",
        "get",
        "pods",
        "-l",
        "app=kube-ovn-ko",
        "--field-selector=status.phase=Running",
        "-o",
        "name",
    ])?;
    ensure!(left.trim().is_empty(), "pods for looking at nodes stay: {left}");
    Ok(())
}

#[test]
fn commands_reach_each_node_and_a_packet_is_traced_to_its_end() -> Result<()> {
    let _bed = needs!(bed()?);
    for host in hosts::all() {
        let shown = ko(&["vsctl", host.name.as_str(), "show"])?;
        ensure!(shown.contains("Bridge br-int"), "{shown}");
    }
    let space = space("acc-ko")?;
    let (one, _two) = (space.pod("one", Some("host1"))?, space.pod("two", Some("host2"))?);
    let address = kubectl(["-n", "acc-ko", "get", "pod", "two", "-o", "jsonpath={.status.podIP}"])?;
    one.reaches(&address)?;
    let traced = ko(&["trace", "acc-ko/one", &address, "icmp"])?;
    let [logical, physical] = traced.split("Start OVS Tracing").collect::<Vec<_>>()[..] else {
        anyhow::bail!("not both traces: {traced}");
    };
    ensure!(logical.contains("output to \"two.acc-ko\""), "{logical}");
    ensure!(
        physical.contains("Datapath actions: ") && !physical.contains("Datapath actions: drop"),
        "{physical}"
    );
    Ok(())
}

#[test]
fn a_backup_brings_a_switch_back_and_leaves_neutrons_rows_alone() -> Result<()> {
    let _bed = needs!(bed()?);
    let dir = std::env::temp_dir().join("acc-ko");
    std::fs::create_dir_all(&dir)?;
    let ko =
        |words: &[&str]| exec::run(kubectl_command().arg("ko").args(words).current_dir(&dir), LONG, None);
    ovn::nbctl(["--may-exist", "ls-add", "acc-ko-restored"])?;
    let taken = ko(&["nb", "backup", "nb.backup"])?;
    ensure!(taken.status.success(), "{taken:?}");
    let rows = || ovn::nbctl(["--bare", "--columns=_uuid,name", "list", "Logical_Switch"]);
    let before = rows()?;
    ovn::nbctl(["ls-del", "acc-ko-restored"])?;
    let asked = ko(&["nb", "restore", "nb.backup"])?;
    ensure!(!asked.status.success() && asked.stdout.contains("acc-ko-restored comes back"), "{asked:?}");
    let done = ko(&["nb", "restore", "nb.backup", "--yes"])?;
    ensure!(done.status.success() && done.stdout.contains("restored: "), "{done:?}");
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    ensure!(sorted(&rows()?) == sorted(&before), "rows differ");
    ovn::nbctl(["ls-del", "acc-ko-restored"])?;
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}
