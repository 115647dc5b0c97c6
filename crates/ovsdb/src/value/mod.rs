//! Values of OVSDB: atoms and data (RFC 7047 §5.1).
//!
//! Decides what equality means: a [`Datum`] is canonical (sorted, no duplicates, a scalar is a set of
//! one), so `==`, `Ord` and `Hash` agree with the database's own comparison. Doesn't decide whether a
//! value fits a column: that is [`crate::schema::ColumnType`].

mod json;
mod pool;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

pub(crate) use pool::Pool;
pub use uuid::Uuid;

/// A real number with a total order (`f64::total_cmp`), so that data can be sorted and compared.
#[derive(Clone, Copy, Debug)]
pub struct Real(pub f64);

impl PartialEq for Real {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Real {}

impl PartialOrd for Real {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Real {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl std::hash::Hash for Real {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

/// One value of a base type.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Atom {
    /// A 64-bit signed integer.
    Integer(i64),
    /// A finite real number.
    Real(Real),
    /// True or false.
    Boolean(bool),
    /// A string; shared, so that copies of rows are cheap.
    String(Arc<str>),
    /// The uuid of a row.
    Uuid(Uuid),
    /// A row inserted by the same transaction, by its `uuid-name`. Only ever written, never read back.
    NamedUuid(Arc<str>),
}

impl Atom {
    /// A string atom.
    pub fn string(value: impl Into<Arc<str>>) -> Atom {
        Atom::String(value.into())
    }

    /// The string, if this is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Atom::String(s) => Some(s),
            _ => None,
        }
    }

    /// The integer, if this is one.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Atom::Integer(i) => Some(*i),
            _ => None,
        }
    }

    /// The real number, if this is one.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Atom::Real(r) => Some(r.0),
            _ => None,
        }
    }

    /// The boolean, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Atom::Boolean(b) => Some(*b),
            _ => None,
        }
    }

    /// The uuid, if this is one.
    pub fn as_uuid(&self) -> Option<Uuid> {
        match self {
            Atom::Uuid(u) => Some(*u),
            _ => None,
        }
    }
}

impl fmt::Debug for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Atom::Integer(i) => write!(f, "{i}"),
            Atom::Real(r) => write!(f, "{:?}", r.0),
            Atom::Boolean(b) => write!(f, "{b}"),
            Atom::String(s) => write!(f, "{s:?}"),
            Atom::Uuid(u) => write!(f, "{u}"),
            Atom::NamedUuid(n) => write!(f, "@{n}"),
        }
    }
}

impl From<&str> for Atom {
    fn from(value: &str) -> Self {
        Atom::String(value.into())
    }
}

impl From<String> for Atom {
    fn from(value: String) -> Self {
        Atom::String(value.into())
    }
}

impl From<i64> for Atom {
    fn from(value: i64) -> Self {
        Atom::Integer(value)
    }
}

impl From<bool> for Atom {
    fn from(value: bool) -> Self {
        Atom::Boolean(value)
    }
}

impl From<Uuid> for Atom {
    fn from(value: Uuid) -> Self {
        Atom::Uuid(value)
    }
}

/// The value of a column: a set of atoms (a scalar is a set of one, "absent" is the empty set) or a map.
///
/// Always canonical, hence opaque. Cloning is cheap: the content is shared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Datum(Repr);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Repr {
    Empty,
    One(Atom),
    /// Two or more, strictly ascending.
    Set(Arc<[Atom]>),
    /// Strictly ascending by key; may be empty.
    Map(Arc<[(Atom, Atom)]>),
}

impl Datum {
    /// The empty set: "no value" of an optional column.
    pub const fn empty_set() -> Datum {
        Datum(Repr::Empty)
    }

    /// The empty map.
    pub fn empty_map() -> Datum {
        Datum(Repr::Map(Arc::default()))
    }

    /// One atom.
    pub fn scalar(atom: impl Into<Atom>) -> Datum {
        Datum(Repr::One(atom.into()))
    }

    /// One string.
    pub fn string(value: impl Into<Arc<str>>) -> Datum {
        Datum(Repr::One(Atom::String(value.into())))
    }

    /// One integer.
    pub const fn integer(value: i64) -> Datum {
        Datum(Repr::One(Atom::Integer(value)))
    }

