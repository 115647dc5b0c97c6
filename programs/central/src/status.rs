//! What a member says of its cluster: `cluster/status`, ovsdb-server(1).

use std::net::IpAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::process::Command;
use tombolo_ovsdb::Uuid;
use tombolo_ovsdb::driver::unixctl;

use crate::database::{Database, endpoint};
use crate::options::Options;
use crate::tls::files::Paths;

/// For one answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// A member's state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// `cluster member`, `joining cluster` …
    pub status: String,
    /// Whether it leads.
    pub leads: bool,
    /// Whether it knows a leader.
    pub has_leader: bool,
    /// The election's number, which grows with each.
    pub term: u64,
    /// Members as this one knows them: short ids and addresses.
    pub servers: Vec<(String, String)>,
    /// This one's short id.
    pub own: String,
    /// The ids of the server and of its cluster, whole.
    pub ids: (String, String),
    /// Whether it voted for itself.
    pub votes_self: bool,
    /// Milliseconds without a leader until it wants to be one.
    pub election_timer: u64,
    /// The first entry of its log, and the one after the last.
    pub log: (u64, u64),
    /// Entries that it hasn't committed yet, and not applied.
    pub waiting: (u64, u64),
    /// Connections to others and from others; those in parentheses are being made.
    pub connections: Vec<Connection>,
    /// What the leader knows of each one's log: short id, next and match index.
    pub logs: Vec<(String, u64, u64)>,
}

/// A connection between members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The other one's short id.
    pub peer: String,
    /// This one made it.
    pub outbound: bool,
    /// It stands.
    pub stands: bool,
}

impl Status {
    /// Whether it is of use: joined, and with a leader.
    #[must_use]
    pub fn is_member(&self) -> bool {
        self.status == "cluster member" && self.has_leader
    }

    /// Members that are gone: at the place of another one. Where a disk was replaced, the new member has another id.
    #[must_use]
    pub fn replaced(&self, newest: &str, place: &str) -> Vec<String> {
        let same = self.servers.iter().filter(|(_, at)| crate::decide::place(at) == place);
        same.filter(|(id, _)| id != newest).map(|(id, _)| id.clone()).collect()
    }
}

/// Asks the server behind a control socket.
///
/// # Errors
/// A server that doesn't answer.
pub async fn ask(socket: &Path, database: Database) -> Result<Status> {
    let text = unixctl::call(socket, "cluster/status", &[database.name()], DEADLINE).await;
    Ok(parse(&text.with_context(|| format!("asking for the {database}'s state"))?))
}

/// Whether a member answers that it has joined this cluster: the table Database of `_Server`, ovsdb-server(5).
pub async fn has_joined(options: &Options, database: Database, member: IpAddr, cluster: Uuid) -> bool {
    let select = json!(["_Server", { "op": "select", "table": "Database", "columns": ["cid", "connected"],
        "where": [["name", "==", database.name()]] }]);
    let mut client = Command::new("ovsdb-client");
    if options.ssl {
        client.args(Paths::below(&options.dir).options());
    }
    let server = endpoint(options.method(), member, database.port());
    client.args(["--timeout=3", "query", &server, &select.to_string()]);
    let output = client.stdin(Stdio::null()).kill_on_drop(true).output();
    match tokio::time::timeout(DEADLINE, output).await {
        Ok(Ok(output)) => is_of(&String::from_utf8_lossy(&output.stdout), cluster),
        _ => false,
    }
}

/// One that hasn't joined isn't connected, whatever id it was given.
fn is_of(answer: &str, cluster: Uuid) -> bool {
    let answer: Value = serde_json::from_str(answer).unwrap_or_default();
    let row = &answer[0]["rows"][0];
    row["cid"] == json!(["uuid", cluster.to_string()]) && row["connected"] == json!(true)
}

fn parse(text: &str) -> Status {
    let mut status = Status::default();
    let mut in_servers = false;
    for line in text.lines() {
        if in_servers {
            parse_server(line, &mut status);
        } else if let Some((key, value)) = line.split_once(':') {
            in_servers = key == "Servers";
            parse_line(key, value.trim(), &mut status);
        }
    }
    status
}

/// `    1a2b (1a2b at tcp:10.0.0.1:6643) (self) next_index=2 match_index=8`
fn parse_server(line: &str, status: &mut Status) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [id, _, "at", address, ..] = words[..] else { return };
    status.servers.push((id.to_owned(), address.trim_end_matches(')').to_owned()));
    let index = |key: &str| words.iter().find_map(|word| word.strip_prefix(key)?.parse().ok());
    if let (Some(next), Some(matched)) = (index("next_index="), index("match_index=")) {
        status.logs.push((id.to_owned(), next, matched));
    }
}

