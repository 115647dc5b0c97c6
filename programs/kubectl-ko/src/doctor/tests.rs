//! Each finding, from the input that triggers it: a cluster in good order, and one thing that isn't.

use serde_json::json;

use super::facts::{Facts, Host};
use super::finding::{Severity, exit};
use super::raft::Member;
use super::*;
use crate::database::Database;
use crate::database::servers::Server;
use crate::rows::{Row, rows};

fn server(leader: bool) -> Server {
    let (model, cluster) = ("clustered".to_owned(), Some("c".to_owned()));
    Server { model, connected: true, leader, cluster, index: "7".to_owned() }
}

fn host(n: u8) -> Host {
    let settings = [
        ("system-id", format!("chassis{n}")),
        ("ovn-remote", "ssl:10.0.0.1:6642,ssl:10.0.0.2:6642,ssl:10.0.0.3:6642".to_owned()),
        ("ovn-encap-type", "geneve".to_owned()),
        ("ovn-encap-ip", format!("10.9.0.{n}")),
    ];
    Host {
        settings: settings.map(|(key, value)| (key.to_owned(), value)).into_iter().collect(),
        version: Some("23.03.1".to_owned()),
        links: vec![(format!("10.9.0.{n}").parse().unwrap(), 1558)],
        silent: Some(Vec::new()),
        asked: 2,
        terms: Vec::new(),
    }
}

fn node(n: u8) -> serde_json::Value {
    json!({ "metadata": { "name": format!("host{n}") },
        "status": { "addresses": [{ "type": "InternalIP", "address": format!("10.0.0.{n}") }] } })
}

fn chassis(n: u8) -> serde_json::Value {
    json!({ "name": format!("chassis{n}"), "hostname": format!("host{n}"), "other_config": ["map", []], "external_ids": ["map", []] })
}

fn encap(n: u8, ip: &str, kind: &str) -> serde_json::Value {
    json!({ "_uuid": ["uuid", format!("e{n}")], "ip": ip, "type": kind, "chassis_name": format!("chassis{n}") })
}

/// What a chassis has carried out, and when.
fn private(n: u8, nb_cfg: i64, seconds: i64) -> serde_json::Value {
    json!({ "name": format!("chassis{n}"), "nb_cfg": nb_cfg, "nb_cfg_timestamp": seconds * 1_000 })
}

fn northd(version: &str) -> Vec<Row> {
    rows(json!([{ "options": ["map", [["northd_internal_version", version]]], "nb_cfg": 9 }]))
}

/// A port of the router `neutron-r`.
fn router_ports(ports: serde_json::Value) -> (Vec<Row>, Vec<Row>) {
    let uuids: Vec<_> = ports.as_array().unwrap().iter().map(|port| port["_uuid"].clone()).collect();
    let router = json!([{ "name": "neutron-r", "ports": ["set", uuids], "external_ids": ["map", [["neutron:router_name", "router0"]]] }]);
    (rows(router), rows(ports))
}

fn neutrons(named: &str, network: &str) -> serde_json::Value {
    json!({ "_uuid": ["uuid", "lrp-a"], "name": "lrp-a", "networks": network,
        "external_ids": ["map", [["neutron:router_name", named], ["neutron:network_name", "neutron-n"]]] })
}

fn ours(network: &str) -> serde_json::Value {
    json!({ "_uuid": ["uuid", "ours"], "name": "neutron-r-net2", "networks": network,
        "external_ids": ["map", [["tombolo.io/cluster", "me"], ["tombolo.io/owner", "subnet/net2"]]] })
}

fn member(database: Database, n: u8, terms: [u64; 2]) -> Member {
    Member { database, at: format!("node/host{n}"), terms: Ok(terms) }
}

