//! Each refusal, from the input that triggers it: an OVN that nobody uses, and one thing that somebody does.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::facts::{Facts, Read};
use super::judge::refusals;
use super::objects::{Found, ORDER, Object, of_tombolo};
use super::*;
use crate::rows::rows;
use crate::snapshot::Snapshot;

const CLUSTER: &str = "18d4c654";
const NOW: i64 = 1_795_831_243;

/// Rows by table and uuid, as a dump has them.
fn snapshot(tables: Value) -> Snapshot {
    let rows = |rows: &Value| {
        let rows = rows.as_object().unwrap().iter();
        rows.map(|(uuid, row)| (uuid.clone(), row.as_object().unwrap().clone())).collect()
    };
    let tables = tables.as_object().unwrap().iter().map(|(table, all)| (table.clone(), rows(all))).collect();
    Snapshot { tables, ..Snapshot::default() }
}

fn ids(pairs: Value) -> Value {
    json!(["map", pairs])
}

fn fence(cluster: &str) -> Value {
    let keys =
        json!([["tombolo.io/cluster", cluster], ["tombolo.io/epoch", "7"], ["tombolo.io/owner", "fence"]]);
    json!({ "name": format!("tombolo.epoch.{cluster}"), "addresses": ["set", []], "external_ids": ids(keys) })
}

/// What an NB has that nobody uses: how its servers are reached, and the fence of this cluster.
fn nb() -> Value {
    json!({ "NB_Global": { "g": { "name": "" } }, "Connection": { "c": { "target": "ptcp:6641" } },
        "Address_Set": { "a": fence(CLUSTER) } })
}

fn chassis(name: &str, host: &str, ends: Value) -> Value {
    json!({ "name": name, "hostname": host, "encaps": ["set", ends] })
}

fn sb() -> Value {
    json!({ "Chassis": { "c1": chassis("u1", "host1", json!([])),
            // A host whose name in Open vSwitch isn't the Node's: its tunnels end at the Node's address.
            "c2": chassis("u2", "host2.example", json!([["uuid", "e2"]])) },
        "Encap": { "e2": { "ip": "10.0.0.2" } },
        "Port_Binding": { "p": { "logical_port": "unbound", "chassis": ["set", []] } } })
}

fn node(n: u8) -> Value {
    json!({ "metadata": { "name": format!("host{n}") },
        "status": { "addresses": [{ "type": "InternalIP", "address": format!("10.0.0.{n}") }] } })
}

/// All of the objects, as the chart and the members have made them.
fn objects() -> Vec<Value> {
    let object = |object: &Object| {
        let meta = json!({ "name": object.name, "generation": 2, "labels": { "app.kubernetes.io/part-of": "tombolo" },
            "annotations": { "tombolo.io/issued-by": "ovn-central" } });
        json!({ "kind": object.kind, "metadata": meta })
    };
    let mut all: Vec<Value> = ORDER.iter().map(object).collect();
    all[0]["status"] = json!({ "desiredNumberScheduled": 2, "observedGeneration": 2 });
    all
}

fn found(objects: &[Value]) -> Read<Found> {
    Ok(Found::sort(objects))
}

/// Our own interface, and one without a name in OVN: a tunnel's.
fn interfaces() -> Value {
    json!([
        { "name": "ovn0", "external_ids": ids(json!([["iface-id", "node-host1"], ["vendor", "kube-ovn"]])) },
        { "name": "ovn-u2-0", "external_ids": ids(json!([])) }
    ])
}

fn unused() -> Facts {
    let host = || Ok(rows(interfaces()));
    Facts {
        namespace: "kube-system".to_owned(),
        tombolo: Ok(Vec::new()),
        found: found(&objects()),
        nodes: Ok(vec![node(1), node(2)]),
        cluster: Ok(CLUSTER.to_owned()),
        nb: Ok(snapshot(nb())),
        sb: Ok(snapshot(sb())),
        hosts: Ok(BTreeMap::from([("host1".to_owned(), host()), ("host2".to_owned(), host())])),
        now: NOW,
    }
}

