//! Writes without visible effect: reported once, retried after growing pauses, and blocking no other write meanwhile.
//!
//! The API server accepts a patch and keeps none of it when its schema is older than ours (it prunes unknown fields),
//! or when an admission plugin undoes it; and it answers a DELETE with the object while finalizers hold it. Repeating
//! the write at once would loop at the speed of the API server. Decides from the intents alone: a value that is still
//! asked for after it was written and answered has had no effect. Knows no kind.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{Hash, Hasher};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value};
use tombolo_names::Reason;
use tombolo_plan::{Intent, Kind, Owner, Problem, Verb};

use crate::io::Millis;
use crate::io::ObjectKey;

/// The first pause; each further one is twice as long.
const FIRST: Millis = 30_000;
/// The longest pause.
const LONGEST: Millis = 600_000;
/// How often an object that another client wrote meanwhile is written again at once: that may be a race.
const RACES: u32 = 3;

/// What an intent asks for, leaf by leaf: a path and a number for the value.
type Leaves = BTreeMap<String, u64>;

#[derive(Clone, Debug)]
struct Answered {
    leaves: Leaves,
    /// The object's version in the answer.
    version: Option<String>,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    owner: Option<Owner>,
    /// What was written without effect.
    dead: Leaves,
    races: u32,
    pause: Millis,
    until: Millis,
    /// Finalizers that hold an object which is being deleted.
    held_by: Vec<String>,
}

/// What is to be done with an intent.
#[derive(Clone, Debug, PartialEq)]
pub enum Sifted {
    /// Write it. What had no effect before isn't in it any more.
    Write(Intent),
    /// There is nothing in it to write before this time; `None`: before the object changes.
    Wait(Option<Millis>),
}

/// What was written without effect.
#[derive(Clone, Debug, Default)]
pub struct Vain {
    answered: HashMap<Owner, BTreeMap<ObjectKey, Answered>>,
    entries: BTreeMap<ObjectKey, Entry>,
    of: HashMap<Owner, BTreeSet<ObjectKey>>,
    asked: BTreeSet<ObjectKey>,
    /// How many writes had no effect, since they were last counted.
    pub writes: u64,
}

fn key(intent: &Intent) -> ObjectKey {
    (intent.kind, intent.namespace.clone(), intent.name.clone())
}

/// Fields of a patch that say for which object it is meant.
fn is_precondition(path: &str) -> bool {
    matches!(path, "/metadata/uid" | "/metadata/resourceVersion")
}

/// A number for a value; times in it don't count, since they say only when it was written.
fn number(value: &Value) -> u64 {
    fn feed(value: &Value, hasher: &mut DefaultHasher) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if !matches!(name.as_str(), "lastUpdateTime" | "lastTransitionTime") {
                        name.hash(hasher);
                        feed(value, hasher);
                    }
                }
            }
            Value::Array(values) => {
                values.len().hash(hasher);
                values.iter().for_each(|value| feed(value, hasher));
            }
            other => other.to_string().hash(hasher),
        }
    }
    let mut hasher = DefaultHasher::new();
    feed(value, &mut hasher);
    hasher.finish()
}

fn collect(fields: &Map<String, Value>, path: &str, leaves: &mut Leaves) {
    for (name, value) in fields {
        let path = format!("{path}/{name}");
        match value {
            Value::Object(fields) if !fields.is_empty() => collect(fields, &path, leaves),
            _ if is_precondition(&path) => {}
            value => {
                leaves.insert(path, number(value));
            }
        }
    }
}

fn leaves(verb: &Verb) -> Leaves {
    let mut leaves = Leaves::new();
    match verb {
        Verb::MergePatch { patch, .. } => {
            if let Some(fields) = patch.as_object() {
                collect(fields, "", &mut leaves);
            }
        }
        Verb::Create(_) => {
            leaves.insert("the object".to_owned(), 0);
        }
        Verb::Delete => {
            leaves.insert("the deletion".to_owned(), 0);
        }
        Verb::Read => {}
    }
    leaves
}

/// Takes the leaves in `dead` out; whether any is left.
fn strip(fields: &mut Map<String, Value>, path: &str, dead: &Leaves) -> bool {
    let mut left = false;
    fields.retain(|name, value| {
        let path = format!("{path}/{name}");
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                let keeps = strip(inner, &path, dead);
                left |= keeps;
                // Fields that say for which object the patch is meant stay.
                keeps || !inner.is_empty()
            }
            _ if is_precondition(&path) => true,
            value => {
                let keeps = dead.get(&path) != Some(&number(value));
                left |= keeps;
                keeps
            }
        }
    });
    left
}

