//! Faults in numbers, with an NB of three servers and two controllers: `cargo xtask bench faults` in small.

use std::path::Path;

use anyhow::Result;
use tombolo_needs::{missing, needs};
use tombolo_tests_bench::faults::{LEFT_OUT, Line, Sizes, fence, kills, leaks, northbound, silent};

const CONTROLLER: &str = env!("CARGO_BIN_EXE_tombolo-controller");
const SIZES: Sizes = Sizes::SMALL;

fn run(scenario: impl Future<Output = Result<Option<Vec<Line>>>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let lines = needs!(runtime.block_on(scenario)?);
    for line in &lines {
        println!("{}: {}", line.what, line.seen);
    }
    assert!(!lines.is_empty(), "nothing was seen");
    if let Some(line) = lines.iter().find(|line| line.seen.starts_with(LEFT_OUT)) {
        missing(format_args!("{}: {}", line.what, line.seen));
    }
    Ok(())
}

// invariants 5, 7 and 8
#[test]
fn leaders_are_killed() -> Result<()> {
    run(kills::run(Path::new(CONTROLLER), SIZES))
}

// invariants 6 and 8
#[test]
fn servers_fail_while_pods_come_and_go() -> Result<()> {
    run(northbound::run(Path::new(CONTROLLER), SIZES))
}

// invariant 7
#[test]
fn a_late_write_of_a_deposed_leader() -> Result<()> {
    run(fence::run(Path::new(CONTROLLER)))
}

// invariants 4 and 5
#[test]
fn nothing_leaks() -> Result<()> {
    run(leaks::run(Path::new(CONTROLLER), SIZES))
}

// invariant 9
#[test]
fn live_and_silent_beside_many_routers() -> Result<()> {
    run(silent::run(Path::new(CONTROLLER), SIZES))
}
