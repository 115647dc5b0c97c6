//! The real Kube-OVN, in the OVN that is there: its controller on host1, its agent and CNI plugin on each host.
//!
//! Decides how they are started and stopped, not what is done with them. They are daemons of the hosts in place of pods, since
//! their image can't be had here; what they write into OVN, Open vSwitch and the API server is the same.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::go::KubeOvn;
use crate::hosts::{self, Host};
use crate::kubernetes::{apply, control_plane, kubectl};
use crate::ovn::{self, Database};
use crate::progress::Phase;
use crate::{exec, paths};

/// The controller's name among a host's daemons.
const CONTROLLER: &str = "kube-ovn-controller-of-kube-ovn";
/// The agent's.
const AGENT: &str = "kube-ovn-daemon-of-kube-ovn";
/// From a controller's start to the Subnets, and from an agent's to a node that is Ready.
const READY: Duration = Duration::from_secs(120);

/// What its `01-kube-ovn.conflist` says.
const CONFIGURATION: &str = r#"{"name": "kube-ovn", "cniVersion": "0.3.1", "plugins": [
  {"type": "kube-ovn", "server_socket": "/run/openvswitch/kube-ovn-daemon.sock"},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
"#;

/// The controller's flags, beside those of its own place.
const FLAGS: [&str; 7] = [
    "--default-cidr=10.16.0.0/16",
    "--default-gateway=10.16.0.1",
    "--default-exclude-ips=10.16.0.1",
    "--node-switch-cidr=100.64.0.0/16",
    "--service-cluster-ip-range=10.96.0.0/12",
    "--enable-external-vpc=true",
    // The userspace datapath of Open vSwitch 3.1 ends by an assertion of its conntrack when OVN balances load for long.
    "--enable-lb=false",
];

/// Applies its kinds, starts it, and waits until all nodes are Ready.
///
/// # Errors
/// When a part doesn't come up; the error names its log.
pub fn start(phase: &Phase, programs: &KubeOvn) -> Result<()> {
    phase.doing("applying Kube-OVN's kinds");
    let kinds = programs.kinds.to_str().context("a path that isn't UTF-8")?;
    kubectl(["apply", "--server-side", "--force-conflicts", "-f", kinds])?;
    schemas()?;
    phase.doing("starting Kube-OVN's controller");
    let host = control_plane::host();
    controller(&host, programs)?;
    // The Subnets' figures may be Tombolo's, from before: that they are there doesn't show that this controller runs.
    exec::wait_ok("Kube-OVN's controller to lead", READY, || {
        ensure!(host.daemon_pid(CONTROLLER).is_some(), "it has ended");
        let holder = "jsonpath={.spec.holderIdentity}";
        let leader = kubectl(["-n", "kube-system", "get", "lease", "kube-ovn-controller", "-o", holder])?;
        ensure!(leader == CONTROLLER, "{leader:?} leads");
        Ok(())
    })
    .with_context(|| format!("see {}", host.daemon_log(CONTROLLER).display()))?;
    exec::wait_ok("Kube-OVN's default Subnets", READY, || {
        let ready = "--for=jsonpath={.status.v4availableIPs}";
        kubectl(["wait", ready, "subnets.kubeovn.io", "ovn-default", "join", "--timeout=5s"])
    })
    .with_context(|| format!("see {}", host.daemon_log(CONTROLLER).display()))?;
    apply(&deployment().to_string())?;
    phase.doing("starting Kube-OVN's agents");
    for host in hosts::all() {
        agent(&host, programs)?;
    }
    for host in hosts::all() {
        exec::wait_ok(&format!("{host} to be Ready by Kube-OVN"), READY, || {
            ensure!(
                control_plane::host().daemon_pid(CONTROLLER).is_some(),
                "Kube-OVN's controller has ended"
            );
            ensure!(host.daemon_pid(AGENT).is_some(), "its agent has ended");
            host.exec(["test", "-S", "/run/openvswitch/kube-ovn-daemon.sock"])?;
            kubectl(["wait", "--for=condition=Ready", "node", &host.name, "--timeout=5s"])
        })
        .with_context(|| format!("see {}", host.daemon_log(AGENT).display()))?;
    }
    Ok(())
}

/// Stops it. Pods keep what they have.
///
/// # Errors
/// When a program doesn't end.
pub fn stop() -> Result<()> {
    kubectl(["-n", "kube-system", "delete", "deployment", "kube-ovn-controller", "--ignore-not-found"])?;
    control_plane::host().stop_daemon(CONTROLLER)?;
    for host in hosts::all() {
        host.stop_daemon(AGENT)?;
        host.exec(["rm", "-f", "/run/openvswitch/kube-ovn-daemon.sock"])?;
    }
    Ok(())
}

