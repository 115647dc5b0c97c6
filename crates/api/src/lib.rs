//! Kube-OVN's API kubeovn.io/v1, its annotations, and slim views of core objects (pure)
