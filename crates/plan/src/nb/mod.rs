//! The northbound tables the plan reads and writes, and how their rows are found.

mod shared;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::LazyLock;

use tombolo_neutron as neutron;
use tombolo_ovn::nb::{
    AddressSet, LogicalRouter, LogicalRouterPolicy, LogicalRouterPort, LogicalRouterStaticRoute,
    LogicalSwitch, LogicalSwitchPort, PortGroup, TABLES,
};
use tombolo_ovn::{Facts, Reference};
use tombolo_ovsdb::{Atom, Change, Condition, Datum, Function, IndexSpec, Replica, Row, Uuid, Wanted};

use crate::owner::{CLUSTER_KEY, ClusterId, OWNER_KEY, Owner, STANDS_FOR_KEY, VENDOR, VENDOR_KEY};

pub(crate) use shared::entry_word;
use shared::{BY_ENTRY, by_entry};
pub use shared::{
    GRANTED, SHARED, changed_elements, claimants, claimed, is_reference, owner_referred_to,
    shared_references, shared_values,
};

/// Table names (ovn-nb(5)).
pub mod table {
    pub use tombolo_neutron::table::{ROUTER, ROUTER_PORT, STATIC_ROUTE, SWITCH};
    use tombolo_ovn::nb::{
        AddressSet, Dns, LoadBalancer, LoadBalancerGroup, LogicalRouterPolicy, LogicalSwitchPort, PortGroup,
    };

    /// Ports of logical switches.
    pub const SWITCH_PORT: &str = LogicalSwitchPort::TABLE;
    /// Policies of logical routers.
    pub const POLICY: &str = LogicalRouterPolicy::TABLE;
    /// Groups of switch ports.
    pub const PORT_GROUP: &str = PortGroup::TABLE;
    /// Sets of addresses; one of them is our epoch row.
    pub const ADDRESS_SET: &str = AddressSet::TABLE;
    /// Records that a switch answers.
    pub const DNS: &str = Dns::TABLE;
    /// Virtual addresses and their backends.
    pub const LOAD_BALANCER: &str = LoadBalancer::TABLE;
    /// Groups of load balancers.
    pub const LOAD_BALANCER_GROUP: &str = LoadBalancerGroup::TABLE;
}

/// The tables in which rows of ours stand, children before parents: the order in which to delete.
pub const OWNED: [&str; 8] = [
    table::SWITCH_PORT,
    table::ROUTER_PORT,
    table::POLICY,
    table::STATIC_ROUTE,
    table::PORT_GROUP,
    table::ADDRESS_SET,
    table::SWITCH,
    table::ROUTER,
];

/// Index: rows by our owner key. Rows of another cluster are in it too; [`owned`] tells them apart.
pub const BY_OWNER: &str = "owner";

/// Index: switch ports by Subnet and address, as [`bearers`] looks them up.
pub const BY_ADDRESS: &str = "address";

fn address_key(subnet: &str, address: &str) -> Atom {
    Atom::from(format!("{subnet} {address}"))
}

fn by_address(row: &Row) -> Vec<Atom> {
    let Some(subnet) = row.key("external_ids", "ls") else { return Vec::new() };
    // The first word is the MAC; a router's port has no other.
    let texts = row.get("addresses").into_iter().flat_map(|addresses| addresses.strings());
    texts.flat_map(|text| text.split(' ').skip(1)).map(|address| address_key(subnet, address)).collect()
}

fn by_name_column(row: &Row) -> Vec<Atom> {
    row.str("name").map(Atom::from).into_iter().collect()
}

/// The rows taken over from Kube-OVN, by the uuids that they stand for.
const BY_STANDS_FOR: &str = "stands-for";

fn by_stands_for(row: &Row) -> Vec<Atom> {
    stands_for(row).map(Atom::Uuid).into_iter().collect()
}

