//! Each target over its corpus and over a fixed number of inputs out of a seed. `FUZZ_INPUTS` asks for more, `FUZZ_SEED` for
//! others.

use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use tombolo_foreign_rows::hostile::Random;
use tombolo_tests_fuzz::{TARGETS, mutate};

/// Of each target. A tenth of a second of the ten is spent in the slowest.
const INPUTS: u64 = 20_000;
/// Far more than any input needs, so that only one that never ends takes it.
const NEVER: Duration = Duration::from_secs(60);

fn asked(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn whatever_the_bytes_are() {
    let (seed, inputs) = (asked("FUZZ_SEED", 1), asked("FUZZ_INPUTS", INPUTS));
    for (nth, target) in TARGETS.iter().enumerate() {
        for text in target.corpus {
            (target.run)(text.as_bytes());
        }
        let mut random = Random::new(seed.wrapping_mul(1000) + nth as u64);
        for n in 0..inputs {
            let input = mutate::input(&mut random, target.corpus);
            let began = Instant::now();
            let run = catch_unwind(|| (target.run)(&input));
            let shown = String::from_utf8_lossy(&input);
            assert!(run.is_ok(), "{} FUZZ_SEED={seed}, input {n}: {input:?}\n{shown}", target.name);
            assert!(began.elapsed() < NEVER, "{} FUZZ_SEED={seed}, input {n}: {shown}", target.name);
        }
    }
}
