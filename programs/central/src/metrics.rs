//! What only a server's own control socket says of its cluster, under Kube-OVN's names. Who leads and who is connected is read
//! by OVSDB: kube-ovn-monitor shows it, also where OVN runs elsewhere.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tombolo_observe::{Family, Series, Source};

use crate::database::{ALL, Database};
use crate::options::Options;
use crate::status::{Connection, Status};

/// The latest look at this member.
#[derive(Debug)]
pub struct Metrics {
    host: String,
    dir: PathBuf,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    states: BTreeMap<Database, Status>,
    northd_is_active: Option<bool>,
}

/// How a value is read from a state.
type Value = fn(&Status) -> u64;

/// Series with one value a database.
const VALUES: &[(&str, &str, Value)] = &[
    ("kube_ovn_cluster_term", "The number of the last election; it grows with each", |s| s.term),
    ("kube_ovn_cluster_vote_self", "Whether this member voted for itself", |s| s.votes_self.into()),
    (
        "kube_ovn_cluster_election_timer",
        "Milliseconds without a leader until this member wants to be one",
        |s| s.election_timer,
    ),
    ("kube_ovn_cluster_log_not_committed", "Entries of the log not yet committed", |s| s.waiting.0),
    ("kube_ovn_cluster_log_not_applied", "Entries of the log not yet applied", |s| s.waiting.1),
    ("kube_ovn_cluster_log_index_start", "The first entry of the log", |s| s.log.0),
    ("kube_ovn_cluster_log_index_next", "The entry after the log's last", |s| s.log.1),
    ("kube_ovn_cluster_inbound_connections_total", "Connections from other members that stand", |s| {
        count(s, |c| !c.outbound && c.stands)
    }),
    ("kube_ovn_cluster_outbound_connections_total", "Connections to other members that stand", |s| {
        count(s, |c| c.outbound && c.stands)
    }),
    ("kube_ovn_cluster_inbound_connections_error_total", "Connections from other members that don't", |s| {
        count(s, |c| !c.outbound && !c.stands)
    }),
    ("kube_ovn_cluster_outbound_connections_error_total", "Connections to other members that don't", |s| {
        count(s, |c| c.outbound && !c.stands)
    }),
    ("kube_ovn_cluster_peer_count", "Members of the cluster but this one", |s| {
        s.servers.iter().filter(|(id, _)| *id != s.own).count() as u64
    }),
];

fn count(status: &Status, which: fn(&Connection) -> bool) -> u64 {
    status.connections.iter().filter(|connection| which(connection)).count() as u64
}

impl Metrics {
    /// Of a member that hasn't been looked at.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        Self { host: options.address.to_string(), dir: options.dir.clone(), seen: Mutex::default() }
    }

    /// What a server said; none if it doesn't answer.
    pub fn set(&self, database: Database, state: Option<Status>) {
        let mut seen = self.seen();
        match state {
            Some(state) => seen.states.insert(database, state),
            None => seen.states.remove(&database),
        };
    }

    /// Whether this member's northd is the one that works.
    pub fn northd(&self, active: bool) {
        self.seen().northd_is_active = Some(active);
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, database: Database) -> Vec<(&'static str, String)> {
        vec![("hostname", self.host.clone()), ("db_name", database.name().to_owned())]
    }

    fn of(&self, database: Database, state: &Status) -> Vec<(&'static str, String)> {
        let mut labels = self.place(database);
        labels.extend([("server_id", state.ids.0.clone()), ("cluster_id", state.ids.1.clone())]);
        labels
    }

    fn of_peers(&self, seen: &Seen) -> Vec<Family> {
        let peers = |which: fn(&Status) -> Vec<(String, f64)>| -> Vec<Series> {
            let each = seen
                .states
                .iter()
                .flat_map(|(db, state)| which(state).into_iter().map(move |p| (db, state, p)));
            each.map(|(db, state, (peer, value))| {
                let address = state.servers.iter().find(|(id, _)| *id == peer).map(|(_, at)| at.clone());
                let mut labels = self.of(*db, state);
                labels.extend([("peer_id", peer), ("peer_address", address.unwrap_or_default())]);
                (labels, value)
            })
            .collect()
        };
        vec![
            Family::gauge(
                "kube_ovn_cluster_inbound_peer_connected",
                "Always 1; the labels are a member that has a connection to this one",
                peers(|s| connected(s, false)),
            ),
            Family::gauge(
                "kube_ovn_cluster_outbound_peer_connected",
                "Always 1; the labels are a member that this one has a connection to",
                peers(|s| connected(s, true)),
            ),
            Family::gauge(
                "kube_ovn_cluster_peer_next_index",
                "The entry that the leader sends a member next",
                peers(|s| {
                    s.logs.iter().filter(|l| l.0 != s.own).map(|l| (l.0.clone(), l.1 as f64)).collect()
                }),
            ),
            Family::gauge(
                "kube_ovn_cluster_peer_match_index",
                "The last entry that the leader knows a member to have",
                peers(|s| {
                    s.logs.iter().filter(|l| l.0 != s.own).map(|l| (l.0.clone(), l.2 as f64)).collect()
                }),
            ),
        ]
    }
}

