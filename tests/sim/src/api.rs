//! An API server in memory, for the six kinds.
//!
//! Decides what a write does to an object, as kube-apiserver does: resource versions, uids, generations,
//! merge patches (RFC 7386), the status subresource of Vpc and Subnet, preconditions, finalizers. Each change is
//! an entry of one log, which watches read in order. Doesn't do: validation by schema, admission, garbage collection.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value, json};
use tombolo_engine::{Object, Verb, WatchEvent, Write, WriteError};
use tombolo_plan::Kind;

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// Created or changed.
    Applied,
    /// Gone.
    Deleted,
}

/// An entry of the log.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Kind of the object.
    pub kind: Kind,
    /// What happened.
    pub what: Happened,
    /// The object after it; as it last was if it is gone.
    pub object: Value,
}

/// An API server.
#[derive(Clone, Debug, Default)]
pub struct Api {
    objects: BTreeMap<(Kind, String), Value>,
    log: Vec<Entry>,
    version: u64,
    /// Fields that the schemas of the kinds don't have: what is written there isn't kept.
    pruned: Vec<(Kind, &'static [&'static str])>,
    /// Wall-clock time as RFC 3339, for timestamps.
    pub now: String,
}

/// `name`, or `namespace/name`.
fn key(kind: Kind, namespace: &str, name: &str) -> String {
    if kind == Kind::Pod { format!("{namespace}/{name}") } else { name.to_owned() }
}