fn parse_line(key: &str, value: &str, status: &mut Status) {
    let number = || value.parse().unwrap_or_default();
    // `1a2b (1a2bc3d4-…)`: short, and whole.
    let first = || value.split_whitespace().next().unwrap_or_default().to_owned();
    let whole =
        || value.split_once('(').map(|(_, id)| id.trim_end_matches(')').to_owned()).unwrap_or_default();
    match key {
        "Status" => value.clone_into(&mut status.status),
        "Role" => status.leads = value == "leader",
        "Leader" => status.has_leader = value != "unknown",
        "Vote" => status.votes_self = value == "self",
        "Term" => status.term = number(),
        "Server ID" => {
            status.own = first();
            status.ids.0 = whole();
        }
        "Cluster ID" => status.ids.1 = whole(),
        "Election timer" => status.election_timer = number(),
        "Log" => {
            let both = value.trim_matches(['[', ']']).split_once(", ");
            status.log =
                both.map(|(a, b)| (a.parse().unwrap_or(0), b.parse().unwrap_or(0))).unwrap_or_default();
        }
        "Entries not yet committed" => status.waiting.0 = number(),
        "Entries not yet applied" => status.waiting.1 = number(),
        "Connections" => status.connections = value.split_whitespace().filter_map(connection).collect(),
        _ => {}
    }
}

/// `->1a2b`, `<-1a2b`, `(->1a2b)`.
fn connection(word: &str) -> Option<Connection> {
    let inner = word.trim_start_matches('(').trim_end_matches(')');
    let outbound = inner.strip_prefix("->");
    let peer = outbound.or_else(|| inner.strip_prefix("<-"))?.to_owned();
    Some(Connection { peer, outbound: outbound.is_some(), stands: inner.len() == word.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_member_that_has_joined_counts() {
        let answer =
            |cid: &str, connected: bool| format!(r#"[{{"rows":[{{"cid":{cid},"connected":{connected}}}]}}]"#);
        let cluster: Uuid = "75cd76b4-fbd6-4d5d-a5a1-b1ab4a7eb4a3".parse().unwrap();
        let same = format!(r#"["uuid","{cluster}"]"#);
        assert!(is_of(&answer(&same, true), cluster));
        assert!(!is_of(&answer(&same, false), cluster));
        assert!(!is_of(&answer(r#"["set",[]]"#, true), cluster) && !is_of("", cluster));
    }

    #[test]
    fn an_answer_is_read() {
        let text = "e1a4\nName: OVN_Northbound\nCluster ID: 75cd (75cd76b4-fbd6-4d5d-a5a1-b1ab4a7eb4a3)\n\
                    Server ID: e1a4 (e1a4a4d2-6d0f-4c3b-9f2f-1b4f1d1f9f3c)\nAddress: tcp:127.0.0.1:6643\nStatus: cluster member\n\
                    Role: leader\nTerm: 4\nLeader: self\nVote: self\n\nElection timer: 1000\nLog: [2, 9]\n\
                    Entries not yet committed: 0\nConnections: ->0000 <-9a3f (->77aa)\nDisconnections: 0\nServers:\n    \
                    e1a4 (e1a4 at tcp:127.0.0.1:6643) (self) next_index=2 match_index=8\n    \
                    9a3f (9a3f at tcp:127.0.0.2:6643) next_index=9 match_index=8 last msg 2 ms ago\n    \
                    77aa (77aa at tcp:127.0.0.2:6643) next_index=9 match_index=0\n";
        let status = parse(text);
        assert!(status.is_member() && status.leads && status.term == 4 && status.own == "e1a4");
        assert_eq!(status.ids.0, "e1a4a4d2-6d0f-4c3b-9f2f-1b4f1d1f9f3c");
        assert_eq!((status.election_timer, status.log, status.waiting), (1000, (2, 9), (0, 0)));
        assert!(status.votes_self && status.connections.iter().all(|c| c.stands == (c.peer != "77aa")));
        assert_eq!(status.connections.iter().filter(|c| c.outbound).count(), 2);
        assert_eq!(status.logs[1], ("9a3f".to_owned(), 9, 8));
        assert_eq!(status.servers.len(), 3);
        assert_eq!(status.replaced("9a3f", "127.0.0.2:6643"), ["77aa"]);
        assert!(!parse("Status: joining cluster\nRole: follower\nLeader: unknown\n").is_member());
    }
}
