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
/// The minor release of Kubernetes 1.x that Helm's release is made for: that of its k8s.io modules.
const HELM_KUBERNETES: u32 = 34;

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
    let helm = "helm.sh/helm/v3";
    let mut ldflags = format!("-s -w -X {helm}/internal/version.version={HELM}");
    // As Helm's own Makefile does: `helm lint` and `helm template` would take the cluster for Kubernetes 1.20 otherwise.
    for package in ["pkg/lint/rules", "pkg/chartutil"] {
        ldflags.push_str(&format!(" -X {helm}/{package}.k8sVersionMajor=1"));
        ldflags.push_str(&format!(" -X {helm}/{package}.k8sVersionMinor={HELM_KUBERNETES}"));
    }
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

    #[test]
    fn helm_is_made_for_the_kubernetes_of_its_modules() {
        let go_mod = helm_build().sources[0].1;
        assert!(go_mod.contains(&format!("k8s.io/client-go v0.{HELM_KUBERNETES}.")));
    }
}
