//! Helm: which release, how it is built, and where else it may come from.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;

use super::build::Build;
use crate::kubernetes::util;
use crate::progress::Phase;

const HELM: &str = "v3.19.5";
/// The oldest usable minor release of Helm 3 on PATH.
const OLDEST_HELM: u32 = 19;

/// Helm: PATH's, if it is a release of Helm 3 as new as ours, else built once into the cache.
///
/// # Errors
/// No Go and none to be installed, modules that can't be downloaded, a build that fails.
pub fn helm(phase: &Phase) -> Result<PathBuf> {
    match util::which("helm").filter(|path| helm_minor(path).is_some_and(|minor| minor >= OLDEST_HELM)) {
        Some(path) => Ok(path),
        None => Ok(helm_build().ensure(phase)?.bin.join("helm")),
    }
}

fn helm_build() -> Build {
    let ldflags = format!("-s -w -X helm.sh/helm/v3/internal/version.version={HELM}");
    Build {
        name: "helm",
        title: "Helm",
        version: HELM,
        ldflags,
        sources: &[
            ("go.mod", include_str!("../../files/helm/go.mod")),
            ("go.sum", include_str!("../../files/helm/go.sum")),
        ],
        packages: "tool",
        programs: &["helm"],
        aliases: &[],
        download: "about 90 MiB",
    }
}

/// N of `v3.N.…`, if it runs.
fn helm_minor(helm: &Path) -> Option<u32> {
    let out = Command::new(helm).args(["version", "--short"]).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    text.trim().strip_prefix("v3.")?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::build::tests::pinned;
    use super::*;

    #[test]
    fn the_pinned_modules_are_those_of_the_version() {
        pinned(&helm_build(), "helm.sh/helm/v3", HELM);
    }
}
