//! A row: columns and their data.
//!
//! Decides the representation shared by the replica and by operations; rows of one table in the replica
//! share their column names. The row's own uuid isn't in it: tables map uuid to row.

use std::fmt;
use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::name::Name;
use crate::value::Datum;

/// Columns, ascending by name, with their data.
#[derive(Clone, Default)]
pub struct Row {
    columns: Arc<[Name]>,
    values: Vec<Datum>,
}

impl Row {
    /// A row without columns.
    pub fn new() -> Row {
        Row::default()
    }

    /// A row of these cells; of two with the same column the last wins.
    pub fn from_cells(cells: impl IntoIterator<Item = (Name, Datum)>) -> Row {
        let cells: std::collections::BTreeMap<Name, Datum> = cells.into_iter().collect();
        Row { columns: cells.keys().copied().collect(), values: cells.into_values().collect() }
    }

    /// A row with shared, sorted column names; `values` has one datum for each.
    pub(crate) fn with_columns(columns: Arc<[Name]>, values: Vec<Datum>) -> Row {
        debug_assert_eq!(columns.len(), values.len());
        debug_assert!(columns.is_sorted());
        Row { columns, values }
    }

    /// The value of a column; `None` if the row doesn't carry the column (not monitored, or not in the
    /// server's schema).
    pub fn get(&self, column: &str) -> Option<&Datum> {
        self.columns.binary_search_by(|c| (*c).cmp(column)).ok().map(|i| &self.values[i])
    }

    /// Sets a column, adding it when it is new.
    pub fn set(&mut self, column: Name, value: Datum) {
        match self.columns.binary_search(&column) {
            Ok(i) => self.values[i] = value,
            Err(i) => {
                let mut columns = self.columns.to_vec();
                columns.insert(i, column);
                self.columns = columns.into();
                self.values.insert(i, value);
            }
        }
    }

    /// [`Row::set`] for building in one expression.
    #[must_use]
    pub fn with(mut self, column: Name, value: Datum) -> Row {
        self.set(column, value);
        self
    }

    /// Removes a column and returns its value.
    pub fn remove(&mut self, column: &str) -> Option<Datum> {
        let i = self.columns.binary_search_by(|c| (*c).cmp(column)).ok()?;
        let mut columns = self.columns.to_vec();
        columns.remove(i);
        self.columns = columns.into();
        Some(self.values.remove(i))
    }

    /// The columns, ascending, with their values.
    pub fn iter(&self) -> impl Iterator<Item = (Name, &Datum)> {
        self.columns.iter().copied().zip(&self.values)
    }

    /// How many columns.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there is no column.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The string of a column with exactly one string.
    pub fn str(&self, column: &str) -> Option<&str> {
        self.get(column).and_then(Datum::as_str)
    }

    /// The string value of a key of a map column: `row.key("external_ids", "vendor")`.
    pub fn key(&self, column: &str, key: &str) -> Option<&str> {
        self.get(column).and_then(|datum| datum.key(key))
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        (Arc::ptr_eq(&self.columns, &other.columns) || self.columns == other.columns)
            && self.values == other.values
    }
}

impl Eq for Row {}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl FromIterator<(Name, Datum)> for Row {
    fn from_iter<T: IntoIterator<Item = (Name, Datum)>>(iter: T) -> Self {
        Row::from_cells(iter)
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (column, value) in self.iter() {
            map.serialize_entry(column, value)?;
        }
        map.end()
    }
}
