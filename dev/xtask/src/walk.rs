//! The files below a folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// All files below `dir`, sorted, without those files and folders whose names are left out.
pub fn files(dir: &Path, left_out: &[&str]) -> Result<Vec<PathBuf>> {
    let (mut folders, mut files) = (vec![dir.to_path_buf()], Vec::new());
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
        for entry in entries {
            let path = entry.with_context(|| format!("reading {}", folder.display()))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if left_out.contains(&&*name) {
                continue;
            }
            if path.is_dir() { &mut folders } else { &mut files }.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}
