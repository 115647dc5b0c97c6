//! etcd and kube-apiserver.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;
use tombolo_needs::missing;
use tombolo_sandbox::kubernetes::build::{self, Programs};
use tombolo_sandbox::kubernetes::certs::Pki;

use crate::eventually;
use crate::process::{Process, free_port};

/// How long a start may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A Kubernetes API without anything behind it.
#[derive(Debug)]
pub struct ApiServer {
    programs: Programs,
    args: Vec<String>,
    kubeconfig: PathBuf,
    server: Option<Process>,
    // Dropped after the API server, and before the directory.
    etcd: Process,
    dir: TempDir,
}

impl ApiServer {
    /// Starts both on free ports and waits until the API is ready. `None`, counted, if Kubernetes' programs
    /// are neither on PATH nor in the cache, or this is the fast tier.
    pub fn start() -> Result<Option<Self>> {
        if tombolo_needs::fast() {
            missing("Kubernetes (left out of the fast tier)");
            return Ok(None);
        }
        let Some(programs) = build::find() else {
            missing("Kubernetes' programs");
            return Ok(None);
        };
        let dir = TempDir::new().context("making a directory for the API server")?;
        let path = |name: &str| dir.path().join(name);
        let (client, peer, port) = (free_port()?, free_port()?, free_port()?);
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let etcd = [
            "--name=t".to_owned(),
            format!("--data-dir={}", path("etcd").display()),
            "--unsafe-no-fsync".to_owned(),
            format!("--listen-client-urls={}", url(client)),
            format!("--advertise-client-urls={}", url(client)),
            format!("--listen-peer-urls={}", url(peer)),
            format!("--initial-advertise-peer-urls={}", url(peer)),
            format!("--initial-cluster=t={}", url(peer)),
            "--quota-backend-bytes=8589934592".to_owned(),
            "--log-level=warn".to_owned(),
        ];
        let etcd = Process::start(programs.path("etcd")?, &etcd, &[], &path("etcd.log"))?;
        let pki = Pki::create(&path("pki"), (Ipv4Addr::LOCALHOST, port), Ipv4Addr::new(10, 96, 0, 1), &[])?;
        let file = |path: PathBuf| path.display().to_string();
        let args = vec![
            format!("--etcd-servers={}", url(client)),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            format!("--secure-port={port}"),
            "--service-cluster-ip-range=10.96.0.0/12".to_owned(),
            format!("--cert-dir={}", file(path("certs"))),
            format!("--tls-cert-file={}", file(pki.certificate("apiserver"))),
            format!("--tls-private-key-file={}", file(pki.key("apiserver"))),
            format!("--client-ca-file={}", file(pki.certificate("ca"))),
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
            format!("--service-account-key-file={}", file(pki.service_account_public_key())),
            format!("--service-account-signing-key-file={}", file(pki.key("sa"))),
            "--authorization-mode=RBAC".to_owned(),
            // Pods and nodes are made by tests: no controller gives them service accounts or takes taints away.
            "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition".to_owned(),
            "--max-requests-inflight=1000".to_owned(),
            "--max-mutating-requests-inflight=500".to_owned(),
        ];
        let mut this = Self { programs, args, kubeconfig: pki.kubeconfig("admin"), server: None, etcd, dir };
        this.resume()?;
        Ok(Some(this))
    }

    /// Starts the API server again after [`Self::pause`], and waits until it is ready.
    pub fn resume(&mut self) -> Result<()> {
        let log = self.dir.path().join("apiserver.log");
        let program = self.programs.path("kube-apiserver")?;
        let mut server = Process::start(program, &self.args, &[], &log)?;
        eventually("the API server to be ready", PATIENCE, || {
            if !server.is_running() {
                // It gives up when etcd isn't there within some seconds.
                server = Process::start(program, &self.args, &[], &log)?;
            }
            self.kubectl(&["get", "--raw=/readyz", "--request-timeout=5s"]).map(Some)
        })
        .with_context(|| tail(&log))?;
        // It answers before the namespaces it makes itself are there.
        eventually("the namespaces default and kube-system", PATIENCE, || {
            self.kubectl(&["get", "namespace", "default", "kube-system"]).map(Some)
        })?;
        self.server = Some(server);
        Ok(())
    }

