//! The node's own port, addresses and routes, on real Open vSwitch and OVN: the node reaches pods of the default VPC.

#![allow(clippy::unwrap_used)] // a test may: a panic is its failure

mod bed;

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use bed::{Agent, Bed, SOON, Sandbox};
use tokio::sync::watch;
use tokio::time::timeout;
use tombolo_agent::attach::NodeState;
use tombolo_agent::node::{NodePort, NodeSubnet, PROTOCOL};
use tombolo_agent::node_task::{Inputs, MtuOptions, NodeTask};
use tombolo_api::annotations as keys;
use tombolo_linux::{LinkChange, Netlink, Netns, Route, Veth};

const JOIN_MAC: &str = "00:00:00:6e:53:fd";

fn port() -> NodePort {
    let annotations = [
        (keys::ALLOCATED, "true"),
        (keys::IP_ADDRESS, "100.64.0.2"),
        (keys::MAC_ADDRESS, JOIN_MAC),
        (keys::CIDR, "100.64.0.0/16"),
        (keys::GATEWAY, "100.64.0.1"),
        (keys::PORT_NAME, "node-node1"),
    ];
    NodePort::read(|key| annotations.iter().find(|(k, _)| *k == key).map(|(_, v)| *v)).unwrap().unwrap()
}

fn subnets(cidrs: &[&str]) -> Option<BTreeMap<String, NodeSubnet>> {
    let subnet = |c: &&str| NodeSubnet { networks: vec![c.parse().unwrap()], nat_outgoing: true };
    Some(cidrs.iter().map(|c| ((*c).to_owned(), subnet(c))).collect())
}

struct Node {
    inputs: watch::Sender<Inputs>,
    state: watch::Receiver<NodeState>,
}

fn start(bed: &Bed, agent: &Agent) -> Node {
    let (inputs, inputs_seen) = watch::channel(Inputs::default());
    let (state, seen) = watch::channel(NodeState::NotReady { why: "starting".into(), mtu: None });
    let task = NodeTask {
        host: bed.host.clone(),
        ovs: agent.ovs.clone(),
        inputs: inputs_seen,
        mtu: MtuOptions { mtu: 1400, interfaces: vec![] },
        state,
    };
    tokio::spawn(task.run());
    Node { inputs, state: seen }
}

impl Node {
    async fn ready(&mut self) {
        let ready = self.state.wait_for(|s| matches!(s, NodeState::Ready { mtu: 1400 }));
        if timeout(SOON, ready).await.is_err() {
            panic!("the node is not ready: {:?}", self.state.borrow());
        }
    }

    async fn not_ready(&mut self, why: &str) {
        let not = |s: &NodeState| matches!(s, NodeState::NotReady { why: w, .. } if w.contains(why));
        if timeout(SOON, self.state.wait_for(not)).await.is_err() {
            panic!("not {why:?} but {:?}", self.state.borrow());
        }
    }
}

async fn routes(bed: &Bed) -> Vec<String> {
    let all = bed.host.netlink.routes(Some(PROTOCOL)).await.unwrap();
    all.iter().map(|r| format!("{} via {}", r.dst, r.gateway.unwrap())).collect()
}

