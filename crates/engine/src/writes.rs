//! Writes to the API server: which ones are made, and what becomes of them. Never two at a time for one object.

use std::collections::BTreeSet;

use tombolo_names::Reason;
use tombolo_plan::world::Dirty;
use tombolo_plan::{Intent, Kind, Owner, Problem};

use crate::io::{Effect, Millis, Object, Verb, Write, WriteError};
use crate::vain::Sifted;
use crate::watch::object_of;
use crate::{ENTRY_DELAY, Engine, Lead, PAUSE, REFUSED_PAUSE, REPORT_DELAY};

/// After so many failures in a row (some six seconds) it is no race.
const STUBBORN: u32 = 6;

/// A write under way.
#[derive(Clone, Debug)]
pub(crate) struct PendingWrite {
    pub(crate) owner: Owner,
    pub(crate) intent: Intent,
    /// Which leadership of this process it belongs to.
    pub(crate) term: u64,
}

/// What is to be known of an object while it is being written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Busy {
    /// Who else wants to write it.
    pub(crate) waiting: BTreeSet<Owner>,
    /// Uids of objects of this name that went since: an answer that is still on its way must not bring them back.
    pub(crate) gone: BTreeSet<String>,
}

impl Engine {
    /// What of these intents is to be written now.
    pub(crate) fn sift(&mut self, now: Millis, owner: &Owner, intents: Vec<Intent>) -> Vec<Intent> {
        let mut left = Vec::new();
        for intent in intents {
            let key = intent.kind.key(&intent.namespace, &intent.name);
            let held = self.held_meta(intent.kind, &key).cloned();
            match self.reign.vain.sift(owner, intent, held.as_ref(), now) {
                Sifted::Write(intent) => {
                    if intent.kind == Kind::Vpc
                        && matches!(intent.verb, Verb::MergePatch { status: true, .. })
                    {
                        let entries = Millis::try_from(self.world.entries_of(owner)).unwrap_or(REPORT_DELAY);
                        let pause = entries.saturating_mul(ENTRY_DELAY).min(REPORT_DELAY);
                        self.reign.work.reported(owner, now + pause);
                    }
                    left.push(intent);
                }
                Sifted::Wait(Some(until)) => self.reign.work.add_at(owner.clone(), until),
                Sifted::Wait(None) => {}
            }
        }
        left
    }

    /// Whether the API server is to say first that an owner's object isn't there; if so it is asked. A watch that lags shows
    /// a new leader less than the last one knew, and what that one made must not go for it (invariant 4).
    pub(crate) fn must_ask(&mut self, owner: &Owner, explained: bool) -> bool {
        let Some((kind, namespace, name)) = object_of(owner) else { return false };
        if explained || self.reign.absent.contains(owner) || self.held_meta(kind, &owner.name).is_some() {
            return false;
        }
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        self.write(owner, Intent { kind, namespace, name, uid: None, verb: Verb::Read });
        true
    }

    pub(crate) fn write(&mut self, owner: &Owner, intent: Intent) {
        let key = (intent.kind, intent.namespace.clone(), intent.name.clone());
        if let Some(busy) = self.busy_objects.get_mut(&key) {
            busy.waiting.insert(owner.clone());
            return;
        }
        self.busy_objects.insert(key, Busy::default());
        let id = self.id();
        let verb = match &intent.verb {
            Verb::Create(_) => "create",
            Verb::MergePatch { status: true, .. } => "patch_status",
            Verb::MergePatch { .. } => "patch",
            Verb::Delete => "delete",
            Verb::Read => "get",
        };
        let kind = intent.kind.facts().word;
        *self.stats.writes.entry((kind, verb)).or_default() += 1;
        self.reign.work.state(owner).writes += 1;
        self.writes
            .insert(id, PendingWrite { owner: owner.clone(), intent: intent.clone(), term: self.term });
        let Intent { kind, namespace, name, uid, verb } = intent;
        self.out.push(Effect::Write(Write { id, kind, namespace, name, uid, verb }));
    }

