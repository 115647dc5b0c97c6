//! kube-ovn-controller
