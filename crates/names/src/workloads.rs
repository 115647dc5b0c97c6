//! What runs, and what it is called in Kubernetes: Kube-OVN's names, so that its users and their tools find it.

/// Group of Kube-OVN's objects.
pub const GROUP: &str = "kubeovn.io";
/// The controller: Deployment, `app` label, ServiceAccount, component in Events.
pub const CONTROLLER: &str = "kube-ovn-controller";
/// The agent: DaemonSet, `app` label, component in Events.
pub const AGENT: &str = "kube-ovn-cni";
/// The DaemonSet that cleans the hosts when the chart is uninstalled.
pub const UNINSTALL_HOSTS: &str = "kube-ovn-uninstall-hosts";
/// Our controller's Lease.
pub const LEASE: &str = "tombolo-controller";
/// The Lease of Kube-OVN's own controller. While its holder lives, ours doesn't lead.
pub const KUBE_OVN_LEASE: &str = "kube-ovn-controller";
/// The Secret with certificates and key for OVN's databases.
pub const TLS_SECRET: &str = "kube-ovn-tls";
/// The webhook's configuration.
pub const WEBHOOK: &str = "kube-ovn-webhook";
/// By what name the controller signs its transactions.
pub const CONTROLLER_SIGNATURE: &str = "tombolo-controller";
/// By what name the agent signs its transactions.
pub const AGENT_SIGNATURE: &str = "tombolo-agent";
/// The agent's condition on its Node.
pub const NETWORK_DEGRADED: &str = "tombolo.io/NetworkDegraded";
/// Members of OVN's databases: Deployment, `app` label, container, and the ConfigMap in which they find each other.
pub const CENTRAL: &str = "ovn-central";
/// Open vSwitch and ovn-controller on a node: DaemonSet, `app` label, container.
pub const HYPERVISOR: &str = "ovs-ovn";
/// The Secret with the authority of OVN's certificates, and its key.
pub const AUTHORITY_SECRET: &str = "ovn-ca";
/// The Secret with the certificate of the members of OVN's databases.
pub const CENTRAL_TLS_SECRET: &str = "ovn-central-tls";
/// The Secret with Neutron's certificate for OVN's databases.
pub const NEUTRON_TLS_SECRET: &str = "ovn-client-neutron";
/// The Secret with the hypervisors' certificate for OVN's databases.
pub const CHASSIS_TLS_SECRET: &str = "ovn-client-chassis";
/// Metrics of OVN's databases: Deployment, `app` label, Service, ServiceAccount.
pub const MONITOR: &str = "kube-ovn-monitor";
/// Measures the network from a pod on each node: DaemonSet, `app` label, Service, ServiceAccount.
pub const PINGER: &str = "kube-ovn-pinger";