/// The uuid that this row would have, had it not been taken over from Kube-OVN.
#[must_use]
pub fn stands_for(row: &Row) -> Option<Uuid> {
    row.key("external_ids", STANDS_FOR_KEY)?.parse().ok()
}

/// The row that is there as `owner`'s row `uuid`: one taken over from Kube-OVN, which keeps its own uuid; otherwise that one.
#[must_use]
pub fn in_place_of(
    replica: &Replica,
    cluster: &ClusterId,
    table: &'static str,
    owner: &Owner,
    uuid: Uuid,
) -> Uuid {
    let rows = replica.find(table, BY_STANDS_FOR, &Atom::Uuid(uuid));
    let ours = rows.filter(|(_, row)| owner_of(cluster, row).as_ref() == Some(owner));
    ours.map(|(uuid, _)| uuid).min().unwrap_or(uuid)
}

fn by_owner(row: &Row) -> Vec<Atom> {
    row.key("external_ids", OWNER_KEY).map(Atom::from).into_iter().collect()
}

/// The indexes of the replica. Those of columns of references find the rows that a row hangs on or is an entry of.
#[must_use]
pub fn indexes() -> Vec<IndexSpec> {
    let mut all = neutron::INDEXES.to_vec();
    all.extend(OWNED.map(|table| IndexSpec::by(table, BY_OWNER, by_owner)));
    all.extend(OWNED.map(|table| IndexSpec::by(table, BY_ENTRY, by_entry)));
    all.extend(OWNED.map(|table| IndexSpec::by(table, BY_STANDS_FOR, by_stands_for)));
    all.push(IndexSpec::by(table::SWITCH_PORT, BY_ADDRESS, by_address));
    let by_name = [table::SWITCH_PORT, table::PORT_GROUP];
    all.extend(by_name.map(|table| IndexSpec::by(table, neutron::BY_NAME, by_name_column)));
    let edges =
        OWNED.into_iter().flat_map(|table| edge_columns(table).iter().map(move |column| (table, *column)));
    for (table, column) in edges.chain(SHARED) {
        if !all.iter().any(|spec| spec.table == table && spec.name == column) {
            all.push(IndexSpec::elements(table, column));
        }
    }
    all
}

/// What to monitor. Switch ports of others are many and nothing is read from them, so what a VM's port does costs us
/// nothing. Only those of other clusters are seen too (theirs bear the vendor as ours do): OVN keeps the names of ports and
/// port groups unique, so a name of theirs can't be ours.
#[must_use]
pub fn wanted(cluster: &ClusterId) -> Wanted {
    // A route of Neutron's may lie inside a Subnet of ours. There are few, but for the default route of each router with a
    // gateway, which can't.
    let default_route = Datum::string("0.0.0.0/0");
    let other = Condition {
        column: LogicalRouterStaticRoute::IP_PREFIX,
        function: Function::NotEqual,
        value: default_route,
    };
    wanted_to_take_over(cluster)
        .only(table::POLICY, ours(cluster))
        .only(table::STATIC_ROUTE, [ours(cluster), vec![other]].concat())
        .only(table::PORT_GROUP, clusters(cluster))
}

/// The same to take rows over from Kube-OVN, of which versions before 1.15 mark neither port groups nor routes, and which puts its
/// marks on our policies when it is back.
#[must_use]
pub fn wanted_to_take_over(cluster: &ClusterId) -> Wanted {
    all_rows()
        .only(table::SWITCH_PORT, clusters(cluster))
        .only(table::POLICY, clusters(cluster))
        .only(table::ADDRESS_SET, ours(cluster))
}

fn ours(cluster: &ClusterId) -> Vec<Condition> {
    vec![Condition::includes("external_ids", Datum::map_of_strings([(CLUSTER_KEY, cluster.as_str())]))]
}

fn clusters(cluster: &ClusterId) -> Vec<Condition> {
    let vendor = Datum::map_of_strings([(VENDOR_KEY, VENDOR)]);
    [ours(cluster), vec![Condition::includes("external_ids", vendor)]].concat()
}

