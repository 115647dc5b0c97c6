//! Pings from a pod while something is broken: how many were lost.
//!
//! They run in the pod's network namespace from its host, so that neither the API server nor containerd is needed.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tombolo_sandbox::demo::watch::Watch;

use crate::Pod;

/// Five a second.
const INTERVAL: &str = "0.2";

/// A running ping.
pub struct Pings {
    lines: Watch,
    what: String,
}

/// How they went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Sent until the last answer.
    pub sent: usize,
    /// Not answered.
    pub lost: usize,
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} pings lost", self.lost, self.sent)
    }
}

impl Pings {
    /// Begins, and waits for the first answer.
    ///
    /// # Errors
    /// When the pod has no namespace, or nothing answers.
    pub fn start(from: &Pod, to: &str) -> Result<Self> {
        let namespace = crate::frames::namespace(from)?;
        let mut command = from.host.command("stdbuf");
        command.args(["-oL", "ip", "netns", "exec", namespace.as_str(), "ping", "-i", INTERVAL, to]);
        let mut this =
            Self { lines: Watch::start(&mut command)?, what: format!("pings from {} to {to}", from.name) };
        this.answer()?;
        Ok(this)
    }

    fn answer(&mut self) -> Result<usize> {
        self.lines.next(&self.what, crate::SOON, sequence).map(|(_, number)| number)
    }

    /// Waits for an answer to a ping that is sent from now on, and counts.
    ///
    /// # Errors
    /// When nothing answers any more.
    pub fn finish(mut self) -> Result<Lost> {
        let began = Instant::now();
        let mut seen = BTreeSet::from([0]);
        // What had come is in the queue; an answer that comes a second from now was sent after the call.
        thread::sleep(Duration::from_secs(1));
        loop {
            let (when, number) = self.lines.next(&self.what, crate::LATER, sequence)?;
            seen.insert(number);
            if when > began + Duration::from_secs(1) {
                break;
            }
        }
        let last = seen.last().copied().unwrap_or_default();
        ensure!(last > 0, "{}: none", self.what);
        Ok(Lost { sent: last + 1, lost: last + 1 - seen.len() })
    }
}

/// `64 bytes from 10.16.0.2: icmp_seq=3 ttl=64 time=0.053 ms`: 3. Of a duplicate as well.
fn sequence(line: &str) -> Option<usize> {
    let (answer, rest) = line.split_once(": icmp_seq=")?;
    answer.contains(" bytes from ").then(|| rest.split_whitespace().next()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::sequence;

    #[test]
    fn answers_are_read() {
        assert_eq!(sequence("64 bytes from 127.0.0.1: icmp_seq=12 ttl=64 time=0.076 ms"), Some(12));
        assert_eq!(sequence("92 bytes from 10.16.0.1 (10.16.0.1): Destination Host Unreachable"), None);
        assert_eq!(sequence("PING 127.0.0.1 (127.0.0.1): 56 data bytes"), None);
    }
}
