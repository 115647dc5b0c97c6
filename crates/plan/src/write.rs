//! How the plan's wishes for objects become writes: only the difference, and none when there is none
//! (invariant 9).

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde_json::{Value, json};
use tombolo_api::patch::merge_diff;

use crate::desired::{Intent, Kind, Verb};

/// A create.
pub fn create(kind: Kind, name: &str, object: Value) -> Intent {
    Intent { kind, namespace: String::new(), name: name.to_owned(), uid: None, verb: Verb::Create(object) }
}

/// A delete of the object with this metadata and no other of its name.
pub fn delete(kind: Kind, meta: &ObjectMeta) -> Intent {
    Intent {
        kind,
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
        uid: meta.uid.clone(),
        verb: Verb::Delete,
    }
}

fn patch(kind: Kind, meta: &ObjectMeta, status: bool, mut patch: Value) -> Intent {
    // The uid keeps a patch meant for one object from its successor of the same name.
    if let (Some(uid), Some(object)) = (&meta.uid, patch.as_object_mut()) {
        let metadata = object.entry("metadata").or_insert_with(|| json!({}));
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert("uid".to_owned(), Value::from(uid.as_str()));
        }
    }
    Intent {
        kind,
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
        uid: meta.uid.clone(),
        verb: Verb::MergePatch { status, patch },
    }
}

/// The status as it should be; nothing when it is.
pub fn status<S: Serialize + Default>(
    kind: Kind,
    meta: &ObjectMeta,
    old: Option<&S>,
    new: &S,
) -> Option<Intent> {
    let difference = match old {
        Some(old) => merge_diff(old, new).ok().flatten()?,
        // The first status is written as a whole, as Kube-OVN writes it.
        None => serde_json::to_value(new).ok()?,
    };
    Some(patch(kind, meta, true, json!({ "status": difference })))
}

/// The spec as it should be; nothing when it is.
pub fn spec<S: Serialize>(kind: Kind, meta: &ObjectMeta, old: &S, new: &S) -> Option<Intent> {
    let difference = merge_diff(old, new).ok().flatten()?;
    Some(patch(kind, meta, false, json!({ "spec": difference })))
}

/// Annotations as they should be (`None`: not there); others are kept.
pub fn annotations(kind: Kind, meta: &ObjectMeta, wanted: &BTreeMap<&str, Option<String>>) -> Option<Intent> {
    let none = BTreeMap::new();
    let present = meta.annotations.as_ref().unwrap_or(&none);
    let difference: BTreeMap<&str, Value> = wanted
        .iter()
        .filter(|(key, value)| present.get(**key) != value.as_ref())
        .map(|(key, value)| (*key, value.as_ref().map_or(Value::Null, |v| Value::from(v.as_str()))))
        .collect();
    if difference.is_empty() {
        return None;
    }
    Some(patch(kind, meta, false, json!({ "metadata": { "annotations": difference } })))
}

/// Labels as they should be; others are kept.
pub fn labels(kind: Kind, meta: &ObjectMeta, wanted: &[(&str, &str)]) -> Option<Intent> {
    let none = BTreeMap::new();
    let present = meta.labels.as_ref().unwrap_or(&none);
    let difference: BTreeMap<&str, &str> = wanted
        .iter()
        .filter(|(key, value)| present.get(*key).map(String::as_str) != Some(value))
        .copied()
        .collect();
    if difference.is_empty() {
        return None;
    }
    Some(patch(kind, meta, false, json!({ "metadata": { "labels": difference } })))
}

/// The finalizer there or not there. A list is replaced as a whole by a merge patch, so the patch is bound to
/// the version that was read.
pub fn finalizer(kind: Kind, meta: &ObjectMeta, wanted: bool) -> Option<Intent> {
    use tombolo_api::annotations::{FINALIZER, OLD_FINALIZER};
    let present = meta.finalizers.clone().unwrap_or_default();
    let mut new: Vec<String> = present.iter().filter(|f| *f != OLD_FINALIZER).cloned().collect();
    if wanted && !new.iter().any(|f| f == FINALIZER) {
        new.push(FINALIZER.to_owned());
    } else if !wanted {
        new.retain(|f| f != FINALIZER);
    }
    if new == present {
        return None;
    }
    let version = meta.resource_version.clone().unwrap_or_default();
    Some(patch(kind, meta, false, json!({ "metadata": { "finalizers": new, "resourceVersion": version } })))
}

/// Several patches of one object (not of its status) as one.
pub fn merged<const N: usize>(intents: [Option<Intent>; N]) -> Option<Intent> {
    intents.into_iter().flatten().reduce(|mut all, next| {
        if let (Verb::MergePatch { patch: into, .. }, Verb::MergePatch { patch: from, .. }) =
            (&mut all.verb, next.verb)
        {
            merge(into, from);
        }
        all
    })
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
