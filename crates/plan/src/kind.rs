//! The kinds of Kubernetes objects that are watched and written: one table, from which all that differs by kind alone is made.
//!
//! A row: the variant, its type, the word in metrics and logs, API version, kind, plural, scope, the owner whose rows such an
//! object stands for, and where the World keeps it and takes it in. Kube-OVN's kinds are decoded with care: an object of a CRD can
//! hold what doesn't fit our type, and must not end the watch for all others. Core objects are held to their types by the API server.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use crate::owner::{Owner, OwnerKind};

/// Calls a macro with all rows of the table, in the order in which kinds are best listed.
#[macro_export]
macro_rules! for_each_kind {
    ($then:ident) => {
        $then! {
            Vpc: tombolo_api::Vpc, "vpc", "kubeovn.io/v1", "Vpc", "vpcs", cluster, careful, Some(Vpc), vpcs apply_vpc;
            Subnet: tombolo_api::Subnet, "subnet", "kubeovn.io/v1", "Subnet", "subnets", cluster, careful, Some(Subnet), subnets apply_subnet;
            Ip: tombolo_api::Ip, "ip", "kubeovn.io/v1", "IP", "ips", cluster, careful, None, ips apply_ip;
            Node: tombolo_api::views::NodeView, "node", "v1", "Node", "nodes", cluster, plain, Some(Node), nodes apply_node;
            Namespace: tombolo_api::views::NamespaceView, "namespace", "v1", "Namespace", "namespaces", cluster, plain, Some(Namespace), namespaces apply_namespace;
            Pod: tombolo_api::views::PodView, "pod", "v1", "Pod", "pods", namespaced, plain, Some(Pod), pods apply_pod;
        }
    };
}

/// A kind's properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// In metrics and logs.
    pub word: &'static str,
    /// Group with version, as in manifests.
    pub api_version: &'static str,
    /// As in manifests.
    pub kind: &'static str,
    /// As in paths.
    pub plural: &'static str,
    /// Its objects are in namespaces.
    pub namespaced: bool,
    /// Kube-OVN's, of which an object may not fit our type.
    pub careful: bool,
}

macro_rules! define {
    ($($variant:ident: $type:ty, $word:literal, $api:literal, $kind:literal, $plural:literal, $scope:ident, $care:ident, $owner:expr, $store:ident $apply:ident;)*) => {
        /// A kind of objects.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $(#[doc = concat!("`", $api, "` ", $kind, ", ", stringify!($scope), ".")] $variant,)*
        }

        /// An object as a watch or the reply to a write delivered it.
        #[derive(Clone, Debug)]
        pub enum Object {
            $(#[doc = concat!("`", $api, "` ", $kind, ".")] $variant(Arc<$type>),)*
        }

        const COUNT: usize = [$(Kind::$variant),*].len();

        impl Kind {
            /// All kinds, in the order in which they are best listed.
            pub const ALL: [Kind; COUNT] = [$(Kind::$variant),*];

            /// Its properties.
            #[must_use]
            pub const fn facts(self) -> Facts {
                match self {
                    $(Kind::$variant => Facts {
                        word: $word,
                        api_version: $api,
                        kind: $kind,
                        plural: $plural,
                        namespaced: define!(@is $scope),
                        careful: define!(@is $care),
                    },)*
                }
            }

            /// The kind of owner whose rows such an object stands for; `None`: its content says whose.
            #[must_use]
            pub fn owner_kind(self) -> Option<OwnerKind> {
                #[allow(unused_imports)]
                use OwnerKind::*;
                match self { $(Kind::$variant => $owner,)* }
            }
        }

        impl Object {
            /// Its kind.
            #[must_use]
            pub fn kind(&self) -> Kind {
                match self { $(Object::$variant(_) => Kind::$variant,)* }
            }

            /// Its metadata.
            #[must_use]
            pub fn meta(&self) -> &ObjectMeta {
                match self { $(Object::$variant(object) => &object.metadata,)* }
            }

            /// Reads an object of this kind.
            ///
            /// # Errors
            /// The part that doesn't fit the type.
            pub fn decode(kind: Kind, text: &[u8]) -> Result<Object, serde_json::Error> {
                Ok(match kind { $(Kind::$variant => Object::$variant(Arc::new(serde_json::from_slice(text)?)),)* })
            }

            /// The same of a value.
            ///
            /// # Errors
            /// As [`Object::decode`].
            pub fn from_value(kind: Kind, value: Value) -> Result<Object, serde_json::Error> {
                Ok(match kind { $(Kind::$variant => Object::$variant(Arc::new(serde_json::from_value(value)?)),)* })
            }
        }
    };
    (@is namespaced) => { true };
    (@is careful) => { true };
    (@is $other:ident) => { false };
}

for_each_kind!(define);

impl Kind {
    /// The key under which the World holds an object: `name`, or `namespace/name`.
    #[must_use]
    pub fn key(self, namespace: &str, name: &str) -> String {
        if self.facts().namespaced { format!("{namespace}/{name}") } else { name.to_owned() }
    }

    /// The owner whose rows an object of this kind and key stands for.
    #[must_use]
    pub fn owner(self, key: &str) -> Option<Owner> {
        Some(Owner { kind: self.owner_kind()?, name: Arc::from(key) })
    }

    /// The path of the collection in Kubernetes' API; of a namespaced kind, of one namespace.
    #[must_use]
    pub fn path(self, namespace: &str) -> String {
        let Facts { api_version, plural, namespaced, .. } = self.facts();
        let root = if api_version.contains('/') { "/apis" } else { "/api" };
        match namespaced {
            true => format!("{root}/{api_version}/namespaces/{namespace}/{plural}"),
            false => format!("{root}/{api_version}/{plural}"),
        }
    }
}

impl Object {
    /// The key under which the World holds it.
    #[must_use]
    pub fn key(&self) -> String {
        let meta = self.meta();
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        self.kind().key(&text(&meta.namespace), &text(&meta.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_the_api_servers() {
        assert_eq!(Kind::Vpc.path(""), "/apis/kubeovn.io/v1/vpcs");
        assert_eq!(Kind::Pod.path("a"), "/api/v1/namespaces/a/pods");
        assert_eq!(Kind::Node.path(""), "/api/v1/nodes");
    }
}
