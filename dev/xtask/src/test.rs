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

/// Names the file that skips are written to (`dev/needs`).
const SKIPS: &str = "TOMBOLO_SKIPS";

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
    steps.run("generated tables", || Ok(Count::one(report(crate::gen_tables(true)))));
    if tier == Tier::Full {
        steps.run("the chart", || Ok(Count::one(report(crate::chart::run(false)))));
    }
    steps.run("lints", || {
        check("cargo", &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"])
    });
    // No doc tests: there are none, and each library would be compiled once more to find that out.
    let kinds = ["--lib", "--bins", "--tests", "--no-fail-fast"];
    steps.run("unit, property, golden and database tests", || {
        cargo_test(&[&["test", "--workspace"][..], &kinds].concat(), tier, &[])
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
            let all =
                ["test", "--workspace", "--test", "acceptance", "--", "--test-threads=1", "--nocapture"];
            cargo_test(&all, tier, &[("TOMBOLO_ACCEPTANCE", "1")])
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

/// `cargo test` with environment variables, its output passed on and its results counted. In the full tier a part
/// that a test lacks is its failure; in the fast one a skip.
fn cargo_test(args: &[&str], tier: Tier, env: &[(&str, &str)]) -> Result<Count> {
    let skips = std::env::temp_dir().join(format!("tombolo-skips-{}", std::process::id()));
    std::fs::write(&skips, "").with_context(|| format!("writing {}", skips.display()))?;
    let mut command = Command::new("cargo");
    command.args(args).envs(env.iter().copied()).env_remove(SKIPS).stdout(Stdio::piped());
    if tier == Tier::Fast {
        command.env(SKIPS, &skips);
    }
    // With one thread, libtest runs tests on the main thread, which has no test's name: a skip would belong to no test.
    let threads = thread::available_parallelism().map_or(2, |n| n.get().max(2));
    command.env("RUST_TEST_THREADS", threads.to_string());
    let mut child = command.spawn().context("starting cargo test")?;
    let output = child.stdout.take().context("reading cargo test's output")?;
    let mut reader = Reader::default();
    let mut hangs = Vec::new();
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || BufReader::new(output).split(b'\n').try_for_each(|line| sender.send(line)));
    loop {
        let line = match lines.recv_timeout(SILENCE) {
            Ok(line) => line.context("reading cargo test's output")?,
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                hangs.push(format!(
                    "nothing was printed for {} minutes: a test hangs",
                    SILENCE.as_secs() / 60
                ));
                // Only cargo needs to end here; the program that hangs is left for debugging.
                child.kill().context("ending cargo test")?;
                break;
            }
        };
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        reader.line(&line);
    }
    let status = child.wait().context("waiting for cargo test")?;
    let text = std::fs::read_to_string(&skips).with_context(|| format!("reading {}", skips.display()))?;
    let _ = std::fs::remove_file(&skips); // a few lines in /tmp, if that fails
    let mut outcome = reader.finish(&text, status.success());
    outcome.count.failed += hangs.len() as u64;
    for fault in outcome.faults.iter().chain(&hangs) {
        println!("failed: {fault}");
    }
    for (part, tests) in &outcome.lacked {
        println!("skipped, for want of {part}: {}", tests.join(" "));
    }
    Ok(outcome.count)
}
