//! Addresses that are kept, asked for by family or from a pool; names that two want; ports that two hosts have.

use serde_json::{Value, json};
use tombolo_ovsdb::{Op, Txn};
use tombolo_plan::Kind;
use tombolo_tests_sim::Sim;
use tombolo_tests_sim::situations::installed;

const IP: &str = "ovn.kubernetes.io/ip_address";
const MAC: &str = "ovn.kubernetes.io/mac_address";
const FAMILY: &str = "ovn.kubernetes.io/ip_family";
const POOL: &str = "ovn.kubernetes.io/ip_pool";

/// Namespace `a` with a Subnet of its own.
fn with_subnet(cidr: &str) -> Sim {
    let mut sim = installed();
    sim.namespace("a");
    sim.subnet("s", &json!({ "cidrBlock": cidr, "namespaces": ["a"] }));
    sim.converge();
    sim
}

fn reserve(sim: &mut Sim, name: &str, spec: &Value) {
    let labels = json!({ "ovn.kubernetes.io/subnet": "s", "ovn.kubernetes.io/ip_reserved": "true" });
    sim.apply(Kind::Ip, &json!({ "metadata": { "name": name, "labels": labels }, "spec": spec }));
}

/// The options of a port, or the name of its group.
fn option(sim: &Sim, name: &str, key: &str) -> Option<String> {
    let rows = sim.nb().rows();
    let (_, row) = rows.rows("Logical_Switch_Port").find(|(_, row)| row.str("name") == Some(name))?;
    row.key("options", key).map(str::to_owned)
}

fn told(sim: &Sim, kind: Kind, name: &str, word: &str) -> bool {
    sim.notices.iter().any(|it| it.kind == kind && it.name == name && it.message.contains(word))
}

#[test]
fn an_address_that_is_marked_as_used_is_nobodys() {
    let mut sim = with_subnet("10.84.0.0/29");
    let empty = json!({ "ipAddress": "10.84.0.3", "v4IpAddress": "10.84.0.3", "subnet": "s", "podName": "",
        "namespace": "", "macAddress": "", "nodeName": "", "podType": "VirtualMachine" });
    reserve(&mut sim, "dhcp", &empty);
    for pod in ["p1", "p2", "p3", "p4"] {
        sim.pod("a", pod, "host1");
    }
    sim.converge();
    let given: Vec<_> = (1..=4).filter_map(|n| sim.pod_address(&format!("a/p{n}"))).collect();
    assert_eq!(given, ["10.84.0.2", "10.84.0.4", "10.84.0.5", "10.84.0.6"]);
    sim.pod_with("a", "wants", "host1", &[(IP, "10.84.0.3")]);
    sim.converge();
    assert!(told(&sim, Kind::Pod, "wants", "dhcp"), "who holds it is in the message: {:?}", sim.notices);
    // Over restarts too; it goes when its user deletes it.
    sim.crash(0);
    sim.start_controller();
    sim.elect(sim.controllers() - 1);
    sim.converge();
    assert_eq!(sim.pod_address("a/wants"), None);
    sim.delete(Kind::Ip, "", "dhcp");
    sim.converge();
    assert_eq!(sim.pod_address("a/wants"), Some("10.84.0.3"));
}

#[test]
fn an_ip_object_made_before_its_pod_is_the_pods_and_outlives_it() {
    let mut sim = with_subnet("10.84.0.0/24");
    let spec = json!({ "ipAddress": "10.84.0.5", "v4IpAddress": "10.84.0.5", "macAddress": "00:00:00:AA:BB:05",
        "subnet": "s", "namespace": "a", "podName": "later", "nodeName": "", "podType": "VirtualMachine" });
    reserve(&mut sim, "later.a", &spec);
    sim.converge();
    let _ = sim.object(Kind::Ip, "later.a");
    for _ in 0..2 {
        sim.pod("a", "later", "host1");
        sim.converge();
        assert_eq!(sim.pod_address("a/later"), Some("10.84.0.5"));
        assert_eq!(sim.pod_annotation("a/later", MAC), Some("00:00:00:AA:BB:05"));
        sim.delete(Kind::Pod, "a", "later");
        sim.converge();
        let _ = sim.object(Kind::Ip, "later.a");
    }
    // Without a MAC the pod gets one, and the object says which.
    let spec = json!({ "ipAddress": "10.84.0.9", "subnet": "s", "namespace": "a", "podName": "plain" });
    reserve(&mut sim, "plain.a", &spec);
    sim.pod("a", "plain", "host1");
    sim.converge();
    assert_eq!(sim.pod_address("a/plain"), Some("10.84.0.9"));
    let mac = sim.object(Kind::Ip, "plain.a")["spec"]["macAddress"].as_str().unwrap_or_default();
    assert_eq!(Some(mac), sim.pod_annotation("a/plain", MAC));
    // A pod that asks for something else isn't given it silently.
    let spec = json!({ "ipAddress": "10.84.0.20", "subnet": "s", "namespace": "a", "podName": "torn" });
    reserve(&mut sim, "torn.a", &spec);
    sim.pod_with("a", "torn", "host1", &[(IP, "10.84.0.21")]);
    sim.converge();
    assert_eq!(sim.pod_address("a/torn"), None);
    assert!(told(&sim, Kind::Pod, "torn", "10.84.0.20"), "{:?}", sim.notices);
}

