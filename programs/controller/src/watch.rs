//! The Kubernetes watches: one stream for each kind, turned into the engine's events.
//!
//! Decides how a watch starts again and what is said when it can't. Keeps no objects: the engine's World is the
//! only copy.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use futures::{Stream, StreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tombolo_api::views::{NamespaceView, NodeView, PodView};
use tombolo_api::{Ip, Subnet, Vpc};
use tombolo_engine::io::Kind;
use tombolo_engine::{Event, Object, WatchEvent};
use tracing::{debug, warn};

use tombolo_client::{Away, GRACE, backoff, chain};

/// What all watches and the writer share: whether the API server answers.
#[derive(Clone, Debug)]
pub struct ApiServer(Arc<Mutex<Away>>);

impl ApiServer {
    /// It is taken to answer until it doesn't.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Away::new(
            "the Kubernetes API server",
            "pods keep their network; nothing new is done until it answers",
            GRACE,
        ))))
    }

    /// It doesn't answer.
    pub fn gone(&self, error: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).gone(error);
    }

    /// It answers.
    pub fn back(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).back();
    }
}

impl Default for ApiServer {
    fn default() -> Self {
        Self::new()
    }
}

/// Starts a watch for each kind. Their events go to `to`, in order within a kind, until `stop` is cancelled.
pub fn start(
    client: &Client,
    api_server: &ApiServer,
    to: &mpsc::Sender<Event>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    // Our own kinds are guarded: an object of a CRD can hold what doesn't fit our type, and must not end the
    // watch for all others. Core objects are held to their types by the API server.
    let watches = Watches { client, api_server, to, tasks, stop };
    macro_rules! start {
        ($($variant:ident: $type:ty, $word:literal, $api:literal, $kind:literal, $plural:literal, $scope:ident, $care:ident, $owner:expr, $store:ident $apply:ident;)*) => {
            $(start!(@ $care $variant $type);)*
        };
        (@ careful $variant:ident $type:ty) => {
            watches.start(Kind::$variant, |o: DeserializeGuard<$type>| guarded(o, Object::$variant));
        };
        (@ plain $variant:ident $type:ty) => {
            watches.start(Kind::$variant, |o: $type| Ok(Object::$variant(Arc::new(o))));
        };
    }
    tombolo_plan::for_each_kind!(start);
}

/// An object, or why it isn't one.
type Decoded = Result<Object, Box<(ObjectMeta, String)>>;

fn guarded<K>(object: DeserializeGuard<K>, wrap: fn(Arc<K>) -> Object) -> Decoded {
    match object.0 {
        Ok(object) => Ok(wrap(Arc::new(object))),
        Err(invalid) => Err(Box::new((invalid.metadata, invalid.error))),
    }
}

struct Watches<'a> {
    client: &'a Client,
    api_server: &'a ApiServer,
    to: &'a mpsc::Sender<Event>,
    tasks: &'a TaskTracker,
    stop: &'a CancellationToken,
}

impl Watches<'_> {
    fn start<K, F>(&self, kind: Kind, decode: F)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
        F: Fn(K) -> Decoded + Send + 'static,
    {
        let api: Api<K> = Api::all(self.client.clone());
        let stream = watcher(api, watcher::Config::default()).backoff(backoff());
        let (api_server, to, stop) = (self.api_server.clone(), self.to.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            stop.run_until_cancelled(follow(kind, stream, decode, api_server, to)).await;
        });
    }
}

async fn follow<K: Resource<DynamicType = ()>>(
    kind: Kind,
    stream: impl Stream<Item = watcher::Result<watcher::Event<K>>>,
    decode: impl Fn(K) -> Decoded,
    api_server: ApiServer,
    to: mpsc::Sender<Event>,
) {
    let plural = K::plural(&());
    let mut refused: Option<String> = None;
    let mut stream = std::pin::pin!(stream);
    while let Some(item) = stream.next().await {
        let event = match item {
            // Says only that a list is about to be asked for: no sign that anybody answers.
            Ok(watcher::Event::Init) => {
                debug!(%plural, "listing");
                WatchEvent::Restarted(kind)
            }
            Ok(event) => {
                api_server.back();
                if refused.take().is_some() {
                    tracing::info!(%plural, "the watch works now");
                }
                match event {
                    watcher::Event::Init => continue,
                    watcher::Event::InitDone => WatchEvent::Synced(kind),
                    watcher::Event::Apply(object) | watcher::Event::InitApply(object) => {
                        applied(kind, decode(object))
                    }
                    watcher::Event::Delete(object) => deleted(kind, decode(object)),
                }
            }
            Err(error) => {
                complain::<K>(&error, &api_server, &mut refused);
                continue;
            }
        };
        if to.send(Event::Watch(event)).await.is_err() {
            return;
        }
    }
}

