//! A cluster whose controller is installed, and its databases.
#![allow(dead_code, reason = "each test program uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::Result;
use tombolo_testbed::{ApiServer, Nb, free_port};

pub struct Bed {
    pub api: ApiServer,
    pub nb: Nb,
    kubectl: PathBuf,
}

impl Bed {
    /// A cluster whose controller is installed (its Deployment is there; nothing runs it) on an NB of others.
    pub fn start() -> Result<Option<Self>> {
        let (Some(api), Some(nb)) = (ApiServer::start()?, Nb::start_clustered()?) else { return Ok(None) };
        api.apply_crds()?;
        let deployment = serde_json::json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "kube-ovn-controller", "namespace": "kube-system" },
            "spec": {
                "selector": { "matchLabels": { "app": "kube-ovn-controller" } },
                "template": {
                    "metadata": { "labels": { "app": "kube-ovn-controller" } },
                    "spec": { "containers": [{
                        "name": "kube-ovn-controller", "image": "none",
                        "args": ["--ovn-nb-addr=$(NB)", "--enable-lb"],
                        "env": [{ "name": "NB", "value": nb.address() }],
                    }] },
                },
            },
        });
        api.apply(&deployment.to_string())?;
        let kubectl = api.program("kubectl")?;
        Ok(Some(Self { api, nb, kubectl }))
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-ko"));
        command.args(args).env("KUBECTL", &self.kubectl).env("KUBECONFIG", self.api.kubeconfig());
        command
    }

    pub fn ko(&self, args: &[&str]) -> Result<Output> {
        Ok(self.command(args).output()?)
    }
}

pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A server that is killed with the test.
pub struct Server(pub std::process::Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The schema of the NB that speaks TLS.
pub const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/ovn-25.03/ovn-nb.ovsschema");

/// Runs a program in `dir`.
pub fn run(dir: &Path, program: &str, args: &[&str]) -> Result<()> {
    let output = Command::new(program).args(args).current_dir(dir).output()?;
    anyhow::ensure!(output.status.success(), "{program} {args:?}: {}", text(&output));
    Ok(())
}

/// An NB in `dir` that speaks TLS only, to which the controller's Deployment is pointed; its keys are `key`, `cert`, `cacert` there.
pub fn over_tls(bed: &Bed, dir: &Path) -> Result<Server> {
    let subject = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=ovn"];
    run(dir, "openssl", &[&subject[..], &["-keyout", "key", "-out", "cert"]].concat())?;
    std::fs::copy(dir.join("cert"), dir.join("cacert"))?;
    run(dir, "ovsdb-tool", &["create", "nb.db", SCHEMA])?;
    let port = free_port()?;
    let remote = format!("--remote=pssl:{port}:127.0.0.1");
    let server = Command::new("ovsdb-server")
        .args([&remote, "--private-key=key", "--certificate=cert", "--ca-cert=cacert", "--no-chdir"])
        .args([&format!("--unixctl={}", dir.join("ctl").display()), "nb.db"])
        .current_dir(dir)
        .spawn()?;
    let server = Server(server);
    let address = format!("ssl:127.0.0.1:{port}");
    let env = format!(
        r#"[{{"op":"replace","path":"/spec/template/spec/containers/0/env/0/value","value":"{address}"}}]"#
    );
    let deployment = ["deployment", "-n", "kube-system", "kube-ovn-controller"];
    bed.api.kubectl(&[&["patch"], &deployment[..], &["--type=json", "-p", &env]].concat())?;
    Ok(server)
}

/// The Secret with the keys in `dir`.
pub fn secret(bed: &Bed, dir: &Path) -> Result<()> {
    let file = |name: &str| format!("--from-file={name}={}", dir.join(name).display());
    let create = ["create", "secret", "generic", "-n", "kube-system", "kube-ovn-tls"];
    bed.api.kubectl(&[&create[..], &[&file("key"), &file("cert"), &file("cacert")]].concat())?;
    Ok(())
}
