//! The namespaces whose pods are where no node has a route to, by the engine's annotations on namespaces.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use tombolo_api::annotations::LOGICAL_SWITCH;
use tombolo_api::views::NamespaceView;
use tombolo_engine::{Event, Object, WatchEvent};
use tombolo_plan::{World, unserved};

/// Keeps the namespaces and passes them on when they change.
#[derive(Debug)]
pub struct Watched {
    to: watch::Sender<Arc<BTreeMap<String, String>>>,
    /// The Vpcs of Subnets at the last check.
    vpcs: BTreeMap<String, String>,
    /// One of them is another now: all namespaces need a check.
    stale: bool,
}

impl Watched {
    /// Nothing is known yet.
    pub fn new() -> (Self, watch::Receiver<Arc<BTreeMap<String, String>>>) {
        let (to, from) = watch::channel(Arc::default());
        (Self { to, vpcs: BTreeMap::new(), stale: true }, from)
    }

    /// An event that the world is about to take in.
    pub fn look(&mut self, world: &World, event: &Event) {
        match event {
            Event::Watch(WatchEvent::Applied(Object::Namespace(namespace))) => {
                self.namespace(world, namespace)
            }
            Event::Watch(WatchEvent::Deleted(Object::Namespace(namespace))) => {
                self.set(namespace.metadata.name.as_deref().unwrap_or_default(), None);
            }
            Event::Watch(WatchEvent::Applied(Object::Subnet(subnet))) => {
                let name = subnet.metadata.name.as_deref().unwrap_or_default();
                // The status of a Subnet that has moved shows it: by then the world knows its place.
                if let Some(established) = world.established(name)
                    && self.vpcs.get(name) != Some(&established.spec.vpc)
                {
                    self.vpcs.insert(name.to_owned(), established.spec.vpc.clone());
                    self.stale = true;
                }
            }
            _ => {}
        }
    }

    /// The world has taken the last event in, and all kinds are listed.
    pub fn settle(&mut self, world: &World) {
        if std::mem::take(&mut self.stale) {
            for namespace in world.namespaces().values() {
                self.namespace(world, namespace);
            }
        }
    }

    fn namespace(&self, world: &World, namespace: &NamespaceView) {
        let subnets = namespace.annotation(LOGICAL_SWITCH).unwrap_or_default();
        let place = unserved::unreachable(world, subnets);
        self.set(namespace.metadata.name.as_deref().unwrap_or_default(), place);
    }

    fn set(&self, name: &str, place: Option<String>) {
        self.to.send_if_modified(|all| {
            if all.get(name) == place.as_ref() {
                return false;
            }
            let all = Arc::make_mut(all);
            match place {
                Some(place) => all.insert(name.to_owned(), place),
                None => all.remove(name),
            };
            true
        });
    }
}
