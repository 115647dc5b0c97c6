//! This project's programs as they ship: compiled with the release profile, the plugin statically, and kept in the cache
//! under a key of what they are made of, so that a second run, also of another checkout, compiles nothing.
//!
//! Tests keep the development profile: its assertions and overflow checks are theirs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};

use crate::images::OurPrograms;
use crate::kubernetes::util::sha256_hex;
use crate::progress::Phase;
use crate::{exec, paths};

const BUILD: Duration = Duration::from_secs(3600);
/// Builds that are kept: this one, and those of the checkouts that were at work last.
const KEPT: usize = 4;
/// How the kept programs are called: as cargo calls them.
const CONTROLLER: &str = "tombolo-controller";
const AGENT: &str = "tombolo-agent";
const PLUGIN: &str = "tombolo-cni";
const KUBECTL_KO: &str = "kubectl-ko";
const CENTRAL: &str = "tombolo-central";
const HYPERVISOR: &str = "tombolo-hypervisor";
const MONITOR: &str = "tombolo-monitor";
const PINGER: &str = "tombolo-pinger";

/// What decides about the programs, from the checkout's root; the tests of a crate don't.
const INPUTS: [&str; 6] = ["Cargo.toml", "Cargo.lock", ".cargo", "crates", "programs", "schemas"];

/// The checkout that this program was built from.
pub(crate) fn workspace() -> PathBuf {
    // dev/sandbox, two below the root.
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// Compiles our programs unless these were compiled before, and returns where they are.
///
/// # Errors
/// When cargo fails; the phase's log has its output.
pub fn build(phase: &Phase) -> Result<OurPrograms> {
    let root = workspace();
    let all = paths::cache().join("programs");
    let dir = all.join(key(&root)?);
    fs::create_dir_all(&all).with_context(|| format!("creating {}", all.display()))?;
    let lock = fs::File::create(all.join("lock")).context("creating the build's lock file")?;
    phase.doing("waiting for another build of our programs to end");
    lock.lock().context("waiting for another build of our programs to end")?;
    if let Some(programs) = kept(&dir) {
        // The oldest go first: this one is in use.
        let used = fs::File::open(&dir).and_then(|dir| dir.set_modified(SystemTime::now()));
        used.with_context(|| format!("marking {} as used", dir.display()))?;
        return Ok(programs);
    }
    phase.hint("the compiler says why; what compiled once is kept, so the same command continues");
    let built = compile(phase, &root)?;
    let staged = dir.with_extension("new");
    let _ = fs::remove_dir_all(&staged); // of a run that was interrupted
    fs::create_dir_all(&staged).with_context(|| format!("creating {}", staged.display()))?;
    for (from, to) in [
        (&built.controller, CONTROLLER),
        (&built.agent, AGENT),
        (&built.plugin, PLUGIN),
        (&built.kubectl_ko, KUBECTL_KO),
        (&built.central, CENTRAL),
        (&built.hypervisor, HYPERVISOR),
        (&built.monitor, MONITOR),
        (&built.pinger, PINGER),
    ] {
        fs::copy(from, staged.join(to)).with_context(|| format!("keeping {}", from.display()))?;
    }
    let _ = fs::remove_dir_all(&dir); // one that lacked a program
    fs::rename(&staged, &dir).with_context(|| format!("keeping our programs in {}", dir.display()))?;
    prune(&all)?;
    kept(&dir).with_context(|| format!("our programs aren't in {}", dir.display()))
}

fn compile(phase: &Phase, root: &Path) -> Result<OurPrograms> {
    let target = root.join("target");
    phase.doing("compiling our programs for release");
    let mut programs = cargo(root);
    let packages = [CONTROLLER, AGENT, "tombolo-kubectl-ko", CENTRAL, HYPERVISOR, MONITOR, PINGER];
    programs.arg("--release").args(packages.iter().flat_map(|package| ["-p", package]));
    exec::check(programs.arg("--target-dir").arg(&target), BUILD, Some(phase.log()))
        .context("compiling all but the CNI plugin")?;

    phase.doing("compiling the CNI plugin");
    // Static, since hosts of any distribution start it. A target directory of its own: other flags in the same
    // one would throw its cache away at each turn. With --target the flags leave build scripts alone.
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let static_target = target.join("plugin-static");
    let mut plugin = cargo(root);
    plugin.args(["-p", "tombolo-cni-plugin", "--profile", "plugin", "--target", &triple]);
    plugin.arg("--target-dir").arg(&static_target).env("RUSTFLAGS", "-C target-feature=+crt-static");
    exec::check(&mut plugin, BUILD, Some(phase.log())).context("compiling the CNI plugin")?;

    let release = target.join("release");
    Ok(OurPrograms {
        controller: release.join(CONTROLLER),
        agent: release.join(AGENT),
        plugin: static_target.join(triple).join("plugin").join(PLUGIN),
        kubectl_ko: release.join(KUBECTL_KO),
        central: release.join(CENTRAL),
        hypervisor: release.join(HYPERVISOR),
        monitor: release.join(MONITOR),
        pinger: release.join(PINGER),
    })
}

fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--locked"]).current_dir(root);
    // What `cargo run` sets for this program is not meant for another cargo.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_TARGET_DIR").env_remove("CARGO_ENCODED_RUSTFLAGS");
    cargo
}

