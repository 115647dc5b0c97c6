//! One action in the simulated world, as a value: random histories consist of these.
//!
//! Decides how a small number becomes a name, so that actions of one history meet each other. An action that makes no
//! sense at its moment (the deletion of what isn't there) does nothing.

pub mod edit;
mod tamper;

use serde_json::{Value, json};
use tombolo_plan::Kind;
use tombolo_plan::nb::table;

use edit::Field;

use crate::neutron::{Neutron, row_uuid};
use crate::sim::Sim;

/// Numbers in actions are taken modulo how many of a kind there are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the words say it
pub enum Action {
    AddNode(u8),
    RemoveNode(u8),
    /// A node's addresses change: sensible ones, of two families, or inside of some Subnet's network.
    MoveNode(u8, u8),
    AddNamespace(u8),
    /// A namespace's labels.
    Label(u8, u8),
    RemoveNamespace(u8),
    /// A Subnet: its number, its Vpc, its network. An existing one is changed, even while it is in use.
    AddSubnet(u8, u8, u8),
    /// A field of a Subnet gets its so manieth value.
    EditSubnet(u8, Field, u8),
    /// The last edit of a Subnet is taken back.
    UndoSubnet(u8),
    RemoveSubnet(u8),
    /// Namespaces of a Vpc as bits.
    VpcNamespaces(u8, u8),
    RemoveVpc(u8),
    /// A pod: namespace, name, node, and what it asks for (0 for nothing).
    AddPod(u8, u8, u8, u8),
    /// Without grace.
    RemovePod(u8, u8),
    TerminatePod(u8, u8),
    FinishPod(u8, u8),
    RemoveIp(u8, u8),
    AddRouter(u8),
    RenameRouter(u8, u8),
    RemoveRouter(u8),
    /// A network of Neutron's on a router, with this address.
    Attach(u8, u8, u8),
    Detach(u8, u8),
    AddVm(u8, u8),
    Maintenance,
    /// Another client creates a switch with the name of a Subnet, or deletes it.
    ForeignSwitch(u8, bool),
    /// Another client adds a port to a Subnet's switch, or removes it.
    ForeignPort(u8, bool),
    /// An operator does something by hand to one of our rows: its number, and what.
    Tamper(u8, u8),
    /// The leading controller's process starts again.
    Restart,
    /// The lease is lost, and given back after so many tenths of a second.
    LoseLease(u8),
    /// A controller gets the lease while another one still believes that it has it.
    Usurp(u8),
    /// A controller learns that the lease is not its own.
    Depose(u8),
    /// A watch begins anew.
    Relist(u8),
    /// The database is away for so many tenths of a second; its session resumes, or begins anew.
    NbAway(u8, bool),
    /// Time passes, tenths of a second.
    Wait(u8),
}

const NODES: u8 = 4;
/// How many namespaces there may be.
pub const NAMESPACES: u8 = 3;
const SUBNETS: u8 = 4;
const PODS: u8 = 6;
/// Pods from this number on are a StatefulSet's.
const STATEFUL: u8 = 4;
const ROUTERS: u8 = 2;
const NETWORKS: u8 = 2;
/// Networks of Subnets; some overlap.
const CIDRS: [&str; 8] = [
    "12.0.1.0/29",
    "12.0.2.0/24",
    "12.0.3.0/24",
    "12.0.3.128/25",
    "12.0.1.0/29,fd00:1::/120",
    "12.0.4.0/28,fd00:4::/120",
    "fd00:5::/120",
    "12.0.1.0/28",
];
/// Router addresses of Neutron's networks; the second one overlaps a Subnet's.
const ADDRESSES: [&str; 3] = ["192.168.1.1/24", "12.0.2.77/26", "192.168.2.1/24"];

/// Name of a node.
#[must_use]
pub fn node(number: u8) -> String {
    format!("host{}", number % NODES)
}

/// Name of a namespace.
#[must_use]
pub fn namespace(number: u8) -> String {
    format!("ns{}", number % NAMESPACES)
}

