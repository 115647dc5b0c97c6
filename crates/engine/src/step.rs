//! One owner's step: plan it, and do the first stage that leaves something to do.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

use tombolo_diff::{Group, Refusal, diff};
use tombolo_names::Reason;
use tombolo_ovsdb::{Op, Txn};
use tombolo_plan::world::Dirty;
use tombolo_plan::{Intent, Kind, Owner, Plan, Problem, Rows, plan};

use crate::io::{Effect, Millis, Notice, Object, Verb, Write, WriteError};
use crate::vain::Sifted;
use crate::watch::object_of;
use crate::{Busy, Commit, Engine, Lead, ObjectKey, PAUSE, PendingWrite, REFUSED_PAUSE, TURN, fence, fights};

/// Operations in one transaction, at most: a big entry blocks a RAFT server.
const MAX_OPS: usize = 500;

/// After so many failures in a row (some six seconds) it is no race.
const STUBBORN: u32 = 6;

/// What goes into the next transaction.
#[derive(Default)]
struct Batch {
    owners: Vec<Owner>,
    guards: Vec<Op>,
    ops: Vec<Op>,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.ops.len() + self.guards.len() >= MAX_OPS
    }

    fn push(&mut self, group: Group) {
        self.owners.push(group.owner);
        for guard in group.guards {
            // Many owners hang on one parent; once is enough.
            if !self.guards.contains(&guard) {
                self.guards.push(guard);
            }
        }
        self.ops.extend(group.ops);
    }
}

impl Engine {
    /// Runs dirty owners until none is left, a transaction is full, or the turn is over.
    pub(crate) fn run(&mut self, now: Millis) {
        let end = self.stats.plans + TURN as u64;
        // A part of a batch that failed goes alone. One that has nothing to write any more makes room for the next.
        while self.commit.is_none()
            && let Some(part) = self.parts.pop_front()
        {
            let mut batch = Batch::default();
            for owner in part {
                self.work.planned(&owner);
                self.step(now, owner, &mut batch);
            }
            self.send(batch);
        }
        let mut batch = Batch::default();
        // Those with rows to write have waited longest. One batch of them is planned again for each transaction,
        // and not all: a start with many objects would plan each of them for each transaction.
        while self.commit.is_none()
            && !batch.is_full()
            && self.stats.plans < end
            && let Some(owner) = self.after_commit.pop()
        {
            self.work.planned(&owner);
            self.step(now, owner, &mut batch);
        }
        while !batch.is_full() && self.stats.plans < end {
            let Some(owner) = self.work.next() else { break };
            self.work.planned(&owner);
            self.step(now, owner, &mut batch);
        }
        let is_over = self.stats.plans >= end;
        self.send(batch);
        let waits = self.commit.is_none() && !self.after_commit.is_empty();
        if is_over && (self.work.pending() > 0 || waits) {
            self.more_since = Some(now);
        }
    }

    fn send(&mut self, batch: Batch) {
        let Lead::Leading(epoch) = self.lead else { return };
        if batch.ops.is_empty() {
            return;
        }
        let mut txn = Txn::new(batch.ops).guard(fence::guard(&self.world.config.cluster, epoch));
        txn.guards.extend(batch.guards);
        let first = batch.owners.first().map(ToString::to_string).unwrap_or_default();
        let cluster = &self.world.config.cluster;
        let more = batch.owners.len() - 1;
        let txn = txn.comment(format!("tombolo {epoch} of {cluster}: {first} and {more} more"));
        for owner in &batch.owners {
            self.work.state(owner).committing = true;
        }
        let id = self.id();
        self.commit = Some(Commit::Rows { id, owners: batch.owners });
        self.out.push(Effect::Commit { id, txn });
    }

