//! The file of an OVSDB server, read as it grows (ovsdb(5)): records of a standalone database or of a member of a
//! cluster. Pure: bytes in, records out.
//!
//! A record is a line `OVSDB JSON <length> <sha1>` (or `OVSDB CLUSTER …`), then so many bytes of JSON with a
//! newline at the end. A record whose end isn't written yet is waited for, so a reader may look at any moment.

use serde_json::{Map, Value};
use tombolo_ovsdb::Schema;

/// What the first word after `OVSDB` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One server.
    Standalone,
    /// A member of a RAFT cluster.
    Cluster,
}

/// Bytes that are no such file.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// No line of the form above.
    #[error("byte {at}: no header of a record: {text:?}")]
    Header {
        /// Where.
        at: usize,
        /// The line, shortened.
        text: String,
    },
    /// No JSON object where one should be.
    #[error("the record at byte {at}: {message}")]
    Json {
        /// Where.
        at: usize,
        /// What the parser says.
        message: String,
    },
    /// A schema that can't be read.
    #[error("the schema in the file: {0}")]
    Schema(String),
}

/// The longest header that is looked for; real ones have about 70 bytes.
const HEADER: usize = 200;

/// The next record of `bytes`, which begin at a record: its JSON and how many bytes it takes. `None` when the rest of
/// it isn't there yet.
///
/// # Errors
/// When the bytes are no record.
pub fn record(bytes: &[u8], at: usize) -> Result<Option<(Format, Value, usize)>, LogError> {
    let Some(end) = bytes.iter().take(HEADER).position(|b| *b == b'\n') else {
        if bytes.len() < HEADER {
            return Ok(None);
        }
        return Err(header(bytes, at));
    };
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| header(bytes, at))?;
    let mut words = line.split(' ');
    let format = match (words.next(), words.next()) {
        (Some("OVSDB"), Some("JSON")) => Format::Standalone,
        (Some("OVSDB"), Some("CLUSTER")) => Format::Cluster,
        _ => return Err(header(bytes, at)),
    };
    let length: usize = words.next().and_then(|word| word.parse().ok()).ok_or_else(|| header(bytes, at))?;
    let body = end + 1;
    let Some(stop) = body.checked_add(length) else { return Err(header(bytes, at)) };
    let Some(text) = bytes.get(body..stop) else { return Ok(None) };
    let value = serde_json::from_slice(text);
    let value = value.map_err(|error| LogError::Json { at, message: error.to_string() })?;
    Ok(Some((format, value, stop)))
}

fn header(bytes: &[u8], at: usize) -> LogError {
    LogError::Header { at, text: String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned() }
}

/// What a record says, as far as it matters for rows.
#[derive(Debug)]
pub enum Record {
    /// Everything up to here is this schema and, of a cluster, these rows.
    Snapshot {
        /// The schema.
        schema: Box<Schema>,
        /// The rows, as a transaction on an empty database.
        rows: Transaction,
        /// Of a cluster: the number of the last entry that is in it.
        index: u64,
    },
    /// An entry of a cluster's log. It counts once it is committed; one with the same number may replace it before.
    Entry {
        /// Its number.
        index: u64,
        /// Its identity: of two entries with one number, another.
        id: String,
        /// What it does to the rows; `None` for entries of RAFT's own.
        change: Option<Box<Change>>,
    },
    /// The entries up to this number are committed.
    Committed(u64),
    /// A transaction of a standalone database.
    Transaction(Transaction),
    /// Nothing about rows.
    Other,
}

/// What an entry does.
#[derive(Debug)]
pub enum Change {
    /// A transaction.
    Transaction(Transaction),
    /// Another schema, and all rows anew.
    Converted(Box<Schema>, Transaction),
}

/// Rows that a transaction touches, as the file has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transaction {
    /// The comments of its operations.
    pub comment: String,
    /// Sets and maps are given by what differs.
    pub is_diff: bool,
    /// Table → uuid → columns, or null for a row that goes.
    pub tables: Map<String, Value>,
}

impl Transaction {
    /// Reads a transaction's object.
    pub fn read(value: Value) -> Option<Transaction> {
        let Value::Object(mut tables) = value else { return None };
        let comment = match tables.remove("_comment") {
            Some(Value::String(text)) => text,
            _ => String::new(),
        };
        let is_diff = tables.remove("_is_diff") == Some(Value::Bool(true));
        tables.retain(|key, _| !key.starts_with('_'));
        Some(Transaction { comment, is_diff, tables })
    }
}

