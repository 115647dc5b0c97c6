//! The agent's warnings about pods, as Events on them: one for each pod and reason.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use tokio::sync::mpsc;
use tombolo_api::event::{self, Involved, Often, Reporter};
use tombolo_client::Posted;
use tombolo_names::Reason;

/// Most notices that wait for the API server; more are in the log only.
const WAITING: usize = 256;
/// Most pods and reasons that are remembered as posted.
const REMEMBERED: usize = 4096;

/// A fact for a pod's owner.
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
    /// Its message.
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
    /// Logs it now, and posts it as an Event when the API server takes it. Nothing waits for that.
    pub fn send(&self, notice: Notice) {
        tracing::warn!(pod = format!("{}/{}", notice.namespace, notice.name), "{}", notice.message);
        let _ = self.0.try_send(notice);
    }
}

impl Notice {
    /// The Event: one for each pod and reason, from whichever agent and however often.
    fn event(&self, node: &str, now: Timestamp) -> Event {
        let involved = Involved {
            api_version: "v1",
            kind: "Pod",
            namespace: &self.namespace,
            name: &self.name,
            uid: &self.uid,
        };
        event::warning(&involved, &by(node), self.reason, &self.message, Often::Once, now)
    }
}

/// This node's agent, as the source of an Event.
pub(crate) fn by(node: &str) -> Reporter<'_> {
    Reporter { component: tombolo_names::workloads::AGENT, instance: node, host: Some(node) }
}

/// Posts notices until all senders are gone.
pub async fn post(client: Client, node: &str, mut notices: mpsc::Receiver<Notice>) {
    let mut posted = HashSet::new();
    while let Some(notice) = notices.recv().await {
        if posted.len() >= REMEMBERED {
            posted.clear();
        }
        if !posted.insert((notice.uid.clone(), notice.reason)) {
            continue;
        }
        match tombolo_client::post(&client, &notice.event(node, Timestamp::now())).await {
            Posted::Yes | Posted::Before => {}
            Posted::Refused(error) | Posted::Later(error) => {
                tracing::warn!(error, "writing an Event on pod {}/{}", notice.namespace, notice.name);
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
        assert_eq!(
            notice.event("node2", Timestamp::now()).metadata.name,
            Some(name),
            "the same Event, posted again"
        );
    }
}
