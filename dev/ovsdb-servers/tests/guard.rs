//! The guard of foreign rows on a cluster of three: one log in three files, of which each may be away, behind, compacted or
//! made anew.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tombolo_foreign_rows::{Database, Guard, wire};
use tombolo_needs::needs;
use tombolo_ovn::nb;
use tombolo_ovsdb_servers::Servers;
use tombolo_plan::ClusterId;

const OURS: &str = "tombolo-controller: epoch 1 of c";

async fn transact(servers: &Servers, comment: &str, operation: Value) -> Result<()> {
    let leader = servers.leader().await?;
    let comment = json!({"op": "comment", "comment": comment});
    wire::transact(&servers.endpoint(leader), nb::DATABASE, &[operation, comment]).map(drop)
}

fn insert(name: &str) -> Value {
    json!({"op": "insert", "table": "Logical_Switch", "row": {"name": name}})
}

/// A foreign transaction and one of ours: the guard distinguishes them.
async fn both(servers: &Servers, guard: &Guard, what: &str) -> Result<()> {
    transact(servers, "neutron", insert(what)).await?;
    guard.check().with_context(|| what.to_owned())?;
    let touch = json!({"op": "delete", "table": "Logical_Switch", "where": [["name", "==", what]]});
    transact(servers, OURS, touch).await?;
    let said = guard.check().err().with_context(|| format!("{what}: not caught"))?.to_string();
    ensure!(said.contains(what) && said.lines().count() == 2, "{what}: {said}");
    Ok(())
}

// invariant 1
#[tokio::test]
async fn a_cluster_is_followed_through_all_that_happens_to_it() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    let mut servers = Servers::cluster(nb::SCHEMA, 3).await?;
    let files: Vec<_> = (0..3).map(|member| servers.dir().join(format!("s{member}.db"))).collect();
    let cluster = ClusterId::new("c").map_err(anyhow::Error::msg)?;
    let guard = Guard::of(cluster).watch(Database::Northbound, "NB", &files).start()?;
    both(&servers, &guard, "at the start").await?;

    for round in 0..3 {
        servers.transfer_leadership().await?;
        both(&servers, &guard, &format!("transferred {round}")).await?;
        for member in 0..3 {
            servers.appctl(member, "ovsdb-server/compact", &[nb::DATABASE]).await.ok();
        }
        both(&servers, &guard, &format!("compacted {round}")).await?;
    }
    // A member that is away, and gets a snapshot when it comes back.
    let leader = servers.leader().await?;
    let away = (leader + 1) % 3;
    servers.kill(away);
    for round in 0..3 {
        both(&servers, &guard, &format!("one away {round}")).await?;
        servers.appctl(servers.leader().await?, "ovsdb-server/compact", &[nb::DATABASE]).await.ok();
    }
    servers.start(away).await?;
    servers.wait_status(away, "Status: cluster member").await?;
    both(&servers, &guard, "back again").await?;
    // The leader dies with what it has just written.
    let leader = servers.leader().await?;
    transact(&servers, "neutron", insert("last words")).await?;
    servers.kill(leader);
    both(&servers, &guard, "after the leader").await?;
    servers.start(leader).await?;
    both(&servers, &guard, "all three").await?;
    ensure!(guard.foreign("NB")?.values().any(|row| row.contains("last words")));
    Ok(())
}
