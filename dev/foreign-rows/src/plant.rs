//! One row in each table of a schema, made from the schema alone: foreign rows, whatever they mean.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tombolo_ovsdb::schema::{AtomKind, BaseType, ColumnType};
use tombolo_ovsdb::{Schema, Uuid};

/// Numbers for one plant: more than a schema needs.
const ROWS: u32 = 1000;

/// Rows to be inserted in one transaction.
#[derive(Clone, Debug)]
pub struct Plant<'a> {
    schema: &'a Schema,
    rows: BTreeMap<String, (Uuid, Map<String, Value>)>,
    count: u32,
}

impl<'a> Plant<'a> {
    /// A row in each table, `nth` making names and uuids that other plants don't have.
    #[must_use]
    pub fn all(schema: &'a Schema, nth: u32) -> Plant<'a> {
        let mut plant = Plant { schema, rows: BTreeMap::new(), count: nth * ROWS };
        for table in schema.tables.keys() {
            plant.row(table);
        }
        plant
    }

    /// The row of a table.
    #[must_use]
    pub fn uuid(&self, table: &str) -> Option<Uuid> {
        self.rows.get(table).map(|(uuid, _)| *uuid)
    }

    /// The operations that make the rows.
    #[must_use]
    pub fn operations(&self) -> Vec<Value> {
        self.operations_for(|_| true)
    }

    /// The operations that make the rows of these tables.
    #[must_use]
    pub fn operations_for(&self, wanted: impl Fn(&str) -> bool) -> Vec<Value> {
        let insert = |(table, (uuid, row)): (&String, &(Uuid, Map<String, Value>))| json!({"op": "insert", "table": table, "uuid": uuid.to_string(), "row": row});
        self.rows.iter().filter(|(table, _)| wanted(table)).map(insert).collect()
    }

    fn next(&mut self) -> u32 {
        self.count += 1;
        self.count
    }

    /// The row of a table, made now with all it refers to and all that refers to it, if it wasn't.
    fn row(&mut self, table: &str) -> Uuid {
        if let Some((uuid, _)) = self.rows.get(table) {
            return *uuid;
        }
        let n = u128::from(self.next());
        // ovsdb-server hashes the first bytes only.
        let uuid = Uuid::from_u128(n << 96 | 0x4000_8000_0000_0000_0000 | n);
        self.rows.insert(table.to_owned(), (uuid, Map::new()));
        let Some(its) = self.schema.tables.get(table) else { return uuid };
        for (column, schema) in &its.columns {
            let named = its.indexes.iter().any(|index| index.contains(column)) || column == "name";
            if schema.ty.min == 0 && !named {
                continue;
            }
            let key = self.atom(&schema.ty.key);
            let value = match &schema.ty.value {
                Some(value) => json!(["map", [[key, self.atom(value)]]]),
                None => key,
            };
            self.set(table, column, value);
        }
        if !its.is_root {
            self.hang(table, uuid);
        }
        uuid
    }

    fn set(&mut self, table: &str, column: &str, value: Value) {
        if let Some((_, row)) = self.rows.get_mut(table) {
            row.insert(column.to_owned(), value);
        }
    }

    /// Refers to a row that would go at once otherwise.
    fn hang(&mut self, table: &str, uuid: Uuid) {
        let holds = |base: &BaseType| base.ref_table.as_deref() == Some(table) && !base.weak;
        let schema = self.schema;
        let parents = schema.tables.iter().flat_map(|(parent, its)| {
            its.columns.iter().map(move |(column, schema)| (parent, its.is_root, column, &schema.ty))
        });
        let parent = parents
            .filter(|(.., ty)| holds(&ty.key) || ty.value.as_ref().is_some_and(holds))
            .max_by_key(|(_, is_root, ..)| *is_root);
        let Some((parent, _, column, ty)) = parent else { return };
        self.row(parent);
        let reference = json!(["uuid", uuid.to_string()]);
        let value = match &ty.value {
            Some(_) if holds(&ty.key) => return,
            Some(_) => {
                let key = self.atom(&ty.key);
                json!(["map", [[key, reference]]])
            }
            None => reference,
        };
        // A column that must refer to something may have led here.
        self.set(parent, column, value);
    }

    fn atom(&mut self, base: &BaseType) -> Value {
        // Of two plants each its own, where values are unique.
        let nth = usize::try_from(self.count / ROWS).unwrap_or_default();
        if let Some(allowed) = base.allowed.get(nth % base.allowed.len().max(1)) {
            return serde_json::to_value(allowed).unwrap_or_default();
        }
        let n = self.next();
        match base.kind {
            AtomKind::Integer => {
                let (least, greatest) = base.integers;
                let least = least.max(0);
                json!(least + i64::from(n) % greatest.saturating_sub(least).max(1))
            }
            AtomKind::Real => json!(1.5),
            AtomKind::Boolean => json!(false),
            AtomKind::String => json!(format!("somebodys-{n}")),
            AtomKind::Uuid => match &base.ref_table {
                Some(table) => json!(["uuid", self.row(table).to_string()]),
                None => json!(["uuid", Uuid::from_u128(u128::from(n)).to_string()]),
            },
        }
    }

    /// Another value for a column than the row has; `None` if there is no other.
    #[must_use]
    pub fn other(&self, table: &str, column: &str) -> Option<Value> {
        let ty: &ColumnType = &self.schema.column(table, column)?.ty;
        let present = self.rows.get(table)?.1.get(column);
        let atom = |base: &BaseType, not: Option<&Value>| {
            let allowed = base.allowed.iter().filter_map(|atom| serde_json::to_value(atom).ok());
            if !base.allowed.is_empty() {
                return allowed.into_iter().find(|value| Some(value) != not);
            }
            match base.kind {
                AtomKind::Integer => [base.integers.0.max(0), base.integers.1]
                    .map(|n| json!(n))
                    .into_iter()
                    .find(|n| Some(n) != not),
                AtomKind::Real => Some(json!(2.5)),
                AtomKind::Boolean => Some(json!(true)),
                AtomKind::String => Some(json!("changed")),
                AtomKind::Uuid => {
                    let uuid = match &base.ref_table {
                        Some(table) => self.uuid(table)?,
                        None => Uuid::from_u128(7),
                    };
                    Some(json!(["uuid", uuid.to_string()]))
                }
            }
        };
        let empty = if ty.is_map() { json!(["map", []]) } else { json!(["set", []]) };
        let is_reference =
            ty.key.ref_table.is_some() || ty.value.as_ref().is_some_and(|v| v.ref_table.is_some());
        if is_reference && present.is_some() {
            // Another row to refer to there isn't.
            return (ty.min == 0).then_some(empty);
        }
        match &ty.value {
            Some(value) => Some(json!(["map", [[atom(&ty.key, None)?, atom(value, None)?]]])),
            None => atom(&ty.key, present).or_else(|| (ty.min == 0).then_some(empty)),
        }
    }
}
