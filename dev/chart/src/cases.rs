//! The chart's cases, `charts/cases`: a folder each, with `values.yaml` and what Helm makes of it, `manifests.yaml` or `refused.txt`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::render::{self, Rendered};

/// The manifests that are left out of goldens: the kinds are files of their own, and long.
const LEFT_OUT: &str = "crds.yaml";

fn folder() -> PathBuf {
    crate::workspace().join("charts/cases")
}

/// The manifests of a case, as they were last rendered, for tests that need a part of what is installed.
///
/// # Errors
/// A case that isn't there.
pub fn manifests(case: &str) -> Result<String> {
    let path = folder().join(case).join("manifests.yaml");
    fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
}

/// A template's documents in a case.
///
/// # Errors
/// As [`manifests`], and a template of which there are none.
pub fn part(case: &str, template: &str) -> Result<String> {
    render::part(&manifests(case)?, template).with_context(|| format!("the case {case}"))
}

/// Renders all cases; the number of them. With `write`, differences are written, else they are an error.
///
/// # Errors
/// Cases that differ, with the first line that does; no case at all.
pub fn run(helm: &Path, write: bool) -> Result<usize> {
    let mut cases: Vec<PathBuf> = fs::read_dir(folder())
        .with_context(|| format!("reading {}", folder().display()))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    cases.retain(|case| case.is_dir());
    cases.sort();
    ensure!(!cases.is_empty(), "{} has no case", folder().display());
    let mut differ = Vec::new();
    for case in &cases {
        let name = case.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (file, other, text) = match render::render(helm, &case.join("values.yaml"))? {
            Rendered::Manifests(text) => ("manifests.yaml", "refused.txt", without_kinds(&text)?),
            Rendered::Refused(text) => ("refused.txt", "manifests.yaml", text),
        };
        let expected = fs::read_to_string(case.join(file)).unwrap_or_default();
        if expected == text && !case.join(other).exists() {
            continue;
        }
        if write {
            fs::write(case.join(file), &text).with_context(|| format!("writing {file} of {name}"))?;
            if case.join(other).exists() {
                fs::remove_file(case.join(other)).with_context(|| format!("removing {other} of {name}"))?;
            }
            println!("wrote {name}/{file}");
        } else {
            let line = expected.lines().zip(text.lines()).find(|(a, b)| a != b);
            let shown = line.map_or("one is longer".to_owned(), |(a, b)| format!("{a:?} became {b:?}"));
            differ.push(format!("{name}/{file}: {shown}"));
        }
    }
    if !differ.is_empty() {
        bail!("{}\nIf that is meant: `cargo xtask chart --write`, and commit the result", differ.join("\n"));
    }
    Ok(cases.len())
}

fn without_kinds(manifests: &str) -> Result<String> {
    let kinds = render::part(manifests, LEFT_OUT)?;
    ensure!(
        kinds.contains("helm.sh/resource-policy: keep") && kinds.contains("name: subnets.kubeovn.io"),
        "the chart doesn't install the kinds, or `helm uninstall` would delete them, and all objects with them"
    );
    let source = format!("# Source: tombolo/templates/{LEFT_OUT}\n");
    let rest =
        manifests.split("---\n").filter(|document| !document.is_empty() && !document.starts_with(&source));
    Ok(rest.map(|document| format!("---\n{document}")).collect())
}
