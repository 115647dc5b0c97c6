//! The CNI plugin kube-ovn