    /// One real number.
    pub const fn real(value: f64) -> Datum {
        Datum(Repr::One(Atom::Real(Real(value))))
    }

    /// One boolean.
    pub const fn boolean(value: bool) -> Datum {
        Datum(Repr::One(Atom::Boolean(value)))
    }

    /// One reference to a row.
    pub const fn uuid(value: Uuid) -> Datum {
        Datum(Repr::One(Atom::Uuid(value)))
    }

    /// One reference to a row that the same transaction inserts with this `uuid-name`.
    pub fn named_uuid(name: impl Into<Arc<str>>) -> Datum {
        Datum(Repr::One(Atom::NamedUuid(name.into())))
    }

    /// The value of an optional column: one atom or the empty set.
    pub fn optional(atom: Option<impl Into<Atom>>) -> Datum {
        atom.map_or(Datum::empty_set(), Datum::scalar)
    }

    /// A set; sorts and removes duplicates.
    pub fn set(atoms: impl IntoIterator<Item = impl Into<Atom>>) -> Datum {
        let mut atoms: Vec<Atom> = atoms.into_iter().map(Into::into).collect();
        if !atoms.is_sorted() {
            atoms.sort_unstable();
        }
        atoms.dedup();
        Datum::from_sorted_set(atoms)
    }

    /// A set of strings.
    pub fn set_of_strings(values: impl IntoIterator<Item = impl Into<Arc<str>>>) -> Datum {
        Datum::set(values.into_iter().map(|v| Atom::String(v.into())))
    }

    /// A set of references.
    pub fn set_of_uuids(values: impl IntoIterator<Item = Uuid>) -> Datum {
        Datum::set(values.into_iter().map(Atom::Uuid))
    }

    /// A map; of two entries with the same key the last wins.
    pub fn map(entries: impl IntoIterator<Item = (impl Into<Atom>, impl Into<Atom>)>) -> Datum {
        let entries: BTreeMap<Atom, Atom> = entries.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        Datum(Repr::Map(entries.into_iter().collect()))
    }

    /// A map of strings to strings, as in `external_ids` and `options`.
    pub fn map_of_strings(
        entries: impl IntoIterator<Item = (impl Into<Arc<str>>, impl Into<Arc<str>>)>,
    ) -> Datum {
        Datum::map(entries.into_iter().map(|(k, v)| (Atom::String(k.into()), Atom::String(v.into()))))
    }

    fn from_sorted_set(mut atoms: Vec<Atom>) -> Datum {
        debug_assert!(atoms.windows(2).all(|w| w[0] < w[1]));
        Datum(match atoms.len() {
            0 => Repr::Empty,
            1 => atoms.pop().map_or(Repr::Empty, Repr::One),
            _ => Repr::Set(atoms.into()),
        })
    }

    fn from_sorted_map(entries: Vec<(Atom, Atom)>) -> Datum {
        debug_assert!(entries.windows(2).all(|w| w[0].0 < w[1].0));
        Datum(Repr::Map(entries.into()))
    }

    /// Whether this is a map (the empty map included).
    pub fn is_map(&self) -> bool {
        matches!(self.0, Repr::Map(_))
    }

    /// How many atoms (set) or entries (map).
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Empty => 0,
            Repr::One(_) => 1,
            Repr::Set(atoms) => atoms.len(),
            Repr::Map(entries) => entries.len(),
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The atoms of a set, ascending; nothing for a map.
    pub fn atoms(&self) -> &[Atom] {
        match &self.0 {
            Repr::One(atom) => std::slice::from_ref(atom),
            Repr::Set(atoms) => atoms,
            Repr::Empty | Repr::Map(_) => &[],
        }
    }

