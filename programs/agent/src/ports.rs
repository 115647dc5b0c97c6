//! The rows of a pod's port on br-int: their content, the ones that are ours, and the operations that add and remove
//! them. Pure: `Replica` in, operations out.
//!
//! Ours is an Interface with `external_ids:vendor=kube-ovn` and a pod's name. Everything else on the bridge
//! (Nova's taps, patch and tunnel ports of ovn-controller) is never touched (invariant 1).

use std::collections::BTreeMap;
use std::net::IpAddr;

use tombolo_net::Mac;
use tombolo_ovn::vswitch::{Bridge, Interface, OpenVSwitch, Port};
use tombolo_ovsdb::{Atom, Datum, IndexSpec, Mutation, Op, Replica, Row, Uuid, Wanted};

/// The integration bridge.
pub const BR_INT: &str = "br-int";
/// Value of `vendor` on our rows, Kube-OVN's.
pub const VENDOR: &str = "kube-ovn";

/// Keys of Interface `external_ids`: OVN's, Kube-OVN's, ours.
pub mod ids {
    /// OVN: which logical switch port this is.
    pub const IFACE_ID: &str = "iface-id";
    /// OVN: which pod of that name; ovn-controller binds the port only if the port row has the same.
    pub const IFACE_ID_VER: &str = "iface-id-ver";
    /// OVN (ovn-controller writes it): all flows for the port are in place.
    pub const INSTALLED: &str = "ovn-installed";
    /// Kube-OVN: whose row.
    pub const VENDOR: &str = "vendor";
    /// Kube-OVN: the pod.
    pub const POD_NAME: &str = "pod_name";
    /// Kube-OVN: its namespace.
    pub const POD_NAMESPACE: &str = "pod_namespace";
    /// Kube-OVN: path of its network namespace.
    pub const POD_NETNS: &str = "pod_netns";
    /// Kube-OVN: its addresses, `v4,v6`.
    pub const IP: &str = "ip";
    /// Ours: the runtime's id of the sandbox, whole.
    pub use tombolo_names::rows::CONTAINER;
    /// Ours: name of the interface inside.
    pub use tombolo_names::rows::IFNAME;
    /// Ours: MAC address inside.
    pub use tombolo_names::rows::MAC;
}

const BY_NAME: &str = "name";
const BY_IFACE_ID: &str = "iface-id";

fn name_of(row: &Row) -> Vec<Atom> {
    row.str("name").map(Atom::string).into_iter().collect()
}

fn iface_id_of(row: &Row) -> Vec<Atom> {
    row.key(Interface::EXTERNAL_IDS, ids::IFACE_ID).map(Atom::string).into_iter().collect()
}

/// The tables and columns of the database Open_vSwitch that the agent follows. Counters and port states that change
/// all the time are not among them, so an idle node is silent (invariant 9).
pub fn wanted() -> Wanted {
    Wanted::new()
        .table(OpenVSwitch::TABLE, &[OpenVSwitch::EXTERNAL_IDS, OpenVSwitch::BRIDGES])
        .table(Bridge::TABLE, &[Bridge::NAME, Bridge::PORTS, Bridge::DATAPATH_TYPE])
        .table(Port::TABLE, &[Port::NAME, Port::INTERFACES])
        .table(
            Interface::TABLE,
            &[
                Interface::NAME,
                Interface::TYPE,
                Interface::EXTERNAL_IDS,
                Interface::OPTIONS,
                Interface::ERROR,
                Interface::OFPORT,
                Interface::MAC,
                Interface::MTU_REQUEST,
            ],
        )
}

/// How the replica finds rows.
pub const INDEXES: &[IndexSpec] = &[
    IndexSpec::by(Interface::TABLE, BY_NAME, name_of),
    IndexSpec::by(Interface::TABLE, BY_IFACE_ID, iface_id_of),
    IndexSpec::by(Port::TABLE, BY_NAME, name_of),
];

/// A pod's port as we make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodPort {
    /// Name of the link on the host, of the Port and of the Interface.
    pub name: String,
    /// Name of the logical switch port.
    pub iface_id: String,
    /// The runtime's id of the sandbox.
    pub container: String,
    /// Name of the interface inside.
    pub ifname: String,
    /// The pod.
    pub pod_name: String,
    /// Its namespace.
    pub pod_namespace: String,
    /// Its UID as the API server knows it.
    pub pod_uid: String,
    /// Path of its network namespace.
    pub netns: String,
    /// Its addresses, `v4,v6`.
    pub ip: String,
    /// Its MAC address.
    pub mac: Mac,
}

