//! Which Subnets serve the pods of which namespaces.

use std::collections::{BTreeMap, BTreeSet};

use super::store::Index;
use super::{Dirty, World};

/// Subnets by the namespaces that they name, and those that select namespaces by labels: as [`World::effective`] has it.
#[derive(Clone, Debug, Default)]
pub(super) struct Serving {
    /// The indexes' entries of each Subnet: namespaces by name, and whether it selects by labels.
    by_subnet: BTreeMap<String, (Vec<String>, bool)>,
    of_namespace: Index,
    selecting: BTreeSet<String>,
}

impl World {
    /// Names of the Subnets for pods of this namespace, ascending, by `spec.namespaces` and by
    /// `spec.namespaceSelectors` of what is in effect; of the wish while nothing is.
    #[must_use]
    pub fn subnets_of_namespace(&self, namespace: &str) -> Vec<&str> {
        let mut names: BTreeSet<&str> = self.listing_subnets(namespace).collect();
        let labels = self.namespaces().get(namespace).and_then(|object| object.metadata.labels.as_ref());
        for name in &self.serving.selecting {
            let selects = self.effective(name).is_some_and(|spec| {
                let none = BTreeMap::new();
                spec.namespace_selectors.iter().any(|s| s.matches(labels.unwrap_or(&none)))
            });
            if selects {
                names.insert(name);
            }
        }
        names.into_iter().collect()
    }

    /// Names of the Subnets that have the namespace in `spec.namespaces`, ascending.
    pub fn listing_subnets(&self, namespace: &str) -> impl Iterator<Item = &str> {
        self.serving.of_namespace.of(namespace).map(String::as_str)
    }

    /// Whom a Subnet serves may have changed: the indexes, the namespaces' annotations, pods that wait.
    pub(super) fn serves_changed(&mut self, name: &str, dirty: &mut Dirty) {
        let new =
            self.effective(name).map(|spec| (spec.namespaces.clone(), !spec.namespace_selectors.is_empty()));
        let old = self.serving.by_subnet.remove(name);
        let (namespaces, selects) = new.clone().unwrap_or_default();
        let (before, selected) = old.unwrap_or_default();
        for namespace in &before {
            self.serving.of_namespace.set(namespace, name, false);
        }
        for namespace in &namespaces {
            self.serving.of_namespace.set(namespace, name, true);
        }
        if selects {
            self.serving.selecting.insert(name.to_owned());
        } else {
            self.serving.selecting.remove(name);
        }
        if new.is_some() {
            self.serving.by_subnet.insert(name.to_owned(), (namespaces.clone(), selects));
        }
        if selects || selected || name == self.config.default_subnet {
            for namespace in self.all_namespaces() {
                self.namespace_dirty(&namespace, dirty);
            }
        } else {
            for namespace in before.iter().chain(&namespaces) {
                self.namespace_dirty(namespace, dirty);
            }
        }
    }
}