/// The one refusal of an OVN that is used in one way.
fn only(change: impl FnOnce(&mut Facts)) -> String {
    let mut facts = unused();
    change(&mut facts);
    let all = refusals(&facts);
    assert_eq!(all.len(), 1, "{all:#?}");
    assert!(!all[0].fix.is_empty());
    all[0].to_string()
}

fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word}: {text}");
    }
}

fn with_rows(mut base: Value, table: &str, rows: Value) -> Read<Snapshot> {
    base[table] = rows;
    Ok(snapshot(base))
}

#[test]
fn nothing_speaks_against_it_where_only_the_fence_is_left() {
    assert_eq!(refusals(&unused()), []);
    let mut without = unused();
    without.nb = Ok(snapshot(json!({})));
    without.sb = Ok(snapshot(json!({})));
    assert_eq!(refusals(&without), []);
    let found = without.found.unwrap();
    assert_eq!(found.ours.len(), ORDER.len());
    let text = plan(&found, "kube-system");
    let at = |word: &str| text.find(word).unwrap();
    assert!(
        at("daemonset/ovs-ovn") < at("deployment/ovn-central")
            && at("secret/ovn-ca") < at("configmap/ovn-central")
    );
}

#[test]
fn tombolo_comes_first() {
    let text = only(|facts| facts.tombolo = Ok(vec!["deployment/kube-ovn-controller".to_owned()]));
    says(&text, &["Tombolo is installed: deployment/kube-ovn-controller", "helm uninstall"]);
    let object = |kind: &str, name: &str, label: &str| json!({ "kind": kind, "metadata": { "name": name, "labels": { "app.kubernetes.io/part-of": label } } });
    let all = [
        object("Deployment", "ovn-central", "tombolo"),
        object("DaemonSet", "kube-ovn-cni", "other"),
        object("Job", "kube-ovn-uninstall", "tombolo"),
        object("Deployment", "coredns", "dns"),
    ];
    assert_eq!(of_tombolo(&all, &["kube-ovn-cni"]), ["daemonset/kube-ovn-cni", "job/kube-ovn-uninstall"]);
}

// invariant 1
#[test]
fn rows_of_neutron_keep_it() {
    let text = only(|facts| {
        let mut base = nb();
        base["Logical_Router"] = json!({ "r": { "name": "neutron-1", "nat": ["uuid", "n"],
            "external_ids": ids(json!([["neutron:router_name", "router0"]])) } });
        // Neutron doesn't mark it: it is the router's.
        base["NAT"] = json!({ "n": { "external_ip": "192.0.2.1" } });
        let port =
            |n: u8| json!({ "name": format!("p{n}"), "external_ids": ids(json!([["neutron:cidrs", "x"]])) });
        base["Logical_Switch_Port"] =
            json!({ "1": port(1), "2": port(2), "3": port(3), "4": port(4), "5": port(5) });
        facts.nb = Ok(snapshot(base));
    });
    says(
        &text,
        &[
            "nb: Neutron has rows here, known by their keys neutron:*: ",
            "1 Logical_Router (neutron-1 (router0))",
            "1 NAT (n)",
            "5 Logical_Switch_Port (p1, p2, p3, and 2 more)",
            "while OpenStack uses this OVN, it stays",
        ],
    );
}

// invariant 1
#[test]
fn rows_of_anybody_keep_it_whatever_their_table() {
    let row = json!({ "x": { "name": "lb0" } });
    for table in ["Load_Balancer", "Port_Group", "DNS", "Meter", "BFD", "Table_of_a_later_OVN"] {
        let text = only(|facts| facts.nb = with_rows(nb(), table, row.clone()));
        says(&text, &["neither Neutron nor Tombolo has marked", &format!("1 {table} (lb0)")]);
    }
    let of =
        |key: &str, value: &str| json!({ "x": { "name": "sw", "external_ids": ids(json!([[key, value]])) } });
    let text = only(|f| f.nb = with_rows(nb(), "Logical_Switch", of("tombolo.io/cluster", CLUSTER)));
    says(&text, &["rows of this cluster are left: 1 Logical_Switch (sw)", "install the chart again"]);
    let text = only(|f| f.nb = with_rows(nb(), "Logical_Switch", of("tombolo.io/cluster", "other")));
    says(&text, &["another cluster, other, has rows here", "--cluster-id"]);
    let text = only(|f| f.nb = with_rows(nb(), "Logical_Switch", of("vendor", "kube-ovn")));
    says(&text, &["Kube-OVN has rows here"]);
}

