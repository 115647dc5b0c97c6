//! A disk of its own for one program, small enough to be filled.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A tmpfs. Nothing but this value holds it: it is unmounted as soon as it is open, so it goes with the process,
/// however that ends.
#[derive(Debug)]
pub struct Disk {
    root: File,
}

impl Disk {
    /// One of `mebibytes`. `None` where mounting isn't allowed.
    pub fn new(at: &Path, mebibytes: u32) -> Result<Option<Disk>> {
        let size = format!("size={mebibytes}m,mode=0700");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(at)
            .output()
            .context("starting mount")?;
        if !mounted.status.success() {
            return Ok(None);
        }
        let root = File::open(at);
        let unmounted = Command::new("umount").arg("--lazy").arg(at).status().context("starting umount")?;
        ensure!(unmounted.success(), "umount {}: {unmounted}", at.display());
        Ok(Some(Disk { root: root.context("opening a disk")? }))
    }

    /// Its root, as any program of the same user can open it.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.root.as_raw_fd()).into()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Leaves no room on it.
    pub fn fill(&self) -> Result<()> {
        let mut file = File::create(self.ballast()).context("filling a disk")?;
        let mut size = 1 << 20;
        // Down to the last byte: what is left of a page would take another record.
        while size > 0 {
            match file.write_all(&vec![0; size]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => size /= 2,
                Err(error) => return Err(error).context("filling a disk"),
            }
        }
        Ok(())
    }

    /// Makes room again.
    pub fn free(&self) -> Result<()> {
        std::fs::remove_file(self.ballast()).context("making room on a disk")
    }
}
