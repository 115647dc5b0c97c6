//! What every program of ours shows of itself: metrics, and whether it lives and is ready.
//!
//! This crate decides the paths `/livez`, `/readyz`, `/healthz` and `/metrics`, what a peer of
//! theirs may take, the metrics about the process as such, and how flags without an effect are taken. It doesn't decide
//! what is measured or when a program is ready: programs register their own metrics and set their own conditions.

mod beat;
pub mod flags;
mod health;
pub mod listen;
mod process;
mod server;

pub use beat::Beat;
pub use health::{Health, Probe};
pub use process::ProcessCollector;
pub use prometheus_client;
pub use server::{Observer, ServeError};
