//! `ko diagnose` and `ko env-check`: what a person would look at one after the other, for the whole cluster, a node or a Subnet. A step
//! that fails says so, and the next one follows.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tombolo_names::workloads::{AGENT, GROUP};

use crate::database::{self, Database};
use crate::doctor;
use crate::kubectl::Kubectl;
use crate::node::Way;
use crate::vpc;

/// For one answer of a node.
const DEADLINE: Duration = Duration::from_secs(60);
/// Kinds without which nothing is served.
const KINDS: [&str; 3] = ["vpcs", "subnets", "ips"];

/// What is looked at on a node: a title, and words that are run beside its Open vSwitch.
const NODE: &[(&str, &[&str])] = &[
    ("Open vSwitch", &["ovs-vsctl", "show"]),
    ("its settings", &["ovs-vsctl", "--columns=external_ids", "list", "Open_vSwitch"]),
    ("ovn-controller's connection to the SB", &["ovn-appctl", "-t", "ovn-controller", "connection-status"]),
    ("the datapath", &["ovs-appctl", "dpif/show"]),
    ("links", &["ip", "-br", "addr"]),
    ("routes", &["ip", "route"]),
];

/// What Kube-OVN's plugin looks at on each host.
const ENVIRONMENT: &str = r#"echo 'CNI configurations:'; ls -1 /etc/cni/net.d 2>/dev/null
for key in net/ipv4/ip_forward net/ipv4/tcp_mtu_probing net/ipv4/tcp_tw_recycle net/ipv4/conf/all/rp_filter; do
  [ -r /proc/sys/$key ] && echo "$key = $(cat /proc/sys/$key)"; done
awk '/^Tcp:/ { if (!h) { for (i = 1; i <= NF; i++) if ($i == "InCsumErrors") c = i; h = 1 } else print "InCsumErrors = " $c }' /proc/net/snmp
echo 'resolv.conf:'; grep -v '^#' /etc/resolv.conf
echo 'programs that drop packets or hold connections:'
for name in firewalld ufw bdsec qax ds_agent ds_am titanagent falcon-sensor; do pidof "$name" >/dev/null && echo "  $name runs"; done
ss -lun 2>/dev/null | grep -q ':6081 ' && echo 'UDP 6081 (Geneve) is open here' || echo 'UDP 6081 (Geneve): no socket seen; a userspace datapath has none'
true"#;

/// What is looked at.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum What {
    /// The cluster: kinds, OVN's topology, databases, findings of doctor
    All,
    /// A node: its Open vSwitch, links, its agent's log
    Node {
        /// Its name
        node: String,
    },
    /// A Subnet: its conditions, its switch and that switch's ports
    Subnet {
        /// Its name
        subnet: String,
    },
}

