//! kube-ovn-controller
fn main() {}
