//! The agent's knowledge of this node's pods, and waits for knowledge that it lacks. No client here: a watch (or
//! a test) feeds it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::sync::watch;
use tokio::time::Instant;

use tombolo_api::annotations as keys;

use crate::network::{NotReady, PodNetwork};

/// The pod that a runtime names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodRef {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID as the runtime knows it; empty when it doesn't give one.
    pub uid: String,
}

impl std::fmt::Display for PodRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

type Slot = watch::Sender<Option<ObjectMeta>>;

/// The controller's decision about an interface, and the pod that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// How the interface should be.
    pub network: PodNetwork,
    /// UID of the pod as the API server knows it (a static pod's runtime has another one).
    pub uid: String,
}

/// This node's pods.
#[derive(Debug, Default)]
pub struct Pods {
    slots: Mutex<HashMap<(String, String), Slot>>,
    listed: AtomicBool,
}

/// The agent's knowledge of a pod by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// The API server has not listed this node's pods yet.
    Nothing,
    /// There is no such pod on this node.
    Gone,
    /// It is a static pod's mirror, whose UID changes while the pod runs on.
    Mirror,
    /// It is there, and the controller has not served it.
    Waiting {
        /// Its UID.
        uid: String,
    },
    /// It is there and served.
    Served {
        /// Its UID.
        uid: String,
        /// Addresses of its first interface, `v4,v6`.
        ip: String,
    },
}

/// Why waiting for a pod ended without its network.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// The time is up.
    #[error("waiting for pod {pod}: {reason}")]
    Deadline {
        /// The pod.
        pod: PodRef,
        /// The part that was missing last.
        reason: String,
    },
}

impl Pods {
    /// Nothing known.
    pub fn new() -> Self {
        Self::default()
    }

    /// A pod is there, or has changed.
    pub fn put(&self, meta: ObjectMeta) {
        let Some(key) = key(&meta) else { return };
        let mut slots = self.lock();
        slots.entry(key).or_default().send_replace(Some(meta));
    }

    /// A pod is gone.
    pub fn remove(&self, meta: &ObjectMeta) {
        let Some(key) = key(meta) else { return };
        let mut slots = self.lock();
        if let Some(slot) = slots.get(&key) {
            slot.send_replace(None);
            if slot.is_closed() {
                slots.remove(&key);
            }
        }
    }

    /// These are all pods (a watch has started over).
    pub fn replace(&self, all: Vec<ObjectMeta>) {
        let mut now: HashMap<_, _> = all.into_iter().filter_map(|m| Some((key(&m)?, m))).collect();
        let mut slots = self.lock();
        slots.retain(|key, slot| {
            slot.send_replace(now.remove(key));
            slot.borrow().is_some() || !slot.is_closed()
        });
        for (key, meta) in now {
            slots.entry(key).or_default().send_replace(Some(meta));
        }
        self.listed.store(true, Ordering::Release);
    }

    /// The agent's knowledge of a pod by its name.
    pub fn known(&self, namespace: &str, name: &str) -> Known {
        if !self.listed.load(Ordering::Acquire) {
            return Known::Nothing;
        }
        let Some(meta) = self.meta(namespace, name) else { return Known::Gone };
        let uid = meta.uid.clone().unwrap_or_default();
        let pod = PodRef { namespace: namespace.to_owned(), name: name.to_owned(), uid: uid.clone() };
        if keys::is_static_pod(meta.annotations.as_ref()) {
            return Known::Mirror;
        }
        match look(Some(&meta), &pod, tombolo_api::OVN_PROVIDER) {
            Ok(attachment) => Known::Served { uid, ip: attachment.network.ip_text() },
            Err(_) => Known::Waiting { uid },
        }
    }

    /// The pod of that name, as the API server shows it.
    pub fn meta(&self, namespace: &str, name: &str) -> Option<ObjectMeta> {
        let slots = self.lock();
        slots.get(&(namespace.to_owned(), name.to_owned())).and_then(|s| s.borrow().clone())
    }

