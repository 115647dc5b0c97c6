//! Annotations, labels and finalizers: Kube-OVN's, and ours under `tombolo.io/`.
//!
//! Keys of a pod's first interface have the prefix `ovn.kubernetes.io/`; those of a further one have that
//! of its provider, see [`key`].

use std::collections::BTreeMap;

/// Finalizer of Kube-OVN's objects (Vpc, Subnet, IP …).
pub const FINALIZER: &str = "kubeovn.io/kube-ovn-controller";
/// What older versions of Kube-OVN used instead; removed where it is met.
pub const OLD_FINALIZER: &str = "kube-ovn-controller";

/// Value of the annotations that are flags.
pub const TRUE: &str = "true";

macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident = $suffix:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = concat!("ovn.kubernetes.io/", $suffix);)*
    };
}

// Written by the controller on pods and nodes.
keys! {
    /// The addresses are chosen (`true`).
    ALLOCATED = "allocated";
    /// The port is in OVN (`true`): the CNI may go on.
    ROUTED = "routed";
    /// Addresses, `v4,v6`. Users set it too: a static address.
    IP_ADDRESS = "ip_address";
    /// MAC. Users set it too: a static MAC.
    MAC_ADDRESS = "mac_address";
    /// The subnet's network, `v4,v6`. On namespaces a list separated by `;`.
    CIDR = "cidr";
    /// The subnet's gateway, `v4,v6`.
    GATEWAY = "gateway";
    /// The subnet. Users set it too: the wanted subnet. On namespaces a list separated by commas.
    LOGICAL_SWITCH = "logical_switch";
    /// The VPC's router.
    LOGICAL_ROUTER = "logical_router";
    /// Kind of the pod's interface: `veth-pair`.
    POD_NIC_TYPE = "pod_nic_type";
    /// VLAN ID of an underlay subnet.
    VLAN_ID = "vlan_id";
    /// Provider network of an underlay subnet.
    PROVIDER_NETWORK = "provider_network";
    /// Name of the virtual machine that the pod runs.
    VIRTUAL_MACHINE = "virtualmachine";
    /// On nodes: name of the port in the join subnet.
    PORT_NAME = "port_name";
    /// On nodes: name of the chassis in OVN's southbound database.
    CHASSIS = "chassis";
    /// On nodes: the interface that tunnels leave by.
    TUNNEL_INTERFACE = "tunnel_interface";
    /// On nodes: further networks.
    NODE_NETWORKS = "node_networks";
    /// On namespaces: what the subnets exclude.
    EXCLUDE_IPS = "exclude_ips";
}

// Read from users' pods.
keys! {
    /// Static addresses to choose from, or the name of an IPPool.
    IP_POOL = "ip_pool";
    /// `ipv4` or `ipv6`: only that family of a dual-stack subnet.
    IP_FAMILY = "ip_family";
    /// Security groups, separated by commas.
    SECURITY_GROUPS = "security_groups";
    /// `true`: only the pod's own addresses may send.
    PORT_SECURITY = "port_security";
    /// Virtual addresses that may send too.
    PORT_VIPS = "port_vips";
    /// Name of a Vip whose address the pod gets.
    VIP = "vip";
    /// Names of Vips that may send too.
    AAPS = "aaps";
    /// Layer-2 forwarding of unknown addresses.
    LAYER2_FORWARD = "layer2_forward";
    /// Limit of traffic to the pod, Mbit/s.
    INGRESS_RATE = "ingress_rate";
    /// Limit of traffic from the pod, Mbit/s.
    EGRESS_RATE = "egress_rate";
    /// Burst of traffic to the pod, Mbit.
    INGRESS_BURST = "ingress_burst";
    /// Burst of traffic from the pod, Mbit.
    EGRESS_BURST = "egress_burst";
    /// netem: delay, ms.
    LATENCY = "latency";
    /// netem: queue length, packets.
    LIMIT = "limit";
    /// netem: loss, percent.
    LOSS = "loss";
    /// netem: jitter, ms.
    JITTER = "jitter";
    /// Floating address.
    EIP = "eip";
    /// Source address outside.
    SNAT = "snat";
    /// Gateway outside.
    NORTH_GATEWAY = "north_gateway";
    /// Further routes, JSON `[{dst,gw}]`.
    ROUTES = "routes";
    /// `true`: the default route goes through this interface.
    DEFAULT_ROUTE = "default_route";
    /// `true`: mirror the traffic.
    MIRROR = "mirror";
    /// Announce by BGP.
    BGP = "bgp";
    /// Live migration: when the new port takes over.
    ACTIVATION_STRATEGY = "activation_strategy";
    /// Options of DHCPv4 answers.
    DHCP_V4_OPTIONS = "dhcp-v4-options";
    /// Options of DHCPv6 answers.
    DHCP_V6_OPTIONS = "dhcp-v6-options";
    /// SR-IOV virtual function.
    VF = "vf";
    /// Its representor.
    VF_REPRESENTOR = "vf_representor";
}

// Read from other objects.
keys! {
    /// On Vpcs, `on`: a load balancer's pod for their Services.
    VPC_LB = "vpc_lb";
}

