//! Distribution packages that the sandbox needs. On Debian 12 as root what is missing is installed, without starting
//! any service; elsewhere what is missing is named.
//!
//! Decides which packages and what proves each; not versions: those are the distribution's.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::progress::{Phase, interrupted};
use crate::{exec, paths};

/// What is going to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// Database servers and Python's OVSDB library: enough for benchmarks against real databases.
    Databases,
    /// And what the tests of the agent and its libraries run, in network namespaces of their own.
    Tests,
    /// The whole sandbox.
    Everything,
}

/// A package and a file whose presence proves that it is there; a trailing `*` matches any file so beginning.
struct Package {
    name: &'static str,
    proof: &'static str,
}

const fn package(name: &'static str, proof: &'static str) -> Package {
    Package { name, proof }
}

const DATABASES: [Package; 3] = [
    package("openvswitch-switch", "/usr/sbin/ovs-vswitchd"),
    package("ovn-central", "/usr/bin/ovn-northd"),
    package("python3-openvswitch", "/usr/lib/python3/dist-packages/ovs/db/idl.py"),
];

const TESTS: [Package; 6] = [
    package("ovn-host", "/usr/bin/ovn-controller"),
    package("nftables", "/usr/sbin/nft"),
    package("iproute2", "/usr/bin/ip"),
    package("ethtool", "/usr/sbin/ethtool"),
    package("busybox-static", "/bin/busybox"),
    package("openssl", "/usr/bin/openssl"),
];

const REST: [Package; 20] = [
    package("neutron-server", "/usr/bin/neutron-server"),
    package("neutron-common", "/usr/bin/neutron-ovn-db-sync-util"),
    package("python3-pymysql", "/usr/lib/python3/dist-packages/pymysql/__init__.py"),
    package("mariadb-server", "/usr/sbin/mariadbd"),
    package("mariadb-client", "/usr/bin/mariadb-admin"),
    package("python3-openstackclient", "/usr/bin/openstack"),
    package("qemu-system-x86", "/usr/bin/qemu-system-x86_64"),
    package("linux-image-cloud-amd64", "/boot/vmlinuz-*"),
    package("bash-static", "/bin/bash-static"),
    package("inetutils-ping", "/bin/ping"),
    package("containerd", "/usr/bin/containerd"),
    package("runc", "/usr/sbin/runc"),
    package("containernetworking-plugins", "/usr/lib/cni/bridge"),
    package("conntrack", "/usr/sbin/conntrack"),
    package("procps", "/usr/bin/pgrep"),
    package("curl", "/usr/bin/curl"),
    package("kmod", "/usr/sbin/modinfo"),
    package("gcc", "/usr/bin/gcc"),
    // Kube-OVN's agent runs them.
    package("iptables", "/usr/sbin/iptables"),
    package("ipset", "/usr/sbin/ipset"),
];

/// Where Debian keeps headers and archives to link statically; gcc only recommends it.
const LIBC_DEV: Package = package("libc6-dev", "/usr/lib/x86_64-linux-gnu/libc.a");

const POLICY: &str = "/usr/sbin/policy-rc.d";

fn present(proof: &str) -> bool {
    let Some(prefix) = proof.strip_suffix('*') else { return Path::new(proof).exists() };
    let path = Path::new(prefix);
    let (Some(dir), Some(start)) = (path.parent(), path.file_name()) else { return false };
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| entry.file_name().as_encoded_bytes().starts_with(start.as_encoded_bytes()))
}

fn missing(set: Set) -> Vec<&'static str> {
    let tests: &[Package] = if set == Set::Databases { &[] } else { &TESTS };
    let rest: &[Package] = if set == Set::Everything { &REST } else { &[] };
    let libc: &[Package] = if set == Set::Everything { &[LIBC_DEV] } else { &[] };
    let all = DATABASES.iter().chain(tests).chain(rest).chain(libc);
    all.filter(|package| !present(package.proof)).map(|package| package.name).collect()
}

/// Makes sure that the programs of `set` are there. Says and does nothing when they are.
///
/// # Errors
/// When something is missing and this isn't Debian 12 with root, or the installation fails.
pub fn ensure(set: Set) -> Result<()> {
    let needed = missing(set);
    if needed.is_empty() {
        return Ok(());
    }
    let list = needed.join(" ");
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    if !is_debian_12(&release) {
        bail!(
            "these packages of Debian 12 (amd64) are missing: {list}\n\
             Only there this command installs them itself. Install what provides the same programs at the same \
             paths, or run this on Debian 12."
        );
    }
    if exec::check(Command::new("id").arg("-u"), exec::SHORT, None)?.trim() != "0" {
        bail!(
            "these packages are missing: {list}\nInstall them (apt-get install {list}), or run this as root."
        );
    }
    Phase::run("install packages", paths::logs().join("install.log"), |phase| {
        phase.hint(
            "see the log; `dpkg --configure -a` and `apt-get -f install` repair a half-done installation",
        );
        let _policy = NoServices::begin()?;
        phase.doing("apt-get update");
        apt(phase, &["update"])?;
        if interrupted() {
            bail!("interrupted");
        }
        phase.doing(format_args!("apt-get install {list}"));
        let mut words = vec!["install", "--yes", "--no-install-recommends"];
        words.extend(&needed);
        apt(phase, &words)?;
        let still = missing(set);
        if !still.is_empty() {
            bail!("installed, but what proves these packages is not there: {}", still.join(" "));
        }
        Ok(())
    })
}

fn apt(phase: &Phase, words: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(["-o", "DPkg::Lock::Timeout=300"]).args(words);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    exec::check_to_the_end(&mut command, Duration::from_secs(1800), Some(phase.log()))?;
    Ok(())
}

fn is_debian_12(os_release: &str) -> bool {
    let value = |key: &str| {
        let line = os_release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.map(|value| value.trim_matches('"').to_owned())
    };
    value("ID").as_deref() == Some("debian") && value("VERSION_ID").as_deref() == Some("12")
}

/// While this lives, packages' maintainer scripts start no service (Debian policy 9.3.3.1: exit status 101 of
/// policy-rc.d). An administrator's own policy stays as it is.
struct NoServices {
    ours: Option<PathBuf>,
}

impl NoServices {
    fn begin() -> Result<Self> {
        let path = PathBuf::from(POLICY);
        if path.exists() {
            return Ok(Self { ours: None });
        }
        fs::write(&path, "#!/bin/sh\nexit 101\n")
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
            .with_context(|| format!("writing {POLICY}"))?;
        Ok(Self { ours: Some(path) })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(path) = &self.ours {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_12_is_told_from_others() {
        assert!(is_debian_12("ID=debian\nVERSION_ID=\"12\"\n"));
        assert!(!is_debian_12("ID=debian\nVERSION_ID=\"13\"\n"));
        assert!(!is_debian_12("ID=ubuntu\nVERSION_ID=\"12\"\nID_LIKE=debian\n"));
    }

    #[test]
    fn a_proof_may_end_with_a_star() {
        assert!(present("/proc/self/stat*"));
        assert!(present("/proc/self/status"));
        assert!(!present("/proc/self/nothing*"));
    }
}
