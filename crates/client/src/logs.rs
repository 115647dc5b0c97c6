//! Log lines: one per event, to stderr, as text or JSON. Decides the format; each program chooses
//! lines and levels.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// Time, level, target, message and fields, for a reader.
    #[default]
    Text,
    /// One JSON object a line, for a log collector.
    Json,
}

/// Why logging couldn't be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    /// A filter that doesn't parse.
    #[error("log filter {filter:?} is not of the form \"info,tombolo_ovsdb=debug\": {source}")]
    Filter {
        /// The text that was given.
        filter: String,
        /// The parser's error.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Called twice in one process.
    #[error("logging is already set up in this process")]
    AlreadySet,
}

/// Sets up logging for the whole process: to stderr, filtered by the environment variable `RUST_LOG` when set
/// and by `filter` (for example `info,tombolo_ovsdb=debug`) otherwise.
///
/// Call it once, first thing in `main`.
pub(crate) fn init_logs(filter: &str, format: LogFormat) -> Result<(), LogError> {
    let filter = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(env) if !env.trim().is_empty() => env,
        _ => filter.to_owned(),
    };
    let filter = EnvFilter::try_new(&filter).map_err(|source| LogError::Filter { filter, source })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(|_| LogError::AlreadySet)
}
