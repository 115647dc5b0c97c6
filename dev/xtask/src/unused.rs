//! Dependencies that a package names and nowhere uses: each costs compile time and a line to review.
//!
//! Decides by names alone, as cargo-machete does, and without installing it: a dependency whose name no source file of the
//! package has is unused.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::walk;

/// Fails with one line for each dependency that isn't used, or when there was nothing to look at.
pub fn run() -> Result<()> {
    let metadata = crate::check_layers::metadata()?;
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    let (mut count, mut unused) = (0, Vec::new());
    for package in &packages {
        let manifest = Path::new(package["manifest_path"].as_str().context("a package without a manifest")?);
        let sources = read(manifest.parent().context("a manifest lies in a folder")?)?;
        for name in dependencies(package) {
            count += 1;
            if !sources.contains(&name) {
                unused.push(format!("{}: {name}", manifest.display()));
            }
        }
    }
    if count == 0 {
        bail!("no package has a dependency: cargo metadata was misread");
    }
    if unused.is_empty() {
        println!("{count} dependencies of {} packages are used", packages.len());
        return Ok(());
    }
    bail!("dependencies that no source file names; take them out of their Cargo.toml:\n{}", unused.join("\n"))
}

/// The names by which a package's sources would call its dependencies.
fn dependencies(package: &Value) -> Vec<String> {
    let all = package["dependencies"].as_array().cloned().unwrap_or_default();
    let name = |dependency: &Value| {
        let name = dependency["rename"].as_str().or(dependency["name"].as_str())?;
        Some(name.replace('-', "_"))
    };
    all.iter().filter_map(name).collect()
}

/// The text of all Rust files below a folder.
fn read(dir: &Path) -> Result<String> {
    let mut text = String::new();
    for path in walk::files(dir, &[])? {
        if path.extension().is_some_and(|it| it == "rs") {
            text += &std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_dependency_goes_by_the_name_that_its_user_gave_it() {
        let package = json!({ "dependencies": [
            { "name": "serde-saphyr", "rename": "serde_yaml" },
            { "name": "tokio-util", "rename": null, "kind": "dev" },
        ] });
        assert_eq!(dependencies(&package), ["serde_yaml", "tokio_util"]);
    }
}
