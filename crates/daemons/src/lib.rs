//! OVN's and Open vSwitch's programs as children of ours: started, started again when they end, and ended in an orderly way;
//! their tools, with a deadline; and their files, which are put aside and never deleted.
//!
//! Decides nothing about which programs run, or when.

pub mod file;
mod keep;
mod options;
mod tool;

pub use keep::{Daemon, keep};
pub use options::{log, tls};
pub use tool::{tool, vsctl};
