//! `ko take-over`: a cluster that runs Kube-OVN becomes Tombolo's, and the way back. `check` says what stands in the way before
//! anything is touched; the controller takes the rows over (`--take-over`); `finish` removes what is left of Kube-OVN's; `undo`
//! takes our marks away. Each says what it would do, and does it with --yes alone.

mod check;
mod flags;
mod leftovers;
mod router;

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::Subcommand;
use serde_json::Value;
use tombolo_names::rows::CLUSTER;
use tombolo_names::workloads::{AGENT, CONTROLLER, KUBE_OVN_LEASE, LEASE};

use crate::database::{self, Database, Place, deployment};
use crate::kubectl::Kubectl;
use crate::snapshot::Snapshot;
use crate::{backup, ipam, kube_ovn, restore, wire};
use check::{Facts, KINDS};
use leftovers::{Names, counts};

/// The steps.
#[derive(Subcommand, Debug, Clone)]
pub enum What {
    /// Say what of Kube-OVN this version doesn't serve; exit code 1 if anything blocks. It changes nothing
    Check,
    /// Remove what Kube-OVN left in OVN once Tombolo's controller has taken the rest over; without --yes only say what
    Finish {
        /// Do it
        #[arg(long)]
        yes: bool,
    },
    /// Give the rows back to Kube-OVN, whose controller runs again; without --yes only say what would change
    Undo {
        /// Do it
        #[arg(long)]
        yes: bool,
    },
}

/// Runs a step.
pub fn command(kubectl: &Kubectl, what: &What) -> Result<ExitCode> {
    match what {
        What::Check => check(kubectl),
        What::Finish { yes } => finish(kubectl, *yes),
        What::Undo { yes } => undo(kubectl, *yes),
    }
}

fn check(kubectl: &Kubectl) -> Result<ExitCode> {
    let facts = facts(kubectl)?;
    for name in [CONTROLLER, AGENT] {
        let is_it = |workload: &&Value| workload["metadata"]["name"] == name;
        if !facts.workloads.iter().filter(is_it).any(kube_ovn::is_theirs) {
            println!("not looked at: flags of Kube-OVN's {name}, which isn't there");
        }
    }
    let report = check::check(&facts);
    for line in &report.lost {
        println!("has no effect any more: {line}");
    }
    for line in &report.same {
        println!("set the same here: {line}");
    }
    for line in &report.blocks {
        println!("blocks: {line}");
    }
    if !report.blocks.is_empty() {
        println!("{} things stand in the way; nothing was changed", report.blocks.len());
        return Ok(ExitCode::FAILURE);
    }
    println!("nothing stands in the way of a take-over; docs/operate/take-over.md has the steps");
    Ok(ExitCode::SUCCESS)
}

fn facts(kubectl: &Kubectl) -> Result<Facts> {
    let list = |resource: &str| kubectl.list(&["get", resource, "--all-namespaces"]);
    let served = kinds_of(kubectl, "kubeovn.io")?;
    let mut facts = Facts {
        policies: list("networkpolicies.networking.k8s.io")?,
        subnets: list("subnets.kubeovn.io")?,
        vpcs: list("vpcs.kubeovn.io")?,
        pods: list("pods")?,
        services: list("services")?,
        ips: list("ips.kubeovn.io")?,
        nodes: kubectl.list(&["get", "nodes"])?,
        nb: Snapshot::read(&backup::dump(kubectl, &Place::of(kubectl, Database::Nb)?, Database::Nb)?)?,
        ..Facts::default()
    };
    for (kind, name) in [("deployment", CONTROLLER), ("daemonset", AGENT)] {
        facts.workloads.extend(kubectl.find(&["get", kind, "-n", kubectl.namespace(), name])?);
    }
    for resource in kinds_of(kubectl, "policy.networking.k8s.io")? {
        facts.policies.extend(list(&resource)?);
    }
    let flag = |name| facts.workloads.iter().find_map(|workload| deployment::flag(workload, name));
    let outside = flag("--external-gateway-config-ns").unwrap_or_else(|| kubectl.namespace().to_owned());
    for (name, namespace) in [("ovn-external-gw-config", &*outside), ("ovn-ic-config", kubectl.namespace())] {
        facts.switches.extend(kubectl.find(&["get", "configmap", "-n", namespace, name])?);
    }
    for (resource, kind) in KINDS {
        let resource = format!("{resource}.kubeovn.io");
        if served.contains(&resource) {
            facts.unserved.insert(kind, list(&resource)?);
        }
    }
    Ok(facts)
}

