//! A router of its own in OpenStack, with a network of its own: the scenario's stays as it is.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tombolo_sandbox::neutron;

/// A router with one network; both go with the test.
#[derive(Debug)]
pub struct Router {
    /// Its uuid.
    pub router: String,
    /// The network's uuid.
    pub network: String,
}

/// Makes an object of Neutron's; returns its uuid.
///
/// # Errors
/// Neutron's.
pub fn create(kind: &str, fields: &Value) -> Result<String> {
    let made = neutron::api("POST", &format!("{kind}s"), Some(&json!({ kind: fields })))?;
    made[kind]["id"].as_str().map(str::to_owned).context("an object without an id")
}

impl Router {
    /// Makes both, with a subnet of these addresses that the router is connected to.
    ///
    /// # Errors
    /// Neutron's.
    pub fn new(name: &str, cidr: &str) -> Result<Self> {
        let network = create("network", &json!({"name": name}))?;
        let this = Self { router: create("router", &json!({"name": name}))?, network };
        this.attach(cidr)?;
        Ok(this)
    }

    /// The Vpc of the router, and the name of its row.
    #[must_use]
    pub fn vpc(&self) -> String {
        format!("neutron-{}", self.router)
    }

    /// Makes another subnet and connects the router to it. Returns the subnet's uuid.
    ///
    /// # Errors
    /// Neutron's.
    pub fn attach(&self, cidr: &str) -> Result<String> {
        let subnet = create("subnet", &json!({"network_id": self.network, "cidr": cidr, "ip_version": 4}))?;
        self.interface("add", &json!({"subnet_id": subnet}))?;
        Ok(subnet)
    }

    /// Disconnects a subnet.
    ///
    /// # Errors
    /// Neutron's.
    pub fn detach(&self, subnet: &str) -> Result<()> {
        self.interface("remove", &json!({"subnet_id": subnet}))
    }

    fn interface(&self, what: &str, body: &Value) -> Result<()> {
        neutron::api("PUT", &format!("routers/{}/{what}_router_interface", self.router), Some(body)).map(drop)
    }

    /// Changes fields of the router.
    ///
    /// # Errors
    /// Neutron's.
    pub fn set(&self, fields: &Value) -> Result<()> {
        let body = json!({"router": fields});
        neutron::api("PUT", &format!("routers/{}", self.router), Some(&body)).map(drop)
    }

    /// Disconnects all and deletes the router.
    ///
    /// # Errors
    /// Neutron's.
    pub fn delete(&self) -> Result<()> {
        self.clear()?;
        neutron::api("DELETE", &format!("routers/{}", self.router), None).map(drop)
    }

    /// Disconnects all its subnets.
    ///
    /// # Errors
    /// Neutron's.
    pub fn clear(&self) -> Result<()> {
        let query =
            format!("ports?device_id={}&device_owner=network:router_interface&fields=id", self.router);
        for port in neutron::api("GET", &query, None)?["ports"].as_array().into_iter().flatten() {
            self.interface("remove", &json!({"port_id": port["id"]}))?;
        }
        Ok(())
    }

    /// Deletes the network.
    ///
    /// # Errors
    /// Neutron's.
    pub fn delete_network(&self) -> Result<()> {
        neutron::api("DELETE", &format!("networks/{}", self.network), None).map(drop)
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        // A test may have deleted either already.
        let _ = self.set(&json!({"external_gateway_info": {}}));
        let _ = self.delete();
        let _ = self.delete_network();
    }
}