/// Name of a Subnet.
#[must_use]
pub fn subnet(number: u8) -> String {
    format!("net{}", number % SUBNETS)
}

/// Name of a pod.
#[must_use]
pub fn pod(number: u8) -> String {
    format!("p{}", number % PODS)
}

/// Id of a router of Neutron's.
#[must_use]
pub fn router(number: u8) -> String {
    format!("router-{}", number % ROUTERS)
}

/// A Vpc: the default one, one of a router, or one that never is.
#[must_use]
pub fn vpc(sim: &Sim, number: u8) -> String {
    match number % (ROUTERS + 2) {
        0 => sim.config().cluster_router.clone(),
        1 => "neutron-none".to_owned(),
        other => format!("neutron-{}", router(other - 2)),
    }
}

fn network(number: u8) -> String {
    format!("network-{}", number % NETWORKS)
}

fn port(of_router: u8, of_network: u8) -> String {
    format!("port-{}-{}", of_router % ROUTERS, of_network % NETWORKS)
}

/// What a pod asks for by its annotations: nothing, an address, a MAC, a Subnet, a choice of addresses, or what this version
/// doesn't serve.
fn wishes(of: u8, wish: u8) -> Vec<(&'static str, String)> {
    use tombolo_api::annotations::{IP_ADDRESS, IP_POOL, LOGICAL_SWITCH, MAC_ADDRESS};
    let address = format!("12.0.{}.{}", wish % 3 + 1, wish % 6 + 2);
    match wish % 12 {
        0..=4 => Vec::new(),
        5 | 6 => vec![(IP_ADDRESS, address)],
        7 => vec![(LOGICAL_SWITCH, subnet(of))],
        8 => vec![(IP_POOL, format!("12.0.1.2,12.0.1.3,12.0.2.{}", of + 2))],
        9 => vec![(IP_ADDRESS, format!("12.0.1.{0},fd00:1::{0}", of % 5 + 2))],
        10 => vec![(MAC_ADDRESS, format!("00:00:00:01:02:{:02x}", of % 4)), (LOGICAL_SWITCH, subnet(of))],
        _ => vec![(IP_POOL, "pool".to_owned())],
    }
}

/// The addresses of a node as kubelet writes them.
fn addresses_of_node(n: u8, to: u8) -> Value {
    let n = n % NODES + 1;
    let addresses: Vec<String> = match to % 8 {
        0 | 1 => vec![format!("172.16.0.{n}")],
        2 => vec![format!("172.16.1.{n}")],
        3 => vec![format!("172.16.0.{n}"), format!("fd00:172::{n}")],
        4 => vec![format!("10.16.7.{n}")],
        5 => vec![format!("12.0.2.{}", 100 + n)],
        6 => vec![format!("12.0.1.{}", n + 2)],
        _ => Vec::new(),
    };
    addresses.iter().map(|it| json!({ "type": "InternalIP", "address": it })).collect()
}

