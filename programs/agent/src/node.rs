//! The node's own port ovn0 in the join subnet: how the node and its kubelet reach pods. Pure part: the rows of the
//! port and the routes through it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use tombolo_linux::Route;
use tombolo_net::{Cidr, Family, IfAddr, Mac};
use tombolo_ovn::vswitch::{Bridge, Interface, Port};
use tombolo_ovsdb::{Datum, Mutation, Op, Replica, Row};

use crate::ports::{BR_INT, PlanError, VENDOR, bridge, ids, interface};

/// Name of the node's port.
pub const OVN0: &str = "ovn0";
/// `rtm_protocol` of our routes on the node: routes with another number are others'.
pub const PROTOCOL: u8 = 84;
/// Length of ovn0's transmit queue, Kube-OVN's.
pub const TXQUEUELEN: u32 = 1000;

/// The node's port as the controller has decided it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePort {
    /// Name of the logical switch port: `node-<node>`.
    pub iface_id: String,
    /// MAC address of ovn0.
    pub mac: Mac,
    /// Its addresses, IPv4 first; at least one.
    pub addresses: Vec<IfAddr>,
    /// The join subnet's gateways.
    pub gateways: Vec<IpAddr>,
}

impl NodePort {
    fn ip_text(&self) -> String {
        self.addresses.iter().map(|a| a.addr().to_string()).collect::<Vec<_>>().join(",")
    }

    /// The operations that make ovn0's rows so; none when they are. `tag` makes names of new rows unique.
    ///
    /// An ovn0 without `iface-id` of a node isn't ours.
    pub fn plan(&self, replica: &Replica, mtu: u32, tag: &str) -> Result<Vec<Op>, PlanError> {
        let (bridge, _) = bridge(replica, BR_INT).ok_or(PlanError::NoBridge)?;
        let ip = self.ip_text();
        let wanted = [(ids::IFACE_ID, self.iface_id.as_str()), (ids::VENDOR, VENDOR), (ids::IP, ip.as_str())];
        let columns = Row::new()
            .with(Interface::MAC, Datum::string(self.mac.to_string()))
            .with(Interface::MTU_REQUEST, Datum::scalar(i64::from(mtu)));
        if let Some((uuid, row)) = interface(replica, OVN0) {
            // Kube-OVN's agent leaves `vendor` out.
            if !row.key(Interface::EXTERNAL_IDS, ids::IFACE_ID).is_some_and(|id| id.starts_with("node-")) {
                return Err(PlanError::Taken(OVN0.to_owned()));
            }
            let mut ops = Vec::new();
            let same_ids = wanted.iter().all(|(k, v)| row.key(Interface::EXTERNAL_IDS, k) == Some(*v));
            if !same_ids {
                ops.push(Op::mutate(
                    Interface::TABLE,
                    uuid,
                    Mutation::set_keys(Interface::EXTERNAL_IDS, wanted),
                ));
            }
            if !columns.iter().all(|(column, value)| row.get(column) == Some(value)) {
                ops.push(Op::update(Interface::TABLE, uuid, columns));
            }
            return Ok(ops);
        }
        let (new_interface, new_port) = (format!("interface_{tag}"), format!("port_{tag}"));
        Ok(vec![
            Op::Insert {
                table: Interface::TABLE,
                uuid: None,
                uuid_name: Some(new_interface.clone()),
                row: columns
                    .with(Interface::NAME, Datum::string(OVN0))
                    .with(Interface::TYPE, Datum::string("internal"))
                    .with(Interface::EXTERNAL_IDS, Datum::map_of_strings(wanted)),
            },
            Op::Insert {
                table: Port::TABLE,
                uuid: None,
                uuid_name: Some(new_port.clone()),
                row: Row::new()
                    .with(Port::NAME, Datum::string(OVN0))
                    .with(Port::INTERFACES, Datum::named_uuid(new_interface)),
            },
            Op::mutate(Bridge::TABLE, bridge, [Mutation::insert(Bridge::PORTS, Datum::named_uuid(new_port))]),
        ])
    }

    /// The routes that the node must have of ours, given those of the main table: through the join gateways to
    /// these networks; and to the join network itself where the kernel's own, which came with the address, was
    /// taken away.
    pub fn routes(&self, networks: &BTreeSet<Cidr>, link: u32, present: &[Route]) -> BTreeSet<Route> {
        let own: Vec<Cidr> = self.addresses.iter().map(|a| a.cidr()).collect();
        let through = networks
            .iter()
            .filter(|network| !own.contains(network)) // on the link itself
            .filter_map(|network| {
                let gateway = self.gateways.iter().copied().find(|g| Family::of(*g) == network.family())?;
                Some(Route { dst: *network, gateway: Some(gateway), link, protocol: PROTOCOL, source: None })
            });
        let others = |dst: Cidr| {
            let on_link = |r: &Route| r.dst == dst && r.link == link && r.gateway.is_none();
            present.iter().any(|r| on_link(r) && r.protocol != PROTOCOL)
        };
        let connected = self.addresses.iter().filter(|a| !others(a.cidr())).map(|a| {
            // Its source is the node's address there: IPv6 chooses it by itself.
            let source = Some(a.addr()).filter(|ip| ip.is_ipv4());
            Route { dst: a.cidr(), gateway: None, link, protocol: PROTOCOL, source }
        });
        through.chain(connected).collect()
    }
}

