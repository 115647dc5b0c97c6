//! Metrics: under Kube-OVN's names where it has one, under `tombolo_` else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use tombolo_api::Subnet;
use tombolo_engine::{Health, Object, Stats, WriteError};
use tombolo_names::Reason;
use tombolo_observe::Observer;
use tombolo_ovsdb::{TxnError, TxnReply};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SubnetLabels {
    subnet_name: String,
    protocol: String,
    subnet_cidr: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OvsLabels {
    db: &'static str,
    method: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    method: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AdmissionLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UnservedLabels {
    kind: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LeaderLabels {
    name: &'static str,
}

/// All metrics of the controller but the engine's own counters. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    available: Family<SubnetLabels, Gauge>,
    used: Family<SubnetLabels, Gauge>,
    /// Labels under which a Subnet was last shown, to take them back when they change.
    shown: Arc<Mutex<BTreeMap<String, SubnetLabels>>>,
    ovs: Family<OvsLabels, Histogram, fn() -> Histogram>,
    writes: Family<WriteLabels, Counter>,
    write_seconds: Histogram,
    admission: Family<AdmissionLabels, Counter>,
    unserved: Family<UnservedLabels, Counter>,
    leader: Family<LeaderLabels, Gauge>,
    nb_fresh: Gauge,
    nb_connects: Gauge,
    nb_resumes: Gauge,
    nb_inconsistencies: Gauge,
    foreign: Counter,
    poll_seconds: Histogram,
    batch: Histogram,
    engine: Arc<Mutex<(Stats, Health)>>,
}

/// The engine's own counters, read at each request for metrics.
#[derive(Debug)]
struct EngineCollector(Arc<Mutex<(Stats, Health)>>);

impl Collector for EngineCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let (stats, health) = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (name, help, value) in [
            ("plans", "Objects planned", stats.plans),
            ("commits", "Transactions committed to the NB", stats.commits),
            ("committed_objects", "Objects whose rows they held", stats.committed_owners),
            ("failed_api_writes", "Writes to the API server that failed", stats.failed_writes),
            (
                "quarantined",
                "Times an object was put aside because the NB refused its rows",
                stats.quarantined,
            ),
            (
                "restored_objects",
                "Times rows were restored after others had changed or deleted them",
                stats.restored,
            ),
            ("malformed_objects", "Objects that could not be decoded", stats.malformed),
            (
                "writes_without_effect",
                "Writes that the API server took and that changed nothing",
                stats.vain_writes,
            ),
        ] {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(
                &format!("tombolo_engine_{name}"),
                help,
                None,
                counter.metric_type(),
            )?)?;
        }
        for (name, help, value) in [
            ("orphan_rows", "Rows of this cluster with an unknown owner", stats.orphans),
            ("held_deletions", "Objects whose deletion the brake holds back", stats.held),
            (
                "contended_objects",
                "Objects whose rows are restored with pauses, since others undo it",
                stats.contended,
            ),
            ("waiting_objects", "Objects waiting to be planned", health.dirty as u64),
            (
                "unchanged_objects",
                "Objects that no write changes: an old CRD, or finalizers of others",
                stats.unchanged,
            ),
            (
                "waiting_for_address_objects",
                "Objects that wait for a free address",
                stats.waiting_for_address,
            ),
            (
                "brake_holding",
                "Whether the delete brake holds deletions back",
                u64::from(health.brake_holding),
            ),
        ] {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(
                &format!("tombolo_engine_{name}"),
                help,
                None,
                gauge.metric_type(),
            )?)?;
        }
        let failed =
            stats.failed_commits.iter().map(|(kind, n)| (vec![("code", (*kind).to_owned())], *n)).collect();
        family(&mut encoder, "failed_commits", "Transactions that failed, by kind of error", failed)?;
        let problems = stats
            .problems
            .iter()
            .map(|(reason, n)| (vec![("reason", reason.as_str().to_owned())], *n))
            .collect();
        family(&mut encoder, "problems", "Problems reported to users, by reason", problems)?;
        let writes = stats
            .writes
            .iter()
            .map(|((kind, verb), n)| (vec![("kind", (*kind).to_owned()), ("verb", (*verb).to_owned())], *n));
        family(&mut encoder, "api_writes", "Writes to the API server, by kind and verb", writes.collect())
    }
}

