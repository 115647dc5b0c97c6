//! What speaks against it. Pure. Each refusal says what is there, where, and what can be done; whatever couldn't be read is one, too
//! (invariant 4).

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};
use tombolo_names::annotations::CHASSIS;
use tombolo_names::rows::{CLUSTER, EPOCH, VENDOR, VENDOR_KEY};
use tombolo_names::workloads::{CENTRAL, HYPERVISOR};

use super::facts::Facts;
use super::objects::Found;
use crate::owners::{Owners, Side, id, name, text, uuids};
use crate::snapshot::Snapshot;

/// So many are named one by one.
const NAMED: usize = 3;
/// Tables of the NB that say how its servers are reached, not what the network is.
const SERVERS: [&str; 3] = ["NB_Global", "Connection", "SSL"];
/// What is done where something can't be read.
const AGAIN: &str =
    "nothing is deleted on half an answer: make it readable from here, then repeat the command";

/// What is done where Open vSwitch on a node can't be read.
const STARTED: &str = "start what doesn't run, or take a node that is gone out of the cluster (kubectl delete node NAME), then repeat the \
                       command: nothing is deleted on half an answer";

/// A reason not to delete anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Where: `nb`, `sb`, `node/host1`, `deployment/ovn-central`.
    pub place: String,
    /// What is there.
    pub sentence: String,
    /// What the user can do.
    pub fix: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, sentence, fix } = self;
        write!(f, "refused  {place}: {sentence}\n         -> {fix}")
    }
}

fn no(place: impl Into<String>, sentence: String, fix: impl Into<String>) -> Refusal {
    Refusal { place: place.into(), sentence, fix: fix.into() }
}

fn unread(place: &str, why: &str) -> Refusal {
    no(place, format!("it can't be read: {why}"), AGAIN)
}

/// All reasons against it; none is leave to delete.
pub fn refusals(facts: &Facts) -> Vec<Refusal> {
    // Where nothing would be deleted, nothing speaks against it.
    if facts.found.as_ref().is_ok_and(|found| found.ours.is_empty() && foreign(found).next().is_none()) {
        return Vec::new();
    }
    let mut all: Vec<Refusal> = tombolo(facts).into_iter().collect();
    let found = match &facts.found {
        Ok(found) => found,
        Err(why) => {
            all.push(unread("cluster", &format!("the objects of {CENTRAL} and {HYPERVISOR}: {why}")));
            return all;
        }
    };
    all.extend(foreign(found));
    all.extend(databases(facts, found));
    all.extend(hosts(facts, found));
    all
}

/// Workloads by these names that aren't this installation's.
fn foreign(found: &Found) -> impl Iterator<Item = Refusal> {
    let workloads = found.others.iter().filter(|object| object.pods().is_some());
    workloads.map(|object| {
        let sentence = "it isn't from Tombolo's chart (it lacks the label app.kubernetes.io/part-of=tombolo)";
        let fix = "it is another installation's, which Tombolo doesn't remove: use that one's own way";
        no(object.to_string(), sentence.to_owned(), fix)
    })
}

/// Tombolo itself is there.
fn tombolo(facts: &Facts) -> Option<Refusal> {
    let (place, fix) = ("cluster", "helm uninstall tombolo comes first (docs/operate/install.md, Uninstall)");
    match &facts.tombolo {
        Err(why) => Some(unread(place, &format!("what of Tombolo is installed: {why}"))),
        Ok(left) if left.is_empty() => None,
        Ok(left) => Some(no(place, format!("Tombolo is installed: {}", some(left)), fix)),
    }
}

/// What the databases hold.
pub fn databases(facts: &Facts, found: &Found) -> Vec<Refusal> {
    if found.workload(CENTRAL).is_none() {
        // Nothing of it runs, so nobody's network depends on the rest.
        if found.ours.is_empty() || found.has_begun(facts.now) {
            return Vec::new();
        }
        let words: Vec<String> = found.ours.iter().map(|(object, _)| object.word()).collect();
        let fix = format!(
            "install the chart with ovn.mode=central again, which starts the databases on the hosts' files, or, if nobody needs those, \
             delete the rest yourself: kubectl -n {} delete {}",
            facts.namespace,
            words.join(" ")
        );
        let sentence =
            "there is no such Deployment, so that nobody can see whose network the databases' files hold"
                .to_owned();
        return vec![no(format!("deployment/{CENTRAL}"), sentence, fix)];
    }
    northbound(facts).into_iter().chain(southbound(facts)).collect()
}

/// Whose a row is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    Neutron,
    /// This cluster.
    Tombolo,
    /// Another cluster, by its id; without one, Kube-OVN's.
    Another(Option<String>),
    Unmarked,
}

