//! Whose a row is and which epoch counts, read from the rows by the judges themselves: nothing of the product's code
//! reads them here, so that a wrong reading there is noticed.
//!
//! What is written down (ARCHITECTURE.md, invariant 2): a row of ours has in its `external_ids` our cluster's id under
//! `tombolo.io/cluster` and `<kind>/<name>` under `tombolo.io/owner`; a pod's name is `<namespace>/<name>`. The epoch is the
//! number under `tombolo.io/epoch` of the address set `tombolo.epoch.<id, with underscores>`.

use tombolo_ovsdb::{Replica, Row};

/// Kinds whose names have no slash.
const KINDS: [&str; 5] = ["cluster", "vpc", "subnet", "namespace", "node"];

/// Kind and name of a row's owner, if the row is this cluster's.
#[must_use]
pub fn owner<'a>(cluster: &str, row: &'a Row) -> Option<(&'a str, &'a str)> {
    if row.key("external_ids", "tombolo.io/cluster") != Some(cluster) {
        return None;
    }
    let (kind, name) = row.key("external_ids", "tombolo.io/owner")?.split_once('/')?;
    let is_known = match kind {
        "pod" => name.contains('/'),
        other => KINDS.contains(&other) && !name.contains('/'),
    };
    is_known.then_some((kind, name))
}

/// Whether a row is this cluster's. One with the cluster's id and an unknown owner is not.
#[must_use]
pub fn is_ours(cluster: &str, row: &Row) -> bool {
    owner(cluster, row).is_some()
}

/// The name of the address set that holds the epoch.
#[must_use]
pub fn epoch_name(cluster: &str) -> String {
    format!("tombolo.epoch.{}", cluster.replace('-', "_"))
}

/// The epoch in the database.
#[must_use]
pub fn epoch(rows: &Replica, cluster: &str) -> Option<u64> {
    let name = epoch_name(cluster);
    let mut all = rows.rows("Address_Set").filter(|(_, row)| row.str("name") == Some(&name));
    all.next()?.1.key("external_ids", "tombolo.io/epoch")?.parse().ok()
}

/// What a controller says that it does, by its transaction's comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It takes this epoch.
    Takes(u64),
    /// It writes under this epoch.
    Writes(u64),
}

/// Reads the comment of a cluster's controller: `epoch 7 of c1`, or `tombolo 7 of c1: …`.
#[must_use]
pub fn said(cluster: &str, comment: &str) -> Option<Said> {
    let number = |text: &str| {
        let (number, name) = text.split_once(" of ")?;
        number.parse().ok().filter(|_| name == cluster)
    };
    if let Some(taken) = comment.strip_prefix("epoch ") {
        return number(taken).map(Said::Takes);
    }
    let (epoch, _) = comment.strip_prefix("tombolo ")?.split_once(':')?;
    number(epoch).map(Said::Writes)
}

#[cfg(test)]
mod tests {
    use tombolo_ovsdb::Datum;

    use super::*;

    #[test]
    fn only_what_is_written_down_is_ours() {
        let row = |pairs: &[(&str, &str)]| {
            Row::new().with("external_ids", Datum::map_of_strings(pairs.iter().copied()))
        };
        let with = |owner: &str| row(&[("tombolo.io/cluster", "c1"), ("tombolo.io/owner", owner)]);
        assert_eq!(owner("c1", &with("pod/a/p")), Some(("pod", "a/p")));
        assert_eq!(owner("c1", &with("subnet/s")), Some(("subnet", "s")));
        for other in ["pod/p", "subnet/a/b", "gateway/g", "subnet", ""] {
            assert_eq!(owner("c1", &with(other)), None, "{other}");
        }
        assert!(!is_ours("c2", &with("pod/a/p")));
        assert!(!is_ours("c1", &row(&[("vendor", "kube-ovn"), ("tombolo.io/owner", "pod/a/p")])));
        assert!(!is_ours("c1", &Row::new()));
    }

    #[test]
    fn comments() {
        assert_eq!(said("c1", "epoch 7 of c1"), Some(Said::Takes(7)));
        assert_eq!(said("c1", "tombolo 12 of c1: pod/a/b and 3 more"), Some(Said::Writes(12)));
        for other in ["", "epoch", "epoch 7", "epoch x of c1", "epoch 7 of c2", "tombolo 7: y", "pod/a/b"] {
            assert_eq!(said("c1", other), None, "{other}");
        }
    }
}
