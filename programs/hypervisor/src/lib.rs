//! ovs-ovn: Open vSwitch and ovn-controller as a pod, for a node that has none of its own.
//!
//! A node with its own Open vSwitch is left alone. Nothing that is set in its database is overwritten: [`settings`] decides what
//! is written there.

pub mod file;
pub mod options;
pub mod place;
pub mod restore;
pub mod run;
pub mod settings;

use std::process::ExitCode;

use tombolo_client::start::{self, Program};

use crate::options::Options;

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    let options = Options::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    let program = Program {
        name: tombolo_names::workloads::HYPERVISOR,
        version: env!("CARGO_PKG_VERSION"),
        log_filter: "info".to_owned(),
        log_format: options.log_format,
        threads: Some(2),
        ends_on_panic: true,
    };
    start::run(&program, |stop| run::run(options, stop))
}
