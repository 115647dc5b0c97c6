//! Who is to be planned, and when: the dirty set, timers, and owners that wait for others.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tombolo_plan::{Owner, Problem};

use crate::io::Millis;
use crate::queue::Queue;

/// How long an owner whose writes keep failing waits, at most.
const MAX_BACKOFF: Millis = 60_000;
/// The longest name that an object has (RFC 1123 subdomain). Nothing of a longer one ever comes.
const LONGEST_NAME: usize = 253;

/// What is known of an owner that has work under way.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Writes to the API server under way.
    pub writes: usize,
    /// Its group is in the transaction under way.
    pub committing: bool,
    /// Failures in a row.
    pub failures: u32,
    /// Address reserved for it and not yet seen as an IP object: subnet and name of the object.
    pub reserved: Option<(String, String)>,
    /// Why the database or the API server refuses the plan; reported for as long as it does.
    pub refused: Option<Problem>,
}

impl State {
    fn is_busy(&self) -> bool {
        self.writes > 0 || self.committing
    }

    fn is_idle(&self) -> bool {
        !self.is_busy() && self.failures == 0 && self.reserved.is_none() && self.refused.is_none()
    }

    /// What was tried went through.
    pub fn succeeded(&mut self) {
        self.failures = 0;
        self.refused = None;
    }
}

/// The queue of work. Each owner is in it at most once.
#[derive(Clone, Debug, Default)]
pub struct Work {
    dirty: Queue,
    timers: BTreeSet<(Millis, Owner)>,
    due: HashMap<Owner, Millis>,
    again: BTreeSet<Owner>,
    blocked: BTreeMap<Owner, BTreeSet<Owner>>,
    /// The owner that each of those waits for.
    waits: HashMap<Owner, Owner>,
    states: HashMap<Owner, State>,
    /// Until when those whose reports are paced have reported.
    reports: HashMap<Owner, Millis>,
}

impl Work {
    /// Plan this owner at once; if it is busy, as soon as it no longer is.
    pub fn add(&mut self, owner: Owner) {
        if self.states.get(&owner).is_some_and(State::is_busy) {
            self.again.insert(owner);
        } else {
            self.dirty.push(owner);
        }
    }

    /// Plan this owner at `at`, unless it is planned before. An earlier time stays.
    pub fn add_at(&mut self, owner: Owner, at: Millis) {
        if let Some(present) = self.due.get(&owner).copied() {
            if present <= at {
                return;
            }
            self.timers.remove(&(present, owner.clone()));
        }
        self.due.insert(owner.clone(), at);
        self.timers.insert((at, owner));
    }

    /// The owner reports now, and then not before `until`.
    pub fn reported(&mut self, owner: &Owner, until: Millis) {
        self.reports.insert(owner.clone(), until);
    }

    /// Plan this owner at once, or when its report may be written again.
    pub fn add_paced(&mut self, owner: Owner, now: Millis) {
        match self.reports.get(&owner).copied().filter(|until| *until > now) {
            Some(at) => self.add_at(owner, at),
            None => {
                self.reports.remove(&owner);
                self.add(owner);
            }
        }
    }

    /// Moves what is due into the dirty set.
    pub fn tick(&mut self, now: Millis) {
        while let Some((at, owner)) = self.timers.first().cloned() {
            if at > now {
                break;
            }
            self.timers.pop_first();
            self.due.remove(&owner);
            self.add(owner);
        }
    }

    /// The next owner to plan: in the order of kinds, namespaces in turn, first come first served.
    pub fn next(&mut self) -> Option<Owner> {
        self.dirty.pop()
    }

    /// The owner is being planned: this covers everything that made it dirty so far, and it waits for no other owner
    /// until its plan says so again.
    pub fn planned(&mut self, owner: &Owner) {
        self.dirty.remove(owner);
        self.unwait(owner);
    }

    fn unwait(&mut self, owner: &Owner) {
        let Some(blocker) = self.waits.remove(owner) else { return };
        if let Some(waiting) = self.blocked.get_mut(&blocker) {
            waiting.remove(owner);
            if waiting.is_empty() {
                self.blocked.remove(&blocker);
            }
        }
    }