/// Two nodes and three members, in good order.
fn well() -> Facts {
    let endpoints = |port: u16| -> Vec<String> { (1..4).map(|n| format!("ssl:10.0.0.{n}:{port}")).collect() };
    let mut facts = Facts {
        nb: Ok(endpoints(6641)),
        sb: Ok(endpoints(6642)),
        nodes: Ok(vec![node(1), node(2)]),
        hosts: Ok([1, 2].map(|n| (format!("host{n}"), Ok(host(n)))).into_iter().collect()),
        chassis: Ok(rows(json!([chassis(1), chassis(2)]))),
        encaps: Ok(rows(json!([encap(1, "10.9.0.1", "geneve"), encap(2, "10.9.0.2", "geneve")]))),
        sb_global: Ok(northd("23.03.1-20.27.0-70.6")),
        chassis_private: Ok(rows(json!([private(1, 9, 1_000), private(2, 9, 1_000)]))),
        router_peers: Ok(rows(json!([]))),
        switches: Ok(rows(json!([]))),
        gateway_chassis: Ok(rows(json!([]))),
        ha_groups: Ok(rows(json!([]))),
        ha_chassis: Ok(rows(json!([]))),
        rivals: Ok(vec![json!({ "kind": "Deployment", "metadata": { "name": "kube-ovn-controller" },
            "spec": { "template": { "spec": { "containers": [{ "command": ["/kube-ovn/kube-ovn-controller"] }] } } } })]),
        kube_ovn_lease: Ok(None),
        now: 1_795_831_243,
        localnets: Ok(rows(json!([{ "options": ["map", [["network_name", "physnet1"]]] }]))),
        subnets: Ok(vec![json!({ "metadata": { "name": "ovn-default" },
            "spec": { "vpc": "ovn-cluster", "cidrBlock": "10.16.0.0/16", "mtu": 1500 } })]),
        vpcs: Ok(vec![json!({ "metadata": { "name": "ovn-cluster" }, "status": { "default": true } })]),
        ips: Ok(Vec::new()),
        services: Ok(Some("10.96.0.0/12".to_owned())),
        workloads: Ok(vec![
            json!({ "kind": "Deployment", "metadata": { "name": "kube-ovn-controller" }, "spec": { "replicas": 2 }, "status": { "readyReplicas": 2 } }),
            json!({ "kind": "DaemonSet", "metadata": { "name": "kube-ovn-cni" }, "status": { "desiredNumberScheduled": 2, "numberReady": 2 } }),
        ]),
        webhook: Ok(true),
        cluster: Ok("me".to_owned()),
        ..Facts::default()
    };
    for (database, all) in [(Database::Nb, endpoints(6641)), (Database::Sb, endpoints(6642))] {
        facts.terms.extend((1..4).map(|n| member(database, n, [3, 3])));
        facts.servers.extend(all.into_iter().enumerate().map(|(n, at)| (database, at, Ok(server(n == 0)))));
    }
    let (routers, ports) =
        router_ports(json!([neutrons("neutron-r", "192.168.1.1/24"), ours("12.0.1.1/24")]));
    (facts.routers, facts.router_ports) = (Ok(routers), Ok(ports));
    facts
}

/// What is found once `spoil` has been at it: `severity object: sentence`, of one check.
fn found(check: &str, spoil: impl FnOnce(&mut Facts)) -> Vec<String> {
    let mut facts = well();
    spoil(&mut facts);
    let all: Vec<_> = findings(&facts).into_iter().filter(|f| f.name == check).collect();
    let worst = checks().find(|known| known.name == check).unwrap().worst;
    assert!(all.iter().all(|f| f.severity <= worst), "worse than {worst:?}: {all:#?}");
    let all = all.into_iter();
    all.map(|f| format!("{} {}: {}", f.severity.as_str(), f.object, f.sentence)).collect()
}

#[track_caller]
fn says(found: &[String], words: &str) {
    assert!(found.iter().any(|line| line.starts_with(words)), "{words:?} not in {found:#?}");
}

fn on_host(facts: &mut Facts, name: &str, change: impl FnOnce(&mut Host)) {
    change(facts.hosts.as_mut().unwrap().get_mut(name).unwrap().as_mut().unwrap());
}

