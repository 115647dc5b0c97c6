//! Writes to the API server: many at once, each with a deadline, each answered to the engine.
//!
//! Decides how a write becomes a request, which of those that wait goes first, and the meaning of an error for the
//! engine. Doesn't retry: whether the same write still makes sense is the engine's business.

use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::{DeleteParams, GetParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Request;
use serde::Deserialize;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tombolo_engine::io::Kind;
use tombolo_engine::{Event, Object, Verb, Write, WriteError};
use tracing::debug;

use crate::lanes::Lanes;
use crate::metrics::Metrics;
use crate::watch::held_by_finalizers;
use tombolo_client::{ApiServer, chain};

/// Writes under way at once. The API server takes about 3 ms of CPU for each, so this keeps several of its
/// cores busy; more only makes its queue longer.
const AT_ONCE: usize = 32;
/// Deadline of one write.
const DEADLINE: Duration = Duration::from_secs(10);
/// Name of our writes in `metadata.managedFields`.
const MANAGER: &str = tombolo_names::workloads::CONTROLLER;

/// Executes `writes` while `leading` is true, until `stop` is cancelled and the writes under way have ended, or until the
/// channel closes. Every write is answered by one [`Event::WriteDone`].
pub async fn run(
    client: Client,
    api_server: ApiServer,
    metrics: Metrics,
    leading: watch::Receiver<bool>,
    mut writes: mpsc::UnboundedReceiver<Write>,
    to: mpsc::Sender<Event>,
    stop: CancellationToken,
) {
    let mut waiting = Waiting::default();
    let mut under_way: JoinSet<Event> = JoinSet::new();
    let mut open = true;
    loop {
        while under_way.len() < AT_ONCE
            && !stop.is_cancelled()
            && let Some(write) = waiting.pop()
        {
            // A deposed leader's write must not be sent, but it is answered.
            if !*leading.borrow() {
                let result = Err(WriteError::Unavailable("no longer leading".to_owned()));
                under_way.spawn(std::future::ready(Event::WriteDone { id: write.id, result }));
                continue;
            }
            let (client, api_server, metrics) = (client.clone(), api_server.clone(), metrics.clone());
            under_way.spawn(async move {
                let (id, method) = (write.id, method(&write.verb));
                let started = Instant::now();
                let result = match tokio::time::timeout(DEADLINE, execute(&client, write)).await {
                    Ok(result) => result,
                    Err(_) => Err(WriteError::Unavailable(format!("no answer within {DEADLINE:?}"))),
                };
                match &result {
                    Err(WriteError::Unavailable(why)) => api_server.gone(why),
                    _ => api_server.back(),
                }
                metrics.api_write(method, &result, started.elapsed());
                Event::WriteDone { id, result }
            });
        }
        if under_way.is_empty() && (!open || stop.is_cancelled()) {
            return;
        }
        tokio::select! {
            write = writes.recv(), if open => match write {
                Some(write) => waiting.push(write),
                None => open = false,
            },
            Some(done) = under_way.join_next() => {
                // A task that panicked has no answer; the panic is already on stderr, and ending is right:
                // the engine would wait for that write for ever.
                let Ok(event) = done else { return };
                if to.send(event).await.is_err() {
                    return;
                }
            }
            () = stop.cancelled(), if open => open = false,
        }
    }
}

/// Writes that wait for their turn. Namespaces take turns; writes without one share a lane of their own.
#[derive(Debug, Default)]
struct Waiting {
    /// Writes that complete a pod's or a node's network. In a burst, those that are nearly done are finished
    /// before others begin: that takes no longer for the last one, and half as long for most.
    last_steps: Lanes<Write>,
    /// Everything else.
    others: Lanes<Write>,
}

/// The owner of a write: the namespace of the pod in the end, also where the object has none.
fn lane(write: &Write) -> &str {
    match (write.kind, &write.verb) {
        (Kind::Ip, Verb::Create(object)) => object["spec"]["namespace"].as_str().unwrap_or_default(),
        // `<pod>.<namespace>`; a namespace has no dots.
        (Kind::Ip, _) => write.name.rsplit_once('.').map_or("", |(_, namespace)| namespace),
        (Kind::Namespace, _) => &write.name,
        _ => &write.namespace,
    }
}

impl Waiting {
    fn push(&mut self, write: Write) {
        let lanes = match (write.kind, &write.verb) {
            (Kind::Pod | Kind::Node, Verb::MergePatch { .. }) => &mut self.last_steps,
            _ => &mut self.others,
        };
        let of = lane(&write).to_owned();
        lanes.push(&of, write);
    }

    fn pop(&mut self) -> Option<Write> {
        self.last_steps.pop().or_else(|| self.others.pop())
    }
}

fn method(verb: &Verb) -> &'static str {
    match verb {
        Verb::Create(_) => "POST",
        Verb::MergePatch { .. } => "PATCH",
        Verb::Delete => "DELETE",
        Verb::Read => "GET",
    }
}

