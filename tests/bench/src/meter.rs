//! What processes consumed, and what was written: read where the kernel and the servers count it.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tombolo_testbed::ApiServer;

/// Clock ticks a second in `/proc/PID/stat`: fixed on Linux.
const TICKS: f64 = 100.0;

/// CPU seconds of a process since it was started.
pub fn cpu(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("reading /proc/PID/stat")?;
    // The name in parentheses can hold anything.
    let rest = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let field =
        |n: usize| rest.split_whitespace().nth(n).and_then(|t| t.parse::<f64>().ok()).unwrap_or_default();
    Ok((field(11) + field(12)) / TICKS)
}

/// Resident memory of a process in MiB: now, and at its peak.
pub fn memory(pid: u32) -> Result<(f64, f64)> {
    let status =
        std::fs::read_to_string(format!("/proc/{pid}/status")).context("reading /proc/PID/status")?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().next().and_then(|kb| kb.parse::<f64>().ok()).unwrap_or_default() / 1024.0
    };
    Ok((field("VmRSS:"), field("VmHWM:")))
}

/// CPU seconds of several processes, by name.
#[derive(Clone, Debug)]
pub struct Cpu(BTreeMap<&'static str, f64>);

impl Cpu {
    /// The current values: of this process (which makes the load), the servers, and `others`.
    pub fn read(api: &ApiServer, others: &[(&'static str, Option<u32>)]) -> Result<Self> {
        let (server, etcd) = api.pids();
        let mut all = BTreeMap::from([("client", cpu(std::process::id())?), ("etcd", cpu(etcd)?)]);
        for (name, pid) in [("apiserver", server)].iter().chain(others) {
            if let Some(pid) = pid {
                all.insert(name, cpu(*pid)?);
            }
        }
        Ok(Self(all))
    }

    /// What was consumed since `before`, in milliseconds for each of `count` things.
    pub fn per(&self, before: &Cpu, count: usize) -> Value {
        let each = self.0.iter().map(|(name, now)| {
            let spent = now - before.0.get(name).copied().unwrap_or_default();
            ((*name).to_owned(), json!(round(spent * 1000.0 / count.max(1) as f64, 2)))
        });
        Value::Object(each.collect())
    }

    /// CPU seconds of one since `before`.
    pub fn seconds(&self, before: &Cpu, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_default() - before.0.get(name).copied().unwrap_or_default()
    }
}

/// The difference of two counts, without what didn't grow.
pub fn grown(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let grown =
        after.iter().map(|(name, n)| (name.clone(), n - before.get(name).copied().unwrap_or_default()));
    grown.filter(|(_, n)| *n > 0).collect()
}

/// Median, 99th percentile and maximum, in milliseconds.
pub fn percentiles(mut seconds: Vec<f64>) -> Value {
    seconds.sort_by(f64::total_cmp);
    let at = |part: f64| {
        let index = ((seconds.len() as f64 * part).ceil() as usize).clamp(1, seconds.len().max(1)) - 1;
        seconds.get(index).map_or(Value::Null, |s| json!(round(s * 1000.0, 1)))
    };
    json!({ "p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": at(1.0) })
}

/// To so many decimal places.
pub fn round(value: f64, places: i32) -> f64 {
    let factor = 10f64.powi(places);
    (value * factor).round() / factor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let all: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentiles(all), json!({ "p50_ms": 50_000.0, "p99_ms": 99_000.0, "max_ms": 100_000.0 }));
        assert_eq!(percentiles(vec![]), json!({ "p50_ms": null, "p99_ms": null, "max_ms": null }));
    }

    #[test]
    fn this_process_consumes_something() {
        let pid = std::process::id();
        let before = cpu(pid).unwrap();
        while cpu(pid).unwrap() < before + 0.02 {}
        let (now, peak) = memory(pid).unwrap();
        assert!(now > 0.0 && peak >= now);
    }
}
