//! Following a server: updates of the database and of the server's own state.

use std::time::Duration;

use serde_json::value::RawValue;

use super::handshake::{MONITOR, SERVER_MONITOR};
use super::{Disconnect, Output, Phase, Session, SessionEvent, State};
use crate::replica::{ChangeSet, Replica, TableUpdates};
use crate::value::Uuid;
use crate::wire;

impl Session {
    /// `update2` or (`since`) `update3`.
    pub(super) fn update(&mut self, now: Duration, params: &RawValue, since: bool) -> Result<(), Disconnect> {
        let protocol = |error: serde_json::Error| Disconnect::Protocol(format!("an update: {error}"));
        let (monitor, last, updates): (String, Option<Uuid>, Box<RawValue>) = if since {
            let (monitor, last, updates) = serde_json::from_str(params.get()).map_err(protocol)?;
            (monitor, Some(last), updates)
        } else {
            let (monitor, updates) = serde_json::from_str(params.get()).map_err(protocol)?;
            (monitor, None, updates)
        };
        match monitor.as_str() {
            SERVER_MONITOR => {
                self.apply_server(&updates)?;
                self.check_server(now)
            }
            // Updates that cross our request for the content belong to nothing yet.
            MONITOR if !matches!(self.state, State::Online { phase: Phase::Live }) => {
                Err(Disconnect::Protocol("an update before the content".to_owned()))
            }
            MONITOR => {
                let updates = wire::shared_table_updates(&updates, &self.layout, &mut self.pool)
                    .map_err(|error| Disconnect::Protocol(error.to_string()))?;
                let changes = self.apply(updates)?;
                if let (Some(last), Some(resume)) = (last, &mut self.resume) {
                    resume.last = last;
                }
                if !changes.is_empty() {
                    self.generation += 1;
                    self.outputs.push(Output::Event(SessionEvent::Changed(changes)));
                }
                Ok(())
            }
            other => Err(Disconnect::Protocol(format!("an update of the unknown monitor {other:?}"))),
        }
    }

    /// Applies to a copy (the price of a pointer per table), so that an inconsistent update leaves the
    /// last consistent replica readable.
    pub(super) fn apply(&mut self, updates: TableUpdates) -> Result<ChangeSet, Disconnect> {
        let mut replica: Replica = self.replica.clone();
        let changes = replica.apply(updates).map_err(Disconnect::Inconsistent)?;
        self.replica = replica;
        Ok(changes)
    }
}
