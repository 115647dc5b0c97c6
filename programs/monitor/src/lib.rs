//! kube-ovn-monitor: what OVN's databases say of OVN, as metrics under Kube-OVN's names.
//!
//! It reads by OVSDB alone, so that an OVN that runs elsewhere is seen as well; what only a server's own control socket says
//! (terms, logs, peers) ovn-central shows. It writes nothing, and asks for nothing twice: servers tell it what changes, and a
//! request for metrics reads the replicas. [`flaps`], [`lag`], [`members`],
//! [`series`] and [`servers`] are pure.

pub mod flaps;
pub mod lag;
pub mod members;
pub mod options;
pub mod run;
pub mod series;
pub mod servers;

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
        name: tombolo_names::workloads::MONITOR,
        version: env!("CARGO_PKG_VERSION"),
        log_filter: "info".to_owned(),
        log_format: options.acting.log_format,
        threads: Some(2),
        ends_on_panic: true,
    };
    start::run(&program, |stop| {
        flags::log_inert(&options.inert);
        run::run(options, stop)
    })
}
