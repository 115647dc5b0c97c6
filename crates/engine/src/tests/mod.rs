//! The engine as a whole, in a small cluster.

mod asked;
mod bed;
mod counted;
mod reserved;
mod rows;
