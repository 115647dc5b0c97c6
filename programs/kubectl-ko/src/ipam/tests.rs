//! Each kind of difference, from the programs' output.

use serde_json::{Value, json};

use super::super::facts::{Facts, Lists};
use super::*;

/// A MAC for each name, the same each time.
fn mac(name: &str) -> String {
    let n = name.bytes().fold(7u16, |n, b| n.wrapping_mul(31).wrapping_add(u16::from(b)));
    format!("00:00:00:AA:{:02X}:{:02X}", n >> 8, n & 0xff)
}

fn low(name: &str) -> String {
    mac(name).to_lowercase()
}

fn ip(name: &str, pod: &str, namespace: &str, subnet: &str, address: &str) -> Value {
    json!({ "metadata": { "name": name }, "spec": { "podName": pod, "namespace": namespace,
        "subnet": subnet, "ipAddress": address, "macAddress": mac(name) } })
}

fn pod_ip(pod: &str, address: &str) -> Value {
    ip(&format!("{pod}.net2"), pod, "net2", "net2", address)
}

fn plain_pod(pod: &str) -> Value {
    json!({ "metadata": { "name": pod, "namespace": "net2" } })
}

fn pod_object(pod: &str, address: &str) -> Value {
    json!({ "metadata": { "name": pod, "namespace": "net2", "annotations": {
        "ovn.kubernetes.io/allocated": "true", "ovn.kubernetes.io/ip_address": address,
        "ovn.kubernetes.io/mac_address": low(&format!("{pod}.net2")) } } })
}

/// A row of Logical_Switch_Port, on the switch whose name is the last part.
fn row(name: &str, addresses: &str, owner: &str, cluster: &str) -> Value {
    json!([
        ["uuid", name],
        name,
        "",
        addresses,
        ["map", [["tombolo.io/owner", owner], ["tombolo.io/cluster", cluster]]]
    ])
}

fn pod_row(pod: &str, address: &str) -> Value {
    let name = format!("{pod}.net2");
    row(&name, &format!("{} {address}", mac(&name)), &format!("pod/net2/{pod}"), "c")
}

/// Subnet net2 is established as 12.0.1.0/24, join as 100.64.0.0/16; all pods' ports are on net2.
fn found(ips: Vec<Value>, pods: Vec<Value>, rows: Vec<Value>) -> Report {
    let on = |join: bool| -> Vec<Value> {
        let of = |row: &&Value| row[1].as_str().unwrap().starts_with("node-") == join;
        rows.iter().filter(of).map(|row| row[0].clone()).collect()
    };
    let router_port = |network: &str, subnet: &str| {
        json!([
            network,
            ["map", [["tombolo.io/owner", format!("subnet/{subnet}")], ["tombolo.io/cluster", "c"]]]
        ])
    };
    let switches = json!([["net2", ["set", on(false)]], ["join", ["set", on(true)]]]);
    compare(&Facts::read(&Lists {
        ips: json!({ "items": ips }),
        pods: json!({ "items": pods }),
        nodes: json!({ "items": [{ "metadata": { "name": "host1" } }] }),
        subnets: json!({ "items": [
            // A request that was refused: the router port has the established network.
            { "metadata": { "name": "net2" }, "spec": { "cidrBlock": "172.30.0.0/24" } },
            { "metadata": { "name": "join" } }, { "metadata": { "name": "unserved" } }] }),
        ports: json!({ "data": rows }),
        switches: json!({ "data": switches }),
        router_ports: json!({ "data": [router_port("12.0.1.1/24", "net2"), router_port("100.64.0.1/16", "join")] }),
        cluster: "c".into(),
    }))
}

#[track_caller]
fn expect(report: &Report, lines: &[&str]) {
    let found: Vec<&str> = report.differences.iter().map(String::as_str).collect();
    assert_eq!(found, lines);
}

