//! The files that OVN's programs read. They read them again when all of them have changed, so that all change at once: the
//! files are in a directory of their own, to which a link points.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Files;

/// The link.
const CURRENT: &str = "current";

/// The paths that OVN's programs are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    dir: PathBuf,
}

impl Paths {
    /// Below a directory.
    #[must_use]
    pub fn below(dir: &Path) -> Self {
        Self { dir: dir.join("tls") }
    }

    /// The options of OVN's programs, ovsdb-server(1), ovn-northd(8).
    #[must_use]
    pub fn options(&self) -> Vec<String> {
        tombolo_daemons::tls(&self.dir.join(CURRENT))
    }

    /// What is there.
    #[must_use]
    pub fn read(&self) -> Option<Files> {
        let read = |file: &str| fs::read_to_string(self.dir.join(CURRENT).join(file)).ok();
        Some(Files { cacert: read("cacert")?, cert: read("cert")?, key: read("key")? })
    }

    /// Puts files there; whether they differ from those that were.
    ///
    /// # Errors
    /// The system's.
    pub fn write(&self, files: &Files) -> Result<bool> {
        if self.read().as_ref() == Some(files) {
            return Ok(false);
        }
        let doing = || format!("writing certificates below {}", self.dir.display());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).with_context(doing)?;
        let former = fs::read_link(self.dir.join(CURRENT)).ok();
        let name = (0_u32..)
            .map(|number| number.to_string())
            .find(|name| !self.dir.join(name).exists())
            .context("invariant: some number is free")?;
        let dir = self.dir.join(&name);
        fs::DirBuilder::new().mode(0o700).create(&dir).with_context(doing)?;
        for (file, text) in [("cacert", &files.cacert), ("cert", &files.cert), ("key", &files.key)] {
            let mut options = fs::OpenOptions::new();
            let mut file =
                options.create_new(true).write(true).mode(0o600).open(dir.join(file)).with_context(doing)?;
            file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(doing)?;
        }
        let new = self.dir.join("new");
        tombolo_daemons::file::remove(&new)?;
        symlink(&name, &new).and_then(|()| fs::rename(&new, self.dir.join(CURRENT))).with_context(doing)?;
        if let Some(former) = former {
            // What nobody points to is of no use; that it stays does no harm.
            let _ = fs::remove_dir_all(self.dir.join(former));
        }
        Ok(true)
    }
}
