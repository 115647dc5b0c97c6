//! Against the real kernel, in network namespaces made for the test. Needs root.

#![allow(clippy::unwrap_used)] // a test may: a panic is its failure

use std::net::IpAddr;
use std::time::Duration;

use tombolo_linux::{
    Announcer, Event, LinkChange, Monitor, Netlink, Netns, Route, Veth, disable_tx_checksum, set_sysctl,
};
use tombolo_needs::{needs, root};
use tombolo_net::{IfAddr, Mac};

const MAC: Mac = Mac::new([0, 0, 0, 0x7a, 0x2e, 0x93]);
const DEADLINE: Duration = Duration::from_secs(10);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn addr(text: &str) -> IfAddr {
    text.parse().unwrap()
}

/// Two namespaces, `host` and `pod`, and their connections.
async fn two() -> (Netns, Netlink, Netns, Netlink) {
    let (host, pod) = (Netns::create().await.unwrap(), Netns::create().await.unwrap());
    let (h, p) = (Netlink::open_in(&host).await.unwrap(), Netlink::open_in(&pod).await.unwrap());
    (host, h, pod, p)
}

/// Makes the pair, brings the inner end up, and gives the indexes of the outer and the inner end.
async fn plug(h: &Netlink, pod: &Netns, p: &Netlink) -> (u32, u32) {
    h.create_veth(&veth(pod)).await.unwrap();
    let outer = h.link("0f3c5f1f2a4b_h").await.unwrap().unwrap().index;
    let inner = p.link("eth0").await.unwrap().unwrap().index;
    p.change_link(inner, &LinkChange { up: Some(true), ..LinkChange::default() }).await.unwrap();
    (outer, inner)
}

fn veth<'a>(netns: &'a Netns) -> Veth<'a> {
    Veth { name: "0f3c5f1f2a4b_h", peer: "eth0", netns, peer_mac: MAC, mtu: 1400 }
}

#[tokio::test]
async fn a_veth_pair_is_born_in_both_namespaces_complete() {
    needs!(root());
    let (_host, h, pod, p) = two().await;
    assert!(h.link("0f3c5f1f2a4b_h").await.unwrap().is_none());
    plug(&h, &pod, &p).await;

    let outside = h.link("0f3c5f1f2a4b_h").await.unwrap().unwrap();
    assert!(outside.up && outside.carrier);
    assert_eq!((outside.mtu, outside.kind.as_str()), (1400, "veth"));
    let inside = p.link("eth0").await.unwrap().unwrap();
    assert!(inside.up && inside.carrier);
    assert_eq!((inside.mtu, inside.mac), (1400, Some(MAC)));
    assert!(h.link("eth0").await.unwrap().is_none(), "never seen on the host");

    let err = h.create_veth(&veth(&pod)).await.unwrap_err();
    assert!(err.is_exists(), "{err}");
    assert!(err.to_string().contains("0f3c5f1f2a4b_h"), "{err}");

    assert!(h.delete_link("0f3c5f1f2a4b_h").await.unwrap());
    assert!(!h.delete_link("0f3c5f1f2a4b_h").await.unwrap());
    assert!(p.link("eth0").await.unwrap().is_none());
}

