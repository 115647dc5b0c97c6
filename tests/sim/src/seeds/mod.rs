//! A whole run out of one number: who is there, how the wires behave, what everybody does and in which order, and every
//! kind of trouble; then all trouble ends, one controller leads, and it must end well.
//!
//! The engine's knowledge of the database comes from the real `ovsdb::Session`, over connections to a cluster of servers
//! ([`crate::cluster`]), in each run. What is checked at each commit is in [`crate::guard`], what must hold in the end in
//! [`crate::outcome`] and [`crate::Sim::converge`].

mod history;
mod mass;

use tombolo_net::DualCidr;
use tombolo_plan::Config;

use crate::fault::{Fault, Hits};
use crate::mutant::Mutant;
use crate::rng::Rng;
use crate::{Knobs, Sim, config, edit_and_undo, outcome};

/// One of so many seeds has a big cluster.
const BIG: u64 = 16;

/// So many edits are tried when all is at rest.
const EDITS: usize = 2;

/// What a run did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Trouble met.
    pub hits: Hits,
    /// Transactions that reached the database.
    pub commits: usize,
    /// Writes that reached the API server.
    pub writes: usize,
    /// Milliseconds that passed in it.
    pub millis: u64,
}

/// Whether a seed has a big cluster, in which lists may lie.
#[must_use]
pub fn is_big(seed: u64) -> bool {
    seed % BIG == BIG - 1
}

/// The flags of a run's controllers: the default ones more often than not.
fn flags(rng: &mut Rng) -> Config {
    let mut flags = config();
    let cidr = |text: &str| text.parse::<DualCidr>().expect("invariant: a CIDR");
    match rng.below(8) {
        // As a second cluster on one OVN has them.
        0 => {
            flags.cluster_router = "ovn-cluster-b".to_owned();
            flags.default_subnet = "default-b".to_owned();
            flags.join_subnet = "join-b".to_owned();
            flags.default_cidr = cidr("10.17.0.0/16");
            flags.join_cidr = cidr("100.65.0.0/16");
            flags.enable_lb = false;
        }
        1..=2 => {
            flags.default_cidr = cidr("10.16.0.0/16,fd00:10:16::/112");
            flags.join_cidr = cidr("100.64.0.0/16,fd00:100:64::/112");
            flags.service_cidr = Some(cidr("10.96.0.0/12,fd00:10:96::/112"));
        }
        _ => {}
    }
    flags
}

/// Runs a seed.
///
/// # Panics
/// When anything isn't as it must be.
#[must_use]
pub fn run(seed: u64, mutant: Option<Mutant>, is_loud: bool) -> Report {
    let mut rng = Rng::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x7062_6f6c);
    let flags = if is_big(seed) { config() } else { flags(&mut rng) };
    let is_other = flags.cluster_router != "ovn-cluster" || !flags.enable_lb;
    let mut sim = Sim::wired(flags, rng.next_u64());
    sim.limit = 30_000;
    sim.is_loud = is_loud;
    if let Some(mutant) = mutant {
        sim.do_wrong(mutant);
    }
    if is_other {
        sim.hits.hit(Fault::OtherFlags);
    }
    if is_big(seed) {
        mass::play(&mut sim, &mut rng);
    } else {
        history::play(&mut sim, &mut rng);
        end(&mut sim, &mut rng);
    }
    Report { hits: sim.hits.clone(), commits: sim.commits.len(), writes: sim.writes.len(), millis: sim.now }
}

/// The end of all trouble.
fn end(sim: &mut Sim, rng: &mut Rng) {
    sim.knobs = Knobs::default();
    // A transaction without an answer is given up after a minute.
    sim.advance(65_000);
    for number in 0..sim.controllers() {
        sim.depose(number);
    }
    sim.settle();
    let leader = usize::try_from(rng.below(sim.controllers() as u64)).unwrap_or(0);
    sim.elect(leader);
    sim.advance(130_000);
    sim.converge();
    outcome::check_outcome(sim);
    history::take_stock(sim);
    for _ in 0..EDITS {
        edit_and_undo::an_edit(sim, rng);
    }
    sim.settle();
    sim.check_audit();
    outcome::check_outcome(sim);
}
