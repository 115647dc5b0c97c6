//! kubectl-ko
fn main() {}
