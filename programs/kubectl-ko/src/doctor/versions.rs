//! Checks of northd's version against those of the hosts' ovn-controllers, and which way of an upgrade is open. Pure.
//!
//! An ovn-controller skips flows that it can't read. So northd may be older than the hosts, and never newer, unless the hosts
//! wait for its version (`ovn-match-northd-version`), in which case their flows stand still (OVN's ovn-upgrades.rst).

use std::collections::BTreeMap;

use super::facts::{Facts, addresses, name};
use super::finding::{Check, Seen, Severity, say};
use super::hosts::read;
use crate::rows::Row;

/// The setting by which a host keeps its flows while northd is of another version.
const PIN: &str = "ovn-match-northd-version";
/// Months of a release that is supported for two years, in every second year.
const LTS_MONTH: u32 = 3;

/// The checks.
pub const CHECKS: &[Check] = &[
    Check {
        name: "ovn-versions",
        expects: "no ovn-controller is older than northd",
        worst: Severity::Error,
        run: versions,
    },
    Check {
        name: "northd-pin",
        expects: "no host waits for northd's version",
        worst: Severity::Error,
        run: pin,
    },
];

/// Year and month of a release of OVN: `25.03.0-20.33.0-76.8` is 25.03.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release(pub u32, pub u32);

impl Release {
    fn read(text: &str) -> Option<Self> {
        let mut numbers = text.split(['.', '-', '~', '+']);
        Some(Self(numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }

    /// The first LTS release after this one: as far as a rolling upgrade leads.
    fn next_lts(self) -> Self {
        let year = if self >= Self(self.0, LTS_MONTH) { self.0 + 1 } else { self.0 };
        Self(year + year % 2, LTS_MONTH)
    }
}

impl std::fmt::Display for Release {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:02}", self.0, self.1)
    }
}

/// The release of the northd that runs, and the whole of what it says of itself.
pub fn northd(facts: &Facts) -> Result<(Release, String), String> {
    let all = facts.sb_global.as_ref().map_err(Clone::clone)?;
    let text = all.first().and_then(|row| row.key("options", "northd_internal_version"));
    let text = text.ok_or("SB_Global has no northd_internal_version: no northd has run, or an old one")?;
    let release = Release::read(text).ok_or_else(|| format!("northd's version {text:?} can't be read"))?;
    Ok((release, text.to_owned()))
}

fn versions(facts: &Facts) -> Result<Seen, String> {
    let (northd, _) = northd(facts)?;
    let mut seen = Seen::default();
    let hosts = read(facts, &mut seen)?;
    seen.looked_at = String::new();
    let mut by: BTreeMap<Release, Vec<&str>> = BTreeMap::new();
    for (node, host) in hosts {
        let Some(release) = host.version.as_deref().and_then(Release::read) else {
            seen.unseen.push((
                format!("node/{node}"),
                "ovn-controller isn't installed beside Open vSwitch".to_owned(),
            ));
            continue;
        };
        by.entry(release).or_default().push(node);
        if release < northd && host.setting(PIN) != "true" {
            let sentence = format!(
                "ovn-controller is {release}, northd {northd}: it skips flows that it can't read, and pods and VMs are cut off"
            );
            let fix = "upgrade ovn-controller on this host to northd's release; or go back with northd. Upgrades begin with the hosts";
            seen.found.push(say(Severity::Error, format!("node/{node}"), sentence, fix));
        }
    }
    let (Some(oldest), Some(newest)) = (by.keys().next(), by.keys().next_back()) else { return Ok(seen) };
    seen.looked_at =
        format!("northd {northd}, {} nodes {oldest} to {newest}", by.values().map(Vec::len).sum::<usize>());
    seen.found.extend(way(northd, *oldest, *newest));
    Ok(seen)
}

