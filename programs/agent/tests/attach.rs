//! The agent attaches and detaches pods through the real plugin, on real Open vSwitch and OVN.

#![allow(clippy::unwrap_used)] // a test may: a panic is its failure

mod bed;

use std::net::UdpSocket;
use std::time::Duration;

use bed::{Bed, SOON, Sandbox};
use serde_json::json;
use tombolo_agent::attach::{Deadlines, NodeState};
use tombolo_agent::leftovers::{self, Absent, Pace, Swept};
use tombolo_agent::ports;
use tombolo_cni::Code;
use tombolo_cni::agent::Request;
use tombolo_linux::{Netlink, Netns};
use tombolo_needs::needs;

const MACS: [&str; 2] = ["00:00:00:7A:2E:93", "00:00:00:7A:2E:94"];
const IPS: [&str; 2] = ["12.0.1.2", "12.0.1.3"];

/// A look for leftover ports, for pods that are gone since ever.
async fn sweep(agent: &bed::Agent) -> Swept {
    agent.attacher.sweep(&mut Absent::default(), Duration::ZERO).await.unwrap()
}

/// Sends a datagram from one namespace to the other and back; gives what came back. The userspace datapath drops a
/// packet that needs a new flow while its ports change, so one that isn't answered is sent again.
async fn echo(from: &Netns, to: &Netns, address: &'static str) -> String {
    let server = to.run(move || Ok(UdpSocket::bind((address, 7777)).unwrap())).await.unwrap();
    let client = from.run(|| Ok(UdpSocket::bind("0.0.0.0:0").unwrap())).await.unwrap();
    let work = move || {
        for socket in [&server, &client] {
            socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        }
        let mut buffer = [0; 64];
        for _ in 0..30 {
            client.send_to(b"hello", (address, 7777)).unwrap();
            let Ok((n, peer)) = server.recv_from(&mut buffer) else { continue };
            server.send_to(&buffer[..n], peer).unwrap();
            let Ok((n, _)) = client.recv_from(&mut buffer) else { continue };
            return String::from_utf8(buffer[..n].to_vec()).unwrap();
        }
        panic!("no datagram came from and to {address} in half a minute");
    };
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pods_are_attached_talk_and_go() {
    let bed = needs!(Bed::with_net2().await);
    let agent = bed.agent().await;
    let before = bed.foreign();
    let mut sandboxes = Vec::new();
    for (i, pod) in ["ubuntu", "debian"].iter().enumerate() {
        let sandbox = bed.pod(&agent, pod, i as u32, MACS[i], IPS[i]).await;
        let added = agent.add(&sandbox).await;
        assert_eq!(added.code, 0, "{added:?}");
        assert_eq!(
            added.out["ips"],
            json!([{"address": format!("{}/24", IPS[i]), "gateway": "12.0.1.1", "interface": 0}])
        );
        assert_eq!(added.out["interfaces"][0]["mac"], MACS[i]);
        assert_eq!(added.out["routes"], json!([{"dst": "0.0.0.0/0", "gw": "12.0.1.1"}]));
        sandboxes.push(sandbox);
    }
    let [a, b] = &sandboxes[..] else { unreachable!() };

    // The row, as Kube-OVN's tools expect it; and never without ovn-installed (invariant 5).
    let name = ports::host_link(&a.container, "eth0");
    let port = ports::our_port(&agent.ovs.snapshot().replica, &name).unwrap();
    for (key, value) in [
        ("iface-id", "ubuntu.net2"),
        ("iface-id-ver", "uid-ubuntu"),
        ("vendor", "kube-ovn"),
        ("pod_name", "ubuntu"),
        ("pod_namespace", "net2"),
        ("ip", "12.0.1.2"),
        ("ovn-installed", "true"),
        ("pod_netns", a.netns.path().to_str().unwrap()),
    ] {
        assert_eq!(port.id(key), value, "{key}");
    }

    // The inside, and the data path: through OVN's pipeline, checksums included.
    let inside = Netlink::open_in(&a.netns).await.unwrap();
    assert_eq!(inside.link("eth0").await.unwrap().unwrap().mtu, 1400);
    assert_eq!(echo(&a.netns, &b.netns, IPS[1]).await, "hello");
    assert_eq!(echo(&b.netns, &a.netns, IPS[0]).await, "hello");

    // CHECK accepts the state that ADD promised, and finds damage by another program.
    let mut conf = agent.conf("1.0.0");
    conf["prevResult"] = json!({
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "eth0", "sandbox": a.netns.path()}],
        "ips": [{"address": "12.0.1.2/24", "interface": 0}]
    });
    let checked = agent.call("CHECK", a, conf.clone()).await;
    assert_eq!(checked.code, 0, "{checked:?}");
    let eth0 = inside.link("eth0").await.unwrap().unwrap().index;
    inside.delete_address(eth0, "12.0.1.2/24".parse().unwrap()).await.unwrap();
    let checked = agent.call("CHECK", a, conf).await;
    assert_eq!(checked.out["code"], Code::CheckFailed.number());
    assert!(checked.out["msg"].as_str().unwrap().contains("12.0.1.2/24"), "{checked:?}");

    // DEL, and once more; what is not ours is as it was (invariant 1).
    for sandbox in &sandboxes {
        for _ in 0..2 {
            let deleted = agent.del(sandbox).await;
            assert_eq!(deleted.code, 0, "{deleted:?}");
        }
        assert!(Netlink::open_in(&sandbox.netns).await.unwrap().link("eth0").await.unwrap().is_none());
    }
    assert!(ports::our_ports(&agent.ovs.snapshot().replica).is_empty());
    let seen = bed.guard.check().unwrap();
    assert!(seen.ours >= 4 && seen.others > 0, "the guard judged two ADDs and two DELs: {seen:?}");
    assert_eq!(bed.foreign(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_copied_with_its_annotations_waits_for_its_own() {
    // invariant 5: the port of the pod that it was copied from is there, and installed at once.
    let bed = needs!(Bed::with_net2().await);
    bed.lsp("net2", "ubuntu.net2", MACS[0], IPS[0]);
    let deadlines = Deadlines { add: Duration::from_secs(1), ..Deadlines::default() };
    let agent = bed.agent_with(deadlines, "agent.sock").await;
    let copied = [("tombolo.io/pod-uid", "uid-of-another")];
    agent.annotate_with("ubuntu", MACS[0], IPS[0], "12.0.1.0/24", "12.0.1.1", &copied);
    let sandbox = Sandbox::new("ubuntu", 1).await;
    let refused = agent.add(&sandbox).await;
    assert_eq!(refused.out["code"], Code::TryAgainLater.number());
    let msg = refused.out["msg"].as_str().unwrap();
    assert!(msg.contains("another pod's network") && msg.contains("net2/ubuntu"), "{msg}");
    assert!(ports::our_ports(&agent.ovs.snapshot().replica).is_empty());
    agent.annotate("ubuntu", MACS[0], IPS[0]);
    let added = agent.add(&sandbox).await;
    assert_eq!(added.code, 0, "{added:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_pod_of_a_name_has_the_port() {
    let bed = needs!(Bed::with_net2().await);
    bed.lsp("net2", "ubuntu.net2", MACS[0], IPS[0]);
    let version = |uid: &str| {
        let version = format!("options:iface-id-ver={uid}");
        bed.nbctl(&["set", "Logical_Switch_Port", "ubuntu.net2", &version]);
    };
    version("uid-former");
    let agent = bed.agent().await;
    // The former pod of that name, whose DEL never came.
    bed.vsctl(&[
        "add-port",
        "br-int",
        "former_h",
        "--",
        "set",
        "Interface",
        "former_h",
        "type=internal",
        "external_ids:vendor=kube-ovn",
        "external_ids:pod_name=ubuntu",
        "external_ids:pod_namespace=net2",
        "external_ids:iface-id=ubuntu.net2",
        "external_ids:iface-id-ver=uid-former",
    ]);
    agent.annotate("ubuntu", MACS[0], IPS[0]);
    let sandbox = Sandbox::new("ubuntu", 1).await;
    let name = ports::host_link(&sandbox.container, "eth0");
    let (added, ()) = tokio::join!(agent.add(&sandbox), async {
        let row = agent.ovs.wait(
            tokio::time::Instant::now() + SOON,
            |replica| ports::our_port(replica, &name),
            || "no row".to_owned(),
        );
        assert!(!row.await.unwrap().is_installed());
        tokio::time::sleep(Duration::from_millis(300)).await; // time to do the wrong thing
        let port = ports::our_port(&agent.ovs.snapshot().replica, &name).unwrap();
        assert!(!port.is_installed(), "the port row is the former pod's");
        version("uid-ubuntu");
    });
    assert_eq!(added.code, 0, "{added:?}");
    let former = ports::our_port(&agent.ovs.snapshot().replica, "former_h").unwrap();
    assert_eq!(former.id("iface-id"), "", "handed over");
}

#[tokio::test(flavor = "multi_thread")]
async fn neighbors_of_an_address_that_moved_find_it_at_once() {
    let bed = needs!(Bed::with_net2().await);
    let agent = bed.agent().await;
    let mut sandboxes = Vec::new();
    for (i, pod, v6) in [(0, "ubuntu", "fd00::2"), (1, "debian", "fd00::3")] {
        bed.lsp("net2", &format!("{pod}.net2"), MACS[i], &format!("{} {v6}", IPS[i]));
        let both = format!("{},{v6}", IPS[i]);
        agent.annotate_in(pod, MACS[i], &both, "12.0.1.0/24,fd00::/64", "12.0.1.1,fd00::1");
        sandboxes.push(Sandbox::new(pod, i as u32).await);
    }
    let [moved, peer] = &sandboxes[..] else { unreachable!() };
    let added = agent.add(peer).await;
    assert_eq!(added.code, 0, "{added:?}");
    let ip = |args: String| {
        let run = move || Ok(std::process::Command::new("ip").args(args.split(' ')).output().unwrap());
        let output = peer.netns.run(run);
        async { String::from_utf8(output.await.unwrap().stdout).unwrap() }
    };
    // It remembers the MAC of the pod that had these addresses before.
    for address in ["12.0.1.2", "fd00::2"] {
        ip(format!("neigh replace {address} lladdr 00:00:00:00:00:01 nud reachable dev eth0")).await;
    }
    assert_eq!(ip("neigh show".into()).await.matches("00:00:00:00:00:01").count(), 2);
    let added = agent.add(moved).await;
    assert_eq!(added.code, 0, "{added:?}");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(1);
    loop {
        let table = ip("neigh show".into()).await;
        if table.matches(&MACS[0].to_lowercase()).count() == 2 {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{table}");
        tokio::time::sleep(Duration::from_millis(20)).await; // frames come in their own time
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_pods_mtu_is_above_what_the_tunnel_carries() {
    let bed = needs!(Bed::with_net2().await);
    let mut agent = bed.agent().await;
    for (i, wish, got) in [(0, "9000", 1400), (1, "1300", 1300)] {
        let pod = ["ubuntu", "debian"][i];
        bed.lsp("net2", &format!("{pod}.net2"), MACS[i], IPS[i]);
        let mtu = [("tombolo.io/mtu", wish)];
        agent.annotate_with(pod, MACS[i], IPS[i], "12.0.1.0/24", "12.0.1.1", &mtu);
        let sandbox = Sandbox::new(pod, i as u32).await;
        let added = agent.add(&sandbox).await;
        assert_eq!(added.code, 0, "{added:?}");
        let inside = Netlink::open_in(&sandbox.netns).await.unwrap();
        assert_eq!(inside.link("eth0").await.unwrap().unwrap().mtu, got);
    }
    let said = agent.noticed.try_recv().unwrap();
    assert_eq!((said.name.as_str(), said.reason.as_str()), ("ubuntu", "MtuBounded"));
    assert!(said.message.contains("9000") && said.message.contains("1400"), "{}", said.message);
    assert!(agent.noticed.try_recv().is_err(), "a wish that is granted is no news");

    // IPv6 on less than the kernel wants would fail in the kernel's words.
    let (cidr, gateway) = ("12.0.1.0/24,fd00::/64", "12.0.1.1,fd00::1");
    let mtu = [("tombolo.io/mtu", "1200")];
    agent.annotate_with("small", "00:00:00:7A:2E:95", "12.0.1.4,fd00::4", cidr, gateway, &mtu);
    let refused = agent.add(&Sandbox::new("small", 3).await).await;
    assert!(refused.out["msg"].as_str().unwrap().contains("1280"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_only_the_plugin_can_see_is_handed_over() {
    // invariant 13
    let bed = needs!(Bed::with_net2().await);
    let agent = bed.agent().await;
    let mut sandbox = bed.pod(&agent, "ubuntu", 1, MACS[0], IPS[0]).await;
    // In its mount namespace the path is the pod's namespace, in the agent's it is an empty file.
    let path = bed.at("netns");
    std::fs::write(&path, "").unwrap();
    sandbox.wrap = Some(format!("mount --bind {} {path}", sandbox.netns.path().display()));
    sandbox.path = path.into();
    let added = agent.add(&sandbox).await;
    assert_eq!(added.code, 0, "{added:?}");
    let inside = Netlink::open_in(&sandbox.netns).await.unwrap();
    assert!(inside.link("eth0").await.unwrap().is_some());
    assert_eq!(added.out["interfaces"][0]["sandbox"], sandbox.path.to_str().unwrap());

    // DEL needs no namespace.
    sandbox.wrap = None;
    sandbox.path = "/proc/4000000/ns/net".into();
    let gone = agent.add(&sandbox).await;
    assert!(gone.out["msg"].as_str().unwrap().contains("/proc/4000000/ns/net"), "{gone:?}");
    let deleted = agent.del(&sandbox).await;
    assert_eq!(deleted.code, 0, "{deleted:?}");
    assert!(inside.link("eth0").await.unwrap().is_none());

    // The host's own is no pod's.
    sandbox.path = bed.host.netns.path().to_owned();
    let refused = agent.add(&sandbox).await;
    assert_eq!(refused.out["code"], Code::InvalidEnvironment.number());
    assert!(refused.out["msg"].as_str().unwrap().contains("host's own"), "{refused:?}");
    assert!(bed.host.netlink.link("eth0").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_that_no_del_has_removed_go_and_no_others() {
    let bed = needs!(Bed::with_net2().await);
    let agent = bed.agent().await;
    let mut sandboxes = Vec::new();
    for i in 0..4 {
        let (pod, mac, ip) =
            (format!("p{i}"), format!("00:00:00:00:01:{i:02X}"), format!("12.0.1.{}", 10 + i));
        sandboxes.push(bed.pod(&agent, &pod, i, &mac, &ip).await);
    }
    for added in futures::future::join_all(sandboxes.iter().map(|s| agent.add(s))).await {
        assert_eq!(added.code, 0, "{added:?}");
    }
    let before = bed.foreign();
    // A port of an earlier version doesn't name its pod; foreign ports are left alone.
    let name = ports::host_link(&sandboxes[0].container, "eth0");
    bed.vsctl(&["remove", "Interface", &name, "external_ids", "iface-id-ver"]);
    let pace =
        Pace { settle: Duration::from_millis(500), every: Duration::from_secs(3600), ..Pace::default() };
    let keeper = tokio::spawn(leftovers::keep(agent.attacher.clone(), pace));
    let names = || -> Vec<String> {
        let mut all: Vec<String> = ports::our_ports(&agent.ovs.snapshot().replica)
            .into_iter()
            .map(|p| p.id("pod_name").to_owned())
            .collect();
        all.sort();
        all
    };
    assert_eq!(names(), ["p0", "p1", "p2", "p3"]);
    // Its namespace ends without a DEL: the kernel's event triggers the search.
    drop(sandboxes.pop());
    let until = |want: &'static [&'static str]| {
        let (names, ovs) = (&names, &agent.ovs);
        async move {
            let look = |_: &_| (names() == want).then_some(());
            ovs.wait(tokio::time::Instant::now() + SOON, look, || format!("{:?}", names())).await.unwrap();
        }
    };
    until(&["p0", "p1", "p2"]).await;
    keeper.abort();
    assert_eq!(sweep(&agent).await, Swept::default(), "nothing is known of pods until they are listed");
    let version = || {
        let replica = agent.ovs.snapshot().replica;
        ports::our_port(&replica, &name).unwrap().id("iface-id-ver").to_owned()
    };
    assert_eq!(version(), "");

    // Two pods are left in the API; the third one's runtime has forgotten it.
    let listed = ["p0", "p1"].map(|pod| agent.pods.meta("net2", pod).unwrap());
    agent.pods.replace(listed.to_vec());
    let mut absent = Absent::default();
    let mut look = async |patience| agent.attacher.sweep(&mut absent, patience).await.unwrap();
    assert_eq!(look(Duration::from_secs(3600)).await, Swept { removed: 0, adopted: 1 }, "it may be ending");
    assert_eq!(version(), "uid-p0");
    assert_eq!(look(Duration::ZERO).await, Swept { removed: 1, adopted: 0 });
    assert_eq!(names(), ["p0", "p1"]);
    let inside = Netlink::open_in(&sandboxes[2].netns).await.unwrap();
    assert!(inside.link("eth0").await.unwrap().is_none(), "with its link");
    assert_eq!(bed.foreign(), before); // invariant 1
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_whether_pods_can_be_attached() {
    let bed = needs!(Bed::up().await);
    let agent = bed.agent().await;
    agent.ovs.fresh(tokio::time::Instant::now() + SOON).await.unwrap();
    let sandbox = Sandbox::new("ubuntu", 1).await;
    let ready = agent.call("STATUS", &sandbox, agent.conf("1.1.0")).await;
    assert_eq!(ready.code, 0, "{ready:?}");
    agent.node.send_replace(NodeState::NotReady { why: "no gateway".into(), mtu: None });
    let not = agent.call("STATUS", &sandbox, agent.conf("1.1.0")).await;
    assert_eq!(not.out["code"], Code::Unavailable.number());
    assert_eq!(not.out["msg"], "no gateway");
    let old = agent.call("STATUS", &sandbox, agent.conf("1.0.0")).await;
    assert_eq!(old.out["code"], Code::IncompatibleVersion.number());
    let version = agent.call("VERSION", &sandbox, agent.conf("1.1.0")).await;
    assert_eq!(version.out["supportedVersions"], json!(["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn add_waits_for_the_controller_and_for_ovn() {
    // invariant 5
    let bed = needs!(Bed::with_net2().await);
    let agent = bed.agent().await;
    let sandbox = Sandbox::new("ubuntu", 1).await;
    let name = ports::host_link(&sandbox.container, "eth0");
    let has_row = |agent: &bed::Agent| ports::our_port(&agent.ovs.snapshot().replica, &name).is_some();
    let added = tokio::join!(agent.add(&sandbox), async {
        tokio::time::sleep(Duration::from_millis(300)).await; // time to do the wrong thing
        assert!(!has_row(&agent), "no port before the controller's word");
        agent.annotate("ubuntu", MACS[0], IPS[0]);
        let row = agent.ovs.wait(
            tokio::time::Instant::now() + SOON,
            |replica| ports::our_port(replica, &name),
            || "no row".to_owned(),
        );
        assert!(!row.await.unwrap().is_installed());
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!ports::our_port(&agent.ovs.snapshot().replica, &name).unwrap().is_installed());
        bed.lsp("net2", "ubuntu.net2", MACS[0], IPS[0]);
    })
    .0;
    assert_eq!(added.code, 0, "{added:?}");
    assert!(ports::our_port(&agent.ovs.snapshot().replica, &name).unwrap().is_installed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_add_says_why_and_leaves_nothing() {
    let bed = needs!(Bed::with_net2().await);
    let deadlines = Deadlines { add: Duration::from_secs(1), ..Deadlines::default() };
    let agent = bed.agent_with(deadlines, "agent.sock").await;
    let sandbox = Sandbox::new("ubuntu", 1).await;
    let unknown = agent.add(&sandbox).await;
    assert_eq!(unknown.out["code"], Code::TryAgainLater.number());
    assert!(unknown.out["msg"].as_str().unwrap().contains("net2/ubuntu"), "{unknown:?}");

    agent.annotate("ubuntu", MACS[0], IPS[0]);
    let no_port = agent.add(&sandbox).await;
    assert_eq!(no_port.out["code"], Code::TryAgainLater.number());
    let msg = no_port.out["msg"].as_str().unwrap();
    assert!(msg.contains("ubuntu.net2") && msg.contains("ovn-controller"), "{msg}");
    assert!(ports::our_ports(&agent.ovs.snapshot().replica).is_empty());
    assert!(Netlink::open_in(&sandbox.netns).await.unwrap().link("eth0").await.unwrap().is_none());
    let links = bed.host.netlink.links().await.unwrap();
    assert!(!links.iter().any(|l| l.kind == "veth"), "{links:?}");

    // With the port in place the next attempt works.
    bed.lsp("net2", "ubuntu.net2", MACS[0], IPS[0]);
    let agent = bed.agent_with(Deadlines::default(), "second.sock").await;
    agent.annotate("ubuntu", MACS[0], IPS[0]);
    let added = agent.add(&sandbox).await;
    assert_eq!(added.code, 0, "{added:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_then_gc_and_a_restart_keep_exactly_what_lives() {
    let bed = needs!(Bed::with_net2().await);
    const N: u32 = 20;
    let agent = bed.agent().await;
    let before = bed.foreign();
    let mut sandboxes = Vec::new();
    for i in 0..N {
        let (pod, mac, ip) =
            (format!("p{i}"), format!("00:00:00:00:01:{i:02X}"), format!("12.0.1.{}", 10 + i));
        sandboxes.push(bed.pod(&agent, &pod, i, &mac, &ip).await);
    }
    let added = futures::future::join_all(sandboxes.iter().map(|s| agent.add(s))).await;
    for a in &added {
        assert_eq!(a.code, 0, "{a:?}");
    }
    let names = |agent: &bed::Agent| -> Vec<String> {
        ports::our_ports(&agent.ovs.snapshot().replica)
            .into_iter()
            .map(|p| p.id("pod_name").to_owned())
            .collect()
    };
    assert_eq!(names(&agent).len(), N as usize);

    // GC: the runtime knows the first half.
    let half = N as usize / 2;
    let mut conf = agent.conf("1.1.0");
    let valid: Vec<_> =
        sandboxes[..half].iter().map(|s| json!({"containerID": s.container, "ifname": "eth0"})).collect();
    conf["cni.dev/valid-attachments"] = json!(valid);
    let collected = agent.call("GC", &sandboxes[0], conf).await;
    assert_eq!(collected.code, 0, "{collected:?}");
    let mut left = names(&agent);
    left.sort();
    let mut want: Vec<String> = (0..half).map(|i| format!("p{i}")).collect();
    want.sort();
    assert_eq!(left, want);

    // A restart: namespaces that went without a DEL leave ports; the new agent removes those and no other.
    drop(agent);
    let gone: Vec<Sandbox> = sandboxes.drain(..3).collect();
    let links: Vec<String> = gone.iter().map(|s| ports::host_link(&s.container, "eth0")).collect();
    drop(gone);
    let deadline = tokio::time::Instant::now() + SOON;
    while bed.host.netlink.links().await.unwrap().iter().any(|l| links.contains(&l.name)) {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the kernel removes the links of a namespace that is gone"
        );
        tokio::time::sleep(Duration::from_millis(20)).await; // it does so asynchronously, in its own time
    }
    let agent = bed.agent_with(Deadlines::default(), "second.sock").await;
    assert_eq!(sweep(&agent).await.removed, 3);
    assert_eq!(sweep(&agent).await, Swept::default());
    assert_eq!(names(&agent).len(), half - 3);
    assert_eq!(bed.foreign(), before); // invariant 1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_del_ends_the_add_of_its_container() {
    let bed = needs!(Bed::with_net2().await);
    let agent = bed.agent().await;
    agent.annotate("ubuntu", MACS[0], IPS[0]);
    let sandbox = Sandbox::new("ubuntu", 1).await;
    let name = ports::host_link(&sandbox.container, "eth0");
    let (added, deleted) = tokio::join!(agent.add(&sandbox), async {
        // There is no such port in OVN: this ADD would wait for a minute.
        let row = agent.ovs.wait(
            tokio::time::Instant::now() + SOON,
            |replica| ports::our_port(replica, &name),
            || "no row".to_owned(),
        );
        row.await.unwrap();
        agent.del(&sandbox).await
    });
    assert_eq!(deleted.code, 0, "{deleted:?}");
    assert_eq!(added.out["code"], Code::TryAgainLater.number());
    assert!(added.out["msg"].as_str().unwrap().contains("DEL"), "{added:?}");
    assert!(ports::our_ports(&agent.ovs.snapshot().replica).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn ovs_vswitchd_may_restart_and_its_database_may_be_away() {
    let mut bed = needs!(Bed::with_net2().await);
    let agent = bed.agent().await;
    let mut sandboxes = Vec::new();
    for (i, pod) in ["ubuntu", "debian"].iter().enumerate() {
        sandboxes.push(bed.pod(&agent, pod, i as u32, MACS[i], IPS[i]).await);
    }
    assert_eq!(agent.add(&sandboxes[0]).await.code, 0);
    bed.kill_vswitchd();
    // An ADD meanwhile waits; the daemon comes back.
    let (added, ()) = tokio::join!(agent.add(&sandboxes[1]), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        bed.start_vswitchd().await;
    });
    assert_eq!(added.code, 0, "{added:?}");
    assert_eq!(echo(&sandboxes[0].netns, &sandboxes[1].netns, IPS[1]).await, "hello");

    // Requests that make no sense are refused as such.
    let request = Request { container_id: "x".into(), if_name: "eth0".into(), ..Request::default() };
    let err = agent.attacher.add(&request, None).await.unwrap_err();
    assert_eq!(err.code, Code::InvalidEnvironment);
}
