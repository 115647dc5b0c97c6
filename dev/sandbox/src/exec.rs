//! Running commands and waiting for conditions: every wait has a deadline, every failure says which command,
//! how it ended and what it wrote last.
//!
//! Decides nothing about what is run. Commands get a process group of their own, so that a deadline or an
//! interruption ends the whole of what they started.

use std::fmt;
use std::io::{Read, Write as _};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::progress;

/// For commands that ask a running daemon something.
pub const SHORT: Duration = Duration::from_secs(60);
/// After a command has ended, how long what it left behind may hold its output open.
const DRAIN: Duration = Duration::from_millis(500);
/// How much of stderr an error shows.
const STDERR_LINES: usize = 15;

/// How a command ended and what it wrote.
#[derive(Debug, Clone)]
pub struct Output {
    /// Exit status.
    pub status: ExitStatus,
    /// Standard output, invalid UTF-8 replaced.
    pub stdout: String,
    /// Standard error, invalid UTF-8 replaced.
    pub stderr: String,
}

/// A command that ran but did not succeed.
#[derive(Debug, thiserror::Error)]
pub struct Failed {
    /// The command line as run.
    pub command: String,
    /// What it ended with.
    pub output: Output,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.command, self.output.status)?;
        let said =
            if self.output.stderr.trim().is_empty() { &self.output.stdout } else { &self.output.stderr };
        let lines: Vec<&str> = said.trim_end().lines().collect();
        for line in lines.iter().skip(lines.len().saturating_sub(STDERR_LINES)) {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

/// Runs `command` to its end and returns how it ended, whatever its exit status. Standard input is empty.
/// What it writes goes to `log` as well, after the command line.
///
/// # Errors
/// When it can't be started, when `deadline` passes (it is killed then) or the program is interrupted.
pub fn run(command: &mut Command, deadline: Duration, log: Option<&Path>) -> Result<Output> {
    run_full(command, None, deadline, log, true)
}

/// As [`run`], with `input` on standard input.
///
/// # Errors
/// As [`run`].
pub fn run_input(
    command: &mut Command,
    input: &[u8],
    deadline: Duration,
    log: Option<&Path>,
) -> Result<Output> {
    run_full(command, Some(input), deadline, log, true)
}

/// As [`check`], for a command that must not be killed half-way (a package manager): an interruption waits for it.
///
/// # Errors
/// As [`check`].
pub fn check_to_the_end(command: &mut Command, deadline: Duration, log: Option<&Path>) -> Result<String> {
    let output = run_full(command, None, deadline, log, false)?;
    succeeded(command, output)
}

/// Runs `command` and returns its standard output.
///
/// # Errors
/// As [`run`], and [`Failed`] when it exits with anything but 0.
pub fn check(command: &mut Command, deadline: Duration, log: Option<&Path>) -> Result<String> {
    let output = run(command, deadline, log)?;
    succeeded(command, output)
}

/// As [`check`], with `input` on standard input.
///
/// # Errors
/// As [`check`].
pub fn check_input(
    command: &mut Command,
    input: &[u8],
    deadline: Duration,
    log: Option<&Path>,
) -> Result<String> {
    let output = run_input(command, input, deadline, log)?;
    succeeded(command, output)
}

fn succeeded(command: &Command, output: Output) -> Result<String> {
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(Failed { command: shown(command), output }.into())
    }
}

fn run_full(
    command: &mut Command,
    input: Option<&[u8]>,
    deadline: Duration,
    log: Option<&Path>,
    may_end: bool,
) -> Result<Output> {
    let name = shown(command);
    if let Some(log) = log {
        progress::append(log, &format!("$ {name}\n"));
    }
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let (mut child, registered) = progress::spawn(command, may_end)
        .with_context(|| format!("starting `{name}`{}", missing(command)))?;
    let group = child.id();
    let stdout = collect(child.stdout.take(), log);
    let stderr = collect(child.stderr.take(), log);
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        let input = input.to_owned();
        // A command that doesn't read its input closes the pipe; only its exit status matters.
        thread::spawn(move || drop(stdin.write_all(&input)));
    }
    let (ended, status) = mpsc::channel();
    thread::spawn(move || {
        let status = child.wait();
        drop(registered);
        drop(ended.send(status));
    });
    let status = match status.recv_timeout(deadline) {
        Ok(status) => status.with_context(|| format!("waiting for `{name}`"))?,
        Err(_) => {
            progress::kill_group(group, "KILL");
            let stderr = stderr.finish();
            bail!(
                "`{name}` did not end within {} and was killed{}{}",
                progress::seconds(deadline),
                if stderr.is_empty() { "" } else { "; it wrote:\n" },
                stderr.trim_end()
            );
        }
    };
    let output = Output { status, stdout: stdout.finish(), stderr: stderr.finish() };
    if progress::interrupted() {
        bail!("`{name}` was interrupted");
    }
    Ok(output)
}

