//! A cluster of database servers as clients see it over the wire (ovsdb-server(7), ovsdb-server(5)).
//!
//! Decides what each server says to the bytes it gets: who leads, what is committed where, from where a client can go
//! on. The content of a commit is decided by [`crate::nb`]; here it is an entry of a log that servers have read up to
//! somewhere. A leader that is cut off believes to lead for a while, and answers no transaction. Doesn't do: the
//! election itself, forwarding by followers, databases other than the northbound one.

mod view;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Value, json};
use tombolo_ovsdb::{ChangeSet, Replica, Schema, Uuid};
use tombolo_plan::ClusterId;

use crate::mutant::Mutant;

use view::View;

/// The database's name.
pub const DATABASE: &str = "OVN_Northbound";
/// How many servers there are.
pub const MEMBERS: usize = 3;

/// A commit.
#[derive(Clone, Debug)]
struct Entry {
    id: Uuid,
    changes: ChangeSet,
    /// All rows after it.
    rows: Replica,
}

/// A server.
#[derive(Clone, Debug)]
struct Member {
    /// The last entry it knows.
    applied: usize,
    /// Cut off from the others.
    is_cut_off: bool,
    believes_to_lead: bool,
}

/// A client's connection.
#[derive(Debug)]
struct Conn {
    member: usize,
    unread: Vec<u8>,
    watches_server: bool,
    view: Option<View>,
}

/// What a server does on what it read.
#[derive(Debug)]
pub enum Reply {
    /// Bytes to the client.
    Send(Vec<u8>),
    /// A transaction of this number is to be executed; answer with [`Cluster::answer`].
    Transact(u64),
    /// A transaction that a leader without followers keeps for itself.
    Kept,
    /// The client asked to go on where it was; whether it can.
    Resume(bool),
}

/// The servers.
#[derive(Debug)]
pub struct Cluster {
    members: Vec<Member>,
    leader: usize,
    log: Vec<Entry>,
    /// The first entry from which clients can go on.
    oldest: usize,
    conns: BTreeMap<u64, Conn>,
    /// What the servers do wrong on purpose, and whose rows are ours.
    wrong: Option<(Mutant, ClusterId)>,
}

const CLUSTER_ID: Uuid = Uuid::from_u128(0xc1d0_0000_0000_4000_8000_0000_0000_0001);
const SERVER_ROW: &str = "00000000-0000-4000-8000-000000000001";

/// The schema that servers show: the tables that the controller asks for. A whole one is read by other tests, and reading it
/// at each connection would cost more than all the rest.
static SCHEMA: LazyLock<(Schema, Value)> = LazyLock::new(|| {
    let mut whole: Value =
        serde_json::from_str(tombolo_ovn::nb::SCHEMA).expect("invariant: the pinned schema parses");
    let cluster = tombolo_plan::ClusterId::new("any").expect("invariant: an id");
    let wanted = tombolo_plan::nb::wanted(&cluster);
    if let Some(tables) = whole["tables"].as_object_mut() {
        tables.retain(|name, _| wanted.tables().any(|(table, _)| table == name));
    }
    let schema = Schema::parse(&whole.to_string()).expect("invariant: a part of a schema is one");
    (schema, whole)
});

