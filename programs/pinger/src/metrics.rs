//! What was measured, under Kube-OVN's names, labels and buckets.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use tombolo_observe::Observer;

/// Labels in the order in which they are shown.
pub type Labels = Vec<(&'static str, String)>;

type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

fn check_buckets() -> Histogram {
    Histogram::new([2.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 45.0, 50.0])
}

fn ping_buckets() -> Histogram {
    Histogram::new([0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0])
}

fn far_buckets() -> Histogram {
    Histogram::new([0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 50.0, 100.0])
}

fn milliseconds(of: Duration) -> f64 {
    of.as_secs_f64() * 1000.0
}

/// Something that is well or not.
#[derive(Clone, Debug)]
pub struct Check {
    healthy: Family<Labels, Gauge>,
    unhealthy: Family<Labels, Gauge>,
    latency: Histograms,
}

impl Check {
    fn new(observer: &Observer, name: &str, what: &str) -> Self {
        let latency: Histograms = Family::new_with_constructor(check_buckets);
        Self {
            healthy: observer.metric(&format!("pinger_{name}_healthy"), &format!("Whether {what} answers")),
            unhealthy: observer
                .metric(&format!("pinger_{name}_unhealthy"), &format!("Whether {what} doesn't")),
            latency: observer.add(
                &format!("pinger_{name}_latency_ms"),
                &format!("Milliseconds until {what} answered"),
                latency,
            ),
        }
    }

    /// What one look found: how long the answer took, or that there was none.
    pub fn seen(&self, node: &str, took: Option<Duration>) {
        let labels = vec![("nodeName", node.to_owned())];
        self.healthy.get_or_create(&labels).set(took.is_some().into());
        self.unhealthy.get_or_create(&labels).set(took.is_none().into());
        if let Some(took) = took {
            self.latency.get_or_create(&labels).observe(milliseconds(took));
        }
    }
}

/// Pings of one kind of targets.
#[derive(Clone, Debug)]
pub struct Pings {
    latency: Histograms,
    lost: Family<Labels, Counter>,
    count: Family<Labels, Counter>,
    shown: Arc<Mutex<BTreeSet<Labels>>>,
}

impl Pings {
    fn new(observer: &Observer, name: &str, what: &str, buckets: fn() -> Histogram) -> Self {
        let latency: Histograms = Family::new_with_constructor(buckets);
        Self {
            latency: observer.add(
                &format!("{name}_latency_ms"),
                &format!("Milliseconds until {what} answered a ping"),
                latency,
            ),
            lost: observer.metric(&format!("{name}_lost"), &format!("Pings that {what} didn't answer")),
            count: observer.metric(&format!("{name}_count"), &format!("Pings to {what}")),
            shown: Arc::default(),
        }
    }

    /// The pings of one target in one round.
    pub fn seen(&self, labels: &Labels, times: &[Option<Duration>]) {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).insert(labels.clone());
        // Also of 0: a series that begins with a loss has no increase.
        let lost = times.iter().filter(|time| time.is_none()).count();
        self.lost.get_or_create(labels).inc_by(lost as u64);
        self.count.get_or_create(labels).inc_by(times.len() as u64);
        for time in times.iter().flatten() {
            self.latency.get_or_create(labels).observe(milliseconds(*time));
        }
    }

    /// Takes the series of targets back that are none any more.
    pub fn keep(&self, present: &BTreeSet<Labels>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.retain(|labels| {
            let keep = present.contains(labels);
            if !keep {
                self.latency.remove(labels);
                self.lost.remove(labels);
                self.count.remove(labels);
            }
            keep
        });
    }
}

/// All of them; clones share.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// The API server.
    pub api_server: Check,
    /// The cluster's DNS.
    pub internal_dns: Check,
    /// The DNS beyond it.
    pub external_dns: Check,
    /// Other pinger's pods.
    pub pods: Pings,
    /// Nodes.
    pub nodes: Pings,
    /// Addresses outside of the cluster.
    pub external: Pings,
    /// VMs.
    pub vms: Pings,
    ports: Family<Labels, Gauge>,
}

impl Metrics {
    /// Makes and registers them.
    #[must_use]
    pub fn new(observer: &Observer) -> Self {
        Self {
            api_server: Check::new(observer, "apiserver", "the API server"),
            internal_dns: Check::new(observer, "internal_dns", "the cluster's DNS"),
            external_dns: Check::new(observer, "external_dns", "the DNS outside of the cluster"),
            pods: Pings::new(observer, "pinger_pod_ping", "a pod", ping_buckets),
            nodes: Pings::new(observer, "pinger_node_ping", "a node", ping_buckets),
            external: Pings::new(
                observer,
                "pinger_external_ping",
                "an address outside of the cluster",
                far_buckets,
            ),
            vms: Pings::new(observer, "tombolo_pinger_vm_ping", "a VM", ping_buckets),
            ports: observer.metric("tombolo_pinger_port_reachable", "Whether a port that was named answers"),
        }
    }

    /// Whether a port answers.
    pub fn port(&self, labels: &Labels, reachable: bool) {
        self.ports.get_or_create(labels).set(reachable.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_metrics_is_that_of_alerts_and_dashboards() {
        let observer = Observer::new("test", "1");
        let _metrics = Metrics::new(&observer);
        tombolo_chart::metrics::agree(tombolo_names::workloads::PINGER, &observer.names()).unwrap();
    }

    #[test]
    fn the_names_labels_and_buckets_are_kube_ovns_and_series_go_with_their_targets() {
        let observer = Observer::new("test", "1");
        let metrics = Metrics::new(&observer);
        metrics.api_server.seen("n1", Some(Duration::from_millis(4)));
        metrics.internal_dns.seen("n1", None);
        let labels = vec![("src_node_name", "n1".to_owned())];
        metrics.pods.seen(&labels, &[Some(Duration::from_micros(400)), None, None]);
        let text = observer.metrics();
        for line in [
            "pinger_apiserver_healthy{nodeName=\"n1\"} 1",
            "pinger_apiserver_latency_ms_bucket{le=\"5.0\",nodeName=\"n1\"} 1",
            "pinger_internal_dns_unhealthy{nodeName=\"n1\"} 1",
            "pinger_pod_ping_lost_total{src_node_name=\"n1\"} 2",
            "pinger_pod_ping_count_total{src_node_name=\"n1\"} 3",
            "pinger_pod_ping_latency_ms_bucket{le=\"0.5\",src_node_name=\"n1\"} 1",
        ] {
            assert!(text.contains(line), "{line} is missing in {text}");
        }
        metrics.pods.keep(&BTreeSet::new());
        assert!(!observer.metrics().contains("pinger_pod_ping_lost_total{"));
    }
}
