//! A client's view of the database: the tables, columns and rows it asked for.

use std::collections::BTreeMap;

use tombolo_ovsdb::{ChangeSet, Condition, IndexSpec, Name, Replica, Row, Wanted};

use super::{Server, exec};

/// A replica that follows a [`Server`] as a conditional monitor does (ovsdb-server(7) §4.1.12).
#[derive(Clone, Debug)]
pub struct Monitor {
    any_of: BTreeMap<Name, Vec<Condition>>,
    replica: Replica,
}

impl Monitor {
    /// Starts with what is in the database.
    #[must_use]
    pub fn new(server: &Server, wanted: &Wanted, indexes: &[IndexSpec]) -> Monitor {
        let layout = wanted.intersect(server.schema());
        let any_of = layout.tables.iter().map(|(name, table)| (*name, table.any_of.clone())).collect();
        let mut monitor = Monitor { any_of, replica: Replica::new(&layout, indexes) };
        for table in layout.tables.keys() {
            for (uuid, row) in server.rows().rows(table) {
                if monitor.shows(table, row) {
                    monitor.replica.put(table, uuid, Some(Row::clone(row)));
                }
            }
        }
        monitor
    }

    fn shows(&self, table: Name, row: &Row) -> bool {
        self.any_of.get(table).is_some_and(|any_of| {
            any_of.is_empty()
                || any_of.iter().any(|condition| {
                    let value = row.get(condition.column);
                    value.is_some_and(|value| exec::holds(value, condition.function, &condition.value))
                })
        })
    }

    /// Takes changes of the server in; returns those that the client sees.
    pub fn apply(&mut self, changes: &ChangeSet) -> ChangeSet {
        let mut seen = ChangeSet::default();
        for (table, uuid, change) in changes.iter() {
            if !self.any_of.contains_key(table) {
                continue;
            }
            let new = change.new.as_deref().filter(|row| self.shows(table, row)).cloned();
            let old = self.replica.put(table, uuid, new);
            let new = self.replica.row(table, &uuid).cloned();
            seen.record(table, uuid, old, new);
        }
        seen
    }

    /// The replica as it is.
    #[must_use]
    pub fn replica(&self) -> &Replica {
        &self.replica
    }
}