    /// When the next timer is due.
    #[must_use]
    pub fn next_timer(&self) -> Option<Millis> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// When this owner's timer is due.
    #[cfg(test)]
    pub fn due(&self, owner: &Owner) -> Option<Millis> {
        self.due.get(owner).copied()
    }

    /// `owner` waits until `blocker` is done, and for no other. Names come from what users write: what can't be an
    /// object's is waited for in vain, and isn't kept.
    pub fn block(&mut self, owner: Owner, blocker: Owner) {
        self.unwait(&owner);
        if blocker.namespaced().1.len() > LONGEST_NAME {
            return;
        }
        self.waits.insert(owner.clone(), blocker.clone());
        self.blocked.entry(blocker).or_default().insert(owner);
    }

    /// `blocker` is done: those that wait for it are dirty.
    pub fn unblock(&mut self, blocker: &Owner) {
        for owner in self.blocked.remove(blocker).into_iter().flatten() {
            self.waits.remove(&owner);
            self.add(owner);
        }
    }

    /// The state of an owner, made when there is none.
    pub fn state(&mut self, owner: &Owner) -> &mut State {
        self.states.entry(owner.clone()).or_default()
    }

    /// Whether nothing is dirty. What is under way is the engine's to know: a search among the states would cost
    /// as much as there ever were of them.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.dirty.is_empty() && self.again.is_empty()
    }

    /// Something of this owner ended: plan it again if that was asked for meanwhile, forget it if there is
    /// nothing to remember.
    pub fn settle(&mut self, owner: &Owner) {
        let Some(state) = self.states.get(owner) else { return };
        if state.is_busy() {
            return;
        }
        if self.again.remove(owner) {
            self.dirty.push(owner.clone());
        } else if state.is_idle() {
            self.states.remove(owner);
        }
    }

    /// Counts a failure of this owner and plans it again after a pause that doubles from `first`.
    pub fn back_off(&mut self, owner: &Owner, now: Millis, first: Millis) {
        let state = self.state(owner);
        state.failures = state.failures.saturating_add(1);
        let pause = first.saturating_mul(1 << (state.failures - 1).min(16)).min(MAX_BACKOFF.max(first));
        // What is dirty meanwhile must wait as well, or the pause would be none.
        self.again.remove(owner);
        self.dirty.remove(owner);
        self.add_at(owner.clone(), now + pause);
    }

    /// Forgets everything: leadership is lost, and the next leader begins from the world. Returns the reservations:
    /// owners, subnets and names of IP objects.
    pub fn clear(&mut self) -> Vec<(Owner, String, String)> {
        let all = std::mem::take(self);
        let reserved =
            |(owner, state): (Owner, State)| state.reserved.map(|(subnet, ip)| (owner, subnet, ip));
        all.states.into_iter().filter_map(reserved).collect()
    }

    /// Whether an owner will be planned, whatever happens: it is dirty, due, or has something under way.
    #[must_use]
    pub fn is_pending(&self, owner: &Owner) -> bool {
        let is_busy = self.states.get(owner).is_some_and(State::is_busy);
        is_busy || self.dirty.contains(owner) || self.again.contains(owner) || self.due.contains_key(owner)
    }

    /// The owner that this one waits for.
    #[must_use]
    pub fn waits_for(&self, owner: &Owner) -> Option<&Owner> {
        self.waits.get(owner)
    }

    /// How many owners are dirty.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.dirty.len() + self.again.len()
    }
}

#[cfg(test)]
mod tests {
    use tombolo_names::Reason;

    use super::*;

    #[test]
    fn busy_owners_come_again() {
        let mut work = Work::default();
        let owner = Owner::vpc("a");
        work.state(&owner).writes = 1;
        work.add(owner.clone());
        assert_eq!(work.next(), None);
        work.state(&owner).writes = 0;
        work.settle(&owner);
        assert_eq!(work.next(), Some(owner));
        assert!(work.is_at_rest());
    }

    #[test]
    fn rest_is_when_nobody_is_dirty_nor_will_be() {
        let mut work = Work::default();
        let owner = Owner::vpc("a");
        work.add(owner.clone());
        assert!(!work.is_at_rest());
        assert_eq!(work.next(), Some(owner.clone()));
        work.state(&owner).writes = 1;
        work.add(owner.clone());
        assert!(!work.is_at_rest(), "it comes again");
        work.state(&owner).writes = 0;
        work.settle(&owner);
        assert_eq!(work.next(), Some(owner));
        assert!(work.is_at_rest());
    }

