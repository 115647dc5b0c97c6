//! Named conditions of a program, behind `/livez` and `/readyz`. Decides how they add up (all must hold), not
//! what they are.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use crate::beat::Beat;

/// Which question a condition answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Probe {
    /// Should this process be restarted? Only what a restart can mend belongs here.
    Live,
    /// Does it serve?
    Ready,
}

/// The conditions of one process; clones share them.
///
/// A program with no condition of a kind is live, and is ready.
#[derive(Debug, Clone)]
pub struct Health {
    inner: Arc<Inner>,
}

/// Each condition by probe and name; `Err` holds the reason.
type Conditions = BTreeMap<(Probe, &'static str), Result<(), String>>;

#[derive(Debug)]
struct Inner {
    conditions: RwLock<Conditions>,
    // Loops that must turn, behind [`Probe::Live`].
    beats: RwLock<BTreeMap<&'static str, Beat>>,
    // Lets a program wait for its own readiness instead of asking again and again.
    ready: watch::Sender<bool>,
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// No conditions.
    pub fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                conditions: RwLock::new(BTreeMap::new()),
                beats: RwLock::new(BTreeMap::new()),
                ready: watch::Sender::new(true),
            }),
        }
    }

    /// The condition `name` holds.
    pub fn ok(&self, probe: Probe, name: &'static str) {
        self.set(probe, name, Ok(()));
    }

    /// The condition `name` doesn't hold; `why` is in the answers.
    pub fn fail(&self, probe: Probe, name: &'static str, why: impl Into<String>) {
        self.set(probe, name, Err(why.into()));
    }

    /// Sets the condition `name`.
    pub fn set(&self, probe: Probe, name: &'static str, state: Result<(), String>) {
        let mut conditions = self.inner.conditions.write().unwrap_or_else(PoisonError::into_inner);
        conditions.insert((probe, name), state);
        let ready = conditions.iter().all(|((p, _), s)| *p != Probe::Ready || s.is_ok());
        // Under the lock, so that two setters can't publish in the other order.
        self.inner.ready.send_if_modified(|now| std::mem::replace(now, ready) != ready);
    }

    /// The process counts as alive only while the loop `name` turns. Checked at each request, so that a loop that hangs
    /// needn't say so itself.
    pub fn live_while(&self, name: &'static str, beat: Beat) {
        self.inner.beats.write().unwrap_or_else(PoisonError::into_inner).insert(name, beat);
    }

    /// Whether all conditions of `probe` hold.
    pub fn holds(&self, probe: Probe) -> bool {
        self.report(probe).0
    }

    /// Whether all conditions of `probe` hold, and a line for each: `[+]name ok` or `[-]name: why`.
    pub fn report(&self, probe: Probe) -> (bool, String) {
        let conditions = self.inner.conditions.read().unwrap_or_else(PoisonError::into_inner);
        let beats = self.inner.beats.read().unwrap_or_else(PoisonError::into_inner);
        let set = conditions.iter().filter(|((p, _), _)| *p == probe).map(|((_, n), s)| (n, s.clone()));
        let turning = beats.iter().filter(|_| probe == Probe::Live).map(|(name, beat)| (name, beat.check()));
        let mut all = true;
        let mut text = String::new();
        for (name, state) in set.chain(turning) {
            match state {
                Ok(()) => text.push_str(&format!("[+]{name} ok\n")),
                Err(why) => {
                    all = false;
                    text.push_str(&format!("[-]{name}: {why}\n"));
                }
            }
        }
        text.push_str(if all { "ok\n" } else { "failed\n" });
        (all, text)
    }

    /// Follows [`Probe::Ready`] as a whole.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.inner.ready.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_conditions_must_hold_and_the_report_says_which_does_not() {
        let health = Health::new();
        assert!(health.holds(Probe::Ready), "no condition: ready");
        health.fail(Probe::Ready, "nb", "no leader");
        health.ok(Probe::Ready, "kubernetes");
        let (ok, text) = health.report(Probe::Ready);
        assert!(!ok);
        assert_eq!(text, "[+]kubernetes ok\n[-]nb: no leader\nfailed\n");
        assert!(health.holds(Probe::Live), "readiness says nothing about life");
        health.ok(Probe::Ready, "nb");
        assert!(health.holds(Probe::Ready));
    }

    #[test]
    fn a_loop_that_hangs_is_no_life() {
        let health = Health::new();
        let beat = Beat::new(std::time::Duration::from_millis(50));
        health.live_while("engine", beat.clone());
        assert_eq!(health.report(Probe::Live), (true, "[+]engine ok\nok\n".to_owned()));
        std::thread::sleep(std::time::Duration::from_millis(80));
        let (live, text) = health.report(Probe::Live);
        assert!(!live && text.starts_with("[-]engine: has not turned"), "{text}");
        assert!(health.holds(Probe::Ready), "another question");
        beat.beat();
        assert!(health.holds(Probe::Live));
    }

    #[tokio::test]
    async fn readiness_can_be_awaited() {
        let health = Health::new();
        health.fail(Probe::Ready, "sync", "not yet");
        let mut ready = health.ready();
        assert!(!*ready.borrow_and_update());
        let setter = health.clone();
        tokio::spawn(async move { setter.ok(Probe::Ready, "sync") });
        ready.wait_for(|r| *r).await.unwrap();
    }
}
