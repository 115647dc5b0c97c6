//! Series that are made anew at each request for metrics, of what a program knows anyway: nothing to keep in step, and
//! nothing left of what is gone.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Labels and a value.
pub type Series = (Vec<(&'static str, String)>, f64);

/// All series of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// The name, without a counter's `_total`.
    pub name: &'static str,
    /// What it means.
    pub help: &'static str,
    /// Whether it only grows.
    pub counter: bool,
    /// Its series.
    pub series: Vec<Series>,
}

impl Family {
    /// Of a gauge.
    #[must_use]
    pub fn gauge(name: &'static str, help: &'static str, series: Vec<Series>) -> Self {
        Self { name, help, counter: false, series }
    }

    /// Of a counter.
    #[must_use]
    pub fn counter(name: &'static str, help: &'static str, series: Vec<Series>) -> Self {
        Self { name, help, counter: true, series }
    }
}

/// Who can say all series at once.
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// All of them. Each name is always there, also without series: rules and dashboards are held against the names.
    fn families(&self) -> Vec<Family>;
}

/// Shows a source's series to the registry.
#[derive(Debug)]
pub(crate) struct FromSource<S>(pub(crate) Arc<S>);

impl<S: Source> Collector for FromSource<S> {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        for family in self.0.families() {
            let kind = if family.counter { MetricType::Counter } else { MetricType::Gauge };
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, kind)?;
            for (labels, value) in family.series {
                let series = metric.encode_family(&labels)?;
                if family.counter {
                    ConstCounter::new(value).encode(series)?;
                } else {
                    ConstGauge::new(value).encode(series)?;
                }
            }
        }
        Ok(())
    }
}