fn family(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    values: Vec<(Vec<(&'static str, String)>, u64)>,
) -> Result<(), std::fmt::Error> {
    let name = format!("tombolo_engine_{name}");
    let mut metric = encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
    for (labels, value) in values {
        ConstCounter::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn milliseconds() -> Histogram {
    Histogram::new(exponential_buckets(0.5, 2.0, 16))
}

impl Metrics {
    /// Makes and registers them.
    pub fn new(observer: &Observer) -> Self {
        let this = Self {
            available: observer
                .metric("subnet_available_ip_count", "The available num of ip address in subnet"),
            used: observer.metric("subnet_used_ip_count", "The used num of ip address in subnet"),
            shown: Arc::default(),
            ovs: observer.add(
                "ovs_client_request_latency_milliseconds",
                "The latency histogram for ovs request",
                Family::new_with_constructor(milliseconds),
            ),
            writes: observer.metric("tombolo_api_writes", "Writes to the API server by their outcome"),
            write_seconds: observer.add(
                "tombolo_api_write_seconds",
                "Time a write to the API server took",
                Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            ),
            admission: observer
                .metric("tombolo_admission_reviews", "Subnets judged before they were stored, by outcome"),
            unserved: observer.metric(
                "tombolo_unserved_objects",
                "NetworkPolicies and Services with an Event on a part that isn't served",
            ),
            leader: observer.metric("leader_election_master_status", "Whether this process leads"),
            nb_fresh: observer.metric("tombolo_nb_fresh", "Whether the replica of the NB follows its leader"),
            nb_connects: observer.metric("tombolo_nb_connects", "How often the replica became fresh"),
            nb_resumes: observer
                .metric("tombolo_nb_resumes", "How often of these the server sent only the changes since"),
            nb_inconsistencies: observer.metric(
                "tombolo_nb_inconsistencies",
                "How often the replica contradicted the server and was built anew",
            ),
            foreign: observer.metric(
                "tombolo_foreign_rows_changed",
                "Writes to rows of others, but for the edges that are allowed: always 0",
            ),
            poll_seconds: observer.add(
                "tombolo_engine_poll_seconds",
                "Time one turn of the engine took",
                Histogram::new(exponential_buckets(0.000_05, 4.0, 9)),
            ),
            batch: observer.add(
                "tombolo_engine_batch",
                "Events taken in one turn of the engine",
                Histogram::new(exponential_buckets(1.0, 4.0, 8)),
            ),
            engine: Arc::default(),
        };
        observer.register(|r| r.register_collector(Box::new(EngineCollector(this.engine.clone()))));
        this.leading(false);
        this
    }

    /// Whether this process leads.
    pub fn leading(&self, leading: bool) {
        self.leader.get_or_create(&LeaderLabels { name: crate::lease::LEASE }).set(i64::from(leading));
    }

    /// One write to the API server.
    pub fn api_write(
        &self,
        method: &'static str,
        result: &Result<Option<Object>, WriteError>,
        took: Duration,
    ) {
        let outcome = match result {
            Ok(_) => "ok",
            Err(WriteError::AlreadyExists) => "already_exists",
            Err(WriteError::Conflict(_)) => "conflict",
            Err(WriteError::NotFound) => "not_found",
            Err(WriteError::Refused(_)) => "refused",
            Err(WriteError::Unavailable(_)) => "unavailable",
        };
        self.writes.get_or_create(&WriteLabels { method, outcome }).inc();
        self.write_seconds.observe(took.as_secs_f64());
    }

    /// An Event reported a part that isn't served.
    pub fn unserved(&self, kind: &'static str, reason: Reason) {
        self.unserved.get_or_create(&UnservedLabels { kind, reason: reason.as_str() }).inc();
    }

    /// A Subnet was judged before it was stored.
    pub fn admission(&self, outcome: &'static str) {
        self.admission.get_or_create(&AdmissionLabels { outcome }).inc();
    }

    /// One NB transaction.
    pub fn transaction(&self, result: &Result<TxnReply, TxnError>, took: Duration) {
        let code = result.as_ref().map_or_else(|error| error.kind.as_str(), |_| "0");
        let labels = OvsLabels { db: tombolo_ovn::nb::DATABASE, method: "transact", code };
        self.ovs.get_or_create(&labels).observe(took.as_secs_f64() * 1000.0);
    }

    /// A write to a row of others.
    pub fn foreign_touched(&self) {
        self.foreign.inc();
    }

    /// The connection to the NB.
    pub fn nb(&self, status: &tombolo_ovsdb::driver::Status) {
        self.nb_fresh.set(i64::from(status.fresh));
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        self.nb_connects.set(count(status.connects));
        self.nb_resumes.set(count(status.resumes));
        self.nb_inconsistencies.set(count(status.inconsistencies));
    }

    /// How the engine is.
    pub fn engine(&self, stats: &Stats, health: Health) {
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        engine.0.clone_from(stats);
        engine.1 = health;
    }

    /// One turn of the engine.
    pub fn turn(&self, events: usize, took: Duration) {
        self.batch.observe(events as f64);
        self.poll_seconds.observe(took.as_secs_f64());
    }

    /// A Subnet as the API server has it.
    pub fn subnet(&self, subnet: &Subnet) {
        let name = subnet.metadata.name.clone().unwrap_or_default();
        let labels = SubnetLabels {
            subnet_name: name.clone(),
            protocol: subnet.spec.protocol.clone(),
            subnet_cidr: subnet.spec.cidr_block.clone(),
        };
        let status = subnet.status.clone().unwrap_or_default();
        // The scarcer family decides, as in Kube-OVN.
        let (available, used) = if labels.protocol == "IPv6" {
            (status.v6_available_ips, status.v6_using_ips)
        } else {
            (status.v4_available_ips, status.v4_using_ips)
        };
        let count = |n: u128| i64::try_from(n).unwrap_or(i64::MAX);
        self.available.get_or_create(&labels).set(count(available.get()));
        self.used.get_or_create(&labels).set(count(used.get()));
        let old = self.shown.lock().unwrap_or_else(PoisonError::into_inner).insert(name, labels.clone());
        if let Some(old) = old.filter(|old| *old != labels) {
            self.forget(&old);
        }
    }

    /// A Subnet that is gone.
    pub fn subnet_gone(&self, subnet: &Subnet) {
        let name = subnet.metadata.name.as_deref().unwrap_or_default();
        let old = self.shown.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        if let Some(old) = old {
            self.forget(&old);
        }
    }

    fn forget(&self, labels: &SubnetLabels) {
        self.available.remove(labels);
        self.used.remove(labels);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_metrics_is_that_of_alerts_and_dashboards() {
        let observer = Observer::new("test", "1");
        Metrics::new(&observer);
        tombolo_chart::metrics::agree(tombolo_names::workloads::CONTROLLER, &observer.names()).unwrap();
    }
}
