//! `ko ipam check`: IP objects, pods' annotations and switch ports against each other.
//!
//! Decides what counts as a difference; changes nothing. A pod that starts or ends while the three lists are
//! read can look like a difference: what is found is read a second time, and only what is still there is said.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::database::{self, Database};
use crate::kubectl::Kubectl;

const ALLOCATED: &str = "ovn.kubernetes.io/allocated";
const IP_ADDRESS: &str = "ovn.kubernetes.io/ip_address";
const MAC_ADDRESS: &str = "ovn.kubernetes.io/mac_address";
const OWNER: &str = "tombolo.io/owner";
const CLUSTER: &str = "tombolo.io/cluster";

/// What was compared, and what differs.
#[derive(Clone, Debug)]
pub struct Report {
    /// One line for each difference.
    pub differences: BTreeSet<String>,
    /// IP objects.
    pub ips: usize,
    /// Pods with an interface of ours.
    pub pods: usize,
    /// Switch ports of pods and nodes.
    pub ports: usize,
}

/// Compares.
pub fn report(kubectl: &Kubectl) -> Result<Report> {
    let (mut found, mut counts) = compare(&State::read(kubectl)?);
    if !found.is_empty() {
        let (again, now) = compare(&State::read(kubectl)?);
        found = found.intersection(&again).cloned().collect();
        counts = now;
    }
    let [ips, pods, ports] = counts;
    Ok(Report { differences: found, ips, pods, ports })
}

/// Compares, prints each difference, and says with the exit code whether there is one.
pub fn check(kubectl: &Kubectl) -> Result<ExitCode> {
    let Report { differences: found, ips, pods, ports } = report(kubectl)?;
    for line in &found {
        println!("{line}");
    }
    if found.is_empty() {
        println!("{ips} IP objects, {pods} pods, {ports} switch ports: no difference");
        return Ok(ExitCode::SUCCESS);
    }
    println!("{ips} IP objects, {pods} pods, {ports} switch ports: {} differences", found.len());
    Ok(ExitCode::FAILURE)
}

/// What is compared.
struct State {
    ips: Value,
    pods: Value,
    nodes: Value,
    ports: Value,
    cluster: String,
}

impl State {
    fn read(kubectl: &Kubectl) -> Result<Self> {
        let namespace = kubectl.json(&["get", "namespace", "kube-system"])?;
        let columns = "--columns=name,type,addresses,external_ids";
        let ports = database::query(
            kubectl,
            Database::Nb,
            &["--format=json", "--data=json", columns, "list", "Logical_Switch_Port"],
        )?;
        Ok(Self {
            ips: kubectl.json(&["get", "ips.kubeovn.io"])?,
            pods: kubectl.json(&["get", "pods", "--all-namespaces"])?,
            nodes: kubectl.json(&["get", "nodes"])?,
            ports: serde_json::from_slice(&ports).context("reading what ovn-nbctl printed")?,
            cluster: namespace["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
        })
    }
}

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    path.iter().fold(value, |v, key| &v[*key]).as_str().unwrap_or_default()
}

/// A set of addresses with the MAC first, in lower case: `{"00:…", "10.16.0.2"}`.
fn addresses(mac: &str, ips: &str) -> BTreeSet<String> {
    std::iter::once(mac)
        .chain(ips.split(','))
        .map(|s| s.trim().to_ascii_lowercase())
        .filter(|s| !s.is_empty())
        .collect()
}

struct Port {
    router: bool,
    addresses: BTreeSet<String>,
    ids: BTreeMap<String, String>,
}

/// The rows of `ovn-nbctl --format=json list`.
fn ports(table: &Value) -> BTreeMap<String, Port> {
    let rows = table["data"].as_array().map_or(&[][..], Vec::as_slice);
    let strings = |v: &Value| -> Vec<String> {
        // A set of one is written as its element.
        match v[1].as_array() {
            Some(all) => all.iter().filter_map(|s| s.as_str().map(str::to_owned)).collect(),
            None => v.as_str().map(str::to_owned).into_iter().collect(),
        }
    };
    let map = |v: &Value| -> BTreeMap<String, String> {
        let pairs = v[1].as_array().map_or(&[][..], Vec::as_slice);
        pairs.iter().filter_map(|p| Some((p[0].as_str()?.to_owned(), p[1].as_str()?.to_owned()))).collect()
    };
    rows.iter()
        .filter_map(|row| {
            let first = strings(&row[2]).into_iter().next().unwrap_or_default();
            let port = Port {
                router: !row[1].as_str().unwrap_or_default().is_empty(),
                addresses: first.split_whitespace().map(str::to_ascii_lowercase).collect(),
                ids: map(&row[3]),
            };
            Some((row[0].as_str()?.to_owned(), port))
        })
        .collect()
}

