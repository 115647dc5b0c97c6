//! containerd, kubelet and kube-proxy on each host.
//!
//! The hosts have the standard paths, so the configuration is that of a plain node. No CNI configuration
//! is laid here: nodes become Ready when the network that is deployed into the cluster installs its own.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::build::Programs;
use super::certs::Pki;
use super::util::{symlink, write_if_changed};
use crate::exec;
use crate::hosts::Host;
use crate::images::{self, Image};
use crate::progress::Phase;

const SOCKET: &str = "/run/containerd/containerd.sock";
/// Where Debian's containernetworking-plugins lie, and which of them a conflist beside ours may name.
const CNI_PLUGINS: &str = "/usr/lib/cni";
const PROXY_HEALTH: &str = "http://127.0.0.1:10256/healthz";
/// Pods of subnets in the default Vpc: what kube-proxy takes for inside.
const POD_CIDR: &str = "10.16.0.0/16";

/// Starts containerd and imports the images.
///
/// # Errors
/// When containerd doesn't answer within a minute or an image can't be imported.
pub fn runtime_up(phase: &Phase, host: &Host, base: &[Image]) -> Result<()> {
    write_if_changed(&own(host, "/etc/containerd/config.toml"), containerd().as_bytes())?;
    let bin = own(host, "/opt/cni/bin");
    for entry in fs::read_dir(CNI_PLUGINS).with_context(|| {
        format!("looking for the standard CNI plugins in {CNI_PLUGINS} (package containernetworking-plugins)")
    })? {
        let entry = entry?;
        symlink(entry.path(), &bin.join(entry.file_name()))?;
    }
    host.daemon("containerd", "containerd", &["--config", "/etc/containerd/config.toml"], &[])?;
    exec::wait_ok(&format!("containerd on {host}"), exec::SHORT, || host.exec(["ctr", "version"]))
        .with_context(|| format!("see {}", host.daemon_log("containerd").display()))?;
    for image in base {
        import(phase, host, image)?;
    }
    Ok(())
}

/// Imports an image unless this host has it already. Returns whether it did.
///
/// # Errors
/// When containerd refuses the archive.
pub fn import(phase: &Phase, host: &Host, image: &Image) -> Result<bool> {
    let record = host.dir().join("images").join(&image.name);
    if fs::read(&record).is_ok_and(|digest| digest == image.digest.as_bytes()) {
        return Ok(false);
    }
    phase.doing(format_args!("importing the image {} on {host}", image.name));
    let mut ctr = host.command("ctr");
    ctr.args(["--namespace", "k8s.io", "images", "import", "--digests=false"]).arg(&image.archive);
    exec::check(&mut ctr, Duration::from_secs(300), Some(phase.log()))
        .with_context(|| format!("importing the image {} on {host}", image.name))?;
    write_if_changed(&record, image.digest.as_bytes())?;
    Ok(true)
}

/// Starts the kubelet; it registers the node when the API server is there.
///
/// # Errors
/// When it ends at once.
pub fn kubelet_up(host: &Host, programs: &Programs, pki: &Pki) -> Result<()> {
    let config = own(host, "/etc/kubernetes/kubelet.json");
    write_if_changed(&config, format!("{:#}\n", kubelet(host, pki)).as_bytes())?;
    let kubeconfig = format!("--kubeconfig={}", pki.kubeconfig(&host.name).display());
    let name = format!("--hostname-override={}", host.name);
    let address = format!("--node-ip={}", host.mgmt);
    host.daemon(
        "kubelet",
        &programs.path("kubelet")?.display().to_string(),
        &[
            "--config=/etc/kubernetes/kubelet.json",
            &kubeconfig,
            &name,
            &address,
            "--cert-dir=/var/lib/kubelet/pki",
        ],
        &[],
    )?;
    Ok(())
}

/// Starts kube-proxy; the node must be registered.
///
/// # Errors
/// When it ends at once.
pub fn proxy_up(host: &Host, programs: &Programs, pki: &Pki) -> Result<()> {
    let config = own(host, "/etc/kubernetes/kube-proxy.json");
    write_if_changed(&config, format!("{:#}\n", proxy(host, pki)).as_bytes())?;
    let program = programs.path("kube-proxy")?.display().to_string();
    host.daemon("kube-proxy", &program, &["--config=/etc/kubernetes/kube-proxy.json"], &[])?;
    Ok(())
}

/// Waits until kube-proxy has written its first rules, which is when it calls itself healthy.
///
/// # Errors
/// When it doesn't within a minute: on a kernel without nftables, say; its log says why.
pub fn proxy_ready(host: &Host) -> Result<()> {
    exec::wait_ok(&format!("kube-proxy on {host}"), exec::SHORT, || {
        host.exec(["curl", "--silent", "--show-error", "--fail", "--max-time", "5", PROXY_HEALTH])
    })
    .with_context(|| format!("see {}", host.daemon_log("kube-proxy").display()))?;
    Ok(())
}

/// A path of the host as seen from outside.
fn own(host: &Host, path: &str) -> PathBuf {
    host.dir().join("fs").join(path.trim_start_matches('/'))
}

/// For Debian's containerd 1.6 (configuration version 2).
fn containerd() -> String {
    let unused = [
        "snapshotter.v1.btrfs",
        "snapshotter.v1.zfs",
        "snapshotter.v1.aufs",
        "snapshotter.v1.devmapper",
        "tracing.processor.v1.otlp",
        "internal.v1.tracing",
    ]
    .map(|plugin| format!("\"io.containerd.{plugin}\""))
    .join(", ");
    let pause = images::PAUSE;
    format!(
        r#"version = 2
disabled_plugins = [{unused}]
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  disable_apparmor = true
  # Without CAP_SYS_RESOURCE (a container, a micro-VM) a negative score can't be set and runc fails.
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"#
    )
}

fn kubelet(host: &Host, pki: &Pki) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": pki.certificate("ca")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": pki.certificate(&host.name),
        "tlsPrivateKeyFile": pki.key(&host.name),
        "containerRuntimeEndpoint": format!("unix://{SOCKET}"),
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": false,
        "failSwapOn": false,
        // Three kubelets share one machine: none may reserve or evict by what it believes is its own.
        "cgroupsPerQOS": false,
        "enforceNodeAllocatable": [],
        "localStorageCapacityIsolation": false,
        "evictionHard": {"memory.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%",
            "imagefs.available": "0%", "imagefs.inodesFree": "0%"},
        // Images that no registry has must never be collected.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "makeIPTablesUtilChains": false,
        "resolvConf": "",
        "clusterDNS": ["10.96.0.10"],
        "clusterDomain": "cluster.local",
        "maxPods": 250,
        "registryPullQPS": 0,
        "nodeStatusUpdateFrequency": "5s",
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
    })
}

fn proxy(host: &Host, pki: &Pki) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": host.name,
        "clientConnection": {"kubeconfig": pki.kubeconfig("proxy")},
        "detectLocalMode": "ClusterCIDR",
        "clusterCIDR": POD_CIDR,
        // The table's size belongs to the machine's root namespace: leave it alone.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "metricsBindAddress": "127.0.0.1:10249",
        "healthzBindAddress": "127.0.0.1:10256",
    })
}
