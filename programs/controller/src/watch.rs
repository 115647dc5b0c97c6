//! The Kubernetes watches: one stream for each kind, turned into the engine's events.
//!
//! Decides how an object that doesn't fit its type is handed over. Keeps no objects: the engine's World is the only copy.

use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, Config};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tombolo_client::ApiServer;
use tombolo_engine::io::Kind;
use tombolo_engine::{Event, Object, WatchEvent};

/// Starts a watch for each kind. Their events go to `to`, in order within a kind, until `stop` is cancelled.
pub fn start(
    client: &Client,
    api_server: &ApiServer,
    to: &mpsc::Sender<Event>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    // Our own kinds are guarded: an object of a CRD can hold values that don't fit our type, and must not end the
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

/// An object, or the metadata and error of one that doesn't decode.
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
        let events =
            tombolo_client::follow(Api::all(self.client.clone()), Config::default(), self.api_server);
        let (to, stop) = (self.to.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            stop.run_until_cancelled(pass(kind, events, decode, to)).await;
        });
    }
}

/// Hands a watch's events to the engine.
async fn pass<K>(
    kind: Kind,
    mut events: BoxStream<'static, watcher::Event<K>>,
    decode: impl Fn(K) -> Decoded,
    to: mpsc::Sender<Event>,
) {
    while let Some(event) = events.next().await {
        let event = match event {
            watcher::Event::Init => WatchEvent::Restarted(kind),
            watcher::Event::InitDone => WatchEvent::Synced(kind),
            watcher::Event::Apply(object) | watcher::Event::InitApply(object) => {
                applied(kind, decode(object))
            }
            watcher::Event::Delete(object) => deleted(kind, decode(object)),
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

/// Whether an object still exists after a delete: finalizers in its metadata hold it.
pub fn held_by_finalizers(meta: &ObjectMeta) -> bool {
    meta.deletion_timestamp.is_some() && !meta.finalizers.as_deref().unwrap_or_default().is_empty()
}

#[cfg(test)]
mod tests {
    use tombolo_api::Vpc;

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
