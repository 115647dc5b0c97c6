//! The Secrets with certificates: what is there is read, and what the plan wants is written, by whichever member comes first.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tombolo_client::within;
use tombolo_names::annotations::{ISSUED_BY, ROTATE, ROTATED};
use tombolo_names::workloads::{AUTHORITY_SECRET, CENTRAL, TLS_SECRET};
use tracing::{info, warn};

use super::Files;
use super::authority::{self, Authority};
use super::plan::{self, Next, State, Wanted};

/// Attempts while others write, too; each takes one step of the plan.
const ATTEMPTS: usize = 30;
/// So long before a user's certificate expires the log says so.
const WARN: u64 = 30 * 24 * 3600;

/// Keeps the Secrets.
pub struct Keeper {
    api: Api<Secret>,
    wanted: Vec<Wanted>,
    /// Seconds from a new authority to its first certificate.
    overlap: Duration,
}

impl Keeper {
    /// Of a namespace. The first wanted one is the servers'.
    #[must_use]
    pub fn new(client: Client, namespace: &str, wanted: Vec<Wanted>, overlap: Duration) -> Self {
        Self { api: Api::namespaced(client, namespace), wanted, overlap }
    }

    /// The way to them.
    #[must_use]
    pub fn api(&self) -> Api<Secret> {
        self.api.clone()
    }

    /// The names of all Secrets that matter.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(AUTHORITY_SECRET).chain(self.wanted.iter().map(|one| one.secret))
    }

    /// Writes what is missing or due, one step after the other, and returns the servers' certificate.
    ///
    /// # Errors
    /// A user's Secret that isn't of use; the API server's.
    pub async fn keep(&self) -> Result<Files> {
        for _ in 0..ATTEMPTS {
            let mut there: BTreeMap<&str, Secret> = BTreeMap::new();
            for name in self.names() {
                there.extend(self.read(name).await?.map(|secret| (name, secret)));
            }
            if let Some(given) = there.get(TLS_SECRET).filter(|secret| !is_ours(secret)) {
                return theirs(given);
            }
            let authorities = there.remove(AUTHORITY_SECRET);
            let state = state(authorities.as_ref(), &there);
            match plan::next(&state, &self.wanted, self.overlap.as_secs(), authority::now())? {
                Next::Nothing => {
                    let servers = self.wanted.first().and_then(|one| state.issued.get(one.secret));
                    return servers.cloned().context("invariant: the servers' certificate was issued");
                }
                Next::Authorities(all) => self.write_authorities(authorities, &all).await?,
                Next::Issue(name, files) => {
                    self.write(there.remove(name), name, data(&files)).await?;
                }
            }
        }
        bail!("writing the certificates' Secrets: others write them all the time")
    }

    async fn read(&self, name: &str) -> Result<Option<Secret>> {
        within(&format!("reading the Secret {name}"), self.api.get_opt(name)).await
    }

    async fn write_authorities(&self, there: Option<Secret>, all: &[Authority]) -> Result<()> {
        let mut data = BTreeMap::new();
        for (number, one) in all.iter().enumerate() {
            data.insert(format!("ca-{number}.crt"), one.certificate.clone());
            if let Some(key) = &one.key {
                data.insert(format!("ca-{number}.key"), key.clone());
            }
        }
        self.write(there, AUTHORITY_SECRET, data).await
    }

    /// One that another member was faster with is no error: the plan is made anew.
    async fn write(&self, there: Option<Secret>, name: &str, data: BTreeMap<String, String>) -> Result<()> {
        let data = data.into_iter().map(|(key, value)| (key, ByteString(value.into_bytes()))).collect();
        let doing = format!("writing the Secret {name}");
        let written = match there {
            Some(mut secret) => {
                secret.data = Some(data);
                let annotations = secret.metadata.annotations.get_or_insert_default();
                annotations.insert(ISSUED_BY.to_owned(), CENTRAL.to_owned());
                if let (AUTHORITY_SECRET, Some(asked)) = (name, annotations.get(ROTATE).cloned()) {
                    annotations.insert(ROTATED.to_owned(), asked);
                }
                // It bears the version that was read.
                within(&doing, self.api.replace(name, &PostParams::default(), &secret)).await
            }
            None => {
                let annotations = [(ISSUED_BY.to_owned(), CENTRAL.to_owned())].into();
                let metadata = ObjectMeta {
                    name: Some(name.to_owned()),
                    annotations: Some(annotations),
                    ..ObjectMeta::default()
                };
                let secret = Secret { metadata, data: Some(data), ..Secret::default() };
                within(&doing, self.api.create(&PostParams::default(), &secret)).await
            }
        };
        match written {
            Ok(_) => info!("the Secret {name} is written"),
            Err(error) if tombolo_client::is_conflict(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn is_ours(secret: &Secret) -> bool {
    let annotations = secret.metadata.annotations.as_ref();
    annotations.is_some_and(|annotations| annotations.contains_key(ISSUED_BY))
}

/// A user's Secret, checked.
fn theirs(secret: &Secret) -> Result<Files> {
    let files = files(secret).with_context(|| {
        format!(
            "the Secret {TLS_SECRET} needs the keys cacert, cert and key (or ca.crt, tls.crt and tls.key); complete it, or delete \
             it to have one made"
        )
    })?;
    let now = authority::now();
    let validity =
        authority::check(&files, now).with_context(|| format!("the Secret {TLS_SECRET} isn't of use"))?;
    if validity.until < now + WARN {
        let days = (validity.until - now) / (24 * 3600);
        warn!("the certificate in the Secret {TLS_SECRET} expires in {days} days: it is yours to renew");
    }
    Ok(files)
}

/// Under Kube-OVN's keys, or those of the type `kubernetes.io/tls`.
fn files(secret: &Secret) -> Option<Files> {
    let data = secret.data.as_ref()?;
    let text = |keys: [&str; 2]| {
        let value = keys.into_iter().find_map(|key| data.get(key))?;
        String::from_utf8(value.0.clone()).ok()
    };
    let (cacert, cert, key) =
        (text(["cacert", "ca.crt"])?, text(["cert", "tls.crt"])?, text(["key", "tls.key"])?);
    Some(Files { cacert, cert, key })
}

fn data(files: &Files) -> BTreeMap<String, String> {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    [pair("cacert", &files.cacert), pair("cert", &files.cert), pair("key", &files.key)].into()
}

fn state(authorities: Option<&Secret>, there: &BTreeMap<&str, Secret>) -> State {
    let annotation = |key: &str| authorities?.metadata.annotations.as_ref()?.get(key).cloned();
    let issued = there.iter().filter_map(|(name, secret)| Some(((*name).to_owned(), files(secret)?)));
    State {
        authorities: authorities.map(read_authorities).unwrap_or_default(),
        rotated: annotation(ROTATED),
        rotate: annotation(ROTATE),
        issued: issued.collect(),
    }
}

/// Oldest first, as they were written.
fn read_authorities(secret: &Secret) -> Vec<Authority> {
    let text = |number: usize, kind: &str| {
        let value = secret.data.as_ref()?.get(&format!("ca-{number}.{kind}"))?;
        String::from_utf8(value.0.clone()).ok()
    };
    (0..)
        .map_while(|number| text(number, "crt").map(|certificate| (number, certificate)))
        .filter(|(_, certificate)| authority::validity(certificate).is_ok())
        .map(|(number, certificate)| Authority { certificate, key: text(number, "key") })
        .collect()
}