impl Vain {
    /// A write was done, and this is the object's version in the answer.
    pub fn answered(&mut self, owner: &Owner, intent: &Intent, version: Option<&String>) {
        if intent.verb == Verb::Read {
            return;
        }
        let answered = Answered { leaves: leaves(&intent.verb), version: version.cloned() };
        self.answered.entry(owner.clone()).or_default().insert(key(intent), answered);
    }

    /// What of an intent is to be written now. `held` is the object as it is known.
    pub fn sift(
        &mut self,
        owner: &Owner,
        mut intent: Intent,
        held: Option<&ObjectMeta>,
        now: Millis,
    ) -> Sifted {
        let key = key(&intent);
        let same = held.filter(|held| intent.uid.is_none() || held.uid == intent.uid);
        if intent.verb == Verb::Delete
            && let Some(held) = same.filter(|held| held.deletion_timestamp.is_some())
        {
            // It was asked for. The object goes when the last finalizer does, and that is an event.
            let entry = self.entry(owner, &key);
            entry.held_by = held.finalizers.clone().unwrap_or_default();
            entry.dead.clear();
            return Sifted::Wait(None);
        }
        let wanted = leaves(&intent.verb);
        let answered = self.answered.get_mut(owner).and_then(|all| all.get_mut(&key));
        if let Some(answered) = answered {
            let again: Leaves = wanted
                .iter()
                .filter(|(path, number)| answered.leaves.get(*path) == Some(number))
                .map(|(path, number)| (path.clone(), *number))
                .collect();
            let unchanged =
                answered.version.is_some() && held.is_some_and(|it| it.resource_version == answered.version);
            // Once is enough to learn from an answer.
            answered.leaves.retain(|path, _| !again.contains_key(path));
            if !again.is_empty() {
                self.writes += 1;
                let entry = self.entry(owner, &key);
                entry.races += 1;
                if unchanged || entry.races > RACES {
                    entry.learn(again, now);
                }
            }
        }
        let Some(entry) = self.entries.get(&key).filter(|entry| entry.until > now) else {
            if self.entries.contains_key(&key) {
                self.asked.insert(key);
            }
            return Sifted::Write(intent);
        };
        let (dead, until) = (entry.dead.clone(), entry.until);
        self.asked.insert(key);
        let left = match &mut intent.verb {
            Verb::MergePatch { patch, .. } => patch.as_object_mut().is_some_and(|it| strip(it, "", &dead)),
            _ => wanted.keys().any(|path| !dead.contains_key(path)),
        };
        if left { Sifted::Write(intent) } else { Sifted::Wait(Some(until)) }
    }

    fn entry(&mut self, owner: &Owner, key: &ObjectKey) -> &mut Entry {
        self.asked.insert(key.clone());
        self.of.entry(owner.clone()).or_default().insert(key.clone());
        let entry = self.entries.entry(key.clone()).or_default();
        entry.owner = Some(owner.clone());
        entry
    }

    /// All that the owner asks for was sifted: what it asks for no more has had its effect, or is wanted no more.
    pub fn planned(&mut self, owner: &Owner) {
        self.answered.remove(owner);
        let asked = std::mem::take(&mut self.asked);
        let Some(keys) = self.of.get_mut(owner) else { return };
        for key in keys.iter().filter(|key| !asked.contains(*key)) {
            if self.entries.get(key).is_some_and(|entry| entry.owner.as_ref() == Some(owner)) {
                self.entries.remove(key);
            }
        }
        keys.retain(|key| asked.contains(key));
        if keys.is_empty() {
            self.of.remove(owner);
        }
    }

    /// A list of this kind began anew, as it does after a schema change: waiting owners may try at once.
    pub fn listed_anew(&mut self, kind: Kind) -> Vec<Owner> {
        let entries = self.entries.iter_mut().filter(|((of, ..), entry)| *of == kind && entry.until > 0);
        entries
            .filter_map(|(_, entry)| {
                entry.until = 0;
                entry.owner.clone()
            })
            .collect()
    }

    /// What is to be said of an owner's objects.
    pub fn problems(&self, owner: &Owner) -> Vec<(ObjectKey, Problem)> {
        let keys = self.of.get(owner).into_iter().flatten();
        keys.filter_map(|key| Some((key.clone(), self.entries.get(key)?.problem(key)?))).collect()
    }

    /// How many objects are as they shouldn't be, whatever is written.
    #[must_use]
    pub fn count(&self) -> usize {
        self.entries.len()
    }
}

impl Entry {
    fn learn(&mut self, again: Leaves, now: Millis) {
        if self.until <= now {
            // The pause was over and all was tried again, or it is the first time.
            self.dead = again;
            self.pause = if self.pause == 0 { FIRST } else { (self.pause * 2).min(LONGEST) };
        } else {
            self.dead.extend(again);
        }
        self.until = now + self.pause;
    }

