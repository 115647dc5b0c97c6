//! A host that the agent has left: nothing of ours is there, and all of others' is.

#![allow(clippy::unwrap_used)] // a test may: a panic is its failure

mod bed;

use std::path::Path;

use bed::{Bed, SOON, Sandbox, node};
use tokio::time::timeout;
use tombolo_agent::install::Install;
use tombolo_agent::nft::apply;
use tombolo_agent::node::PROTOCOL;
use tombolo_agent::uninstall::{Places, uninstall};
use tombolo_linux::Route;
use tombolo_needs::needs;

async fn nft(bed: &Bed, args: &'static [&'static str]) -> String {
    let list = move || Ok(std::process::Command::new("nft").args(args).output());
    String::from_utf8(bed.host.netns.run(list).await.unwrap().unwrap().stdout).unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut all: Vec<String> = std::fs::read_dir(dir)
        .map(|all| all.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
        .unwrap_or_default();
    all.sort();
    all
}

// invariant 13
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_ours_is_left_on_a_host_and_all_of_others() {
    let bed = needs!(Bed::with_default_vpc().await);
    bed.lsp("ovn-default", "ubuntu.net2", "00:00:00:7A:2E:93", "10.16.0.5");
    let before = bed.foreign();
    let links = async || {
        let all = bed.host.netlink.links().await.unwrap().into_iter().map(|link| link.name);
        all.collect::<std::collections::BTreeSet<String>>()
    };
    // Open vSwitch makes the links of its ports in its own time.
    timeout(SOON, async {
        let made = |all: &std::collections::BTreeSet<String>| {
            all.contains("br-int") && all.contains("ovs-netdev") && all.iter().any(|it| it.starts_with("tap"))
        };
        while !made(&links().await) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
    let links_before = links().await;

    // A node that works, with a pod.
    let agent = bed.agent().await;
    // Docker's: our rules go into another program's chain.
    let docker =
        "table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; counter; }; }";
    apply(&bed.host, docker.to_owned()).await.unwrap();
    let docker = nft(&bed, &["list", "table", "ip", "filter"]).await;
    let mut node = node::start(&bed, &agent);
    node.inputs.send_modify(|i| {
        i.port = Some(node::port());
        i.subnets = node::subnets(&["10.16.0.0/16"]);
    });
    node.firewall(&bed);
    node.ready().await;
    let places = Places {
        conf_dir: bed.at("net.d").into(),
        conf_name: "01-kube-ovn.conflist".into(),
        bin_dir: bed.at("bin").into(),
        socket: bed.at("agent.sock").into(),
    };
    std::fs::write(bed.at("source"), "plugin").unwrap();
    let install = Install {
        conf_dir: places.conf_dir.clone(),
        conf_name: places.conf_name.clone(),
        bin_dir: places.bin_dir.clone(),
        plugin: Some(bed.at("source").into()),
        socket: places.socket.clone(),
    };
    install.keep(None).unwrap();
    let pod = Sandbox::new("ubuntu", 1).await;
    agent.annotate_in("ubuntu", "00:00:00:7A:2E:93", "10.16.0.5", "10.16.0.0/16", "10.16.0.1");
    assert_eq!(agent.add(&pod).await.code, 0);
    timeout(SOON, async {
        while !nft(&bed, &["list", "tables"]).await.contains("table inet tombolo")
            || !nft(&bed, &["list", "table", "ip", "filter"]).await.contains("tombolo")
        {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    })
    .await
    .unwrap();

    // Others' things.
    std::fs::write(places.conf_dir.join("99-other.conflist"), "{}").unwrap();
    std::fs::write(places.bin_dir.join("portmap"), "portmap").unwrap();
    apply(&bed.host, "table ip theirs { chain c { counter; }; }".to_owned()).await.unwrap();
    let lo = bed.host.netlink.link("lo").await.unwrap().unwrap();
    let up = tombolo_linux::LinkChange { up: Some(true), ..Default::default() };
    bed.host.netlink.change_link(lo.index, &up).await.unwrap();
    let theirs = Route {
        dst: "10.99.0.0/16".parse().unwrap(),
        gateway: None,
        link: lo.index,
        protocol: 4,
        source: None,
    };
    bed.host.netlink.add_route(&theirs).await.unwrap();

    // An agent is there, and then a pod: nothing happens.
    let error = uninstall(&bed.host, &agent.ovs, &places, true).await.unwrap_err().to_string();
    assert!(error.contains("DaemonSet kube-ovn-cni"), "{error}");
    drop(node);
    let ovs = agent.ovs.clone();
    drop(agent);
    let gone = async {
        while std::os::unix::net::UnixStream::connect(&places.socket).is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    timeout(SOON, gone).await.unwrap();
    let error = uninstall(&bed.host, &ovs, &places, false).await.unwrap_err().to_string();
    assert!(error.contains("net2/ubuntu") && error.contains("--uninstall=force"), "{error}");
    assert_eq!(names(&places.conf_dir), ["01-kube-ovn.conflist", "99-other.conflist"]);
    assert!(bed.host.netlink.link("ovn0").await.unwrap().is_some());

    uninstall(&bed.host, &ovs, &places, true).await.unwrap();
    assert_eq!(bed.foreign(), before); // invariant 1
    assert!(!bed.vsctl(&["list", "Interface"]).contains("kube-ovn"));
    timeout(SOON, async {
        while links().await.contains("ovn0") {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(links().await, links_before);
    assert!(bed.host.netlink.routes(Some(PROTOCOL)).await.unwrap().is_empty());
    assert!(bed.host.netlink.routes(Some(4)).await.unwrap().contains(&theirs));
    assert_eq!(nft(&bed, &["list", "tables"]).await.trim(), "table ip filter\ntable ip theirs");
    let counted = |text: &str| text.lines().filter(|l| !l.contains("counter packets")).collect::<String>();
    assert_eq!(counted(&nft(&bed, &["list", "table", "ip", "filter"]).await), counted(&docker));
    assert_eq!(names(&places.conf_dir), ["99-other.conflist"]);
    assert_eq!(names(&places.bin_dir), ["portmap"]);
    assert!(!places.socket.exists());
    // Again: there is nothing to do.
    uninstall(&bed.host, &ovs, &places, false).await.unwrap();
}