#[test]
fn a_fence_is_this_clusters_and_empty_or_it_is_none() {
    let text = only(|f| f.nb = with_rows(nb(), "Address_Set", json!({ "o": fence("other") })));
    says(&text, &["another cluster, other,", "Address_Set (tombolo.epoch.other)"]);
    let mut used = fence(CLUSTER);
    used["addresses"] = json!("10.0.0.1");
    let text = only(|f| f.nb = with_rows(nb(), "Address_Set", json!({ "o": used })));
    says(&text, &["rows of this cluster are left"]);
}

#[test]
fn hosts_that_are_no_nodes_keep_it() {
    let text = only(|facts| {
        let mut base = sb();
        base["Chassis"]["c9"] = chassis("u9", "compute1", json!([]));
        facts.sb = Ok(snapshot(base));
    });
    says(&text, &["sb: hosts that aren't nodes", "compute1 (u9)", "ovn-remote", "chassis-del"]);
}

#[test]
fn bound_ports_keep_it() {
    for column in ["chassis", "additional_chassis"] {
        let port = json!({ "p": { "logical_port": "vm1", column: ["uuid", "c1"] } });
        let text = only(|facts| facts.sb = with_rows(sb(), "Port_Binding", port));
        says(&text, &["sb: ports of VMs, pods or routers are bound", "vm1 on host1"]);
    }
}

#[test]
fn interfaces_of_vms_keep_it() {
    let text = only(|facts| {
        let vm = json!([{ "name": "tap1", "external_ids": ids(json!([["iface-id", "vm1"]])) }]);
        facts.hosts.as_mut().unwrap().insert("host2".to_owned(), Ok(rows(vm)));
    });
    says(&text, &["node/host2: interfaces of VMs or others", "tap1 (iface-id vm1)", "move these VMs"]);
}

/// What makes something unread, with the reason.
type Change = fn(&mut Facts, String);

// invariant 4
#[test]
fn whatever_is_unread_keeps_it() {
    let no = || "no answer".to_owned();
    let changes: [(&str, Change); 8] = [
        ("cluster: it can't be read: what of Tombolo", |f, no| f.tombolo = Err(no)),
        ("cluster: it can't be read: the objects", |f, no| f.found = Err(no)),
        ("nodes: it can't be read", |f, no| f.nodes = Err(no)),
        ("nb: it can't be read", |f, no| f.cluster = Err(no)),
        ("nb: it can't be read", |f, no| f.nb = Err(no)),
        ("sb: it can't be read", |f, no| f.sb = Err(no)),
        ("daemonset/ovs-ovn: it can't be read", |f, no| f.hosts = Err(no)),
        ("node/host1: it can't be read", |f, no| {
            f.hosts.as_mut().unwrap().insert("host1".to_owned(), Err(no));
        }),
    ];
    for (words, change) in changes {
        says(
            &only(|facts| change(facts, no())),
            &[words, "no answer", "nothing is deleted on half an answer"],
        );
    }
    let text = only(|facts| {
        facts.hosts.as_mut().unwrap().remove("host2");
    });
    says(&text, &["it has pods on 1 of 2 nodes", "kubectl delete node"]);
    let text = only(|facts| {
        let mut objects = objects();
        objects[0]["status"]["observedGeneration"] = json!(1);
        facts.found = found(&objects);
    });
    says(&text, &["its status is out of date"]);
}

