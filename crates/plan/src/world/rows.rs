//! Which row stands for an owner's: the one with the uuid that follows from its words, or one taken over from Kube-OVN.

use tombolo_net::Mac;
use tombolo_ovn::nb::{LogicalRouterPort, LogicalSwitchPort};
use tombolo_ovsdb::{Row, Uuid};

use super::World;
use crate::address;
use crate::names;
use crate::nb::{self, table};
use crate::owner::{MAC_KEY, Owner};

impl World {
    /// The uuid of the row that `owner` keeps in `table` in the role `role` (see [`crate::ClusterId::row_uuid`]).
    #[must_use]
    pub fn row_uuid(&self, table: &'static str, owner: &Owner, role: &str) -> Uuid {
        let cluster = &self.config.cluster;
        nb::in_place_of(&self.nb, cluster, table, owner, cluster.row_uuid(table, owner, role))
    }

    /// The row of a Subnet's switch.
    #[must_use]
    pub fn switch_uuid(&self, subnet: &str) -> Uuid {
        self.row_uuid(table::SWITCH, &Owner::subnet(subnet), "switch")
    }

    /// The row of a node's port group: the pods of the default Vpc on it.
    #[must_use]
    pub fn node_group_uuid(&self, node: &str) -> Uuid {
        self.row_uuid(table::PORT_GROUP, &Owner::node(node), "pods")
    }

    /// Whether Kube-OVN made rows for this very cluster: the port of one of its nodes bears what the node's IP object says, the
    /// MAC, which is random, included. Another cluster on the same database may have switches and routers of the same names.
    #[must_use]
    pub fn is_left_by_kube_ovn(&self) -> bool {
        self.nodes().keys().any(|node| {
            let name = names::node_port(node);
            let Some(ip) = self.ips().get(&name) else { return false };
            let bears = |row: &Row| {
                let text = row.get(LogicalSwitchPort::ADDRESSES).and_then(|it| it.strings().next());
                text.is_some_and(|text| text.eq_ignore_ascii_case(&address::port_addresses(ip)))
            };
            let is_theirs = |row: &Row| {
                let is_taken = nb::stands_for(row).is_some();
                nb::is_kube_ovns(row) || is_taken && nb::owner_of(&self.config.cluster, row).is_some()
            };
            let ports = nb::named(&self.nb, table::SWITCH_PORT, &name);
            ports.into_iter().any(|(_, row)| is_theirs(row) && bears(row))
        })
    }

    /// The MAC of the router in a Subnet: one taken over from Kube-OVN keeps its own, which pods have in their neighbor tables.
    #[must_use]
    pub fn gateway_mac(&self, subnet: &str) -> Mac {
        self.kept_gateway_mac(subnet).unwrap_or_else(|| names::gateway_mac(&self.config.cluster, subnet))
    }

    /// That MAC, if it was taken over.
    pub(crate) fn kept_gateway_mac(&self, subnet: &str) -> Option<Mac> {
        let ports = nb::owned(&self.nb, &self.config.cluster, table::ROUTER_PORT, &Owner::subnet(subnet));
        let kept = ports.iter().find_map(|(_, row)| row.key(LogicalRouterPort::EXTERNAL_IDS, MAC_KEY));
        kept.and_then(|mac| mac.parse().ok())
    }
}