fn set(facts: &mut Facts, key: &str, value: &str) {
    on_host(facts, "host2", |host| drop(host.settings.insert(key.to_owned(), value.to_owned())));
}

#[test]
fn a_cluster_in_good_order() {
    let all = findings(&well());
    let bad: Vec<_> = all.iter().filter(|f| f.severity > Severity::Note || !f.checked).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    assert_eq!(exit(&all), 0);
    for check in checks() {
        assert!(all.iter().any(|f| f.name == check.name), "{} says nothing", check.name);
    }
}

#[test]
fn nothing_seen_is_never_ok() {
    let all = findings(&Facts::default());
    assert!(all.iter().all(|f| !f.checked && f.sentence.starts_with("not checked: ")), "{all:#?}");
    assert_eq!(exit(&all), 2);
    assert!(checks().all(|check| all.iter().any(|f| f.name == check.name)));
    // Of two nodes one can't be reached: the other's answer doesn't speak for it.
    let part = found("hosts-endpoints", |f| {
        drop(f.hosts.as_mut().unwrap().insert("host2".into(), Err("gone".into())))
    });
    says(&part, "note node/host2: not checked: gone");
    says(&part, "ok cluster: 1 nodes");
}

#[test]
fn databases() {
    let leaderless =
        |f: &mut Facts| f.servers.iter_mut().for_each(|(.., s)| s.as_mut().unwrap().leader = false);
    says(&found("databases-leader", leaderless), "error nb: no server that answers leads");
    let two = |f: &mut Facts| f.servers[1].2.as_mut().unwrap().cluster = Some("d".to_owned());
    says(&found("databases-leader", two), "error nb: its servers aren't one cluster: 2 cluster ids");
    let one = |f: &mut Facts| drop(f.servers.drain(1..3));
    says(&found("databases-leader", one), "note nb: it has one server");
    let dead = |f: &mut Facts| f.servers[2].2 = Err("refused".to_owned());
    says(&found("databases-members", dead), "warning nb/ssl:10.0.0.3:6641: it doesn't answer: refused");
    let apart = |f: &mut Facts| f.servers[4].2.as_mut().unwrap().connected = false;
    says(&found("databases-members", apart), "warning sb/ssl:10.0.0.2:6642: it has lost its cluster");
    let plain = |f: &mut Facts| f.nb = Ok(vec!["tcp:10.0.0.1:6641".to_owned()]);
    says(&found("databases-tls", plain), "warning nb: tcp: has no authentication");
}

#[test]
fn endpoints_of_hosts() {
    // The document's own way to write the list is the same list; its order is none.
    let same = found("hosts-endpoints", |f| set(f, "ovn-remote", "ssl:[10.0.0.3,10.0.0.2,10.0.0.1]:6642"));
    says(&same, "ok cluster: 2 nodes");
    says(&found("hosts-endpoints", |f| set(f, "ovn-remote", "")), "error node/host2: ovn-remote is \"\"");
    let other = "ssl:10.7.0.1:6642";
    says(
        &found("hosts-endpoints", |f| set(f, "ovn-remote", other)),
        "error node/host2: ovn-remote is ssl:10.7.0.1:6642, none of",
    );
    let plain = "tcp:10.0.0.1:16642";
    says(
        &found("hosts-endpoints", |f| set(f, "ovn-remote", plain)),
        "warning node/host2: ovn-remote is tcp:10.0.0.1:16642: the controller reaches the same servers by other ports",
    );
    let part = "ssl:10.0.0.1:6642";
    says(
        &found("hosts-endpoints", |f| set(f, "ovn-remote", part)),
        "warning node/host2: ovn-remote is ssl:10.0.0.1:6642: not all",
    );
}