// Labels.
keys! {
    /// `true` on Vpcs whose router belongs to another system (Neutron).
    VPC_EXTERNAL = "vpc_external";
    /// Subnet of an IP.
    SUBNET_LABEL = "subnet";
    /// Node of an IP.
    NODE_NAME_LABEL = "node-name";
    /// Whether an IP is kept without a pod: `false`.
    IP_RESERVED_LABEL = "ip_reserved";
    /// Nodes that are external gateways.
    EXTERNAL_GATEWAY_LABEL = "external-gw";
    /// Nodes that are gateways of cluster interconnection.
    IC_GATEWAY_LABEL = "ic-gw";
    /// Nodes with an external gateway interface.
    NODE_EXT_GATEWAY_LABEL = "node-ext-gw";
    /// Kind of the node's datapath.
    OVS_DP_TYPE_LABEL = "ovs_dp_type";
}

/// Multus: further networks of a pod.
pub const MULTUS_NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
/// Multus: the first network of a pod.
pub const MULTUS_DEFAULT_NETWORK: &str = "v1.multus-cni.io/default-network";

/// Kubernetes', on a pod made from a file on the node (a static pod): the file's hash, which the runtime takes for the UID.
/// The API's object, a mirror, may be made anew with another UID while the pod runs on.
pub const STATIC_POD: [&str; 2] = ["kubernetes.io/config.mirror", "kubernetes.io/config.hash"];

/// Whether annotations are those of a static pod ([`STATIC_POD`]).
#[must_use]
pub fn is_static_pod(annotations: Option<&BTreeMap<String, String>>) -> bool {
    annotations.is_some_and(|all| STATIC_POD.iter().any(|key| all.contains_key(*key)))
}

/// Ours, on a Subnet behind a Neutron router: `true` gives its pods Services, DNS and other pods.
pub const CLUSTER_ACCESS: &str = "tombolo.io/cluster-access";
/// Ours, on an IP: epoch of the leader that chose the address (invariant 5).
pub const EPOCH: &str = "tombolo.io/epoch";
/// Ours, on an IP: UID of the pod that the address was chosen for.
pub const POD_UID: &str = "tombolo.io/pod-uid";
/// Ours, on a pod: MTU of its interface in bytes, where the network demands one (Neutron's `neutron:mtu`).
pub const MTU: &str = "tombolo.io/mtu";
/// Ours, on a Node, by its agent: `true` if the interfaces that it makes bear `iface-id-ver`. On a pod: its UID, if its port is
/// claimed only for an interface that bears it.
pub const INTERFACE_VERSION: &str = "tombolo.io/iface-id-ver";
/// Ours, on a Subnet: `false` lets its pods send from any address, where port security is on.
pub const SUBNET_PORT_SECURITY: &str = "tombolo.io/port-security";
/// Ours, on a Subnet: addresses and networks that its pods may send from beside their own (VRRP), separated by commas.
pub const ALLOWED_ADDRESSES: &str = "tombolo.io/allowed-addresses";
/// Ours, on a Subnet: `true` lets its pods ask for static addresses inside `excludeIps`.
pub const STATIC_IN_EXCLUDED: &str = "tombolo.io/static-in-excluded";
/// Ours, on an object: how much of the delete brake's count an operator has released.
pub const BRAKE_RELEASE: &str = "tombolo.io/brake-release";

/// The key of an interface: `key("ovn", "ip_address")` is `ovn.kubernetes.io/ip_address`,
/// `key("net1.ns1.ovn", "ip_address")` is `net1.ns1.ovn.kubernetes.io/ip_address`.
pub fn key(provider: &str, suffix: &str) -> String {
    format!("{provider}.kubernetes.io/{suffix}")
}

/// The part of a key behind its slash: `suffix(IP_ADDRESS)` is `ip_address`.
pub fn suffix(key: &str) -> &str {
    key.rsplit_once('/').map_or(key, |(_, s)| s)
}

/// The same key for another provider: `for_provider("net1.ns1.ovn", IP_ADDRESS)`.
pub fn for_provider(provider: &str, default_key: &str) -> String {
    key(provider, suffix(default_key))
}

/// On a Secret with certificates: the program that has made it. One without it is the user's.
pub const ISSUED_BY: &str = "tombolo.io/issued-by";
/// On the Secret of the authorities: another word there asks for a new authority.
pub const ROTATE: &str = "tombolo.io/rotate";
/// On the Secret of the authorities: the word that was answered last.
pub const ROTATED: &str = "tombolo.io/rotated";
/// On the last object that `kubectl ko uninstall-ovn` deletes: when it had seen that nobody's network is in OVN, in seconds since 1970.
pub const UNINSTALLS_OVN: &str = "tombolo.io/uninstalls-ovn";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_as_kube_ovn_writes_them() {
        assert_eq!(IP_ADDRESS, "ovn.kubernetes.io/ip_address");
        assert_eq!(VPC_EXTERNAL, "ovn.kubernetes.io/vpc_external");
        assert_eq!(for_provider("ovn", IP_ADDRESS), IP_ADDRESS);
        assert_eq!(for_provider("net1.ns1.ovn", ROUTED), "net1.ns1.ovn.kubernetes.io/routed");
        assert_eq!(DHCP_V4_OPTIONS, "ovn.kubernetes.io/dhcp-v4-options");
    }
}
