//! What is checked and cleaned up when a transaction commits: references, unreferenced rows, unique indexes.

use std::collections::{BTreeMap, BTreeSet};

use tombolo_ovsdb::{Atom, ChangeSet, Datum, Name, Row};

use super::{Failure, Place, RefColumn, State, TableInfo};

/// Finishes a transaction whose operations all went through. On failure the state is to be thrown away.
pub(super) fn check(
    tables: &BTreeMap<Name, TableInfo>,
    state: &mut State,
    changes: &mut ChangeSet,
) -> Result<(), Failure> {
    let loose = count_references(tables, state, changes)?;
    collect_garbage(tables, state, changes, loose);
    check_max_rows(tables, state, changes)?;
    clean_weak_references(tables, state, changes)?;
    check_unique(tables, state, changes)
}

/// The rows that a row refers to strongly (or weakly), itself not counted.
fn references<'a>(
    info: &'a TableInfo,
    place: Place,
    row: &'a Row,
    weak: bool,
) -> impl Iterator<Item = (&'a RefColumn, Place)> {
    info.references.iter().flat_map(move |it| {
        let datum = row.get(it.column);
        let of_kind =
            |side: Option<(Name, bool)>| side.filter(|(_, is_weak)| *is_weak == weak).map(|(t, _)| t);
        let (key, value) = (of_kind(it.key), of_kind(it.value));
        let keys = datum.into_iter().flat_map(move |datum| {
            let of_set = key.into_iter().flat_map(|t| datum.uuids().map(move |uuid| (t, uuid)));
            let of_map = datum.entries().iter().flat_map(move |(k, v)| {
                let side = |table: Option<Name>, atom: &Atom| Some((table?, atom.as_uuid()?));
                side(key, k).into_iter().chain(side(value, v))
            });
            of_set.chain(of_map)
        });
        keys.filter(move |target| *target != place).map(move |target| (it, target))
    })
}

/// Counts strong references anew where something changed. Rows that lost one, or are new, are returned.
fn count_references(
    tables: &BTreeMap<Name, TableInfo>,
    state: &mut State,
    changes: &ChangeSet,
) -> Result<BTreeSet<Place>, Failure> {
    let mut loose = BTreeSet::new();
    for (table, uuid, change) in changes.iter() {
        let info = &tables[table];
        if let Some(row) = &change.new {
            loose.insert((table, uuid));
            for (it, target) in references(info, (table, uuid), row, false) {
                if state.rows.row(target.0, &target.1).is_none() {
                    let text = format!(
                        "Table {table} column {} row {uuid} references nonexistent row {} in table {}.",
                        it.column, target.1, target.0
                    );
                    return Err(Failure::new("referential integrity violation", text));
                }
                *state.strong.entry(target).or_insert(0) += 1;
            }
        }
        if let Some(row) = &change.old {
            for (_, target) in references(info, (table, uuid), row, false) {
                release(state, target);
                loose.insert(target);
            }
        }
    }
    for (table, uuid, change) in changes.iter() {
        if change.new.is_none()
            && let Some(count) = state.strong.get(&(table, uuid))
        {
            let text = format!("cannot delete {table} row {uuid} because of {count} remaining reference(s)");
            return Err(Failure::new("referential integrity violation", text));
        }
    }
    Ok(loose)
}

fn release(state: &mut State, target: Place) {
    if let Some(count) = state.strong.get_mut(&target) {
        *count -= 1;
        if *count == 0 {
            state.strong.remove(&target);
        }
    }
}

/// Rows of tables that aren't root go with their last strong reference, and what only they referred to goes too.
fn collect_garbage(
    tables: &BTreeMap<Name, TableInfo>,
    state: &mut State,
    changes: &mut ChangeSet,
    mut loose: BTreeSet<Place>,
) {
    while let Some((table, uuid)) = loose.pop_first() {
        let info = &tables[table];
        if info.is_root || state.strong.contains_key(&(table, uuid)) {
            continue;
        }
        let Some(row) = state.rows.row(table, &uuid).cloned() else { continue };
        for (_, target) in references(info, (table, uuid), &row, false) {
            release(state, target);
            loose.insert(target);
        }
        state.put(changes, table, uuid, None);
    }
}

