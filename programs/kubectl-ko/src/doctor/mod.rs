//! `ko doctor`: the prerequisites one by one, and what goes wrong in practice. [`gather`] reads, everything else decides from what
//! was read. It changes nothing in OVN; to look at nodes it makes a pod on each for as long as it looks (see [`crate::node`]).

mod cluster;
mod databases;
mod facts;
mod features;
mod finding;
mod gateways;
mod gather;
mod hosts;
mod networks;
mod raft;
mod rivals;
mod versions;

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::kubectl::Kubectl;
use facts::Facts;
use finding::{Check, Finding};

/// How the findings are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// Lines, the worst last
    #[default]
    Text,
    /// One document
    Json,
}

/// All checks.
fn checks() -> impl Iterator<Item = &'static Check> {
    [
        databases::CHECKS,
        raft::CHECKS,
        versions::CHECKS,
        features::CHECKS,
        hosts::CHECKS,
        networks::CHECKS,
        gateways::CHECKS,
        rivals::CHECKS,
        cluster::CHECKS,
    ]
    .into_iter()
    .flatten()
}

fn findings(facts: &Facts) -> Vec<Finding> {
    checks().flat_map(|check| check.findings(facts)).collect()
}

/// Looks and prints; the exit code is 1 with an error, 2 if something could not be checked.
pub fn command(kubectl: &Kubectl, form: Form, nodes: bool) -> Result<ExitCode> {
    let found = findings(&gather::gather(kubectl, nodes));
    match form {
        Form::Text => print!("{}", finding::as_text(&found)),
        Form::Json => {
            let text =
                serde_json::to_string_pretty(&finding::as_json(&found)).context("writing the findings")?;
            println!("{text}");
        }
    }
    Ok(ExitCode::from(finding::exit(&found)))
}

/// The table of checks for docs/operate/kubectl-ko.md.
#[must_use]
pub fn table() -> String {
    let rows = checks()
        .map(|check| format!("| `{}` | {} | {} |\n", check.name, check.expects, check.worst.as_str()));
    format!("| check | expects | finds at worst |\n|---|---|---|\n{}", rows.collect::<String>())
}

#[cfg(test)]
mod tests;
