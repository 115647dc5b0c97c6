//! Deletes, in the order of [`super::objects::ORDER`]. What is gone already is no error, so that it can be repeated.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tombolo_names::annotations::UNINSTALLS_OVN;
use tombolo_names::workloads::{CENTRAL, HYPERVISOR};

use super::facts::Facts;
use super::objects::{Found, Object};
use super::{gather, judge};
use crate::database::Database;
use crate::kubectl::Kubectl;
use crate::times;

/// For the pods of a workload to end.
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks at them.
const PAUSE: Duration = Duration::from_secs(1);
/// For one answer of the API server.
const TIMEOUT: &str = "--request-timeout=30s";

/// Deletes what was found, of which nothing speaks against.
pub fn delete(kubectl: &Kubectl, facts: &mut Facts, found: &Found) -> Result<()> {
    if let Some((last, _)) = found.ours.last() {
        // Once the databases are gone, nobody can look at them again: the last object to go says that it was done.
        note(kubectl, last)?;
    }
    let (workloads, rest): (Vec<&Object>, Vec<&Object>) =
        found.ours.iter().map(|(object, _)| object).partition(|object| object.pods().is_some());
    for object in workloads {
        if object.pods() == Some(CENTRAL) {
            // Of an earlier attempt, too.
            ended(kubectl, HYPERVISOR)?;
            look_again(kubectl, facts, found)?;
        }
        remove(kubectl, object)?;
    }
    for app in [HYPERVISOR, CENTRAL] {
        ended(kubectl, app)?;
    }
    rest.into_iter().try_for_each(|object| remove(kubectl, object))
}

fn note(kubectl: &Kubectl, on: &Object) -> Result<()> {
    let pair = format!("{UNINSTALLS_OVN}={}", times::now());
    let words = ["annotate", "-n", kubectl.namespace(), "--overwrite", TIMEOUT, &on.word(), &pair];
    kubectl.output(&words).map(drop).with_context(|| format!("noting on {on} that the deletion begins"))
}

/// Pods of Open vSwitch take their time to end: whoever has come to the databases meanwhile keeps them.
fn look_again(kubectl: &Kubectl, facts: &mut Facts, found: &Found) -> Result<()> {
    facts.nb = gather::contents(kubectl, Database::Nb);
    facts.sb = gather::contents(kubectl, Database::Sb);
    let refusals = judge::databases(facts, found);
    for refusal in &refusals {
        println!("{refusal}");
    }
    ensure!(
        refusals.is_empty(),
        "the databases stay: something has come since they were looked at first; what was deleted before comes back with helm install"
    );
    Ok(())
}

fn remove(kubectl: &Kubectl, object: &Object) -> Result<()> {
    let word = object.word();
    let words = ["delete", "-n", kubectl.namespace(), &word, "--ignore-not-found", "--wait=false", TIMEOUT];
    let said = kubectl.output(&words).with_context(|| {
        format!("{object} and what comes after it may still be there; repeat the command")
    })?;
    print!("{}", String::from_utf8_lossy(&said));
    Ok(())
}

fn ended(kubectl: &Kubectl, app: &str) -> Result<()> {
    let selector = format!("app={app}");
    let began = Instant::now();
    loop {
        let left = kubectl.list(&["get", "pods", "-n", kubectl.namespace(), "-l", &selector])?;
        let Some(first) = left.first() else { return Ok(()) };
        ensure!(
            began.elapsed() < PATIENCE,
            "{} pods of {app} don't end, as {}: kubectl -n {} describe pod has the reason; then repeat the command",
            left.len(),
            first["metadata"]["name"].as_str().unwrap_or_default(),
            kubectl.namespace()
        );
        std::thread::sleep(PAUSE);
    }
}
