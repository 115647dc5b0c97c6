//! `cargo xtask bench`: builds the controller and the benchmark as they ship, for release, and runs the latter, which
//! finds the former beside it.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use tombolo_sandbox::{install, kubernetes_programs, release};

/// Runs the benchmark with these arguments.
pub fn run(args: &[&str]) -> Result<ExitCode> {
    install::ensure(install::Set::Databases)?;
    kubernetes_programs()?;
    let program = release::packages(&["tombolo-controller", "tombolo-tests-bench"])?.join("tombolo-bench");
    let status = Command::new(&program)
        .args(args)
        .status()
        .with_context(|| format!("starting {}", program.display()))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
