//! Who has which address, and what a pod that asks for one is told (invariant 5).

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use tombolo_net::Family;
use tombolo_ovsdb::{Datum, Row, Uuid};

use super::small::{ROUTER, Small, reasons};
use crate::nb::table;
use crate::world::{Dirty, IpEntry, SPEC_KEY};
use crate::{AddressRequest, Owner};

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The default cluster with one more Subnet in the default Vpc, and one of both families.
pub(super) fn cluster() -> Small {
    let mut small = Small::cluster();
    for (name, cidr) in [("s", "10.30.0.0/24"), ("dual", "10.50.0.0/24,fd50::/64")] {
        small.subnet(name, json!({ "cidrBlock": cidr }));
        small.stand(&Owner::subnet(name));
    }
    small.namespace("a", json!({}));
    small
}

fn request(ip_name: &str, subnets: &[&str], addresses: &[&str]) -> AddressRequest {
    AddressRequest {
        ip_name: ip_name.to_owned(),
        subnets: subnets.iter().map(|name| (*name).to_owned()).collect(),
        addresses: addresses.iter().map(|text| addr(text)).collect(),
        families: vec![Family::V4, Family::V6],
        ..AddressRequest::default()
    }
}

pub(super) fn holder<'a>(small: &'a Small, subnet: &str, address: &str) -> Option<&'a str> {
    small.world.pool(subnet).unwrap().holder(addr(address))
}

fn freed(dirty: &Dirty) -> Vec<String> {
    dirty.freed.iter().map(|(_, addresses)| addresses.ip_text()).collect()
}

pub(super) fn p() -> Owner {
    Owner::pod("a", "p")
}

/// The pod `a/p` runs with 10.16.0.20, which its port bears.
fn running() -> Small {
    let mut small = cluster();
    small.ip("a", "p", "ovn-default", "10.16.0.20");
    small.pod("a", "p", json!({}));
    small.stand(&p());
    small
}

#[test]
fn of_several_subnets_the_address_asked_for_decides() {
    let mut small = cluster();
    let mut chosen = |ip: &str, subnets: &[&str], addresses: &[&str]| {
        let got = small.world.allocate(&request(ip, subnets, addresses));
        got.map(|(subnet, _)| subnet).map_err(|no| no.tried.into_iter().map(|it| it.0).collect::<Vec<_>>())
    };
    let both = ["ovn-default", "s"];
    assert_eq!(chosen("p1.a", &both, &[]), Ok("ovn-default".to_owned()));
    assert_eq!(chosen("p2.a", &both, &["10.30.0.9"]), Ok("s".to_owned()));
    assert_eq!(chosen("p3.a", &both, &["10.16.0.99"]), Ok("ovn-default".to_owned()));
    // One that can't contain it has no say in why there is none.
    assert_eq!(chosen("p4.a", &both, &["10.30.0.9"]), Err(vec!["s".to_owned()]));
    // The only one has.
    assert_eq!(chosen("p4.a", &["ovn-default"], &["10.30.0.8"]), Err(vec!["ovn-default".to_owned()]));
}

#[test]
fn what_a_port_bears_is_taken_until_the_port_goes() {
    let mut small = running();
    small.gone("IP", "p.a");
    assert_eq!(holder(&small, "ovn-default", "10.16.0.20"), Some("p.a"));
    small.gone("Pod", "a/p");
    let dirty = small.stand(&p());
    assert_eq!(holder(&small, "ovn-default", "10.16.0.20"), None);
    assert_eq!(freed(&dirty), ["10.16.0.20"]);
}

#[test]
fn an_address_that_was_chosen_again_stays_chosen_when_the_old_port_goes() {
    let mut small = running();
    small.gone("IP", "p.a");
    let (_, addresses) = small.world.allocate(&request("p.a", &["ovn-default"], &[])).unwrap();
    assert_eq!(addresses.ip_text(), "10.16.0.20");
    small.gone("Pod", "a/p");
    assert!(freed(&small.stand(&p())).is_empty());
    assert_eq!(holder(&small, "ovn-default", "10.16.0.20"), Some("p.a"));
}

