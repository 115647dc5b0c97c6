//! What generated tables are made of: the traits between Rust's types and OVSDB's data, and the macros
//! `table!` and `choice!` that the generated files consist of.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use tombolo_ovsdb::{Atom, Datum, Name, Row, Uuid};

/// A row of a known table.
pub trait TypedRow: Sized {
    /// The table's name.
    const TABLE: Name;
    /// Each column of the pinned schema.
    const COLUMNS: &'static [Name];
    /// Whether rows live without being referred to.
    const IS_ROOT: bool;
    /// Sets of columns whose values are unique together.
    const INDEXES: &'static [&'static [Name]];
    /// The columns that refer to rows.
    const REFERENCES: &'static [Reference];
    /// Whether there is a column `external_ids` to mark ownership in.
    const HAS_EXTERNAL_IDS: bool;

    /// Reads a row; a column it lacks gives the default.
    fn from_row(uuid: Uuid, row: &Row) -> Self;

    /// The columns that differ from their default: what an insert needs, and nothing that an older
    /// server may not know.
    fn to_row(&self) -> Row;

    /// Each column, defaults included.
    fn to_full_row(&self) -> Row;
}

/// What the schema says of a table, whatever its rows are.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The table's name.
    pub name: Name,
    /// Each column.
    pub columns: &'static [Name],
    /// Whether rows live without being referred to.
    pub is_root: bool,
    /// Sets of columns whose values are unique together.
    pub indexes: &'static [&'static [Name]],
    /// The columns that refer to rows.
    pub references: &'static [Reference],
}

impl Facts {
    /// Those of a table.
    #[must_use]
    pub const fn of<T: TypedRow>() -> Facts {
        Facts {
            name: T::TABLE,
            columns: T::COLUMNS,
            is_root: T::IS_ROOT,
            indexes: T::INDEXES,
            references: T::REFERENCES,
        }
    }
}

/// A column with references.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The column.
    pub column: Name,
    /// The table referred to.
    pub table: Name,
    /// A weak reference goes with the row; a strong one keeps it.
    pub weak: bool,
}

/// A reference to a row of table `T`.
pub struct Ref<T> {
    uuid: Uuid,
    table: PhantomData<fn() -> T>,
}

impl<T> Ref<T> {
    /// To the row with this uuid.
    pub const fn new(uuid: Uuid) -> Ref<T> {
        Ref { uuid, table: PhantomData }
    }

    /// The uuid.
    pub const fn uuid(self) -> Uuid {
        self.uuid
    }
}

impl<T> Clone for Ref<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Ref<T> {}

impl<T> PartialEq for Ref<T> {
    fn eq(&self, other: &Self) -> bool {
        self.uuid == other.uuid
    }
}

impl<T> Eq for Ref<T> {}

impl<T> PartialOrd for Ref<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Ref<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.uuid.cmp(&other.uuid)
    }
}

impl<T> Hash for Ref<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.uuid.hash(state);
    }
}

impl<T> fmt::Debug for Ref<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.uuid)
    }
}

impl<T> Default for Ref<T> {
    fn default() -> Self {
        Ref::new(Uuid::nil())
    }
}

impl<T> From<Uuid> for Ref<T> {
    fn from(uuid: Uuid) -> Self {
        Ref::new(uuid)
    }
}

impl<T> From<Ref<T>> for Uuid {
    fn from(reference: Ref<T>) -> Self {
        reference.uuid
    }
}

/// A type that one atom becomes.
pub trait AtomField: Sized {
    /// Reads an atom; `None` if it is of another kind.
    fn from_atom(atom: &Atom) -> Option<Self>;
    /// Writes the atom.
    fn to_atom(&self) -> Atom;
}

/// A type that a column becomes.
pub trait Field: Sized {
    /// Reads a datum; one that doesn't fit gives the default.
    fn from_datum(datum: &Datum) -> Self;
    /// Writes the datum.
    fn to_datum(&self) -> Datum;
}

macro_rules! scalar {
    ($($type:ty: $read:expr, $write:expr;)*) => {$(
        impl AtomField for $type {
            fn from_atom(atom: &Atom) -> Option<Self> {
                $read(atom)
            }

            fn to_atom(&self) -> Atom {
                $write(self)
            }
        }

        impl Field for $type {
            fn from_datum(datum: &Datum) -> Self {
                datum.as_atom().and_then(Self::from_atom).unwrap_or_default()
            }

            fn to_datum(&self) -> Datum {
                Datum::scalar(self.to_atom())
            }
        }
    )*};
}

scalar! {
    String: |a: &Atom| a.as_str().map(str::to_owned), |s: &String| Atom::from(s.as_str());
    i64: Atom::as_i64, |i: &i64| Atom::from(*i);
    bool: Atom::as_bool, |b: &bool| Atom::from(*b);
    Uuid: Atom::as_uuid, |u: &Uuid| Atom::from(*u);
}

impl<T> AtomField for Ref<T> {
    fn from_atom(atom: &Atom) -> Option<Self> {
        atom.as_uuid().map(Ref::new)
    }

    fn to_atom(&self) -> Atom {
        Atom::Uuid(self.uuid)
    }
}

impl<T> Field for Ref<T> {
    fn from_datum(datum: &Datum) -> Self {
        datum.as_uuid().map(Ref::new).unwrap_or_default()
    }

    fn to_datum(&self) -> Datum {
        Datum::uuid(self.uuid)
    }
}

impl<T: AtomField> Field for Option<T> {
    fn from_datum(datum: &Datum) -> Self {
        datum.as_atom().and_then(T::from_atom)
    }

