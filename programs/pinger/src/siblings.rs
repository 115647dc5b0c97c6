//! The pods of this DaemonSet, by a watch: where they are, and by them the nodes. Nodes themselves aren't watched: they change
//! with each heartbeat.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{Config, Event};
use kube::{Api, Client};
use tokio::sync::watch;
use tombolo_client::{ApiServer, follow};

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sibling {
    /// Its node.
    pub node: String,
    /// The node's addresses, at most one of each family.
    pub node_ips: Vec<IpAddr>,
    /// Its own.
    pub pod_ips: Vec<IpAddr>,
}

/// All of them, by the pods' names.
#[derive(Clone, Debug)]
pub struct Siblings {
    all: Arc<Mutex<BTreeMap<String, Sibling>>>,
    listed: watch::Sender<bool>,
}

impl Default for Siblings {
    fn default() -> Self {
        Self { all: Arc::default(), listed: watch::Sender::new(false) }
    }
}

impl Siblings {
    /// Follows the pods with a label `app`, for ever.
    pub async fn follow(&self, client: Client, namespace: &str, app: &str) {
        let api_server = ApiServer::default();
        let api: Api<Pod> = Api::namespaced(client, namespace);
        let mut events = follow(api, Config::default().labels(&format!("app={app}")), &api_server);
        let mut listing = BTreeMap::new();
        while let Some(event) = events.next().await {
            match event {
                Event::Init => listing.clear(),
                Event::InitApply(pod) => drop(read(&pod).and_then(|(name, one)| listing.insert(name, one))),
                Event::InitDone => {
                    *self.lock() = std::mem::take(&mut listing);
                    self.listed.send_replace(true);
                }
                Event::Apply(pod) => self.apply(&pod),
                Event::Delete(pod) => {
                    drop(self.lock().remove(pod.metadata.name.as_deref().unwrap_or_default()))
                }
            }
        }
    }

    /// Waits until they were listed.
    pub async fn listed(&self) {
        // The sender is in here: it can't be gone.
        let _ = self.listed.subscribe().wait_for(|listed| *listed).await;
    }

    /// A pod has changed. One that lost its addresses, or is about to end, is no target any more.
    pub fn apply(&self, pod: &Pod) {
        let name = pod.metadata.name.clone().unwrap_or_default();
        match read(pod) {
            Some((name, sibling)) => drop(self.lock().insert(name, sibling)),
            None => drop(self.lock().remove(&name)),
        }
    }

    /// All of them now.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, Sibling> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Sibling>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(pod: &Pod) -> Option<(String, Sibling)> {
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let status = pod.status.as_ref()?;
    // One that starts has no address that answers yet, and one that ended has none any more.
    if status.phase.as_deref() != Some("Running") {
        return None;
    }
    let ips = |all: Vec<&str>| -> Vec<IpAddr> { all.iter().filter_map(|ip| ip.parse().ok()).collect() };
    let pod_ips = ips(status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str()).collect());
    let node_ips = ips(status.host_ips.iter().flatten().map(|ip| ip.ip.as_str()).collect());
    let node = pod.spec.as_ref()?.node_name.clone()?;
    (!pod_ips.is_empty())
        .then(|| (pod.metadata.name.clone().unwrap_or_default(), Sibling { node, node_ips, pod_ips }))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{HostIP, PodIP, PodSpec, PodStatus};

    use super::*;

    fn pod(phase: &str, ip: Option<&str>) -> Pod {
        let mut pod = Pod::default();
        pod.metadata.name = Some("kube-ovn-pinger-a".to_owned());
        pod.spec = Some(PodSpec { node_name: Some("n1".to_owned()), ..PodSpec::default() });
        pod.status = Some(PodStatus {
            phase: Some(phase.to_owned()),
            pod_ips: ip.map(|ip| vec![PodIP { ip: ip.to_owned() }]),
            host_ips: Some(vec![HostIP { ip: "192.0.2.1".to_owned() }]),
            ..PodStatus::default()
        });
        pod
    }

    #[test]
    fn a_pod_is_a_target_while_it_runs() {
        let siblings = Siblings::default();
        siblings.apply(&pod("Pending", None));
        assert!(siblings.all().is_empty());
        siblings.apply(&pod("Running", Some("10.16.0.9")));
        let all = siblings.all();
        assert_eq!(all["kube-ovn-pinger-a"].node_ips, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        let mut ending = pod("Running", Some("10.16.0.9"));
        ending.metadata.deletion_timestamp = Some(some_time());
        siblings.apply(&ending);
        assert!(siblings.all().is_empty(), "one that is being deleted is no loss");
    }

    fn some_time() -> k8s_openapi::apimachinery::pkg::apis::meta::v1::Time {
        k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Default::default())
    }
}
