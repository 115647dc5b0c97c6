//! Small worlds: a handful of objects and rows, said in as few words as there is to know of them. Rows of ours come from
//! the plans themselves, and those of others are written as Neutron writes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tombolo_net::Mac;
use tombolo_ovsdb::{ChangeSet, Datum, Name, Replica, Row, Schema, Uuid};

use crate::desired::{Intent, Managed, Verb};
use crate::nb::{self, table};
use crate::world::Dirty;
use crate::{ClusterId, Config, Owner, Plan, Selector, World};

/// The router that Neutron's rows here are about, and so its Vpc.
pub(super) const ROUTER: &str = "neutron-r";
const ROUTER_ROW: Uuid = Uuid::from_u128(1);

pub(crate) fn config() -> Config {
    Config {
        cluster: ClusterId::new("c1").unwrap(),
        default_subnet: "ovn-default".to_owned(),
        default_cidr: "10.16.0.0/16".parse().unwrap(),
        default_gateway: vec!["10.16.0.1".parse().unwrap()],
        default_exclude: vec!["10.16.0.1..10.16.0.9".to_owned()],
        cluster_router: "ovn-cluster".to_owned(),
        join_subnet: "join".to_owned(),
        join_cidr: "100.64.0.0/16".parse().unwrap(),
        join_gateway: vec!["100.64.0.1".parse().unwrap()],
        service_cidr: None,
        enable_lb: true,
        port_security: false,
        external_vpcs: true,
        router_selector: Selector::default(),
        retention_secs: 100,
        take_over: false,
        leaving: false,
    }
}

/// A world, and the ways in which it changes.
pub(super) struct Small {
    pub world: World,
}

impl Small {
    /// Nothing is there.
    pub(super) fn empty() -> Self {
        let schema = Schema::parse(tombolo_ovn::nb::SCHEMA).unwrap();
        let config = config();
        let mut world = World::new(config.clone());
        let nb = Replica::new(&nb::wanted(&config.cluster).intersect(&schema), &nb::indexes());
        world.apply_nb(nb, &ChangeSet::default(), &mut Dirty::default());
        world.set_time(crate::time::seconds("2026-01-01T00:00:00Z").unwrap());
        Small { world }
    }

    /// The default Vpc stands, with its two Subnets.
    pub(super) fn cluster() -> Self {
        let mut small = Small::empty();
        small.vpc("ovn-cluster", json!({}));
        small.stand(&Owner::vpc("ovn-cluster"));
        for (name, cidr) in [("ovn-default", "10.16.0.0/16"), ("join", "100.64.0.0/16")] {
            small.subnet(name, json!({ "cidrBlock": cidr }));
            small.stand(&Owner::subnet(name));
        }
        small
    }

    /// Neutron's router is there too, and its Vpc has the namespace `a`.
    pub(super) fn with_router() -> Self {
        let mut small = Small::cluster();
        small.router(&[]);
        small.vpc(ROUTER, json!({ "namespaces": ["a"] }));
        small.namespace("a", json!({}));
        small
    }

    /// Adds or changes an object. It gets a uid, and what it says of its metadata besides.
    pub(super) fn object(&mut self, kind: &str, mut object: Value) -> Dirty {
        let mut dirty = Dirty::default();
        object["kind"] = json!(kind);
        object["apiVersion"] = json!("kubeovn.io/v1");
        let meta = object["metadata"].as_object_mut().unwrap();
        let name = meta["name"].as_str().unwrap().to_owned();
        meta.entry("uid").or_insert_with(|| json!(format!("uid-{name}")));
        let namespace = meta.get("namespace").and_then(Value::as_str).unwrap_or_default().to_owned();
        let world = &mut self.world;
        match kind {
            "Vpc" => world.apply_vpc(&name, Some(read(object)), &mut dirty),
            "Subnet" => world.apply_subnet(&name, Some(read(object)), &mut dirty),
            "IP" => world.apply_ip(&name, Some(read(object)), &mut dirty),
            "Node" => world.apply_node(&name, Some(read(object)), &mut dirty),
            "Namespace" => world.apply_namespace(&name, Some(read(object)), &mut dirty),
            "Pod" => {
                let key = format!("{namespace}/{name}");
                world.apply_pod(&key, Some(read(object)), &mut dirty);
            }
            other => panic!("{other}"),
        }
        dirty
    }

    pub(super) fn vpc(&mut self, name: &str, spec: Value) -> Dirty {
        self.object("Vpc", json!({ "metadata": { "name": name }, "spec": spec }))
    }

    pub(super) fn subnet(&mut self, name: &str, spec: Value) -> Dirty {
        self.object("Subnet", json!({ "metadata": { "name": name }, "spec": spec }))
    }

    /// The same of a Subnet that was made in this second of the year.
    pub(super) fn subnet_of(&mut self, second: u8, name: &str, spec: Value) -> Dirty {
        let time = format!("2026-01-01T00:00:{second:02}Z");
        self.object(
            "Subnet",
            json!({ "metadata": { "name": name, "creationTimestamp": time }, "spec": spec }),
        )
    }

