//! Before the end: OVN's databases are backed up by the chart's CronJob, a switch is lost, and comes back as it was.

use anyhow::{Context as _, Result};

use super::console::Console;
use crate::hosts;
use crate::kubernetes::kubectl;
use crate::programs::BACKUP_DIR;
use crate::{dump, ovn};

/// A switch that nothing else needs, as Neutron's network would be.
const SWITCH: &str = "demo-lost";

/// Plays the step.
///
/// # Errors
/// With the check that didn't hold.
pub fn play(stage: &Console) -> Result<()> {
    ovn::nbctl(["--may-exist", "ls-add", SWITCH])?;
    let before = dump::nb()?;
    stage.run("kubectl -n kube-system create job --from=cronjob/ovn-backup demo-backup")?;
    stage.run("kubectl -n kube-system wait --for=condition=complete job/demo-backup --timeout=60s")?;
    let said = stage.run("kubectl -n kube-system logs job/demo-backup")?;
    let host = kubectl([
        "-n",
        "kube-system",
        "get",
        "pod",
        "-l",
        "job-name=demo-backup",
        "-o",
        "jsonpath={.items[0].spec.nodeName}",
    ])?;
    let copy = said.lines().find_map(|line| line.strip_prefix("/backup/ovnnb_db.")?.split(':').next());
    let copy =
        copy.with_context(|| format!("the backup names no copy of the northbound database: {said}"))?;
    let file = hosts::by_name(&host)?.dir().join(format!("fs{BACKUP_DIR}/ovnnb_db.{copy}"));

    ovn::nbctl(["ls-del", SWITCH])?;
    stage.remark("A switch is gone. What would change, and then does:");
    // Its exit code says that something is left to do.
    stage.try_run(&format!("kubectl ko nb restore {}", file.display()))?;
    let lost = ovn::nbctl(["--bare", "--columns=name", "find", "Logical_Switch", &format!("name={SWITCH}")])?;
    stage.check("without --yes nothing has changed", lost.trim().is_empty(), "no switch", &lost)?;
    stage.run(&format!("kubectl ko nb restore {} --yes", file.display()))?;
    let difference = before.difference(&dump::nb()?);
    stage.check(
        format_args!(
            "the northbound database is what it was, uuids included: {} rows",
            before.lines().count()
        ),
        difference.is_empty(),
        "no difference",
        difference.join("\n"),
    )?;
    ovn::nbctl(["ls-del", SWITCH])?;
    kubectl(["-n", "kube-system", "delete", "job", "demo-backup", "--wait=false"]).map(drop)
}
