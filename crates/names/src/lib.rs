//! Names that several programs, tests and docs must agree on. Constants and nothing else: no dependencies, so that every
//! crate can have it.

pub mod annotations;
pub mod reason;
pub mod rows;
pub mod workloads;

pub use reason::{Reason, Severity};
