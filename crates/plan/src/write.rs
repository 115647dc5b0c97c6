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

/// The end of an object: Kube-OVN's finalizers, which no other program takes away, go first. Whether it
/// was deleted already is the engine's to know.
pub fn end(kind: Kind, meta: &ObjectMeta) -> Intent {
    finalizer(kind, meta, false).unwrap_or_else(|| delete(kind, meta))
}

/// The finalizers of others that hold an object which is being deleted.
pub fn held_by_others(meta: &ObjectMeta) -> Option<String> {
    use tombolo_api::annotations::{FINALIZER, OLD_FINALIZER};
    meta.deletion_timestamp.as_ref()?;
    let others = meta.finalizers.iter().flatten().filter(|it| *it != FINALIZER && *it != OLD_FINALIZER);
    let all: Vec<&str> = others.map(String::as_str).collect();
    (!all.is_empty()).then(|| all.join(", "))
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
pub fn status<S: Serialize + PartialEq>(
    kind: Kind,
    meta: &ObjectMeta,
    old: Option<&S>,
    new: &S,
) -> Option<Intent> {
    let difference = match old {
        Some(old) if old == new => return None,
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

#[cfg(test)]
mod tests {
    use tombolo_api::VpcStatus;
    use tombolo_api::annotations::{FINALIZER, OLD_FINALIZER};

    use super::*;

    fn meta() -> ObjectMeta {
        ObjectMeta {
            name: Some("a".to_owned()),
            uid: Some("u".to_owned()),
            resource_version: Some("7".to_owned()),
            annotations: Some(BTreeMap::from([
                ("kept".to_owned(), "1".to_owned()),
                ("old".to_owned(), "2".to_owned()),
            ])),
            ..ObjectMeta::default()
        }
    }

    fn body(intent: Option<Intent>) -> Option<Value> {
        intent.map(|intent| match intent.verb {
            Verb::MergePatch { patch, .. } => patch,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_status_is_written_whole_once_and_then_by_difference() {
        // invariant 9
        let mut status = VpcStatus { standby: true, ..VpcStatus::default() };
        let first = body(super::status(Kind::Vpc, &meta(), None, &status)).unwrap();
        assert_eq!((&first["status"]["standby"], &first["status"]["router"]), (&json!(true), &json!("")));
        assert_eq!(super::status(Kind::Vpc, &meta(), Some(&status), &status), None);
        let old = status.clone();
        status.router = "r".to_owned();
        let next = body(super::status(Kind::Vpc, &meta(), Some(&old), &status)).unwrap();
        assert_eq!(next, json!({ "metadata": { "uid": "u" }, "status": { "router": "r" } }));
    }

    #[test]
    fn annotations_of_others_stay() {
        let wanted =
            BTreeMap::from([("old", None), ("new", Some("3".to_owned())), ("kept", Some("1".to_owned()))]);
        let patch = body(annotations(Kind::Pod, &meta(), &wanted)).unwrap();
        assert_eq!(patch, json!({ "metadata": { "uid": "u", "annotations": { "old": null, "new": "3" } } }));
        let none = BTreeMap::from([("kept", Some("1".to_owned())), ("absent", None)]);
        assert_eq!(annotations(Kind::Pod, &meta(), &none), None);
    }

    #[test]
    fn finalizers_of_others_stay_and_the_old_one_goes() {
        let with = |list: &[&str]| ObjectMeta {
            finalizers: Some(list.iter().map(|f| (*f).to_owned()).collect()),
            ..meta()
        };
        let list = |intent| body(intent).map(|patch| patch["metadata"]["finalizers"].clone());
        assert_eq!(
            list(finalizer(Kind::Subnet, &with(&["other", OLD_FINALIZER]), true)),
            Some(json!(["other", FINALIZER]))
        );
        assert_eq!(
            list(finalizer(Kind::Subnet, &with(&["other", FINALIZER]), false)),
            Some(json!(["other"]))
        );
        assert_eq!(finalizer(Kind::Subnet, &with(&[FINALIZER]), true), None);
        assert_eq!(finalizer(Kind::Subnet, &meta(), false), None);
        // A list is replaced as a whole: only that of the version that was read.
        let patch = body(finalizer(Kind::Subnet, &meta(), true)).unwrap();
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
    }

    #[test]
    fn the_end_of_an_object_takes_finalizers_of_kube_ovn_away_and_no_others() {
        let with = |list: &[&str]| ObjectMeta {
            finalizers: Some(list.iter().map(|f| (*f).to_owned()).collect()),
            ..meta()
        };
        for ours in [FINALIZER, OLD_FINALIZER] {
            let patch = body(Some(end(Kind::Ip, &with(&["other", ours])))).unwrap();
            assert_eq!(patch["metadata"]["finalizers"], json!(["other"]), "{ours}");
            assert_eq!(patch["metadata"]["resourceVersion"], "7");
        }
        assert_eq!(end(Kind::Ip, &with(&["other"])).verb, Verb::Delete);
        assert_eq!(held_by_others(&with(&["other"])), None);
        let going = ObjectMeta {
            deletion_timestamp: serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap(),
            ..with(&["other", FINALIZER])
        };
        assert_eq!(held_by_others(&going).as_deref(), Some("other"));
    }

    #[test]
    fn patches_of_one_object_are_one() {
        let annotated = annotations(Kind::Subnet, &meta(), &BTreeMap::from([("new", Some("3".to_owned()))]));
        let both = body(merged([annotated, None, finalizer(Kind::Subnet, &meta(), true)])).unwrap();
        assert_eq!(
            (&both["metadata"]["annotations"]["new"], &both["metadata"]["finalizers"]),
            (&json!("3"), &json!([FINALIZER]))
        );
        assert_eq!(merged([None, None]), None);
    }
}