    pub(crate) fn write_done(
        &mut self,
        now: Millis,
        id: u64,
        result: Result<Option<Object>, WriteError>,
        dirty: &mut Dirty,
    ) {
        let Some(PendingWrite { owner, intent, term }) = self.writes.remove(&id) else { return };
        let leads = matches!(self.lead, Lead::Leading(_)) && term == self.term;
        if leads {
            let state = self.reign.work.state(&owner);
            state.writes = state.writes.saturating_sub(1);
        }
        let object_key = (intent.kind, intent.namespace.clone(), intent.name.clone());
        let busy = self.busy_objects.remove(&object_key).unwrap_or_default();
        dirty.extend(busy.waiting);
        let key = intent.kind.key(&intent.namespace, &intent.name);
        match result {
            Ok(Some(object)) => {
                if leads {
                    self.reign.vain.answered(&owner, &intent, object.meta().resource_version.as_ref());
                }
                if matches!(intent.verb, Verb::Create(_) | Verb::Read) {
                    // A list under way may be older than the object: it is there all the same.
                    self.sources.seen(intent.kind, &key);
                }
                // Otherwise the watch was faster: it has gone since.
                if object.meta().uid.as_ref().is_none_or(|uid| !busy.gone.contains(uid)) {
                    self.put(object, dirty);
                }
            }
            Err(WriteError::NotFound) if intent.verb == Verb::Read => {
                // Unless it has come since.
                if leads && self.held_meta(intent.kind, &key).is_none() {
                    self.reign.absent.insert(owner.clone());
                }
            }
            // Deleted. If finalizers hold it the watch shows it again, terminating.
            Ok(None) => self.gone(intent.kind, &key, intent.uid.as_ref(), dirty),
            Err(error) => {
                if error == WriteError::NotFound && !matches!(intent.verb, Verb::Create(_)) {
                    // The watch may never say so: a list that was under way doesn't.
                    self.gone(intent.kind, &key, intent.uid.as_ref(), dirty);
                }
                if leads {
                    self.write_failed(now, &owner, &intent, &error);
                }
                return;
            }
        }
        if leads {
            self.reign.work.state(&owner).succeeded();
            // A report that was just written is not written again at once (addresses come and go all the time).
            match (&intent.kind, &intent.verb) {
                (Kind::Subnet, Verb::MergePatch { status: true, .. }) => dirty.soon.insert(owner.clone()),
                (Kind::Vpc, Verb::MergePatch { status: true, .. }) => dirty.paced.insert(owner.clone()),
                _ => dirty.now.insert(owner.clone()),
            };
            self.reign.work.settle(&owner);
        }
    }

    pub(crate) fn write_failed(&mut self, now: Millis, owner: &Owner, intent: &Intent, error: &WriteError) {
        self.stats.failed_writes += 1;
        let what = format!("writing {:?} {} {}", intent.kind, intent.namespace, intent.name);
        match error {
            // Another client was faster; the watch brings the current state.
            WriteError::AlreadyExists | WriteError::Conflict(_) | WriteError::NotFound => {
                let state = self.reign.work.state(owner);
                if state.failures >= STUBBORN {
                    // No race any more: the watch brings nothing that would end it.
                    let message = format!(
                        "{what}: {error}, again and again; it is tried further with pauses. If another object has the \
                         name, delete it or rename this one"
                    );
                    state.refused = Some(Problem { reason: Reason::WriteNotDone, message });
                }
                self.reign.work.back_off(owner, now, PAUSE);
            }
            WriteError::Unavailable(_) => {
                if self.reign.work.state(owner).failures == 0 {
                    self.log(true, format!("{what}: {error}; it is tried again"));
                }
                self.reign.work.back_off(owner, now, PAUSE);
            }
            WriteError::Refused(_) => {
                self.log(true, format!("{what}: {error}"));
                let problem = Problem { reason: Reason::WriteRefused, message: format!("{what}: {error}") };
                self.tell(owner, std::slice::from_ref(&problem));
                self.reign.work.state(owner).refused = Some(problem);
                self.reign.work.back_off(owner, now, REFUSED_PAUSE);
            }
        }
        self.reign.work.settle(owner);
    }
}
