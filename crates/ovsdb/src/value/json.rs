//! The JSON notation of values (RFC 7047 §5.1).

use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Atom, Datum, Repr};

impl Serialize for Atom {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Atom::Integer(i) => serializer.serialize_i64(*i),
            Atom::Real(r) => serializer.serialize_f64(r.0),
            Atom::Boolean(b) => serializer.serialize_bool(*b),
            Atom::String(s) => serializer.serialize_str(s),
            Atom::Uuid(u) => ("uuid", u).serialize(serializer),
            Atom::NamedUuid(n) => ("named-uuid", &**n).serialize(serializer),
        }
    }
}

impl Serialize for Datum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Repr::One(atom) = &self.0 {
            return atom.serialize(serializer);
        }
        let mut pair = serializer.serialize_tuple(2)?;
        if self.is_map() {
            pair.serialize_element("map")?;
            pair.serialize_element(self.entries())?;
        } else {
            pair.serialize_element("set")?;
            pair.serialize_element(self.atoms())?;
        }
        pair.end()
    }
}

impl<'de> Deserialize<'de> for Atom {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let datum = deserializer.deserialize_any(DatumVisitor { nested: true })?;
        match datum.0 {
            Repr::One(atom) => Ok(atom),
            _ => Err(de::Error::custom("expected one atom")),
        }
    }
}

impl<'de> Deserialize<'de> for Datum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DatumVisitor { nested: false })
    }
}

/// Reads a datum, or one atom inside a set or map (`nested`: no further set or map allowed, so depth is
/// bounded whatever the input says).
struct DatumVisitor {
    nested: bool,
}

impl<'de> Visitor<'de> for DatumVisitor {
    type Value = Datum;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an OVSDB value (RFC 7047 section 5.1)")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Datum, E> {
        Ok(Datum::boolean(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Datum, E> {
        Ok(Datum::integer(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Datum, E> {
        let value = i64::try_from(value).map_err(|_| E::custom("integer above 2^63-1"))?;
        Ok(Datum::integer(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Datum, E> {
        // Negative zero equals zero in the database; the total order would tell them apart.
        Ok(Datum::real(if value == 0.0 { 0.0 } else { value }))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Datum, E> {
        Ok(Datum::string(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Datum, A::Error> {
        let tag: Tag = seq.next_element()?.ok_or_else(|| de::Error::invalid_length(0, &"a tag"))?;
        let missing = || de::Error::invalid_length(1, &"a tag and a value");
        let datum = match tag {
            Tag::Uuid => Datum::uuid(seq.next_element()?.ok_or_else(missing)?),
            Tag::Set if !self.nested => {
                let atoms: Vec<Atom> = seq.next_element()?.ok_or_else(missing)?;
                Datum::set(atoms)
            }
            Tag::Map if !self.nested => {
                let mut entries: Vec<(Atom, Atom)> = seq.next_element()?.ok_or_else(missing)?;
                entries.sort_unstable();
                if entries.windows(2).any(|w| w[0].0 == w[1].0) {
                    return Err(de::Error::custom("map with the same key twice"));
                }
                Datum::from_sorted_map(entries)
            }
            Tag::Set | Tag::Map => return Err(de::Error::custom("set or map inside a set or map")),
        };
        if seq.next_element::<de::IgnoredAny>()?.is_some() {
            return Err(de::Error::invalid_length(3, &"a tag and a value"));
        }
        Ok(datum)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Tag {
    Uuid,
    Set,
    Map,
}
