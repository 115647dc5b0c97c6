//! The replica: the one cache of a database (invariant 6).
//!
//! Decides how rows are kept and found: persistent maps, so a clone is a consistent snapshot for the
//! price of a few pointers and a change of one row copies no table; secondary indexes are declared once
//! and kept with the rows. Doesn't decide freshness: that is [`crate::session`].

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use crate::name::Name;
use crate::row::Row;
use crate::schema::{Layout, TableLayout};
use crate::value::{Atom, Datum, Uuid};

/// A secondary index: for each row the keys under which it is found.
#[derive(Clone, Copy, Debug)]
pub struct IndexSpec {
    /// The table.
    pub table: Name,
    /// The index's name, unique within the table.
    pub name: Name,
    /// The keys of a row.
    pub keys: Keys,
}

impl IndexSpec {
    /// An index by what a function reads from a row.
    pub const fn by(table: Name, name: Name, extract: fn(&Row) -> Vec<Atom>) -> IndexSpec {
        IndexSpec { table, name, keys: Keys::Read(extract) }
    }

    /// A reverse index: rows by the elements of a column. It bears the column's name; [`Replica::holders`] looks it up.
    pub const fn elements(table: Name, column: Name) -> IndexSpec {
        IndexSpec { table, name: column, keys: Keys::Elements }
    }
}

/// Where the keys of an index come from.
#[derive(Clone, Copy, Debug)]
pub enum Keys {
    /// A function of the row; no key leaves the row out. It runs twice for each change of a row.
    Read(fn(&Row) -> Vec<Atom>),
    /// Each atom of the column that the index is named for, of a map each key. A change costs what changed in that
    /// column, however many elements it has.
    Elements,
}

/// An update that contradicts the replica: the cache can't be trusted, it must be built anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Inconsistency {
    /// A row is reported as new and is there.
    #[error("the server reports {table} {uuid} as new, but the replica has it")]
    AlreadyThere {
        /// The table.
        table: Name,
        /// The row.
        uuid: Uuid,
    },
    /// A row is changed or deleted and isn't there.
    #[error("the server changes {table} {uuid}, but the replica lacks it")]
    NotThere {
        /// The table.
        table: Name,
        /// The row.
        uuid: Uuid,
    },
    /// A value doesn't fit its column.
    #[error("the server sends a value that does not fit {table}.{column}: {reason}")]
    Misfit {
        /// The table.
        table: Name,
        /// The column.
        column: Name,
        /// What was expected.
        reason: String,
    },
}

/// What happened to one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Before; `None` for a new row.
    pub old: Option<Arc<Row>>,
    /// After; `None` for a deleted row.
    pub new: Option<Arc<Row>>,
}

/// Changes of rows, at most one for each row, ascending by table and uuid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeSet {
    changes: BTreeMap<(Name, Uuid), Change>,
}

impl ChangeSet {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// How many rows changed.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// The changes, ascending by table and uuid.
    pub fn iter(&self) -> impl Iterator<Item = (Name, Uuid, &Change)> {
        self.changes.iter().map(|((table, uuid), change)| (*table, *uuid, change))
    }

    /// The changes of one table.
    pub fn of_table(&self, table: Name) -> impl Iterator<Item = (Uuid, &Change)> {
        let range = (table, Uuid::nil())..=(table, Uuid::max());
        self.changes.range(range).map(|((_, uuid), change)| (*uuid, change))
    }

    /// Whether a row of the table changed.
    pub fn touches(&self, table: Name) -> bool {
        self.of_table(table).next().is_some()
    }

    /// Adds a later change of a row: the oldest "before" stays, the newest "after" counts.
    pub fn record(&mut self, table: Name, uuid: Uuid, old: Option<Arc<Row>>, new: Option<Arc<Row>>) {
        let change = self.changes.entry((table, uuid)).or_insert(Change { old, new: None });
        change.new = new;
        let unchanged = match (&change.old, &change.new) {
            (None, None) => true,
            (Some(old), Some(new)) => Arc::ptr_eq(old, new) || old == new,
            _ => false,
        };
        if unchanged {
            self.changes.remove(&(table, uuid));
        }
    }

    /// Adds later changes, so that this set leads from its own "before" to their "after".
    pub fn merge(&mut self, later: ChangeSet) {
        for ((table, uuid), change) in later.changes {
            self.record(table, uuid, change.old, change.new);
        }
    }
}

