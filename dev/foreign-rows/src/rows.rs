//! The rows of a database as its file records them, and what a transaction did to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use tombolo_ovsdb::name::intern;
use tombolo_ovsdb::schema::Layout;
use tombolo_ovsdb::{Datum, Name, Row, Schema, Uuid, Wanted};

use crate::log::Transaction;

/// A record that contradicts the schema or the rows before it: the file was misread.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {what}")]
pub struct Misread {
    place: String,
    what: String,
}

/// A row that a transaction touched.
#[derive(Clone, Debug)]
pub struct Touch {
    /// Its table.
    pub table: Name,
    /// The row.
    pub uuid: Uuid,
    /// Before; `None` for a new row.
    pub before: Option<Arc<Row>>,
    /// After; `None` for one that went.
    pub after: Option<Arc<Row>>,
}

impl Touch {
    /// The columns that differ, of a row that was there and stays.
    pub fn changed(&self) -> impl Iterator<Item = (Name, &Datum, &Datum)> {
        let both = self.before.as_ref().zip(self.after.as_ref());
        both.into_iter().flat_map(|(before, after)| {
            before.iter().filter_map(move |(column, old)| {
                let new = after.get(column)?;
                (old != new).then_some((column, old, new))
            })
        })
    }
}

/// All rows, with all columns that the file keeps.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    layout: Layout,
    /// (table, column) → the tables that its references lead to, when they are weak.
    weak: BTreeMap<(Name, Name), Name>,
    tables: BTreeMap<Name, BTreeMap<Uuid, Arc<Row>>>,
}

impl Rows {
    /// No rows, of this schema.
    #[must_use]
    pub fn new(schema: &Schema) -> Rows {
        let mut kept = schema.clone();
        let mut weak = BTreeMap::new();
        for (table, its) in &mut kept.tables {
            // What a restart loses isn't in the file.
            its.columns.retain(|_, column| !column.ephemeral);
            for (name, column) in &its.columns {
                let bases = [Some(&column.ty.key), column.ty.value.as_ref()];
                for base in bases.into_iter().flatten().filter(|base| base.weak) {
                    if let Some(target) = &base.ref_table {
                        weak.insert((intern(table), intern(name)), intern(target));
                    }
                }
            }
        }
        let layout = Wanted::everything(&kept).intersect(&kept);
        let tables = layout.tables.keys().map(|table| (*table, BTreeMap::new())).collect();
        Rows { layout, weak, tables }
    }

    /// A row.
    #[must_use]
    pub fn get(&self, table: &str, uuid: &Uuid) -> Option<&Arc<Row>> {
        self.tables.get(table)?.get(uuid)
    }

    /// All rows, ascending by table and uuid.
    pub fn iter(&self) -> impl Iterator<Item = (Name, Uuid, &Arc<Row>)> {
        self.tables.iter().flat_map(|(table, rows)| rows.iter().map(|(uuid, row)| (*table, *uuid, row)))
    }

    /// The names of the tables.
    pub fn tables(&self) -> impl Iterator<Item = Name> {
        self.tables.keys().copied()
    }

    /// How many rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tables.values().map(BTreeMap::len).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The table to which the references of a column lead, if they are weak: the database itself takes them away with
    /// the row they lead to.
    #[must_use]
    pub fn weak(&self, table: Name, column: Name) -> Option<Name> {
        self.weak.get(&(table, column)).copied()
    }

    /// Places where two states differ, at most ten.
    #[must_use]
    pub fn differences(&self, other: &Rows) -> Vec<String> {
        let keys = |rows: &Rows| rows.iter().map(|(table, uuid, _)| (table, uuid)).collect::<BTreeSet<_>>();
        let all: BTreeSet<(Name, Uuid)> = keys(self).union(&keys(other)).copied().collect();
        let differs = |(table, uuid): &(Name, Uuid)| self.get(table, uuid) != other.get(table, uuid);
        all.into_iter().filter(differs).take(10).map(|(table, uuid)| format!("{table} {uuid}")).collect()
    }

    /// Applies a transaction, and returns what it touched.
    ///
    /// # Errors
    /// When it doesn't fit; the rows are of no use then.
    pub fn apply(&mut self, txn: &Transaction) -> Result<Vec<Touch>, Misread> {
        let mut touched = Vec::new();
        for (table, rows) in &txn.tables {
            let misread = |what: &str| Misread { place: table.clone(), what: what.to_owned() };
            let name = intern(table);
            let layout = self.layout.tables.get(name).ok_or_else(|| misread("an unknown table"))?.clone();
            let present = self.tables.entry(name).or_default();
            for (uuid, cells) in rows.as_object().ok_or_else(|| misread("no rows by uuid"))? {
                let misread =
                    |what: &str| Misread { place: format!("{table} {uuid}"), what: what.to_owned() };
                let id: Uuid = uuid.parse().map_err(|_| misread("no uuid"))?;
                let before = present.get(&id).cloned();
                let after = match cells {
                    Value::Null if before.is_none() => return Err(misread("a row goes that wasn't there")),
                    Value::Null => None,
                    Value::Object(cells) => {
                        let mut row =
                            before.as_deref().cloned().unwrap_or_else(|| layout.default_row.clone());
                        for (column, value) in cells {
                            let position =
                                layout.position(column).ok_or_else(|| misread("an unknown column"))?;
                            let (column, ty) = (layout.columns[position], &layout.types[position]);
                            let datum: Datum = serde_json::from_value(value.clone())
                                .map_err(|error| misread(&format!("{column}: {error}")))?;
                            let datum =
                                ty.conform(datum).map_err(|why| misread(&format!("{column}: {why}")))?;
                            let old = row.get(column).filter(|old| **old != ty.default_datum());
                            let value = match old {
                                Some(old) if txn.is_diff && ty.is_composite() => old.apply_delta(&datum),
                                _ => datum,
                            };
                            row.set(column, value);
                        }
                        Some(Arc::new(row))
                    }
                    _ => return Err(misread("neither columns nor null")),
                };
                match &after {
                    Some(row) => present.insert(id, row.clone()),
                    None => present.remove(&id),
                };
                touched.push(Touch { table: name, uuid: id, before, after });
            }
        }
        Ok(touched)
    }
}
