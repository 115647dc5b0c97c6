//! Reports NetworkPolicies and Services that nothing here serves, by one Event on each.
//!
//! They aren't the engine's business: they own no rows, and nothing that it does depends on them. Their two watches are
//! followed here, by the leader as by the standby; only the leader posts. An Event's name is made of the
//! object's uid and the reason, so that after a restart or a change of leaders it isn't posted again for as long as Kubernetes
//! keeps it. `tombolo_plan::unserved` decides which objects need one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, Config};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tombolo_api::views::{NetworkPolicyView, ServiceView};
use tombolo_names::Reason;
use tombolo_plan::{Problem, unserved};
use tracing::{debug, warn};

use crate::events::by;
use crate::metrics::Metrics;
use tombolo_api::event::{self, Involved, Often};
use tombolo_client::{ApiServer, Posted, follow};

/// Namespaces whose pods are where no node has a route to, with a description of the place.
pub type Behind = Arc<BTreeMap<String, String>>;

/// Pause after the API server didn't take an Event.
const RETRY: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Which {
    NetworkPolicy,
    Service,
}

/// Which object: kind, namespace, name.
type Key = (Which, String, String);

enum Object {
    NetworkPolicy(Box<ObjectMeta>),
    Service(Box<ServiceView>),
}

impl Object {
    fn meta(&self) -> &ObjectMeta {
        match self {
            Object::NetworkPolicy(meta) => meta,
            Object::Service(service) => &service.metadata,
        }
    }
}

/// The memory of an object that has unserved parts, or may have.
struct Known {
    uid: String,
    /// A Service that leads to pods; its other unserved parts are in `problems`.
    leads_to_pods: bool,
    problems: Vec<Problem>,
    /// Reasons with a posted Event.
    posted: BTreeSet<Reason>,
}

/// Settings from the flags.
pub struct Settings {
    /// The replica that posts the Events.
    pub reporter: String,
    /// `--cluster-router`.
    pub default_vpc: String,
    /// `--enable-np`: no other program enforces NetworkPolicies.
    pub network_policies: bool,
}

struct Reporting {
    client: Client,
    settings: Settings,
    metrics: Metrics,
    behind: Behind,
    known: BTreeMap<Key, Known>,
    /// Objects that need an Event.
    pending: BTreeSet<Key>,
    /// While a list is under way: the objects that it has shown.
    listed: BTreeMap<Which, BTreeSet<Key>>,
}

/// Follows both kinds until `stop` is cancelled.
pub async fn run(
    client: Client,
    api_server: ApiServer,
    settings: Settings,
    metrics: Metrics,
    mut leading: watch::Receiver<bool>,
    mut behind: watch::Receiver<Behind>,
    stop: CancellationToken,
) {
    let policies = stream(&client, &api_server, Which::NetworkPolicy, |o: NetworkPolicyView| {
        Object::NetworkPolicy(Box::new(o.metadata))
    });
    let services =
        stream(&client, &api_server, Which::Service, |o: ServiceView| Object::Service(Box::new(o)));
    let mut events = std::pin::pin!(match settings.network_policies {
        true => futures::stream::select(policies.boxed(), services.boxed()).boxed(),
        false => services.boxed(),
    });
    let mut reporting = Reporting {
        client,
        settings,
        metrics,
        behind: behind.borrow_and_update().clone(),
        known: BTreeMap::new(),
        pending: BTreeSet::new(),
        listed: BTreeMap::new(),
    };
    let mut not_before = Instant::now();
    loop {
        let posts = *leading.borrow_and_update() && !reporting.pending.is_empty();
        tokio::select! {
            // News first: an object that is gone by now needs no Event.
            biased;
            () = stop.cancelled() => return,
            event = events.next() => match event {
                Some(event) => reporting.take(event),
                None => return,
            },
            changed = behind.changed() => match changed {
                Ok(()) => reporting.moved(behind.borrow_and_update().clone()),
                Err(_) => return,
            },
            changed = leading.changed() => if changed.is_err() { return },
            () = tokio::time::sleep_until(not_before), if posts => {
                if !reporting.post().await {
                    not_before = Instant::now() + RETRY;
                }
            }
        }
    }
}

enum News {
    Init(Which),
    Listed(Object),
    Done(Which),
    Apply(Object),
    Delete(Object),
}

fn stream<K>(
    client: &Client,
    api_server: &ApiServer,
    which: Which,
    object: fn(K) -> Object,
) -> impl Stream<Item = News> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let api = Api::<DeserializeGuard<K>>::all(client.clone());
    follow(api, Config::default(), api_server).filter_map(move |event| {
        let news = match event {
            watcher::Event::Init => Some(News::Init(which)),
            watcher::Event::InitDone => Some(News::Done(which)),
            // An object that doesn't fit its type requests nothing that we could answer.
            watcher::Event::InitApply(o) => o.0.ok().map(|o| News::Listed(object(o))),
            watcher::Event::Apply(o) => o.0.ok().map(|o| News::Apply(object(o))),
            watcher::Event::Delete(o) => o.0.ok().map(|o| News::Delete(object(o))),
        };
        std::future::ready(news)
    })
}