/// Looks; the exit code is that of a step that failed, if one did.
pub fn command(kubectl: &Kubectl, what: &What) -> Result<ExitCode> {
    let mut steps = Steps { failed: false };
    match what {
        What::All => all(kubectl, &mut steps),
        What::Node { node } => one_node(kubectl, node, &mut steps)?,
        What::Subnet { subnet } => one_subnet(kubectl, subnet, &mut steps),
    }
    Ok(if steps.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

struct Steps {
    failed: bool,
}

impl Steps {
    fn step(&mut self, title: &str, look: impl FnOnce() -> Result<ExitCode>) {
        println!("### {title}");
        match look() {
            Ok(code) => self.failed |= code != ExitCode::SUCCESS,
            Err(error) => {
                println!("failed: {error:#}");
                self.failed = true;
            }
        }
        println!();
    }
}

fn words(line: &str) -> Vec<OsString> {
    line.split(' ').map(OsString::from).collect()
}

fn all(kubectl: &Kubectl, steps: &mut Steps) {
    steps.step("kinds", || kinds(kubectl));
    steps.step("workloads", || {
        kubectl.show(&["get", "deployments,daemonsets,pods", "-n", kubectl.namespace(), "-o", "wide"])
    });
    steps.step("Vpcs and Subnets", || kubectl.show(&["get", "vpcs.kubeovn.io,subnets.kubeovn.io"]));
    for database in [Database::Nb, Database::Sb] {
        steps
            .step(&format!("{} servers", database.schema()), || database::servers::status(kubectl, database));
        steps.step(database.schema(), || database::ctl(kubectl, database, &words("show")));
    }
    for list in ["lr-policy-list", "lr-route-list"] {
        steps.step(list, || {
            database::ctl(kubectl, Database::Nb, &words(&format!("{list} {}", vpc::default(kubectl)?)))
        });
    }
    for table in ["Load_Balancer", "Address_Set", "ACL"] {
        steps.step(table, || database::ctl(kubectl, Database::Nb, &words(&format!("list {table}"))));
    }
    steps.step("doctor", || doctor::command(kubectl, doctor::Form::Text, true));
}

fn kinds(kubectl: &Kubectl) -> Result<ExitCode> {
    for kind in KINDS {
        let name = format!("{kind}.{GROUP}");
        let crd = kubectl.json(&["get", "customresourcedefinitions.apiextensions.k8s.io", &name])?;
        if !established(&crd) {
            bail!("crd {name} isn't established: the API server's log has the reason");
        }
        println!("crd {name} ok");
    }
    Ok(ExitCode::SUCCESS)
}

fn established(crd: &Value) -> bool {
    let all = crd["status"]["conditions"].as_array().into_iter().flatten();
    all.into_iter().any(|condition| condition["type"] == "Established" && condition["status"] == "True")
}

fn one_node(kubectl: &Kubectl, node: &str, steps: &mut Steps) -> Result<()> {
    let way = Way::to(kubectl, node)?;
    for (title, words) in NODE {
        steps.step(title, || on_node(&way, words));
    }
    steps.step("the agent's log", || {
        let selector = format!("app={AGENT}");
        let on = format!("spec.nodeName={node}");
        let list = ["get", "pods", "-n", kubectl.namespace(), "-l", &selector, "--field-selector", &on];
        let pods = kubectl.json(&list)?;
        let pod = pods["items"][0]["metadata"]["name"].as_str().context("there is no agent on this node")?;
        kubectl.show(&["logs", "-n", kubectl.namespace(), "--tail=50", "-c", "cni-server", pod])
    });
    steps.step("environment", || on_node(&way, &["sh", "-c", ENVIRONMENT]));
    Ok(())
}

fn on_node(way: &Way<'_>, words: &[&str]) -> Result<ExitCode> {
    let said = way.capture(words, DEADLINE)?.success(&words.join(" "))?;
    print!("{}", String::from_utf8_lossy(&said));
    Ok(ExitCode::SUCCESS)
}

fn one_subnet(kubectl: &Kubectl, subnet: &str, steps: &mut Steps) {
    steps.step("the Subnet", || {
        let object = kubectl.json(&["get", "subnets.kubeovn.io", subnet])?;
        println!(
            "{}",
            serde_json::to_string_pretty(&object["status"]["conditions"]).context("its conditions")?
        );
        kubectl.show(&["get", "subnets.kubeovn.io", subnet, "-o", "wide"])
    });
    let lines = [
        ("its switch", format!("show {subnet}")),
        ("its ports", format!("lsp-list {subnet}")),
        ("its ACLs", format!("acl-list {subnet}")),
    ];
    for (title, line) in lines {
        steps.step(title, || database::ctl(kubectl, Database::Nb, &words(&line)));
    }
    steps.step("its addresses", || {
        kubectl.show(&[
            "get",
            "ips.kubeovn.io",
            "-l",
            &format!("{}={subnet}", tombolo_names::annotations::SUBNET_LABEL),
        ])
    });
}

/// `env-check`: each host's environment.
pub fn environment(kubectl: &Kubectl) -> Result<ExitCode> {
    let nodes = kubectl.json(&["get", "nodes"])?;
    let mut steps = Steps { failed: false };
    for node in nodes["items"].as_array().into_iter().flatten().filter_map(|n| n["metadata"]["name"].as_str())
    {
        steps.step(node, || {
            let got = Way::to(kubectl, node)?.capture(&["sh", "-c", ENVIRONMENT], DEADLINE)?;
            print!("{}", String::from_utf8_lossy(&got.success(&format!("looking at node {node}"))?));
            Ok(ExitCode::SUCCESS)
        });
    }
    Ok(if steps.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_reads_this_machine() {
        let output = std::process::Command::new("sh").args(["-c", ENVIRONMENT]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{output:?}");
        let errors = text.lines().find_map(|line| line.strip_prefix("InCsumErrors = "));
        assert!(errors.is_some_and(|n| n.parse::<u64>().is_ok()), "{text}");
        assert!(text.contains("net/ipv4/ip_forward = "), "{text}");
    }

    #[test]
    fn an_established_kind() {
        let crd = |status: &str| serde_json::json!({ "status": { "conditions": [{ "type": "Established", "status": status }] } });
        assert!(established(&crd("True")) && !established(&crd("False")) && !established(&Value::Null));
    }
}
