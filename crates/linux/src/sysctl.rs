//! Kernel parameters under `/proc/sys`.

use crate::error::{Error, Result};

/// A parameter's value without the end of its line; `None` where the kernel doesn't have it. For `key` see
/// [`set_sysctl`].
pub fn get_sysctl(key: &str) -> Result<Option<String>> {
    let doing = || format!("reading sysctl {key}");
    match std::fs::read_to_string(path(key, doing)?) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::new(doing(), e)),
    }
}

/// Sets a parameter given as its path below `/proc/sys`, for example `net/ipv6/conf/eth0/disable_ipv6`: with
/// slashes, because names of interfaces may hold dots. `net/…` means the calling thread's network namespace
/// (use [`crate::Netns::run`]).
pub fn set_sysctl(key: &str, value: &str) -> Result<()> {
    let doing = || format!("setting sysctl {key} to {value}");
    std::fs::write(path(key, doing)?, value).map_err(|e| Error::new(doing(), e))
}

fn path(key: &str, doing: impl Fn() -> String) -> Result<String> {
    if key.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        return Err(Error::errno(doing(), nix::errno::Errno::EINVAL));
    }
    // "/proc/sys/net" is resolved for the thread that opens it.
    Ok(format!("/proc/sys/{key}"))
}
