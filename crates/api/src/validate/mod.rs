//! What is wrong with an object, in words for its user.
//!
//! Pure: nothing is looked up; what a rule needs to know beside the object is a parameter. A problem becomes
//! a condition and an Event on the object (invariant 10); which one is done with an object that has
//! problems is the caller's choice, except that [`Severity::Refuse`] means: as a whole, it can't take effect.

mod limits;
mod pod;
mod subnet;
mod subnet_annotations;
mod vpc;

use std::fmt;

pub use limits::{
    Place, UNSERVED_ON_NODES, UNSERVED_ON_SUBNETS, UNSERVED_ON_VPCS, VETH_PAIR, annotation_limits,
    pod_limits, subnet_limits, vpc_limits,
};
pub use tombolo_names::Reason;

pub use pod::{IpPool, POOL_ENTRIES, PodRequest, is_object_name, pod, quoted};
pub use subnet::{SubnetContext, overlaps, subnet, subnet_in_vpc};
pub use subnet_annotations::{Allowed, Grants, subnet_annotations};
pub use vpc::vpc;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Problem {
    /// Path of the field, for example `spec.cidrBlock`.
    pub field: String,
    /// Class of the problem: the reason of condition and Event.
    pub reason: Reason,
    /// What is wrong and what the user can do. One line, begins with the field.
    pub message: String,
    /// What it means for the object.
    pub severity: Severity,
}

/// What a problem means for its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The object takes effect without this field; the user gets a report.
    Ignored,
    /// The object doesn't take effect until this is changed.
    Refuse,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// At most this many problems are reported of each list: users read no more, and an object can hold 100,000 entries.
const MOST: usize = 32;
/// Most characters of a message.
const MESSAGE: usize = 1000;

impl Problem {
    /// A problem that refuses the object. `what` follows the field's name in the message.
    pub fn refuse(field: impl Into<String>, reason: Reason, what: impl fmt::Display) -> Self {
        Self::new(field.into(), reason, what, Severity::Refuse)
    }

    /// A problem that lets the object take effect without the field.
    pub fn ignored(field: impl Into<String>, reason: Reason, what: impl fmt::Display) -> Self {
        Self::new(field.into(), reason, what, Severity::Ignored)
    }

    fn new(field: String, reason: Reason, what: impl fmt::Display, severity: Severity) -> Self {
        let mut message = format!("{field}: {what}");
        // It may quote what the user wrote, and that may be of any size; it goes into conditions, Events and logs.
        if let Some((end, _)) = message.char_indices().nth(MESSAGE) {
            message.truncate(end);
            message.push('…');
        }
        Self { message, field, reason, severity }
    }
}

/// The reason and the message of a condition for several problems: the reason of the first that refuses (or the
/// first), all messages. `None` if there is none.
pub fn summary(problems: &[Problem]) -> Option<(Reason, String)> {
    let first = problems.iter().find(|p| p.severity == Severity::Refuse).or(problems.first())?;
    let messages: Vec<&str> = problems.iter().map(|p| p.message.as_str()).collect();
    Some((first.reason, messages.join("; ")))
}

/// Whether any problem refuses the object.
pub fn blocks(problems: &[Problem]) -> bool {
    problems.iter().any(|p| p.severity == Severity::Refuse)
}