impl Reporting {
    fn take(&mut self, news: News) {
        match news {
            News::Init(which) => {
                self.listed.insert(which, BTreeSet::new());
            }
            News::Listed(object) => {
                let key = self.put(object);
                self.listed.entry(key.0).or_default().insert(key);
            }
            News::Done(which) => {
                let seen = self.listed.remove(&which).unwrap_or_default();
                let gone = |key: &Key| key.0 == which && !seen.contains(key);
                self.known.retain(|key, _| !gone(key));
                self.pending.retain(|key| !gone(key));
            }
            News::Apply(object) => {
                self.put(object);
            }
            News::Delete(object) => {
                let key = key(&object);
                self.known.remove(&key);
                self.pending.remove(&key);
            }
        }
    }

    fn put(&mut self, object: Object) -> Key {
        let key = key(&object);
        let uid = object.meta().uid.clone().unwrap_or_default();
        let (leads_to_pods, problems) = match &object {
            Object::NetworkPolicy(_) => (false, vec![unserved::network_policy()]),
            Object::Service(service) => {
                (service.leads_to_pods(), unserved::service(service, &self.settings.default_vpc, None))
            }
        };
        if problems.is_empty() && !leads_to_pods {
            // Most Services of a cluster without such pods need no memory either; those that may need an Event do.
            self.known.remove(&key);
            self.pending.remove(&key);
            return key;
        }
        let posted = match self.known.remove(&key) {
            Some(known) if known.uid == uid => known.posted,
            _ => BTreeSet::new(),
        };
        self.known.insert(key.clone(), Known { uid, leads_to_pods, problems, posted });
        self.look(&key);
        key
    }

    /// Other namespaces have their pods behind a router now.
    fn moved(&mut self, behind: Behind) {
        let before = std::mem::replace(&mut self.behind, behind);
        let changed = self.behind.keys().filter(|namespace| !before.contains_key(*namespace));
        let keys: Vec<Key> = changed
            .flat_map(|namespace| {
                let first = (Which::Service, namespace.clone(), String::new());
                self.known.range(first..).map(|(key, _)| key).take_while(|key| key.1 == *namespace)
            })
            .cloned()
            .collect();
        for key in keys {
            self.look(&key);
        }
    }

    /// All unserved parts of an object, reported already or not.
    fn problems(&self, key: &Key, known: &Known) -> Vec<Problem> {
        let mut all = known.problems.clone();
        if known.leads_to_pods
            && let Some(place) = self.behind.get(&key.1)
        {
            all.push(unserved::service_unreachable(place));
        }
        all
    }

    fn look(&mut self, key: &Key) {
        let Some(known) = self.known.get(key) else { return };
        let news = self.problems(key, known).iter().any(|problem| !known.posted.contains(&problem.reason));
        if news {
            self.pending.insert(key.clone());
        } else {
            self.pending.remove(key);
        }
    }

    /// Posts the Events of one object. False: the API server doesn't take one now.
    async fn post(&mut self) -> bool {
        let Some(key) = self.pending.first().cloned() else { return true };
        let Some(known) = self.known.get(&key) else {
            self.pending.remove(&key);
            return true;
        };
        let uid = known.uid.clone();
        let problems = self.problems(&key, known);
        for problem in problems {
            if self.known.get(&key).is_some_and(|known| known.posted.contains(&problem.reason)) {
                continue;
            }
            let (api_version, kind) = match key.0 {
                Which::NetworkPolicy => ("networking.k8s.io/v1", "NetworkPolicy"),
                Which::Service => ("v1", "Service"),
            };
            let involved = Involved { api_version, kind, namespace: &key.1, name: &key.2, uid: &uid };
            let (reporter, now) = (by(&self.settings.reporter), Timestamp::now());
            let event =
                event::warning(&involved, &reporter, problem.reason, &problem.message, Often::Once, now);
            match tombolo_client::post(&self.client, &event).await {
                Posted::Yes => {
                    self.metrics.unserved(kind, problem.reason);
                    warn!("{kind} {}/{}: {}: {}", key.1, key.2, problem.reason, problem.message);
                }
                Posted::Before => {}
                Posted::Refused(error) => {
                    debug!(error, "an Event on {kind} {}/{} was refused", key.1, key.2);
                }
                Posted::Later(error) => {
                    debug!(error, "an Event on {kind} {}/{} has to wait", key.1, key.2);
                    return false;
                }
            }
            if let Some(known) = self.known.get_mut(&key) {
                known.posted.insert(problem.reason);
            }
        }
        self.pending.remove(&key);
        true
    }
}

fn key(object: &Object) -> Key {
    let which = match object {
        Object::NetworkPolicy(_) => Which::NetworkPolicy,
        Object::Service(_) => Which::Service,
    };
    let meta = object.meta();
    (which, meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}
