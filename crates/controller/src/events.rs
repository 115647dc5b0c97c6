//! Kubernetes Events for users: posts what the engine says, once, and never waits for it.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::PostParams;
use kube::core::Request;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tombolo_engine::Notice;
use tombolo_engine::io::Kind;
use tracing::{debug, info};

use crate::errors::chain;

/// Events waiting to be posted; beyond that they are dropped, since they only repeat what conditions say.
pub const QUEUE: usize = 1024;
/// Longest message the API takes (Event validation: 1024 bytes).
const LONGEST: usize = 1024;
const DEADLINE: Duration = Duration::from_secs(10);

/// Posts what comes on `notices` until `stop` is cancelled.
pub async fn run(
    client: Client,
    reporter: String,
    mut notices: mpsc::Receiver<Notice>,
    stop: CancellationToken,
) {
    let mut number = 0_u64;
    loop {
        let notice = tokio::select! {
            notice = notices.recv() => notice,
            () = stop.cancelled() => return,
        };
        let Some(notice) = notice else { return };
        number += 1;
        let namespace = namespace(&notice);
        let body = event(&notice, &reporter, Timestamp::now(), number).to_string().into_bytes();
        let path = format!("/api/v1/namespaces/{namespace}/events");
        let request = match Request::new(path).create(&PostParams::default(), body) {
            Ok(request) => request,
            Err(error) => {
                debug!(%error, "an Event could not be built");
                continue;
            }
        };
        match tokio::time::timeout(DEADLINE, client.request_text(request)).await {
            Ok(Ok(_)) => {}
            // In a namespace that is going away nothing can be created: nobody would look there either.
            Ok(Err(error)) => {
                info!(error = %chain(&error), reason = notice.reason, name = notice.name, message = notice.message, "an Event was not posted")
            }
            Err(_) => info!(
                reason = notice.reason,
                name = notice.name,
                message = notice.message,
                "an Event was not posted in time"
            ),
        }
    }
}

/// Events about cluster-scoped objects live in `default`, where `kubectl describe` looks for them.
fn namespace(notice: &Notice) -> &str {
    if notice.namespace.is_empty() { "default" } else { &notice.namespace }
}

fn event(notice: &Notice, reporter: &str, now: Timestamp, number: u64) -> Value {
    let (api_version, kind) = match notice.kind {
        Kind::Vpc => ("kubeovn.io/v1", "Vpc"),
        Kind::Subnet => ("kubeovn.io/v1", "Subnet"),
        Kind::Ip => ("kubeovn.io/v1", "IP"),
        Kind::Pod => ("v1", "Pod"),
        Kind::Node => ("v1", "Node"),
        Kind::Namespace => ("v1", "Namespace"),
    };
    let mut involved = json!({
        "apiVersion": api_version,
        "kind": kind,
        "name": notice.name,
        "uid": notice.uid,
    });
    if !notice.namespace.is_empty() {
        involved["namespace"] = json!(notice.namespace);
    }
    // Unique enough: the time to the microsecond and a number of this process.
    let suffix = format!("{:x}.{number:x}", now.as_microsecond());
    let mut stem = notice.name.clone();
    stem.truncate(253 - suffix.len() - 1);
    let time = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": { "name": format!("{stem}.{suffix}"), "namespace": namespace(notice) },
        "involvedObject": involved,
        "type": if notice.warning { "Warning" } else { "Normal" },
        "reason": notice.reason,
        "message": shorten(&notice.message),
        "source": { "component": "kube-ovn-controller" },
        "reportingComponent": "kube-ovn-controller",
        "reportingInstance": reporter,
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    })
}

fn shorten(message: &str) -> String {
    if message.len() <= LONGEST {
        return message.to_owned();
    }
    let mut end = LONGEST - '…'.len_utf8();
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &message[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice() -> Notice {
        Notice {
            kind: Kind::Subnet,
            namespace: String::new(),
            name: "net2".into(),
            uid: "u".into(),
            warning: true,
            reason: "Overlap".into(),
            message: "m".into(),
        }
    }

    #[test]
    fn about_cluster_scoped_objects_in_default() {
        let event = event(&notice(), "me", Timestamp::UNIX_EPOCH, 17);
        assert_eq!(event["metadata"], json!({ "name": "net2.0.11", "namespace": "default" }));
        assert_eq!(
            event["involvedObject"],
            json!({ "apiVersion": "kubeovn.io/v1", "kind": "Subnet", "name": "net2", "uid": "u" })
        );
        assert_eq!(event["firstTimestamp"], "1970-01-01T00:00:00Z");
        assert_eq!(event["type"], "Warning");
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let text = "é".repeat(700);
        let short = shorten(&text);
        assert!(short.len() <= LONGEST && short.ends_with('…'), "{}", short.len());
        assert_eq!(shorten("short"), "short");
    }
}
