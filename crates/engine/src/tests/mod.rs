//! The engine as a whole, in a small cluster.

mod asked;
pub(crate) mod bed;
mod counted;
mod reserved;
mod rows;
mod turns;
