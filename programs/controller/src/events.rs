//! Kubernetes Events for users: posts what the engine says, once, and never waits for it.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::PostParams;
use kube::core::Request;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tombolo_api::text::one_line;
use tombolo_engine::Notice;
use tombolo_names::workloads::CONTROLLER;
use tombolo_plan::kind::Facts;
use tombolo_plan::{Problem, unserved};
use tracing::{debug, info};

use crate::lanes::Lanes;
use tombolo_client::chain;

/// Events on their way to the task that posts them; it takes them at once.
pub const QUEUE: usize = 1024;
/// Events of one namespace waiting to be posted; beyond that they are dropped, since they only repeat what conditions
/// say. One tenant's are no reason to drop another's.
const OF_ONE: usize = 128;
/// Events waiting to be posted, in all.
const OF_ALL: usize = 8_192;
/// Posted at once.
const AT_ONCE: usize = 4;
/// Longest message the API takes (Event validation: 1024 bytes).
const LONGEST: usize = tombolo_api::text::LONGEST_EVENT;
const DEADLINE: Duration = Duration::from_secs(10);

/// Posts what comes on `notices` until `stop` is cancelled.
pub async fn run(
    client: Client,
    reporter: String,
    mut notices: mpsc::Receiver<Notice>,
    stop: CancellationToken,
) {
    let mut waiting = Waiting::default();
    let mut under_way: JoinSet<()> = JoinSet::new();
    let mut number = 0_u64;
    loop {
        while under_way.len() < AT_ONCE
            && let Some(notice) = waiting.0.pop()
        {
            number += 1;
            under_way.spawn(post(client.clone(), reporter.clone(), notice, number));
        }
        tokio::select! {
            notice = notices.recv() => match notice {
                Some(notice) => waiting.push(notice),
                None => return,
            },
            Some(_) = under_way.join_next() => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Events that wait to be posted; namespaces take turns.
#[derive(Debug, Default)]
struct Waiting(Lanes<Notice>);

impl Waiting {
    fn push(&mut self, notice: Notice) {
        let lane = namespace(&notice).to_owned();
        if self.0.len_of(&lane) >= OF_ONE || self.0.len() >= OF_ALL {
            debug!(reason = %notice.reason, name = notice.name, "too many Events at once: one is dropped");
            return;
        }
        self.0.push(&lane, notice);
    }
}

async fn post(client: Client, reporter: String, notice: Notice, number: u64) {
    if unserved::REASONS.contains(&notice.reason) {
        return once(&client, &reporter, &notice).await;
    }
    let namespace = namespace(&notice);
    let body = event(&notice, &reporter, Timestamp::now(), number).to_string().into_bytes();
    let path = format!("/api/v1/namespaces/{namespace}/events");
    let request = match Request::new(path).create(&PostParams::default(), body) {
        Ok(request) => request,
        Err(error) => {
            debug!(%error, "an Event could not be built");
            return;
        }
    };
    let (reason, name, message) = (notice.reason, &notice.name, &notice.message);
    match tokio::time::timeout(DEADLINE, client.request_text(request)).await {
        Ok(Ok(_)) => {}
        // In a namespace that is going away nothing can be created: nobody would look there either.
        Ok(Err(error)) => info!(error = %chain(&error), %reason, name, message, "an Event was not posted"),
        Err(_) => info!(%reason, name, message, "an Event was not posted in time"),
    }
}

/// The object that an Event is about.
#[derive(Debug)]
pub struct Involved<'a> {
    /// Group and version of its kind.
    pub api_version: &'a str,
    /// Its kind.
    pub kind: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its uid.
    pub uid: &'a str,
}

/// What became of an Event that is to be there once.
#[derive(Debug)]
pub enum Posted {
    /// It is there now.
    Yes,
    /// It was there already: an earlier process or leader has said it.
    Before,
    /// It will never be taken: its namespace goes, or we may not.
    Refused(String),
    /// It may be taken later.
    Later(String),
}

/// Posts a warning that stands for as long as its object is as it is. Its name is made of the object's uid and the
/// reason, so that it isn't said twice while Kubernetes keeps it, whoever says it.
pub async fn post_once(
    client: &Client,
    reporter: &str,
    involved: &Involved<'_>,
    problem: &Problem,
) -> Posted {
    let body = standing(involved, problem, reporter, Timestamp::now());
    let path = format!("/api/v1/namespaces/{}/events", home(involved.namespace));
    let request = match Request::new(path).create(&PostParams::default(), body.to_string().into_bytes()) {
        Ok(request) => request,
        Err(error) => return Posted::Refused(error.to_string()),
    };
    match tokio::time::timeout(DEADLINE, client.request_text(request)).await {
        Ok(Ok(_)) => Posted::Yes,
        Ok(Err(kube::Error::Api(status))) => match status.code {
            409 => Posted::Before,
            400..=499 if status.code != 429 => Posted::Refused(status.message.clone()),
            _ => Posted::Later(status.message.clone()),
        },
        Ok(Err(error)) => Posted::Later(chain(&error)),
        Err(_) => Posted::Later("no answer in time".to_owned()),
    }
}

/// The Event of what stands for as long as its object is as it is.
fn standing(involved: &Involved<'_>, problem: &Problem, reporter: &str, now: Timestamp) -> Value {
    let suffix: String = format!("{}.{}", problem.reason, involved.uid).to_ascii_lowercase();
    let suffix = &suffix[..suffix.len().min(100)];
    let mut stem = involved.name.to_owned();
    stem.truncate(253 - suffix.len() - 1);
    let name = format!("{}.{suffix}", stem.trim_end_matches(['.', '-']));
    let mut object = json!({
        "apiVersion": involved.api_version,
        "kind": involved.kind,
        "name": involved.name,
        "uid": involved.uid,
    });
    // `kubectl describe` looks for cluster-scoped objects by an empty one.
    if !involved.namespace.is_empty() {
        object["namespace"] = json!(involved.namespace);
    }
    let time = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": { "name": name, "namespace": home(involved.namespace) },
        "involvedObject": object,
        "type": "Warning",
        "reason": problem.reason.as_str(),
        "message": one_line(&problem.message, LONGEST),
        "source": { "component": CONTROLLER },
        "reportingComponent": CONTROLLER,
        "reportingInstance": reporter,
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    })
}

