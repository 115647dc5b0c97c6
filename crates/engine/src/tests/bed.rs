//! An engine with all around it in memory: an API server and a database that do at once what they are asked, unless a test
//! answers itself.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tombolo_ovsdb::ops::Mutator;
use tombolo_ovsdb::{ChangeSet, Datum, Name, Op, Replica, Row, Schema, Txn, TxnReply, Uuid};
use tombolo_plan::nb::{self, table};
use tombolo_plan::{ClusterId, Config, Kind, Owner, Selector, Verb};

use crate::{
    Effect, Engine, Event, Leadership, Millis, NbEvent, Notice, Object, WatchEvent, Write, WriteError,
};

/// Rows of these tables vanish when no row of that table refers to them in that column (ovn-nb(5)).
const CHILDREN: [(Name, Name, Name); 4] = [
    (table::SWITCH_PORT, table::SWITCH, "ports"),
    (table::ROUTER_PORT, table::ROUTER, "ports"),
    (table::POLICY, table::ROUTER, "policies"),
    (table::STATIC_ROUTE, table::ROUTER, "static_routes"),
];

fn config() -> Config {
    Config {
        cluster: ClusterId::new("c1").unwrap(),
        default_subnet: "ovn-default".to_owned(),
        // Two addresses are left for pods: 10.16.0.10 and 10.16.0.11.
        default_cidr: "10.16.0.0/28".parse().unwrap(),
        default_gateway: vec!["10.16.0.1".parse().unwrap()],
        default_exclude: vec!["10.16.0.1..10.16.0.9".to_owned(), "10.16.0.12..10.16.0.14".to_owned()],
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

pub(crate) struct Bed {
    pub engine: Engine,
    pub now: Millis,
    /// The database.
    pub nb: Replica,
    /// Notices about objects.
    pub told: Vec<Notice>,
    /// Lines of the log.
    pub log: Vec<String>,
    /// The API server's objects.
    objects: BTreeMap<(Kind, String, String), Value>,
    version: u64,
}

impl Bed {
    /// All is known, and nothing is there.
    fn with(config: Config) -> Bed {
        let schema = Schema::parse(tombolo_ovn::nb::SCHEMA).unwrap();
        let nb = Replica::new(&nb::wanted(&config.cluster).intersect(&schema), &nb::indexes());
        let mut bed = Bed {
            engine: Engine::new(config, 1_767_225_600),
            now: 1_007,
            nb,
            told: Vec::new(),
            log: Vec::new(),
            objects: BTreeMap::new(),
            version: 0,
        };
        for kind in Kind::ALL {
            bed.list(kind);
        }
        bed.handle(Event::Nb(NbEvent::Replaced(bed.nb.clone())));
        bed
    }

    /// A leader, whose cluster has a namespace `a` and the Subnets of the flags.
    pub(crate) fn leading() -> Bed {
        Self::leading_with(config())
    }

    /// One that takes rows over from Kube-OVN.
    pub(crate) fn taking_over() -> Bed {
        Self::leading_with(Config { take_over: true, ..config() })
    }

    fn leading_with(config: Config) -> Bed {
        let mut bed = Bed::with(config);
        bed.object(Kind::Namespace, "", "a", json!({}));
        bed.lead();
        bed.settle();
        bed
    }

    pub(crate) fn lead(&mut self) {
        self.handle(Event::Leadership(Leadership::Held));
        let effects = self.poll();
        assert!(writes(&effects).is_empty(), "{effects:?}");
        self.carry_out(effects);
        assert!(self.engine.health().leading);
    }

    pub(crate) fn handle(&mut self, event: Event) {
        self.engine.handle(self.now, event);
    }

    /// What is to be done now; what is said is kept.
    pub(crate) fn poll(&mut self) -> Vec<Effect> {
        let effects = self.engine.poll(self.now);
        for effect in &effects {
            match effect {
                Effect::Notify(notice) => self.told.push(notice.clone()),
                Effect::Log { message, .. } => self.log.push(message.clone()),
                _ => {}
            }
        }
        effects
    }

    /// Does what is asked for until nothing is; the clock stands still.
    pub(crate) fn settle(&mut self) -> Vec<Write> {
        let mut all = Vec::new();
        for _ in 0..100 {
            let effects = self.poll();
            if effects.is_empty() && !self.engine.has_more() {
                return all;
            }
            all.extend(writes(&effects));
            self.carry_out(effects);
        }
        panic!("no end");
    }

    pub(crate) fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Write(write) => {
                    let result = self.served(&write);
                    self.answer(&write, result);
                }
                Effect::Commit { id, txn } => {
                    self.execute(&txn);
                    self.handle(Event::CommitDone { id, result: Ok(TxnReply { results: Vec::new() }) });
                }
                _ => {}
            }
        }
    }

    pub(crate) fn answer(&mut self, write: &Write, result: Result<Option<Object>, WriteError>) {
        self.handle(Event::WriteDone { id: write.id, result });
    }

    /// What the API server makes of a write.
    pub(crate) fn served(&mut self, write: &Write) -> Result<Option<Object>, WriteError> {
        let key = (write.kind, write.namespace.clone(), write.name.clone());
        let there = self.objects.get(&key).cloned();
        match (&write.verb, there) {
            (Verb::Create(_), Some(_)) => Err(WriteError::AlreadyExists),
            (Verb::Create(object), None) => {
                Ok(Some(self.store(write.kind, &write.namespace, &write.name, object.clone())))
            }
            (_, None) => Err(WriteError::NotFound),
            (Verb::MergePatch { patch, .. }, Some(mut object)) => {
                let mut patch = patch.clone();
                patch["metadata"].as_object_mut().unwrap().remove("resourceVersion");
                merge(&mut object, &patch);
                Ok(Some(self.store(write.kind, &write.namespace, &write.name, object)))
            }
            (Verb::Read, Some(object)) => Ok(Some(Object::from_value(write.kind, object).unwrap())),
            (Verb::Delete, Some(mut object)) => {
                if object["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty) {
                    self.objects.remove(&key);
                    return Ok(None);
                }
                object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
                Ok(Some(self.store(write.kind, &write.namespace, &write.name, object)))
            }
        }
    }

    /// The API server has an object that no watch has shown.
    pub(crate) fn store(&mut self, kind: Kind, namespace: &str, name: &str, mut object: Value) -> Object {
        self.version += 1;
        object["apiVersion"] = json!(kind.facts().api_version);
        object["kind"] = json!(kind.facts().kind);
        let meta = &mut object["metadata"];
        meta["name"] = json!(name);
        if !namespace.is_empty() {
            meta["namespace"] = json!(namespace);
        }
        if meta["uid"].is_null() {
            meta["uid"] = json!(format!("uid-{name}-{}", self.version));
        }
        meta["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert((kind, namespace.to_owned(), name.to_owned()), object.clone());
        Object::from_value(kind, object).unwrap()
    }

    /// Adds or changes an object, and the watch shows it.
    pub(crate) fn object(&mut self, kind: Kind, namespace: &str, name: &str, object: Value) -> Object {
        let object = self.store(kind, namespace, name, object);
        self.handle(Event::Watch(WatchEvent::Applied(object.clone())));
        object
    }

    /// A pod of the namespace `a`.
    pub(crate) fn pod(&mut self, name: &str) -> Object {
        self.object(Kind::Pod, "a", name, json!({ "metadata": {}, "spec": { "nodeName": "n" } }))
    }

    /// The IP object that was made for a pod of the namespace `a`, with an address of the Subnet `ovn-default`.
    pub(crate) fn ip(&mut self, pod: &str, address: &str, finalizers: Value) -> Object {
        let name = format!("{pod}.a");
        let meta = json!({ "annotations": { "tombolo.io/epoch": "1" }, "finalizers": finalizers });
        let spec = json!({
            "podName": pod, "namespace": "a", "subnet": "ovn-default", "nodeName": "n",
            "ipAddress": address, "macAddress": "00:00:00:00:00:07",
        });
        self.object(Kind::Ip, "", &name, json!({ "metadata": meta, "spec": spec }))
    }

    /// The object is gone, and no watch says so.
    pub(crate) fn vanish(&mut self, kind: Kind, namespace: &str, name: &str) -> Object {
        let object = self.objects.remove(&(kind, namespace.to_owned(), name.to_owned())).unwrap();
        Object::from_value(kind, object).unwrap()
    }

    /// The object is deleted, and the watch shows it.
    pub(crate) fn delete(&mut self, kind: Kind, namespace: &str, name: &str) {
        let object = self.vanish(kind, namespace, name);
        self.handle(Event::Watch(WatchEvent::Deleted(object)));
    }

    pub(crate) fn is_there(&self, kind: Kind, namespace: &str, name: &str) -> bool {
        self.objects.contains_key(&(kind, namespace.to_owned(), name.to_owned()))
    }

    /// The watch lists a kind anew.
    pub(crate) fn list(&mut self, kind: Kind) {
        self.handle(Event::Watch(WatchEvent::Restarted(kind)));
        let all: Vec<Value> =
            self.objects.iter().filter(|((of, ..), _)| *of == kind).map(|(_, it)| it.clone()).collect();
        for object in all {
            self.handle(Event::Watch(WatchEvent::Applied(Object::from_value(kind, object).unwrap())));
        }
        self.handle(Event::Watch(WatchEvent::Synced(kind)));
    }

    /// Changes rows of the database, and the monitor shows it.
    pub(crate) fn rows(&mut self, rows: impl IntoIterator<Item = (Name, Uuid, Option<Row>)>) {
        let mut changes = ChangeSet::default();
        for (table, uuid, row) in rows {
            let old = self.nb.put(table, uuid, row);
            changes.record(table, uuid, old, self.nb.row(table, &uuid).cloned());
        }
        let replica = self.nb.clone();
        self.handle(Event::Nb(NbEvent::Changed { replica, changes }));
    }

    fn execute(&mut self, txn: &Txn) {
        let before = self.nb.clone();
        for op in &txn.ops {
            let (table, target) = (op.table().unwrap(), op.target());
            match op {
                Op::Insert { uuid, row, .. } => {
                    self.nb.put(table, uuid.unwrap(), Some(row.clone()));
                }
                Op::Update { row, .. } => {
                    let mut new = self.row(table, target.unwrap());
                    row.iter().for_each(|(column, value)| new.set(column, value.clone()));
                    self.nb.put(table, target.unwrap(), Some(new));
                }
                Op::Mutate { mutations, .. } => {
                    let mut new = self.row(table, target.unwrap());
                    for it in mutations {
                        let old = new.get(it.column).unwrap();
                        let value = match it.mutator {
                            Mutator::Insert => old.union(&it.value),
                            _ => old.difference(&it.value),
                        };
                        new.set(it.column, value);
                    }
                    self.nb.put(table, target.unwrap(), Some(new));
                }
                Op::Delete { .. } => {
                    self.nb.put(table, target.unwrap(), None);
                }
                other => panic!("{other:?}"),
            }
        }
        for (child, parent, column) in CHILDREN {
            let held: Vec<Uuid> = self
                .nb
                .rows(parent)
                .flat_map(|(_, row)| row.get(column).unwrap().uuids().collect::<Vec<_>>())
                .collect();
            let gone: Vec<Uuid> =
                self.nb.rows(child).map(|(uuid, _)| uuid).filter(|uuid| !held.contains(uuid)).collect();
            for uuid in gone {
                self.nb.put(child, uuid, None);
            }
        }
        let mut replica = self.nb.clone();
        let changes = before.changes_to(&mut replica);
        self.handle(Event::Nb(NbEvent::Changed { replica, changes }));
    }

    pub(crate) fn row(&self, table: Name, uuid: Uuid) -> Row {
        Row::clone(self.nb.row(table, &uuid).unwrap())
    }

    /// The uuid of a row of ours.
    pub(crate) fn uuid(&self, table: Name, owner: &Owner, role: &str) -> Uuid {
        config().cluster.row_uuid(table, owner, role)
    }

    /// Whether the port of a pod of the namespace `a` stands.
    pub(crate) fn has_port(&self, pod: &str) -> bool {
        let uuid = self.uuid(table::SWITCH_PORT, &Owner::pod("a", pod), "port");
        self.nb.row(table::SWITCH_PORT, &uuid).is_some()
    }

    /// `external_ids` of a row of this owner's.
    pub(crate) fn marks(&self, owner: &Owner) -> Datum {
        Datum::map_of_strings(config().cluster.marks(owner))
    }
}

fn merge(into: &mut Value, from: &Value) {
    let Some(from) = from.as_object() else {
        *into = from.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in from {
        match value {
            Value::Null => {
                into.as_object_mut().unwrap().remove(key);
            }
            value => merge(&mut into[key], value),
        }
    }
}

/// The writes among what is to be done.
pub(crate) fn writes(effects: &[Effect]) -> Vec<Write> {
    let write = |it: &Effect| if let Effect::Write(write) = it { Some(write.clone()) } else { None };
    effects.iter().filter_map(write).collect()
}

/// The transaction among what is to be done.
pub(crate) fn commit(effects: &[Effect]) -> (u64, Txn) {
    let commit =
        |it: &Effect| if let Effect::Commit { id, txn } = it { Some((*id, txn.clone())) } else { None };
    effects.iter().find_map(commit).unwrap_or_else(|| panic!("{effects:?}"))
}
