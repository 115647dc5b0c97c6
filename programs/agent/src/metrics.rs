//! The agent's metrics, under Kube-OVN's names where it has one.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tombolo_names::Reason;
use tombolo_observe::Observer;
use tombolo_observe::prometheus_client::encoding::EncodeLabelSet;
use tombolo_observe::prometheus_client::metrics::counter::Counter;
use tombolo_observe::prometheus_client::metrics::family::Family;
use tombolo_observe::prometheus_client::metrics::gauge::Gauge;
use tombolo_observe::prometheus_client::metrics::histogram::Histogram;

/// Labels of `cni_op_latency_seconds`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    node_name: String,
    method: String,
    status_code: String,
}

/// Labels of metrics with one value a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Node {
    node_name: String,
}

/// Label of restored parts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct What {
    what: &'static str,
}

/// Label of problems.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

type Seconds = Counter<f64, AtomicU64>;

/// All of them; clones share.
#[derive(Debug, Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    node: Node,
    operations: Family<Operation, Histogram>,
    address: Family<Node, Seconds>,
    connectivity: Family<Node, Seconds>,
    ports: Gauge,
    ready: Gauge,
    leftovers: Counter,
    restored: Counter,
    host_restored: Family<What, Counter>,
    problems: Family<ReasonLabels, Gauge>,
}

fn histogram() -> Histogram {
    // From a DEL of a few milliseconds to the deadline of an ADD.
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0])
}

impl Metrics {
    /// Registers them.
    pub fn new(observer: &Observer, node_name: &str) -> Self {
        let inner = Inner {
            node: Node { node_name: node_name.to_owned() },
            operations: observer.add(
                "cni_op_latency_seconds",
                "How long the plugin's requests took",
                Family::new_with_constructor(histogram),
            ),
            address: observer.metric(
                "cni_wait_address_seconds",
                "Time spent waiting for the controller to give pods their addresses",
            ),
            connectivity: observer.metric(
                "cni_wait_connectivity_seconds",
                "Time spent waiting for ovn-controller to install pods' flows",
            ),
            ports: observer.metric("tombolo_agent_pod_ports", "Pods' ports on this node's bridge"),
            ready: observer.metric("tombolo_agent_ready", "1 when pods can be attached"),
            leftovers: observer.metric(
                "tombolo_agent_leftover_ports_removed",
                "Pods' ports that were removed without a DEL: their link or their pod was gone",
            ),
            restored: observer.metric(
                "tombolo_agent_cni_files_restored",
                "Times that the plugin or its configuration was restored after a removal or change",
            ),
            host_restored: observer.metric(
                "tombolo_agent_restored",
                "Restored parts of the node's network that others had taken away",
            ),
            problems: observer.metric(
                "tombolo_agent_problems",
                "Present problems of the node; the Node's condition describes them",
            ),
        };
        Self { inner: Arc::new(inner) }
    }

    /// A request was served.
    pub fn served(&self, method: &str, status: u16, took: Duration) {
        let labels = Operation {
            node_name: self.inner.node.node_name.clone(),
            method: method.to_owned(),
            status_code: status.to_string(),
        };
        self.inner.operations.get_or_create(&labels).observe(took.as_secs_f64());
    }

    pub(crate) fn waited_for_address(&self, took: Duration) {
        self.inner.address.get_or_create(&self.inner.node).inc_by(took.as_secs_f64());
    }

    pub(crate) fn waited_for_connectivity(&self, took: Duration) {
        self.inner.connectivity.get_or_create(&self.inner.node).inc_by(took.as_secs_f64());
    }

    pub(crate) fn set_ports(&self, ports: usize) {
        self.inner.ports.set(i64::try_from(ports).unwrap_or(i64::MAX));
    }

    pub(crate) fn left_over(&self) {
        self.inner.leftovers.inc();
    }

    pub(crate) fn restored(&self, files: usize) {
        self.inner.restored.inc_by(files as u64);
    }

    pub(crate) fn set_ready(&self, ready: bool) {
        self.inner.ready.set(ready.into());
    }

    /// Something of ours on the node was gone and is back.
    pub fn put_back(&self, what: &'static str) {
        self.inner.host_restored.get_or_create(&What { what }).inc();
    }

    pub(crate) fn set_problems(&self, reason: Reason, count: usize) {
        self.inner
            .problems
            .get_or_create(&ReasonLabels { reason: reason.as_str() })
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_metrics_is_that_of_alerts_and_dashboards() {
        let observer = Observer::new("test", "1");
        Metrics::new(&observer, "node1");
        let vswitchd = crate::vswitchd::Vswitchd::new(std::path::Path::new("/nowhere"), "host1");
        observer.source(&std::sync::Arc::new(vswitchd));
        tombolo_chart::metrics::agree(tombolo_names::workloads::AGENT, &observer.names()).unwrap();
    }
}
