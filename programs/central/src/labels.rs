//! Labels on this pod that say what it leads, under Kube-OVN's names: its Services and `kubectl ko` find leaders by them.

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tombolo_client::within;

/// What a member leads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leads {
    /// The northbound database's cluster.
    pub nb: bool,
    /// The southbound database's cluster.
    pub sb: bool,
    /// Whether its northd is the active one.
    pub northd: bool,
}

/// This pod.
pub struct Labels {
    api: Api<Pod>,
    name: String,
    written: Option<Leads>,
}

impl Labels {
    /// Of a pod.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), name: name.to_owned(), written: None }
    }

    /// Writes the labels, if they have changed since they were last written (invariant 9).
    ///
    /// # Errors
    /// The API server's; the next call writes them.
    pub async fn write(&mut self, leads: Leads) -> Result<()> {
        if self.written == Some(leads) {
            return Ok(());
        }
        let labels = json!({
            "ovn-nb-leader": leads.nb.to_string(),
            "ovn-sb-leader": leads.sb.to_string(),
            "ovn-northd-leader": leads.northd.to_string(),
        });
        let patch = Patch::Merge(json!({ "metadata": { "labels": labels } }));
        let params = PatchParams::default();
        let doing = format!("labeling the pod {} with what it leads", self.name);
        within(&doing, self.api.patch(&self.name, &params, &patch)).await?;
        self.written = Some(leads);
        Ok(())
    }
}
