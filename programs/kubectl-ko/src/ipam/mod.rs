//! `ko ipam check`: IP objects, pods' annotations and switch ports against each other.
//!
//! Reads both sides and prints; [`compare`] decides which differences count. Changes nothing. A pod that starts or
//! ends while the lists are read can look like a difference: differences are read a second time, and only those
//! that remain are printed.

mod compare;
mod facts;

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::database::{self, Database};
use crate::kubectl::Kubectl;
use facts::Facts;

/// Numbers of compared objects, and the differences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// One line for each difference.
    pub differences: BTreeSet<String>,
    /// IP objects.
    pub ips: usize,
    /// Pods with an interface of ours.
    pub pods: usize,
    /// Switch ports of pods and nodes.
    pub ports: usize,
}

/// Compares. `cluster` is the id under which this cluster's rows are known; without it, the controller's.
pub fn report(kubectl: &Kubectl, cluster: Option<&str>) -> Result<Report> {
    let cluster = match cluster {
        Some(id) => id.to_owned(),
        None => cluster_id(kubectl)?,
    };
    let first = compare::compare(&read(kubectl, &cluster)?);
    if first.differences.is_empty() {
        return Ok(first);
    }
    let second = compare::compare(&read(kubectl, &cluster)?);
    let differences = first.differences.intersection(&second.differences).cloned().collect();
    Ok(Report { differences, ..second })
}

/// Compares and prints each difference; the exit code is that of a difference if there is one.
pub fn check(kubectl: &Kubectl, cluster: Option<&str>) -> Result<ExitCode> {
    let Report { differences: found, ips, pods, ports } = report(kubectl, cluster)?;
    for line in &found {
        println!("{line}");
    }
    if found.is_empty() {
        println!("{ips} IP objects, {pods} pods, {ports} switch ports: no difference");
        return Ok(ExitCode::SUCCESS);
    }
    println!("{ips} IP objects, {pods} pods, {ports} switch ports: {} differences", found.len());
    Ok(ExitCode::FAILURE)
}

/// The id that the controller uses: its flag, else the uid of the namespace `kube-system`.
pub fn cluster_id(kubectl: &Kubectl) -> Result<String> {
    if let Some(id) = database::controller_flag(kubectl, "--cluster-id")?.filter(|id| !id.is_empty()) {
        return Ok(id);
    }
    let namespace = kubectl.json(&["get", "namespace", "kube-system"])?;
    match namespace["metadata"]["uid"].as_str() {
        Some(uid) if !uid.is_empty() => Ok(uid.to_owned()),
        _ => bail!("the namespace kube-system has no uid; set --cluster-id"),
    }
}

fn read(kubectl: &Kubectl, cluster: &str) -> Result<Facts> {
    let rows = |columns: &str, table: &str| -> Result<Value> {
        let columns = format!("--columns={columns}");
        let args = ["--format=json", "--data=json", columns.as_str(), "list", table];
        let text = database::query(kubectl, Database::Nb, &args)?;
        serde_json::from_slice(&text).context("reading the output of ovn-nbctl")
    };
    Ok(Facts::read(&facts::Lists {
        ips: kubectl.json(&["get", "ips.kubeovn.io"])?,
        pods: kubectl.json(&["get", "pods", "--all-namespaces"])?,
        nodes: kubectl.json(&["get", "nodes"])?,
        subnets: kubectl.json(&["get", "subnets.kubeovn.io"])?,
        ports: rows("_uuid,name,type,addresses,external_ids", "Logical_Switch_Port")?,
        switches: rows("name,ports", "Logical_Switch")?,
        router_ports: rows("networks,external_ids", "Logical_Router_Port")?,
        cluster: cluster.to_owned(),
    }))
}
