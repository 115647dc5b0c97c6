//! The node's assignment: its configuration from two objects that only the controller writes (invariant 11).
//! The default Vpc's `status.nodeNetworks` are the networks that are established, and the IP object `node-<node>`
//! bears the node's own address. No Subnet, and no annotation of the Node, configures anything: a Subnet is a user's
//! request, and every node's kubelet can write a Node.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use tombolo_api::{IpSpec, NodeNetworks};
use tombolo_net::{DualCidr, Family, IfAddr, parse_addr_pair};

use crate::node::{NodePort, NodeSubnet};

/// One object of the API server's.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Seen<T> {
    /// Not known yet.
    #[default]
    Unknown,
    /// There is none, or the field that matters is empty.
    Absent,
    /// It reads otherwise than it should.
    Unreadable(String),
    /// Its relevant content.
    Known(T),
}

/// Both objects.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Objects {
    /// The default Vpc's `status.nodeNetworks`.
    pub networks: Seen<NodeNetworks>,
    /// The IP object of the node.
    pub ip: Seen<IpSpec>,
}

/// The configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inputs {
    /// The node's port; `None` until the controller has decided.
    pub port: Option<NodePort>,
    /// The Subnets that nodes have routes to; `None` until all are known (invariant 4).
    pub subnets: Option<BTreeMap<String, NodeSubnet>>,
    /// Addresses of the cluster's nodes.
    pub nodes: BTreeSet<IpAddr>,
    /// Parts that are missing or don't read. The earlier ones stay in force meanwhile.
    pub missing: Option<String>,
}

impl Objects {
    /// The configuration of `node`, given the one in force `before`: parts that are unknown (by now) stay as they were.
    pub fn inputs(&self, node: &str, router: &str, before: &Inputs) -> Inputs {
        let mut now = Inputs { missing: None, ..before.clone() };
        let mut missing = Vec::new();
        match &self.networks {
            Seen::Unknown => missing.push(format!("the API server has not shown the Vpc {router} yet")),
            Seen::Absent => missing.push(format!(
                "the Vpc {router} has no status.nodeNetworks: is kube-ovn-controller of this version running \
                 (with the same --cluster-router), and are its CustomResourceDefinitions applied?"
            )),
            Seen::Unreadable(why) => missing.push(format!("the Vpc {router} can't be read: {why}")),
            Seen::Known(networks) => {
                let mut subnets = BTreeMap::new();
                for network in &networks.subnets {
                    match network.cidr_block.parse::<DualCidr>() {
                        Ok(cidr) => drop(subnets.insert(
                            network.name.clone(),
                            NodeSubnet {
                                networks: cidr.iter().collect(),
                                nat_outgoing: network.nat_outgoing,
                            },
                        )),
                        Err(e) => missing.push(format!(
                            "Vpc {router}, status.nodeNetworks, {:?}: {:?} is no network: {e}",
                            network.name, network.cidr_block
                        )),
                    }
                }
                now.subnets = Some(subnets);
                now.nodes = networks.nodes.iter().filter_map(|ip| ip.parse().ok()).collect();
                match self.port(node, networks) {
                    Ok(port) => now.port = Some(port),
                    Err(why) => missing.push(why),
                }
            }
        }
        if !missing.is_empty() {
            now.missing = Some(missing.join("; "));
        }
        now
    }

    fn port(&self, node: &str, networks: &NodeNetworks) -> Result<NodePort, String> {
        let name = port_name(node);
        let Some(join) = &networks.join else {
            return Err("kube-ovn-controller has not established the join subnet yet".to_owned());
        };
        let ip = match &self.ip {
            Seen::Unknown => return Err(format!("the API server has not shown the IP object {name} yet")),
            Seen::Absent => {
                return Err(format!(
                    "kube-ovn-controller has not given this node its address in the join subnet yet (IP object {name})"
                ));
            }
            Seen::Unreadable(why) => return Err(format!("the IP object {name} can't be read: {why}")),
            Seen::Known(ip) => ip,
        };
        // A pod can have a node's name: `node-a` in the namespace `b` beside the node `a.b`.
        if !ip.namespace.is_empty() || ip.node_name != node {
            return Err(format!(
                "the IP object {name} is not this node's but that of {:?} in the namespace {:?}",
                ip.pod_name, ip.namespace
            ));
        }
        if ip.subnet != join.name {
            return Err(format!(
                "the IP object {name} is of the Subnet {:?}, not of {:?}",
                ip.subnet, join.name
            ));
        }
        let invalid = |field: &str, text: &str, why: String| format!("{field} is {text:?}: {why}");
        let mac = ip.mac_address.parse().map_err(|e| {
            invalid(&format!("spec.macAddress of the IP object {name}"), &ip.mac_address, format!("{e}"))
        })?;
        let cidr: DualCidr = join
            .cidr_block
            .parse()
            .map_err(|e| invalid("the join subnet's network", &join.cidr_block, format!("{e}")))?;
        let gateways = parse_addr_pair(&join.gateway)
            .map_err(|e| invalid("the join subnet's gateway", &join.gateway, format!("{e}")))?;
        let field = format!("spec.ipAddress of the IP object {name}");
        let ips =
            parse_addr_pair(&ip.ip_address).map_err(|e| invalid(&field, &ip.ip_address, format!("{e}")))?;
        let mut addresses = Vec::new();
        for ip in ips {
            let within = cidr.of(Family::of(ip)).and_then(|c| IfAddr::within(ip, c));
            addresses.push(within.ok_or_else(|| format!("{field}: {ip} is not within {cidr}"))?);
        }
        if addresses.is_empty() {
            return Err(format!("{field} is empty"));
        }
        addresses.sort_by_key(|a| a.family());
        Ok(NodePort { iface_id: name, mac, addresses, gateways })
    }
}

