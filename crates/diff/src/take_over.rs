//! Rows that Kube-OVN made for this cluster become ours, in place: no row loses its uuid, no port its address.
//!
//! A row is taken over only where it says the same as ours would: the name, and for a port its addresses or networks. One that
//! says otherwise is foreign as ever, and the owner's refusal names it. Nothing but `external_ids` is written; the next
//! comparison finds the row as the owner's and brings its columns to what is desired.

use std::collections::BTreeSet;

use tombolo_ovn::nb::{
    LogicalRouterPort, LogicalRouterStaticRoute as StaticRoute, LogicalSwitch, LogicalSwitchPort,
};
use tombolo_ovsdb::{Datum, Mutation, Op, Replica, Row, Uuid};
use tombolo_plan::desired::{DesiredRow, Managed, Rows};
use tombolo_plan::nb::{self, table};
use tombolo_plan::owner::{CLUSTER_KEY, ClusterId, MAC_KEY, Owner, STANDS_FOR_KEY, VENDOR, VENDOR_KEY};

use crate::{Group, NAMED};

/// The operations that take over the rows in whose place the owner's are to stand; `None` if there are none.
#[must_use]
pub fn take_over(replica: &Replica, cluster: &ClusterId, owner: &Owner, desired: &Rows) -> Option<Group> {
    let mut group = Group::of(owner);
    for row in &desired.rows {
        let found = match replica.row(row.table, &row.uuid) {
            // Ours, as its uuid proves: Kube-OVN has replaced our marks by its own while it was back.
            Some(found) if is_remarked(row.table, found) => Some((row.uuid, &**found)),
            Some(_) => None,
            None => predecessor(replica, row),
        };
        let Some((uuid, found)) = found else { continue };
        let mut marks = cluster.marks(owner);
        marks.insert(STANDS_FOR_KEY.to_owned(), row.uuid.to_string());
        if row.table == table::ROUTER_PORT
            && let Some(mac) = found.str(LogicalRouterPort::MAC)
        {
            marks.insert(MAC_KEY.to_owned(), mac.to_owned());
        }
        let column = LogicalSwitch::EXTERNAL_IDS;
        let same = Row::new().with(column, found.get(column).cloned().unwrap_or_default());
        group.preconditions.push(Op::require_columns(row.table, uuid, same));
        let marks = marks.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        group.ops.push(Op::mutate(row.table, uuid, [Mutation::insert(column, Datum::map_of_strings(marks))]));
    }
    (!group.is_empty()).then_some(group)
}

/// The one row of Kube-OVN's that stands where this one is to stand.
fn predecessor<'a>(replica: &'a Replica, row: &DesiredRow) -> Option<(Uuid, &'a Row)> {
    if row.table == table::STATIC_ROUTE {
        return route(replica, row);
    }
    if !NAMED.contains(&row.table) {
        return None;
    }
    let Some(Managed::Whole(name)) = row.columns.get(LogicalSwitch::NAME) else { return None };
    let mut found = nb::named(replica, row.table, name.as_str()?);
    // Names of switches and routers aren't unique: of two nothing says which.
    let one = found.pop().filter(|_| found.is_empty())?;
    (is_kube_ovns(row.table, one.1) && says_the_same(row, one.1)).then_some(one)
}

/// The same route on the same router, with no mark: Kube-OVN's routes have none before 1.15.
fn route<'a>(replica: &'a Replica, row: &DesiredRow) -> Option<(Uuid, &'a Row)> {
    let [edge] = &row.edges[..] else { return None };
    let routes = replica.row(edge.table, &edge.parent)?.get(edge.column)?;
    let columns = [StaticRoute::IP_PREFIX, StaticRoute::NEXTHOP, StaticRoute::ROUTE_TABLE];
    let is_one = |found: &Row| {
        has_no_other_mark(found)
            && columns.iter().all(|column| texts(row, column) == of_row(found, column))
            && of_row(found, StaticRoute::POLICY).iter().all(|policy| policy == "dst-ip")
    };
    let found = |uuid| {
        let row: &Row = replica.row(table::STATIC_ROUTE, &uuid)?;
        is_one(row).then_some((uuid, row))
    };
    routes.uuids().find_map(found)
}

/// A route of Kube-OVN's has its vendor, or before 1.15 nothing.
fn has_no_other_mark(route: &Row) -> bool {
    let ids = route.get(StaticRoute::EXTERNAL_IDS);
    ids.is_none_or(|ids| ids.string_entries().all(|pair| pair == (VENDOR_KEY, VENDOR)))
}

/// Whether a row at a uuid of ours has Kube-OVN's marks in place of ours.
fn is_remarked(table: &str, row: &Row) -> bool {
    is_kube_ovns(table, row) || table == table::STATIC_ROUTE && has_no_other_mark(row)
}

/// Kube-OVN's mark, and no cluster's of ours. Before 1.15 its port groups have another one.
fn is_kube_ovns(table: &str, row: &Row) -> bool {
    let id = |key| row.key(LogicalSwitch::EXTERNAL_IDS, key);
    let is_a_nodes = || id(CLUSTER_KEY).is_none() && id("np").is_some_and(|np| np.starts_with("node/"));
    nb::is_kube_ovns(row) || table == table::PORT_GROUP && is_a_nodes()
}

fn says_the_same(row: &DesiredRow, found: &Row) -> bool {
    match row.table {
        table::ROUTER_PORT => {
            texts(row, LogicalRouterPort::NETWORKS) == of_row(found, LogicalRouterPort::NETWORKS)
        }
        table::SWITCH_PORT => {
            // The first word is the MAC; a router's port has no other.
            let ips = |texts: BTreeSet<String>| -> BTreeSet<String> {
                texts.iter().flat_map(|text| text.split(' ').skip(1).map(str::to_owned)).collect()
            };
            let kind = LogicalSwitchPort::TYPE;
            let column = LogicalSwitchPort::ADDRESSES;
            texts(row, kind) == of_row(found, kind) && ips(texts(row, column)) == ips(of_row(found, column))
        }
        _ => true,
    }
}

/// The texts of a column; an empty one says nothing, as none does.
fn texts(row: &DesiredRow, column: &str) -> BTreeSet<String> {
    match row.columns.get(column) {
        Some(Managed::Whole(datum)) => said(datum),
        _ => BTreeSet::new(),
    }
}

fn of_row(row: &Row, column: &str) -> BTreeSet<String> {
    row.get(column).map(said).unwrap_or_default()
}

fn said(datum: &Datum) -> BTreeSet<String> {
    datum.strings().filter(|text| !text.is_empty()).map(str::to_owned).collect()
}
