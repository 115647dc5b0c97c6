//! A world in memory for the engine: a database, an API server, Neutron, users, and time that moves only on request.
//!
//! Decides nothing for the product; it is the ground on which the engine's decisions are tested, with every fault that
//! a seed can ask for. A stand-in for a real part documents what it leaves out, and a differential test compares it
//! with the real part where that runs here.

pub mod actions;
pub mod api;
pub mod cluster;
pub mod coverage;
pub mod dump;
pub mod edit_and_undo;
pub mod fault;
pub mod guard;
pub mod marks;
pub mod mutant;
pub mod nb;
pub mod neutron;
pub mod outcome;
pub mod rng;
pub mod seeds;
mod sim;
pub mod situations;
pub mod standing;
mod users;

pub use neutron::Neutron;
pub use sim::{Committed, Knobs, Sim, UNIX_AT_ZERO, Written};
pub use users::config;
