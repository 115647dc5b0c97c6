//! `provision`: how fast pods get their network, beside a client that does only what can't be avoided.
//!
//! Both sides get fresh servers, the same nodes, and pods made by the same workers as fast as the API server takes
//! them; both are seen by the same watch. Half of the pods are behind a router of Neutron's, half in the default
//! Subnet.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tombolo_testbed::{Controller, Nb, eventually};

use crate::bare::{self, Job};
use crate::bed::{AT_ONCE, Bed, PATIENCE, create_pod};
use crate::meter::{self, Cpu};
use crate::pods::Pods;

/// Pods one by one, at rest, for the time a single pod takes.
const SINGLE: usize = 100;
const SINGLE_EVERY: Duration = Duration::from_millis(50);

/// Pods before the measurement, of both sides: connections are open then, and the API server serves the kind (it lets
/// the first object of a new one wait for two seconds).
const WARM: usize = 64;

/// The namespaces pods are made in, by turns.
const NAMESPACES: [&str; 2] = ["bench", "plain"];

/// A size.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Pods.
    pub pods: usize,
    /// Nodes.
    pub nodes: usize,
}

fn job(number: usize, nodes: usize) -> Job {
    Job {
        number,
        namespace: NAMESPACES[number % NAMESPACES.len()].to_owned(),
        name: format!("pod{number}"),
        node: format!("node{}", number % nodes),
        uid: String::new(),
    }
}

/// Makes pods with all workers; each one that exists goes to `made`.
async fn create(
    bed: &Bed<Nb>,
    numbers: std::ops::Range<usize>,
    nodes: usize,
    made: Option<mpsc::Sender<Job>>,
) -> Result<Vec<(Job, Instant)>> {
    let one = |number| {
        let (mut job, client, made) = (job(number, nodes), bed.client.clone(), made.clone());
        async move {
            job.uid = create_pod(&client, &job.namespace, &job.name, &job.node).await?;
            let at = Instant::now();
            if let Some(made) = made {
                made.send(job.clone()).await.context("nobody serves pods any more")?;
            }
            anyhow::Ok((job, at))
        }
    };
    stream::iter(numbers.map(one)).buffer_unordered(AT_ONCE).try_collect().await
}

/// The bare client alone.
pub async fn bare(controller: &Path, size: Size) -> Result<Option<Value>> {
    let Some(bed) = Bed::start(controller, Nb::start).await? else { return Ok(None) };
    bed.nodes(size.nodes).await?;
    for namespace in NAMESPACES {
        bed.namespace(namespace).await?;
    }
    let nb = bare::connect(bed.nb.address()).await?;
    bare::switches(&nb, &NAMESPACES).await?;
    let pods = Pods::watch(&bed.client);
    let process = bed.nb.process().map(tombolo_testbed::Process::pid);
    let run = async |numbers| {
        let (sender, jobs) = mpsc::channel(65_536);
        let start = Instant::now();
        let create = async {
            create(&bed, numbers, size.nodes, Some(sender)).await?;
            anyhow::Ok(start.elapsed())
        };
        let (created, ()) = tokio::try_join!(create, bare::serve(bed.client.clone(), nb.clone(), jobs))?;
        anyhow::Ok((start, created))
    };
    run(0..WARM).await?;
    pods.routed(WARM, PATIENCE).await?;
    let before = Cpu::read(&bed.api, &[("nb", process)])?;
    let (start, created) = run(WARM..WARM + size.pods).await?;
    pods.routed(WARM + size.pods, PATIENCE).await?;
    let took = start.elapsed();
    let spent = Cpu::read(&bed.api, &[("nb", process)])?;
    Ok(Some(json!({
        "pods_per_s": meter::round(size.pods as f64 / took.as_secs_f64(), 1),
        "seconds": meter::round(took.as_secs_f64(), 1),
        "seconds_of_creation": meter::round(created.as_secs_f64(), 1),
        "cpu_ms_per_pod": spent.per(&before, size.pods),
    })))
}

/// Waits until the controller has nothing left to do and neither side was written for two seconds.
fn quiet(bed: &Bed<Nb>, controller: &Controller) -> Result<()> {
    eventually("the controller to be at rest", PATIENCE, || {
        let before = (bed.nb.transactions()?, bed.api.writes()?);
        std::thread::sleep(Duration::from_secs(2));
        let waiting = controller.metric("tombolo_engine_waiting_objects")?;
        let leads = controller.metric("leader_election_master_status")?;
        let same = before == (bed.nb.transactions()?, bed.api.writes()?);
        Ok((waiting == 0.0 && leads == 1.0 && same).then_some(()))
    })
}

