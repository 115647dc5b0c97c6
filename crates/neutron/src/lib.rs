//! What Neutron's rows in the northbound database mean.
//!
//! Reads rows of the replica on demand and keeps nothing: the replica is the only cache (invariant 6).
//! Decides which routers and switches are Neutron's, which network a router port belongs to, and which
//! port is an external gateway; it tolerates rows that are half-written or of an unknown shape. Doesn't
//! decide what to do about them.
//!
//! The conventions are those of Neutron's ML2/OVN driver (`neutron/common/ovn/{constants,utils}.py`),
//! releases 21 to 29.

mod routes;

pub use routes::{Route, routes};

use tombolo_net::{Cidr, IfAddr};
use tombolo_ovn::nb::{LogicalRouter, LogicalRouterPort};
use tombolo_ovsdb::{Atom, IndexSpec, Replica, Row, Uuid};

/// Tables read here.
pub mod table {
    use tombolo_ovn::nb::{LogicalRouter, LogicalRouterPort, LogicalRouterStaticRoute, LogicalSwitch};

    /// Logical routers.
    pub const ROUTER: &str = LogicalRouter::TABLE;
    /// Ports of logical routers.
    pub const ROUTER_PORT: &str = LogicalRouterPort::TABLE;
    /// Logical switches.
    pub const SWITCH: &str = LogicalSwitch::TABLE;
    /// Routes of logical routers.
    pub const STATIC_ROUTE: &str = LogicalRouterStaticRoute::TABLE;
}

/// Index: rows of [`table::ROUTER`], [`table::SWITCH`] or [`table::ROUTER_PORT`] by `name`.
pub const BY_NAME: &str = "name";
/// Index: [`table::ROUTER_PORT`] by the switch that Neutron says it leads to.
pub const BY_NETWORK: &str = "network";

// One name in all of the four tables.
const EXTERNAL_IDS: &str = LogicalRouter::EXTERNAL_IDS;
const NAME: &str = LogicalRouter::NAME;

const NETWORK_NAME: &str = "neutron:network_name";
const ROUTER_NAME: &str = "neutron:router_name";

fn by_name(row: &Row) -> Vec<Atom> {
    row.get(NAME).and_then(|name| name.as_atom()).cloned().into_iter().collect()
}

fn by_network(row: &Row) -> Vec<Atom> {
    row.key(EXTERNAL_IDS, NETWORK_NAME).map(Atom::from).into_iter().collect()
}

/// The indexes that the functions here look up.
pub const INDEXES: &[IndexSpec] = &[
    IndexSpec::by(table::ROUTER, BY_NAME, by_name),
    IndexSpec::elements(table::ROUTER, LogicalRouter::PORTS),
    IndexSpec::elements(table::ROUTER, LogicalRouter::STATIC_ROUTES),
    IndexSpec::by(table::ROUTER_PORT, BY_NAME, by_name),
    IndexSpec::by(table::ROUTER_PORT, BY_NETWORK, by_network),
    IndexSpec::by(table::SWITCH, BY_NAME, by_name),
];

/// A router that Neutron made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Router {
    /// The row.
    pub uuid: Uuid,
    /// `neutron-<router uuid>`, which is also the name of the Vpc.
    pub name: String,
    /// The name its owner gave it in OpenStack; may be empty.
    pub display_name: String,
    /// Administratively up.
    pub enabled: bool,
    /// Its ports, ascending by name: Neutron's, ours and any others.
    pub ports: Vec<RouterPort>,
}

/// A port of a router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterPort {
    /// The row.
    pub uuid: Uuid,
    /// `lrp-<port uuid>` for Neutron's.
    pub name: String,
    /// Its addresses. Ones that can't be parsed are left out.
    pub networks: Vec<IfAddr>,
    /// Neutron's switch behind it (`neutron-<network uuid>`); `None` for a port that isn't Neutron's.
    pub network: Option<String>,
    /// Leads to an external network.
    pub gateway: bool,
    /// The port was made by Neutron.
    pub of_neutron: bool,
}

impl RouterPort {
    /// The networks that the router reaches through this port.
    pub fn cidrs(&self) -> impl Iterator<Item = Cidr> {
        self.networks.iter().map(|network| network.cidr())
    }
}

