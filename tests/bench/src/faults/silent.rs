//! A large OpenStack beside us: what changes there shows at once, and when nothing does we do nothing
//! (invariant 9).

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use kube::Api;
use kube::runtime::watcher::{self, watcher};
use tokio::sync::mpsc;
use tombolo_api::Vpc;
use tombolo_ovsdb::driver;
use tombolo_ovsdb::{Datum, Op, Row, Txn, Uuid};
use tombolo_testbed::{Cluster, Controller, eventually};

use super::{Line, Sizes};
use crate::bare;
use crate::bed::{Bed, Northbound as _, PATIENCE};
use crate::meter;

/// Ports of VMs on the network of each router.
const PORTS: usize = 20;
const DEADLINE: Duration = Duration::from_secs(60);

fn uuid(kind: u128, n: usize) -> Uuid {
    Uuid::from_u128(0xbeac_0000_0000_4000_8000_0000_0000_0000 | kind << 96 | n as u128)
}

fn router_name(n: usize) -> String {
    format!("neutron-{}", uuid(1, n))
}

fn map(pairs: &[(&str, &str)]) -> Datum {
    Datum::map_of_strings(pairs.iter().copied())
}

/// Router `n` with a port on a network, and that network with its other end and ports of VMs, as ML2/OVN writes
/// them.
fn router(n: usize) -> Vec<Op> {
    let (lrp, network) = (uuid(2, n), format!("neutron-{}", uuid(3, n)));
    let lrp_name = format!("lrp-{lrp}");
    let address = |host: usize| format!("10.{}.{}.{host}", 128 + n / 256, n % 256);
    let mac =
        |host: usize| format!("fa:16:{:02x}:{:02x}:{:02x}:{host:02x}", n / 65_536, n / 256 % 256, n % 256);
    let network_name = [("neutron:network_name", network.as_str())];
    let port = |host: usize, row: Row| Op::insert("Logical_Switch_Port", uuid(16 + host as u128, n), row);
    let mut ops = vec![
        Op::insert(
            "Logical_Router",
            uuid(1, n),
            Row::new().with("name", Datum::string(router_name(n))).with("ports", Datum::uuid(lrp)).with(
                "external_ids",
                map(&[("neutron:router_name", &format!("router{n}")), ("neutron:gw_port_id", "")]),
            ),
        ),
        Op::insert(
            "Logical_Router_Port",
            lrp,
            Row::new()
                .with("name", Datum::string(lrp_name.as_str()))
                .with("mac", Datum::string(mac(1)))
                .with("networks", Datum::set_of_strings([format!("{}/24", address(1))]))
                .with("external_ids", map(&network_name)),
        ),
        Op::insert(
            "Logical_Switch",
            uuid(3, n),
            Row::new()
                .with("name", Datum::string(network.as_str()))
                .with("ports", Datum::set_of_uuids((0..=PORTS).map(|host| uuid(16 + host as u128, n))))
                .with(
                    "external_ids",
                    map(&[("neutron:network_name", &format!("net{n}")), ("neutron:mtu", "1442")]),
                ),
        ),
        port(
            0,
            Row::new()
                .with("name", Datum::string(uuid(16, n).to_string()))
                .with("type", Datum::string("router"))
                .with("addresses", Datum::set_of_strings(["router"]))
                .with("options", map(&[("router-port", &lrp_name)]))
                .with("external_ids", map(&[("neutron:device_owner", "network:router_interface")])),
        ),
    ];
    ops.extend(
        (1..=PORTS).map(|host| port(host, vm(n, host, &format!("{} {}", mac(host + 1), address(host + 1))))),
    );
    ops
}

fn vm(n: usize, host: usize, address: &str) -> Row {
    Row::new()
        .with("name", Datum::string(uuid(16 + host as u128, n).to_string()))
        .with("addresses", Datum::set_of_strings([address]))
        .with("external_ids", map(&[("neutron:device_owner", "compute:nova"), ("neutron:port_name", "")]))
}

async fn insert(nb: &driver::Client, numbers: std::ops::Range<usize>) -> Result<()> {
    let all: Vec<usize> = numbers.collect();
    for some in all.chunks(10) {
        nb.transact(Txn::new(some.iter().flat_map(|n| router(*n)).collect::<Vec<_>>()), DEADLINE).await?;
    }
    Ok(())
}

/// The names of Vpcs, as a watch brings them.
fn vpcs(client: &kube::Client) -> mpsc::UnboundedReceiver<(String, Instant)> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let api: Api<Vpc> = Api::all(client.clone());
    tokio::spawn(async move {
        let mut stream = std::pin::pin!(watcher(api, watcher::Config::default()));
        while let Some(event) = stream.next().await {
            match event {
                Ok(watcher::Event::Apply(vpc)) => {
                    if sender.send((vpc.metadata.name.unwrap_or_default(), Instant::now())).is_err() {
                        return;
                    }
                }
                // Once the receiver is gone or the runtime ends, the client fails at once each time, for ever.
                Err(_) if sender.is_closed() => return,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                Ok(_) => {}
            }
        }
    });
    receiver
}

