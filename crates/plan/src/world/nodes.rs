//! Nodes: their addresses concern the default Vpc and its Subnets, their chassis their pods.

use std::net::IpAddr;
use std::sync::Arc;

use tombolo_api::annotations::CHASSIS;
use tombolo_api::views::NodeView;

use super::store::Store;
use super::{Dirty, World};
use crate::owner::Owner;

impl World {
    /// Nodes by name.
    #[must_use]
    pub fn nodes(&self) -> &Store<Arc<NodeView>> {
        &self.objects.nodes
    }

    /// A node was added, changed or (`None`) is gone.
    pub fn apply_node(&mut self, name: &str, node: Option<Arc<NodeView>>, dirty: &mut Dirty) {
        let addresses = |node: Option<&Arc<NodeView>>| -> Vec<IpAddr> {
            node.into_iter().flat_map(|node| node.internal_ips()).collect()
        };
        let (before, after) = (addresses(self.nodes().get(name)), addresses(node.as_ref()));
        let chassis = |node: &Arc<NodeView>| node.annotation(CHASSIS).map(str::to_owned);
        let chassis_now = node.as_ref().and_then(chassis);
        let old = self.objects.nodes.put(name.to_owned(), node);
        // The ports of its pods name its chassis. One that goes away is none to move them from.
        if chassis_now.is_some() && old.as_ref().and_then(chassis) != chassis_now {
            self.pods_of_node_dirty(name, dirty);
        }
        dirty.insert(Owner::node(name));
        if before != after {
            // Agents read the addresses of all nodes there.
            dirty.paced.insert(Owner::vpc(&self.config.cluster_router));
            // Subnets must not hold the address of a node, whichever of both came first.
            let moved: Vec<_> = before
                .iter()
                .chain(&after)
                .filter(|ip| before.contains(ip) != after.contains(ip))
                .copied()
                .collect();
            self.conflicts_dirty(|net| moved.iter().any(|ip| net.contains(*ip)), dirty);
        }
    }
}
