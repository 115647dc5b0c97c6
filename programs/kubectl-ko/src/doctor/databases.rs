//! Checks of the databases' servers and of how hosts and controller reach them. Pure.

use std::collections::BTreeSet;

use super::facts::Facts;
use super::finding::{Check, Seen, Severity, say};
use crate::database::Database;
use crate::database::servers::Server;

/// The checks.
pub const CHECKS: &[Check] = &[
    Check {
        name: "databases-leader",
        expects: "each database has one leader",
        worst: Severity::Error,
        run: leader,
    },
    Check {
        name: "databases-members",
        expects: "all members answer, and are in touch with their cluster",
        worst: Severity::Warning,
        run: members,
    },
    Check {
        name: "databases-tls",
        expects: "the databases are reached over TLS",
        worst: Severity::Warning,
        run: tls,
    },
    Check {
        name: "hosts-endpoints",
        expects: "ovn-remote names the databases that the controller uses",
        worst: Severity::Error,
        run: endpoints,
    },
];

/// The answers of one database's servers.
fn of(facts: &Facts, database: Database) -> Vec<(&str, &Result<Server, String>)> {
    let all = facts.servers.iter().filter(|(d, ..)| *d == database);
    all.map(|(_, endpoint, server)| (endpoint.as_str(), server)).collect()
}

fn leader(facts: &Facts) -> Result<Seen, String> {
    let mut seen = Seen::default();
    for database in [Database::Nb, Database::Sb] {
        let all = of(facts, database);
        let answers: Vec<&Server> = all.iter().filter_map(|(_, server)| server.as_ref().ok()).collect();
        if answers.is_empty() {
            let why = all.first().map_or("its endpoints are unknown", |(_, server)| {
                server.as_ref().err().map_or("", String::as_str)
            });
            seen.unseen.push((database.word().to_owned(), format!("no server answers from here: {why}")));
            continue;
        }
        seen.looked_at = format!("{} servers", facts.servers.len());
        let object = database.word();
        let ids: BTreeSet<&str> = answers.iter().filter_map(|server| server.cluster.as_deref()).collect();
        let standalone = answers.iter().any(|server| server.model == "standalone");
        if ids.len() > 1 || (answers.len() > 1 && standalone) {
            let sentence = format!("its servers aren't one cluster: {} cluster ids", ids.len().max(2));
            let fix = "find out which has Neutron's rows (ko nbctl --db=ENDPOINT show), take a backup of each, and join the others to it";
            seen.found.push(say(Severity::Error, object, sentence, fix));
        } else if !answers.iter().any(|server| server.leader && server.connected) {
            let sentence = "no server that answers leads, so nothing can be written".to_owned();
            let fix = "start the members that don't answer; a majority of all must run (ovsdb(7))";
            seen.found.push(say(Severity::Error, object, sentence, fix));
        } else if all.len() == 1 {
            let sentence = "it has one server: without that host nothing can be changed".to_owned();
            seen.found.push(say(Severity::Note, object, sentence, "three members survive the loss of one"));
        }
    }
    Ok(seen)
}

fn members(facts: &Facts) -> Result<Seen, String> {
    let mut seen = Seen::default();
    if facts.servers.iter().all(|(.., server)| server.is_err()) {
        return Err("no server answers from here".to_owned());
    }
    seen.looked_at = format!("{} servers", facts.servers.len());
    for (database, endpoint, server) in &facts.servers {
        let object = format!("{}/{endpoint}", database.word());
        match server {
            Err(why) => {
                let fix = "start it, or let this machine reach it; a member that is lost for good: ko nb|sb kick, then join a new one";
                seen.found.push(say(Severity::Warning, object, format!("it doesn't answer: {why}"), fix));
            }
            Ok(server) if !server.connected => {
                let sentence = "it has lost its cluster, and its clients see old rows".to_owned();
                let fix = "look at its log and at port 6643 (NB) or 6644 (SB) between the members";
                seen.found.push(say(Severity::Warning, object, sentence, fix));
            }
            Ok(_) => {}
        }
    }
    Ok(seen)
}

fn tls(facts: &Facts) -> Result<Seen, String> {
    let (nb, sb) = (facts.nb.as_ref().map_err(Clone::clone)?, facts.sb.as_ref().map_err(Clone::clone)?);
    let mut seen = Seen { looked_at: format!("{} endpoints", nb.len() + sb.len()), ..Seen::default() };
    for (database, endpoints) in [(Database::Nb, nb), (Database::Sb, sb)] {
        if endpoints.iter().any(|endpoint| endpoint.starts_with("tcp:")) {
            let sentence = "tcp: has no authentication: whoever reaches its port, pods included, writes all of OVN, Neutron's part too".to_owned();
            let fix = "networking.enableSsl=true with keys of the databases' CA, or a firewall that keeps pods from these ports";
            seen.found.push(say(Severity::Warning, database.word(), sentence, fix));
        }
    }
    Ok(seen)
}

/// Host and port of each endpoint, however the list is written.
fn places(list: &str) -> BTreeSet<String> {
    let all = tombolo_ovn::addresses::resolve(tombolo_ovn::addresses::Database::Sb, list, &|_| None);
    all.unwrap_or_default()
        .iter()
        .map(|e| e.split_once(':').map_or(e.as_str(), |(_, at)| at).to_owned())
        .collect()
}

/// The addresses of endpoints, without their ports.
fn machines(places: &BTreeSet<String>) -> BTreeSet<&str> {
    places.iter().map(|place| place.rsplit_once(':').map_or(place.as_str(), |(ip, _)| ip)).collect()
}

fn endpoints(facts: &Facts) -> Result<Seen, String> {
    let wanted = places(&facts.sb.as_ref().map_err(Clone::clone)?.join(","));
    let mut seen = Seen::default();
    let mut looked = 0;
    for (node, host) in facts.hosts.as_ref().map_err(Clone::clone)? {
        let object = format!("node/{node}");
        let host = match host {
            Ok(host) => host,
            Err(why) => {
                seen.unseen.push((object, why.clone()));
                continue;
            }
        };
        looked += 1;
        let remote = host.setting("ovn-remote");
        let has = places(remote);
        let fix = format!(
            "on the host: ovs-vsctl set open . external-ids:ovn-remote={}",
            facts.sb.clone().unwrap_or_default().join(",")
        );
        if has.is_empty() {
            let sentence = format!("ovn-remote is {remote:?}: ovn-controller has no database");
            seen.found.push(say(Severity::Error, object, sentence, fix));
        } else if has.is_disjoint(&wanted) && !machines(&has).is_disjoint(&machines(&wanted)) {
            // TLS beside tcp: during a move, or for some clients only.
            let sentence =
                format!("ovn-remote is {remote}: the controller reaches the same servers by other ports");
            seen.found.push(say(Severity::Warning, object, sentence, fix));
        } else if has.is_disjoint(&wanted) {
            let sentence = format!(
                "ovn-remote is {remote}, none of the controller's endpoints: two OVNs, or two names of one"
            );
            seen.found.push(say(Severity::Error, object, sentence, fix));
        } else if has != wanted {
            let sentence = format!("ovn-remote is {remote}: not all of the controller's endpoints, or more");
            seen.found.push(say(Severity::Warning, object, sentence, fix));
        }
    }
    if looked > 0 {
        seen.looked_at = format!("{looked} nodes");
    }
    Ok(seen)
}
