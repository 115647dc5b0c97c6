//! Schemas: what a database has (RFC 7047 §3.2), what a client wants, and what both share.
//!
//! Decides which tables and columns are monitored: those wanted that the server has. An older server
//! without a column is no error; [`Capabilities`] shows it, and rows then lack the column.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;

use crate::name::{Name, intern};
use crate::ops::Condition;
use crate::value::{Atom, Datum};

/// A schema that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("reading the schema of an OVSDB database: {0}")]
pub struct SchemaError(#[from] serde_json::Error);

/// The schema of one database.
#[derive(Clone, Debug, Deserialize)]
pub struct Schema {
    /// The database's name, such as `OVN_Northbound`.
    pub name: String,
    /// Its version, `x.y.z`.
    #[serde(default)]
    pub version: String,
    /// Checksum of the schema file, as its authors keep it.
    #[serde(default)]
    pub cksum: String,
    /// The tables by name.
    pub tables: BTreeMap<String, TableSchema>,
}

impl Schema {
    /// Parses the answer to `get_schema`, or an `.ovsschema` file.
    pub fn parse(text: &str) -> Result<Schema, SchemaError> {
        Ok(serde_json::from_str(text)?)
    }

    /// A column, if the schema has it.
    pub fn column(&self, table: &str, column: &str) -> Option<&ColumnSchema> {
        self.tables.get(table)?.columns.get(column)
    }
}

/// One table.
#[derive(Clone, Debug, Deserialize)]
pub struct TableSchema {
    /// The columns by name, without `_uuid` and `_version`.
    pub columns: BTreeMap<String, ColumnSchema>,
    /// At most so many rows.
    #[serde(default, rename = "maxRows")]
    pub max_rows: Option<u64>,
    /// Rows live without being referred to; a row of a table that isn't root goes when its last strong
    /// reference does.
    #[serde(default, rename = "isRoot")]
    pub is_root: bool,
    /// Sets of columns whose values are unique together.
    #[serde(default)]
    pub indexes: Vec<Vec<String>>,
}

/// One column.
#[derive(Clone, Debug, Deserialize)]
pub struct ColumnSchema {
    /// What it holds.
    #[serde(rename = "type")]
    pub ty: ColumnType,
    /// Lost when the server restarts.
    #[serde(default)]
    pub ephemeral: bool,
    /// Can be changed after insertion.
    #[serde(default = "yes")]
    pub mutable: bool,
}

fn yes() -> bool {
    true
}

/// The type of a column.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "RawType")]
pub struct ColumnType {
    /// The atoms of a set, or the keys of a map.
    pub key: BaseType,
    /// The values of a map.
    pub value: Option<BaseType>,
    /// 0 or 1.
    pub min: usize,
    /// At least 1; `usize::MAX` for "unlimited".
    pub max: usize,
}

impl ColumnType {
    /// Exactly one atom.
    pub fn is_scalar(&self) -> bool {
        self.min == 1 && self.max == 1 && self.value.is_none()
    }

    /// No atom or one.
    pub fn is_optional(&self) -> bool {
        self.min == 0 && self.max == 1 && self.value.is_none()
    }

    /// Keys and values.
    pub fn is_map(&self) -> bool {
        self.value.is_some()
    }

    /// More than one atom or entry is possible: then `update2` carries deltas, not values.
    pub fn is_composite(&self) -> bool {
        self.max > 1
    }

    /// The value of a column that an insert doesn't name (RFC 7047 §5.2.1).
    pub fn default_datum(&self) -> Datum {
        match (&self.value, self.min) {
            (None, 0) => Datum::empty_set(),
            (None, _) => Datum::scalar(self.key.kind.zero()),
            (Some(_), 0) => Datum::empty_map(),
            (Some(value), _) => Datum::map([(self.key.kind.zero(), value.kind.zero())]),
        }
    }

    /// Makes a datum out of JSON one of this type: a real written `1` becomes a real, an empty set of a
    /// map column the empty map. `Err` says what doesn't fit.
    pub fn conform(&self, datum: Datum) -> Result<Datum, String> {
        let real_key = self.key.kind == AtomKind::Real;
        let real_value = self.value.as_ref().is_some_and(|v| v.kind == AtomKind::Real);
        let datum = if real_key || real_value { datum.widen_to_real(real_key, real_value) } else { datum };
        match &self.value {
            Some(value) => {
                if !datum.is_map() {
                    return if datum.is_empty() {
                        Ok(Datum::empty_map())
                    } else {
                        Err("expected a map".to_owned())
                    };
                }
                let fits = |(k, v): &(Atom, Atom)| self.key.kind.is(k) && value.kind.is(v);
                if !datum.entries().iter().all(fits) {
                    return Err(format!("expected a map of {:?} to {:?}", self.key.kind, value.kind));
                }
            }
            None => {
                if datum.is_map() || !datum.atoms().iter().all(|a| self.key.kind.is(a)) {
                    return Err(format!("expected {:?}", self.key.kind));
                }
            }
        }
        Ok(datum)
    }
}

/// The base type of atoms, with its constraints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseType {
    /// What kind of atom.
    pub kind: AtomKind,
    /// The only values allowed, if they are listed.
    pub allowed: Vec<Atom>,
    /// The least and the greatest integer allowed.
    pub integers: (i64, i64),
    /// The table that a uuid refers to.
    pub ref_table: Option<String>,
    /// Whether the reference is weak: it goes when the row does, instead of keeping it.
    pub weak: bool,
}

