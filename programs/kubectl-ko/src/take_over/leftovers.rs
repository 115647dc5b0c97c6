//! What Kube-OVN leaves in the northbound that nothing takes over: load balancers, its port groups and policies for each Subnet and
//! node, its deny-all group. Pure.
//!
//! A row is Kube-OVN's by its mark, or by a name and keys that only Kube-OVN writes (before 1.15 it marked neither load balancers
//! nor groups). Whatever Neutron or a cluster of ours has marked never is. Rows of pods, nodes and Subnets that still exist aren't
//! left over: they have yet to be taken over, and hold the command up.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use tombolo_names::rows::{CLUSTER, OWNER, PREFIX, STANDS_FOR, VENDOR, VENDOR_KEY};

use crate::owners::{id, pairs, text, uuids};
use crate::snapshot::Snapshot;

type Columns = Map<String, Value>;
/// A reference to a row of no root table: table, row, column.
type Parent = (String, String, String);

/// Tables of the rows that other rows are made of; they go in this order, with what refers to them.
const TABLES: [&str; 11] = [
    "Load_Balancer",
    "ACL",
    "Logical_Router_Policy",
    "Logical_Router_Static_Route",
    "Port_Group",
    "Address_Set",
    "DHCP_Options",
    "Logical_Switch_Port",
    "Logical_Router_Port",
    "Logical_Switch",
    "Logical_Router",
];

/// Where rows of them hang that are in no root table.
const EDGES: [(&str, &str); 6] = [
    ("Port_Group", "acls"),
    ("Logical_Switch", "acls"),
    ("Logical_Switch", "ports"),
    ("Logical_Router", "policies"),
    ("Logical_Router", "static_routes"),
    ("Logical_Router", "ports"),
];

/// Further rows that go with what they hang on.
const OTHERS: [(&str, &str); 3] =
    [("Logical_Router", "nat"), ("Logical_Switch", "qos_rules"), ("Logical_Switch", "forwarding_groups")];
/// Tables whose rows Kube-OVN before 1.15 doesn't mark, and which are taken over all the same.
const UNMARKED: [&str; 2] = ["Port_Group", "Logical_Router_Static_Route"];
/// In `external_ids` of NB_Global: the version of Kube-OVN's controller. Each one since 1.15 writes it when it starts, and marks
/// groups and routes; none before does either.
const VERSION: &str = "kube-ovn-version";
/// What only we write into a port's options.
const OPTIONS: [&str; 2] = ["requested-chassis", "iface-id-ver"];

/// Names of Kubernetes' objects.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Ports of pods and nodes: `pod.namespace`, `node-name`.
    pub ports: BTreeSet<String>,
    /// Subnets.
    pub subnets: BTreeSet<String>,
    /// Vpcs.
    pub vpcs: BTreeSet<String>,
}

/// A row that goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Leftover {
    /// Its table.
    pub table: &'static str,
    /// Its uuid.
    pub uuid: String,
    /// Its name, or what it says.
    pub name: String,
    /// Its marks.
    pub ids: Value,
    /// Rows that refer to it, of a table that is no root: tables, rows, columns.
    pub parents: Vec<Parent>,
}

/// What goes, and what holds it up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// What goes.
    pub rows: Vec<Leftover>,
    /// Rows that have yet to be taken over, in words.
    pub held: Vec<String>,
}

/// Looks through the northbound.
pub fn find(nb: &Snapshot, names: &Names) -> Found {
    let mut found = Found::default();
    let referrers = referrers(nb);
    for table in TABLES {
        for (uuid, row) in nb.tables.get(table).into_iter().flatten() {
            let parents = referrers.get(uuid.as_str()).cloned().unwrap_or_default();
            if !is_kube_ovns(table, row) && !is_a_rule_of_theirs(nb, table, row, &parents) {
                continue;
            }
            let name = name(row, uuid);
            if is_in_use(table, row, names) {
                found.held.push(format!("{table} {name}"));
                continue;
            }
            let parents = if is_root(nb, table) { Vec::new() } else { parents };
            let ids = row.get("external_ids").cloned().unwrap_or_else(|| json!(["map", []]));
            found.rows.push(Leftover { table, uuid: uuid.clone(), name, ids, parents });
        }
    }
    keep_what_holds_others(nb, &mut found);
    found
}

