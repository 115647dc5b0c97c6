//! Programs that do one thing and end.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

/// For one run: ovsdb-tool reads a large file as a whole.
const DEADLINE: Duration = Duration::from_secs(300);

/// Runs one; its standard output.
///
/// # Errors
/// Its standard error, or that it takes too long.
pub async fn tool(program: &str, args: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    let first = args.first().copied().unwrap_or_default();
    let output = tokio::time::timeout(DEADLINE, command.output()).await;
    let output = output.with_context(|| format!("{program} {first} takes longer than {DEADLINE:?}"))?;
    let output = output.with_context(|| format!("starting {program}, which the image of OVN has"))?;
    if !output.status.success() {
        bail!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs ovs-vsctl.
///
/// # Errors
/// As [`tool`].
pub async fn vsctl(args: &[&str]) -> Result<String> {
    tool("ovs-vsctl", &[&["--timeout=30"], args].concat()).await
}