#[test]
fn chassis_and_tunnels() {
    says(
        &found("hosts-settings", |f| set(f, "system-id", "")),
        "error node/host2: external_ids of Open_vSwitch lack system-id",
    );
    says(
        &found("hosts-settings", |f| set(f, "ovn-encap-ip", "10.9.0.9")),
        "error node/host2: no link has the address 10.9.0.9",
    );
    let gone = |f: &mut Facts| f.chassis = Ok(rows(json!([chassis(1)])));
    says(&found("nodes-chassis", gone), "error node/host2: no chassis in the SB has its name");
    let annotated = |f: &mut Facts| {
        f.nodes.as_mut().unwrap()[0]["metadata"]["annotations"] = json!({ "ovn.kubernetes.io/chassis": "x" })
    };
    says(&found("nodes-chassis", annotated), "error node/host1: its chassis x isn't in the SB");
    let twice = |f: &mut Facts| {
        f.encaps = Ok(rows(json!([encap(1, "10.9.0.1", "geneve"), encap(2, "10.9.0.1", "geneve")])))
    };
    says(&found("encap-unique", twice), "error encap/10.9.0.1: chassis chassis1 and chassis2 have it both");
    let kinds = |f: &mut Facts| {
        f.encaps = Ok(rows(json!([encap(1, "10.9.0.1", "geneve"), encap(2, "10.9.0.2", "vxlan")])))
    };
    says(
        &found("encap-type", kinds),
        "error cluster: chassis have no kind of tunnel in common (geneve, vxlan)",
    );
    let silent = |f: &mut Facts| on_host(f, "host1", |host| host.silent = Some(vec!["10.9.0.2".into()]));
    says(
        &found("encap-reachable", silent),
        "warning node/host1: 1 of 2 tunnel addresses don't answer its ping: 10.9.0.2",
    );
    let without = |f: &mut Facts| on_host(f, "host1", |host| host.silent = None);
    says(&found("encap-reachable", without), "note node/host1: not checked: the host has no ping");
    let narrow = |f: &mut Facts| on_host(f, "host1", |host| host.links[0].1 = 1500);
    let narrow = found("tunnel-mtu", narrow);
    says(&narrow, "warning cluster: tunnels of host1 carry 1442 bytes, others' up to 1500");
    says(&narrow, "warning subnet/ovn-default: its mtu is 1500, and the narrowest tunnel carries 1442");
}

#[test]
fn gateways() {
    let option = |key: &'static str, value: &'static str| {
        move |f: &mut Facts| {
            let mut second = chassis(2);
            second["other_config"] = json!(["map", [[key, value]]]);
            f.chassis = Ok(rows(json!([chassis(1), second])));
        }
    };
    let chosen = found("gateway-hosts", option("ovn-cms-options", "enable-chassis-as-gw"));
    says(&chosen, "note node/host2: it has enable-chassis-as-gw");
    says(
        &found("gateway-hosts", option("ovn-bridge-mappings", "physnet1:br-ex")),
        "note node/host2: it maps Neutron's physnet1",
    );
    says(&found("gateway-hosts", option("ovn-bridge-mappings", "own:br-x")), "ok cluster: 2 nodes");
}

#[test]
fn versions() {
    let newer = |f: &mut Facts| f.sb_global = Ok(northd("25.03.0-20.33.0-76.8"));
    says(
        &found("ovn-versions", newer),
        "error node/host1: ovn-controller is 23.03, northd 25.03: it skips flows",
    );
    let ahead = |f: &mut Facts| {
        for name in ["host1", "host2"] {
            on_host(f, name, |host| host.version = Some("24.03.2".to_owned()));
        }
    };
    says(&found("ovn-versions", ahead), "note cluster: northd is 23.03, all hosts are 24.03 or newer");
    let unknown = |f: &mut Facts| f.sb_global = Ok(rows(json!([{ "options": ["map", []] }])));
    says(
        &found("ovn-versions", unknown),
        "note cluster: not checked: SB_Global has no northd_internal_version",
    );
    let pinned = |f: &mut Facts| set(f, "ovn-match-northd-version", "true");
    says(
        &found("northd-pin", pinned),
        "note node/host2: ovn-match-northd-version is true: its flows stand still as soon",
    );
    let stands = |f: &mut Facts| {
        newer(f);
        pinned(f);
    };
    says(
        &found("northd-pin", stands),
        "error node/host2: ovn-match-northd-version is true and ovn-controller is 23.03.1, northd 25.03",
    );
}

