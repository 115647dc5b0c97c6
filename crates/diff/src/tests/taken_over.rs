//! What is taken over from Kube-OVN, and what isn't.

use tombolo_plan::owner::{CLUSTER_KEY, MAC_KEY, STANDS_FOR_KEY};

use super::*;

const THEIRS: Uuid = Uuid::from_u128(77);

fn kube_ovns(row: Row) -> Row {
    row.with("external_ids", Datum::map_of_strings([("vendor", "kube-ovn"), ("ls", "s")]))
}

fn taken(nb: &Replica, owner: &Owner, rows: &Rows) -> Vec<Op> {
    take_over(nb, &cluster(), owner, rows).map(|group| group.ops).unwrap_or_default()
}

/// The keys that a mutation sets.
fn set(op: &Op) -> BTreeMap<String, String> {
    let Op::Mutate { mutations, .. } = op else { panic!("{op:?}") };
    mutations.iter().flat_map(|it| it.value.str_map()).collect()
}

#[test]
fn a_switch_keeps_its_uuid_and_gets_our_marks_alone() {
    // invariant 2
    let (mut nb, owner) = (replica(), Owner::subnet("s"));
    nb.put(table::SWITCH, THEIRS, Some(kube_ovns(named("s"))));
    let wanted = rows([desired(table::SWITCH, SWITCH, &owner, &[("name", text("s"))])]);
    let group = take_over(&nb, &cluster(), &owner, &wanted).unwrap();
    let [op] = &group.ops[..] else { panic!("{group:?}") };
    assert_eq!(op.target(), Some(THEIRS));
    let keys = set(op);
    assert_eq!(keys[STANDS_FOR_KEY], SWITCH.to_string());
    assert_eq!((keys[CLUSTER_KEY].as_str(), keys[OWNER_KEY].as_str()), ("c1", "subnet/s"));
    assert_eq!((group.deletes, group.preconditions.len()), (0, 1));
    // Nothing is left to take over once it is marked, and the marks stay when rows are compared.
    let mut ids = nb.row(table::SWITCH, &THEIRS).unwrap().get("external_ids").unwrap().str_map();
    ids.extend(keys);
    let ours = named("s").with("external_ids", Datum::map_of_strings(ids));
    nb.put(table::SWITCH, THEIRS, Some(ours));
    let uuid = nb::in_place_of(&nb, &cluster(), table::SWITCH, &owner, SWITCH);
    assert_eq!(uuid, THEIRS);
    let wanted = rows([desired(table::SWITCH, uuid, &owner, &[("name", text("s"))])]);
    assert!(taken(&nb, &owner, &wanted).is_empty());
    let ops = run(&nb, &owner, &wanted).unwrap().ops;
    assert!(!format!("{ops:?}").contains(STANDS_FOR_KEY), "{ops:?}");
    // Another owner's claim to the same uuid counts for nothing.
    assert_eq!(nb::in_place_of(&nb, &cluster(), table::SWITCH, &Owner::subnet("t"), SWITCH), SWITCH);
}

#[test]
fn a_port_is_taken_over_with_its_addresses_or_not_at_all() {
    // invariant 5
    let (mut nb, owner) = (replica(), Owner::pod("a", "p"));
    let addresses = |text: &str| Managed::Whole(Datum::string(text));
    let wanted = |text_: &str| {
        rows([desired(
            table::SWITCH_PORT,
            PORT,
            &owner,
            &[("name", text("p.a")), ("addresses", addresses(text_))],
        )])
    };
    let theirs = |text: &str| kube_ovns(named("p.a")).with("addresses", Datum::string(text));
    nb.put(table::SWITCH_PORT, THEIRS, Some(theirs("00:00:00:00:00:01 10.16.0.7")));
    assert_eq!(taken(&nb, &owner, &wanted("00:00:00:00:00:01 10.16.0.7")).len(), 1);
    // Its name is taken, then.
    let other = wanted("00:00:00:00:00:01 10.16.0.8");
    assert!(taken(&nb, &owner, &other).is_empty());
    assert!(matches!(run(&nb, &owner, &other), Err(Refusal::NameTaken { .. })));
    // A router's port of that name is none of a pod's.
    let router = theirs("00:00:00:00:00:01 10.16.0.7").with("type", Datum::string("router"));
    nb.put(table::SWITCH_PORT, THEIRS, Some(router));
    assert!(taken(&nb, &owner, &wanted("00:00:00:00:00:01 10.16.0.7")).is_empty());
}

