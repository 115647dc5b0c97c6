//! Merge patches (RFC 7386): what to send so that an object becomes another.

use serde::Serialize;
use serde_json::{Map, Value};

/// The merge patch that turns `old` into `new`; `None` if they are equal, so that nothing is written
/// (invariant 9). Fields that are gone become `null`; arrays are replaced as a whole.
///
/// # Errors
/// Only if a value can't be JSON, which those of this crate always can.
pub fn merge_diff<T: Serialize>(old: &T, new: &T) -> Result<Option<Value>, serde_json::Error> {
    Ok(diff(&serde_json::to_value(old)?, &serde_json::to_value(new)?))
}

fn diff(old: &Value, new: &Value) -> Option<Value> {
    match (old, new) {
        _ if old == new => None,
        (Value::Object(old), Value::Object(new)) => {
            let mut patch = Map::new();
            for (key, value) in new {
                let change = old.get(key).map_or_else(|| Some(value.clone()), |before| diff(before, value));
                if let Some(change) = change {
                    patch.insert(key.clone(), change);
                }
            }
            for key in old.keys().filter(|k| !new.contains_key(*k)) {
                patch.insert(key.clone(), Value::Null);
            }
            Some(Value::Object(patch))
        }
        _ => Some(new.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_changed() {
        let old = json!({"a": 1, "b": {"c": 1, "d": [1, 2]}, "e": "x"});
        let new = json!({"a": 1, "b": {"c": 2, "d": [1, 2]}, "f": true});
        assert_eq!(merge_diff(&old, &new).unwrap(), Some(json!({"b": {"c": 2}, "e": null, "f": true})));
        assert_eq!(merge_diff(&old, &old).unwrap(), None);
        assert_eq!(merge_diff(&json!({"a": [1]}), &json!({"a": []})).unwrap(), Some(json!({"a": []})));
    }
}
