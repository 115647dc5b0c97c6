//! Mutual trust of the API server and the webhook: our certificate in the webhook's configuration, and the path there.
//!
//! Each replica adds its own certificate, under its name, when it isn't there, and leaves the others': no key is stored or
//! shared, and nothing has to be renewed. The path ends in a secret, made by whichever replica comes first and taken over by
//! the others: only readers of the configuration can ask us: the API server and the cluster's administrators.
//! (API servers show no certificate of their own unless each is configured to.) The configuration is the user's
//! (`charts/tombolo/templates/admission.yaml`): a watch follows it, and while there is none, requests get no answer.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Result, anyhow};
use futures::StreamExt as _;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::api::{Patch, PatchParams};
use kube::runtime::watcher::{self, Config};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use tombolo_client::{ApiServer, chain};

/// Name of the configuration and of the Service, Kube-OVN's.
pub use tombolo_names::workloads::WEBHOOK as NAME;
/// The webhook's path, before the secret.
const PATH: &str = "/subnets";
/// So many replicas' certificates stay: of two, and of some whose pods are gone. The oldest go first.
const REPLICAS: usize = 6;
const BEGIN: &str = "-----BEGIN CERTIFICATE-----\n";
const END: &str = "-----END CERTIFICATE-----\n";
/// Begins the line before a certificate that names its replica. Text between certificates means nothing to their readers.
const OF: &str = "# replica ";
const DEADLINE: Duration = Duration::from_secs(10);
/// Random bytes of the secret.
const SECRET: usize = 16;

/// The secrets that count now. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Paths {
    /// Newest first: an API server may not have seen the newest configuration yet.
    secrets: Arc<RwLock<Vec<String>>>,
}

