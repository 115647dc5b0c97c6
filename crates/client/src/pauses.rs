//! Pauses of a watch that fails.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use kube::runtime::utils::{Backoff, ResetTimerBackoff};

/// The first pause.
const SHORTEST: Duration = Duration::from_millis(200);
/// The longest one. No longer, because they add up: an API server that comes back refuses a watch several times in turn (it
/// starts, the version is too old, its cache isn't filled), and pods wait for the watches' events.
const LONGEST: Duration = Duration::from_secs(2);
/// A watch that held for so long starts over with the shortest.
const CALM: Duration = Duration::from_secs(120);

/// The back-off of all watches: 0.2 s to 2 s.
pub(crate) fn backoff() -> ResetTimerBackoff<Pauses> {
    ResetTimerBackoff::new(Pauses::default(), CALM)
}

/// Doubled each time, with jitter: the programs of many nodes lose the API server together, and don't come back as one.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    failures: u32,
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let full = (SHORTEST * (1 << self.failures.min(5))).min(LONGEST);
        self.failures += 1;
        // The standard library seeds its hash maps from the system's randomness.
        let random = RandomState::new().build_hasher().finish();
        Some(full / 2 + full.mul_f64((random % 1024) as f64 / 2048.0))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_two_seconds_and_start_over() {
        let mut pauses = Pauses::default();
        let all: Vec<Duration> = (&mut pauses).take(20).collect();
        assert!(all[0] <= SHORTEST, "{all:?}");
        assert!(all.iter().all(|pause| *pause >= SHORTEST / 2 && *pause <= LONGEST), "{all:?}");
        assert!(all[19] >= LONGEST / 2, "{all:?}");
        pauses.reset();
        assert!(pauses.next().unwrap() <= SHORTEST);
    }
}
