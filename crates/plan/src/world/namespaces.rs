//! Namespaces: their labels decide which Subnets serve their pods.

use std::collections::BTreeSet;
use std::sync::Arc;

use tombolo_api::views::{NamespaceView, PodView};

use super::store::Store;
use super::{Dirty, World};
use crate::owner::{Owner, OwnerKind};

impl World {
    /// Namespaces by name.
    #[must_use]
    pub fn namespaces(&self) -> &Store<Arc<NamespaceView>> {
        &self.objects.namespaces
    }

    /// All namespaces that are known, or have pods: their own object may be on its way. As many steps as there are.
    pub(super) fn all_namespaces(&self) -> BTreeSet<String> {
        let mut all: BTreeSet<String> = self.namespaces().keys().cloned().collect();
        let mut next = self.pods().keys().next();
        while let Some((namespace, _)) = next.and_then(|name| name.split_once('/')) {
            all.insert(namespace.to_owned());
            // The first name behind those that begin with `<namespace>/`.
            next = self.pods().keys_from(&format!("{namespace}0")).next();
        }
        all
    }

    /// The namespace's own annotations, and its pods that wait for an address.
    pub(super) fn namespace_dirty(&self, namespace: &str, dirty: &mut Dirty) {
        dirty.insert(Owner::namespace(namespace));
        for name in self.pods_of_namespace(namespace) {
            let ip = |pod: &Arc<PodView>| self.ips().get(&pod.port_name());
            // One whose address a user reserved may wait to be let in.
            let waits = self.pods().get(name).is_some_and(|pod| ip(pod).is_none_or(|ip| ip.is_users()));
            if waits {
                dirty.insert(Owner { kind: OwnerKind::Pod, name: name.clone() });
            }
        }
    }

    /// A namespace was added, changed or (`None`) is gone.
    pub fn apply_namespace(&mut self, name: &str, namespace: Option<Arc<NamespaceView>>, dirty: &mut Dirty) {
        let labels =
            |object: &Option<Arc<NamespaceView>>| object.as_ref().and_then(|o| o.metadata.labels.clone());
        let new_labels = labels(&namespace);
        let old = self.objects.namespaces.put(name.to_owned(), namespace);
        if old.is_none() || labels(&old) != new_labels {
            self.namespace_dirty(name, dirty);
        }
        dirty.insert(Owner::namespace(name));
    }
}
