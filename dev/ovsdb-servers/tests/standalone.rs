//! The client against a real standalone ovsdb-server with the older generation's NB schema.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use tombolo_needs::needs;
use tombolo_ovn::nb;
use tombolo_ovsdb::{
    Atom, Client, Condition, Datum, IndexSpec, Mutation, Op, OpResult, Retry, Row, Txn, TxnErrorKind, Uuid,
    Wanted,
};
use tombolo_ovsdb_servers::{LIMIT, NB_23_03, Servers, free_port, until};

const SWITCH: Uuid = Uuid::from_u128(0x1111);
const PORT: Uuid = Uuid::from_u128(0x2222);
const EPOCH: Uuid = Uuid::from_u128(0x3333);

fn switch() -> nb::LogicalSwitch {
    nb::LogicalSwitch { uuid: SWITCH, name: "net2".to_owned(), ..Default::default() }
}

fn port() -> nb::LogicalSwitchPort {
    nb::LogicalSwitchPort {
        uuid: PORT,
        name: "ubuntu.net2".to_owned(),
        addresses: ["00:00:00:01:02:03 12.0.1.2".to_owned()].into(),
        external_ids: BTreeMap::from([("vendor".to_owned(), "kube-ovn".to_owned())]),
        ..Default::default()
    }
}

fn switch_with_port() -> Txn {
    Txn::new([
        Op::insert(nb::LogicalSwitch::TABLE, SWITCH, switch().to_row()),
        Op::insert(nb::LogicalSwitchPort::TABLE, PORT, port().to_row()),
        Op::add_edge(nb::LogicalSwitch::TABLE, SWITCH, nb::LogicalSwitch::PORTS, PORT),
    ])
    .comment("a switch and its port")
}

async fn servers() -> Result<Servers> {
    Servers::standalone(NB_23_03).await
}

fn name_keys(row: &Row) -> Vec<Atom> {
    row.str("name").map(Atom::from).into_iter().collect()
}

#[tokio::test]
async fn a_write_is_in_the_replica_when_its_answer_is_there() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    let servers = servers().await?;
    let index = IndexSpec::by(nb::LogicalSwitchPort::TABLE, "name", name_keys);
    let client = Client::connect(servers.config().index(index))?;
    client.ready(LIMIT).await?;
    for round in 0..50u128 {
        let (switch_uuid, port_uuid) = (Uuid::from_u128(1000 + round), Uuid::from_u128(2000 + round));
        let name = format!("port{round}");
        let port = nb::LogicalSwitchPort { name: name.clone(), ..port() };
        let switch = nb::LogicalSwitch { name: format!("switch{round}"), ..switch() };
        let reply = client
            .transact(
                Txn::new([
                    Op::insert(nb::LogicalSwitch::TABLE, switch_uuid, switch.to_row()),
                    Op::insert(nb::LogicalSwitchPort::TABLE, port_uuid, port.to_row()),
                    Op::add_edge(nb::LogicalSwitch::TABLE, switch_uuid, nb::LogicalSwitch::PORTS, port_uuid),
                ]),
                LIMIT,
            )
            .await?;
        assert_eq!(reply.results[0], OpResult::Inserted(switch_uuid));
        let replica = client.snapshot().replica;
        let row = replica.row(nb::LogicalSwitch::TABLE, &switch_uuid).expect("the switch is there");
        assert!(row.get(nb::LogicalSwitch::PORTS).expect("monitored").contains_uuid(port_uuid));
        let found: Vec<Uuid> = replica
            .find(nb::LogicalSwitchPort::TABLE, "name", &Atom::from(name))
            .map(|(uuid, _)| uuid)
            .collect();
        assert_eq!(found, [port_uuid]);
        let read = replica.row(nb::LogicalSwitchPort::TABLE, &port_uuid).expect("the port is there");
        let read = nb::LogicalSwitchPort::from_row(port_uuid, read);
        assert_eq!(read, nb::LogicalSwitchPort { uuid: port_uuid, ..port });
    }
    Ok(())
}

