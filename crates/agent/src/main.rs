//! kube-ovn-cni
fn main() {}
