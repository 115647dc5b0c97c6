//! Typed operations of a transaction (RFC 7047 §5.2).
//!
//! Decides the shape of operations and their JSON; what they mean together is [`crate::txn`].

use serde::ser::{SerializeMap, SerializeTuple};
use serde::{Serialize, Serializer};

use crate::name::Name;
use crate::row::Row;
use crate::value::{Atom, Datum, Uuid};

/// The pseudo-column with a row's uuid.
pub const UUID_COLUMN: Name = "_uuid";

/// A comparison in a [`Condition`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Function {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `>=`
    GreaterOrEqual,
    /// `>`
    Greater,
    /// The column contains the whole argument.
    Includes,
    /// The column contains nothing of the argument.
    Excludes,
}

impl Function {
    /// The notation of RFC 7047.
    pub fn as_str(self) -> &'static str {
        match self {
            Function::Less => "<",
            Function::LessOrEqual => "<=",
            Function::Equal => "==",
            Function::NotEqual => "!=",
            Function::GreaterOrEqual => ">=",
            Function::Greater => ">",
            Function::Includes => "includes",
            Function::Excludes => "excludes",
        }
    }
}

/// One clause of a `where`: `[column, function, value]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Condition {
    /// The column compared, `_uuid` included.
    pub column: Name,
    /// How.
    pub function: Function,
    /// With what.
    pub value: Datum,
}

impl Condition {
    /// The row with this uuid.
    pub fn uuid(uuid: Uuid) -> Condition {
        Condition { column: UUID_COLUMN, function: Function::Equal, value: Datum::uuid(uuid) }
    }

    /// The column has exactly this value.
    pub fn eq(column: Name, value: Datum) -> Condition {
        Condition { column, function: Function::Equal, value }
    }

    /// The column contains the whole value.
    pub fn includes(column: Name, value: Datum) -> Condition {
        Condition { column, function: Function::Includes, value }
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut triple = serializer.serialize_tuple(3)?;
        triple.serialize_element(self.column)?;
        triple.serialize_element(self.function.as_str())?;
        triple.serialize_element(&self.value)?;
        triple.end()
    }
}

/// What a [`Mutation`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutator {
    /// `+=`
    Add,
    /// `-=`
    Subtract,
    /// Adds atoms to a set, or entries to a map whose keys are *absent*: an existing key keeps its value.
    Insert,
    /// Removes atoms of a set; of a map equal entries, or, given a set, the keys in it.
    Delete,
}

impl Mutator {
    /// The notation of RFC 7047.
    pub fn as_str(self) -> &'static str {
        match self {
            Mutator::Add => "+=",
            Mutator::Subtract => "-=",
            Mutator::Insert => "insert",
            Mutator::Delete => "delete",
        }
    }
}

/// One change of a column in a `mutate`: `[column, mutator, value]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mutation {
    /// The column changed.
    pub column: Name,
    /// How.
    pub mutator: Mutator,
    /// By what.
    pub value: Datum,
}

impl Mutation {
    /// Adds to a set or map (see [`Mutator::Insert`]).
    pub fn insert(column: Name, value: Datum) -> Mutation {
        Mutation { column, mutator: Mutator::Insert, value }
    }

    /// Removes from a set or map (see [`Mutator::Delete`]).
    pub fn delete(column: Name, value: Datum) -> Mutation {
        Mutation { column, mutator: Mutator::Delete, value }
    }

    /// Sets keys of a string map whatever they were: the delete-then-insert pair that an overwrite needs,
    /// since an insert of an existing key does nothing.
    pub fn set_keys<'a>(
        column: Name,
        entries: impl IntoIterator<Item = (&'a str, &'a str)> + Clone,
    ) -> [Mutation; 2] {
        [
            Mutation::delete(column, Datum::set_of_strings(entries.clone().into_iter().map(|(k, _)| k))),
            Mutation::insert(column, Datum::map_of_strings(entries)),
        ]
    }
}

impl Serialize for Mutation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut triple = serializer.serialize_tuple(3)?;
        triple.serialize_element(self.column)?;
        triple.serialize_element(self.mutator.as_str())?;
        triple.serialize_element(&self.value)?;
        triple.end()
    }
}

