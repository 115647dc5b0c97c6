//! Rows as releases 21 to 29 write them, and rows that only look like that.

use tombolo_ovsdb::{ChangeSet, Datum, Name, Replica, Row, Schema, Uuid, Wanted};

use super::*;

const ALL: [Name; 4] = [table::ROUTER, table::ROUTER_PORT, table::SWITCH, table::STATIC_ROUTE];

fn replica() -> Replica {
    let schema = Schema::parse(tombolo_ovn::nb::SCHEMA).unwrap();
    let wanted = ALL.iter().fold(Wanted::new(), |wanted, table| wanted.table_all(table));
    Replica::new(&wanted.intersect(&schema), INDEXES)
}

fn ids<const N: usize>(pairs: [(&str, &str); N]) -> Datum {
    Datum::map_of_strings(pairs)
}

/// Puts a row and notes the change.
fn put(nb: &mut Replica, changes: &mut ChangeSet, table: Name, number: u128, row: Option<Row>) {
    let uuid = Uuid::from_u128(number);
    let old = nb.put(table, uuid, row);
    changes.record(table, uuid, old, nb.row(table, &uuid).cloned());
}

fn router_row<const N: usize>(name: &str, ports: [u128; N], more: &[(&str, &str)]) -> Row {
    let keys = [("neutron:router_name", "router0")].into_iter().chain(more.iter().copied());
    Row::new()
        .with("name", Datum::string(name))
        .with("ports", Datum::set_of_uuids(ports.map(Uuid::from_u128)))
        .with("external_ids", Datum::map_of_strings(keys))
}

fn port_row(name: &str, network: &str, address: &str, more: &[(&str, &str)]) -> Row {
    let keys = [("neutron:network_name", network)].into_iter().chain(more.iter().copied());
    Row::new()
        .with("name", Datum::string(name))
        .with("networks", Datum::set_of_strings([address]))
        .with("external_ids", Datum::map_of_strings(keys))
}

fn switch_row(name: &str, display: &str, mtu: &str) -> Row {
    Row::new()
        .with("name", Datum::string(name))
        .with("external_ids", ids([("neutron:network_name", display), ("neutron:mtu", mtu)]))
}

/// A router with a tenant network and an external one, in the words of an old release and of a new one.
fn world(router_keys: &[(&str, &str)], port_keys: &[(&str, &str)]) -> Replica {
    let (mut nb, mut changes) = (replica(), ChangeSet::default());
    put(&mut nb, &mut changes, table::SWITCH, 1, Some(switch_row("neutron-n", "provider", "1442")));
    put(&mut nb, &mut changes, table::SWITCH, 2, Some(switch_row("neutron-x", "public", "1300")));
    put(
        &mut nb,
        &mut changes,
        table::ROUTER_PORT,
        11,
        Some(port_row("lrp-a", "neutron-n", "192.168.1.1/24", &[])),
    );
    put(
        &mut nb,
        &mut changes,
        table::ROUTER_PORT,
        12,
        Some(port_row("lrp-g", "neutron-x", "203.0.113.7/24", port_keys)),
    );
    let ours = Row::new()
        .with("name", Datum::string("neutron-r-net2"))
        .with("networks", Datum::set_of_strings(["12.0.1.1/24"]));
    put(&mut nb, &mut changes, table::ROUTER_PORT, 13, Some(ours));
    put(&mut nb, &mut changes, table::ROUTER, 21, Some(router_row("neutron-r", [11, 12, 13], router_keys)));
    nb
}

/// The router of this name, and the MTU there.
fn router(nb: &Replica, name: &str) -> Option<(Router, Option<u32>)> {
    let (uuid, row) = router_named(nb, name)?;
    let router = read_router(nb, uuid, row);
    let mtu = router_mtu(nb, row, router.ports.iter().map(|port| port.uuid));
    Some((router, mtu))
}

#[test]
fn a_router_is_read_in_the_words_of_each_release() {
    for nb in [world(&[("neutron:gw_port_id", "g")], &[]), world(&[], &[("neutron:is_ext_gw", "True")])] {
        let (router, mtu) = router(&nb, "neutron-r").unwrap();
        assert_eq!((router.display_name.as_str(), router.enabled), ("router0", true));
        let read: Vec<_> =
            router.ports.iter().map(|port| (port.name.as_str(), port.gateway, port.of_neutron)).collect();
        assert_eq!(read, [("lrp-a", false, true), ("lrp-g", true, true), ("neutron-r-net2", false, false)]);
        assert_eq!(router.networks(), ["neutron-n", "neutron-x"]);
        let cidrs: Vec<String> =
            router.ports.iter().flat_map(RouterPort::cidrs).map(|cidr| cidr.to_string()).collect();
        assert_eq!(cidrs, ["192.168.1.0/24", "203.0.113.0/24", "12.0.1.0/24"]);
        // The external network's MTU doesn't count.
        assert_eq!(mtu, Some(1442));
        assert_eq!(network_display_name(&nb, "neutron-x").as_deref(), Some("public"));
    }
}

