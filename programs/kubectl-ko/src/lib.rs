//! `kubectl ko`: OVN's own tools pointed at the cluster's databases, and checks that need both sides.
//!
//! Decides how a command line becomes calls of `kubectl` and of OVN's programs. Talks to no server itself: it
//! has the rights and the configuration of the user's `kubectl`, nothing else.

mod cli;
mod database;
pub mod ipam;
pub mod kubectl;
mod node;
mod tls;
mod vpc;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs one command line (its first element is the program's name).
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let command = match cli::parse(args) {
        Ok(command) => command,
        Err(error) => error.exit(),
    };
    match cli::run(command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
