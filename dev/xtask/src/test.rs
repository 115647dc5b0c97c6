//! `cargo xtask test`: every check and test of the project, counted, in tiers.
//!
//! The fast tier is for each commit: formatting, lints, layers, generated files, unit and property tests, and tests
//! against real databases and Open vSwitch. What needs Kubernetes is skipped, and counted as that, as is what lacks
//! a part on this machine. The full tier first installs and builds all that its tests need, and there a missing part is
//! a failure; it adds the sandbox: the scenario from an empty machine to the last ping and its uninstall, then
//! refusals, faults and coexistence on what stands. Nothing here judges time.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tombolo_sandbox::install::{self, Set};

use crate::count::{Count, Reader};
use crate::test_programs;

/// Names the file that skips are written to (`dev/needs`).
pub const SKIPS: &str = "TOMBOLO_SKIPS";

/// A test program that prints nothing for so long hangs. No judgement of speed: compiling is silent here, too.
const SILENCE: Duration = Duration::from_secs(40 * 60);

/// How much is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Everything without Kubernetes and the sandbox, for each commit.
    Fast,
    /// And the sandbox: the scenario with its uninstall, then refusals, faults and coexistence. What CI runs.
    Full,
}

/// Runs the tests of a tier. Returns whether everything passed. The last line is the sum of all steps, whatever
/// happens: a step that fails or can't be started is counted, and the others still run.
pub fn run(tier: Tier) -> bool {
    let began = Instant::now();
    if tier == Tier::Full {
        crate::space::warn();
    }
    let mut steps = Steps::default();
    let prepared = match tier {
        Tier::Full => steps.run("what the tests need", || {
            tombolo_sandbox::prepare()?;
            Ok(Count::one(true))
        }),
        Tier::Fast => {
            if let Err(error) = install::ensure(Set::Tests) {
                println!("{error:#}\nTests that need what is missing are skipped, and counted.");
            }
            true
        }
    };
    steps.run("formatting", || check("cargo", &["fmt", "--all", "--check"]));
    steps.run("layers", || Ok(Count::one(report(crate::check_layers::run()))));
    steps.run("unused dependencies", || Ok(Count::one(report(crate::unused::run()))));
    steps.run("links", || Ok(Count::one(report(crate::root().and_then(crate::links::run)))));
    steps.run("generated files", || Ok(Count::one(report(crate::r#gen::check_sources()))));
    if tier == Tier::Full {
        steps.run("the chart", || Ok(Count::one(report(crate::chart::run(false)))));
    }
    steps.run("lints", || {
        check("cargo", &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"])
    });
    // No doc tests: there are none, and each library would be compiled once more to find that out.
    steps.run("unit, property, golden and database tests", || {
        all_programs(&["--lib", "--bins", "--tests"], tier)
    });
    if tier == Tier::Full && prepared {
        steps.run("the scenario with OVN as pods", || Ok(Count::one(report(crate::demo(&["--full"])))));
        steps.run("that sandbox leaves nothing behind", || Ok(Count::one(report(crate::sandbox_down()))));
        steps.run("the scenario with OVN as pods that speak TLS", || {
            Ok(Count::one(report(crate::demo(&["--tls"]))))
        });
        steps.run("nor does that one", || Ok(Count::one(report(crate::sandbox_down()))));
        steps.run("the scenario in the sandbox", || {
            Ok(Count::one(report(crate::demo(&["--full", "--ovn=existing"]))))
        });
        // The document's addresses are tcp:. All that follows goes over TLS.
        steps.run("TLS to OVN's databases", || Ok(Count::one(report(tombolo_sandbox::over_tls()))));
        steps.run("refusals, faults and coexistence in the sandbox", || {
            // Of the whole workspace, so that nothing is compiled anew with other features.
            const ALL: &[&str] =
                &["test", "--workspace", "--test", "acceptance", "--", "--test-threads=1", "--nocapture"];
            cargo_test(ALL, tier, &[("TOMBOLO_ACCEPTANCE", "1")])
        });
        steps.run("the sandbox leaves nothing behind", || Ok(Count::one(report(crate::sandbox_down()))));
    } else if tier == Tier::Full {
        steps.run("the sandbox", || bail!("not tried, since what it needs isn't there: see the first step"));
    }
    println!("=== summary, {:.0} s", began.elapsed().as_secs_f64());
    let total = steps.total();
    println!("{}", total.line());
    total.failed == 0
}

/// What ran, and what it counted.
#[derive(Debug, Default)]
struct Steps(Vec<(&'static str, Count, f64)>);

impl Steps {
    /// Runs one; says whether nothing failed in it.
    fn run(&mut self, name: &'static str, run: impl FnOnce() -> Result<Count>) -> bool {
        println!("=== {name}");
        let start = Instant::now();
        let count = run().unwrap_or_else(|error| {
            println!("{name} failed: {error:#}");
            Count::one(false)
        });
        self.0.push((name, count, start.elapsed().as_secs_f64()));
        count.failed == 0
    }

    /// Prints a line for each, and adds them up.
    fn total(&self) -> Count {
        let mut total = Count::default();
        for (name, count, seconds) in &self.0 {
            println!(
                "{:>6} passed {:>4} failed {:>4} skipped {seconds:>7.1} s  {name}",
                count.passed, count.failed, count.skipped
            );
            total.add(*count);
        }
        total
    }
}

/// Prints an error of a step and says whether there was none.
fn report(result: Result<()>) -> bool {
    if let Err(error) = &result {
        println!("failed: {error:#}");
    }
    result.is_ok()
}

/// A command that is one check: it passes when it exits with 0.
fn check(program: &str, args: &[&str]) -> Result<Count> {
    let status =
        Command::new(program).args(args).status().with_context(|| format!("starting {program} {args:?}"))?;
    if !status.success() {
        println!("failed: {program} {} ({status})", args.join(" "));
    }
    Ok(Count::one(status.success()))
}

/// Every test program of the workspace but the sandbox's, counted. In the full tier a part that a test lacks is its
/// failure; in the fast one a skip.
fn all_programs(selection: &'static [&str], tier: Tier) -> Result<Count> {
    counted(tier, SILENCE, move |envs, lines| test_programs::run(selection, envs, lines))
}

/// `cargo test` with environment variables, its output passed on as it comes and its results counted.
fn cargo_test(args: &'static [&str], tier: Tier, env: &'static [(&str, &str)]) -> Result<Count> {
    counted(tier, SILENCE, move |envs, lines| {
        let mut child = Command::new("cargo")
            .args(args)
            .env_remove(SKIPS)
            .envs(envs.iter().map(|(key, value)| (key, value)))
            .envs(env.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting cargo test")?;
        let output = child.stdout.take().context("reading cargo test's output")?;
        for line in BufReader::new(output).split(b'\n') {
            lines.send(line.context("reading cargo test's output")?).context("after a hang")?;
        }
        Ok(child.wait().context("waiting for cargo test")?.success())
    })
}

/// Runs tests by `run`, which gets the environment of theirs and sends what they print; prints that and counts it. Silence that
/// is longer than `silence` is a failure, and ends the step.
fn counted(
    tier: Tier,
    silence: Duration,
    run: impl FnOnce(&[(String, String)], &mpsc::Sender<Vec<u8>>) -> Result<bool> + Send + 'static,
) -> Result<Count> {
    let skips = std::env::temp_dir().join(format!(
        "tombolo-skips-{}-{:?}",
        std::process::id(),
        thread::current().id()
    ));
    std::fs::write(&skips, "").with_context(|| format!("writing {}", skips.display()))?;
    // With one thread, libtest runs tests on the main thread, which has no test's name: a skip would belong to no test.
    let threads = thread::available_parallelism().map_or(2, |n| n.get().max(2));
    let mut envs = vec![("RUST_TEST_THREADS".to_owned(), threads.to_string())];
    if tier == Tier::Fast {
        envs.push((SKIPS.to_owned(), skips.display().to_string()));
    }
    let (sender, lines) = mpsc::channel::<Vec<u8>>();
    let mut reader = Reader::default();
    let running = thread::spawn(move || run(&envs, &sender));
    let mut hang = None;
    let succeeded = loop {
        let line = match lines.recv_timeout(silence) {
            Ok(line) => line,
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                break running
                    .join()
                    .unwrap_or_else(|_| bail!("the thread that runs the tests ended by a panic"))?;
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                hang = Some(format!("nothing was printed for {} s: a test hangs", silence.as_secs()));
                // The program that hangs is left for debugging, and nothing is started after it: nobody takes its lines.
                drop(lines);
                break true;
            }
        };
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        reader.line(&line);
    };
    let text = std::fs::read_to_string(&skips).with_context(|| format!("reading {}", skips.display()))?;
    let _ = std::fs::remove_file(&skips); // a few lines in /tmp, if that fails
    let mut outcome = reader.finish(&text, succeeded);
    outcome.count.failed += u64::from(hang.is_some());
    for fault in outcome.faults.iter().chain(&hang) {
        println!("failed: {fault}");
    }
    for (part, tests) in &outcome.lacked {
        println!("skipped, for want of {part}: {}", tests.join(" "));
    }
    Ok(outcome.count)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s";

    #[test]
    fn what_is_printed_is_counted_and_so_is_a_program_that_fails() {
        for (succeeded, failed) in [(true, 0), (false, 1)] {
            let count = counted(Tier::Full, SILENCE, move |_, lines| {
                lines.send(GOOD.into())?;
                Ok(succeeded)
            });
            assert_eq!(count.unwrap(), Count { passed: 2, failed, skipped: 0 });
        }
        assert!(counted(Tier::Full, SILENCE, |_, _| bail!("nothing compiles")).is_err());
    }

    #[test]
    fn a_hang_is_a_failure_and_what_ended_before_it_counts() {
        let (ended, end) = mpsc::channel();
        let count = counted(Tier::Full, Duration::from_millis(50), move |_, lines| {
            lines.send(GOOD.into())?;
            thread::sleep(Duration::from_secs(1));
            ended.send(lines.send(GOOD.into()).is_err())?;
            Ok(true)
        });
        assert_eq!(count.unwrap(), Count { passed: 2, failed: 1, skipped: 0 });
        assert!(end.recv().unwrap(), "what hangs learns that nobody listens, and starts nothing more");
    }
}
