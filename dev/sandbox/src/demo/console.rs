//! The stage that the scenario is played on: commands that are shown as typed, with what they print, and checks that
//! say what was expected.
//!
//! Decides how a command and a check look; not which ones there are.

use std::fmt::{self, Debug, Display};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};

use crate::hosts::Host;
use crate::progress::{Phase, show};
use crate::{exec, paths};

/// No command of the scenario takes longer; `kubectl ko reload`, which replaces all pods one after the other, is the slowest.
const DEADLINE: Duration = Duration::from_secs(400);

/// Where commands are shown and checks are counted.
pub struct Console {
    dir: PathBuf,
    log: PathBuf,
    checks: AtomicUsize,
}

/// A check that didn't hold.
#[derive(Debug)]
pub struct Unexpected {
    what: String,
    expected: String,
    actual: String,
}

impl Display for Unexpected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = |text: &str| text.trim_end().replace('\n', "\n    ");
        write!(
            f,
            "check failed: {}\n  expected:\n    {}\n  actual:\n    {}",
            self.what,
            lines(&self.expected),
            lines(&self.actual)
        )
    }
}

impl std::error::Error for Unexpected {}

impl Console {
    /// A stage whose commands run in `dir` (made if missing) and are logged in `log`.
    ///
    /// # Errors
    /// When the directory can't be made.
    pub fn new(dir: PathBuf, log: PathBuf) -> Result<Self> {
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        Ok(Self { dir, log, checks: AtomicUsize::new(0) })
    }

    /// Runs `work` as the step `name`.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn step<T>(&self, name: &str, work: impl FnOnce(&Phase) -> Result<T>) -> Result<T> {
        show("");
        Phase::run(name, &self.log, |phase| {
            phase.hint(format_args!(
                "the sandbox still stands: look around (export PATH={}:$PATH), or take it down (cargo xtask sandbox down)",
                paths::bin().display()
            ));
            work(phase)
        })
    }

    /// How many checks have held so far.
    pub fn checks(&self) -> usize {
        self.checks.load(Ordering::Relaxed)
    }

    /// A file in the directory that commands run in.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.dir.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }

    /// A remark between commands.
    pub fn remark(&self, text: impl Display) {
        for line in text.to_string().lines() {
            show(format_args!("## {line}"));
        }
    }

    /// The command line as a user types it on host1: `kubectl`, `openstack` and OVN's tools reach the sandbox.
    fn shell(&self, line: &str) -> Command {
        let mut command = Command::new("bash");
        let inherited = std::env::var("PATH").unwrap_or_default();
        command.args(["-c", line]).current_dir(&self.dir);
        command.env("PATH", format!("{}:{inherited}", paths::bin().display()));
        command
    }

    /// Runs a command line, shows it and what it prints. Returns how it ended.
    ///
    /// # Errors
    /// When it can't be run or doesn't end.
    pub fn try_run(&self, line: &str) -> Result<exec::Output> {
        let output = exec::run(&mut self.shell(line), DEADLINE, Some(&self.log))?;
        shown(&format!("# {line}"), &output);
        Ok(output)
    }

    /// As [`Console::try_run`]; returns standard output.
    ///
    /// # Errors
    /// As [`Console::try_run`], and when it exits with anything but 0.
    pub fn run(&self, line: &str) -> Result<String> {
        let output = self.try_run(line)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(exec::Failed { command: line.to_owned(), output }.into())
    }

    /// Runs several command lines at the same time, then shows them in order.
    ///
    /// # Errors
    /// As [`Console::run`].
    pub fn run_together<const N: usize>(&self, lines: [&str; N]) -> Result<[String; N]> {
        let outputs = std::thread::scope(|scope| {
            let running = lines
                .map(|line| scope.spawn(move || exec::run(&mut self.shell(line), DEADLINE, Some(&self.log))));
            running.map(|thread| thread.join().map_err(|_| anyhow!("a thread that runs a command failed"))?)
        });
        let mut printed = [const { String::new() }; N];
        for ((line, output), printed) in lines.iter().zip(outputs).zip(&mut printed) {
            let output = output?;
            shown(&format!("# {line}"), &output);
            if !output.status.success() {
                return Err(exec::Failed { command: (*line).to_owned(), output }.into());
            }
            *printed = output.stdout;
        }
        Ok(printed)
    }

    /// Runs a command line in a shell on a host and shows both.
    ///
    /// # Errors
    /// As [`Console::run`].
    pub fn on(&self, host: &Host, line: &str) -> Result<String> {
        let mut command = host.command("bash");
        command.args(["-c", line]);
        let output = exec::run(&mut command, exec::SHORT, Some(&self.log))?;
        shown(&format!("{host}# {line}"), &output);
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(exec::Failed { command: format!("{line} on {host}"), output }.into())
    }

    /// A check: `what` holds.
    ///
    /// # Errors
    /// [`Unexpected`] when it doesn't.
    pub fn check(
        &self,
        what: impl Display,
        holds: bool,
        expected: impl Display,
        actual: impl Display,
    ) -> Result<()> {
        if !holds {
            return Err(Unexpected {
                what: what.to_string(),
                expected: expected.to_string(),
                actual: actual.to_string(),
            }
            .into());
        }
        self.checks.fetch_add(1, Ordering::Relaxed);
        show(format_args!("   ok: {what}"));
        Ok(())
    }

    /// A check: both are the same.
    ///
    /// # Errors
    /// [`Unexpected`] when they aren't.
    pub fn same<T: PartialEq<U> + Debug, U: Debug>(
        &self,
        what: impl Display,
        actual: T,
        expected: U,
    ) -> Result<()> {
        let (left, right) = (format!("{expected:?}"), format!("{actual:?}"));
        self.check(what, actual == expected, left, right)
    }
}

fn shown(line: &str, output: &exec::Output) {
    show(line);
    for text in [&output.stderr, &output.stdout] {
        let text = text.trim_end();
        if !text.is_empty() {
            show(text);
        }
    }
}
