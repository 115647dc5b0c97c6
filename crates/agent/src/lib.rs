//! kube-ovn-cni: the node agent.
pub mod attach;
pub mod host;
pub mod inside;
pub mod metrics;
pub mod network;
pub mod ovs;
pub mod pods;
pub mod ports;
pub mod server;
