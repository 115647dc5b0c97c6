//! `cargo xtask check-layers`: the crates' dependencies against ARCHITECTURE.md.
//!
//! Decides four things: an arrow between our crates points downward; the pure crates (with their default features)
//! pull in nothing that does IO; the programs write to OVSDB through our client alone, which signs (the guard of
//! foreign rows judges by signatures); and reasons come from the one list of them. Dev-dependencies aren't checked:
//! tests may use anything.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tombolo_names::Reason;

use crate::walk;

/// Our crates from the bottom up: each may depend on crates of lower rows only.
const LAYERS: &[&[&str]] = &[
    &["names", "net", "ovsdb", "observe", "daemons"],
    &["api", "ovn", "cni", "linux", "client"],
    &["neutron"],
    &["plan"],
    &["diff"],
    &["engine"],
    &["central", "hypervisor", "controller", "agent", "cni-plugin", "kubectl-ko", "pinger", "monitor"],
    &["needs", "chart"],
    &["sandbox"],
    &["ovsdb-servers", "testbed"],
    &["foreign-rows"],
    &["xtask"],
];
/// The row of the programs: only what tests or runs them may depend on one.
const PROGRAMS: usize = 6;

/// Crates that decide and do no IO.
const PURE: &[&str] = &["names", "net", "api", "ovsdb", "ovn", "neutron", "plan", "diff", "engine", "cni"];
/// What these must not pull in.
const IO: &[&str] =
    &["tokio", "mio", "socket2", "hyper", "kube-client", "kube-runtime", "nix", "rtnetlink", "rustls"];
/// Programs that are held to less than they could have: the plugin is copied onto hosts and started for each
/// pod, and `kubectl ko` goes through the user's `kubectl`.
const SLIM: &[&str] = &["cni-plugin", "kubectl-ko"];
/// What these must not pull in.
const HEAVY: &[&str] = &["tokio", "hyper", "kube-client", "kube-runtime", "rtnetlink"];

/// Crates that say why something isn't served.
const REASONERS: &[&str] = &["api", "plan", "engine", "controller", "agent", "kubectl-ko"];

/// Crates whose writes the guard of foreign rows judges.
const WRITERS: &[&str] = &["controller", "agent", "cni-plugin", "engine"];
/// What would be another way into a database than our client: its request, and OVN's and Open vSwitch's own programs.
const OTHER_WAYS: &[&str] =
    &["\"transact\"", "ovs-vsctl\"", "ovs-ofctl\"", "ovn-nbctl\"", "ovn-sbctl\"", "ovsdb-client\""];
/// The one line that has such a word for another reason: the label of a metric.
const NO_WAY: &str = "let labels = OvsLabels {";

/// Fails with one line for each violation.
pub fn run() -> Result<()> {
    let arrows = arrows(&metadata()?);
    let mut violations = upward(&arrows);
    for (crates, banned, why) in [(PURE, IO, "pure: no IO"), (SLIM, HEAVY, "slim")] {
        for name in crates {
            if arrows.contains_key(*name) {
                let found = pulled_in(&tree(name)?, banned);
                violations.extend(found.iter().map(|dep| format!("{name} is {why}, but pulls in {dep}")));
            }
        }
    }
    violations.extend(typed_again()?);
    let mut files = 0;
    for name in WRITERS {
        for path in sources(name)? {
            let text =
                std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            violations.extend(other_ways(&text).map(|line| format!("{}: {line}", path.display())));
            files += 1;
        }
    }
    if files < WRITERS.len() {
        bail!("{files} source files of {WRITERS:?} were found: where are they?");
    }
    if violations.is_empty() {
        println!("{} crates: all arrows point downward, the pure ones are pure", arrows.len());
        return Ok(());
    }
    for violation in &violations {
        eprintln!("{violation}");
    }
    bail!("{} violations of the layers (ARCHITECTURE.md, \"Crates\")", violations.len())
}

/// The workspace's packages and what they depend on.
pub fn metadata() -> Result<Value> {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps"])
        .output()
        .context("starting cargo metadata")?;
    if !metadata.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&metadata.stderr).trim());
    }
    serde_json::from_slice(&metadata.stdout).context("reading cargo metadata")
}

/// Reasons that a crate types as text in place of `tombolo_names::Reason`, where the docs are made from.
fn typed_again() -> Result<Vec<String>> {
    let mut found = Vec::new();
    for name in REASONERS {
        for path in sources(name)? {
            let text =
                std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            let product = text.split("#[cfg(test)]").next().unwrap_or_default();
            let typed = Reason::all().filter(|reason| product.contains(&format!("\"{reason}\"")));
            found.extend(typed.map(|reason| {
                format!(
                    "{}: the reason \"{reason}\" is typed as text: use tombolo_names::Reason",
                    path.display()
                )
            }));
        }
    }
    Ok(found)
}

/// The source files of a crate, without its tests.
fn sources(name: &str) -> Result<Vec<PathBuf>> {
    let root = crate::root()?;
    let folders = ["crates", "programs"].map(|folder| root.join(folder).join(name).join("src"));
    let folder = folders.into_iter().find(|folder| folder.is_dir());
    folder.map_or_else(|| Ok(Vec::new()), |folder| walk::files(&folder, &["tests", "tests.rs"]))
}

