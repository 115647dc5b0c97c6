//! etcd, API server, controller manager and scheduler on host1, at 172.30.0.1:6443.
//!
//! One instance of each without elections of their own: what the sandbox is to show is the network, and
//! every write that doesn't happen leaves the audit log readable. That log (writes only, who and what)
//! is what tests of silence read.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use super::build::Programs;
use super::certs::Pki;
use super::util::write_if_changed;
use crate::exec;
use crate::hosts::{self, Host};
use crate::progress::Phase;

/// The API server's port on host1's management address.
pub const API_PORT: u16 = 6443;
/// The cluster's service network.
pub const SERVICE_CIDR: &str = "10.96.0.0/12";
/// The service network's first address: the Service `kubernetes`.
pub const API_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
const CLIENTS: &str = "http://127.0.0.1:2379";
const PEERS: &str = "http://127.0.0.1:2380";
const READY: Duration = Duration::from_secs(120);

/// The host that the control plane runs on.
pub fn host() -> Host {
    hosts::host(1)
}

/// Where the API server is reached from every host.
pub fn server() -> (Ipv4Addr, u16) {
    (host().mgmt, API_PORT)
}

/// The API server's audit log: one JSON event a line for each create, update, patch and delete, without bodies.
pub fn audit_log() -> PathBuf {
    host().log_dir().join("audit.log")
}

/// Starts what isn't running and returns once the API server is ready.
///
/// # Errors
/// When a program ends at once or the API server isn't ready within two minutes; its log says why.
pub fn up(phase: &Phase, programs: &Programs, pki: &Pki) -> Result<()> {
    let host = host();
    let dir = host.dir().join("kubernetes");
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    let start = |name: &str, program: &str, args: Vec<String>| -> Result<u32> {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        host.daemon(name, &programs.path(program)?.display().to_string(), &args, &[])
    };

    phase.doing("starting etcd and the API server");
    start("etcd", "etcd", etcd(&dir.join("etcd").display().to_string()))?;
    let policy = dir.join("audit-policy.json");
    write_if_changed(&policy, audit_policy().to_string().as_bytes())?;
    start("kube-apiserver", "kube-apiserver", api_server(&host, pki, &policy.display().to_string()))?;
    wait_ready(&host, phase)?;

    phase.doing("starting the controller manager and the scheduler");
    start("kube-controller-manager", "kube-controller-manager", controller_manager(pki))?;
    start("kube-scheduler", "kube-scheduler", scheduler(pki))?;
    Ok(())
}

/// Waits until the API server says that it is ready.
fn wait_ready(host: &Host, phase: &Phase) -> Result<()> {
    phase.doing("waiting for the API server");
    exec::wait_ok("the API server to be ready", READY, || {
        if host.daemon_pid("kube-apiserver").is_none() {
            // It gives up when etcd isn't there in time; it doesn't come back by itself.
            host.start_again("kube-apiserver")?;
        }
        super::kubectl(["get", "--raw=/readyz", "--request-timeout=5s"])
    })
    .with_context(|| format!("see {}", host.daemon_log("kube-apiserver").display()))?;
    Ok(())
}

fn etcd(data: &str) -> Vec<String> {
    vec![
        "--name=host1".into(),
        format!("--data-dir={data}"),
        // The sandbox's cluster doesn't outlive the machine; fsync is most of a write's time.
        "--unsafe-no-fsync".into(),
        format!("--listen-client-urls={CLIENTS}"),
        format!("--advertise-client-urls={CLIENTS}"),
        format!("--listen-peer-urls={PEERS}"),
        format!("--initial-advertise-peer-urls={PEERS}"),
        format!("--initial-cluster=host1={PEERS}"),
        "--quota-backend-bytes=8589934592".into(),
        "--log-level=warn".into(),
    ]
}

fn api_server(host: &Host, pki: &Pki, audit_policy: &str) -> Vec<String> {
    let path = |path: PathBuf| path.display().to_string();
    vec![
        format!("--etcd-servers={CLIENTS}"),
        "--bind-address=0.0.0.0".into(),
        format!("--secure-port={API_PORT}"),
        format!("--advertise-address={}", host.mgmt),
        format!("--service-cluster-ip-range={SERVICE_CIDR}"),
        "--allow-privileged=true".into(),
        format!("--tls-cert-file={}", path(pki.certificate("apiserver"))),
        format!("--tls-private-key-file={}", path(pki.key("apiserver"))),
        format!("--client-ca-file={}", path(pki.certificate("ca"))),
        format!("--kubelet-client-certificate={}", path(pki.certificate("kubelet-client"))),
        format!("--kubelet-client-key={}", path(pki.key("kubelet-client"))),
        format!("--kubelet-certificate-authority={}", path(pki.certificate("ca"))),
        "--kubelet-preferred-address-types=InternalIP".into(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".into(),
        format!("--service-account-key-file={}", path(pki.service_account_public_key())),
        format!("--service-account-signing-key-file={}", path(pki.key("sa"))),
        "--authorization-mode=Node,RBAC".into(),
        "--enable-admission-plugins=NodeRestriction".into(),
        // Load tests ask more of it than a small machine's defaults allow.
        "--max-requests-inflight=1000".into(),
        "--max-mutating-requests-inflight=500".into(),
        format!("--audit-policy-file={audit_policy}"),
        format!("--audit-log-path={}", path(audit_log())),
        "--audit-log-maxsize=2048".into(),
    ]
}

/// Writes, with who and what but without bodies; events of reading would bury them.
fn audit_policy() -> serde_json::Value {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "Metadata", "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
            {"level": "None"},
        ],
    })
}

fn controller_manager(pki: &Pki) -> Vec<String> {
    vec![
        format!("--kubeconfig={}", pki.kubeconfig("kcm").display()),
        "--use-service-account-credentials=true".into(),
        "--leader-elect=false".into(),
        format!("--service-account-private-key-file={}", pki.key("sa").display()),
        format!("--root-ca-file={}", pki.certificate("ca").display()),
        format!("--service-cluster-ip-range={SERVICE_CIDR}"),
        "--bind-address=127.0.0.1".into(),
    ]
}

fn scheduler(pki: &Pki) -> Vec<String> {
    vec![
        format!("--kubeconfig={}", pki.kubeconfig("scheduler").display()),
        "--leader-elect=false".into(),
        "--bind-address=127.0.0.1".into(),
    ]
}
