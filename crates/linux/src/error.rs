//! The one error of this crate: an operating system's error with what was being done.

use std::io;

/// What went wrong, with what was being done to what.
#[derive(Debug)]
pub struct Error {
    doing: String,
    source: io::Error,
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(doing: impl Into<String>, source: io::Error) -> Self {
        Self { doing: doing.into(), source }
    }

    /// What was looked for isn't there ([`Error::is_not_found`]).
    pub fn gone(doing: impl Into<String>) -> Self {
        Self::errno(doing, nix::errno::Errno::ENODEV)
    }

    pub(crate) fn errno(doing: impl Into<String>, errno: nix::errno::Errno) -> Self {
        Self::new(doing, errno.into())
    }

    pub(crate) fn timeout(doing: impl Into<String>) -> Self {
        Self::new(doing, io::Error::new(io::ErrorKind::TimedOut, "no answer in time"))
    }

    pub(crate) fn netlink(doing: impl Into<String>, source: rtnetlink::Error) -> Self {
        let source = match source {
            rtnetlink::Error::NetlinkError(e) => e.to_io(),
            other => io::Error::other(other),
        };
        Self::new(doing, source)
    }

    fn os(&self) -> Option<nix::errno::Errno> {
        self.source.raw_os_error().map(nix::errno::Errno::from_raw)
    }

    /// The thing named isn't there: link, address, route, namespace.
    pub fn is_not_found(&self) -> bool {
        use nix::errno::Errno;
        matches!(
            self.os(),
            Some(Errno::ENOENT | Errno::ENODEV | Errno::ESRCH | Errno::EADDRNOTAVAIL | Errno::ENXIO)
        )
    }

    /// Something of that name is there already.
    pub fn is_exists(&self) -> bool {
        self.os() == Some(nix::errno::Errno::EEXIST)
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.os() == Some(nix::errno::Errno::EBUSY)
    }

    /// The kernel had no time, memory or buffer for it now; the same call may work a moment later.
    pub fn is_transient(&self) -> bool {
        use nix::errno::Errno;
        self.source.kind() == io::ErrorKind::TimedOut
            || matches!(
                self.os(),
                Some(Errno::EAGAIN | Errno::EBUSY | Errno::EINTR | Errno::ENOBUFS | Errno::ENOMEM)
            )
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.doing, self.source)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
