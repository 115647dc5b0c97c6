//! The node's own port, addresses and routes, on real Open vSwitch and OVN: the node reaches pods of the default VPC.

#![allow(clippy::unwrap_used)] // a test may: a panic is its failure

mod bed;

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use bed::node::{JOIN_MAC, port, start, start_with, subnets};
use bed::{Bed, SOON, Sandbox};
use tokio::time::timeout;
use tombolo_agent::assignment::Inputs;
use tombolo_agent::nft;
use tombolo_agent::node::PROTOCOL;
use tombolo_linux::{LinkChange, Netlink, Netns, Route, Veth, get_sysctl, set_sysctl};
use tombolo_names::Reason;
use tombolo_needs::needs;

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
    let mut bed = needs!(Bed::with_default_vpc().await);
    bed.lsp("ovn-default", "ubuntu.net2", "00:00:00:7A:2E:93", "10.16.0.5");
    let agent = bed.agent().await;
    let before = bed.foreign();
    let mut node = start(&bed, &agent);
    node.not_ready("the API server").await;
    node.inputs.send_modify(|i| i.missing = Some("its IP object is broken".into()));
    node.not_ready("broken").await;
    assert_eq!(routes(&bed).await, [] as [&str; 0]);
    node.inputs.send_modify(|i| {
        *i = Inputs {
            port: Some(port()),
            subnets: subnets(&["10.16.0.0/16", "10.17.0.0/16"]),
            ..Inputs::default()
        };
    });
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

    // Subnets come and go; another program's route stays, and keeps ours out.
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

    // Another program breaks it, and the kernel removes all routes with the link's last address; its events trigger the
    // repair. The other route is gone, so ours takes its place.
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
    let bed = needs!(Bed::with_default_vpc().await);
    bed.lsp("ovn-default", "ubuntu.net2", "00:00:00:7A:2E:93", "10.16.0.5");
    // The controller's part: what the pods of this node send elsewhere goes to the node.
    bed.nbctl(&["lr-route-add", "ovn-cluster", "0.0.0.0/0", "100.64.0.1"]);
    bed.nbctl(&["lr-policy-add", "ovn-cluster", "31000", "ip4.dst == 10.16.0.0/16", "allow"]);
    bed.nbctl(&["lr-policy-add", "ovn-cluster", "29000", "ip4.src == 10.16.0.0/16", "reroute", "100.64.0.2"]);
    let outside = outside(&bed).await;
    let agent = bed.agent().await;
    let mut node = start(&bed, &agent);
    node.inputs.send_modify(|i| {
        i.port = Some(port());
        i.subnets = subnets(&["10.16.0.0/16"]);
    });
    node.firewall(&bed);
    node.ready().await;
    // Another program's table, which stays as it is.
    let theirs = "table ip theirs { chain c { counter; }; }".to_owned();
    nft::apply(&bed.host, theirs).await.unwrap();
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

async fn nft_list(bed: &Bed, args: &[&str]) -> String {
    nft::run(&bed.host, "nft", args, String::new()).await.unwrap_or_default()
}

/// Asks again and again: the kernel doesn't tell everything.
async fn soon(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let all = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(timeout(SOON, all).await.is_ok(), "{what}");
}

