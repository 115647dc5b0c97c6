//! What a replica costs: memory, time to load, time of one change. `cargo run -p tombolo-ovsdb-servers --example replica -- 50000`

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tombolo_ovn::nb;
use tombolo_ovsdb::{Client, Datum, Mutation, Op, Row, Txn, Uuid};
use tombolo_ovsdb_servers::{NB_23_03, Servers};

const LIMIT: Duration = Duration::from_secs(300);

fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// The server hashes a uuid by its first 32 bits alone: counted up at the end, they would all collide.
fn spread(i: u128) -> Uuid {
    Uuid::from_u128((i << 96).wrapping_mul(0x9E37_79B1) | i)
}

fn port(i: usize) -> nb::LogicalSwitchPort {
    let (ip, node) = (format!("10.{}.{}.{}", i >> 16, i >> 8 & 255, i & 255), format!("node-{}", i % 500));
    let ids = [
        ("vendor", "kube-ovn"),
        ("tombolo.io/cluster", "6f2b0d4c-1111-2222-3333-444455556666"),
        ("ls", "ovn-default"),
        ("ip", ip.as_str()),
        ("node", node.as_str()),
        ("namespace", "some-namespace"),
        ("pod", &format!("some-namespace/deployment-5d4f8c7b9-{i:05}")),
    ];
    nb::LogicalSwitchPort {
        name: format!("deployment-5d4f8c7b9-{i:05}.some-namespace"),
        addresses: [format!("0a:58:{:02x}:{:02x}:{:02x}:00 {ip}", i >> 16, i >> 8 & 255, i & 255)].into(),
        port_security: [format!("0a:58:{:02x}:{:02x}:{:02x}:00 {ip}", i >> 16, i >> 8 & 255, i & 255)].into(),
        external_ids: ids.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        options: [("requested-chassis".to_owned(), node)].into(),
        ..Default::default()
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let count: usize = std::env::args().nth(1).unwrap_or_else(|| "50000".to_owned()).parse()?;
    let servers = Servers::standalone(NB_23_03).await?;
    let switch = Uuid::from_u128(1);
    let mut config = servers.config();
    config.session.wanted = tombolo_ovsdb::Wanted::new();
    let writer = Client::connect(config)?;
    writer.ready(LIMIT).await?;
    let row = Row::new().with("name", Datum::string("ovn-default"));
    writer.transact(Txn::new([Op::insert(nb::LogicalSwitch::TABLE, switch, row)]), LIMIT).await?;
    let started = Instant::now();
    for chunk in (0..count).collect::<Vec<_>>().chunks(500) {
        let uuid = |i: &usize| spread(*i as u128);
        let insert = |i: &usize| Op::insert(nb::LogicalSwitchPort::TABLE, uuid(i), port(*i).to_row());
        let mut ops: Vec<Op> = chunk.iter().map(insert).collect();
        let edges = Mutation::insert(nb::LogicalSwitch::PORTS, Datum::set_of_uuids(chunk.iter().map(uuid)));
        ops.push(Op::mutate(nb::LogicalSwitch::TABLE, switch, [edges]));
        writer.transact(Txn::new(ops), LIMIT).await?;
    }
    println!("{count} ports written in {:?}", started.elapsed());

    let before = resident()?;
    let started = Instant::now();
    let reader = Client::connect(servers.config())?;
    let snapshot = reader.ready(LIMIT).await?;
    println!("loaded in {:?}, server included", started.elapsed());
    let rows: usize = snapshot.replica.tables().map(|(_, table)| table.len()).sum();
    println!("{rows} rows, resident {} kB more", resident()? - before);

    let started = Instant::now();
    let second = Client::connect(servers.config())?;
    second.ready(LIMIT).await?;
    println!("a second client loaded in {:?}", started.elapsed());
    drop(second);
    let started = Instant::now();
    let status = std::process::Command::new("ovsdb-client")
        .args(["dump", &servers.endpoint(0)])
        .stdout(std::process::Stdio::null())
        .status()?;
    println!("ovsdb-client dump ({status}): {:?}", started.elapsed());

    let started = Instant::now();
    let rounds = 100;
    for i in 0..rounds {
        let uuid = spread(1_000_000 + i);
        let txn = Txn::new([
            Op::insert(nb::LogicalSwitchPort::TABLE, uuid, port(count + i as usize).to_row()),
            Op::add_edge(nb::LogicalSwitch::TABLE, switch, nb::LogicalSwitch::PORTS, uuid),
        ]);
        reader.transact(txn, LIMIT).await?;
    }
    println!("one port more: {:?}, server and answer included", started.elapsed() / rounds as u32);
    let mut replica = snapshot.replica.clone();
    let started = Instant::now();
    for i in 0..rounds {
        let uuid = spread(2_000_000 + i);
        replica.put(nb::LogicalSwitchPort::TABLE, uuid, Some(port(i as usize).to_row()));
    }
    println!("one row more in a replica that others hold too: {:?}", started.elapsed() / rounds as u32);
    Ok(())
}
