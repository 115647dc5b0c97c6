//! World, plan and Desired: what should be in OVN and Kubernetes (pure)
