//! The program: siblings are followed, rounds are made, metrics are served.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use anyhow::{Context, Result};
use kube::Client;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tombolo_observe::{Beat, Observer};
use tracing::info;

use crate::metrics::Metrics;
use crate::options::{Mode, Options};
use crate::round::Pinger;
use crate::serve;
use crate::siblings::Siblings;

/// The first round waits so long for the list of siblings: without the API server there is still a network to measure.
const PATIENCE: Duration = Duration::from_secs(30);
/// A round ends by its deadlines; one that takes so much longer hangs.
const HANGS: Duration = Duration::from_secs(60);

/// Runs until `stop`, or for one round as a job. Returns whether all was well in the last round.
///
/// # Errors
/// A port that is taken, an API server whose address isn't known.
pub async fn run(options: Options, stop: CancellationToken) -> Result<bool> {
    let observer = Observer::new(tombolo_names::workloads::PINGER, env!("CARGO_PKG_VERSION"));
    // Measured into the void where nobody may see it.
    let hidden = Observer::new(tombolo_names::workloads::PINGER, env!("CARGO_PKG_VERSION"));
    let metrics = Metrics::new(if options.acting.enable_metrics { &observer } else { &hidden });
    let tasks = TaskTracker::new();
    let job = options.acting.mode == Mode::Job;
    // A job runs beside the server, in the same pod.
    if !job {
        observer.serve_at(&options.addresses, options.acting.port, &tasks, &stop).await?;
        if options.acting.enable_verbose_conn_check {
            let (tcp, udp) = (options.acting.tcp_conn_check_port, options.acting.udp_conn_check_port);
            serve::start(tcp, udp, &tasks, &stop).await?;
        }
    }
    let config = tombolo_client::config(options.acting.kubeconfig.as_deref()).await?;
    let client = Client::try_from(config).context("making a client for the API server")?;
    let siblings = Siblings::default();
    let end = stop.child_token();
    tasks.spawn({
        let (siblings, client, end) = (siblings.clone(), client.clone(), end.clone());
        let (namespace, app) = (options.acting.ds_namespace.clone(), options.acting.ds_name.clone());
        async move { end.run_until_cancelled(siblings.follow(client, &namespace, &app)).await }
    });
    let interval = options.interval();
    let first = spread(&options.acting.pod_name, interval);
    let mut pinger = Pinger::new(options, client, siblings.clone(), metrics);
    let listed = tokio::time::timeout(PATIENCE, siblings.listed());
    if end.run_until_cancelled(listed).await.is_some_and(|listed| listed.is_err()) {
        info!("the API server hasn't listed other pingers yet: the network is measured without them");
    }
    let beat = Beat::new(interval + HANGS);
    observer.health().live_while("rounds", beat.clone());
    let mut all_well = true;
    if job {
        all_well = end.run_until_cancelled(pinger.round()).await.unwrap_or(true);
    } else {
        let rounds = rounds(&mut pinger, interval, first, &beat);
        end.run_until_cancelled(rounds).await;
    }
    end.cancel();
    tasks.close();
    tasks.wait().await;
    Ok(all_well)
}

async fn rounds(pinger: &mut Pinger, interval: Duration, first: Duration, beat: &Beat) {
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + first, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        pinger.round().await;
        beat.beat();
    }
}

/// Pingers that start together needn't ask together.
fn spread(name: &str, interval: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    let interval = u64::try_from(interval.as_millis()).unwrap_or(1).max(1);
    Duration::from_millis(hasher.finish() % interval)
}