#[test]
fn networks() {
    let late = |f: &mut Facts| {
        let (routers, ports) =
            router_ports(json!([neutrons("neutron-r", "12.0.0.1/16"), ours("12.0.1.1/24")]));
        (f.routers, f.router_ports) = (Ok(routers), Ok(ports));
    };
    let overlap = found("cidr-router", late);
    says(
        &overlap,
        "error router/neutron-r: Neutron's network neutron-n has 12.0.0.0/16, subnet/net2 of cluster me has 12.0.1.0/24",
    );
    let cidr = |block: &'static str| {
        move |f: &mut Facts| f.subnets.as_mut().unwrap()[0]["spec"]["cidrBlock"] = json!(block)
    };
    says(
        &found("cidr-nodes", cidr("10.0.0.0/24")),
        "error subnet/ovn-default: 10.0.0.0/24 has an address of node host1",
    );
    says(
        &found("cidr-nodes", cidr("10.9.0.0/24")),
        "error subnet/ovn-default: 10.9.0.0/24 has the tunnel address 10.9.0.1",
    );
    says(
        &found("cidr-nodes", cidr("10.100.0.0/16")),
        "error subnet/ovn-default: 10.100.0.0/16 overlaps the Service range 10.96.0.0/12",
    );
    // Behind Neutron's router the same network is a tenant's affair.
    let apart = |f: &mut Facts| {
        cidr("10.100.0.0/16")(f);
        f.subnets.as_mut().unwrap()[0]["spec"]["vpc"] = json!("neutron-r");
        f.vpcs.as_mut().unwrap().push(json!({ "metadata": { "name": "neutron-r" } }));
    };
    assert!(!found("cidr-nodes", apart).iter().any(|line| line.starts_with("error")));
}

#[test]
fn the_cluster_itself() {
    let down = |f: &mut Facts| f.workloads.as_mut().unwrap()[1]["status"]["numberReady"] = json!(1);
    says(&found("workloads-ready", down), "error daemonset/kube-ovn-cni: 1 of 2 pods are ready");
    let half = |f: &mut Facts| f.workloads.as_mut().unwrap()[0]["status"]["readyReplicas"] = json!(1);
    says(&found("workloads-ready", half), "warning deployment/kube-ovn-controller: 1 of 2 pods are ready");
    let condition = |reason: tombolo_names::Reason, of_type: &'static str| json!({ "conditions": [{ "type": of_type, "status": "False", "reason": reason.as_str(), "message": "why" }], "default": true });
    let reason = tombolo_names::Reason::CidrConflict;
    let refused = |f: &mut Facts| f.subnets.as_mut().unwrap()[0]["status"] = condition(reason, "Ready");
    says(&found("objects-served", refused), "warning subnet/ovn-default: CidrConflict: why");
    let held = |f: &mut Facts| {
        f.vpcs.as_mut().unwrap()[0]["status"] = condition(tombolo_names::Reason::DeletionsHeld, "Ready")
    };
    says(&found("brake", held), "error vpc/ovn-cluster: deletions are held back: why");
    says(&found("admission", |f| f.webhook = Ok(false)), "note cluster: it is off");
}