/// The columns of each table.
fn all_rows() -> Wanted {
    Wanted::new()
        .table(
            table::ROUTER,
            &[
                LogicalRouter::NAME,
                LogicalRouter::PORTS,
                LogicalRouter::POLICIES,
                LogicalRouter::STATIC_ROUTES,
                LogicalRouter::NAT,
                LogicalRouter::ENABLED,
                LogicalRouter::OPTIONS,
                LogicalRouter::EXTERNAL_IDS,
            ],
        )
        .table(
            table::ROUTER_PORT,
            &[
                LogicalRouterPort::NAME,
                LogicalRouterPort::MAC,
                LogicalRouterPort::NETWORKS,
                LogicalRouterPort::GATEWAY_CHASSIS,
                LogicalRouterPort::EXTERNAL_IDS,
                LogicalRouterPort::OPTIONS,
            ],
        )
        .table(
            table::SWITCH,
            &[
                LogicalSwitch::NAME,
                LogicalSwitch::PORTS,
                LogicalSwitch::ACLS,
                LogicalSwitch::QOS_RULES,
                LogicalSwitch::FORWARDING_GROUPS,
                LogicalSwitch::OTHER_CONFIG,
                LogicalSwitch::EXTERNAL_IDS,
            ],
        )
        .table(
            table::SWITCH_PORT,
            &[
                LogicalSwitchPort::NAME,
                LogicalSwitchPort::ADDRESSES,
                LogicalSwitchPort::TYPE,
                LogicalSwitchPort::OPTIONS,
                LogicalSwitchPort::PORT_SECURITY,
                LogicalSwitchPort::EXTERNAL_IDS,
            ],
        )
        .table(
            table::STATIC_ROUTE,
            &[
                LogicalRouterStaticRoute::IP_PREFIX,
                LogicalRouterStaticRoute::NEXTHOP,
                LogicalRouterStaticRoute::POLICY,
                LogicalRouterStaticRoute::ROUTE_TABLE,
                LogicalRouterStaticRoute::OUTPUT_PORT,
                LogicalRouterStaticRoute::OPTIONS,
                LogicalRouterStaticRoute::EXTERNAL_IDS,
            ],
        )
        .table(
            table::POLICY,
            &[
                LogicalRouterPolicy::PRIORITY,
                LogicalRouterPolicy::MATCH,
                LogicalRouterPolicy::ACTION,
                LogicalRouterPolicy::NEXTHOP,
                LogicalRouterPolicy::NEXTHOPS,
                LogicalRouterPolicy::OPTIONS,
                LogicalRouterPolicy::EXTERNAL_IDS,
            ],
        )
        .table(
            table::PORT_GROUP,
            &[PortGroup::NAME, PortGroup::PORTS, PortGroup::ACLS, PortGroup::EXTERNAL_IDS],
        )
        .table(table::ADDRESS_SET, &[AddressSet::NAME, AddressSet::ADDRESSES, AddressSet::EXTERNAL_IDS])
}

/// Whose a row is (invariant 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Ours, and this owner's.
    Ours(Owner),
    /// Bears our cluster's key, but an owner that no version of ours writes. Never touched.
    Orphan,
    /// Somebody else's.
    Foreign,
}

/// Whose `row` is. `vendor=kube-ovn` alone proves nothing.
#[must_use]
pub fn ownership(cluster: &ClusterId, row: &Row) -> Ownership {
    if row.key("external_ids", CLUSTER_KEY) != Some(cluster.as_str()) {
        return Ownership::Foreign;
    }
    match row.key("external_ids", OWNER_KEY).and_then(Owner::parse) {
        Some(owner) => Ownership::Ours(owner),
        None => Ownership::Orphan,
    }
}

/// Whether a row bears Kube-OVN's mark and no cluster's of ours. It is foreign, unless it is to be taken over.
#[must_use]
pub fn is_kube_ovns(row: &Row) -> bool {
    let id = |key| row.key("external_ids", key);
    id(VENDOR_KEY) == Some(VENDOR) && id(CLUSTER_KEY).is_none()
}