#[test]
fn what_others_made_by_these_names_stays() {
    let mut objects = objects();
    for object in &mut objects {
        object["metadata"]["annotations"] = json!({});
    }
    let sorted = Found::sort(&objects);
    let others: Vec<String> = sorted.others.iter().map(ToString::to_string).collect();
    assert_eq!(others.len(), 5, "{others:?}");
    assert!(others.contains(&"secret/kube-ovn-tls".to_owned()));
    says(&plan(&sorted, "kube-system"), &["secret/kube-ovn-tls stays"]);
    // Kube-OVN's own.
    objects[1]["metadata"]["labels"] = json!({ "app": "ovn-central" });
    let text = only(|facts| facts.found = found(&objects[1..2]));
    says(&text, &["deployment/ovn-central: it isn't from Tombolo's chart"]);
}

#[test]
fn it_goes_on_after_a_failure_half_way() {
    let unasked = |facts: &mut Facts, objects: &[Value]| {
        facts.found = found(objects);
        facts.nb = Err("it doesn't run".to_owned());
        facts.sb = Err("it doesn't run".to_owned());
        facts.hosts = Ok(BTreeMap::new());
    };
    // ovs-ovn is gone, the databases are there: they are looked at.
    let mut half = unused();
    half.found = found(&objects()[1..]);
    half.hosts = Ok(BTreeMap::new());
    assert_eq!(refusals(&half), []);
    // Its pods aren't: what is on these nodes counts.
    half.hosts = Ok(BTreeMap::from([("host1".to_owned(), Err("its pod of ovs-ovn isn't ready".to_owned()))]));
    says(&refusals(&half)[0].to_string(), &["node/host1: it can't be read: its pod of ovs-ovn isn't ready"]);
    // The databases are gone as well, by this command.
    let mut rest = objects()[2..].to_vec();
    let last = rest.len() - 1;
    rest[last]["metadata"]["annotations"] = json!({ "tombolo.io/uninstalls-ovn": (NOW - 60).to_string() });
    unasked(&mut half, &rest);
    assert_eq!(refusals(&half), []);
    // Or long ago, or by somebody else: what their files hold isn't known.
    for at in [json!((NOW - 4000).to_string()), json!("nonsense"), Value::Null] {
        rest[last]["metadata"]["annotations"] = json!({ "tombolo.io/uninstalls-ovn": at });
        let text = only(|facts| unasked(facts, &rest));
        says(&text, &["deployment/ovn-central: there is no such Deployment", "delete service/ovn-nb"]);
    }
    // Nothing is left.
    unasked(&mut half, &[]);
    half.tombolo = Ok(vec!["deployment/kube-ovn-controller".to_owned()]);
    assert_eq!(refusals(&half), []);
    says(
        &plan(&Found::default(), "kube-system"),
        &["nothing of ovn-central and ovs-ovn is in namespace kube-system"],
    );
}

/// The chart's objects that Helm keeps, beside the kinds, are those that this command knows.
#[test]
fn all_that_helm_keeps_goes() {
    let manifests = include_str!("../../../../charts/cases/central-tls/manifests.yaml");
    let line = |text: &str, key: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(key));
        found.unwrap_or_default().trim_matches('"').to_owned()
    };
    let kept = manifests.split("\n---\n").filter(|text| text.contains("helm.sh/resource-policy: keep"));
    let mut kept: Vec<String> = kept
        .map(|text| format!("{}/{}", line(text, "kind: ").to_lowercase(), line(text, "  name: ")))
        .filter(|name| !name.starts_with("customresourcedefinition/"))
        .collect();
    let mut known: Vec<String> = ORDER.map(|object| object.to_string()).to_vec();
    known.retain(|name| !name.starts_with("secret/") && !name.starts_with("configmap/"));
    kept.sort();
    known.sort();
    assert_eq!(kept, known);
}

#[test]
fn what_is_left_on_hosts_is_named_as_it_was_mounted() {
    let mut objects = objects();
    objects[1]["spec"] = json!({ "template": { "spec": { "volumes": [{ "name": "etc-ovn", "hostPath": { "path": "/srv/ovn" } }] } } });
    let text = rest(&Found::sort(&objects));
    says(
        &text,
        &["/srv/ovn: the databases' files", "/etc/origin/openvswitch", "rm -r /srv/ovn", "ovs-dpctl del-dp"],
    );
}
