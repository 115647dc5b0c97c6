//! The network configuration on the plugin's standard input (CNI spec, "Configuration format").

use serde::{Deserialize, Serialize};

use crate::error::{CniError, Code};
use crate::result::{Outcome, Route};
use crate::version::Version;

/// Where the agent listens, unless the configuration says otherwise.
pub const SOCKET: &str = "/run/openvswitch/kube-ovn-daemon.sock";

/// The part of `ipam` that means something to us: Kube-OVN's IPAM type with another plugin's interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ipam {
    /// Name of the IPAM plugin.
    #[serde(rename = "type")]
    pub kind: String,
    /// Path of the agent's socket.
    pub server_socket: String,
    /// Name of the network attachment.
    pub provider: String,
    /// Routes beside the default one.
    pub routes: Vec<Route>,
}

/// An attachment that is still in use (GC).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attachment {
    /// The runtime's id of the sandbox.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// Name of the interface inside.
    pub ifname: String,
}

/// A plugin's configuration. Keys that we don't know are left alone, as the specification asks.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct NetConf {
    /// The specification's version for this call, as it was given; [`NetConf::version`] judges it.
    #[serde(rename = "cniVersion")]
    pub cni_version: String,
    /// Name of the network.
    pub name: String,
    /// Name of the plugin.
    #[serde(rename = "type")]
    pub kind: String,
    /// Path of the agent's socket; [`NetConf::socket`] knows the default.
    pub server_socket: String,
    /// Name of the network attachment, `<nad>.<namespace>.ovn`; empty or `ovn` for a pod's first interface.
    pub provider: String,
    /// Routes beside the default one.
    pub routes: Vec<Route>,
    /// See [`Ipam`].
    pub ipam: Ipam,
    /// PCI address of an SR-IOV device; refused for now.
    #[serde(rename = "deviceID")]
    pub device_id: String,
    /// What the plugin before in the list returned, or (CHECK, DEL) what ADD returned.
    #[serde(rename = "prevResult")]
    pub prev_result: Option<serde_json::Value>,
    /// (GC) what is still in use.
    #[serde(rename = "cni.dev/valid-attachments")]
    pub valid_attachments: Option<Vec<Attachment>>,
}

impl NetConf {
    /// Reads it; code 6 when it isn't JSON of this shape.
    pub fn parse(text: &[u8]) -> Result<Self, CniError> {
        serde_json::from_slice(text).map_err(|e| {
            CniError::new(Code::Decode, "reading the network configuration on standard input")
                .details(e.to_string())
        })
    }

    /// The specification's version of this call. A configuration without one means 0.1.0, which we don't speak.
    pub fn version(&self) -> Result<Version, CniError> {
        Version::parse(if self.cni_version.is_empty() { "0.1.0" } else { &self.cni_version })
    }

    /// Path of the agent's socket.
    pub fn socket(&self) -> &str {
        [&self.server_socket, &self.ipam.server_socket]
            .into_iter()
            .find(|s| !s.is_empty())
            .map_or(SOCKET, |s| s)
    }

    /// The network attachment this is about: `ovn` for a pod's first interface.
    pub fn provider(&self) -> &str {
        [&self.provider, &self.ipam.provider].into_iter().find(|s| !s.is_empty()).map_or("ovn", |s| s)
    }

    /// Whether the fields make sense together; code 7 otherwise.
    pub fn validate(&self) -> Result<(), CniError> {
        let invalid = |msg: String| Err(CniError::new(Code::InvalidConfig, msg));
        if self.name.is_empty() {
            return invalid("the network configuration has no name".to_owned());
        }
        if !self.socket().starts_with('/') {
            return invalid(format!("server_socket {:?} is not an absolute path", self.socket()));
        }
        if !self.device_id.is_empty() {
            return Err(CniError::new(
                Code::UnsupportedField,
                format!("deviceID {:?}: SR-IOV devices are not supported", self.device_id),
            ));
        }
        Ok(())
    }

    /// `prevResult`, read; code 6 when it isn't a result.
    pub fn prev(&self) -> Result<Option<Outcome>, CniError> {
        self.prev_result.as_ref().map(Outcome::from_json).transpose()
    }
}
