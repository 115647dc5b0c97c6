//! What the watches and the replies to writes do to the world.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tombolo_names::Reason;
use tombolo_plan::world::Dirty;
use tombolo_plan::{Kind, Owner, OwnerKind, Problem, World};

use crate::Engine;
use crate::io::{Object, WatchEvent};

impl Object {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Object::Vpc(_) => Kind::Vpc,
            Object::Subnet(_) => Kind::Subnet,
            Object::Ip(_) => Kind::Ip,
            Object::Pod(_) => Kind::Pod,
            Object::Node(_) => Kind::Node,
            Object::Namespace(_) => Kind::Namespace,
        }
    }

    /// Its metadata.
    #[must_use]
    pub fn meta(&self) -> &ObjectMeta {
        match self {
            Object::Vpc(o) => &o.metadata,
            Object::Subnet(o) => &o.metadata,
            Object::Ip(o) => &o.metadata,
            Object::Pod(o) => &o.metadata,
            Object::Node(o) => &o.metadata,
            Object::Namespace(o) => &o.metadata,
        }
    }

    /// `name`, or `namespace/name`.
    #[must_use]
    pub fn key(&self) -> String {
        let meta = self.meta();
        let name = meta.name.as_deref().unwrap_or_default();
        match (self.kind(), meta.namespace.as_deref()) {
            (Kind::Pod, namespace) => format!("{}/{name}", namespace.unwrap_or_default()),
            _ => name.to_owned(),
        }
    }
}

/// The owner whose rows an object of this kind and key stands for.
fn owner_of(kind: Kind, key: &str) -> Option<Owner> {
    let kind = match kind {
        Kind::Vpc => OwnerKind::Vpc,
        Kind::Subnet => OwnerKind::Subnet,
        Kind::Pod => OwnerKind::Pod,
        Kind::Node => OwnerKind::Node,
        Kind::Namespace => OwnerKind::Namespace,
        Kind::Ip => return None,
    };
    Some(Owner { kind, name: Arc::from(key) })
}

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
                    self.keys(kind).into_iter().filter(|key| !seen.contains(key)).collect();
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
                match owner_of(kind, &key) {
                    Some(owner) => self.tell(&owner, &[Problem { reason: Reason::Malformed, message }]),
                    None => self.log(true, format!("{kind:?} {key}: {message}")),
                }
            }
        }
    }

    /// The metadata of the object held under this key.
    pub(crate) fn held_meta(&self, kind: Kind, key: &str) -> Option<&ObjectMeta> {
        let world = &self.world;
        match kind {
            Kind::Vpc => world.vpcs.get(key).map(|o| &o.metadata),
            Kind::Subnet => world.subnets.get(key).map(|o| &o.object.metadata),
            Kind::Ip => world.ips.get(key).map(|o| &o.metadata),
            Kind::Pod => world.pods.get(key).map(|o| &o.metadata),
            Kind::Node => world.nodes.get(key).map(|o| &o.metadata),
            Kind::Namespace => world.namespaces.get(key).map(|o| &o.metadata),
        }
    }

    fn keys(&self, kind: Kind) -> Vec<String> {
        let world = &self.world;
        match kind {
            Kind::Vpc => world.vpcs.keys().cloned().collect(),
            Kind::Subnet => world.subnets.keys().cloned().collect(),
            Kind::Ip => world.ips.keys().cloned().collect(),
            Kind::Pod => world.pods.keys().map(ToString::to_string).collect(),
            Kind::Node => world.nodes.keys().cloned().collect(),
            Kind::Namespace => world.namespaces.keys().cloned().collect(),
        }
    }

    /// Puts an object into the world, unless a newer version of it is there.
    pub(crate) fn put(&mut self, object: Object, dirty: &mut Dirty) {
        let key = object.key();
        if self.held_meta(object.kind(), &key).is_some_and(|held| is_older(held, object.meta())) {
            return;
        }
        if let Some(owner) = owner_of(object.kind(), &key) {
            self.world.seen_deleted.remove(&owner);
            self.reign.absent.remove(&owner);
        }
        match object {
            Object::Vpc(vpc) => {
                self.world.apply_vpc(&key, Some(vpc), dirty);
                self.read_release(&key, dirty);
            }
            Object::Subnet(subnet) => self.world.apply_subnet(&key, Some(subnet), dirty),
            Object::Ip(ip) => self.world.apply_ip(&key, Some(ip), dirty),
            Object::Pod(pod) => self.world.apply_pod(&World::pod_key(&pod), Some(pod), dirty),
            Object::Node(node) => self.world.apply_node(&key, Some(node), dirty),
            Object::Namespace(namespace) => self.world.apply_namespace(&key, Some(namespace), dirty),
        }
    }

    /// The object with this uid (`None`: whichever has the name) was seen to be deleted.
    pub(crate) fn gone(&mut self, kind: Kind, key: &str, uid: Option<&String>, dirty: &mut Dirty) {
        if self.held_meta(kind, key).is_some_and(|held| uid.is_none() || held.uid.as_ref() == uid) {
            if let Some(owner) = owner_of(kind, key) {
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
        match kind {
            Kind::Vpc => self.world.apply_vpc(key, None, dirty),
            Kind::Subnet => self.world.apply_subnet(key, None, dirty),
            Kind::Ip => self.world.apply_ip(key, None, dirty),
            Kind::Pod => self.world.apply_pod(&Arc::from(key), None, dirty),
            Kind::Node => self.world.apply_node(key, None, dirty),
            Kind::Namespace => self.world.apply_namespace(key, None, dirty),
        }
    }

    /// The mark that `kubectl ko brake release` writes on the default Vpc.
    pub(crate) fn release_mark(&self) -> Option<String> {
        let vpc = self.world.vpcs.get(&self.world.config.cluster_router)?;
        vpc.metadata.annotations.as_ref()?.get(tombolo_api::annotations::BRAKE_RELEASE).cloned()
    }

    fn read_release(&mut self, vpc: &str, dirty: &mut Dirty) {
        if vpc == self.world.config.cluster_router && self.reign.brake.release(self.release_mark().as_deref())
        {
            self.log(false, format!("the delete brake is released for {} objects", self.reign.held.len()));
            dirty.extend(std::mem::take(&mut self.reign.held));
            self.stats.held = 0;
        }
    }
}