/// Which upgrade is open. Said as a note: it is asked before one.
fn way(northd: Release, oldest: Release, newest: Release) -> Option<super::finding::Said> {
    let limit = northd.next_lts();
    if oldest < northd {
        return None;
    }
    let sentence = if newest > limit {
        format!(
            "northd is {northd}, hosts are up to {newest}, beyond {limit}: outside of what OVN supports together"
        )
    } else if oldest > northd {
        format!(
            "northd is {northd}, all hosts are {oldest} or newer: databases and northd can be upgraded to {oldest} now"
        )
    } else {
        format!(
            "northd and the oldest host are {northd}: a rolling upgrade leads to {limit} at most, hosts first, then databases and northd; \
             further only by {PIN}=true on every host, Neutron's too, during which flows stand still"
        )
    };
    let severity = if newest > limit { Severity::Warning } else { Severity::Note };
    let fix = if newest > limit { "upgrade databases and northd" } else { "" };
    Some(say(severity, "cluster", sentence, fix))
}

/// Chassis of hosts that aren't nodes: Neutron's.
pub fn others(facts: &Facts) -> Result<Vec<&Row>, String> {
    let nodes = facts.nodes.as_ref().map_err(Clone::clone)?;
    let chassis = facts.chassis.as_ref().map_err(Clone::clone)?;
    let encaps = facts.encaps.as_ref().map_err(Clone::clone)?;
    let is_node = |chassis: &&Row| {
        let id = chassis.text("name");
        let ends: Vec<&str> =
            encaps.iter().filter(|e| e.text("chassis_name") == id).map(|e| e.text("ip")).collect();
        nodes.iter().any(|node| {
            node["metadata"]["annotations"][tombolo_names::annotations::CHASSIS] == id
                || name(node) == chassis.text("hostname")
                || addresses(node).any(|address| ends.contains(&address.to_string().as_str()))
        })
    };
    Ok(chassis.iter().filter(|chassis| !is_node(chassis)).collect())
}

fn pin(facts: &Facts) -> Result<Seen, String> {
    let (release, internal) = northd(facts)?;
    let mut seen = Seen::default();
    for (node, host) in read(facts, &mut seen)? {
        if host.setting(PIN) != "true" {
            continue;
        }
        let of = host.version.as_deref();
        let same = of.is_some_and(|version| internal.starts_with(version));
        let (severity, sentence) = if same {
            (
                Severity::Note,
                format!("{PIN} is true: its flows stand still as soon as northd's version differs"),
            )
        } else {
            let version = of.unwrap_or("unknown");
            (
                Severity::Error,
                format!(
                    "{PIN} is true and ovn-controller is {version}, northd {release}: its flows stand still"
                ),
            )
        };
        let fix = format!("after the upgrade, on the host: ovs-vsctl remove open . external-ids {PIN}");
        seen.found.push(say(severity, format!("node/{node}"), sentence, fix));
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_and_the_span_of_a_rolling_upgrade() {
        assert_eq!(Release::read("25.03.0-20.33.0-76.8"), Some(Release(25, 3)));
        assert_eq!(Release::read("nothing"), None);
        for (from, to) in [
            ((22, 3), (24, 3)),
            ((23, 3), (24, 3)),
            ((22, 12), (24, 3)),
            ((24, 3), (26, 3)),
            ((25, 3), (26, 3)),
            ((25, 9), (26, 3)),
        ] {
            assert_eq!(Release(from.0, from.1).next_lts(), Release(to.0, to.1), "{from:?}");
        }
    }

    #[test]
    fn the_way_that_is_open() {
        let of = |northd, oldest, newest| way(northd, oldest, newest).map(|said| format!("{said:?}"));
        assert!(
            of(Release(23, 3), Release(23, 3), Release(23, 3))
                .unwrap()
                .contains("leads to 24.03 at most, hosts first")
        );
        assert!(
            of(Release(23, 3), Release(24, 3), Release(24, 3))
                .unwrap()
                .contains("can be upgraded to 24.03 now")
        );
        assert!(
            of(Release(23, 3), Release(25, 3), Release(25, 3))
                .unwrap()
                .contains("outside of what OVN supports")
        );
        assert_eq!(of(Release(25, 3), Release(23, 3), Release(23, 3)), None);
    }
}
