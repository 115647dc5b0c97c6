//! The test programs of the workspace, built by one `cargo test --no-run` and run two packages at a time. Most of them
//! wait most of their time, for servers and for deadlines that are the matter of the test; one after the other, as
//! cargo runs them, they took half of a run. Programs of one package follow each other, as they use the same things.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use serde_json::Value;

/// Packages whose programs run at the same time.
const LANES: usize = 2;

/// A program of tests.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Program {
    /// The file that it was built of, for people.
    source: String,
    executable: PathBuf,
    /// The folder of its package: cargo runs its tests there.
    package: PathBuf,
}

/// Compiles all test programs of the workspace. Errors of the compiler go to the terminal.
fn build(selection: &[&str]) -> Result<Vec<Program>> {
    let output = Command::new("cargo")
        .args(["test", "--workspace", "--no-run", "--message-format=json-render-diagnostics"])
        .args(selection)
        .stderr(Stdio::inherit())
        .output()
        .context("starting cargo test")?;
    anyhow::ensure!(output.status.success(), "the tests don't compile: see above");
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(program).collect())
}

/// The test program that a message of cargo speaks of, if it does.
fn program(message: &str) -> Option<Program> {
    let message: Value = serde_json::from_str(message).ok()?;
    if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
        return None;
    }
    let text = |value: &Value| Some(value.as_str()?.to_owned());
    let mut package = PathBuf::from(text(&message["manifest_path"])?);
    package.pop();
    let source = text(&message["target"]["src_path"])?;
    let source = source.strip_prefix(&format!("{}/", package.display())).unwrap_or(&source).to_owned();
    Some(Program { source, executable: text(&message["executable"])?.into(), package })
}

/// Programs by package, in the order they start in: packages with the most programs first, so that the longest row of
/// them doesn't begin last.
fn queue(programs: Vec<Program>) -> VecDeque<Vec<Program>> {
    let mut packages = BTreeMap::<PathBuf, Vec<Program>>::new();
    for program in programs {
        packages.entry(program.package.clone()).or_default().push(program);
    }
    let mut packages: Vec<Vec<Program>> = packages.into_values().collect();
    packages.sort_by_key(|programs| std::cmp::Reverse(programs.len()));
    packages.into()
}

/// Builds and runs them all, `envs` in their environment. Lines of standard output go to `lines`, those of one program
/// together; standard error goes to the terminal at once, as what a test says of its progress. Returns false if one
/// of them failed.
pub fn run(selection: &[&str], envs: &[(String, String)], lines: &Sender<Vec<u8>>) -> Result<bool> {
    let queue = Mutex::new(queue(build(selection)?));
    let failed = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(programs) = next else { break };
                    for program in programs {
                        if let Err(error) = one(&program, envs, lines) {
                            failed.store(true, Ordering::Relaxed);
                            if lines.send(format!("failed: {error:#}").into_bytes()).is_err() {
                                return; // a hang was found
                            }
                        }
                    }
                }
            });
        }
    });
    Ok(!failed.into_inner())
}

/// Runs one to its end.
fn one(program: &Program, envs: &[(String, String)], lines: &Sender<Vec<u8>>) -> Result<()> {
    let what = || format!("{} ({})", program.source, program.executable.display());
    let say = |line: Vec<u8>| lines.send(line).context("nobody listens any more, since a hang was found");
    say(format!("     Running {}", what()).into_bytes())?;
    let mut child = Command::new(&program.executable)
        .env_remove(crate::test::SKIPS)
        .current_dir(&program.package)
        .env("CARGO_MANIFEST_DIR", &program.package)
        .envs(envs.iter().map(|(key, value)| (key, value)))
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", what()))?;
    let output = child.stdout.take().context("invariant: the output is piped")?;
    let said: Vec<_> = BufReader::new(output).split(b'\n').map_while(Result::ok).collect();
    let status = child.wait().with_context(|| format!("waiting for {}", what()))?;
    say(format!("\n       Ended {}", what()).into_bytes())?;
    said.into_iter().try_for_each(say)?;
    anyhow::ensure!(status.success(), "{}: {status}", what());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(package: &str, source: &str) -> Program {
        Program { source: source.into(), executable: format!("/t/{source}").into(), package: package.into() }
    }

    #[test]
    fn test_programs_are_found_among_what_cargo_says() {
        let line = r#"{"reason":"compiler-artifact","manifest_path":"/w/a/Cargo.toml","target":{"src_path":"/w/a/tests/x.rs"},"profile":{"test":true},"executable":"/t/tests/x.rs"}"#;
        assert_eq!(program(line), Some(of("/w/a", "tests/x.rs")));
        assert_eq!(program(&line.replace("true", "false")), None, "a program that the tests start");
        assert_eq!(program(r#"{"reason":"build-finished","success":true}"#), None);
    }

    #[test]
    fn packages_with_many_programs_begin_first() {
        let queue = queue(vec![of("/w/a", "1"), of("/w/b", "2"), of("/w/c", "3"), of("/w/b", "4")]);
        let packages: Vec<_> = queue.iter().map(|programs| programs[0].package.to_str().unwrap()).collect();
        assert_eq!(packages, ["/w/b", "/w/a", "/w/c"]);
    }
}