    /// Whether the pod of that name has another UID by now, or is gone.
    pub fn is_superseded(&self, namespace: &str, name: &str, uid: &str) -> bool {
        self.meta(namespace, name).is_none_or(|m| m.uid.as_deref() != Some(uid))
    }

    /// How many pods are known.
    pub fn len(&self) -> usize {
        self.lock().values().filter(|s| s.borrow().is_some()).count()
    }

    /// No pod is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until the controller has decided about the pod's interface of `provider`, up to `deadline`.
    pub async fn network(
        &self,
        pod: &PodRef,
        provider: &str,
        deadline: Instant,
    ) -> Result<Attachment, WaitError> {
        let mut events = {
            let mut slots = self.lock();
            slots.entry((pod.namespace.clone(), pod.name.clone())).or_default().subscribe()
        };
        let mut reason;
        let found = loop {
            match look(events.borrow_and_update().as_ref(), pod, provider) {
                Ok(attachment) => break Ok(attachment),
                Err(why) => reason = why,
            }
            match tokio::time::timeout_at(deadline, events.changed()).await {
                Ok(Ok(())) => {}
                // The slot can't go while we hold it (see `remove`), so this is the deadline.
                Ok(Err(_)) | Err(_) => break Err(WaitError::Deadline { pod: pod.clone(), reason }),
            }
        };
        drop(events);
        self.sweep(pod);
        found
    }

