//! Troubles of the node beside a network that works or doesn't: networks that are refused, a
//! firewall that drops pods' traffic, a bounded MTU. Kept by source, logged once, counted, and shown on the
//! Node by [`crate::report`] (invariant 10).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::watch;
use tombolo_names::Reason;

use crate::metrics::Metrics;

/// One trouble.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trouble {
    /// Its class, for Events and the metric.
    pub reason: Reason,
    /// The fault, its reason, and the user's remedy.
    pub message: String,
}

type BySource = BTreeMap<&'static str, BTreeSet<Trouble>>;

/// All of them; clones share.
#[derive(Debug, Clone)]
pub struct Troubles {
    all: Arc<watch::Sender<BySource>>,
    metrics: Metrics,
}

impl Troubles {
    /// None so far.
    pub fn new(metrics: Metrics) -> Self {
        Self { all: Arc::new(watch::channel(BySource::new()).0), metrics }
    }

    /// Replaces a source's troubles.
    pub fn set(&self, source: &'static str, now: BTreeSet<Trouble>) {
        self.all.send_if_modified(|all| {
            let before = all.insert(source, now.clone()).unwrap_or_default();
            if before == now {
                return false;
            }
            for trouble in now.difference(&before) {
                tracing::warn!(reason = %trouble.reason, "{}", trouble.message);
            }
            for trouble in before.difference(&now) {
                tracing::info!(reason = %trouble.reason, "ended: {}", trouble.message);
            }
            for reason in before.iter().chain(&now).map(|t| t.reason).collect::<BTreeSet<_>>() {
                let count = all.values().flatten().filter(|t| t.reason == reason).count();
                self.metrics.set_problems(reason, count);
            }
            true
        });
    }

    /// Adds troubles of a source whose look was incomplete: its earlier ones stay.
    pub fn add(&self, source: &'static str, more: BTreeSet<Trouble>) {
        let mut now = self.all.borrow().get(source).cloned().unwrap_or_default();
        now.extend(more);
        self.set(source, now);
    }

    /// Follows them.
    pub fn watch(&self) -> watch::Receiver<BySource> {
        self.all.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use tombolo_observe::Observer;

    use super::*;

    fn trouble(message: &str) -> Trouble {
        Trouble { reason: Reason::NetworkRefused, message: message.to_owned() }
    }

    #[test]
    fn sources_are_apart_and_the_metric_follows() {
        let observer = Observer::new("agent", "test");
        let troubles = Troubles::new(Metrics::new(&observer, "n1"));
        let count = || {
            let metrics = observer.metrics();
            let line =
                metrics.lines().find(|l| l.starts_with("tombolo_agent_problems{reason=\"NetworkRefused\"}"));
            line.and_then(|l| l.rsplit(' ').next().map(str::to_owned))
        };
        assert_eq!(count(), None);
        let mut seen = troubles.watch();
        troubles.set("a", [trouble("one"), trouble("two")].into());
        troubles.set("b", [trouble("three")].into());
        assert_eq!(count().as_deref(), Some("3"));
        troubles.set("a", BTreeSet::new());
        assert_eq!(count().as_deref(), Some("1"));
        seen.mark_unchanged();
        troubles.set("b", [trouble("three")].into());
        assert!(!seen.has_changed().unwrap(), "reported once"); // invariant 9
        troubles.add("b", [trouble("four")].into());
        assert_eq!(seen.borrow_and_update()["b"].len(), 2);
    }
}
