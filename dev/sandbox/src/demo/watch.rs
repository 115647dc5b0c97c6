//! Commands that print a line whenever something happens, and when each line came.
//!
//! Decides nothing: it is the clock of what the scenario measures.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::progress::{self, Registered};
use crate::{exec, ovn};

/// A running command; it is ended when this is dropped.
pub struct Watch {
    name: String,
    group: u32,
    lines: mpsc::Receiver<(Instant, String)>,
    /// What came, for messages.
    seen: Vec<String>,
    _registered: Registered,
}

impl Watch {
    /// Starts `command`.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        let name = exec::shown(command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let (mut child, registered) =
            progress::spawn(command, true).with_context(|| format!("starting `{name}`"))?;
        let group = child.id();
        let stdout = child.stdout.take().context("reading a command's output")?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send((Instant::now(), line)).is_err() {
                    break;
                }
            }
            // Ended here or by the drop of the receiver: reaped in any case.
            let _ = child.wait();
        });
        Ok(Self { name, group, lines, seen: Vec::new(), _registered: registered })
    }

    /// Changes of one column of a northbound table, from the leader, which has them first: `UUID,ACTION,VALUE` a line,
    /// where ACTION is `initial`, `insert`, `new`, `old` or `delete`.
    ///
    /// # Errors
    /// As [`Watch::start`], and when the database has no leader.
    pub fn northbound(table: &str, column: &str) -> Result<Self> {
        let database = ovn::Database::Nb;
        let mut command = ovn::leader(database)?.command("stdbuf");
        command.args(["-oL", "ovsdb-client", "--format=csv", "--no-headings", "monitor"]);
        command.args(["unix:/run/ovn/ovnnb_db.sock", database.name(), table, column]);
        Self::start(&mut command)
    }

    /// The next line for which `wanted` has an answer, and when it came. Others are passed over.
    ///
    /// # Errors
    /// When none comes within `deadline`, or the command ends.
    pub fn next<T>(
        &mut self,
        what: &str,
        deadline: Duration,
        mut wanted: impl FnMut(&str) -> Option<T>,
    ) -> Result<(Instant, T)> {
        let until = Instant::now() + deadline;
        loop {
            // In pieces, so that an interruption is seen.
            let left = until.saturating_duration_since(Instant::now()).min(Duration::from_millis(500));
            match self.lines.recv_timeout(left) {
                Ok((when, line)) => {
                    let found = wanted(&line);
                    self.seen.push(line);
                    if let Some(found) = found {
                        return Ok((when, found));
                    }
                }
                Err(RecvTimeoutError::Timeout) if progress::interrupted() => bail!("interrupted"),
                Err(RecvTimeoutError::Timeout) if Instant::now() < until => {}
                Err(RecvTimeoutError::Timeout) => bail!(
                    "{what}: `{}` did not show it within {}; it printed:\n{}",
                    self.name,
                    progress::seconds(deadline),
                    self.tail()
                ),
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("{what}: `{}` ended; it printed:\n{}", self.name, self.tail())
                }
            }
        }
    }

    fn tail(&self) -> String {
        self.seen[self.seen.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        progress::kill_group(self.group, "KILL");
    }
}
