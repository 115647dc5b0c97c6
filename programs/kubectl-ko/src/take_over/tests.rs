//! What is left over of a real cluster of Kube-OVN's, and what isn't.

use serde_json::json;

use super::*;

/// The northbound that a controller of Kube-OVN 1.14.10 left.
fn left() -> Snapshot {
    snapshot(tombolo_testbed::kube_ovn::Left::by("1.14.10").unwrap().rows)
}

fn snapshot(rows: Value) -> Snapshot {
    let schema: Value = serde_json::from_str(tombolo_ovn::nb::SCHEMA).unwrap();
    Snapshot::read(&crate::snapshot::tests::file(&[schema, rows])).unwrap()
}

fn names(ports: &[&str], subnets: &[&str], vpcs: &[&str]) -> Names {
    let set = |all: &[&str]| all.iter().map(|it| (*it).to_owned()).collect();
    Names { ports: set(ports), subnets: set(subnets), vpcs: set(vpcs) }
}

/// The rows of existing objects are ours, as the controller leaves them.
fn taken_over() -> Snapshot {
    let mut nb = left();
    let names = ["ovn-default", "join", "ovn-cluster", "node.n1", "node.n2"];
    for rows in nb.tables.values_mut() {
        for row in rows.values_mut() {
            let name = row.get("name").and_then(Value::as_str).unwrap_or_default();
            let is_port = name.ends_with(".a") || name.starts_with("node-") || name.contains("ovn-cluster");
            let is_route = row.get("ip_prefix").is_some();
            if names.contains(&name) || is_port || is_route {
                let mut ids = row["external_ids"][1].as_array().cloned().unwrap_or_default();
                // As crates/diff has it: Kube-OVN's own mark comes to rows without it, too.
                ids.retain(|pair| pair[0] != "vendor");
                ids.extend([json!(["tombolo.io/cluster", "c"]), json!(["tombolo.io/owner", "x/y"])]);
                ids.extend([json!(["tombolo.io/stands-for", "u"]), json!(["vendor", "kube-ovn"])]);
                row.insert("external_ids".into(), json!(["map", ids]));
            }
        }
    }
    nb
}

#[test]
fn nothing_is_left_over_before_it_is_taken_over() {
    // invariant 4
    let ports = ["p1.a", "p2.a", "p3.a", "node-n1", "node-n2"];
    let held = leftovers::find(&left(), &names(&ports, &["join", "ovn-default"], &["ovn-cluster"])).held;
    for row in [
        "Logical_Switch_Port p1.a",
        "Logical_Switch join",
        "Logical_Router ovn-cluster",
        "Logical_Router_Port ovn-cluster-join",
        "Logical_Switch_Port node-n2",
        "Logical_Switch_Port join-ovn-cluster",
    ] {
        assert!(held.iter().any(|it| it == row), "{row}: {held:?}");
    }
}

#[test]
fn what_is_left_goes_and_neutrons_rows_stay() {
    // invariant 1
    let found = leftovers::find(&taken_over(), &names(&["p1.a"], &["join", "ovn-default"], &["ovn-cluster"]));
    assert_eq!(found.held, Vec::<String>::new());
    let counted: Vec<_> = counts(&found.rows).into_iter().collect();
    assert_eq!(
        counted,
        [("ACL", 2), ("Load_Balancer", 6), ("Logical_Router_Policy", 6), ("Port_Group", 3)],
        "{:#?}",
        found.rows
    );
    let text = leftovers::transaction("OVN_Northbound", &found.rows).to_string();
    let neutrons = found.rows.iter().find(|row| row.name.starts_with("neutron-"));
    assert!(neutrons.is_none(), "{text}");
    // A policy goes by its router's column: the database refuses to delete what is referred to.
    let policies = found.rows.iter().filter(|row| row.table == "Logical_Router_Policy");
    assert!(policies.clone().all(|row| row.parents.len() == 1), "{:?}", policies.collect::<Vec<_>>());
    assert_eq!(text.matches("\"policies\",\"delete\"").count(), 6, "{text}");
}

#[test]
fn names_alone_make_no_row_kube_ovns_that_others_have_marked() {
    let octavias = json!({ "Load_Balancer": { "5208475b-16b6-4356-8e10-889578906723": {
        "name": "vpc-a-tcp-load", "external_ids": ["map", [["neutron:vip", "10.0.0.1"]]] },
        "5208475b-16b6-4356-8e10-889578906724": { "name": "web" },
        "5208475b-16b6-4356-8e10-889578906725": { "name": "vpc-a-tcp-load" } } });
    let rows = leftovers::find(&snapshot(octavias), &Names::default()).rows;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0].uuid, "5208475b-16b6-4356-8e10-889578906725");
}