    /// A namespace with labels.
    pub(super) fn namespace(&mut self, name: &str, labels: Value) -> Dirty {
        self.object("Namespace", json!({ "metadata": { "name": name, "labels": labels } }))
    }

    /// A pod on node `n`.
    pub(super) fn pod(&mut self, namespace: &str, name: &str, annotations: Value) -> Dirty {
        self.object(
            "Pod",
            json!({
                "metadata": { "name": name, "namespace": namespace, "annotations": annotations },
                "spec": { "nodeName": "n" },
            }),
        )
    }

    /// An address that our controller gave to a pod.
    pub(super) fn ip(&mut self, namespace: &str, pod: &str, subnet: &str, address: &str) -> Dirty {
        let mac = Mac::from_seed_bytes(format!("{namespace}/{pod}").as_bytes()).to_kube_ovn();
        self.object(
            "IP",
            json!({
                "metadata": {
                    "name": crate::names::pod_port(namespace, pod),
                    "annotations": { "tombolo.io/epoch": "1" },
                },
                "spec": {
                    "podName": pod, "namespace": namespace, "subnet": subnet, "nodeName": "n",
                    "ipAddress": address, "macAddress": mac,
                },
            }),
        )
    }

    /// The object of this name is gone; a pod's is `<namespace>/<name>`.
    pub(super) fn gone(&mut self, kind: &str, name: &str) -> Dirty {
        let mut dirty = Dirty::default();
        match kind {
            "Vpc" => self.world.apply_vpc(name, None, &mut dirty),
            "Subnet" => self.world.apply_subnet(name, None, &mut dirty),
            "IP" => self.world.apply_ip(name, None, &mut dirty),
            "Pod" => self.world.apply_pod(name, None, &mut dirty),
            "Node" => self.world.apply_node(name, None, &mut dirty),
            "Namespace" => self.world.apply_namespace(name, None, &mut dirty),
            other => panic!("{other}"),
        }
        dirty
    }

    /// Changes rows of the database, all at once.
    pub(super) fn nb(&mut self, rows: impl IntoIterator<Item = (Name, Uuid, Option<Row>)>) -> Dirty {
        let (mut replica, mut changes, mut dirty) =
            (self.world.nb().clone(), ChangeSet::default(), Dirty::default());
        for (table, uuid, row) in rows {
            let old = replica.put(table, uuid, row);
            let new = replica.row(table, &uuid).cloned();
            changes.record(table, uuid, old, new);
        }
        self.world.apply_nb(replica, &changes, &mut dirty);
        dirty
    }

    /// One row as it stands, changed.
    pub(super) fn change(&mut self, table: Name, uuid: Uuid, change: impl FnOnce(Row) -> Row) -> Dirty {
        let row = change(Row::clone(self.world.nb().row(table, &uuid).unwrap()));
        self.nb([(table, uuid, Some(row))])
    }

    /// Neutron's router, with the ports that it has beside these of Neutron's networks: the name of each network, and its
    /// router's address there.
    pub(super) fn router(&mut self, networks: &[(&str, &str)]) -> Dirty {
        let mut rows = Vec::new();
        let mut ports: Vec<Uuid> = Vec::new();
        if let Some(row) = self.world.nb().row(table::ROUTER, &ROUTER_ROW) {
            let ours = |port: &Uuid| {
                let row = self.world.nb().row(table::ROUTER_PORT, port);
                row.is_some_and(|row| row.key("external_ids", "neutron:network_name").is_none())
            };
            ports.extend(row.get("ports").unwrap().uuids().filter(ours));
        }
        for (number, (network, address)) in (100..).zip(networks) {
            let port = Uuid::from_u128(number);
            let ids = [("neutron:network_name", *network)];
            rows.push((
                table::ROUTER_PORT,
                port,
                Some(
                    Row::new()
                        .with("name", Datum::string(format!("lrp-{number}")))
                        .with("networks", Datum::set_of_strings([*address]))
                        .with("external_ids", Datum::map_of_strings(ids)),
                ),
            ));
            let ids = [("neutron:network_name", "shown"), ("neutron:mtu", "1400")];
            rows.push((
                table::SWITCH,
                Uuid::from_u128(number + 100),
                Some(
                    Row::new()
                        .with("name", Datum::string(*network))
                        .with("external_ids", Datum::map_of_strings(ids)),
                ),
            ));
            ports.push(port);
        }
        let row = Row::new()
            .with("name", Datum::string(ROUTER))
            .with("ports", Datum::set_of_uuids(ports))
            .with("external_ids", Datum::map_of_strings([("neutron:router_name", "router0")]));
        rows.push((table::ROUTER, ROUTER_ROW, Some(row)));
        self.nb(rows)
    }

    /// Neutron deletes its router, and the database the ports that hung on it.
    pub(super) fn without_router(&mut self) -> Dirty {
        let row = self.world.nb().row(table::ROUTER, &ROUTER_ROW).unwrap();
        let ports: Vec<Uuid> = row.get("ports").unwrap().uuids().collect();
        let rows = ports.into_iter().map(|port| (table::ROUTER_PORT, port, None));
        self.nb(rows.chain([(table::ROUTER, ROUTER_ROW, None)]).collect::<Vec<_>>())
    }