    fn to_datum(&self) -> Datum {
        Datum::optional(self.as_ref().map(T::to_atom))
    }
}

impl<T: AtomField + Ord> Field for BTreeSet<T> {
    fn from_datum(datum: &Datum) -> Self {
        datum.atoms().iter().filter_map(T::from_atom).collect()
    }

    fn to_datum(&self) -> Datum {
        Datum::set(self.iter().map(T::to_atom))
    }
}

impl<K: AtomField + Ord, V: AtomField> Field for BTreeMap<K, V> {
    fn from_datum(datum: &Datum) -> Self {
        datum.entries().iter().filter_map(|(k, v)| Some((K::from_atom(k)?, V::from_atom(v)?))).collect()
    }

    fn to_datum(&self) -> Datum {
        Datum::map(self.iter().map(|(k, v)| (k.to_atom(), v.to_atom())))
    }
}

/// Defines the struct of a table and its [`TypedRow`].
macro_rules! table {
    (
        $(#[$doc:meta])*
        $type:ident = $table:literal,
        root: $root:literal,
        indexes: [$([$($index:literal),*]),*],
        references: [$($rcolumn:literal => $rtable:literal $rkind:ident),*],
        external_ids: $ids:literal,
        columns: {$(
            $(#[$fdoc:meta])*
            $field:ident: $ftype:ty = $const:ident $column:literal,
        )*}
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $type {
            /// The row's own uuid.
            pub uuid: ::tombolo_ovsdb::Uuid,
            $($(#[$fdoc])* pub $field: $ftype,)*
        }

        impl $type {
            /// The table's name.
            pub const TABLE: ::tombolo_ovsdb::Name = $table;
            /// Each column of the pinned schema.
            pub const COLUMNS: &'static [::tombolo_ovsdb::Name] = &[$($column),*];
            $(
                #[doc = concat!("The name of column `", $column, "`.")]
                pub const $const: ::tombolo_ovsdb::Name = $column;
            )*

            /// Reads a row; a column it lacks gives the default.
            pub fn from_row(uuid: ::tombolo_ovsdb::Uuid, row: &::tombolo_ovsdb::Row) -> Self {
                Self {
                    uuid,
                    $($field: row.get($column).map($crate::Field::from_datum).unwrap_or_default(),)*
                }
            }

            /// The columns that differ from their default (see [`crate::TypedRow::to_row`]).
            pub fn to_row(&self) -> ::tombolo_ovsdb::Row {
                let default = Self::default();
                let cells = [$((self.$field != default.$field)
                    .then(|| ($column, $crate::Field::to_datum(&self.$field)))),*];
                ::tombolo_ovsdb::Row::from_cells(cells.into_iter().flatten())
            }

            /// Each column, defaults included.
            pub fn to_full_row(&self) -> ::tombolo_ovsdb::Row {
                ::tombolo_ovsdb::Row::from_cells([$(($column, $crate::Field::to_datum(&self.$field))),*])
            }
        }

        impl $crate::TypedRow for $type {
            const TABLE: ::tombolo_ovsdb::Name = $table;
            const COLUMNS: &'static [::tombolo_ovsdb::Name] = $type::COLUMNS;
            const IS_ROOT: bool = $root;
            const INDEXES: &'static [&'static [::tombolo_ovsdb::Name]] = &[$(&[$($index),*]),*];
            const REFERENCES: &'static [$crate::Reference] = &[$($crate::Reference {
                column: $rcolumn,
                table: $rtable,
                weak: table!(@weak $rkind),
            }),*];
            const HAS_EXTERNAL_IDS: bool = $ids;

            fn from_row(uuid: ::tombolo_ovsdb::Uuid, row: &::tombolo_ovsdb::Row) -> Self {
                $type::from_row(uuid, row)
            }

            fn to_row(&self) -> ::tombolo_ovsdb::Row {
                $type::to_row(self)
            }

            fn to_full_row(&self) -> ::tombolo_ovsdb::Row {
                $type::to_full_row(self)
            }
        }
    };
    (@weak weak) => { true };
    (@weak strong) => { false };
}

/// Defines the enum of a column with listed values.
macro_rules! choice {
    (
        $(#[$doc:meta])*
        $type:ident { $($variant:ident = $text:literal,)* }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $type {
            $(#[doc = concat!("`", $text, "`")] $variant,)*
            /// A value that the pinned schema doesn't list.
            Other(String),
        }

        impl $type {
            /// As the database writes it.
            pub fn as_str(&self) -> &str {
                match self {
                    $($type::$variant => $text,)*
                    $type::Other(text) => text,
                }
            }
        }

        impl Default for $type {
            fn default() -> Self {
                $type::Other(String::new())
            }
        }

        impl From<&str> for $type {
            fn from(text: &str) -> Self {
                match text {
                    $($text => $type::$variant,)*
                    other => $type::Other(other.to_owned()),
                }
            }
        }

        impl $crate::AtomField for $type {
            fn from_atom(atom: &::tombolo_ovsdb::Atom) -> Option<Self> {
                atom.as_str().map($type::from)
            }

            fn to_atom(&self) -> ::tombolo_ovsdb::Atom {
                ::tombolo_ovsdb::Atom::from(self.as_str())
            }
        }

        impl $crate::Field for $type {
            fn from_datum(datum: &::tombolo_ovsdb::Datum) -> Self {
                datum.as_str().map($type::from).unwrap_or_default()
            }

            fn to_datum(&self) -> ::tombolo_ovsdb::Datum {
                ::tombolo_ovsdb::Datum::string(self.as_str())
            }
        }
    };
}

pub(crate) use {choice, table};
