//! Who a row belongs to: the owner key in its `external_ids` and the uuid derived from it (invariant 2).
//!
//! An owner is also the unit of work: a change of an object makes its owner dirty, and planning one owner
//! touches the rows of that owner only.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

pub use tombolo_names::rows::{
    CLUSTER as CLUSTER_KEY, ENTRIES as ENTRIES_KEY, MAC as MAC_KEY, OWNER as OWNER_KEY, PARENT as PARENT_KEY,
    STANDS_FOR as STANDS_FOR_KEY, VENDOR, VENDOR_KEY,
};

/// Namespace of all row uuids, so that they don't clash with another UUIDv5 of the same words.
const ROWS: Uuid = Uuid::from_u128(0x6f1d_7e0a_6c0b_4b53_9d0e_7a1c_2b5f_e901);

/// The kinds of owners. The order is the order of work after a start: what others hang on comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OwnerKind {
    /// The cluster itself: its epoch row.
    Cluster,
    /// A Vpc. Owns no row on a router of Neutron's.
    Vpc,
    /// A Subnet: its switch and the pair of ports to the router.
    Subnet,
    /// A Namespace: owns no rows, only annotations.
    Namespace,
    /// A Node: its port in `join`, its port group, its policies.
    Node,
    /// A Pod: its port.
    Pod,
    /// An IP object that a user made: owns no rows, only an address.
    Ip,
}

impl OwnerKind {
    /// The word in the owner key.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            OwnerKind::Cluster => "cluster",
            OwnerKind::Vpc => "vpc",
            OwnerKind::Subnet => "subnet",
            OwnerKind::Namespace => "namespace",
            OwnerKind::Node => "node",
            OwnerKind::Pod => "pod",
            OwnerKind::Ip => "ip",
        }
    }
}

/// The owner of rows: `vpc/ovn-cluster`, `subnet/net2`, `node/host1`, `pod/net2/ubuntu`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// The kind of object.
    pub kind: OwnerKind,
    /// Its name; `<namespace>/<name>` for a pod.
    pub name: Arc<str>,
}

impl Owner {
    /// The owner of the cluster's own rows.
    #[must_use]
    pub fn cluster() -> Self {
        Owner { kind: OwnerKind::Cluster, name: Arc::from("") }
    }
    /// The owner for a Vpc.
    #[must_use]
    pub fn vpc(name: &str) -> Self {
        Owner { kind: OwnerKind::Vpc, name: Arc::from(name) }
    }
    /// The owner for a Subnet.
    #[must_use]
    pub fn subnet(name: &str) -> Self {
        Owner { kind: OwnerKind::Subnet, name: Arc::from(name) }
    }
    /// The owner for a Namespace.
    #[must_use]
    pub fn namespace(name: &str) -> Self {
        Owner { kind: OwnerKind::Namespace, name: Arc::from(name) }
    }
    /// The owner for a Node.
    #[must_use]
    pub fn node(name: &str) -> Self {
        Owner { kind: OwnerKind::Node, name: Arc::from(name) }
    }
    /// The owner for a Pod.
    #[must_use]
    pub fn pod(namespace: &str, name: &str) -> Self {
        Owner { kind: OwnerKind::Pod, name: Arc::from(format!("{namespace}/{name}")) }
    }

    /// The owner for an IP object that a user made.
    #[must_use]
    pub fn ip(name: &str) -> Self {
        Owner { kind: OwnerKind::Ip, name: Arc::from(name) }
    }

    /// Namespace and name of a pod; an empty namespace for everything else.
    #[must_use]
    pub fn namespaced(&self) -> (&str, &str) {
        self.name.split_once('/').unwrap_or(("", &self.name))
    }

    /// Reads what [`fmt::Display`] writes, for the owners that have rows. `None` for what no version of ours wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once('/')?;
        let kind = match kind {
            "cluster" => OwnerKind::Cluster,
            "vpc" => OwnerKind::Vpc,
            "subnet" => OwnerKind::Subnet,
            "namespace" => OwnerKind::Namespace,
            "node" => OwnerKind::Node,
            "pod" => OwnerKind::Pod,
            _ => return None,
        };
        if (kind == OwnerKind::Pod) != name.contains('/') {
            return None;
        }
        Some(Owner { kind, name: Arc::from(name) })
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.as_str(), self.name)
    }
}

/// The identity of this cluster in a shared database. It survives a reinstall: rows that bear another one
/// are foreign, whatever else they say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(Arc<str>);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ClusterId {
    /// Takes 1 to 63 letters, digits and `-`, so that names in OVN can hold it and no two ids share one; the program uses
    /// the uid of the namespace `kube-system`.
    ///
    /// # Errors
    /// The reason when the text cannot be an id.
    pub fn new(text: &str) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if text.is_empty() || text.len() > 63 || !text.chars().all(fits) {
            return Err(format!("{text:?} is no cluster id: 1 to 63 letters, digits and '-'"));
        }
        Ok(ClusterId(Arc::from(text)))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The uuid of the row that `owner` keeps in `table` in the role `role` (`port`, `policy-31000` …).
    /// The same words give the same uuid for ever, which makes an insert idempotent.
    #[must_use]
    pub fn row_uuid(&self, table: &str, owner: &Owner, role: &str) -> Uuid {
        let cluster = Uuid::new_v5(&ROWS, self.0.as_bytes());
        Uuid::new_v5(&cluster, format!("{table}\n{owner}\n{role}").as_bytes())
    }

    /// The `external_ids` that mark a row as `owner`'s.
    #[must_use]
    pub fn marks(&self, owner: &Owner) -> BTreeMap<String, String> {
        BTreeMap::from([
            (VENDOR_KEY.to_owned(), VENDOR.to_owned()),
            (CLUSTER_KEY.to_owned(), self.0.to_string()),
            (OWNER_KEY.to_owned(), owner.to_string()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_read_as_written() {
        for owner in [
            Owner::cluster(),
            Owner::vpc("a"),
            Owner::subnet("net2"),
            Owner { kind: OwnerKind::Namespace, name: Arc::from("a") },
            Owner::node("n.1"),
            Owner::pod("a", "b"),
        ] {
            assert_eq!(Owner::parse(&owner.to_string()), Some(owner));
        }
        for text in ["", "pod", "pod/a", "subnet/a/b", "thing/a"] {
            assert_eq!(Owner::parse(text), None, "{text}");
        }
    }

    #[test]
    fn row_uuids_depend_on_each_word_and_on_nothing_else() {
        // invariant 2
        let a = ClusterId::new("a").unwrap();
        let owner = Owner::pod("net2", "ubuntu");
        let uuid = a.row_uuid("Logical_Switch_Port", &owner, "port");
        assert_eq!(uuid, a.row_uuid("Logical_Switch_Port", &owner, "port"));
        let others = [
            ClusterId::new("b").unwrap().row_uuid("Logical_Switch_Port", &owner, "port"),
            a.row_uuid("Logical_Switch", &owner, "port"),
            a.row_uuid("Logical_Switch_Port", &Owner::pod("net2", "ubuntu2"), "port"),
            a.row_uuid("Logical_Switch_Port", &owner, "port2"),
        ];
        assert!(others.iter().all(|other| *other != uuid));
    }

    #[test]
    fn cluster_ids_are_checked() {
        assert!(ClusterId::new("").is_err());
        for id in ["a\nb", "a/b", "a.b", "a_b", "ä", &"a".repeat(64)] {
            assert!(ClusterId::new(id).is_err(), "{id:?}");
        }
        assert!(ClusterId::new("18d4c654-f511-4def-a3a0-a6434d237c1e").is_ok());
    }
}