impl Holder {
    fn sentence(&self, rows: &str) -> String {
        match self {
            Self::Neutron => format!("Neutron has rows here, known by their keys neutron:*: {rows}"),
            Self::Tombolo => format!("rows of this cluster are left: {rows}"),
            Self::Another(Some(id)) => format!("another cluster, {id}, has rows here: {rows}"),
            Self::Another(None) => format!("Kube-OVN has rows here: {rows}"),
            Self::Unmarked => format!("there are rows that neither Neutron nor Tombolo has marked: {rows}"),
        }
    }

    fn fix(&self) -> &'static str {
        match self {
            Self::Neutron => {
                "while OpenStack uses this OVN, it stays. Once Neutron is moved to another OVN, or gone, delete what is left of it with \
                 kubectl ko nbctl (neutron_pg_drop: pg-del), and repeat the command"
            }
            Self::Tombolo => {
                "they go by Tombolo's own uninstallation: install the chart again, then uninstall it as docs/operate/install.md says"
            }
            Self::Another(Some(_)) => {
                "uninstall that cluster first; its fence, an empty Address_Set tombolo.epoch.*, is left to kubectl ko nbctl destroy \
                 Address_Set. If this is that cluster (the chart's clusterId), name it by --cluster-id"
            }
            Self::Another(None) => "uninstall it first, by its own means",
            Self::Unmarked => {
                "find out whose they are (kubectl ko nbctl list TABLE); once nobody needs them, delete them"
            }
        }
    }
}

fn northbound(facts: &Facts) -> Vec<Refusal> {
    let (nb, cluster) = match (&facts.nb, &facts.cluster) {
        (Ok(nb), Ok(cluster)) => (nb, cluster),
        (Err(why), _) | (_, Err(why)) => return vec![unread("nb", why)],
    };
    let owners = Owners::of(nb);
    let mut by: BTreeMap<Holder, BTreeMap<&str, Vec<String>>> = BTreeMap::new();
    for (table, uuid, row) in nb.all() {
        if SERVERS.contains(&table) || is_fence(table, row, cluster) {
            continue;
        }
        let holder = match (id(row, CLUSTER), owners.side(table, uuid)) {
            (Some(id), _) if id == cluster => Holder::Tombolo,
            (Some(id), _) => Holder::Another(Some(id.to_owned())),
            (None, Side::Neutron) => Holder::Neutron,
            (None, Side::Kubernetes) => Holder::Another(None),
            (None, Side::Other) => Holder::Unmarked,
        };
        by.entry(holder).or_default().entry(table).or_default().push(name(row, uuid));
    }
    let refusal = |(holder, tables): (Holder, BTreeMap<&str, Vec<String>>)| {
        let table =
            |(table, names): (&str, Vec<String>)| format!("{} {table} ({})", names.len(), some(&names));
        let rows: Vec<String> = tables.into_iter().map(table).collect();
        no("nb", holder.sentence(&rows.join(", ")), holder.fix())
    };
    by.into_iter().map(refusal).collect()
}

/// The fence of this cluster's writes, which is meant to stay.
fn is_fence(table: &str, row: &Map<String, Value>, cluster: &str) -> bool {
    table == "Address_Set"
        && id(row, CLUSTER) == Some(cluster)
        && id(row, EPOCH).is_some()
        && row.get("addresses").is_none_or(|addresses| *addresses == serde_json::json!(["set", []]))
}

fn southbound(facts: &Facts) -> Vec<Refusal> {
    let (sb, nodes) = match (&facts.sb, &facts.nodes) {
        (Ok(sb), Ok(nodes)) => (sb, nodes),
        (Err(why), _) => return vec![unread("sb", why)],
        (_, Err(why)) => return vec![unread("nodes", why)],
    };
    let none = BTreeMap::new();
    let chassis = sb.tables.get("Chassis").unwrap_or(&none);
    let called = |row: &Map<String, Value>| match text(row, "hostname") {
        "" => text(row, "name").to_owned(),
        host => format!("{host} ({})", text(row, "name")),
    };
    let strangers = chassis.values().filter(|row| !nodes.iter().any(|node| is_of(row, node, sb)));
    let strangers: Vec<String> = strangers.map(called).collect();
    let mut all = Vec::new();
    if !strangers.is_empty() {
        let sentence =
            format!("hosts that aren't nodes of this cluster are chassis here: {}", some(&strangers));
        let fix = "point their ovn-controllers to another OVN (ovs-vsctl set open . external-ids:ovn-remote=…); the row of a host that is \
                   gone: kubectl ko sbctl chassis-del NAME";
        all.push(no("sb", sentence, fix));
    }
    let bound = |row: &Map<String, Value>| {
        let on = ["chassis", "additional_chassis"].into_iter().filter_map(|column| row.get(column));
        let on = on.flat_map(uuids).next()?;
        let host = chassis.get(on).map_or_else(|| on.to_owned(), |row| text(row, "hostname").to_owned());
        Some(format!("{} on {host}", text(row, "logical_port")))
    };
    let bindings = sb.tables.get("Port_Binding").unwrap_or(&none);
    let bindings: Vec<String> = bindings.values().filter_map(bound).collect();
    if !bindings.is_empty() {
        let sentence = format!("ports of VMs, pods or routers are bound to hosts: {}", some(&bindings));
        let fix = "delete these VMs and routers in OpenStack, or move them to another OVN; what northd hasn't taken away yet goes in a moment";
        all.push(no("sb", sentence, fix));
    }
    all
}

