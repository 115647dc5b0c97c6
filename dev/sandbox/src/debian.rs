//! Packages of another Debian release than the machine's, unpacked beside it: OVN 25.03 is Debian 13's, and to install it on
//! Debian 12 would replace the machine's C library.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::kubernetes::util::sha256_hex;
use crate::progress::Phase;
use crate::{exec, paths};

/// For a download, and for unpacking it.
const LONG: Duration = Duration::from_secs(900);
/// Counts up when the same names are to be fetched anew.
const REVISION: u32 = 1;

/// The root directory with these packages of a release and all that they depend on, from the cache or downloaded.
///
/// # Errors
/// A mirror that isn't reachable, or packages that it doesn't have.
pub fn unpacked(release: &str, packages: &[&str], phase: &Phase) -> Result<PathBuf> {
    let key = sha256_hex(format!("{release} {REVISION} {}", packages.join(" ")).as_bytes())?;
    let all = paths::cache().join("debian");
    let dir = all.join(format!("{release}-{}", &key[..12]));
    let root = dir.join("root");
    if root.exists() {
        return Ok(root);
    }
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    let lock = fs::File::create(dir.join("lock")).context("creating the download's lock file")?;
    phase.doing(format_args!("waiting for another download of Debian {release} to end"));
    lock.lock().context("waiting for another download to end")?;
    if root.exists() {
        return Ok(root);
    }
    phase.doing(format_args!("downloading packages of Debian {release} (some 40 MB, once)"));
    let configuration = private_apt(&dir, release)?;
    let apt = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("APT_CONFIG", &configuration).env("DEBIAN_FRONTEND", "noninteractive").args(words);
        exec::check(&mut command, LONG, Some(phase.log()))
    };
    apt(&["update", "--quiet"]).context("reading the index of Debian's mirror")?;
    let install = ["install", "--quiet", "--yes", "--download-only", "--no-install-recommends"];
    apt(&[&install, packages].concat()).with_context(|| format!("downloading {}", packages.join(", ")))?;
    phase.doing(format_args!("unpacking packages of Debian {release}"));
    let new = dir.join("root.new");
    let _ = fs::remove_dir_all(&new); // of a run that was interrupted
    fs::create_dir_all(&new).with_context(|| format!("creating {}", new.display()))?;
    let archives = dir.join("cache/archives");
    for entry in fs::read_dir(&archives).with_context(|| format!("reading {}", archives.display()))? {
        let path = entry.context("reading the downloaded packages")?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            let mut extract = Command::new("dpkg-deb");
            exec::check(extract.arg("--extract").arg(&path).arg(&new), LONG, None)
                .with_context(|| format!("unpacking {}", path.display()))?;
        }
    }
    fs::rename(&new, &root).with_context(|| format!("moving {} into place", new.display()))?;
    let _ = fs::remove_dir_all(dir.join("cache")); // what was unpacked isn't needed again
    Ok(root)
}

/// A configuration by which apt knows the one release, no installed package, and no other directory.
fn private_apt(dir: &Path, release: &str) -> Result<PathBuf> {
    for sub in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(dir.join(sub)).with_context(|| format!("creating {sub} of {}", dir.display()))?;
    }
    let at = |name: &str| dir.join(name).display().to_string();
    let source = format!(
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian {release} main\n"
    );
    let configuration = format!(
        "Dir::Etc::sourcelist \"{}\";\nDir::Etc::sourceparts \"-\";\nDir::State::lists \"{}\";\nDir::State::status \"{}\";\n\
         Dir::Cache \"{}\";\nDir::Etc::preferencesparts \"-\";\n",
        at("sources.list"),
        at("lists"),
        at("status"),
        at("cache"),
    );
    for (name, text) in [("sources.list", source.as_str()), ("status", ""), ("apt.conf", &configuration)] {
        fs::write(dir.join(name), text).with_context(|| format!("writing {}", at(name)))?;
    }
    Ok(dir.join("apt.conf"))
}

/// The shared libraries of a program in an unpacked root, as paths in it: found by that root's own loader.
///
/// # Errors
/// A program that isn't there, or lacks a library.
pub fn libraries(root: &Path, program: &Path) -> Result<Vec<PathBuf>> {
    let machine = format!("{}-linux-gnu", std::env::consts::ARCH);
    let libraries = root.join("usr/lib").join(&machine);
    let loader = fs::read_dir(&libraries)
        .with_context(|| format!("reading {}", libraries.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ld-linux")))
        .with_context(|| format!("no loader is in {}", libraries.display()))?;
    let mut list = Command::new(&loader);
    list.arg("--library-path").arg(&libraries).arg("--list").arg(program);
    let text = exec::check(&mut list, exec::SHORT, None)
        .with_context(|| format!("looking for the libraries of {}", program.display()))?;
    let mut found: Vec<PathBuf> = text
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect();
    found.push(loader);
    found.retain(|path| path.starts_with(root));
    found.sort();
    found.dedup();
    Ok(found)
}
