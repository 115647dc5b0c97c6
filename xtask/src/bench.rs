//! `cargo xtask bench`: builds the controller and the benchmark and runs the latter, which finds the former beside it.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

/// Runs the benchmark with these arguments.
pub fn run(args: &[&str]) -> Result<ExitCode> {
    tombolo_sandbox::install::ensure(tombolo_sandbox::install::Set::Databases)?;
    let packages = ["tombolo-controller", "tombolo-tests-bench"];
    let build = packages.iter().flat_map(|package| ["-p", package]);
    let status =
        Command::new(env!("CARGO")).arg("build").args(build).status().context("starting cargo build")?;
    if !status.success() {
        bail!("the benchmark was not built");
    }
    // All programs of one build lie beside each other, this one too.
    let program = std::env::current_exe()?.with_file_name("tombolo-bench");
    let status = Command::new(&program)
        .args(args)
        .status()
        .with_context(|| format!("starting {}", program.display()))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