impl PodPort {
    fn external_ids(&self) -> Datum {
        let mac = self.mac.to_string();
        Datum::map_of_strings([
            (ids::IFACE_ID, self.iface_id.as_str()),
            (ids::IFACE_ID_VER, &self.pod_uid),
            (ids::VENDOR, VENDOR),
            (ids::POD_NAME, &self.pod_name),
            (ids::POD_NAMESPACE, &self.pod_namespace),
            (ids::POD_NETNS, &self.netns),
            (ids::IP, &self.ip),
            (ids::CONTAINER, &self.container),
            (ids::IFNAME, &self.ifname),
            (ids::MAC, &mac),
        ])
    }
}

/// Name of a pod's link on the host: `<first 12 of the container's id>_h` for eth0, as in Kube-OVN, and
/// `<shorter>_<ifname>_h` for others; at most 15 bytes.
pub fn host_link(container: &str, ifname: &str) -> String {
    let prefix = |n: usize| container.chars().take(n).collect::<String>();
    if ifname == "eth0" {
        return format!("{}_h", prefix(12));
    }
    // The longest name of a link (IFNAMSIZ - 1), less the two underscores and the "h".
    let short: String = ifname.chars().filter(char::is_ascii_graphic).take(8).collect();
    format!("{}_{short}_h", prefix(12 - short.len()))
}

/// Name of the logical switch port of a pod's interface.
pub fn iface_id(pod_name: &str, pod_namespace: &str, provider: &str) -> String {
    if provider == tombolo_api::OVN_PROVIDER {
        format!("{pod_name}.{pod_namespace}")
    } else {
        format!("{pod_name}.{pod_namespace}.{provider}")
    }
}

/// A pod's port that is there and is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OurPort {
    /// The Interface row.
    pub interface: Uuid,
    /// Its name.
    pub name: String,
    /// Its `external_ids`.
    pub external_ids: BTreeMap<String, String>,
}

impl OurPort {
    fn read(uuid: Uuid, row: &Row) -> Option<Self> {
        let external_ids = row.get(Interface::EXTERNAL_IDS)?.str_map();
        let ours = external_ids.get(ids::VENDOR).is_some_and(|v| v == VENDOR)
            && external_ids.contains_key(ids::POD_NAME);
        ours.then(|| Self {
            interface: uuid,
            name: row.str(Interface::NAME).unwrap_or_default().to_owned(),
            external_ids,
        })
    }

    /// One of its `external_ids`; empty when absent.
    pub fn id(&self, key: &str) -> &str {
        self.external_ids.get(key).map(String::as_str).unwrap_or_default()
    }

    /// Whether it belongs to that sandbox's interface. Ports that Kube-OVN made carry no container id; their name
    /// identifies the sandbox.
    pub fn is_of(&self, container: &str, ifname: &str) -> bool {
        match self.id(ids::CONTAINER) {
            "" => self.name == host_link(container, ifname),
            own => own == container && self.id(ids::IFNAME) == ifname,
        }
    }

    /// ovn-controller has installed all flows for it.
    pub fn is_installed(&self) -> bool {
        self.id(ids::INSTALLED) == "true"
    }

    /// Its addresses.
    pub fn ips(&self) -> Vec<IpAddr> {
        self.id(ids::IP).split(',').filter_map(|ip| ip.trim().parse().ok()).collect()
    }
}

/// All pods' ports that are ours, ascending by name.
pub fn our_ports(replica: &Replica) -> Vec<OurPort> {
    let mut all: Vec<OurPort> =
        replica.rows(Interface::TABLE).filter_map(|(uuid, row)| OurPort::read(uuid, row)).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// The port of that name, if it is a pod's and ours.
pub fn our_port(replica: &Replica, name: &str) -> Option<OurPort> {
    interface(replica, name).and_then(|(uuid, row)| OurPort::read(uuid, row))
}

/// The Interface row of that name, ours or not.
pub fn interface<'a>(replica: &'a Replica, name: &str) -> Option<(Uuid, &'a Row)> {
    replica.find(Interface::TABLE, BY_NAME, &Atom::string(name)).next().map(|(uuid, row)| (uuid, &**row))
}

