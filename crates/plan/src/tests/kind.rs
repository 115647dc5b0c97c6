//! The table of kinds, and the World's stores by it.

use serde_json::{Value, json};

use super::small;
use crate::world::Dirty;
use crate::{Kind, Object, World};

#[test]
fn each_kind_is_read_held_and_given_up_under_its_key() {
    for kind in Kind::ALL {
        let facts = kind.facts();
        let namespace = if facts.namespaced { json!("ns") } else { Value::Null };
        let value = json!({
            "apiVersion": facts.api_version, "kind": facts.kind,
            "metadata": { "name": "a", "namespace": namespace, "uid": "u" }, "spec": {},
        });
        let object = Object::decode(kind, value.to_string().as_bytes()).unwrap();
        assert_eq!((object.kind(), object.key()), (kind, kind.key("ns", "a")));
        let mut world = World::new(small::config());
        let mut dirty = Dirty::default();
        world.apply(object, &mut dirty);
        let key = kind.key("ns", "a");
        assert_eq!(world.held_meta(kind, &key).unwrap().uid.as_deref(), Some("u"), "{kind:?}");
        assert_eq!(world.keys_of(kind), std::slice::from_ref(&key), "{kind:?}");
        if let Some(owner) = kind.owner(&key) {
            assert!(dirty.now.contains(&owner), "{kind:?}");
        }
        world.remove(kind, &key, &mut dirty);
        assert!(world.held_meta(kind, &key).is_none() && world.keys_of(kind).is_empty(), "{kind:?}");
    }
}
