//! What is said: on objects, once (invariants 9 and 10), and in the log.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

use tombolo_api::text;
use tombolo_names::Reason;
use tombolo_plan::{Kind, Owner, Problem};

use crate::Engine;
use crate::io::ObjectKey;
use crate::io::{Effect, Millis, Notice};
use crate::watch::object_of;

impl Engine {
    /// Says on the object that its rows can't be written.
    pub(crate) fn report_refusal(&mut self, now: Millis, owner: &Owner, problem: &Problem) {
        let intents = tombolo_plan::refusal_status(&self.world, owner, problem).into_iter().collect();
        for intent in self.sift(now, owner, intents) {
            self.write(owner, intent);
        }
    }

    pub(crate) fn hold(&mut self, owner: &Owner) {
        if self.reign.held.is_empty() {
            self.log(
                true,
                "more rows are to be deleted than any event explains; they are held back until `kubectl ko brake \
                 release`. The first one belongs to "
                    .to_owned()
                    + &owner.to_string(),
            );
            let vpc = self.world.config().cluster_router.clone();
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
        self.reign.held.insert(owner.clone());
        self.stats.held = self.reign.held.len() as u64;
    }

    /// Reports an owner's new problems to the user, once (invariants 9 and 10).
    pub(crate) fn tell(&mut self, owner: &Owner, problems: &[Problem]) {
        let numbers: BTreeSet<u64> = problems.iter().map(number).collect();
        let before = self.reign.said.get(owner);
        let new: BTreeSet<Problem> = problems
            .iter()
            .filter(|problem| before.is_none_or(|before| !before.contains(&number(problem))))
            .cloned()
            .collect();
        if problems.is_empty() {
            if self.reign.said.remove(owner).is_some() {
                self.log(false, format!("{}: nothing is wrong any more", shown(owner)));
            }
            return;
        }
        self.reign.said.insert(owner.clone(), numbers);
        for problem in new {
            *self.stats.problems.entry(problem.reason).or_default() += 1;
            // An old CRD is one fault, however many objects there are.
            let old_crd = (problem.reason == Reason::CrdTooOld).then(|| object_of(owner)).flatten();
            if old_crd.is_none_or(|(kind, ..)| self.reign.old_crds.insert(kind)) {
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

    /// Reports on an object that isn't the owner's own (a pod's IP object), where `kubectl describe` shows it, once.
    pub(crate) fn tell_of(&mut self, owner: &Owner, (kind, namespace, name): ObjectKey, problem: &Problem) {
        let is_new = self.reign.said.get(owner).is_none_or(|said| !said.contains(&number(problem)));
        let is_other = object_of(owner).is_none_or(|(of, _, its)| (of, its) != (kind, name.as_str()));
        if !(is_new && is_other) {
            return;
        }
        if let Some(uid) = self.held_meta(kind, &name).and_then(|meta| meta.uid.clone()) {
            let (reason, message) = (problem.reason, problem.message.clone());
            self.notify(Notice { kind, namespace, name, uid, warning: true, reason, message });
        }
    }

    pub(crate) fn log(&mut self, warning: bool, message: impl Into<String>) {
        let message = text::one_line(&message.into(), text::LONGEST_LINE).into_owned();
        self.out.push(Effect::Log { warning, message });
    }

    pub(crate) fn notify(&mut self, mut notice: Notice) {
        notice.message = text::one_line(&notice.message, text::LONGEST_EVENT).into_owned();
        self.out.push(Effect::Notify(notice));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_would_break_the_log_is_quoted_or_cut() {
        assert_eq!(shown(&Owner::vpc("v")), "vpc/v");
        assert_eq!(shown(&Owner::vpc("v\nw")), "\"vpc/v\\nw\", a name of 7 bytes");
        let long = shown(&Owner::vpc(&"v".repeat(400)));
        assert!(long.len() < 200 && long.ends_with("a name of 404 bytes"), "{long}");
    }
}
