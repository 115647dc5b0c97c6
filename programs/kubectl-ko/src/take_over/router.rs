//! What hangs on the default Vpc's router in the northbound that no object asks for: NAT, routes, policies. Pure.
//!
//! On that router there is what Kube-OVN made, and what somebody made by hand. What an object asks for is said at the object; the rest
//! would go on without anybody who maintains it, or go with `take-over finish`.

use serde_json::{Map, Value};
use tombolo_api::annotations::{EIP, IP_ADDRESS, SNAT};
use tombolo_names::rows::{CLUSTER, VENDOR, VENDOR_KEY};

use super::check::{Facts, Report};
use crate::owners::{id, pairs, text, uuids};

type Columns = Map<String, Value>;

/// Priorities of the policies that Kube-OVN has for its nodes and Subnets: of a Subnet's gateway on a node, of a node, of a Subnet.
/// The controller makes its own, and `take-over finish` removes these.
const USUAL: [i64; 3] = [29_000, 30_000, 31_000];
/// Kinds whose objects have NAT rows.
const NAT_KINDS: [&str; 4] = ["OvnEip", "OvnFip", "OvnSnatRule", "OvnDnatRule"];

/// Looks at the default Vpc's router.
pub fn look(facts: &Facts, report: &mut Report) {
    let default = facts.vpcs.iter().find(|vpc| vpc["status"]["default"] == true);
    let Some(vpc) = default else { return };
    let name = vpc["status"]["router"].as_str().or(vpc["metadata"]["name"].as_str()).unwrap_or_default();
    let routers = facts.nb.tables.get("Logical_Router").into_iter().flatten();
    for (_, router) in routers.filter(|(_, row)| text(row, "name") == name && !is_neutrons(row)) {
        let on = |column: &str, table: &str| {
            let all = router.get(column).map(uuids).unwrap_or_default();
            let rows = all.into_iter().filter_map(|uuid| facts.nb.row(table, uuid));
            // Rows of ours, after a take-over, and of Neutron's are looked after.
            rows.filter(|row| id(row, CLUSTER).is_none() && !is_neutrons(row)).collect::<Vec<_>>()
        };
        let mut found: Vec<String> = Vec::new();
        found.extend(
            on("nat", "NAT").into_iter().filter(|row| !is_asked_for(row, facts)).map(|row| nat(row, name)),
        );
        let routes = on("static_routes", "Logical_Router_Static_Route");
        found.extend(routes.into_iter().filter(|row| !is_of(row, vpc, facts)).map(|row| route(row, name)));
        let policies = on("policies", "Logical_Router_Policy");
        found.extend(policies.into_iter().filter(|row| !is_usual(row, vpc)).map(|row| policy(row, name)));
        found.sort();
        report.blocks.extend(found);
    }
}

fn is_neutrons(row: &Columns) -> bool {
    let all = row.get("external_ids").map(pairs).into_iter().flatten();
    all.into_iter().any(|(key, _)| key.starts_with("neutron:"))
}

/// Whether an object asks for a NAT row; then the object is named.
fn is_asked_for(row: &Columns, facts: &Facts) -> bool {
    let (inside, outside) = (text(row, "logical_ip"), text(row, "external_ip"));
    let by_pod = facts.pods.iter().any(|pod| {
        let annotation = |key: &str| pod["metadata"]["annotations"][key].as_str().unwrap_or_default();
        let has_address = annotation(IP_ADDRESS).split(',').any(|ip| ip.trim() == inside);
        has_address && [EIP, SNAT].iter().any(|key| annotation(key).split(',').any(|ip| ip.trim() == outside))
    });
    let objects = NAT_KINDS.iter().filter_map(|kind| facts.unserved.get(kind)).flatten();
    let mut statuses = objects.map(|object| &object["status"]);
    by_pod
        || statuses.any(|status| ["v4Ip", "v6Ip", "v4Eip", "v6Eip"].iter().any(|key| status[*key] == outside))
}

/// Whether a route is the nodes' default route, which is taken over, or one of the Vpc's spec, which is named there.
fn is_of(row: &Columns, vpc: &Value, facts: &Facts) -> bool {
    let (prefix, nexthop) = (text(row, "ip_prefix"), text(row, "nexthop"));
    let is_gateway = |subnet: &Value| {
        subnet["spec"]["gateway"].as_str().is_some_and(|all| all.split(',').any(|ip| ip.trim() == nexthop))
    };
    let is_default = ["0.0.0.0/0", "::/0"].contains(&prefix)
        && text(row, "route_table").is_empty()
        && text(row, "policy") != "src-ip"
        && facts.subnets.iter().any(is_gateway);
    let mut wanted = vpc["spec"]["staticRoutes"].as_array().into_iter().flatten();
    is_default || wanted.any(|it| it["cidr"] == prefix && it["nextHopIP"] == nexthop)
}

