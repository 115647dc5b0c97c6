//! Puts the parts together and takes them down again.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tombolo_client::ApiServer;
use tombolo_client::flags;
use tombolo_client::start::{self, Program};
use tombolo_observe::{Health, Observer, Probe};

use crate::assignment::Inputs;
use crate::attach::{Attacher, Deadlines, NodeState};
use crate::firewall::Firewall;
use crate::host::Host;
use crate::install::{self, Install, Installed, Kept};
use crate::local::Local;
use crate::metrics::Metrics;
use crate::node_task::{Accepted, MtuOptions, NodeTask};
use crate::options::Options;
use crate::ovs::Ovs;
use crate::pods::Pods;
use crate::report::{self, Sources};
use crate::troubles::Troubles;
use crate::vswitchd::Vswitchd;
use crate::{kube_io, leftovers, notices, ports, server};

/// How long requests under way may take after a SIGTERM; a pod's grace period is 10 s in our manifest.
const GRACE: Duration = Duration::from_secs(8);
/// First and longest pause of a task that failed.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// The program.
pub fn main() -> ExitCode {
    let options = Options::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    let program = Program {
        name: tombolo_names::workloads::AGENT,
        version: env!("CARGO_PKG_VERSION"),
        log_filter: options.log_filter.clone(),
        log_format: options.log_format,
        threads: Some(2),
        // A request that panics fails alone, with an answer to the runtime.
        ends_on_panic: false,
    };
    start::run(&program, |stop| run(options, stop))
}

async fn run(options: Options, stop: CancellationToken) -> anyhow::Result<()> {
    if let Some(how) = &options.uninstall {
        let uninstalled = stop.run_until_cancelled(crate::uninstall::run(&options, how == "force")).await;
        return uninstalled.context("the uninstallation was interrupted; run it again")?;
    }
    let node = options.node()?;
    flags::log_inert(&options.inert);
    let tasks = TaskTracker::new();
    let observer = Observer::new(tombolo_names::workloads::AGENT, env!("CARGO_PKG_VERSION"));
    let metrics = Metrics::new(&observer, &node);
    let health = observer.health().clone();
    if let Some(dir) = options.ovs_run_dir() {
        let vswitchd = Arc::new(Vswitchd::new(&dir, &node));
        observer.source(&vswitchd);
        observer.ask_before(move || {
            let vswitchd = vswitchd.clone();
            async move { vswitchd.look().await }
        });
    }
    {
        let (observer, stop, at) = (observer.clone(), stop.clone(), options.metrics_at());
        tasks.spawn(async move {
            if let Err(error) = observer.serve(at, stop.clone().cancelled_owned()).await {
                tracing::error!("{error}");
                stop.cancel(); // two agents on one node would fight
            }
        });
    }

    let endpoints = options.ovs_endpoint().parse().context("--ovs-socket")?;
    let ovs = Arc::new(Ovs::connect(endpoints)?);
    let host = Arc::new(Host::own().await?);
    let pods = Arc::new(Pods::new());
    let (inputs, inputs_seen) = watch::channel(Inputs::default());
    let first = NodeState::NotReady { why: "the agent is starting".to_owned(), mtu: None };
    let (state, state_seen) = watch::channel(first);
    let (written, written_seen) = watch::channel(kube_io::Written::default());

    let (accepted, accepted_seen) = watch::channel(Accepted::default());
    let troubles = Troubles::new(metrics.clone());

    let (client, host_of_api) = kube_io::client(options.kubeconfig.as_deref()).await?;
    let api_server = ApiServer::default();
    spawn(&tasks, &stop, {
        let (client, api_server) = (client.clone(), api_server.clone());
        let (node, pods, health) = (node.clone(), pods.clone(), health.clone());
        async move { kube_io::pods(client, api_server, &node, pods, health).await }
    });
    spawn(&tasks, &stop, {
        let (client, api_server, node) = (client.clone(), api_server.clone(), node.clone());
        async move { kube_io::node(client, api_server, &node, written).await }
    });
    spawn(&tasks, &stop, {
        let (client, node, router) = (client.clone(), node.clone(), options.cluster_router.clone());
        async move { kube_io::assignment(client, api_server, &node, &router, inputs).await }
    });
    let chassis = chassis(&ovs, &tasks, &stop, &health, &metrics);
    spawn(&tasks, &stop, {
        let (client, node) = (client.clone(), node.clone());
        let troubles = troubles.clone();
        let sources = Sources { state: state_seen.clone(), chassis, troubles, written: written_seen };
        async move { report::report(client, &node, sources).await }
    });

    let services = options.services();
    spawn(&tasks, &stop, {
        let (host, ovs, troubles, metrics) = (host.clone(), ovs.clone(), troubles.clone(), metrics.clone());
        let mtu = MtuOptions { mtu: options.mtu, interfaces: options.interfaces() };
        let task = move || NodeTask {
            host: host.clone(),
            ovs: ovs.clone(),
            inputs: inputs_seen.clone(),
            mtu: mtu.clone(),
            state: state.clone(),
            accepted: accepted.clone(),
            local: Local::new(host.clone(), host_of_api.clone(), services.clone()),
            troubles: troubles.clone(),
            metrics: metrics.clone(),
        };
        node_network(task)
    });
    let firewall = Firewall {
        host: host.clone(),
        nat_outgoing: options.nat_outgoing,
        accepted: accepted_seen,
        troubles,
        metrics: metrics.clone(),
    };
    spawn(&tasks, &stop, firewall.run());
    let install = Install {
        conf_dir: options.cni_conf_dir.clone(),
        conf_name: options.cni_conf_name.clone(),
        bin_dir: options.cni_bin_dir.clone(),
        plugin: options.plugin(),
        socket: options.bind_socket.clone(),
    };
    spawn(&tasks, &stop, install_when_ready(install, state_seen.clone(), health, metrics.clone()));

    let (notices, noticed) = notices::channel();
    spawn(&tasks, &stop, {
        let (client, node) = (client.clone(), node.clone());
        async move { notices::post(client, &node, noticed).await }
    });
    let attacher = Attacher::new(ovs, pods, host, state_seen, metrics.clone(), notices, Deadlines::default());
    let attacher = Arc::new(attacher);
    spawn(&tasks, &stop, leftovers::keep(attacher.clone(), leftovers::Pace::default()));
    let listener = server::bind(&options.bind_socket).await?;
    tracing::info!(node, socket = %options.bind_socket.display(), "serving the CNI plugin");
    let served = server::serve(listener, attacher, metrics, stop.clone().cancelled_owned());
    let graceful = async {
        stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        result = served => result?,
        () = graceful => tracing::warn!("requests still under way are given up; the runtime will repeat them"),
    }
    stop.cancel();
    tasks.close();
    let _ = tokio::time::timeout(Duration::from_secs(1), tasks.wait()).await;
    tracing::info!("stopped");
    Ok(())
}