    fn step(&mut self, now: Millis, owner: Owner, batch: &mut Batch) {
        self.stats.plans += 1;
        self.after_commit.remove(&owner);
        self.waiters.begin(&owner);
        self.forget_wanted_name(&owner);
        let mut plan = plan(&self.world, &owner);
        let mut problems = plan.problems.clone();
        problems.extend(self.work.state(&owner).refused.clone());
        if let Some(blocker) = &plan.waits_for {
            self.work.block(owner.clone(), blocker.clone());
        }
        if let Some(wait) = &plan.waits_for_address {
            self.waiters.wait_for(&owner, wait);
        }
        if let Some(seconds) = plan.again_secs {
            self.work.add_at(owner.clone(), now + seconds.saturating_mul(1_000));
        }
        self.forget_reservation(now, &owner, &plan);
        // What had no effect when it was written stands in nobody's way: all else is done.
        plan.before = self.sift(now, &owner, std::mem::take(&mut plan.before));
        plan.after = self.sift(now, &owner, std::mem::take(&mut plan.after));
        let mut got = None;
        if let Some(request) = &plan.address {
            match self.allocate(now, &owner, request) {
                Ok(subnet) => got = Some(subnet),
                Err(problem) => problems.push(problem),
            }
        } else if !plan.before.is_empty() {
            for intent in std::mem::take(&mut plan.before) {
                self.write(&owner, intent);
            }
        } else if self.rows_stand(now, &owner, &plan, batch, &mut problems) {
            if plan.waits_for.is_none() && plan.rows.is_some() {
                self.work.unblock(&owner);
            }
            if plan.after.is_empty() {
                self.work.state(&owner).succeeded();
                problems.clone_from(&plan.problems);
                self.world.seen_deleted.remove(&owner);
                self.absent.remove(&owner);
            }
            // To take the last finalizer away is to delete.
            let ends = |intent: &Intent| intent.verb == Verb::Delete || intent.kind == Kind::Ip;
            if !(plan.after.iter().any(ends) && self.must_ask(&owner, plan.explained)) {
                for intent in plan.after {
                    self.write(&owner, intent);
                }
            }
        }
        if let Some(next) = self.waiters.end(&owner, got.as_deref()) {
            self.work.add(next);
        }
        self.vain.planned(&owner);
        for (object, problem) in self.vain.problems(&owner) {
            self.tell_of(&owner, object, &problem);
            problems.push(problem);
        }
        self.tell(&owner, &problems);
        self.work.settle(&owner);
    }

    /// What of these intents is to be written now.
    fn sift(&mut self, now: Millis, owner: &Owner, intents: Vec<Intent>) -> Vec<Intent> {
        let mut left = Vec::new();
        for intent in intents {
            let key = match intent.kind {
                Kind::Pod => format!("{}/{}", intent.namespace, intent.name),
                _ => intent.name.clone(),
            };
            let held = self.held_meta(intent.kind, &key).cloned();
            match self.vain.sift(owner, intent, held.as_ref(), now) {
                Sifted::Write(intent) => {
                    if intent.kind == Kind::Vpc
                        && matches!(intent.verb, Verb::MergePatch { status: true, .. })
                    {
                        self.work.reported(owner, now);
                    }
                    left.push(intent);
                }
                Sifted::Wait(Some(until)) => self.work.add_at(owner.clone(), until),
                Sifted::Wait(None) => {}
            }
        }
        left
    }

    /// It wants nobody's name until that is found again.
    fn forget_wanted_name(&mut self, owner: &Owner) {
        let Some(uuid) = self.wants_name_of.remove(owner) else { return };
        if let Some(owners) = self.taken.get_mut(&uuid) {
            owners.remove(owner);
            if owners.is_empty() {
                self.taken.remove(&uuid);
            }
        }
    }

    /// Whether the rows are as desired, so that the next stage may come. If not, they are put into the batch or
    /// wait.
    fn rows_stand(
        &mut self,
        now: Millis,
        owner: &Owner,
        plan: &Plan,
        batch: &mut Batch,
        problems: &mut Vec<Problem>,
    ) -> bool {
        let Some(rows) = &plan.rows else { return true };
        let group = match self.compare(owner, rows) {
            Ok(group) => group,
            Err(Refusal::NoParent { .. }) => {
                // Its arrival makes the owner of these rows dirty only where it is ours: look again.
                self.work.add_at(owner.clone(), now + 1_000);
                return false;
            }
            // Not a fault: its row changes as they leave, which makes the owner dirty.
            Err(Refusal::InUse { .. }) => return false,
            Err(refusal) => {
                let reason = match refusal {
                    Refusal::NameTaken { .. } => Reason::NameTaken,
                    Refusal::NotOurs { .. } => Reason::RowNotOurs,
                    Refusal::HangsOnForeign { .. } => Reason::HangsOnForeignRow,
                    _ => Reason::HoldsForeignRows,
                };
                let problem = Problem { reason, message: refusal.to_string() };
                self.report_refusal(now, owner, &problem);
                problems.push(problem);
                if let Refusal::NameTaken { uuid, .. } = refusal {
                    // Until that row goes or is renamed there is nothing to try.
                    self.taken.entry(uuid).or_default().insert(owner.clone());
                    self.wants_name_of.insert(owner.clone(), uuid);
                } else {
                    self.work.add_at(owner.clone(), now + REFUSED_PAUSE);
                }
                return false;
            }
        };
        if group.is_empty() {
            return true;
        }
        let wanted = fights::fingerprint(&self.world.nb, rows);
        if let Some(until) = self.fights.wait(owner, wanted, now) {
            let problem = fights::problem();
            self.report_refusal(now, owner, &problem);
            problems.push(problem);
            self.work.add_at(owner.clone(), until);
            return false;
        }
        if group.deletes > 0 {
            if !self.sources.can_delete() {
                self.work.add_at(owner.clone(), now + 1_000);
                return false;
            }
            if self.must_ask(owner, plan.explained) {
                return false;
            }
        }
        if self.commit.is_some() {
            self.after_commit.push(owner.clone());
            return false;
        }
        // Only now, so that whoever waits for its turn is charged once. What the API server itself says to be gone is
        // explained.
        let explained = plan.explained || self.absent.contains(owner);
        if group.deletes > 0 && !explained && !self.brake.charge(group.deletes, self.own_rows) {
            self.hold(owner);
            return false;
        }
        self.fights.writing(owner, wanted);
        batch.push(group);
        false
    }