#[test]
fn agreement() {
    let node_addresses = format!("{} 100.64.0.2", mac("node-host1"));
    let report = found(
        vec![
            pod_ip("u", "12.0.1.2"),
            ip("node-host1", "host1", "", "join", "100.64.0.2"),
            ip("dhcp-server", "", "", "net2", "12.0.1.200"),
        ],
        vec![
            pod_object("u", "12.0.1.2"),
            plain_pod("waits"),
            json!({ "metadata": { "name": "h" }, "spec": { "hostNetwork": true } }),
            json!({ "metadata": { "name": "e" }, "status": { "phase": "Succeeded" } }),
        ],
        vec![
            pod_row("u", "12.0.1.2"),
            row("node-host1", &node_addresses, "node/host1", "c"),
            json!([
                ["uuid", "n"],
                "neutron-port",
                "",
                "fa:16:3e:00:00:01 192.168.1.61",
                ["map", [["neutron:port_name", "x"]]]
            ]),
            json!([
                ["uuid", "r"],
                "net2-router",
                "router",
                "router",
                ["map", [["tombolo.io/owner", "subnet/net2"], ["tombolo.io/cluster", "c"]]]
            ]),
        ],
    );
    expect(&report, &[]);
    assert_eq!((report.ips, report.pods, report.ports), (3, 2, 2));
}

#[test]
fn whose_pod_or_node_is_gone_whatever_its_kind() {
    let mut of_set = pod_ip("web-0", "12.0.1.8");
    of_set["spec"]["podType"] = json!("StatefulSet");
    let mut machine = pod_ip("vm", "12.0.1.7");
    machine["spec"]["podType"] = json!("VirtualMachine");
    let node = ip("node-old", "old", "", "join", "100.64.0.9");
    let report = found(vec![pod_ip("gone", "12.0.1.9"), of_set, machine, node], vec![], vec![]);
    expect(
        &report,
        &[
            "ip/gone.net2: there is no pod net2/gone",
            "ip/node-old: there is no node old",
            "ip/vm.net2: there is no pod net2/vm",
            "ip/web-0.net2: there is no pod net2/web-0",
        ],
    );
}

#[test]
fn two_ip_objects_of_one_address_however_it_is_written() {
    let pods = || vec![pod_object("a", "12.0.1.2,fd00::2"), pod_object("b", "12.0.1.3,fd00::2")];
    let rows = vec![pod_row("a", "12.0.1.2 fd00::2"), pod_row("b", "12.0.1.3 fd00::2")];
    let report =
        found(vec![pod_ip("a", "12.0.1.2,fd00::2"), pod_ip("b", "12.0.1.3,FD00:0::2")], pods(), rows);
    expect(
        &report,
        &[
            "ip/a.net2: fd00::2 is outside of subnet net2, which has 12.0.1.0/24",
            "ip/b.net2: fd00::2 in subnet net2 is also given to ip/a.net2",
            "ip/b.net2: fd00::2 is outside of subnet net2, which has 12.0.1.0/24",
            "port/a.net2: fd00::2 on switch net2 is also on port/b.net2",
        ],
    );
}

#[test]
fn two_ports_of_one_address() {
    // A user's own port beside ours, and two of Neutron's, which are its affair.
    let theirs = |name: &str, addresses: &str| json!([["uuid", name], name, "", addresses, ["map", []]]);
    let mine = pod_row("u", "12.0.1.2");
    let double =
        json!([["uuid", "x"], "x", "", ["set", ["02:00:00:00:00:01 12.0.1.2", "unknown"]], ["map", []]]);
    let rows = vec![
        mine,
        double,
        theirs("neutron-1", "fa:16:3e:00:00:01 1.1.1.1"),
        theirs("neutron-2", "fa:16:3e:00:00:02 1.1.1.1"),
    ];
    let report = found(vec![pod_ip("u", "12.0.1.2")], vec![pod_object("u", "12.0.1.2")], rows);
    expect(&report, &["port/u.net2: 12.0.1.2 on switch net2 is also on port/x"]);
}