/// The bridge of that name.
pub fn bridge<'a>(replica: &'a Replica, name: &str) -> Option<(Uuid, &'a Row)> {
    replica
        .rows(Bridge::TABLE)
        .find(|(_, row)| row.str(Bridge::NAME) == Some(name))
        .map(|(uuid, row)| (uuid, &**row))
}

/// The bridge's packets are forwarded by ovs-vswitchd itself, not by the kernel.
pub fn is_userspace(replica: &Replica) -> bool {
    bridge(replica, BR_INT).and_then(|(_, row)| row.str(Bridge::DATAPATH_TYPE)) == Some("netdev")
}

/// `external_ids` of the one row of Open_vSwitch; read only (invariant 1).
pub fn system_id<'a>(replica: &'a Replica, key: &str) -> Option<&'a str> {
    replica.rows(OpenVSwitch::TABLE).next().and_then(|(_, row)| row.key(OpenVSwitch::EXTERNAL_IDS, key))
}

/// Why a port can't be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No bridge.
    #[error("there is no bridge {BR_INT} in Open vSwitch on this node: is ovn-controller running?")]
    NoBridge,
    /// The name is taken.
    #[error("Open vSwitch has an interface {0} already, which is not ours")]
    Taken(String),
    /// The pod ended meanwhile.
    #[error("pod {0} is gone, or another one has its name by now")]
    Superseded(String),
}

/// The operations that add a port and its interface to br-int. `tag` makes the names of the new rows unique within
/// a transaction that holds other ports too.
///
/// Another port of ours with the same `iface-id` (the pod's former sandbox) loses that key, so that ovn-controller
/// sees one; a port of ours with the same name is replaced.
pub fn add(replica: &Replica, port: &PodPort, tag: &str) -> Result<Vec<Op>, PlanError> {
    let (bridge, _) = bridge(replica, BR_INT).ok_or(PlanError::NoBridge)?;
    let mut ops = Vec::new();
    if let Some((uuid, row)) = interface(replica, &port.name) {
        let old = OurPort::read(uuid, row).ok_or_else(|| PlanError::Taken(port.name.clone()))?;
        ops.extend(remove(replica, &old));
    } else if replica.find(Port::TABLE, BY_NAME, &Atom::string(port.name.as_str())).next().is_some() {
        return Err(PlanError::Taken(port.name.clone()));
    }
    for (uuid, row) in replica.find(Interface::TABLE, BY_IFACE_ID, &Atom::string(port.iface_id.as_str())) {
        if OurPort::read(uuid, row).is_some_and(|p| p.name != port.name) {
            let key = Datum::set_of_strings([ids::IFACE_ID]);
            ops.push(Op::mutate(Interface::TABLE, uuid, [Mutation::delete(Interface::EXTERNAL_IDS, key)]));
        }
    }
    let (interface, row) = (format!("interface_{tag}"), format!("port_{tag}"));
    ops.push(Op::Insert {
        table: Interface::TABLE,
        uuid: None,
        uuid_name: Some(interface.clone()),
        row: Row::new()
            .with(Interface::NAME, Datum::string(port.name.as_str()))
            .with(Interface::EXTERNAL_IDS, port.external_ids()),
    });
    ops.push(Op::Insert {
        table: Port::TABLE,
        uuid: None,
        uuid_name: Some(row.clone()),
        row: Row::new()
            .with(Port::NAME, Datum::string(port.name.as_str()))
            .with(Port::INTERFACES, Datum::named_uuid(interface)),
    });
    ops.push(Op::mutate(Bridge::TABLE, bridge, [Mutation::insert(Bridge::PORTS, Datum::named_uuid(row))]));
    Ok(ops)
}

