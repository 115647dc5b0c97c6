//! A database server in memory: what ovsdb-server makes of a transaction (RFC 7047, ovsdb-server(7)).
//!
//! Decides the outcome of a transaction and the changes it makes, in the very JSON that a server answers, so
//! that the client's own reading of answers is part of what is simulated. `tests/sim/nb_differential.rs` holds it to a
//! real server. Doesn't do: durable storage, blocking waits (`timeout` above 0), locks, RBAC.

mod commit;
mod exec;
mod monitor;

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use serde_json::{Value, json};
use tombolo_ovsdb::name::intern;
use tombolo_ovsdb::schema::ColumnType;
use tombolo_ovsdb::{
    ChangeSet, Datum, Name, Op, Replica, Row, Schema, Txn, TxnError, TxnReply, Uuid, Wanted,
};

pub(crate) use exec::holds;
pub use monitor::Monitor;

/// The columns of a table that refer to rows.
#[derive(Debug)]
struct RefColumn {
    column: Name,
    /// Table that a set's atoms or a map's keys refer to, and whether weakly.
    key: Option<(Name, bool)>,
    /// Table that a map's values refer to, and whether weakly.
    value: Option<(Name, bool)>,
}

#[derive(Debug)]
struct TableInfo {
    is_root: bool,
    max_rows: Option<u64>,
    indexes: Vec<Vec<Name>>,
    references: Vec<RefColumn>,
    types: BTreeMap<Name, (ColumnType, bool)>,
}

/// A row's place.
type Place = (Name, Uuid);

/// Rows and what is kept beside them. A clone costs a few pointers: a transaction works on one, and throws it
/// away when it fails.
#[derive(Clone, Debug)]
struct State {
    rows: Replica,
    /// How many strong references there are to a row, its own not counted.
    strong: OrdMap<Place, usize>,
    /// Who refers to a row weakly.
    weak: OrdMap<Place, OrdSet<Place>>,
    /// Rows by the values of a unique index.
    unique: OrdMap<(Name, usize, Vec<Datum>), Uuid>,
}

/// A database server. A clone is a second one with the same content.
#[derive(Clone, Debug)]
pub struct Server {
    schema: Arc<Schema>,
    tables: Arc<BTreeMap<Name, TableInfo>>,
    state: State,
    next_uuid: u128,
}

impl Server {
    /// An empty database of a schema.
    #[must_use]
    pub fn new(schema: Schema) -> Server {
        let rows = Replica::new(&Wanted::everything(&schema).intersect(&schema), &[]);
        // A schema in which no table says so is one of before the distinction: all are root tables.
        let none_is_root = schema.tables.values().all(|table| !table.is_root);
        let tables = schema.tables.iter().map(|(name, table)| {
            let types: BTreeMap<Name, (ColumnType, bool)> = table
                .columns
                .iter()
                .map(|(column, it)| (intern(column), (it.ty.clone(), it.mutable)))
                .collect();
            let refers = |base: &tombolo_ovsdb::schema::BaseType| {
                base.ref_table.as_deref().map(|table| (intern(table), base.weak))
            };
            let references = types
                .iter()
                .map(|(column, (ty, _))| RefColumn {
                    column,
                    key: refers(&ty.key),
                    value: ty.value.as_ref().and_then(refers),
                })
                .filter(|it| it.key.is_some() || it.value.is_some())
                .collect();
            let info = TableInfo {
                is_root: table.is_root || none_is_root,
                max_rows: table.max_rows,
                indexes: table.indexes.iter().map(|it| it.iter().map(|c| intern(c)).collect()).collect(),
                references,
                types,
            };
            (intern(name), info)
        });
        Server {
            tables: Arc::new(tables.collect()),
            schema: Arc::new(schema),
            state: State { rows, strong: OrdMap::new(), weak: OrdMap::new(), unique: OrdMap::new() },
            next_uuid: 0x5e10_0000_0000_4000_8000_0000_0000_0000,
        }
    }

    /// An empty northbound database of the pinned schema.
    ///
    /// # Panics
    /// Never: the pinned schema parses.
    #[must_use]
    pub fn northbound() -> Server {
        Server::new(Schema::parse(tombolo_ovn::nb::SCHEMA).expect("invariant: the pinned schema parses"))
    }

    /// The schema.
    #[must_use]
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// All rows with all columns.
    #[must_use]
    pub fn rows(&self) -> &Replica {
        &self.state.rows
    }

    /// Whether rows of a table live without being referred to.
    #[must_use]
    pub fn is_root(&self, table: &str) -> bool {
        self.tables.get(table).is_some_and(|table| table.is_root)
    }

    /// Executes a transaction and reads the answer as the client does. The changes are those of all tables
    /// and columns; none if it failed.
    pub fn execute(&mut self, txn: &Txn) -> (Result<TxnReply, TxnError>, ChangeSet) {
        let (answer, changes) = self.transact(&txn.all_ops());
        (txn.read_reply(&answer), changes)
    }

    /// Executes operations; the answer is the `result` that a server sends.
    pub fn transact(&mut self, ops: &[Op]) -> (Value, ChangeSet) {
        let mut work = exec::Work::new(self);
        let mut answers = Vec::new();
        for op in ops {
            match work.execute(op) {
                Ok(answer) => answers.push(answer),
                Err(error) => {
                    answers.push(error.to_json());
                    answers.resize(ops.len(), Value::Null);
                    return (Value::Array(answers), ChangeSet::default());
                }
            }
        }
        let (mut state, mut changes, next_uuid) = work.into_parts();
        match commit::check(&self.tables, &mut state, &mut changes) {
            Ok(()) => {
                self.state = state;
                self.next_uuid = next_uuid;
                (Value::Array(answers), changes)
            }
            Err(error) => {
                answers.push(error.to_json());
                (Value::Array(answers), ChangeSet::default())
            }
        }
    }
}

/// An error as a server words it.
#[derive(Debug)]
struct Failure {
    error: &'static str,
    details: String,
}

impl Failure {
    fn new(error: &'static str, details: impl Into<String>) -> Failure {
        Failure { error, details: details.into() }
    }

    fn to_json(&self) -> Value {
        json!({ "error": self.error, "details": self.details })
    }
}

impl State {
    /// Puts, replaces or removes a row, and remembers what it was.
    fn put(&mut self, changes: &mut ChangeSet, table: Name, uuid: Uuid, row: Option<Row>) {
        let old = self.rows.put(table, uuid, row);
        let new = self.rows.row(table, &uuid).cloned();
        changes.record(table, uuid, old, new);
    }
}
