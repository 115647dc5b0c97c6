//! Kube-OVN's Kubernetes API as Tombolo speaks it: the custom resources of group `kubeovn.io`, the
//! annotations, labels and finalizers, slim views of core objects, and the rules that need one object only.
//!
//! This crate decides what the words of the API mean: which values are valid, what a default is,
//! which fields can't be honored on a Neutron router. It does not decide what becomes of them in OVN
//! (`tombolo-plan`), and does no IO: there is no client here.
//!
//! Field names, columns and short names are Kube-OVN's. Fields that this version doesn't act upon are
//! in the schema all the same, so that nothing a user wrote is pruned.

pub mod condition;
mod count;
pub mod crds;
pub mod defaults;
pub mod event;
mod ip;
pub mod kubelet;
pub mod patch;
mod selector;
mod subnet;
pub mod text;
pub mod validate;
pub mod views;
mod vpc;

pub use condition::{Condition, ConditionStatus};
pub use count::IpCount;
pub use ip::{Ip, IpSpec};
pub use selector::{LabelSelector, LabelSelectorRequirement};
pub use subnet::{
    Acl, NatOutgoingPolicyMatch, NatOutgoingPolicyRule, NatOutgoingPolicyRuleStatus, Subnet, SubnetSpec,
    SubnetStatus, U2oFeatures,
};
pub use tombolo_names::annotations;
pub use vpc::{
    BfdPort, BfdPortStatus, JoinNetwork, NeutronNetworkStatus, NeutronRouterStatus, NodeNetwork,
    NodeNetworks, PolicyRoute, StaticRoute, Vpc, VpcDynamicRouting, VpcPeering, VpcSpec, VpcStatus,
};

/// API group of all custom resources.
pub use tombolo_names::workloads::GROUP;
/// Their version.
pub const VERSION: &str = "v1";

/// Name of the default VPC, and of its logical router.
pub const DEFAULT_VPC: &str = "ovn-cluster";
/// Name of the subnet for pods whose namespace has none.
pub const DEFAULT_SUBNET: &str = "ovn-default";
/// Name of the subnet that joins the nodes to the default VPC.
pub const JOIN_SUBNET: &str = "join";
/// `Subnet.spec.provider` of pods' first interface.
pub const OVN_PROVIDER: &str = "ovn";

/// For `skip_serializing_if`.
pub(crate) fn is_false(value: &bool) -> bool {
    !value
}

/// For `skip_serializing_if`.
pub(crate) fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// For `skip_serializing_if`.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