/// Name of a node's port and of its IP object.
pub fn port_name(node: &str) -> String {
    format!("node-{node}")
}

#[cfg(test)]
mod tests {
    use tombolo_api::{JoinNetwork, NodeNetwork};

    use super::*;

    fn objects() -> Objects {
        let subnet = |name: &str, cidr: &str, nat_outgoing| NodeNetwork {
            name: name.into(),
            cidr_block: cidr.into(),
            nat_outgoing,
        };
        let networks = NodeNetworks {
            join: Some(JoinNetwork {
                name: "join".into(),
                cidr_block: "100.64.0.0/16".into(),
                gateway: "100.64.0.1".into(),
            }),
            subnets: vec![
                subnet("ovn-default", "10.16.0.0/16,fd00::/64", true),
                subnet("other", "10.17.0.0/16", false),
            ],
            nodes: vec!["192.0.2.1".into(), "2001:db8::1".into()],
        };
        let ip = IpSpec {
            pod_name: "n1".into(),
            node_name: "n1".into(),
            subnet: "join".into(),
            ip_address: "100.64.0.2".into(),
            mac_address: "00:00:00:6E:53:FD".into(),
            ..IpSpec::default()
        };
        Objects { networks: Seen::Known(networks), ip: Seen::Known(ip) }
    }

    fn inputs(objects: &Objects) -> Inputs {
        objects.inputs("n1", "ovn-cluster", &Inputs::default())
    }

    #[test]
    fn the_words_of_the_controller() {
        let now = inputs(&objects());
        assert_eq!(now.missing, None);
        let port = now.port.unwrap();
        assert_eq!(port.iface_id, "node-n1");
        assert_eq!(port.addresses, ["100.64.0.2/16".parse().unwrap()]);
        assert_eq!(port.gateways, ["100.64.0.1".parse::<IpAddr>().unwrap()]);
        let subnets = now.subnets.unwrap();
        assert_eq!(subnets["ovn-default"].networks.len(), 2);
        assert!(subnets["ovn-default"].nat_outgoing && !subnets["other"].nat_outgoing);
        assert_eq!(now.nodes.len(), 2);
    }

    #[test]
    fn what_is_missing_is_said_and_what_was_known_stays() {
        // invariant 4
        let before = inputs(&objects());
        let said = |change: &dyn Fn(&mut Objects)| {
            let mut objects = objects();
            change(&mut objects);
            assert_eq!(inputs(&objects).port, None, "nothing is configured anew");
            let now = objects.inputs("n1", "ovn-cluster", &before);
            assert_eq!((&now.port, &now.subnets), (&before.port, &before.subnets), "what stands stays");
            now.missing.unwrap()
        };
        assert!(said(&|t| t.networks = Seen::Unknown).contains("the Vpc ovn-cluster yet"));
        assert!(said(&|t| t.networks = Seen::Absent).contains("status.nodeNetworks"));
        assert!(said(&|t| t.ip = Seen::Absent).contains("kube-ovn-controller has not given"));
        assert!(said(&|t| t.ip = Seen::Unreadable("x".into())).contains("can't be read: x"));
        let ip = |change: &dyn Fn(&mut IpSpec)| {
            said(&|t| {
                let Seen::Known(ip) = &mut t.ip else { unreachable!() };
                change(ip);
            })
        };
        assert!(ip(&|ip| ip.ip_address = "10.0.0.1".into()).contains("not within 100.64.0.0/16"));
        assert!(ip(&|ip| ip.ip_address = String::new()).contains("spec.ipAddress"));
        assert!(ip(&|ip| ip.mac_address = "x".into()).contains("spec.macAddress"));
        assert!(ip(&|ip| ip.subnet = "evil".into()).contains("evil"));
        // A tenant's pod of the same name as the node's port.
        let pods = ip(&|ip| (ip.pod_name, ip.namespace) = ("node-n1".into(), "com".into()));
        assert!(pods.contains("not this node's"), "{pods}");
        assert!(ip(&|ip| ip.node_name = "n2".into()).contains("not this node's"));
    }

    #[test]
    fn one_network_that_does_not_read_stops_no_other() {
        let mut objects = objects();
        let Seen::Known(networks) = &mut objects.networks else { unreachable!() };
        networks.subnets[0].cidr_block = "nonsense".into();
        let now = inputs(&objects);
        assert_eq!(now.subnets.unwrap().keys().collect::<Vec<_>>(), ["other"]);
        assert!(now.port.is_some());
        assert!(now.missing.unwrap().contains("nonsense"));
    }
}
