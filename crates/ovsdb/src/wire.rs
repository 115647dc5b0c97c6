//! The wire: JSON-RPC 1.0 messages (RFC 7047 §4) and how a byte stream is cut into them.
//!
//! Decides framing (a scanner that remembers where it stopped, so each byte is scanned once however the
//! stream is cut), and the JSON of messages in both directions. Each frame's envelope is parsed once; its
//! parts are parsed by the code that knows their types. Doesn't decide what to send: that is
//! [`crate::session`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::name::Name;
use crate::replica::{RowUpdate, TableUpdates};
use crate::schema::{Layout, TableLayout};
use crate::value::{Datum, Pool, Uuid};

/// Bytes that are no OVSDB message.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Something else than a JSON object between messages.
    #[error("the stream holds byte 0x{0:02x} where a JSON object should start; is this an OVSDB server?")]
    NotAnObject(u8),
    /// A message larger than the limit.
    #[error("a message exceeds {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A message that isn't JSON, or isn't JSON-RPC.
    #[error("a message can't be read: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// Cuts a byte stream into JSON objects.
#[derive(Debug)]
pub struct Frames {
    buffer: Vec<u8>,
    /// The first byte not yet handed out.
    start: usize,
    /// The first byte not yet scanned.
    scanned: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
    limit: usize,
}

impl Frames {
    /// A scanner for messages of up to `limit` bytes.
    pub fn new(limit: usize) -> Frames {
        Frames { buffer: Vec::new(), start: 0, scanned: 0, depth: 0, in_string: false, escaped: false, limit }
    }

    /// Adds bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, if there is one.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, WireError> {
        while self.scanned < self.buffer.len() {
            let byte = self.buffer[self.scanned];
            self.scanned += 1;
            if self.depth == 0 {
                match byte {
                    b'{' => {
                        self.start = self.scanned - 1;
                        self.depth = 1;
                    }
                    b' ' | b'\t' | b'\r' | b'\n' => self.start = self.scanned,
                    other => return Err(WireError::NotAnObject(other)),
                }
            } else if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
            } else {
                match byte {
                    b'"' => self.in_string = true,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => {
                        self.depth -= 1;
                        if self.depth == 0 {
                            return Ok(Some(self.take()));
                        }
                    }
                    _ => {}
                }
            }
            if self.scanned - self.start > self.limit {
                return Err(WireError::TooLarge { limit: self.limit });
            }
        }
        self.compact();
        Ok(None)
    }

    /// Takes `start..scanned` out. A big message that ends the buffer is moved, not copied.
    fn take(&mut self) -> Vec<u8> {
        if self.start == 0 && self.scanned == self.buffer.len() {
            self.scanned = 0;
            return std::mem::take(&mut self.buffer);
        }
        let frame = self.buffer[self.start..self.scanned].to_vec();
        self.start = self.scanned;
        frame
    }

    /// Drops bytes handed out, once the whole buffer has been scanned: each byte is moved at most once a read.
    fn compact(&mut self) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
    }
}

/// A message received.
#[derive(Debug)]
pub enum Message {
    /// A request, or with id `null` a notification.
    Request {
        /// The id to answer with; `Null` for a notification.
        id: Value,
        /// What is asked.
        method: String,
        /// With what.
        params: Box<RawValue>,
    },
    /// The answer to a request of ours.
    Response {
        /// The request's id.
        id: Value,
        /// The result, or the error.
        result: Result<Box<RawValue>, Value>,
    },
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default)]
    id: Value,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Value,
}

impl Message {
    /// Parses one frame.
    pub fn parse(frame: &[u8]) -> Result<Message, WireError> {
        let envelope: Envelope<'_> = serde_json::from_slice(frame)?;
        if let Some(method) = envelope.method {
            let params = match envelope.params {
                Some(params) => params.to_owned(),
                None => RawValue::from_string("[]".to_owned())?,
            };
            return Ok(Message::Request { id: envelope.id, method: method.into_owned(), params });
        }
        let result = match (envelope.result, envelope.error) {
            (Some(result), Value::Null) => Ok(result.to_owned()),
            (None, Value::Null) => Ok(RawValue::from_string("null".to_owned())?),
            (_, error) => Err(error),
        };
        Ok(Message::Response { id: envelope.id, result })
    }
}

/// Writes a request.
pub fn request(id: u64, method: &str, params: &impl Serialize) -> Vec<u8> {
    #[derive(Serialize)]
    struct Request<'a, P> {
        id: u64,
        method: &'a str,
        params: &'a P,
    }
    encode(&Request { id, method, params })
}

/// Writes a notification.
pub fn notification(method: &str, params: &impl Serialize) -> Vec<u8> {
    #[derive(Serialize)]
    struct Notification<'a, P> {
        id: Option<u64>,
        method: &'a str,
        params: &'a P,
    }
    encode(&Notification { id: None, method, params })
}

/// Writes the answer to a request.
pub fn response(id: &Value, result: Result<&RawValue, &str>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Response<'a> {
        id: &'a Value,
        result: Option<&'a RawValue>,
        error: Option<&'a str>,
    }
    encode(&Response { id, result: result.ok(), error: result.err() })
}