/// A Subnet as far as the node's routes and NAT are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSubnet {
    /// Its networks.
    pub networks: Vec<Cidr>,
    /// Traffic that leaves the cluster gets the node's address.
    pub nat_outgoing: bool,
}

/// All networks of these Subnets.
pub fn networks(subnets: &BTreeMap<String, NodeSubnet>) -> BTreeSet<Cidr> {
    subnets.values().flat_map(|s| s.networks.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use tombolo_ovsdb::{Schema, Uuid};

    use super::*;
    use crate::ports::{INDEXES, wanted};

    fn port() -> NodePort {
        NodePort {
            iface_id: "node-n1".into(),
            mac: "00:00:00:6E:53:FD".parse().unwrap(),
            addresses: vec!["100.64.0.2/16".parse().unwrap()],
            gateways: vec!["100.64.0.1".parse().unwrap()],
        }
    }

    fn replica(ovn0: Option<&[(&str, &str)]>) -> Replica {
        let schema = Schema::parse(tombolo_ovn::vswitch::SCHEMA).unwrap();
        let mut replica = Replica::new(&wanted().intersect(&schema), INDEXES);
        replica.put(
            Bridge::TABLE,
            Uuid::from_u128(1),
            Some(Row::new().with(Bridge::NAME, Datum::string(BR_INT))),
        );
        if let Some(external_ids) = ovn0 {
            let row = Row::new()
                .with(Interface::NAME, Datum::string(OVN0))
                .with(Interface::EXTERNAL_IDS, Datum::map_of_strings(external_ids.iter().copied()));
            replica.put(Interface::TABLE, Uuid::from_u128(2), Some(row));
        }
        replica
    }

    #[test]
    fn rows_are_made_once_and_then_only_what_differs() {
        // invariant 9
        let ops = port().plan(&replica(None), 1400, "1").unwrap();
        assert_eq!(ops.len(), 3);
        let Op::Insert { row, .. } = &ops[0] else { panic!("{ops:?}") };
        let mut done = replica(None);
        done.put(Interface::TABLE, Uuid::from_u128(2), Some(row.clone()));
        assert_eq!(port().plan(&done, 1400, "1").unwrap(), []);
        let changed = port().plan(&done, 1300, "1").unwrap();
        assert_eq!(changed.len(), 1);
        assert_eq!(changed[0].name(), "update");
    }

    #[test]
    fn a_foreign_ovn0_is_refused_and_kube_ovns_is_taken_over() {
        // invariant 1
        let foreign = replica(Some(&[("iface-id", "a7a2f2be")]));
        assert_eq!(port().plan(&foreign, 1400, "1"), Err(PlanError::Taken(OVN0.into())));
        let theirs = replica(Some(&[("iface-id", "node-n1"), ("ip", "100.64.0.2")]));
        let names: Vec<&str> = port().plan(&theirs, 1400, "1").unwrap().iter().map(Op::name).collect();
        assert_eq!(names, ["mutate", "update"]);
    }

    #[test]
    fn routes_lead_through_the_gateway_and_the_join_network_keeps_its_own() {
        let networks = ["10.16.0.0/16", "100.64.0.0/16", "fd00::/64"].map(|n| n.parse().unwrap()).into();
        let kernels = Route {
            dst: "100.64.0.0/16".parse().unwrap(),
            gateway: None,
            link: 7,
            protocol: 2,
            source: Some("100.64.0.2".parse().unwrap()),
        };
        let text = |present: &[Route]| -> Vec<String> {
            let routes = port().routes(&networks, 7, present);
            assert!(routes.iter().all(|r| r.protocol == PROTOCOL));
            routes.iter().map(|r| format!("{} {:?}", r.dst, r.gateway.map(|g| g.to_string()))).collect()
        };
        let through = "10.16.0.0/16 Some(\"100.64.0.1\")";
        assert_eq!(text(&[kernels]), [through], "none to IPv6 without an IPv6 gateway");
        assert_eq!(text(&[]), [through, "100.64.0.0/16 None"]);
        let ours = Route { protocol: PROTOCOL, ..kernels };
        assert_eq!(text(&[ours]), [through, "100.64.0.0/16 None"], "ours stays once it is there");
        assert_eq!(text(&[Route { link: 8, ..kernels }]).len(), 2, "on another link it is no help");
    }
}
