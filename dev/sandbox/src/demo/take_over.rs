//! Step 10: a cluster of the real Kube-OVN is taken over in place, given back, and taken over for good, as docs/operate/take-over.md
//! has it, beside Neutron and with pings running.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::console::Console;
use super::openstack::Scene;
use super::pings::Pings;
use super::{clean, manifests};
use crate::go::{self, KubeOvn};
use crate::hosts;
use crate::kubernetes::kubectl;
use crate::neutron::{self, SERVER_IP};
use crate::ovn;
use crate::programs::{self, Images};
use crate::progress::Phase;
use crate::{exec, kube_ovn};

/// From our start to objects that are Ready, and from Kube-OVN's to a pod.
const SERVED: Duration = Duration::from_secs(60);

/// Plays the step. Neither our programs nor our kinds are in the cluster at its beginning; OVN's pods are.
///
/// # Errors
/// With the check that didn't hold.
pub fn play(stage: &Console, phase: &Phase, scene: &Scene, images: &Images) -> Result<()> {
    let kube_ovn = go::kube_ovn(phase)?;
    a_cluster_of_kube_ovns(stage, phase, scene, &kube_ovn)?;
    let rows = rows()?;
    let pods = pods()?;
    let all = rows.len() > 10 && pods.len() == 4;
    stage.check(
        "rows of switches, routers and ports, and four pods",
        all,
        "more than 10, and 4",
        rows.len(),
    )?;

    stage.remark("Before: what stands in the way, while Kube-OVN goes on.");
    let said = stage.run("kubectl ko take-over check")?;
    stage.check("nothing does", said.contains("nothing stands in the way"), "nothing", &said)?;
    stage.remark("Kube-OVN's controller and agents are stopped, and nothing else; then Tombolo comes into the same OVN.");
    let pings = Running::start(&pods)?;
    kube_ovn::stop()?;
    programs::take_over(phase, images)?;
    served(stage)?;
    unchanged(stage, "taken over", &rows, &pods)?;
    a_new_pod(stage, "demo-new1")?;
    pings.end(stage, "while it was taken over")?;

    stage.remark("The way back: Tombolo's controller and agents are stopped, and Kube-OVN's started.");
    let pings = Running::start(&pods)?;
    stage
        .run("kubectl -n kube-system delete deployment kube-ovn-controller kube-ovn-monitor --timeout=90s")?;
    stage.run("kubectl -n kube-system delete daemonset kube-ovn-cni kube-ovn-pinger --timeout=90s")?;
    stage.run("kubectl -n kube-system delete secret -l owner=helm,name=tombolo")?;
    stage.run("kubectl delete validatingwebhookconfigurations -l app.kubernetes.io/part-of=tombolo --ignore-not-found")?;
    kube_ovn::start(phase, &kube_ovn)?;
    let said = stage.run("kubectl ko take-over undo --yes")?;
    stage.check("our marks are off Kube-OVN's rows", !said.is_empty(), "how many", &said)?;
    unchanged(stage, "given back", &rows, &pods)?;
    a_new_pod(stage, "demo-new2")?;
    pings.end(stage, "while it was given back")?;

    stage.remark("Taken over again, and for good: what nothing uses any more goes.");
    kube_ovn::stop()?;
    programs::take_over(phase, images)?;
    served(stage)?;
    stage.run("kubectl ko take-over finish")?;
    let said = stage.run("kubectl ko take-over finish --yes")?;
    stage.check(
        "it says what went",
        said.contains("Logical_Router_Policy"),
        "policies of its router",
        &said,
    )?;
    unchanged(stage, "taken over for good", &rows, &pods)?;
    let words =
        ["--bare", "--columns=external_ids", "find", "Logical_Router_Policy", "external_ids:vendor=kube-ovn"];
    let left = ovn::nbctl(words)?;
    let marked = left.lines().filter(|line| !line.is_empty()).all(|line| line.contains("tombolo.io/cluster"));
    stage.check(
        "each policy on routers is ours",
        marked && left.contains("tombolo.io/cluster"),
        "our mark",
        &left,
    )?;
    neutron::sees_all(phase)?;
    away(phase)
}

