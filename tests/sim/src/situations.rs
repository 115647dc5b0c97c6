//! Situations that many tests begin with.

use serde_json::json;

use crate::{Neutron, Sim, config};

/// Id of the router of [`openstack`].
pub const ROUTER: &str = "22040ed5-0598-4f77-bffd-e7fd4db47e93";
/// Id of its network.
pub const NETWORK: &str = "cd59e36a-37db-4c27-b709-d35379a7920f";
/// Id of its port on the network.
pub const PORT: &str = "a7a2f2be-c8e2-4129-b94b-f28f566e4ea6";
/// The Vpc that shows the router.
pub const VPC: &str = "neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93";

/// A cluster of the nodes `host1` and `host2`, at rest.
#[must_use]
pub fn installed() -> Sim {
    let mut sim = Sim::new(config(), 1);
    sim.node("host1", "172.16.0.1");
    sim.node("host2", "172.16.0.2");
    sim.namespace("kube-system");
    sim.converge();
    sim
}

/// OpenStack's side of the document: a router, the network `provider` (192.168.1.0/24) on it, a VM, its security group.
pub fn openstack(sim: &mut Sim) {
    let mut neutron = Neutron(sim);
    neutron.security_group();
    neutron.network(NETWORK, "provider", 1442);
    neutron.router(ROUTER, "router0");
    neutron.attach(ROUTER, NETWORK, PORT, "192.168.1.1/24");
    neutron.vm(NETWORK, "5cb326b9-89bc-4ca1-9f03-66750f0c3efb", "192.168.1.61");
}

/// Kubernetes' side of the document but for the pod: namespace `net2` in the Vpc, Subnet `net2` (12.0.1.0/24).
pub fn net2(sim: &mut Sim) {
    sim.namespace("net2");
    sim.vpc_namespaces(VPC, &["net2"]);
    sim.settle();
    sim.subnet(
        "net2",
        &json!({ "vpc": VPC, "namespaces": ["net2"], "cidrBlock": "12.0.1.0/24", "natOutgoing": false }),
    );
    sim.settle();
}

/// All of the document: the pod `net2/ubuntu` on `host1` too.
#[must_use]
pub fn document() -> Sim {
    let mut sim = installed();
    openstack(&mut sim);
    sim.settle();
    net2(&mut sim);
    sim.pod("net2", "ubuntu", "host1");
    sim.converge();
    sim
}
