//! The terms of the databases' clusters, as each member's own status has them. Pure.
//!
//! A term is an election's number: it is the same for all members, and stays while a leader leads. One look shows whether they agree,
//! two show whether elections go on.

use std::collections::BTreeSet;

use super::facts::{Facts, Read};
use super::finding::{Check, Seen, Severity, say};
use crate::database::Database;

/// The check.
pub const CHECKS: &[Check] = &[Check {
    name: "databases-terms",
    expects: "the members of a database agree on its term, and no election goes on",
    worst: Severity::Warning,
    run,
}];

/// A member's term at two moments, a second apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Of which database.
    pub database: Database,
    /// Where: `pod/NAME`, `node/NAME`.
    pub at: String,
    /// The two terms.
    pub terms: Read<[u64; 2]>,
}

/// The term in what `cluster/status` prints.
pub fn term(status: &str) -> Option<u64> {
    status.lines().find_map(|line| line.trim().strip_prefix("Term:")?.trim().parse().ok())
}

fn run(facts: &Facts) -> Result<Seen, String> {
    let mut seen = Seen::default();
    let mut looked = 0;
    for database in [Database::Nb, Database::Sb] {
        let servers = facts.servers.iter().filter(|(of, ..)| *of == database);
        let models: BTreeSet<&str> =
            servers.filter_map(|(.., server)| Some(server.as_ref().ok()?.model.as_str())).collect();
        if models == BTreeSet::from(["standalone"]) {
            looked += 1;
            continue;
        }
        let mut terms: Vec<(&str, [u64; 2])> = Vec::new();
        for member in facts.terms.iter().filter(|member| member.database == database) {
            match &member.terms {
                Ok(both) => terms.push((&member.at, *both)),
                Err(why) => seen.unseen.push((format!("{}/{}", database.word(), member.at), why.clone())),
            }
        }
        if terms.is_empty() {
            let why =
                "only a member's own host knows its term, and no pod and no node that was looked at is one";
            seen.unseen.push((database.word().to_owned(), why.to_owned()));
            continue;
        }
        looked += terms.len();
        if let Some((at, [first, second])) = terms.iter().find(|(_, [first, second])| second > first) {
            let sentence = format!(
                "the term grew from {first} to {second} within a second ({at}): an election goes on, and nothing can be written meanwhile"
            );
            let fix = "look once more; if it goes on growing: the members' network and load, and the election timer (ovsdb-server(1), \
                       cluster/change-election-timer)";
            seen.found.push(say(Severity::Warning, database.word(), sentence, fix));
            continue;
        }
        let all: BTreeSet<u64> = terms.iter().map(|(_, [_, second])| *second).collect();
        if all.len() > 1 {
            let words: Vec<String> = terms.iter().map(|(at, [_, second])| format!("{at} {second}")).collect();
            let sentence = format!(
                "its members disagree on the term ({}): one that is behind isn't reached by the leader, one that is ahead holds elections alone",
                words.join(", ")
            );
            let fix = "look at port 6643 (NB) or 6644 (SB) between the members, and at their logs; one that stays apart: ko nb|sb kick, then \
                       join it anew";
            seen.found.push(say(Severity::Warning, database.word(), sentence, fix));
        }
    }
    if looked > 0 {
        seen.looked_at = format!("{looked} members");
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_term_of_a_status() {
        let status = "1d2c\nName: OVN_Northbound\nCluster ID: 5a4b (5a4b…)\nStatus: cluster member\nRole: leader\nTerm: 12\nLeader: self\n";
        assert_eq!(term(status), Some(12));
        assert_eq!(term("ovs-appctl: cannot connect"), None);
    }
}
