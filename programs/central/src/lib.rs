//! ovn-central: one member of OVN's northbound and southbound databases, and a northd.
//!
//! It starts OVN's own programs and decides when: [`decide`] is the pure part. It writes nothing into the databases.

pub mod database;
pub mod decide;
#[cfg(test)]
mod decide_tests;
pub mod file;
pub mod labels;
pub mod metrics;
pub mod options;
pub mod registry;
pub mod run;
pub mod schema;
pub mod server;
pub mod status;
pub mod tls;

use std::process::ExitCode;

use tombolo_client::start::{self, Program};

use crate::options::Options;

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    let options = Options::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    let program = Program {
        name: tombolo_names::workloads::CENTRAL,
        version: env!("CARGO_PKG_VERSION"),
        log_filter: "info,kube_client=warn,kube_client::client::builder=off".to_owned(),
        log_format: options.log_format,
        threads: Some(2),
        ends_on_panic: true,
    };
    start::run(&program, |stop| run::run(options, stop))
}