fn message(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

impl Cluster {
    /// Servers that all have these rows; the first one leads.
    #[must_use]
    pub fn new(rows: &Replica) -> Cluster {
        let first = Entry { id: entry_id(0), changes: ChangeSet::default(), rows: rows.clone() };
        let member = Member { applied: 0, is_cut_off: false, believes_to_lead: false };
        let mut members = vec![member; MEMBERS];
        members[0].believes_to_lead = true;
        Cluster { members, leader: 0, log: vec![first], oldest: 0, conns: BTreeMap::new(), wrong: None }
    }

    /// Makes the servers do wrong.
    pub fn do_wrong(&mut self, wrong: Mutant, cluster: &ClusterId) {
        self.wrong = Some((wrong, cluster.clone()));
    }

    fn does(&self, wrong: Mutant) -> bool {
        self.wrong.as_ref().is_some_and(|(it, _)| *it == wrong)
    }

    /// The server that leads.
    #[must_use]
    pub fn leader(&self) -> usize {
        self.leader
    }

    /// Whether a connection's server has the others' ear.
    #[must_use]
    pub fn is_cut_off(&self, conn: u64) -> bool {
        self.conns.get(&conn).is_some_and(|conn| self.members[conn.member].is_cut_off)
    }

    /// Whether there is a server that is cut off.
    #[must_use]
    pub fn has_cut_off(&self) -> bool {
        self.members.iter().any(|member| member.is_cut_off)
    }

    /// A client connects to a server.
    pub fn connect(&mut self, conn: u64, member: usize) {
        self.conns.insert(conn, Conn { member, unread: Vec::new(), watches_server: false, view: None });
    }

    /// A connection is no more.
    pub fn disconnect(&mut self, conn: u64) {
        self.conns.remove(&conn);
    }

    /// A commit: the servers that hear of it tell their clients.
    pub fn append(&mut self, changes: &ChangeSet, rows: &Replica) -> Vec<(u64, Vec<u8>)> {
        if changes.is_empty() {
            return Vec::new();
        }
        let id = entry_id(self.log.len());
        self.log.push(Entry { id, changes: changes.clone(), rows: rows.clone() });
        let mut out = Vec::new();
        for number in 0..self.members.len() {
            if !self.members[number].is_cut_off {
                self.catch_up(number, &mut out);
            }
        }
        out
    }

    /// Another server leads from now on. The old one knows at once, or not before [`Cluster::rejoin`].
    pub fn change_leader(&mut self, cut_off: bool) -> Vec<(u64, Vec<u8>)> {
        let old = self.leader;
        let next = (1..MEMBERS).map(|step| (old + step) % MEMBERS).find(|it| !self.members[*it].is_cut_off);
        let Some(next) = next.filter(|_| !cut_off || !self.has_cut_off()) else { return Vec::new() };
        self.leader = next;
        let mut out = Vec::new();
        self.members[old].is_cut_off = cut_off;
        self.members[old].believes_to_lead = cut_off;
        self.members[next].believes_to_lead = true;
        for number in [old, next] {
            if !self.members[number].is_cut_off {
                self.tell_state(number, &mut out);
            }
        }
        out
    }

    /// Servers that were cut off notice that they don't lead; `back` makes them hear of the rest too.
    pub fn rejoin(&mut self, back: bool) -> Vec<(u64, Vec<u8>)> {
        let mut out = Vec::new();
        for number in 0..MEMBERS {
            if self.members[number].is_cut_off {
                self.members[number].believes_to_lead = false;
                self.members[number].is_cut_off = !back;
                self.tell_state(number, &mut out);
                if back {
                    self.catch_up(number, &mut out);
                }
            }
        }
        out
    }

    /// Discards the history: a client that connects gets everything.
    pub fn compact(&mut self) {
        self.oldest = self.log.len() - 1;
    }

    fn catch_up(&mut self, number: usize, out: &mut Vec<(u64, Vec<u8>)>) {
        let from = self.members[number].applied;
        for index in from + 1..self.log.len() {
            self.members[number].applied = index;
            let state = self.server_row(number);
            let entry = &self.log[index];
            for (id, conn) in self.conns.iter_mut().filter(|(_, conn)| conn.member == number) {
                if conn.watches_server {
                    out.push((*id, server_update(&json!({ "index": state["index"] }))));
                }
                let Some(view) = &conn.view else { continue };
                let updates = view.updates(&entry.changes);
                if updates.as_object().is_some_and(|tables| !tables.is_empty()) {
                    let params = json!([view.monitor, entry.id, updates]);
                    out.push((*id, message(&json!({ "id": null, "method": "update3", "params": params }))));
                }
            }
        }
    }

    fn tell_state(&self, number: usize, out: &mut Vec<(u64, Vec<u8>)>) {
        let row = self.server_row(number);
        let row = json!({ "connected": row["connected"], "leader": row["leader"], "index": row["index"] });
        let watching = self.conns.iter().filter(|(_, conn)| conn.member == number && conn.watches_server);
        out.extend(watching.map(|(id, _)| (*id, server_update(&row))));
    }

    /// What a server says of itself.
    fn server_row(&self, number: usize) -> Value {
        let member = &self.members[number];
        json!({
            "name": DATABASE, "model": "clustered", "cid": ["uuid", CLUSTER_ID],
            "leader": member.believes_to_lead, "connected": !member.is_cut_off || member.believes_to_lead,
            "index": if self.does(Mutant::StaleAsFresh) { 1 } else { member.applied + 1 },
        })
    }

    /// Bytes from a client.
    ///
    /// # Panics
    /// When they are none that a client of ours may send.
    pub fn receive(&mut self, id: u64, bytes: &[u8]) -> Vec<Reply> {
        let Some(conn) = self.conns.get_mut(&id) else { return Vec::new() };
        conn.unread.extend_from_slice(bytes);
        let mut stream = serde_json::Deserializer::from_slice(&conn.unread).into_iter::<Value>();
        let mut requests = Vec::new();
        let mut read = 0;
        while let Some(Ok(request)) = stream.next() {
            requests.push(request);
            read = stream.byte_offset();
        }
        conn.unread.drain(..read);
        requests.iter().flat_map(|request| self.request(id, request)).collect()
    }

    fn request(&mut self, id: u64, request: &Value) -> Vec<Reply> {
        let (params, method) = (&request["params"], request["method"].as_str());
        let answer = |result: Value| vec![Reply::Send(answer(&request["id"], &result))];
        let Some(conn) = self.conns.get_mut(&id) else { return Vec::new() };
        let number = conn.member;
        match method {
            Some("set_db_change_aware") => answer(json!({})),
            Some("list_dbs") => answer(json!(["_Server", DATABASE])),
            Some("echo") => answer(params.clone()),
            Some("get_schema") => {
                assert_eq!(params, &json!([DATABASE]));
                answer(SCHEMA.1.clone())
            }
            Some("monitor_cond") => {
                assert_eq!((&params[0], &params[1]), (&json!("_Server"), &json!("server")));
                conn.watches_server = true;
                answer(json!({ "Database": { SERVER_ROW: { "initial": self.server_row(number) } } }))
            }
            Some("monitor_cond_since") => {
                assert_eq!(params[0], DATABASE);
                let pretend = self.wrong.as_ref().filter(|(it, _)| *it == Mutant::ForeignAsOurs);
                let pretend = pretend.map(|(_, cluster)| cluster.clone());
                let view = View::new(&SCHEMA.0, &params[1], &params[2], pretend);
                let last: Uuid = serde_json::from_value(params[3].clone()).expect("a transaction's id");
                let applied = self.members[number].applied;
                let from = (self.oldest..=applied).find(|index| self.log[*index].id == last);
                let updates = match from {
                    Some(from) => {
                        let mut changes = ChangeSet::default();
                        for entry in &self.log[from + 1..=applied] {
                            changes.merge(entry.changes.clone());
                        }
                        view.updates(&changes)
                    }
                    None => view.content(&self.log[applied].rows),
                };
                let result = json!([from.is_some(), self.log[applied].id, updates]);
                if let Some(conn) = self.conns.get_mut(&id) {
                    conn.view = Some(view);
                }
                let mut replies = answer(result);
                if !last.is_nil() {
                    replies.push(Reply::Resume(from.is_some()));
                }
                replies
            }
            Some("transact") => {
                assert_eq!(params[0], DATABASE);
                let number_of_request = request["id"].as_u64().expect("a number");
                if self.members[number].is_cut_off && !self.does(Mutant::StaleAsFresh) {
                    vec![Reply::Kept]
                } else {
                    vec![Reply::Transact(number_of_request)]
                }
            }
            // An answer to a question of ours, or a request to drop what is done already.
            None | Some("cancel") => Vec::new(),
            Some(other) => panic!("no client of ours asks for {other}"),
        }
    }

    /// Rows as a server shows them to a new client, for comparison.
    #[must_use]
    pub fn rows_at(&self, member: usize) -> &Replica {
        &self.log[self.members[member].applied].rows
    }
}

/// The answer to a request, as bytes.
#[must_use]
pub fn answer(id: &Value, result: &Value) -> Vec<u8> {
    message(&json!({ "id": id, "result": result, "error": null }))
}

fn server_update(columns: &Value) -> Vec<u8> {
    let params = json!(["server", { "Database": { SERVER_ROW: { "modify": columns } } }]);
    message(&json!({ "id": null, "method": "update2", "params": params }))
}

fn entry_id(index: usize) -> Uuid {
    Uuid::from_u128(0x1d00_0000_0000_4000_8000_0000_0000_0000 + index as u128)
}
