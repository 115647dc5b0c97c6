//! Disk space, before a run that takes long: cargo says "No space left on device" somewhere in the middle.

use std::process::Command;

/// A run of all tests from nothing: packages, OVN's, Kubernetes' and Neutron's programs, images, debug and release builds.
const WHOLE_RUN_GB: u64 = 20;
const GB: u64 = 1_000_000_000;

/// Prints a warning when less than a whole run takes is free here. What was built before needs less: so it is no failure.
pub fn warn() {
    match free() {
        Some(free) if free / GB < WHOLE_RUN_GB => println!(
            "Only {} GB are free here; all tests take about {WHOLE_RUN_GB} GB on a new machine. `cargo clean` frees what old builds left.",
            free / GB
        ),
        Some(_) => {}
        None => println!("The free disk space isn't known: df failed."),
    }
}

/// Bytes that are free in the current folder.
fn free() -> Option<u64> {
    let output = Command::new("df").args(["--block-size=1", "--output=avail", "."]).output().ok()?;
    last_number(&String::from_utf8_lossy(&output.stdout))
}

fn last_number(text: &str) -> Option<u64> {
    text.lines().last()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_read_below_its_heading() {
        assert_eq!(last_number("       Avail\n 72891670528\n"), Some(72_891_670_528));
        assert_eq!(last_number("df: .: No such file\n"), None);
    }

    #[test]
    fn this_machine_says_its_space() {
        assert!(free().is_some_and(|free| free > 0));
    }
}
