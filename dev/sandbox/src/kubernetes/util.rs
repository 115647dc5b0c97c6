//! Small helpers of the Kubernetes part: PATH, digests, links.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// The first executable file of that name in PATH.
pub fn which(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(|path| {
        fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}

/// A symbolic link at `link`, replacing what is there.
pub fn symlink(target: impl AsRef<Path>, link: &Path) -> Result<()> {
    if fs::symlink_metadata(link).is_ok() {
        fs::remove_file(link).with_context(|| format!("replacing {}", link.display()))?;
    }
    std::os::unix::fs::symlink(target.as_ref(), link).with_context(|| format!("linking {}", link.display()))
}

/// SHA-256 of some bytes in lower-case hex, by coreutils' `sha256sum` (no crate needed for it).
pub fn sha256_hex(bytes: &[u8]) -> Result<String> {
    let mut child = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting sha256sum")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(bytes).context("writing to sha256sum")?;
    }
    let out = child.wait_with_output().context("waiting for sha256sum")?;
    first_word(&out.stdout)
}

/// SHA-256 of a file in lower-case hex.
pub fn sha256_file(path: &Path) -> Result<String> {
    let out = Command::new("sha256sum").arg("--").arg(path).output().context("starting sha256sum")?;
    first_word(&out.stdout).with_context(|| format!("taking the digest of {}", path.display()))
}

fn first_word(out: &[u8]) -> Result<String> {
    let text = String::from_utf8_lossy(out);
    // A name with odd characters makes sha256sum start the line with a backslash.
    let word = text.split_whitespace().next().unwrap_or_default().trim_start_matches('\\');
    anyhow::ensure!(word.len() == 64, "sha256sum printed no digest: {text:?}");
    Ok(word.into())
}

/// Writes a file only if its content differs, atomically. Returns whether it wrote.
pub fn write_if_changed(path: &Path, content: &[u8]) -> Result<bool> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(false);
    }
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    }
    let staged = path.with_extension("new");
    fs::write(&staged, content).with_context(|| format!("writing {}", staged.display()))?;
    fs::rename(&staged, path).with_context(|| format!("replacing {}", path.display()))?;
    Ok(true)
}