#[tokio::test]
async fn addresses_and_routes_come_and_go() {
    needs!(root());
    let (_host, h, pod, p) = two().await;
    let (_, eth0) = plug(&h, &pod, &p).await;
    for address in ["12.0.1.2/24", "fd00::2/64"] {
        p.add_address(eth0, addr(address)).await.unwrap();
        p.add_address(eth0, addr(address)).await.unwrap(); // again: fine
    }
    assert_eq!(p.addresses(eth0).await.unwrap(), [addr("12.0.1.2/24"), addr("fd00::2/64")]);
    assert_eq!(p.link_with_address(ip("fd00::2")).await.unwrap(), Some(eth0));
    assert_eq!(p.link_with_address(ip("fd00::3")).await.unwrap(), None);

    let route = |dst: &str, gateway: Option<&str>, protocol| Route {
        dst: dst.parse().unwrap(),
        gateway: gateway.map(ip),
        link: eth0,
        protocol,
        source: None,
    };
    let default4 = route("0.0.0.0/0", Some("12.0.1.1"), 99);
    let default6 = route("::/0", Some("fd00::1"), 99);
    let theirs = route("10.9.0.0/16", Some("12.0.1.9"), 4);
    let direct = Route { source: Some(ip("12.0.1.2")), ..route("169.254.1.1/32", None, 99) };
    for r in [default4, default6, theirs, direct] {
        p.add_route(&r).await.unwrap();
    }
    let mut ours = p.routes(Some(99)).await.unwrap();
    ours.sort();
    let mut want = [default4, default6, direct];
    want.sort();
    assert_eq!(ours, want);

    // Another program's route is not replaced.
    let rival = route("10.9.0.0/16", Some("12.0.1.1"), 99);
    assert!(p.add_route(&rival).await.unwrap_err().is_exists());
    assert!(!p.delete_route(&rival).await.unwrap(), "nor deleted");
    assert!(p.routes(Some(4)).await.unwrap().contains(&theirs));

    assert!(p.delete_route(&default4).await.unwrap());
    assert!(!p.delete_route(&default4).await.unwrap());
    assert!(p.delete_address(eth0, addr("12.0.1.2/24")).await.unwrap());
    assert!(!p.delete_address(eth0, addr("12.0.1.2/24")).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_may_ask_one_connection_for_lists_at_once() {
    needs!(root());
    let (_host, h, pod, p) = two().await;
    let (_, eth0) = plug(&h, &pod, &p).await;
    for i in 0..200 {
        p.add_address(eth0, addr(&format!("10.0.{}.{}/32", i / 250, i % 250 + 1))).await.unwrap();
    }
    let ask = |_| {
        let p = p.clone();
        tokio::spawn(async move { (p.addresses(eth0).await.unwrap().len(), p.links().await.unwrap().len()) })
    };
    for asked in futures::future::join_all((0..200).map(ask)).await {
        assert_eq!(asked.unwrap(), (200, 2));
    }
    // An asker that goes away in the middle of its list is no trouble for the next.
    for _ in 0..50 {
        let given_up = tokio::time::timeout(Duration::from_micros(50), p.addresses(eth0)).await;
        drop(given_up);
        assert_eq!(p.addresses(eth0).await.unwrap().len(), 200);
    }
}

#[tokio::test]
async fn changes_are_announced() {
    needs!(root());
    let (host, h, pod, p) = two().await;
    let mut monitor = Monitor::open_in(&host).await.unwrap();
    let (index, _) = plug(&h, &pod, &p).await;
    let change = LinkChange { mtu: Some(1300), txqueuelen: Some(1000), ..LinkChange::default() };
    h.change_link(index, &change).await.unwrap();
    h.add_address(index, addr("10.1.0.1/24")).await.unwrap();
    h.delete_link("0f3c5f1f2a4b_h").await.unwrap();
    let mut seen = Vec::new();
    let all = async {
        loop {
            let event = monitor.next().await.unwrap();
            let last = matches!(&event, Event::LinkGone(l) if l.name == "0f3c5f1f2a4b_h");
            seen.push(event);
            if last {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, all).await.unwrap();
    assert!(seen.iter().any(|e| matches!(e, Event::Link(l) if l.mtu == 1300 && l.txqueuelen == 1000)));
    let address = Event::Address { link: index, address: addr("10.1.0.1/24") };
    assert!(seen.contains(&address), "{seen:?}");
    assert!(seen.iter().any(|e| matches!(e, Event::Route(r) if r.link == index)), "{seen:?}");
}

#[tokio::test]
async fn a_neighbor_is_waited_for_until_it_answers() {
    needs!(root());
    let (host, h, pod, p) = two().await;
    let (outside, inside) = plug(&h, &pod, &p).await;
    h.add_address(outside, addr("10.1.0.1/24")).await.unwrap();

    let err = h.resolve(&host, outside, ip("10.1.0.2"), Duration::from_millis(300)).await.unwrap_err();
    assert!(err.is_transient(), "{err}");
    assert!(err.to_string().contains("10.1.0.2"), "{err}");

    // No host answers yet; the address comes while we wait.
    let waiting = h.resolve(&host, outside, ip("10.1.0.2"), DEADLINE);
    let coming = async {
        tokio::task::yield_now().await;
        p.add_address(inside, addr("10.1.0.2/24")).await.unwrap();
    };
    let (mac, ()) = tokio::join!(waiting, coming);
    assert_eq!(mac.unwrap(), MAC);
    // Known already: answered from what the kernel has confirmed.
    assert_eq!(h.resolve(&host, outside, ip("10.1.0.2"), DEADLINE).await.unwrap(), MAC);
}

#[tokio::test]
async fn neighbors_forget_a_former_mac_when_an_address_is_announced() {
    needs!(root());
    let (host, h, pod, p) = two().await;
    let (outside, inside) = plug(&h, &pod, &p).await;
    for (address, peer) in [("10.1.0.2/24", "10.1.0.1/24"), ("fd00::2/64", "fd00::1/64")] {
        p.add_address(inside, addr(address)).await.unwrap();
        h.add_address(outside, addr(peer)).await.unwrap();
    }
    let ip_command = |args: &'static str| {
        host.run(move || Ok(std::process::Command::new("ip").args(args.split(' ')).output().unwrap()))
    };
    for remembered in ["10.1.0.2", "fd00::2"] {
        let args: &'static str = match remembered {
            "fd00::2" => "neigh replace fd00::2 lladdr 00:00:00:00:00:01 nud reachable dev 0f3c5f1f2a4b_h",
            _ => "neigh replace 10.1.0.2 lladdr 00:00:00:00:00:01 nud reachable dev 0f3c5f1f2a4b_h",
        };
        let done = ip_command(args).await.unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    let table = || async { String::from_utf8(ip_command("neigh show").await.unwrap().stdout).unwrap() };
    assert_eq!(table().await.matches("00:00:00:00:00:01").count(), 2, "{}", table().await);

    let announcer = Announcer::open_in(&pod, "eth0").await.unwrap();
    announcer.send(MAC, &[ip("10.1.0.2"), ip("fd00::2")]).unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(1);
    while table().await.matches("00:00:00:7a:2e:93").count() < 2 {
        assert!(tokio::time::Instant::now() < deadline, "{}", table().await);
        tokio::time::sleep(Duration::from_millis(10)).await; // the kernel takes frames in its own time
    }
    let err = Announcer::open_in(&pod, "eth9").await.unwrap_err();
    assert!(err.is_not_found(), "{err}");
}

#[tokio::test]
async fn checksum_offload_and_sysctls_are_set_inside() {
    needs!(root());
    let (_host, h, pod, _p) = two().await;
    h.create_veth(&veth(&pod)).await.unwrap();
    pod.run(|| disable_tx_checksum("eth0")).await.unwrap();
    let features =
        pod.run(|| Ok(std::process::Command::new("ethtool").args(["-k", "eth0"]).output())).await.unwrap();
    match features {
        Ok(output) => {
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(text.contains("tx-checksumming: off"), "{text}");
            assert!(text.contains("tx-tcp-segmentation: off"), "{text}");
        }
        Err(e) => eprintln!("no ethtool to look with: {e}"),
    }
    let err = pod.run(|| disable_tx_checksum("nope0")).await.unwrap_err();
    assert!(err.is_not_found(), "{err}");

    let key = "net/ipv6/conf/eth0/disable_ipv6";
    pod.run(move || set_sysctl(key, "1")).await.unwrap();
    let inside =
        pod.run(move || Ok(std::fs::read_to_string(format!("/proc/sys/{key}")).unwrap())).await.unwrap();
    assert_eq!(inside.trim(), "1");
    assert!(set_sysctl("net/../kernel/hostname", "x").is_err());
}

#[tokio::test]
async fn namespaces_are_told_apart_and_missed() {
    needs!(root());
    let own = Netns::current().unwrap();
    let other = Netns::create().await.unwrap();
    assert_ne!(own.id(), other.id());
    assert_eq!(Netns::open(other.path()).unwrap().id(), other.id());
    assert_eq!(Netns::current().unwrap().id(), own.id(), "working inside leaves this thread where it was");
    let inside = other.run(|| Netns::current().map(|n| n.id())).await.unwrap();
    assert_eq!(inside, other.id());

    assert!(Netns::open("/run/netns/surely-not-there").unwrap_err().is_not_found());
    let file = std::env::temp_dir().join(format!("tombolo-no-netns-{}", std::process::id()));
    std::fs::write(&file, "").unwrap();
    let err = Netns::open(&file).unwrap_err();
    std::fs::remove_file(&file).unwrap();
    assert!(err.is_not_found(), "an unmounted namespace leaves an empty file: {err}");

    // Handed over as an open file: the same namespace, whatever its path means here.
    let file = std::fs::File::open(other.path()).unwrap();
    assert_eq!(Netns::from_fd(file.into(), "/proc/1/ns/net").unwrap().id(), other.id());
    let plain = std::fs::File::open("/dev/null").unwrap();
    assert!(Netns::from_fd(plain.into(), "/run/netns/x").unwrap_err().is_not_found());

    let err = other.run(|| -> tombolo_linux::Result<()> { panic!("on purpose") }).await.unwrap_err();
    assert!(err.to_string().contains("panicked"), "{err}");
}