/// What a [`Op::Wait`] waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Until {
    /// The rows selected are these.
    Equal,
    /// The rows selected are anything but these.
    NotEqual,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Adds a row. Columns not given take their default.
    Insert {
        /// The table.
        table: Name,
        /// The uuid the row shall have (Open vSwitch 2.13 and later); `None` lets the server choose.
        uuid: Option<Uuid>,
        /// The name by which the same transaction refers to the row, as [`Atom::NamedUuid`].
        uuid_name: Option<String>,
        /// Its columns.
        row: Row,
    },
    /// Replaces columns of the rows selected.
    Update {
        /// The table.
        table: Name,
        /// All must hold; empty selects each row.
        conditions: Vec<Condition>,
        /// The columns replaced.
        row: Row,
    },
    /// Changes columns of the rows selected.
    Mutate {
        /// The table.
        table: Name,
        /// All must hold; empty selects each row.
        conditions: Vec<Condition>,
        /// In this order.
        mutations: Vec<Mutation>,
    },
    /// Deletes the rows selected.
    Delete {
        /// The table.
        table: Name,
        /// All must hold; empty selects each row.
        conditions: Vec<Condition>,
    },
    /// A guard: fails the transaction unless the rows selected are (or aren't) these. Always with
    /// timeout 0: it never blocks.
    Wait {
        /// The table.
        table: Name,
        /// All must hold; empty selects each row.
        conditions: Vec<Condition>,
        /// The columns compared.
        columns: Vec<Name>,
        /// Equal or not.
        until: Until,
        /// The rows compared with; as a set, without order.
        rows: Vec<Row>,
    },
    /// Reads columns of the rows selected.
    Select {
        /// The table.
        table: Name,
        /// All must hold; empty selects each row.
        conditions: Vec<Condition>,
        /// The columns read.
        columns: Vec<Name>,
    },
    /// A line for the database's log.
    Comment(String),
    /// Fails unless the session holds this lock.
    Assert {
        /// The lock's name.
        lock: String,
    },
}

impl Op {
    /// An insert with a chosen uuid. The server hashes uuids by their first 32 bits alone, so these must
    /// vary (as those of version 5 do): uuids counted up at their end make it quadratically slow.
    pub fn insert(table: Name, uuid: Uuid, row: Row) -> Op {
        Op::Insert { table, uuid: Some(uuid), uuid_name: None, row }
    }

    /// Replaces columns of one row.
    pub fn update(table: Name, uuid: Uuid, row: Row) -> Op {
        Op::Update { table, conditions: vec![Condition::uuid(uuid)], row }
    }

    /// Changes columns of one row.
    pub fn mutate(table: Name, uuid: Uuid, mutations: impl Into<Vec<Mutation>>) -> Op {
        Op::Mutate { table, conditions: vec![Condition::uuid(uuid)], mutations: mutations.into() }
    }

    /// Deletes one row.
    pub fn delete(table: Name, uuid: Uuid) -> Op {
        Op::Delete { table, conditions: vec![Condition::uuid(uuid)] }
    }

    /// Adds the edge parent → child to a reference column.
    pub fn add_edge(table: Name, parent: Uuid, column: Name, child: Uuid) -> Op {
        Op::mutate(table, parent, [Mutation::insert(column, Datum::uuid(child))])
    }

    /// Removes the edge parent → child from a reference column.
    pub fn remove_edge(table: Name, parent: Uuid, column: Name, child: Uuid) -> Op {
        Op::mutate(table, parent, [Mutation::delete(column, Datum::uuid(child))])
    }

    /// Guard: the row exists.
    pub fn require_row(table: Name, uuid: Uuid) -> Op {
        Op::Wait {
            table,
            conditions: vec![Condition::uuid(uuid)],
            columns: vec![UUID_COLUMN],
            until: Until::Equal,
            rows: vec![Row::new().with(UUID_COLUMN, Datum::uuid(uuid))],
        }
    }

    /// Guard: these columns of the row still have these values.
    pub fn require_columns(table: Name, uuid: Uuid, row: Row) -> Op {
        Op::Wait {
            table,
            conditions: vec![Condition::uuid(uuid)],
            columns: row.iter().map(|(column, _)| column).collect(),
            until: Until::Equal,
            rows: vec![row],
        }
    }

