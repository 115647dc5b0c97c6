//! From rows of the NB to the packet that a pod would send, in OVN's language and in Open vSwitch's. Pure.

use std::net::IpAddr;

use anyhow::{Context, Result, bail};
use tombolo_net::IfAddr;

use super::request::{Kind, Request, Source};
use crate::rows::Row;

/// Where packets from here on come from, as in Kube-OVN's: no connection has this port.
const SOURCE_PORT: u16 = 30_000;
/// To all.
const BROADCAST: &str = "ff:ff:ff:ff:ff:ff";

/// The tables that are read.
#[derive(Debug, Default)]
pub struct Rows {
    /// `_uuid`, `name`, `ports`.
    pub switches: Vec<Row>,
    /// `_uuid`, `name`, `type`, `addresses`, `options`.
    pub ports: Vec<Row>,
    /// `name`, `mac`, `networks`.
    pub router_ports: Vec<Row>,
}

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The switch that it enters.
    pub switch: String,
    /// The port there.
    pub port: String,
    /// MAC and address of the sender.
    pub from: (String, IpAddr),
    /// MAC and address of the receiver.
    pub to: (String, IpAddr),
    /// Its kind.
    pub kind: Kind,
}

/// The name of a source's port.
pub fn port_of(source: &Source) -> String {
    match source {
        Source::Pod { namespace, name } => format!("{name}.{namespace}"),
        Source::Node(name) => format!("node-{name}"),
    }
}

/// The packet of a request.
pub fn flow(request: &Request, rows: &Rows) -> Result<Flow> {
    let name = port_of(&request.source);
    let port = rows.ports.iter().find(|port| port.text("name") == name);
    let port = port.with_context(|| format!("there is no switch port {name} in the northbound"))?;
    let uuid = port.uuid("_uuid");
    let switch = rows.switches.iter().find(|switch| switch.uuids("ports").contains(&uuid));
    let switch = switch.with_context(|| format!("the port {name} is on no switch"))?;
    let (mac, addresses) = addresses(port);
    let from = addresses.into_iter().find(|address| address.is_ipv4() == request.to.is_ipv4());
    let from = from.with_context(|| format!("{name} has no address of the family of {}", request.to))?;
    let to = match (request.mac, request.kind) {
        (Some(mac), _) => mac.to_string(),
        (None, Kind::ArpRequest) => BROADCAST.to_owned(),
        (None, _) => next_hop(from, request.to, switch, rows)?,
    };
    Ok(Flow {
        switch: switch.text("name").to_owned(),
        port: name,
        from: (mac, from),
        to: (to, request.to),
        kind: request.kind,
    })
}

/// The MAC of whom the packet goes to first: the neighbour with that address, else the router.
fn next_hop(from: IpAddr, to: IpAddr, switch: &Row, rows: &Rows) -> Result<String> {
    let on = switch.uuids("ports");
    let ports: Vec<&Row> = rows.ports.iter().filter(|port| on.contains(&port.uuid("_uuid"))).collect();
    let neighbour = ports.iter().map(|port| addresses(port)).find(|(_, all)| all.contains(&to));
    if let Some((mac, _)) = neighbour {
        return Ok(mac);
    }
    let routers = ports.iter().filter_map(|port| {
        let peer = port.key("options", "router-port")?;
        rows.router_ports.iter().find(|router| router.text("name") == peer)
    });
    let networks = |router: &Row| -> Vec<IfAddr> {
        router.texts("networks").iter().filter_map(|network| network.parse().ok()).collect()
    };
    for router in routers {
        let networks = networks(router);
        let here = |address: IpAddr| networks.iter().any(|network| network.cidr().contains(address));
        if networks.iter().any(|network| network.addr() == to) || (here(from) && !here(to)) {
            return Ok(router.text("mac").to_owned());
        }
        if here(to) {
            bail!("no port on switch {} has {to}: name its MAC", switch.text("name"));
        }
    }
    bail!("switch {} has no router towards {to}: name the next hop's MAC", switch.text("name"))
}

/// MAC and addresses of a port.
fn addresses(port: &Row) -> (String, Vec<IpAddr>) {
    for set in port.texts("addresses") {
        let mut words = set.split_whitespace();
        if let Some(mac) = words.next().filter(|word| word.contains(':')) {
            return (mac.to_ascii_lowercase(), words.filter_map(|word| word.parse().ok()).collect());
        }
    }
    (String::new(), Vec::new())
}

impl Flow {
    /// The words for `ovn-trace`. Four times `new`: a connection that begins, in each zone that it passes.
    pub fn ovn_trace(&self) -> Vec<String> {
        let mut words = vec!["--ct=new".to_owned(); 4];
        words.extend([self.switch.clone(), self.microflow()]);
        words
    }

    fn microflow(&self) -> String {
        let ((mac, from), (to_mac, to)) = (&self.from, &self.to);
        let start = format!("inport == \"{}\" && eth.src == {mac} && eth.dst == {to_mac}", self.port);
        let ip = if to.is_ipv4() { "ip4" } else { "ip6" };
        let ip = format!("{ip}.src == {from} && {ip}.dst == {to} && ip.ttl == 255");
        match self.kind {
            Kind::Icmp => {
                let icmp = if to.is_ipv4() { "icmp4.type == 8" } else { "icmp6.type == 128" };
                format!("{start} && {ip} && {icmp}")
            }
            Kind::Tcp(port) => format!("{start} && {ip} && tcp.src == {SOURCE_PORT} && tcp.dst == {port}"),
            Kind::Udp(port) => format!("{start} && {ip} && udp.src == {SOURCE_PORT} && udp.dst == {port}"),
            Kind::ArpRequest | Kind::ArpReply => {
                let op = if self.kind == Kind::ArpRequest { 1 } else { 2 };
                format!(
                    "{start} && arp.op == {op} && arp.sha == {mac} && arp.spa == {from} && arp.tha == {} && arp.tpa == {to}",
                    self.arp_target()
                )
            }
        }
    }