fn route(dst: &str, gateway: Option<&str>, link: u32, protocol: u8) -> Route {
    let gateway = gateway.map(|g| g.parse().unwrap());
    Route { dst: dst.parse().unwrap(), gateway, link, protocol, source: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_cut_the_node_off_is_never_configured() {
    // invariant 13
    let bed = needs!(Bed::with_default_vpc().await);
    let _outside = outside(&bed).await;
    let netlink = &bed.host.netlink;
    let uplink = netlink.link("uplink").await.unwrap().unwrap().index;
    netlink.add_route(&route("0.0.0.0/0", Some("192.0.2.254"), uplink, 3)).await.unwrap();
    // What an older agent left behind, and no API server to ask: one half of the node's own link, and one that is fine.
    netlink.add_route(&route("192.0.2.0/25", Some("192.0.2.77"), uplink, PROTOCOL)).await.unwrap();
    netlink.add_route(&route("10.16.0.0/16", Some("192.0.2.77"), uplink, PROTOCOL)).await.unwrap();
    let agent = bed.agent().await;
    let mut node = start(&bed, &agent);
    node.trouble(Reason::NetworkRefused, &["192.0.2.0/25", "192.0.2.0/24, the network of uplink"]).await;
    assert_eq!(routes(&bed).await, ["10.16.0.0/16 via 192.0.2.77"], "the good one stays (invariant 4)");

    node.inputs.send_modify(|i| {
        i.port = Some(port());
        i.nodes = ["198.51.100.9".parse().unwrap()].into();
        i.subnets = subnets(&[
            "10.16.0.0/16",
            "0.0.0.0/0",
            "192.0.2.0/26",    // longer than the link's own
            "203.0.113.0/24",  // the API server
            "198.51.100.0/24", // another node
            "10.100.0.0/16",   // Services
            "10.17.0.0/16",
        ]);
    });
    node.firewall(&bed);
    node.ready().await;
    let good = ["10.16.0.0/16 via 100.64.0.1", "10.17.0.0/16 via 100.64.0.1"];
    assert_eq!(routes(&bed).await, good, "the others go on");
    for (network, why) in [
        ("0.0.0.0/0", "default route"),
        ("192.0.2.0/26", "the network of uplink"),
        ("203.0.113.0/24", "203.0.113.6, the Kubernetes API server"),
        ("198.51.100.0/24", "a node of the cluster"),
        ("10.100.0.0/16", "Service range"),
    ] {
        node.trouble(Reason::NetworkRefused, &[&format!("network {network} of the Subnet {network}"), why])
            .await;
    }
    let table = async || nft_list(&bed, &["list", "table", "inet", "tombolo"]).await;
    soon("the table", async || table().await.contains("10.17.0.0/16")).await;
    let text = table().await;
    assert!(
        !["192.0.2.0", "203.0.113.0", "0.0.0.0/0", "10.100."].iter().any(|bad| text.contains(bad)),
        "{text}"
    );

    // A link with that network comes later, and goes.
    let peer = Netns::create().await.unwrap();
    let mac = "02:00:00:00:00:0a".parse().unwrap();
    let pair = Veth { name: "late", peer: "late", netns: &peer, peer_mac: mac, mtu: 1500 };
    netlink.create_veth(&pair).await.unwrap();
    let late = netlink.link("late").await.unwrap().unwrap().index;
    netlink.add_address(late, "10.17.4.1/24".parse().unwrap()).await.unwrap();
    soon("the route goes", async || routes(&bed).await == good[..1]).await;
    node.trouble(Reason::NetworkRefused, &["10.17.0.0/16", "10.17.4.0/24, the network of late"]).await;
    netlink.delete_link("late").await.unwrap();
    soon("the route comes back", async || routes(&bed).await == good).await;

    // A join network that is on a link: ovn0 gets no address, since that would bring the route.
    node.inputs.send_modify(|i| {
        let mut bad = port();
        bad.addresses = vec!["192.0.2.200/25".parse().unwrap()];
        i.port = Some(bad);
    });
    node.not_ready("the join subnet's network 192.0.2.128/25 is refused").await;
    let ovn0 = netlink.link("ovn0").await.unwrap().unwrap().index;
    assert_eq!(netlink.addresses(ovn0).await.unwrap(), port().addresses);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_take_from_the_host_is_restored_and_counted() {
    let bed = needs!(Bed::with_default_vpc().await);
    let agent = bed.agent().await;
    let mut node = start(&bed, &agent);
    node.inputs.send_modify(|i| {
        let mut both = port();
        both.addresses.push("fd00:100:64::2/112".parse().unwrap());
        i.port = Some(both);
        i.subnets = subnets(&["10.16.0.0/16"]);
    });
    node.firewall(&bed);
    node.ready().await;
    let value = async |key: &'static str| bed.host.netns.run(move || get_sysctl(key)).await.unwrap();
    let (v4, v6) = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding");
    assert_eq!((value(v4).await.as_deref(), value(v6).await.as_deref()), (Some("1"), Some("1")));
    let table = async || nft_list(&bed, &["-s", "list", "table", "inet", "tombolo"]).await;
    soon("the table", async || table().await.contains("masquerade")).await;
    let before = table().await;
    let everything = ["nftables", "route", "address", "ip_forward", "forwarding_v6", "forward", "link"];
    assert!(everything.iter().all(|what| node.restored(what) == 0), "{}", node.observer.metrics());

    // As a firewall's reload does; back by the kernel's event. Then one rule only.
    nft::apply(&bed.host, "flush ruleset".to_owned()).await.unwrap();
    soon("the table is back", async || table().await == before).await;
    soon("it is counted", async || node.restored("nftables") == 1).await;
    nft::apply(&bed.host, "flush chain inet tombolo postrouting".to_owned()).await.unwrap();
    soon("the rules are back", async || table().await == before).await;
    soon("that too", async || node.restored("nftables") == 2).await;
    // Rules that go in the moment in which the agent has put them back: it must not take what is left for its own.
    for round in 0..8 {
        nft::apply(&bed.host, "flush ruleset".to_owned()).await.unwrap();
        while nft::apply(&bed.host, "flush chain inet tombolo postrouting".to_owned()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        soon(&format!("the rules are back, round {round}"), async || table().await == before).await;
    }

    let netlink = &bed.host.netlink;
    let ovn0 = netlink.link("ovn0").await.unwrap().unwrap();
    let main = async |dst: &str| {
        let dst = dst.parse().unwrap();
        netlink.routes(None).await.unwrap().into_iter().find(|r| r.dst == dst && r.link == ovn0.index)
    };
    let join = main("100.64.0.0/16").await.unwrap();
    netlink.delete_route(&join).await.unwrap();
    soon("the join network's own route", async || main("100.64.0.0/16").await.is_some()).await;
    netlink.delete_route(&main("10.16.0.0/16").await.unwrap()).await.unwrap();
    soon("the pods' route", async || main("10.16.0.0/16").await.is_some()).await;
    soon("both are counted", async || node.restored("route") == 2).await;
    netlink.delete_address(ovn0.index, "100.64.0.2/16".parse().unwrap()).await.unwrap();
    soon("the address", async || node.restored("address") == 1).await;
    let down = LinkChange { mtu: Some(1300), ..LinkChange::default() };
    netlink.change_link(ovn0.index, &down).await.unwrap();
    soon("the MTU", async || netlink.link("ovn0").await.unwrap().unwrap().mtu == 1400).await;
    // IPv6 goes from ovn0, and with it the address.
    bed.host.netns.run(|| set_sysctl("net/ipv6/conf/ovn0/disable_ipv6", "1")).await.unwrap();
    let v6_address = "fd00:100:64::2/112".parse().unwrap();
    soon("IPv6", async || netlink.addresses(ovn0.index).await.unwrap().contains(&v6_address)).await;
    // The kernel sends no events for these: the check every few seconds finds them.
    bed.host.netns.run(move || set_sysctl(v4, "0").and_then(|()| set_sysctl(v6, "0"))).await.unwrap();
    soon("forwarding", async || {
        value(v4).await.as_deref() == Some("1") && value(v6).await.as_deref() == Some("1")
    })
    .await;
    soon("counted", async || node.restored("ip_forward") == 1 && node.restored("forwarding_v6") == 1).await;

    // Docker's way: FORWARD drops. Its own rules stay as they are, and ours come back when they are flushed.
    let docker = "table ip filter { chain FORWARD { type filter hook forward priority filter; policy drop; iifname docker0 accept; }; }";
    nft::apply(&bed.host, docker.to_owned()).await.unwrap();
    let chain = async || nft_list(&bed, &["-s", "list", "chain", "ip", "filter", "FORWARD"]).await;
    let passes = async || {
        let text = chain().await;
        text.contains("iifname \"ovn0\" counter accept") && text.contains("oifname \"ovn0\" counter accept")
    };
    soon("pods' traffic passes", async || passes().await).await;
    assert!(chain().await.contains("policy drop") && chain().await.contains("iifname \"docker0\" accept"));
    nft::apply(&bed.host, "flush chain ip filter FORWARD".to_owned()).await.unwrap();
    soon("and again", async || passes().await).await;
    soon("counted", async || node.restored("forward") == 1).await;
    // Another table's drop can't be overruled: it is said, and not any more once it has been dealt with.
    nft::apply(
        &bed.host,
        "table ip c16 { chain f { type filter hook forward priority 0; policy drop; }; }".to_owned(),
    )
    .await
    .unwrap();
    node.trouble(
        Reason::ForwardingDropped,
        &["table ip c16, chain f", "nft insert rule ip c16 f iifname ovn0 accept"],
    )
    .await;
    let mend = "insert rule ip c16 f iifname ovn0 accept\ninsert rule ip c16 f oifname ovn0 accept";
    nft::apply(&bed.host, mend.to_owned()).await.unwrap();
    soon("not any more", async || {
        !node.troubles.watch().borrow().values().flatten().any(|t| t.reason == Reason::ForwardingDropped)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_mtu_that_no_tunnel_carries_is_bounded_and_said() {
    let bed = needs!(Bed::with_default_vpc().await);
    let _outside = outside(&bed).await;
    // Two ends, the narrower of which counts.
    bed.vsctl(&["set", "Open_vSwitch", ".", "external_ids:ovn-encap-ip=\"127.0.0.1,192.0.2.1\""]);
    let agent = bed.agent().await;
    let mut node = start_with(&bed, &agent, 9000);
    node.inputs.send_modify(|i| {
        i.port = Some(port());
        i.subnets = subnets(&["10.16.0.0/16"]);
    });
    node.ready().await; // 1400: 1500 less the tunnel's header
    node.trouble(Reason::NodeMtuBounded, &["--mtu=9000", "1400 is used"]).await;
    assert_eq!(bed.host.netlink.link("ovn0").await.unwrap().unwrap().mtu, 1400);
}

/// Sends from `from` in `netns` to `to` and waits for the answer: the client's address as the server saw it.
async fn asks(netns: &Netns, from: &'static str, to: &'static str) -> Option<String> {
    let client = netns.run(move || Ok(UdpSocket::bind((from, 0)).unwrap())).await.unwrap();
    let work = move || {
        client.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
        let mut buffer = [0; 64];
        (0..8).find_map(|_| {
            client.send_to(b"who", to).unwrap();
            let (n, peer) = client.recv_from(&mut buffer).ok()?;
            assert_eq!(peer.to_string(), to, "the answer comes from where it was asked");
            Some(String::from_utf8_lossy(&buffer[..n]).into_owned())
        })
    };
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_of_the_host_answers_nodes_pods_and_others() {
    let bed = needs!(Bed::with_default_vpc().await);
    bed.lsp("ovn-default", "ubuntu.net2", "00:00:00:7A:2E:93", "10.16.0.5");
    bed.lsp("ovn-default", "debian.net2", "00:00:00:7A:2E:94", "10.16.0.6");
    // The controller's part. The other node's own port isn't here: what is led there is lost for this one.
    bed.lsp("join", "node-node2", "00:00:00:6e:53:fe", "100.64.0.3");
    bed.nbctl(&["lr-route-add", "ovn-cluster", "0.0.0.0/0", "100.64.0.1"]);
    bed.nbctl(&["lr-policy-add", "ovn-cluster", "31000", "ip4.dst == 10.16.0.0/16", "allow"]);
    bed.nbctl(&["lr-policy-add", "ovn-cluster", "30000", "ip4.dst == 192.0.2.1", "reroute", "100.64.0.2"]);
    bed.nbctl(&["lr-policy-add", "ovn-cluster", "30000", "ip4.dst == 192.0.2.9", "reroute", "100.64.0.3"]);
    bed.nbctl(&["lr-policy-add", "ovn-cluster", "29000", "ip4.src == 10.16.0.0/16", "reroute", "100.64.0.2"]);
    let outside = outside(&bed).await; // 192.0.2.9 is the other node
    let there = Netlink::open_in(&outside).await.unwrap();
    let eth0 = there.link("eth0").await.unwrap().unwrap().index;
    there.add_address(eth0, "192.0.2.8/24".parse().unwrap()).await.unwrap(); // and this one belongs to no node
    let agent = bed.agent().await;
    let mut node = start(&bed, &agent);
    node.inputs.send_modify(|i| {
        i.port = Some(port());
        i.subnets = subnets(&["10.16.0.0/16"]);
        i.nodes = ["192.0.2.1".parse().unwrap(), "192.0.2.9".parse().unwrap()].into();
    });
    node.firewall(&bed);
    node.ready().await;
    // As portmap and kube-proxy (NodePort, externalTrafficPolicy Local) lead it.
    let chain = |hook: &str| {
        format!(
            "chain {hook} {{ type nat hook {hook} priority -100; udp dport 18080 dnat to 10.16.0.5:8080; }}"
        )
    };
    let lead = format!("table ip theirs {{\n{}\n{}\n}}\n", chain("prerouting"), chain("output"));
    nft::apply(&bed.host, lead).await.unwrap();
    let pods = [("ubuntu", "00:00:00:7A:2E:93", "10.16.0.5"), ("debian", "00:00:00:7A:2E:94", "10.16.0.6")];
    let mut sandboxes = Vec::new();
    for (number, (name, mac, ip)) in (1..).zip(pods) {
        let pod = Sandbox::new(name, number).await;
        agent.annotate_in(name, mac, ip, "10.16.0.0/16", "10.16.0.1");
        assert_eq!(agent.add(&pod).await.code, 0);
        sandboxes.push(pod);
    }
    soon("the table", async || {
        nft_list(&bed, &["list", "table", "inet", "tombolo"]).await.contains("192.0.2.9")
    })
    .await;
    let server = sandboxes[0].netns.run(|| Ok(UdpSocket::bind("10.16.0.5:8080").unwrap())).await.unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, peer)) = server.recv_from(&mut buffer) {
            let _ = server.send_to(peer.ip().to_string().as_bytes(), peer);
        }
    });

    let port = "192.0.2.1:18080";
    let join = Some("100.64.0.2".to_owned());
    assert_eq!(asks(&outside, "192.0.2.9", port).await, join, "another node");
    assert_eq!(
        asks(&outside, "192.0.2.8", port).await.as_deref(),
        Some("192.0.2.8"),
        "others keep their address"
    );
    assert_eq!(asks(&sandboxes[1].netns, "10.16.0.6", port).await, join, "a pod");
    assert_eq!(asks(&bed.host.netns, "192.0.2.1", port).await, join, "the node itself");
    // Whatever the node's socket is bound to.
    assert_eq!(asks(&bed.host.netns, "192.0.2.1", "10.16.0.5:8080").await, join);
    assert_eq!(asks(&bed.host.netns, "0.0.0.0", "10.16.0.5:8080").await, join);
    assert_eq!(asks(&sandboxes[1].netns, "10.16.0.6", "10.16.0.5:8080").await.as_deref(), Some("10.16.0.6"));
}
