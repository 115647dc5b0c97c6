//! Keys for `ssl:` endpoints: the controller's own, from the Secret that its Deployment mounts, read with the user's rights.
//!
//! They are never on a disk of this machine: OVN's tools read them from memory that goes with the process.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;

use anyhow::{Context, Result, bail};
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde_json::Value;

use crate::kubectl::Kubectl;

/// The Secret's name in our manifests and Kube-OVN's.
const SECRET: &str = tombolo_names::workloads::TLS_SECRET;
/// Where it is mounted.
const MOUNT: &str = "/var/run/tls";
/// Its keys, and the options of OVN's tools that take them.
const PARTS: [(&str, &str); 3] =
    [("key", "--private-key"), ("cert", "--certificate"), ("cacert", "--ca-cert")];

/// The options, and the files that they point to as long as this lives.
#[derive(Debug, Default)]
pub struct Tls {
    files: Vec<File>,
    options: Vec<String>,
}

impl Tls {
    /// The options for `endpoints`; none if none is `ssl:`. `deployment` is the controller's.
    pub fn of(kubectl: &Kubectl, deployment: &Value, endpoints: &[String]) -> Result<Self> {
        let mut tls = Self::default();
        if !endpoints.iter().any(|endpoint| endpoint.starts_with("ssl:")) {
            return Ok(tls);
        }
        let name = secret_of(deployment).unwrap_or(SECRET);
        for (part, option) in PARTS {
            // Base64, which kubectl decodes itself.
            let template = format!("--template={{{{index .data {part:?} | base64decode}}}}");
            let bytes = kubectl
                .output(&["get", "secret", "-n", kubectl.namespace(), name, &template])
                .with_context(|| {
                    format!(
                        "the databases speak TLS, and their keys are in Secret {}/{name}",
                        kubectl.namespace()
                    )
                })?;
            if !bytes.starts_with(b"-----BEGIN") {
                bail!("key {part:?} of Secret {}/{name} is missing or holds no PEM", kubectl.namespace());
            }
            let memory = memfd_create(part, MFdFlags::empty()).context("keeping a key in memory")?;
            let mut file = File::from(memory);
            file.write_all(&bytes).context("keeping a key in memory")?;
            tls.options.push(format!("{option}=/proc/self/fd/{}", file.as_raw_fd()));
            tls.files.push(file);
        }
        Ok(tls)
    }

    /// Options for `ovn-nbctl`, `ovn-sbctl`, `ovsdb-client`, which inherit the files that these point to.
    pub fn options(&self) -> &[String] {
        &self.options
    }

    /// The same for `openssl s_client`.
    pub fn openssl(&self) -> Vec<String> {
        let of = |option: &String| -> Option<[String; 2]> {
            let (name, file) = option.split_once('=')?;
            let short = match name {
                "--private-key" => "-key",
                "--certificate" => "-cert",
                _ => "-CAfile",
            };
            Some([short.to_owned(), file.to_owned()])
        };
        self.options.iter().filter_map(of).flatten().collect()
    }
}

/// The Secret that the Deployment mounts for keys.
fn secret_of(deployment: &Value) -> Option<&str> {
    let pod = &deployment["spec"]["template"]["spec"];
    let mounts = pod["containers"].as_array()?.iter().filter_map(|c| c["volumeMounts"].as_array()).flatten();
    let name = mounts
        .filter(|mount| mount["mountPath"].as_str().is_some_and(|path| path.trim_end_matches('/') == MOUNT))
        .find_map(|mount| mount["name"].as_str())?;
    let volume = pod["volumes"].as_array()?.iter().find(|volume| volume["name"] == name)?;
    volume["secret"]["secretName"].as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_same_files_for_openssl() {
        let option = |name: &str, fd: u8| format!("--{name}=/proc/self/fd/{fd}");
        let options = vec![option("private-key", 3), option("certificate", 4), option("ca-cert", 5)];
        let words = Tls { files: Vec::new(), options }.openssl().join(" ");
        assert_eq!(words, "-key /proc/self/fd/3 -cert /proc/self/fd/4 -CAfile /proc/self/fd/5");
    }

    #[test]
    fn the_secret_that_is_mounted() {
        let deployment = json!({ "spec": { "template": { "spec": {
            "containers": [{ "volumeMounts": [{ "name": "x", "mountPath": "/x" }, { "name": "t", "mountPath": "/var/run/tls/" }] }],
            "volumes": [{ "name": "x" }, { "name": "t", "secret": { "secretName": "ovn-keys" } }],
        } } } });
        assert_eq!(secret_of(&deployment), Some("ovn-keys"));
        assert_eq!(secret_of(&json!({})), None);
    }
}