/// One table of a replica.
#[derive(Clone, Debug)]
pub struct Table {
    layout: Arc<TableLayout>,
    rows: OrdMap<Uuid, Arc<Row>>,
    indexes: Vec<(IndexSpec, OrdSet<(Atom, Uuid)>)>,
}

impl Table {
    /// The columns it has.
    pub fn columns(&self) -> &[Name] {
        &self.layout.columns
    }

    /// The layout it was built with.
    pub fn layout(&self) -> &TableLayout {
        &self.layout
    }

    /// A row.
    pub fn get(&self, uuid: &Uuid) -> Option<&Arc<Row>> {
        self.rows.get(uuid)
    }

    /// The rows, ascending by uuid.
    pub fn iter(&self) -> impl Iterator<Item = (Uuid, &Arc<Row>)> {
        self.rows.iter().map(|(uuid, row)| (*uuid, row))
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows with this key in an index, ascending by uuid. An index that wasn't declared finds nothing
    /// (and fails in debug builds).
    pub fn find<'a>(
        &'a self,
        index: &str,
        key: &Atom,
    ) -> impl Iterator<Item = (Uuid, &'a Arc<Row>)> + use<'a> {
        let set = self.indexes.iter().find(|(spec, _)| spec.name == index).map(|(_, set)| set);
        debug_assert!(set.is_some(), "no index {index}");
        let range = (key.clone(), Uuid::nil())..=(key.clone(), Uuid::max());
        set.into_iter()
            .flat_map(move |set| set.range(range.clone()))
            .filter_map(|(_, uuid)| self.rows.get(uuid).map(|row| (*uuid, row)))
    }

    /// Sets or removes a row. `deltas` has the columns that changed, and of those with several elements what differs, as
    /// the server reports it; without it the rows are compared.
    fn put(
        &mut self,
        uuid: Uuid,
        new: Option<Arc<Row>>,
        deltas: Option<&[(Name, Datum)]>,
    ) -> Option<Arc<Row>> {
        let old = match &new {
            Some(row) => self.rows.insert(uuid, row.clone()),
            None => self.rows.remove(&uuid),
        };
        for (spec, set) in &mut self.indexes {
            match spec.keys {
                Keys::Read(extract) => {
                    let before = old.as_deref().map(extract).unwrap_or_default();
                    let after = new.as_deref().map(extract).unwrap_or_default();
                    if before == after {
                        continue;
                    }
                    for key in before {
                        set.remove(&(key, uuid));
                    }
                    for key in after {
                        set.insert((key, uuid));
                    }
                }
                Keys::Elements => {
                    let value =
                        |row: &Option<Arc<Row>>| row.as_deref().and_then(|row| row.get(spec.name)).cloned();
                    let (before, after) = (value(&old).unwrap_or_default(), value(&new).unwrap_or_default());
                    let mut move_to = |key: &Atom| match after.has_element(key) {
                        true => drop(set.insert((key.clone(), uuid))),
                        false => drop(set.remove(&(key.clone(), uuid))),
                    };
                    match deltas {
                        Some(deltas) => {
                            let changed = deltas.iter().filter(|(column, _)| *column == spec.name);
                            // A column of at most one element is reported by its new value alone.
                            let single = changed.clone().next().is_some() && before.len() <= 1;
                            changed.flat_map(|(_, delta)| delta.elements()).for_each(&mut move_to);
                            before.elements().filter(|_| single).for_each(&mut move_to);
                        }
                        None if before == after => {}
                        None => {
                            before.differing_from(&after).elements().for_each(&mut move_to);
                            after.differing_from(&before).elements().for_each(&mut move_to);
                        }
                    }
                }
            }
        }
        old
    }
}

/// Tables of rows, as the database had them at one moment.
#[derive(Clone, Debug, Default)]
pub struct Replica {
    tables: BTreeMap<Name, Arc<Table>>,
}

impl Replica {
    /// An empty replica of these tables and columns.
    pub fn new(layout: &Layout, indexes: &[IndexSpec]) -> Replica {
        let table = |name: Name, layout: &Arc<TableLayout>| Table {
            layout: layout.clone(),
            rows: OrdMap::new(),
            indexes: indexes.iter().filter(|i| i.table == name).map(|i| (*i, OrdSet::new())).collect(),
        };
        let tables = layout.tables.iter().map(|(name, layout)| (*name, Arc::new(table(name, layout))));
        Replica { tables: tables.collect() }
    }

    /// A table; `None` if it isn't mirrored (not wanted, or not in the server's schema).
    pub fn table(&self, table: &str) -> Option<&Table> {
        self.tables.get(table).map(|t| &**t)
    }