    pub(super) fn plan(&self, owner: &Owner) -> Plan {
        crate::plan(&self.world, owner)
    }

    /// What the plan of an owner wants stands; what it doesn't want any more is gone.
    pub(super) fn stand(&mut self, owner: &Owner) -> Dirty {
        let plan = self.plan(owner);
        let rows = plan.rows().cloned().unwrap_or_else(|| panic!("no rows of {owner}: {:?}", plan.problems));
        let mut new: BTreeMap<(Name, Uuid), Option<Row>> = BTreeMap::new();
        let cluster = &self.world.config().cluster;
        for table in nb::OWNED {
            for (uuid, _) in nb::owned(self.world.nb(), cluster, table, owner) {
                new.insert((table, uuid), None);
            }
        }
        let gone: Vec<Uuid> = new.keys().map(|(_, uuid)| *uuid).collect();
        for row in &rows.rows {
            let mut all = Row::new();
            for (column, value) in &row.columns {
                let datum = match value {
                    Managed::Whole(datum) | Managed::Initial(datum) => datum.clone(),
                    Managed::Keys(keys) => Datum::map_of_strings(keys.clone()),
                };
                all.set(column, datum);
            }
            if let Some(old) = self.world.nb().row(row.table, &row.uuid) {
                for column in referring(row.table) {
                    all.set(column, old.get(column).unwrap().clone());
                }
            }
            new.insert((row.table, row.uuid), Some(all));
        }
        for table in [table::SWITCH, table::ROUTER, table::PORT_GROUP] {
            for (uuid, old) in self.world.nb().rows(table) {
                let entry = new.entry((table, uuid)).or_insert_with(|| Some(Row::clone(old)));
                let Some(row) = entry else { continue };
                for column in referring(table) {
                    let kept =
                        row.get(column).unwrap().difference(&Datum::set_of_uuids(gone.iter().copied()));
                    row.set(column, kept);
                }
            }
        }
        for row in &rows.rows {
            for edge in &row.edges {
                let parent = new.get_mut(&(edge.table, edge.parent)).unwrap().as_mut().unwrap();
                let child = Datum::uuid(row.uuid);
                let all = parent.get(edge.column).map_or(child.clone(), |all| all.union(&child));
                parent.set(edge.column, all);
            }
        }
        for entry in &rows.entries {
            let Some(Some(row)) = new.get_mut(&(entry.table, entry.row)) else { continue };
            let element = Datum::set([entry.element.clone()]);
            let all = row.get(entry.column).map_or(element.clone(), |all| all.union(&element));
            row.set(entry.column, all);
        }
        self.nb(new.into_iter().map(|((table, uuid), row)| (table, uuid, row)).collect::<Vec<_>>())
    }

    /// The uuid of a row of ours.
    pub(super) fn row(&self, table: &str, owner: &Owner, role: &str) -> Uuid {
        self.world.config().cluster.row_uuid(table, owner, role)
    }
}

fn read<T: serde::de::DeserializeOwned>(object: Value) -> Arc<T> {
    Arc::new(serde_json::from_value(object).unwrap())
}

/// The columns by which rows of a table refer to others, as far as they are monitored.
fn referring(table: &'static str) -> impl Iterator<Item = &'static str> {
    let shared = nb::SHARED.into_iter().filter(move |(of, _)| *of == table && table == table::PORT_GROUP);
    nb::edge_columns(table).iter().copied().chain(shared.map(|(_, column)| column))
}

/// The reasons of a plan's problems.
pub(super) fn reasons(plan: &Plan) -> Vec<&str> {
    plan.problems.iter().map(|problem| problem.reason.as_str()).collect()
}

/// The tables of a plan's rows; `None` if it leaves what stands.
pub(super) fn tables(plan: &Plan) -> Option<Vec<&'static str>> {
    plan.rows().map(|rows| rows.rows.iter().map(|row| row.table).collect())
}

/// The status that a plan writes.
pub(super) fn status(plan: &Plan) -> Value {
    let is_status = |intent: &&Intent| matches!(intent.verb, Verb::MergePatch { status: true, .. });
    let found = plan.last_writes().iter().find(is_status);
    found.map_or(Value::Null, |intent| body(intent)["status"].clone())
}

/// The body of a create or patch.
pub(super) fn body(intent: &Intent) -> &Value {
    match &intent.verb {
        Verb::Create(object) => object,
        Verb::MergePatch { patch, .. } => patch,
        other => panic!("{other:?}"),
    }
}

/// The condition `Ready` that a plan writes, as `True` or `False` and its reason.
pub(super) fn ready(plan: &Plan) -> (String, String) {
    let status = status(plan);
    let all = status["conditions"].as_array().unwrap();
    let one = all.iter().find(|it| it["type"] == "Ready").unwrap();
    let text = |key: &str| one[key].as_str().unwrap().to_owned();
    (text("status"), text("reason"))
}
