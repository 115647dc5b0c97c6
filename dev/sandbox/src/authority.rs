//! A certificate authority in a directory, made by `openssl`: Kubernetes has one, OVN's databases another.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::exec;

/// An authority and what it has issued.
#[derive(Clone, Debug)]
pub struct Authority {
    dir: PathBuf,
}

impl Authority {
    /// Makes one in `dir` unless there is one.
    ///
    /// # Errors
    /// When openssl fails or a file can't be written.
    pub fn create(dir: &Path, subject: &str) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        let it = Self { dir: dir.into() };
        let (certificate, key) = (it.certificate("ca"), it.key("ca"));
        if !certificate.exists() {
            let mut openssl = request(subject, &key);
            openssl.args(["-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"]);
            run(openssl.arg("-out").arg(&certificate))?;
        }
        Ok(it)
    }

    /// The one that was made in `dir`.
    pub fn at(dir: &Path) -> Self {
        Self { dir: dir.into() }
    }

    /// Where everything lies.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `<name>.crt`: `ca`, or what was issued under that name.
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.crt"))
    }

    /// The private key of [`Authority::certificate`].
    pub fn key(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.key"))
    }

    /// Issues a certificate unless there is one. `names`: its alternative names as openssl takes them, or nothing.
    ///
    /// # Errors
    /// When openssl fails.
    pub fn issue(&self, name: &str, subject: &str, names: &str) -> Result<()> {
        let certificate = self.certificate(name);
        if certificate.exists() {
            return Ok(());
        }
        let mut openssl = request(subject, &self.key(name));
        openssl.arg("-CA").arg(self.certificate("ca")).arg("-CAkey").arg(self.key("ca"));
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        openssl.args(["-addext", "extendedKeyUsage=serverAuth,clientAuth"]);
        if !names.is_empty() {
            openssl.args(["-addext", &format!("subjectAltName={names}")]);
        }
        run(openssl.arg("-out").arg(&certificate)).with_context(|| format!("issuing the certificate {name}"))
    }
}

/// A self-signed certificate unless `-CA` is added.
fn request(subject: &str, key: &Path) -> Command {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    openssl.args(["-days", "3650", "-subj", subject, "-keyout"]).arg(key);
    openssl
}

fn run(command: &mut Command) -> Result<()> {
    exec::check(command, exec::SHORT, None).map(drop)
}
