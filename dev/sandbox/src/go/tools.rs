//! Helm, CoreDNS, Prometheus and Kube-OVN: which releases, how they are built, and where else they may come from.

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
/// The newest that Go 1.24 compiles.
const COREDNS: &str = "v1.14.1";
/// Prometheus 3.8.1, the newest that any Go 1.24 compiles.
const PROMETHEUS: &str = "v0.308.1";
/// Of the releases that are to be had as a module, the newest.
const KUBE_OVN: &str = "v1.14.10";

/// Kube-OVN's programs and kinds, for a cluster that is to be taken over.
#[derive(Clone, Debug)]
pub struct KubeOvn {
    /// Its controller.
    pub controller: PathBuf,
    /// Its agent.
    pub daemon: PathBuf,
    /// Its CNI plugin.
    pub plugin: PathBuf,
    /// Its CustomResourceDefinitions, those of its chart.
    pub kinds: PathBuf,
}

/// Prometheus' programs, each at an absolute path.
#[derive(Clone, Debug)]
pub struct Prometheus {
    /// `prometheus`. It has the API and all of service discovery; its web pages aren't in it, since the module is without
    /// them.
    pub server: PathBuf,
    /// `promtool`, which checks and tests rules.
    pub promtool: PathBuf,
}

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

/// CoreDNS with the plugins that a cluster's DNS needs (`files/coredns/main.go` lists them), built once into the cache.
///
/// # Errors
/// As [`helm`].
pub fn coredns(phase: &Phase) -> Result<PathBuf> {
    Ok(coredns_build().ensure(phase)?.bin.join("coredns"))
}

/// Prometheus and promtool, built once into the cache.
///
/// # Errors
/// As [`helm`].
pub fn prometheus(phase: &Phase) -> Result<Prometheus> {
    let bin = prometheus_build().ensure(phase)?.bin;
    Ok(Prometheus { server: bin.join("prometheus"), promtool: bin.join("promtool") })
}

/// Kube-OVN, built once into the cache.
///
/// # Errors
/// As [`helm`].
pub fn kube_ovn(phase: &Phase) -> Result<KubeOvn> {
    let bin = kube_ovn_build().ensure(phase)?.bin;
    let file = |name: &str| bin.join(name);
    Ok(KubeOvn {
        controller: file("kube-ovn-controller"),
        daemon: file("daemon"),
        plugin: file("cni"),
        kinds: file("kinds.yaml"),
    })
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
        files: &[],
        oldest_go: 24,
        aliases: &[],
        download: "about 90 MiB",
    }
}

fn coredns_build() -> Build {
    Build {
        name: "coredns",
        title: "CoreDNS",
        version: COREDNS,
        // Its version is a constant.
        ldflags: "-s -w".into(),
        sources: &[
            ("main.go", include_str!("../../files/coredns/main.go")),
            ("go.mod", include_str!("../../files/coredns/go.mod")),
            ("go.sum", include_str!("../../files/coredns/go.sum")),
        ],
        packages: ".",
        programs: &["coredns"],
        files: &[],
        oldest_go: 24,
        aliases: &[],
        download: "about 40 MiB",
    }
}

fn prometheus_build() -> Build {
    Build {
        name: "prometheus",
        title: "Prometheus",
        version: PROMETHEUS,
        ldflags: format!("-s -w -X github.com/prometheus/common/version.Version={}", release(PROMETHEUS)),
        sources: &[
            ("go.mod", include_str!("../../files/prometheus/go.mod")),
            ("go.sum", include_str!("../../files/prometheus/go.sum")),
        ],
        packages: "tool",
        programs: &["prometheus", "promtool"],
        files: &[],
        oldest_go: 24,
        aliases: &[],
        download: "about 180 MiB",
    }
}

fn kube_ovn_build() -> Build {
    Build {
        name: "kube-ovn",
        title: "Kube-OVN",
        version: KUBE_OVN,
        ldflags: format!("-s -w -X github.com/kubeovn/kube-ovn/versions.VERSION={KUBE_OVN}"),
        sources: &[
            ("go.mod", include_str!("../../files/kube-ovn/go.mod")),
            ("go.sum", include_str!("../../files/kube-ovn/go.sum")),
        ],
        packages: "tool",
        programs: &["controller", "daemon", "cni"],
        files: &[(
            "github.com/kubeovn/kube-ovn@v1.14.10/charts/kube-ovn/templates/kube-ovn-crd.yaml",
            "kinds.yaml",
        )],
        oldest_go: 26,
        // It behaves by its name.
        aliases: &["kube-ovn-controller"],
        download: "about 200 MiB",
    }
}

/// Prometheus' release of a version of its module: 3.8.1 is v0.308.1.
fn release(module: &str) -> String {
    let mut parts = module.split('.').skip(1).map(|part| part.parse().unwrap_or(0));
    let (minor, patch): (u32, u32) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    format!("{}.{}.{patch}", minor / 100, minor % 100)
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
    fn the_pinned_modules_are_those_of_the_versions() {
        pinned(&helm_build(), "helm.sh/helm/v3", HELM);
        pinned(&coredns_build(), "github.com/coredns/coredns", COREDNS);
        pinned(&prometheus_build(), "github.com/prometheus/prometheus", PROMETHEUS);
        let kube_ovn = kube_ovn_build();
        pinned(&kube_ovn, "github.com/kubeovn/kube-ovn", KUBE_OVN);
        assert!(kube_ovn.files.iter().all(|(file, _)| file.contains(&format!("@{KUBE_OVN}/"))));
    }

    #[test]
    fn helm_is_made_for_the_kubernetes_of_its_modules() {
        let go_mod = helm_build().sources[0].1;
        assert!(go_mod.contains(&format!("k8s.io/client-go v0.{HELM_KUBERNETES}.")));
    }

    #[test]
    fn prometheus_reports_its_release() {
        assert!(prometheus_build().ldflags.ends_with("version.Version=3.8.1"));
        assert_eq!(release("v0.313.0"), "3.13.0");
    }
}