/// The path of the collection that holds objects of `kind`.
async fn execute(client: &Client, write: Write) -> Result<Option<Object>, WriteError> {
    let Write { id, kind, namespace, name, uid, verb } = write;
    debug!(id, ?kind, %namespace, %name, verb = method(&verb), "writing");
    let paths = Request::new(kind.path(&namespace));
    let is_create = matches!(verb, Verb::Create(_));
    let is_delete = matches!(verb, Verb::Delete);
    let request = match verb {
        Verb::Create(object) => {
            let body = serde_json::to_vec(&object).map_err(|e| WriteError::Refused(e.to_string()))?;
            let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
            paths.create(&params, body)
        }
        Verb::MergePatch { status, patch } => {
            let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
            let patch = Patch::Merge(patch);
            if status {
                paths.patch_subresource("status", &name, &params, &patch)
            } else {
                paths.patch(&name, &params, &patch)
            }
        }
        Verb::Delete => {
            let preconditions = uid.map(|uid| Preconditions { uid: Some(uid), resource_version: None });
            paths.delete(&name, &DeleteParams { preconditions, ..DeleteParams::default() })
        }
        // As it is now, not as some cache had it.
        Verb::Read => paths.get(&name, &GetParams::default()),
    }
    .map_err(|e| WriteError::Refused(e.to_string()))?;
    let answer = client.request_text(request).await.map_err(|e| classify(&e, is_create))?;
    if is_delete {
        return Ok(still_there(kind, &answer));
    }
    // The write was done; an answer that doesn't fit our type means that a field of another program doesn't. The
    // watch reports such an object, so here it only counts as "not known".
    Object::decode(kind, answer.as_bytes())
        .map(Some)
        .map_err(|e| WriteError::Unavailable(format!("the answer can't be read: {e}")))
}

/// After a delete the API server answers with a Status, or with the object: as it was, or as it still is when
/// finalizers hold it. Only the last is an object that exists.
fn still_there(kind: Kind, answer: &str) -> Option<Object> {
    #[derive(Deserialize)]
    struct Head {
        #[serde(default)]
        kind: String,
        #[serde(default)]
        metadata: ObjectMeta,
    }
    let head: Head = serde_json::from_str(answer).ok()?;
    if head.kind == "Status" || !held_by_finalizers(&head.metadata) {
        return None;
    }
    Object::decode(kind, answer.as_bytes()).ok()
}

fn classify(error: &kube::Error, is_create: bool) -> WriteError {
    let kube::Error::Api(status) = error else {
        return WriteError::Unavailable(chain(error));
    };
    match status.code {
        404 => WriteError::NotFound,
        409 if is_create && status.reason == "AlreadyExists" => WriteError::AlreadyExists,
        409 => WriteError::Conflict(status.message.clone()),
        // By this answer the API server reports that the object of this name is another one by now.
        422 if concerns_uid(status) => WriteError::Conflict(status.message.clone()),
        // An API server that has just started: its admission hasn't read its objects yet. It passes.
        403 if status.message.contains("not yet ready to handle request") => {
            WriteError::Unavailable(status.message.clone())
        }
        400 | 403 | 405 | 413 | 415 | 422 => WriteError::Refused(status.message.clone()),
        _ => WriteError::Unavailable(format!("{} {}", status.code, status.message)),
    }
}

