//! The networks of Services: `ServiceCIDR` objects of Kubernetes 1.33 and newer, which the engine compares Subnets with.
//!
//! An API server that doesn't know the kind answers 404: only the flag `--service-cluster-ip-range` counts then, and
//! the watch is tried again now and then, as the API server may be upgraded under us.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use kube::runtime::watcher::{Config, Event as Watched};
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tombolo_client::{Obstacle, chain, obstacle};
use tombolo_engine::Event;
use tombolo_net::Cidr;
use tracing::{debug, warn};

/// Pause where the API server doesn't know the kind.
const UNKNOWN: Duration = Duration::from_secs(300);

/// Follows the objects until `stop` is cancelled.
pub async fn run(client: Client, to: mpsc::Sender<Event>, stop: CancellationToken) {
    stop.run_until_cancelled(follow(client, to)).await;
}

async fn follow(client: Client, to: mpsc::Sender<Event>) {
    let mut logged = false;
    loop {
        let api: Api<ServiceCIDR> = Api::all(client.clone());
        let mut stream = tombolo_client::watch(api, Config::default());
        let mut known: BTreeMap<String, Vec<Cidr>> = BTreeMap::new();
        let mut synced = false;
        while let Some(item) = stream.next().await {
            match item {
                Ok(Watched::Init) => {
                    known.clear();
                    synced = false;
                    continue;
                }
                Ok(Watched::InitDone) => synced = true,
                Ok(Watched::InitApply(object) | Watched::Apply(object)) => {
                    known.insert(object.metadata.name.clone().unwrap_or_default(), networks(&object));
                }
                Ok(Watched::Delete(object)) => {
                    known.remove(&object.metadata.name.unwrap_or_default());
                }
                Err(error) => {
                    if obstacle(&error) == Obstacle::Unknown {
                        debug!("this API server has no ServiceCIDR objects");
                        break;
                    }
                    if !std::mem::replace(&mut logged, true) {
                        warn!(
                            error = %chain(&error),
                            "watching ServiceCIDR objects; Subnets are compared with the known ones and the flag until it works"
                        );
                    }
                    continue;
                }
            }
            if synced {
                logged = false;
                let all = known.values().flatten().copied().collect();
                if to.send(Event::ServiceNetworks(all)).await.is_err() {
                    return;
                }
            }
        }
        tokio::time::sleep(UNKNOWN).await;
    }
}

fn networks(object: &ServiceCIDR) -> Vec<Cidr> {
    let cidrs = object.spec.iter().flat_map(|spec| spec.cidrs.iter().flatten());
    cidrs.filter_map(|text| text.parse().ok()).collect()
}