    /// The entries of a map, ascending by key; nothing for a set.
    pub fn entries(&self) -> &[(Atom, Atom)] {
        match &self.0 {
            Repr::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The atoms of a set, or the keys of a map, ascending.
    pub fn elements(&self) -> impl Iterator<Item = &Atom> {
        self.atoms().iter().chain(self.entries().iter().map(|(key, _)| key))
    }

    /// Whether a set has this atom, or a map this key.
    pub fn has_element(&self, element: &Atom) -> bool {
        self.contains(element) || self.entry(element).is_some()
    }

    /// The atom of a set of exactly one.
    pub fn as_atom(&self) -> Option<&Atom> {
        match &self.0 {
            Repr::One(atom) => Some(atom),
            _ => None,
        }
    }

    /// The string of a set of exactly one string.
    pub fn as_str(&self) -> Option<&str> {
        self.as_atom().and_then(Atom::as_str)
    }

    /// The integer of a set of exactly one integer.
    pub fn as_i64(&self) -> Option<i64> {
        self.as_atom().and_then(Atom::as_i64)
    }

    /// The number of a set of exactly one real.
    pub fn as_f64(&self) -> Option<f64> {
        self.as_atom().and_then(Atom::as_f64)
    }

    /// The boolean of a set of exactly one boolean.
    pub fn as_bool(&self) -> Option<bool> {
        self.as_atom().and_then(Atom::as_bool)
    }

    /// The reference of a set of exactly one uuid.
    pub fn as_uuid(&self) -> Option<Uuid> {
        self.as_atom().and_then(Atom::as_uuid)
    }

    /// Whether a set has this atom.
    pub fn contains(&self, atom: &Atom) -> bool {
        self.atoms().binary_search(atom).is_ok()
    }

    /// Whether a set has this reference.
    pub fn contains_uuid(&self, uuid: Uuid) -> bool {
        self.contains(&Atom::Uuid(uuid))
    }

    /// The value of a key of a map.
    pub fn entry(&self, key: &Atom) -> Option<&Atom> {
        let entries = self.entries();
        entries.binary_search_by(|(k, _)| k.cmp(key)).ok().map(|i| &entries[i].1)
    }

    /// The string value of a string key of a map: `row.get("external_ids")?.key("vendor")`.
    pub fn key(&self, key: &str) -> Option<&str> {
        let entries = self.entries();
        // Strings are compared in place: no atom is made for the look-up.
        let found = entries.binary_search_by(|(k, _)| match k {
            Atom::String(s) => (**s).cmp(key),
            Atom::Integer(_) | Atom::Real(_) | Atom::Boolean(_) => std::cmp::Ordering::Less,
            Atom::Uuid(_) | Atom::NamedUuid(_) => std::cmp::Ordering::Greater,
        });
        found.ok().and_then(|i| entries[i].1.as_str())
    }

    /// The strings of a set, ascending.
    pub fn strings(&self) -> impl Iterator<Item = &str> {
        self.atoms().iter().filter_map(Atom::as_str)
    }

    /// The references of a set, ascending.
    pub fn uuids(&self) -> impl Iterator<Item = Uuid> {
        self.atoms().iter().filter_map(Atom::as_uuid)
    }

    /// The string entries of a map, ascending by key.
    pub fn string_entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries().iter().filter_map(|(k, v)| Some((k.as_str()?, v.as_str()?)))
    }

    /// The strings of a set, owned.
    pub fn string_set(&self) -> BTreeSet<String> {
        self.strings().map(str::to_owned).collect()
    }

    /// The references of a set, owned.
    pub fn uuid_set(&self) -> BTreeSet<Uuid> {
        self.uuids().collect()
    }

    /// The string entries of a map, owned.
    pub fn str_map(&self) -> BTreeMap<String, String> {
        self.string_entries().map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    /// The union of two sets, or of two maps (entries of `other` win). A set and a map give `self`.
    pub fn union(&self, other: &Datum) -> Datum {
        if self.is_map() && other.is_map() {
            return Datum::map(self.entries().iter().chain(other.entries()).cloned());
        }
        if self.is_map() || other.is_map() {
            return self.clone();
        }
        Datum::set(self.atoms().iter().chain(other.atoms()).cloned())
    }

    /// What is in this set and not in `other`; of a map the entries whose key is not in `other` (a set
    /// of keys or a map).
    pub fn difference(&self, other: &Datum) -> Datum {
        if self.is_map() {
            let keep = |(k, _): &&(Atom, Atom)| !other.contains(k) && other.entry(k).is_none();
            return Datum::from_sorted_map(self.entries().iter().filter(keep).cloned().collect());
        }
        let (ours, theirs) = (self.atoms(), other.atoms());
        if theirs.len() / 16 > ours.len() {
            return Datum::from_sorted_set(ours.iter().filter(|a| !other.contains(a)).cloned().collect());
        }
        // Both ascend: one walk over both. Sets of a thousand references that differ in one are the rule.
        let mut theirs = theirs.iter().peekable();
        let missing = ours.iter().filter(|atom| {
            while theirs.next_if(|other| other < atom).is_some() {}
            theirs.peek() != Some(atom)
        });
        Datum::from_sorted_set(missing.cloned().collect())
    }

    /// What is in this set and not in `other`; of a map the entries that aren't the same in `other`.
    pub fn differing_from(&self, other: &Datum) -> Datum {
        if !self.is_map() {
            return self.difference(other);
        }
        let differs = |(key, value): &&(Atom, Atom)| other.entry(key) != Some(value);
        Datum::from_sorted_map(self.entries().iter().filter(differs).cloned().collect())
    }

    /// Applies the delta of a composite column (`max` above one), as `update2` and `update3` carry it, and the
    /// database's file:
    /// of sets the symmetric difference; of maps an equal entry is removed, any other set.
    pub fn apply_delta(&self, delta: &Datum) -> Datum {
        if self.is_map() || delta.is_map() {
            return self.apply_map_delta(delta.entries());
        }
        let (old, delta) = (self.atoms(), delta.atoms());
        let mut merged = Vec::with_capacity(old.len() + delta.len());
        let (mut i, mut j) = (0, 0);
        while i < old.len() && j < delta.len() {
            match old[i].cmp(&delta[j]) {
                std::cmp::Ordering::Less => {
                    merged.push(old[i].clone());
                    i += 1;
                }
                std::cmp::Ordering::Greater => {
                    merged.push(delta[j].clone());
                    j += 1;
                }
                std::cmp::Ordering::Equal => {
                    i += 1;
                    j += 1;
                }
            }
        }
        merged.extend_from_slice(&old[i..]);
        merged.extend_from_slice(&delta[j..]);
        Datum::from_sorted_set(merged)
    }

    fn apply_map_delta(&self, delta: &[(Atom, Atom)]) -> Datum {
        let old = self.entries();
        let mut merged = Vec::with_capacity(old.len() + delta.len());
        let (mut i, mut j) = (0, 0);
        while i < old.len() && j < delta.len() {
            match old[i].0.cmp(&delta[j].0) {
                std::cmp::Ordering::Less => {
                    merged.push(old[i].clone());
                    i += 1;
                }
                std::cmp::Ordering::Greater => {
                    merged.push(delta[j].clone());
                    j += 1;
                }
                std::cmp::Ordering::Equal => {
                    if old[i].1 != delta[j].1 {
                        merged.push(delta[j].clone());
                    }
                    i += 1;
                    j += 1;
                }
            }
        }
        merged.extend_from_slice(&old[i..]);
        merged.extend_from_slice(&delta[j..]);
        Datum::from_sorted_map(merged)
    }

    /// Parses the JSON notation of RFC 7047 §5.1.
    pub fn from_json(text: &str) -> Result<Datum, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Writes the JSON notation of RFC 7047 §5.1.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or(serde_json::Value::Null)
    }

    /// Integers become reals; used where the schema says `real` but JSON wrote `1`.
    pub(crate) fn widen_to_real(self, keys: bool, values: bool) -> Datum {
        let widen = |atom: &Atom, really: bool| match atom {
            Atom::Integer(i) if really => Atom::Real(Real(*i as f64)),
            other => other.clone(),
        };
        match &self.0 {
            Repr::Map(entries) => Datum::map(entries.iter().map(|(k, v)| (widen(k, keys), widen(v, values)))),
            _ => Datum::set(self.atoms().iter().map(|a| widen(a, keys))),
        }
    }
}

impl Default for Datum {
    fn default() -> Self {
        Datum::empty_set()
    }
}

impl fmt::Debug for Datum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Empty => write!(f, "[]"),
            Repr::One(atom) => write!(f, "{atom:?}"),
            Repr::Set(atoms) => f.debug_list().entries(atoms.iter()).finish(),
            Repr::Map(entries) => f.debug_map().entries(entries.iter().map(|(k, v)| (k, v))).finish(),
        }
    }
}