fn connected(status: &Status, outbound: bool) -> Vec<(String, f64)> {
    let all = status.connections.iter().filter(|c| c.stands && c.outbound == outbound);
    all.map(|connection| (connection.peer.clone(), 1.0)).collect()
}

impl Source for Metrics {
    fn families(&self) -> Vec<Family> {
        let seen = self.seen();
        let mut families: Vec<Family> = VALUES
            .iter()
            .map(|(name, help, value)| {
                let each = seen.states.iter();
                let series = each.map(|(db, state)| (self.of(*db, state), value(state) as f64)).collect();
                Family::gauge(name, help, series)
            })
            .collect();
        families.extend(self.of_peers(&seen));
        let size =
            |db: Database| Some((self.place(db), std::fs::metadata(db.file(&self.dir)).ok()?.len() as f64));
        families.push(Family::gauge(
            "kube_ovn_db_file_size_bytes",
            "Size of a database's file, which grows until it is compacted",
            ALL.into_iter().filter_map(size).collect(),
        ));
        let labels = vec![("hostname", self.host.clone())];
        families.push(Family::gauge(
            "tombolo_northd_active",
            "Whether this member's northd is the one that works; one of all members' is",
            seen.northd_is_active.map(|active| (labels, f64::from(u8::from(active)))).into_iter().collect(),
        ));
        families
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tombolo_observe::Observer;

    use super::*;

    fn metrics() -> (Observer, Arc<Metrics>) {
        let args = ["ovn-central", "--members=10.0.0.1", "--address=10.0.0.1", "--dir=/nonexistent"];
        let metrics = Arc::new(Metrics::new(&Options::read(args).unwrap()));
        let observer = Observer::new("test", "1");
        observer.source(&metrics);
        (observer, metrics)
    }

    #[test]
    fn the_list_of_metrics_is_that_of_alerts_and_dashboards() {
        let (observer, _) = metrics();
        tombolo_chart::metrics::agree(tombolo_names::workloads::CENTRAL, &observer.names()).unwrap();
    }

    #[test]
    fn a_server_that_does_not_answer_has_no_series() {
        let (observer, metrics) = metrics();
        let state = Status {
            own: "1a2b".into(),
            ids: ("s".into(), "c".into()),
            term: 7,
            servers: vec![
                ("1a2b".into(), "tcp:10.0.0.1:6643".into()),
                ("9a3f".into(), "tcp:10.0.0.2:6643".into()),
            ],
            logs: vec![("1a2b".into(), 3, 2), ("9a3f".into(), 9, 8)],
            ..Status::default()
        };
        metrics.set(Database::Nb, Some(state));
        let labels = "hostname=\"10.0.0.1\",db_name=\"OVN_Northbound\",server_id=\"s\",cluster_id=\"c\"";
        let text = observer.metrics();
        for line in [
            format!("kube_ovn_cluster_term{{{labels}}} 7.0\n"),
            format!("kube_ovn_cluster_peer_count{{{labels}}} 1.0\n"),
            format!(
                "kube_ovn_cluster_peer_match_index{{{labels},peer_id=\"9a3f\",peer_address=\"tcp:10.0.0.2:6643\"}} 8.0\n"
            ),
        ] {
            assert!(text.contains(&line), "{line} is missing in {text}");
        }
        metrics.set(Database::Nb, None);
        assert!(!observer.metrics().contains("kube_ovn_cluster_term{"));
    }
}
