//! `cargo xtask test`: every check and test of the project, counted, in tiers.
//!
//! The fast tier is for each commit: formatting, lints, layers, generated files, unit and property tests, and tests
//! against a real ovsdb-server, without Kubernetes and the sandbox. The full tier adds the sandbox: the scenario from an empty machine to the last ping
//! and its uninstall, then refusals, faults and coexistence on what stands. Nothing here judges time.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// A test program that prints nothing for so long hangs. No judgement of speed: compiling is silent here, too.
const SILENCE: Duration = Duration::from_secs(40 * 60);

/// What one step counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Count {
    fn one(ok: bool) -> Self {
        if ok { Count { passed: 1, ..Count::default() } } else { Count { failed: 1, ..Count::default() } }
    }

    fn add(&mut self, other: Count) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// How much is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Everything without Kubernetes and the sandbox, for each commit.
    Fast,
    /// And the sandbox: the scenario with its uninstall, then refusals, faults and coexistence. What CI runs.
    Full,
}

/// Runs the tests of a tier. Returns whether everything passed.
///
/// # Errors
/// When a step could not be started at all; a step that fails is counted, and the others still run.
pub fn run(tier: Tier) -> Result<bool> {
    let began = Instant::now();
    tombolo_sandbox::install::ensure(if tier == Tier::Fast {
        tombolo_sandbox::install::Set::Databases
    } else {
        tombolo_sandbox::install::Set::Everything
    })?;
    let mut steps: Vec<(&str, Count, f64)> = Vec::new();
    let mut step = |name: &'static str, run: &mut dyn FnMut() -> Result<Count>| {
        println!("=== {name}");
        let start = Instant::now();
        let count = match run() {
            Ok(count) => count,
            Err(error) => {
                println!("{name} failed: {error:#}");
                Count::one(false)
            }
        };
        steps.push((name, count, start.elapsed().as_secs_f64()));
    };
    step("formatting", &mut || check("cargo", &["fmt", "--all", "--check"]));
    step("layers", &mut || Ok(Count::one(report(crate::check_layers::run()))));
    step("generated tables", &mut || Ok(Count::one(report(crate::gen_tables(true)))));
    step("lints", &mut || {
        check("cargo", &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"])
    });
    // No doc tests: there are none, and each library would be compiled once more to find that out.
    let kinds = ["--lib", "--bins", "--tests", "--no-fail-fast"];
    step("unit, property, golden and database tests", &mut || {
        let all = ["test", "--workspace", "--exclude", "tombolo-tests-acceptance"];
        let fast = if tier == Tier::Fast { "1" } else { "0" };
        cargo_test(&[&all[..], &kinds].concat(), &[("TOMBOLO_FAST", fast)])
    });
    if tier == Tier::Full {
        step("the scenario in the sandbox", &mut || Ok(Count::one(report(crate::demo_for_test()))));
        step("refusals, faults and coexistence in the sandbox", &mut || {
            // Of the whole workspace, so that nothing is compiled anew with other features.
            let all =
                ["test", "--workspace", "--test", "acceptance", "--", "--test-threads=1", "--nocapture"];
            cargo_test(&all, &[("TOMBOLO_ACCEPTANCE", "1")])
        });
        step("the sandbox leaves nothing behind", &mut || Ok(Count::one(report(crate::sandbox_down()))));
    }
    println!("=== summary, {:.0} s", began.elapsed().as_secs_f64());
    let mut total = Count::default();
    for (name, count, seconds) in &steps {
        println!(
            "{:>6} passed {:>4} failed {:>4} skipped {seconds:>7.1} s  {name}",
            count.passed, count.failed, count.skipped
        );
        total.add(*count);
    }
    if total.skipped > 0 {
        println!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped);
    } else {
        println!("{} passed, {} failed", total.passed, total.failed);
    }
    Ok(total.failed == 0)
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

/// `cargo test` with environment variables, its output passed on and its result lines counted. A build that fails
/// counts as one.
fn cargo_test(args: &[&str], env: &[(&str, &str)]) -> Result<Count> {
    let mut child = Command::new("cargo")
        .args(args)
        .envs(env.iter().copied())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting cargo test")?;
    let output = child.stdout.take().context("reading cargo test's output")?;
    let mut count = Count::default();
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || BufReader::new(output).lines().try_for_each(|line| sender.send(line)));
    loop {
        let line = match lines.recv_timeout(SILENCE) {
            Ok(line) => line.context("reading cargo test's output")?,
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                println!("failed: nothing was printed for {} minutes: a test hangs", SILENCE.as_secs() / 60);
                // Its own end is all that is needed here; the program that hangs is left for whoever looks why.
                child.kill().context("ending cargo test")?;
                count.failed += 1;
                break;
            }
        };
        println!("{line}");
        if let Some(result) = parse_result(&line) {
            count.add(result);
        }
    }
    let status = child.wait().context("waiting for cargo test")?;
    if !status.success() && count.failed == 0 {
        count.failed = 1;
    }
    Ok(count)
}

/// Reads `test result: ok. 3 passed; 0 failed; 1 ignored; …`. Tests that find a part missing print a
/// line `skipped: …` and pass; ignored ones count as skipped.
fn parse_result(line: &str) -> Option<Count> {
    let rest = line.strip_prefix("test result: ")?;
    let number = |word: &str| {
        rest.split([';', '.'])
            .filter_map(|part| part.trim().strip_suffix(word))
            .find_map(|n| n.trim().parse().ok())
            .unwrap_or(0)
    };
    Some(Count { passed: number(" passed"), failed: number(" failed"), skipped: number(" ignored") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_counted() {
        let line = "test result: FAILED. 12 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        assert_eq!(parse_result(line), Some(Count { passed: 12, failed: 1, skipped: 2 }));
        assert_eq!(parse_result("running 3 tests"), None);
    }
}
