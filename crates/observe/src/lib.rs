//! What every program of ours shows of itself: log lines, metrics, and whether it lives and is ready.
//!
//! This crate decides the format of log lines, the paths `/livez`, `/readyz`, `/healthz` and `/metrics`, and
//! the metrics about the process as such. It doesn't decide what is measured or when a program is ready:
//! programs register their own metrics and set their own conditions.

mod health;
mod logs;
mod process;
mod server;

pub use health::{Health, Probe};
pub use logs::{LogError, LogFormat, init_logs};
pub use process::ProcessCollector;
pub use prometheus_client;
pub use server::{Observer, ServeError};
