//! Where the sandbox keeps things. Decides the three directories, nothing about what is in them.
//!
//! `$TOMBOLO_SANDBOX` names a sandbox of its own beside the default one: several run on one machine without knowing of
//! each other (their networks are in network namespaces), each with its own state and logs and one cache for all.

use std::path::PathBuf;

/// What is worth keeping between sandboxes (built binaries, images, a migrated Neutron database):
/// `$TOMBOLO_CACHE`, else `~/.cache/tombolo`.
pub fn cache() -> PathBuf {
    if let Some(dir) = std::env::var_os("TOMBOLO_CACHE").filter(|d| !d.is_empty()) {
        return PathBuf::from(dir);
    }
    let home =
        std::env::var_os("HOME").filter(|h| !h.is_empty()).map_or_else(|| "/root".into(), PathBuf::from);
    home.join(".cache/tombolo")
}

/// Empty for the default sandbox, else `-` and its name: what its directories, network namespaces and cgroups carry.
pub(crate) fn suffix() -> String {
    std::env::var("TOMBOLO_SANDBOX")
        .ok()
        .filter(|name| !name.is_empty())
        .map_or_else(String::new, |n| format!("-{n}"))
}

/// The running sandbox: databases, host directories, pid files. Removed by `sandbox down`.
///
/// It is outside every directory that a host mounts over, so its paths mean the same inside a host and outside.
pub fn state() -> PathBuf {
    PathBuf::from(format!("/var/lib/tombolo-sandbox{}", suffix()))
}

/// Logs of phases (install, build, …) and of the last sandbox that went down. Survives `sandbox down`.
pub fn logs() -> PathBuf {
    PathBuf::from(format!("/var/log/tombolo-sandbox{}", suffix()))
}

/// Wrappers for people and tests: `openstack`, `ovn-nbctl`, `kubectl` … as if typed on host1.
pub fn bin() -> PathBuf {
    state().join("bin")
}

/// The program that puts a command inside a host.
pub(crate) fn enter() -> PathBuf {
    bin().join("enter")
}