#[tokio::test]
async fn a_fence_refuses_the_writes_of_a_deposed_leader() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    // invariant 7
    let servers = servers().await?;
    let client = servers.client().await?;
    let epoch = |n: &'static str| Datum::map_of_strings([("epoch", n)]);
    let row = Row::new().with("name", Datum::string("tombolo.epoch")).with("external_ids", epoch("7"));
    client.transact(Txn::new([Op::insert(nb::AddressSet::TABLE, EPOCH, row)]), LIMIT).await?;
    let fence =
        |n| Op::require_match(nb::AddressSet::TABLE, EPOCH, [Condition::includes("external_ids", epoch(n))]);
    client.transact(switch_with_port().require(fence("7")), LIMIT).await?;

    let rename =
        Op::update(nb::LogicalSwitch::TABLE, SWITCH, Row::new().with("name", Datum::string("stolen")));
    let error = client.transact(Txn::new([rename]).require(fence("6")), LIMIT).await.unwrap_err();
    assert_eq!((error.kind, error.retry()), (TxnErrorKind::PreconditionFailed, Retry::Replan));
    let replica = client.snapshot().replica;
    assert_eq!(replica.row(nb::LogicalSwitch::TABLE, &SWITCH).and_then(|r| r.str("name")), Some("net2"));
    Ok(())
}

#[tokio::test]
async fn guards_on_absence_and_on_unchanged_columns() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    let servers = servers().await?;
    let client = servers.client().await?;
    let absent =
        || Op::require_none(nb::LogicalSwitch::TABLE, [Condition::eq("name", Datum::string("net2"))]);
    client.transact(switch_with_port().require(absent()), LIMIT).await?;
    let other = Uuid::from_u128(0x4444);
    let again = Txn::new([Op::insert(nb::LogicalSwitch::TABLE, other, switch().to_row())]).require(absent());
    let error = client.transact(again, LIMIT).await.unwrap_err();
    assert_eq!(error.kind, TxnErrorKind::PreconditionFailed);

    let unchanged = |name: &'static str| {
        Op::require_columns(nb::LogicalSwitch::TABLE, SWITCH, Row::new().with("name", Datum::string(name)))
    };
    let tag = || {
        let change = Mutation::set_keys("external_ids", [("a", "1"), ("b", "2")]);
        Op::mutate(nb::LogicalSwitch::TABLE, SWITCH, change)
    };
    client.transact(Txn::new([tag()]).require(unchanged("net2")), LIMIT).await?;
    let error = client.transact(Txn::new([tag()]).require(unchanged("else")), LIMIT).await.unwrap_err();
    assert_eq!(error.kind, TxnErrorKind::PreconditionFailed);
    let replica = client.snapshot().replica;
    let row = replica.row(nb::LogicalSwitch::TABLE, &SWITCH).expect("there");
    assert_eq!(row.key("external_ids", "b"), Some("2"));
    // An overwrite needs the pair that set_keys makes.
    let change = Mutation::set_keys("external_ids", [("b", "3")]);
    client.transact(Txn::new([Op::mutate(nb::LogicalSwitch::TABLE, SWITCH, change)]), LIMIT).await?;
    let replica = client.snapshot().replica;
    let row = replica.row(nb::LogicalSwitch::TABLE, &SWITCH).expect("there");
    assert_eq!((row.key("external_ids", "a"), row.key("external_ids", "b")), (Some("1"), Some("3")));
    Ok(())
}

