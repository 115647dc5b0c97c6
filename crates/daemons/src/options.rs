//! Options that all of OVN's and Open vSwitch's programs take.

use std::path::Path;

/// The log goes to standard error, which is a container's log.
#[must_use]
pub fn log() -> Vec<String> {
    ["-vconsole:info", "-vsyslog:off"].map(str::to_owned).into()
}

/// Keys and certificates in a directory: `key`, `cert`, `cacert`, as Kube-OVN's Secret has them.
#[must_use]
pub fn tls(dir: &Path) -> Vec<String> {
    let option = |name: &str, file: &str| format!("--{name}={}", dir.join(file).display());
    vec![option("private-key", "key"), option("certificate", "cert"), option("ca-cert", "cacert")]
}