fn spawn(tasks: &TaskTracker, stop: &CancellationToken, work: impl Future<Output = ()> + Send + 'static) {
    let stop = stop.clone();
    tasks.spawn(async move { stop.run_until_cancelled(work).await });
}

/// Repeats `once` until it succeeds.
async fn retry<F: Future<Output = anyhow::Result<()>>>(doing: &str, mut once: impl FnMut() -> F) {
    let mut pause = RETRY.0;
    while let Err(e) = once().await {
        tracing::warn!("{doing}: {e:#}; trying again in {pause:?}");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY.1);
    }
}

/// Follows Open vSwitch's `system-id`, which is the chassis' name; and shows the connection and the ports.
fn chassis(
    ovs: &Arc<Ovs>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
    health: &Health,
    metrics: &Metrics,
) -> watch::Receiver<Option<String>> {
    let (sender, receiver) = watch::channel(None);
    let (ovs, health, metrics) = (ovs.clone(), health.clone(), metrics.clone());
    spawn(tasks, stop, async move {
        let mut view = ovs.view();
        loop {
            let snapshot = view.borrow_and_update().clone();
            if snapshot.fresh {
                health.ok(Probe::Ready, "ovs");
                metrics.set_ports(ports::our_ports(&snapshot.replica).len());
                let id = ports::system_id(&snapshot.replica, "system-id").map(str::to_owned);
                sender.send_if_modified(|now| std::mem::replace(now, id.clone()) != id);
            } else {
                health.fail(Probe::Ready, "ovs", ovs.status());
            }
            if view.changed().await.is_err() {
                return;
            }
        }
    });
    receiver
}

/// Keeps the node's network, whatever happens to the sources it follows.
async fn node_network(task: impl Fn() -> NodeTask) {
    retry("keeping the node's network", || {
        let task = task();
        async move { task.run().await.and_then(|()| anyhow::bail!("a source has ended")) }
    })
    .await;
}

/// Shows whether the node is ready; installs plugin and configuration when it first is, and keeps them from then on.
async fn install_when_ready(
    install: Install,
    mut state: watch::Receiver<NodeState>,
    health: Health,
    metrics: Metrics,
) {
    let mut installed: Option<Installed> = None;
    loop {
        let now = state.borrow_and_update().clone();
        let ready = matches!(now, NodeState::Ready { .. });
        metrics.set_ready(ready);
        match now {
            NodeState::Ready { .. } => health.ok(Probe::Ready, "node"),
            NodeState::NotReady { why, .. } => health.fail(Probe::Ready, "node", why),
        }
        if ready || installed.is_some() {
            match tokio::task::block_in_place(|| install.keep(installed.as_mut())) {
                Ok(Kept::First(now)) => installed = Some(now),
                Ok(Kept::Restored(0)) => {}
                Ok(Kept::Restored(files)) => metrics.restored(files),
                Err(e) => {
                    tracing::warn!("installing the CNI plugin and its configuration: {e:#}; trying again")
                }
            }
        }
        if let Ok(Err(_)) = tokio::time::timeout(install::LOOK, state.changed()).await {
            return;
        }
    }
}
