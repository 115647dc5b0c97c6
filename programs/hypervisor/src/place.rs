//! Whose the node's Open vSwitch is: this pod's, a former pod's that hands it over, or the node's own.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};
use tokio::net::UnixStream;

/// Between two attempts to follow the former pod.
pub const AGAIN: Duration = Duration::from_millis(100);
/// A server on this machine answers at once.
const DEADLINE: Duration = Duration::from_secs(5);

/// The right to run Open vSwitch here, until it is dropped. The kernel gives it to one of all pods.
pub struct Place(#[allow(dead_code, reason = "it is held, not read")] Flock<File>);

/// Takes the place if it is free.
///
/// # Errors
/// A directory that can't be used.
pub fn take(run_dir: &Path) -> Result<Option<Place>> {
    let path = run_dir.join("tombolo.lock");
    let doing = || format!("locking {}", path.display());
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).with_context(doing)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(Place(lock))),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error).with_context(doing),
    }
}

/// Whether a server answers at Open vSwitch's socket. Whoever has the [`Place`] and hasn't started one knows then that it is the
/// node's own.
pub async fn is_served(run_dir: &Path) -> bool {
    let connect = UnixStream::connect(run_dir.join("db.sock"));
    matches!(tokio::time::timeout(DEADLINE, connect).await, Ok(Ok(_)))
}