fn compare(state: &State) -> (BTreeSet<String>, [usize; 3]) {
    let mut found = BTreeSet::new();
    let ports = ports(&state.ports);
    let nodes: BTreeSet<&str> = items(&state.nodes).iter().map(|n| text(n, &["metadata", "name"])).collect();
    let mut pods = BTreeMap::new();
    for pod in items(&state.pods) {
        let finished = matches!(text(pod, &["status", "phase"]), "Succeeded" | "Failed");
        if pod["spec"]["hostNetwork"] == true || finished {
            continue;
        }
        let name = format!("{}.{}", text(pod, &["metadata", "name"]), text(pod, &["metadata", "namespace"]));
        pods.insert(name, pod);
    }
    let mut ips = BTreeMap::new();
    let mut taken: BTreeMap<(String, String), String> = BTreeMap::new();
    for ip in items(&state.ips) {
        let name = text(ip, &["metadata", "name"]);
        let subnet = text(ip, &["spec", "subnet"]);
        for address in text(ip, &["spec", "ipAddress"]).split(',').map(str::trim).filter(|a| !a.is_empty()) {
            let key = (subnet.to_owned(), address.to_ascii_lowercase());
            if let Some(other) = taken.insert(key, name.to_owned()) {
                found.insert(format!("ip/{name}: {address} in subnet {subnet} is also given to ip/{other}"));
            }
        }
        ips.insert(name.to_owned(), ip);
    }

    for (name, ip) in &ips {
        let namespace = text(ip, &["spec", "namespace"]);
        let pod = text(ip, &["spec", "podName"]);
        let outlives = matches!(text(ip, &["spec", "podType"]), "StatefulSet" | "VirtualMachine");
        let here = if namespace.is_empty() { nodes.contains(pod) } else { pods.contains_key(name) };
        if !here && !outlives {
            let owner =
                if namespace.is_empty() { format!("node {pod}") } else { format!("pod {namespace}/{pod}") };
            found.insert(format!("ip/{name}: there is no {owner}"));
        }
        if !here {
            continue;
        }
        let want = addresses(text(ip, &["spec", "macAddress"]), text(ip, &["spec", "ipAddress"]));
        match ports.get(name) {
            None => {
                found.insert(format!("ip/{name}: no switch port of that name in the NB"));
            }
            Some(port) if !want.is_subset(&port.addresses) => {
                found.insert(format!(
                    "ip/{name}: the switch port has {}, the IP object {}",
                    show(&port.addresses),
                    show(&want)
                ));
            }
            Some(_) => {}
        }
    }

    for (name, pod) in &pods {
        let annotations = &pod["metadata"]["annotations"];
        if annotations[ALLOCATED] != "true" {
            continue;
        }
        let has = addresses(text(annotations, &[MAC_ADDRESS]), text(annotations, &[IP_ADDRESS]));
        match ips.get(name) {
            None => {
                found.insert(format!("pod/{name}: annotated with {}, but there is no IP object", show(&has)));
            }
            Some(ip) => {
                let want = addresses(text(ip, &["spec", "macAddress"]), text(ip, &["spec", "ipAddress"]));
                if has != want {
                    found.insert(format!(
                        "pod/{name}: annotated with {}, the IP object has {}",
                        show(&has),
                        show(&want)
                    ));
                }
            }
        }
    }

    let mut ours = 0;
    for (name, port) in &ports {
        let owner = port.ids.get(OWNER).map_or("", String::as_str);
        let is_ours = port.ids.get(CLUSTER) == Some(&state.cluster)
            && (owner.starts_with("pod/") || owner.starts_with("node/"));
        if !is_ours || port.router {
            continue;
        }
        ours += 1;
        if !ips.contains_key(name) {
            found.insert(format!("port/{name}: belongs to {owner}, but there is no IP object"));
        }
    }
    (found, [ips.len(), pods.len(), ours])
}