/// What hangs on a switch, router or group goes with it: one that holds anything but leftovers stays.
fn keep_what_holds_others(nb: &Snapshot, found: &mut Found) {
    let going: BTreeSet<String> = found.rows.iter().map(|row| row.uuid.clone()).collect();
    let holds = |row: &Leftover| {
        let columns = EDGES.iter().chain(&OTHERS).filter(|(table, _)| *table == row.table);
        let values = columns.filter_map(|(table, column)| nb.row(table, &row.uuid)?.get(*column));
        values.flat_map(uuids).any(|child| !going.contains(child))
    };
    let (stay, go): (Vec<_>, Vec<_>) = std::mem::take(&mut found.rows).into_iter().partition(holds);
    let words = |row: Leftover| format!("{} {}, on which rows of others hang", row.table, row.name);
    found.held.extend(stay.into_iter().map(words));
    found.rows = go;
}

/// Whether rows of this cluster were Kube-OVN's.
pub fn has_taken_over(nb: &Snapshot, cluster: &str) -> bool {
    nb.all().any(|(_, _, row)| id(row, CLUSTER) == Some(cluster) && id(row, STANDS_FOR).is_some())
}

/// A count for each table.
pub fn counts(rows: &[Leftover]) -> BTreeMap<&'static str, usize> {
    rows.iter().fold(BTreeMap::new(), |mut all, row| {
        *all.entry(row.table).or_default() += 1;
        all
    })
}

/// The one transaction in which they go, if each still bears the marks that it had.
pub fn transaction(database: &str, rows: &[Leftover]) -> Value {
    let mut params = vec![json!(database)];
    for Leftover { table, uuid, parents, ids, .. } in rows {
        params.push(json!({ "op": "wait", "table": table, "where": only(uuid),
            "columns": ["external_ids"], "until": "==", "rows": [{ "external_ids": ids }], "timeout": 0 }));
        params.extend(removal(table, uuid, parents));
    }
    params.push(json!({ "op": "comment", "comment": "kubectl ko take-over finish" }));
    Value::Array(params)
}

/// What makes our rows Kube-OVN's again: our marks go, and with them the rows that only we make.
///
/// The take-over doesn't record whether a row had Kube-OVN's own mark, which it writes too. It takes rows over without it of two kinds
/// alone, and those had it if Kube-OVN marked them at all, which the northbound tells. (A Kube-OVN that went from 1.15 back to
/// an older version leaves the version there: then the mark stays.)
pub fn back(nb: &Snapshot, cluster: &str) -> Vec<Value> {
    let mut ops = Vec::new();
    let marks_all =
        nb.tables.get("NB_Global").into_iter().flatten().any(|(_, row)| id(row, VERSION).is_some());
    let had_none =
        |table: &str, row: &Columns| !marks_all && UNMARKED.contains(&table) && id(row, STANDS_FOR).is_some();
    let referrers = referrers(nb);
    for (table, uuid, row) in nb.all().filter(|(_, _, row)| id(row, CLUSTER) == Some(cluster)) {
        let is_ours_alone = match table {
            // The fence.
            "Address_Set" => id(row, OWNER) == Some("cluster/"),
            // Of the pods of a node; Kube-OVN has one for each Subnet and node.
            "Logical_Router_Policy" => row["priority"] == 29_000,
            _ => false,
        };
        if !is_ours_alone {
            let goes = |key: &&str| key.starts_with(PREFIX) || *key == VENDOR_KEY && had_none(table, row);
            let keys: Vec<&str> = ids(row).map(|(key, _)| key).filter(goes).collect();
            let mut mutations = vec![json!(["external_ids", "delete", ["set", keys]])];
            if table == "Logical_Switch_Port" {
                mutations.push(json!(["options", "delete", ["set", OPTIONS]]));
            }
            ops.push(json!({ "op": "mutate", "table": table, "where": only(uuid), "mutations": mutations }));
            continue;
        }
        let parents = referrers.get(uuid).filter(|_| !is_root(nb, table)).cloned().unwrap_or_default();
        ops.extend(removal(table, uuid, &parents));
    }
    ops
}

/// How a row goes: one of no root table by the references to it, with the last of which the database drops it.
fn removal(table: &str, uuid: &str, parents: &[Parent]) -> Vec<Value> {
    if parents.is_empty() {
        return vec![json!({ "op": "delete", "table": table, "where": only(uuid) })];
    }
    let forgets = |(parent, at, column): &Parent| json!({ "op": "mutate", "table": parent, "where": only(at), "mutations": [[column, "delete", ["uuid", uuid]]] });
    parents.iter().map(forgets).collect()
}

/// The condition that selects one row.
fn only(uuid: &str) -> Value {
    json!([["_uuid", "==", ["uuid", uuid]]])
}

