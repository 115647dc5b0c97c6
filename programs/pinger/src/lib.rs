//! kube-ovn-pinger: a pod on each node that measures what pods get of the network, under Kube-OVN's names.
//!
//! Each round asks the API server and the DNS, and pings some of its siblings, their nodes, and the targets that were named.
//! [`sample`] decides which siblings: a few, so that a large cluster isn't busy with itself, and such that each one is pinged.
//! [`echo`], [`sample`] and [`targets`] are pure.

pub mod checks;
pub mod echo;
pub mod metrics;
pub mod options;
pub mod ping;
pub mod round;
pub mod run;
pub mod sample;
pub mod serve;
pub mod siblings;
pub mod targets;

use std::process::ExitCode;

use tombolo_client::flags;
use tombolo_client::start::{self, Program};

use crate::options::Options;

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    let options = match Options::read(std::env::args_os(), &|name| std::env::var(name).ok()) {
        Ok(options) => options,
        Err(error) => return start::refuse(&error),
    };
    let program = Program {
        name: tombolo_names::workloads::PINGER,
        version: env!("CARGO_PKG_VERSION"),
        log_filter: "info,kube_client=warn,kube_client::client::builder=off".to_owned(),
        log_format: options.acting.log_format,
        threads: Some(1),
        ends_on_panic: true,
    };
    let on_failure = options.acting.exit_code;
    let failed = std::sync::atomic::AtomicBool::new(false);
    let code = start::run(&program, async |stop| {
        flags::log_inert(&options.inert);
        let all_well = run::run(options, stop).await?;
        failed.store(!all_well, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    });
    if failed.into_inner() { ExitCode::from(on_failure) } else { code }
}
