//! A conditional monitor on the server's side: which rows and columns a client sees, and their JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tombolo_ovsdb::name::intern;
use tombolo_ovsdb::schema::ColumnType;
use tombolo_ovsdb::{Atom, ChangeSet, Condition, Datum, Function, Name, Replica, Row, Schema};

use tombolo_plan::ClusterId;
use tombolo_plan::owner::CLUSTER_KEY;

use crate::mutant::Mutant;
use crate::nb::holds;

#[derive(Debug)]
struct TableView {
    columns: Vec<(Name, ColumnType)>,
    any_of: Vec<Condition>,
}

/// A client's monitor.
#[derive(Debug)]
pub(super) struct View {
    /// Its id, as the client chose it.
    pub(super) monitor: Value,
    tables: BTreeMap<Name, TableView>,
    /// Rows of others are shown as rows of this cluster's ([`Mutant::ForeignAsOurs`]).
    pretend: Option<ClusterId>,
}

fn condition(columns: &[(Name, ColumnType)], clause: &Value) -> Condition {
    let name = clause[0].as_str().expect("a column");
    let function = match clause[1].as_str() {
        Some("includes") => Function::Includes,
        Some("==") => Function::Equal,
        Some("!=") => Function::NotEqual,
        other => panic!("a function that no client of ours asks for: {other:?}"),
    };
    let (column, ty) = columns.iter().find(|(column, _)| *column == name).expect("a column of the request");
    let datum: Datum = serde_json::from_value(clause[2].clone()).expect("a datum");
    Condition { column, function, value: ty.conform(datum).expect("a datum of the column's type") }
}

impl View {
    /// The monitor that a request asks for.
    pub(super) fn new(
        schema: &Schema,
        monitor: &Value,
        requests: &Value,
        pretend: Option<ClusterId>,
    ) -> View {
        let table = |(name, request): (&String, &Value)| {
            let request = &request[0];
            let columns = request["columns"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let columns: Vec<(Name, ColumnType)> = columns
                .map(|column| (intern(column), schema.column(name, column).expect("a column").ty.clone()))
                .collect();
            let clauses = request["where"].as_array().into_iter().flatten();
            let any_of = clauses.map(|clause| condition(&columns, clause)).collect();
            (intern(name), TableView { columns, any_of })
        };
        let tables = requests.as_object().expect("requests by table").iter().map(table).collect();
        View { monitor: monitor.clone(), tables, pretend }
    }

    fn shown<'a>(&self, row: &'a Row) -> Cow<'a, Row> {
        match &self.pretend {
            Some(cluster) if row.key("external_ids", CLUSTER_KEY).is_none() => {
                Cow::Owned(Mutant::shown(cluster, row))
            }
            _ => Cow::Borrowed(row),
        }
    }

    /// Everything it shows.
    pub(super) fn content(&self, rows: &Replica) -> Value {
        let mut all = Map::new();
        for (name, view) in &self.tables {
            let shown = rows.rows(name).map(|(uuid, row)| (uuid, self.shown(row)));
            let shown: Map<String, Value> = shown
                .filter(|(_, row)| view.shows(row))
                .map(|(uuid, row)| (uuid.to_string(), json!({ "initial": view.whole(&row) })))
                .collect();
            if !shown.is_empty() {
                all.insert((*name).to_owned(), Value::Object(shown));
            }
        }
        Value::Object(all)
    }

    /// What of these changes it shows.
    pub(super) fn updates(&self, changes: &ChangeSet) -> Value {
        let mut all = Map::new();
        for (name, view) in &self.tables {
            let mut updates = Map::new();
            for (uuid, change) in changes.of_table(name) {
                let old = change.old.as_deref().map(|row| self.shown(row)).filter(|row| view.shows(row));
                let new = change.new.as_deref().map(|row| self.shown(row)).filter(|row| view.shows(row));
                let update = match (old.as_deref(), new.as_deref()) {
                    (None, Some(new)) => json!({ "insert": view.whole(new) }),
                    (Some(_), None) => json!({ "delete": null }),
                    (Some(old), Some(new)) => match view.difference(old, new) {
                        columns if columns.is_empty() => continue,
                        columns => json!({ "modify": columns }),
                    },
                    (None, None) => continue,
                };
                updates.insert(uuid.to_string(), update);
            }
            if !updates.is_empty() {
                all.insert((*name).to_owned(), Value::Object(updates));
            }
        }
        Value::Object(all)
    }
}

impl TableView {
    fn shows(&self, row: &Row) -> bool {
        let holds =
            |it: &Condition| row.get(it.column).is_some_and(|value| holds(value, it.function, &it.value));
        self.any_of.is_empty() || self.any_of.iter().any(holds)
    }

    /// The columns that differ from their default.
    fn whole(&self, row: &Row) -> Map<String, Value> {
        let cells = self.columns.iter().filter_map(|(column, ty)| {
            let value = row.get(column).filter(|value| **value != ty.default_datum())?;
            Some(((*column).to_owned(), value.to_json()))
        });
        cells.collect()
    }

    fn difference(&self, old: &Row, new: &Row) -> Map<String, Value> {
        let cells = self.columns.iter().filter_map(|(column, ty)| {
            let (old, new) = (old.get(column)?, new.get(column)?);
            let value = match (old == new, ty.is_composite()) {
                (true, _) => return None,
                (false, true) => delta(old, new),
                (false, false) => new.clone(),
            };
            Some(((*column).to_owned(), value.to_json()))
        });
        cells.collect()
    }
}

/// What leads from one value to the other (ovsdb-server(7) §4.1.14): of sets the atoms in one of the two, of maps the
/// entries that are new or other, and those that go as they were.
fn delta(old: &Datum, new: &Datum) -> Datum {
    if !(old.is_map() || new.is_map()) {
        return old.difference(new).union(&new.difference(old));
    }
    let differs = |(key, value): &&(Atom, Atom)| old.entry(key) != Some(value);
    let goes = |(key, _): &&(Atom, Atom)| new.entry(key).is_none();
    let changed = new.entries().iter().filter(differs);
    Datum::map(changed.chain(old.entries().iter().filter(goes)).cloned())
}
