//! A loop's sign of life: when it last turned, and whether that is too long ago.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Beaten by a loop at each turn, read by parts that depend on its turning. Clones share it.
#[derive(Clone, Debug)]
pub struct Beat {
    limit: Duration,
    started: Instant,
    /// Milliseconds after `started`.
    last: Arc<AtomicU64>,
}

impl Beat {
    /// A loop that must turn at least once within `limit`. It counts as turning now.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self { limit, started: Instant::now(), last: Arc::default() }
    }

    /// The loop turns.
    pub fn beat(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    /// How often an idle loop must wake up so as not to be taken for one that hangs.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.limit / 5
    }

    /// Why it counts as hanging, if it does.
    ///
    /// # Errors
    /// The loop hasn't turned within the limit.
    pub fn check(&self) -> Result<(), String> {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        let silent = self.started.elapsed().saturating_sub(last);
        if silent <= self.limit {
            return Ok(());
        }
        Err(format!("has not turned for {} s", silent.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_hangs_is_told_from_one_that_turns() {
        let beat = Beat::new(Duration::from_millis(60));
        assert_eq!(beat.check(), Ok(()));
        std::thread::sleep(Duration::from_millis(100));
        assert!(beat.check().unwrap_err().contains("has not turned"));
        beat.clone().beat();
        assert_eq!(beat.check(), Ok(()));
    }
}
