//! The whole scenario on one machine: real OVN, Neutron, Kubernetes, a VM.
//!
//! This crate starts real programs and plugs them together; it imitates none of them. It must stay light (no async
//! runtime, no Kubernetes client): it is what a fresh machine builds first.

pub mod exec;
pub mod hosts;
pub mod images;
pub mod kubernetes;
pub mod paths;
pub mod progress;