#[test]
fn what_neutrons_repair_does() {
    let old = |f: &mut Facts| {
        let (routers, ports) = router_ports(json!([neutrons("r", "192.168.1.1/24"), ours("12.0.1.1/24")]));
        (f.routers, f.router_ports) = (Ok(routers), Ok(ports));
    };
    says(
        &found("neutron-repair", old),
        "warning neutron: Neutron is older than 24 (1 ports): repair stops at a router port that isn't its own (1 here)",
    );
    says(&found("neutron-repair", |_| ()), "note neutron: Neutron is 24 or newer");
    let none = |f: &mut Facts| f.routers = Ok(Vec::new());
    says(&found("neutron-repair", none), "note cluster: not checked: Neutron has no router here");
}

#[test]
fn terms_of_the_members() {
    let apart = |f: &mut Facts| f.terms[2] = member(Database::Nb, 3, [5, 5]);
    says(
        &found("databases-terms", apart),
        "warning nb: its members disagree on the term (node/host1 3, node/host2 3, node/host3 5)",
    );
    let grows = |f: &mut Facts| f.terms[3] = member(Database::Sb, 1, [3, 4]);
    says(
        &found("databases-terms", grows),
        "warning sb: the term grew from 3 to 4 within a second (node/host1)",
    );
    // A member that was behind and has caught up is none that is apart.
    let caught_up = |f: &mut Facts| f.terms[0] = member(Database::Nb, 1, [2, 3]);
    says(&found("databases-terms", caught_up), "warning nb: the term grew from 2 to 3");
    let one_silent = |f: &mut Facts| f.terms[1].terms = Err("no answer".to_owned());
    says(&found("databases-terms", one_silent), "note nb/node/host2: not checked: no answer");
    let elsewhere = found("databases-terms", |f| f.terms.clear());
    says(&elsewhere, "note nb: not checked: only a member's own host knows its term");
    says(&elsewhere, "note sb: not checked: only a member's own host knows its term");
    let standalone = |f: &mut Facts| {
        f.terms.clear();
        for (.., server) in &mut f.servers {
            server.as_mut().unwrap().model = "standalone".to_owned();
        }
    };
    says(&found("databases-terms", standalone), "ok cluster: 2 members");
}

/// A chassis of a host that isn't a node, with these feature flags.
fn nova(flags: &'static [&'static str]) -> impl FnOnce(&mut Facts) {
    move |f| {
        let mut other = chassis(9);
        let pairs: Vec<_> = flags.iter().map(|flag| json!([flag, "true"])).collect();
        other["other_config"] = json!(["map", pairs]);
        f.chassis = Ok(rows(json!([chassis(1), chassis(2), other])));
        f.sb_global = Ok(northd("24.03.2-20.33.0-76.8"));
    }
}

#[test]
fn versions_of_hosts_that_are_not_nodes() {
    let older = found("ovn-versions-others", nova(&["mac-binding-timestamp", "ovn-ct-lb-related"]));
    says(
        &older,
        "warning chassis/host9: ovn-controller must be older than northd, which is 24.03: it is 22.09 or newer, and older than 23.09, as derived \
         from its feature flags",
    );
    let known = super::features::tests::v24_03_2();
    let well = found("ovn-versions-others", nova(known));
    assert_eq!(well.len(), 1, "{well:?}");
    says(&well, "ok cluster: 1 hosts that aren't nodes: ");
    // 23.09 or 24.03: nothing says which.
    says(
        &found("ovn-versions-others", nova(&known[..7])),
        "note chassis/host9: not checked: northd is 24.03, its ovn-controller 23.09 or newer, and older than 24.09, as derived from its feature flags",
    );
    says(
        &found("ovn-versions-others", nova(&[])),
        "note chassis/host9: not checked: northd is 24.03, its ovn-controller of any release",
    );
    says(&found("ovn-versions-others", |_| ()), "ok cluster: all chassis are nodes'");
    // It is another check's subject no more.
    assert!(!found("ovn-versions", nova(&[])).iter().any(|line| line.contains("host9")));
}

