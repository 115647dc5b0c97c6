//! kube-ovn-controller
pub mod addresses;
pub mod flags;
