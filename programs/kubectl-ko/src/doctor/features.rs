//! What the feature flags of a chassis tell of its ovn-controller's series: the only trace of it on hosts that can't be looked at. Pure.
//!
//! Each ovn-controller writes the names of what it can do into `other_config` of its chassis. The table is read from OVN's releases
//! (controller/chassis.c of each). A flag is there from some series on, often from a later point release of it: its presence gives the
//! first series that has it at all, its absence the first series all of whose releases have it.

use super::facts::Facts;
use super::finding::{Check, Seen, Severity, say};
use super::versions::{Release, northd, others};
use crate::rows::Row;

/// The check.
pub const CHECKS: &[Check] = &[Check {
    name: "ovn-versions-others",
    expects: "no ovn-controller of a host that isn't a node is older than northd, as far as its feature flags tell",
    worst: Severity::Warning,
    run,
}];

/// A flag: the first series that has it in some release, and the first that has it in all.
struct Flag(&'static str, Release, Release);

const FLAGS: [Flag; 11] = [
    Flag("ct-no-masked-label", Release(21, 12), Release(22, 6)),
    Flag("mac-binding-timestamp", Release(22, 9), Release(22, 9)),
    Flag("ovn-ct-lb-related", Release(21, 12), Release(23, 3)),
    Flag("fdb-timestamp", Release(23, 9), Release(23, 9)),
    Flag("ls-dpg-column", Release(23, 9), Release(24, 3)),
    Flag("ct-commit-nat-v2", Release(23, 9), Release(24, 3)),
    Flag("ct-commit-to-zone", Release(24, 3), Release(24, 9)),
    Flag("ovn-sample-with-registers", Release(24, 9), Release(24, 9)),
    Flag("ct-next-zone", Release(24, 3), Release(25, 3)),
    Flag("ct-label-flush", Release(25, 3), Release(25, 3)),
    Flag("ct-state-save", Release(24, 3), Release(25, 9)),
];

/// Between which series an ovn-controller is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bounds {
    /// This one or newer.
    least: Option<Release>,
    /// Older than this one.
    below: Option<Release>,
}

impl Bounds {
    /// Of a chassis. One without any of the flags tells nothing: it may not be an ovn-controller's.
    fn of(chassis: &Row) -> Self {
        let has = |Flag(name, ..): &&Flag| {
            chassis.key("other_config", name).or_else(|| chassis.key("external_ids", name)).is_some()
        };
        let least = FLAGS.iter().filter(has).map(|flag| flag.1).max();
        let missing = FLAGS.iter().filter(|flag| !has(flag)).map(|flag| flag.2);
        // Flags are dropped one day. One that is missing proves nothing where a younger one is there.
        let below = least.and_then(|least| missing.filter(|below| *below > least).min());
        Self { least, below }
    }
}

impl std::fmt::Display for Bounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.least, self.below) {
            (Some(least), Some(below)) => write!(f, "{least} or newer, and older than {below}"),
            (Some(least), None) => write!(f, "{least} or newer"),
            (None, _) => write!(f, "of any release"),
        }
    }
}

fn run(facts: &Facts) -> Result<Seen, String> {
    let (northd, _) = northd(facts)?;
    let others = others(facts)?;
    let mut seen = Seen::default();
    let mut well = 0;
    for chassis in &others {
        let bounds = Bounds::of(chassis);
        let object = format!("chassis/{}", chassis.text("hostname"));
        if bounds.below.is_some_and(|below| below <= northd) {
            let sentence = format!(
                "ovn-controller must be older than northd, which is {northd}: it is {bounds}, as derived from its feature flags in the SB; an older \
                 one skips flows that it can't read"
            );
            let fix = "run ovn-controller --version on that host, and upgrade it to northd's release; upgrades begin with the hosts";
            seen.found.push(say(Severity::Warning, object, sentence, fix));
        } else if bounds.least.is_some_and(|least| least >= northd) {
            well += 1;
        } else {
            let why = format!(
                "northd is {northd}, its ovn-controller {bounds}, as derived from its feature flags: run ovn-controller --version there"
            );
            seen.unseen.push((object, why));
        }
    }
    if others.is_empty() {
        seen.looked_at = "all chassis are nodes'".to_owned();
    } else if well > 0 {
        seen.looked_at = format!("{well} hosts that aren't nodes");
    }
    Ok(seen)
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::rows::rows;

    /// The flags that a release writes, from its source.
    fn chassis(flags: &[&str]) -> Row {
        let pairs: Vec<_> = flags.iter().map(|flag| json!([flag, "true"])).collect();
        rows(json!([{ "hostname": "c", "other_config": ["map", pairs] }])).remove(0)
    }

    const V22_03_8: &[&str] = &["port-up-notif", "ct-no-masked-label", "ovn-ct-lb-related"];
    const V23_03_1: &[&str] =
        &["port-up-notif", "ct-no-masked-label", "mac-binding-timestamp", "ovn-ct-lb-related"];
    const V25_03_0: &[&str] = &[
        "port-up-notif",
        "ct-no-masked-label",
        "mac-binding-timestamp",
        "ovn-ct-lb-related",
        "fdb-timestamp",
        "ls-dpg-column",
        "ct-commit-nat-v2",
        "ct-commit-to-zone",
        "ovn-sample-with-registers",
        "ct-next-zone",
        "ct-label-flush",
    ];

    /// Those of 25.03 but its last three.
    pub(in crate::doctor) fn v24_03_2() -> &'static [&'static str] {
        &V25_03_0[..8]
    }

    #[test]
    fn what_real_releases_write() {
        let of = |flags: &[&str]| Bounds::of(&chassis(flags)).to_string();
        assert_eq!(of(V22_03_8), "21.12 or newer, and older than 22.09");
        assert_eq!(of(V23_03_1), "22.09 or newer, and older than 23.09");
        assert_eq!(of(v24_03_2()), "24.03 or newer, and older than 24.09");
        assert_eq!(of(V25_03_0), "25.03 or newer, and older than 25.09");
        let mut later = V25_03_0.to_vec();
        later.push("ct-state-save");
        assert_eq!(of(&later), "25.03 or newer");
        // A release to come, that has dropped the oldest ones.
        assert_eq!(of(&later[4..]), "25.03 or newer");
        assert_eq!(of(&V25_03_0[4..]), "25.03 or newer, and older than 25.09");
        assert_eq!(Bounds::of(&chassis(&[])), Bounds::default());
        // What the datapath can't do is written, too.
        let row = rows(json!([{ "other_config": ["map", [["ct-label-flush", "false"]]] }])).remove(0);
        assert_eq!(Bounds::of(&row).least, Some(Release(25, 3)));
    }
}