/// Our controller.
pub async fn ours(controller: &Path, size: Size, progress: impl Fn(&str)) -> Result<Option<Value>> {
    let Some(bed) = Bed::start(controller, Nb::start).await? else { return Ok(None) };
    bed.nodes(size.nodes).await?;
    let (router, _) = bed.nb.neutron_router(1, "router0", "192.168.1.0/24")?;
    let mut program = bed.controller("a", &[])?;
    bed.defaults()?;
    bed.subnet_on_router("bench", "12.0.0.0/16", &router).await?;
    bed.namespace("plain").await?;
    bed.nodes_served().await?;
    let pods = Pods::watch(&bed.client);
    create(&bed, 0..WARM, size.nodes, None).await?;
    pods.routed(WARM, PATIENCE).await?;
    quiet(&bed, &program)?;

    let nb = bed.nb.process().map(tombolo_testbed::Process::pid);
    let read = |program: &Controller| Cpu::read(&bed.api, &[("nb", nb), ("controller", program.pid())]);
    let (before, writes, transactions) = (read(&program)?, bed.api.writes()?, bed.nb.transactions()?);
    let start = Instant::now();
    let made = create(&bed, WARM..WARM + size.pods, size.nodes, None).await?;
    let created = start.elapsed();
    pods.routed(WARM + size.pods, PATIENCE).await?;
    let took = start.elapsed();
    let spent = read(&program)?;
    let times = pods.times();
    let waits = made.iter().filter_map(|(job, at)| {
        let routed = times.get(&(job.namespace.clone(), job.name.clone()))?;
        Some(routed.saturating_duration_since(*at).as_secs_f64())
    });
    let burst = meter::percentiles(waits.collect());
    quiet(&bed, &program)?;
    let mut written = meter::grown(&writes, &bed.api.writes()?);
    written.remove("POST pods"); // the benchmark's own
    let transactions = bed.nb.transactions()? - transactions;
    let turns = program.get("/metrics")?.1;
    progress(&format!("{:.0} pods/s", size.pods as f64 / took.as_secs_f64()));

    let mut waits = Vec::new();
    let all = WARM + size.pods + SINGLE;
    for number in WARM + size.pods..all {
        let (job, next) = (job(number, size.nodes), Instant::now() + SINGLE_EVERY);
        create_pod(&bed.client, &job.namespace, &job.name, &job.node).await?;
        let at = Instant::now();
        let routed = pods.one(&(job.namespace, job.name), PATIENCE).await?;
        waits.push(routed.saturating_duration_since(at).as_secs_f64());
        tokio::time::sleep_until(next.into()).await;
    }
    let single = meter::percentiles(waits);
    quiet(&bed, &program)?;
    pods.sound()?;
    let memory = meter::memory(program.pid().context("the controller has ended")?)?;
    progress("restart");
    let restart = restart(&bed, &mut program, all).await?;
    bed.agree(all, size.nodes)?;
    let log = program.log();
    let warnings = log.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")).count();

    Ok(Some(json!({
        "pods_per_s": meter::round(size.pods as f64 / took.as_secs_f64(), 1),
        "seconds": meter::round(took.as_secs_f64(), 1),
        "seconds_of_creation": meter::round(created.as_secs_f64(), 1),
        "created_to_routed_in_the_burst": burst,
        "created_to_routed_one_by_one": single,
        "api_writes": written,
        "nb_transactions": transactions,
        "cpu_ms_per_pod": spent.per(&before, size.pods),
        "turns": turns_of(&turns),
        "rss_mib": meter::round(memory.0, 0),
        "peak_rss_mib": meter::round(memory.1, 0),
        "warnings": warnings,
        "restart": restart,
    })))
}

/// What the controller says of its own turns, in seconds.
fn turns_of(metrics: &str) -> Value {
    let one = |name: &str| tombolo_testbed::sum_of_metrics(metrics, |line| line.starts_with(name));
    let pair = |name: &str| {
        let (sum, count) = (one(&format!("{name}_sum")), one(&format!("{name}_count")));
        json!({ "sum": meter::round(sum, 3), "count": count })
    };
    json!({
        "engine_poll_seconds": pair("tombolo_engine_poll_seconds"),
        "api_write_seconds": pair("tombolo_api_write_seconds"),
        "nb_transaction_ms": pair("ovs_client_request_latency_milliseconds"),
        "plans": one("tombolo_engine_plans_total"),
        "failed_api_writes": one("tombolo_engine_failed_api_writes_total"),
    })
}

/// A controller that is ended and started again: what it writes (nothing but its epoch), and how long it takes.
async fn restart(bed: &Bed<Nb>, program: &mut Controller, pods: usize) -> Result<Value> {
    program.stop()?;
    let (writes, transactions) = (bed.api.writes()?, bed.nb.transactions()?);
    let start = Instant::now();
    *program = bed.controller("b", &[])?;
    eventually("the new controller to have looked at everything", PATIENCE, || {
        let done = program.metric("tombolo_engine_plans_total")? >= pods as f64
            && program.metric("tombolo_engine_waiting_objects")? == 0.0;
        Ok(done.then_some(()))
    })?;
    let idle = start.elapsed();
    let cpu = meter::cpu(program.pid().context("the controller has ended")?)?;
    quiet(bed, program)?;
    let log = program.log();
    let synced = log.lines().find(|line| line.contains("first sync")).unwrap_or_default().to_owned();
    let seconds = synced.rsplit("seconds=").next().and_then(|s| s.trim().parse::<f64>().ok());
    Ok(json!({
        "api_writes": meter::grown(&writes, &bed.api.writes()?),
        // One of them takes the epoch.
        "nb_transactions": bed.nb.transactions()? - transactions,
        "seconds_to_sync": seconds.map(|s| meter::round(s, 2)),
        "seconds_to_rest": meter::round(idle.as_secs_f64(), 2),
        "cpu_s": meter::round(cpu, 2),
        "peak_rss_mib": meter::round(meter::memory(program.pid().context("the controller has ended")?)?.1, 0),
    }))
}
