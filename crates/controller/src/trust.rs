//! Whom the API server trusts: our certificate among those in the webhook's configuration.
//!
//! Each replica adds its own certificate when it isn't there, and leaves the others': no key is stored or shared, and
//! nothing has to be renewed. The configuration is the user's (`deploy/optional/admission.yaml`): it is followed
//! by a watch, and while there is none, nothing is done.

use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::api::{Patch, PatchParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::errors::chain;
use crate::watch::backoff;

/// Name of the configuration and of the Service, Kube-OVN's.
pub const NAME: &str = "kube-ovn-webhook";
/// So many certificates stay: those of two replicas, and of some that ended. The oldest go first.
const CERTIFICATES: usize = 6;
const END: &str = "-----END CERTIFICATE-----\n";
const DEADLINE: Duration = Duration::from_secs(10);

/// Keeps `certificate` (PEM) in the configuration until `stop` is cancelled.
pub async fn run(client: Client, certificate: String, stop: CancellationToken) {
    stop.run_until_cancelled(follow(client, certificate)).await;
}

async fn follow(client: Client, certificate: String) {
    let api: Api<ValidatingWebhookConfiguration> = Api::all(client);
    let only = watcher::Config::default().fields(&format!("metadata.name={NAME}"));
    let mut changes = std::pin::pin!(watcher(api.clone(), only).backoff(backoff()));
    let mut complained = false;
    while let Some(event) = changes.next().await {
        match event {
            Ok(watcher::Event::Apply(found) | watcher::Event::InitApply(found)) => {
                complained = false;
                add(&api, found, &certificate).await;
            }
            Ok(_) => complained = false,
            Err(error) => {
                // The other watches say whether the API server is away.
                if !std::mem::replace(&mut complained, true) {
                    debug!(error = %chain(&error), "the webhook's configuration can't be watched");
                }
            }
        }
    }
}

/// Adds the certificate. When somebody else was faster it is read and tried again; the watch brings later changes.
async fn add(
    api: &Api<ValidatingWebhookConfiguration>,
    mut found: ValidatingWebhookConfiguration,
    certificate: &str,
) {
    let mut pause = Duration::from_millis(200);
    while let Some(patch) = patch(&found, certificate) {
        let Ok(patch) = serde_json::from_value(patch) else { return };
        let patch: Patch<()> = Patch::Json(patch);
        let params = PatchParams::default();
        let sent = api.patch(NAME, &params, &patch);
        match tokio::time::timeout(DEADLINE, sent).await {
            Ok(Ok(_)) => {
                info!("the API server asks this replica too before it stores a Subnet");
                return;
            }
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => return,
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 401 | 403) => {
                warn!(
                    "not allowed to put our certificate into the ValidatingWebhookConfiguration {NAME}: check the \
                     ClusterRole of our service account; Subnets are not checked before they are stored: {}",
                    status.message
                );
                return;
            }
            Ok(Err(error)) => debug!(error = %chain(&error), "our certificate was not added"),
            Err(_) => debug!("our certificate was not added within {DEADLINE:?}"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(DEADLINE);
        match tokio::time::timeout(DEADLINE, api.get_opt(NAME)).await {
            Ok(Ok(Some(now))) => found = now,
            Ok(Ok(None)) => return,
            Ok(Err(_)) | Err(_) => {}
        }
    }
}

/// The JSON patch that adds the certificate where it is missing; `None` when it is missing nowhere.
fn patch(found: &ValidatingWebhookConfiguration, certificate: &str) -> Option<Value> {
    let webhooks = found.webhooks.as_deref().unwrap_or_default();
    let mut operations: Vec<Value> = Vec::new();
    for (number, webhook) in webhooks.iter().enumerate() {
        let present = webhook.client_config.ca_bundle.as_ref();
        let present =
            present.map(|bundle| String::from_utf8_lossy(&bundle.0).into_owned()).unwrap_or_default();
        if present.contains(certificate.trim_end()) {
            continue;
        }
        let bundle = k8s_openapi::ByteString(with(&present, certificate).into_bytes());
        let path = format!("/webhooks/{number}/clientConfig/caBundle");
        operations.push(json!({ "op": "add", "path": path, "value": bundle }));
    }
    if operations.is_empty() {
        return None;
    }
    // Only in the version that was read: another replica does the same.
    let version = found.metadata.resource_version.clone().unwrap_or_default();
    operations.insert(0, json!({ "op": "test", "path": "/metadata/resourceVersion", "value": version }));
    Some(Value::Array(operations))
}

/// The bundle with the certificate at its end, without the oldest.
fn with(bundle: &str, certificate: &str) -> String {
    let mut all: Vec<String> =
        bundle.split_inclusive(END).filter(|part| part.ends_with(END)).map(str::to_owned).collect();
    all.push(format!("{}\n", certificate.replace("\r\n", "\n").trim_end()));
    all[all.len().saturating_sub(CERTIFICATES)..].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(name: usize) -> String {
        format!("-----BEGIN CERTIFICATE-----\n{name}\n{END}")
    }

    fn configuration(bundles: &[Option<String>]) -> ValidatingWebhookConfiguration {
        let webhooks: Vec<Value> = bundles
            .iter()
            .map(|bundle| {
                let bundle = bundle.clone().map(|it| k8s_openapi::ByteString(it.into_bytes()));
                json!({ "name": "x.y.z", "sideEffects": "None", "admissionReviewVersions": ["v1"],
                        "clientConfig": { "caBundle": bundle } })
            })
            .collect();
        serde_json::from_value(
            json!({ "metadata": { "name": NAME, "resourceVersion": "7" }, "webhooks": webhooks }),
        )
        .unwrap()
    }

    #[test]
    fn ours_is_added_where_it_is_missing() {
        assert_eq!(patch(&configuration(&[]), &pem(1)), None);
        assert_eq!(patch(&configuration(&[Some(pem(1))]), &pem(1)), None);
        let found = configuration(&[Some(pem(1)), None]);
        let operations = patch(&found, &pem(1)).unwrap();
        assert_eq!(operations[0]["value"], "7");
        assert_eq!(operations[1]["path"], "/webhooks/1/clientConfig/caBundle");
        assert_eq!(operations.as_array().unwrap().len(), 2);
        let operations = patch(&found, &pem(2)).unwrap();
        let bundle: k8s_openapi::ByteString = serde_json::from_value(operations[1]["value"].clone()).unwrap();
        assert_eq!(String::from_utf8(bundle.0).unwrap(), pem(1) + &pem(2));
    }

    #[test]
    fn the_oldest_go() {
        let mut bundle = "garbage\n".to_owned();
        for number in 0..20 {
            bundle = with(&bundle, &pem(number));
        }
        assert_eq!(bundle, (14..20).map(pem).collect::<String>());
    }

    #[test]
    fn a_certificate_of_ours_is_one() {
        let made = crate::admission::certificate("kube-system").unwrap();
        let pem = made.cert.pem();
        assert_eq!(with("", &pem).matches(END).count(), 1);
    }
}
