//! Operations one by one, on a copy of the database.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use tombolo_ovsdb::ops::UUID_COLUMN;
use tombolo_ovsdb::schema::ColumnType;
use tombolo_ovsdb::{
    Atom, ChangeSet, Condition, Datum, Function, Mutation, Mutator, Name, Op, Row, Until, Uuid,
};

use super::{Failure, Server, State, TableInfo};

/// A transaction under way.
pub(super) struct Work<'a> {
    tables: &'a BTreeMap<Name, TableInfo>,
    state: State,
    changes: ChangeSet,
    /// Rows deleted so far: their uuids can't be used again in this transaction.
    deleted: BTreeSet<(Name, Uuid)>,
    names: BTreeMap<String, Uuid>,
    next_uuid: u128,
}

impl<'a> Work<'a> {
    pub(super) fn new(server: &'a Server) -> Work<'a> {
        Work {
            tables: &server.tables,
            state: server.state.clone(),
            changes: ChangeSet::default(),
            deleted: BTreeSet::new(),
            names: BTreeMap::new(),
            next_uuid: server.next_uuid,
        }
    }

    pub(super) fn into_parts(self) -> (State, ChangeSet, u128) {
        (self.state, self.changes, self.next_uuid)
    }

    pub(super) fn execute(&mut self, op: &Op) -> Result<Value, Failure> {
        match op {
            Op::Insert { table, uuid, uuid_name, row } => {
                self.insert(table, *uuid, uuid_name.as_deref(), row)
            }
            Op::Update { table, conditions, row } => self.update(table, conditions, row),
            Op::Mutate { table, conditions, mutations } => self.mutate(table, conditions, mutations),
            Op::Delete { table, conditions } => {
                let matched = self.matching(table, conditions)?;
                for (uuid, _) in &matched {
                    self.state.put(&mut self.changes, table, *uuid, None);
                    self.deleted.insert((*table, *uuid));
                }
                Ok(json!({ "count": matched.len() }))
            }
            Op::Wait { table, conditions, columns, until, rows } => {
                self.wait(table, conditions, columns, *until, rows)
            }
            Op::Select { table, conditions, columns } => self.select(table, conditions, columns),
            Op::Comment(_) => Ok(json!({})),
            Op::Assert { lock } => Err(Failure::new("not owner", format!("lock {lock} is not held"))),
        }
    }

    fn info(&self, table: &str) -> Result<&'a TableInfo, Failure> {
        self.tables.get(table).ok_or_else(|| Failure::new("syntax error", format!("No table named {table}.")))
    }

    /// A value as one of a column: of its kind, with as many elements as it may have, and with names of rows
    /// replaced by their uuids.
    fn conform(&self, column: &str, ty: &ColumnType, value: &Datum) -> Result<Datum, Failure> {
        let named = |atom: &Atom| match atom {
            Atom::NamedUuid(name) => match self.names.get(&**name) {
                Some(uuid) => Ok(Atom::Uuid(*uuid)),
                None => Err(Failure::new("syntax error", format!("no row is named {name}"))),
            },
            other => Ok(other.clone()),
        };
        let value = if value.is_map() {
            let entries: Result<Vec<_>, Failure> =
                value.entries().iter().map(|(k, v)| Ok((named(k)?, named(v)?))).collect();
            Datum::map(entries?)
        } else {
            Datum::set(value.atoms().iter().map(named).collect::<Result<Vec<_>, Failure>>()?)
        };
        let value = ty
            .conform(value)
            .map_err(|why| Failure::new("syntax error", format!("column {column}: {why}")))?;
        if let Some(what) = missized(ty, &value) {
            return Err(Failure::new("syntax error", format!("column {column}: {what}")));
        }
        if !ty.key.allowed.is_empty()
            && let Some(atom) = value.atoms().iter().find(|atom| !ty.key.allowed.contains(atom))
        {
            let text =
                format!("column {column}: {atom:?} is not one of the allowed values {:?}", ty.key.allowed);
            return Err(Failure::new("constraint violation", text));
        }
        Ok(value)
    }

    /// Columns to write, conformed.
    fn cells(&self, info: &TableInfo, row: &Row, new: bool) -> Result<Vec<(Name, Datum)>, Failure> {
        row.iter()
            .map(|(column, value)| {
                let (ty, mutable) = column_type(info, column)?;
                if !new && !mutable {
                    return Err(Failure::new(
                        "constraint violation",
                        format!("Cannot update immutable column {column}."),
                    ));
                }
                Ok((column, self.conform(column, ty, value)?))
            })
            .collect()
    }

