//! A world in memory for the engine: a database, an API server, Neutron, users, and time that moves only when it is
//! told to.
//!
//! Decides nothing of the product's; it is the ground on which the engine's decisions are tested, with every fault
//! that a seed can ask for. What stands in for a real part says what it leaves out, and is held to the real part by a
//! differential test where one runs here.

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