/// The owner of ours whose row this is.
#[must_use]
pub fn owner_of(cluster: &ClusterId, row: &Row) -> Option<Owner> {
    match ownership(cluster, row) {
        Ownership::Ours(owner) => Some(owner),
        Ownership::Orphan | Ownership::Foreign => None,
    }
}

/// All rows of this owner, children before parents.
pub fn all_owned<'a>(
    replica: &'a Replica,
    cluster: &'a ClusterId,
    owner: &Owner,
) -> impl Iterator<Item = (&'static str, Uuid, &'a Row)> {
    let key = Atom::from(owner.to_string());
    OWNED.into_iter().flat_map(move |table| {
        with_owner_key(replica, cluster, table, &key).map(move |(uuid, row)| (table, uuid, row))
    })
}

/// The rows of this owner in a table.
pub fn owned<'a>(
    replica: &'a Replica,
    cluster: &'a ClusterId,
    table: &'static str,
    owner: &Owner,
) -> Vec<(Uuid, &'a Row)> {
    with_owner_key(replica, cluster, table, &Atom::from(owner.to_string())).collect()
}

fn with_owner_key<'a>(
    replica: &'a Replica,
    cluster: &'a ClusterId,
    table: &'static str,
    key: &Atom,
) -> impl Iterator<Item = (Uuid, &'a Row)> + use<'a> {
    let rows = replica.find(table, BY_OWNER, key).map(|(uuid, row)| (uuid, &**row));
    rows.filter(|(_, row)| row.key("external_ids", CLUSTER_KEY) == Some(cluster.as_str()))
}

/// The owners whose ports in a Subnet bear an address.
pub fn bearers(replica: &Replica, cluster: &ClusterId, subnet: &str, address: IpAddr) -> Vec<Owner> {
    let key = address_key(subnet, &address.to_string());
    let rows = replica.find(table::SWITCH_PORT, BY_ADDRESS, &key);
    rows.filter_map(|(_, row)| owner_of(cluster, row)).collect()
}

/// Whether the owner has a row in a table.
#[must_use]
pub fn owns(replica: &Replica, cluster: &ClusterId, table: &'static str, owner: &Owner) -> bool {
    !owned(replica, cluster, table, owner).is_empty()
}

/// What the schema says of a table of the northbound.
pub(crate) fn facts(table: &str) -> Option<&'static Facts> {
    TABLES.binary_search_by(|facts| facts.name.cmp(table)).ok().map(|at| &TABLES[at])
}

/// The columns by which rows hang on a row of a table: ours, and others'.
#[derive(Default)]
struct Hanging {
    edges: Vec<&'static Reference>,
    edge_columns: Vec<&'static str>,
    others: Vec<&'static str>,
    /// The columns by which rows of the table themselves hang on others, with the tables of those.
    parents: Vec<(&'static str, &'static str)>,
}

/// By the schema: a row of no root table lives by the strong references to it. Those to tables in which we have rows are
/// edges of ours.
static HANGING: LazyLock<BTreeMap<&'static str, Hanging>> = LazyLock::new(|| {
    let child = |table: &str| facts(table).is_some_and(|facts| !facts.is_root);
    let hanging = |table: &&'static str| {
        let references = facts(table).map(|facts| facts.references).unwrap_or_default();
        let children = references.iter().filter(|it| !it.weak && child(it.table));
        let mut hanging = Hanging::default();
        for reference in children {
            if OWNED.contains(&reference.table) {
                hanging.edges.push(reference);
                hanging.edge_columns.push(reference.column);
            } else {
                hanging.others.push(reference.column);
            }
        }
        (*table, hanging)
    };
    let mut all: BTreeMap<&str, Hanging> = OWNED.iter().map(hanging).collect();
    for parent in OWNED {
        for reference in all[parent].edges.clone() {
            let child = all.get_mut(reference.table).expect("invariant: edges lead to tables of ours");
            child.parents.push((parent, reference.column));
        }
    }
    all
});

