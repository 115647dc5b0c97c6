//! The API server: the client, and the identity of the cluster behind it.
//!
//! The cluster's id is the uid of its namespace `kube-system`: it is as old as the cluster, that namespace can't be
//! deleted, and a reinstall of ours finds the same one, with nothing stored (invariant 2).

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;
use tracing::info;

use tombolo_client::{ApiServer, chain};

const NAMESPACE: &str = "kube-system";
const DEADLINE: Duration = Duration::from_secs(5);

/// A client from a kubeconfig file, or from the pod's service account.
pub async fn client(kubeconfig: Option<&str>) -> Result<Client> {
    let mut config = tombolo_client::config(kubeconfig.map(Path::new)).await?;
    // Whether a write still makes sense is the engine's decision, and a watch has its own back-off.
    config.default_retry = false;
    Client::try_from(config).context("making a client for the API server")
}

/// The cluster's id. Waits for the API server; `None` when `stop` is cancelled first.
pub async fn id(client: &Client, api_server: &ApiServer, stop: &CancellationToken) -> Option<String> {
    let api: Api<Namespace> = Api::all(client.clone());
    let mut pause = Duration::from_millis(200);
    loop {
        let answer = tokio::select! {
            answer = tokio::time::timeout(DEADLINE, api.get(NAMESPACE)) => answer,
            () = stop.cancelled() => return None,
        };
        let error = match answer {
            Ok(Ok(namespace)) => match namespace.metadata.uid {
                Some(uid) => {
                    api_server.back();
                    info!(cluster = uid, "this cluster's id");
                    return Some(uid);
                }
                None => format!("namespace {NAMESPACE} has no uid"),
            },
            Ok(Err(error)) => chain(&error),
            Err(_) => format!("no answer within {DEADLINE:?}"),
        };
        api_server.gone(&error);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return None,
        }
        pause = (pause * 2).min(DEADLINE);
    }
}
