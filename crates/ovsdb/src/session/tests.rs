//! The protocol against a scripted peer: what real servers rarely do, and exact times.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::ops::Op;
use crate::row::Row;
use crate::schema::Wanted;
use crate::value::Datum;

const CID: &str = "11111111-0000-0000-0000-000000000000";
const ROW: &str = "00000000-0000-0000-0000-000000000001";

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn config() -> SessionConfig {
    let wanted = Wanted::new().table("T", &["name", "ids", "newer"]);
    SessionConfig { endpoints: 3, seed: 7, ..SessionConfig::new("D", wanted) }
}

fn schema(newer: bool) -> Value {
    let mut columns = json!({"name": {"type": "string"},
        "ids": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}}});
    if newer {
        columns["newer"] = json!({"type": "integer"});
    }
    json!({"name": "D", "version": "1.0.0", "tables": {"T": {"columns": columns}}})
}

fn server_row(leader: bool, index: i64) -> Value {
    json!({"name": "D", "model": "clustered", "connected": true, "leader": leader,
        "cid": ["uuid", CID], "index": index})
}

/// A session with its peer: the messages that the session sends, and the events that it reports.
struct Bed {
    session: Session,
    now: Duration,
    sent: Vec<Value>,
    events: Vec<SessionEvent>,
    connects: Vec<usize>,
    closes: usize,
    /// Bytes are delivered in pieces of this size.
    piece: usize,
}

impl Bed {
    fn new(config: SessionConfig) -> Bed {
        let session = Session::new(config).unwrap();
        Bed {
            session,
            now: ms(0),
            sent: Vec::new(),
            events: Vec::new(),
            connects: Vec::new(),
            closes: 0,
            piece: usize::MAX,
        }
    }