/// Lines that reach for a database in another way than through our client.
fn other_ways(source: &str) -> impl Iterator<Item = &str> {
    source
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//") && !line.starts_with(NO_WAY))
        .filter(|line| OTHER_WAYS.iter().any(|way| line.contains(way)))
}

/// Crate → our crates it depends on, optional dependencies included.
type Arrows = BTreeMap<String, BTreeSet<String>>;

fn short(name: &str) -> &str {
    name.strip_prefix("tombolo-").unwrap_or(name)
}

fn arrows(metadata: &Value) -> Arrows {
    let list = |v: &Value| v.as_array().cloned().unwrap_or_default();
    list(&metadata["packages"])
        .iter()
        .map(|package| {
            let ours = list(&package["dependencies"])
                .iter()
                .filter(|d| d["path"].is_string() && d["kind"] != "dev")
                .filter_map(|d| Some(short(d["name"].as_str()?).to_owned()))
                .collect();
            (short(package["name"].as_str().unwrap_or_default()).to_owned(), ours)
        })
        .collect()
}

fn upward(arrows: &Arrows) -> Vec<String> {
    let is_test = |name: &str| name.starts_with("tests-") || name.starts_with("bench-");
    let layer = |name: &str| LAYERS.iter().position(|row| row.contains(&name));
    let mut violations = Vec::new();
    for (from, targets) in arrows {
        if is_test(from) {
            continue;
        }
        let Some(own) = layer(from) else {
            violations.push(format!(
                "{from} has no layer: give it one in dev/xtask/src/check_layers.rs and in ARCHITECTURE.md"
            ));
            continue;
        };
        for to in targets {
            match layer(to) {
                Some(theirs) if theirs < own && (theirs != PROGRAMS || own > PROGRAMS) => {}
                Some(theirs) if theirs == own => {
                    violations.push(format!("{from} → {to}: crates of one layer don't know each other"));
                }
                _ if is_test(to) => violations.push(format!("{from} → {to}: depends on a test")),
                _ => violations.push(format!("{from} → {to}: points upward")),
            }
        }
    }
    violations
}

/// Names of all packages that `name` pulls in when it is built alone with its default features.
fn tree(name: &str) -> Result<String> {
    let package = format!("tombolo-{name}");
    let output = Command::new(env!("CARGO"))
        .args(["tree", "-p", &package, "-e", "normal", "--prefix", "none", "--format", "{p}"])
        .output()
        .context("starting cargo tree")?;
    if !output.status.success() {
        bail!("cargo tree -p {package}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).context("reading cargo tree")
}

fn pulled_in(tree: &str, banned: &[&str]) -> BTreeSet<String> {
    tree.lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| banned.contains(name))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn graph(pairs: &[(&str, &[&str])]) -> Arrows {
        pairs
            .iter()
            .map(|(from, to)| ((*from).to_owned(), to.iter().map(|t| (*t).to_owned()).collect()))
            .collect()
    }

    #[test]
    fn downward_is_fine() {
        let good = graph(&[
            ("net", &[]),
            ("api", &["net"]),
            ("plan", &["api", "net"]),
            ("controller", &["plan", "net"]),
            ("xtask", &["sandbox", "controller"]),
            ("tests-api", &["controller"]),
        ]);
        assert!(upward(&good).is_empty(), "{:?}", upward(&good));
    }

    #[test]
    fn each_wrong_arrow_is_one_line() {
        let bad = graph(&[
            ("net", &["api"]),
            ("api", &["ovn"]),
            ("plan", &["controller"]),
            ("agent", &["controller"]),
            ("engine", &["tests-api"]),
            ("stray", &[]),
        ]);
        let lines = upward(&bad);
        assert_eq!(lines.len(), 6, "{lines:?}");
        assert!(lines.contains(&"plan → controller: points upward".to_owned()), "{lines:?}");
    }

    #[test]
    fn metadata_without_dev_dependencies() {
        let metadata = json!({ "packages": [{ "name": "tombolo-api", "dependencies": [
            { "name": "tombolo-net", "path": "/x", "kind": null },
            { "name": "tombolo-plan", "path": "/y", "kind": "dev" },
            { "name": "serde", "kind": null }
        ] }] });
        assert_eq!(arrows(&metadata), graph(&[("api", &["net"])]));
    }

    #[test]
    fn databases_are_reached_through_our_client() {
        let bad = [
            "Command::new(\"ovs-vsctl\")",
            "exec(\"/usr/bin/ovn-nbctl\")",
            "json!({\"method\": \"transact\"})",
        ];
        assert_eq!(other_ways(&bad.join("\n")).collect::<Vec<_>>(), bad);
        let good = ["// Command::new(\"ovs-vsctl\")", "format!(\"ovs-vsctl set {it}\")", NO_WAY];
        assert_eq!(other_ways(&good.join("\n")).count(), 0);
    }

    #[test]
    fn what_is_pulled_in() {
        let found =
            pulled_in("tombolo-net v0.1.0 (/x)\ntokio v1.54.1\ntokio-util v0.7.0\n", &["tokio", "nix"]);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["tokio"]);
    }
}
