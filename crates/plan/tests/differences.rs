//! The tables of docs/understand/differences.md, "Fields and annotations", say what the code does, and leave nothing out: neither what
//! our definitions and our code know, nor what Kube-OVN has (`kube-ovn-names.txt`).

#![allow(clippy::unwrap_used, clippy::expect_used)] // A test program; helpers of tests aren't recognized as such.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tombolo_api::defaults::{Defaults, subnet_defaults};
use tombolo_api::validate::{self, Place, Problem, Reason, Severity};
use tombolo_api::{OVN_PROVIDER, SubnetSpec, VpcSpec, crds};
use tombolo_plan::unserved;

const PAGE: &str = include_str!("../../../docs/understand/differences.md");
const NAMES: &str = include_str!("kube-ovn-names.txt");
const CONSTANTS: &str = include_str!("../../names/src/annotations.rs");

const PREFIX: &str = "ovn.kubernetes.io/";
/// The mark of a row whose object is served all the same.
const WITHOUT: &str = "without it";
/// Columns of a table with a state for each of the two kinds of routers.
const PLACES: [(&str, Place); 2] =
    [("default Vpc", Place::DefaultVpc), ("Neutron's router", Place::NeutronRouter)];

/// A row: the names in its first cell, and its other cells by the heads of their columns.
#[derive(Debug, Clone)]
struct Row {
    names: Vec<String>,
    cells: BTreeMap<String, String>,
}

impl Row {
    fn cell(&self, column: &str) -> &str {
        self.cells.get(column).unwrap_or_else(|| panic!("no column {column:?}: {self:?}"))
    }

    fn goes_without(&self) -> bool {
        self.cell("how").starts_with(WITHOUT)
    }
}

/// The tables below their headings.
type Tables = BTreeMap<String, Vec<Row>>;

/// Reads the section of the page.
fn tables(page: &str) -> Result<Tables, String> {
    let (_, section) = page.split_once("\n## Fields and annotations").ok_or("no such section")?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut tables = Tables::new();
    for part in section.split("\n### ").skip(1) {
        let (heading, text) = part.split_once('\n').ok_or("a heading without a table")?;
        let mut lines = text.lines().filter(|line| line.starts_with('|')).map(cells);
        let head = lines.next().ok_or_else(|| format!("{heading}: no table"))?;
        let mut rows = Vec::new();
        for line in lines.skip(1) {
            if line.len() != head.len() {
                return Err(format!("{heading}: {line:?} has not the columns {head:?}"));
            }
            let names: Vec<String> = line[0].split('`').skip(1).step_by(2).map(str::to_owned).collect();
            if names.is_empty() {
                return Err(format!("{heading}: {line:?} names nothing"));
            }
            rows.push(Row { names, cells: head.iter().cloned().zip(line).collect() });
        }
        if rows.is_empty() {
            return Err(format!("{heading}: an empty table"));
        }
        tables.insert(heading.to_owned(), rows);
    }
    if tables.is_empty() { Err("no tables".to_owned()) } else { Ok(tables) }
}

fn cells(line: &str) -> Vec<String> {
    line.trim().trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()
}

/// One table: each name in its words on the page, with its row.
fn table(heading: &str) -> BTreeMap<String, Row> {
    let mut all = BTreeMap::new();
    for row in tables(PAGE).unwrap().remove(heading).unwrap_or_else(|| panic!("no table {heading:?}")) {
        for name in &row.names {
            assert!(all.insert(name.clone(), row.clone()).is_none(), "{heading}: {name} is there twice");
        }
    }
    all
}

/// A name without the value that its row is about: `protocol` of `protocol: Mac`.
fn bare(name: &str) -> &str {
    name.split(':').next().unwrap_or_default()
}

/// The key of an annotation as the page writes it: in full where it has a prefix.
fn key(name: &str) -> String {
    if name.contains('/') { name.to_owned() } else { format!("{PREFIX}{name}") }
}

/// The lists of `kube-ovn-names.txt`.
fn names() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut all: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut list = None;
    for line in NAMES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(heading) => list = Some(all.entry(heading).or_default()),
            None => list.as_mut().expect("a name before the first list").push(line),
        }
    }
    all
}