    /// Guard: exactly the row `uuid` satisfies the conditions. The fence of a leader's epoch is this:
    /// `require_match(table, epoch_row, [Condition::includes("external_ids", {epoch: 7})])`.
    pub fn require_match(table: Name, uuid: Uuid, conditions: impl Into<Vec<Condition>>) -> Op {
        let mut conditions = conditions.into();
        conditions.insert(0, Condition::uuid(uuid));
        Op::Wait {
            table,
            conditions,
            columns: vec![UUID_COLUMN],
            until: Until::Equal,
            rows: vec![Row::new().with(UUID_COLUMN, Datum::uuid(uuid))],
        }
    }

    /// Guard: no row satisfies the conditions.
    pub fn require_none(table: Name, conditions: impl Into<Vec<Condition>>) -> Op {
        Op::Wait {
            table,
            conditions: conditions.into(),
            columns: vec![UUID_COLUMN],
            until: Until::Equal,
            rows: Vec::new(),
        }
    }

    /// The table, if the operation has one.
    pub fn table(&self) -> Option<Name> {
        match self {
            Op::Insert { table, .. }
            | Op::Update { table, .. }
            | Op::Mutate { table, .. }
            | Op::Delete { table, .. }
            | Op::Wait { table, .. }
            | Op::Select { table, .. } => Some(table),
            Op::Comment(_) | Op::Assert { .. } => None,
        }
    }

    /// The operation's name in RFC 7047.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Insert { .. } => "insert",
            Op::Update { .. } => "update",
            Op::Mutate { .. } => "mutate",
            Op::Delete { .. } => "delete",
            Op::Wait { .. } => "wait",
            Op::Select { .. } => "select",
            Op::Comment(_) => "comment",
            Op::Assert { .. } => "assert",
        }
    }

    /// The one row an operation is about: the uuid of an insert, or of a condition `_uuid == …`.
    pub fn target(&self) -> Option<Uuid> {
        match self {
            Op::Insert { uuid, .. } => *uuid,
            Op::Update { conditions, .. }
            | Op::Mutate { conditions, .. }
            | Op::Delete { conditions, .. }
            | Op::Wait { conditions, .. }
            | Op::Select { conditions, .. } => conditions
                .iter()
                .find(|c| c.column == UUID_COLUMN && c.function == Function::Equal)
                .and_then(|c| c.value.as_uuid()),
            Op::Comment(_) | Op::Assert { .. } => None,
        }
    }
}

impl Serialize for Op {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("op", self.name())?;
        if let Some(table) = self.table() {
            map.serialize_entry("table", table)?;
        }
        match self {
            Op::Insert { uuid, uuid_name, row, .. } => {
                if let Some(uuid) = uuid {
                    map.serialize_entry("uuid", uuid)?;
                }
                if let Some(name) = uuid_name {
                    map.serialize_entry("uuid-name", name)?;
                }
                map.serialize_entry("row", row)?;
            }
            Op::Update { conditions, row, .. } => {
                map.serialize_entry("where", conditions)?;
                map.serialize_entry("row", row)?;
            }
            Op::Mutate { conditions, mutations, .. } => {
                map.serialize_entry("where", conditions)?;
                map.serialize_entry("mutations", mutations)?;
            }
            Op::Delete { conditions, .. } => map.serialize_entry("where", conditions)?,
            Op::Wait { conditions, columns, until, rows, .. } => {
                map.serialize_entry("timeout", &0)?;
                map.serialize_entry("where", conditions)?;
                map.serialize_entry("columns", columns)?;
                map.serialize_entry("until", if *until == Until::Equal { "==" } else { "!=" })?;
                map.serialize_entry("rows", rows)?;
            }
            Op::Select { conditions, columns, .. } => {
                map.serialize_entry("where", conditions)?;
                map.serialize_entry("columns", columns)?;
            }
            Op::Comment(text) => map.serialize_entry("comment", text)?,
            Op::Assert { lock } => map.serialize_entry("lock", lock)?,
        }
        map.end()
    }
}

/// Reads `["uuid", "…"]` where a reply has one.
pub(crate) fn uuid_of(value: &serde_json::Value) -> Option<Uuid> {
    match serde_json::from_value::<Atom>(value.clone()) {
        Ok(Atom::Uuid(uuid)) => Some(uuid),
        _ => None,
    }
}
