//! What the plugin and the node agent say to each other: Kube-OVN's HTTP/JSON over a unix socket
//! (`POST /api/v1/add` answers 200, `POST /api/v1/del` answers 204, anything else is an error with a
//! [`Response`] whose `error` says why), with our additions: `/api/v1/check`, `/api/v1/status`, `/api/v1/gc`,
//! and the fields marked "ours", which either side may leave out.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::conf::Attachment;
use crate::error::{CniError, Code};
use crate::result::{Dns, Interface, IpConfig, Outcome, Route};

pub use crate::conf::SOCKET;

/// Paths of the agent's API.
pub mod path {
    /// Attach: 200 with a [`super::Response`].
    pub const ADD: &str = "/api/v1/add";
    /// Detach: 204.
    pub const DEL: &str = "/api/v1/del";
    /// Compare: 204 when all is as ADD left it (ours).
    pub const CHECK: &str = "/api/v1/check";
    /// Ready for ADD? 204 (ours).
    pub const STATUS: &str = "/api/v1/status";
    /// Remove what isn't listed: 204 (ours).
    pub const GC: &str = "/api/v1/gc";
}

/// What the plugin asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Request {
    /// Name of the plugin: `kube-ovn`.
    pub cni_type: String,
    /// The pod.
    pub pod_name: String,
    /// Its namespace.
    pub pod_namespace: String,
    /// Its UID, which distinguishes a pod recreated under the same name from its predecessor (ours; may be empty).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pod_uid: String,
    /// The runtime's id of the sandbox.
    pub container_id: String,
    /// Path of the network namespace; empty at DEL when it is gone.
    pub net_ns: String,
    /// Name of the interface inside.
    pub if_name: String,
    /// The network attachment; `ovn` for a pod's first interface.
    pub provider: String,
    /// Routes beside the default one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// Resolver settings to hand through.
    #[serde(skip_serializing_if = "Dns::is_empty")]
    pub dns: Dns,
    /// Driver of a virtual function.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub vf_driver: String,
    /// PCI address of a virtual function.
    #[serde(rename = "deviceID", skip_serializing_if = "String::is_empty")]
    pub device_id: String,
    /// vhost-user: volume.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub vhost_user_socket_volume_name: String,
    /// vhost-user: socket.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub vhost_user_socket_name: String,
    /// vhost-user: who consumes it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub vhost_user_socket_consumption: String,
    /// (CHECK, ours) addresses that ADD's result named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expected_ips: Vec<IpNet>,
    /// (GC, ours) attachments still in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_attachments: Option<Vec<Attachment>>,
}

/// One address of an interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpReply {
    /// `IPv4` or `IPv6`.
    pub protocol: String,
    /// The address.
    pub ip: IpAddr,
    /// The subnet.
    pub cidr: IpNet,
    /// The subnet's gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
}

/// What the agent answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Response {
    /// Addresses, IPv4 first.
    pub ips: Vec<IpReply>,
    /// MAC address inside.
    pub mac_address: String,
    /// Routes that were made.
    pub routes: Vec<Route>,
    /// MTU in bytes.
    pub mtu: u32,
    /// Name of the interface inside.
    pub nicname: String,
    /// Name of its peer on the host (ours).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host_nicname: String,
    /// Resolver settings.
    pub dns: Dns,
    /// Why it failed; empty on success.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// CNI error code for it; 0 stands for 11, "try again later" (ours).
    #[serde(skip_serializing_if = "is_zero")]
    pub code: u32,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl Response {
    /// An error.
    pub fn failed(code: Code, error: impl Into<String>) -> Self {
        Self { error: error.into(), code: code.number(), ..Self::default() }
    }

    /// The CNI error that an answer with a status other than 2xx stands for.
    pub fn to_error(&self, status: u16) -> CniError {
        let code = match self.code {
            // As Kube-OVN: whatever the agent couldn't do may work at the next attempt.
            0 => Code::TryAgainLater,
            n => Code::from_number(n),
        };
        let msg = if self.error.is_empty() {
            format!("the node agent answered with status {status} and no reason")
        } else {
            self.error.clone()
        };
        CniError::new(code, msg)
    }

    /// The result of ADD that a successful answer stands for.
    pub fn to_outcome(&self, sandbox: &str, ifname: &str) -> Outcome {
        let name = if self.nicname.is_empty() { ifname } else { &self.nicname };
        let mut interfaces = vec![Interface {
            name: name.to_owned(),
            mac: self.mac_address.clone(),
            mtu: (self.mtu > 0).then_some(self.mtu),
            sandbox: sandbox.to_owned(),
        }];
        if !self.host_nicname.is_empty() {
            interfaces.push(Interface { name: self.host_nicname.clone(), ..Interface::default() });
        }
        let ips = self
            .ips
            .iter()
            .map(|ip| IpConfig {
                address: IpNet::new(ip.ip, ip.cidr.prefix_len()).unwrap_or_else(|_| IpNet::from(ip.ip)),
                gateway: ip.gateway,
                interface: Some(0),
            })
            .collect();
        Outcome { interfaces, ips, routes: self.routes.clone(), dns: self.dns.clone() }
    }
}
