//! Files of databases.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use tracing::warn;

/// A path as an argument.
///
/// # Errors
/// One that is no text.
pub fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is no UTF-8", path.display()))
}

/// Removes a file, if it is there.
///
/// # Errors
/// The system's.
pub fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Its name.
#[must_use]
pub fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Puts a file aside, beside its place; where it is then.
///
/// # Errors
/// The system's.
pub fn archive(path: &Path, why: &str) -> Result<PathBuf> {
    let aside = aside(path)?;
    std::fs::rename(path, &aside).with_context(|| format!("putting {} aside", path.display()))?;
    warn!("{} is put aside as {}: {why}", path.display(), aside.display());
    Ok(aside)
}

/// A name for it that is free, beside its place.
///
/// # Errors
/// None: some number is free.
pub fn aside(path: &Path) -> Result<PathBuf> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    (0_u32..)
        .map(|number| path.with_file_name(format!("{}.archived-{seconds}-{number}", file_name(path))))
        .find(|aside| !aside.exists())
        .context("invariant: some number is free")
}
