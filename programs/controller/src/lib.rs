//! kube-ovn-controller: a thin shell of IO around `tombolo_engine`, which decides everything.
//!
//! Watches, lease and the NB session become events; the engine's effects become requests and transactions.
//! What is decided here is only how to talk: deadlines, back-off, order, and what is logged.

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
pub mod writer;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tombolo_observe::init_logs;
use tracing::{error, info};

use crate::flags::{FlagError, Flags};

/// A stop that takes longer than this is cut short: the lease then runs out by itself.
const STOP: Duration = Duration::from_secs(10);

/// The program.
pub fn main() -> ExitCode {
    let flags = match Flags::parse(std::env::args_os(), |name| std::env::var(name).ok()) {
        Ok(flags) => flags,
        Err(FlagError::Clap(error)) => error.exit(),
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    match start(flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("ending: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(flags: Flags) -> Result<()> {
    init_logs(flags.log_filter(), flags.acting.log_format.parse()?)?;
    fail_as_a_whole();
    // The only provider that is compiled in; an error means that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    info!(version = env!("CARGO_PKG_VERSION"), nb = flags.nb.join(","), "kube-ovn-controller starts");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting tokio")?;
    let result = runtime.block_on(async {
        let stop = CancellationToken::new();
        let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
        let mut program = std::pin::pin!(run::run(flags, stop.clone()));
        tokio::select! {
            result = &mut program => return result,
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("stopping");
        stop.cancel();
        match tokio::time::timeout(STOP, program).await {
            Ok(result) => result,
            Err(_) => {
                info!("stopping took longer than {STOP:?}: cut short");
                Ok(())
            }
        }
    });
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

/// A panic in any task ends the process: half a controller is worse than one that is started again.
fn fail_as_a_whole() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        std::process::exit(101);
    }));
}
