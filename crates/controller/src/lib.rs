//! kube-ovn-controller
pub mod flags;