impl Action {
    /// Does it, in the middle of whatever is under way.
    pub fn act(&self, sim: &mut Sim) {
        let there =
            |sim: &Sim, table: &str, id: &str| sim.nb().rows().row(table, &row_uuid(table, id)).is_some();
        match *self {
            Action::AddNode(n) => {
                if sim.api.get(Kind::Node, &node(n)).is_none() {
                    sim.node(&node(n), &format!("172.16.0.{}", n % NODES + 1));
                }
            }
            Action::MoveNode(n, to) => {
                let Some(mut object) = sim.api.get(Kind::Node, &node(n)).cloned() else { return };
                object["status"]["addresses"] = addresses_of_node(n, to);
                // The rest of it is as it was: kubelet writes the status only.
                if sim.api.get(Kind::Node, &node(n)) != Some(&object) {
                    sim.user(|api| api.force(Kind::Node, object));
                }
            }
            Action::RemoveNode(n) => sim.delete(Kind::Node, "", &node(n)),
            Action::AddNamespace(n) => sim.namespace(&namespace(n)),
            Action::Label(n, value) => {
                if sim.api.get(Kind::Namespace, &namespace(n)).is_some() {
                    let value = [None, Some("a"), Some("b")][usize::from(value % 3)];
                    let metadata = json!({ "name": namespace(n), "labels": { "team": value } });
                    sim.apply(Kind::Namespace, &json!({ "metadata": metadata }));
                }
            }
            Action::RemoveNamespace(n) => {
                for number in 0..PODS {
                    sim.delete(Kind::Pod, &namespace(n), &pod(number));
                }
                sim.delete(Kind::Namespace, "", &namespace(n));
            }
            Action::AddSubnet(n, of, cidr) => {
                let mut spec = json!({
                    "vpc": vpc(sim, of), "namespaces": [namespace(n)],
                    "cidrBlock": CIDRS[usize::from(cidr) % CIDRS.len()], "gateway": null, "excludeIps": null,
                });
                if of % 4 == 3 {
                    spec["namespaces"] = Value::Null;
                    spec["namespaceSelectors"] =
                        json!([{ "matchLabels": { "team": (["a", "b"][usize::from(cidr % 2)]) } }]);
                }
                let name = subnet(n);
                if let Some(object) = sim.api.get(Kind::Subnet, &name) {
                    let spec = object["spec"].clone();
                    sim.before_edits.insert(name.clone(), spec);
                }
                sim.subnet(&name, &spec);
            }
            Action::EditSubnet(n, field, number) => edit::edit(sim, &subnet(n), field, number),
            Action::UndoSubnet(n) => edit::undo(sim, &subnet(n)),
            Action::RemoveSubnet(n) => sim.delete(Kind::Subnet, "", &subnet(n)),
            Action::VpcNamespaces(n, bits) => {
                let names: Vec<String> =
                    (0..NAMESPACES).filter(|bit| bits >> bit & 1 == 1).map(namespace).collect();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let vpc = vpc(sim, n);
                if sim.api.get(Kind::Vpc, &vpc).is_some() {
                    sim.vpc_namespaces(&vpc, &names);
                }
            }
            Action::RemoveVpc(n) => {
                let vpc = vpc(sim, n);
                sim.delete(Kind::Vpc, "", &vpc);
            }
            Action::AddPod(ns, n, on, wish) => {
                let (ns, name) = (namespace(ns), pod(n));
                if sim.api.get(Kind::Pod, &format!("{ns}/{name}")).is_some() {
                    return;
                }
                let annotations: serde_json::Map<String, Value> =
                    wishes(on, wish).into_iter().map(|(key, value)| (key.to_owned(), json!(value))).collect();
                let mut metadata = json!({ "namespace": ns, "name": name, "annotations": annotations });
                if n % PODS >= STATEFUL {
                    metadata["ownerReferences"] = json!([{ "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "p", "uid": "set" }]);
                }
                let spec = json!({ "nodeName": node(on) });
                let object = json!({ "metadata": metadata, "spec": spec, "status": { "phase": "Pending" } });
                sim.apply(Kind::Pod, &object);
            }
            Action::RemovePod(ns, n) => sim.delete(Kind::Pod, &namespace(ns), &pod(n)),
            Action::TerminatePod(ns, n) => sim.terminate_pod(&namespace(ns), &pod(n)),
            Action::FinishPod(ns, n) => {
                sim.patch_pod(&namespace(ns), &pod(n), &json!({ "status": { "phase": "Succeeded" } }));
            }
            Action::RemoveIp(ns, n) => sim.delete(Kind::Ip, "", &format!("{}.{}", pod(n), namespace(ns))),
            Action::AddRouter(n) => {
                if !there(sim, table::ROUTER, &router(n)) {
                    Neutron(sim).router(&router(n), "router");
                }
            }
            Action::RenameRouter(n, to) => {
                if there(sim, table::ROUTER, &router(n)) {
                    Neutron(sim).rename_router(&router(n), &format!("name-{to}"));
                }
            }
            Action::RemoveRouter(n) => {
                for number in 0..NETWORKS {
                    Action::Detach(n, number).act(sim);
                }
                if there(sim, table::ROUTER, &router(n)) {
                    Neutron(sim).delete_router(&router(n));
                }
            }
            Action::Attach(to, n, address) => {
                let (id, port) = (network(n), port(to, n));
                if !there(sim, table::SWITCH, &id) {
                    Neutron(sim).network(&id, &format!("name of {id}"), 1442 - u32::from(n % NETWORKS) * 100);
                }
                if there(sim, table::ROUTER, &router(to)) && !there(sim, table::ROUTER_PORT, &port) {
                    Neutron(sim).attach(
                        &router(to),
                        &id,
                        &port,
                        ADDRESSES[usize::from(address) % ADDRESSES.len()],
                    );
                }
            }
            Action::Detach(from, n) => {
                if there(sim, table::ROUTER_PORT, &port(from, n)) {
                    Neutron(sim).detach(&router(from), &network(n), &port(from, n));
                }
            }
            Action::AddVm(n, number) => {
                let id = format!("vm-{}", number % 4);
                if there(sim, table::SWITCH, &network(n)) && !there(sim, table::SWITCH_PORT, &id) {
                    Neutron(sim).vm(&network(n), &id, &format!("192.168.1.{}", 100 + number % 4));
                }
            }
            Action::Maintenance => Neutron(sim).maintenance(),
            Action::ForeignSwitch(n, present) => {
                use tombolo_ovsdb::{Datum, Op, Row, Txn};
                let (name, there) = (subnet(n), there(sim, table::SWITCH, &format!("foreign-{}", subnet(n))));
                let uuid = row_uuid(table::SWITCH, &format!("foreign-{name}"));
                match (present, there) {
                    (true, false) => {
                        let row = Row::new().with("name", Datum::string(name));
                        sim.foreign(&Txn::new([Op::insert(table::SWITCH, uuid, row)]));
                    }
                    (false, true) => sim.foreign(&Txn::new([Op::delete(table::SWITCH, uuid)])),
                    _ => {}
                }
            }
            Action::ForeignPort(n, present) => {
                use tombolo_ovsdb::{Datum, Op, Row, Txn};
                let (name, port) = (subnet(n), row_uuid(table::SWITCH_PORT, &format!("hung-{}", subnet(n))));
                let switch = sim.config().cluster.row_uuid(
                    table::SWITCH,
                    &tombolo_plan::Owner::subnet(&name),
                    "switch",
                );
                let rows = sim.nb().rows();
                let stands = rows.row(table::SWITCH, &switch).is_some();
                let there = rows.row(table::SWITCH_PORT, &port).is_some();
                match (present, there) {
                    (true, false) if stands => {
                        let row = Row::new().with("name", Datum::string(format!("hung-{name}")));
                        let edge = Op::add_edge(table::SWITCH, switch, "ports", port);
                        sim.foreign(&Txn::new([Op::insert(table::SWITCH_PORT, port, row), edge]));
                    }
                    (false, true) => {
                        sim.foreign(&Txn::new([Op::remove_edge(table::SWITCH, switch, "ports", port)]));
                    }
                    _ => {}
                }
            }
            Action::Tamper(row, what) => tamper::tamper(sim, usize::from(row), what),
            Action::Restart => {
                sim.restart(0);
                sim.elect(0);
            }
            Action::LoseLease(tenths) => {
                sim.depose(0);
                sim.advance(u64::from(tenths) * 100);
                sim.elect(0);
            }
            Action::Usurp(n) => sim.elect(usize::from(n) % sim.controllers()),
            Action::Depose(n) => sim.depose(usize::from(n) % sim.controllers()),
            Action::Relist(kind) => {
                let kind = Kind::ALL[usize::from(kind) % Kind::ALL.len()];
                sim.break_watch(0, kind);
                sim.advance(u64::from(kind as u8) * 20);
                sim.resume_watch(0, kind);
            }
            Action::NbAway(tenths, resume) => {
                sim.disconnect_nb(0);
                sim.advance(u64::from(tenths) * 100);
                sim.reconnect_nb(0, resume);
            }
            Action::Wait(tenths) => sim.advance(u64::from(tenths) * 100),
        }
    }
}
