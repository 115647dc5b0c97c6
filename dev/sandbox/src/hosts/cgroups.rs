//! Control groups of a host: one in each hierarchy of cgroup v1, or one of cgroup2, whichever this machine has.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

pub(super) fn cgroup2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.procs").exists()
}

pub(super) fn hierarchies() -> Vec<PathBuf> {
    if cgroup2() {
        return vec![PathBuf::from("/sys/fs/cgroup")];
    }
    let mut found: Vec<PathBuf> = fs::read_dir("/sys/fs/cgroup")
        .into_iter()
        .flatten()
        .flatten()
        // Controllers mounted together have symlinks beside their directory.
        .filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir()))
        .map(|entry| entry.path())
        .filter(|path| path.join("cgroup.procs").exists())
        .collect();
    found.sort();
    found
}

pub(super) fn make(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("creating the cgroup {}", dir.display()))?;
    let parent = dir.parent().unwrap_or(dir);
    // A new group of the v1 cpuset controller is empty, and nothing can run in it.
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if let Ok(value) = fs::read_to_string(parent.join(file))
            && !cgroup2()
        {
            fs::write(dir.join(file), value).with_context(|| format!("setting {}/{file}", dir.display()))?;
        }
    }
    if cgroup2() {
        let controllers = fs::read_to_string(parent.join("cgroup.controllers")).unwrap_or_default();
        for controller in controllers.split_whitespace() {
            // One that can't be handed down is missing in the hosts; kubelet names it if it needs it.
            let _ = fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
    Ok(())
}

/// Moves what is in the root of a host's cgroup2 to its leaf and lets the host use its controllers: a group with
/// processes of its own can't hand controllers down to children.
pub(super) fn delegate(dir: &Path) -> Result<()> {
    for pid in fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default().lines() {
        fs::write(dir.join("init/cgroup.procs"), pid)
            .with_context(|| format!("moving {pid} within {}", dir.display()))?;
    }
    for controller in
        fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default().split_whitespace()
    {
        fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}"))
            .with_context(|| format!("handing the controller {controller} to {}", dir.display()))?;
    }
    Ok(())
}

pub(super) fn processes(dir: &Path) -> Vec<String> {
    let mut found: Vec<String> =
        fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default().lines().map(str::to_owned).collect();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            found.extend(processes(&entry.path()));
        }
    }
    found
}

pub(super) fn remove(dir: &Path) -> Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(dir).with_context(|| format!("removing the cgroup {}", dir.display()))
}