#[tokio::test]
async fn each_kind_of_refusal_is_told_from_the_others() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    let servers = servers().await?;
    let client = servers.client().await?;
    client.transact(switch_with_port(), LIMIT).await?;

    let error = client.transact(switch_with_port(), LIMIT).await.unwrap_err();
    assert_eq!(error.kind, TxnErrorKind::DuplicateUuid, "{error}");

    // invariant 8: a count of 0 is an error
    let gone = Uuid::from_u128(0x9999);
    for op in [
        Op::update(nb::LogicalSwitch::TABLE, gone, Row::new().with("name", Datum::string("x"))),
        Op::delete(nb::LogicalSwitch::TABLE, gone),
        Op::add_edge(nb::LogicalSwitch::TABLE, gone, nb::LogicalSwitch::PORTS, PORT),
    ] {
        let error = client.transact(Txn::new([op]), LIMIT).await.unwrap_err();
        assert_eq!((error.kind, error.retry()), (TxnErrorKind::NothingMatched, Retry::Replan), "{error}");
    }
    // The same, atomically: with a guard nothing of the transaction is written.
    let rename = Op::update(nb::LogicalSwitch::TABLE, SWITCH, Row::new().with("name", Datum::string("x")));
    let guarded = Txn::new([rename]).require(Op::require_row(nb::LogicalSwitch::TABLE, gone));
    assert_eq!(client.transact(guarded, LIMIT).await.unwrap_err().kind, TxnErrorKind::PreconditionFailed);

    // An index is checked at commit: the error is an extra element of the answer.
    let set = || Row::new().with("name", Datum::string("as"));
    let insert = |n| Op::insert(nb::AddressSet::TABLE, Uuid::from_u128(n), set());
    let error = client.transact(Txn::new([insert(1), insert(2)]), LIMIT).await.unwrap_err();
    assert_eq!((error.kind, error.at), (TxnErrorKind::ConstraintViolation, None), "{error}");

    // A value outside its enumeration.
    let acl = nb::Acl { action: "maybe".into(), direction: nb::AclDirection::ToLport, ..Default::default() };
    let error = client
        .transact(Txn::new([Op::insert(nb::Acl::TABLE, Uuid::from_u128(3), acl.to_row())]), LIMIT)
        .await
        .unwrap_err();
    assert_eq!((error.kind, error.retry()), (TxnErrorKind::ConstraintViolation, Retry::Split), "{error}");

    // A strong reference to nothing.
    let edge = Op::add_edge(nb::LogicalSwitch::TABLE, SWITCH, nb::LogicalSwitch::PORTS, gone);
    let error = client.transact(Txn::new([edge]), LIMIT).await.unwrap_err();
    assert_eq!(error.kind, TxnErrorKind::ReferentialIntegrity, "{error}");

    // A column that this older server lacks.
    let tier = Op::update(nb::Acl::TABLE, SWITCH, Row::new().with(nb::Acl::TIER, Datum::integer(1)));
    let error = client.transact(Txn::new([tier]), LIMIT).await.unwrap_err();
    assert_eq!((error.kind, error.retry()), (TxnErrorKind::Refused, Retry::Split), "{error}");

    let error = client.transact(switch_with_port(), Duration::ZERO).await.unwrap_err();
    assert_eq!(error.kind, TxnErrorKind::Deadline, "{error}");
    Ok(())
}

#[tokio::test]
async fn named_references_and_selects() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    let servers = servers().await?;
    let client = servers.client().await?;
    let row = port().to_row();
    let insert =
        Op::Insert { table: nb::LogicalSwitchPort::TABLE, uuid: None, uuid_name: Some("p".to_owned()), row };
    let row = switch().to_row().with(nb::LogicalSwitch::PORTS, Datum::named_uuid("p"));
    let parent = Op::insert(nb::LogicalSwitch::TABLE, SWITCH, row);
    let select = Op::Select {
        table: nb::LogicalSwitch::TABLE,
        conditions: vec![Condition::eq("name", Datum::string("net2"))],
        columns: vec!["_uuid", "ports"],
    };
    let reply = client.transact(Txn::new([insert, parent, select]), LIMIT).await?;
    let OpResult::Inserted(child) = reply.results[0] else { panic!("{reply:?}") };
    let expected = Row::new().with("_uuid", Datum::uuid(SWITCH)).with("ports", Datum::set_of_uuids([child]));
    assert_eq!(reply.results[2], OpResult::Rows(vec![expected]));
    Ok(())
}

