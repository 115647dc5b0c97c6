//! `kubectl ko`: OVN's own tools pointed at the cluster's databases, and checks that need both sides.
//!
//! Decides how a command line becomes calls of `kubectl` and of OVN's programs. It has the rights and the configuration of the
//! user's `kubectl`, nothing else, and talks to no server itself but for one transaction, which no tool takes: `nb restore`.

mod backup;
mod cli;
mod collect;
mod completion;
mod database;
mod diagnose;
pub mod doctor;
pub mod ipam;
mod kube_ovn;
pub mod kubectl;
mod node;
mod openstack;
mod owners;
mod perf;
mod process;
mod reload;
mod restore;
mod rows;
mod snapshot;
mod take_over;
mod times;
mod tls;
mod trace;
mod uninstall;
mod vpc;
mod wire;

pub use cli::names;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs one command line (its first element is the program's name).
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    if completion::asked(&args) {
        print!("{}", completion::answer(&args[1..]));
        return ExitCode::SUCCESS;
    }
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
