//! After our network: the cluster's DNS, and the picture of `ovn-default` that the document shows.

use std::time::Duration;

use anyhow::Result;

use super::console::Console;
use crate::exec;
use crate::images;
use crate::kubernetes::{apply, kubectl};
use crate::programs::NAMESPACE;

/// What the document's picture of `ovn-default` shows, by the beginnings of ports' names, and how many there are.
const PICTURE: [(&str, usize); 3] = [("coredns-", 2), ("kube-ovn-pinger-", 3), ("kube-ovn-monitor-", 1)];

/// From ready pods to a Service that leads to them.
const ANSWER: Duration = Duration::from_secs(30);

/// Plays the step.
///
/// # Errors
/// With the check that didn't hold.
pub fn play(stage: &Console) -> Result<()> {
    stage.remark("The cluster's DNS: CoreDNS in two pods, as in the document's cluster.");
    apply(&include_str!("../../files/coredns/manifests.yaml").replace("@IMAGE@", images::COREDNS))?;
    stage.run("kubectl -n kube-system rollout status deployment/coredns --timeout=120s")?;
    for (pod, name, address) in [
        ("demo-host1", "kubernetes.default.svc.cluster.local", "10.96.0.1"),
        ("demo-host3", "kube-dns.kube-system.svc.cluster.local", "10.96.0.10"),
    ] {
        // kube-proxy has the Service's pods a moment after they are ready.
        exec::wait_ok("an answer of the cluster's DNS", ANSWER, || {
            kubectl(["exec", pod, "--", "nslookup", name])
        })?;
        let answer = stage.run(&format!("kubectl exec {pod} -- nslookup {name}"))?;
        stage.check(
            format_args!("{pod} resolves {name}"),
            answer
                .lines()
                .any(|line| line.starts_with("Address") && line.trim_end().ends_with(&format!(" {address}"))),
            address,
            &answer,
        )?;
    }
    stage.run("kubectl -n kube-system rollout status daemonset/kube-ovn-pinger --timeout=60s")?;
    stage.run("kubectl -n kube-system rollout status deployment/kube-ovn-monitor --timeout=60s")?;
    let shown = stage.run("kubectl ko nbctl show ovn-default")?;
    let ports: Vec<&str> = shown.lines().filter_map(|line| line.trim().strip_prefix("port ")).collect();
    for (begins, count) in PICTURE {
        let is_one = |port: &&&str| port.starts_with(begins) && port.ends_with(".kube-system");
        let found = ports.iter().filter(is_one).count();
        stage.same(format_args!("{begins}… is in ovn-default as in the document"), found, count)?;
    }
    Ok(())
}

/// Takes it away again: what is tested after the demo counts pods.
///
/// # Errors
/// When the API server refuses.
pub fn remove() -> Result<()> {
    for (kind, name) in [
        ("deployment", "coredns"),
        ("service", "kube-dns"),
        ("configmap", "coredns"),
        ("serviceaccount", "coredns"),
        ("clusterrole", "system:coredns"),
        ("clusterrolebinding", "system:coredns"),
    ] {
        kubectl(["-n", NAMESPACE, "delete", kind, name, "--ignore-not-found", "--wait=false"])?;
    }
    kubectl(["-n", NAMESPACE, "wait", "--for=delete", "pod", "-l", "k8s-app=kube-dns", "--timeout=50s"])
        .map(drop)
}
