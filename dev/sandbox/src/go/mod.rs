//! Programs that are built here from Go modules, and the Go that builds them.
//!
//! Each has a folder in `files` with a pinned `go.mod` and `go.sum`, is compiled once, statically, and kept in the cache
//! under a key of these sources (`build`). Which programs these are is said in `tools`, for Kubernetes in
//! [`crate::kubernetes::build`].

pub(crate) mod build;
mod toolchain;
mod tools;

pub use tools::{KubeOvn, Prometheus, coredns, helm, kube_ovn, prometheus};