    /// The tables, ascending.
    pub fn tables(&self) -> impl Iterator<Item = (Name, &Table)> {
        self.tables.iter().map(|(name, table)| (*name, &**table))
    }

    /// A row.
    pub fn row(&self, table: &str, uuid: &Uuid) -> Option<&Arc<Row>> {
        self.table(table)?.get(uuid)
    }

    /// The rows of a table, ascending by uuid; none if the table isn't mirrored.
    pub fn rows(&self, table: &str) -> impl Iterator<Item = (Uuid, &Arc<Row>)> {
        self.table(table).into_iter().flat_map(Table::iter)
    }

    /// The rows with this key in an index (see [`Table::find`]).
    pub fn find<'a>(
        &'a self,
        table: &str,
        index: &str,
        key: &Atom,
    ) -> impl Iterator<Item = (Uuid, &'a Arc<Row>)> + use<'a> {
        self.table(table).map(|table| table.find(index, key)).into_iter().flatten()
    }

    /// The rows whose column holds this element (of a map: this key), ascending by uuid. The table must have the reverse
    /// index [`IndexSpec::elements`] of the column.
    pub fn holders<'a>(
        &'a self,
        table: &str,
        column: &str,
        element: &Atom,
    ) -> impl Iterator<Item = (Uuid, &'a Arc<Row>)> + use<'a> {
        self.find(table, column, element)
    }

    /// Sets or (`None`) removes a row as it is, and returns the old one; for tests and simulations. A row
    /// given without some columns gets their defaults, columns the table lacks are dropped.
    pub fn put(&mut self, table: Name, uuid: Uuid, row: Option<Row>) -> Option<Arc<Row>> {
        let entry = self.tables.get_mut(table)?;
        let entry = Arc::make_mut(entry);
        let row = row.map(|given| {
            let mut full = entry.layout.default_row.clone();
            for (column, value) in given.iter() {
                if entry.layout.position(column).is_some() {
                    full.set(column, value.clone());
                }
            }
            Arc::new(full)
        });
        entry.put(uuid, row, None)
    }

    /// Applies an update of the server, whole or, on an inconsistency, half: then the replica must be
    /// thrown away.
    pub fn apply(&mut self, updates: TableUpdates) -> Result<ChangeSet, Inconsistency> {
        let mut changes = ChangeSet::default();
        for (name, rows) in updates.tables {
            let Some(table) = self.tables.get_mut(name) else { continue };
            let table = Arc::make_mut(table);
            for (uuid, update) in rows {
                let old = table.get(&uuid).cloned();
                let new = merge(name, uuid, &table.layout, old.as_ref(), &update)?;
                let deltas = match &update {
                    RowUpdate::Modify(cells) => Some(cells.as_slice()),
                    RowUpdate::Insert(_) | RowUpdate::Delete => None,
                };
                table.put(uuid, new.clone(), deltas);
                changes.record(name, uuid, old, new);
            }
        }
        Ok(changes)
    }

    /// What leads from `self` to `new`. Rows that are equal are shared afterwards: `new` takes over the
    /// old ones, so pointers stay comparable across a resynchronization.
    pub fn changes_to(&self, new: &mut Replica) -> ChangeSet {
        let mut changes = ChangeSet::default();
        for (name, table) in &mut new.tables {
            let old = self.tables.get(name);
            let mut same = Vec::new();
            for (uuid, row) in table.iter() {
                match old.and_then(|t| t.get(&uuid)) {
                    Some(before) if before == row => same.push((uuid, before.clone())),
                    before => changes.record(name, uuid, before.cloned(), Some(row.clone())),
                }
            }
            let table = Arc::make_mut(table);
            for (uuid, row) in same {
                table.rows.insert(uuid, row);
            }
        }
        for (name, table) in &self.tables {
            let now = new.tables.get(name);
            for (uuid, row) in table.iter() {
                if now.is_none_or(|t| t.get(&uuid).is_none()) {
                    changes.record(name, uuid, Some(row.clone()), None);
                }
            }
        }
        changes
    }
}

fn merge(
    table: Name,
    uuid: Uuid,
    layout: &TableLayout,
    old: Option<&Arc<Row>>,
    update: &RowUpdate,
) -> Result<Option<Arc<Row>>, Inconsistency> {
    let conform = |column: Name, position: usize, datum: &Datum| {
        let fits = layout.types[position].conform(datum.clone());
        fits.map_err(|reason| Inconsistency::Misfit { table, column, reason })
    };
    match (update, old) {
        (RowUpdate::Insert(cells), None) => {
            let mut row = layout.default_row.clone();
            for (column, datum) in cells {
                let Some(position) = layout.position(column) else { continue };
                row.set(column, conform(column, position, datum)?);
            }
            Ok(Some(Arc::new(row)))
        }
        (RowUpdate::Modify(cells), Some(old)) => {
            let mut row = Row::clone(old);
            for (column, datum) in cells {
                let Some(position) = layout.position(column) else { continue };
                let datum = conform(column, position, datum)?;
                let value = match row.get(column) {
                    Some(before) if layout.types[position].is_composite() => before.apply_delta(&datum),
                    _ => datum,
                };
                row.set(column, value);
            }
            Ok(Some(Arc::new(row)))
        }
        (RowUpdate::Delete, Some(_)) => Ok(None),
        (RowUpdate::Insert(_), Some(_)) => Err(Inconsistency::AlreadyThere { table, uuid }),
        (RowUpdate::Modify(_) | RowUpdate::Delete, None) => Err(Inconsistency::NotThere { table, uuid }),
    }
}

/// The `table-updates2` of a monitor (ovsdb-server(7) §4.1.14), read by [`crate::wire`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableUpdates {
    /// By table.
    pub tables: BTreeMap<Name, Vec<(Uuid, RowUpdate)>>,
}

