//! Which replica may lead: the decision alone, as a function of two Leases' observed versions and their times.
//!
//! Ours is `tombolo-controller`. The other is `kube-ovn-controller`, Kube-OVN's own: while its holder lives,
//! ours must not lead, since Kube-OVN's garbage collection would take our rows for its own and ours would face
//! its writes (invariant 2). The age of a lease is measured from the local moment at which it was last seen to
//! change, never from the time written in it: clocks of two hosts needn't agree. The module reads no clock;
//! `crate::election` does the requests.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;

pub use tombolo_names::workloads::{KUBE_OVN_LEASE, LEASE};

/// The fields of a Lease that matter for the decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its holder; empty when it was given up.
    pub holder: String,
    /// How long it is valid after a change.
    pub duration: Duration,
    /// The renewal time as written by the holder: compared for change, never against a clock.
    renewed: String,
}

impl Record {
    /// Reads a Lease. A duration that is missing counts as the default of Kube-OVN's flags, 30 s.
    pub fn of(lease: &Lease) -> Self {
        let spec = lease.spec.clone().unwrap_or_default();
        Self {
            holder: spec.holder_identity.unwrap_or_default(),
            duration: spec
                .lease_duration_seconds
                .and_then(|s| u64::try_from(s).ok())
                .map_or(Duration::from_secs(30), Duration::from_secs),
            renewed: spec.renew_time.map(|t| t.0.to_string()).unwrap_or_default(),
        }
    }
}

/// The knowledge of one Lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sight {
    /// Nothing yet: the first list hasn't come.
    #[default]
    Unknown,
    /// There is no such object.
    Absent,
    /// It was last seen to change at `since`.
    Seen {
        /// Its content.
        record: Record,
        /// Local time of the last change.
        since: Instant,
    },
}

impl Sight {
    /// Takes in the Lease of a list, a watch or the answer to a write.
    pub fn observe(&mut self, lease: Option<&Lease>, now: Instant) {
        let Some(lease) = lease else {
            *self = Sight::Absent;
            return;
        };
        let record = Record::of(lease);
        match self {
            // A change of labels or annotations is no sign of life.
            Sight::Seen { record: old, .. } if *old == record => {}
            _ => *self = Sight::Seen { record, since: now },
        }
    }

    /// The holder, if there is one that may still live, and until when it counts as alive.
    fn alive(&self, now: Instant) -> Option<(&str, Instant)> {
        match self {
            Sight::Seen { record, since } if !record.holder.is_empty() => {
                let until = *since + record.duration;
                (now < until).then_some((record.holder.as_str(), until))
            }
            _ => None,
        }
    }
}

/// The verdict at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A Lease hasn't been seen yet.
    Wait,
    /// Kube-OVN's own controller lives; look again at `until`.
    KubeOvn {
        /// Its identity.
        holder: String,
        /// When its lease runs out unless it is renewed.
        until: Instant,
    },
    /// Another of ours leads; look again at `until`.
    Held {
        /// Its identity.
        holder: String,
        /// When its lease runs out unless it is renewed.
        until: Instant,
    },
    /// The lease is ours: renew it, or take it up again after a restart under the same name.
    Ours,
    /// Free: without a holder, or with one that no longer renews it.
    Free,
}

/// Decides from the two Leases, at `now`, for the identity `me`.
pub fn evaluate(ours: &Sight, kube_ovn: &Sight, now: Instant, me: &str) -> Verdict {
    if *ours == Sight::Unknown || *kube_ovn == Sight::Unknown {
        return Verdict::Wait;
    }
    if let Some((holder, until)) = kube_ovn.alive(now) {
        return Verdict::KubeOvn { holder: holder.to_owned(), until };
    }
    if let Sight::Seen { record, .. } = ours
        && record.holder == me
    {
        return Verdict::Ours;
    }
    match ours.alive(now) {
        Some((holder, until)) => Verdict::Held { holder: holder.to_owned(), until },
        None => Verdict::Free,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::coordination::v1::LeaseSpec;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn lease(holder: &str, renewed: i64, seconds: i32) -> Lease {
        Lease {
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                lease_duration_seconds: Some(seconds),
                renew_time: Some(MicroTime(Timestamp::from_second(renewed).unwrap())),
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        }
    }

    fn seen(lease: &Lease, at: Instant) -> Sight {
        let mut sight = Sight::Unknown;
        sight.observe(Some(lease), at);
        sight
    }

    // invariant 2: ours refuses while a living Kube-OVN controller holds its lease.
    #[test]
    fn table() {
        let t0 = Instant::now();
        let at = |s: u32| t0 + S * s;
        let none = Sight::Absent;
        // The times written in the leases are far off on purpose: they must not matter.
        let other = seen(&lease("b", 9_999_999, 30), t0);
        let mine = seen(&lease("a", 0, 30), t0);
        let released = seen(&lease("", 0, 30), t0);
        let rival = seen(&lease("kube-ovn-controller-x", 0, 30), t0);
        let held = |until| Verdict::Held { holder: "b".into(), until };
        let kube_ovn = Verdict::KubeOvn { holder: "kube-ovn-controller-x".into(), until: at(30) };
        for (what, ours, theirs, now, want) in [
            ("ours not seen", &Sight::Unknown, &none, at(0), Verdict::Wait),
            ("theirs not seen", &none, &Sight::Unknown, at(0), Verdict::Wait),
            ("theirs not seen, ours held by me", &mine, &Sight::Unknown, at(0), Verdict::Wait),
            ("no lease at all", &none, &none, at(0), Verdict::Free),
            ("another leads", &other, &none, at(29), held(at(30))),
            ("another is silent", &other, &none, at(30), Verdict::Free),
            ("given up", &released, &none, at(0), Verdict::Free),
            ("mine", &mine, &none, at(1), Verdict::Ours),
            ("mine, run out but not taken", &mine, &none, at(99), Verdict::Ours),
            ("Kube-OVN lives", &none, &rival, at(29), kube_ovn.clone()),
            ("Kube-OVN lives, and I lead", &mine, &rival, at(1), kube_ovn.clone()),
            ("Kube-OVN lives, and another of ours leads", &other, &rival, at(1), kube_ovn),
            ("Kube-OVN is silent", &none, &rival, at(30), Verdict::Free),
            ("Kube-OVN gave up", &none, &released, at(0), Verdict::Free),
        ] {
            assert_eq!(evaluate(ours, theirs, now, "a"), want, "{what}");
        }
    }

    #[test]
    fn only_a_renewal_is_a_sign_of_life() {
        let t0 = Instant::now();
        let mut sight = seen(&lease("b", 1, 30), t0);
        let mut labelled = lease("b", 1, 30);
        labelled.metadata.labels = Some([("x".to_owned(), "y".to_owned())].into());
        sight.observe(Some(&labelled), t0 + S * 20);
        assert_eq!(evaluate(&sight, &Sight::Absent, t0 + S * 30, "a"), Verdict::Free);
        sight.observe(Some(&lease("b", 2, 30)), t0 + S * 20);
        let until = t0 + S * 50;
        assert_eq!(
            evaluate(&sight, &Sight::Absent, t0 + S * 30, "a"),
            Verdict::Held { holder: "b".into(), until }
        );
        sight.observe(None, t0 + S * 31);
        assert_eq!(evaluate(&sight, &Sight::Absent, t0 + S * 31, "a"), Verdict::Free);
    }

    #[test]
    fn a_lease_without_content_is_free() {
        let sight = seen(&Lease::default(), Instant::now());
        assert_eq!(evaluate(&sight, &Sight::Absent, Instant::now(), "a"), Verdict::Free);
    }
}