/// The router `neutron-r` with a gateway port on these chassis, by an HA_Chassis_Group or by Gateway_Chassis.
fn gateway(f: &mut Facts, chassis: &[&str], by_group: bool) {
    let uuid = |n: usize| json!(["uuid", format!("g{n}")]);
    let rows_of = chassis.iter().enumerate().map(|(n, id)| json!({ "_uuid": uuid(n), "chassis_name": id }));
    let rows_of = rows(json!(rows_of.collect::<Vec<_>>()));
    let all: Vec<_> = (0..chassis.len()).map(uuid).collect();
    let mut port = json!({ "_uuid": ["uuid", "gw"], "name": "lrp-gw", "networks": "192.0.2.5/24", "external_ids": ["map", []] });
    if by_group {
        port["ha_chassis_group"] = json!(["uuid", "group"]);
        f.ha_groups = Ok(rows(json!([{ "_uuid": ["uuid", "group"], "ha_chassis": ["set", all] }])));
        f.ha_chassis = Ok(rows_of);
    } else {
        port["gateway_chassis"] = json!(["set", all]);
        f.gateway_chassis = Ok(rows_of);
    }
    let (routers, ports) = router_ports(json!([port, ours("12.0.1.1/24")]));
    (f.routers, f.router_ports) = (Ok(routers), Ok(ports));
}

#[test]
fn gateways_whose_chassis_are_dead() {
    for by_group in [false, true] {
        let with = |chassis: &'static [&'static str]| move |f: &mut Facts| gateway(f, chassis, by_group);
        says(&found("gateway-alive", with(&["chassis1", "chassis2"])), "ok cluster: 1 routers: ");
        says(
            &found("gateway-alive", with(&["gone1", "gone2"])),
            "error router/neutron-r: none of the chassis of gateway port lrp-gw is alive, so that the router's network is cut off from outside: \
             gone1 isn't in the SB; gone2 isn't in the SB",
        );
        says(
            &found("gateway-alive", with(&["chassis1", "gone2"])),
            "note router/neutron-r: 1 of 2 chassis of gateway port lrp-gw aren't alive: gone2 isn't in the SB",
        );
        // In the SB, but what was asked of all it hasn't carried out, and the others did long after its last word.
        let silent = |cfg: i64, seconds: i64| {
            move |f: &mut Facts| {
                gateway(f, &["chassis2"], by_group);
                f.chassis_private = Ok(rows(json!([private(1, 9, 1_000), private(2, cfg, seconds)])));
            }
        };
        says(
            &found("gateway-alive", silent(7, 700)),
            "error router/neutron-r: none of the chassis of gateway port lrp-gw is alive, so that the router's network is cut off from outside: \
             host2 (chassis2) doesn't answer: it is 5 min behind the others",
        );
        says(&found("gateway-alive", silent(7, 990)), "ok cluster: 1 routers: ");
        says(&found("gateway-alive", silent(9, 700)), "ok cluster: 1 routers: ");
        let unread = |f: &mut Facts| {
            gateway(f, &["chassis2"], by_group);
            f.chassis_private = Err("no rights".to_owned());
        };
        says(&found("gateway-alive", unread), "note cluster: not checked: no rights");
    }
    let empty = |f: &mut Facts| gateway(f, &[], true);
    says(&found("gateway-alive", empty), "error router/neutron-r: gateway port lrp-gw has no chassis");
}

