//! The node's own port ovn0 in the join subnet: how the node and its kubelet reach pods. Pure part: what is wanted,
//! read from the Node's annotations and the Subnets, and the rows of the port.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use tombolo_api::annotations as keys;
use tombolo_api::{DEFAULT_VPC, OVN_PROVIDER, SubnetSpec};
use tombolo_linux::Route;
use tombolo_net::{Cidr, DualCidr, Family, IfAddr, Mac, parse_addr_pair};
use tombolo_ovn::vswitch::{Bridge, Interface, Port};
use tombolo_ovsdb::{Datum, Mutation, Op, Replica, Row};

use crate::ports::{BR_INT, PlanError, VENDOR, bridge, ids, interface};

/// Name of the node's port.
pub const OVN0: &str = "ovn0";
/// `rtm_protocol` of our routes on the node: routes with another number are somebody else's.
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
    /// Reads a Node's annotations; `None` while the controller hasn't written them.
    pub fn read<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Option<Self>, String> {
        let text = |key: &str| get(key).map(str::trim).unwrap_or_default();
        if text(keys::ALLOCATED) != keys::TRUE
            || text(keys::IP_ADDRESS).is_empty()
            || text(keys::PORT_NAME).is_empty()
        {
            return Ok(None);
        }
        let invalid =
            |key: &str, why: String| format!("annotation {key} of the node is {:?}: {why}", text(key));
        let mac = text(keys::MAC_ADDRESS).parse().map_err(|e| invalid(keys::MAC_ADDRESS, format!("{e}")))?;
        let cidr: DualCidr = text(keys::CIDR).parse().map_err(|e| invalid(keys::CIDR, format!("{e}")))?;
        let gateways =
            parse_addr_pair(text(keys::GATEWAY)).map_err(|e| invalid(keys::GATEWAY, format!("{e}")))?;
        let ips =
            parse_addr_pair(text(keys::IP_ADDRESS)).map_err(|e| invalid(keys::IP_ADDRESS, format!("{e}")))?;
        let mut addresses = Vec::new();
        for ip in ips {
            let within = cidr.of(Family::of(ip)).and_then(|c| IfAddr::within(ip, c));
            addresses
                .push(within.ok_or_else(|| invalid(keys::IP_ADDRESS, format!("{ip} is not within {cidr}")))?);
        }
        addresses.sort_by_key(|a| a.family());
        Ok(Some(Self { iface_id: text(keys::PORT_NAME).to_owned(), mac, addresses, gateways }))
    }

    fn ip_text(&self) -> String {
        self.addresses.iter().map(|a| a.addr().to_string()).collect::<Vec<_>>().join(",")
    }

    /// The operations that make ovn0's rows so; none when they are. `tag` makes names of new rows unique.
    ///
    /// An ovn0 without `iface-id` of a node is somebody else's.
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

    /// The routes through the join gateways to these networks.
    pub fn routes(&self, networks: &BTreeSet<Cidr>, link: u32) -> BTreeSet<Route> {
        let own: Vec<Cidr> = self.addresses.iter().map(|a| a.cidr()).collect();
        networks
            .iter()
            .filter(|network| !own.contains(network)) // on the link itself
            .filter_map(|network| {
                let gateway = self.gateways.iter().copied().find(|g| Family::of(*g) == network.family())?;
                Some(Route { dst: *network, gateway: Some(gateway), link, protocol: PROTOCOL, source: None })
            })
            .collect()
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

impl NodeSubnet {
    /// `None` for a Subnet that nodes have no route to: of another VPC, an underlay, or one whose network doesn't
    /// read (the controller says so on the object).
    pub fn read(name: &str, spec: &SubnetSpec, node_switch: &str) -> Option<Self> {
        let default_vpc = spec.vpc.is_empty() || spec.vpc == DEFAULT_VPC;
        let overlay = spec.vlan.is_empty() || spec.logical_gateway;
        let ovn = spec.provider.is_empty()
            || spec.provider == OVN_PROVIDER
            || spec.provider.ends_with(&format!(".{OVN_PROVIDER}"));
        if name == node_switch || !default_vpc || !overlay || !ovn {
            return None;
        }
        let cidr: DualCidr = spec.cidr_block.parse().ok()?;
        Some(Self { networks: cidr.iter().collect(), nat_outgoing: spec.nat_outgoing })
    }
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

    fn annotations(key: &str) -> Option<&'static str> {
        [
            (keys::ALLOCATED, "true"),
            (keys::IP_ADDRESS, "100.64.0.2"),
            (keys::MAC_ADDRESS, "00:00:00:6E:53:FD"),
            (keys::CIDR, "100.64.0.0/16"),
            (keys::GATEWAY, "100.64.0.1"),
            (keys::PORT_NAME, "node-n1"),
        ]
        .into_iter()
        .find(|(k, _)| *k == key)
        .map(|(_, v)| v)
    }

    fn port() -> NodePort {
        NodePort::read(annotations).unwrap().unwrap()
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
    fn the_annotations_of_the_controller() {
        let port = port();
        assert_eq!(port.iface_id, "node-n1");
        assert_eq!(port.addresses, ["100.64.0.2/16".parse().unwrap()]);
        assert_eq!(NodePort::read(|_| None), Ok(None));
        let bad = |k: &str| if k == keys::IP_ADDRESS { Some("10.0.0.1") } else { annotations(k) };
        assert!(NodePort::read(bad).unwrap_err().contains("10.0.0.1"));
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
    fn routes_lead_to_the_overlay_of_the_default_vpc() {
        let spec = |vpc: &str, cidr: &str, vlan: &str| SubnetSpec {
            vpc: vpc.into(),
            cidr_block: cidr.into(),
            vlan: vlan.into(),
            nat_outgoing: true,
            ..SubnetSpec::default()
        };
        let all = [
            ("ovn-default", spec("ovn-cluster", "10.16.0.0/16,fd00::/64", "")),
            ("other", spec("", "10.17.0.0/16", "")),
            ("join", spec("ovn-cluster", "100.64.0.0/16", "")),
            ("net2", spec("neutron-2204", "12.0.1.0/24", "")),
            ("underlay", spec("ovn-cluster", "172.17.0.0/16", "vlan1")),
            ("broken", spec("ovn-cluster", "nonsense", "")),
        ];
        let subnets: BTreeMap<String, NodeSubnet> = all
            .iter()
            .filter_map(|(name, spec)| Some(((*name).to_owned(), NodeSubnet::read(name, spec, "join")?)))
            .collect();
        let routes = port().routes(&networks(&subnets), 7);
        let dst: Vec<String> = routes.iter().map(|r| r.dst.to_string()).collect();
        assert_eq!(dst, ["10.16.0.0/16", "10.17.0.0/16"], "none to IPv6 without an IPv6 gateway");
        assert!(
            routes.iter().all(|r| r.gateway == Some("100.64.0.1".parse().unwrap()) && r.protocol == PROTOCOL)
        );
    }
}