#[test]
fn a_choice_that_came_to_nothing_is_free_but_for_what_a_port_bears() {
    let mut small = running();
    small.gone("IP", "p.a");
    let mut dirty = Dirty::default();
    // In the Subnet of the port: it bears the very address.
    small.world.allocate(&request("p.a", &["ovn-default"], &[])).unwrap();
    small.world.release(&p(), "ovn-default", "p.a", &mut dirty);
    assert_eq!(holder(&small, "ovn-default", "10.16.0.20"), Some("p.a"));
    // In another one: the port bears nothing there.
    small.world.allocate(&request("p.a", &["s"], &["10.30.0.9"])).unwrap();
    small.world.release(&p(), "s", "p.a", &mut dirty);
    assert_eq!(freed(&dirty), ["10.30.0.9"]);
    assert_eq!(holder(&small, "s", "10.30.0.9"), None);
    assert_eq!(holder(&small, "ovn-default", "10.16.0.20"), Some("p.a"));
    small.gone("Pod", "a/p");
    assert_eq!(freed(&small.stand(&p())), ["10.16.0.20"]);
}

#[test]
fn an_ip_object_that_comes_back_takes_over_what_its_port_bears() {
    let mut small = running();
    small.gone("IP", "p.a");
    assert!(freed(&small.ip("a", "p", "ovn-default", "10.16.0.20")).is_empty());
    small.gone("IP", "p.a");
    // In another Subnet it holds nothing of the first any more.
    assert_eq!(freed(&small.ip("a", "p", "s", "10.30.0.20")), ["10.16.0.20"]);
}

#[test]
fn ports_without_an_ip_object_keep_their_addresses_through_a_restart() {
    let running = running();
    let rows = |small: &Small, strip: bool| -> Vec<_> {
        let all = crate::nb::OWNED
            .into_iter()
            .flat_map(|table| small.world.nb().rows(table).map(move |it| (table, it)));
        all.map(|(table, (uuid, row))| {
            let mut row = Row::clone(row);
            if strip && table == table::SWITCH {
                let mut ids = row.get("external_ids").unwrap().str_map();
                ids.remove(SPEC_KEY);
                row.set("external_ids", Datum::map_of_strings(ids));
            }
            (table, uuid, Some(row))
        })
        .collect()
    };
    let mut anew = Small::empty();
    anew.nb(rows(&running, false));
    assert_eq!(holder(&anew, "ovn-default", "10.16.0.20"), Some("p.a"));
    // A router's port on a switch takes none.
    let using = |name: &str| anew.world.pool(name).unwrap().owners().count();
    assert_eq!((using("ovn-default"), using("join"), using("s")), (1, 0, 0));
    // Switches of an earlier version don't say their network: it is known only when the Subnets are, after the ports.
    let mut anew = Small::empty();
    anew.nb(rows(&running, true));
    anew.vpc("ovn-cluster", json!({}));
    anew.subnet("ovn-default", json!({ "cidrBlock": "10.16.0.0/16" }));
    anew.world.adopt_ports();
    assert_eq!(holder(&anew, "ovn-default", "10.16.0.20"), Some("p.a"));
    // What another cluster calls by the same name frees nothing of ours.
    let theirs = Row::new().with("name", Datum::string("p.a"));
    anew.nb([(table::SWITCH_PORT, Uuid::from_u128(9), Some(theirs))]);
    assert!(freed(&anew.nb([(table::SWITCH_PORT, Uuid::from_u128(9), None)])).is_empty());
}

