//! Step 8: the document's uninstall, after which OVN's northbound database is what it was, and Neutron finds nothing
//! amiss.

use anyhow::Result;

use super::clean;
use super::console::Console;
use crate::dump::{self, Dump};
use crate::kubernetes::kubectl;
use crate::progress::Phase;
use crate::{exec, neutron};

/// Plays the step. `before`: the northbound database before step 3.
///
/// # Errors
/// With the check that didn't hold.
pub fn play(stage: &Console, phase: &Phase, before: &Dump) -> Result<()> {
    stage.remark("Delete pods, namespaces, subnets in order.");
    stage.run("kubectl -n net2 delete pods --all --grace-period=1 --timeout=90s")?;
    stage.run("kubectl delete namespace net2 --timeout=90s")?;
    stage.run("kubectl delete subnets.kubeovn.io net2 --timeout=90s")?;
    let left = kubectl(["get", "ips.kubeovn.io", "-o", "jsonpath={range .items[*]}{.metadata.name} {end}"])?;
    stage.check(
        "no address of net2 is left",
        !left.split_whitespace().any(|name| name.ends_with(".net2")),
        "no IP object of a pod in net2",
        &left,
    )?;
    phase.doing("removing the rule from the security group");
    stage.remark("The rule that the demo added to the security group goes as well.");
    clean::rules()?;
    phase.doing("comparing the northbound database");
    // Neutron's writer follows its API with a moment's delay: the last difference is what counts.
    let same =
        exec::wait_ok("the northbound database to be as before", std::time::Duration::from_secs(20), || {
            let difference = before.difference(&dump::nb()?);
            anyhow::ensure!(difference.is_empty(), "{}", difference.join("\n"));
            Ok(())
        });
    stage.check(
        format_args!("the northbound database is what it was before step 3: {} rows", before.lines().count()),
        same.is_ok(),
        "no difference",
        same.err().map(|e| format!("{e:#}")).unwrap_or_default(),
    )?;
    phase.doing("asking Neutron for inconsistencies");
    let bad = neutron::sync(neutron::Sync::Log)?;
    crate::progress::show("# neutron-ovn-db-sync-util --ovn-neutron_sync_mode=log");
    stage.check("Neutron's own check finds no inconsistency", bad.is_empty(), "none", bad.join("\n"))
}
