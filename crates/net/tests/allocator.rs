//! The allocator against a plain model: whatever is done, no address has two owners, none is outside
//! or excluded, and what was released can be had again.
#![allow(clippy::unwrap_used)] // A test program; helpers of tests aren't recognized as such.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use proptest::prelude::*;
use tombolo_net::{
    AddrRange, Cidr, Family, Mac, Pool, ReserveError, SubnetPool, SubnetPoolError, addr_bits, bits_addr,
};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn exclude(texts: &[&str]) -> Vec<AddrRange> {
    texts.iter().map(|t| AddrRange::parse_exclude(t).unwrap()).collect()
}

fn net2() -> Pool {
    Pool::new("12.0.1.0/24".parse().unwrap(), Some(ip("12.0.1.1")), exclude(&["12.0.1.1"]))
}

#[test]
fn the_first_pod_of_the_document_gets_its_address() {
    let mut pool = net2();
    assert_eq!(pool.available_ranges(), "12.0.1.2-12.0.1.254");
    assert_eq!(pool.allocate_next("ubuntu.net2"), Some(ip("12.0.1.2")));
    assert_eq!(pool.allocate_next("ubuntu.net2"), Some(ip("12.0.1.2")), "idempotent");
    assert_eq!((pool.available(), pool.using()), (252, 1));
    assert_eq!(
        (pool.available_ranges().as_str(), pool.using_ranges().as_str()),
        ("12.0.1.3-12.0.1.254", "12.0.1.2")
    );
}

#[test]
fn a_released_address_is_not_reused_at_once() {
    let mut pool = net2();
    pool.allocate_next("a");
    assert_eq!(pool.release("a"), Some(ip("12.0.1.2")));
    assert_eq!(pool.allocate_next("b"), Some(ip("12.0.1.3")));
    for n in 0..251 {
        pool.allocate_next(&format!("p{n}")).unwrap();
    }
    assert_eq!(pool.allocate_next("c"), Some(ip("12.0.1.2")), "after a whole round it is");
    assert_eq!(pool.allocate_next("d"), None);
}

#[test]
fn refusals_name_the_reason() {
    let mut pool =
        Pool::new("12.0.1.0/24".parse().unwrap(), Some(ip("12.0.1.1")), exclude(&["12.0.1.1..12.0.1.9"]));
    pool.reserve("a", ip("12.0.1.20")).unwrap();
    pool.reserve("a", ip("12.0.1.20")).unwrap();
    let refused = |pool: &mut Pool, addr| pool.reserve("b", ip(addr)).unwrap_err();
    assert!(
        matches!(refused(&mut pool, "12.0.1.20"), ReserveError::Conflict { holder, .. } if holder == "a")
    );
    assert!(matches!(refused(&mut pool, "12.0.2.1"), ReserveError::OutOfRange { .. }));
    assert!(matches!(refused(&mut pool, "fd00::1"), ReserveError::OutOfRange { .. }));
    assert!(matches!(refused(&mut pool, "12.0.1.0"), ReserveError::NotUsable { .. }));
    assert!(matches!(refused(&mut pool, "12.0.1.255"), ReserveError::NotUsable { .. }));
    assert!(matches!(refused(&mut pool, "12.0.1.1"), ReserveError::Gateway { .. }));
    assert!(matches!(pool.reserve("a", ip("12.0.1.21")), Err(ReserveError::OwnerHasOther { .. })));
    let excluded = ["12.0.1.5", "12.0.1.10", "fd00::5"].map(|it| pool.is_excluded(ip(it)));
    assert_eq!(excluded, [true, false, false]);
    // Static addresses of Kube-OVN's users live in excludeIps.
    pool.reserve("b", ip("12.0.1.5")).unwrap();
    assert_eq!(pool.available(), 254 - 9 - 1);
    pool.release("b");
    assert_eq!(pool.available(), 254 - 9 - 1, "back among the excluded, not among the free");
    assert_eq!(pool.using(), 1);
}

