//! IP objects: each holds addresses of a Subnet for a pod, a node or its user.

use std::net::IpAddr;
use std::sync::Arc;

use tombolo_api::annotations::{EPOCH, IP_RESERVED_LABEL};
use tombolo_api::{Ip, validate};
use tombolo_net::{Mac, parse_addr_pair};

use super::store::{Index, Store};
use super::{Dirty, SubnetEntry, World};
use crate::owner::{Owner, OwnerKind};

/// IP objects by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Ips {
    store: Store<Arc<IpEntry>>,
    /// By `spec.subnet`.
    of_subnet: Index,
}

/// An IP object, its texts parsed.
#[derive(Clone, Debug)]
pub struct IpEntry {
    /// The object.
    pub object: Arc<Ip>,
    /// The addresses in `spec.ipAddress`, IPv4 first; none when it can't be read.
    pub addresses: Box<[IpAddr]>,
    /// The MAC in `spec.macAddress`; `None` when it can't be read.
    pub mac: Option<Mac>,
    /// The pod or node whose port has the object's name. Any other object only reserves an address, and is its own owner.
    pub owner: Owner,
}

impl IpEntry {
    /// Reads an IP object.
    pub(crate) fn read(object: Arc<Ip>) -> Self {
        let spec = &object.spec;
        let addresses = parse_addr_pair(&spec.ip_address).unwrap_or_default().into_boxed_slice();
        let mac = spec.mac_address.parse().ok();
        IpEntry { addresses, mac, owner: owner_of(&object), object }
    }

    /// The object's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.object.metadata.name.as_deref().unwrap_or_default()
    }

    /// The name of its Subnet.
    #[must_use]
    pub fn subnet(&self) -> &str {
        &self.object.spec.subnet
    }

    /// An annotation of the object.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.object.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// A label of the object.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.object.metadata.labels.as_ref()?.get(key).map(String::as_str)
    }

    /// Whether a user made the object: our controllers write their epoch on it, Kube-OVN's the label `ip_reserved: false`.
    #[must_use]
    pub fn is_users(&self) -> bool {
        self.annotation(EPOCH).is_none() && self.label(IP_RESERVED_LABEL) != Some("false")
    }

    /// Whether the object outlives its pod: a user made it, or marked it with Kube-OVN's label `ip_reserved: true`.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.is_users() || self.label(IP_RESERVED_LABEL) == Some("true")
    }

    /// The owners that the object concerns: its own; and the object itself, if a user made it and so reads its Events.
    pub fn owners(&self) -> impl Iterator<Item = Owner> {
        let itself = self.is_users().then(|| Owner::ip(self.name()));
        itself.into_iter().chain([self.owner.clone()])
    }

    /// One or two addresses that the object holds, and a MAC if it has one. Of a user's object `v4IpAddress` and
    /// `v6IpAddress` count where `ipAddress` is empty.
    ///
    /// # Errors
    /// The unreadable part, in words.
    pub fn holds(&self) -> Result<(Vec<IpAddr>, Option<Mac>), String> {
        let spec = &self.object.spec;
        let addresses = match (&*self.addresses, spec.ip_address.trim()) {
            ([], "") => {
                let parts = [spec.v4_ip_address.trim(), spec.v6_ip_address.trim()];
                let text = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(",");
                if text.is_empty() {
                    return Err("it has no address: write one into spec.ipAddress".to_owned());
                }
                parse_addr_pair(&text).map_err(|error| cut(&error))?
            }
            ([], text) => parse_addr_pair(text).map_err(|error| cut(&error))?,
            (addresses, _) => addresses.to_vec(),
        };
        let mac = match spec.mac_address.trim() {
            "" => None,
            text => Some(self.mac.map_or_else(|| text.parse(), Ok).map_err(|error| cut(&error))?),
        };
        Ok((addresses, mac))
    }
}

fn cut(error: &tombolo_net::ParseError) -> String {
    let text = error.to_string();
    if text.len() > 300 { validate::quoted(&text) } else { text }
}

fn owner_of(ip: &Ip) -> Owner {
    let name = ip.metadata.name.as_deref().unwrap_or_default();
    let spec = &ip.spec;
    if spec.namespace.is_empty() {
        let node = if spec.node_name.is_empty() { &spec.pod_name } else { &spec.node_name };
        if !node.is_empty() && crate::names::node_port(node) == name {
            return Owner::node(node);
        }
    } else if crate::names::pod_port(&spec.namespace, &spec.pod_name) == name {
        return Owner::pod(&spec.namespace, &spec.pod_name);
    }
    Owner::ip(name)
}

impl World {
    /// IP objects by name.
    #[must_use]
    pub fn ips(&self) -> &Store<Arc<IpEntry>> {
        &self.objects.ips.store
    }