    fn problem(&self, (kind, namespace, name): &ObjectKey) -> Option<Problem> {
        let object = match namespace.is_empty() {
            true => format!("{kind:?} {name}"),
            false => format!("{kind:?} {namespace}/{name}"),
        };
        if !self.held_by.is_empty() {
            let all = self.held_by.join(", ");
            let message = format!(
                "{object} is being deleted, and the finalizer {all} holds it; it goes, and what it holds becomes free, \
                 when whoever put the finalizer there takes it away"
            );
            return Some(Problem { reason: Reason::HeldByFinalizer, message });
        }
        if self.dead.is_empty() {
            return None;
        }
        let paths: Vec<String> =
            self.dead.keys().map(|path| path.trim_start_matches('/').replace('/', ".")).collect();
        let (reason, why) = match kind {
            Kind::Vpc | Kind::Subnet | Kind::Ip => (
                Reason::CrdTooOld,
                "the CRD is older than this controller; apply charts/tombolo/files/crds/ (or an admission plugin undoes the write)",
            ),
            _ => (
                Reason::WriteWithoutEffect,
                "an admission plugin undoes the write; find it, or ask whoever runs it",
            ),
        };
        let message = format!(
            "the API server takes what is written to {object} and doesn't keep {}: {why}. All else is served",
            paths.join(", ")
        );
        Some(Problem { reason, message })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn owner() -> Owner {
        Owner::subnet("s")
    }

    fn patch(patch: Value) -> Intent {
        let verb = Verb::MergePatch { status: false, patch };
        let (namespace, name) = (String::new(), "s".to_owned());
        Intent { kind: Kind::Subnet, namespace, name, uid: Some("u".to_owned()), verb }
    }

    fn meta(version: &str) -> ObjectMeta {
        ObjectMeta {
            uid: Some("u".to_owned()),
            resource_version: Some(version.to_owned()),
            ..ObjectMeta::default()
        }
    }

    /// Asks for a patch until it is kept back; how often it was written, and until when it waits.
    fn written(
        vain: &mut Vain,
        body: &Value,
        now: Millis,
        versions: &mut dyn FnMut() -> String,
    ) -> (u32, Option<Millis>) {
        let mut version = versions();
        for count in 0..20 {
            let sifted = vain.sift(&owner(), patch(body.clone()), Some(&meta(&version)), now);
            vain.planned(&owner());
            match sifted {
                Sifted::Wait(until) => return (count, until),
                Sifted::Write(intent) => {
                    version = versions();
                    vain.answered(&owner(), &intent, Some(&version));
                    version = versions();
                }
            }
        }
        panic!("no end");
    }

    #[test]
    fn what_has_no_effect_is_written_once_and_then_with_pauses() {
        let mut vain = Vain::default();
        let body = json!({ "metadata": { "uid": "u" }, "spec": { "a": 1 } });
        let mut same = || "7".to_owned();
        let mut now = 0;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let (count, until) = written(&mut vain, &body, now, &mut same);
            assert_eq!(count, 1);
            pauses.push(until.unwrap() - now);
            assert_eq!(written(&mut vain, &body, now + 1, &mut same).0, 0);
            now = until.unwrap();
        }
        assert_eq!(pauses, [30_000, 60_000, 120_000, 240_000, 480_000, 600_000, 600_000, 600_000]);
        assert_eq!((vain.count(), vain.problems(&owner()).len()), (1, 1));
        // Nothing of it is asked for any more.
        vain.planned(&owner());
        assert!(vain.entries.is_empty() && vain.of.is_empty() && vain.answered.is_empty());
    }

    #[test]
    fn what_somebody_else_changes_meanwhile_may_be_a_race_a_few_times() {
        let mut vain = Vain::default();
        let mut number = 0;
        let mut next = || {
            number += 1;
            number.to_string()
        };
        let (count, until) = written(&mut vain, &json!({ "spec": { "a": 1 } }), 0, &mut next);
        assert_eq!((count, until), (4, Some(FIRST)));
    }

    #[test]
    fn the_rest_of_a_patch_is_written() {
        let mut vain = Vain::default();
        let body = json!({ "metadata": { "uid": "u" }, "spec": { "pruned": { "x": 1 }, "list": ["a"] } });
        let mut same = || "7".to_owned();
        let pruned = json!({ "metadata": { "uid": "u" }, "spec": { "pruned": { "x": 1 } } });
        let Sifted::Write(first) = vain.sift(&owner(), patch(body.clone()), Some(&meta("6")), 0) else {
            panic!()
        };
        vain.planned(&owner());
        vain.answered(&owner(), &first, Some(&"7".to_owned()));
        assert_eq!(written(&mut vain, &pruned, 0, &mut same), (0, Some(FIRST)));
        // A new wish goes through without what is known to be dropped; so does another value of it.
        let more = json!({ "metadata": { "uid": "u" }, "spec": { "pruned": { "x": 1 }, "new": true } });
        let Sifted::Write(intent) = vain.sift(&owner(), patch(more), Some(&meta("7")), 1) else { panic!() };
        assert_eq!(intent, patch(json!({ "metadata": { "uid": "u" }, "spec": { "new": true } })));
        let other = patch(json!({ "spec": { "pruned": { "x": 2 } } }));
        assert_eq!(vain.sift(&owner(), other.clone(), Some(&meta("7")), 1), Sifted::Write(other));
    }

