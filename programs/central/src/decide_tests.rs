use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use proptest::prelude::*;
use tombolo_ovsdb::Uuid;

use crate::decide::{File, Known, Me, Next, Report, check_members, next, place};

fn ip(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

fn raft(n: u8) -> String {
    format!("tcp:10.0.0.{n}:6643")
}

fn me(n: u8, count: u8) -> Me {
    Me { address: ip(n), place: place(&raft(n)).into_owned(), members: (1..=count).map(ip).collect() }
}

fn known(cluster: Option<u128>, reports: &[(u8, Report)]) -> Known {
    Known {
        cluster: cluster.map(Uuid::from_u128),
        answers: false,
        tls: false,
        reports: reports.iter().map(|(n, report)| (ip(*n), *report)).collect(),
    }
}

fn clustered(cluster: u128, n: u8) -> File {
    File::Clustered {
        cluster: Some(Uuid::from_u128(cluster)),
        server: Uuid::from_u128(n.into()),
        address: raft(n),
    }
}

use Report::{Empty, Has};

#[test]
fn a_first_member_that_is_empty_never_founds_a_second_cluster() {
    // The others are down, or the registry was lost: silence isn't emptiness.
    assert!(matches!(next(&me(1, 3), &File::Missing, &known(None, &[])), Next::Wait(_)));
    assert!(matches!(next(&me(1, 3), &File::Missing, &known(None, &[(2, Empty)])), Next::Wait(_)));
    assert!(matches!(next(&me(1, 3), &File::Missing, &known(None, &[(2, Empty), (3, Has)])), Next::Wait(_)));
    let joins = Next::Join { cluster: Uuid::from_u128(7), others: vec![ip(2), ip(3)] };
    assert_eq!(next(&me(1, 3), &File::Missing, &known(Some(7), &[(2, Empty), (3, Empty)])), joins);
    assert_eq!(next(&me(1, 3), &File::Missing, &known(Some(7), &[])), joins);
}

#[test]
fn the_first_one_founds_when_all_are_empty_and_the_others_wait_for_it() {
    let empty = known(None, &[(1, Empty), (2, Empty), (3, Empty)]);
    assert_eq!(next(&me(1, 3), &File::Missing, &empty), Next::Create { from_standalone: false });
    assert!(matches!(next(&me(2, 3), &File::Missing, &empty), Next::Wait(_)));
    assert_eq!(next(&me(1, 1), &File::Missing, &known(None, &[])), Next::Create { from_standalone: false });
    // A backup decides who founds, whichever member has it.
    let backup = known(None, &[(1, Empty), (2, Has), (3, Empty)]);
    assert_eq!(next(&me(2, 3), &File::Standalone, &backup), Next::Create { from_standalone: true });
    assert!(matches!(next(&me(1, 3), &File::Missing, &backup), Next::Wait(_)));
    let two = known(None, &[(1, Has), (2, Has), (3, Empty)]);
    assert!(matches!(next(&me(2, 3), &File::Standalone, &two), Next::Refuse(_)));
}

#[test]
fn a_file_that_fits_is_started_and_one_that_may_be_the_only_copy_stays() {
    let alone = known(None, &[]);
    assert_eq!(next(&me(1, 3), &clustered(7, 1), &known(Some(7), &[])), Next::Start { claim: None });
    // TLS is switched on or off for the clients: the members keep the method by which the cluster was founded.
    let File::Clustered { cluster, server, address } = clustered(7, 1) else { panic!() };
    let other = File::Clustered { cluster, server, address: address.replace("tcp:", "ssl:") };
    assert_eq!(next(&me(1, 3), &other, &known(Some(7), &[])), Next::Start { claim: None });
    // The registry was lost: a member that has the cluster writes it down again.
    assert_eq!(next(&me(1, 3), &clustered(7, 1), &alone), Next::Start { claim: Some(Uuid::from_u128(7)) });
    for (file, known, word) in [
        (clustered(8, 1), known(Some(7), &[]), "only you can know"),
        (File::Standalone, known(Some(7), &[]), "restore a backup"),
        (File::Unreadable("not a database".into()), alone.clone(), "not a database"),
        (clustered(7, 2), alone.clone(), "keeps its address"),
    ] {
        let Next::Refuse(why) = next(&me(1, 3), &file, &known) else { panic!("{file:?}") };
        assert!(why.contains(word), "{why}");
    }
    // Where another member answers that it has all of it, it is put aside; that one is named, or has a file, is no answer.
    for file in [File::Unreadable("not a database".into()), clustered(7, 2)] {
        let silent = known(Some(7), &[(2, Has), (3, Has)]);
        let Next::Wait(why) = next(&me(1, 3), &file, &silent) else { panic!("{file:?}") };
        assert!(why.contains("stays in its place"), "{why}");
        let answers = Known { answers: true, ..silent };
        assert!(matches!(next(&me(1, 3), &file, &answers), Next::Archive(_)), "{file:?}");
        assert!(matches!(next(&me(1, 1), &file, &known(Some(7), &[])), Next::Refuse(_)), "{file:?}");
    }
    let Next::Refuse(why) = next(&me(1, 1), &File::Missing, &known(Some(7), &[])) else { panic!() };
    assert!(why.contains("put a backup in its place"), "{why}");
}

#[test]
fn members_are_an_odd_number_with_this_one_among_them() {
    let list = |all: &[u8]| all.iter().copied().map(ip).collect::<Vec<_>>();
    assert!(check_members(ip(1), &list(&[1])).is_ok() && check_members(ip(2), &list(&[1, 2, 3])).is_ok());
    assert!(check_members(ip(4), &list(&[1, 2, 3])).unwrap_err().contains("isn't among"));
    assert!(check_members(ip(1), &list(&[1, 2])).unwrap_err().contains("1, 3 or 5"));
    assert!(check_members(ip(1), &list(&[1, 1, 2])).unwrap_err().contains("twice"));
    assert!(check_members(ip(1), &list(&[1, 2, 3, 4, 5, 6, 7])).unwrap_err().contains("slow"));
}

/// What happens to a site.
#[derive(Debug, Clone)]
enum Event {
    /// A member looks, decides, and does it.
    Turn(u8),
    /// A member reads what is known, and decides by that later.
    Look(u8),
    /// Its disk is replaced.
    Wipe(u8),
    /// The ConfigMap is deleted.
    Forget,
    /// Two hosts' disks are exchanged.
    Swap(u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (1..=3u8).prop_map(Event::Turn),
        2 => (1..=3u8).prop_map(Event::Look),
        1 => (1..=3u8).prop_map(Event::Wipe),
        1 => Just(Event::Forget),
        1 => (1..=2u8).prop_map(Event::Swap),
    ]
}

fn cluster(file: &File) -> Option<Uuid> {
    match file {
        File::Clustered { cluster, .. } => *cluster,
        _ => None,
    }
}

#[derive(Default)]
struct Site {
    files: BTreeMap<u8, File>,
    registry: Known,
    looked: BTreeMap<u8, Known>,
    /// Members whose file is to join: they have no data until another member gives it to them.
    joining: BTreeSet<u8>,
    founded: u128,
}

impl Site {
    fn file(&self, n: u8) -> File {
        self.files.get(&n).cloned().unwrap_or(File::Missing)
    }

    fn turn(&mut self, n: u8) {
        let file = self.file(n);
        let has_it = |(other, its): (&u8, &File)| {
            *other != n && cluster(its) == cluster(&file) && !self.joining.contains(other)
        };
        if file != File::Missing && self.files.iter().any(has_it) {
            self.joining.remove(&n);
        }
        let report = if file == File::Missing { Empty } else { Has };
        self.registry.reports.insert(ip(n), report);
        let mut seen = self.looked.remove(&n).unwrap_or_else(|| self.registry.clone());
        // Asked for when it matters: a member whose file is its own serves what it has.
        seen.answers = (1..=3)
            .any(|other| other != n && self.serves(other) && cluster(&self.file(other)) == seen.cluster);
        match next(&me(n, 3), &file, &seen) {
            // The registry takes a cluster only while it has none.
            Next::Start { claim: Some(cluster) } => {
                self.registry.cluster.get_or_insert(cluster);
            }
            Next::Create { .. } => {
                let cluster = Uuid::from_u128(self.founded + 1);
                if self.registry.cluster.is_none() {
                    self.founded += 1;
                    self.registry.cluster = Some(cluster);
                    self.files.insert(n, clustered(self.founded, n));
                    self.joining.remove(&n);
                    self.registry.reports.insert(ip(n), Has);
                }
            }
            Next::Join { cluster, .. } => {
                let file = File::Clustered {
                    cluster: Some(cluster),
                    server: Uuid::from_u128(n.into()),
                    address: raft(n),
                };
                self.files.insert(n, file);
                self.joining.insert(n);
            }
            Next::Archive(_) => {
                self.files.remove(&n);
                self.joining.remove(&n);
            }
            Next::Start { .. } | Next::Wait(_) | Next::Refuse(_) => {}
        }
    }

    fn serves(&self, n: u8) -> bool {
        let own = matches!(self.file(n), File::Clustered { address, .. } if address == raft(n));
        own && !self.joining.contains(&n)
    }

    fn swap(&mut self, a: u8, b: u8) {
        let (left, right) = (self.files.remove(&a), self.files.remove(&b));
        right.into_iter().for_each(|file| drop(self.files.insert(a, file)));
        left.into_iter().for_each(|file| drop(self.files.insert(b, file)));
        let (left, right) = (self.joining.remove(&a), self.joining.remove(&b));
        for (n, joins) in [(a, right), (b, left)] {
            if joins {
                self.joining.insert(n);
            }
        }
    }

    fn clusters(&self) -> Vec<Uuid> {
        let joined = self.files.iter().filter(|(n, _)| !self.joining.contains(n));
        let mut all: Vec<Uuid> = joined.filter_map(|(_, file)| cluster(file)).collect();
        all.sort();
        all.dedup();
        all
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
    #[test]
    fn members_never_hold_two_clusters(events in prop::collection::vec(event(), 1..60)) {
        let mut site = Site::default();
        let mut had_data = false;
        let forgets = events.iter().any(|event| matches!(event, Event::Forget));
        let was_moved = events.iter().any(|event| matches!(event, Event::Swap(_)));
        let is_kept = !events.iter().any(|event| matches!(event, Event::Wipe(_)));
        for event in events {
            match event {
                Event::Turn(n) => site.turn(n),
                Event::Look(n) => drop(site.looked.insert(n, site.registry.clone())),
                Event::Wipe(n) => {
                    site.files.remove(&n);
                    site.joining.remove(&n);
                }
                Event::Forget => site.registry = Known::default(),
                // A disk that travels while what was written down of it is lost can be seen as none.
                Event::Swap(_) if forgets => {}
                Event::Swap(n) => site.swap(n, n + 1),
            }
            prop_assert!(site.clusters().len() <= 1, "{:?}", site.files);
            // What was there is lost by replaced disks alone.
            had_data |= !site.clusters().is_empty();
            prop_assert!(!is_kept || !had_data || !site.clusters().is_empty(), "the last copy is gone");
        }
        // And where no disk was lost, all come together in the end, in the cluster that was there.
        if is_kept && !was_moved {
            site.looked.clear();
            let had = site.clusters();
            (0..4).for_each(|_| (1..=3).for_each(|n| site.turn(n)));
            prop_assert_eq!(site.files.len(), 3);
            prop_assert_eq!(site.clusters().len(), 1);
            prop_assert!(had.iter().all(|cluster| site.clusters() == [*cluster]));
        }
    }
}

#[test]
fn an_address_in_brackets_is_the_same() {
    for (address, bare) in [
        ("tcp:[10.0.0.1]:6643", "10.0.0.1:6643"),
        ("ssl:10.0.0.1:6643", "10.0.0.1:6643"),
        ("ssl:[fd00::1]:6643", "[fd00::1]:6643"),
        ("tcp:[10.0.0.1", "[10.0.0.1"),
    ] {
        assert_eq!(place(address), bare);
    }
    let (server, cluster) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let file = File::Clustered { cluster: Some(cluster), server, address: "tcp:[10.0.0.1]:6643".to_owned() };
    assert_eq!(next(&me(1, 3), &file, &known(None, &[])), Next::Start { claim: Some(cluster) });
    assert_eq!(next(&me(1, 3), &file, &known(Some(2), &[])), Next::Start { claim: None });
}