#[test]
fn an_ip_object_says_better_than_what_was_in_mind_for_it() {
    let mut small = cluster();
    let (_, chosen) = small.world.allocate(&request("p.a", &["ovn-default"], &["10.16.0.30"])).unwrap();
    let ip = |mac: &str, address: &str| {
        let spec = json!({
            "podName": "p", "namespace": "a", "subnet": "ovn-default", "ipAddress": address, "macAddress": mac,
        });
        json!({ "metadata": { "name": "p.a", "annotations": { "tombolo.io/epoch": "1" } }, "spec": spec })
    };
    // Another address: whoever waits for the first is told that it is free.
    assert_eq!(freed(&small.object("IP", ip(&chosen.mac.to_kube_ovn(), "10.16.0.31"))), ["10.16.0.30"]);
    // Another MAC is no contradiction to itself.
    small.object("IP", ip("02:00:00:00:00:77", "10.16.0.31"));
    assert_eq!(small.world.contested("p.a"), None);
}

#[test]
fn who_bears_an_address_by_mistake_gets_it_when_its_holder_goes() {
    let mut small = cluster();
    small.pod("a", "p2", json!({}));
    small.ip("a", "p1", "ovn-default", "10.16.0.30");
    small.ip("a", "p2", "ovn-default", "10.16.0.30");
    assert!(small.world.contested("p2.a").is_some());
    assert_eq!(reasons(&small.plan(&Owner::pod("a", "p2"))), ["AcquireAddressFailed"]);
    let dirty = small.gone("IP", "p1.a");
    assert_eq!(small.world.contested("p2.a"), None);
    assert!(dirty.now.contains(&Owner::pod("a", "p2")));
}

#[test]
fn a_pods_rows_wait_while_the_port_of_another_bears_its_address() {
    let mut small = running();
    // The other one's object was edited, and its port is yet to follow.
    small.ip("a", "p", "ovn-default", "10.16.0.21");
    small.ip("a", "p2", "ovn-default", "10.16.0.20");
    small.pod("a", "p2", json!({}));
    let plan = small.plan(&Owner::pod("a", "p2"));
    assert_eq!((plan.rows(), plan.waits_for.clone()), (None, Some(p())));
    assert_eq!(reasons(&plan), ["AcquireAddressFailed"]);
    small.stand(&p());
    assert!(small.plan(&Owner::pod("a", "p2")).rows().is_some());
}

#[test]
fn only_the_name_of_a_port_makes_an_ip_object_its_owners() {
    let owner = |name: &str, spec: Value| {
        let object = json!({
            "apiVersion": "kubeovn.io/v1", "kind": "IP", "metadata": { "name": name }, "spec": spec,
        });
        IpEntry::read(serde_json::from_value(object).unwrap()).owner
    };
    assert_eq!(owner("node-n", json!({ "nodeName": "n" })), Owner::node("n"));
    assert_eq!(owner("mine", json!({ "nodeName": "n" })), Owner::ip("mine"));
    assert_eq!(owner("node-", json!({})), Owner::ip("node-"));
    assert_eq!(owner("p.a", json!({ "podName": "p", "namespace": "a", "nodeName": "n" })), p());
}

#[test]
fn what_a_pod_waits_for_is_what_may_help() {
    let mut small = cluster();
    small.ip("a", "other", "ovn-default", "10.16.0.30");
    let mut plan = |key: &str, value: &str| {
        small.pod("a", "p", json!({ format!("ovn.kubernetes.io/{key}"): value }));
        small.plan(&p())
    };
    let default = || Some(Owner::subnet("ovn-default"));
    // A network that grows helps.
    let outside = plan("ip_address", "10.99.0.9");
    assert_eq!((reasons(&outside), outside.waits_for.clone()), (vec!["AcquireAddressFailed"], default()));
    let outside = plan("ip_pool", "10.99.0.9,10.99.0.10");
    assert_eq!((reasons(&outside), outside.waits_for.clone()), (vec!["NoAvailableAddress"], default()));
    assert_eq!(outside.waits_for_address, None);
    // A holder that goes helps.
    let taken = plan("ip_pool", "10.16.0.30");
    assert_eq!((reasons(&taken), taken.waits_for.clone()), (vec!["NoAvailableAddress"], None));
    assert_eq!(taken.waits_for_address.unwrap().addresses, [addr("10.16.0.30")]);
}

