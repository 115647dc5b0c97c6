//! The client against a real RAFT cluster: the leader is found and followed, what was missed is resumed.

use std::time::Duration;

use anyhow::Result;
use tombolo_needs::needs;
use tombolo_ovn::nb;
use tombolo_ovsdb::{Client, Datum, Op, Retry, Row, Txn, TxnErrorKind, Uuid, Wanted};
use tombolo_ovsdb_servers::{LIMIT, NB_23_03, Servers, until};

fn set(n: u128) -> Op {
    let row = Row::new().with("name", Datum::string(format!("as{n}")));
    Op::insert(nb::AddressSet::TABLE, Uuid::from_u128(n), row)
}

/// Writes until it is done, as the controller does: after each failure look at the replica and plan again.
async fn write(client: &Client, n: u128) -> Result<()> {
    let deadline = tokio::time::Instant::now() + LIMIT;
    loop {
        let snapshot = client.ready(LIMIT).await?;
        if snapshot.replica.row(nb::AddressSet::TABLE, &Uuid::from_u128(n)).is_some() {
            return Ok(());
        }
        match client.transact(Txn::new([set(n)]), Duration::from_secs(10)).await {
            Ok(_) => return Ok(()),
            // An unknown outcome that was a commit shows as a duplicate while the replica lags: look again.
            Err(error) if error.retry() != Retry::Split || error.kind == TxnErrorKind::DuplicateUuid => {
                anyhow::ensure!(tokio::time::Instant::now() < deadline, "never written: {error}");
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn count(client: &Client) -> usize {
    client.snapshot().replica.table(nb::AddressSet::TABLE).map_or(0, |table| table.len())
}

#[tokio::test]
async fn the_leader_is_found_and_followed() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    let servers = Servers::cluster(NB_23_03, 3).await?;
    let client = servers.client().await?;
    let mut expected = 0;
    for _ in 0..4 {
        let leader = servers.leader().await?;
        let endpoint = servers.endpoint(leader);
        let mut status = client.watch_status();
        let on_leader = status.wait_for(|s| s.fresh && s.endpoint == endpoint);
        tokio::time::timeout(LIMIT, on_leader).await??;
        for _ in 0..5 {
            expected += 1;
            write(&client, expected).await?;
        }
        assert_eq!(count(&client) as u128, expected);
        servers.transfer_leadership().await?;
    }
    let status = client.status();
    assert!(status.connects >= 4, "{status:?}");
    // The same cluster and the same monitor: nothing but what was missed is sent.
    assert_eq!(status.resumes, status.connects - 1, "{status:?}");
    assert_eq!(status.inconsistencies, 0);
    Ok(())
}

#[tokio::test]
async fn a_leader_that_dies_is_replaced() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    let mut servers = Servers::cluster(NB_23_03, 3).await?;
    let client = servers.client().await?;
    let observer = Client::connect(servers.config().leader_only(false))?;
    observer.ready(LIMIT).await?;
    write(&client, 1).await?;
    let old = servers.leader().await?;
    servers.kill(old);
    for n in 2..=10 {
        write(&client, n).await?;
    }
    assert_ne!(servers.leader().await?, old);
    servers.start(old).await?;
    for n in 11..=20 {
        write(&client, n).await?;
    }
    until(&observer, "all rows on any member", |s| {
        s.fresh && s.replica.table(nb::AddressSet::TABLE).map_or(0, |table| table.len()) == 20
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn without_a_majority_nothing_is_fresh() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    let mut servers = Servers::cluster(NB_23_03, 3).await?;
    let client = servers.client().await?;
    write(&client, 1).await?;
    let leader = servers.leader().await?;
    let others: Vec<usize> = (0..3).filter(|m| *m != leader).collect();
    for member in &others {
        servers.kill(*member);
    }
    // The old leader notices after an election timeout; what was asked meanwhile has no known outcome.
    until(&client, "staleness", |s| !s.fresh).await?;
    assert_eq!(count(&client), 1, "the old content stays readable");
    for member in others {
        servers.start(member).await?;
    }
    write(&client, 2).await?;
    assert_eq!(count(&client), 2);
    Ok(())
}

#[tokio::test]
async fn what_was_missed_is_resumed_after_a_restart() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    let mut servers = Servers::cluster(NB_23_03, 1).await?;
    let client = servers.client().await?;
    for n in 1..=5 {
        write(&client, n).await?;
    }
    servers.kill(0);
    until(&client, "staleness", |s| !s.fresh).await?;
    servers.start(0).await?;
    client.ready(LIMIT).await?;
    let status = client.status();
    assert_eq!((status.connects, status.resumes), (2, 1), "{status:?}");
    assert_eq!(count(&client), 5);
    write(&client, 6).await?;
    assert_eq!(count(&client), 6);
    Ok(())
}

#[tokio::test]
async fn changes_made_while_away_arrive_as_deltas() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    let servers = Servers::cluster(NB_23_03, 1).await?;
    let client = servers.client().await?;
    write(&client, 1).await?;
    let mut changes = client.changes();
    changes.recv().await.expect("the client lives");
    // Cut off, the client reconnects and receives what changed in between; a second client makes the changes.
    let writer = servers.client().await?;
    for round in 2..8u128 {
        servers.appctl(0, "ovsdb-server/reconnect", &[]).await?;
        write(&writer, round).await?;
        until(&client, "the row", |s| {
            s.fresh && s.replica.row(nb::AddressSet::TABLE, &Uuid::from_u128(round)).is_some()
        })
        .await?;
    }
    let update = changes.recv().await.expect("the client lives");
    assert!(!update.resynced, "resumed each time");
    assert_eq!(update.changes.of_table(nb::AddressSet::TABLE).count(), 6);
    let status = client.status();
    assert_eq!(status.resumes, status.connects - 1, "{status:?}");
    Ok(())
}

#[tokio::test]
async fn a_converted_cluster_gives_a_new_replica() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    // The columns monitored change, so nothing may be resumed (which session/tests.rs proves for a server that would).
    let servers = Servers::cluster(NB_23_03, 1).await?;
    let wanted = Wanted::new()
        .table(nb::AddressSet::TABLE, &[nb::AddressSet::NAME])
        .table(nb::LogicalRouterPort::TABLE, &[nb::LogicalRouterPort::NAME, nb::LogicalRouterPort::STATUS]);
    let config = tombolo_ovsdb::ClientConfig::new(servers.endpoints(), nb::DATABASE, wanted);
    let client = Client::connect(config)?;
    client.ready(LIMIT).await?;
    write(&client, 1).await?;
    std::fs::write(servers.dir().join("new"), nb::SCHEMA)?;
    let status = std::process::Command::new("ovsdb-client")
        .args(["convert", &servers.endpoint(0), "new"])
        .current_dir(servers.dir())
        .status()?;
    assert!(status.success());
    let has_status = |caps: &tombolo_ovsdb::Capabilities| {
        caps.has_column(nb::LogicalRouterPort::TABLE, nb::LogicalRouterPort::STATUS)
    };
    until(&client, "the newer schema", |s| s.fresh && s.capabilities.as_deref().is_some_and(has_status))
        .await?;
    let status = client.status();
    assert_eq!(status.resumes, 0, "{status:?}");
    assert_eq!(count(&client), 1);
    Ok(())
}