fn show(addresses: &BTreeSet<String>) -> String {
    if addresses.is_empty() {
        return "nothing".to_owned();
    }
    addresses.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ip(name: &str, pod: &str, namespace: &str, address: &str) -> Value {
        json!({ "metadata": { "name": name }, "spec": { "podName": pod, "namespace": namespace,
            "subnet": "net2", "ipAddress": address, "macAddress": "00:00:00:AA:BB:CC" } })
    }

    fn pod(name: &str, address: &str) -> Value {
        json!({ "metadata": { "name": name, "namespace": "net2", "annotations": {
            ALLOCATED: "true", IP_ADDRESS: address, MAC_ADDRESS: "00:00:00:aa:bb:cc" } } })
    }

    fn row(name: &str, addresses: &str, owner: &str) -> Value {
        json!([name, "", addresses, ["map", [[OWNER, owner], [CLUSTER, "c"]]]])
    }

    fn state(ips: Vec<Value>, pods: Vec<Value>, rows: Vec<Value>) -> State {
        State {
            ips: json!({ "items": ips }),
            pods: json!({ "items": pods }),
            nodes: json!({ "items": [{ "metadata": { "name": "host1" } }] }),
            ports: json!({ "headings": [], "data": rows }),
            cluster: "c".into(),
        }
    }

    #[test]
    fn agreement() {
        let state = state(
            vec![ip("u.net2", "u", "net2", "12.0.1.2"), ip("node-host1", "host1", "", "100.64.0.2")],
            vec![
                pod("u", "12.0.1.2"),
                json!({ "metadata": { "name": "h" }, "spec": { "hostNetwork": true } }),
            ],
            vec![
                row("u.net2", "00:00:00:AA:BB:CC 12.0.1.2", "pod/net2/u"),
                row("node-host1", "00:00:00:AA:BB:CC 100.64.0.2", "node/host1"),
                json!([
                    "neutron-port",
                    "",
                    "fa:16:3e:00:00:01 192.168.1.61",
                    ["map", [["neutron:port_name", "x"]]]
                ]),
                json!(["net2-router", "router", "router", ["map", [[OWNER, "subnet/net2"], [CLUSTER, "c"]]]]),
            ],
        );
        let (found, counts) = compare(&state);
        assert!(found.is_empty(), "{found:?}");
        assert_eq!(counts, [2, 1, 2]);
    }

    #[test]
    fn every_difference_is_one_line() {
        let state = state(
            vec![
                ip("u.net2", "u", "net2", "12.0.1.2"),
                ip("twin.net2", "twin", "net2", "12.0.1.2"),
                ip("gone.net2", "gone", "net2", "12.0.1.9"),
                ip("node-old", "old", "", "100.64.0.9"),
            ],
            vec![pod("u", "12.0.1.3"), pod("twin", "12.0.1.2"), pod("none", "12.0.1.4")],
            vec![
                row("u.net2", "00:00:00:AA:BB:CC 12.0.1.7", "pod/net2/u"),
                row("left.net2", "00:00:00:AA:BB:CC 12.0.1.8", "pod/net2/left"),
            ],
        );
        let (found, _) = compare(&state);
        let want = [
            "ip/gone.net2: there is no pod net2/gone",
            "ip/node-old: there is no node old",
            "ip/twin.net2: 12.0.1.2 in subnet net2 is also given to ip/u.net2",
            "ip/twin.net2: no switch port of that name in the NB",
            "ip/u.net2: the switch port has 00:00:00:aa:bb:cc 12.0.1.7, the IP object 00:00:00:aa:bb:cc 12.0.1.2",
            "pod/none.net2: annotated with 00:00:00:aa:bb:cc 12.0.1.4, but there is no IP object",
            "pod/u.net2: annotated with 00:00:00:aa:bb:cc 12.0.1.3, the IP object has 00:00:00:aa:bb:cc 12.0.1.2",
            "port/left.net2: belongs to pod/net2/left, but there is no IP object",
        ];
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        assert_eq!(found, want);
    }

    #[test]
    fn rows_of_other_clusters_are_not_ours() {
        let foreign = json!([
            "x.net2",
            "",
            "00:00:00:AA:BB:CC 1.1.1.1",
            ["map", [[OWNER, "pod/net2/x"], [CLUSTER, "d"]]]
        ]);
        assert!(compare(&state(vec![], vec![], vec![foreign])).0.is_empty());
    }
}