    /// Names of the IP objects in this subnet.
    pub fn ips_of_subnet(&self, subnet: &str) -> impl Iterator<Item = &str> {
        self.objects.ips.of_subnet.of(subnet).map(String::as_str)
    }

    /// The owners of the addresses in a Subnet, and the IP objects that users made in it.
    pub(super) fn users_dirty(&self, subnet: &str, dirty: &mut Dirty) {
        let users = self.ips_of_subnet(subnet).filter_map(|ip| self.ips().get(ip));
        dirty.extend(users.flat_map(|ip| ip.owners()));
    }

    /// An IP object was added, changed or (`None`) is gone.
    pub fn apply_ip(&mut self, name: &str, ip: Option<Arc<Ip>>, dirty: &mut Dirty) {
        let ip = ip.map(|object| Arc::new(self.read_ip(object)));
        let old = self.objects.ips.store.put(name.to_owned(), ip.clone());
        let same_place = matches!((&old, &ip), (Some(old), Some(new)) if old.subnet() == new.subnet());
        if let Some(old) = &old {
            if !same_place {
                self.objects.ips.of_subnet.set(old.subnet(), name, false);
                if ip.is_none() && self.bears(&old.owner) {
                    self.keep_borne(name, old.subnet());
                } else {
                    self.unclaim(name, old.subnet(), dirty);
                }
            }
            dirty.extend(old.owners());
        }
        if let Some(ip) = &ip {
            if !same_place {
                self.objects.ips.of_subnet.set(ip.subnet(), name, true);
            }
            self.leave_borne(name, ip.subnet(), dirty);
            self.claim(name, ip, dirty);
            dirty.extend(ip.owners());
        }
        for subnet in old.iter().chain(&ip).map(|ip| ip.subnet()) {
            let leaving = self.subnets().get(subnet).is_some_and(SubnetEntry::is_terminating);
            if leaving {
                dirty.insert(Owner::subnet(subnet));
            } else {
                dirty.soon.insert(Owner::subnet(subnet));
            }
        }
    }

    /// A pod that is known has its name once.
    fn read_ip(&self, object: Arc<Ip>) -> IpEntry {
        let mut entry = IpEntry::read(object);
        if entry.owner.kind == OwnerKind::Pod
            && let Some(name) = self.pods().key(&entry.owner.name)
        {
            entry.owner.name = name.clone();
        }
        entry
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tombolo_api::views::PodView;

    use super::*;

    fn ip(spec: serde_json::Value) -> Arc<Ip> {
        let object = json!({
            "apiVersion": "kubeovn.io/v1", "kind": "IP", "metadata": { "name": "p.a" }, "spec": spec,
        });
        Arc::new(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn an_object_holds_what_can_be_read() {
        let holds = |spec| IpEntry::read(ip(spec)).holds();
        let one: IpAddr = "10.0.0.7".parse().unwrap();
        let mac: Mac = "00:00:00:00:00:01".parse().unwrap();
        assert_eq!(holds(json!({ "ipAddress": " 10.0.0.7 " })), Ok((vec![one], None)));
        assert_eq!(
            holds(json!({ "ipAddress": " ", "v4IpAddress": "10.0.0.7", "macAddress": "00-00-00-00-00-01" })),
            Ok((vec![one], Some(mac)))
        );
        for (spec, word) in [
            (json!({}), "has no address"),
            (json!({ "ipAddress": "10.0.0", "v4IpAddress": "10.0.0.7" }), "10.0.0"),
            (json!({ "v4IpAddress": "10.0.0.7", "v6IpAddress": "10.0.0.8" }), "10.0.0.7,10.0.0.8"),
            (json!({ "ipAddress": "10.0.0.7", "macAddress": "x" }), "x"),
        ] {
            let error = holds(spec).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
        // Only `ipAddress` is what rows say.
        assert!(IpEntry::read(ip(json!({ "v4IpAddress": "10.0.0.7" }))).addresses.is_empty());
    }

    #[test]
    fn the_name_of_a_pod_is_there_once() {
        let (pod, ip) = (
            Arc::new(
                serde_json::from_value::<PodView>(json!({ "metadata": { "name": "p", "namespace": "a" } }))
                    .unwrap(),
            ),
            ip(json!({ "podName": "p", "namespace": "a" })),
        );
        for pod_first in [true, false] {
            let (mut world, mut dirty) = (World::new(crate::tests::small::config()), Dirty::default());
            if pod_first {
                world.apply_pod("a/p", Some(pod.clone()), &mut dirty);
            }
            world.apply_ip("p.a", Some(ip.clone()), &mut dirty);
            world.apply_pod("a/p", Some(pod.clone()), &mut dirty);
            let (key, owner) = (world.pods().key("a/p").unwrap(), &world.ips().get("p.a").unwrap().owner);
            assert!(Arc::ptr_eq(key, &owner.name), "{pod_first}");
        }
    }
}