#[test]
fn ip_object_and_port() {
    let report = found(
        vec![pod_ip("none", "12.0.1.4"), pod_ip("more", "12.0.1.5"), pod_ip("other", "12.0.1.6")],
        vec![pod_object("none", "12.0.1.4"), pod_object("more", "12.0.1.5"), pod_object("other", "12.0.1.6")],
        vec![
            pod_row("more", "12.0.1.5 12.0.1.55"),
            row("other.net2", &format!("{} 12.0.1.6", mac("other.net2")), "pod/net2/other", "d"),
            pod_row("left", "12.0.1.8"),
            row("left2.net2", "00:00:00:00:00:09 12.0.1.9", "pod/net2/left2", "d"),
        ],
    );
    let more = low("more.net2");
    expect(
        &report,
        &[
            &format!(
                "ip/more.net2: the switch port has {more} 12.0.1.5 12.0.1.55, the IP object {more} 12.0.1.5"
            ),
            "ip/none.net2: no switch port of that name in the NB",
            "ip/other.net2: the switch port of that name isn't this cluster's (--cluster-id?)",
            "port/left.net2: belongs to pod/net2/left, but there is no IP object",
        ],
    );
    assert_eq!(report.ports, 2);
}

#[test]
fn annotations() {
    let report = found(
        vec![pod_ip("u", "12.0.1.2"), pod_ip("silent", "12.0.1.5"), pod_ip("begun", "12.0.1.6")],
        vec![
            pod_object("u", "12.0.1.3"),
            pod_object("none", "12.0.1.4"),
            plain_pod("silent"),
            plain_pod("begun"),
            plain_pod("stray"),
        ],
        vec![pod_row("u", "12.0.1.2"), pod_row("silent", "12.0.1.5"), pod_row("stray", "12.0.1.7")],
    );
    let is = |name: &str, address: &str| format!("{} {address}", low(name));
    expect(
        &report,
        &[
            "ip/begun.net2: no switch port of that name in the NB",
            &format!(
                "pod/begun.net2: has an IP object with {}, but isn't annotated as allocated",
                is("begun.net2", "12.0.1.6")
            ),
            &format!(
                "pod/none.net2: annotated with {}, but there is no IP object",
                is("none.net2", "12.0.1.4")
            ),
            &format!(
                "pod/silent.net2: has a switch port with {}, but isn't annotated as allocated",
                is("silent.net2", "12.0.1.5")
            ),
            &format!(
                "pod/stray.net2: has a switch port with {}, but isn't annotated as allocated",
                is("stray.net2", "12.0.1.7")
            ),
            &format!(
                "pod/u.net2: annotated with {}, the IP object has {}",
                is("u.net2", "12.0.1.3"),
                is("u.net2", "12.0.1.2")
            ),
            "port/stray.net2: belongs to pod/net2/stray, but there is no IP object",
        ],
    );
}

#[test]
fn where_an_address_lies() {
    let report = found(
        vec![
            pod_ip("u", "172.30.0.2"),
            ip("a", "", "", "nowhere", "1.2.3.4"),
            ip("b", "", "", "unserved", "1.2.3.4"),
        ],
        vec![pod_object("u", "172.30.0.2")],
        vec![pod_row("u", "172.30.0.2")],
    );
    expect(
        &report,
        &[
            "ip/a: there is no subnet nowhere",
            "ip/u.net2: 172.30.0.2 is outside of subnet net2, which has 12.0.1.0/24",
        ],
    );
}

#[test]
fn an_ip_object_under_another_name_holds_an_address() {
    let report = found(
        vec![pod_ip("u", "12.0.1.2"), ip("foo", "u", "net2", "net2", "12.0.1.3")],
        vec![pod_object("u", "12.0.1.2")],
        vec![pod_row("u", "12.0.1.2")],
    );
    expect(&report, &["ip/foo: holds an address for pod net2/u, whose IP object is ip/u.net2"]);
}
