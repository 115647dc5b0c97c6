//! Network namespaces. Decides how to be in one: on a thread of its own that ends afterwards, never on a
//! runtime's worker, which would carry other tasks into the wrong namespace.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns, unshare};
use tokio::sync::oneshot;

use crate::error::{Error, Result};

/// An open network namespace: it lives at least as long as this handle.
#[derive(Debug)]
pub struct Netns {
    file: File,
    path: PathBuf,
    id: NetnsId,
}

/// Identifies a namespace (device and inode of nsfs). Valid while the namespace lives; the kernel may give the
/// same pair to a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NetnsId {
    dev: u64,
    ino: u64,
}

const OWN: &str = "/proc/thread-self/ns/net";

impl Netns {
    /// Opens the namespace at `path` (as in `CNI_NETNS`).
    ///
    /// [`Error::is_not_found`] when there is nothing, or when what is there is no namespace any more: an
    /// unmounted one leaves an empty file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let doing = || format!("opening network namespace {}", path.display());
        let file = File::open(path).map_err(|e| Error::new(doing(), e))?;
        Self::of(file, path)
    }

    /// An open namespace that was handed over by who could see `path`; here the path serves for words only.
    /// [`Error::is_not_found`] when the file is no namespace.
    pub fn from_fd(file: OwnedFd, path: impl AsRef<Path>) -> Result<Self> {
        Self::of(file.into(), path.as_ref())
    }

    fn of(file: File, path: &Path) -> Result<Self> {
        let doing = || format!("opening network namespace {}", path.display());
        let kind = nix::sys::statfs::fstatfs(&file).map_err(|e| Error::errno(doing(), e))?.filesystem_type();
        if kind != nix::sys::statfs::NSFS_MAGIC {
            return Err(Error::errno(
                format!("{} (no namespace is mounted there)", doing()),
                nix::errno::Errno::ENOENT,
            ));
        }
        let meta = file.metadata().map_err(|e| Error::new(doing(), e))?;
        Ok(Self { file, path: path.to_owned(), id: NetnsId { dev: meta.dev(), ino: meta.ino() } })
    }

    /// The calling thread's namespace.
    pub fn current() -> Result<Self> {
        Self::open(OWN)
    }

    /// A new namespace without a name, which goes when its last handle, socket or process goes.
    pub async fn create() -> Result<Self> {
        on_thread(None, || {
            unshare(CloneFlags::CLONE_NEWNET)
                .map_err(|e| Error::errno("creating a network namespace (are we root?)", e))?;
            let ns = Self::current()?;
            // "/proc/thread-self" means another thread tomorrow; this handle's own link stays right.
            let path = format!("/proc/{}/fd/{}", std::process::id(), ns.as_raw_fd()).into();
            Ok(Self { path, ..ns })
        })
        .await
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its identity.
    pub fn id(&self) -> NetnsId {
        self.id
    }

    /// Runs `f` inside the namespace, on a thread of its own. What `f` opens there (a netlink socket, a packet
    /// socket) stays in the namespace when it is moved out. The thread has the caller's tokio runtime entered.
    pub async fn run<T, F>(&self, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T> + Send + 'static,
    {
        let file = self
            .file
            .try_clone()
            .map_err(|e| Error::new(format!("entering network namespace {}", self.path.display()), e))?;
        on_thread(Some((file, self.path.clone())), f).await
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for Netns {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

async fn on_thread<T, F>(inside: Option<(File, PathBuf)>, f: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    let (tx, rx) = oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new()
        .name("netns".into())
        .spawn(move || {
            let _entered = runtime.enter();
            let result = match inside {
                Some((file, path)) => setns(&file, CloneFlags::CLONE_NEWNET)
                    .map_err(|e| Error::errno(format!("entering network namespace {}", path.display()), e))
                    .and_then(|()| f()),
                None => f(),
            };
            // Fails only if the caller no longer waits: then the result isn't needed.
            let _ = tx.send(result);
        })
        .map_err(|e| Error::new("starting a thread for a network namespace", e))?;
    rx.await
        .map_err(|_| Error::new("working in a network namespace", io::Error::other("the thread panicked")))?
}