#[test]
fn what_runs_and_what_others_hung_there_stays() {
    // invariants 1 and 4
    let port = |more: Value| {
        let mut row = json!({ "name": "p.a.net1.default.ovn", "external_ids": ["map", [["vendor", "kube-ovn"], ["ls", "s"]]] });
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        row
    };
    let uuid = |n: u8| format!("00000000-0000-0000-0000-0000000000{n:02}");
    let nb = |port: Value| {
        let switch = json!({ "name": "s", "ports": ["uuid", uuid(2)], "external_ids": ["map", [["vendor", "kube-ovn"]]] });
        snapshot(json!({ "Logical_Switch": { uuid(1): switch }, "Logical_Switch_Port": { uuid(2): port } }))
    };
    let found = leftovers::find(&nb(port(json!({}))), &Names::default());
    assert_eq!((found.rows.len(), found.held.len()), (2, 0), "{found:?}");
    // It is up: a VM's, or a further interface's. Its switch holds it.
    let found = leftovers::find(&nb(port(json!({ "up": true }))), &Names::default());
    assert_eq!((found.rows.len(), found.held.len()), (0, 2), "{found:?}");
    // One that an administrator made by hand.
    let found = leftovers::find(&nb(json!({ "name": "mine" })), &Names::default());
    assert_eq!((found.rows.len(), found.held.len()), (0, 1), "{found:?}");
    assert!(found.held[0].contains("rows of others hang"), "{found:?}");
}

#[test]
fn the_way_back_takes_our_marks_and_our_own_rows_away() {
    let mut nb = taken_over();
    let mut policy = nb.tables["Logical_Router_Policy"].values().next().unwrap().clone();
    policy.insert("priority".into(), json!(29_000));
    policy.insert("external_ids".into(), json!(["map", [["tombolo.io/cluster", "c"], ["node", "n1"]]]));
    let uuid = "43e289c6-5994-5971-bf17-cc42259e1938";
    nb.tables.get_mut("Logical_Router_Policy").unwrap().insert(uuid.into(), policy);
    let router = nb
        .tables
        .get_mut("Logical_Router")
        .unwrap()
        .values_mut()
        .find(|it| it["name"] == "ovn-cluster")
        .unwrap();
    router["policies"][1].as_array_mut().unwrap().push(json!(["uuid", uuid]));
    let ops = leftovers::back(&nb, "c");
    let text = Value::Array(ops.clone()).to_string();
    assert!(text.contains(&format!("[\"policies\",\"delete\",[\"uuid\",\"{uuid}\"]]")), "{text}");
    let marks: Vec<_> = ops.iter().filter(|op| op["mutations"][0][0] == "external_ids").collect();
    assert!(marks.len() >= 12, "{text}");
    assert!(!ops.iter().any(|op| op["op"] == "delete"), "{text}");
    assert!(leftovers::back(&nb, "another").is_empty());
}

#[test]
fn rows_that_had_no_mark_of_kube_ovns_have_none_after_the_way_back() {
    let before = left();
    let had = |op: &Value| {
        let row = before.row(op["table"].as_str().unwrap(), op["where"][0][2][1].as_str().unwrap()).unwrap();
        crate::owners::id(row, "vendor").is_some()
    };
    let takes_away =
        |op: &Value| op["mutations"][0][2][1].as_array().unwrap().iter().any(|key| *key == "vendor");
    let mut nb = taken_over();
    let ops = leftovers::back(&nb, "c");
    let (marked, unmarked): (Vec<&Value>, Vec<&Value>) = ops.iter().partition(|op| had(op));
    assert!(marked.len() >= 10 && !marked.iter().any(|op| takes_away(op)), "{marked:#?}");
    // Two nodes' groups and the default route.
    assert!(unmarked.len() == 3 && unmarked.iter().all(|op| takes_away(op)), "{unmarked:#?}");

    // Since 1.15 Kube-OVN marks these, too, and leaves its version; then nothing is taken away.
    let version = json!({ "NB_Global": { "5208475b-16b6-4356-8e10-889578906730": {
        "external_ids": ["map", [["kube-ovn-version", "v1.15.0"]]] } } });
    nb.tables.extend(snapshot(version).tables);
    assert!(!leftovers::back(&nb, "c").iter().any(takes_away));

    // A row of ours that was never Kube-OVN's has no state before.
    let mut nb = taken_over();
    for row in nb.tables.get_mut("Port_Group").unwrap().values_mut() {
        let mut ids = row["external_ids"][1].as_array().cloned().unwrap();
        ids.retain(|pair| pair[0] != "tombolo.io/stands-for");
        row.insert("external_ids".into(), json!(["map", ids]));
    }
    let ops = leftovers::back(&nb, "c");
    assert_eq!(ops.iter().filter(|op| takes_away(op)).count(), 1, "the route alone: {ops:#?}");
}