/// The `row-update2` of a monitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowUpdate {
    /// `initial` or `insert`: the columns that differ from their default.
    Insert(Vec<(Name, Datum)>),
    /// `modify`: of composite columns the delta, of others the new value.
    Modify(Vec<(Name, Datum)>),
    /// `delete`.
    Delete,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::schema::{Schema, Wanted};

    const SCHEMA: &str = r#"{"name": "Db", "version": "1.0.0", "tables": {"T": {"columns": {
        "set": {"type": {"key": "integer", "min": 0, "max": "unlimited"}},
        "one": {"type": {"key": "integer", "min": 0, "max": 1}},
        "map": {"type": {"key": "integer", "value": "integer", "min": 0, "max": "unlimited"}}}}}}"#;
    const COLUMNS: [Name; 3] = ["map", "one", "set"];

    fn replica() -> Replica {
        let layout = Wanted::new().table("T", &COLUMNS).intersect(&Schema::parse(SCHEMA).unwrap());
        Replica::new(&layout, &COLUMNS.map(|column| IndexSpec::elements("T", column)))
    }

    /// The rows that hold an element, by a look at each.
    fn searched(replica: &Replica, column: &str, element: &Atom) -> Vec<Uuid> {
        let holds = |row: &Row| row.get(column).is_some_and(|value| value.has_element(element));
        replica.rows("T").filter(|(_, row)| holds(row)).map(|(uuid, _)| uuid).collect()
    }

    fn cells() -> impl Strategy<Value = Vec<(Name, Datum)>> {
        let set = prop::collection::btree_set(0..6_i64, 0..4).prop_map(|it| ("set", Datum::set(it)));
        let one = prop::option::of(0..6_i64).prop_map(|it| ("one", Datum::optional(it)));
        let map =
            prop::collection::btree_map(0..6_i64, 0..3_i64, 0..4).prop_map(|it| ("map", Datum::map(it)));
        let all = (prop::option::of(set), prop::option::of(one), prop::option::of(map));
        all.prop_map(|(set, one, map)| [map, one, set].into_iter().flatten().collect())
    }

    proptest! {
        #[test]
        fn reverse_indexes_say_what_a_search_says(acts in prop::collection::vec((0..3_u128, 0..3_u8, cells()), 1..30)) {
            let mut replica = replica();
            for (number, act, cells) in acts {
                let uuid = Uuid::from_u128(number);
                let there = replica.row("T", &uuid).is_some();
                let update = match act {
                    0 if there => RowUpdate::Delete,
                    2 => {
                        // As simulations do it.
                        replica.put("T", uuid, Some(Row::from_cells(cells)));
                        continue;
                    }
                    _ if there => RowUpdate::Modify(cells),
                    _ => RowUpdate::Insert(cells),
                };
                let tables = BTreeMap::from([("T", vec![(uuid, update)])]);
                replica.apply(TableUpdates { tables }).unwrap();
                for column in COLUMNS {
                    for element in (0..6).map(Atom::Integer) {
                        let found: Vec<Uuid> = replica.holders("T", column, &element).map(|(uuid, _)| uuid).collect();
                        prop_assert_eq!(found, searched(&replica, column, &element), "{} {:?}", column, element);
                    }
                }
            }
        }
    }
}
