//! A program that is kept running.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::file;

/// First and longest pause before a program that ended is started again. One that ran longer begins anew.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How long a program has to end by itself. A leader hands its work over in that time.
const END: Duration = Duration::from_secs(5);

/// A program and its arguments.
#[derive(Debug, Clone)]
pub struct Daemon {
    /// Its name, in the log.
    pub name: String,
    /// The program.
    pub program: &'static str,
    /// Its arguments.
    pub args: Vec<String>,
    /// Files of a run that was killed, which would keep it from starting.
    pub leftovers: Vec<PathBuf>,
}

/// Keeps a program running until `stop`.
pub async fn keep(daemon: Daemon, stop: CancellationToken) {
    let mut pause = PAUSE.0;
    loop {
        let began = Instant::now();
        match start(&daemon) {
            Ok(mut child) => {
                info!(pid = child.id(), "{} runs", daemon.name);
                tokio::select! {
                    status = child.wait() => warn!("{} ended: {status:?}", daemon.name),
                    () = stop.cancelled() => return end(&daemon, child).await,
                }
            }
            Err(error) => warn!("{error:#}"),
        }
        if began.elapsed() > PAUSE.1 {
            pause = PAUSE.0;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE.1),
            () = stop.cancelled() => return,
        }
    }
}

fn start(daemon: &Daemon) -> Result<Child> {
    for path in &daemon.leftovers {
        file::remove(path)?;
    }
    let mut command = Command::new(daemon.program);
    command.args(&daemon.args).stdin(Stdio::null()).kill_on_drop(true);
    command.spawn().with_context(|| format!("starting {} ({})", daemon.name, daemon.program))
}

async fn end(daemon: &Daemon, mut child: Child) {
    let name = &daemon.name;
    let asked = match child.id() {
        Some(pid) => {
            let kill = Command::new("kill").args(["-TERM", &pid.to_string()]).status().await;
            kill.is_ok_and(|status| status.success())
        }
        None => true,
    };
    if asked && tokio::time::timeout(END, child.wait()).await.is_ok() {
        info!("{name} has ended");
        return;
    }
    warn!("{name} doesn't end by itself, and is killed");
    // One that is gone already is what was wanted.
    let _ = child.kill().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_ends_is_started_again_and_its_leftovers_go() {
        let dir = tempfile::tempdir().unwrap();
        let (count, leftover) = (dir.path().join("count"), dir.path().join("leftover"));
        let script = format!(
            "echo >> {0}; [ ! -e {1} ] || exit 1; touch {1}; exit 0",
            count.display(),
            leftover.display()
        );
        let daemon = Daemon {
            name: "a test".to_owned(),
            program: "sh",
            args: vec!["-c".to_owned(), script],
            leftovers: vec![leftover],
        };
        let stop = CancellationToken::new();
        let kept = tokio::spawn(keep(daemon, stop.clone()));
        let twice = || std::fs::read_to_string(&count).is_ok_and(|text| text.lines().count() >= 2);
        let begun = Instant::now();
        while !twice() && begun.elapsed() < Duration::from_secs(20) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(twice(), "it wasn't started again");
        stop.cancel();
        kept.await.unwrap();
    }
}
