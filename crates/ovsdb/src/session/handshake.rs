//! From a connection to a fresh replica: which server is this, what is its schema, what is the content.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Deadline, Disconnect, Phase, Request, Resume, Session, SessionEvent, State};
use crate::replica::Replica;
use crate::schema::{Capabilities, Layout, Schema, Wanted};
use crate::value::{Datum, Uuid};
use crate::wire;

use super::Output;

/// The id of our monitor of the database, and of the one of `_Server`.
pub(super) const MONITOR: &str = "db";
pub(super) const SERVER_MONITOR: &str = "server";

/// What we read of `_Server` (ovsdb-server(5) "_Server"): all columns are there since Open vSwitch 2.9.
pub(super) static SERVER_LAYOUT: LazyLock<Layout> = LazyLock::new(|| {
    let optional = |kind: &str| json!({"type": {"key": kind, "min": 0, "max": 1}});
    let schema = json!({"name": "_Server", "tables": {"Database": {"columns": {
        "name": {"type": "string"}, "model": {"type": "string"},
        "connected": {"type": "boolean"}, "leader": {"type": "boolean"},
        "schema": optional("string"), "cid": optional("uuid"), "index": optional("integer")}}}});
    let schema: Schema = serde_json::from_value(schema).expect("invariant: a constant schema parses");
    Wanted::new().table_all("Database").intersect(&schema)
});

/// A leader that was just elected may lag behind what it has for a moment, and one that was cut off takes itself for the
/// leader until its election timer ends. One that is behind for longer isn't late.
const RESTORED: Duration = Duration::from_secs(10);

impl Session {
    fn silence(&self, now: Duration) -> Deadline {
        Deadline::Silence { since: now, limit: self.config.request_timeout }
    }

    fn silence_before_content(&self, now: Duration) -> Deadline {
        let limit = self.config.snapshot_timeout.max(self.config.request_timeout);
        Deadline::Silence { since: now, limit }
    }

    pub(super) fn start_handshake(&mut self, now: Duration) {
        self.state = State::Online { phase: Phase::Server { listed: false, monitored: false } };
        let deadline = self.silence(now);
        self.server_replica = Replica::new(&SERVER_LAYOUT, &[]);
        // Without this, a server that changes any of its databases just drops the connection.
        self.send(now, Request::ChangeAware, deadline, &[true]);
        self.send(now, Request::ListDbs, deadline, &[0u8; 0]);
        let requests = wire::monitor_requests(&SERVER_LAYOUT);
        self.send(now, Request::MonitorServer, deadline, &json!(["_Server", SERVER_MONITOR, requests]));
    }

    /// The answer to a request of the handshake.
    pub(super) fn handshake(
        &mut self,
        now: Duration,
        request: Request,
        result: Result<Box<RawValue>, Value>,
    ) -> Result<(), Disconnect> {
        let method = request.method();
        let refused = |error: &Value| Disconnect::Refused { method, error: error.to_string() };
        match (request, result) {
            // Only newer servers know it; the older ones need no telling.
            (Request::ChangeAware, _) => Ok(()),
            (Request::ListDbs, Ok(list)) => self.listed(now, &list),
            (Request::MonitorServer, Ok(updates)) => {
                self.apply_server(&updates)?;
                self.server_monitored(now)
            }
            (Request::GetSchema, Ok(schema)) => self.schema(now, &schema),
            (Request::Monitor { since: true, spec }, Ok(answer)) => {
                let (found, last, updates): (bool, Uuid, Box<RawValue>) =
                    serde_json::from_str(answer.get()).map_err(unreadable(method))?;
                self.content(now, found, last, spec, &updates)
            }
            (Request::Monitor { since: false, spec }, Ok(updates)) => {
                self.content(now, false, Uuid::nil(), spec, &updates)
            }
            (Request::Monitor { since: true, spec }, Err(error)) if is_unknown_method(&error) => {
                // Before Open vSwitch 2.12: the whole content each time.
                let params = json!([self.config.database, MONITOR, wire::monitor_requests(&self.layout)]);
                let deadline = self.silence_before_content(now);
                self.send(now, Request::Monitor { since: false, spec }, deadline, &params);
                Ok(())
            }
            (_, Err(error)) => Err(refused(&error)),
            (Request::Probe | Request::Transact { .. }, Ok(_)) => Ok(()),
        }
    }

    fn listed(&mut self, now: Duration, list: &RawValue) -> Result<(), Disconnect> {
        let there: Vec<String> = serde_json::from_str(list.get()).map_err(unreadable("list_dbs"))?;
        if !there.contains(&self.config.database) {
            let wanted = self.config.database.clone();
            return Err(Disconnect::NoDatabase { wanted, there });
        }
        if let State::Online { phase: Phase::Server { listed, .. } } = &mut self.state {
            *listed = true;
        }
        self.server_known(now)
    }

    fn server_monitored(&mut self, now: Duration) -> Result<(), Disconnect> {
        if let State::Online { phase: Phase::Server { monitored, .. } } = &mut self.state {
            *monitored = true;
        }
        self.server_known(now)
    }

    fn server_known(&mut self, now: Duration) -> Result<(), Disconnect> {
        if !matches!(self.state, State::Online { phase: Phase::Server { listed: true, monitored: true } }) {
            return Ok(());
        }
        self.check_server(now)?;
        self.state = State::Online { phase: Phase::Schema };
        let database = self.config.database.clone();
        self.send(now, Request::GetSchema, self.silence(now), &[database]);
        Ok(())
    }

