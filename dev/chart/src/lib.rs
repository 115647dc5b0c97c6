//! The Helm chart `charts/tombolo`: the list of its values and the files made of it ([`values`]), how it is rendered
//! ([`render`]), its cases ([`cases`]): values in, manifests or a refusal out; and the metrics of its alerts and dashboards
//! ([`metrics`]).
//!
//! Decides nothing about what is installed: the templates do.

pub mod cases;
pub mod generated;
pub mod metrics;
pub mod render;
pub mod values;

use std::path::PathBuf;

/// The checkout that this was built from.
fn workspace() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The chart's folder.
#[must_use]
pub fn chart() -> PathBuf {
    workspace().join("charts/tombolo")
}

/// The folder of the CustomResourceDefinitions, which the chart installs.
#[must_use]
pub fn crds() -> PathBuf {
    chart().join("files/crds")
}
