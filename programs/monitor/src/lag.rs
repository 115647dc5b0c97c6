//! How far northd is behind the northbound database.
//!
//! Two signs: `nb_cfg`, which whoever waits for northd raises (Neutron does at each check of its agents, `ovn-nbctl --wait`
//! does) and northd copies to `sb_cfg` when it is done; and logical switches that the southbound database doesn't have yet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tombolo_ovsdb::Uuid;

/// What northd has yet to do, and since when.
#[derive(Clone, Debug, Default)]
pub struct Lag {
    requests: VecDeque<(i64, Duration)>,
    switches: BTreeMap<Uuid, Duration>,
}

impl Lag {
    /// What both databases show now.
    pub fn seen(&mut self, now: Duration, nb_cfg: i64, sb_cfg: i64, missing: &BTreeSet<Uuid>) {
        // Set back: another database was restored in its place.
        if self.requests.back().is_some_and(|(newest, _)| *newest > nb_cfg) {
            self.requests.clear();
        }
        while self.requests.front().is_some_and(|(request, _)| *request <= sb_cfg) {
            self.requests.pop_front();
        }
        if nb_cfg > sb_cfg && self.requests.back().is_none_or(|(newest, _)| *newest < nb_cfg) {
            self.requests.push_back((nb_cfg, now));
        }
        self.switches.retain(|switch, _| missing.contains(switch));
        for switch in missing {
            self.switches.entry(*switch).or_insert(now);
        }
    }

    /// How long the oldest of it has waited.
    #[must_use]
    pub fn since(&self, now: Duration) -> Duration {
        let request = self.requests.front().map(|(_, at)| *at);
        let oldest = self.switches.values().copied().chain(request).min();
        oldest.map_or(Duration::ZERO, |at| now.saturating_sub(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: BTreeSet<Uuid> = BTreeSet::new();

    fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn it_is_the_age_of_the_oldest_request_not_of_the_newest() {
        let mut lag = Lag::default();
        lag.seen(second(0), 4, 4, &NONE);
        assert_eq!(lag.since(second(50)), second(0));
        lag.seen(second(60), 5, 4, &NONE);
        lag.seen(second(62), 7, 4, &NONE);
        assert_eq!(lag.since(second(65)), second(5));
        // It goes on, though more is asked for all the time: that is no growing lag.
        lag.seen(second(66), 8, 5, &NONE);
        assert_eq!(lag.since(second(66)), second(4));
        lag.seen(second(67), 8, 8, &NONE);
        assert_eq!(lag.since(second(99)), second(0));
    }

    #[test]
    fn a_switch_that_the_southbound_database_lacks_is_lag_too() {
        let mut lag = Lag::default();
        let missing: BTreeSet<Uuid> = [Uuid::from_u128(1)].into();
        lag.seen(second(10), 0, 0, &missing);
        lag.seen(second(20), 0, 0, &missing);
        assert_eq!(lag.since(second(30)), second(20));
        lag.seen(second(31), 0, 0, &NONE);
        assert_eq!(lag.since(second(40)), second(0));
    }

    #[test]
    fn a_restored_database_starts_anew() {
        let mut lag = Lag::default();
        lag.seen(second(0), 9, 8, &NONE);
        lag.seen(second(5), 3, 3, &NONE);
        assert_eq!(lag.since(second(9)), second(0));
    }
}
