//! What an entry in a shared row costs, in a small row and in one of 50,000: beside a bare client's mutation of the same row.
//!
//! An entry is one mutation, so the bare client's time is the server's own for a row of that size. Ours adds the comparison
//! and the replica with its reverse index, until the replica shows it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tombolo_ovn::nb::{AddressSet, LogicalSwitch};
use tombolo_ovsdb::driver::{Client, ClientConfig};
use tombolo_ovsdb::{Atom, Datum, Mutation, Op, Replica, Row, Txn, Uuid, Wanted};
use tombolo_ovsdb_servers::Servers;
use tombolo_plan::desired::{DesiredRow, Entry, Managed, Rows, entries_mark};
use tombolo_plan::nb::{self, table};
use tombolo_plan::{ClusterId, Owner};

use crate::meter;

const LIMIT: Duration = Duration::from_secs(60);
const SET: Uuid = Uuid::from_u128(0x5e70_0000_0000_5000_8000_0000_0000_0001);
/// How often an entry comes and goes in a measurement.
const ROUNDS: usize = 200;

fn address(number: usize) -> String {
    format!("10.{}.{}.{}", number / 65_536, number / 256 % 256, number % 256)
}

/// The rows of an owner with one entry in the set, or none.
fn wanted(cluster: &ClusterId, owner: &Owner, uuid: Uuid, present: bool) -> Rows {
    let one = Entry {
        table: table::ADDRESS_SET,
        row: SET,
        column: AddressSet::ADDRESSES,
        element: Atom::from("192.0.2.1"),
        value: None,
    };
    let entries = if present { vec![one] } else { Vec::new() };
    let mut ids = cluster.marks(owner);
    ids.extend(entries_mark(&entries));
    let columns = BTreeMap::from([(LogicalSwitch::EXTERNAL_IDS, Managed::Keys(ids))]);
    Rows { rows: vec![DesiredRow { table: table::SWITCH, uuid, columns, edges: Vec::new() }], entries }
}

async fn holds(client: &Client, present: bool) -> Result<Replica> {
    let mut snapshots = client.watch();
    let seen = snapshots.wait_for(|snapshot| {
        let row = snapshot.replica.row(table::ADDRESS_SET, &SET);
        let has = |row: &std::sync::Arc<Row>| {
            row.get(AddressSet::ADDRESSES).is_some_and(|it| it.contains(&Atom::from("192.0.2.1")))
        };
        row.is_some_and(|row| has(row) == present)
    });
    let snapshot =
        tokio::time::timeout(LIMIT, seen).await.context("the replica doesn't show the entry")??;
    Ok(snapshot.replica.clone())
}

/// A row of so many entries: microseconds of each part.
async fn run(entries: usize) -> Result<Value> {
    let servers = Servers::standalone(tombolo_ovn::nb::SCHEMA).await?;
    let cluster = ClusterId::new("bench").map_err(|error| anyhow::anyhow!("{error}"))?;
    let owner = Owner::subnet("s");
    let uuid = cluster.row_uuid(table::SWITCH, &owner, "switch");
    let nothing = Wanted::new().table("NB_Global", &["name"]);
    let config = |wanted| ClientConfig::new(servers.endpoints(), "OVN_Northbound", wanted).signed("bench");
    let bare = Client::connect(config(nothing))?;
    let indexes = nb::indexes().into_iter();
    let ours = indexes.fold(config(nb::wanted(&cluster)), |config, index| config.index(index));
    let ours = Client::connect(ours)?;
    bare.ready(LIMIT).await?;
    ours.ready(LIMIT).await?;
    let marks = |owner: &Owner| Datum::map_of_strings(cluster.marks(owner));
    let set = Row::new()
        .with(AddressSet::NAME, Datum::string("set"))
        .with(AddressSet::EXTERNAL_IDS, marks(&Owner::node("n")))
        .with(AddressSet::ADDRESSES, Datum::set_of_strings((0..entries).map(address)));
    let switch = Row::new()
        .with(LogicalSwitch::NAME, Datum::string("s"))
        .with(LogicalSwitch::EXTERNAL_IDS, marks(&owner));
    let ops = [Op::insert(table::ADDRESS_SET, SET, set), Op::insert(table::SWITCH, uuid, switch)];
    bare.transact(Txn::new(ops), LIMIT).await?;
    let mut replica = holds(&ours, false).await?;
    let (mut raw, mut compare, mut commit) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let present = round % 2 == 0;
        let element = Datum::string("198.51.100.1");
        let mutation = if present { Mutation::insert } else { Mutation::delete };
        let op = Op::mutate(table::ADDRESS_SET, SET, [mutation(AddressSet::ADDRESSES, element)]);
        let began = Instant::now();
        bare.transact(Txn::new([op]), LIMIT).await?;
        raw.push(began.elapsed());
        let began = Instant::now();
        let group = tombolo_diff::diff(&replica, &cluster, &owner, &wanted(&cluster, &owner, uuid, present))?;
        compare.push(began.elapsed());
        let on_set = group.ops.iter().filter(|op| op.target() == Some(SET)).count();
        if on_set != 1 {
            bail!("an entry is {on_set} operations on the shared row: {:?}", group.ops);
        }
        let began = Instant::now();
        let mut txn = Txn::new(group.ops);
        txn.preconditions.extend(group.preconditions);
        ours.transact(txn, LIMIT).await?;
        replica = holds(&ours, present).await?;
        commit.push(began.elapsed());
    }
    let median = |all: &mut Vec<Duration>| {
        all.sort_unstable();
        all[all.len() / 2].as_secs_f64() * 1e6
    };
    let (raw, compare, commit) = (median(&mut raw), median(&mut compare), median(&mut commit));
    Ok(json!({
        "entries": entries,
        "bare_us": meter::round(raw, 0), "compare_us": meter::round(compare, 1), "commit_us": meter::round(commit, 0),
        "ratio": meter::round(raw / (compare + commit), 2),
    }))
}

/// Rows of each of these sizes.
///
/// # Errors
/// No server, or an entry that is more than one operation.
pub async fn sizes(sizes: &[usize]) -> Result<Vec<Value>> {
    if !tombolo_ovsdb_servers::are_there() {
        bail!("ovsdb-server is missing: apt-get install openvswitch-switch");
    }
    let mut all = Vec::new();
    for size in sizes {
        eprintln!("a row of {size} entries …");
        all.push(run(*size).await?);
    }
    Ok(all)
}
