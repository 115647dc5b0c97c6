//! What stands is what counts (invariant 11): a wish that is refused leaves no trace, and what is in use is not cut.

use serde_json::{Value, json};
use std::sync::Arc;
use tombolo_plan::Kind;

use tombolo_api::Subnet;
use tombolo_plan::nb::table;
use tombolo_plan::world::Dirty;
use tombolo_plan::{Owner, World};
use tombolo_tests_sim::situations::{VPC, document, installed};
use tombolo_tests_sim::{Sim, config, dump};

fn ready(sim: &Sim, subnet: &str) -> (String, String, String) {
    let (status, reason, message) = sim.condition(Kind::Subnet, subnet, "Ready").unwrap_or_default();
    (status.to_owned(), reason.to_owned(), message.to_owned())
}

fn pod(sim: &mut Sim, key: &str) -> Value {
    sim.user(|api| api.get(Kind::Pod, key).cloned()).unwrap_or_default()
}

fn annotation(sim: &mut Sim, key: &str, name: &str) -> String {
    let text = pod(sim, key)["metadata"]["annotations"][format!("ovn.kubernetes.io/{name}")].clone();
    text.as_str().unwrap_or_default().to_owned()
}

fn objects(sim: &mut Sim) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for kind in [Kind::Pod, Kind::Ip, Kind::Namespace, Kind::Node] {
        let list: Vec<_> =
            sim.user(|api| api.list(kind).map(|(k, v)| (format!("{kind:?} {k}"), v.clone())).collect());
        all.extend(list);
    }
    all
}