fn is_root(nb: &Snapshot, table: &str) -> bool {
    nb.schema["tables"][table]["isRoot"] == true
}

fn ids(row: &Columns) -> impl Iterator<Item = (&str, &str)> {
    row.get("external_ids").map(pairs).into_iter().flatten()
}

fn is_marked_by_others(row: &Columns) -> bool {
    ids(row).any(|(key, _)| key.starts_with("neutron:") || key.starts_with(PREFIX))
}

fn is_kube_ovns(table: &str, row: &Columns) -> bool {
    if is_marked_by_others(row) {
        return false;
    }
    if id(row, VENDOR_KEY) == Some(VENDOR) {
        return true;
    }
    let name = text(row, "name");
    match table {
        "Load_Balancer" => is_load_balancer(name),
        "Port_Group" => {
            let is_of_node = id(row, "np").is_some_and(|np| np.contains('/'));
            let is_security_group = name.starts_with("ovn.sg.") && id(row, "type") == Some("security_group");
            is_of_node || is_security_group
        }
        "Address_Set" => name.starts_with("ovn.sg.") && id(row, "sg").is_some(),
        _ => false,
    }
}

/// `cluster-tcp-loadbalancer`, `cluster-udp-session-loadbalancer`, `vpc-NAME-tcp-load`, `vpc-NAME-sctp-sess-load`.
fn is_load_balancer(name: &str) -> bool {
    let is_protocol = |word: &str| matches!(word, "tcp" | "udp" | "sctp");
    let cluster = name.strip_prefix("cluster-").and_then(|rest| rest.strip_suffix("-loadbalancer"));
    let of_cluster = cluster.map(|rest| rest.strip_suffix("-session").unwrap_or(rest));
    let vpc = name.strip_prefix("vpc-").and_then(|rest| rest.strip_suffix("-load"));
    let of_vpc =
        vpc.map(|rest| rest.strip_suffix("-sess").unwrap_or(rest)).and_then(|rest| rest.rsplit_once('-'));
    of_cluster.is_some_and(is_protocol) || of_vpc.is_some_and(|(_, word)| is_protocol(word))
}

/// A rule in a group or switch of Kube-OVN's or of ours; we make none.
fn is_a_rule_of_theirs(nb: &Snapshot, table: &str, row: &Columns, parents: &[Parent]) -> bool {
    table == "ACL"
        && !is_marked_by_others(row)
        && id(row, "parent").is_some()
        && parents.iter().all(|(table, uuid, _)| {
            nb.row(table, uuid).is_some_and(|row| is_kube_ovns(table, row) || id(row, CLUSTER).is_some())
        })
}

/// The strong references to rows that are in no root table, by those rows: tables, rows, columns.
fn referrers(nb: &Snapshot) -> BTreeMap<&str, Vec<Parent>> {
    let mut all: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for (table, column) in EDGES {
        for (at, row) in nb.tables.get(table).into_iter().flatten() {
            for uuid in row.get(column).map(uuids).unwrap_or_default() {
                all.entry(uuid).or_default().push((table.to_owned(), at.clone(), column.to_owned()));
            }
        }
    }
    all
}

/// Whether a row is that of an object that exists.
fn is_in_use(table: &str, row: &Columns, names: &Names) -> bool {
    let name = text(row, "name");
    match table {
        "Logical_Switch" => names.subnets.contains(name),
        "Logical_Router" => names.vpcs.contains(name),
        "Logical_Switch_Port" => {
            let is_routers = text(row, "type") == "router";
            let of_subnet = id(row, "ls").is_some_and(|subnet| names.subnets.contains(subnet));
            let of_pod = id(row, "pod").and_then(|pod| pod.split_once('/'));
            let of_pod =
                of_pod.is_some_and(|(namespace, pod)| names.ports.contains(&format!("{pod}.{namespace}")));
            // Whatever runs behind it: a further interface, a VM.
            let is_up = row.get("up").is_some_and(|up| *up == true);
            names.ports.contains(name) || of_pod || is_up && !is_routers || is_routers && of_subnet
        }
        "Logical_Router_Port" => names.subnets.iter().any(|subnet| {
            name.strip_suffix(subnet.as_str())
                .and_then(|rest| rest.strip_suffix('-'))
                .is_some_and(|vpc| names.vpcs.contains(vpc))
        }),
        _ => false,
    }
}

fn name(row: &Columns, uuid: &str) -> String {
    let said = ["name", "match", "ip_prefix"].map(|column| text(row, column));
    said.into_iter().find(|text| !text.is_empty()).unwrap_or(uuid).to_owned()
}