/// Fields of the spec in our definition of a kind.
fn fields(kind: &str) -> BTreeSet<String> {
    let all = crds::all();
    let crd = all.iter().map(|(_, crd)| crd).find(|crd| crd.spec.names.kind == kind);
    let crd = serde_json::to_value(crd.unwrap_or_else(|| panic!("no definition of {kind}"))).unwrap();
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let fields: BTreeSet<String> = spec["properties"].as_object().unwrap().keys().cloned().collect();
    assert!(fields.len() > 5, "{kind}: {fields:?}");
    fields
}

/// Whether the state on the page is what the code says of the field or annotation.
fn check_state(whose: &str, state: &str, found: Option<&Problem>) {
    let right: &[&str] = match found.map(|problem| problem.reason) {
        None => &["served", "ignored"],
        Some(Reason::NotSupportedYet) => &["planned"],
        Some(Reason::NotPossibleOnNeutronRouter) => &["refused"],
        Some(other) => panic!("{whose}: {other}"),
    };
    assert!(right.contains(&state), "{whose}: {state} on the page, but the code says {found:?}");
}

#[test]
fn a_page_without_tables_is_an_error() {
    for page in [
        "",
        "# Differences\n\n## Fields and annotations\n\n## Texts\n",
        "\n## Fields and annotations\n### A\nb\n",
    ] {
        assert!(tables(page).is_err(), "{page:?}");
    }
    let head = "\n## Fields and annotations\n### A\n| a | state |\n|---|---|\n";
    assert!(tables(head).is_err());
    assert!(tables(&format!("{head}| x | served |\n")).is_err());
    assert!(tables(&format!("{head}| `x` | served | more |\n")).is_err());
    let one =
        tables(&format!("{head}| `x`, `y: z` | served |\n### B\n| a |\n|---|\n| `v` |\n\n## C\n")).unwrap();
    assert_eq!(one["A"][0].names, ["x", "y: z"]);
    assert_eq!(one["A"][0].cell("state"), "served");
    assert_eq!(one["B"].len(), 1);
}

#[test]
fn states_are_words_of_the_legend() {
    for (heading, rows) in tables(PAGE).unwrap() {
        for row in rows {
            let states = row.cells.iter().filter(|(column, _)| {
                column.as_str() == "state" || PLACES.iter().any(|(place, _)| place == column)
            });
            let states: Vec<&str> = states.map(|(_, state)| state.as_str()).collect();
            assert!(!states.is_empty(), "{heading}: {row:?} has no state");
            for state in states {
                assert!(["served", "planned", "refused", "ignored"].contains(&state), "{heading}: {row:?}");
                assert!(PAGE.contains(&format!("\n| {state} | ")), "the legend lacks {state}");
            }
        }
    }
}

#[test]
fn each_field_of_our_definitions_has_a_row_and_each_row_a_field() {
    for (kind, heading) in [("Vpc", "Vpc.spec"), ("Subnet", "Subnet.spec"), ("IP", "IP.spec")] {
        let rows: BTreeSet<String> = table(heading).keys().map(|name| bare(name).to_owned()).collect();
        assert_eq!(rows, fields(kind), "left: rows of {heading}, right: fields of the definition");
    }
}