#[test]
fn tiny_networks() {
    let all = |cidr: &str| {
        let mut pool = Pool::new(cidr.parse().unwrap(), None, []);
        std::iter::from_fn(|| pool.allocate_next(&format!("o{}", pool.using())))
            .map(|a| a.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(all("10.0.0.4/32"), ["10.0.0.4"]);
    // OVN doesn't deliver what a host sends that has the last address.
    assert_eq!(all("10.0.0.4/31"), ["10.0.0.4"]);
    assert_eq!(all("10.0.0.4/30"), ["10.0.0.5", "10.0.0.6"]);
    assert_eq!(all("255.255.255.252/30"), ["255.255.255.253", "255.255.255.254"]);
    assert_eq!(all("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffc/126").len(), 2);
}

#[test]
fn changed_exclusions_keep_what_is_in_use() {
    let mut pool = net2();
    pool.allocate_next("a");
    pool.set_excluded(Some(ip("12.0.1.2")), exclude(&["12.0.1.2..12.0.1.253"]));
    assert_eq!(pool.of_owner("a"), Some(ip("12.0.1.2")));
    assert_eq!(pool.reserve("a", ip("12.0.1.2")), Ok(()));
    assert_eq!(pool.available_ranges(), "12.0.1.1,12.0.1.254");
    pool.release("a");
    assert_eq!(pool.available_ranges(), "12.0.1.1,12.0.1.254");
}

#[test]
fn dual_stack_is_all_or_nothing() {
    let cidr = "10.16.0.0/29,fd00::/125".parse().unwrap();
    let mut pool = SubnetPool::new(
        cidr,
        &[ip("10.16.0.1"), ip("fd00::1")],
        &exclude(&["10.16.0.1", "fd00::1..fd00::3"]),
    );
    let a = pool.assign("a", &[], None).unwrap();
    assert_eq!(a.ip_text(), "10.16.0.2,fd00::4");
    assert_eq!(pool.assign("a", &[], None).unwrap(), a);
    // One family is refused: the other one must not stay behind.
    assert!(pool.assign("b", &[ip("10.16.0.5"), ip("fd00::4")], None).is_err());
    assert_eq!((pool.of_owner("b"), pool.holder(ip("10.16.0.5"))), (None, None));
    // A MAC is refused: no address may stay behind.
    assert_eq!(
        pool.assign("b", &[ip("10.16.0.5")], Some(a.mac)),
        Err(SubnetPoolError::MacConflict { mac: a.mac, holder: "a".into() })
    );
    assert_eq!(pool.holder(ip("10.16.0.5")), None);
    let b = pool.assign("b", &[ip("10.16.0.5")], Some("00:00:00:aa:bb:cc".parse().unwrap())).unwrap();
    assert_eq!(b.ip_text(), "10.16.0.5,fd00::5");
    pool.assign("c", &[], None).unwrap();
    assert!(matches!(pool.assign("d", &[], None), Err(SubnetPoolError::NoAvailableAddress { .. })));
    assert_eq!(pool.release("a"), Some(a));
    assert_eq!(pool.assign("d", &[], None).unwrap().ip_text(), "10.16.0.4,fd00::4");
    assert_eq!(pool.mac_holder(a.mac), None);
    assert!(matches!(
        pool.assign("e", &[ip("10.16.0.2"), ip("10.16.0.6")], None),
        Err(SubnetPoolError::TwoOfOneFamily(..))
    ));
}

#[test]
fn a_subnet_tells_who_has_what() {
    let mut pool = SubnetPool::new("12.0.1.0/24".parse().unwrap(), &[ip("12.0.1.1")], &[]);
    let mac = |text: &str| text.parse::<Mac>().unwrap();
    let (router, other) = (mac("00:00:00:00:00:01"), mac("00:00:00:00:00:02"));
    assert_eq!(pool.claim_mac("gateway", router), Ok(()));
    assert_eq!(pool.claim_mac("another", router), Err("gateway".to_owned()));
    assert_eq!(pool.mac_holder(router), Some("gateway"));
    // A MAC alone is no owner.
    assert!(pool.is_empty() && pool.owners().next().is_none() && pool.of_owner("a").is_none());
    let a = pool.assign("a", &[], None).unwrap();
    assert_eq!((a.ip_text().as_str(), pool.of_owner("a")), ("12.0.1.2", Some(a)));
    assert_eq!((pool.holder(ip("12.0.1.2")), pool.mac_holder(a.mac)), (Some("a"), Some("a")));
    // An IPv6 address of the same number is another one.
    assert_eq!((pool.holder(ip("12.0.1.3")), pool.holder(ip("::c00:102"))), (None, None));
    assert!(!pool.is_empty());
    assert_eq!(pool.owners().collect::<Vec<_>>(), ["a"]);
    assert_eq!(pool.assign("a", &[], Some(a.mac)), Ok(a));
    assert_eq!(
        pool.assign("a", &[], Some(other)),
        Err(SubnetPoolError::OwnerHasOtherMac { owner: "a".into(), has: a.mac, mac: other })
    );
    assert!(matches!(
        pool.assign("b", &[ip("fd00::5")], None),
        Err(SubnetPoolError::Reserve(ReserveError::OutOfRange { .. }))
    ));
    assert!(matches!(
        pool.assign_families("b", &[], None, &[Family::V6]),
        Err(SubnetPoolError::NoFamily { .. })
    ));
    pool.set_excluded(&[ip("12.0.1.1")], &exclude(&["12.0.1.3..12.0.1.9"]));
    assert_eq!(pool.assign("b", &[], None).unwrap().ip_text(), "12.0.1.10");
}

#[test]
fn a_family_that_nobody_asked_for_is_left() {
    let both = "10.16.0.0/29,fd00::/125".parse().unwrap();
    let mut pool = SubnetPool::new(both, &[ip("10.16.0.1"), ip("fd00::1")], &[]);
    let a = pool.assign_families("a", &[], None, &[Family::V6]).unwrap();
    assert_eq!((a.v4, a.v6), (None, Some(ip("fd00::2"))));
    // An address that was asked for is given all the same.
    let b = pool.assign_families("b", &[ip("10.16.0.3")], None, &[Family::V6]).unwrap();
    assert_eq!(b.ip_text(), "10.16.0.3,fd00::3");
    // Twice the same one is one.
    assert_eq!(pool.assign("b", &[ip("10.16.0.3"), ip("10.16.0.3")], None), Ok(b));
}

#[derive(Debug, Clone)]
enum Step {
    Next(u8),
    Reserve(u8, u8),
    Release(u8),
    Exclude(u8, u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let owner = || 0u8..12;
    let addr = || 0u8..18;
    prop::collection::vec(
        prop_oneof![
            3 => owner().prop_map(Step::Next),
            2 => (owner(), addr()).prop_map(|(o, a)| Step::Reserve(o, a)),
            2 => owner().prop_map(Step::Release),
            1 => (addr(), addr()).prop_map(|(a, b)| Step::Exclude(a, b)),
        ],
        0..80,
    )
}

fn cidrs() -> impl Strategy<Value = Cidr> {
    prop::sample::select(vec![
        "10.0.0.0/28",
        "255.255.255.240/28",
        "10.0.0.8/29",
        "10.0.0.6/31",
        "fd00::/124",
    ])
    .prop_map(|t| t.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn one_address_one_owner(cidr in cidrs(), steps in steps()) {
        let base = addr_bits(cidr.network());
        let at = |n: u8| bits_addr(cidr.family(), base.saturating_add(u128::from(n)));
        let gateway = cidr.default_gateway();
        let usable = cidr.assignable();
        let mut pool = Pool::new(cidr, Some(gateway), []);
        let mut model: BTreeMap<IpAddr, String> = BTreeMap::new();
        let mut excluded: Option<AddrRange> = None;
        let is_free = |model: &BTreeMap<IpAddr, String>, ex: Option<AddrRange>, a: IpAddr| {
            usable.contains(a) && a != gateway && !model.contains_key(&a) && !ex.is_some_and(|e| e.contains(a))
        };
        for step in steps {
            match step {
                Step::Next(o) => {
                    let owner = format!("o{o}");
                    let had = model.iter().find(|(_, h)| **h == owner).map(|(a, _)| *a);
                    let free: BTreeSet<IpAddr> = (0..18).map(at).filter(|a| is_free(&model, excluded, *a)).collect();
                    let got = pool.allocate_next(&owner);
                    match (had, got) {
                        (Some(had), got) => prop_assert_eq!(got, Some(had)),
                        (None, Some(got)) => {
                            prop_assert!(free.contains(&got), "{} is not free", got);
                            model.insert(got, owner);
                        }
                        (None, None) => prop_assert!(free.is_empty(), "refused although {:?} are free", free),
                    }
                }
                Step::Reserve(o, n) => {
                    let (owner, addr) = (format!("o{o}"), at(n));
                    let same = model.get(&addr) == Some(&owner);
                    let allowed = same || (usable.contains(addr) && addr != gateway
                        && !model.contains_key(&addr) && !model.values().any(|h| *h == owner));
                    prop_assert_eq!(pool.reserve(&owner, addr).is_ok(), allowed);
                    if allowed { model.insert(addr, owner); }
                }
                Step::Release(o) => {
                    let owner = format!("o{o}");
                    let had = model.iter().find(|(_, h)| **h == owner).map(|(a, _)| *a);
                    prop_assert_eq!(pool.release(&owner), had);
                    if let Some(had) = had { model.remove(&had); }
                }
                Step::Exclude(a, b) => {
                    excluded = AddrRange::new(at(a.min(b)), at(a.max(b)));
                    pool.set_excluded(Some(gateway), excluded);
                }
            }
            let held: BTreeMap<IpAddr, String> = pool.iter().map(|(a, o)| (a, o.to_owned())).collect();
            prop_assert_eq!(&held, &model);
            let free: u128 = (0..18).map(at).collect::<BTreeSet<_>>().into_iter()
                .filter(|a| is_free(&model, excluded, *a)).count() as u128;
            prop_assert_eq!(pool.available(), free);
            prop_assert_eq!(pool.using(), model.len() as u128);
            // Nothing is lost: free + in use + unused excluded + unused gateway are all usable addresses.
            let rest = (0..18).map(at).collect::<BTreeSet<_>>().into_iter()
                .filter(|a| usable.contains(*a) && !model.contains_key(a) && !is_free(&model, excluded, *a)).count() as u128;
            prop_assert_eq!(pool.available() + pool.using() + rest, usable.size());
        }
    }
}
