//! What ADD returns (CNI spec, "Success"), in the shape of each version.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::{CniError, Code};
use crate::version::Version;

/// An interface that was made, in the container or on the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its MAC address.
    pub mac: String,
    /// Its MTU in bytes (printed from 1.1.0 on).
    pub mtu: Option<u32>,
    /// Path of the network namespace; empty for one on the host.
    pub sandbox: String,
}

/// An address that was assigned.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct IpConfig {
    /// The address with its prefix length: `10.16.0.5/16`.
    pub address: IpNet,
    /// The subnet's gateway.
    #[serde(default)]
    pub gateway: Option<IpAddr>,
    /// Index into `interfaces`.
    #[serde(default)]
    pub interface: Option<usize>,
}

/// A route that was made. In a configuration: one to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Destination.
    pub dst: IpNet,
    /// Next hop; the interface's gateway when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gw: Option<IpAddr>,
}

/// Resolver settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dns {
    /// Addresses of name servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<String>,
    /// The local domain.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Search list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// Resolver options.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

impl Dns {
    /// Nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The result of ADD, independent of a version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// Interfaces; `ips` refer to them by index.
    pub interfaces: Vec<Interface>,
    /// Addresses.
    pub ips: Vec<IpConfig>,
    /// Routes.
    pub routes: Vec<Route>,
    /// Resolver settings.
    pub dns: Dns,
}

impl Outcome {
    /// In the shape of `version`.
    pub fn to_json(&self, version: Version) -> Value {
        let mut out = Map::new();
        out.insert("cniVersion".into(), version.as_str().into());
        out.insert("interfaces".into(), self.interfaces.iter().map(|i| interface(i, version)).collect());
        out.insert("ips".into(), self.ips.iter().map(|ip| ip_config(ip, version)).collect());
        out.insert("routes".into(), self.routes.iter().map(|r| json!(r)).collect());
        out.insert("dns".into(), json!(self.dns));
        Value::Object(out)
    }

    /// Reads a result of any version that we speak (`prevResult`); code 6 when it isn't one.
    pub fn from_json(value: &Value) -> Result<Self, CniError> {
        serde_json::from_value(value.clone())
            .map_err(|e| CniError::new(Code::Decode, "reading prevResult").details(e.to_string()))
    }

    /// `prev` with this added behind: what a plugin returns that isn't the first of its list.
    pub fn after(self, mut prev: Outcome) -> Outcome {
        let shift = prev.interfaces.len();
        prev.interfaces.extend(self.interfaces);
        prev.ips.extend(
            self.ips.into_iter().map(|ip| IpConfig { interface: ip.interface.map(|i| i + shift), ..ip }),
        );
        prev.routes.extend(self.routes);
        if prev.dns.is_empty() {
            prev.dns = self.dns;
        }
        prev
    }
}

fn interface(i: &Interface, version: Version) -> Value {
    let mut out = json!({ "name": i.name, "mac": i.mac });
    if let (Some(mtu), true) = (i.mtu, version >= Version::V1_1_0) {
        out["mtu"] = mtu.into();
    }
    if !i.sandbox.is_empty() {
        out["sandbox"] = i.sandbox.clone().into();
    }
    out
}

fn ip_config(ip: &IpConfig, version: Version) -> Value {
    let mut out = json!({ "address": ip.address });
    if version < Version::V1_0_0 {
        out["version"] = if ip.address.addr().is_ipv4() { "4" } else { "6" }.into();
    }
    if let Some(gw) = ip.gateway {
        out["gateway"] = gw.to_string().into();
    }
    if let Some(index) = ip.interface {
        out["interface"] = index.into();
    }
    out
}
