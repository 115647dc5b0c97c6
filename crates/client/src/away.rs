//! Errors as log lines: the whole chain of causes in one line, and one line a minute for a server that
//! stays away.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::{info, warn};

/// How often the log repeats that a server stays away.
const REMIND: Duration = Duration::from_secs(60);
/// The usual grace: a server that starts, an election, a connection that is replaced.
pub const GRACE: Duration = Duration::from_secs(2);

/// The error and its causes, `a: b: c`, without repeating a cause that the text already has.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    // kube prints an API error twice: in words, and as a dump of the structure.
    match text.find(" (Status {") {
        Some(dump) => text[..dump].to_owned(),
        None => text,
    }
}

/// A server that can be away: one warning when it is gone for longer than a moment, one each minute while it
/// stays away, one line when it is back.
#[derive(Debug)]
pub struct Away {
    name: &'static str,
    consequence: &'static str,
    grace: Duration,
    gone: Option<Gone>,
}

#[derive(Debug)]
struct Gone {
    since: Instant,
    /// When the log last had it; `None` while it may be only a hiccup.
    logged: Option<Instant>,
}

impl Away {
    /// `name` is the server; `consequence` explains its absence and the user's remedy. A shorter absence than `grace`
    /// isn't logged.
    pub fn new(name: &'static str, consequence: &'static str, grace: Duration) -> Self {
        Self { name, consequence, grace, gone: None }
    }

    /// It doesn't answer. To be called at each attempt.
    pub fn gone(&mut self, error: &str) {
        let now = Instant::now();
        let gone = self.gone.get_or_insert(Gone { since: now, logged: None });
        let due = gone.logged.map_or(gone.since + self.grace, |logged| logged + REMIND);
        if now < due {
            return;
        }
        let first = gone.logged.replace(now).is_none();
        let seconds = gone.since.elapsed().as_secs();
        if first {
            warn!(%error, "{} can't be reached: {}", self.name, self.consequence);
        } else {
            warn!(%error, seconds, "{} still can't be reached: {}", self.name, self.consequence);
        }
    }

    /// It answers.
    pub fn back(&mut self) {
        if let Some(Gone { since, logged: Some(_) }) = self.gone.take() {
            info!(seconds = since.elapsed().as_secs(), "{} answers again", self.name);
        }
    }

    /// Whether the log has it as away.
    pub fn is_away(&self) -> bool {
        self.gone.as_ref().is_some_and(|gone| gone.logged.is_some())
    }
}

/// Whether the API server answers; clones, one for each part of a program that asks it, share it.
#[derive(Clone, Debug)]
pub struct ApiServer(Arc<Mutex<Away>>);

impl ApiServer {
    /// It doesn't answer.
    pub fn gone(&self, error: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).gone(error);
    }

    /// It answers.
    pub fn back(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).back();
    }
}

impl Default for ApiServer {
    /// It counts as answering until it doesn't.
    fn default() -> Self {
        let consequence = "pods keep their network; nothing new is done until it answers";
        Self(Arc::new(Mutex::new(Away::new("the Kubernetes API server", consequence, GRACE))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hiccup_is_not_mentioned() {
        let mut away = Away::new("x", "y", Duration::from_secs(60));
        away.gone("e");
        assert!(!away.is_away());
        away.back();
        let mut away = Away::new("x", "y", Duration::ZERO);
        away.gone("e");
        assert!(away.is_away());
        away.back();
        assert!(!away.is_away());
    }

    #[test]
    fn chains_have_each_cause_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer: {0}")]
        struct Outer(#[source] Inner);
        #[derive(Debug, thiserror::Error)]
        #[error("inner (Status {{ code: 1 }})")]
        struct Inner;
        assert_eq!(chain(&Outer(Inner)), "outer: inner");
    }
}