/// Waits until `what` holds; the kernel's events lead there.
async fn until(bed: &Arc<tombolo_agent::host::Host>, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let mut monitor = bed.monitor().await.unwrap();
    let all = async {
        while !holds().await {
            monitor.next().await.unwrap();
        }
    };
    assert!(timeout(SOON, all).await.is_ok(), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_reaches_pods_and_survives_restarts() {
    let Some(mut bed) = Bed::up("the_node_reaches_pods_and_survives_restarts").await else { return };
    bed.default_vpc();
    bed.lsp("ovn-default", "ubuntu.net2", "00:00:00:7A:2E:93", "10.16.0.5");
    let agent = bed.agent().await;
    let before = bed.foreign();
    let mut node = start(&bed, &agent);
    node.not_ready("kube-ovn-controller").await;
    node.inputs.send_modify(|i| i.port = Some(Err("annotation x is broken".into())));
    node.not_ready("broken").await;
    node.inputs.send_modify(|i| i.port = Some(Ok(port())));
    node.not_ready("Subnets").await;
    assert_eq!(routes(&bed).await, [] as [&str; 0]);
    node.inputs.send_modify(|i| i.subnets = subnets(&["10.16.0.0/16", "10.17.0.0/16"]));
    node.ready().await;

    let ovn0 = bed.host.netlink.link("ovn0").await.unwrap().unwrap();
    assert_eq!((ovn0.mac.unwrap().to_string().as_str(), ovn0.mtu, ovn0.txqueuelen), (JOIN_MAC, 1400, 1000));
    assert_eq!(bed.host.netlink.addresses(ovn0.index).await.unwrap(), ["100.64.0.2/16".parse().unwrap()]);
    assert_eq!(routes(&bed).await, ["10.16.0.0/16 via 100.64.0.1", "10.17.0.0/16 via 100.64.0.1"]);
    let external_ids = bed.vsctl(&["get", "Interface", "ovn0", "external_ids"]);
    assert!(external_ids.contains("iface-id=node-node1") && external_ids.contains("ip=\"100.64.0.2\""));

    // A pod, as kubelet sees it.
    let pod = Sandbox::new("ubuntu", 1).await;
    agent.annotate_in("ubuntu", "00:00:00:7A:2E:93", "10.16.0.5", "10.16.0.0/16", "10.16.0.1");
    let added = agent.add(&pod).await;
    assert_eq!(added.code, 0, "{added:?}");
    bed.probe(&pod, "10.16.0.5").await;

    // Subnets come and go; a route of somebody else stays, and keeps ours out.
    let theirs = Route {
        dst: "10.18.0.0/16".parse().unwrap(),
        gateway: None,
        link: ovn0.index,
        protocol: 4,
        source: None,
    };
    bed.host.netlink.add_route(&theirs).await.unwrap();
    node.inputs.send_modify(|i| i.subnets = subnets(&["10.16.0.0/16", "10.18.0.0/16", "10.19.0.0/16"]));
    until(&bed.host, "routes follow the Subnets", async || {
        routes(&bed).await == ["10.16.0.0/16 via 100.64.0.1", "10.19.0.0/16 via 100.64.0.1"]
    })
    .await;
    assert!(bed.host.netlink.routes(Some(4)).await.unwrap().contains(&theirs));

    // Somebody breaks it, and the kernel takes all routes with the link's last address: mended by its events. The
    // other route is gone, so ours takes its place.
    bed.host.netlink.delete_address(ovn0.index, "100.64.0.2/16".parse().unwrap()).await.unwrap();
    until(&bed.host, "the address and the routes come back", async || {
        bed.host.netlink.addresses(ovn0.index).await.unwrap().len() == 1 && routes(&bed).await.len() == 3
    })
    .await;
    node.ready().await;

    // ovs-vswitchd crashes: the link stays without carrier.
    bed.kill_vswitchd();
    node.not_ready("carrier").await;
    bed.start_vswitchd().await;
    node.ready().await;
    bed.probe(&pod, "10.16.0.5").await;
    // It is restarted in order: ovn0 is another link afterwards.
    bed.exit_vswitchd();
    node.not_ready("has not made the interface").await;
    bed.start_vswitchd().await;
    node.ready().await;
    assert_ne!(bed.host.netlink.link("ovn0").await.unwrap().unwrap().index, ovn0.index);
    assert_eq!(routes(&bed).await.len(), 3);
    bed.probe(&pod, "10.16.0.5").await;

    assert_eq!(agent.del(&pod).await.code, 0);
    assert_eq!(bed.foreign(), before); // invariant 1
}

/// One end of a veth pair as the node's way out, the other as a machine outside.
async fn outside(bed: &Bed) -> Netns {
    let outside = Netns::create().await.unwrap();
    let mac = "02:00:00:00:00:09".parse().unwrap();
    let pair = Veth { name: "uplink", peer: "eth0", netns: &outside, peer_mac: mac, mtu: 1500 };
    bed.host.netlink.create_veth(&pair).await.unwrap();
    let there = Netlink::open_in(&outside).await.unwrap();
    let up = LinkChange { up: Some(true), ..LinkChange::default() };
    let uplink = bed.host.netlink.link("uplink").await.unwrap().unwrap().index;
    bed.host.netlink.add_address(uplink, "192.0.2.1/24".parse().unwrap()).await.unwrap();
    let eth0 = there.link("eth0").await.unwrap().unwrap().index;
    there.change_link(eth0, &up).await.unwrap();
    there.add_address(eth0, "192.0.2.9/24".parse().unwrap()).await.unwrap();
    outside
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_the_cluster_from_a_nat_outgoing_subnet_has_the_nodes_address() {
    let Some(bed) = Bed::up("what_leaves_the_cluster_from_a_nat_outgoing_subnet_has_the_nodes_address").await
    else {
        return;
    };
    if std::process::Command::new("nft").arg("--version").output().is_err() {
        eprintln!("skipped, needs the program nft");
        return;
    }
    bed.default_vpc();
    bed.lsp("ovn-default", "ubuntu.net2", "00:00:00:7A:2E:93", "10.16.0.5");
    // The controller's part: what the pods of this node send elsewhere goes to the node.
    bed.nbctl(&["lr-route-add", "ovn-cluster", "0.0.0.0/0", "100.64.0.1"]);
    bed.nbctl(&["lr-policy-add", "ovn-cluster", "31000", "ip4.dst == 10.16.0.0/16", "allow"]);
    bed.nbctl(&["lr-policy-add", "ovn-cluster", "29000", "ip4.src == 10.16.0.0/16", "reroute", "100.64.0.2"]);
    let outside = outside(&bed).await;
    let agent = bed.agent().await;
    let mut node = start(&bed, &agent);
    node.inputs.send_modify(|i| {
        *i = Inputs { port: Some(Ok(port())), subnets: subnets(&["10.16.0.0/16"]) };
    });
    let seen = node.inputs.subscribe();
    let host = bed.host.clone();
    tokio::spawn(async move { tombolo_agent::nat::keep(host, seen, "10.96.0.0/12").await });
    node.ready().await;
    // Somebody else's table, which stays as it is.
    let theirs = "table ip theirs { chain c { counter; }; }".to_owned();
    tombolo_agent::nat::apply(&bed.host, theirs, false).await.unwrap();
    let pod = Sandbox::new("ubuntu", 1).await;
    agent.annotate_in("ubuntu", "00:00:00:7A:2E:93", "10.16.0.5", "10.16.0.0/16", "10.16.0.1");
    assert_eq!(agent.add(&pod).await.code, 0);

    let server = outside.run(|| Ok(UdpSocket::bind("192.0.2.9:7777").unwrap())).await.unwrap();
    let client = pod.netns.run(|| Ok(UdpSocket::bind("0.0.0.0:0").unwrap())).await.unwrap();
    let work = move || {
        for socket in [&server, &client] {
            socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        }
        let mut buffer = [0; 64];
        // The table comes by a task of its own: until it is there, nothing could come back.
        let seen = (0..40).find_map(|_| {
            client.send_to(b"out", "192.0.2.9:7777").unwrap();
            let (n, peer) = server.recv_from(&mut buffer).ok()?;
            server.send_to(&buffer[..n], peer).unwrap();
            client.recv_from(&mut buffer).ok().map(|_| peer.ip().to_string())
        });
        assert_eq!(seen.as_deref(), Some("192.0.2.1"), "the node's address, and the answer comes back");
    };
    tokio::task::spawn_blocking(work).await.unwrap();
    // From the node to the pod nothing is masqueraded.
    bed.probe(&pod, "10.16.0.5").await;
    let list = || Ok(std::process::Command::new("nft").args(["list", "tables"]).output());
    let tables = String::from_utf8(bed.host.netns.run(list).await.unwrap().unwrap().stdout).unwrap();
    assert_eq!(tables, "table inet tombolo\ntable ip theirs\n");
}
