use super::Files;
use super::authority::{Authority, check, now, validity};
use super::files::Paths;
use super::keep::wanted;
use super::plan::{Next, State, Wanted, next};

const DAY: u64 = 24 * 3600;
const OVERLAP: u64 = 30 * DAY;

fn all() -> Vec<Wanted> {
    wanted(&["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()], "kube-system")
}

/// Does what is planned until nothing is; what was written.
fn settle(state: &mut State, wanted: &[Wanted], now: u64) -> Vec<String> {
    let mut written = Vec::new();
    for _ in 0..20 {
        match next(state, wanted, OVERLAP, now).unwrap() {
            Next::Nothing => return written,
            Next::Authorities(all) => {
                state.authorities = all;
                state.rotated.clone_from(&state.rotate);
                written.push("authorities".to_owned());
            }
            Next::Issue(name, files) => {
                state.issued.insert(name.to_owned(), files);
                written.push(name.to_owned());
            }
        }
    }
    panic!("it never settles: {written:?}")
}

/// Whether two sides that have these files accept each other.
fn trust(one: &Files, two: &Files, now: u64) -> bool {
    let accepts =
        |by: &Files, of: &Files| check(&Files { cacert: by.cacert.clone(), ..of.clone() }, now).is_ok();
    accepts(one, two) && accepts(two, one)
}

#[test]
fn certificates_are_made_once_and_fit_together() {
    let (now, wanted) = (now(), all());
    let mut state = State::default();
    assert_eq!(settle(&mut state, &wanted, now).len(), 1 + wanted.len());
    assert!(settle(&mut state, &wanted, now + 200 * DAY).is_empty(), "nothing is due");
    let servers = &state.issued["ovn-central-tls"];
    for files in state.issued.values() {
        assert!(trust(servers, files, now));
        assert!(check(files, now + 366 * DAY).is_err(), "expired");
    }
    // A member at another address: the servers' certificate bears it, the others stay.
    let more = super::keep::wanted(&["10.0.0.9".parse().unwrap()], "kube-system");
    assert_eq!(settle(&mut state, &more, now), ["ovn-central-tls"]);
}

/// A copy of a Secret that is as old as the overlap works with what is new, through ten authorities.
#[test]
fn a_copy_within_the_overlap_is_never_cut_off() {
    let (start, wanted) = (now(), all());
    let mut state = State::default();
    settle(&mut state, &wanted, start);
    let first = state.authorities[0].certificate.clone();
    let mut copies = std::collections::VecDeque::from([state.issued["ovn-client-neutron"].clone()]);
    for week in 0..(20 * 52) {
        let now = start + week * 7 * DAY;
        if week % 200 == 150 {
            state.rotate = Some(week.to_string());
        }
        settle(&mut state, &wanted, now);
        copies.push_back(state.issued["ovn-client-neutron"].clone());
        if copies.len() > 4 {
            copies.pop_front();
        }
        let servers = &state.issued["ovn-central-tls"];
        assert!(copies.iter().all(|copy| trust(servers, copy, now)), "week {week}");
    }
    assert!(state.authorities.iter().all(|one| one.certificate != first), "the first one has expired");
}

#[test]
fn a_word_asks_for_a_new_authority_which_issues_after_the_overlap() {
    let (start, wanted) = (now(), all());
    let mut state = State::default();
    settle(&mut state, &wanted, start);
    let first = state.issued["kube-ovn-tls"].clone();
    state.rotate = Some("once".to_owned());
    assert_eq!(settle(&mut state, &wanted, start + DAY).len(), 1 + wanted.len());
    let both = state.issued["kube-ovn-tls"].clone();
    assert!(both.cert == first.cert && both.cacert.starts_with(&first.cacert) && both.cacert != first.cacert);
    assert!(settle(&mut state, &wanted, start + OVERLAP).is_empty(), "a day too early");
    assert_eq!(settle(&mut state, &wanted, start + OVERLAP + DAY).len(), wanted.len());
    assert!(state.issued["kube-ovn-tls"].cert != both.cert);
}

#[test]
fn a_lost_authority_leaves_its_certificates_in_use() {
    let (now, wanted) = (now(), all());
    let mut state = State::default();
    settle(&mut state, &wanted, now);
    let copy = state.issued["ovn-client-chassis"].clone();
    state.authorities.clear();
    let written = settle(&mut state, &wanted, now);
    assert_eq!(written[0], "authorities");
    assert_eq!(state.authorities.len(), 2, "the lost one's certificate stays");
    for files in state.issued.values() {
        assert!(trust(files, &copy, now), "those with a copy are served");
    }
    // When certificates are due they are the new one's.
    let later = now + 250 * DAY;
    settle(&mut state, &wanted, later);
    let issued = &state.issued["ovn-client-chassis"];
    assert!(issued.cert != copy.cert && check(issued, later).is_ok());
}

#[test]
fn what_does_not_fit_is_refused_with_a_sentence() {
    let now = now();
    let (one, other) = (Authority::create(now).unwrap(), Authority::create(now).unwrap());
    let files = |by: &Authority, cacert: &Authority| {
        let (cert, key) = by.issue("x", &[], now).unwrap();
        Files { cacert: cacert.certificate.clone(), cert, key }
    };
    let good = files(&one, &one);
    assert!(check(&good, now).is_ok());
    for (files, words) in [
        (files(&one, &other), "was issued by no authority of cacert"),
        (Files { key: files(&one, &one).key, ..good.clone() }, "don't belong together"),
        (Files { key: "nonsense".to_owned(), ..good.clone() }, "private key"),
        (Files { cert: "nonsense".to_owned(), ..good.clone() }, "no certificate in PEM"),
        (Files { cacert: good.cert.clone(), ..good.clone() }, "was issued by no authority"),
    ] {
        let why = format!("{:#}", check(&files, now).unwrap_err());
        assert!(why.contains(words), "{why}");
    }
    assert!(check(&good, now - 2 * DAY).unwrap_err().to_string().contains("clock"));
    assert!(check(&good, now + 366 * DAY).unwrap_err().to_string().contains("expired"));
    assert!(validity(&good.cert).unwrap().is_spent(66, now + 242 * DAY));
}

#[test]
fn files_change_together_and_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let paths = Paths::below(dir.path());
    assert_eq!(paths.read(), None);
    let files = |n: u8| Files { cacert: format!("a{n}"), cert: format!("b{n}"), key: format!("c{n}") };
    for n in 1..4 {
        assert!(paths.write(&files(n)).unwrap() && !paths.write(&files(n)).unwrap());
        assert_eq!(paths.read(), Some(files(n)));
    }
    let below = std::fs::read_dir(dir.path().join("tls")).unwrap().count();
    assert_eq!(below, 2, "the link, and what it points to");
    let mode = std::fs::metadata(dir.path().join("tls/current/key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(paths.options()[0].ends_with("/tls/current/key"));
}
