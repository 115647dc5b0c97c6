//! `ko log`: logs and state of all nodes into `./kubectl-ko-log/<node>/<group>/`, as Kube-OVN's plugin lays them out. What can't be
//! had is listed at the end; the rest is kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tombolo_names::workloads::{AGENT, CENTRAL, CONTROLLER, HYPERVISOR};

use crate::kubectl::Kubectl;
use crate::node::Way;
use crate::process::capture;

/// Where everything goes.
const FOLDER: &str = "kubectl-ko-log";
/// For one file.
const DEADLINE: Duration = Duration::from_secs(60);
/// Of a log's end, so much is taken.
const BYTES: &str = "20000000";

/// What is collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Group {
    /// Controllers', agents' and databases' pods
    KubeOvn,
    /// OVN's logs on the hosts
    Ovn,
    /// Open vSwitch's logs on the hosts
    Ovs,
    /// What the hosts' kernels say
    Linux,
    /// All of it
    All,
}

/// What is run on a host, and the file that it goes into.
const LINUX: &[(&str, &str)] = &[
    ("dmesg", "dmesg -T"),
    ("iptables-legacy", "iptables-legacy-save; ip6tables-legacy-save"),
    ("iptables-nft", "iptables-nft-save; ip6tables-nft-save"),
    ("nft", "nft list ruleset"),
    ("route", "ip route show table all; ip -6 route show table all; ip rule; ip -6 rule"),
    ("link", "ip -d -s link"),
    ("neigh", "ip neigh; ip -6 neigh"),
    ("addr", "ip addr"),
    ("memory", "cat /proc/meminfo"),
    ("top", "top -b -n 1"),
    ("sysctl", "sysctl -a"),
    ("netstat", "cat /proc/net/netstat /proc/net/snmp"),
    ("ipset", "ipset list"),
    ("tcp", "ss -tanpi"),
    ("xfrm", "ip xfrm state count; ip xfrm policy"),
];

/// A node's collection.
struct Collector<'a> {
    kubectl: &'a Kubectl,
    missed: Vec<String>,
}

/// Collects.
pub fn command(kubectl: &Kubectl, group: Group) -> Result<ExitCode> {
    let nodes = kubectl.json(&["get", "nodes"])?;
    let names = nodes["items"].as_array().into_iter().flatten();
    let names: Vec<&str> = names.filter_map(|node| node["metadata"]["name"].as_str()).collect();
    let mut collector = Collector { kubectl, missed: Vec::new() };
    let has = |wanted: Group| group == wanted || group == Group::All;
    for node in names {
        let folder = Path::new(FOLDER).join(node);
        if has(Group::KubeOvn) {
            collector.pods(node, &folder.join("kube-ovn"))?;
        }
        if [Group::Ovn, Group::Ovs, Group::Linux].into_iter().any(has) {
            match Way::to(kubectl, node) {
                Ok(way) => collector.host(&way, node, &folder, has)?,
                Err(error) => collector.missed.push(format!("{node}: {error:#}")),
            }
        }
        println!("collected {}", folder.display());
    }
    for line in &collector.missed {
        eprintln!("not collected: {line}");
    }
    Ok(if collector.missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Collector<'_> {
    fn pods(&mut self, node: &str, folder: &Path) -> Result<()> {
        let selector = format!("app in ({CONTROLLER},{AGENT},{CENTRAL},{HYPERVISOR})");
        let on = format!("spec.nodeName={node}");
        let namespace = self.kubectl.namespace();
        let list = ["get", "pods", "-n", namespace, "-l", &selector, "--field-selector", &on];
        let pods = self.kubectl.json(&list)?;
        for (pod, container) in pods["items"].as_array().into_iter().flatten().flat_map(containers) {
            for (suffix, previous) in [("", "--previous=false"), (".previous", "--previous=true")] {
                let words = ["logs", "-n", namespace, "-c", &container, "--timestamps", previous, &pod];
                let got =
                    capture(&mut self.kubectl.command(&words), b"", DEADLINE, &self.kubectl.cannot_start())?;
                if got.status.success() {
                    write(folder.join(format!("{pod}.{container}{suffix}.log")), &got.stdout)?;
                } else if suffix.is_empty() {
                    self.missed.push(format!("{node}: logs of {pod}: {}", got.stderr.trim()));
                }
            }
        }
        Ok(())
    }

    fn host(&mut self, way: &Way<'_>, node: &str, folder: &Path, has: impl Fn(Group) -> bool) -> Result<()> {
        for (group, name) in [(Group::Ovn, "ovn"), (Group::Ovs, "openvswitch")] {
            if has(group) {
                self.files(way, node, &format!("/var/log/{name}"), &folder.join(name))?;
            }
        }
        if has(Group::Linux) {
            for (name, script) in LINUX {
                let text = self.run(way, node, &["sh", "-c", &format!("exec 2>&1; {script}; true")]);
                write(folder.join("linux").join(format!("{name}.log")), &text)?;
            }
        }
        Ok(())
    }

    fn files(&mut self, way: &Way<'_>, node: &str, from: &str, folder: &Path) -> Result<()> {
        let list = self.run(way, node, &["sh", "-c", r#"cd "$1" && ls -1"#, "ko", from]);
        let list = String::from_utf8_lossy(&list).into_owned();
        for name in list.lines().filter(|name| name.ends_with(".log")) {
            let text = self.run(way, node, &["tail", "-c", BYTES, &format!("{from}/{name}")]);
            write(folder.join(name), &text)?;
        }
        Ok(())
    }

    fn run(&mut self, way: &Way<'_>, node: &str, words: &[&str]) -> Vec<u8> {
        let got = way.capture(words, DEADLINE).and_then(|got| got.success(&words.join(" ")));
        got.unwrap_or_else(|error| {
            self.missed.push(format!("{node}: {error:#}"));
            Vec::new()
        })
    }
}

/// Pod and container, of each container.
fn containers(pod: &Value) -> Vec<(String, String)> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let lists = ["initContainers", "containers"].into_iter().filter_map(|key| pod["spec"][key].as_array());
    let names = lists.flatten().filter_map(|container| container["name"].as_str());
    names.map(|container| (name.to_owned(), container.to_owned())).collect()
}

fn write(path: PathBuf, bytes: &[u8]) -> Result<()> {
    let what = || format!("writing {}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(what)?;
    }
    fs::write(&path, bytes).with_context(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_containers_of_a_pod() {
        let pod = serde_json::json!({ "metadata": { "name": "p" }, "spec": {
            "initContainers": [{ "name": "install-cni" }], "containers": [{ "name": "cni-server" }] } });
        let pair = |container: &str| ("p".to_owned(), container.to_owned());
        assert_eq!(containers(&pod), [pair("install-cni"), pair("cni-server")]);
    }
}