/// Whether a chassis is a node's: by the name of either, by what its agent has written, or by a tunnel's end at the node's address.
fn is_of(chassis: &Map<String, Value>, node: &Value, sb: &Snapshot) -> bool {
    let meta = &node["metadata"];
    let names = [&meta["name"], &meta["labels"]["kubernetes.io/hostname"]];
    let host = text(chassis, "hostname");
    if names.iter().any(|name| name.as_str() == Some(host))
        || meta["annotations"][CHASSIS] == text(chassis, "name")
    {
        return true;
    }
    let ends = chassis.get("encaps").map(uuids).unwrap_or_default();
    let mut ends = ends.into_iter().filter_map(|uuid| sb.row("Encap", uuid)).map(|encap| text(encap, "ip"));
    let addresses: Vec<&str> = node["status"]["addresses"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|address| address["address"].as_str())
        .collect();
    ends.any(|ip| addresses.contains(&ip))
}

/// What hangs on the nodes' Open vSwitch.
fn hosts(facts: &Facts, found: &Found) -> Vec<Refusal> {
    let workload = found.workload(HYPERVISOR);
    if workload.is_none() && found.workload(CENTRAL).is_none() {
        return Vec::new();
    }
    let place = format!("daemonset/{HYPERVISOR}");
    let hosts = match &facts.hosts {
        Ok(hosts) => hosts,
        Err(why) => return vec![unread(&place, why)],
    };
    let mut all: Vec<Refusal> =
        workload.and_then(|workload| elsewhere(workload, hosts.len())).into_iter().collect();
    for (node, interfaces) in hosts {
        let node = format!("node/{node}");
        let interfaces = match interfaces {
            Ok(interfaces) => interfaces,
            Err(why) => {
                all.push(no(node, format!("it can't be read: {why}"), STARTED));
                continue;
            }
        };
        let foreign = interfaces.iter().filter(|row| row.key("external_ids", VENDOR_KEY) != Some(VENDOR));
        let called = |row: &crate::rows::Row| {
            Some(format!("{} (iface-id {})", row.text("name"), row.key("external_ids", "iface-id")?))
        };
        let foreign: Vec<String> = foreign.filter_map(called).collect();
        if !foreign.is_empty() {
            let sentence = format!("interfaces of VMs or others are on its br-int: {}", some(&foreign));
            let fix = "move these VMs to another host (in OpenStack), or stop whoever made the interfaces and delete them there by ovs-vsctl \
                       del-port";
            all.push(no(node, sentence, fix));
        }
    }
    all
}

/// Open vSwitch runs, or is to run, on nodes that weren't seen.
fn elsewhere(workload: &Value, seen: usize) -> Option<Refusal> {
    let place = format!("daemonset/{HYPERVISOR}");
    let status = &workload["status"];
    let current = status["observedGeneration"].is_u64()
        && status["observedGeneration"] == workload["metadata"]["generation"];
    if !current {
        let sentence = "on how many nodes it runs isn't known: its status is out of date".to_owned();
        return Some(no(place, sentence, "wait a moment, then repeat the command"));
    }
    let wanted = status["desiredNumberScheduled"].as_u64().unwrap_or_default();
    let sentence =
        format!("it has pods on {seen} of {wanted} nodes, so that interfaces on the others can't be seen");
    ((seen as u64) < wanted).then(|| no(place, sentence, STARTED))
}

/// The first ones, and how many more.
fn some(names: &[String]) -> String {
    let named = &names[..names.len().min(NAMED)];
    match names.len() - named.len() {
        0 => named.join(", "),
        more => format!("{}, and {more} more", named.join(", ")),
    }
}
