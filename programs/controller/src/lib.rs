//! kube-ovn-controller: a thin shell of IO around `tombolo_engine`, which decides everything.
//!
//! Watches, lease and the NB session become events; the engine's effects become requests and transactions.
//! It decides only how to communicate: deadlines, back-off, order, and log lines.

pub mod admission;
pub mod behind;
pub mod cluster;
pub mod election;
pub mod events;
pub mod flags;
pub mod knowledge;
mod lanes;
pub mod lease;
pub mod leave;
pub mod metrics;
pub mod nb;
pub mod run;
mod services;
pub mod settings;
pub mod trust;
pub mod unserved;
pub mod watch;
pub mod workloads;
pub mod writer;

use std::process::ExitCode;

use tombolo_client::start::{self, Program};

use crate::flags::{FlagError, Flags};

/// The program.
pub fn main() -> ExitCode {
    let flags = match Flags::parse(std::env::args_os(), |name| std::env::var(name).ok()) {
        Ok(flags) => flags,
        Err(FlagError::Clap(error)) => error.exit(),
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(start::USAGE);
        }
    };
    let program = Program {
        name: tombolo_names::workloads::CONTROLLER,
        version: env!("CARGO_PKG_VERSION"),
        log_filter: flags.log_filter().to_owned(),
        log_format: flags.acting.log_format,
        threads: None,
        // Half a controller is worse than one that is started again.
        ends_on_panic: true,
    };
    start::run(&program, |stop| async move {
        match flags.acting.uninstall_hosts {
            true => workloads::hosts(&flags, stop).await,
            false => run::run(flags, stop).await,
        }
    })
}