fn concerns_uid(status: &kube::core::Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.field == "metadata.uid")
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use kube::Resource;

    use super::*;

    fn api(code: u16, reason: &str) -> kube::Error {
        kube::Error::Api(
            Status { code, reason: reason.into(), message: "m".into(), ..Status::default() }.boxed(),
        )
    }

    #[test]
    fn errors_by_what_happens_next() {
        let refused = WriteError::Refused("m".into());
        let conflict = WriteError::Conflict("m".into());
        for (code, reason, create, want) in [
            (409, "AlreadyExists", true, WriteError::AlreadyExists),
            (409, "Conflict", true, conflict.clone()),
            (409, "Conflict", false, conflict),
            (404, "NotFound", false, WriteError::NotFound),
            (422, "Invalid", true, refused.clone()),
            (403, "Forbidden", true, refused.clone()),
            (400, "BadRequest", false, refused),
            (429, "TooManyRequests", false, WriteError::Unavailable("429 m".into())),
            (500, "InternalError", true, WriteError::Unavailable("500 m".into())),
            (503, "ServiceUnavailable", true, WriteError::Unavailable("503 m".into())),
        ] {
            assert_eq!(classify(&api(code, reason), create), want, "{code} {reason}");
        }
    }

    #[test]
    fn a_refusal_of_an_api_server_that_starts_passes() {
        let message = "ips.kubeovn.io \"a.b\" is forbidden: not yet ready to handle request".to_owned();
        let status = Status { code: 403, reason: "Forbidden".into(), message, ..Status::default() };
        let error = classify(&kube::Error::Api(status.boxed()), true);
        assert!(matches!(error, WriteError::Unavailable(_)), "{error}");
    }

    #[test]
    fn another_object_of_the_same_name_is_a_conflict() {
        // As kube-apiserver 1.34 answers a merge patch with another uid.
        let text = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","reason":"Invalid","code":422,
            "message":"Pod \"p\" is invalid: metadata.uid: Invalid value: \"u\": field is immutable",
            "details":{"name":"p","kind":"Pod","causes":[{"reason":"FieldValueInvalid",
            "message":"Invalid value: \"u\": field is immutable","field":"metadata.uid"}]}}"#;
        let status: Status = serde_json::from_str(text).unwrap();
        assert!(matches!(classify(&kube::Error::Api(status.boxed()), false), WriteError::Conflict(_)));
    }

    #[test]
    fn a_pod_that_is_nearly_done_is_finished_before_others_begin() {
        let mut waiting = Waiting::default();
        let patch = || Verb::MergePatch { status: false, patch: serde_json::json!({}) };
        for (id, kind, verb) in [
            (1, Kind::Ip, Verb::Create(serde_json::json!({}))),
            (2, Kind::Subnet, Verb::MergePatch { status: true, patch: serde_json::json!({}) }),
            (3, Kind::Pod, patch()),
            (4, Kind::Ip, Verb::Delete),
            (5, Kind::Node, patch()),
        ] {
            // All in one lane.
            let (namespace, name) = (String::new(), "n".to_owned());
            waiting.push(Write { id, kind, namespace, name, uid: None, verb });
        }
        let order: Vec<u64> = std::iter::from_fn(|| waiting.pop()).map(|write| write.id).collect();
        assert_eq!(order, [3, 5, 1, 2, 4]);
    }

    #[test]
    fn ten_thousand_writes_of_one_namespace_are_one_turn_before_anothers() {
        // invariant 12
        let mut waiting = Waiting::default();
        let write = |id, name: &str, verb| Write {
            id,
            kind: Kind::Ip,
            namespace: String::new(),
            name: name.to_owned(),
            uid: None,
            verb,
        };
        let create =
            |namespace: &str| Verb::Create(serde_json::json!({ "spec": { "namespace": namespace } }));
        for id in 0..10_000 {
            waiting.push(write(id, &format!("p{id}.big"), create("big")));
        }
        waiting.push(write(20_000, "p.small", create("small")));
        waiting.push(write(20_001, "q.small", Verb::Delete));
        let order: Vec<u64> = (0..5).filter_map(|_| waiting.pop()).map(|write| write.id).collect();
        assert_eq!(order, [0, 20_000, 1, 20_001, 2]);
    }

    #[test]
    fn the_table_of_kinds_agrees_with_the_types() {
        macro_rules! agree {
            ($($variant:ident: $type:ty, $word:literal, $api:literal, $kind:literal, $plural:literal, $scope:ident, $care:ident, $owner:expr, $store:ident $apply:ident;)*) => {
                $(
                    let facts = Kind::$variant.facts();
                    assert_eq!(facts.api_version, <$type>::api_version(&()), "{}", $word);
                    assert_eq!(facts.kind, <$type>::kind(&()), "{}", $word);
                    let namespace = facts.namespaced.then_some("a");
                    assert_eq!(Kind::$variant.path("a"), <$type>::url_path(&(), namespace), "{}", $word);
                )*
            };
        }
        tombolo_plan::for_each_kind!(agree);
    }

    #[test]
    fn what_a_delete_leaves() {
        assert!(still_there(Kind::Subnet, r#"{"kind":"Status","status":"Success"}"#).is_none());
        let gone = r#"{"kind":"Subnet","metadata":{"name":"a","deletionTimestamp":"2026-01-01T00:00:00Z"},"spec":{}}"#;
        assert!(still_there(Kind::Subnet, gone).is_none());
        let held = gone.replace("\"name\"", "\"finalizers\":[\"x\"],\"name\"");
        assert!(matches!(still_there(Kind::Subnet, &held), Some(Object::Subnet(_))));
    }
}
