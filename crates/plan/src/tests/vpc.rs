//! What a Vpc is told of its router, and what becomes of it without one.

use serde_json::{Value, json};
use tombolo_ovsdb::{Datum, Row, Uuid};

use super::small::{ROUTER, Small, body, ready, reasons, status, tables};
use crate::desired::Verb;
use crate::nb::table;
use crate::world::SPEC_KEY;
use crate::{Owner, Plan, Selector};

fn plan(small: &Small, name: &str) -> Plan {
    small.plan(&Owner::vpc(name))
}

/// A Vpc that shows a router of Neutron's, by its label.
fn labeled(small: &mut Small, spec: Value) {
    let labels = json!({ "ovn.kubernetes.io/vpc_external": "true" });
    small.object("Vpc", json!({ "metadata": { "name": ROUTER, "labels": labels }, "spec": spec }));
}

/// A router's row that Neutron wrote.
fn of_neutron(name: &str) -> Row {
    let ids = [("neutron:router_name", "r")];
    Row::new().with("name", Datum::string(name)).with("external_ids", Datum::map_of_strings(ids))
}

#[test]
fn the_status_of_the_default_vpc_says_what_kubectl_shows() {
    let small = Small::cluster();
    let plan = plan(&small, "ovn-cluster");
    let status = status(&plan);
    assert_eq!(
        (&status["default"], &status["standby"], &status["router"], &status["defaultLogicalSwitch"]),
        (&json!(true), &json!(true), &json!("ovn-cluster"), &json!("ovn-default"))
    );
    assert_eq!(status["subnets"], json!(["join", "ovn-default"]));
    assert_eq!(tables(&plan), Some(vec![table::ROUTER]));
}

#[test]
fn the_status_of_a_router_of_neutrons_says_its_subnets_and_networks() {
    let mut small = Small::with_router();
    small.router(&[("neutron-net", "192.168.0.1/24")]);
    let spec = json!({ "vpc": ROUTER, "cidrBlock": "10.0.0.0/24" });
    small.subnet("net2", spec);
    small.stand(&Owner::subnet("net2"));
    for (default, shown) in [("net2", "net2"), ("ovn-default", ""), ("missing", "")] {
        small.vpc(ROUTER, json!({ "defaultSubnet": default }));
        let plan = plan(&small, ROUTER);
        let status = status(&plan);
        // A Subnet of another Vpc is none of this one's to name.
        assert_eq!(status["defaultLogicalSwitch"], shown, "{default}");
        assert_eq!(
            (&status["default"], &status["standby"], &status["router"]),
            (&json!(false), &json!(true), &json!(ROUTER))
        );
        assert_eq!(status["subnets"], json!(["net2", "neutron-net"]));
        assert_eq!(status["neutron"]["name"], "router0");
    }
}

#[test]
fn a_vpc_that_isnt_the_default_one_keeps_no_rows() {
    // What an earlier version, or Kube-OVN, made for it goes; the router of Neutron's itself never does (invariant 3).
    let mut small = Small::with_router();
    assert_eq!(tables(&plan(&small, ROUTER)), Some(vec![]));
    labeled(&mut small, json!({ "namespaces": ["a"] }));
    small.without_router();
    assert_eq!(tables(&plan(&small, ROUTER)), Some(vec![]));
    small.vpc("mine", json!({}));
    assert_eq!(tables(&plan(&small, "mine")), Some(vec![]));
    assert_eq!(tables(&plan(&small, "nobodys")), Some(vec![]));
}

#[test]
fn only_a_vpc_that_showed_a_router_goes_with_it() {
    let mut small = Small::cluster();
    // A user's own, however little it says, is the user's.
    small.vpc("mine", json!({}));
    let own = plan(&small, "mine");
    assert_eq!(reasons(&own), ["NotSupportedYet"]);
    assert_eq!(ready(&own).1, "NotSupportedYet");
    let deletes = |plan: &Plan| plan.last_writes().iter().any(|intent| intent.verb == Verb::Delete);
    assert!(!deletes(&own));
    labeled(&mut small, json!({}));
    assert!(deletes(&plan(&small, ROUTER)));
    // What a user wrote on it is kept, with what was known of the router.
    small.router(&[]);
    labeled(&mut small, json!({ "namespaces": ["a"] }));
    let known = status(&plan(&small, ROUTER));
    small.without_router();
    let labels = json!({ "ovn.kubernetes.io/vpc_external": "true" });
    let spec = json!({ "namespaces": ["a"] });
    small.object(
        "Vpc",
        json!({ "metadata": { "name": ROUTER, "labels": labels }, "spec": spec, "status": known }),
    );
    let lost = plan(&small, ROUTER);
    assert_eq!(reasons(&lost), ["RouterNotFound"]);
    assert!(!deletes(&lost));
    let written = status(&lost);
    assert_eq!(
        (&written["standby"], &written["neutron"]),
        (&json!(false), &Value::Null),
        "only what changed"
    );
}

