//! What is decided from. Pure: how each is read is [`super::gather`]'s.

use std::collections::BTreeMap;

use serde_json::Value;

use super::objects::Found;
use crate::rows::Row;
use crate::snapshot::Snapshot;

/// Something that was read, or why it couldn't be. Nothing is deleted after the latter.
pub type Read<T> = Result<T, String>;

/// Everything.
#[derive(Debug)]
pub struct Facts {
    /// Where it is looked for.
    pub namespace: String,
    /// Workloads and pods of Tombolo itself: `deployment/kube-ovn-controller`.
    pub tombolo: Read<Vec<String>>,
    /// The objects that would go.
    pub found: Read<Found>,
    /// Kubernetes' nodes.
    pub nodes: Read<Vec<Value>>,
    /// This cluster's id in `external_ids`.
    pub cluster: Read<String>,
    /// The northbound, as its leader has it.
    pub nb: Read<Snapshot>,
    /// The southbound, as its leader has it.
    pub sb: Read<Snapshot>,
    /// Interfaces in Open vSwitch (`name`, `external_ids`) by node, of each that has a pod `ovs-ovn`, even one without its DaemonSet.
    pub hosts: Read<BTreeMap<String, Read<Vec<Row>>>>,
    /// Seconds since 1970.
    pub now: i64,
}
