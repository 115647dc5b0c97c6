//! How errors become log lines: the whole chain of causes in one line, and one line a minute for something that
//! stays away.

use std::error::Error;
use std::time::{Duration, Instant};

use tracing::{info, warn};

/// How often something that stays away is mentioned again.
const REMIND: Duration = Duration::from_secs(60);

/// The error and its causes, `a: b: c`, without saying twice what a cause already says.
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
    text
}

/// Something that can be away: one warning when it goes, one each minute while it stays away, one line when it
/// is back.
#[derive(Debug)]
pub struct Away {
    what: &'static str,
    consequence: &'static str,
    state: Option<(Instant, Instant)>,
}

impl Away {
    /// `what` is away; `consequence` says what that means and what the user can do.
    pub fn new(what: &'static str, consequence: &'static str) -> Self {
        Self { what, consequence, state: None }
    }

    /// It doesn't answer.
    pub fn gone(&mut self, error: &str) {
        let now = Instant::now();
        match &mut self.state {
            None => {
                self.state = Some((now, now));
                warn!(%error, "{} can't be reached: {}", self.what, self.consequence);
            }
            Some((since, said)) if now >= *said + REMIND => {
                *said = now;
                let seconds = since.elapsed().as_secs();
                warn!(%error, seconds, "{} still can't be reached: {}", self.what, self.consequence);
            }
            Some(_) => {}
        }
    }

    /// It answers.
    pub fn back(&mut self) {
        if let Some((since, _)) = self.state.take() {
            info!(seconds = since.elapsed().as_secs(), "{} answers again", self.what);
        }
    }

    /// Whether it is away.
    pub fn is_away(&self) -> bool {
        self.state.is_some()
    }
}
