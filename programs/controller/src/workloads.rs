//! What the chart's uninstallation does with this installation's own workloads: it stops them before their work is taken
//! back, and waits until the DaemonSet that cleans the hosts has cleaned all.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tombolo_client::{is_missing, within};
use tombolo_names::workloads::{AGENT, CONTROLLER, LEASE, MONITOR, PINGER, UNINSTALL_HOSTS};
use tracing::info;

use crate::cluster;
use crate::flags::Flags;

/// How long no host may become clean: a pod that refuses is started again with pauses of up to a minute or two.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often the DaemonSet is read.
const PAUSE: Duration = Duration::from_secs(2);

/// Stops our own pods on the network, which measure it, and waits until they are gone: the network can't be taken away from
/// under them, and they are no users of it. Before anything else is done, while the controllers and agents run that take them
/// off the network.
///
/// # Errors
/// The API server's, with what was to be stopped; pods that stay.
pub async fn stop_measuring(client: &Client, namespace: &str) -> Result<()> {
    let monitors: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let none = Patch::Merge(json!({ "spec": { "replicas": 0 } }));
    let params = PatchParams::default();
    let doing = format!("scaling the Deployment {MONITOR} to 0");
    unless_missing(within(&doing, monitors.patch_scale(MONITOR, &params, &none)).await)?;
    let pingers: Api<DaemonSet> = Api::namespaced(client.clone(), namespace);
    let doing = format!("deleting the DaemonSet {PINGER}");
    unless_missing(within(&doing, pingers.delete(PINGER, &DeleteParams::default())).await)?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let ours = ListParams::default().labels(&format!("app in ({MONITOR},{PINGER})"));
    let began = Instant::now();
    loop {
        let doing = format!("listing the pods of {MONITOR} and {PINGER}");
        let left = within(&doing, pods.list_metadata(&ours)).await?.items;
        if left.is_empty() {
            return Ok(());
        }
        ensure!(
            began.elapsed() < PATIENCE,
            "nothing was removed: {} pods of {MONITOR} and {PINGER} don't end, as {}; are the agents of their nodes running? \
             `kubectl -n {namespace} describe pod` has the reason",
            left.len(),
            left[0].metadata.name.as_deref().unwrap_or_default()
        );
        tokio::time::sleep(PAUSE).await;
    }
}

/// Stops the controllers and the agents. What is stopped already is no error.
///
/// # Errors
/// The API server's, with what was to be stopped.
pub async fn stop(client: Client, namespace: String) -> Result<()> {
    let controllers: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
    let none = Patch::Merge(json!({ "spec": { "replicas": 0 } }));
    let params = PatchParams::default();
    let doing = format!("scaling the Deployment {CONTROLLER} to 0");
    unless_missing(within(&doing, controllers.patch_scale(CONTROLLER, &params, &none)).await)?;
    let agents: Api<DaemonSet> = Api::namespaced(client, &namespace);
    let doing = format!("deleting the DaemonSet {AGENT}");
    unless_missing(within(&doing, agents.delete(AGENT, &DeleteParams::default())).await)?;
    info!("the Deployment {CONTROLLER} and the DaemonSet {AGENT} are stopping");
    Ok(())
}

fn unless_missing<T>(answer: Result<T>) -> Result<()> {
    match answer {
        Err(error) if !is_missing(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Waits until every host is clean, then deletes the Lease, which nothing else does.
///
/// # Errors
/// Hosts that stay as they are, with where their reason is.
pub async fn hosts(flags: &Flags, stop: CancellationToken) -> Result<()> {
    let client = cluster::client(flags.acting.kubeconfig.as_deref()).await?;
    let namespace = &flags.acting.pod_namespace;
    let cleaners: Api<DaemonSet> = Api::namespaced(client.clone(), namespace);
    let (mut clean, mut since) = (0, Instant::now());
    loop {
        let doing = format!("reading the DaemonSet {UNINSTALL_HOSTS}");
        let now = within(&doing, cleaners.get(UNINSTALL_HOSTS)).await?;
        let status = now.status.unwrap_or_default();
        let seen =
            status.observed_generation.is_some() && status.observed_generation == now.metadata.generation;
        if seen && status.number_ready >= status.desired_number_scheduled {
            info!("{} hosts are clean", status.number_ready);
            break;
        }
        if status.number_ready > clean {
            (clean, since) = (status.number_ready, Instant::now());
        }
        ensure!(
            since.elapsed() < PATIENCE,
            "{clean} of {} hosts are clean, and no other one becomes so: `kubectl -n {namespace} logs \
             daemonset/{UNINSTALL_HOSTS} -c uninstall` has the reason",
            status.desired_number_scheduled
        );
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.cancelled() => bail!("stopped while hosts were being cleaned"),
        }
    }
    let leases: Api<Lease> = Api::namespaced(client, namespace);
    let doing = format!("deleting the Lease {LEASE}");
    unless_missing(within(&doing, leases.delete(LEASE, &DeleteParams::default())).await)
}
