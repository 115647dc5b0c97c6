//! Fuzz targets: plain functions over bytes, for all that parses what others wrote. Whatever the bytes are, nothing
//! panics and nothing goes on without end; and what a target says of values that do parse holds.
//!
//! They run two ways. `tests/inputs.rs` feeds each a fixed number of inputs out of a seed, on stable, with each commit.
//! `fuzz/` (outside of the workspace, nightly) hands them to libFuzzer: `cargo +nightly fuzz run <target>`.

pub mod mutate;
mod targets;

/// A target with inputs to begin with.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, that of the binary in `fuzz/` too.
    pub name: &'static str,
    /// What is run.
    pub run: fn(&[u8]),
    /// Inputs that parse, to be mutated.
    pub corpus: &'static [&'static str],
}

/// All of them.
pub const TARGETS: [Target; 10] = [
    Target { name: "ovsdb_frames", run: targets::ovsdb_frames, corpus: &targets::MESSAGES },
    Target { name: "ovsdb_values", run: targets::ovsdb_values, corpus: &targets::VALUES },
    Target { name: "neutron_rows", run: targets::neutron_rows, corpus: &targets::UPDATES },
    Target { name: "database_file", run: targets::database_file, corpus: &targets::FILES },
    Target { name: "addresses", run: targets::addresses, corpus: &targets::ADDRESSES },
    Target { name: "subnet", run: targets::subnet, corpus: &targets::SUBNETS },
    Target { name: "vpc", run: targets::vpc, corpus: &targets::VPCS },
    Target { name: "annotations", run: targets::annotations, corpus: &targets::ANNOTATIONS },
    Target { name: "cni", run: targets::cni, corpus: &targets::CONFIGS },
    Target { name: "owner_and_selector", run: targets::owner_and_selector, corpus: &targets::OWNERS },
];

/// Runs the target of this name; for the binaries in `fuzz/`.
///
/// # Panics
/// When there is none, or when the target finds a fault.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.unwrap_or_else(|| panic!("no target {name}")).run)(data);
}
