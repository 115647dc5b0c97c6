//! After the Vpc: what `kubectl ko` says of the whole.

use anyhow::Result;

use super::console::Console;
use crate::ovn::Database;

/// Plays the step.
///
/// # Errors
/// With the check that didn't hold.
pub fn play(stage: &Console) -> Result<()> {
    stage.remark("The document's lines for Neutron and for each host, with this cluster's endpoints.");
    let lines = stage.run("kubectl ko openstack-config")?;
    for (key, database) in [
        ("ovn_nb_connection = ", Database::Nb),
        ("ovn_sb_connection = ", Database::Sb),
        ("ovs-vsctl set open . external-ids:ovn-remote=", Database::Sb),
    ] {
        let line = format!("{key}{}", database.remotes());
        stage.check(format_args!("it has {key}…"), lines.lines().any(|have| have == line), &line, &lines)?;
    }
    stage.remark("The document's prerequisites, and what goes wrong in practice.");
    let report = stage.try_run("kubectl ko doctor")?;
    stage.check(
        "the doctor has looked, and finds no error",
        report.stdout.contains("databases-leader") && report.status.code().is_some_and(|code| code != 1),
        "no error",
        &report.stdout,
    )
}
