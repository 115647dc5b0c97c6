//! The routes of Neutron's routers: what `openstack router add route` and the external gateway leave in OVN.

use tombolo_net::Cidr;
use tombolo_ovn::nb::{LogicalRouter, LogicalRouterStaticRoute};
use tombolo_ovsdb::{Replica, Row, Uuid};

use crate::table;

/// A route of a router.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// The network that it leads to.
    pub prefix: Cidr,
    /// The next hop in OVN's words: an address, or `discard`.
    pub next_hop: String,
}

/// The routes of this router that the replica holds, ascending, but for those by source. A prefix that can't be read
/// is left out. (The IPv4 default routes are not followed: there is one for each gateway in OpenStack.)
#[must_use]
pub fn routes(replica: &Replica, router: Uuid) -> Vec<Route> {
    let uuids = replica.row(table::ROUTER, &router).and_then(|row| row.get(LogicalRouter::STATIC_ROUTES));
    let rows = uuids.into_iter().flat_map(|uuids| uuids.uuids());
    let mut routes: Vec<Route> =
        rows.filter_map(|uuid| read(replica.row(table::STATIC_ROUTE, &uuid)?)).collect();
    routes.sort_unstable();
    routes
}

fn read(row: &Row) -> Option<Route> {
    if row.str(LogicalRouterStaticRoute::POLICY) == Some("src-ip") {
        return None;
    }
    let text = row.str(LogicalRouterStaticRoute::IP_PREFIX)?;
    // A single address may stand without its length.
    let prefix = text.parse().ok().or_else(|| {
        let address: std::net::IpAddr = text.parse().ok()?;
        format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 }).parse().ok()
    })?;
    Some(Route {
        prefix,
        next_hop: row.str(LogicalRouterStaticRoute::NEXTHOP).unwrap_or_default().to_owned(),
    })
}
