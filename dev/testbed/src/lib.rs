//! A real Kubernetes API (etcd and kube-apiserver) and a real NB (ovsdb-server) on loopback, in temporary
//! directories, for tests and benchmarks of the controller. No kubelet, no scheduler, no northd: a test plays
//! their part where it needs one.
//!
//! Both end with the value that started them, and with the process if that is killed. Where a program isn't
//! installed, `start` prints what is missing and returns `None`, and the test counts as passed over.

mod api_server;
mod cluster;
mod controller;
mod disk;
pub mod kube_ovn;
mod nb;
pub mod neutron;
mod process;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

pub use api_server::ApiServer;
pub use cluster::Cluster;
pub use controller::{Controller, Program};
pub use nb::Nb;
pub use process::{Process, free_port};

/// Asks `probe` every 20 ms until it yields something; fails after `deadline` with `what`.
pub fn eventually<T>(
    what: &str,
    deadline: Duration,
    mut probe: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let until = Instant::now() + deadline;
    let mut last = None;
    while Instant::now() < until {
        match probe() {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => last = None,
            Err(error) => last = Some(error),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    match last {
        Some(error) => bail!("waiting for {what}: {error:#}"),
        None => bail!("waiting for {what}: not within {deadline:?}"),
    }
}

/// The sum of the values of those lines of a Prometheus text that `wanted` chooses.
pub fn sum_of_metrics(text: &str, wanted: impl Fn(&str) -> bool) -> f64 {
    let lines = text.lines().filter(|line| !line.starts_with('#') && wanted(line));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