    #[test]
    fn times_alone_are_nothing_new() {
        let at = |time: &str| number(&json!([{ "type": "Ready", "lastUpdateTime": time }]));
        assert_eq!(at("a"), at("b"));
        assert_ne!(number(&json!({ "a": 1 })), number(&json!({ "a": 2 })));
        assert_ne!(number(&json!(["a", "b"])), number(&json!([["a", "b"]])));
    }

    #[test]
    fn an_object_that_is_going_is_not_deleted_again() {
        let mut vain = Vain::default();
        let delete = Intent { verb: Verb::Delete, ..patch(json!({})) };
        let going = ObjectMeta {
            deletion_timestamp: serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap(),
            finalizers: Some(vec!["example.com/dhcp".to_owned()]),
            ..meta("7")
        };
        assert_eq!(vain.sift(&owner(), delete.clone(), Some(&meta("6")), 0), Sifted::Write(delete.clone()));
        assert_eq!(vain.sift(&owner(), delete.clone(), Some(&going), 0), Sifted::Wait(None));
        let (_, problem) = vain.problems(&owner()).remove(0);
        assert!(problem.message.contains("example.com/dhcp"), "{problem:?}");
        // Its successor of the same name is another object.
        let other = ObjectMeta { uid: Some("v".to_owned()), ..going };
        assert_eq!(vain.sift(&owner(), delete.clone(), Some(&other), 0), Sifted::Write(delete));
    }

    #[test]
    fn a_new_list_is_a_reason_to_try() {
        let mut vain = Vain::default();
        let body = json!({ "spec": { "a": 1 } });
        let mut same = || "7".to_owned();
        assert_eq!(written(&mut vain, &body, 0, &mut same).0, 1);
        assert!(vain.listed_anew(Kind::Vpc).is_empty());
        assert_eq!(vain.listed_anew(Kind::Subnet), [owner()]);
        assert_eq!(written(&mut vain, &body, 1, &mut same), (1, Some(60_001)));
    }

    #[test]
    fn a_deletion_that_leaves_the_object_as_it_was_waits() {
        let mut vain = Vain::default();
        let delete = Intent { verb: Verb::Delete, ..patch(json!({})) };
        vain.answered(&owner(), &delete, Some(&"7".to_owned()));
        assert_eq!(vain.sift(&owner(), delete.clone(), Some(&meta("7")), 0), Sifted::Wait(Some(FIRST)));
        vain.planned(&owner());
        assert_eq!(vain.sift(&owner(), delete.clone(), Some(&meta("7")), FIRST), Sifted::Write(delete));
    }

    #[test]
    fn a_write_in_vain_is_counted_once_however_often_it_is_asked_for() {
        let mut vain = Vain::default();
        let wish = patch(json!({ "spec": { "a": 1, "b": 2 } }));
        vain.answered(&owner(), &wish, Some(&"7".to_owned()));
        for _ in 0..2 {
            assert_eq!(
                vain.sift(&owner(), wish.clone(), Some(&meta("7")), 0),
                Sifted::Wait(Some(FIRST)),
                "a plan asks, and the refusal of its rows asks again"
            );
        }
        assert_eq!(vain.writes, 1);
    }

    #[test]
    fn an_empty_map_is_a_wish_like_any_other() {
        let mut vain = Vain::default();
        let mut same = || "7".to_owned();
        let empty = json!({ "spec": { "a": {} } });
        assert_eq!(written(&mut vain, &empty, 0, &mut same), (1, Some(FIRST)));
        // Beside another one that is new it is left out, and where it is new itself it is written.
        let both = patch(json!({ "spec": { "a": {}, "b": {} } }));
        let left = patch(json!({ "spec": { "b": {} } }));
        assert_eq!(vain.sift(&owner(), both, Some(&meta("7")), 1), Sifted::Write(left));
    }

    #[test]
    fn a_new_list_ends_no_finalizer() {
        let mut vain = Vain::default();
        let delete = Intent { verb: Verb::Delete, ..patch(json!({})) };
        let going = ObjectMeta {
            deletion_timestamp: serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap(),
            finalizers: Some(vec!["example.com/dhcp".to_owned()]),
            ..meta("7")
        };
        assert_eq!(vain.sift(&owner(), delete, Some(&going), 0), Sifted::Wait(None));
        assert!(vain.listed_anew(Kind::Subnet).is_empty());
    }
}
