//! What our programs have logged, as `kubectl logs` shows it, read by line.
//!
//! Decides which lines count: those from the first sync on, and of these the warnings and errors.

use anyhow::Result;

use crate::kubernetes::kubectl;
use crate::programs::{self, NAMESPACE, OurPod};

/// What the controller logs once it knows all of Kubernetes' objects and the northbound database.
pub const FIRST_SYNC: &str = "first sync:";

/// One line of a log: `2026-01-01T00:00:00.000000Z  INFO target: message`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    text: &'a str,
}

impl<'a> Line<'a> {
    /// The whole line.
    pub fn text(self) -> &'a str {
        self.text
    }

    /// When it was written (RFC 3339, UTC), empty for what isn't a log line.
    pub fn time(self) -> &'a str {
        let word = self.text.split_whitespace().next().unwrap_or_default();
        if word.ends_with('Z') && word.contains('T') { word } else { "" }
    }

    /// Whether it is a warning, an error, or no log line at all (what a dying program prints).
    pub fn is_problem(self) -> bool {
        !matches!(self.text.split_whitespace().nth(1), Some("INFO" | "DEBUG" | "TRACE"))
            || self.time().is_empty()
    }
}

/// A replica of the controller and its log.
#[derive(Debug, Clone)]
pub struct Replica {
    /// The pod.
    pub pod: OurPod,
    /// What its running container has logged.
    pub text: String,
}

impl Replica {
    /// The lines from the first sync on, of these those at or after `since` (RFC 3339, UTC).
    pub fn since_first_sync(&self, since: &str) -> Vec<Line<'_>> {
        let lines = self.text.lines().map(|text| Line { text });
        lines
            .skip_while(|line| !line.text.contains(FIRST_SYNC))
            .skip_while(|line| {
                !line.time().is_empty() && line.time().trim_end_matches('Z') < since.trim_end_matches('Z')
            })
            .collect()
    }

    /// Whether the first sync is in the log.
    pub fn synced(&self) -> bool {
        self.text.contains(FIRST_SYNC)
    }
}

/// The controller's replicas and their logs.
///
/// # Errors
/// When Kubernetes can't be asked.
pub fn controller() -> Result<Vec<Replica>> {
    let pods = programs::pods()?.into_iter().filter(|pod| pod.app == "kube-ovn-controller");
    pods.map(|pod| Ok(Replica { text: kubectl(["-n", NAMESPACE, "logs", &pod.name])?, pod })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(text: &str) -> Replica {
        let pod =
            OurPod { name: "p".into(), app: "kube-ovn-controller".into(), host: "host1".into(), restarts: 0 };
        Replica { pod, text: text.into() }
    }

    #[test]
    fn lines_before_the_first_sync_do_not_count_and_problems_are_told() {
        let log = replica(
            "2026-01-01T00:00:01.000000Z  WARN a: the API server can't be reached\n\
             2026-01-01T00:00:02.000000Z  INFO a: first sync: Kubernetes and the NB are read\n\
             2026-01-01T00:00:03.000000Z  INFO a: leading WARN\n\
             2026-01-01T00:00:04.000000Z  WARN a: the NB can't be reached\n\
             2026-01-01T00:00:05.000000Z ERROR a: ending\n\
             thread 'main' panicked\n",
        );
        let problems = |since: &str| -> Vec<&str> {
            log.since_first_sync(since).into_iter().filter(|l| l.is_problem()).map(Line::text).collect()
        };
        assert_eq!(problems("").len(), 3);
        assert_eq!(problems("2026-01-01T00:00:05Z").len(), 2);
        assert!(log.synced());
        assert!(!replica("").synced());
        assert_eq!(replica("no sync\n").since_first_sync(""), []);
    }
}
