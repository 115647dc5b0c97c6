//! Metrics about the process itself, under the names that Prometheus clients share: read from `/proc` at
//! each request, so that they cost nothing in between.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// `process_resident_memory_bytes`, `process_cpu_seconds_total`, `process_open_fds`, `process_threads`.
#[derive(Debug, Default)]
pub struct ProcessCollector;

/// What `/proc/self` says.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Reading {
    cpu_seconds: f64,
    resident_bytes: i64,
    threads: i64,
}

// Kernel ABI: USER_HZ is 100 on every architecture that Rust's Linux targets run on (time(7)).
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads the text of `/proc/PID/stat` (proc_pid_stat(5)) and of `/proc/PID/status`.
fn parse(stat: &str, status: &str) -> Option<Reading> {
    // The second field is the command name in parentheses and may hold anything, also ")".
    let rest = &stat[stat.rfind(')')? + 1..];
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok());
    // `rest` starts at field 3 of the manual page: utime is 14, stime 15, num_threads 20.
    let (utime, stime, threads) = (number(11)?, number(12)?, number(17)?);
    let resident_kib: i64 = status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:"))?
        .trim()
        .strip_suffix(" kB")?
        .trim()
        .parse()
        .ok()?;
    Some(Reading {
        cpu_seconds: (utime + stime) / TICKS_PER_SECOND,
        resident_bytes: resident_kib * 1024,
        threads: threads as i64,
    })
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let (Ok(stat), Ok(status)) =
            (std::fs::read_to_string("/proc/self/stat"), std::fs::read_to_string("/proc/self/status"))
        else {
            return Ok(()); // no /proc: no figures rather than wrong ones
        };
        let Some(r) = parse(&stat, &status) else { return Ok(()) };
        let rss = ConstGauge::new(r.resident_bytes);
        rss.encode(encoder.encode_descriptor(
            "process_resident_memory",
            "Resident memory of this process",
            Some(&Unit::Bytes),
            rss.metric_type(),
        )?)?;
        let cpu = ConstCounter::new(r.cpu_seconds);
        cpu.encode(encoder.encode_descriptor(
            "process_cpu",
            "Processor time used by this process, user and system",
            Some(&Unit::Seconds),
            cpu.metric_type(),
        )?)?;
        let threads = ConstGauge::new(r.threads);
        threads.encode(encoder.encode_descriptor(
            "process_threads",
            "Threads of this process",
            None,
            threads.metric_type(),
        )?)?;
        if let Ok(dir) = std::fs::read_dir("/proc/self/fd") {
            let fds = ConstGauge::new(dir.count() as i64);
            fds.encode(encoder.encode_descriptor(
                "process_open_fds",
                "Open file descriptors of this process",
                None,
                fds.metric_type(),
            )?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_spaces_and_parentheses_is_no_trap() {
        let stat =
            "7 (odd ) name) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 9 0 100 1000 200 1844 1 1 0 0";
        let status = "Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t9\n";
        let want = Reading { cpu_seconds: 2.0, resident_bytes: 2048 * 1024, threads: 9 };
        assert_eq!(parse(stat, status), Some(want));
        assert_eq!(parse("", status), None);
    }
}
