//! What the user sees while something takes long: phases with elapsed time, a heartbeat, failures that
//! show the log's end, a table of timings, and a Ctrl-C that cleans up.
//!
//! Decides how progress looks and what an interruption does to running commands; not what the phases are.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// A phase that says nothing for this long gets a heartbeat line.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How much of a log a failure shows.
const TAIL_LINES: usize = 30;

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
static TIMINGS: Mutex<Vec<(String, Duration, bool)>> = Mutex::new(Vec::new());
static TRANSCRIPT: Mutex<Option<File>> = Mutex::new(None);
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// Process groups that an interruption ends, and those that it lets finish (a package manager).
static RUNNING: Mutex<BTreeSet<(u32, bool)>> = Mutex::new(BTreeSet::new());

thread_local! {
    /// The thread that cleans up after an interruption may still run commands.
    static CLEANING: Cell<bool> = const { Cell::new(false) };
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Prints one line on stderr with the time since the program began, and to the transcript if there is one.
pub fn say(line: impl fmt::Display) {
    let line = format!("[{:>6.1}s] {line}", BEGAN.elapsed().as_secs_f64());
    let mut transcript = lock(&TRANSCRIPT);
    // One write per line: phases run on several threads. A closed terminal is no reason to stop.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
    if let Some(file) = transcript.as_mut() {
        let _ = writeln!(file, "{line}");
    }
}

/// Prints text as it is on stdout, and to the transcript if there is one: what a command shows its user.
pub fn show(text: impl fmt::Display) {
    let text = format!("{text}\n");
    let mut transcript = lock(&TRANSCRIPT);
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    if let Some(file) = transcript.as_mut() {
        let _ = file.write_all(text.as_bytes());
    }
}

/// Keeps a copy of all that [`say`] and [`show`] print in `path` from now on.
///
/// # Errors
/// When the file can't be created.
pub fn transcript(path: &Path) -> Result<()> {
    create_parent(path)?;
    let file = File::create(path).with_context(|| format!("creating the transcript {}", path.display()))?;
    *lock(&TRANSCRIPT) = Some(file);
    Ok(())
}

/// One named piece of work with a log, while it runs.
pub struct Phase {
    name: String,
    log: PathBuf,
    /// Where this phase begins in the log.
    offset: u64,
    began: Instant,
    doing: Mutex<String>,
    hint: Mutex<Option<String>>,
}

/// In an error's chain: the failure has been shown to the user already, with its log.
#[derive(Debug)]
pub struct PhaseFailed {
    name: String,
}

impl fmt::Display for PhaseFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "phase \"{}\" failed", self.name)
    }
}

impl Phase {
    /// Runs `work` as the phase `name`: a line at its start and end, a heartbeat between. `log` is appended to by
    /// what runs in it (pass [`Phase::log`] to [`crate::exec`]); its end is shown when `work` fails.
    ///
    /// # Errors
    /// Those of `work`, marked with [`PhaseFailed`] once shown.
    pub fn run<T>(name: &str, log: impl AsRef<Path>, work: impl FnOnce(&Phase) -> Result<T>) -> Result<T> {
        let log = log.as_ref();
        create_parent(log)?;
        append(log, &format!("=== {name}\n"));
        let phase = Phase {
            name: name.to_owned(),
            log: log.to_owned(),
            offset: std::fs::metadata(log).map_or(0, |m| m.len()),
            began: Instant::now(),
            doing: Mutex::new(String::new()),
            hint: Mutex::new(None),
        };
        say(format_args!("{name} …"));
        let result = thread::scope(|scope| {
            let (stop, stopped) = mpsc::channel::<()>();
            let beating = &phase;
            scope.spawn(move || {
                while stopped.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
                    beating.heartbeat();
                }
            });
            let result = work(&phase);
            drop(stop);
            result
        });
        let took = phase.began.elapsed();
        lock(&TIMINGS).push((phase.name.clone(), took, result.is_ok()));
        match result {
            Ok(value) => {
                say(format_args!("{name}: done in {}", seconds(took)));
                Ok(value)
            }
            Err(error) if interrupted() => Err(error),
            Err(error) if error.downcast_ref::<PhaseFailed>().is_some() => Err(error),
            Err(error) => {
                phase.show_failure(&error, took);
                Err(error.context(PhaseFailed { name: phase.name }))
            }
        }
    }

    /// Where this phase's commands write.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Says what the phase is at: shown by the next heartbeat, written to the log.
    pub fn doing(&self, what: impl fmt::Display) {
        let what = what.to_string();
        append(&self.log, &format!("== {what}\n"));
        *lock(&self.doing) = what;
    }

    /// Sets what the user can do if the phase fails from here on.
    pub fn hint(&self, hint: impl fmt::Display) {
        *lock(&self.hint) = Some(hint.to_string());
    }

    fn heartbeat(&self) {
        let doing = lock(&self.doing).clone();
        let doing = if doing.is_empty() { "working".to_owned() } else { doing };
        say(format_args!(
            "{}: {doing} ({} so far, log {})",
            self.name,
            seconds(self.began.elapsed()),
            self.log.display()
        ));
    }

    fn show_failure(&self, error: &anyhow::Error, took: Duration) {
        say(format_args!("{}: FAILED after {}", self.name, seconds(took)));
        let doing = lock(&self.doing).clone();
        if !doing.is_empty() {
            say(format_args!("  while: {doing}"));
        }
        for line in format!("{error:#}").lines() {
            say(format_args!("  {line}"));
        }
        for line in last_lines(&self.log, self.offset, TAIL_LINES) {
            say(format_args!("  | {line}"));
        }
        say(format_args!("  whole log: {}", self.log.display()));
        let hint = lock(&self.hint).clone();
        let hint =
            hint.unwrap_or_else(|| "`cargo xtask sandbox down`, then the same command again".to_owned());
        say(format_args!("  what to do: {hint}"));
    }
}

