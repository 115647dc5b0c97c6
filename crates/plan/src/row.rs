//! Shorthands for rows.

use std::collections::BTreeMap;

use tombolo_ovsdb::{Datum, Uuid};

use crate::desired::Managed;
use crate::owner::{ClusterId, Owner, PARENT_KEY};

/// A column with one string.
pub fn string(text: &str) -> Managed {
    Managed::Whole(Datum::string(text))
}

/// A column with a set of strings.
pub fn strings(texts: impl IntoIterator<Item = String>) -> Managed {
    Managed::Whole(Datum::set_of_strings(texts))
}

/// Keys of a map column.
pub fn keys<const N: usize>(pairs: [(&str, &str); N]) -> Managed {
    Managed::Keys(pairs.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
}

/// Our marks, and what Kube-OVN's tools read beside them.
pub fn external_ids<'a>(
    cluster: &ClusterId,
    owner: &Owner,
    more: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> BTreeMap<String, String> {
    let mut ids = cluster.marks(owner);
    ids.extend(more.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())));
    ids
}

/// The same for a row that hangs on a parent.
pub fn child_ids<'a>(
    cluster: &ClusterId,
    owner: &Owner,
    parent: Uuid,
    more: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Managed {
    let mut ids = external_ids(cluster, owner, more);
    ids.insert(PARENT_KEY.to_owned(), parent.to_string());
    Managed::Keys(ids)
}