    fn insert(
        &mut self,
        table: Name,
        uuid: Option<Uuid>,
        name: Option<&str>,
        row: &Row,
    ) -> Result<Value, Failure> {
        let info = self.info(table)?;
        let uuid = uuid.unwrap_or_else(|| {
            self.next_uuid += 1;
            Uuid::from_u128(self.next_uuid)
        });
        if let Some(name) = name
            && self.names.insert(name.to_owned(), uuid).is_some()
        {
            return Err(Failure::new("duplicate uuid-name", format!("{name} is the name of another row")));
        }
        if self.state.rows.row(table, &uuid).is_some() || self.deleted.contains(&(table, uuid)) {
            return Err(Failure::new(
                "duplicate uuid",
                "This UUID would duplicate a UUID already present within the table or deleted within the same transaction.",
            ));
        }
        let cells = self.cells(info, row, true)?;
        self.state.put(&mut self.changes, table, uuid, Some(Row::from_cells(cells)));
        Ok(json!({ "uuid": ["uuid", uuid] }))
    }

    fn update(&mut self, table: Name, conditions: &[Condition], row: &Row) -> Result<Value, Failure> {
        let cells = self.cells(self.info(table)?, row, false)?;
        let matched = self.matching(table, conditions)?;
        let count = matched.len();
        for (uuid, mut row) in matched {
            for (column, value) in &cells {
                row.set(column, value.clone());
            }
            self.state.put(&mut self.changes, table, uuid, Some(row));
        }
        Ok(json!({ "count": count }))
    }

    fn mutate(
        &mut self,
        table: Name,
        conditions: &[Condition],
        mutations: &[Mutation],
    ) -> Result<Value, Failure> {
        let info = self.info(table)?;
        let mut parsed = Vec::new();
        for mutation in mutations {
            let (ty, mutable) = column_type(info, mutation.column)?;
            if !mutable {
                return Err(Failure::new(
                    "constraint violation",
                    format!("Cannot mutate immutable column {}.", mutation.column),
                ));
            }
            // Fewer than the column must have may be added, any number taken away; of a map also by keys alone.
            let value = match mutation.mutator {
                Mutator::Insert => {
                    self.conform(mutation.column, &ColumnType { min: 0, ..ty.clone() }, &mutation.value)?
                }
                Mutator::Delete => {
                    let keys = ty.is_map() && !mutation.value.is_map();
                    let any = ColumnType { min: 0, max: usize::MAX, ..ty.clone() };
                    let any = if keys { ColumnType { value: None, ..any } } else { any };
                    self.conform(mutation.column, &any, &mutation.value)?
                }
                Mutator::Add | Mutator::Subtract => self.conform(mutation.column, ty, &mutation.value)?,
            };
            parsed.push((mutation.column, ty, mutation.mutator, value));
        }
        let matched = self.matching(table, conditions)?;
        let count = matched.len();
        for (uuid, mut row) in matched {
            for (column, ty, mutator, value) in &parsed {
                let old = row.get(column).cloned().unwrap_or_default();
                let new = mutated(&old, *mutator, value)?;
                if let Some(what) = missized(ty, &new) {
                    return Err(Failure::new("constraint violation", format!("column {column}: {what}")));
                }
                row.set(column, new);
            }
            self.state.put(&mut self.changes, table, uuid, Some(row));
        }
        Ok(json!({ "count": count }))
    }

    fn wait(
        &self,
        table: Name,
        conditions: &[Condition],
        columns: &[Name],
        until: Until,
        rows: &[Row],
    ) -> Result<Value, Failure> {
        let info = self.info(table)?;
        let project = |uuid: Option<Uuid>, row: &Row| -> Result<Vec<Datum>, Failure> {
            let value = |column: &Name| {
                if *column == UUID_COLUMN {
                    return Ok(uuid.map_or_else(|| row.get(column).cloned().unwrap_or_default(), Datum::uuid));
                }
                let (ty, _) = column_type(info, column)?;
                match row.get(column) {
                    Some(value) => self.conform(column, ty, value),
                    None => Ok(ty.default_datum()),
                }
            };
            columns.iter().map(value).collect()
        };
        let matched = self.matching(table, conditions)?;
        let present: Result<BTreeSet<_>, _> =
            matched.iter().map(|(uuid, row)| project(Some(*uuid), row)).collect();
        let wanted: Result<BTreeSet<_>, _> = rows.iter().map(|row| project(None, row)).collect();
        if (present? == wanted?) == (until == Until::Equal) {
            Ok(json!({}))
        } else {
            Err(Failure::new("timed out", "\"where\" clause test failed"))
        }
    }

    fn select(&self, table: Name, conditions: &[Condition], columns: &[Name]) -> Result<Value, Failure> {
        let matched = self.matching(table, conditions)?;
        let rows = matched.iter().map(|(uuid, row)| {
            let mut cells: Map<String, Value> = row
                .iter()
                .filter(|(column, _)| columns.contains(column))
                .map(|(column, value)| (column.to_owned(), value.to_json()))
                .collect();
            if columns.contains(&UUID_COLUMN) {
                cells.insert(UUID_COLUMN.to_owned(), Datum::uuid(*uuid).to_json());
            }
            Value::Object(cells)
        });
        Ok(json!({ "rows": rows.collect::<Vec<_>>() }))
    }

