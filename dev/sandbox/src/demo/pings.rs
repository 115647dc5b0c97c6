//! Pings that go on while something else happens, and their loss.

use anyhow::{Context as _, Result, bail};

use crate::kubernetes::kubectl;

/// Pings of a pod, five a second.
pub struct Pings {
    namespace: String,
    pod: String,
    pid: String,
    file: String,
}

impl Pings {
    /// Starts them.
    ///
    /// # Errors
    /// When the pod can't run them.
    pub fn start(namespace: &str, pod: &str, address: &str) -> Result<Self> {
        let file = format!("/tmp/pings-{address}");
        let script = format!("ping -i 0.2 {address} >{file} 2>&1 & echo $!");
        let pid = kubectl(["-n", namespace, "exec", pod, "--", "sh", "-c", &script])?;
        Ok(Self { namespace: namespace.to_owned(), pod: pod.to_owned(), pid: pid.trim().to_owned(), file })
    }

    /// Ends them. How many were sent, and how many of these were lost.
    ///
    /// # Errors
    /// When ping had ended before.
    pub fn end(self) -> Result<(u64, u64)> {
        let script = format!("kill -INT {}; sleep 1; cat {}", self.pid, self.file);
        let text = kubectl(["-n", &self.namespace, "exec", &self.pod, "--", "sh", "-c", &script])?;
        let line = text.lines().find(|line| line.contains("packets transmitted"));
        let Some(line) = line else { bail!("ping ended without a summary:\n{text}") };
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let (sent, received) =
            numbers.first().zip(numbers.get(1)).with_context(|| format!("reading {line:?}"))?;
        // Duplicates are received, too.
        Ok((*sent, sent.saturating_sub(*received)))
    }
}