    fn compare(&self, owner: &Owner, rows: &Rows) -> Result<Group, Refusal> {
        diff(&self.world.nb, &self.world.config.cluster, owner, rows)
    }

    /// Says on the object that its rows can't be written.
    pub(crate) fn report_refusal(&mut self, now: Millis, owner: &Owner, problem: &Problem) {
        let intents = tombolo_plan::refused(&self.world, owner, problem).into_iter().collect();
        for intent in self.sift(now, owner, intents) {
            self.write(owner, intent);
        }
    }

    /// Whether the API server is to say first that an owner's object isn't there; if so it is asked. A watch that lags shows
    /// a new leader less than the last one knew, and what that one made must not go for it (invariant 4).
    fn must_ask(&mut self, owner: &Owner, explained: bool) -> bool {
        let Some((kind, namespace, name)) = object_of(owner) else { return false };
        if explained || self.absent.contains(owner) || self.held_meta(kind, &owner.name).is_some() {
            return false;
        }
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        self.write(owner, Intent { kind, namespace, name, uid: None, verb: Verb::Read });
        true
    }

    fn hold(&mut self, owner: &Owner) {
        if self.held.is_empty() {
            self.log(
                true,
                "more rows are to be deleted than any event explains; they are held back until `kubectl ko brake \
                 release`. The first one belongs to "
                    .to_owned()
                    + &owner.to_string(),
            );
            let vpc = self.world.config.cluster_router.clone();
            if let Some(uid) = self.held_meta(Kind::Vpc, &vpc).and_then(|meta| meta.uid.clone()) {
                self.notify(Notice {
                    kind: Kind::Vpc,
                    namespace: String::new(),
                    name: vpc,
                    uid,
                    warning: true,
                    reason: Reason::DeletionsHeld,
                    message:
                        "more rows are to be deleted than any event explains; check that nothing is missing \
                              from the cluster's objects, then run `kubectl ko brake release`"
                            .to_owned(),
                });
            }
        }
        self.held.insert(owner.clone());
        self.stats.held = self.held.len() as u64;
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
        let kind = match intent.kind {
            Kind::Vpc => "vpc",
            Kind::Subnet => "subnet",
            Kind::Ip => "ip",
            Kind::Pod => "pod",
            Kind::Node => "node",
            Kind::Namespace => "namespace",
        };
        *self.stats.writes.entry((kind, verb)).or_default() += 1;
        self.work.state(owner).writes += 1;
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
            let state = self.work.state(&owner);
            state.writes = state.writes.saturating_sub(1);
        }
        let object_key = (intent.kind, intent.namespace.clone(), intent.name.clone());
        let busy = self.busy_objects.remove(&object_key).unwrap_or_default();
        dirty.extend(busy.waiting);
        let key = match intent.kind {
            Kind::Pod => format!("{}/{}", intent.namespace, intent.name),
            _ => intent.name.clone(),
        };
        match result {
            Ok(Some(object)) => {
                if leads {
                    self.vain.answered(&owner, &intent, object.meta().resource_version.as_ref());
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
                    self.absent.insert(owner.clone());
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
            self.work.state(&owner).succeeded();
            // A report that was just written is not written again at once (addresses come and go all the time).
            match (&intent.kind, &intent.verb) {
                (Kind::Subnet, Verb::MergePatch { status: true, .. }) => dirty.soon.insert(owner.clone()),
                (Kind::Vpc, Verb::MergePatch { status: true, .. }) => dirty.paced.insert(owner.clone()),
                _ => dirty.now.insert(owner.clone()),
            };
            self.work.settle(&owner);
        }
    }

    fn write_failed(&mut self, now: Millis, owner: &Owner, intent: &Intent, error: &WriteError) {
        self.stats.failed_writes += 1;
        let what = format!("writing {:?} {} {}", intent.kind, intent.namespace, intent.name);
        match error {
            // Somebody was faster; the watch brings what is there now.
            WriteError::AlreadyExists | WriteError::Conflict(_) | WriteError::NotFound => {
                let state = self.work.state(owner);
                if state.failures >= STUBBORN {
                    // No race any more: the watch brings nothing that would end it.
                    let message = format!(
                        "{what}: {error}, again and again; it is tried further with pauses. If another object has the \
                         name, delete it or rename this one"
                    );
                    state.refused = Some(Problem { reason: Reason::WriteNotDone, message });
                }
                self.work.back_off(owner, now, PAUSE);
            }
            WriteError::Unavailable(_) => {
                if self.work.state(owner).failures == 0 {
                    self.log(true, format!("{what}: {error}; it is tried again"));
                }
                self.work.back_off(owner, now, PAUSE);
            }
            WriteError::Refused(_) => {
                self.log(true, format!("{what}: {error}"));
                let problem = Problem { reason: Reason::WriteRefused, message: format!("{what}: {error}") };
                self.tell(owner, std::slice::from_ref(&problem));
                self.work.state(owner).refused = Some(problem);
                self.work.back_off(owner, now, REFUSED_PAUSE);
            }
        }
        self.work.settle(owner);
    }

    /// Tells the user what is new among an owner's problems, once (invariants 9 and 10).
    pub(crate) fn tell(&mut self, owner: &Owner, problems: &[Problem]) {
        let numbers: BTreeSet<u64> = problems.iter().map(number).collect();
        let before = self.said.get(owner);
        let new: BTreeSet<Problem> = problems
            .iter()
            .filter(|problem| before.is_none_or(|before| !before.contains(&number(problem))))
            .cloned()
            .collect();
        if problems.is_empty() {
            if self.said.remove(owner).is_some() {
                self.log(false, format!("{}: nothing is wrong any more", shown(owner)));
            }
            return;
        }
        self.said.insert(owner.clone(), numbers);
        for problem in new {
            *self.stats.problems.entry(problem.reason).or_default() += 1;
            // An old CRD is one fault, however many objects there are.
            let old_crd = (problem.reason == Reason::CrdTooOld).then(|| object_of(owner)).flatten();
            if old_crd.is_none_or(|(kind, ..)| self.old_crds.insert(kind)) {
                self.log(true, format!("{}: {}: {}", shown(owner), problem.reason, problem.message));
            }
            let Some((kind, namespace, name)) = object_of(owner) else { continue };
            let Some(uid) = self.held_meta(kind, &owner.name).and_then(|meta| meta.uid.clone()) else {
                continue;
            };
            self.notify(Notice {
                kind,
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                uid,
                warning: true,
                reason: problem.reason,
                message: problem.message,
            });
        }
    }

    /// Tells of an object that isn't its owner's own (the IP object of a pod) where `kubectl describe` looks for it, once.
    fn tell_of(&mut self, owner: &Owner, (kind, namespace, name): ObjectKey, problem: &Problem) {
        let is_new = self.said.get(owner).is_none_or(|said| !said.contains(&number(problem)));
        let is_other = object_of(owner).is_none_or(|(of, _, its)| (of, its) != (kind, name.as_str()));
        if !(is_new && is_other) {
            return;
        }
        if let Some(uid) = self.held_meta(kind, &name).and_then(|meta| meta.uid.clone()) {
            let (reason, message) = (problem.reason, problem.message.clone());
            self.notify(Notice { kind, namespace, name, uid, warning: true, reason, message });
        }
    }
}

/// A problem as a number: what was said is compared, not kept.
fn number(problem: &Problem) -> u64 {
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    (&problem.reason, &problem.message).hash(&mut hasher);
    hasher.finish()
}

/// An owner in one line of a log: names in the database may be of any length and hold anything.
fn shown(owner: &Owner) -> String {
    let text = owner.to_string();
    if text.len() <= 300 && !text.contains(char::is_control) {
        return text;
    }
    let begin: String = text.chars().take(100).collect();
    format!("{begin:?}, a name of {} bytes", text.len())
}