/// What asks for a field, as its row has it; what a field needs to ask for anything is beside it.
fn wish(name: &str) -> Value {
    match name {
        "vpc" => json!({ "vpc": "ovn-cluster" }),
        "cidrBlock" => json!({ "cidrBlock": "10.1.0.0/16" }),
        "gateway" => json!({ "gateway": "10.1.0.9" }),
        "mtu" => json!({ "mtu": 1400 }),
        "protocol" => json!({ "protocol": "IPv4" }),
        "protocol: Mac" => json!({ "protocol": "Mac" }),
        "provider: ovn" => json!({ "provider": "ovn" }),
        "provider: <nad>.<namespace>.ovn" => json!({ "provider": "net1.a.ovn" }),
        "gatewayType: distributed" => json!({ "gatewayType": "distributed" }),
        "gatewayType: centralized" => json!({ "gatewayType": "centralized" }),
        "gatewayNode" => json!({ "gatewayNode": "n1", "gatewayType": "centralized" }),
        "gatewayNodeSelectors" => json!({ "gatewayNodeSelectors": [{}], "gatewayType": "centralized" }),
        "externalEgressGateway" => json!({ "externalEgressGateway": "10.9.0.1" }),
        "policyRoutingPriority" | "policyRoutingTableID" => json!({ name: 7 }),
        "routeTable" | "nodeNetwork" | "vlan" | "ipv6RAConfigs" | "dhcpV4Options" | "dhcpV6Options" => {
            json!({ name: "x" })
        }
        "u2oInterconnection" => json!({ "u2oInterconnection": true, "vlan": "v" }),
        "u2oInterconnectionIP" => json!({ "u2oInterconnectionIP": "10.1.0.8", "vlan": "v" }),
        "u2oFeatures" => json!({ "u2oFeatures": { "overlayOnlyRouting": true }, "vlan": "v" }),
        "allowSubnets" => json!({ "allowSubnets": ["10.9.0.0/16"], "private": true }),
        "excludeIps" | "namespaces" | "vips" | "extraExternalSubnets" => json!({ name: ["x"] }),
        "namespaceSelectors" | "natOutgoingPolicyRules" | "acls" => json!({ name: [{}] }),
        "staticRoutes" | "policyRoutes" | "vpcPeerings" => json!({ name: [{}] }),
        "defaultSubnet" => json!({ "defaultSubnet": "net1" }),
        "bfdPort" | "dynamicRouting" => json!({ name: { "enabled": true } }),
        // The others are flags.
        flag => json!({ flag: true }),
    }
}

#[test]
fn states_of_spec_fields_are_what_the_code_says() {
    for (name, row) in table("Subnet.spec") {
        let spec: SubnetSpec = serde_json::from_value(wish(&name)).unwrap();
        assert_ne!(spec, SubnetSpec::default(), "{name}: the wish is none");
        for (column, place) in PLACES {
            let vpc = if place == Place::DefaultVpc { "ovn-cluster" } else { "neutron-1" };
            let spec = SubnetSpec { vpc: vpc.to_owned(), ..spec.clone() };
            let spec = subnet_defaults("net1", &spec, &Defaults::default());
            let found = validate::subnet_limits(&spec, place);
            let of_field = found.iter().find(|p| p.field == format!("spec.{}", bare(&name)));
            check_state(&format!("Subnet {name}, {column}"), row.cell(column), of_field);
            assert!(of_field.is_none_or(|p| p.severity == Severity::Refuse), "{name}: nothing goes without");
        }
    }
    for (name, row) in table("Vpc.spec") {
        let spec: VpcSpec = serde_json::from_value(wish(&name)).unwrap();
        assert_ne!(spec, VpcSpec::default(), "{name}: the wish is none");
        for (column, place) in PLACES {
            let found = validate::vpc_limits(&spec, place);
            let of_field = found.iter().find(|p| p.field == format!("spec.{name}"));
            check_state(&format!("Vpc {name}, {column}"), row.cell(column), of_field);
        }
    }
    for (name, row) in table("IP.spec") {
        check_state(&format!("IP {name}"), row.cell("state"), None);
    }
}

#[test]
fn states_of_pods_annotations_are_what_the_code_says() {
    for (name, row) in table("Annotations of pods") {
        let key = key(&name).replace("<nad>", "net1").replace("<namespace>", "a").replace("<any>", "vip");
        let all = BTreeMap::from([(key.clone(), "x".to_owned())]);
        for (column, place) in PLACES {
            let found = validate::pod_limits(&all, OVN_PROVIDER, place);
            let of_key = found.iter().find(|p| p.field == format!("metadata.annotations[{key}]"));
            assert_eq!(found.len(), usize::from(of_key.is_some()), "{found:?}");
            check_state(&format!("pod {name}, {column}"), row.cell(column), of_key);
            if let Some(problem) = of_key {
                let goes_without = problem.severity == Severity::Ignored;
                assert_eq!(row.goes_without(), goes_without, "pod {name}: {problem:?}, {row:?}");
            }
        }
    }
}