fn check_max_rows(
    tables: &BTreeMap<Name, TableInfo>,
    state: &State,
    changes: &ChangeSet,
) -> Result<(), Failure> {
    for (table, _, change) in changes.iter() {
        let count = state.rows.table(table).map_or(0, |it| it.len()) as u64;
        if change.old.is_none() && tables[table].max_rows.is_some_and(|max| count > max) {
            let text = format!(
                "transaction causes \"{table}\" table to contain {count} rows, greater than the schema-defined limit"
            );
            return Err(Failure::new("constraint violation", text));
        }
    }
    Ok(())
}

/// Weak references to rows that aren't there vanish from their columns.
fn clean_weak_references(
    tables: &BTreeMap<Name, TableInfo>,
    state: &mut State,
    changes: &mut ChangeSet,
) -> Result<(), Failure> {
    let mut referrers: BTreeSet<Place> = BTreeSet::new();
    for (table, uuid, change) in changes.iter() {
        let place = (table, uuid);
        if let Some(row) = &change.old {
            for (_, target) in references(&tables[table], place, row, true) {
                if let Some(set) = state.weak.get_mut(&target) {
                    set.remove(&place);
                    if set.is_empty() {
                        state.weak.remove(&target);
                    }
                }
            }
        }
        if let Some(row) = &change.new {
            referrers.insert(place);
            for (_, target) in references(&tables[table], place, row, true) {
                state.weak.entry(target).or_default().insert(place);
            }
        } else {
            referrers.extend(state.weak.get(&place).into_iter().flatten().copied());
        }
    }
    for (table, uuid) in referrers {
        let info = &tables[table];
        let Some(row) = state.rows.row(table, &uuid).cloned() else { continue };
        let mut new = Row::clone(&row);
        for it in &info.references {
            let gone = |side: Option<(Name, bool)>, atom: &Atom| match (side, atom.as_uuid()) {
                (Some((target, true)), Some(to)) => {
                    (target, to) != (table, uuid) && state.rows.row(target, &to).is_none()
                }
                _ => false,
            };
            let Some(datum) = row.get(it.column) else { continue };
            let kept = match datum.is_map() {
                true => {
                    let keep = |(k, v): &&(Atom, Atom)| !gone(it.key, k) && !gone(it.value, v);
                    Datum::map(datum.entries().iter().filter(keep).cloned())
                }
                false => Datum::set(datum.atoms().iter().filter(|atom| !gone(it.key, atom)).cloned()),
            };
            if kept.len() < info.types[it.column].0.min {
                let text = format!(
                    "Weak reference column {} in {table} row {uuid} would be left with fewer members than it must have",
                    it.column
                );
                return Err(Failure::new("constraint violation", text));
            }
            if kept != *datum {
                new.set(it.column, kept);
            }
        }
        if new != *row {
            for (_, target) in references(info, (table, uuid), &row, true) {
                if state.rows.row(target.0, &target.1).is_none() {
                    state.weak.remove(&target);
                }
            }
            state.put(changes, table, uuid, Some(new));
        }
    }
    Ok(())
}

fn check_unique(
    tables: &BTreeMap<Name, TableInfo>,
    state: &mut State,
    changes: &ChangeSet,
) -> Result<(), Failure> {
    let keys = |table: Name, row: &Row| -> Vec<(Name, usize, Vec<Datum>)> {
        let value = |column: &Name| row.get(column).cloned().unwrap_or_default();
        let indexes = tables[table].indexes.iter().enumerate();
        indexes.map(|(number, columns)| (table, number, columns.iter().map(value).collect())).collect()
    };
    for (table, _, change) in changes.iter() {
        if let Some(row) = &change.old {
            for key in keys(table, row) {
                state.unique.remove(&key);
            }
        }
    }
    for (table, uuid, change) in changes.iter() {
        if let Some(row) = &change.new {
            for key in keys(table, row) {
                if let Some(other) = state.unique.insert(key.clone(), uuid) {
                    let columns = tables[table].indexes[key.1].join(", ");
                    let text = format!(
                        "Transaction causes multiple rows in \"{table}\" table to have identical values ({:?}) for \
                         index on column \"{columns}\".  Rows have UUIDs {other} and {uuid}.",
                        key.2
                    );
                    return Err(Failure::new("constraint violation", text));
                }
            }
        }
    }
    Ok(())
}
