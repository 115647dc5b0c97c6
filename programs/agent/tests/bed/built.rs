//! Programs of other crates, built as they are in this workspace.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// The plugin, built from this workspace.
pub fn plugin() -> PathBuf {
    static BUILT: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    BUILT
        .get_or_init(|| {
            built("tombolo-cni-plugin", "tombolo-cni", &["crates/names", "crates/cni", "programs/cni-plugin"])
        })
        .clone()
}

/// The controller, built from this workspace.
pub fn controller() -> PathBuf {
    let sources = [
        "crates/names",
        "crates/net",
        "crates/api",
        "crates/ovsdb",
        "crates/ovn",
        "crates/neutron",
        "crates/plan",
        "crates/diff",
        "crates/engine",
        "crates/client",
        "crates/observe",
        "programs/controller",
    ];
    built("tombolo-controller", "tombolo-controller", &sources)
}

/// A program of another crate, which cargo doesn't build for these tests.
fn built(package: &str, program: &str, crates: &[&str]) -> PathBuf {
    // target/debug/deps/<this test> → target/debug/<program>
    let path = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join(program);
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let built = std::fs::metadata(&path).and_then(|m| m.modified()).ok();
    // Asking cargo takes its lock, which another build may hold for minutes.
    if built.is_none_or(|built| crates.iter().any(|source| newest(&all.join(source).join("src")) > built)) {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(["build", "--quiet", "--package", package, "--bin", program])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(status.success(), "building {program}");
    }
    path
}

/// When a file below `dir` was last changed.
fn newest(dir: &Path) -> SystemTime {
    let entries = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap());
    let time = |e: std::fs::DirEntry| match e.file_type().unwrap().is_dir() {
        true => newest(&e.path()),
        false => e.metadata().unwrap().modified().unwrap(),
    };
    entries.map(time).max().unwrap_or(SystemTime::UNIX_EPOCH)
}
