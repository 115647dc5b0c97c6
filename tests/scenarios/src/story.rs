//! A case with a history: steps, each an action of a user, an operator or OpenStack, and what it changed.
//!
//! Decides how steps are read, played and compared. After each the world is at rest and its invariants are checked.

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::Value;
use tombolo_plan::Kind;
use tombolo_tests_sim::{Neutron, Sim};

use crate::{diff, load, openstack};

/// A step of a story: one act, or several that come together.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Step {
    /// The act, in a line.
    pub step: String,
    /// Objects that are applied; one that is there is merged into.
    #[serde(default)]
    apply: Vec<Value>,
    /// Objects that are deleted: `<Kind> <name>` or `<Kind> <namespace>/<name>`.
    #[serde(default)]
    delete: Vec<String>,
    /// What is made in OpenStack.
    openstack: Option<openstack::OpenStack>,
    /// What is deleted there.
    openstack_delete: Option<Gone>,
    /// Routers by their ids, with new names.
    #[serde(default)]
    rename_routers: std::collections::BTreeMap<String, String>,
    /// The controller starts again.
    #[serde(default)]
    restart: bool,
    /// Time that passes, in seconds.
    #[serde(default)]
    wait: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Gone {
    #[serde(default)]
    interfaces: Vec<Interface>,
    #[serde(default)]
    routers: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Interface {
    router: String,
    network: String,
    port: String,
}

/// The steps of a steps.yaml.
///
/// # Errors
/// What can't be read, or has no step.
pub fn read(text: &str) -> anyhow::Result<Vec<Step>> {
    let steps: Vec<Step> = serde_yaml::from_str(text).context("reading YAML")?;
    if steps.is_empty() {
        bail!("no step");
    }
    Ok(steps)
}

impl Step {
    /// Does it, and lets the world come to rest.
    ///
    /// # Errors
    /// An object that can't be read, or isn't there.
    pub fn play(self, sim: &mut Sim) -> anyhow::Result<()> {
        if !self.apply.is_empty() {
            load::Manifests::of(self.apply)?.apply(sim);
        }
        for text in &self.delete {
            let (kind, key) =
                text.split_once(' ').with_context(|| format!("delete {text}: <Kind> <name>"))?;
            let named = |it: &&Kind| it.facts().kind == kind;
            let kind = Kind::ALL.iter().find(named).copied().with_context(|| format!("no kind {kind}"))?;
            let (namespace, name) = key.split_once('/').unwrap_or(("", key));
            if sim.api.get(kind, key).is_none() {
                bail!("delete {text}: there is none");
            }
            sim.delete(kind, namespace, name);
            sim.settle();
        }
        if let Some(openstack) = &self.openstack {
            openstack.make(sim);
        }
        for (router, name) in &self.rename_routers {
            Neutron(sim).rename_router(router, name);
        }
        if let Some(gone) = &self.openstack_delete {
            for it in &gone.interfaces {
                Neutron(sim).detach(&it.router, &it.network, &it.port);
            }
            for router in &gone.routers {
                Neutron(sim).delete_router(router);
            }
        }
        if self.restart {
            sim.restart(0);
            sim.elect(0);
        }
        if self.wait > 0 {
            sim.settle();
            sim.advance(self.wait * 1_000);
        }
        sim.converge();
        Ok(())
    }
}

/// The lines that a step changed, under the headings (`## rows`, a row's first line) that they belong to.
#[must_use]
pub fn changed(before: &str, after: &str) -> String {
    let (mut section, mut row, mut out) = (None, None, String::new());
    for line in diff::lines(before, after).lines() {
        let (mark, text) = line.split_at(1);
        if text.starts_with("## ") {
            (section, row) = (Some(text), None);
            continue;
        }
        let is_part = text.starts_with(' ');
        if mark == " " {
            row = if is_part { row } else { Some(text) };
            continue;
        }
        for heading in [section.take(), row.take().filter(|_| is_part)].into_iter().flatten() {
            out += &format!("  {heading}\n");
        }
        row = row.filter(|_| is_part);
        out += &format!("{line}\n");
    }
    if out.is_empty() { "  nothing changes\n".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_stands_under_its_headings() {
        let before = "## a\nrow 1\n  x: 1\n  y: 1\nrow 2\n  x: 2\n## b\nline\n";
        let after = "## a\nrow 1\n  x: 1\n  y: 9\nrow 2\n  x: 2\n## b\nline\nmore\n";
        assert_eq!(changed(before, after), "  ## a\n  row 1\n-  y: 1\n+  y: 9\n  ## b\n+more\n");
        assert_eq!(changed(before, before), "  nothing changes\n");
    }
}