#[test]
fn states_of_other_annotations_are_what_the_code_says() {
    for (heading, unserved) in [
        ("Annotations of Subnets", &validate::UNSERVED_ON_SUBNETS[..]),
        ("Annotations of Vpcs", &validate::UNSERVED_ON_VPCS[..]),
        ("Annotations of Nodes", &validate::UNSERVED_ON_NODES[..]),
        ("Annotations of Namespaces", &[]),
        ("Labels and finalizers", &[]),
        ("Other annotations", &[]),
    ] {
        let rows = table(heading);
        let mut of_kube_ovn = unserved.iter().filter(|key| !key.starts_with("tombolo.io/"));
        let missing = of_kube_ovn.find(|listed| !rows.keys().any(|name| key(name) == **listed));
        assert_eq!(missing, None, "{heading}: it isn't served and has no row");
        for (name, row) in &rows {
            let all = BTreeMap::from([(key(name), "x".to_owned())]);
            let found = validate::annotation_limits(unserved, Some(&all));
            check_state(&format!("{heading}: {name}"), row.cell("state"), found.first());
            assert_eq!(row.goes_without(), !found.is_empty(), "{heading}: {name}");
        }
    }
    for (name, row) in table("Annotations of Tombolo's own") {
        let planned = validate::UNSERVED_ON_SUBNETS.contains(&name.as_str());
        assert_eq!(row.cell("state"), if planned { "planned" } else { "served" }, "{name}");
    }
    for (name, row) in table("Annotations of Services") {
        let service = json!({ "metadata": { "name": "s", "annotations": { key(&name): "x" } }, "spec": {} });
        let said = unserved::service(&serde_json::from_value(service).unwrap(), "ovn-cluster", None);
        let reasons: Vec<_> = said.iter().map(|problem| problem.reason).collect();
        assert_eq!(reasons, [tombolo_names::Reason::ServiceNotServed], "{name}");
        assert_eq!((row.cell("state"), row.goes_without()), ("planned", true), "{name}");
    }
    // Of a NetworkPolicy all is said whatever its annotations are.
    for (name, row) in table("Annotations of NetworkPolicies") {
        assert_eq!((row.cell("state"), row.goes_without()), ("planned", true), "{name}");
    }
}

#[test]
fn served_kinds_are_those_with_a_definition() {
    let ours: BTreeSet<String> = crds::all().into_iter().map(|(_, crd)| crd.spec.names.kind).collect();
    let (served, others): (Vec<_>, Vec<_>) =
        table("Kinds").into_iter().partition(|(_, row)| row.cell("state") == "served");
    assert_eq!(served.into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>(), ours);
    assert!(!others.is_empty() && others.iter().all(|(_, row)| row.cell("state") == "planned"), "{others:?}");
}

/// Each key that the code has a constant for; read from its source, so that none can be left out.
#[test]
fn each_constant_of_the_code_has_a_row() {
    let text = CONSTANTS.split("#[cfg(test)]").next().unwrap();
    let mut keys = Vec::new();
    for line in text.lines().map(str::trim) {
        let value = line.strip_suffix("\";").and_then(|line| Some(line.split_once(" = \"")?.1));
        match value {
            Some(value) if line.starts_with("pub const ") => {
                keys.extend(value.contains('/').then(|| key(value)))
            }
            Some(value) => keys.push(key(value)),
            None => {}
        }
    }
    assert!(keys.len() > 60, "{keys:?}");
    assert!(
        keys.contains(&tombolo_api::annotations::MTU.to_owned()) && keys.contains(&key("vf_representor"))
    );
    let headings = tables(PAGE).unwrap().into_keys();
    let annotations = headings.filter(|it| it.contains("nnotations") || it.contains("Labels"));
    let rows: BTreeSet<String> =
        annotations.flat_map(|heading| table(&heading).into_keys()).map(|name| key(&name)).collect();
    let missing: Vec<&String> = keys.iter().filter(|key| !rows.contains(*key)).collect();
    assert!(missing.is_empty(), "no row for {missing:?}");
}

#[test]
fn each_name_of_kube_ovn_has_a_row() {
    let names = names();
    assert!(names.len() == 13 && names.values().map(Vec::len).sum::<usize>() > 180, "{names:?}");
    for (heading, list) in names {
        // The headings of the page begin with a capital.
        let title = format!("{}{}", heading[..1].to_uppercase(), &heading[1..]);
        let is_key = |name: &str| name.contains('/');
        let rows: BTreeSet<String> = table(&title).into_keys().map(|name| bare(&name).to_owned()).collect();
        for name in list {
            let is_there = rows.contains(name) || is_key(name) && rows.iter().any(|row| key(row) == name);
            assert!(is_there, "{title}: no row for {name}");
        }
    }
}
