//! The whole scenario on one machine: real OVN, Neutron, Kubernetes, a VM
