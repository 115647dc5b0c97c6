//! Counters and health, for the program's metrics and probes.

use std::collections::BTreeMap;

use tombolo_names::Reason;

/// Whether the process is fit to serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Each watch was complete once.
    pub synced: bool,
    /// The replica of the NB is known to be current.
    pub nb_fresh: bool,
    /// This process leads and holds the epoch.
    pub leading: bool,
    /// Owners waiting to be planned.
    pub dirty: usize,
    /// The delete brake holds deletions back.
    pub brake_holding: bool,
}

/// Counters since the start; gauges where it says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Owners planned.
    pub plans: u64,
    /// Transactions committed to the NB.
    pub commits: u64,
    /// Owners whose rows they held.
    pub committed_owners: u64,
    /// Transactions that failed, by kind of error.
    pub failed_commits: BTreeMap<&'static str, u64>,
    /// Writes to the API server, by kind and verb.
    pub writes: BTreeMap<(&'static str, &'static str), u64>,
    /// Writes that failed.
    pub failed_writes: u64,
    /// Times an owner was put aside because the NB refused its rows.
    pub quarantined: u64,
    /// Times an owner's rows were restored after another client had changed or deleted them.
    pub restored: u64,
    /// Problems reported to users, by reason.
    pub problems: BTreeMap<Reason, u64>,
    /// Objects that could not be decoded.
    pub malformed: u64,
    /// Gauge: rows of this cluster with an unknown owner.
    pub orphans: u64,
    /// Gauge: owners whose deletions the brake holds back.
    pub held: u64,
    /// Gauge: owners whose rows are restored with pauses, since another client undoes each restoration.
    pub contended: u64,
    /// Writes that the API server took and that had no effect.
    pub vain_writes: u64,
    /// Gauge: objects that stay as they are whatever is written: their CRD is too old, or finalizers hold them.
    pub unchanged: u64,
    /// Gauge: owners that wait for a free address.
    pub waiting_for_address: u64,
}

impl Stats {
    /// A process that leads no more knows nothing of these.
    pub(crate) fn forget_gauges(&mut self) {
        (self.orphans, self.held, self.contended, self.unchanged, self.waiting_for_address) = (0, 0, 0, 0, 0);
    }

    pub(crate) fn failed_commit(&mut self, kind: &'static str) {
        *self.failed_commits.entry(kind).or_default() += 1;
    }
}
