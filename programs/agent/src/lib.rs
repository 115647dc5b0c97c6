//! kube-ovn-cni, the node agent: attaches pods to OVN for the CNI plugin, and the node itself.
//!
//! It decides how a pod's link and its port in Open vSwitch come and go, and keeps the node's own port `ovn0` with its
//! routes and the host's part of pods' traffic. It decides no addresses: the controller does, in
//! objects that only the controller writes; nor does it connect to OVN's databases: ovn-controller does, and
//! reports in the port's row.
//!
//! Pure: [`network`], [`ports`], [`node`], [`assignment`], [`surroundings`], [`nat`], [`forward`]. State without IO:
//! [`pods`]. The rest does things.

pub mod announce;
pub mod assignment;
pub mod attach;
pub mod firewall;
pub mod forward;
pub mod host;
pub mod inside;
pub mod install;
pub mod kube_io;
pub mod leftovers;
pub mod local;
pub mod metrics;
pub mod namespace;
pub mod nat;
pub mod network;
pub mod nft;
pub mod node;
pub mod node_task;
pub mod notices;
pub mod options;
pub mod ovs;
pub mod passing;
pub mod pods;
pub mod ports;
pub mod report;
pub mod run;
pub mod server;
pub mod surroundings;
pub mod sysctls;

pub mod troubles;
pub mod uninstall;
pub mod vswitchd;