#[tokio::test]
async fn changes_lead_from_snapshot_to_snapshot() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    let servers = servers().await?;
    let (ours, theirs) = (servers.client().await?, servers.client().await?);
    let mut changes = ours.changes();
    let first = changes.recv().await.expect("the client lives");
    assert!(first.resynced && first.snapshot.fresh && first.changes.is_empty());
    let mut before = first.snapshot;

    theirs.transact(switch_with_port(), LIMIT).await?;
    let rename = Row::new().with("name", Datum::string("renamed"));
    theirs.transact(Txn::new([Op::update(nb::LogicalSwitch::TABLE, SWITCH, rename)]), LIMIT).await?;
    // The row without a parent goes with the edge: the server's garbage collection is a delete for us.
    let cut = Op::remove_edge(nb::LogicalSwitch::TABLE, SWITCH, nb::LogicalSwitch::PORTS, PORT);
    theirs.transact(Txn::new([cut]), LIMIT).await?;

    let done = |replica: &tombolo_ovsdb::Replica| {
        replica.row(nb::LogicalSwitch::TABLE, &SWITCH).is_some_and(|row| row.str("name") == Some("renamed"))
            && replica.row(nb::LogicalSwitchPort::TABLE, &PORT).is_none()
    };
    while !done(&before.replica) {
        let update = tokio::time::timeout(LIMIT, changes.recv()).await?.expect("the client lives");
        assert!(!update.resynced && update.snapshot.generation > before.generation);
        for (table, uuid, change) in update.changes.iter() {
            assert_eq!(before.replica.row(table, &uuid), change.old.as_ref(), "{table} {uuid}");
            assert_eq!(update.snapshot.replica.row(table, &uuid), change.new.as_ref(), "{table} {uuid}");
        }
        before = update.snapshot;
    }
    drop(ours);
    assert!(changes.recv().await.is_none(), "the subscription ends with the client");
    Ok(())
}

#[tokio::test]
async fn an_older_server_without_tables_and_columns_is_tolerated() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    let servers = servers().await?;
    let client = servers.client().await?;
    let caps = client.capabilities().expect("connected");
    assert_eq!(caps.schema().version, "7.0.0");
    assert!(caps.has_column(nb::Acl::TABLE, nb::Acl::MATCH));
    assert!(!caps.has_column(nb::Acl::TABLE, nb::Acl::TIER));
    assert!(!caps.has_table(nb::SamplingApp::TABLE));
    let replica = client.snapshot().replica;
    assert!(replica.table(nb::SamplingApp::TABLE).is_none());
    client.transact(switch_with_port(), LIMIT).await?;
    let row = client.snapshot().replica.row(nb::LogicalSwitchPort::TABLE, &PORT).cloned().expect("there");
    assert!(row.get(nb::LogicalSwitchPort::PEER).is_none());
    assert_eq!(nb::LogicalSwitchPort::from_row(PORT, &row).peer, None);
    Ok(())
}

#[tokio::test]
async fn the_schema_is_converted_under_a_living_client() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    let servers = servers().await?;
    let client = servers.client().await?;
    client.transact(switch_with_port(), LIMIT).await?;
    std::fs::write(servers.dir().join("new"), nb::SCHEMA)?;
    let status = std::process::Command::new("ovsdb-client")
        .args(["convert", &servers.endpoint(0), "new"])
        .current_dir(servers.dir())
        .status()?;
    assert!(status.success());
    let snapshot = until(&client, "the newer schema", |s| {
        s.fresh && s.capabilities.as_ref().is_some_and(|c| c.has_column(nb::Acl::TABLE, nb::Acl::TIER))
    })
    .await?;
    let row = snapshot.replica.row(nb::LogicalSwitchPort::TABLE, &PORT).expect("the rows are kept");
    assert!(row.get(nb::LogicalSwitchPort::PEER).is_some());
    Ok(())
}

