//! Kubernetes' side of a case: YAML documents, applied as a user would, one after the other.

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use tombolo_plan::Kind;
use tombolo_tests_sim::Sim;

/// Fields that a server sets: in a saved manifest they mean nothing.
const SERVERS: [&str; 5] = ["uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"];

/// The documents of a k8s.yaml.
pub struct Manifests {
    nodes: Vec<Value>,
    others: Vec<(Kind, Value)>,
}

impl Manifests {
    /// Reads them, without what servers set.
    pub fn read(text: &str) -> anyhow::Result<Manifests> {
        Manifests::of(serde_yaml::from_multiple(text).context("reading YAML")?)
    }

    /// These objects, without what servers set.
    pub fn of(documents: Vec<Value>) -> anyhow::Result<Manifests> {
        let mut all = Manifests { nodes: Vec::new(), others: Vec::new() };
        for mut object in documents {
            let kind = kind(&object)?;
            if let Some(meta) = object["metadata"].as_object_mut() {
                meta.retain(|field, _| !SERVERS.contains(&field.as_str()));
            }
            match kind {
                Kind::Node => all.nodes.push(object),
                _ => all.others.push((kind, object)),
            }
        }
        Ok(all)
    }

    /// Applies the nodes.
    pub fn apply_nodes(&self, sim: &mut Sim) -> anyhow::Result<()> {
        ensure!(!self.nodes.is_empty(), "a cluster has a Node");
        for node in &self.nodes {
            sim.apply(Kind::Node, node);
            sim.settle();
        }
        Ok(())
    }

    /// Applies the others, each when the one before has had its effect. Pods are put on a node as the scheduler does: on
    /// the first one, if they don't say so themselves.
    pub fn apply(self, sim: &mut Sim) {
        let first = sim.api.list(Kind::Node).next().map(|(name, _)| name.to_owned());
        let named = self.nodes.first().map(|node| text_of(node, "name").to_owned());
        let node = named.or(first).unwrap_or_default();
        for node in &self.nodes {
            if sim.api.get(Kind::Node, text_of(node, "name")).is_none() {
                sim.apply(Kind::Node, node);
            }
        }
        for (kind, mut object) in self.others {
            if kind == Kind::Pod {
                let key = format!("{}/{}", text_of(&object, "namespace"), text_of(&object, "name"));
                if sim.api.get(Kind::Pod, &key).is_none() {
                    default(&mut object["spec"]["nodeName"], &node);
                    default(&mut object["status"]["phase"], "Pending");
                }
            }
            sim.apply(kind, &object);
            sim.settle();
        }
    }
}

fn text_of<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

fn default(field: &mut Value, value: &str) {
    if field.is_null() {
        *field = json!(value);
    }
}

fn kind(object: &Value) -> anyhow::Result<Kind> {
    let named = |kind: &&Kind| object["kind"].as_str() == Some(kind.facts().kind);
    let Some(kind) = Kind::ALL.iter().find(named).copied() else {
        bail!("no kind that the controller watches: {object}");
    };
    let version = kind.facts().api_version;
    if object["apiVersion"] != version || text_of(object, "name").is_empty() {
        bail!("apiVersion of a {kind:?} is {version}, and metadata.name is required: {object}");
    }
    Ok(kind)
}