/// The references by which rows of ours hang on a row of this table.
pub fn edges(table: &str) -> &'static [&'static Reference] {
    HANGING.get(table).map_or(&[], |hanging| &hanging.edges)
}

/// The columns by which a row of a table that is no root hangs on another, each with the table of that.
#[must_use]
pub fn parents(table: &str) -> &'static [(&'static str, &'static str)] {
    HANGING.get(table).map_or(&[], |hanging| &hanging.parents)
}

/// The columns by which rows of other owners hang on a row of this table.
#[must_use]
pub fn edge_columns(table: &str) -> &'static [&'static str] {
    HANGING.get(table).map_or(&[], |hanging| &hanging.edge_columns)
}

/// The columns by which rows hang on a row of this table that are never ours: they would go with it.
#[must_use]
pub fn others_columns(table: &str) -> &'static [&'static str] {
    HANGING.get(table).map_or(&[], |hanging| &hanging.others)
}

/// Whether a key of a map column on a row of ours is one that only we write: what isn't wanted of those any more is taken
/// away, and no other key ever is (invariant 1). All keys that a plan writes stand here, so that they can go again; the one by
/// which a row was taken over stays for as long as the row.
#[must_use]
pub fn is_own_key(table: &str, column: &str, key: &str) -> bool {
    match (table, column) {
        (_, "external_ids") => {
            key.starts_with(tombolo_names::rows::PREFIX) && key != STANDS_FOR_KEY
                || matches!(key, "ls" | "lr" | "pod" | "node" | "subnet")
        }
        (table::SWITCH_PORT, "options") => matches!(key, "requested-chassis" | "iface-id-ver"),
        _ => false,
    }
}

/// Whether nothing but columns of [`edge_columns`] and [`SHARED`] changed.
#[must_use]
pub fn only_edges(table: &str, change: &Change) -> bool {
    let (Some(old), Some(new)) = (&change.old, &change.new) else { return false };
    let columns = edge_columns(table);
    let is_edge = |column: &'static str| columns.contains(&column) || SHARED.contains(&(table, column));
    old.iter()
        .zip(new.iter())
        .all(|((column, before), (other, after))| column == other && (is_edge(column) || before == after))
}

/// Whether the server has a column, and we monitor it: an older one lacks some, and what needs them does without.
#[must_use]
pub fn has(replica: &Replica, table: &str, column: &str) -> bool {
    replica.table(table).is_some_and(|table| table.columns().contains(&column))
}