#[tokio::test]
async fn a_killed_server_leaves_a_stale_replica_until_it_is_back() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    let mut servers = servers().await?;
    let client = servers.client().await?;
    client.transact(switch_with_port(), LIMIT).await?;
    let before = client.snapshot();
    servers.kill(0);
    let stale = until(&client, "staleness", |s| !s.fresh).await?;
    // invariant 6: readable, but marked
    assert!(stale.replica.row(nb::LogicalSwitch::TABLE, &SWITCH).is_some());
    let error = client.transact(switch_with_port(), LIMIT).await.unwrap_err();
    assert_eq!((error.kind, error.retry()), (TxnErrorKind::NotConnected, Retry::WhenConnected), "{error}");
    let not_ready = client.ready(Duration::from_millis(50)).await.unwrap_err();
    assert!(!not_ready.last_error.is_empty());

    servers.start(0).await?;
    let mut changes = client.changes();
    let snapshot = client.ready(LIMIT).await?;
    let row = |s: &tombolo_ovsdb::Snapshot| s.replica.row(nb::LogicalSwitch::TABLE, &SWITCH).cloned();
    let (old, new) = (row(&before).expect("there"), row(&snapshot).expect("there"));
    assert!(std::sync::Arc::ptr_eq(&old, &new), "rows that didn't change are shared across a resync");
    assert!(changes.recv().await.is_some());
    client.transact(Txn::new([Op::delete(nb::LogicalSwitch::TABLE, SWITCH)]), LIMIT).await?;
    assert!(client.snapshot().replica.row(nb::LogicalSwitchPort::TABLE, &PORT).is_none());
    let status = client.status();
    assert_eq!((status.connects, status.resumes), (2, 0), "a standalone server can't resume");
    Ok(())
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_an_unknown_outcome() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    let mut servers = servers().await?;
    let client = Client::connect(servers.config().probe_interval(Duration::ZERO))?;
    client.ready(LIMIT).await?;
    servers.signal(0, "STOP")?;
    let error = client.transact(switch_with_port(), Duration::from_millis(300)).await.unwrap_err();
    // invariant 8
    assert_eq!((error.kind, error.retry()), (TxnErrorKind::UnknownOutcome, Retry::Replan), "{error}");
    assert!(error.may_have_committed());
    // It was committed after all, and the replica gets to know.
    servers.signal(0, "CONT")?;
    until(&client, "the switch", |s| s.replica.row(nb::LogicalSwitch::TABLE, &SWITCH).is_some()).await?;

    // The same when the server dies with the transaction in hand.
    servers.signal(0, "STOP")?;
    let delete = client.clone();
    let pending = tokio::spawn(async move {
        delete.transact(Txn::new([Op::delete(nb::LogicalSwitch::TABLE, SWITCH)]), LIMIT).await
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    servers.kill(0);
    let error = pending.await?.unwrap_err();
    assert_eq!(error.kind, TxnErrorKind::UnknownOutcome, "{error}");
    Ok(())
}

#[tokio::test]
async fn a_silent_server_is_given_up() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    let servers = servers().await?;
    let client = Client::connect(servers.config().probe_interval(Duration::from_millis(300)))?;
    client.ready(LIMIT).await?;
    // Idle longer than two intervals: probes are answered, the replica stays fresh.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(client.status().connects, 1, "{:?}", client.status());
    servers.signal(0, "STOP")?;
    until(&client, "staleness", |s| !s.fresh).await?;
    servers.signal(0, "CONT")?;
    client.ready(LIMIT).await?;
    Ok(())
}

#[tokio::test]
async fn a_wrong_database_is_named_with_what_is_there() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    let servers = servers().await?;
    let config = tombolo_ovsdb::ClientConfig::new(servers.endpoints(), "OVN_Southbound", Wanted::new());
    let client = Client::connect(config)?;
    let mut status = client.watch_status();
    let wait = status.wait_for(|status| status.last_error.contains("OVN_Northbound"));
    tokio::time::timeout(LIMIT, wait).await??;
    Ok(())
}

