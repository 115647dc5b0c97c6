//! Numbers of addresses in `Subnet.status`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of addresses: a JSON number of any size.
///
/// The API server keeps integers up to 2⁶³−1 exactly and greater ones as floating point. So does this
/// type, at construction: what is read back equals what was written, and comparing a status with the
/// wanted one doesn't see a difference that isn't there.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpCount(u128);

impl IpCount {
    /// The value, rounded to a double above 2⁶³−1.
    pub fn get(self) -> u128 {
        self.0
    }
}

impl From<u128> for IpCount {
    fn from(value: u128) -> Self {
        if value <= i64::MAX as u128 { Self(value) } else { Self(value as f64 as u128) }
    }
}

impl fmt::Debug for IpCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for IpCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for IpCount {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if self.0 <= i64::MAX as u128 {
            s.serialize_u64(self.0 as u64)
        } else {
            s.serialize_f64(self.0 as f64)
        }
    }
}

impl<'de> Deserialize<'de> for IpCount {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct CountVisitor;
        impl Visitor<'_> for CountVisitor {
            type Value = IpCount;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of addresses")
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<IpCount, E> {
                Ok(u128::from(v).into())
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<IpCount, E> {
                // Kube-OVN never writes one below zero; it isn't worth an undecodable object.
                Ok(u128::from(v.max(0).unsigned_abs()).into())
            }
            fn visit_u128<E: de::Error>(self, v: u128) -> Result<IpCount, E> {
                Ok(v.into())
            }
            fn visit_f64<E: de::Error>(self, v: f64) -> Result<IpCount, E> {
                Ok((v as u128).into())
            }
        }
        d.deserialize_any(CountVisitor)
    }
}

impl JsonSchema for IpCount {
    fn schema_name() -> Cow<'static, str> {
        "IpCount".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_back_equals_what_was_written() {
        for n in [
            0u128,
            1,
            253,
            65_533,
            i64::MAX as u128,
            i64::MAX as u128 + 1,
            u64::MAX.into(),
            (1 << 64) - 2,
            (1 << 112) - 3,
            u128::MAX,
        ] {
            let count = IpCount::from(n);
            let json = serde_json::to_string(&count).unwrap();
            assert_eq!(serde_json::from_str::<IpCount>(&json).unwrap(), count, "{json}");
        }
        assert_eq!(serde_json::to_string(&IpCount::from(253)).unwrap(), "253");
        // As the API server prints a /64.
        assert_eq!(
            serde_json::from_str::<IpCount>("18446744073709552000").unwrap(),
            IpCount::from((1 << 64) - 2)
        );
        assert_eq!(serde_json::from_str::<IpCount>("253.0").unwrap(), IpCount::from(253));
        assert_eq!(serde_json::from_str::<IpCount>("-1").unwrap(), IpCount::from(0));
    }
}