fn priority(row: &Columns) -> i64 {
    row.get("priority").and_then(Value::as_i64).unwrap_or_default()
}

/// Whether a policy is one of those that each cluster of Kube-OVN's has, or one of the Vpc's spec, which is named there.
fn is_usual(row: &Columns, vpc: &Value) -> bool {
    let mut wanted = vpc["spec"]["policyRoutes"].as_array().into_iter().flatten();
    is_marked(row) && USUAL.contains(&priority(row))
        || wanted.any(|it| it["priority"] == priority(row) && it["match"] == text(row, "match"))
}

fn is_marked(row: &Columns) -> bool {
    id(row, VENDOR_KEY) == Some(VENDOR)
}

fn nat(row: &Columns, router: &str) -> String {
    let (kind, inside, outside) = (text(row, "type"), text(row, "logical_ip"), text(row, "external_ip"));
    // What nbctl takes to name it: an snat by its inner address.
    let named_by = if kind == "snat" { inside } else { outside };
    format!(
        "NAT {kind} of {inside} to {outside} on router {router}: no object asks for it, and it would translate whatever gets {inside} next; \
         remove it: kubectl ko nbctl lr-nat-del {router} {kind} {named_by}"
    )
}

fn route(row: &Columns, router: &str) -> String {
    let (prefix, nexthop) = (text(row, "ip_prefix"), text(row, "nexthop"));
    let table = match text(row, "route_table") {
        "" => String::new(),
        table => format!("--route-table={table} "),
    };
    let policy = if text(row, "policy") == "src-ip" { "src-ip " } else { "" };
    let option = if policy.is_empty() { "" } else { "--policy=src-ip " };
    format!(
        "Logical_Router_Static_Route {policy}{prefix} via {nexthop} on router {router}: no object asks for it, and it would stay without anybody who \
         maintains it; remove it: kubectl ko nbctl {table}{option}lr-route-del {router} {prefix} {nexthop}"
    )
}