/// The five kinds of atoms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AtomKind {
    /// 64-bit signed.
    Integer,
    /// Floating point.
    Real,
    /// True or false.
    Boolean,
    /// Text.
    String,
    /// Reference.
    Uuid,
}

impl AtomKind {
    /// The default of RFC 7047 §5.2.1.
    pub fn zero(self) -> Atom {
        match self {
            AtomKind::Integer => Atom::Integer(0),
            AtomKind::Real => Atom::Real(crate::value::Real(0.0)),
            AtomKind::Boolean => Atom::Boolean(false),
            AtomKind::String => Atom::string(""),
            AtomKind::Uuid => Atom::Uuid(crate::value::Uuid::nil()),
        }
    }

    fn is(self, atom: &Atom) -> bool {
        match atom {
            Atom::Integer(_) => self == AtomKind::Integer,
            Atom::Real(_) => self == AtomKind::Real,
            Atom::Boolean(_) => self == AtomKind::Boolean,
            Atom::String(_) => self == AtomKind::String,
            Atom::Uuid(_) | Atom::NamedUuid(_) => self == AtomKind::Uuid,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawType {
    Short(AtomKind),
    Long {
        key: RawBase,
        value: Option<Box<RawBase>>,
        #[serde(default = "one")]
        min: usize,
        #[serde(default)]
        max: RawMax,
    },
}

fn one() -> usize {
    1
}

#[derive(Default, Deserialize)]
#[serde(untagged)]
enum RawMax {
    #[default]
    One,
    Number(usize),
    Unlimited(#[allow(dead_code, reason = "only \"unlimited\" is legal")] String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawBase {
    Short(AtomKind),
    Long {
        #[serde(rename = "type")]
        kind: AtomKind,
        #[serde(rename = "enum")]
        allowed: Option<Datum>,
        #[serde(rename = "minInteger")]
        min_integer: Option<i64>,
        #[serde(rename = "maxInteger")]
        max_integer: Option<i64>,
        #[serde(rename = "refTable")]
        ref_table: Option<String>,
        #[serde(rename = "refType")]
        ref_type: Option<String>,
    },
}

impl From<RawBase> for BaseType {
    fn from(raw: RawBase) -> Self {
        match raw {
            RawBase::Short(kind) => BaseType {
                kind,
                allowed: Vec::new(),
                integers: (i64::MIN, i64::MAX),
                ref_table: None,
                weak: false,
            },
            RawBase::Long { kind, allowed, min_integer, max_integer, ref_table, ref_type } => BaseType {
                kind,
                allowed: allowed.map(|d| d.atoms().to_vec()).unwrap_or_default(),
                integers: (min_integer.unwrap_or(i64::MIN), max_integer.unwrap_or(i64::MAX)),
                ref_table,
                weak: ref_type.as_deref() == Some("weak"),
            },
        }
    }
}

impl From<RawType> for ColumnType {
    fn from(raw: RawType) -> Self {
        match raw {
            RawType::Short(kind) => {
                ColumnType { key: RawBase::Short(kind).into(), value: None, min: 1, max: 1 }
            }
            RawType::Long { key, value, min, max } => ColumnType {
                key: key.into(),
                value: value.map(|value| (*value).into()),
                min,
                max: match max {
                    RawMax::One => 1,
                    RawMax::Number(max) => max,
                    RawMax::Unlimited(_) => usize::MAX,
                },
            },
        }
    }
}

/// The tables and columns a client wants to mirror.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    tables: BTreeMap<Name, WantedTable>,
}

/// What of one table is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedTable {
    /// The columns; `None` means each the server has.
    pub columns: Option<BTreeSet<Name>>,
    /// Only rows that satisfy *any* of these; empty means all. A row that stops satisfying them looks
    /// deleted, so never filter a table in which the rows of others matter.
    pub any_of: Vec<Condition>,
}

impl Wanted {
    /// Nothing.
    pub fn new() -> Wanted {
        Wanted::default()
    }

    /// Each table and column the server has.
    pub fn everything(schema: &Schema) -> Wanted {
        schema.tables.keys().fold(Wanted::new(), |wanted, table| wanted.table_all(intern(table)))
    }

    /// Whether a column is among what is wanted.
    #[must_use]
    pub fn has(&self, table: &str, column: &str) -> bool {
        let columns = self.tables.get(table).map(|table| &table.columns);
        columns.is_some_and(|columns| columns.as_ref().is_none_or(|columns| columns.contains(column)))
    }

    /// These columns of a table.
    #[must_use]
    pub fn table(mut self, table: Name, columns: &[Name]) -> Wanted {
        self.tables.entry(table).or_default().columns.get_or_insert_default().extend(columns);
        self
    }

    /// Each column of a table that the server has.
    #[must_use]
    pub fn table_all(mut self, table: Name) -> Wanted {
        self.tables.entry(table).or_default().columns = None;
        self
    }

    /// Only rows of the table that satisfy any of the conditions (see [`WantedTable::any_of`]).
    #[must_use]
    pub fn only(mut self, table: Name, any_of: Vec<Condition>) -> Wanted {
        self.tables.entry(table).or_default().any_of = any_of;
        self
    }

    /// The tables wanted, ascending.
    pub fn tables(&self) -> impl Iterator<Item = (Name, &WantedTable)> {
        self.tables.iter().map(|(name, table)| (*name, table))
    }

    /// What is wanted and there, as the layout of a replica.
    pub fn intersect(&self, schema: &Schema) -> Layout {
        let mut tables = BTreeMap::new();
        for (name, wanted) in &self.tables {
            let Some(there) = schema.tables.get(*name) else { continue };
            let mut columns: Vec<(Name, ColumnType)> = there
                .columns
                .iter()
                .filter(|(column, _)| {
                    wanted.columns.as_ref().is_none_or(|wanted| wanted.contains(column.as_str()))
                })
                .map(|(column, schema)| (intern(column), schema.ty.clone()))
                .collect();
            columns.sort_by_key(|(column, _)| *column);
            let table = TableLayout::new(columns, wanted.any_of.clone());
            tables.insert(*name, Arc::new(table));
        }
        Layout { tables }
    }
}

/// The tables and columns that a replica holds.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// By table.
    pub tables: BTreeMap<Name, Arc<TableLayout>>,
}

/// The columns of one table of a replica.
#[derive(Clone, Debug)]
pub struct TableLayout {
    /// Ascending.
    pub columns: Arc<[Name]>,
    /// One for each column.
    pub types: Vec<ColumnType>,
    /// The monitor's condition (any of), empty for none.
    pub any_of: Vec<Condition>,
    /// The row an insert without columns makes.
    pub default_row: crate::row::Row,
}

impl TableLayout {
    fn new(columns: Vec<(Name, ColumnType)>, any_of: Vec<Condition>) -> TableLayout {
        let (names, types): (Vec<Name>, Vec<ColumnType>) = columns.into_iter().unzip();
        let names: Arc<[Name]> = names.into();
        let defaults = types.iter().map(ColumnType::default_datum).collect();
        let default_row = crate::row::Row::with_columns(names.clone(), defaults);
        TableLayout { columns: names, types, any_of, default_row }
    }