#[test]
fn a_long_ip_pool_is_told_in_a_few_words() {
    let mut small = cluster();
    let mut message = |entries: u8| {
        let pool: Vec<String> = (1..=entries).map(|last| format!("10.99.0.{last}")).collect();
        small.pod("a", "p", json!({ "ovn.kubernetes.io/ip_pool": pool.join(",") }));
        small.plan(&p()).problems[0].message.clone()
    };
    let four = message(4);
    assert!(four.contains("10.99.0.4 is") && !four.contains("entries in all"), "{four}");
    for many in [5, 9] {
        let text = message(many);
        assert!(text.contains("10.99.0.4 is") && !text.contains("10.99.0.5 is"), "{text}");
        assert!(text.contains(&format!("{many} entries in all")), "{text}");
    }
}

#[test]
fn a_name_as_long_as_an_ip_object_can_have_is_served() {
    let mut small = cluster();
    for (length, served) in [(251, true), (252, false)] {
        let name = "x".repeat(length);
        small.pod("a", &name, json!({}));
        let plan = small.plan(&Owner::pod("a", &name));
        assert_eq!((plan.address().is_some(), reasons(&plan).is_empty()), (served, served), "{length}");
    }
}

#[test]
fn a_port_is_bound_to_one_chassis_and_never_to_several() {
    for (chassis, bound) in [("c1", Some("c1")), ("c1,c2", None), ("c1 c2", None), ("", None)] {
        let mut small = running();
        let annotations = json!({ "ovn.kubernetes.io/chassis": chassis });
        small.object("Node", json!({ "metadata": { "name": "n", "annotations": annotations } }));
        small.stand(&p());
        let port = small.row(table::SWITCH_PORT, &p(), "port");
        let row: &Arc<Row> = small.world.nb().row(table::SWITCH_PORT, &port).unwrap();
        assert_eq!(row.key("options", "requested-chassis"), bound, "{chassis:?}");
    }
}

#[test]
fn probes_and_host_ports_are_told_of_where_no_node_has_a_route() {
    let mut small = Small::with_router();
    small.subnet("net2", json!({ "vpc": ROUTER, "cidrBlock": "10.0.0.0/24", "namespaces": ["a"] }));
    small.stand(&Owner::subnet("net2"));
    let mut told = |subnet: &str, address: &str, container: Value| {
        small.ip("a", "p", subnet, address);
        let meta = json!({ "name": "p", "namespace": "a" });
        small.object(
            "Pod",
            json!({ "metadata": meta, "spec": { "nodeName": "n", "containers": [container] } }),
        );
        reasons(&small.plan(&p())).join(",")
    };
    let probe = json!({ "livenessProbe": { "tcpSocket": { "port": 80 } } });
    let port = json!({ "ports": [{ "hostPort": 80 }] });
    let both = json!({ "livenessProbe": probe["livenessProbe"], "ports": port["ports"] });
    assert_eq!(told("net2", "10.0.0.9", json!({})), "");
    assert_eq!(told("net2", "10.0.0.9", probe), "ProbesNotServed");
    assert_eq!(told("net2", "10.0.0.9", port), "HostPortNotServed");
    assert_eq!(told("net2", "10.0.0.9", both.clone()), "ProbesNotServed,HostPortNotServed");
    // Nodes have routes to the default Vpc.
    assert_eq!(told("ovn-default", "10.16.0.9", both), "");
    let place = |subnets: &str| crate::unserved::unreachable(&small.world, subnets);
    assert_eq!(place("ovn-default"), None);
    assert_eq!(place("ovn-default, net2").as_deref(), Some("Subnet net2 behind Neutron's router neutron-r"));
}
