//! OpenStack's side of a case: networks, routers and servers, as rows that Neutron writes.

use anyhow::Context as _;
use serde::Deserialize;
use tombolo_tests_sim::{Neutron, Sim};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenStack {
    #[serde(default)]
    networks: Vec<Network>,
    #[serde(default)]
    routers: Vec<Router>,
    #[serde(default)]
    servers: Vec<Server>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Network {
    id: String,
    name: String,
    mtu: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Router {
    id: String,
    name: String,
    #[serde(default)]
    interfaces: Vec<Interface>,
    gateway: Option<Gateway>,
}

/// A router's port on a network: ids, and an address like `192.168.1.1/24`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Interface {
    network: String,
    port: String,
    address: String,
}

/// A router's port on an external network, and the network inside whose addresses it translates.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Gateway {
    network: String,
    port: String,
    address: String,
    inside: String,
}

/// A VM's port on a network, in the default security group.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Server {
    network: String,
    port: String,
    address: String,
}

/// Makes all that the description has, in an OpenStack that has its default security group.
pub fn load(sim: &mut Sim, text: &str) -> anyhow::Result<()> {
    let all: OpenStack = serde_yaml::from_str(text).context("reading YAML")?;
    Neutron(sim).security_group();
    all.make(sim);
    Ok(())
}

impl OpenStack {
    /// Makes all that the description has. A router that is there gets further interfaces.
    pub fn make(&self, sim: &mut Sim) {
        let mut neutron = Neutron(sim);
        for network in &self.networks {
            neutron.network(&network.id, &network.name, network.mtu);
        }
        for router in &self.routers {
            if !neutron.has_router(&router.id) {
                neutron.router(&router.id, &router.name);
            }
            for it in &router.interfaces {
                neutron.attach(&router.id, &it.network, &it.port, &it.address);
            }
            if let Some(it) = &router.gateway {
                neutron.gateway(&router.id, &it.network, &it.port, &it.address, &it.inside);
            }
        }
        for server in &self.servers {
            neutron.vm(&server.network, &server.port, &server.address);
        }
    }
}
