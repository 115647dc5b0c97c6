//! Conditions of Vpc and Subnet.
//!
//! The clock is the caller's: times are parameters, so that planning stays pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Type: the object is in effect.
pub const READY: &str = "Ready";
/// Type: the spec is valid.
pub const VALIDATED: &str = "Validated";
/// Type: an error occurred (Kube-OVN's third standard condition).
pub const ERROR: &str = "Error";

/// State of a condition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It doesn't.
    False,
    /// Not known (also any other word).
    #[default]
    #[serde(other)]
    Unknown,
}

impl From<bool> for ConditionStatus {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

/// One condition, with Kube-OVN's field names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// Type of the condition.
    #[serde(rename = "type")]
    pub type_: String,
    /// True, False or Unknown.
    #[schemars(with = "String")]
    pub status: ConditionStatus,
    /// Reason of the last change, one word.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What that means, for a human.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When any of it changed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_update_time: Option<String>,
    /// When the status changed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: Option<String>,
    /// The generation of the spec that this says something about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

impl Condition {
    /// A condition without times; [`set`] fills them in. Its message is on one line, whatever users wrote into it.
    pub fn new(
        type_: &str,
        status: impl Into<ConditionStatus>,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            type_: type_.to_owned(),
            status: status.into(),
            reason: reason.into(),
            message: crate::text::one_line(&message.into(), crate::text::LONGEST_CONDITION).into_owned(),
            ..Self::default()
        }
    }
}

/// The condition of a type.
pub fn get<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.type_ == type_)
}

/// Whether the condition of a type is `True`.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    get(conditions, type_).is_some_and(|c| c.status == ConditionStatus::True)
}

/// Sets a condition; others keep their place. Times become `now` (RFC 3339, UTC) where something changed and stay as
/// they were otherwise, so that an unchanged condition causes no write (invariant 9). Returns whether anything but the
/// observed generation changed.
pub fn set(conditions: &mut Vec<Condition>, new: Condition, now: &str) -> bool {
    let stamp = || Some(now.to_owned());
    let Some(old) = conditions.iter_mut().find(|c| c.type_ == new.type_) else {
        conditions.push(Condition { last_update_time: stamp(), last_transition_time: stamp(), ..new });
        return true;
    };
    let transition = old.status != new.status;
    let changed = transition || old.reason != new.reason || old.message != new.message;
    *old = Condition {
        last_update_time: if changed { stamp() } else { old.last_update_time.take() },
        last_transition_time: if transition { stamp() } else { old.last_transition_time.take() },
        ..new
    };
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_move_only_with_changes() {
        let mut all = Vec::new();
        assert!(set(&mut all, Condition::new(READY, false, "A", "a"), "t1"));
        assert!(!set(&mut all, Condition::new(READY, false, "A", "a"), "t2"));
        assert_eq!(all[0].last_update_time.as_deref(), Some("t1"));
        assert!(set(&mut all, Condition::new(READY, false, "B", "b"), "t3"));
        let times =
            |c: &Condition| (c.last_update_time.clone().unwrap(), c.last_transition_time.clone().unwrap());
        assert_eq!(times(&all[0]), ("t3".into(), "t1".into()));
        assert!(set(&mut all, Condition::new(READY, true, "B", "b"), "t4"));
        assert_eq!(times(&all[0]), ("t4".into(), "t4".into()));
        assert!(is_true(&all, READY) && !is_true(&all, VALIDATED));
    }

    #[test]
    fn unknown_words_decode() {
        let c: Condition = serde_json::from_str(r#"{"type":"Ready","status":"Perhaps"}"#).unwrap();
        assert_eq!(c.status, ConditionStatus::Unknown);
    }
}