/// Neutron's networks on the router `neutron-r` by their MTU, and the Subnet net2 there.
fn networks_of(mtus: &'static [&'static str], spec: serde_json::Value) -> impl FnOnce(&mut Facts) {
    move |f| {
        let uuid = |n: usize| json!(["uuid", format!("peer{n}")]);
        let port = |n: usize| json!({ "_uuid": ["uuid", format!("lrp{n}")], "name": format!("lrp-{n}"), "networks": format!("192.168.{n}.1/24"), "external_ids": ["map", []] });
        let mut ports: Vec<_> = (0..mtus.len()).map(port).collect();
        // The last one is outside: behind a gateway port.
        ports.last_mut().unwrap()["gateway_chassis"] = json!(["uuid", "g"]);
        ports.push(ours("12.0.1.1/24"));
        let (routers, ports) = router_ports(json!(ports));
        (f.routers, f.router_ports) = (Ok(routers), Ok(ports));
        let peer =
            |n: usize| json!({ "_uuid": uuid(n), "options": ["map", [["router-port", format!("lrp-{n}")]]] });
        f.router_peers = Ok(rows(json!((0..mtus.len()).map(peer).collect::<Vec<_>>())));
        let switch = |(n, mtu): (usize, &&str)| json!({ "name": format!("neutron-{n}"), "ports": uuid(n), "external_ids": ["map", [["neutron:mtu", mtu]]] });
        f.switches = Ok(rows(json!(mtus.iter().enumerate().map(switch).collect::<Vec<_>>())));
        let subnets = f.subnets.as_mut().unwrap();
        subnets.push(json!({ "metadata": { "name": "net2" }, "spec": spec }));
    }
}

#[test]
fn packets_of_neutrons_networks() {
    let of = |mtus, spec| found("neutron-mtu", networks_of(mtus, spec));
    says(
        &of(&["1442", "9000"], json!({ "mtu": 1442 })),
        "ok cluster: 1 Subnets beside networks of Neutron's",
    );
    says(&of(&["1442", "9000"], json!({})), "ok cluster: 1 Subnets beside networks of Neutron's");
    says(
        &of(&["1442", "9000"], json!({ "mtu": 1500 })),
        "warning subnet/net2: its mtu is 1500, and on router neutron-r neutron-0 has 1442: larger packets of its pods",
    );
    says(
        &of(&["1442", "9000"], json!({ "mtu": 1400 })),
        "note subnet/net2: its mtu is 1400, and on router neutron-r neutron-0 has 1442: TCP settles on the smaller one",
    );
    // It follows the smallest of several.
    says(
        &of(&["1442", "1500", "9000"], json!({})),
        "note subnet/net2: its mtu is 1442, and on router neutron-r neutron-1 has 1500",
    );
    says(&found("neutron-mtu", |_| ()), "ok cluster: 1 routers, no Subnet beside a network of Neutron's");
    says(
        &found("neutron-mtu", |f| f.switches = Err("no rights".to_owned())),
        "note cluster: not checked: no rights",
    );
}

#[test]
fn kube_ovn_beside_ours() {
    let theirs = |f: &mut Facts| {
        f.rivals.as_mut().unwrap().push(json!({ "kind": "DaemonSet", "metadata": { "name": "kube-ovn-cni" },
            "spec": { "template": { "spec": { "containers": [{ "command": ["bash", "/kube-ovn/start-cniserver.sh"] }] } } } }));
    };
    says(&found("kube-ovn-gone", theirs), "error daemonset/kube-ovn-cni: it is Kube-OVN's own");
    let lease = |holder: &'static str, renewed: &'static str| {
        move |f: &mut Facts| {
            let spec = json!({ "holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 30 });
            f.kube_ovn_lease = Ok(Some(json!({ "spec": spec })));
        }
    };
    // Now is 2026-11-28 02:00:43.
    says(
        &found("kube-ovn-gone", lease("kube-ovn-controller-x", "2026-11-28T02:00:20.123456Z")),
        "error lease/kube-ovn-controller: kube-ovn-controller-x holds it and renewed it at 2026-11-28T02:00:20",
    );
    says(
        &found("kube-ovn-gone", lease("kube-ovn-controller-x", "2026-11-28T02:00:12.999999Z")),
        "note lease/kube-ovn-controller: kube-ovn-controller-x held it until",
    );
    says(
        &found("kube-ovn-gone", lease("", "2026-11-28T02:00:20Z")),
        "ok cluster: Deployments, DaemonSets and the Lease",
    );
    says(
        &found("kube-ovn-gone", |f| f.kube_ovn_lease = Err("no rights".to_owned())),
        "note lease/kube-ovn-controller: not checked: no rights",
    );
}