/// RFC 7386.
pub fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    let Some(into) = into.as_object_mut() else { return };
    for (key, value) in patch {
        if value.is_null() {
            into.remove(key);
        } else {
            merge(into.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

fn is_held(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty())
}

impl Api {
    /// An empty one at this time.
    #[must_use]
    pub fn at(now: String) -> Api {
        Api { now, ..Api::default() }
    }

    /// An object.
    #[must_use]
    pub fn get(&self, kind: Kind, key: &str) -> Option<&Value> {
        self.objects.get(&(kind, key.to_owned()))
    }

    /// An object as it last was, if it ever was.
    #[must_use]
    pub fn last(&self, kind: Kind, name: &str) -> Option<&Value> {
        let entry =
            self.log.iter().rev().find(|entry| entry.kind == kind && text(&entry.object, "name") == name);
        entry.map(|entry| &entry.object)
    }

    /// All objects of a kind, by key.
    pub fn list(&self, kind: Kind) -> impl Iterator<Item = (&str, &Value)> {
        self.objects
            .range((kind, String::new())..)
            .take_while(move |((k, _), _)| *k == kind)
            .map(|((_, key), object)| (key.as_str(), object))
    }

    /// Loses objects of a kind without a word, as one does that was brought back from an old copy. Returns them for
    /// [`Api::put_back`].
    pub fn lose(&mut self, kind: Kind, is_lost: impl Fn(&str) -> bool) -> Vec<(String, Value)> {
        let lost: Vec<(String, Value)> = self
            .list(kind)
            .filter(|(key, _)| is_lost(key))
            .map(|(key, object)| (key.to_owned(), object.clone()))
            .collect();
        for (key, _) in &lost {
            self.objects.remove(&(kind, key.clone()));
        }
        lost
    }

    /// Has again what was lost.
    pub fn put_back(&mut self, kind: Kind, lost: Vec<(String, Value)>) {
        self.objects.extend(lost.into_iter().map(|(key, object)| ((kind, key), object)));
    }

    /// The schema of a kind loses a field, as that of an older CRD has never had it.
    pub fn prune(&mut self, kind: Kind, path: &'static [&'static str]) {
        self.pruned.push((kind, path));
    }

    /// The schemas are those of this version.
    pub fn prune_nothing(&mut self) {
        self.pruned.clear();
    }

    fn without_pruned(&self, kind: Kind, object: &mut Value) {
        for (_, path) in self.pruned.iter().filter(|(of, _)| *of == kind) {
            let Some((last, above)) = path.split_last() else { continue };
            let parent = above.iter().try_fold(&mut *object, |at, field| at.get_mut(*field));
            if let Some(parent) = parent.and_then(Value::as_object_mut) {
                parent.remove(*last);
            }
        }
    }

    /// What happened so far.
    #[must_use]
    pub fn log(&self) -> &[Entry] {
        &self.log
    }

    /// Executes a write of the engine's. With `Ok`, the object as it is; `None` after a delete that went through.
    ///
    /// # Errors
    /// What the API server refuses, as the program reads it.
    pub fn write(&mut self, write: &Write) -> Result<Option<Value>, WriteError> {
        match &write.verb {
            Verb::Create(object) => self.create(write.kind, object.clone()).map(Some),
            Verb::MergePatch { status, patch } => {
                self.patch(write.kind, &write.namespace, &write.name, patch, *status).map(Some)
            }
            Verb::Delete => self.delete(write.kind, &write.namespace, &write.name, write.uid.as_deref()),
            Verb::Read => {
                let key = key(write.kind, &write.namespace, &write.name);
                self.get(write.kind, &key).cloned().map(Some).ok_or(WriteError::NotFound)
            }
        }
    }

    /// POST.
    ///
    /// # Errors
    /// When it exists or has no name.
    pub fn create(&mut self, kind: Kind, given: Value) -> Result<Value, WriteError> {
        // A null is as good as nothing.
        let mut object = Value::Null;
        merge(&mut object, &given);
        let (namespace, name) = (text(&object, "namespace").to_owned(), text(&object, "name").to_owned());
        if name.is_empty() {
            return Err(WriteError::Refused("metadata.name: Required value".to_owned()));
        }
        let key = key(kind, &namespace, &name);
        if self.objects.contains_key(&(kind, key.clone())) {
            return Err(WriteError::AlreadyExists);
        }
        if has_status(kind)
            && let Some(object) = object.as_object_mut()
        {
            object.remove("status");
        }
        let uid = uuid::Uuid::new_v5(
            &uuid::Uuid::NAMESPACE_OID,
            format!("{kind:?}/{key}/{}", self.version).as_bytes(),
        );
        let server = json!({ "metadata": {
            "uid": uid, "creationTimestamp": self.now, "generation": 1,
            "resourceVersion": null, "deletionTimestamp": null,
        }});
        merge(&mut object, &server);
        self.without_pruned(kind, &mut object);
        Ok(self.store(kind, key, object))
    }

    /// PATCH with a merge patch, of the object or of its status.
    ///
    /// # Errors
    /// When there is no such object, or it isn't the one that the patch is meant for.
    pub fn patch(
        &mut self,
        kind: Kind,
        namespace: &str,
        name: &str,
        patch: &Value,
        status: bool,
    ) -> Result<Value, WriteError> {
        let key = key(kind, namespace, name);
        let Some(old) = self.objects.get(&(kind, key.clone())).cloned() else {
            return Err(WriteError::NotFound);
        };
        for field in ["uid", "resourceVersion"] {
            let wanted = &patch["metadata"][field];
            // Of a custom resource's status, kube-apiserver doesn't compare the uid.
            if (field == "uid" && status && has_status(kind)) || wanted.is_null() {
                continue;
            }
            if wanted.is_string() && *wanted != old["metadata"][field] {
                return Err(WriteError::Conflict(format!("metadata.{field} is {}", old["metadata"][field])));
            }
        }
        let mut new = old.clone();
        let mut patch = patch.clone();
        if let Some(patch) = patch.as_object_mut().filter(|_| has_status(kind)) {
            // Each of the two ways ignores what the other one is for.
            patch.retain(|field, _| (field == "status") == status);
        }
        merge(&mut new, &patch);
        // Not a client's to change.
        for field in [
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "deletionTimestamp",
            "generation",
            "name",
            "namespace",
        ] {
            if old["metadata"][field].is_null() {
                if let Some(meta) = new["metadata"].as_object_mut() {
                    meta.remove(field);
                }
            } else {
                new["metadata"][field] = old["metadata"][field].clone();
            }
        }
        self.without_pruned(kind, &mut new);
        if new == old {
            return Ok(old);
        }
        if new["metadata"]["deletionTimestamp"].is_string() {
            let list =
                |object: &Value| object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
            let before = list(&old);
            if list(&new).iter().any(|finalizer| !before.contains(finalizer)) {
                return Err(WriteError::Refused(
                    "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted".to_owned(),
                ));
            }
            // Only the kubelet ends a terminating pod: no patch does.
            if kind != Kind::Pod && !is_held(&new) {
                return Ok(self.drop_object(kind, &key, new));
            }
        }
        if new["spec"] != old["spec"] {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or(1);
            new["metadata"]["generation"] = json!(generation + 1);
        }
        Ok(self.store(kind, key, new))
    }

    /// DELETE. An object that finalizers hold is marked and returned.
    ///
    /// # Errors
    /// When there is no such object, or it has another uid.
    pub fn delete(
        &mut self,
        kind: Kind,
        namespace: &str,
        name: &str,
        uid: Option<&str>,
    ) -> Result<Option<Value>, WriteError> {
        let key = key(kind, namespace, name);
        let Some(mut object) = self.objects.get(&(kind, key.clone())).cloned() else {
            return Err(WriteError::NotFound);
        };
        if uid.is_some_and(|uid| uid != text(&object, "uid")) {
            return Err(WriteError::Conflict(format!(
                "the UID in the precondition is not {}",
                text(&object, "uid")
            )));
        }
        if !is_held(&object) {
            self.drop_object(kind, &key, object);
            return Ok(None);
        }
        if object["metadata"]["deletionTimestamp"].is_null() {
            object["metadata"]["deletionTimestamp"] = json!(self.now);
            object = self.store(kind, key, object);
        }
        Ok(Some(object))
    }

    /// Replaces an object without any checks, as only the kubelet or a broken client does.
    pub fn force(&mut self, kind: Kind, object: Value) -> Value {
        let key = key(kind, text(&object, "namespace"), text(&object, "name"));
        self.store(kind, key, object)
    }

    fn store(&mut self, kind: Kind, key: String, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert((kind, key), object.clone());
        self.log.push(Entry { kind, what: Happened::Applied, object: object.clone() });
        object
    }

    fn drop_object(&mut self, kind: Kind, key: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.remove(&(kind, key.to_owned()));
        self.log.push(Entry { kind, what: Happened::Deleted, object: object.clone() });
        object
    }
}

/// The kinds with a status subresource that is ours to write.
fn has_status(kind: Kind) -> bool {
    matches!(kind, Kind::Vpc | Kind::Subnet)
}

/// Decodes an object as the program's watches do.
///
/// # Errors
/// Its metadata and what the decoder said.
pub fn decode(kind: Kind, object: &Value) -> Result<Object, Box<(ObjectMeta, String)>> {
    Object::from_value(kind, object.clone()).map_err(|error| {
        let meta = serde_json::from_value(object["metadata"].clone()).unwrap_or_default();
        Box::new((meta, error.to_string()))
    })
}

/// An entry of the log as a watch's event.
#[must_use]
pub fn watch_event(entry: &Entry) -> WatchEvent {
    match (decode(entry.kind, &entry.object), entry.what) {
        (Ok(object), Happened::Applied) => WatchEvent::Applied(object),
        (Ok(object), Happened::Deleted) => WatchEvent::Deleted(object),
        (Err(invalid), _) => WatchEvent::Malformed {
            kind: entry.kind,
            namespace: invalid.0.namespace.unwrap_or_default(),
            name: invalid.0.name.unwrap_or_default(),
            error: invalid.1,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vpc() -> Value {
        json!({ "metadata": { "name": "a" }, "spec": {}, "status": { "standby": true } })
    }

    #[test]
    fn spec_and_status_are_written_apart() {
        let mut api = Api::default();
        let made = api.create(Kind::Vpc, vpc()).unwrap();
        assert!(made.get("status").is_none());
        let patch = json!({ "spec": { "namespaces": ["x"] }, "status": { "standby": true } });
        let spec = api.patch(Kind::Vpc, "", "a", &patch, false).unwrap();
        assert_eq!((&spec["metadata"]["generation"], spec.get("status")), (&json!(2), None));
        let status = api.patch(Kind::Vpc, "", "a", &patch, true).unwrap();
        assert_eq!(
            (&status["metadata"]["generation"], &status["status"]["standby"]),
            (&json!(2), &json!(true))
        );
        // Nothing new: no event.
        let events = api.log().len();
        api.patch(Kind::Vpc, "", "a", &patch, true).unwrap();
        assert_eq!(api.log().len(), events);
    }

    #[test]
    fn preconditions() {
        let mut api = Api::default();
        api.create(Kind::Vpc, vpc()).unwrap();
        let patch = json!({ "metadata": { "uid": "another", "labels": { "a": "b" } } });
        assert!(matches!(api.patch(Kind::Vpc, "", "a", &patch, false), Err(WriteError::Conflict(_))));
        let patch = json!({ "metadata": { "resourceVersion": "77", "labels": { "a": "b" } } });
        assert!(matches!(api.patch(Kind::Vpc, "", "a", &patch, false), Err(WriteError::Conflict(_))));
        assert!(matches!(api.delete(Kind::Vpc, "", "a", Some("another")), Err(WriteError::Conflict(_))));
        assert_eq!(api.create(Kind::Vpc, vpc()), Err(WriteError::AlreadyExists));
        assert_eq!(api.delete(Kind::Vpc, "", "b", None), Err(WriteError::NotFound));
    }

    #[test]
    fn finalizers_hold() {
        let mut api = Api::default();
        api.create(Kind::Vpc, vpc()).unwrap();
        let with = |list: Value| json!({ "metadata": { "finalizers": list } });
        api.patch(Kind::Vpc, "", "a", &with(json!(["f"])), false).unwrap();
        assert!(api.delete(Kind::Vpc, "", "a", None).unwrap().is_some());
        let more = api.patch(Kind::Vpc, "", "a", &with(json!(["f", "g"])), false);
        assert!(matches!(more, Err(WriteError::Refused(_))));
        assert!(api.get(Kind::Vpc, "a").is_some());
        api.patch(Kind::Vpc, "", "a", &with(json!([])), false).unwrap();
        assert!(api.get(Kind::Vpc, "a").is_none());
        assert_eq!(api.log().last().unwrap().what, Happened::Deleted);
    }
}
