//! Keys for OVN's databases where these are pods that speak TLS: copies of the Secrets that `ovn-central` has made, as an
//! operator brings them to Neutron and to the hosts.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use tombolo_names::workloads::{CHASSIS_TLS_SECRET, NEUTRON_TLS_SECRET, TLS_SECRET};

use crate::kubernetes::kubectl;
use crate::{paths, programs};

/// Whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Neutron's.
    Neutron,
    /// The hosts' ovn-controllers'.
    Chassis,
    /// Those of who works by hand.
    Tools,
}

impl Of {
    fn secret(self) -> &'static str {
        match self {
            Self::Neutron => NEUTRON_TLS_SECRET,
            Self::Chassis => CHASSIS_TLS_SECRET,
            Self::Tools => TLS_SECRET,
        }
    }
}

fn dir() -> PathBuf {
    paths::state().join("ovn-keys")
}

/// Whether the databases speak TLS.
#[must_use]
pub fn are_used() -> bool {
    dir().exists()
}

/// Copies the Secrets.
///
/// # Errors
/// One that isn't there.
pub fn fetch() -> Result<()> {
    for of in [Of::Neutron, Of::Chassis, Of::Tools] {
        let below = dir().join(of.secret());
        fs::create_dir_all(&below).with_context(|| format!("creating {}", below.display()))?;
        for name in ["cacert", "cert", "key"] {
            let template = format!("go-template={{{{index .data \"{name}\" | base64decode}}}}");
            let text = kubectl(["-n", programs::NAMESPACE, "get", "secret", of.secret(), "-o", &template])?;
            // Whole or not at all: their users read them while this goes on.
            let new = below.join("new");
            fs::write(&new, text)
                .and_then(|()| fs::rename(&new, file(of, name)))
                .with_context(|| format!("writing {}", below.display()))?;
        }
    }
    Ok(())
}

/// `cacert`, `cert` or `key`; the same path on all hosts.
#[must_use]
pub fn file(of: Of, name: &str) -> PathBuf {
    dir().join(of.secret()).join(name)
}

/// Options of OVN's and Open vSwitch's tools; none where they aren't needed.
#[must_use]
pub fn options() -> Vec<String> {
    if !are_used() {
        return Vec::new();
    }
    let option = |option: &str, name: &str| format!("--{option}={}", file(Of::Tools, name).display());
    vec![option("private-key", "key"), option("certificate", "cert"), option("ca-cert", "cacert")]
}

/// The lines of `ml2_conf.ini`, section `ovn`.
#[must_use]
pub fn for_neutron() -> String {
    if !are_used() {
        return String::new();
    }
    let line = |database: &str, option: &str, name: &str| {
        format!("ovn_{database}_{option} = {}\n", file(Of::Neutron, name).display())
    };
    let lines = |database: &str| {
        line(database, "private_key", "key")
            + &line(database, "certificate", "cert")
            + &line(database, "ca_cert", "cacert")
    };
    lines("nb") + &lines("sb")
}