/// Its controller's Deployment as its chart has it, of which `kubectl ko` reads the databases' addresses and the flags. Without a
/// pod: the controller is a daemon here.
fn deployment() -> Value {
    let labels = json!({ "app": "kube-ovn-controller" });
    let members: Vec<String> = hosts::all().iter().map(|host| host.mgmt.to_string()).collect();
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "kube-ovn-controller", "namespace": "kube-system" },
        "spec": { "replicas": 0, "selector": { "matchLabels": labels }, "template": {
            "metadata": { "labels": labels },
            "spec": { "containers": [{
                "name": "kube-ovn-controller", "image": "docker.io/kubeovn/kube-ovn:v1.14.10", "args": FLAGS,
                "env": [
                    { "name": "ENABLE_SSL", "value": "false" },
                    { "name": "OVN_DB_IPS", "value": members.join(",") },
                ],
            }] },
        } },
    })
}

/// Its controller takes a database whose schema lacks a column for no database: 1.14 is made for OVN 25.03. OVN's own programs
/// here, which are older, don't look at what they don't know.
fn schemas() -> Result<()> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/ovn-25.03");
    for database in [Database::Nb, Database::Sb] {
        let file = dir.join(format!("ovn-{}.ovsschema", database.short()));
        let words = ["--timeout=30", "convert", &database.remotes()].map(str::to_owned);
        let mut client = control_plane::host().command("ovsdb-client");
        exec::check(client.args(words).arg(file), exec::SHORT, None)
            .with_context(|| format!("bringing the schema of the {} up", database.name()))?;
    }
    Ok(())
}

fn kubeconfig() -> String {
    paths::state().join("kubernetes/pki/admin.kubeconfig").display().to_string()
}

fn controller(host: &Host, programs: &KubeOvn) -> Result<()> {
    host.exec(["mkdir", "-p", "/var/log/kube-ovn", "/var/log/ovn"])?;
    let own = [
        format!("--kubeconfig={}", kubeconfig()),
        format!("--ovn-nb-addr={}", Database::Nb.remotes()),
        format!("--ovn-sb-addr={}", Database::Sb.remotes()),
    ];
    let args: Vec<&str> = own.iter().map(String::as_str).chain(FLAGS).collect();
    host.daemon(
        CONTROLLER,
        &programs.controller.display().to_string(),
        &args,
        &[
            // For the server of its metrics.
            ("KUBECONFIG", &kubeconfig()),
            ("POD_NAME", CONTROLLER),
            ("POD_NAMESPACE", "kube-system"),
            ("KUBE_NAMESPACE", "kube-system"),
            ("KUBE_NODE_NAME", &host.name),
        ],
    )?;
    Ok(())
}

fn agent(host: &Host, programs: &KubeOvn) -> Result<()> {
    let plugin = host.dir().join("fs/opt/cni/bin/kube-ovn");
    // Another file, since what runs can't be written.
    let _ = fs::remove_file(&plugin);
    fs::copy(&programs.plugin, &plugin).with_context(|| format!("copying {}", plugin.display()))?;
    let configuration = host.dir().join("fs/etc/cni/net.d/01-kube-ovn.conflist");
    fs::write(&configuration, CONFIGURATION)
        .with_context(|| format!("writing {}", configuration.display()))?;
    // It takes the chassis' name from a file that Debian's Open vSwitch writes, ours on the hosts doesn't.
    let id = ovn::chassis(host)?;
    // Nor does it remove the socket of a former one: its image's script does.
    host.script(&format!(
        "rm -f /run/openvswitch/kube-ovn-daemon.sock; mkdir -p /var/log/kube-ovn; [ -s /etc/openvswitch/system-id.conf ] || echo {id} >/etc/openvswitch/system-id.conf"
    ))?;
    host.daemon(
        AGENT,
        &programs.daemon.display().to_string(),
        &[
            &format!("--kubeconfig={}", kubeconfig()),
            "--ovs-socket=/run/openvswitch/db.sock",
            "--bind-socket=/run/openvswitch/kube-ovn-daemon.sock",
            "--service-cluster-ip-range=10.96.0.0/12",
            // Of the tunnels, which are apart here: its default is the node's address.
            "--iface=br-phy",
        ],
        &[("KUBECONFIG", &kubeconfig()), ("KUBE_NODE_NAME", &host.name), ("POD_IP", &host.mgmt.to_string())],
    )?;
    Ok(())
}
