//! The fence: an epoch in the database that only the newest leader knows (invariant 7).
//!
//! It is kept in an empty `Address_Set` of our own: a root table with a unique name, which Neutron's
//! repair leaves alone. The lease only coordinates; this is what keeps a deposed leader from writing.

use tombolo_ovn::nb::AddressSet;
use tombolo_ovsdb::{Condition, Datum, Mutation, Op, Replica, Row, Txn, Uuid};
use tombolo_plan::nb::table;
use tombolo_plan::{ClusterId, Owner};

/// `external_ids` key with the epoch.
pub use tombolo_names::rows::EPOCH as EPOCH_KEY;

fn uuid(cluster: &ClusterId) -> Uuid {
    cluster.row_uuid(table::ADDRESS_SET, &Owner::cluster(), "epoch")
}

/// Name of the row, another for each cluster. Only characters that an address set's name may have.
#[must_use]
pub fn name(cluster: &ClusterId) -> String {
    format!("tombolo.epoch.{}", cluster.as_str().replace('-', "_"))
}

/// The epoch in the database; `None` when there is no row or it holds no number.
#[must_use]
pub fn epoch(replica: &Replica, cluster: &ClusterId) -> Option<u64> {
    replica.row(table::ADDRESS_SET, &uuid(cluster))?.key(AddressSet::EXTERNAL_IDS, EPOCH_KEY)?.parse().ok()
}

fn holds(cluster: &ClusterId, epoch: u64) -> Op {
    let text = epoch.to_string();
    let value = Datum::map_of_strings([(EPOCH_KEY, text.as_str())]);
    Op::require_match(
        table::ADDRESS_SET,
        uuid(cluster),
        vec![Condition::includes(AddressSet::EXTERNAL_IDS, value)],
    )
}

/// The transaction by which a new leader takes the next epoch, and that epoch. It fails if another leader took one
/// since the replica was read. `least` is the highest epoch this process knows.
#[must_use]
pub fn take(replica: &Replica, cluster: &ClusterId, least: u64) -> (Txn, u64) {
    let uuid = uuid(cluster);
    match replica.row(table::ADDRESS_SET, &uuid) {
        None => {
            let epoch = least + 1;
            let mut ids = cluster.marks(&Owner::cluster());
            ids.insert(EPOCH_KEY.to_owned(), epoch.to_string());
            let row = Row::new().with(AddressSet::NAME, Datum::string(name(cluster))).with(
                AddressSet::EXTERNAL_IDS,
                Datum::map_of_strings(ids.iter().map(|(k, v)| (k.as_str(), v.as_str()))),
            );
            (Txn::new([Op::insert(table::ADDRESS_SET, uuid, row)]).comment(taken(cluster, epoch)), epoch)
        }
        Some(row) => {
            let present = epoch(replica, cluster);
            let next = present.unwrap_or(0).max(least) + 1;
            let guard = match present {
                Some(present) => holds(cluster, present),
                // A row without a number: only what was read may be replaced.
                None => Op::require_columns(
                    table::ADDRESS_SET,
                    uuid,
                    Row::new().with(
                        AddressSet::EXTERNAL_IDS,
                        row.get(AddressSet::EXTERNAL_IDS).cloned().unwrap_or_default(),
                    ),
                ),
            };
            let text = next.to_string();
            let op = Op::mutate(
                table::ADDRESS_SET,
                uuid,
                Mutation::set_keys(AddressSet::EXTERNAL_IDS, [(EPOCH_KEY, text.as_str())]),
            );
            (Txn::new([op]).require(guard).comment(taken(cluster, next)), next)
        }
    }
}

/// Comment of the transaction that takes an epoch: several clusters may write to the database.
fn taken(cluster: &ClusterId, epoch: u64) -> String {
    format!("epoch {epoch} of {cluster}")
}

/// The first guard of each transaction of this epoch.
#[must_use]
pub fn precondition(cluster: &ClusterId, epoch: u64) -> Op {
    holds(cluster, epoch)
}

#[cfg(test)]
mod tests {
    use tombolo_ovsdb::{Schema, Until};
    use tombolo_plan::nb;

    use super::*;

    fn cluster() -> ClusterId {
        ClusterId::new("18d4c654-f511-4def-a3a0-a6434d237c1e").unwrap()
    }

    /// A replica whose epoch row has these `external_ids`.
    fn replica(ids: Option<&[(&str, &str)]>) -> Replica {
        let schema = Schema::parse(tombolo_ovn::nb::SCHEMA).unwrap();
        let mut replica = Replica::new(&nb::wanted(&cluster()).intersect(&schema), &nb::indexes());
        if let Some(ids) = ids {
            let row = Row::new().with("external_ids", Datum::map_of_strings(ids.iter().copied()));
            replica.put(table::ADDRESS_SET, uuid(&cluster()), Some(row));
        }
        replica
    }

    #[test]
    fn the_first_leader_makes_the_row() {
        let (txn, epoch) = take(&replica(None), &cluster(), 0);
        assert_eq!(epoch, 1);
        let [Op::Insert { row, .. }] = &txn.ops[..] else { panic!("{txn:?}") };
        // Only characters that ovn-nb(5) allows in the name of an address set.
        assert_eq!(row.str("name"), Some("tombolo.epoch.18d4c654_f511_4def_a3a0_a6434d237c1e"));
        assert_eq!(row.key("external_ids", EPOCH_KEY), Some("1"));
        assert_eq!(nb::ownership(&cluster(), row), nb::Ownership::Ours(Owner::cluster()));
        // If another one is faster, the insert of the same uuid fails: no guard is needed.
        assert!(txn.preconditions.is_empty());
    }

    #[test]
    fn each_next_one_counts_on_from_what_it_saw() {
        // invariant 7
        let seen = replica(Some(&[(EPOCH_KEY, "7")]));
        let (txn, epoch) = take(&seen, &cluster(), 3);
        assert_eq!(epoch, 8);
        assert_eq!(txn.preconditions, [precondition(&cluster(), 7)]);
        // It may know of a later one than the replica shows, and never goes back.
        assert_eq!(take(&seen, &cluster(), 20).1, 21);
        assert_eq!(super::epoch(&seen, &cluster()), Some(7));
    }

    #[test]
    fn a_row_without_a_number_is_replaced_only_as_it_was_seen() {
        let seen = replica(Some(&[(EPOCH_KEY, "seven")]));
        assert_eq!(super::epoch(&seen, &cluster()), None);
        let (txn, epoch) = take(&seen, &cluster(), 4);
        assert_eq!(epoch, 5);
        let [Op::Wait { until: Until::Equal, rows, .. }] = &txn.preconditions[..] else { panic!("{txn:?}") };
        assert_eq!(rows[0].key("external_ids", EPOCH_KEY), Some("seven"));
    }
}
