//! Removes what an earlier run of the scenario made, so that each run begins with our install alone.
//!
//! Decides what belongs to the scenario: `net2`, the demo's pods, and its objects in OpenStack. All else stays.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::kubernetes::{kubectl, kubectl_command};
use crate::neutron::{self, api};
use crate::progress::Phase;
use crate::vm::Vm;
use crate::{exec, hosts};

const GONE: Duration = Duration::from_secs(90);
/// Names of the demo's namespaced things in `default`.
pub const LABEL: &str = "app=demo";

/// Removes what is there of the scenario, in the order in which a user would: pods, namespaces, subnets, then the VM
/// and what OpenStack has.
///
/// # Errors
/// When something doesn't go within a minute and a half.
pub fn all(phase: &Phase) -> Result<()> {
    phase.doing("removing pods, namespaces and subnets of an earlier run");
    kubernetes()?;
    phase.doing("removing the VM, router and network of an earlier run");
    openstack()?;
    phase.doing("removing the Vpcs of routers that are gone");
    vpcs()
}

fn delete(words: &[&str]) -> Result<()> {
    let mut command = kubectl_command();
    command.args(["delete", "--ignore-not-found", "--timeout=80s"]).args(words);
    exec::check(&mut command, GONE, None).map(drop)
}

/// Removes the scenario's objects of Kubernetes.
///
/// # Errors
/// When one stays.
pub fn kubernetes() -> Result<()> {
    delete(&["--grace-period=1", "pod", "-n", "default", "-l", LABEL])?;
    delete(&["--grace-period=1", "pod", "-n", "net2", "--all"])?;
    delete(&["namespace", "net2"])?;
    delete(&["subnets.kubeovn.io", "net2"])
}

fn ids(path: &str, kind: &str) -> Result<Vec<String>> {
    let found = api("GET", path, None)?;
    let all = found[kind].as_array().into_iter().flatten();
    all.map(|o| o["id"].as_str().map(str::to_owned).context("an object of Neutron without an id")).collect()
}

fn openstack() -> Result<()> {
    let networks = ids(&format!("networks?name={}", neutron::NETWORK), "networks")?;
    for network in &networks {
        let port = neutron::port_with(network, neutron::SERVER_IP)?;
        if let Some(id) = port["id"].as_str() {
            stop_vm(&port)?;
            api("DELETE", &format!("ports/{id}"), None)?;
        }
    }
    for router in ids(&format!("routers?name={}", neutron::ROUTER), "routers")? {
        // Without the settings of the scenario's user its Vpc goes with the router; with them it would stay, and warn.
        delete(&["vpcs.kubeovn.io", &format!("neutron-{router}")])?;
        let query = format!("ports?device_id={router}&device_owner=network:router_interface");
        for port in ids(&query, "ports")? {
            let body = json!({ "port_id": port });
            api("PUT", &format!("routers/{router}/remove_router_interface"), Some(&body))?;
        }
        api("DELETE", &format!("routers/{router}"), None)?;
    }
    for network in networks {
        api("DELETE", &format!("networks/{network}"), None)?;
    }
    rules()
}

fn stop_vm(port: &Value) -> Result<()> {
    let Some(host) = port["binding:host_id"].as_str().and_then(|name| hosts::by_name(name).ok()) else {
        return Ok(());
    };
    let text = |field: &str| port[field].as_str().unwrap_or_default().to_owned();
    let port = neutron::Port {
        id: text("id"),
        mac: text("mac_address"),
        ip: neutron::SERVER_IP.to_owned(),
        instance: text("device_id"),
        mtu: 0,
    };
    Vm::new(host, neutron::SERVER, port).stop()
}

/// Removes the rules that the scenario adds to the default security group.
///
/// # Errors
/// Neutron's.
pub fn rules() -> Result<()> {
    // The group is made with the project's first network.
    let Ok(group) = neutron::default_security_group() else { return Ok(()) };
    for protocol in ["icmp", "tcp"] {
        let query =
            format!("security-group-rules?security_group_id={group}&protocol={protocol}&direction=ingress");
        for id in ids(&query, "security_group_rules")? {
            api("DELETE", &format!("security-group-rules/{id}"), None)?;
        }
    }
    Ok(())
}

/// A Vpc with a user's settings outlives its router for a while; the scenario's was the demo's own.
fn vpcs() -> Result<()> {
    exec::wait_ok("the Vpcs of routers that are gone to go", GONE, || {
        let label = "ovn.kubernetes.io/vpc_external=true";
        let vpcs = kubectl(["get", "vpcs.kubeovn.io", "-l", label, "-o", "name"])?;
        let routers = ids("routers?fields=id", "routers")?;
        let stale: Vec<&str> =
            vpcs.lines().filter(|vpc| !routers.iter().any(|router| vpc.ends_with(router.as_str()))).collect();
        for vpc in &stale {
            delete(&[vpc])?;
        }
        ensure!(stale.is_empty(), "there were {}", stale.join(" "));
        Ok(())
    })
}
