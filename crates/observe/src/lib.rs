//! What every program of ours shows of itself: metrics, and whether it lives and is ready.
//!
//! This crate decides the paths `/livez`, `/readyz`, `/healthz` and `/metrics`, what a peer of
//! theirs may take, and the metrics about the process as such. It doesn't decide
//! what is measured or when a program is ready: programs register their own metrics and set their own conditions.

mod beat;
mod health;
pub mod listen;
mod process;
mod series;
mod server;

pub use beat::Beat;
pub use health::{Health, Probe};
pub use process::ProcessCollector;
pub use prometheus_client;
pub use series::{Family, Series, Source};
pub use server::{Observer, ServeError};
