//! What a kubelet would see: pods as their annotations begin to say that the network is ready.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use futures::StreamExt;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client};
use tokio::sync::watch;
use tombolo_api::annotations::{IP_ADDRESS, LOGICAL_SWITCH, ROUTED, TRUE};
use tombolo_api::views::PodView;

/// Namespace and name.
pub type Name = (String, String);

#[derive(Debug, Default)]
struct Seen {
    /// Pods that exist: their uid and, once they are routed, subnet and address.
    pods: BTreeMap<Name, (String, Option<(String, String)>)>,
    /// Which pod that exists has an address.
    holders: HashMap<(String, String), Name>,
    /// When each was first seen to be routed; pods that went since are still in it.
    routed: HashMap<Name, Instant>,
    /// What must never be seen (invariant 5).
    wrong: Vec<String>,
}

/// The watch's back-off: short, as an observer that takes times must not reconnect later than the observed controller.
struct Soon;

impl Iterator for Soon {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(Duration::from_millis(50))
    }
}

impl Backoff for Soon {
    fn reset(&mut self) {}
}

/// A watch on all pods.
pub struct Pods {
    seen: Arc<Mutex<Seen>>,
    /// How many pods have ever been seen to be routed.
    count: watch::Receiver<usize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Pods {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Pods {
    /// Starts watching.
    pub fn watch(client: &Client) -> Self {
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let (sender, count) = watch::channel(0);
        let api: Api<PodView> = Api::all(client.clone());
        let shared = seen.clone();
        let task = tokio::spawn(async move {
            let stream = watcher(api, watcher::Config::default()).backoff(Soon);
            let mut stream = std::pin::pin!(stream);
            let mut listed: Vec<PodView> = Vec::new();
            while let Some(event) = stream.next().await {
                let mut seen = shared.lock().unwrap_or_else(PoisonError::into_inner);
                match event {
                    Ok(watcher::Event::Apply(pod)) => seen.apply(&pod),
                    Ok(watcher::Event::Delete(pod)) => seen.forget(&name_of(&pod)),
                    Ok(watcher::Event::Init) => listed.clear(),
                    Ok(watcher::Event::InitApply(pod)) => listed.push(pod),
                    Ok(watcher::Event::InitDone) => {
                        seen.pods.clear();
                        seen.holders.clear();
                        listed.drain(..).for_each(|pod| seen.apply(&pod));
                    }
                    Err(_) => continue,
                }
                let routed = seen.routed.len();
                drop(seen);
                sender.send_if_modified(|count| std::mem::replace(count, routed) != routed);
            }
        });
        Self { seen, count, task }
    }

    /// Waits until `count` pods have been routed since the watch began.
    pub async fn routed(&self, count: usize, patience: Duration) -> Result<()> {
        let mut seen = self.count.clone();
        match tokio::time::timeout(patience, seen.wait_for(|n| *n >= count)).await {
            Ok(_) => Ok(()),
            Err(_) => bail!("{} of {count} pods are routed after {patience:?}", *self.count.borrow()),
        }
    }

    /// Waits until the pod is routed. The moment.
    pub async fn one(&self, name: &Name, patience: Duration) -> Result<Instant> {
        let mut seen = self.count.clone();
        let wait = async {
            loop {
                seen.borrow_and_update();
                if let Some(at) = self.lock().routed.get(name) {
                    return *at;
                }
                if seen.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        match tokio::time::timeout(patience, wait).await {
            Ok(at) => Ok(at),
            Err(_) => bail!("pod {}/{} is not routed after {patience:?}", name.0, name.1),
        }
    }

    /// Waits until all pods that exist are routed.
    pub async fn all(&self, patience: Duration) -> Result<()> {
        let until = Instant::now() + patience;
        loop {
            let waiting: Vec<Name> = {
                let seen = self.lock();
                let waiting = seen.pods.iter().filter(|(_, (_, address))| address.is_none());
                waiting.map(|(name, _)| name.clone()).collect()
            };
            if waiting.is_empty() {
                return Ok(());
            }
            ensure!(
                Instant::now() < until,
                "{} pods are not routed after {patience:?}, among them {:?}",
                waiting.len(),
                waiting.first()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// When each pod was routed.
    pub fn times(&self) -> HashMap<Name, Instant> {
        self.lock().routed.clone()
    }

    /// Fails if two pods ever had one address at a time, or one pod two, one after the other.
    pub fn sound(&self) -> Result<()> {
        let wrong = self.lock().wrong.clone();
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name_of(pod: &PodView) -> Name {
    let meta = &pod.metadata;
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

impl Seen {
    fn apply(&mut self, pod: &PodView) {
        let name = name_of(pod);
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let text = |key| pod.annotation(key).unwrap_or_default().to_owned();
        let address =
            (pod.annotation(ROUTED) == Some(TRUE)).then(|| (text(LOGICAL_SWITCH), text(IP_ADDRESS)));
        let before = self.pods.insert(name.clone(), (uid.clone(), address.clone()));
        let Some(address) = address else { return };
        match before {
            Some((same, Some(old))) if same == uid && old == address => return,
            Some((same, Some(old))) if same == uid => {
                self.wrong.push(format!("pod {name:?} had {old:?} and now has {address:?}"));
            }
            _ => {}
        }
        self.routed.entry(name.clone()).or_insert_with(Instant::now);
        if let Some(other) = self.holders.insert(address.clone(), name.clone()).filter(|other| *other != name)
        {
            self.wrong.push(format!("pods {name:?} and {other:?} both have {address:?}"));
        }
    }

    fn forget(&mut self, name: &Name) {
        if let Some((_, Some(address))) = self.pods.remove(name)
            && self.holders.get(&address) == Some(name)
        {
            self.holders.remove(&address);
        }
    }
}
