//! The World's stores by kind: taking in, looking up and giving up an object, made from the table of kinds.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Dirty, IpEntry, SubnetEntry, World};
use crate::for_each_kind;
use crate::kind::{Kind, Object};

/// The World's entry of an object.
trait Held {
    fn meta(&self) -> &ObjectMeta;
}

impl<T: Held> Held for Arc<T> {
    fn meta(&self) -> &ObjectMeta {
        (**self).meta()
    }
}

impl Held for SubnetEntry {
    fn meta(&self) -> &ObjectMeta {
        &self.object.metadata
    }
}

impl Held for IpEntry {
    fn meta(&self) -> &ObjectMeta {
        &self.object.metadata
    }
}

macro_rules! stores {
    ($($variant:ident: $type:ty, $word:literal, $api:literal, $kind:literal, $plural:literal, $scope:ident, $care:ident, $owner:expr, $store:ident $apply:ident;)*) => {
        $(impl Held for $type {
            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }
        })*

        impl World {
            /// The metadata of the object held under this key (`name`, or `namespace/name`).
            #[must_use]
            pub fn held_meta(&self, kind: Kind, key: &str) -> Option<&ObjectMeta> {
                match kind { $(Kind::$variant => self.$store().get(key).map(Held::meta),)* }
            }

            /// The keys of all objects of a kind, ascending.
            #[must_use]
            pub fn keys_of(&self, kind: Kind) -> Vec<String> {
                match kind { $(Kind::$variant => self.$store().keys().map(|key| key.to_string()).collect(),)* }
            }

            /// An object was added or changed.
            pub fn apply(&mut self, object: Object, dirty: &mut Dirty) {
                let key = object.key();
                match object { $(Object::$variant(object) => self.$apply(&key, Some(object), dirty),)* }
            }

            /// The object under this key is gone.
            pub fn remove(&mut self, kind: Kind, key: &str, dirty: &mut Dirty) {
                match kind { $(Kind::$variant => self.$apply(key, None, dirty),)* }
            }
        }
    };
}

for_each_kind!(stores);
