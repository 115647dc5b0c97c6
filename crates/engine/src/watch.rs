//! What the watches and the replies to writes do to the world.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tombolo_names::Reason;
use tombolo_plan::world::Dirty;
use tombolo_plan::{Kind, Owner, OwnerKind, Problem};

use crate::Engine;
use crate::io::{Object, WatchEvent};

/// The object that an owner's rows stand for: kind, namespace and name.
pub(crate) fn object_of(owner: &Owner) -> Option<(Kind, &str, &str)> {
    let kind = match owner.kind {
        OwnerKind::Vpc => Kind::Vpc,
        OwnerKind::Subnet => Kind::Subnet,
        OwnerKind::Namespace => Kind::Namespace,
        OwnerKind::Node => Kind::Node,
        OwnerKind::Pod => Kind::Pod,
        OwnerKind::Ip => Kind::Ip,
        OwnerKind::Cluster => return None,
    };
    let (namespace, name) = owner.namespaced();
    Some((kind, namespace, name))
}

/// Whether `new` is older than what is held of the same object: a watch that lags behind the reply to a write.
fn is_older(old: &ObjectMeta, new: &ObjectMeta) -> bool {
    let version = |meta: &ObjectMeta| meta.resource_version.as_ref().and_then(|v| v.parse::<u64>().ok());
    old.uid == new.uid && matches!((version(old), version(new)), (Some(old), Some(new)) if new < old)
}

impl Engine {
    pub(crate) fn watched(&mut self, event: WatchEvent, dirty: &mut Dirty) {
        match event {
            WatchEvent::Restarted(kind) => self.sources.restarted(kind),
            WatchEvent::Applied(object) => {
                self.sources.seen(object.kind(), &object.key());
                self.put(object, dirty);
            }
            WatchEvent::Deleted(object) => {
                let (kind, key) = (object.kind(), object.key());
                // The end of a predecessor of the same name is no news of its successor.
                self.gone(kind, &key, object.meta().uid.as_ref(), dirty);
            }
            WatchEvent::Synced(kind) => {
                let Some(seen) = self.sources.synced(kind) else { return };
                let gone: Vec<String> =
                    self.world.keys_of(kind).into_iter().filter(|key| !seen.contains(key)).collect();
                for key in gone {
                    self.take_out(kind, &key, dirty);
                }
                // As after a change of its schema: what had no effect may have one now.
                dirty.extend(self.reign.vain.listed_anew(kind));
            }
            WatchEvent::Malformed { kind, namespace, name, error } => {
                self.stats.malformed += 1;
                let key = if namespace.is_empty() { name } else { format!("{namespace}/{name}") };
                // Listed all the same: what it stands for is not gone.
                self.sources.seen(kind, &key);
                let message = format!("this object can't be read and is left as it is: {error}");
                match kind.owner(&key) {
                    Some(owner) => self.tell(&owner, &[Problem { reason: Reason::Malformed, message }]),
                    None => self.log(true, format!("{kind:?} {key}: {message}")),
                }
            }
        }
    }

    /// The metadata of the object held under this key.
    pub(crate) fn held_meta(&self, kind: Kind, key: &str) -> Option<&ObjectMeta> {
        self.world.held_meta(kind, key)
    }

    /// Puts an object into the world, unless a newer version of it is there.
    pub(crate) fn put(&mut self, object: Object, dirty: &mut Dirty) {
        let key = object.key();
        if self.held_meta(object.kind(), &key).is_some_and(|held| is_older(held, object.meta())) {
            return;
        }
        if let Some(owner) = object.kind().owner(&key) {
            self.world.forget_deleted(&owner);
            self.reign.absent.remove(&owner);
        }
        let kind = object.kind();
        self.world.apply(object, dirty);
        if kind == Kind::Vpc {
            self.read_release(&key, dirty);
        }
    }

    /// The object with this uid (`None`: whichever has the name) was seen to be deleted.
    pub(crate) fn gone(&mut self, kind: Kind, key: &str, uid: Option<&String>, dirty: &mut Dirty) {
        if self.held_meta(kind, key).is_some_and(|held| uid.is_none() || held.uid.as_ref() == uid) {
            if let Some(owner) = kind.owner(key) {
                self.world.mark_deleted(owner);
            }
            self.take_out(kind, key, dirty);
        }
    }

    fn take_out(&mut self, kind: Kind, key: &str, dirty: &mut Dirty) {
        if let Some(meta) = self.held_meta(kind, key) {
            let object =
                (kind, meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default());
            let uid = meta.uid.clone();
            if let (Some(busy), Some(uid)) = (self.busy_objects.get_mut(&object), uid) {
                busy.gone.insert(uid);
            }
        }
        self.world.remove(kind, key, dirty);
    }

    /// The mark that `kubectl ko brake release` writes on the default Vpc.
    pub(crate) fn release_mark(&self) -> Option<String> {
        let vpc = self.world.vpcs().get(&self.world.config().cluster_router)?;
        vpc.metadata.annotations.as_ref()?.get(tombolo_api::annotations::BRAKE_RELEASE).cloned()
    }

    fn read_release(&mut self, vpc: &str, dirty: &mut Dirty) {
        if vpc == self.world.config().cluster_router
            && self.reign.brake.release(self.release_mark().as_deref())
        {
            self.log(false, format!("the delete brake is released for {} objects", self.reign.held.len()));
            dirty.extend(std::mem::take(&mut self.reign.held));
            self.stats.held = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_version_is_older_and_a_successor_is_not() {
        let meta = |uid: &str, version: &str| ObjectMeta {
            uid: Some(uid.to_owned()),
            resource_version: Some(version.to_owned()),
            ..ObjectMeta::default()
        };
        let held = meta("u", "10");
        assert!(is_older(&held, &meta("u", "9")));
        assert!(!is_older(&held, &meta("u", "10")) && !is_older(&held, &meta("u", "11")));
        // Versions of different objects say nothing of each other, as after a restored backup.
        assert!(!is_older(&held, &meta("v", "9")));
    }
}