#[test]
fn what_only_looks_like_neutrons_is_not() {
    let (mut nb, mut changes) = (replica(), ChangeSet::default());
    let unmarked = Row::new().with("name", Datum::string("neutron-u"));
    put(&mut nb, &mut changes, table::ROUTER, 1, Some(unmarked));
    put(&mut nb, &mut changes, table::ROUTER, 2, Some(router_row("somebody", [], &[])));
    put(&mut nb, &mut changes, table::ROUTER, 3, Some(router_row("neutron-twice", [], &[])));
    put(&mut nb, &mut changes, table::ROUTER, 4, Some(router_row("neutron-twice", [], &[])));
    for name in ["neutron-u", "somebody", "neutron-twice", "missing"] {
        assert_eq!(router(&nb, name), None, "{name}");
    }
    assert_eq!((routers_named(&nb, "neutron-twice"), routers_named(&nb, "missing")), (2, 0));
}

#[test]
fn half_written_rows_are_read_as_far_as_they_go() {
    let (mut nb, mut changes) = (replica(), ChangeSet::default());
    put(&mut nb, &mut changes, table::SWITCH, 1, Some(switch_row("neutron-n", "", "many")));
    put(&mut nb, &mut changes, table::ROUTER_PORT, 11, Some(port_row("lrp-a", "neutron-n", "nonsense", &[])));
    // One port isn't in the replica.
    put(&mut nb, &mut changes, table::ROUTER, 21, Some(router_row("neutron-r", [11, 99], &[])));
    let (router, mtu) = router(&nb, "neutron-r").unwrap();
    assert_eq!(router.ports.len(), 1);
    assert!(router.ports[0].networks.is_empty());
    assert_eq!(mtu, None);
}

#[test]
fn an_mtu_out_of_range_is_none() {
    for (text, read) in
        [("576", Some(576)), ("575", None), ("65535", Some(65_535)), ("65536", None), ("-1", None)]
    {
        let (mut nb, mut changes) = (replica(), ChangeSet::default());
        put(&mut nb, &mut changes, table::SWITCH, 1, Some(switch_row("neutron-n", "n", text)));
        assert_eq!(network_mtu(&nb, "neutron-n"), read, "{text}");
    }
}

#[test]
fn what_concerns_a_router_touches_it() {
    let mut nb = world(&[], &[]);
    let touched = |nb: &mut Replica, table: Name, number: u128, row: Option<Row>| {
        let mut changes = ChangeSet::default();
        put(nb, &mut changes, table, number, row);
        routers_touched(nb, &changes)
    };
    assert_eq!(
        touched(&mut nb, table::ROUTER_PORT, 11, Some(port_row("lrp-a", "neutron-n", "192.168.9.1/24", &[]))),
        ["neutron-r"]
    );
    assert_eq!(
        touched(&mut nb, table::SWITCH, 1, Some(switch_row("neutron-n", "renamed", "1442"))),
        ["neutron-r"]
    );
    // Ports that come and go on a network and policies say nothing that is read here.
    let busy = switch_row("neutron-n", "renamed", "1442").with("ports", Datum::uuid(Uuid::from_u128(77)));
    assert!(touched(&mut nb, table::SWITCH, 1, Some(busy)).is_empty());
    let routed =
        router_row("neutron-r", [11, 12, 13], &[]).with("static_routes", Datum::uuid(Uuid::from_u128(78)));
    assert_eq!(touched(&mut nb, table::ROUTER, 21, Some(routed.clone())), ["neutron-r"]);
    let policed = routed.with("policies", Datum::uuid(Uuid::from_u128(79)));
    assert!(touched(&mut nb, table::ROUTER, 21, Some(policed)).is_empty());
    // A route that changes in place.
    let route = Row::new().with("ip_prefix", Datum::string("12.0.1.0/25"));
    assert_eq!(touched(&mut nb, table::STATIC_ROUTE, 78, Some(route)), ["neutron-r"]);
    assert_eq!(
        touched(&mut nb, table::ROUTER, 21, Some(router_row("neutron-s", [11], &[]))),
        ["neutron-r", "neutron-s"]
    );
    assert_eq!(touched(&mut nb, table::ROUTER, 21, None), ["neutron-s"]);
    // A network on no router concerns no router.
    assert!(touched(&mut nb, table::SWITCH, 3, Some(switch_row("neutron-y", "y", "1400"))).is_empty());
}