    /// Forgets a slot that was only made for waiting.
    fn sweep(&self, pod: &PodRef) {
        let mut slots = self.lock();
        let key = (pod.namespace.clone(), pod.name.clone());
        if slots.get(&key).is_some_and(|s| s.is_closed() && s.borrow().is_none()) {
            slots.remove(&key);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(meta: &ObjectMeta) -> Option<(String, String)> {
    Some((meta.namespace.clone()?, meta.name.clone()?))
}

fn look(meta: Option<&ObjectMeta>, pod: &PodRef, provider: &str) -> Result<Attachment, String> {
    let Some(meta) = meta else {
        return Err("the API server has not listed it for this node".to_owned());
    };
    let annotation = |key: &str| meta.annotations.as_ref().and_then(|a| a.get(key)).map(String::as_str);
    let same = pod.uid.is_empty()
        || meta.uid.as_deref() == Some(pod.uid.as_str())
        || keys::STATIC_POD.iter().any(|k| annotation(k) == Some(pod.uid.as_str()));
    if !same {
        // A StatefulSet's pod made anew: the old one's addresses must not be taken for the new one's.
        return Err(format!(
            "the API server shows it with UID {}, the runtime asks for {}",
            meta.uid.as_deref().unwrap_or("none"),
            pod.uid
        ));
    }
    let network = PodNetwork::read(provider, annotation).map_err(|e: NotReady| e.to_string())?;
    let uid = meta.uid.clone().unwrap_or_default();
    // A pod may be made with the annotations of another one: a restored backup, a copied manifest.
    match annotation(keys::POD_UID) {
        Some(word) if !uid.is_empty() && word == uid => Ok(Attachment { network, uid }),
        word => Err(format!(
            "its annotations tell of another pod's network (annotation {} is {}, its UID is {uid:?}): the \
             controller has not served this pod yet; see the pod's events and kube-ovn-controller",
            keys::POD_UID,
            word.map_or("missing".to_owned(), |w| format!("{w:?}")),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    fn meta(uid: &str, routed: bool) -> ObjectMeta {
        let annotations = [
            (keys::ALLOCATED, "true"),
            (keys::ROUTED, if routed { "true" } else { "" }),
            (keys::IP_ADDRESS, "12.0.1.2"),
            (keys::MAC_ADDRESS, "00:00:00:7A:2E:93"),
            (keys::CIDR, "12.0.1.0/24"),
            (keys::POD_UID, uid),
        ];
        ObjectMeta {
            name: Some("ubuntu".into()),
            namespace: Some("net2".into()),
            uid: Some(uid.into()),
            annotations: Some(annotations.map(|(k, v)| (k.to_owned(), v.to_owned())).into()),
            ..ObjectMeta::default()
        }
    }

    fn pod(uid: &str) -> PodRef {
        PodRef { namespace: "net2".into(), name: "ubuntu".into(), uid: uid.into() }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    /// For an event that never comes.
    fn at_once() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    #[tokio::test]
    async fn a_waiter_is_woken_by_the_annotations() {
        let pods = Arc::new(Pods::new());
        let waiter = pods.clone();
        let task = tokio::spawn(async move { waiter.network(&pod("u1"), "ovn", soon()).await });
        tokio::task::yield_now().await;
        pods.put(meta("u1", false));
        pods.put(meta("u1", true));
        assert_eq!(task.await.unwrap().unwrap().network.ip_text(), "12.0.1.2");
    }

    #[tokio::test]
    async fn the_predecessor_of_the_same_name_is_not_taken() {
        let pods = Pods::new();
        pods.put(meta("old", true));
        let err = pods.network(&pod("new"), "ovn", at_once()).await.unwrap_err().to_string();
        assert!(err.contains("UID old") && err.contains("new"), "{err}");
        assert!(pods.network(&pod("old"), "ovn", soon()).await.is_ok());
        assert!(pods.network(&pod(""), "ovn", soon()).await.is_ok(), "a runtime that gives none");
        let mut mirror = meta("api", true);
        let hash = (keys::STATIC_POD[1].to_owned(), "hash".to_owned());
        mirror.annotations.as_mut().unwrap().extend([hash]);
        pods.put(mirror);
        assert!(pods.network(&pod("hash"), "ovn", soon()).await.is_ok(), "a static pod");
    }

    #[tokio::test]
    async fn a_pod_made_with_anothers_annotations_waits_until_it_is_served() {
        let pods = Arc::new(Pods::new());
        let mut copy = meta("new", true);
        let word = |copy: &mut ObjectMeta, uid: Option<&str>| {
            let all = copy.annotations.as_mut().unwrap();
            all.remove(keys::POD_UID);
            all.extend(uid.map(|u| (keys::POD_UID.to_owned(), u.to_owned())));
        };
        for uid in [Some("old"), Some(""), None] {
            word(&mut copy, uid);
            pods.put(copy.clone());
            for asked in ["new", ""] {
                let err = pods.network(&pod(asked), "ovn", at_once()).await.unwrap_err().to_string();
                assert!(err.contains(keys::POD_UID) && err.contains("not served this pod"), "{err}");
            }
        }
        let waiter = pods.clone();
        let task = tokio::spawn(async move { waiter.network(&pod("new"), "ovn", soon()).await });
        tokio::task::yield_now().await;
        word(&mut copy, Some("new"));
        pods.put(copy);
        assert_eq!(task.await.unwrap().unwrap().uid, "new");
    }

    #[tokio::test]
    async fn the_deadline_says_what_was_missing_and_leaves_nothing_behind() {
        let pods = Pods::new();
        let err = pods.network(&pod("u1"), "ovn", at_once()).await.unwrap_err().to_string();
        assert!(err.contains("net2/ubuntu") && err.contains("has not listed it"), "{err}");
        assert!(pods.lock().is_empty());
        pods.put(meta("u1", false));
        let err = pods.network(&pod("u1"), "ovn", at_once()).await.unwrap_err().to_string();
        assert!(err.contains("not in OVN"), "{err}");
        assert_eq!(pods.len(), 1);
        pods.replace(vec![]);
        assert!(pods.is_empty() && pods.lock().is_empty());
    }

    #[tokio::test]
    async fn waiting_survives_a_watch_that_starts_over() {
        let pods = Arc::new(Pods::new());
        let waiter = pods.clone();
        let task = tokio::spawn(async move { waiter.network(&pod("u1"), "ovn", soon()).await });
        tokio::task::yield_now().await;
        pods.put(meta("u1", false));
        pods.remove(&meta("u1", false));
        pods.replace(vec![]);
        pods.replace(vec![meta("u1", true)]);
        assert!(task.await.unwrap().is_ok());
    }
}