    /// The rows that satisfy all conditions.
    fn matching(&self, table: Name, conditions: &[Condition]) -> Result<Vec<(Uuid, Row)>, Failure> {
        let info = self.info(table)?;
        let mut parsed = Vec::new();
        for condition in conditions {
            if condition.column == UUID_COLUMN {
                continue;
            }
            let (ty, _) = column_type(info, condition.column)?;
            let ty = match condition.function {
                Function::Includes => &ColumnType { min: 0, ..ty.clone() },
                Function::Excludes => &ColumnType { min: 0, max: usize::MAX, ..ty.clone() },
                _ => ty,
            };
            parsed.push((condition, self.conform(condition.column, ty, &condition.value)?));
        }
        let one = conditions.iter().find(|c| c.column == UUID_COLUMN && c.function == Function::Equal);
        let holds = |uuid: Uuid, row: &Row| {
            let by_uuid = conditions
                .iter()
                .filter(|condition| condition.column == UUID_COLUMN)
                .all(|condition| holds(&Datum::uuid(uuid), condition.function, &condition.value));
            by_uuid
                && parsed.iter().all(|(condition, value)| {
                    row.get(condition.column).is_some_and(|present| holds(present, condition.function, value))
                })
        };
        Ok(match one.and_then(|condition| condition.value.as_uuid()) {
            Some(uuid) => {
                let row = self.state.rows.row(table, &uuid).filter(|row| holds(uuid, row));
                row.map(|row| (uuid, Row::clone(row))).into_iter().collect()
            }
            None => self
                .state
                .rows
                .rows(table)
                .filter(|(uuid, row)| holds(*uuid, row))
                .map(|(uuid, row)| (uuid, Row::clone(row)))
                .collect(),
        })
    }
}

/// What is wrong with the number of elements.
fn missized(ty: &ColumnType, value: &Datum) -> Option<String> {
    let fits = (ty.min..=ty.max).contains(&value.len());
    (!fits).then(|| format!("{} to {} members are allowed but {} are present", ty.min, ty.max, value.len()))
}

fn column_type<'i>(info: &'i TableInfo, column: &str) -> Result<(&'i ColumnType, bool), Failure> {
    match info.types.get(column) {
        Some((ty, mutable)) => Ok((ty, *mutable)),
        None => Err(Failure::new("unknown column", format!("no column {column}"))),
    }
}

/// Whether `present` stands to `value` as a condition says.
pub(crate) fn holds(present: &Datum, function: Function, value: &Datum) -> bool {
    let includes = || {
        if value.is_map() {
            value.entries().iter().all(|(k, v)| present.entry(k) == Some(v))
        } else {
            value.atoms().iter().all(|atom| present.contains(atom))
        }
    };
    let excludes = || {
        if value.is_map() {
            value.entries().iter().all(|(k, v)| present.entry(k) != Some(v))
        } else {
            value.atoms().iter().all(|atom| !present.contains(atom))
        }
    };
    match function {
        Function::Equal => present == value,
        Function::NotEqual => present != value,
        Function::Includes => includes(),
        Function::Excludes => excludes(),
        // Only for single numbers; an empty optional column never holds.
        Function::Less => present.as_atom().is_some_and(|atom| Some(atom) < value.as_atom()),
        Function::LessOrEqual => present.as_atom().is_some_and(|atom| Some(atom) <= value.as_atom()),
        Function::Greater => present.as_atom().is_some_and(|atom| Some(atom) > value.as_atom()),
        Function::GreaterOrEqual => present.as_atom().is_some_and(|atom| Some(atom) >= value.as_atom()),
    }
}

fn mutated(old: &Datum, mutator: Mutator, value: &Datum) -> Result<Datum, Failure> {
    Ok(match mutator {
        // An existing key keeps its value.
        Mutator::Insert => match old.is_map() {
            true => Datum::map(value.entries().iter().chain(old.entries()).cloned()),
            false => old.union(value),
        },
        Mutator::Delete if old.is_map() && value.is_map() => {
            let keep = |(k, v): &&(Atom, Atom)| value.entry(k) != Some(v);
            Datum::map(old.entries().iter().filter(keep).cloned())
        }
        Mutator::Delete => old.difference(value),
        Mutator::Add | Mutator::Subtract => {
            let amount = value
                .as_i64()
                .ok_or_else(|| Failure::new("syntax error", "only one integer can be added or subtracted"))?;
            let amount = if mutator == Mutator::Add { amount } else { -amount };
            let sum = |atom: &Atom| match atom.as_i64().map(|old| old.checked_add(amount)) {
                Some(Some(sum)) => Ok(Atom::Integer(sum)),
                Some(None) => Err(Failure::new("range error", "the result is out of range")),
                None => Err(Failure::new("syntax error", "only integers can be added to")),
            };
            Datum::set(old.atoms().iter().map(sum).collect::<Result<Vec<_>, _>>()?)
        }
    })
}