    /// Kills the API server; etcd keeps what it had.
    pub fn pause(&mut self) {
        self.server = None;
    }

    /// The kubeconfig of a cluster administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// What `kubectl ARGS` prints.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.kubectl_input(args, "")
    }

    /// What `kubectl ARGS` prints when it reads `input`.
    pub fn kubectl_input(&self, args: &[&str], input: &str) -> Result<String> {
        let mut child = Command::new(self.programs.path("kubectl")?)
            .arg(format!("--kubeconfig={}", self.kubeconfig.display()))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting kubectl")?;
        if let Some(mut stdin) = child.stdin.take() {
            use std::io::Write as _;
            stdin.write_all(input.as_bytes()).context("writing to kubectl")?;
        }
        let output = child.wait_with_output().context("waiting for kubectl")?;
        if !output.status.success() {
            bail!("kubectl {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The uid of the namespace `kube-system`: by it a cluster's rows in OVN are known.
    pub fn cluster_uid(&self) -> Result<String> {
        let namespace = self.json(&["get", "namespace", "kube-system"])?;
        namespace["metadata"]["uid"].as_str().map(str::to_owned).context("kube-system has no uid")
    }

    /// An object, or a list, as `kubectl ARGS -o json` prints it.
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        let args: Vec<&str> = args.iter().copied().chain(["-o", "json"]).collect();
        Ok(serde_json::from_str(&self.kubectl(&args)?)?)
    }

    /// Creates or changes objects (YAML or JSON).
    pub fn apply(&self, manifest: &str) -> Result<()> {
        self.kubectl_input(&["apply", "-f", "-"], manifest).map(drop)
    }

    /// Installs our CustomResourceDefinitions and waits until they are served.
    pub fn apply_crds(&self) -> Result<()> {
        let crds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts/tombolo/files/crds");
        self.kubectl(&["apply", "--server-side", "-f", crds])?;
        self.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "-f", crds])?;
        Ok(())
    }

    /// A script that is `kubectl` for this API server, for programs that call it.
    pub fn kubectl_script(&self) -> Result<PathBuf> {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.dir.path().join("kubectl");
        let kubectl = self.programs.path("kubectl")?;
        let text = format!(
            "#!/bin/sh\nexec '{}' --kubeconfig='{}' \"$@\"\n",
            kubectl.display(),
            self.kubeconfig.display()
        );
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }

    /// Process ids of the API server (if it runs) and of etcd.
    pub fn pids(&self) -> (Option<u32>, u32) {
        (self.server.as_ref().map(Process::pid), self.etcd.pid())
    }

    /// Writes it has taken since it was started, by verb and resource as `POST ips`, without those of Leases.
    /// Only what was done: what it refused isn't among them.
    pub fn writes(&self) -> Result<BTreeMap<String, u64>> {
        let mut all = BTreeMap::new();
        for line in self.kubectl(&["get", "--raw=/metrics"])?.lines() {
            let Some(labels) = line.strip_prefix("apiserver_request_total{") else { continue };
            let label = |name: &str| {
                let rest = &labels[labels.find(&format!("{name}=\""))? + name.len() + 2..];
                rest.split('"').next()
            };
            let (Some(verb), Some(resource), Some(code)) = (label("verb"), label("resource"), label("code"))
            else {
                continue;
            };
            let reads = matches!(verb, "GET" | "LIST" | "WATCH" | "CONNECT");
            if reads || resource == "leases" || !code.starts_with('2') {
                continue;
            }
            let name = match label("subresource") {
                None | Some("") => format!("{verb} {resource}"),
                Some(part) => format!("{verb} {resource}/{part}"),
            };
            let count = line.rsplit(' ').next().and_then(|n| n.parse::<f64>().ok()).unwrap_or_default();
            *all.entry(name).or_default() += count as u64;
        }
        Ok(all)
    }

    /// A program of Kubernetes', for tests that need more of it.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        self.programs.path(name).map(Path::to_owned)
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    format!("{}:\n{}", log.display(), lines[lines.len().saturating_sub(15)..].join("\n"))
}