/// Names what the programs are made of: the sources, the lock file, the compiler.
fn key(root: &Path) -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut all = exec::check(Command::new(rustc).arg("-vV"), exec::SHORT, None)?.into_bytes();
    for input in INPUTS {
        add(root, &root.join(input), &mut all)?;
    }
    Ok(sha256_hex(&all)?[..16].to_owned())
}

/// Adds a file, or all files below a directory: names and contents, in the order of the names.
fn add(root: &Path, path: &Path, all: &mut Vec<u8>) -> Result<()> {
    let what = || format!("reading {}", path.display());
    if path.is_dir() {
        let mut below = fs::read_dir(path)
            .with_context(what)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<std::io::Result<Vec<_>>>()
            .with_context(what)?;
        below.sort();
        let tests = |path: &Path| path.file_name().is_some_and(|n| n == "tests" || n == "benches");
        return below.iter().filter(|path| !tests(path)).try_for_each(|path| add(root, path, all));
    }
    if !path.exists() {
        return Ok(()); // such as .cargo, in an unpacked archive
    }
    let content = fs::read(path).with_context(what)?;
    let name = path.strip_prefix(root).unwrap_or(path);
    all.extend(format!("\0{}\0{}\0", name.display(), content.len()).as_bytes());
    all.extend(content);
    Ok(())
}

fn kept(dir: &Path) -> Option<OurPrograms> {
    let program = |name: &str| Some(dir.join(name)).filter(|path| path.is_file());
    Some(OurPrograms {
        controller: program(CONTROLLER)?,
        agent: program(AGENT)?,
        plugin: program(PLUGIN)?,
        kubectl_ko: program(KUBECTL_KO)?,
        central: program(CENTRAL)?,
        hypervisor: program(HYPERVISOR)?,
        monitor: program(MONITOR)?,
        pinger: program(PINGER)?,
    })
}

/// Removes all but the builds that were used last.
fn prune(all: &Path) -> Result<()> {
    let mut builds: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(all).with_context(|| format!("reading {}", all.display()))? {
        let entry = entry?;
        let meta = entry.metadata()?;
        if meta.is_dir() {
            builds.push((meta.modified()?, entry.path()));
        }
    }
    builds.sort();
    builds.reverse();
    for (_, old) in builds.into_iter().skip(KEPT) {
        fs::remove_dir_all(&old).with_context(|| format!("removing {}", old.display()))?;
    }
    Ok(())
}