fn applied(kind: Kind, decoded: Decoded) -> WatchEvent {
    match decoded {
        Ok(object) => WatchEvent::Applied(object),
        Err(invalid) => malformed(kind, *invalid),
    }
}

fn malformed(kind: Kind, (meta, error): (ObjectMeta, String)) -> WatchEvent {
    WatchEvent::Malformed {
        kind,
        namespace: meta.namespace.unwrap_or_default(),
        name: meta.name.unwrap_or_default(),
        error,
    }
}

/// The deletion of an object that can't be decoded is still a deletion: only its metadata counts then.
fn deleted(kind: Kind, decoded: Decoded) -> WatchEvent {
    match decoded {
        Ok(object) => WatchEvent::Deleted(object),
        Err(invalid) => match bare(kind, &invalid.0) {
            Some(object) => WatchEvent::Deleted(object),
            None => malformed(kind, *invalid),
        },
    }
}

/// An object of ours with this metadata and nothing else.
fn bare(kind: Kind, meta: &ObjectMeta) -> Option<Object> {
    let value = serde_json::json!({ "metadata": meta, "spec": {} });
    if kind.facts().careful { Object::from_value(kind, value).ok() } else { None }
}

fn complain<K: Resource<DynamicType = ()>>(
    error: &watcher::Error,
    api_server: &ApiServer,
    refused: &mut Option<String>,
) {
    let plural = K::plural(&());
    let group = K::group(&());
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(s))
        | watcher::Error::WatchStartFailed(kube::Error::Api(s)) => s,
        // A stream that breaks says little: the next attempt tells whether anybody is there.
        watcher::Error::WatchFailed(_)
        | watcher::Error::WatchError(_)
        | watcher::Error::NoResourceVersion => {
            debug!(%plural, error = %chain(error), "the watch ended; starting again");
            return;
        }
        _ => {
            api_server.gone(&chain(error));
            return;
        }
    };
    // Somebody answered, so it is about this kind.
    let text = match status.code {
        404 => format!(
            "the kind {plural}.{group} is not installed: apply the CustomResourceDefinitions; waiting for it"
        ),
        401 | 403 => format!(
            "not allowed to list and watch {plural}.{group}: check the ClusterRole of our service account; {}",
            status.message
        ),
        // Too many requests, a timeout, a server that starts: it passes.
        _ => {
            api_server.gone(&chain(error));
            return;
        }
    };
    if refused.as_ref() != Some(&text) {
        warn!("{text}");
        *refused = Some(text);
    }
}

/// Whether an object still exists after a delete: its metadata says that finalizers hold it.
pub fn held_by_finalizers(meta: &ObjectMeta) -> bool {
    meta.deletion_timestamp.is_some() && !meta.finalizers.as_deref().unwrap_or_default().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deletion_of_an_object_that_cannot_be_read_is_a_deletion() {
        let wrong =
            serde_json::json!({ "metadata": { "name": "a", "uid": "u" }, "spec": { "namespaces": 7 } });
        let guard: DeserializeGuard<Vpc> = serde_json::from_value(wrong).unwrap();
        let event = applied(Kind::Vpc, guarded(guard.clone(), Object::Vpc));
        assert!(
            matches!(&event, WatchEvent::Malformed { name, error, .. } if name == "a" && !error.is_empty())
        );
        let WatchEvent::Deleted(Object::Vpc(vpc)) = deleted(Kind::Vpc, guarded(guard, Object::Vpc)) else {
            panic!("not a deletion")
        };
        assert_eq!(vpc.metadata.uid.as_deref(), Some("u"));
    }
}