fn schema(value: &Value) -> Result<Box<Schema>, LogError> {
    let read = serde_json::from_value(value.clone());
    read.map(Box::new).map_err(|error| LogError::Schema(error.to_string()))
}

/// Says what a record means. `first` is whether it is the first of its file.
///
/// # Errors
/// When it holds a schema that can't be read.
pub fn meaning(format: Format, first: bool, mut value: Value) -> Result<Record, LogError> {
    if format == Format::Standalone {
        if first {
            let schema = schema(&value)?;
            return Ok(Record::Snapshot { schema, rows: Transaction::default(), index: 0 });
        }
        return Ok(Transaction::read(value).map_or(Record::Other, Record::Transaction));
    }
    if first {
        // A member that joins has no snapshot before the leader has sent one.
        let Some([its_schema, rows]) = value.get_mut("prev_data").and_then(pair) else {
            return Ok(Record::Other);
        };
        let index = value.get("prev_index").and_then(Value::as_u64).unwrap_or(0);
        let schema = schema(&its_schema)?;
        return Ok(Record::Snapshot { schema, rows: Transaction::read(rows).unwrap_or_default(), index });
    }
    if let Some(index) = value.get("index").and_then(Value::as_u64) {
        let id = value.get("eid").and_then(Value::as_str).unwrap_or_default();
        // Entries without data have no identity; the term distinguishes them.
        let term = value.get("term").and_then(Value::as_u64).unwrap_or(0);
        let id = format!("{id} {term}");
        let change = match value.get_mut("data").and_then(pair) {
            None => None,
            Some([Value::Null, rows]) => Transaction::read(rows).map(Change::Transaction),
            Some([its_schema, rows]) => {
                Some(Change::Converted(schema(&its_schema)?, Transaction::read(rows).unwrap_or_default()))
            }
        };
        return Ok(Record::Entry { index, id, change: change.map(Box::new) });
    }
    Ok(value.get("commit_index").and_then(Value::as_u64).map_or(Record::Other, Record::Committed))
}

/// The two elements of an array of two.
fn pair(value: &mut Value) -> Option<[Value; 2]> {
    let array = value.as_array_mut()?;
    let [first, second] = array.as_mut_slice() else { return None };
    Some([first.take(), second.take()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(kind: &str, body: &str) -> Vec<u8> {
        let length = body.len() + 1;
        format!("OVSDB {kind} {length} 0123456789012345678901234567890123456789\n{body}\n").into_bytes()
    }

    #[test]
    fn a_record_is_read_when_it_is_whole() {
        let bytes = written("JSON", r#"{"_comment":"x","T":{}}"#);
        for end in 0..bytes.len() {
            assert!(record(&bytes[..end], 0).unwrap().is_none(), "{end}");
        }
        let (format, value, length) = record(&bytes, 0).unwrap().unwrap();
        assert_eq!((format, length), (Format::Standalone, bytes.len()));
        assert_eq!(Transaction::read(value).unwrap().comment, "x");
    }

    #[test]
    fn what_is_no_record_is_said_to_be_none() {
        for bytes in [&b"hello\n"[..], b"OVSDB JSON x y\n", b"OVSDB XML 3 y\n{}\n", &[b'x'; 300], b"\xff\n"] {
            assert!(matches!(record(bytes, 7), Err(LogError::Header { at: 7, .. })), "{bytes:?}");
        }
        let huge = format!("OVSDB JSON {} y\n", usize::MAX);
        assert!(record(huge.as_bytes(), 0).is_err());
        assert!(matches!(record(&written("JSON", "{"), 0), Err(LogError::Json { .. })));
    }

    #[test]
    fn entries_of_a_cluster() {
        let read = |body: &str| meaning(Format::Cluster, false, serde_json::from_str(body).unwrap()).unwrap();
        assert!(matches!(read(r#"{"vote":"a","term":1}"#), Record::Other));
        assert!(matches!(read(r#"{"commit_index":3}"#), Record::Committed(3)));
        assert!(matches!(read(r#"{"term":1,"index":2}"#), Record::Entry { index: 2, change: None, .. }));
        let entry =
            r#"{"eid":"e","term":1,"index":4,"data":[null,{"T":{"u":null},"_is_diff":true,"_date":1}]}"#;
        let Record::Entry { change: Some(change), .. } = read(entry) else { panic!("{entry}") };
        let Change::Transaction(txn) = *change else { panic!("{entry}") };
        assert!(txn.is_diff && txn.tables.len() == 1);
    }
}
