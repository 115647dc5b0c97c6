//! Steps 4, 5 and 6: the document's checks of the topology, of the controller's log, and of the Vpc.

use anyhow::{Context as _, Result, ensure};

use super::console::Console;
use super::install::table;
use super::openstack::Scene;
use super::shape::{self, Names};
use crate::kubernetes::kubectl;
use crate::programs::NAMESPACE;
use crate::progress::show;
use crate::{logs, neutron};

/// Written by hand, from the document.
const EXPECTED: &str = include_str!("../../files/scenario/nbctl-show.txt");

/// Step 4: `kubectl ko nbctl show` prints what the document prints.
///
/// # Errors
/// With the check that didn't hold.
pub fn show_topology(stage: &Console, scene: &Scene) -> Result<()> {
    let printed = stage.run("kubectl ko nbctl show")?;
    let router = &scene.objects.router;
    let found = neutron::api(
        "GET",
        &format!("ports?device_id={router}&device_owner=network:router_interface&fields=id"),
        None,
    )?;
    let interface = found["ports"][0]["id"].as_str().context("the router has no interface in Neutron")?;
    let names = cluster_pods()?
        .with("ROUTER", router)
        .with("NETWORK", &scene.objects.network)
        .with("INTERFACE", interface)
        .with("SERVER", &scene.vm.port.id);
    let difference = shape::difference(EXPECTED, &names, &printed);
    stage.check(
        "switches, routers and their ports are those of the document",
        difference.is_empty(),
        "the shape in files/scenario/nbctl-show.txt",
        difference.join("\n"),
    )?;
    let (ours, routers) = (format!("net2-neutron-{router}"), format!("neutron-{router}-net2"));
    stage.same(
        "both ends of the subnet's router port have one MAC",
        shape::attribute(&printed, &ours, "addresses"),
        shape::attribute(&printed, &routers, "mac").map(|mac| format!("[{mac}]")),
    )?;
    stage.check(
        "the VM's port bears its own MAC",
        printed.contains(&format!("[\"{} {}\"]", scene.vm.port.mac, scene.vm.port.ip)),
        format_args!("{} {}", scene.vm.port.mac, scene.vm.port.ip),
        &printed,
    )
}

/// The cluster's own pods in ovn-default, under the words of the expectation.
fn cluster_pods() -> Result<Names> {
    let mut names = Names::default();
    for (selector, word, count) in [
        ("k8s-app=kube-dns", "COREDNS", 2),
        ("app=kube-ovn-pinger", "PINGER", 3),
        ("app=kube-ovn-monitor", "MONITOR", 1),
    ] {
        let pods = kubectl(["-n", NAMESPACE, "get", "pods", "-l", selector, "-o", "name"])?;
        let pods: Vec<&str> = pods.lines().filter_map(|line| line.strip_prefix("pod/")).collect();
        ensure!(
            pods.len() == count,
            "there are {} pods {selector}, where the document's cluster has {count}",
            pods.len()
        );
        for (number, pod) in pods.iter().enumerate() {
            let number = if count == 1 { String::new() } else { (number + 1).to_string() };
            names = names.with(&format!("{word}{number}"), pod);
        }
    }
    Ok(names)
}

/// Step 5: both replicas of the controller have said nothing worse than information since they first knew everything
/// (`since`: since the demo began, if that was later; RFC 3339).
///
/// # Errors
/// With the lines that they logged.
pub fn controller_log(stage: &Console, since: &str) -> Result<()> {
    let replicas = logs::controller()?;
    stage.same("the controller has two replicas", replicas.len(), 2)?;
    for replica in replicas {
        let name = &replica.pod.name;
        let lines = replica.since_first_sync(since);
        show(format_args!("# kubectl -n kube-system logs {name}"));
        for line in lines.iter().take(3) {
            show(line.text());
        }
        if lines.len() > 3 {
            show(format_args!("… {} lines", lines.len()));
        }
        stage.same(format_args!("{name} was not restarted"), replica.pod.restarts, 0)?;
        stage.check(
            format_args!("{name} has synced"),
            replica.synced(),
            "a line \"first sync\"",
            &replica.text,
        )?;
        let bad: Vec<&str> = lines.iter().filter(|line| line.is_problem()).map(|line| line.text()).collect();
        stage.check(
            format_args!("no warning and no error in its {} lines since the first sync", lines.len()),
            bad.is_empty(),
            "none",
            bad.join("\n"),
        )?;
    }
    Ok(())
}

/// Step 6: the Vpc lists our subnet beside Neutron's.
///
/// # Errors
/// With the check that didn't hold.
pub fn vpc(stage: &Console, scene: &Scene) -> Result<()> {
    let printed = stage.run("kubectl get vpc")?;
    let (router, subnets) =
        (scene.objects.logical_router(), format!("[\"net2\",\"{}\"]", scene.objects.switch()));
    stage.same(
        "net2 is attached to the router",
        table(&printed),
        [
            ["NAME", "STANDBY", "SUBNETS"],
            [&router, "true", &subnets],
            ["ovn-cluster", "true", r#"["join","ovn-default"]"#],
        ],
    )
}