/// The table of all phases so far in the order in which they ended, with the total.
pub fn timings() -> String {
    let timings = lock(&TIMINGS);
    let width = timings.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0).max("total".len());
    let mut table = String::new();
    for (name, took, ok) in timings.iter() {
        let mark = if *ok { "" } else { "  FAILED" };
        table.push_str(&format!("{name:<width$}  {:>8}{mark}\n", seconds(*took)));
    }
    table.push_str(&format!("{:<width$}  {:>8}\n", "total", seconds(BEGAN.elapsed())));
    table
}

/// The last `lines` lines of a file; empty when it can't be read.
pub fn tail(path: &Path, lines: usize) -> Vec<String> {
    last_lines(path, 0, lines)
}

fn last_lines(path: &Path, offset: u64, lines: usize) -> Vec<String> {
    let Ok(bytes) = std::fs::read(path) else { return Vec::new() };
    let from = usize::try_from(offset).unwrap_or(0).min(bytes.len());
    let text = String::from_utf8_lossy(&bytes[from..]);
    let all: Vec<&str> = text.lines().collect();
    all.iter().skip(all.len().saturating_sub(lines)).map(|line| (*line).to_owned()).collect()
}

/// From now on SIGINT, SIGTERM and SIGHUP end the running commands, call `cleanup`, and exit with 130.
/// A second signal exits at once.
///
/// # Errors
/// When the signals can't be taken.
pub fn on_interrupt(cleanup: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("taking over SIGINT and SIGTERM")?;
    let mut cleanup = Some(cleanup);
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for _ in signals.forever() {
                let Some(cleanup) = cleanup.take() else {
                    say("interrupted again: leaving as it is; `cargo xtask sandbox down` cleans up");
                    std::process::exit(130);
                };
                thread::spawn(move || clean_up(cleanup));
            }
        })
        .context("starting the signal thread")?;
    Ok(())
}

fn clean_up(cleanup: impl FnOnce() -> Result<()>) {
    say("interrupted: cleaning up (once more to leave at once)");
    CLEANING.set(true);
    let (ending, finishing): (Vec<_>, Vec<_>) = {
        // Under the lock: a command that starts at this moment is either in the set or refused.
        let running = lock(&RUNNING);
        INTERRUPTED.store(true, Ordering::SeqCst);
        running.iter().copied().partition(|(_, may_end)| *may_end)
    };
    for (group, _) in ending {
        kill_group(group, "KILL");
    }
    if !finishing.is_empty() {
        say("waiting for the package manager to finish what it is at");
        while finishing.iter().any(|one| lock(&RUNNING).contains(one)) {
            thread::sleep(Duration::from_millis(100));
        }
    }
    match cleanup() {
        Ok(()) => say("cleaned up"),
        Err(error) => say(format_args!("cleaning up failed: {error:#}")),
    }
    std::process::exit(130);
}

/// Whether an interruption is under way: work must end soon, with an error.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst) && !CLEANING.get()
}

/// For the end of `main`: when interrupted, the process ends only once the clean-up has.
pub fn finish_interruption() {
    while INTERRUPTED.load(Ordering::SeqCst) {
        thread::park();
    }
}

/// A started command that an interruption knows of until this is dropped.
pub(crate) struct Registered {
    group: u32,
    may_end: bool,
}

impl Drop for Registered {
    fn drop(&mut self) {
        lock(&RUNNING).remove(&(self.group, self.may_end));
    }
}

/// Starts `command` in a process group of its own, unless interrupted. `may_end`: an interruption kills it.
pub(crate) fn spawn(command: &mut Command, may_end: bool) -> Result<(Child, Registered)> {
    let mut running = lock(&RUNNING);
    if interrupted() {
        bail!("interrupted");
    }
    let child = command.process_group(0).spawn()?;
    let group = child.id();
    running.insert((group, may_end));
    Ok((child, Registered { group, may_end }))
}

/// Signals a process group that this program started.
pub(crate) fn kill_group(group: u32, signal: &str) {
    // The standard library can't signal a group, and the workspace has no unsafe code: kill(1) does it.
    let _ = Command::new("kill")
        .args([&format!("-{signal}"), "--", &format!("-{group}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

/// A duration as the user reads it: `0.3s`, `12.0s`, `2m05s`.
pub fn seconds(took: Duration) -> String {
    if took >= Duration::from_secs(100) {
        format!("{}m{:02}s", took.as_secs() / 60, took.as_secs() % 60)
    } else {
        format!("{:.1}s", took.as_secs_f64())
    }
}

/// Appends to a log; a log that can't be written must not stop the work that it describes.
pub(crate) fn append(path: &Path, text: &str) {
    if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path) {
        let _ = file.write_all(text.as_bytes());
    }
}

fn create_parent(path: &Path) -> Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_phase_names_itself_once_and_keeps_the_cause() {
        let log = std::env::temp_dir().join(format!("tombolo-progress-{}/p.log", std::process::id()));
        let error = Phase::run("outer", &log, |_| {
            Phase::run("inner", &log, |p| {
                p.doing("the impossible");
                Err::<(), _>(anyhow::anyhow!("cause"))
            })
        })
        .expect_err("it failed");
        assert_eq!(format!("{error:#}"), "phase \"inner\" failed: cause");
        assert_eq!(tail(&log, 1), ["== the impossible"]);
        std::fs::remove_dir_all(log.parent().unwrap()).unwrap();
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(seconds(Duration::from_millis(340)), "0.3s");
        assert_eq!(seconds(Duration::from_secs(125)), "2m05s");
    }
}