    /// The words for `ovs-appctl`, of a packet that enters br-int by OpenFlow port `port`.
    pub fn ofproto_trace(&self, port: i64) -> Vec<String> {
        let ((mac, from), (to_mac, to)) = (&self.from, &self.to);
        let start = format!("in_port={port},dl_src={mac},dl_dst={to_mac}");
        let v4 = to.is_ipv4();
        let ip =
            if v4 { format!("nw_src={from},nw_dst={to}") } else { format!("ipv6_src={from},ipv6_dst={to}") };
        let six = if v4 { "" } else { "6" };
        let flow = match self.kind {
            Kind::Icmp => {
                let kind = if v4 { 8 } else { 128 };
                format!("icmp{six},{start},{ip},nw_ttl=64,icmp{}_type={kind}", if v4 { "" } else { "v6" })
            }
            Kind::Tcp(port) => format!("tcp{six},{start},{ip},nw_ttl=64,tp_src={SOURCE_PORT},tp_dst={port}"),
            Kind::Udp(port) => format!("udp{six},{start},{ip},nw_ttl=64,tp_src={SOURCE_PORT},tp_dst={port}"),
            Kind::ArpRequest | Kind::ArpReply => {
                let op = if self.kind == Kind::ArpRequest { 1 } else { 2 };
                format!(
                    "arp,{start},arp_op={op},arp_sha={mac},arp_spa={from},arp_tha={},arp_tpa={to}",
                    self.arp_target()
                )
            }
        };
        ["ovs-appctl", "ofproto/trace", "br-int", &flow].map(str::to_owned).to_vec()
    }

    fn arp_target(&self) -> &str {
        if self.kind == Kind::ArpRequest { "00:00:00:00:00:00" } else { &self.to.0 }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::request::read;
    use super::*;
    use crate::rows::rows;

    fn world() -> Rows {
        let port = |uuid: &str, name: &str, addresses: &str| json!({ "_uuid": ["uuid", uuid], "name": name, "addresses": addresses, "options": ["map", []] });
        let router = json!({ "_uuid": ["uuid", "r"], "name": "net2-r", "addresses": "router", "options": ["map", [["router-port", "r-net2"]]] });
        Rows {
            switches: rows(
                json!([{ "name": "net2", "ports": ["set", [["uuid", "a"], ["uuid", "b"], ["uuid", "r"]]] }]),
            ),
            ports: rows(json!([
                port("a", "ubuntu.net2", "00:00:00:7A:2E:93 12.0.1.2 fd00::2"),
                port("b", "other.net2", "00:00:00:00:00:0B 12.0.1.3"),
                port("n", "node-host1", "00:00:00:00:00:0C 100.64.0.2"),
                router,
            ])),
            router_ports: rows(
                json!([{ "name": "r-net2", "mac": "00:00:00:91:4d:df", "networks": "12.0.1.1/24" }]),
            ),
        }
    }

    fn of(line: &str) -> Result<Flow> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        flow(&read(&words[0], &words[1..]).unwrap(), &world())
    }

    #[test]
    fn a_ping_to_a_vm_goes_to_the_router() {
        let flow = of("net2/ubuntu 192.168.1.61 icmp").unwrap();
        assert_eq!(flow.ovn_trace()[4..], ["net2".to_owned(),
            "inport == \"ubuntu.net2\" && eth.src == 00:00:00:7a:2e:93 && eth.dst == 00:00:00:91:4d:df && ip4.src == 12.0.1.2 && \
             ip4.dst == 192.168.1.61 && ip.ttl == 255 && icmp4.type == 8".to_owned()]);
        assert_eq!(
            flow.ofproto_trace(7)[3],
            "icmp,in_port=7,dl_src=00:00:00:7a:2e:93,dl_dst=00:00:00:91:4d:df,\
             nw_src=12.0.1.2,nw_dst=192.168.1.61,nw_ttl=64,icmp_type=8"
        );
    }

    #[test]
    fn a_neighbour_the_router_itself_and_a_named_mac() {
        assert_eq!(of("net2/ubuntu 12.0.1.3 tcp 80").unwrap().to.0, "00:00:00:00:00:0b");
        assert_eq!(of("net2/ubuntu 12.0.1.1 udp 53").unwrap().to.0, "00:00:00:91:4d:df");
        assert_eq!(of("net2/ubuntu 12.0.1.9 02:00:00:00:00:01 icmp").unwrap().to.0, "02:00:00:00:00:01");
        let arp = of("net2/ubuntu 12.0.1.1 arp request").unwrap();
        assert!(arp.ovn_trace()[5].contains("eth.dst == ff:ff:ff:ff:ff:ff && arp.op == 1"), "{arp:?}");
    }

    #[test]
    fn what_cannot_be_traced_says_why() {
        let why = |line: &str| format!("{:#}", of(line).unwrap_err());
        assert!(why("net2/gone 1.1.1.1 icmp").contains("no switch port gone.net2"));
        assert!(why("net2/ubuntu 12.0.1.9 icmp").contains("name its MAC"));
        assert!(why("node//host1 1.1.1.1 icmp").contains("is on no switch"));
        assert!(why("net2/other fd00::2 icmp").contains("no address of the family"));
    }
}
