//! Names that several programs, tests and docs must agree on. Constants and nothing else: no dependencies, so that every
//! crate can have it.

pub mod reason;

pub use reason::{Reason, Severity};