    fn step(&mut self, input: Input<'_>) {
        for output in self.session.step(self.now, input) {
            match output {
                Output::Connect { endpoint } => self.connects.push(endpoint),
                Output::Send(bytes) => self.sent.push(serde_json::from_slice(&bytes).unwrap()),
                Output::Close => self.closes += 1,
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    /// Lets time pass until something is due.
    fn wait(&mut self) {
        self.now = self.session.next_wakeup().unwrap().max(self.now);
        self.step(Input::Tick);
    }

    fn deliver(&mut self, message: &Value) {
        let bytes = message.to_string().into_bytes();
        for piece in bytes.chunks(self.piece) {
            self.step(Input::Bytes(piece));
        }
    }

    /// Answers the oldest unanswered request of a method.
    fn answer(&mut self, method: &str, result: Value) {
        let request = self.take(method);
        self.deliver(&json!({"id": request["id"], "result": result, "error": null}));
    }

    fn take(&mut self, method: &str) -> Value {
        let at = self.sent.iter().position(|message| message["method"] == method);
        let at = at.unwrap_or_else(|| panic!("no {method} in {:?}", self.sent));
        self.sent.remove(at)
    }

    fn connect(&mut self) {
        self.wait();
        self.step(Input::Connected);
    }

    /// Up to the schema.
    fn greet(&mut self, leader: bool, index: i64) {
        self.connect();
        self.answer("set_db_change_aware", json!({}));
        self.answer("list_dbs", json!(["_Server", "D"]));
        let row = server_row(leader, index);
        self.answer("monitor_cond", json!({"Database": {ROW: {"initial": row}}}));
    }

    fn go_live(&mut self, last: u128, found: bool, updates: Value) -> Value {
        self.greet(true, 1);
        self.answer("get_schema", schema(false));
        let request = self.sent.iter().find(|m| m["method"] == "monitor_cond_since").unwrap().clone();
        self.answer("monitor_cond_since", json!([found, Uuid::from_u128(last), updates]));
        request
    }

    fn update3(&mut self, last: u128, updates: Value) {
        let params = json!(["db", Uuid::from_u128(last), updates]);
        self.deliver(&json!({"id": null, "method": "update3", "params": params}));
    }

    fn name(&self) -> Option<&str> {
        self.session.replica().row("T", &ROW.parse().unwrap()).and_then(|row| row.str("name"))
    }

    fn last_reason(&self) -> &Disconnect {
        let reason = self.events.iter().rev().find_map(|event| match event {
            SessionEvent::Stale { reason, .. } | SessionEvent::Rejected { reason, .. } => Some(reason),
            _ => None,
        });
        reason.unwrap()
    }

    fn answers(&self) -> Vec<(u64, Result<crate::txn::TxnReply, TxnErrorKind>)> {
        let answer = |event: &SessionEvent| match event {
            SessionEvent::Answer { ticket, result } => Some((*ticket, result.clone().map_err(|e| e.kind))),
            _ => None,
        };
        self.events.iter().filter_map(answer).collect()
    }

    fn submit(&mut self, ticket: u64, within: Duration) {
        let txn = Txn::new([Op::insert("T", Uuid::from_u128(9), Row::new())]);
        self.step(Input::Submit { ticket, txn, deadline: self.now + within });
    }
}

fn content() -> Value {
    json!({"T": {ROW: {"initial": {"name": "a", "ids": ["map", [["k", "v"]]]}}}})
}

#[test]
fn one_monitor_with_what_both_know() {
    let mut bed = Bed::new(config());
    let request = bed.go_live(5, false, content());
    let columns = json!({"T": [{"columns": ["ids", "name"]}]});
    assert_eq!(request["params"], json!(["D", "db", columns, Uuid::nil()]));
    assert!(bed.session.is_fresh());
    assert_eq!(bed.name(), Some("a"));
    assert!(matches!(
        &bed.events[..],
        [SessionEvent::Changed(changes), SessionEvent::Fresh { resumed: false, .. }] if changes.len() == 1
    ));
    bed.update3(6, json!({"T": {ROW: {"modify": {"name": "b", "ids": ["map", [["k", "v"], ["l", "w"]]]}}}}));
    assert_eq!(bed.name(), Some("b"));
    let row = bed.session.replica().row("T", &ROW.parse().unwrap()).unwrap();
    assert_eq!(row.get("ids"), Some(&Datum::map_of_strings([("l", "w")])));
}

#[test]
fn resumed_where_it_left_off() {
    let mut bed = Bed::new(config());
    bed.go_live(5, false, content());
    bed.update3(6, json!({"T": {ROW: {"modify": {"name": "b"}}}}));
    bed.step(Input::Closed("x".to_owned()));
    assert!(!bed.session.is_fresh());
    assert_eq!(bed.name(), Some("b"), "readable while stale");
    bed.sent.clear();
    let request = bed.go_live(7, true, json!({"T": {ROW: {"modify": {"name": "c"}}}}));
    assert_eq!(request["params"][3], json!(Uuid::from_u128(6)));
    assert_eq!(bed.name(), Some("c"));
    assert!(matches!(bed.events.last(), Some(SessionEvent::Fresh { resumed: true, .. })));
}

#[test]
fn another_monitor_or_cluster_is_not_resumed() {
    // The server checks only the transaction's id, and would send deltas to content that we never had.
    for (newer, cid) in [(true, CID), (false, "22222222-0000-0000-0000-000000000000")] {
        let mut bed = Bed::new(config());
        bed.go_live(5, false, content());
        bed.step(Input::Closed("x".to_owned()));
        bed.sent.clear();
        bed.connect();
        bed.answer("list_dbs", json!(["D"]));
        let mut row = server_row(true, 1);
        row["cid"] = json!(["uuid", cid]);
        bed.answer("monitor_cond", json!({"Database": {ROW: {"initial": row}}}));
        bed.answer("get_schema", schema(newer));
        let request = bed.take("monitor_cond_since");
        assert_eq!(request["params"][3], json!(Uuid::nil()), "newer: {newer}, cid: {cid}");
    }
}

#[test]
fn a_new_replica_replaces_the_old_one_only_when_whole() {
    let mut bed = Bed::new(config());
    bed.go_live(5, false, content());
    bed.step(Input::Closed("x".to_owned()));
    bed.sent.clear();
    bed.greet(true, 1);
    bed.answer("get_schema", schema(false));
    assert_eq!(bed.name(), Some("a"));
    bed.events.clear();
    let other = "00000000-0000-0000-0000-000000000002";
    bed.answer(
        "monitor_cond_since",
        json!([false, Uuid::from_u128(9), {"T": {other: {"initial": {"name": "z"}}}}]),
    );
    assert_eq!(bed.name(), None);
    let SessionEvent::Changed(changes) = &bed.events[0] else { panic!("{:?}", bed.events) };
    let changed: Vec<_> =
        changes.iter().map(|(_, uuid, c)| (uuid, c.old.is_some(), c.new.is_some())).collect();
    assert_eq!(changed, [(ROW.parse().unwrap(), true, false), (other.parse().unwrap(), false, true)]);
}

#[test]
fn servers_without_monitor_cond_since_send_all() {
    let mut bed = Bed::new(config());
    bed.greet(true, 1);
    bed.answer("get_schema", schema(false));
    let request = bed.take("monitor_cond_since");
    let error = json!({"error": "unknown method", "details": "monitor_cond_since"});
    bed.deliver(&json!({"id": request["id"], "result": null, "error": error}));
    bed.answer("monitor_cond", content());
    assert!(bed.session.is_fresh());
    bed.deliver(&json!({"id": null, "method": "update2", "params": ["db", {"T": {ROW: {"delete": null}}}]}));
    assert_eq!(bed.name(), None);
}

#[test]
fn followers_are_passed_over_at_once_and_rounds_are_spaced() {
    let mut bed = Bed::new(config());
    let mut tried = Vec::new();
    for _ in 0..3 {
        bed.greet(false, 1);
        assert_eq!(bed.now, ms(0));
        assert_eq!(*bed.last_reason(), Disconnect::NotLeader);
        tried.push(*bed.connects.last().unwrap());
    }
    tried.sort_unstable();
    assert_eq!((tried, bed.closes), (vec![0, 1, 2], 3));
    let mut pauses = Vec::new();
    for _ in 0..60 {
        let before = bed.now;
        bed.greet(false, 1);
        pauses.push(bed.now - before);
    }
    let longest = pauses.iter().max().unwrap();
    let cap = Backoff::default().cap;
    assert!(*longest <= cap && *longest >= cap / 2, "{pauses:?}");
    assert_eq!(pauses.iter().filter(|pause| !pause.is_zero()).count(), 20, "one pause a round: {pauses:?}");
}

#[test]
fn a_good_connection_is_replaced_at_once_and_short_ones_ever_later() {
    let mut bed = Bed::new(config());
    let lose = |bed: &mut Bed, after| {
        bed.sent.clear();
        bed.go_live(5, false, content());
        bed.now += after;
        let lost = bed.now;
        bed.step(Input::Closed("x".to_owned()));
        bed.session.next_wakeup().unwrap() - lost
    };
    let stable = Backoff::default().stable_after;
    assert_eq!(lose(&mut bed, stable), ms(0));
    let pauses: Vec<Duration> = (0..9).map(|_| lose(&mut bed, ms(1))).collect();
    for (n, pause) in pauses.iter().enumerate() {
        let full = (Backoff::default().first * (1 << n)).min(Backoff::default().cap);
        assert!(*pause >= full / 2 && *pause <= full, "{n}: {pauses:?}");
    }
    assert_eq!(lose(&mut bed, stable), ms(0));
}

#[test]
fn a_lost_leadership_makes_the_replica_stale() {
    let mut bed = Bed::new(config());
    bed.go_live(5, false, content());
    bed.submit(1, ms(1000));
    let update = json!({"Database": {ROW: {"modify": {"leader": false}}}});
    bed.deliver(&json!({"id": null, "method": "update2", "params": ["server", update]}));
    assert_eq!(*bed.last_reason(), Disconnect::NotLeader);
    assert!(!bed.session.is_fresh());
    // invariant 8: it may have been committed
    assert_eq!(bed.answers(), [(1, Err(TxnErrorKind::UnknownOutcome))]);
}

#[test]
fn a_server_that_knows_less_than_we_do_is_passed_over() {
    let mut bed = Bed::new(config());
    bed.greet(true, 100);
    bed.step(Input::Closed("x".to_owned()));
    bed.sent.clear();
    bed.greet(true, 99);
    assert_eq!(*bed.last_reason(), Disconnect::Behind { index: 99, newest: 100 });
}

#[test]
fn a_cluster_that_was_restored_from_an_older_copy_is_followed_again() {
    let mut bed = Bed::new(SessionConfig { leader_only: true, ..config() });
    bed.greet(true, 100);
    bed.answer("get_schema", schema(false));
    bed.answer("monitor_cond_since", json!([false, Uuid::from_u128(5), content()]));
    assert!(bed.session.is_fresh());
    bed.step(Input::Closed("x".to_owned()));
    let lost = bed.now;
    loop {
        bed.sent.clear();
        bed.greet(true, 99);
        if !bed.sent.iter().any(|message| message["method"] == "get_schema") {
            assert_eq!(*bed.last_reason(), Disconnect::Behind { index: 99, newest: 100 });
            assert!(bed.now - lost < ms(30_000), "never accepted");
            continue;
        }
        break;
    }
    // Not at once: a leader that was just elected may be late.
    assert!(bed.now - lost >= ms(10_000), "{:?}", bed.now - lost);
    bed.answer("get_schema", schema(false));
    let request = bed.take("monitor_cond_since");
    // Nothing of it continues what we had.
    assert_eq!(request["params"][3], Uuid::nil().to_string());
}

#[test]
fn a_changed_schema_starts_over() {
    let mut bed = Bed::new(config());
    bed.go_live(5, false, content());
    let update = json!({"Database": {ROW: {"modify": {"schema": "{}"}}}});
    bed.deliver(&json!({"id": null, "method": "update2", "params": ["server", update]}));
    assert_eq!(*bed.last_reason(), Disconnect::SchemaChanged);
    bed.sent.clear();
    bed.go_live(6, false, content());
    bed.deliver(&json!({"id": null, "method": "monitor_canceled", "params": ["db"]}));
    assert_eq!(*bed.last_reason(), Disconnect::MonitorCanceled);
}

#[test]
fn a_contradiction_drops_the_replica_and_asks_for_all() {
    let mut bed = Bed::new(config());
    bed.go_live(5, false, content());
    let other = "00000000-0000-0000-0000-000000000002";
    bed.update3(6, json!({"T": {ROW: {"modify": {"name": "half"}}, other: {"modify": {"name": "x"}}}}));
    assert!(matches!(bed.last_reason(), Disconnect::Inconsistent(_)));
    assert_eq!((bed.name(), bed.closes), (Some("a"), 1), "the last consistent content stays");
    bed.sent.clear();
    let request = bed.go_live(7, false, content());
    assert_eq!(request["params"][3], json!(Uuid::nil()));
}

#[test]
fn echo_both_ways() {
    let mut bed = Bed::new(config());
    bed.go_live(5, false, content());
    bed.deliver(&json!({"id": "echo", "method": "echo", "params": [1]}));
    assert_eq!(bed.sent.pop().unwrap(), json!({"id": "echo", "result": [1], "error": null}));
    let start = bed.now;
    for round in 1..=5 {
        bed.wait();
        assert_eq!(bed.now, start + config().probe_interval * round);
        bed.answer("echo", json!([]));
    }
    assert!(bed.session.is_fresh());
    bed.wait();
    bed.take("echo");
    bed.wait();
    assert_eq!(*bed.last_reason(), Disconnect::ProbeTimeout);
    assert_eq!(bed.now, start + config().probe_interval * 7);
}

#[test]
fn requests_have_deadlines_that_a_flowing_answer_extends() {
    let quiet = SessionConfig { probe_interval: Duration::ZERO, ..config() };
    let mut bed = Bed::new(quiet.clone());
    bed.greet(true, 1);
    bed.wait();
    assert_eq!(*bed.last_reason(), Disconnect::RequestTimeout { method: "get_schema" });
    assert_eq!(bed.now, quiet.request_timeout);

    let mut bed = Bed::new(quiet.clone());
    bed.connect();
    for _ in 0..10 {
        bed.now += quiet.request_timeout - ms(1);
        bed.step(Input::Bytes(b" "));
        bed.step(Input::Tick);
    }
    assert!(bed.events.is_empty(), "{:?}", bed.events);
    bed.wait();
    assert!(matches!(bed.last_reason(), Disconnect::RequestTimeout { .. }));

    // A big snapshot is waited for longer, and without probes, which a composing server can't answer.
    let mut bed = Bed::new(config());
    bed.greet(true, 1);
    bed.answer("get_schema", schema(false));
    bed.wait();
    assert_eq!(*bed.last_reason(), Disconnect::RequestTimeout { method: "monitor_cond_since" });
    assert_eq!(bed.now, config().snapshot_timeout);

    // A dial that never ends.
    let mut bed = Bed::new(quiet);
    bed.wait();
    bed.wait();
    assert!(matches!(bed.last_reason(), Disconnect::ConnectFailed(_)));
    assert_eq!(bed.now, config().connect_timeout);
    assert_eq!(bed.closes, 1);
}

#[test]
fn what_becomes_of_transactions() {
    // invariant 8
    let mut bed = Bed::new(config());
    bed.submit(1, ms(1000));
    bed.go_live(5, false, content());
    bed.submit(2, ms(1000));
    bed.answer("transact", json!([{"uuid": ["uuid", Uuid::from_u128(9)]}]));
    bed.submit(3, ms(0));
    bed.submit(4, ms(1000));
    let late = bed.take("transact");
    bed.wait();
    let cancel = bed.take("cancel");
    assert_eq!((cancel["id"].clone(), cancel["params"][0].clone()), (Value::Null, late["id"].clone()));
    bed.deliver(&json!({"id": late["id"], "result": [{"uuid": ["uuid", ROW]}], "error": null}));
    bed.submit(5, ms(1000));
    bed.step(Input::Closed("x".to_owned()));
    let kinds: Vec<_> = bed.answers().into_iter().map(|(ticket, r)| (ticket, r.err())).collect();
    assert_eq!(
        kinds,
        [
            (1, Some(TxnErrorKind::NotConnected)),
            (2, None),
            (3, Some(TxnErrorKind::Deadline)),
            (4, Some(TxnErrorKind::UnknownOutcome)),
            (5, Some(TxnErrorKind::UnknownOutcome))
        ]
    );
}

#[test]
fn a_write_is_in_the_replica_before_its_answer() {
    let mut bed = Bed::new(config());
    bed.go_live(5, false, content());
    bed.events.clear();
    bed.submit(1, ms(1000));
    let request = bed.take("transact");
    let update = json!(["db", Uuid::from_u128(6), {"T": {ROW: {"modify": {"name": "b"}}}}]);
    let both = format!(
        "{}{}",
        json!({"id": null, "method": "update3", "params": update}),
        json!({"id": request["id"], "result": [{"uuid": ["uuid", ROW]}], "error": null})
    );
    bed.step(Input::Bytes(both.as_bytes()));
    assert!(matches!(&bed.events[..], [SessionEvent::Changed(_), SessionEvent::Answer { .. }]));
}

#[test]
fn the_way_bytes_are_cut_makes_no_difference() {
    let run = |piece| {
        let mut bed = Bed::new(config());
        bed.piece = piece;
        bed.go_live(5, false, content());
        bed.update3(6, json!({"T": {ROW: {"modify": {"name": "}{\"\\"}}}}));
        format!("{:?} {:?} {:?}", bed.sent, bed.events, bed.session.replica())
    };
    let whole = run(usize::MAX);
    assert!([1, 2, 3, 7].iter().all(|piece| run(*piece) == whole));
}

#[derive(Clone, Debug)]
enum Anything {
    Connected,
    Failed,
    Closed,
    Bytes(Vec<u8>),
    Message(u64, usize),
    Wait(u64),
    Submit,
}

fn anything() -> impl Strategy<Value = Anything> {
    prop_oneof![
        3 => Just(Anything::Connected),
        1 => Just(Anything::Failed),
        1 => Just(Anything::Closed),
        1 => proptest::collection::vec(any::<u8>(), 0..20).prop_map(Anything::Bytes),
        8 => (0u64..8, 0usize..10).prop_map(|(id, which)| Anything::Message(id, which)),
        3 => (0u64..20_000).prop_map(Anything::Wait),
        2 => Just(Anything::Submit),
    ]
}

proptest! {
    /// Whatever a peer says and in whatever order: no panic, each transaction is answered exactly once,
    /// and something is always due or connecting.
    #[test]
    fn no_peer_confuses_the_session(inputs in proptest::collection::vec(anything(), 0..60)) {
        let mut bed = Bed::new(config());
        let mut tickets = 0;
        let messages = [
            json!({"result": ["D"], "error": null}),
            json!({"result": {}, "error": null}),
            json!({"result": {"Database": {ROW: {"initial": server_row(true, 1)}}}, "error": null}),
            json!({"result": schema(false), "error": null}),
            json!({"result": [false, Uuid::nil(), content()], "error": null}),
            json!({"result": [true, Uuid::nil(), content()], "error": null}),
            json!({"result": null, "error": {"error": "unknown method"}}),
            json!({"method": "update3", "params": ["db", Uuid::nil(), content()]}),
            json!({"method": "update2", "params": ["server", {"Database": {ROW: {"delete": null}}}]}),
            json!({"result": [{"count": 0}, null, 7], "error": null}),
        ];
        for input in inputs {
            match input {
                Anything::Connected => bed.step(Input::Connected),
                Anything::Failed => bed.step(Input::ConnectFailed("x".to_owned())),
                Anything::Closed => bed.step(Input::Closed("x".to_owned())),
                Anything::Bytes(bytes) => bed.step(Input::Bytes(&bytes)),
                Anything::Message(id, which) => {
                    let mut message = messages[which].clone();
                    message["id"] = json!(id);
                    bed.deliver(&message);
                }
                Anything::Wait(time) => {
                    bed.now += ms(time);
                    bed.step(Input::Tick);
                }
                Anything::Submit => {
                    bed.submit(tickets, ms(1000));
                    tickets += 1;
                }
            }
            prop_assert!(bed.session.next_wakeup().is_some());
        }
        bed.now += ms(10_000_000);
        bed.step(Input::Tick);
        bed.step(Input::Closed("x".to_owned()));
        let mut answered: Vec<u64> = bed.answers().iter().map(|(ticket, _)| *ticket).collect();
        answered.sort_unstable();
        prop_assert_eq!(answered, (0..tickets).collect::<Vec<_>>());
    }
}
