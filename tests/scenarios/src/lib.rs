//! Scenarios: what users apply in Kubernetes and in OpenStack, and what becomes of it, a folder a case.
//!
//! ```text
//! cases/<case>/k8s.yaml      objects, applied one after the other, nodes first; one that is there is merged into
//! cases/<case>/neutron.yaml  what is in OpenStack before (optional)
//! cases/<case>/expected.nb   our rows in the NB, and what hangs on Neutron's rows
//! cases/<case>/expected.k8s  what users see
//! cases/<case>/BASE          the name of the case with which a story begins, in place of k8s.yaml and neutron.yaml
//! cases/<case>/steps.yaml    what happens then, step by step (see [`story::Step`])
//! cases/<case>/expected.story  what each step changes, in place of the two
//! cases/<case>/HANDWRITTEN   says where the expectations come from; they are never rewritten then
//! ```
//!
//! `UPDATE=1 cargo test -p tombolo-tests-scenarios` rewrites expectations: read the difference before you commit it.
//! Decides how a case is read, printed and compared. What happens in it is decided by the engine, in the world in memory of
//! `tombolo-tests-sim`, whose invariants are checked on the way: foreign rows untouched, nothing left to do for an engine
//! that starts anew, silence at rest.

mod diff;
mod load;
mod openstack;
mod print;
pub mod story;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tombolo_tests_sim::{Sim, config};

pub use diff::lines;

/// The folder of all cases.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")
}

/// The names of all cases, sorted.
///
/// # Errors
/// When the folder can't be read.
pub fn all() -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder()).context("listing the cases")? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Runs a case and compares what came out with what its folder expects, or rewrites that if `update` says so and the
/// case isn't written by hand.
///
/// # Errors
/// What differs, line by line; a folder that can't be read or expects nothing.
///
/// # Panics
/// When an invariant is violated on the way.
pub fn check(case: &str, update: bool) -> anyhow::Result<()> {
    let dir = folder().join(case);
    let by_hand = dir.join("HANDWRITTEN").exists();
    let results = run(&dir).with_context(|| format!("running {case}"))?;
    let mut differences = String::new();
    for (file, got) in results {
        let path = dir.join(file);
        if update && !by_hand {
            fs::write(&path, &got).with_context(|| format!("writing {}", path.display()))?;
            continue;
        }
        let Ok(expected) = fs::read_to_string(&path) else {
            bail!("{case} has no {file}: see what comes out with UPDATE=1, and whether it is right")
        };
        let got = if by_hand { only_sections_of(&got, &expected) } else { got };
        if expected != got {
            differences += &format!("{case}/{file} (- expected, + got):\n{}", lines(&expected, &got));
        }
    }
    if !differences.is_empty() {
        bail!("{differences}");
    }
    Ok(())
}

/// Plays a case: the files with what is expected, and the texts that belong into them.
fn run(dir: &Path) -> anyhow::Result<Vec<(&'static str, String)>> {
    let steps = dir.join("steps.yaml");
    if !steps.exists() {
        let mut begun = begin(dir)?;
        let (nb, k8s) = begun.show()?;
        let shown = [("expected.nb", nb), ("expected.k8s", k8s)];
        return Ok(shown.map(|(file, text)| (file, print::number_macs(&text, &begun.given))).to_vec());
    }
    let base = fs::read_to_string(dir.join("BASE")).context("reading BASE")?;
    let mut begun =
        begin(&folder().join(base.trim())).with_context(|| format!("beginning with {}", base.trim()))?;
    let text = fs::read_to_string(&steps).with_context(|| format!("reading {}", steps.display()))?;
    begun.given += &text;
    let (mut words, mut states) = (Vec::new(), vec![begun.show()?]);
    for step in story::read(&text).context("in steps.yaml")? {
        words.push(step.step.clone());
        step.play(&mut begun.sim).with_context(|| format!("in the step {:?}", words.last()))?;
        states.push(begun.show()?);
    }
    // Numbered all at once, so that a MAC keeps its number through the story.
    let all: String = states.iter().map(|(nb, k8s)| format!("{nb}{k8s}{STATE}")).collect();
    let all = print::number_macs(&all, &begun.given);
    let states: Vec<&str> = all.split(STATE).collect();
    let steps = words.iter().zip(states.windows(2));
    let story = steps.map(|(step, states)| format!("# {step}\n{}", story::changed(states[0], states[1])));
    Ok(vec![("expected.story", story.collect())])
}

/// Between two states of a story.
const STATE: &str = "\u{2}";

/// A case that has been played up to its first rest.
struct Begun {
    sim: Sim,
    /// Rows of an empty cluster, which aren't shown.
    there: Vec<String>,
    /// All that its files name.
    given: String,
}

impl Begun {
    fn show(&mut self) -> anyhow::Result<(String, String)> {
        Ok((print::nb(&self.sim, &self.there)?, print::k8s(&self.sim)))
    }
}

fn begin(dir: &Path) -> anyhow::Result<Begun> {
    let read = |file: &str| {
        let path = dir.join(file);
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    };
    let objects = read("k8s.yaml")?;
    let mut given = objects.clone();
    let objects = load::Manifests::read(&objects).context("in k8s.yaml")?;
    let mut sim = Sim::new(config(), 1);
    // Nodes come first: a cluster that is installed. What it consists of is one case's to say: the one without OpenStack.
    objects.apply_nodes(&mut sim)?;
    let mut there = Vec::new();
    if dir.join("neutron.yaml").exists() {
        there = print::rows(&sim)?;
        let text = read("neutron.yaml")?;
        openstack::load(&mut sim, &text).context("in neutron.yaml")?;
        sim.settle();
        given += &text;
    }
    objects.apply(&mut sim);
    sim.converge();
    Ok(Begun { sim, there, given })
}

/// Who writes by hand writes about what matters: sections (`## rows`) that aren't expected are left out.
fn only_sections_of(got: &str, expected: &str) -> String {
    let mut keep = true;
    let mut out = String::new();
    for line in got.split_inclusive('\n') {
        if line.starts_with("## ") {
            keep = expected.lines().any(|it| it == line.trim_end());
        }
        if keep {
            out += line;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections() {
        let got = "## a\n1\n## b\n2\n## c\n3\n";
        assert_eq!(only_sections_of(got, "## a\n## c\n"), "## a\n1\n## c\n3\n");
        // One that doesn't come is missed all the same.
        assert_ne!(only_sections_of(got, "## d\n"), "## d\n");
    }
}