/// Routers that come one after the other: the time from the commit to the Vpc, each.
async fn changes(
    bed: &Bed<Cluster>,
    nb: &driver::Client,
    numbers: std::ops::Range<usize>,
) -> Result<Vec<f64>> {
    let mut seen = vpcs(&bed.client);
    tokio::time::sleep(Duration::from_secs(1)).await;
    while seen.try_recv().is_ok() {}
    let mut all = Vec::new();
    for n in numbers {
        nb.transact(Txn::new(router(n)), DEADLINE).await?;
        let committed = Instant::now();
        let at = tokio::time::timeout(PATIENCE, async {
            loop {
                match seen.recv().await {
                    Some((name, at)) if name == router_name(n) => return Some(at),
                    Some(_) => {}
                    None => return None,
                }
            }
        });
        let at =
            at.await.with_context(|| format!("no Vpc of {}", router_name(n)))?.context("the watch ended")?;
        all.push(at.saturating_duration_since(committed).as_secs_f64());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(all)
}

fn at_rest(bed: &Bed<Cluster>, controller: &Controller, count: usize) -> Result<()> {
    eventually("a Vpc for each router", PATIENCE, || {
        let all = bed.api.kubectl(&["get", "vpcs", "-o", "name"])?;
        Ok((all.lines().count() == count + 1).then_some(()))
    })?;
    eventually("rest", PATIENCE, || {
        let before = (bed.nb.written()?, bed.api.writes()?);
        std::thread::sleep(Duration::from_secs(2));
        let waiting = controller.metric("tombolo_engine_waiting_objects")?;
        Ok((waiting == 0.0 && before == (bed.nb.written()?, bed.api.writes()?)).then_some(()))
    })
}

/// First with a twentieth of it, then with all, then nothing.
pub async fn run(controller: &Path, sizes: Sizes) -> Result<Option<Vec<Line>>> {
    let Some(bed) = Bed::start(controller, Cluster::start).await? else { return Ok(None) };
    // invariant 1
    let _guard = bed.guarded(&bed.nb.files())?;
    bed.nodes(1).await?;
    // Production times of the lease: its renewal is all that an idle controller may do.
    let lease = [
        "--leader-elect-lease-duration=30s",
        "--leader-elect-renew-deadline=20s",
        "--leader-elect-retry-period=6s",
    ];
    let mut program = bed.controller("a", &lease)?;
    bed.defaults()?;
    bed.nodes_served().await?;
    let nb = bare::connect(&bed.nb.addresses()).await?;
    let mut lines = Vec::new();
    let mut next = 0;
    for routers in [sizes.routers / 20, sizes.routers] {
        let began = Instant::now();
        insert(&nb, next..routers).await?;
        let inserted = began.elapsed().as_secs_f64();
        at_rest(&bed, &program, routers)?;
        let all = began.elapsed().as_secs_f64();
        let pid = program.pid().context("the controller has ended")?;
        let cpu = meter::cpu(pid)?;
        let end = routers + sizes.changes;
        let seconds = changes(&bed, &nb, routers..end).await?;
        let each = (meter::cpu(pid)? - cpu) * 1000.0 / sizes.changes as f64;
        let times = meter::percentiles(seconds);
        lines.push(Line::text(
            &format!(
                "a router comes, until its Vpc is there: {routers} routers, {} foreign ports",
                routers * PORTS
            ),
            format!(
                "p50 {} ms, p99 {} ms, longest {} ms; {each:.1} ms of the controller's CPU",
                times["p50_ms"], times["p99_ms"], times["max_ms"]
            ),
        ));
        eprintln!(
            "{routers} routers: inserted after {inserted:.1} s, all at rest after {all:.1} s, one more: {times}"
        );
        next = end;
        at_rest(&bed, &program, end)?;
    }
    let before = (bed.nb.written()?, bed.api.writes()?);
    let pid = program.pid().context("the controller has ended")?;
    let cpu = meter::cpu(pid)?;
    tokio::time::sleep(sizes.idle).await;
    let spent = (meter::cpu(pid)? - cpu) / sizes.idle.as_secs_f64();
    let after = (bed.nb.written()?, bed.api.writes()?);
    ensure!(before == after, "written while nothing happened: {before:?}, then {after:?}\n{}", program.log());
    lines.push(Line::text(
        &format!("nothing happens for {} s", sizes.idle.as_secs()),
        format!(
            "no write but the lease, no transaction; {:.2} % of a core, {:.0} MiB",
            spent * 100.0,
            meter::memory(pid)?.0
        ),
    ));
    ensure!(program.is_running(), "the controller has ended");
    ensure!(spent < 0.2, "an idle controller takes {:.0} % of a core", spent * 100.0);
    Ok(Some(lines))
}