    /// The position of a column.
    pub fn position(&self, column: &str) -> Option<usize> {
        self.columns.binary_search_by(|c| (*c).cmp(column)).ok()
    }
}

/// What the connected server can do: its schema, asked by name.
#[derive(Clone, Debug)]
pub struct Capabilities {
    schema: Arc<Schema>,
}

impl Capabilities {
    /// Of this schema.
    pub fn new(schema: impl Into<Arc<Schema>>) -> Capabilities {
        Capabilities { schema: schema.into() }
    }

    /// The whole schema.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Whether the server has the table.
    pub fn has_table(&self, table: &str) -> bool {
        self.schema.tables.contains_key(table)
    }

    /// Whether the server has the column.
    pub fn has_column(&self, table: &str, column: &str) -> bool {
        self.schema.column(table, column).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"name":"D","version":"1.0.0","tables":{
        "T":{"columns":{
            "name":{"type":"string","mutable":false},
            "tag":{"type":{"key":{"type":"integer","minInteger":0},"min":0,"max":1}},
            "ids":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}},
            "peer":{"type":{"key":{"type":"uuid","refTable":"T","refType":"weak"},"min":0,"max":"unlimited"}},
            "load":{"type":"real","ephemeral":true},
            "kind":{"type":{"key":{"type":"string","enum":["set",["a","b"]]}}}},
          "isRoot":true,"indexes":[["name"]]}}}"#;

    #[test]
    fn parses_types() {
        let schema = Schema::parse(TEXT).unwrap();
        let table = &schema.tables["T"];
        assert!(table.is_root);
        assert_eq!(table.indexes, [["name"]]);
        assert!(!table.columns["name"].mutable);
        assert!(table.columns["load"].ephemeral);
        assert!(table.columns["tag"].ty.is_optional());
        assert_eq!(table.columns["tag"].ty.key.integers, (0, i64::MAX));
        assert_eq!(table.columns["ids"].ty.max, usize::MAX);
        assert!(table.columns["peer"].ty.key.weak);
        assert_eq!(table.columns["kind"].ty.key.allowed, [Atom::from("a"), Atom::from("b")]);
    }

    #[test]
    fn a_real_written_as_an_integer_is_a_real() {
        let schema = Schema::parse(TEXT).unwrap();
        let ty = &schema.column("T", "load").unwrap().ty;
        assert_eq!(ty.conform(Datum::integer(1)).unwrap(), Datum::real(1.0));
        assert!(ty.conform(Datum::string("1")).is_err());
    }

    #[test]
    fn columns_the_server_lacks_are_left_out() {
        let schema = Schema::parse(TEXT).unwrap();
        let wanted = Wanted::new().table("T", &["name", "newer"]).table("Newer", &["x"]);
        let layout = wanted.intersect(&schema);
        assert_eq!(layout.tables.len(), 1);
        assert_eq!(*layout.tables["T"].columns, ["name"]);
        let caps = Capabilities::new(schema);
        assert!(caps.has_column("T", "name") && !caps.has_column("T", "newer") && !caps.has_table("Newer"));
    }
}
