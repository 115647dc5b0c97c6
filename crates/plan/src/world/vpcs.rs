//! Vpcs, and whom a change of one concerns: its Subnets, and the namespaces that it has.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tombolo_api::Vpc;

use super::store::{Index, Store};
use super::{Dirty, World};
use crate::owner::Owner;

/// Vpcs by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Vpcs {
    store: Store<Arc<Vpc>>,
    /// By the namespaces in `spec.namespaces`.
    of_namespace: Index,
}

/// Whether an object's metadata say the same, but for its version.
fn same_but_status(old: &ObjectMeta, new: &ObjectMeta) -> bool {
    let read =
        |meta: &ObjectMeta| ObjectMeta { resource_version: None, managed_fields: None, ..meta.clone() };
    read(old) == read(new)
}

impl World {
    /// Vpcs by name.
    #[must_use]
    pub fn vpcs(&self) -> &Store<Arc<Vpc>> {
        &self.objects.vpcs.store
    }

    /// Names of the Vpcs that have the namespace in `spec.namespaces`, ascending.
    pub fn vpcs_of_namespace(&self, namespace: &str) -> impl Iterator<Item = &str> {
        self.objects.vpcs.of_namespace.of(namespace).map(String::as_str)
    }

    /// The Vpc's router is ours to make, or there.
    pub(super) fn has_router(&self, vpc: &str) -> bool {
        let kind = self.vpc_kind(vpc);
        kind.is_default() || kind.neutron_router().is_some()
    }

    /// A Vpc was added, changed or (`None`) is gone.
    pub fn apply_vpc(&mut self, name: &str, vpc: Option<Arc<Vpc>>, dirty: &mut Dirty) {
        let old = self.objects.vpcs.store.put(name.to_owned(), vpc.clone());
        for (vpc, present) in old.iter().map(|v| (v, false)).chain(vpc.iter().map(|v| (v, true))) {
            for namespace in &vpc.spec.namespaces {
                self.objects.vpcs.of_namespace.set(namespace, name, present);
            }
        }
        let same = matches!((&old, &vpc), (Some(old), Some(new)) if old.spec == new.spec && same_but_status(&old.metadata, &new.metadata));
        if same {
            dirty.paced.insert(Owner::vpc(name)); // its own report, as a rule
        } else {
            dirty.insert(Owner::vpc(name));
        }
        // Subnets depend on what the Vpc says of itself, not on its own report.
        let spec_changed = match (&old, &vpc) {
            (Some(old), Some(new)) => {
                old.spec != new.spec
                    || old.metadata.labels != new.metadata.labels
                    || old.status.as_ref().map(|s| s.standby) != new.status.as_ref().map(|s| s.standby)
            }
            _ => true,
        };
        if spec_changed {
            dirty.extend(self.subnets_concerned(name).into_iter().map(Owner::subnet));
            // Their pods that wait may be let in now.
            for namespace in old.iter().chain(&vpc).flat_map(|vpc| &vpc.spec.namespaces) {
                self.namespace_dirty(namespace, dirty);
            }
        }
        if old.is_none() != vpc.is_none() {
            // Whether it is there decides where pods of its Subnets' namespaces may be.
            let subnets: Vec<String> = self.subnets_concerned(name).into_iter().map(str::to_owned).collect();
            subnets.iter().for_each(|subnet| self.serves_changed(subnet, dirty));
        }
        if vpc.is_none() && name == self.config.cluster_router {
            dirty.insert(Owner::cluster());
        }
    }
}
