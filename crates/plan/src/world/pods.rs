//! Pods, by node too.

use std::sync::Arc;

use tombolo_api::views::PodView;

use super::store::{Index, Store};
use super::{Dirty, World};
use crate::owner::{Owner, OwnerKind};

/// Pods by `<namespace>/<name>`.
#[derive(Clone, Debug, Default)]
pub(super) struct Pods {
    store: Store<Arc<PodView>, Arc<str>>,
    /// By `spec.nodeName`.
    of_node: Index<Arc<str>>,
}

impl World {
    /// Pods by `<namespace>/<name>`.
    #[must_use]
    pub fn pods(&self) -> &Store<Arc<PodView>, Arc<str>> {
        &self.objects.pods.store
    }

    /// Pods (`<namespace>/<name>`) on this node.
    pub fn pods_of_node(&self, node: &str) -> impl Iterator<Item = &Arc<str>> {
        self.objects.pods.of_node.of(node)
    }

    /// Pods of this namespace.
    pub fn pods_of_namespace<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Arc<str>> {
        let names = self.pods().keys_from(&format!("{namespace}/"));
        names.take_while(move |name| name.strip_prefix(namespace).is_some_and(|rest| rest.starts_with('/')))
    }

    /// The ports of all pods on a node name something of it.
    pub(super) fn pods_of_node_dirty(&self, node: &str, dirty: &mut Dirty) {
        dirty.extend(self.pods_of_node(node).map(|name| Owner { kind: OwnerKind::Pod, name: name.clone() }));
    }

    /// The name of a pod as the store or the pod's IP object has it: it is there once.
    fn pod_key(&self, name: &str, pod: Option<&PodView>) -> Arc<str> {
        if let Some(key) = self.pods().key(name) {
            return key.clone();
        }
        let ip = pod.and_then(|pod| self.ips().get(&pod.port_name()));
        let key = ip.map(|ip| &ip.owner.name).filter(|key| ***key == *name);
        key.map_or_else(|| Arc::from(name), Arc::clone)
    }

    /// A pod was added, changed or (`None`) is gone.
    pub fn apply_pod(&mut self, name: &str, pod: Option<Arc<PodView>>, dirty: &mut Dirty) {
        let name = self.pod_key(name, pod.as_deref());
        let old = self.objects.pods.store.put(name.clone(), pod.clone());
        let node = |pod: &Option<Arc<PodView>>| pod.as_ref().and_then(|pod| pod.spec.node_name.clone());
        let (before, after) = (node(&old), node(&pod));
        if before != after {
            if let Some(node) = before {
                self.objects.pods.of_node.remove(&node, &name);
            }
            if let Some(node) = after {
                self.objects.pods.of_node.insert(&node, name.clone());
            }
        }
        dirty.insert(Owner { kind: OwnerKind::Pod, name });
    }
}