fn policy(row: &Columns, router: &str) -> String {
    let (number, what) = (priority(row), text(row, "match"));
    let then = if is_marked(row) {
        "nothing here does what it does, and take-over finish removes it"
    } else {
        "it isn't marked as Kube-OVN's, and would stay without anybody who maintains it"
    };
    format!(
        "Logical_Router_Policy {number} {what:?} ({}) on router {router}: no object asks for it; {then}. If nothing needs it, remove it: \
         kubectl ko nbctl lr-policy-del {router} {number} '{what}'",
        text(row, "action")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tombolo_testbed::kube_ovn::Left;

    use super::super::check::check;
    use super::*;
    use crate::snapshot::Snapshot;

    /// Objects and rows that a controller of `version` left.
    fn left(version: &str) -> Facts {
        let Left { rows, objects } = Left::by(version).unwrap();
        let of = |kind: &str| -> Vec<Value> {
            let all = objects["items"].as_array().unwrap();
            all.iter().filter(|object| object["kind"] == kind).cloned().collect()
        };
        let mut vpcs = of("Vpc");
        let default = vpcs.iter_mut().find(|vpc| vpc["metadata"]["name"] == "ovn-cluster").unwrap();
        default["status"] = json!({ "default": true, "router": "ovn-cluster" });
        let (subnets, pods, services) = (of("Subnet"), of("Pod"), of("Service"));
        Facts {
            vpcs,
            subnets,
            pods,
            services,
            ips: of("IP"),
            nodes: of("Node"),
            nb: snapshot(&rows),
            ..Facts::default()
        }
    }

    fn snapshot(rows: &Value) -> Snapshot {
        let schema: Value = serde_json::from_str(tombolo_ovn::nb::SCHEMA).unwrap();
        Snapshot::read(&crate::snapshot::tests::file(&[schema, rows.clone()])).unwrap()
    }

    /// With a row on the default Vpc's router.
    fn with(facts: &Facts, table: &str, column: &str, row: Value) -> Facts {
        let mut facts = facts.clone();
        let (uuid, mut rows) = ("00000000-0000-0000-0000-00000000000a", json!({}));
        rows[table][uuid] = row;
        let read = snapshot(&rows);
        for (table, rows) in read.tables {
            facts.nb.tables.entry(table).or_default().extend(rows);
        }
        let routers = facts.nb.tables.get_mut("Logical_Router").unwrap();
        let router = routers.values_mut().find(|row| row["name"] == "ovn-cluster").unwrap();
        let mut all: Vec<Value> =
            uuids(&router[column]).into_iter().map(|uuid| json!(["uuid", uuid])).collect();
        all.push(json!(["uuid", uuid]));
        router.insert(column.to_owned(), json!(["set", all]));
        facts
    }

    fn said(facts: &Facts) -> Vec<String> {
        let mut report = Report::default();
        look(facts, &mut report);
        report.blocks
    }

    #[test]
    fn what_real_controllers_left_is_what_objects_ask_for() {
        for version in ["1.13.0", "1.14.10"] {
            assert_eq!(said(&left(version)), Vec::<String>::new(), "{version}");
        }
        let all = check(&left("1.14.10"));
        assert_eq!(all, Report::default(), "{all:#?}");
    }

    #[test]
    fn nat_that_no_object_asks_for_blocks() {
        let row = |ids: Value| json!({ "type": "dnat_and_snat", "logical_ip": "10.16.0.2", "external_ip": "192.0.2.7", "external_ids": ["map", ids] });
        let bare = with(&left("1.14.10"), "NAT", "nat", row(json!([])));
        let found = said(&bare);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("NAT dnat_and_snat of 10.16.0.2 to 192.0.2.7 on router ovn-cluster: "),
            "{found:?}"
        );
        assert!(
            found[0].ends_with("kubectl ko nbctl lr-nat-del ovn-cluster dnat_and_snat 192.0.2.7"),
            "{found:?}"
        );
        // The pod's annotation, or an object's status, asks for it: they are named, not the row.
        let mut by_pod = bare.clone();
        let pod = by_pod.pods.iter_mut().find(|pod| pod["metadata"]["name"] == "p1").unwrap();
        pod["metadata"]["annotations"][EIP] = json!("192.0.2.7");
        assert_eq!(said(&by_pod), Vec::<String>::new());
        let mut by_object = bare.clone();
        by_object.unserved.insert("OvnEip", vec![json!({ "status": { "v4Ip": "192.0.2.7" } })]);
        assert_eq!(said(&by_object), Vec::<String>::new());
        // Another's address is no reason.
        let mut other = bare;
        let pod = other.pods.iter_mut().find(|pod| pod["metadata"]["name"] == "p2").unwrap();
        pod["metadata"]["annotations"][EIP] = json!("192.0.2.7");
        assert_eq!(said(&other).len(), 1);
        let anothers = with(&left("1.14.10"), "NAT", "nat", row(json!([["tombolo.io/cluster", "c"]])));
        assert_eq!(said(&anothers), Vec::<String>::new());
    }

    #[test]
    fn routes_but_the_nodes_default_one_block() {
        let row = |prefix: &str, nexthop: &str, policy: &str| json!({ "ip_prefix": prefix, "nexthop": nexthop, "policy": policy });
        let found =
            |row: Value| said(&with(&left("1.14.10"), "Logical_Router_Static_Route", "static_routes", row));
        assert_eq!(found(row("::/0", "100.64.0.1", "dst-ip")), Vec::<String>::new());
        let other = found(row("0.0.0.0/0", "192.0.2.1", "dst-ip"));
        assert!(
            other[0].starts_with("Logical_Router_Static_Route 0.0.0.0/0 via 192.0.2.1 on router ovn-cluster"),
            "{other:?}"
        );
        let source = found(row("10.16.0.9", "192.0.2.1", "src-ip"));
        assert!(
            source[0].ends_with("nbctl --policy=src-ip lr-route-del ovn-cluster 10.16.0.9 192.0.2.1"),
            "{source:?}"
        );
        // The Vpc's spec asks for it, which blocks there.
        let mut facts = with(
            &left("1.14.10"),
            "Logical_Router_Static_Route",
            "static_routes",
            row("192.0.2.0/24", "10.16.0.9", "dst-ip"),
        );
        assert_eq!(said(&facts).len(), 1);
        let vpc = facts.vpcs.iter_mut().find(|vpc| vpc["metadata"]["name"] == "ovn-cluster").unwrap();
        vpc["spec"]["staticRoutes"] = json!([{ "cidr": "192.0.2.0/24", "nextHopIP": "10.16.0.9" }]);
        assert_eq!(said(&facts), Vec::<String>::new());
    }

    #[test]
    fn policies_of_features_block_and_those_of_every_cluster_do_not() {
        let row = |priority: i64, ids: Value| json!({ "priority": priority, "match": "ip4.src == 10.16.0.9", "action": "reroute", "external_ids": ["map", ids] });
        let found = |row: Value| said(&with(&left("1.14.10"), "Logical_Router_Policy", "policies", row));
        let marked = json!([["vendor", "kube-ovn"]]);
        assert_eq!(found(row(29_000, marked.clone())), Vec::<String>::new());
        let gateway = found(row(29_250, marked));
        assert!(
            gateway[0].starts_with(
                "Logical_Router_Policy 29250 \"ip4.src == 10.16.0.9\" (reroute) on router ovn-cluster: no object asks for it; \
                 nothing here does what it does, and take-over finish removes it"
            ),
            "{gateway:?}"
        );
        let by_hand = found(row(31_000, json!([])));
        assert!(by_hand[0].contains("it isn't marked as Kube-OVN's, and would stay"), "{by_hand:?}");
        assert!(
            by_hand[0].ends_with("lr-policy-del ovn-cluster 31000 'ip4.src == 10.16.0.9'"),
            "{by_hand:?}"
        );
    }
}