impl Router {
    /// The switches of Neutron that hang on the router, ascending, the external network included.
    #[must_use]
    pub fn networks(&self) -> Vec<String> {
        let mut names: Vec<String> = self.ports.iter().filter_map(|port| port.network.clone()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Whether a row of `Logical_Router` is Neutron's. The name alone proves nothing: Neutron itself goes by
/// `neutron:router_name` (`impl_idl_ovn.get_all_logical_routers_with_rports`).
#[must_use]
pub fn is_router(row: &Row) -> bool {
    row.key(EXTERNAL_IDS, ROUTER_NAME).is_some()
        && row.str(NAME).is_some_and(|name| name.starts_with("neutron-"))
}

/// Whether a row of `Logical_Switch` is Neutron's (`get_all_logical_switches_with_ports`).
#[must_use]
pub fn is_switch(row: &Row) -> bool {
    row.key(EXTERNAL_IDS, NETWORK_NAME).is_some()
}

/// The row of the router of this name, if Neutron made it and no other row has the name: OVN doesn't keep router
/// names unique, and with two rows the name is ambiguous.
#[must_use]
pub fn router_named<'a>(replica: &'a Replica, name: &str) -> Option<(Uuid, &'a Row)> {
    let key = Atom::from(name);
    let mut rows = replica.find(table::ROUTER, BY_NAME, &key);
    let (uuid, row) = rows.next()?;
    if rows.next().is_some() || !is_router(row) {
        return None;
    }
    Some((uuid, row))
}

/// The name that a router's owner gave it in OpenStack.
#[must_use]
pub fn display_name(row: &Row) -> Option<&str> {
    row.key(EXTERNAL_IDS, ROUTER_NAME)
}

/// Whether a router is administratively up.
#[must_use]
pub fn is_enabled(row: &Row) -> bool {
    row.get(LogicalRouter::ENABLED).and_then(|enabled| enabled.as_bool()).unwrap_or(true)
}

/// The uuid of a router in OpenStack, out of its name in OVN.
#[must_use]
pub fn router_id(name: &str) -> &str {
    name.strip_prefix("neutron-").unwrap_or(name)
}

/// How many rows of `Logical_Router` have this name.
#[must_use]
pub fn routers_named(replica: &Replica, name: &str) -> usize {
    replica.find(table::ROUTER, BY_NAME, &Atom::from(name)).count()
}

/// Reads a router's row and its ports.
#[must_use]
pub fn read_router(replica: &Replica, uuid: Uuid, row: &Row) -> Router {
    let gateway_port = gateway_port(row);
    let mut ports: Vec<RouterPort> = row
        .get(LogicalRouter::PORTS)
        .into_iter()
        .flat_map(|ports| ports.uuids())
        .filter_map(|port| Some((port, replica.row(table::ROUTER_PORT, &port)?)))
        .map(|(uuid, row)| read_port(uuid, row, gateway_port.as_deref()))
        .collect();
    ports.sort_by(|a, b| a.name.cmp(&b.name));
    Router {
        uuid,
        name: row.str(NAME).unwrap_or_default().to_owned(),
        display_name: display_name(row).unwrap_or_default().to_owned(),
        enabled: is_enabled(row),
        ports,
    }
}

fn gateway_port(router: &Row) -> Option<String> {
    router.key(EXTERNAL_IDS, "neutron:gw_port_id").map(|id| format!("lrp-{id}"))
}

/// The networks of a router port's row. Addresses that can't be parsed are left out.
pub fn cidrs(port: &Row) -> impl Iterator<Item = Cidr> {
    networks(port).map(IfAddr::cidr)
}

fn networks(port: &Row) -> impl Iterator<Item = IfAddr> {
    port.get(LogicalRouterPort::NETWORKS)
        .into_iter()
        .flat_map(|networks| networks.strings())
        .filter_map(|network| network.parse().ok())
}

/// Neutron's switch behind a router port's row (`neutron-<network uuid>`); `None` for one that isn't Neutron's.
#[must_use]
pub fn network_of(port: &Row) -> Option<&str> {
    port.key(EXTERNAL_IDS, NETWORK_NAME)
}

/// Reads a port. `neutron:is_ext_gw` (release 24 and later) or the router's `neutron:gw_port_id` (before) marks a
/// gateway port.
fn read_port(uuid: Uuid, row: &Row, gateway_port: Option<&str>) -> RouterPort {
    let name = row.str(NAME).unwrap_or_default().to_owned();
    let network = network_of(row).map(str::to_owned);
    RouterPort {
        uuid,
        networks: networks(row).collect(),
        gateway: row.key(EXTERNAL_IDS, "neutron:is_ext_gw").is_some_and(|v| v.eq_ignore_ascii_case("true"))
            || gateway_port == Some(name.as_str()),
        of_neutron: network.is_some() || name.starts_with("lrp-"),
        name,
        network,
    }
}

/// The MTU of Neutron's network behind this switch, in bytes of the inner IP packet.
#[must_use]
pub fn network_mtu(replica: &Replica, switch: &str) -> Option<u32> {
    let (_, row) =
        replica.find(table::SWITCH, BY_NAME, &Atom::from(switch)).find(|(_, row)| is_switch(row))?;
    row.key(EXTERNAL_IDS, "neutron:mtu")?.parse().ok().filter(|mtu| (576..=65_535).contains(mtu))
}

/// The name that the network behind this switch has in OpenStack.
#[must_use]
pub fn network_display_name(replica: &Replica, switch: &str) -> Option<String> {
    let (_, row) =
        replica.find(table::SWITCH, BY_NAME, &Atom::from(switch)).find(|(_, row)| is_switch(row))?;
    row.key(EXTERNAL_IDS, NETWORK_NAME).map(str::to_owned)
}

/// The MTU a pod behind this router should use: the smallest of the tenant networks on it, so that the
/// largest packet of either side passes. External networks don't count. `ports`: those that lead to Neutron's networks;
/// a router has few, beside the ports of Subnets.
pub fn router_mtu(replica: &Replica, router: &Row, ports: impl IntoIterator<Item = Uuid>) -> Option<u32> {
    let gateway_port = gateway_port(router);
    let rows = ports.into_iter().filter_map(|port| Some((port, replica.row(table::ROUTER_PORT, &port)?)));
    rows.map(|(uuid, row)| read_port(uuid, row, gateway_port.as_deref()))
        .filter(|port| !port.gateway)
        .filter_map(|port| network_mtu(replica, port.network.as_deref()?))
        .min()
}

/// Names of the routers that a change of these rows concerns: the Vpcs to look at again.
pub fn routers_touched(replica: &Replica, changes: &tombolo_ovsdb::ChangeSet) -> Vec<String> {
    let mut names = Vec::new();
    let mut add = |row: &Row| names.extend(row.str(NAME).map(str::to_owned));
    for (_, change) in changes.of_table(table::ROUTER) {
        // Policies and NAT say nothing of what is read here; nor do the routes of a router of our own, which are many.
        let read = |row: &std::sync::Arc<Row>| {
            let mut row = Row::clone(row);
            let unread: &[_] = if is_router(&row) {
                &[LogicalRouter::POLICIES, LogicalRouter::NAT]
            } else {
                &[LogicalRouter::POLICIES, LogicalRouter::STATIC_ROUTES, LogicalRouter::NAT]
            };
            for column in unread {
                row.remove(column);
            }
            row
        };
        if let (Some(old), Some(new)) = (&change.old, &change.new)
            && read(old) == read(new)
        {
            continue;
        }
        change.old.iter().chain(&change.new).for_each(|row| add(row));
    }
    for (uuid, change) in changes.of_table(table::ROUTER_PORT) {
        // A port that goes leaves its router's column too: that change is in the same set.
        if change.new.is_some() {
            replica
                .holders(table::ROUTER, LogicalRouter::PORTS, &Atom::Uuid(uuid))
                .for_each(|(_, row)| add(row));
        }
    }
    for (uuid, change) in changes.of_table(table::STATIC_ROUTE) {
        // One that goes leaves its router's column too.
        if change.new.is_some() {
            let holders = replica.holders(table::ROUTER, LogicalRouter::STATIC_ROUTES, &Atom::Uuid(uuid));
            holders.filter(|(_, row)| is_router(row)).for_each(|(_, row)| add(row));
        }
    }
    for (_, change) in changes.of_table(table::SWITCH) {
        let read = |row: &Option<std::sync::Arc<Row>>| {
            row.as_ref().map(|row| {
                ["neutron:mtu", NETWORK_NAME].map(|key| row.key(EXTERNAL_IDS, key).map(str::to_owned))
            })
        };
        // Ports come and go on a switch all the time: only what is read here counts.
        if read(&change.old) == read(&change.new) {
            continue;
        }
        for row in change.old.iter().chain(&change.new) {
            let Some(name) = row.str(NAME) else { continue };
            for (port, _) in replica.find(table::ROUTER_PORT, BY_NETWORK, &Atom::from(name)) {
                replica
                    .holders(table::ROUTER, LogicalRouter::PORTS, &Atom::Uuid(port))
                    .for_each(|(_, row)| add(row));
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests;