#[test]
fn a_router_port_keeps_the_mac_that_pods_know() {
    let (mut nb, owner) = (replica(), Owner::subnet("s"));
    let networks = Managed::Whole(Datum::string("10.16.0.1/16"));
    let wanted = rows([desired(
        table::ROUTER_PORT,
        PORT,
        &owner,
        &[("name", text("r-s")), ("mac", text("00:00:00:AA:AA:AA")), ("networks", networks)],
    )]);
    let theirs = kube_ovns(named("r-s"))
        .with("mac", Datum::string("00:00:00:12:34:56"))
        .with("networks", Datum::string("10.16.0.1/16"));
    nb.put(table::ROUTER_PORT, THEIRS, Some(theirs.clone()));
    let ops = taken(&nb, &owner, &wanted);
    assert_eq!(set(&ops[0])[MAC_KEY], "00:00:00:12:34:56");
    nb.put(table::ROUTER_PORT, THEIRS, Some(theirs.with("networks", Datum::string("10.17.0.1/16"))));
    assert!(taken(&nb, &owner, &wanted).is_empty());
}

#[test]
fn rows_of_others_are_never_taken_over() {
    // invariant 1
    let owner = Owner::subnet("s");
    let wanted = rows([desired(table::SWITCH, SWITCH, &owner, &[("name", text("s"))])]);
    let neutrons = named("s").with("external_ids", Datum::map_of_strings([("neutron:network_name", "s")]));
    let mut ids = ClusterId::new("c2").unwrap().marks(&owner);
    let anothers = named("s").with("external_ids", Datum::map_of_strings(ids.clone()));
    ids.insert(CLUSTER_KEY.to_owned(), "c1".to_owned());
    ids.insert(OWNER_KEY.to_owned(), "subnet/t".to_owned());
    let another_owners = named("s").with("external_ids", Datum::map_of_strings(ids));
    for row in [named("s"), neutrons, anothers, another_owners] {
        let mut nb = replica();
        nb.put(table::SWITCH, THEIRS, Some(row.clone()));
        assert!(taken(&nb, &owner, &wanted).is_empty(), "{row:?}");
    }
    // Of two switches of that name nothing says which.
    let mut nb = replica();
    nb.put(table::SWITCH, THEIRS, Some(kube_ovns(named("s"))));
    nb.put(table::SWITCH, GROUP, Some(kube_ovns(named("s"))));
    assert!(taken(&nb, &owner, &wanted).is_empty());
}

#[test]
fn a_row_of_ours_that_kube_ovn_has_marked_as_its_own_becomes_ours_again() {
    // invariant 2: its uuid proves whose it is
    let (mut nb, owner) = (replica(), Owner::subnet("s"));
    let wanted = rows([desired(table::POLICY, PORT, &owner, &[("match", text("ip4.dst == 10.16.0.0/16"))])]);
    let marks = |pairs: &[(&str, &str)]| {
        Row::new()
            .with("match", Datum::string("ip4.dst == 10.16.0.0/16"))
            .with("external_ids", Datum::map_of_strings(pairs.iter().copied()))
    };
    nb.put(table::POLICY, PORT, Some(marks(&[("vendor", "kube-ovn"), ("subnet", "s")])));
    let ops = taken(&nb, &owner, &wanted);
    let [op] = &ops[..] else { panic!("{ops:?}") };
    assert_eq!(op.target(), Some(PORT));
    assert_eq!(set(op)[STANDS_FOR_KEY], PORT.to_string());
    // Neither is one that another cluster of ours has, nor one of somebody else's.
    for pairs in [&[("vendor", "kube-ovn"), (CLUSTER_KEY, "c2")][..], &[("subnet", "s")]] {
        nb.put(table::POLICY, PORT, Some(marks(pairs)));
        assert!(taken(&nb, &owner, &wanted).is_empty(), "{pairs:?}");
    }
}