/// Edits that are refused, on a Subnet that serves a pod.
const REFUSED: [(&str, &str); 8] = [
    ("the network of Neutron", r#"{"cidrBlock":"192.168.1.0/24","gateway":"192.168.1.1"}"#),
    ("the network alone", r#"{"cidrBlock":"12.0.7.0/24"}"#),
    ("another network", r#"{"cidrBlock":"12.0.7.0/24","gateway":"12.0.7.1","excludeIps":[]}"#),
    (
        "a network that leaves the pod out",
        r#"{"cidrBlock":"12.0.1.128/25","gateway":"12.0.1.129","excludeIps":[]}"#,
    ),
    ("a gateway that is no host", r#"{"gateway":"12.0.1.0"}"#),
    ("a gateway that is the pod", r#"{"gateway":"12.0.1.2"}"#),
    ("an MTU out of range", r#"{"mtu":70000}"#),
    ("excluded text", r#"{"excludeIps":["12.0.1.1","nonsense"]}"#),
];

#[test]
fn a_refused_edit_leaves_no_trace_and_undoing_it_none_either() {
    // invariant 11
    for (what, patch) in REFUSED {
        let mut sim = document();
        let spec = sim.user(|api| api.get(Kind::Subnet, "net2").cloned()).unwrap()["spec"].clone();
        let (rows, before) = (dump::show(sim.nb().rows()), objects(&mut sim));
        let patch: Value = serde_json::from_str(patch).unwrap();
        sim.subnet("net2", &patch);
        sim.converge();
        assert_eq!(ready(&sim, "net2").0, "False", "{what}");
        assert_eq!(dump::show(sim.nb().rows()), rows, "{what}: rows");
        assert_eq!(objects(&mut sim), before, "{what}: objects");
        // A pod that comes meanwhile is served from what stands.
        sim.pod("net2", "meanwhile", "host2");
        sim.converge();
        assert_eq!(annotation(&mut sim, "net2/meanwhile", "ip_address"), "12.0.1.3", "{what}");
        assert_eq!(annotation(&mut sim, "net2/meanwhile", "gateway"), "12.0.1.1", "{what}");
        assert_eq!(annotation(&mut sim, "net2/meanwhile", "cidr"), "12.0.1.0/24", "{what}");
        // Undone, also by a controller that knows it only from the rows.
        sim.restart(0);
        sim.elect(0);
        sim.converge();
        assert_eq!(
            annotation(&mut sim, "net2/meanwhile", "gateway"),
            "12.0.1.1",
            "{what}, by another controller"
        );
        let undo: serde_json::Map<String, Value> =
            patch.as_object().unwrap().keys().map(|key| (key.clone(), spec[key].clone())).collect();
        sim.subnet("net2", &Value::Object(undo));
        sim.converge();
        assert_eq!(ready(&sim, "net2").0, "True", "{what}: {:?}", ready(&sim, "net2"));
        sim.delete(Kind::Pod, "net2", "meanwhile");
        sim.converge();
        assert_eq!(dump::show(sim.nb().rows()), rows, "{what}: rows, undone");
        assert_eq!(objects(&mut sim), before, "{what}: objects, undone");
    }
}

#[test]
fn a_change_that_would_cut_names_whom() {
    // invariant 11
    let mut sim = document();
    sim.subnet("net2", &json!({ "gateway": "12.0.1.2" }));
    sim.converge();
    let (status, reason, message) = ready(&sim, "net2");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "InUse"));
    assert!(message.contains("ubuntu.net2"), "{message}");
    sim.subnet("net2", &json!({ "gateway": "12.0.1.254" }));
    sim.converge();
    assert!(ready(&sim, "net2").2.contains("ubuntu.net2"), "the pod's default route would be gone");
    // Once the Subnet has no pod left, the edit takes effect.
    sim.delete(Kind::Pod, "net2", "ubuntu");
    sim.converge();
    assert_eq!(ready(&sim, "net2").0, "True");
    let rows = sim.nb().rows();
    let port = rows.rows(table::ROUTER_PORT).find(|(_, row)| row.str("name") == Some(&format!("{VPC}-net2")));
    let networks =
        port.and_then(|(_, row)| row.get("networks")).unwrap().strings().collect::<Vec<_>>().join(",");
    assert_eq!(networks, "12.0.1.254/24");
}

#[test]
fn growth_and_a_second_family_are_done_and_what_runs_stays() {
    // invariant 11
    let mut sim = document();
    sim.subnet("net2", &json!({ "cidrBlock": "12.0.0.0/23", "mtu": 1300 }));
    sim.converge();
    assert_eq!(ready(&sim, "net2").0, "True", "{:?}", ready(&sim, "net2"));
    assert_eq!(annotation(&mut sim, "net2/ubuntu", "ip_address"), "12.0.1.2");
    sim.subnet(
        "net2",
        &json!({ "cidrBlock": "12.0.0.0/23,fd00:12::/64", "gateway": "12.0.1.1,fd00:12::1", "excludeIps": ["12.0.1.1", "fd00:12::1"] }),
    );
    sim.converge();
    assert_eq!(ready(&sim, "net2").0, "True", "{:?}", ready(&sim, "net2"));
    assert_eq!(annotation(&mut sim, "net2/ubuntu", "ip_address"), "12.0.1.2");
    let subnet = sim.user(|api| api.get(Kind::Subnet, "net2").cloned()).unwrap();
    assert_eq!(subnet["status"]["v6usingIPs"], 0, "no address that no pod bears");
    assert_eq!(subnet["status"]["v4usingIPs"], 1);
    sim.pod("net2", "second", "host2");
    sim.converge();
    let both = annotation(&mut sim, "net2/second", "ip_address");
    assert!(both.contains(',') && both.contains("fd00:12::"), "{both}");
}

#[test]
fn rows_that_are_lost_while_a_wish_is_refused_come_back_as_they_stood() {
    // invariants 8 and 11
    let mut sim = document();
    sim.subnet("net2", &json!({ "cidrBlock": "192.168.1.0/24", "gateway": "192.168.1.1" }));
    sim.converge();
    let rows = dump::show(sim.nb().rows());
    let roots: Vec<_> = {
        let all = sim.nb().rows();
        let roots = all.tables().filter(|(name, _)| sim.nb().is_root(name));
        roots.flat_map(|(name, table)| table.iter().map(move |(uuid, _)| (name, uuid))).collect()
    };
    let ours = roots.into_iter().filter(|(name, uuid)| {
        *name == table::SWITCH
            && sim.nb().rows().row(name, uuid).and_then(|row| row.str("name")) == Some("net2")
    });
    let gone: Vec<_> = ours.map(|(name, uuid)| tombolo_ovsdb::Op::delete(name, uuid)).collect();
    assert_eq!(gone.len(), 1, "the switch is there to lose");
    sim.foreign(&tombolo_ovsdb::Txn::new(gone));
    sim.converge();
    assert_eq!(dump::show(sim.nb().rows()), rows);
}

#[test]
fn a_refused_network_is_in_nobodys_way_and_on_no_node() {
    // invariant 11
    let mut sim = installed();
    sim.subnet("bad", &json!({ "cidrBlock": "172.16.0.0/12" }));
    sim.subnet("services", &json!({ "cidrBlock": "10.100.0.0/16" }));
    sim.converge();
    for name in ["bad", "services"] {
        let (status, reason, _) = ready(&sim, name);
        assert_eq!((status.as_str(), reason.as_str()), ("False", "CidrConflict"), "{name}");
    }
    let networks = |sim: &mut Sim| {
        let vpc = sim.user(|api| api.get(Kind::Vpc, "ovn-cluster").cloned()).unwrap();
        let networks = vpc["status"]["nodeNetworks"].clone();
        let names = networks["subnets"].as_array().cloned().unwrap_or_default();
        assert_eq!(networks["join"]["name"], "join");
        names.iter().map(|it| it["name"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(networks(&mut sim), ["ovn-default"]);
    // One inside the refused network is served all the same.
    sim.subnet("good", &json!({ "cidrBlock": "172.20.0.0/24" }));
    sim.converge();
    assert_eq!(ready(&sim, "good").0, "True", "{:?}", ready(&sim, "good"));
    assert_eq!(networks(&mut sim), ["good", "ovn-default"]);
}

#[test]
fn a_node_that_comes_into_a_network_is_said_and_what_stands_stays() {
    // invariant 11
    let mut sim = installed();
    sim.subnet("mine", &json!({ "cidrBlock": "10.71.0.0/24" }));
    sim.converge();
    assert_eq!(ready(&sim, "mine").0, "True");
    sim.node("host3", "10.71.0.9");
    sim.converge();
    let (status, reason, message) = ready(&sim, "mine");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "CidrConflict"));
    assert!(message.contains("host3"), "{message}");
    sim.delete(Kind::Node, "", "host3");
    sim.converge();
    assert_eq!(ready(&sim, "mine").0, "True");
}

#[test]
fn admission_refuses_the_same_edits_before_they_are_stored() {
    // invariant 11
    let mut sim = document();
    let old = sim.user(|api| api.get(Kind::Subnet, "net2").cloned()).unwrap();
    let judge = |sim: &Sim, patch: &Value| {
        let mut new = old.clone();
        for (key, value) in patch.as_object().unwrap() {
            new["spec"][key] = value.clone();
        }
        let read = |value: &Value| serde_json::from_value::<Subnet>(value.clone()).unwrap();
        tombolo_plan::admission::subnet(sim.engine(0).world(), &read(&new), Some(&read(&old)))
    };
    for (what, patch) in REFUSED {
        let verdict = judge(&sim, &serde_json::from_str(patch).unwrap());
        assert!(!verdict.refused.is_empty(), "{what}");
    }
    for allowed in [
        json!({ "cidrBlock": "12.0.0.0/23" }),
        json!({ "mtu": 1400 }),
        json!({ "excludeIps": ["12.0.1.1", "12.0.1.2..12.0.1.9"] }),
    ] {
        assert_eq!(judge(&sim, &allowed).refused, [], "{allowed}");
    }
}

#[test]
fn networks_of_services_come_and_go() {
    let mut world = World::new(config());
    let mut subnet = Subnet::new("s", tombolo_api::SubnetSpec::default());
    subnet.spec.cidr_block = "10.70.0.0/16".to_owned();
    world.apply_subnet("s", Some(Arc::new(subnet)), &mut Dirty::default());
    let problems = |world: &World| {
        let plan = tombolo_plan::plan(world, &Owner::subnet("s"));
        plan.problems.iter().any(|it| it.message.contains("10.70.128.0/20, the network of Services"))
    };
    assert!(!problems(&world));
    for (networks, concerned, refused) in [
        (&["10.70.128.0/20"][..], true, true),
        (&["10.70.128.0/20", "10.200.0.0/16"], false, true),
        (&["10.200.0.0/16"], true, false),
    ] {
        let mut dirty = Dirty::default();
        world.apply_services(networks.iter().map(|it| it.parse().unwrap()).collect(), &mut dirty);
        assert_eq!(dirty.now.contains(&Owner::subnet("s")), concerned, "{networks:?}");
        assert_eq!(problems(&world), refused, "{networks:?}");
    }
}