/// A notice of the engine's that is to be there once.
async fn once(client: &Client, reporter: &str, notice: &Notice) {
    let Facts { api_version, kind, .. } = notice.kind.facts();
    let (namespace, name, uid) = (&notice.namespace, &notice.name, &notice.uid);
    let involved = Involved { api_version, kind, namespace, name, uid };
    let problem = Problem { reason: notice.reason, message: notice.message.clone() };
    match post_once(client, reporter, &involved, &problem).await {
        Posted::Yes | Posted::Before => {}
        Posted::Refused(error) | Posted::Later(error) => {
            info!(error, reason = %notice.reason, name, message = notice.message, "an Event was not posted");
        }
    }
}

fn namespace(notice: &Notice) -> &str {
    home(&notice.namespace)
}

/// The namespace of Events about an object of `namespace`. Those about cluster-scoped objects live in `default`, where
/// `kubectl describe` looks for them.
fn home(namespace: &str) -> &str {
    if namespace.is_empty() { "default" } else { namespace }
}

fn event(notice: &Notice, reporter: &str, now: Timestamp, number: u64) -> Value {
    let Facts { api_version, kind, .. } = notice.kind.facts();
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
        "reason": notice.reason.as_str(),
        "message": one_line(&notice.message, LONGEST),
        "source": { "component": CONTROLLER },
        "reportingComponent": CONTROLLER,
        "reportingInstance": reporter,
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    })
}

#[cfg(test)]
mod tests {
    use tombolo_names::Reason;

    use tombolo_engine::io::Kind;

    use super::*;

    fn notice() -> Notice {
        Notice {
            kind: Kind::Subnet,
            namespace: String::new(),
            name: "net2".into(),
            uid: "u".into(),
            warning: true,
            reason: Reason::CidrConflict,
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
        let problem = Problem { reason: Reason::ServiceNotServed, message: "m".to_owned() };
        let of = |namespace, kind| {
            let involved = Involved { api_version: "v1", kind, namespace, name: "n", uid: "u" };
            standing(&involved, &problem, "me", Timestamp::UNIX_EPOCH)
        };
        let event = of("", "Node");
        assert_eq!(event["metadata"], json!({ "name": "n.servicenotserved.u", "namespace": "default" }));
        assert_eq!(
            event["involvedObject"],
            json!({ "apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u" })
        );
        let event = of("a", "Pod");
        assert_eq!(
            (&event["metadata"]["namespace"], &event["involvedObject"]["namespace"]),
            (&json!("a"), &json!("a"))
        );
    }

    #[test]
    fn messages_are_one_line_that_the_api_takes() {
        let notice = Notice { message: format!("a\nb{}", "é".repeat(700)), ..notice() };
        let event = event(&notice, "me", Timestamp::UNIX_EPOCH, 1);
        let message = event["message"].as_str().unwrap();
        assert!(message.len() <= LONGEST && message.starts_with("a\\nb") && message.ends_with('…'));
    }

    #[test]
    fn one_tenants_events_drop_no_others() {
        // invariant 12
        let mut waiting = Waiting::default();
        let of = |namespace: &str| Notice { kind: Kind::Pod, namespace: namespace.to_owned(), ..notice() };
        for _ in 0..10_000 {
            waiting.push(of("big"));
        }
        waiting.push(of("small"));
        let order: Vec<String> = (0..2).filter_map(|_| waiting.0.pop()).map(|it| it.namespace).collect();
        assert_eq!((order, waiting.0.len()), (vec!["big".to_owned(), "small".to_owned()], OF_ONE - 1));
    }
}