#[tokio::test]
async fn a_client_without_tables_can_write() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    let servers = servers().await?;
    let config = tombolo_ovsdb::ClientConfig::new(servers.endpoints(), nb::DATABASE, Wanted::new());
    let client = Client::connect(config)?;
    client.ready(LIMIT).await?;
    client.transact(switch_with_port(), LIMIT).await?;
    Ok(())
}

#[tokio::test]
async fn a_condition_leaves_rows_out() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    let servers = servers().await?;
    let writer = servers.client().await?;
    writer.transact(switch_with_port(), LIMIT).await?;
    let other = nb::LogicalSwitch { name: "other".to_owned(), ..Default::default() };
    let insert = Op::insert(nb::LogicalSwitch::TABLE, Uuid::from_u128(5), other.to_row());
    writer.transact(Txn::new([insert]), LIMIT).await?;
    let wanted = Wanted::new()
        .table(nb::LogicalSwitch::TABLE, &[nb::LogicalSwitch::NAME])
        .only(nb::LogicalSwitch::TABLE, vec![Condition::eq("name", Datum::string("other"))]);
    let config = tombolo_ovsdb::ClientConfig::new(servers.endpoints(), nb::DATABASE, wanted);
    let client = Client::connect(config)?;
    let replica = client.ready(LIMIT).await?.replica;
    let names: Vec<_> =
        replica.rows(nb::LogicalSwitch::TABLE).filter_map(|(_, row)| row.str("name")).collect();
    assert_eq!(names, ["other"]);
    assert!(replica.table(nb::LogicalSwitchPort::TABLE).is_none(), "not wanted, not monitored");
    Ok(())
}

#[tokio::test]
async fn over_tcp() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    // Another process may take the port in between: then the server doesn't listen, and we take another.
    for _ in 0..5 {
        let port = free_port()?;
        let remotes = [format!("ptcp:{port}:127.0.0.1")];
        let servers = Servers::standalone_with(NB_23_03, &remotes, &[]).await?;
        if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            continue;
        }
        let endpoints = format!("tcp:[127.0.0.1]:{port}").parse()?;
        let mut config = servers.config();
        config.endpoints = endpoints;
        let client = Client::connect(config)?;
        client.ready(LIMIT).await?;
        client.transact(switch_with_port(), LIMIT).await?;
        assert!(client.snapshot().replica.row(nb::LogicalSwitchPort::TABLE, &PORT).is_some());
        return Ok(());
    }
    panic!("no free port");
}

#[tokio::test]
async fn a_large_database_comes_in_one_message() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    const PORTS: usize = 20_000;
    let servers = servers().await?;
    let writer = servers.client().await?;
    writer
        .transact(Txn::new([Op::insert(nb::LogicalSwitch::TABLE, SWITCH, switch().to_row())]), LIMIT)
        .await?;
    for chunk in 0..PORTS / 1000 {
        let mut ops = Vec::new();
        let mut edges = Vec::new();
        for i in chunk * 1000..(chunk + 1) * 1000 {
            // In the first 32 bits, by which alone the server hashes.
            let uuid = Uuid::from_u128((i as u128 + 1) << 96);
            let port = nb::LogicalSwitchPort { name: format!("pod{i}.ns"), ..port() };
            ops.push(Op::insert(nb::LogicalSwitchPort::TABLE, uuid, port.to_row()));
            edges.push(uuid);
        }
        let edges = Mutation::insert(nb::LogicalSwitch::PORTS, Datum::set_of_uuids(edges));
        ops.push(Op::mutate(nb::LogicalSwitch::TABLE, SWITCH, [edges]));
        writer.transact(Txn::new(ops), LIMIT).await?;
    }
    let reader = servers.client().await?;
    let (ours, theirs) = (reader.snapshot().replica, writer.snapshot().replica);
    assert_eq!(ours.table(nb::LogicalSwitchPort::TABLE).map(|t| t.len()), Some(PORTS));
    let mut ours = ours;
    assert!(theirs.changes_to(&mut ours).is_empty(), "built from deltas or from a snapshot: the same");
    Ok(())
}