/// The operations that remove a port of ours from its bridge; the rows go with their last reference. None when it
/// hangs on no bridge.
pub fn remove(replica: &Replica, port: &OurPort) -> Vec<Op> {
    let mut ops = Vec::new();
    for (uuid, row) in replica.rows(Port::TABLE) {
        if !row.get(Port::INTERFACES).is_some_and(|d| d.contains_uuid(port.interface)) {
            continue;
        }
        for (bridge, row) in replica.rows(Bridge::TABLE) {
            if row.get(Bridge::PORTS).is_some_and(|d| d.contains_uuid(uuid)) {
                ops.push(Op::remove_edge(Bridge::TABLE, bridge, Bridge::PORTS, uuid));
            }
        }
    }
    ops
}

#[cfg(test)]
mod tests {
    use tombolo_ovsdb::Schema;

    use super::*;

    fn uuid(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    /// Number, name, `external_ids`.
    type Given<'a> = (u128, &'a str, &'a [(&'a str, &'a str)]);

    /// br-int with Nova's tap, and ports as given.
    fn replica(ports: &[Given]) -> Replica {
        let schema = Schema::parse(tombolo_ovn::vswitch::SCHEMA).unwrap();
        let mut replica = Replica::new(&wanted().intersect(&schema), INDEXES);
        let tap: Given =
            (7, "tapa7a2f2be-c8", &[("iface-id", "a7a2f2be-c8e2-4129"), ("vm-uuid", "8433d622")]);
        let mut edges = Vec::new();
        for (n, name, external_ids) in ports.iter().chain([&tap]) {
            let row = Row::new()
                .with(Interface::NAME, Datum::string(*name))
                .with(Interface::EXTERNAL_IDS, Datum::map_of_strings(external_ids.iter().copied()));
            replica.put(Interface::TABLE, uuid(*n), Some(row));
            let row = Row::new()
                .with(Port::NAME, Datum::string(*name))
                .with(Port::INTERFACES, Datum::set_of_uuids([uuid(*n)]));
            replica.put(Port::TABLE, uuid(1000 + n), Some(row));
            edges.push(uuid(1000 + n));
        }
        let row = Row::new()
            .with(Bridge::NAME, Datum::string(BR_INT))
            .with(Bridge::DATAPATH_TYPE, Datum::string("netdev"))
            .with(Bridge::PORTS, Datum::set_of_uuids(edges));
        replica.put(Bridge::TABLE, uuid(1), Some(row));
        replica
    }

    fn port() -> PodPort {
        PodPort {
            name: "0f3c5f1f2a4b_h".into(),
            iface_id: "ubuntu.net2".into(),
            container: "0f3c5f1f2a4b9d".into(),
            ifname: "eth0".into(),
            pod_name: "ubuntu".into(),
            pod_namespace: "net2".into(),
            pod_uid: "u1".into(),
            netns: "/run/netns/x".into(),
            ip: "12.0.1.2".into(),
            mac: "00:00:00:7a:2e:93".parse().unwrap(),
        }
    }

    const OURS: &[(&str, &str)] =
        &[("vendor", "kube-ovn"), ("pod_name", "ubuntu"), ("iface-id", "ubuntu.net2")];

    #[test]
    fn names() {
        assert_eq!(host_link("0f3c5f1f2a4b9d77", "eth0"), "0f3c5f1f2a4b_h");
        assert_eq!(host_link("0f3c5f1f2a4b9d77", "net1"), "0f3c5f1f_net1_h");
        assert_eq!(host_link("0f3c5f1f2a4b9d77", "averylongname12"), "0f3c_averylon_h");
        assert!(host_link("0f3c5f1f2a4b9d77", "averylongname12").len() <= 15);
        assert_ne!(host_link("0f3c5f1f2a4b9d77", "net1"), host_link("0f3c5f1f2a4b9d77", "net2"));
        assert_eq!(iface_id("ubuntu", "net2", "ovn"), "ubuntu.net2");
        assert_eq!(iface_id("ubuntu", "net2", "a.b.ovn"), "ubuntu.net2.a.b.ovn");
    }

    #[test]
    fn a_port_is_one_transaction_of_three_operations() {
        let ops = add(&replica(&[]), &port(), "1").unwrap();
        let json = serde_json::to_value(&ops).unwrap();
        assert_eq!(
            json,
            serde_json::json!([
                {"op": "insert", "table": "Interface", "uuid-name": "interface_1", "row": {
                    "external_ids": ["map", [
                        ["iface-id", "ubuntu.net2"], ["iface-id-ver", "u1"], ["ip", "12.0.1.2"], ["pod_name", "ubuntu"],
                        ["pod_namespace", "net2"], ["pod_netns", "/run/netns/x"],
                        ["tombolo.io/container-id", "0f3c5f1f2a4b9d"], ["tombolo.io/ifname", "eth0"],
                        ["tombolo.io/mac", "00:00:00:7a:2e:93"], ["vendor", "kube-ovn"]]],
                    "name": "0f3c5f1f2a4b_h"}},
                {"op": "insert", "table": "Port", "uuid-name": "port_1", "row": {
                    "interfaces": ["named-uuid", "interface_1"], "name": "0f3c5f1f2a4b_h"}},
                {"op": "mutate", "table": "Bridge",
                 "where": [["_uuid", "==", ["uuid", "00000000-0000-0000-0000-000000000001"]]],
                 "mutations": [["ports", "insert", ["named-uuid", "port_1"]]]}
            ])
        );
    }

    #[test]
    fn no_bridge_and_foreign_names_are_refused() {
        let schema = Schema::parse(tombolo_ovn::vswitch::SCHEMA).unwrap();
        let empty = Replica::new(&wanted().intersect(&schema), INDEXES);
        assert_eq!(add(&empty, &port(), "1"), Err(PlanError::NoBridge));
        let taken = replica(&[(2, "0f3c5f1f2a4b_h", &[("iface-id", "another")])]);
        assert_eq!(add(&taken, &port(), "1"), Err(PlanError::Taken("0f3c5f1f2a4b_h".into())));
    }

    #[test]
    fn the_pods_former_sandbox_gives_the_name_of_the_logical_port_away() {
        // invariant 1: only ours does
        let both = replica(&[(2, "aaaaaaaaaaaa_h", OURS), (3, "tap9", &[("iface-id", "ubuntu.net2")])]);
        let ops = add(&both, &port(), "1").unwrap();
        let touched: Vec<Uuid> =
            ops.iter().filter(|o| o.table() == Some(Interface::TABLE)).filter_map(Op::target).collect();
        assert_eq!(touched, [uuid(2)]);
        // The same container again: replaced, in one transaction.
        let same = replica(&[(2, "0f3c5f1f2a4b_h", OURS)]);
        let ops = add(&same, &port(), "1").unwrap();
        assert_eq!(ops.len(), 4);
        assert_eq!(ops[0], Op::remove_edge(Bridge::TABLE, uuid(1), Bridge::PORTS, uuid(1002)));
    }

    #[test]
    fn only_our_edges_are_removed() {
        // invariant 1
        let replica = replica(&[(2, "0f3c5f1f2a4b_h", OURS), (3, "ovn0", &[("vendor", "kube-ovn")])]);
        let ours = our_ports(&replica);
        assert_eq!(ours.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["0f3c5f1f2a4b_h"]);
        assert!(our_port(&replica, "tapa7a2f2be-c8").is_none());
        assert!(our_port(&replica, "ovn0").is_none(), "the node's port is no pod's");
        let want = Op::remove_edge(Bridge::TABLE, uuid(1), Bridge::PORTS, uuid(1002));
        assert_eq!(remove(&replica, &ours[0]), [want]);
    }

    #[test]
    fn whose_port_it_is() {
        let theirs = replica(&[(2, "0f3c5f1f2a4b_h", OURS)]); // as Kube-OVN made it
        let port = our_port(&theirs, "0f3c5f1f2a4b_h").unwrap();
        assert!(port.is_of("0f3c5f1f2a4b9d", "eth0") && !port.is_of("ffffffffffff9d", "eth0"));
        let ids =
            [OURS, &[("tombolo.io/container-id", "0f3c5f1f2a4bXX"), ("tombolo.io/ifname", "eth0")]].concat();
        let ours = replica(&[(2, "0f3c5f1f2a4b_h", &ids)]);
        let port = our_port(&ours, "0f3c5f1f2a4b_h").unwrap();
        assert!(!port.is_of("0f3c5f1f2a4b9d", "eth0"), "the whole id counts, not the twelve in the name");
        assert!(port.is_of("0f3c5f1f2a4bXX", "eth0"));
        assert!(!port.is_installed());
        assert!(is_userspace(&ours));
    }
}
