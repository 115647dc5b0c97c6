//! Step 9: Tombolo itself goes, word for word as docs/operate/install.md, "Uninstall", has it, and what is left is what that page
//! says.

use anyhow::Result;

use super::console::Console;
use crate::exec;
use crate::hosts;
use crate::kubernetes::kubectl;
use crate::ovn;
use crate::progress::Phase;

/// Tables in which rows of ours are, but for the fence's.
const TABLES: [&str; 7] = [
    "Logical_Switch",
    "Logical_Switch_Port",
    "Logical_Router",
    "Logical_Router_Port",
    "Logical_Router_Policy",
    "Logical_Router_Static_Route",
    "Port_Group",
];

/// What stays where OVN runs as pods: it carries Neutron's network, too.
const CENTRAL: [&str; 6] =
    ["ovs-ovn", "ovn-central", "ovn-nb", "ovn-sb", "ovn-northd", "tombolo-central-own-pod"];

/// Plays the step. `central`: OVN runs as pods, and is to stay.
///
/// # Errors
/// With the check that didn't hold.
pub fn play(stage: &Console, phase: &Phase, central: bool) -> Result<()> {
    let cluster = kubectl(["get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"])?;
    stage.remark("With pods on the network it refuses, and nothing is stopped or removed.");
    let refused = stage.try_run("helm uninstall tombolo --namespace kube-system")?;
    let why = stage.run("kubectl -n kube-system logs job/kube-ovn-uninstall --tail=1")?;
    let says = why.contains("pods are still on this network") && !refused.status.success();
    stage.check("the uninstallation is refused, and says why", says, "the pods", &why)?;
    stage.run("kubectl -n kube-system rollout status deployment/kube-ovn-controller --timeout=5s")?;
    stage.run("kubectl -n kube-system rollout status daemonset/kube-ovn-cni --timeout=5s")?;
    stage.remark("The pods on the network, while everything runs.");
    stage.run("kubectl get pods -A --field-selector spec.hostNetwork=false")?;
    stage.run("kubectl delete pods -n default --all --grace-period=1 --timeout=90s")?;
    stage.remark("Again. Its first act takes Tombolo out of OVN and off the hosts.");
    phase.doing("uninstalling");
    stage.run("helm uninstall tombolo --namespace kube-system")?;
    for table in TABLES {
        let rows = ovn::nbctl(["--bare", "--columns=external_ids", "list", table])?;
        stage.check(
            format_args!("no row of ours in {table}"),
            !rows.contains(cluster.trim()),
            "none",
            &rows,
        )?;
    }
    for host in hosts::all() {
        let look = "ls /etc/cni/net.d /opt/cni/bin | grep -F kube-ovn; ip -o link show ovn0 2>/dev/null; nft list tables | \
                    grep -F tombolo; ip route show proto 84; ovs-vsctl --bare --columns=name find Interface \
                    external_ids:vendor=kube-ovn; true";
        let left = stage.on(&host, look)?;
        stage.check(format_args!("nothing of ours on {host}"), left.trim().is_empty(), "nothing", &left)?;
    }
    stage.remark("The objects, which are kept until their kinds go.");
    stage
        .run("kubectl delete customresourcedefinitions -l app.kubernetes.io/part-of=tombolo --timeout=90s")?;
    stage.run("kubectl -n kube-system delete secret kube-ovn-tls --ignore-not-found")?;
    let kinds = kubectl(["api-resources", "--verbs=list", "-o", "name"])?;
    // Events go by themselves after an hour.
    let kinds: Vec<&str> = kinds.lines().filter(|kind| !kind.starts_with("events")).collect();
    phase.doing("waiting for the last pods to end");
    let look = || -> Result<(usize, Vec<String>)> {
        let all = kubectl(["get", &kinds.join(","), "-A", "-o", "name", "--ignore-not-found"])?;
        let stays = |name: &str| central && CENTRAL.iter().any(|word| name.contains(word));
        let ours = |name: &&str| !stays(name) && ["ovn", "tombolo"].iter().any(|word| name.contains(word));
        Ok((all.lines().count(), all.lines().filter(ours).map(str::to_owned).collect::<Vec<_>>()))
    };
    // Pods end some seconds after what they belong to. The check shows what stays.
    let (mut count, mut left) = look()?;
    let _ = exec::wait_until("all objects of ours to go", exec::SHORT, || {
        (count, left) = look()?;
        Ok(left.is_empty().then_some(()))
    });
    stage.check(
        format_args!("no object of ours among {count} in the API server"),
        left.is_empty() && count > 20,
        "none",
        left.join("\n"),
    )?;
    keeps_ovn(stage, central)?;
    if central {
        let members = kubectl(["-n", "kube-system", "get", "pods", "-l", "app=ovn-central", "-o", "name"])?;
        stage.same("OVN's databases stay", members.lines().count(), hosts::all().len())?;
        let routers = ovn::nbctl(["--bare", "--columns=name", "list", "Logical_Router"])?;
        stage.check("with Neutron's router", routers.contains("neutron-"), "neutron-…", &routers)?;
    }
    Ok(())
}

/// OVN as pods carries Neutron's network: even who confirms can't remove it. An OVN of others' is nothing that could be removed.
fn keeps_ovn(stage: &Console, central: bool) -> Result<()> {
    stage.remark("OVN's databases and Open vSwitch have a command of their own.");
    let output = stage.try_run("kubectl ko uninstall-ovn --yes")?;
    let (what, code, words): (_, _, &[&str]) = match central {
        true => (
            "it refuses, since Neutron has rows in OVN, and changes nothing",
            1,
            &["nb: Neutron has rows here", "Logical_Router (neutron-", "OVN stays, and nothing was changed"],
        ),
        false => ("it finds nothing of ours", 0, &["nothing of ovn-central and ovs-ovn is in namespace"]),
    };
    let says = words.iter().all(|word| output.stdout.contains(word));
    let ended = output.status.code() == Some(code);
    stage.check(what, says && ended, format_args!("{words:?}, exit code {code}"), &output.stdout)
}
