//! `ko nb restore FILE`: the northbound's contents back to a backup's, by one transaction at the leader. No server is stopped and no
//! file moved, so the cluster of servers stays, and what doesn't differ isn't touched. It says first what it would do.

mod difference;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};

use crate::database::servers::server;
use crate::database::{self, Database, Place, Servers};
use crate::kubectl::Kubectl;
use crate::owners::{Owners, Side, name};
use crate::snapshot::Snapshot;
use crate::{backup, times, wire};
use difference::{Change, What, difference, transaction};

/// So many rows of others are named one by one.
const NAMED: usize = 20;
/// Why the southbound isn't restored.
pub const SB: &str = "OVN_Southbound isn't restored: northd makes it from the northbound, and ovn-controllers fill in the rest";
/// What Neutron's own copy of the truth needs afterwards.
const REPAIR: &str = "Neutron's own database isn't restored with it: afterwards bring what it has made since into OVN again, by \
                      neutron-ovn-db-sync-util --ovn-neutron_sync_mode=repair on its host";

/// Restores the northbound; without `yes` it only says what would change.
pub fn command(kubectl: &Kubectl, file: &Path, yes: bool) -> Result<ExitCode> {
    let bytes = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let then = Snapshot::read(&bytes).with_context(|| format!("{} can't be restored", file.display()))?;
    let place = Place::of(kubectl, Database::Nb)?;
    let now = Snapshot::read(&backup::dump(kubectl, &place, Database::Nb)?)?;
    fits(&then, &now).with_context(|| format!("{} can't be restored", file.display()))?;
    println!("{}: {}", file.display(), of_when(&then));
    let changes = difference(&now, &then);
    if changes.is_empty() {
        println!("the northbound database doesn't differ from it: nothing to restore");
        return Ok(ExitCode::SUCCESS);
    }
    print!("{}", report(&changes, &now, &then));
    if !yes {
        println!("nothing was changed; to restore it repeat the command with --yes");
        return Ok(ExitCode::FAILURE);
    }
    // Read once more, for the file: what it has is what is compared, so nothing is removed that no file has.
    let now = backup::take(kubectl, &place, Database::Nb, None)?;
    let changes = difference(&now, &then);
    let servers = database::servers(kubectl, Database::Nb)?;
    let leader = leader(&servers)?;
    wire::transact(&leader, &servers.tls, &transaction(Database::Nb.schema(), &changes))
        .with_context(|| format!("restoring {} at {leader}", file.display()))?;
    let left = difference(&Snapshot::read(&backup::dump(kubectl, &place, Database::Nb)?)?, &then);
    println!("restored: {} rows", changes.len());
    if !left.is_empty() {
        println!("{} rows differ from it again: other writers have gone on meanwhile", left.len());
    }
    println!("{REPAIR}");
    Ok(ExitCode::SUCCESS)
}

/// Whether a backup is of this database as the servers have it.
fn fits(then: &Snapshot, now: &Snapshot) -> Result<()> {
    let ([name, version, cksum], [present, served, checksum]) = (then.kind(), now.kind());
    if name == Database::Sb.schema() {
        bail!(
            "it is of {name}, which isn't restored: northd makes it from the northbound, and ovn-controllers fill it"
        );
    }
    ensure!(name == present, "it is of a database {name}, not of {present}");
    ensure!(
        (version, cksum) == (served, checksum),
        "its schema is {name} {version} ({cksum}), the servers have {served} ({checksum}): convert a copy of it by \
         ovsdb-tool convert with the servers' schema first"
    );
    Ok(())
}

/// The leader, or the one server that there is.
pub fn leader(servers: &Servers) -> Result<String> {
    let mut why = Vec::new();
    for endpoint in &servers.endpoints {
        match server(endpoint, Database::Nb, &servers.tls) {
            Ok(server) if server.leader && server.connected => return Ok(endpoint.clone()),
            Ok(_) => why.push(format!("{endpoint} doesn't lead")),
            Err(error) => why.push(format!("{endpoint}: {error:#}")),
        }
    }
    bail!("no server of the northbound leads, or none can be reached from here: {}", why.join("; "))
}

fn of_when(then: &Snapshot) -> String {
    let [name, version, _] = then.kind();
    let Some(written) = then.date.map(|ms| ms.div_euclid(1000)) else {
        return format!("{name} {version}, of an unknown time");
    };
    let since = times::ago(times::now() - written);
    format!("{name} {version}, of {} ({since} ago)", times::Civil::of(written))
}

/// Counts by owner, then the rows of others by name.
fn report(changes: &[Change], now: &Snapshot, then: &Snapshot) -> String {
    let (present, past) = (Owners::of(now), Owners::of(then));
    let mut counts: BTreeMap<Side, [usize; 3]> = BTreeMap::new();
    let mut named = Vec::new();
    for change in changes {
        let Change { table, uuid, what } = change;
        let (owners, rows, column, verb) = match what {
            What::Restored(_) => (&past, then, 0, "comes back"),
            What::Removed => (&present, now, 1, "is removed"),
            What::Changed(_) => (&present, now, 2, "is changed"),
        };
        let side = owners.side(table, uuid);
        counts.entry(side).or_default()[column] += 1;
        if let Some(row) = rows.row(table, uuid).filter(|_| side != Side::Kubernetes) {
            named.push(format!("  {side} {table} {} {verb}", name(row, uuid)));
        }
    }
    let mut text = format!("{:14}{:>12}{:>12}{:>12}\n", "ROWS", "COME BACK", "REMOVED", "CHANGED");
    for (side, [back, removed, changed]) in counts {
        text += &format!("{:14}{back:>12}{removed:>12}{changed:>12}\n", side.to_string());
    }
    for line in named.iter().take(NAMED) {
        text += &format!("{line}\n");
    }
    if named.len() > NAMED {
        text += &format!("  and {} more\n", named.len() - NAMED);
    }
    text
}