#[test]
fn a_reservation_that_reserves_nothing_is_told_on_the_object() {
    // invariant 10
    let mut sim = with_subnet("10.84.0.0/24");
    sim.pod("a", "first", "host1");
    sim.converge();
    reserve(&mut sim, "taken", &json!({ "ipAddress": "10.84.0.2", "subnet": "s" }));
    reserve(&mut sim, "garbage", &json!({ "ipAddress": "10.84.0.two", "subnet": "s" }));
    reserve(&mut sim, "empty", &json!({ "subnet": "s" }));
    reserve(&mut sim, "nowhere", &json!({ "ipAddress": "10.84.0.9", "subnet": "gone" }));
    reserve(
        &mut sim,
        "other",
        &json!({ "ipAddress": "10.84.0.8", "subnet": "s", "namespace": "a", "podName": "p" }),
    );
    sim.converge();
    assert_eq!(sim.reasons(Kind::Ip, "taken"), ["AddressConflict"]);
    assert!(told(&sim, Kind::Ip, "taken", "first.a"));
    assert_eq!(sim.reasons(Kind::Ip, "garbage"), ["AddressConflict"]);
    assert_eq!(sim.reasons(Kind::Ip, "empty"), ["AddressConflict"]);
    assert_eq!(sim.reasons(Kind::Ip, "nowhere"), ["SubnetNotFound"]);
    assert_eq!(sim.reasons(Kind::Ip, "other"), ["InvalidName"]);
    assert_eq!(sim.pod_address("a/first"), Some("10.84.0.2"));
}

#[test]
fn a_family_that_is_asked_for_is_the_only_one() {
    let mut sim = with_subnet("10.87.0.0/24,fd00:87::/64");
    sim.pod_with("a", "only4", "host1", &[(FAMILY, "ipv4")]);
    sim.pod_with("a", "only6", "host1", &[(FAMILY, "ipv6")]);
    sim.pod_with("a", "mixed", "host1", &[(FAMILY, "ipv6"), (IP, "10.87.0.77")]);
    sim.pod("a", "both", "host1");
    sim.converge();
    // In the order in which they came.
    assert_eq!(sim.pod_address("a/only4"), Some("10.87.0.2"));
    assert_eq!(sim.pod_address("a/only6"), Some("fd00:87::2"));
    assert_eq!(sim.pod_address("a/both"), Some("10.87.0.3,fd00:87::3"));
    assert_eq!(sim.pod_annotation("a/only4", "ovn.kubernetes.io/cidr"), Some("10.87.0.0/24"));
    assert_eq!(sim.pod_annotation("a/only6", "ovn.kubernetes.io/gateway"), Some("fd00:87::1"));
    assert_eq!(sim.reasons(Kind::Pod, "mixed"), ["InvalidAnnotation"]);
    // Nothing of the other family is held for it, by the one who chose nor by those who read it.
    let used = |sim: &Sim| sim.object(Kind::Subnet, "s")["status"]["v6usingIPs"].clone();
    assert_eq!(used(&sim), json!(2));
    sim.crash(0);
    sim.start_controller();
    sim.elect(sim.controllers() - 1);
    sim.converge();
    assert_eq!(used(&sim), json!(2));
}

#[test]
fn a_family_that_the_subnet_lacks_is_told() {
    let mut sim = with_subnet("10.87.0.0/24");
    sim.pod_with("a", "only6", "host1", &[(FAMILY, "ipv6")]);
    sim.converge();
    assert_eq!(sim.pod_address("a/only6"), None);
    assert!(told(&sim, Kind::Pod, "only6", "IPv6"));
}