fn encode(message: &impl Serialize) -> Vec<u8> {
    // Fails only for maps whose keys aren't strings and for failing `Serialize`s; ours are neither.
    serde_json::to_vec(message).expect("invariant: messages have string keys only")
}

/// `params` of `transact`.
pub(crate) struct Transact<'a> {
    pub(crate) database: &'a str,
    pub(crate) ops: &'a [crate::ops::Op],
}

impl Serialize for Transact<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeSeq;
        let mut seq = serializer.serialize_seq(Some(1 + self.ops.len()))?;
        seq.serialize_element(self.database)?;
        for op in self.ops {
            seq.serialize_element(op)?;
        }
        seq.end()
    }
}

/// The `monitor-cond-requests` of a layout: per table the columns, and the condition if there is one.
pub(crate) fn monitor_requests(layout: &Layout) -> Value {
    let table = |layout: &TableLayout| {
        let mut request = serde_json::Map::new();
        request.insert("columns".to_owned(), Value::from(layout.columns.to_vec()));
        if !layout.any_of.is_empty() {
            request.insert("where".to_owned(), serde_json::to_value(&layout.any_of).unwrap_or(Value::Null));
        }
        Value::Array(vec![Value::Object(request)])
    };
    let tables: BTreeMap<_, _> = layout.tables.iter().map(|(name, l)| (*name, table(l))).collect();
    serde_json::to_value(tables).unwrap_or(Value::Null)
}

/// Reads the `table-updates2` of `update2`, `update3` and of the answers to monitor requests. Tables and
/// columns that the layout lacks are an error: we never asked for them.
pub fn table_updates(json: &RawValue, layout: &Layout) -> Result<TableUpdates, WireError> {
    shared_table_updates(json, layout, &mut Pool::new())
}

/// [`table_updates`] that shares strings with earlier ones.
pub(crate) fn shared_table_updates(
    json: &RawValue,
    layout: &Layout,
    pool: &mut Pool,
) -> Result<TableUpdates, WireError> {
    let mut deserializer = serde_json::Deserializer::from_str(json.get());
    let updates = UpdatesSeed(layout, pool).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(updates)
}

struct UpdatesSeed<'a>(&'a Layout, &'a mut Pool);

impl<'de> DeserializeSeed<'de> for UpdatesSeed<'_> {
    type Value = TableUpdates;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<TableUpdates, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for UpdatesSeed<'_> {
    type Value = TableUpdates;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("table updates: an object of tables")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TableUpdates, A::Error> {
        let mut updates = TableUpdates::default();
        while let Some(Text(table)) = map.next_key()? {
            let Some((name, layout)) = self.0.tables.get_key_value(&*table) else {
                return Err(de::Error::custom(format!("an update of table {table}, which isn't monitored")));
            };
            let rows = map.next_value_seed(RowsSeed(layout, self.1))?;
            updates.tables.insert(*name, rows);
        }
        Ok(updates)
    }
}

struct RowsSeed<'a>(&'a TableLayout, &'a mut Pool);

impl<'de> DeserializeSeed<'de> for RowsSeed<'_> {
    type Value = Vec<(Uuid, RowUpdate)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RowsSeed<'_> {
    type Value = Vec<(Uuid, RowUpdate)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("row updates: an object of uuids")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut rows = Vec::new();
        while let Some(uuid) = map.next_key::<Uuid>()? {
            rows.push((uuid, map.next_value_seed(RowSeed(self.0, self.1))?));
        }
        Ok(rows)
    }
}

struct RowSeed<'a>(&'a TableLayout, &'a mut Pool);

impl<'de> DeserializeSeed<'de> for RowSeed<'_> {
    type Value = RowUpdate;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<RowUpdate, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_> {
    type Value = RowUpdate;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row update: an object with one of initial, insert, modify, delete")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RowUpdate, A::Error> {
        let Some(Text(kind)) = map.next_key()? else {
            return Err(de::Error::custom("an empty row update"));
        };
        let update = match &*kind {
            "initial" | "insert" => RowUpdate::Insert(map.next_value_seed(CellsSeed(self.0, self.1))?),
            "modify" => RowUpdate::Modify(map.next_value_seed(CellsSeed(self.0, self.1))?),
            "delete" => {
                map.next_value::<de::IgnoredAny>()?;
                RowUpdate::Delete
            }
            other => return Err(de::Error::custom(format!("a row update of the unknown kind {other}"))),
        };
        if map.next_key::<de::IgnoredAny>()?.is_some() {
            return Err(de::Error::custom("a row update of two kinds"));
        }
        Ok(update)
    }
}

struct CellsSeed<'a>(&'a TableLayout, &'a mut Pool);

impl<'de> DeserializeSeed<'de> for CellsSeed<'_> {
    type Value = Vec<(Name, Datum)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for CellsSeed<'_> {
    type Value = Vec<(Name, Datum)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row: an object of columns")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut cells = Vec::new();
        while let Some(Text(column)) = map.next_key()? {
            let Some(position) = self.0.position(&column) else {
                return Err(de::Error::custom(format!(
                    "an update of column {column}, which isn't monitored"
                )));
            };
            let mut datum = map.next_value()?;
            self.1.share(&mut datum);
            cells.push((self.0.columns[position], datum));
        }
        Ok(cells)
    }
}

/// A key, borrowed from the input where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
