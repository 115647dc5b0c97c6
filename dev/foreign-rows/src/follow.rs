//! A file of ovsdb-server's, read as it grows, into the file that takes its place when it is compacted.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::log::{self, LogError, Record};

/// Why a file can't be followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// It can't be read.
    #[error("reading {path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It says something else than it should.
    #[error("{path}: {error}")]
    Log {
        /// The file.
        path: PathBuf,
        /// What.
        error: LogError,
    },
}

/// A file and how far it was read.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    // Held open, so that a file that was replaced is read to its end, and its inode isn't given to its successor.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    inode: u64,
    at: u64,
}

impl Follower {
    /// From the beginning of the file at `path`.
    pub fn new(path: &Path) -> Follower {
        Follower { path: path.to_owned(), open: None }
    }

    fn io(&self, error: io::Error) -> FollowError {
        FollowError::Io { path: self.path.clone(), error }
    }

    /// What was written since the last look.
    ///
    /// # Errors
    /// When it can't be read or understood.
    pub fn poll(&mut self) -> Result<Vec<Record>, FollowError> {
        let mut records = Vec::new();
        loop {
            // Looked up before reading: what is read after that of a file that was replaced is all there is of it.
            let present = match std::fs::metadata(&self.path) {
                Ok(metadata) => Some(metadata.ino()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(self.io(error)),
            };
            self.read(&mut records)?;
            match present {
                None => return Ok(records),
                Some(inode) if self.open.as_ref().is_some_and(|open| open.inode == inode) => {
                    return Ok(records);
                }
                Some(_) => {
                    let file = match File::open(&self.path) {
                        Ok(file) => file,
                        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(records),
                        Err(error) => return Err(self.io(error)),
                    };
                    let inode = file.metadata().map_err(|error| self.io(error))?.ino();
                    self.open = Some(Open { file, inode, at: 0 });
                }
            }
        }
    }

    fn read(&mut self, records: &mut Vec<Record>) -> Result<(), FollowError> {
        let path = self.path.clone();
        let Some(Open { file, at, .. }) = &mut self.open else { return Ok(()) };
        let io = |error| FollowError::Io { path: path.clone(), error };
        let end = file.metadata().map_err(io)?.len();
        let Ok(size) = usize::try_from(end.saturating_sub(*at)) else { return Ok(()) };
        let mut bytes = vec![0; size];
        file.read_exact_at(&mut bytes, *at).map_err(io)?;
        let mut rest = &bytes[..];
        let wrong = |error| FollowError::Log { path: path.clone(), error };
        let place = usize::try_from(*at).unwrap_or(usize::MAX);
        while let Some((format, value, length)) =
            log::record(rest, place.saturating_add(bytes.len() - rest.len())).map_err(wrong)?
        {
            records.push(log::meaning(format, *at == 0, value).map_err(wrong)?);
            rest = &rest[length..];
            *at += length as u64;
        }
        Ok(())
    }
}