/// The row of this name in a table that has the index [`neutron::BY_NAME`].
pub fn named<'a>(replica: &'a Replica, table: &'static str, name: &str) -> Vec<(Uuid, &'a Row)> {
    let key = Atom::from(name);
    replica.find(table, neutron::BY_NAME, &key).map(|(uuid, row)| (uuid, &**row)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const SCHEMA_23_03: &str = include_str!("../../../../schemas/ovn-23.03/ovn-nb.ovsschema");

    fn cluster() -> ClusterId {
        ClusterId::new("c1").unwrap()
    }

    fn marked(pairs: &[(&str, &str)]) -> Row {
        Row::new().with("external_ids", Datum::map_of_strings(pairs.iter().copied()))
    }

    #[test]
    fn whose_a_row_is() {
        // invariant 2
        let pod = Owner::pod("a", "p");
        for (pairs, whose) in [
            (&[(CLUSTER_KEY, "c1"), (OWNER_KEY, "pod/a/p")][..], Ownership::Ours(pod)),
            (&[(CLUSTER_KEY, "c1"), (OWNER_KEY, "gateway/g")], Ownership::Orphan),
            (&[(CLUSTER_KEY, "c1")], Ownership::Orphan),
            (&[(CLUSTER_KEY, "c2"), (OWNER_KEY, "pod/a/p")], Ownership::Foreign),
            (&[("vendor", "kube-ovn"), (OWNER_KEY, "pod/a/p")], Ownership::Foreign),
            (&[], Ownership::Foreign),
        ] {
            assert_eq!(ownership(&cluster(), &marked(pairs)), whose, "{pairs:?}");
        }
        assert_eq!(ownership(&cluster(), &Row::new()), Ownership::Foreign);
    }

    #[test]
    fn what_hangs_on_a_row_of_ours_is_monitored_and_known() {
        // invariant 1: a column that is missing here is rows of others that would go with ours.
        let columns = |table: &str| (edge_columns(table).to_vec(), others_columns(table).to_vec());
        assert_eq!(columns(table::SWITCH), (vec!["ports"], vec!["acls", "forwarding_groups", "qos_rules"]));
        assert_eq!(columns(table::ROUTER), (vec!["policies", "ports", "static_routes"], vec!["nat"]));
        assert_eq!(columns(table::ROUTER_PORT), (vec![], vec!["gateway_chassis"]));
        assert_eq!(columns(table::PORT_GROUP), (vec![], vec!["acls"]));
        for table in [table::SWITCH_PORT, table::POLICY, table::STATIC_ROUTE, table::ADDRESS_SET] {
            assert_eq!(columns(table), (vec![], vec![]), "{table}");
        }
        for schema in [tombolo_ovn::nb::SCHEMA, SCHEMA_23_03] {
            let schema = tombolo_ovsdb::Schema::parse(schema).unwrap();
            let nb = Replica::new(&wanted(&cluster()).intersect(&schema), &indexes());
            for table in OWNED {
                let monitored = nb.table(table).unwrap().columns();
                for column in edge_columns(table).iter().chain(others_columns(table)) {
                    let has = schema.column(table, column).is_some();
                    assert!(!has || monitored.contains(column), "{table}.{column}");
                }
            }
        }
    }

    #[test]
    fn edges_are_told_from_all_else() {
        let row = |name: &str, port: u128| {
            let row = Row::new().with("name", Datum::string(name));
            Some(Arc::new(row.with("ports", Datum::uuid(Uuid::from_u128(port)))))
        };
        let change = |old, new| Change { old, new };
        assert!(only_edges(table::SWITCH, &change(row("s", 1), row("s", 2))));
        assert!(!only_edges(table::SWITCH, &change(row("s", 1), row("t", 2))));
        assert!(!only_edges(table::SWITCH, &change(None, row("s", 1))));
        assert!(!only_edges(table::SWITCH, &change(row("s", 1), None)));
        assert!(!only_edges(table::SWITCH_PORT, &change(row("s", 1), row("s", 2))));
    }

    #[test]
    fn who_bears_an_address() {
        // invariant 5
        let schema = tombolo_ovsdb::Schema::parse(tombolo_ovn::nb::SCHEMA).unwrap();
        let mut nb = Replica::new(&wanted(&cluster()).intersect(&schema), &indexes());
        let row = |owner: &str, addresses: &str| {
            marked(&[(CLUSTER_KEY, "c1"), (OWNER_KEY, owner), ("ls", "s")])
                .with("addresses", Datum::set_of_strings([addresses]))
        };
        nb.put(
            table::SWITCH_PORT,
            Uuid::from_u128(1),
            Some(row("pod/a/p", "00:00:00:00:00:01 10.0.0.2 fd00::2")),
        );
        nb.put(table::SWITCH_PORT, Uuid::from_u128(2), Some(row("subnet/s", "00:00:00:00:00:02")));
        let who = |subnet: &str, address: &str| bearers(&nb, &cluster(), subnet, address.parse().unwrap());
        assert_eq!(who("s", "10.0.0.2"), [Owner::pod("a", "p")]);
        assert_eq!(who("s", "fd00:0::2"), [Owner::pod("a", "p")]);
        assert!(who("t", "10.0.0.2").is_empty() && who("s", "10.0.0.20").is_empty());
    }
}
