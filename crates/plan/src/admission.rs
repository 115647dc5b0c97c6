//! The verdict on a Subnet before it is stored.
//!
//! Refuses what would only annoy its user once stored: a spec that is wrong by itself, and a network that another port
//! on the router has. A problem that depends on the order of creation (a Vpc that is yet to come, a namespace that isn't
//! in it yet) is a warning; the plan repeats it on the object.

use std::collections::HashSet;
use std::sync::Arc;

use tombolo_api::Subnet;
use tombolo_api::validate::{Problem, Reason, Severity};

use crate::subnet;
use crate::world::{World, read_subnet};

/// The verdict on a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Why it is refused; empty when it isn't.
    pub refused: Vec<Problem>,
    /// Problems that its user should know all the same.
    pub warnings: Vec<Problem>,
}

/// Judges a Subnet that is to be created, or (with `old`) changed. A change is refused for what it makes worse: who is
/// in trouble already must be able to take one step after the other.
#[must_use]
pub fn subnet(world: &World, new: &Subnet, old: Option<&Subnet>) -> Verdict {
    let mut verdict = Verdict::default();
    if new.metadata.deletion_timestamp.is_some() || old.is_some_and(|old| old.spec == new.spec) {
        return verdict;
    }
    let problems = |object: &Subnet| {
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let entry = read_subnet(world.config(), Arc::new(object.clone()));
        subnet::problems_of_newcomer(world, name, &entry)
    };
    // By hash: either side may have as many problems as an object can hold.
    let before: HashSet<Problem> = old.map(problems).unwrap_or_default().into_iter().collect();
    for problem in problems(new) {
        if before.contains(&problem) || waits(&problem) {
            verdict.warnings.push(problem);
        } else {
            verdict.refused.push(problem);
        }
    }
    verdict
}

/// Whether it may pass without the object being changed.
fn waits(problem: &Problem) -> bool {
    problem.severity != Severity::Refuse
        || matches!(problem.reason, Reason::UnknownVpc | Reason::VpcNotReady | Reason::NamespaceNotInVpc)
}