    /// Takes over what the server says about itself.
    pub(super) fn apply_server(&mut self, updates: &RawValue) -> Result<(), Disconnect> {
        let updates = wire::table_updates(updates, &SERVER_LAYOUT)
            .map_err(|error| Disconnect::Protocol(error.to_string()))?;
        let changes = self.server_replica.apply(updates).map_err(Disconnect::Inconsistent)?;
        let converted = changes.of_table("Database").any(|(_, change)| match (&change.old, &change.new) {
            (Some(old), Some(new)) => {
                new.str("name") == Some(&self.config.database) && old.get("schema") != new.get("schema")
            }
            _ => false,
        });
        if converted && !matches!(self.state, State::Online { phase: Phase::Server { .. } }) {
            return Err(Disconnect::SchemaChanged);
        }
        let rows = &self.server_replica;
        let ours = rows.rows("Database").find(|(_, row)| row.str("name") == Some(&self.config.database));
        let Some((_, row)) = ours else {
            let names = rows.rows("Database").filter_map(|(_, row)| row.str("name"));
            let there = names.map(str::to_owned).collect();
            return Err(Disconnect::NoDatabase { wanted: self.config.database.clone(), there });
        };
        let flag = |column| row.get(column).and_then(Datum::as_bool).unwrap_or(false);
        self.server.clustered = row.str("model") == Some("clustered");
        self.server.connected = flag("connected");
        self.server.leader = flag("leader");
        self.server.cid = row.get("cid").and_then(Datum::as_uuid);
        self.server.index = row.get("index").and_then(Datum::as_i64);
        Ok(())
    }

    /// Whether this server will do.
    pub(super) fn check_server(&mut self, now: Duration) -> Result<(), Disconnect> {
        if !self.server.clustered {
            return Ok(());
        }
        if !self.server.connected {
            return Err(Disconnect::Isolated);
        }
        if self.config.leader_only && !self.server.leader {
            return Err(Disconnect::NotLeader);
        }
        if let (Some(cid), Some(index)) = (self.server.cid, self.server.index) {
            match self.newest {
                Some((known, newest)) if known == cid && index < newest => {
                    let since = *self.behind_since.get_or_insert(now);
                    let leads = self.config.leader_only && self.server.leader;
                    if !leads || now.saturating_sub(since) < RESTORED {
                        return Err(Disconnect::Behind { index, newest });
                    }
                    // A cluster whose leader has lost what was seen was restored from an older copy. What it has now
                    // is what there is, and nothing of it continues what we had.
                    self.resume = None;
                }
                _ => {}
            }
            self.behind_since = None;
            self.newest = Some((cid, index));
        }
        Ok(())
    }

    fn schema(&mut self, now: Duration, text: &RawValue) -> Result<(), Disconnect> {
        let schema = Schema::parse(text.get()).map_err(|error| Disconnect::Protocol(error.to_string()))?;
        let layout = self.config.wanted.intersect(&schema);
        let requests = wire::monitor_requests(&layout);
        // The types belong to it: the same columns with another type have other defaults and deltas.
        let types: Vec<_> = layout.tables.values().map(|table| &table.types).collect();
        let spec = format!("{requests} {types:?}");
        self.capabilities = Some(Arc::new(Capabilities::new(schema)));
        self.layout = Arc::new(layout);
        self.state = State::Online { phase: Phase::Monitor };
        let cid = self.server.cid.unwrap_or_default();
        // The server checks only the transaction's id: for another monitor or cluster it would send
        // deltas to content that we never had.
        let last = match &self.resume {
            Some(resume) if resume.cid == cid && resume.spec == spec => resume.last,
            _ => Uuid::nil(),
        };
        let params = json!([self.config.database, MONITOR, requests, last]);
        let deadline = self.silence_before_content(now);
        self.send(now, Request::Monitor { since: true, spec }, deadline, &params);
        Ok(())
    }

    fn content(
        &mut self,
        now: Duration,
        resumed: bool,
        last: Uuid,
        spec: String,
        updates: &RawValue,
    ) -> Result<(), Disconnect> {
        let updates = wire::shared_table_updates(updates, &self.layout, &mut self.pool)
            .map_err(|error| Disconnect::Protocol(error.to_string()))?;
        let changes = if resumed {
            self.apply(updates)?
        } else {
            // The old replica stays readable until the new one is whole.
            let mut replica = Replica::new(&self.layout, &self.config.indexes);
            replica.apply(updates).map_err(Disconnect::Inconsistent)?;
            let changes = self.replica.changes_to(&mut replica);
            self.replica = replica;
            changes
        };
        self.remember(last, spec);
        self.state = State::Online { phase: Phase::Live };
        self.fresh_since = now;
        self.generation += 1;
        if !changes.is_empty() {
            self.outputs.push(Output::Event(SessionEvent::Changed(changes)));
        }
        if let Some(capabilities) = self.capabilities.clone() {
            let endpoint = self.endpoint();
            self.outputs.push(Output::Event(SessionEvent::Fresh { endpoint, resumed, capabilities }));
        }
        Ok(())
    }

    fn remember(&mut self, last: Uuid, spec: String) {
        // A standalone database has no history to resume from and says so with the nil id.
        self.resume = self.server.cid.filter(|_| !last.is_nil()).map(|cid| Resume { cid, spec, last });
    }
}

fn unreadable(method: &'static str) -> impl Fn(serde_json::Error) -> Disconnect {
    move |error| Disconnect::Protocol(format!("the answer to {method} can't be read: {error}"))
}

fn is_unknown_method(error: &Value) -> bool {
    let text = error.get("error").and_then(Value::as_str).or(error.as_str());
    text.is_some_and(|text| text.starts_with("unknown method"))
}
