//! Series as the registry takes them: made anew at each request, so that they cost nothing in between.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::series::Family;

/// Who can say all series at once.
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// All of them. Each name is always there, also without series: rules and dashboards are held against the names.
    fn families(&self) -> Vec<Family>;
}

/// A source's series.
#[derive(Debug)]
pub struct Series<S>(pub Arc<S>);

impl<S: Source> Collector for Series<S> {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        for family in self.0.families() {
            let kind = if family.counter { MetricType::Counter } else { MetricType::Gauge };
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, kind)?;
            for (labels, value) in family.series {
                let series = metric.encode_family(&labels)?;
                match family.counter {
                    true => ConstCounter::new(value).encode(series)?,
                    false => ConstGauge::new(value).encode(series)?,
                }
            }
        }
        Ok(())
    }
}
