//! The cluster's CA, certificates and kubeconfigs, made by `openssl` when the sandbox comes up.
//!
//! Users and groups are those of Kubernetes' own bootstrap roles, so that nothing runs with more rights
//! than in a cluster made by kubeadm; only `admin` is in `system:masters`.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use serde_json::json;

use super::util::write_if_changed;
use crate::authority::Authority;
use crate::exec;

/// Where the certificates and kubeconfigs of the running sandbox lie.
#[derive(Clone, Debug)]
pub struct Pki {
    authority: Authority,
}

/// A node that needs a certificate: its name and the address that the API server reaches it at.
pub struct Node<'a> {
    /// The node's name, also its host's.
    pub name: &'a str,
    /// The node's address on the management network.
    pub address: Ipv4Addr,
}

impl Pki {
    /// `<name>.crt`: `ca`, `apiserver`, `kubelet-client`, or a user of [`Pki::create`].
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.authority.certificate(name)
    }

    /// The private key of [`Pki::certificate`]; `sa` is the one that service account tokens are signed with.
    pub fn key(&self, name: &str) -> PathBuf {
        self.authority.key(name)
    }

    /// The public half of `sa`'s key.
    pub fn service_account_public_key(&self) -> PathBuf {
        self.authority.dir().join("sa.pub")
    }

    /// The kubeconfig of `admin`, `kcm`, `scheduler`, `proxy` or of a node.
    pub fn kubeconfig(&self, name: &str) -> PathBuf {
        self.authority.dir().join(format!("{name}.kubeconfig"))
    }

    /// Makes in `dir` what is missing. `server` is the API server's address on the management network,
    /// `service` the first address of the service network.
    ///
    /// # Errors
    /// When openssl fails or a file can't be written.
    pub fn create(
        dir: &Path,
        server: (Ipv4Addr, u16),
        service: Ipv4Addr,
        nodes: &[Node<'_>],
    ) -> Result<Self> {
        let pki = Self { authority: Authority::create(dir, "/CN=tombolo-sandbox")? };
        let url = format!("https://{}:{}", server.0, server.1);
        pki.service_accounts()?;
        let names = "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,\
                     DNS:kubernetes.default.svc.cluster.local";
        pki.authority.issue(
            "apiserver",
            "/CN=kube-apiserver",
            &format!("{names},IP:127.0.0.1,IP:{service},IP:{}", server.0),
        )?;
        pki.authority.issue("kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client", "")?;
        for (name, subject) in [
            ("admin", "/O=system:masters/CN=kubernetes-admin"),
            ("kcm", "/CN=system:kube-controller-manager"),
            ("scheduler", "/CN=system:kube-scheduler"),
            ("proxy", "/CN=system:kube-proxy"),
        ] {
            pki.authority.issue(name, subject, "")?;
            pki.write_kubeconfig(name, &url)?;
        }
        for node in nodes {
            let subject = format!("/O=system:nodes/CN=system:node:{}", node.name);
            pki.authority.issue(node.name, &subject, &format!("DNS:{},IP:{}", node.name, node.address))?;
            pki.write_kubeconfig(node.name, &url)?;
        }
        Ok(pki)
    }

    fn service_accounts(&self) -> Result<()> {
        let (key, public) = (self.key("sa"), self.service_account_public_key());
        if !public.exists() {
            // RSA: service account tokens are RS256 everywhere, and clients expect it.
            let mut openssl = Command::new("openssl");
            run(openssl
                .args(["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out"])
                .arg(&key))?;
            run(Command::new("openssl").args(["pkey", "-pubout", "-in"]).arg(&key).arg("-out").arg(&public))?;
        }
        Ok(())
    }

    fn write_kubeconfig(&self, name: &str, server: &str) -> Result<()> {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "sandbox",
                "cluster": {"server": server, "certificate-authority": self.certificate("ca")}}],
            "users": [{"name": name,
                "user": {"client-certificate": self.certificate(name), "client-key": self.key(name)}}],
            "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": name}}],
            "current-context": "sandbox",
        });
        write_if_changed(&self.kubeconfig(name), format!("{config:#}\n").as_bytes())?;
        Ok(())
    }
}

fn run(command: &mut Command) -> Result<()> {
    exec::check(command, exec::SHORT, None).map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn certificates_chain_to_the_authority_and_carry_their_names() {
        let dir = std::env::temp_dir().join(format!("tombolo-pki-{}", std::process::id()));
        let node = Node { name: "host1", address: Ipv4Addr::new(172, 30, 0, 1) };
        let server = (Ipv4Addr::new(172, 30, 0, 1), 6443);
        let make =
            || Pki::create(&dir, server, Ipv4Addr::new(10, 96, 0, 1), std::slice::from_ref(&node)).unwrap();
        let pki = make();
        for name in ["apiserver", "admin", "host1"] {
            let mut verify = Command::new("openssl");
            verify
                .args(["verify", "-x509_strict", "-CAfile"])
                .arg(pki.certificate("ca"))
                .arg(pki.certificate(name));
            run(&mut verify).unwrap();
        }
        let mut show = Command::new("openssl");
        show.args(["x509", "-noout", "-text", "-in"]).arg(pki.certificate("apiserver"));
        let text = exec::check(&mut show, exec::SHORT, None).unwrap();
        assert!(text.contains("IP Address:10.96.0.1") && text.contains("IP Address:172.30.0.1"), "{text}");
        let before = fs::read(pki.certificate("admin")).unwrap();
        make();
        assert_eq!(fs::read(pki.certificate("admin")).unwrap(), before, "made anew");
        fs::remove_dir_all(dir).unwrap();
    }
}
