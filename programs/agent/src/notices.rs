//! What the agent has to say about a pod, as an Event on it: once for each pod and reason.

use std::collections::HashSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::mpsc;
use tombolo_names::Reason;

const COMPONENT: &str = tombolo_names::workloads::AGENT;
/// How many may wait for the API server; more are in the log only.
const WAITING: usize = 256;
/// How many are remembered as said.
const REMEMBERED: usize = 4096;
const WRITE: Duration = Duration::from_secs(15);

/// Something a pod's owner should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The pod's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Reason of the Event.
    pub reason: Reason,
    /// In words.
    pub message: String,
}

/// Where notices go; clones share.
#[derive(Debug, Clone)]
pub struct Notices(mpsc::Sender<Notice>);

/// The two ends.
pub fn channel() -> (Notices, mpsc::Receiver<Notice>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Notices(sender), receiver)
}

impl Notices {
    /// Says it: in the log now, as an Event when the API server takes it. Nothing waits for it.
    pub fn say(&self, notice: Notice) {
        tracing::warn!(pod = format!("{}/{}", notice.namespace, notice.name), "{}", notice.message);
        let _ = self.0.try_send(notice);
    }
}

impl Notice {
    /// The Event. Its name makes it one for each pod and reason, whoever says it how often.
    fn event(&self, node: &str, now: Timestamp) -> Event {
        let short: String = self.name.chars().take(180).collect();
        let name = format!(
            "{}.{}.{}",
            short.trim_end_matches(['.', '-']),
            self.reason.as_str().to_lowercase(),
            self.uid
        );
        Event {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: Some(self.namespace.clone()),
                ..ObjectMeta::default()
            },
            involved_object: ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: Some(self.name.clone()),
                namespace: Some(self.namespace.clone()),
                uid: Some(self.uid.clone()),
                ..ObjectReference::default()
            },
            type_: Some("Warning".to_owned()),
            reason: Some(self.reason.into()),
            message: Some(self.message.clone()),
            source: Some(EventSource { component: Some(COMPONENT.to_owned()), host: Some(node.to_owned()) }),
            first_timestamp: Some(Time(now)),
            last_timestamp: Some(Time(now)),
            count: Some(1),
            reporting_component: Some(COMPONENT.to_owned()),
            reporting_instance: Some(node.to_owned()),
            ..Event::default()
        }
    }
}

/// Posts what comes until nobody can say anything any more.
pub async fn post(client: Client, node: &str, mut notices: mpsc::Receiver<Notice>) {
    let mut said = HashSet::new();
    while let Some(notice) = notices.recv().await {
        if said.len() >= REMEMBERED {
            said.clear();
        }
        if !said.insert((notice.uid.clone(), notice.reason)) {
            continue;
        }
        let api: Api<Event> = Api::namespaced(client.clone(), &notice.namespace);
        let event = notice.event(node, Timestamp::now());
        match tokio::time::timeout(WRITE, api.create(&PostParams::default(), &event)).await {
            Ok(Ok(_)) => {}
            Ok(Err(kube::Error::Api(e))) if e.code == 409 => {} // said by this agent's predecessor
            Ok(Err(error)) => {
                tracing::warn!(%error, "writing an Event on pod {}/{}", notice.namespace, notice.name)
            }
            Err(_) => {
                tracing::warn!("writing an Event on pod {}/{}: no answer", notice.namespace, notice.name)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_kubectl_describe_shows_and_the_api_server_takes_once() {
        let notice = Notice {
            namespace: "net2".into(),
            name: format!("{}-", "a".repeat(252)),
            uid: "f1d2".into(),
            reason: Reason::MtuBounded,
            message: "m".into(),
        };
        let event = notice.event("node1", Timestamp::UNIX_EPOCH);
        let name = event.metadata.name.clone().unwrap();
        assert!(name.len() <= 253 && name.ends_with("a.mtubounded.f1d2"), "{name}");
        assert_eq!(event.metadata.namespace, event.involved_object.namespace);
        assert_eq!(event.involved_object.uid.as_deref(), Some("f1d2"));
        assert_eq!(notice.event("node2", Timestamp::now()).metadata.name, Some(name), "the same, said again");
    }
}
