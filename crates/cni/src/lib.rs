//! The words that a container runtime, the plugin and the node agent use with each other: the CNI
//! specification's types (0.3.0 to 1.1.0) and the agent's protocol (Kube-OVN's, with additions).
//!
//! This crate decides how those texts look and which of them are valid. It does nothing: no socket, no file, no
//! environment is read here, so that the plugin and the agent share it and its tests need no root.

pub mod agent;
mod conf;
mod env;
mod error;
mod result;
mod version;

pub use conf::{Attachment, Ipam, NetConf};
pub use env::{Args, Command, Env};
pub use error::{CniError, Code};
pub use result::{Dns, Interface, IpConfig, Outcome, Route};
pub use version::{SUPPORTED, Version, version_report};