/// Compiles packages of this workspace for release, with cargo's output on the terminal, and returns the directory of
/// their programs.
///
/// # Errors
/// When they don't compile.
pub fn packages(names: &[&str]) -> Result<PathBuf> {
    let root = workspace();
    let target = root.join("target");
    let status = cargo(&root)
        .arg("--release")
        .args(names.iter().flat_map(|name| ["-p", name]))
        .arg("--target-dir")
        .arg(&target)
        .status()
        .context("starting cargo build")?;
    ensure!(status.success(), "not compiled: {}", names.join(" "));
    Ok(target.join("release"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("tombolo-release-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("crates/net/src")).unwrap();
        fs::create_dir_all(dir.join("crates/net/tests")).unwrap();
        fs::write(dir.join("Cargo.toml"), "a").unwrap();
        fs::write(dir.join("crates/net/src/lib.rs"), "b").unwrap();
        dir
    }

    #[test]
    fn the_key_is_that_of_the_sources_and_not_of_the_tests() {
        let (one, two) = (scratch("one"), scratch("two"));
        assert_eq!(key(&one).unwrap(), key(&two).unwrap(), "the checkout's place doesn't matter");
        fs::write(two.join("crates/net/tests/it.rs"), "c").unwrap();
        fs::write(two.join("README.md"), "c").unwrap();
        assert_eq!(key(&one).unwrap(), key(&two).unwrap());
        fs::write(two.join("crates/net/src/lib.rs"), "c").unwrap();
        assert_ne!(key(&one).unwrap(), key(&two).unwrap());
        fs::write(two.join("crates/net/src/lib.rs"), "b").unwrap();
        fs::rename(two.join("crates/net/src/lib.rs"), two.join("crates/net/src/other.rs")).unwrap();
        assert_ne!(key(&one).unwrap(), key(&two).unwrap());
        for dir in [one, two] {
            fs::remove_dir_all(dir).unwrap();
        }
    }

    #[test]
    fn a_build_is_kept_whole_or_not_at_all_and_old_ones_go() {
        let all = scratch("kept");
        let _ = fs::remove_dir_all(all.join("crates"));
        for n in 0..KEPT + 2 {
            let dir = all.join(format!("build{n}"));
            fs::create_dir(&dir).unwrap();
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(n as u64);
            fs::write(dir.join(CONTROLLER), "").unwrap();
            fs::File::open(&dir).unwrap().set_modified(at).unwrap();
        }
        prune(&all).unwrap();
        assert!(!all.join("build0").exists() && !all.join("build1").exists());
        let last = all.join(format!("build{}", KEPT + 1));
        assert!(last.exists() && all.join("build2").exists());
        assert!(kept(&last).is_none());
        for name in [AGENT, PLUGIN, KUBECTL_KO, CENTRAL, HYPERVISOR, MONITOR, PINGER] {
            fs::write(last.join(name), "").unwrap();
        }
        assert_eq!(kept(&last).unwrap().agent, last.join(AGENT));
        fs::remove_dir_all(all).unwrap();
    }

    #[test]
    fn the_dockerfile_holds_what_the_image_of_cargo_xtask_image_holds() {
        let text = fs::read_to_string(workspace().join("Dockerfile")).unwrap();
        for (program, path) in [
            (CONTROLLER, "/out/kube-ovn-controller"),
            (AGENT, "/out/kube-ovn-daemon"),
            (PLUGIN, "/out/kube-ovn"),
            (KUBECTL_KO, "/out/kubectl-ko"),
            (CENTRAL, "/ovn/ovn-central"),
            (HYPERVISOR, "/ovn/ovs-ovn"),
            (MONITOR, "/out/kube-ovn-monitor"),
            (PINGER, "/out/kube-ovn-pinger"),
        ] {
            assert!(text.lines().any(|line| line.contains(program) && line.contains(path)), "{program}");
        }
        for part in [
            "--release",
            "--profile plugin",
            "+crt-static",
            "nftables",
            "WORKDIR /kube-ovn",
            "AS ovn",
            "debian:trixie-slim",
        ] {
            assert!(text.contains(part), "{part}");
        }
    }
}
