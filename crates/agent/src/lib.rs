//! kube-ovn-cni: the node agent