impl Paths {
    /// Whether `secret` is one of them. Takes the same time wherever two differ.
    pub fn holds(&self, secret: &str) -> bool {
        let secrets = self.secrets.read().unwrap_or_else(PoisonError::into_inner);
        secrets.iter().any(|known| {
            let differ = known.bytes().zip(secret.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
            known.len() == secret.len() && differ == 0
        })
    }

    fn take(&self, secret: &str) {
        let mut secrets = self.secrets.write().unwrap_or_else(PoisonError::into_inner);
        if secrets.first().is_none_or(|first| first != secret) {
            secrets.retain(|known| known != secret);
            secrets.insert(0, secret.to_owned());
            secrets.truncate(2);
        }
    }

    fn forget(&self) {
        self.secrets.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A replica's part of the configuration.
#[derive(Clone, Debug)]
pub struct Replica {
    /// Its name: the pod's, so that a container that starts again replaces its former entry.
    pub name: String,
    /// Its certificate in PEM.
    pub certificate: String,
    /// The secret it proposes where there is none.
    pub secret: String,
}

impl Replica {
    /// A replica with a secret of its own.
    pub fn new(name: &str, certificate: String) -> Result<Self> {
        let mut bytes = [0; SECRET];
        rustls::crypto::ring::default_provider()
            .secure_random
            .fill(&mut bytes)
            .map_err(|_| anyhow!("the system gives no random bytes"))?;
        let secret = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = name.chars().filter(|c| !c.is_control() && !c.is_whitespace()).collect();
        Ok(Self { name, certificate: certificate.replace("\r\n", "\n"), secret })
    }
}

/// Keeps the replica in the configuration, and `paths` as it has them, until `stop` is cancelled.
pub async fn run(
    client: Client,
    api_server: ApiServer,
    replica: Replica,
    paths: Paths,
    stop: CancellationToken,
) {
    stop.run_until_cancelled(follow(client, api_server, replica, paths)).await;
}

async fn follow(client: Client, api_server: ApiServer, replica: Replica, paths: Paths) {
    let api: Api<ValidatingWebhookConfiguration> = Api::all(client);
    let only = Config::default().fields(&format!("metadata.name={NAME}"));
    let mut changes = tombolo_client::follow(api.clone(), only, &api_server);
    while let Some(event) = changes.next().await {
        match event {
            watcher::Event::Apply(found) | watcher::Event::InitApply(found) => {
                add(&api, found, &replica, &paths).await;
            }
            watcher::Event::Delete(_) => paths.forget(),
            watcher::Event::Init | watcher::Event::InitDone => {}
        }
    }
}

/// Adds missing parts. When another replica was faster it is read and tried again; the watch brings later changes.
async fn add(
    api: &Api<ValidatingWebhookConfiguration>,
    mut found: ValidatingWebhookConfiguration,
    replica: &Replica,
    paths: &Paths,
) {
    let mut pause = Duration::from_millis(200);
    loop {
        let secret = secret_of(&found).unwrap_or(&replica.secret).to_owned();
        // Before the API server has it, so that it is never refused.
        paths.take(&secret);
        let Some(patch) = patch(&found, replica, &secret) else { return };
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

/// The address of a webhook of the configuration: the pointer to that field, and its value.
fn place(webhook: &k8s_openapi::api::admissionregistration::v1::ValidatingWebhook) -> (&'static str, &str) {
    match (&webhook.client_config.service, &webhook.client_config.url) {
        (Some(service), _) => ("service/path", service.path.as_deref().unwrap_or_default()),
        (None, url) => ("url", url.as_deref().unwrap_or_default()),
    }
}

/// The secret at the end of a path or URL of ours.
fn secret(place: &str) -> Option<&str> {
    let (before, secret) = place.rsplit_once('/')?;
    let fits = secret.len() == 2 * SECRET && secret.bytes().all(|byte| byte.is_ascii_hexdigit());
    (fits && before.ends_with(PATH)).then_some(secret)
}

/// The secret that some replica has put there.
fn secret_of(found: &ValidatingWebhookConfiguration) -> Option<&str> {
    found.webhooks.iter().flatten().find_map(|webhook| secret(place(webhook).1))
}

/// The JSON patch that adds missing parts; `None` when none are.
fn patch(found: &ValidatingWebhookConfiguration, replica: &Replica, secret: &str) -> Option<Value> {
    let mut operations: Vec<Value> = Vec::new();
    for (number, webhook) in found.webhooks.iter().flatten().enumerate() {
        let mut add = |field: &str, value: Value| {
            let path = format!("/webhooks/{number}/clientConfig/{field}");
            operations.push(json!({ "op": "add", "path": path, "value": value }));
        };
        let (field, at) = place(webhook);
        if self::secret(at) != Some(secret) {
            // As the user has it, less another secret.
            let base = at.rfind(PATH).map_or(at, |start| &at[..start]);
            add(field, json!(format!("{}{PATH}/{secret}", base.trim_end_matches('/'))));
        }
        let present = webhook.client_config.ca_bundle.as_ref();
        let present =
            present.map(|bundle| String::from_utf8_lossy(&bundle.0).into_owned()).unwrap_or_default();
        if !present.contains(replica.certificate.trim_end()) {
            add("caBundle", json!(k8s_openapi::ByteString(with(&present, replica).into_bytes())));
        }
    }
    if operations.is_empty() {
        return None;
    }
    // Only in the version that was read: another replica does the same.
    let version = found.metadata.resource_version.clone().unwrap_or_default();
    operations.insert(0, json!({ "op": "test", "path": "/metadata/resourceVersion", "value": version }));
    Some(Value::Array(operations))
}

/// The bundle with the replica's certificate at its end, without its former one, and without the oldest. A
/// replica that starts again and again thus pushes out only its own.
fn with(bundle: &str, replica: &Replica) -> String {
    let mut all: Vec<(String, &str)> = Vec::new();
    for part in bundle.split_inclusive(END).filter(|part| part.ends_with(END)) {
        let Some(begin) = part.rfind(BEGIN) else { continue };
        let (before, certificate) = part.split_at(begin);
        let name = before.lines().rev().find_map(|line| line.strip_prefix(OF)).unwrap_or_default();
        if name != replica.name {
            all.push((name.to_owned(), certificate));
        }
    }
    let own = format!("{}\n", replica.certificate.trim_end());
    all.push((replica.name.clone(), &own));
    let mut bundle = String::new();
    for (name, certificate) in &all[all.len().saturating_sub(REPLICAS)..] {
        bundle.push_str(&format!("{OF}{name}\n{certificate}"));
    }
    bundle
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(name: usize) -> String {
        format!("{BEGIN}{name}\n{END}")
    }

    fn replica(name: &str, certificate: usize) -> Replica {
        Replica { name: name.to_owned(), certificate: pem(certificate), secret: "0".repeat(32) }
    }

    fn bundle(of: &[(&str, usize)]) -> String {
        of.iter().map(|(name, number)| format!("{OF}{name}\n{}", pem(*number))).collect()
    }

    fn configuration(bundle: Option<String>, client: Value) -> ValidatingWebhookConfiguration {
        let mut client = client;
        if let Some(bundle) = bundle {
            client["caBundle"] = json!(k8s_openapi::ByteString(bundle.into_bytes()));
        }
        serde_json::from_value(json!({
            "metadata": { "resourceVersion": "7" },
            "webhooks": [{ "name": "x.y.z", "sideEffects": "None", "admissionReviewVersions": ["v1"],
                "clientConfig": client }],
        }))
        .unwrap()
    }

    fn service(path: Option<&str>) -> Value {
        let mut service = json!({ "name": NAME, "namespace": "n" });
        if let Some(path) = path {
            service["path"] = json!(path);
        }
        json!({ "service": service })
    }

    #[test]
    fn what_is_missing_is_added_and_nothing_else() {
        let secret = "a".repeat(32);
        let found = configuration(None, service(None));
        let operations = patch(&found, &replica("p", 1), &secret).unwrap();
        assert_eq!(operations[0]["value"], "7");
        assert_eq!(operations[1]["path"], "/webhooks/0/clientConfig/service/path");
        assert_eq!(operations[1]["value"], format!("/subnets/{secret}"));
        assert_eq!(operations[2]["path"], "/webhooks/0/clientConfig/caBundle");
        let complete = configuration(Some(bundle(&[("p", 1)])), service(Some(&format!("/subnets/{secret}"))));
        assert_eq!(patch(&complete, &replica("p", 1), &secret), None);
        assert_eq!(secret_of(&complete), Some(secret.as_str()));
        // By URL, as the manifest had it before, and with another replica's secret.
        for path in ["", "/", "/subnets", &format!("/subnets/{}", "b".repeat(32))] {
            let found = configuration(None, json!({ "url": format!("https://127.0.0.1:7{path}") }));
            let operations = patch(&found, &replica("p", 1), &secret).unwrap();
            assert_eq!(operations[1]["path"], "/webhooks/0/clientConfig/url");
            assert_eq!(operations[1]["value"], format!("https://127.0.0.1:7/subnets/{secret}"), "{path}");
        }
        assert_eq!(secret_of(&configuration(None, service(Some("/subnets")))), None);
    }

    #[test]
    fn a_replica_that_starts_again_and_again_pushes_nobody_out() {
        let mut text = with("garbage\n", &replica("healthy", 0));
        for number in 1..50 {
            text = with(&text, &replica("looping", number));
        }
        assert_eq!(text, bundle(&[("healthy", 0), ("looping", 49)]));
    }

    #[test]
    fn the_oldest_go() {
        // Those of a version that wrote no names too.
        let mut text: String = (0..4).map(pem).collect();
        for number in 4..20 {
            text = with(&text, &replica(&format!("p{number}"), number));
        }
        let names: Vec<String> = (14..20).map(|number| format!("p{number}")).collect();
        let last: Vec<(&str, usize)> = names.iter().map(String::as_str).zip(14..20).collect();
        assert_eq!(text, bundle(&last));
    }

    #[test]
    fn only_who_knows_the_path_is_answered() {
        let paths = Paths::default();
        assert!(!paths.holds("") && !paths.holds("a"));
        let (one, two) = (Replica::new("p", pem(1)).unwrap(), Replica::new("p", pem(1)).unwrap());
        assert_ne!(one.secret, two.secret);
        paths.take(&one.secret);
        paths.take(&two.secret);
        paths.take(&two.secret);
        assert!(paths.holds(&one.secret) && paths.holds(&two.secret));
        assert!(!paths.holds(&one.secret[1..]) && !paths.holds(&format!("{}0", one.secret)));
        paths.take("third");
        assert!(!paths.holds(&one.secret), "two are enough");
        paths.forget();
        assert!(!paths.holds(&two.secret));
    }

    #[test]
    fn a_certificate_of_ours_is_one() {
        let made = crate::admission::certificate("kube-system").unwrap();
        let text = with("", &Replica::new("p q\n", made.cert.pem()).unwrap());
        assert_eq!(text.matches(END).count(), 1);
        assert!(text.starts_with("# replica pq\n-----BEGIN CERTIFICATE-----\n"), "{text}");
    }
}
