//! Long runs of the controller against real servers: how fast it provisions pods, and what faults do to it.
//!
//! `cargo xtask bench` runs them in full; the tests of `programs/controller` run the faults in small.

pub mod bare;
pub mod bed;
pub mod entries;
pub mod faults;
pub mod meter;
pub mod pods;
pub mod provision;