/// Kube-OVN's cluster: pods in its default Subnet, and the document's namespace, Subnet and pod behind Neutron's router.
fn a_cluster_of_kube_ovns(stage: &Console, phase: &Phase, scene: &Scene, kube_ovn: &KubeOvn) -> Result<()> {
    stage.remark("The real Kube-OVN 1.14.10, with its controller, agents and CNI plugin, in the OVN that Neutron is in.");
    kube_ovn::start(phase, kube_ovn)?;
    stage.run("kubectl get subnets.kubeovn.io")?;
    let vpc = scene.objects.logical_router();
    exec::wait_ok("Neutron's router as a Vpc of Kube-OVN's", SERVED, || {
        kubectl(["get", "vpcs.kubeovn.io", &vpc])
    })?;
    kubectl(["patch", "vpcs.kubeovn.io", &vpc, "--type=merge", "-p", r#"{"spec":{"namespaces":["net2"]}}"#])?;
    stage.write("namespace.yaml", manifests::NAMESPACE)?;
    stage.write("subnet.yaml", &manifests::with_router(manifests::SUBNET, &scene.objects.router)?)?;
    stage.write("pod.yaml", manifests::POD)?;
    let all: String = hosts::all().iter().map(|h| manifests::probed(&format!("demo-{h}"), &h.name)).collect();
    stage.write("demo-pods.yaml", &all)?;
    stage.run("kubectl apply -f namespace.yaml")?;
    stage.run("kubectl apply -f subnet.yaml")?;
    // A pod that comes before its namespace's Subnet gets another one.
    exec::wait_ok("the namespace's Subnet", SERVED, || {
        let path = r"jsonpath={.metadata.annotations.ovn\.kubernetes\.io/logical_switch}";
        let subnet = kubectl(["get", "namespace", "net2", "-o", path])?;
        anyhow::ensure!(subnet == "net2", "it is {subnet:?}");
        Ok(())
    })?;
    stage.run("kubectl apply -f demo-pods.yaml -f pod.yaml")?;
    stage.run(&format!("kubectl wait --for=condition=Ready pod -l {} --timeout=120s", clean::LABEL))?;
    stage.run("kubectl -n net2 wait --for=condition=Ready pod/ubuntu --timeout=120s")?;
    neutron::allow(&scene.group, "icmp")?;
    ovn::nbctl(["--wait=hv", "sync"])?;
    reaches(stage, "net2", "ubuntu", SERVER_IP)
}

/// Name and address of the demo's pods.
fn pods() -> Result<BTreeMap<String, String>> {
    let path = r#"jsonpath={range .items[*]}{.metadata.name}={.status.podIP}{" "}{end}"#;
    let mut found = kubectl(["get", "pods", "-l", clean::LABEL, "-o", path])?;
    found.push_str(&kubectl(["-n", "net2", "get", "pods", "-o", path])?);
    let pair = |word: &str| word.split_once('=').map(|(name, address)| (name.to_owned(), address.to_owned()));
    let old = |name: &str| !name.starts_with("demo-new");
    Ok(found.split_whitespace().filter_map(pair).filter(|(name, _)| old(name)).collect())
}

/// Uuid and address of each row that must stay, by its name: switches, the router, its ports, ports of nodes and pods.
fn rows() -> Result<BTreeMap<String, String>> {
    let mut rows = BTreeMap::new();
    for (table, columns) in [
        ("Logical_Switch", "name,_uuid"),
        ("Logical_Router", "name,_uuid"),
        ("Logical_Router_Port", "name,_uuid,mac"),
        ("Logical_Switch_Port", "name,_uuid,type,addresses"),
    ] {
        let text =
            ovn::nbctl(["--format=csv", "--no-headings", &format!("--columns={columns}"), "list", table])?;
        for line in text.lines() {
            let (name, rest) = line.split_once(',').with_context(|| format!("reading {line:?}"))?;
            // Pods of the components come and go.
            if !["kube-system", "demo-new"].iter().any(|other| name.contains(other)) {
                // A router's port has the router's MAC, whether it says so or `router`; a MAC's case says nothing.
                let says = rest.split_once(",router,").map_or(rest, |(uuid, _)| uuid);
                rows.insert(format!("{table} {name}"), says.to_lowercase());
            }
        }
    }
    Ok(rows)
}

/// Waits until each object of ours is served.
fn served(stage: &Console) -> Result<()> {
    stage.run("kubectl wait --for=condition=Ready subnets.kubeovn.io --all --timeout=60s")?;
    let names = r#"jsonpath={range .items[*]}{.metadata.name}:{.status.conditions[?(@.type=="Ready")].status}{" "}{end}"#;
    let mut seen = String::new();
    let ready = exec::wait_until("all Vpcs to be Ready", SERVED, || {
        seen = kubectl(["get", "vpcs.kubeovn.io", "-o", names])?;
        Ok((seen.contains("ovn-cluster:True") && !seen.contains(":False")).then_some(()))
    });
    stage.check("all Vpcs are Ready", ready.is_ok(), ":True", &seen)?;
    let said = stage.run("kubectl ko ipam check")?;
    stage.check("objects, annotations and ports agree", !said.is_empty(), "no difference", &said)
}

fn unchanged(
    stage: &Console,
    what: &str,
    rows: &BTreeMap<String, String>,
    pods: &BTreeMap<String, String>,
) -> Result<()> {
    let now = self::rows()?;
    let other: Vec<String> = rows
        .iter()
        .filter(|(name, row)| now.get(*name) != Some(row))
        .map(|(name, row)| format!("{name}: {row}, now {:?}", now.get(name)))
        .collect();
    stage.check(
        format_args!("{what}: all {} rows have their uuid and address", rows.len()),
        other.is_empty(),
        "no difference",
        other.join("\n"),
    )?;
    stage.same(format_args!("{what}: the pods have their addresses"), &self::pods()?, pods)?;
    let restarts = kubectl([
        "get",
        "pods",
        "-l",
        clean::LABEL,
        "-o",
        "jsonpath={.items[*].status.containerStatuses[*].restartCount}",
    ])?;
    stage.check(
        format_args!("{what}: no container was restarted"),
        restarts.split_whitespace().all(|count| count == "0") && !restarts.is_empty(),
        "0 each",
        &restarts,
    )
}

/// A pod that comes now works.
fn a_new_pod(stage: &Console, name: &str) -> Result<()> {
    stage.write("new.yaml", &manifests::probed(name, "host3"))?;
    stage.run("kubectl apply -f new.yaml")?;
    stage.run(&format!("kubectl wait --for=condition=Ready pod/{name} --timeout=90s"))?;
    let there = pods()?;
    let address = there.get("demo-host1").context("the pod demo-host1 is gone")?;
    reaches(stage, "default", name, address)?;
    reaches(stage, "net2", "ubuntu", SERVER_IP)
}

fn reaches(stage: &Console, namespace: &str, pod: &str, address: &str) -> Result<()> {
    let mut said = String::new();
    let answer = exec::wait_ok("an answer", SERVED, || {
        said = kubectl(["-n", namespace, "exec", pod, "--", "ping", "-c2", "-W3", address])?;
        anyhow::ensure!(said.contains(" 0% packet loss"), "{said}");
        Ok(())
    });
    stage.check(format_args!("{pod} reaches {address}"), answer.is_ok(), "0% packet loss", &said)
}

/// Pings of a pod to one on another host, and of a pod to a VM.
struct Running([(&'static str, Pings); 2]);

impl Running {
    fn start(pods: &BTreeMap<String, String>) -> Result<Self> {
        let other = pods.get("demo-host3").context("the pod demo-host3 is gone")?;
        Ok(Self([
            ("pod to pod", Pings::start("default", "demo-host1", other)?),
            ("pod to VM", Pings::start("net2", "ubuntu", SERVER_IP)?),
        ]))
    }

    /// On a machine that is busy with else a packet may be lost by that alone: the figures are shown, and judged leniently.
    fn end(self, stage: &Console, what: &str) -> Result<()> {
        for (way, pings) in self.0 {
            let (sent, lost) = pings.end()?;
            stage.check(
                format_args!("{way}, {what}: {lost} of {sent} pings were lost"),
                sent > 20 && lost * 20 < sent,
                "less than one in twenty",
                lost,
            )?;
        }
        Ok(())
    }
}

/// What the step made goes; our programs go on.
fn away(phase: &Phase) -> Result<()> {
    phase.doing("removing what this step has made");
    clean::kubernetes()?;
    clean::rules()
}
