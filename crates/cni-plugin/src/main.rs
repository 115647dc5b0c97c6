//! kube-ovn
fn main() {}
