//! A program's start and stop: log, TLS, runtime, signals, exit code.
//!
//! Decides that SIGTERM and SIGINT ask a program to stop and how long it may take. A program learns of them by a token; the
//! order in which its parts stop is its own business.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::logs::{LogFormat, init_logs};

/// A longer stop is cut short: kubelet kills the pods of our manifests after 10 s (agent) and 30 s (controller).
const STOP: Duration = Duration::from_secs(10);
/// Exit code after a wrong command line, as clap's.
pub const USAGE: u8 = 2;

/// The differences between programs.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its name in the log.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Filter of log lines, as `info,tombolo_ovsdb=debug`; `RUST_LOG` wins.
    pub log_filter: String,
    /// Format of log lines.
    pub log_format: LogFormat,
    /// Threads of the runtime; `None`: one for each core.
    pub threads: Option<usize>,
    /// A panic in any task ends the process, for a program that can't do without any of its tasks.
    pub ends_on_panic: bool,
}

/// Prints why a command line is refused, or what `--help` asks for, and gives the exit code.
#[must_use]
pub fn refuse(error: &anyhow::Error) -> ExitCode {
    if let Some(clap) = error.downcast_ref::<clap::Error>() {
        clap.exit();
    }
    eprintln!("error: {error:#}");
    ExitCode::from(USAGE)
}

/// Runs `main` to its end, or until a signal: then its token is cancelled, and it may take some seconds more.
pub fn run<F: Future<Output = Result<()>>>(
    program: &Program,
    main: impl FnOnce(CancellationToken) -> F,
) -> ExitCode {
    if let Err(error) = init_logs(&program.log_filter, program.log_format) {
        eprintln!("error: {error}");
        return ExitCode::from(USAGE);
    }
    match start(program, main) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("ending: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start<F: Future<Output = Result<()>>>(
    program: &Program,
    main: impl FnOnce(CancellationToken) -> F,
) -> Result<()> {
    if program.ends_on_panic {
        end_on_panic();
    }
    // The only provider that is compiled in; an error means that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    info!(version = program.version, "{} starts", program.name);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = program.threads {
        builder.worker_threads(threads);
    }
    let runtime = builder.enable_all().build().context("starting tokio")?;
    let result = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
        let asked = async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        };
        let stop = CancellationToken::new();
        until_asked(asked, stop.clone(), main(stop), STOP).await
    });
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

/// Runs `main` until it ends; once `asked` ends, `main` has `limit` left.
async fn until_asked(
    asked: impl Future<Output = ()>,
    stop: CancellationToken,
    main: impl Future<Output = Result<()>>,
    limit: Duration,
) -> Result<()> {
    let mut main = std::pin::pin!(main);
    tokio::select! {
        result = &mut main => return result,
        () = asked => {}
    }
    info!("stopping");
    stop.cancel();
    tokio::time::timeout(limit, main).await.unwrap_or_else(|_| {
        info!("stopping took longer than {limit:?}: cut short");
        Ok(())
    })
}

fn end_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        std::process::exit(101);
    }));
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_program_ends_by_itself_by_a_signal_or_by_force() {
        let stop = CancellationToken::new();
        let never = std::future::pending::<()>;
        let failed = until_asked(never(), stop.clone(), async { bail!("no NB") }, SHORT).await;
        assert_eq!(failed.unwrap_err().to_string(), "no NB");
        assert!(!stop.is_cancelled());

        let main = async {
            stop.cancelled().await;
            bail!("the lease stays")
        };
        let stopped = until_asked(async {}, stop.clone(), main, Duration::from_secs(10)).await;
        assert_eq!(stopped.unwrap_err().to_string(), "the lease stays");

        let deaf = async {
            never().await;
            Ok(())
        };
        until_asked(async {}, stop, deaf, SHORT).await.unwrap();
    }
}
