//! Kernel parameters under `/proc/sys`.

use crate::error::{Error, Result};

/// Sets a parameter given as its path below `/proc/sys`, for example `net/ipv6/conf/eth0/disable_ipv6`: with
/// slashes, because names of interfaces may hold dots. `net/…` means the calling thread's network namespace
/// (use [`crate::Netns::run`]).
pub fn set_sysctl(key: &str, value: &str) -> Result<()> {
    let doing = || format!("setting sysctl {key} to {value}");
    if key.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        return Err(Error::errno(doing(), nix::errno::Errno::EINVAL));
    }
    // "/proc/sys/net" is resolved for the thread that opens it.
    std::fs::write(format!("/proc/sys/{key}"), value).map_err(|e| Error::new(doing(), e))
}