/// The kinds of a group that the API server has.
fn kinds_of(kubectl: &Kubectl, group: &str) -> Result<BTreeSet<String>> {
    let group = format!("--api-group={group}");
    let text = kubectl.output(&["api-resources", &group, "--verbs=list", "--output=name"])?;
    let text = String::from_utf8(text).context("reading the kinds that the API server has")?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn finish(kubectl: &Kubectl, yes: bool) -> Result<ExitCode> {
    if let Some(holder) = holder(kubectl, KUBE_OVN_LEASE)? {
        bail!(
            "a controller of Kube-OVN's ({holder}) holds the Lease {KUBE_OVN_LEASE}: stop it first, it would make all of it again; \
             one that was killed leaves the Lease: delete that"
        );
    }
    ensure!(
        holder(kubectl, LEASE)?.is_some(),
        "no controller of Tombolo's holds the Lease {LEASE}: what Kube-OVN left is removed when ours has taken the rest over"
    );
    let place = Place::of(kubectl, Database::Nb)?;
    let now = Snapshot::read(&backup::dump(kubectl, &place, Database::Nb)?)?;
    ensure!(
        leftovers::has_taken_over(&now, &ipam::cluster_id(kubectl)?),
        "this cluster has taken nothing over: what of Kube-OVN's is in the northbound is another cluster's, or not taken over yet"
    );
    let found = leftovers::find(&now, &names(kubectl)?);
    if !found.held.is_empty() {
        for row in &found.held {
            println!("not taken over yet: {row}");
        }
        bail!(
            "{} rows of existing objects are Kube-OVN's still; nothing was changed. Does the controller run with --take-over, and \
             do their objects have Events?",
            found.held.len()
        );
    }
    if found.rows.is_empty() {
        println!("nothing of Kube-OVN's is left in the northbound");
        return Ok(ExitCode::SUCCESS);
    }
    for (table, count) in counts(&found.rows) {
        println!("{count:>6} {table}");
    }
    if !yes {
        println!("nothing was changed; to remove these rows repeat the command with --yes");
        return Ok(ExitCode::FAILURE);
    }
    // Read once more, for the file: what is removed is in it.
    let now = backup::take(kubectl, &place, Database::Nb, None)?;
    let found = leftovers::find(&now, &names(kubectl)?);
    ensure!(
        found.held.is_empty(),
        "{} is in use by now; nothing was removed: repeat the command",
        found.held.join(", ")
    );
    let rows = found.rows;
    write(kubectl, &leftovers::transaction(Database::Nb.schema(), &rows))?;
    println!("removed: {} rows that Kube-OVN left", rows.len());
    Ok(ExitCode::SUCCESS)
}

fn undo(kubectl: &Kubectl, yes: bool) -> Result<ExitCode> {
    if let Some(holder) = holder(kubectl, LEASE)? {
        bail!(
            "a controller of Tombolo's ({holder}) holds the Lease {LEASE}: stop it first (kubectl scale --replicas=0 deployment \
             {CONTROLLER}); one that was killed leaves it: delete the Lease then"
        );
    }
    let cluster = ipam::cluster_id(kubectl)?;
    let place = Place::of(kubectl, Database::Nb)?;
    let now = Snapshot::read(&backup::dump(kubectl, &place, Database::Nb)?)?;
    let rows = leftovers::back(&now, &cluster);
    ensure!(
        rows.is_empty() || leftovers::has_taken_over(&now, &cluster),
        "this cluster has taken nothing over from Kube-OVN: its rows would be nobody's"
    );
    if rows.is_empty() {
        println!("no row bears {CLUSTER}={cluster}: nothing to give back");
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} rows bear {CLUSTER}={cluster}", rows.len());
    if !yes {
        println!("nothing was changed; to give them back repeat the command with --yes");
        return Ok(ExitCode::FAILURE);
    }
    let now = backup::take(kubectl, &place, Database::Nb, None)?;
    let mut params = vec![Value::from(Database::Nb.schema())];
    params.extend(leftovers::back(&now, &cluster));
    params.push(serde_json::json!({ "op": "comment", "comment": "kubectl ko take-over undo" }));
    write(kubectl, &Value::Array(params))?;
    println!("given back: {} rows", rows.len());
    Ok(ExitCode::SUCCESS)
}

fn write(kubectl: &Kubectl, params: &Value) -> Result<()> {
    let servers = database::servers(kubectl, Database::Nb)?;
    let leader = restore::leader(&servers)?;
    wire::transact(&leader, &servers.tls, params).with_context(|| format!("writing at {leader}")).map(drop)
}

/// Who holds a Lease; none if it isn't there.
fn holder(kubectl: &Kubectl, lease: &str) -> Result<Option<String>> {
    let found = kubectl.find(&["get", "lease", "-n", kubectl.namespace(), lease])?.unwrap_or_default();
    let holder = found["spec"]["holderIdentity"].as_str().filter(|holder| !holder.is_empty());
    Ok(holder.map(str::to_owned))
}

/// The names of what exists. A list that can't be read is an error: nothing is removed on partial knowledge.
fn names(kubectl: &Kubectl) -> Result<Names> {
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let all = |resource: &str| -> Result<BTreeSet<String>> {
        Ok(kubectl.list(&["get", resource])?.iter().map(name).collect())
    };
    let mut pods = kubectl.list(&["get", "pods", "--all-namespaces"])?;
    pods.retain(check::has_a_port);
    let port =
        |pod: &Value| format!("{}.{}", name(pod), pod["metadata"]["namespace"].as_str().unwrap_or_default());
    let mut ports: BTreeSet<String> = pods.iter().map(port).collect();
    ports.extend(all("nodes")?.iter().map(|node| format!("node-{node}")));
    Ok(Names { ports, subnets: all("subnets.kubeovn.io")?, vpcs: all("vpcs.kubeovn.io")? })
}

#[cfg(test)]
mod tests;
