//! Child processes with a deadline: what they print, or a sentence about why there is nothing.

use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Between two looks at a child that runs.
const PAUSE: Duration = Duration::from_millis(20);

/// What a child printed, and how it ended.
#[derive(Debug)]
pub struct Captured {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it complained of, as text.
    pub stderr: String,
}

impl Captured {
    /// Its output if it succeeded, else an error that names `what` was done.
    pub fn success(self, what: &str) -> Result<Vec<u8>> {
        if self.status.success() {
            return Ok(self.stdout);
        }
        let why = self.stderr.trim();
        bail!("{what}: {}", if why.is_empty() { self.status.to_string() } else { why.to_owned() })
    }
}

/// Runs `command` for at most `deadline`, then kills it; its input is `input`. `start` says what to do if it can't be started.
pub fn capture(command: &mut Command, input: &[u8], deadline: Duration, start: &str) -> Result<Captured> {
    let until = Instant::now() + deadline;
    let piped = if input.is_empty() { Stdio::null() } else { Stdio::piped() };
    command.stdin(piped).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| start.to_owned())?;
    let stdout = reader(child.stdout.take());
    let stderr = reader(child.stderr.take());
    if let Some(mut pipe) = child.stdin.take() {
        let input = input.to_vec();
        // A child that reads nothing must not hold us up; that it wasn't all read shows in how it ends.
        std::thread::spawn(move || pipe.write_all(&input));
    }
    let status = wait(&mut child, until)
        .with_context(|| format!("{start}: no end within {} s, so it was killed", deadline.as_secs()))?;
    // What it started may hold the pipes: it has ended, so that is waited for only briefly.
    let rest = Duration::from_secs(2);
    Ok(Captured {
        status,
        stdout: stdout.recv_timeout(rest).unwrap_or_default(),
        stderr: String::from_utf8_lossy(&stderr.recv_timeout(rest).unwrap_or_default()).into_owned(),
    })
}

fn wait(child: &mut Child, until: Instant) -> Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait().context("waiting for a child process")? {
            return Ok(status);
        }
        if Instant::now() >= until {
            let _ = child.kill();
            let _ = child.wait();
            bail!("killed");
        }
        std::thread::sleep(PAUSE);
    }
}

fn reader(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        let _ = sender.send(bytes);
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, input: &[u8], deadline: u64) -> Result<Captured> {
        capture(Command::new("sh").args(["-c", script]), input, Duration::from_secs(deadline), "starting sh")
    }

    #[test]
    fn output_errors_and_input() {
        let got = sh("cat; echo no >&2; exit 3", b"in", 10).unwrap();
        assert_eq!((got.stdout.as_slice(), got.stderr.as_str()), (b"in".as_slice(), "no\n"));
        assert_eq!(got.success("doing it").unwrap_err().to_string(), "doing it: no");
    }

    #[test]
    fn a_child_that_hangs_is_killed() {
        let start = Instant::now();
        let error = format!("{:#}", sh("exec sleep 60", b"", 1).unwrap_err());
        assert!(error.contains("no end within 1 s"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}