fn missing(command: &Command) -> &'static str {
    if command.get_program() == crate::paths::enter() && !crate::paths::enter().exists() {
        " (the sandbox is not up: `cargo xtask sandbox up`)"
    } else {
        ""
    }
}

/// The command line as a user could type it, for messages.
pub fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|arg| {
        let arg = arg.to_string_lossy();
        let plain =
            !arg.is_empty() && !arg.contains(|c: char| c.is_whitespace() || "'\"$&|;<>()`\\*?".contains(c));
        if plain { arg.into_owned() } else { format!("'{}'", arg.replace('\'', "'\\''")) }
    }));
    words.join(" ")
}

struct Collected {
    chunks: mpsc::Receiver<Vec<u8>>,
}

impl Collected {
    fn finish(self) -> String {
        let mut bytes = Vec::new();
        let until = Instant::now() + DRAIN;
        while let Ok(chunk) = self.chunks.recv_timeout(until.saturating_duration_since(Instant::now())) {
            bytes.extend(chunk);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn collect(pipe: Option<impl Read + Send + 'static>, log: Option<&Path>) -> Collected {
    let (sender, chunks) = mpsc::channel();
    let mut log = log.and_then(|log| std::fs::OpenOptions::new().create(true).append(true).open(log).ok());
    if let Some(mut pipe) = pipe {
        thread::spawn(move || {
            let mut buffer = [0; 16384];
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                let chunk = &buffer[..count];
                if let Some(log) = log.as_mut() {
                    let _ = log.write_all(chunk);
                }
                // After DRAIN the receiver is gone; the log still gets the rest.
                let _ = sender.send(chunk.to_vec());
            }
        });
    }
    Collected { chunks }
}

/// Asks `probe` until it has an answer, with a pause that grows from 10 ms to 250 ms.
///
/// # Errors
/// The first error of `probe`; a message with `what` when `deadline` passes or the program is interrupted.
pub fn wait_until<T>(
    what: &str,
    deadline: Duration,
    mut probe: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let began = Instant::now();
    let mut pause = Duration::from_millis(10);
    loop {
        if let Some(found) = probe().with_context(|| format!("waiting for {what}"))? {
            return Ok(found);
        }
        if progress::interrupted() {
            bail!("interrupted while waiting for {what}");
        }
        if began.elapsed() >= deadline {
            bail!("{what}: not within {}", progress::seconds(deadline));
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(250));
    }
}

/// As [`wait_until`], for a `probe` whose errors mean "not yet": the last one is shown when `deadline` passes.
///
/// # Errors
/// The last error of `probe` after `deadline`.
pub fn wait_ok<T>(what: &str, deadline: Duration, mut probe: impl FnMut() -> Result<T>) -> Result<T> {
    let mut last = None;
    let result = wait_until(what, deadline, || match probe() {
        Ok(found) => Ok(Some(found)),
        Err(error) => {
            last = Some(error);
            Ok(None)
        }
    });
    result.map_err(|timeout| match last {
        Some(last) => anyhow!("{timeout:#}; last: {last:#}"),
        None => timeout,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_and_failure_carry_what_was_written() {
        assert_eq!(check(&mut sh("echo out"), SHORT, None).unwrap(), "out\n");
        assert_eq!(check_input(&mut sh("cat"), b"in", SHORT, None).unwrap(), "in");
        let error = check(&mut sh("echo no >&2; exit 3"), SHORT, None).unwrap_err();
        assert_eq!(format!("{error:#}"), "`sh -c 'echo no >&2; exit 3'`: exit status: 3\n  no");
    }

    #[test]
    fn a_deadline_ends_the_whole_group() {
        let marker = format!("{}.5", 90_000 + std::process::id());
        let began = Instant::now();
        let error =
            run(&mut sh(&format!("sleep {marker} & sleep {marker}")), Duration::from_millis(200), None)
                .unwrap_err();
        assert!(format!("{error:#}").contains("did not end within 0.2s"), "{error:#}");
        assert!(began.elapsed() < Duration::from_secs(20));
        wait_until("the sleeps to be gone", SHORT, || {
            let left = run(Command::new("pgrep").args(["-f", &format!("^sleep {marker}")]), SHORT, None)?;
            Ok((!left.status.success()).then_some(()))
        })
        .unwrap();
    }

    #[test]
    fn a_left_behind_child_does_not_hold_the_result_back() {
        let began = Instant::now();
        let pid = check(&mut sh("sleep 20 & echo $!"), SHORT, None).unwrap();
        check(&mut sh(&format!("kill {pid}")), SHORT, None).unwrap();
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn waiting_reports_the_last_error() {
        let error =
            wait_ok("the moon", Duration::from_millis(50), || Err::<(), _>(anyhow!("clouds"))).unwrap_err();
        assert_eq!(format!("{error:#}"), "the moon: not within 0.1s; last: clouds");
    }
}