#[test]
fn a_router_that_no_vpc_can_show_is_told_of_and_no_other() {
    let reasons_of = |name: &'static str, rows: &[Row], set: fn(&mut Small)| {
        let mut small = Small::cluster();
        set(&mut small);
        small.nb((0..)
            .zip(rows)
            .map(|(number, row)| (table::ROUTER, Uuid::from_u128(number), Some(row.clone()))));
        reasons(&plan(&small, name)).join(",")
    };
    let none = |_: &mut Small| ();
    let odd = "neutron-Not_A_Name";
    assert_eq!(reasons_of(odd, &[of_neutron(odd)], none), "RouterNameUnusable");
    assert_eq!(reasons_of(ROUTER, &[of_neutron(ROUTER), of_neutron(ROUTER)], none), "RouterNameAmbiguous");
    assert_eq!(reasons_of(ROUTER, &[], none), "");
    // Somebody else's router is none that a Vpc would show.
    let somebodys = || Row::new().with("name", Datum::string(odd));
    assert_eq!(reasons_of(odd, &[somebodys()], none), "");
    // Neither is one that the operator leaves out.
    let hidden =
        |small: &mut Small| small.world.config_mut().router_selector = Selector::parse("name=other").unwrap();
    assert_eq!(reasons_of(ROUTER, &[of_neutron(ROUTER)], hidden), "");
    let off = |small: &mut Small| small.world.config_mut().external_vpcs = false;
    assert_eq!(reasons_of(odd, &[of_neutron(odd)], off), "");
}

#[test]
fn nodes_get_no_route_to_networks_that_arent_behind_them() {
    // Only what is in OVN, and no network of a VLAN whose gateway is a machine's out there. No version of ours makes any
    // other; a switch says what is in effect.
    let listed = |provider: &str, vlan: &str, logical: bool| {
        let mut small = Small::cluster();
        small.subnet("s", json!({ "cidrBlock": "10.30.0.0/24" }));
        small.stand(&Owner::subnet("s"));
        let switch = small.row(table::SWITCH, &Owner::subnet("s"), "switch");
        small.change(table::SWITCH, switch, |row| {
            let spec = json!({
                "vpc": "ovn-cluster", "cidrBlock": "10.30.0.0/24", "gateway": "10.30.0.1", "provider": provider,
                "vlan": vlan, "logicalGateway": logical,
            });
            let mut ids = row.get("external_ids").unwrap().str_map();
            ids.insert(SPEC_KEY.to_owned(), spec.to_string());
            row.with("external_ids", Datum::map_of_strings(ids))
        });
        let status = status(&plan(&small, "ovn-cluster"));
        let subnets = status["nodeNetworks"]["subnets"].as_array().unwrap();
        subnets.iter().any(|it| it["name"] == "s")
    };
    assert!(listed("ovn", "", false) && listed("ovn", "v", true));
    assert!(!listed("ovn", "v", false) && !listed("macvlan.default", "", false));
}

#[test]
fn as_many_routes_are_named_as_fit_and_the_rest_is_counted() {
    let message = |routes: u128| {
        let mut small = Small::with_router();
        small.subnet("net2", json!({ "vpc": ROUTER, "cidrBlock": "10.0.0.0/24" }));
        small.stand(&Owner::subnet("net2"));
        let uuids = (0..routes).map(|number| Uuid::from_u128(1_000 + number));
        let rows: Vec<_> = uuids
            .clone()
            .map(|uuid| {
                let prefix = format!("10.0.0.{}/32", uuid.as_u128() - 900);
                let row = Row::new().with("ip_prefix", Datum::string(prefix));
                (table::STATIC_ROUTE, uuid, Some(row.with("nexthop", Datum::string("192.168.0.9"))))
            })
            .collect();
        small.nb(rows);
        let (router, _) = crate::world::vpc_kind::served(&small.world, ROUTER).unwrap();
        small.change(table::ROUTER, router, |row| row.with("static_routes", Datum::set_of_uuids(uuids)));
        let plan = small.plan(&Owner::subnet("net2"));
        assert_eq!(reasons(&plan), ["RouteConflict"]);
        plan.problems[0].message.clone()
    };
    assert!(message(3).contains("10.0.0.102/32 via 192.168.0.9)"));
    assert!(message(5).contains("10.0.0.102/32 via 192.168.0.9, and 2 more)"));
}

#[test]
fn a_new_cluster_gets_its_networks_as_the_operator_set_them() {
    let small = Small::empty();
    let plan = small.plan(&Owner::cluster());
    let made =
        |name: &str| body(plan.first_writes().iter().find(|it| it.name == name).unwrap())["spec"].clone();
    let join = made("join");
    assert_eq!((&join["cidrBlock"], &join["gateway"]), (&json!("100.64.0.0/16"), &json!("100.64.0.1")));
    let default = made("ovn-default");
    assert_eq!((&default["cidrBlock"], &default["gateway"]), (&json!("10.16.0.0/16"), &json!("10.16.0.1")));
    assert_eq!(default["excludeIps"], json!(["10.16.0.1..10.16.0.9"]));
    assert_eq!(plan.first_writes().len(), 3);
    // Those that are there are the user's to change.
    assert!(Small::cluster().plan(&Owner::cluster()).first_writes().is_empty());
}