    #[test]
    fn what_goes_through_ends_the_row_of_failures() {
        let problem = Problem { reason: Reason::WriteNotDone, message: String::new() };
        let mut state = State { failures: 3, refused: Some(problem), ..State::default() };
        assert!(!state.is_idle());
        state.succeeded();
        assert_eq!((state.failures, &state.refused), (0, &None));
        assert!(state.is_idle());
    }

    #[test]
    fn the_earlier_time_counts() {
        let mut work = Work::default();
        work.add_at(Owner::vpc("a"), 10);
        work.add_at(Owner::vpc("a"), 20);
        assert_eq!(work.next_timer(), Some(10));
        work.add_at(Owner::vpc("a"), 5);
        assert_eq!(work.next_timer(), Some(5));
        work.tick(5);
        assert_eq!((work.next(), work.next_timer()), (Some(Owner::vpc("a")), None));
    }

    #[test]
    fn who_reported_waits_for_the_rest_of_the_pause() {
        let mut work = Work::default();
        let owner = Owner::vpc("a");
        work.add_paced(owner.clone(), 0);
        assert_eq!(work.next(), Some(owner.clone()), "the first one at once");
        work.reported(&owner, 1_010);
        work.add_paced(owner.clone(), 500);
        work.add_paced(owner.clone(), 1_009);
        assert_eq!((work.next(), work.next_timer()), (None, Some(1_010)));
        work.tick(1_010);
        assert_eq!((work.next(), work.next_timer()), (Some(owner.clone()), None));
        work.add_paced(owner.clone(), 1_010);
        assert_eq!(work.next(), Some(owner));
        assert!(work.reports.is_empty(), "what is over is forgotten");
    }

    #[test]
    fn pauses_grow_and_end() {
        let mut work = Work::default();
        let owner = Owner::pod("a", "b");
        let mut now = 0;
        let mut pauses = Vec::new();
        for _ in 0..12 {
            work.back_off(&owner, now, 100);
            let at = work.next_timer().unwrap();
            pauses.push(at - now);
            now = at;
            work.tick(now);
            assert_eq!(work.next(), Some(owner.clone()));
        }
        assert_eq!(pauses[..4], [100, 200, 400, 800]);
        assert_eq!(pauses.last(), Some(&60_000));
    }

    #[test]
    fn who_waits_leaves_no_trace() {
        // invariant 12: pods name what they like and go again.
        let mut work = Work::default();
        for number in 0..1_000 {
            let pod = Owner::pod("n", &number.to_string());
            work.block(pod.clone(), Owner::subnet(&format!("none-{number}")));
            // It names another one, and one that can't be.
            work.block(pod.clone(), Owner::subnet(&format!("other-{number}")));
            assert_eq!((work.blocked.len(), work.waits.len()), (1, 1));
            if number % 2 == 0 {
                work.block(pod.clone(), Owner::subnet(&"x".repeat(250_000)));
            }
            work.planned(&pod);
            assert_eq!((work.blocked.len(), work.waits.len()), (0, 0));
        }
    }

    #[test]
    fn who_waits_for_what_cannot_be_named_waits_for_nothing() {
        let mut work = Work::default();
        work.block(Owner::pod("n", "p"), Owner::subnet(&"x".repeat(254)));
        assert!(work.blocked.is_empty() && work.waits.is_empty());
        // The longest name that Kubernetes takes.
        let longest = Owner::subnet(&"x".repeat(253));
        work.block(Owner::pod("n", "p"), longest.clone());
        work.unblock(&longest);
        assert_eq!(work.next(), Some(Owner::pod("n", "p")));
    }

    #[test]
    fn waiters_wake() {
        let mut work = Work::default();
        work.block(Owner::pod("a", "b"), Owner::subnet("s"));
        work.unblock(&Owner::subnet("s"));
        assert_eq!(work.next(), Some(Owner::pod("a", "b")));
        work.unblock(&Owner::subnet("s"));
        assert_eq!(work.next(), None);
    }
}
