//! Thousands of runs, each generated from one number ([`tombolo_tests_sim::seeds`]), and mutants that they must catch.
//!
//! `SIM_SEED=n` runs one seed, `SIM_SEEDS=from..to` others; a run that fails prints the command that replays it, and
//! `SIM_LOUD=1` adds what happens in it.
//!
//! Before the engine kept what stands apart from what is wished (invariant 11), 221 of the first 400 of these histories
//! failed. Some that are worth checking when a failure of their kind comes back:
//! - a wish that is refused, and pods that follow it (a pod's port bears an address of the refused network, or
//!   172.16.0.1, 0.0.0.2): 10, 13, 24, 44, 45, 101, 113, 119, 125, 186, 292; what it left in annotations and pools: 11,
//!   16, 30, 48, 85, 272;
//! - an edit that was applied and cut off running pods (the network moved, the port stayed): 8, 26, 38, 62, 65, 77, 82,
//!   88, 90;
//! - a gateway onto an address in use: 4, 12, 126, 130, 171, 172;
//! - an edit while an address was on its way to the API server (no Subnet "in use" yet): 6, 362;
//! - a pod or namespace whose annotations bore what its Subnet only wished: 205, 353.

use std::cell::RefCell;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once};
use std::time::Instant;

use tombolo_tests_sim::fault::Hits;
use tombolo_tests_sim::mutant::Mutant;
use tombolo_tests_sim::seeds::{self, Report};

/// Seeds that run unless the environment names others.
const SEEDS: u64 = 4_000;
/// A mutant is caught within so many.
const PATIENCE: u64 = 1_000;

thread_local! {
    static CAUGHT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A run that fails is a result here, not noise.
fn quietly() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().name() == Some("seeds") {
                CAUGHT.set(Some(info.to_string()));
            } else {
                usual(info);
            }
        }));
    });
}

/// Runs a seed; what failed, if something did.
fn attempt(seed: u64, mutant: Option<Mutant>) -> Result<Report, String> {
    let is_loud = std::env::var_os("SIM_LOUD").is_some();
    catch_unwind(AssertUnwindSafe(|| seeds::run(seed, mutant, is_loud)))
        .map_err(|_| CAUGHT.take().unwrap_or_else(|| "it panicked".to_owned()))
}

/// Does something for each number on all processors, until one says that it is enough.
fn each(numbers: std::ops::Range<u64>, work: impl Fn(u64) -> bool + Sync) {
    quietly();
    let next = AtomicU64::new(numbers.start);
    let threads = std::thread::available_parallelism().map_or(2, usize::from).min(8);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let thread = std::thread::Builder::new().name("seeds".to_owned()).stack_size(16 << 20);
            let run = || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= numbers.end || !work(seed) {
                        next.store(numbers.end, Ordering::Relaxed);
                        return;
                    }
                }
            };
            thread.spawn_scoped(scope, run).expect("a thread");
        }
    });
}

/// The seeds to run, and whether the environment named them.
fn asked() -> (std::ops::Range<u64>, bool) {
    let number = |text: &str| text.parse::<u64>().expect("SIM_SEED and SIM_SEEDS hold numbers");
    if let Ok(seed) = std::env::var("SIM_SEED") {
        let seed = number(&seed);
        return (seed..seed + 1, true);
    }
    if let Ok(range) = std::env::var("SIM_SEEDS") {
        let (from, to) = range.split_once("..").expect("SIM_SEEDS is like 0..1000");
        return (number(from)..number(to), true);
    }
    (0..SEEDS, false)
}

/// What a run failed of, in one line.
fn short(why: &str) -> String {
    why.lines().nth(1).unwrap_or(why).chars().take(200).collect()
}

/// To the terminal, whatever the harness keeps to itself.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[test]
fn every_seed_ends_well() {
    let (range, is_choice) = asked();
    let began = Instant::now();
    let hits = Mutex::new(Hits::default());
    let failed = Mutex::new(Vec::<(u64, String)>::new());
    let (count, commits, writes, millis) =
        (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    each(range, |seed| match attempt(seed, None) {
        Ok(report) => {
            count.fetch_add(1, Ordering::Relaxed);
            commits.fetch_add(report.commits as u64, Ordering::Relaxed);
            writes.fetch_add(report.writes as u64, Ordering::Relaxed);
            millis.fetch_add(report.millis, Ordering::Relaxed);
            hits.lock().expect("not poisoned").add(&report.hits);
            true
        }
        Err(why) => {
            let mut failed = failed.lock().expect("not poisoned");
            failed.push((seed, why));
            // `SIM_KEEP_GOING=1` shows how many there are.
            std::env::var_os("SIM_KEEP_GOING").is_some()
        }
    });
    let mut failed = failed.into_inner().expect("not poisoned");
    failed.sort();
    if let Some((seed, why)) = failed.first() {
        say(&format!("replay: SIM_SEED={seed} cargo test -p tombolo-tests-sim --test sim every_seed"));
        let more: String =
            failed.iter().skip(1).map(|(seed, why)| format!("also {seed}: {}\n", short(why))).collect();
        panic!("{why}\n{more}");
    }
    let hits = hits.into_inner().expect("not poisoned");
    let seconds = began.elapsed().as_secs_f64();
    let count = count.into_inner();
    say(&format!(
        "{count} seeds in {seconds:.1} s ({:.0} a minute): {} transactions, {} writes, {} hours of virtual time\n{}",
        count as f64 * 60.0 / seconds,
        commits.into_inner(),
        writes.into_inner(),
        millis.into_inner() / 3_600_000,
        hits.table()
    ));
    assert!(is_choice || hits.missing().is_empty(), "never met: {:?}", hits.missing());
}

#[test]
fn a_seed_is_the_same_each_time() {
    each(0..40, |seed| {
        let (first, second) = (attempt(seed, None), attempt(seed, None));
        assert_eq!(first, second, "seed {seed}");
        true
    });
}

/// The first seed in which the check that is there for a mutant catches it, and its words; and how many failed otherwise.
fn caught(mutant: Mutant) -> (Option<(u64, String)>, Vec<String>) {
    let first = Mutex::new(None::<(u64, String)>);
    let otherwise = Mutex::new(Vec::new());
    each(0..PATIENCE, |seed| match attempt(seed, Some(mutant)) {
        Ok(_) => true,
        Err(why) if !mutant.caught_by().iter().any(|words| why.contains(words)) => {
            otherwise.lock().expect("not poisoned").push(format!("{seed}: {}", short(&why)));
            true
        }
        Err(why) => {
            let mut first = first.lock().expect("not poisoned");
            if first.as_ref().is_none_or(|(other, _)| seed < *other) {
                *first = Some((seed, why));
            }
            false
        }
    });
    (first.into_inner().expect("not poisoned"), otherwise.into_inner().expect("not poisoned"))
}

#[test]
fn every_mutant_is_caught() {
    let mut escaped = Vec::new();
    for mutant in Mutant::ALL {
        match caught(mutant) {
            (Some((seed, why)), _) => {
                say(&format!("{mutant:?} is caught by seed {seed}: {}", short(&why)));
                // The same seed without it is fine.
                assert_eq!(attempt(seed, None).err(), None, "seed {seed}");
            }
            (None, otherwise) => escaped.push((mutant, otherwise)),
        }
    }
    assert!(escaped.is_empty(), "{PATIENCE} seeds didn't catch {escaped:#?}");
}