#[test]
fn a_pool_is_taken_from_around_what_cannot_be_had() {
    let mut sim = with_subnet("10.77.0.0/24");
    sim.pod_with("a", "holder", "host1", &[(IP, "10.77.0.50")]);
    sim.converge();
    let pool = "10.77.0.50,nonsense,10.99.0.1,10.77.0.1,10.77.0.255,10.77.0.60";
    sim.pod_with("a", "p", "host1", &[(POOL, pool)]);
    sim.pod_with("a", "q", "host1", &[(POOL, pool)]);
    sim.converge();
    let mut given = [sim.pod_address("a/p"), sim.pod_address("a/q")];
    given.sort_unstable();
    assert_eq!(given, [None, Some("10.77.0.60")]);
    assert!(
        sim.notices.iter().any(|it| it.reason == "NoAvailableAddress" && it.message.contains("holder.a"))
    );
    // One that becomes free is taken.
    sim.delete(Kind::Pod, "a", "holder");
    sim.converge();
    let mut given = [sim.pod_address("a/p"), sim.pod_address("a/q")];
    given.sort_unstable();
    assert_eq!(given, [Some("10.77.0.50"), Some("10.77.0.60")]);
}

fn of_set(sim: &mut Sim, name: &str, pool: &str) {
    let owner = json!([{ "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "w" }]);
    let meta =
        json!({ "namespace": "a", "name": name, "annotations": { POOL: pool }, "ownerReferences": owner });
    sim.apply(
        Kind::Pod,
        &json!({ "metadata": meta, "spec": { "nodeName": "host1" }, "status": { "phase": "Pending" } }),
    );
}

#[test]
fn a_pod_of_a_stateful_set_takes_the_entry_of_its_number() {
    let mut sim = with_subnet("10.77.0.0/24");
    let pool = "10.77.0.50,10.77.0.51,10.77.0.52";
    for name in ["web-2", "web-0", "web-3"] {
        of_set(&mut sim, name, pool);
    }
    sim.converge();
    assert_eq!(sim.pod_address("a/web-2"), Some("10.77.0.52"));
    assert_eq!(sim.object(Kind::Ip, "web-2.a")["spec"]["podType"], "StatefulSet");
    assert_eq!(sim.pod_address("a/web-0"), Some("10.77.0.50"));
    assert_eq!(sim.pod_address("a/web-3"), None);
    assert_eq!(sim.reasons(Kind::Pod, "web-3"), ["NoAvailableAddress"]);
    // Each entry belongs to its number: no pod takes another's.
    sim.pod_with("a", "squatter", "host1", &[(IP, "10.77.0.51")]);
    sim.converge();
    of_set(&mut sim, "web-1", pool);
    sim.converge();
    assert_eq!(sim.pod_address("a/web-1"), None);
    assert!(told(&sim, Kind::Pod, "web-1", "squatter.a"));
}

#[test]
fn a_mac_stays_as_its_user_spelled_it() {
    let mut sim = with_subnet("10.77.0.0/24");
    sim.pod_with("a", "p", "host1", &[(MAC, "00-00-00-ab-cd-ef")]);
    sim.converge();
    assert!(sim.pod_address("a/p").is_some());
    assert_eq!(sim.pod_annotation("a/p", MAC), Some("00-00-00-ab-cd-ef"));
    // Another one, written while it runs, isn't what it has: the words are put right.
    let other = json!({ "metadata": { "annotations": { MAC: "00:00:00:ab:cd:00" } } });
    sim.patch_pod("a", "p", &other);
    sim.converge();
    let told = sim.pod_annotation("a/p", MAC).and_then(|text| text.parse::<tombolo_net::Mac>().ok());
    assert_eq!(told, "00:00:00:ab:cd:ef".parse().ok());
}

#[test]
fn networks_of_two_have_the_router_last() {
    let mut sim = installed();
    for (name, cidr, gateway) in
        [("first", "10.76.0.0/31", json!({})), ("last", "10.76.0.2/31", json!({ "gateway": "10.76.0.3" }))]
    {
        sim.namespace(name);
        let mut spec = json!({ "cidrBlock": cidr, "namespaces": [name] });
        if let (Some(spec), Some(more)) = (spec.as_object_mut(), gateway.as_object()) {
            spec.extend(more.clone());
        }
        sim.subnet(name, &spec);
        sim.settle();
        sim.pod(name, "p", "host1");
    }
    sim.converge();
    // northd drops what comes from a router network's last address.
    assert_eq!(sim.pod_address("first/p"), Some("10.76.0.0"));
    assert_eq!(sim.pod_annotation("first/p", "ovn.kubernetes.io/gateway"), Some("10.76.0.1"));
    assert_eq!(sim.pod_address("last/p"), Some("10.76.0.2"));
    sim.subnet("bad", &json!({ "cidrBlock": "10.76.0.4/31", "gateway": "10.76.0.4" }));
    sim.converge();
    assert_eq!(sim.condition(Kind::Subnet, "bad", "Ready").map(|it| it.1), Some("InvalidGateway"));
}

#[test]
fn a_nodes_name_is_not_a_pods_to_take() {
    let mut sim = installed();
    sim.node("host3.example.com", "172.16.0.3");
    sim.namespace("com");
    sim.converge();
    sim.pod("com", "node-host3.example", "host1");
    sim.converge();
    assert_eq!(sim.pod_address("com/node-host3.example"), None);
    assert_eq!(sim.reasons(Kind::Pod, "node-host3.example"), ["NameTaken"]);
    sim.delete(Kind::Pod, "com", "node-host3.example");
    sim.converge();
    // The other way round: what is the pod's stays the pod's, whatever becomes of the node.
    sim.pod("com", "node-host4.example", "host1");
    sim.converge();
    let before = sim.pod_address("com/node-host4.example").map(str::to_owned);
    assert!(before.is_some());
    sim.node("host4.example.com", "172.16.0.4");
    sim.converge();
    assert_eq!(sim.reasons(Kind::Node, "host4.example.com"), ["NameTaken"]);
    sim.delete(Kind::Node, "", "host4.example.com");
    sim.converge();
    assert_eq!(sim.pod_address("com/node-host4.example").map(str::to_owned), before);
    let _ = sim.object(Kind::Ip, "node-host4.example.com");
    sim.node("host4.example.com", "172.16.0.4");
    sim.converge();
    sim.delete(Kind::Pod, "com", "node-host4.example");
    sim.converge();
    let ip = sim.object(Kind::Ip, "node-host4.example.com");
    assert_eq!((&ip["spec"]["namespace"], &ip["spec"]["subnet"]), (&json!(""), &json!("join")));
}

#[test]
fn nodes_whose_groups_would_share_a_name_have_one_each() {
    let mut sim = installed();
    sim.node("a-b", "172.16.0.5");
    sim.converge();
    sim.node("a.b", "172.16.0.6");
    sim.node("a-c", "172.16.0.7");
    sim.node("a.c", "172.16.0.8");
    sim.converge();
    let names: Vec<String> = sim
        .nb()
        .rows()
        .rows("Port_Group")
        .filter_map(|(_, row)| row.str("name"))
        .map(str::to_owned)
        .collect();
    for prefix in ["node.a.b", "node.a.c"] {
        let of: Vec<_> = names.iter().filter(|name| name.starts_with(prefix)).collect();
        assert!(of.len() == 2 && of.iter().any(|name| *name == prefix), "{names:?}");
    }
    let matches: Vec<String> = sim
        .nb()
        .rows()
        .rows("Logical_Router_Policy")
        .filter_map(|(_, row)| row.str("match"))
        .map(str::to_owned)
        .collect();
    for name in &names {
        assert!(matches.iter().any(|it| it.contains(&format!("${name}_ip4"))), "{name}: {matches:?}");
    }
    for node in ["a-b", "a.b", "a-c", "a.c"] {
        assert_eq!(sim.reasons(Kind::Node, node), Vec::<&str>::new(), "{node}");
    }
}

fn node_says(sim: &mut Sim, node: &str, annotations: &Value) {
    sim.apply(Kind::Node, &json!({ "metadata": { "name": node, "annotations": annotations } }));
}

#[test]
fn a_port_is_for_the_chassis_of_its_pods_node_alone() {
    let mut sim = with_subnet("10.77.0.0/24");
    node_says(&mut sim, "host1", &json!({ "ovn.kubernetes.io/chassis": "c-1" }));
    sim.pod("a", "p", "host1");
    sim.pod("a", "q", "host2");
    sim.converge();
    assert_eq!(option(&sim, "p.a", "requested-chassis").as_deref(), Some("c-1"));
    assert_eq!(option(&sim, "q.a", "requested-chassis"), None, "a name that isn't known isn't guessed");
    let uid = sim.object(Kind::Pod, "a/p")["metadata"]["uid"].as_str().map(str::to_owned);
    assert_eq!(sim.pod_annotation("a/p", "tombolo.io/pod-uid").map(str::to_owned), uid);
    // It appears, and changes, later.
    node_says(&mut sim, "host2", &json!({ "ovn.kubernetes.io/chassis": "c-2" }));
    node_says(&mut sim, "host1", &json!({ "ovn.kubernetes.io/chassis": "c-1b" }));
    sim.converge();
    assert_eq!(option(&sim, "q.a", "requested-chassis").as_deref(), Some("c-2"));
    assert_eq!(option(&sim, "p.a", "requested-chassis").as_deref(), Some("c-1b"));
}

#[test]
fn only_interfaces_that_will_bear_the_version_are_asked_for_it() {
    let mut sim = with_subnet("10.77.0.0/24");
    // An agent of before: a port that asks would never be claimed.
    sim.pod("a", "old", "host1");
    sim.converge();
    assert_eq!(option(&sim, "old.a", "iface-id-ver"), None);
    node_says(&mut sim, "host1", &json!({ "tombolo.io/iface-id-ver": "true" }));
    sim.pod("a", "new", "host1");
    sim.converge();
    let uid = sim.object(Kind::Pod, "a/new")["metadata"]["uid"].as_str().map(str::to_owned);
    assert_eq!(option(&sim, "new.a", "iface-id-ver"), uid);
    assert_eq!(option(&sim, "old.a", "iface-id-ver"), None, "its interface was made without");
    // The UID of a static pod's object changes while it runs.
    sim.pod_with("a", "static", "host1", &[("kubernetes.io/config.mirror", "0f3c")]);
    sim.converge();
    assert_eq!(option(&sim, "static.a", "iface-id-ver"), None);
    // A row that another client deletes while the pod runs comes back as it was.
    for (pod, port) in [("new", "new.a"), ("old", "old.a")] {
        let address = sim.pod_address(&format!("a/{pod}")).unwrap().to_owned();
        sim.patch_pod("a", pod, &json!({ "status": { "phase": "Running", "podIP": address } }));
        let row = sim.nb().rows().rows("Logical_Switch_Port").find(|(_, row)| row.str("name") == Some(port));
        let (uuid, parent) =
            row.map(|(uuid, row)| (uuid, row.key("external_ids", "ls").unwrap().to_owned())).unwrap();
        let parent = sim.nb().rows().rows("Logical_Switch").find(|(_, row)| row.str("name") == Some(&parent));
        let parent = parent.unwrap().0;
        sim.foreign(&Txn::new([Op::remove_edge("Logical_Switch", parent, "ports", uuid)]));
    }
    sim.converge();
    assert_eq!(option(&sim, "new.a", "iface-id-ver"), uid);
    assert_eq!(option(&sim, "old.a", "iface-id-ver"), None);
    // A successor has its own.
    sim.delete(Kind::Pod, "a", "new");
    sim.pod("a", "new", "host1");
    sim.converge();
    let other = sim.object(Kind::Pod, "a/new")["metadata"]["uid"].as_str().map(str::to_owned);
    assert_ne!(other, uid);
    assert_eq!(option(&sim, "new.a", "iface-id-ver"), other);
}

#[test]
fn words_copied_with_a_pods_manifest_are_overwritten() {
    let mut sim = with_subnet("10.77.0.0/24");
    let copied = [
        ("ovn.kubernetes.io/allocated", "true"),
        ("ovn.kubernetes.io/routed", "true"),
        ("ovn.kubernetes.io/cidr", "10.9.0.0/24"),
        ("ovn.kubernetes.io/gateway", "10.9.0.1"),
        ("tombolo.io/pod-uid", "somebody-else"),
    ];
    sim.pod_with("a", "p", "host1", &copied);
    sim.converge();
    let uid = sim.object(Kind::Pod, "a/p")["metadata"]["uid"].as_str().map(str::to_owned);
    assert_eq!(sim.pod_annotation("a/p", "tombolo.io/pod-uid").map(str::to_owned), uid);
    assert_eq!(sim.pod_annotation("a/p", "ovn.kubernetes.io/gateway"), Some("10.77.0.1"));
}
