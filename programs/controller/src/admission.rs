//! The admission webhook: a faulty Subnet is refused before it is stored.
//!
//! Off unless `--admission-port` is set. Each replica answers, from its own watches; which one leads doesn't
//! matter. A request that can't be judged is allowed: the same rules hold again when the Subnet is planned. Only the API
//! server is answered: it alone knows the path ([`crate::trust`]), and with `--admission-client-ca` it shows a certificate
//! too. Everything is bounded all the same: connections, bytes, judgments at once, time. Decides how an
//! `AdmissionReview` is read and answered; `tombolo_plan::admission` judges, on a copy of the World
//! ([`crate::knowledge`]) and off the engine's loop.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use rcgen::{CertifiedKey, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tombolo_api::Subnet;
use tombolo_observe::listen::{self, Limits};
use tombolo_plan::admission::Verdict;

use crate::knowledge::Knowledge;
use crate::metrics::Metrics;
use crate::trust::Paths;

/// Longest time for one request; the API server waits a little longer.
const PATIENCE: Duration = Duration::from_millis(1_700);
/// Largest request: two Subnets with full status. A larger one is not judged.
const BODY: usize = 1024 * 1024;
/// Requests that are read or judged at once; further ones wait.
const JUDGES: usize = 4;
/// Longest text of an answer.
const ANSWER: usize = 4096;

/// The webhook's settings.
pub struct Settings<'a> {
    /// Addresses to listen on.
    pub addresses: &'a [IpAddr],
    /// Port.
    pub port: u16,
    /// CA of the certificate that the API server must show, if it is to show one.
    pub client_ca: Option<&'a Path>,
    /// Our certificate.
    pub certificate: &'a CertifiedKey<KeyPair>,
    /// The paths that only the API server knows.
    pub paths: Paths,
}

/// A certificate of our own, for the names under which the API server may know us. It lives as long as the process,
/// and its key is nowhere else.
pub fn certificate(namespace: &str) -> Result<CertifiedKey<KeyPair>> {
    let service = crate::trust::NAME;
    let names = [
        service.to_owned(),
        format!("{service}.{namespace}"),
        format!("{service}.{namespace}.svc"),
        "localhost".to_owned(),
        std::net::Ipv4Addr::LOCALHOST.to_string(),
    ];
    rcgen::generate_simple_self_signed(names).context("making the webhook's certificate")
}

/// Serves until `end` is cancelled.
pub async fn serve(
    settings: Settings<'_>,
    metrics: Metrics,
    knowledge: Knowledge,
    tasks: &TaskTracker,
    end: &CancellationToken,
) -> Result<()> {
    let acceptor = TlsAcceptor::from(Arc::new(tls(&settings)?));
    let webhook = Webhook {
        metrics,
        knowledge: Arc::new(knowledge),
        paths: settings.paths,
        judges: Arc::new(Semaphore::new(JUDGES)),
    };
    let router = Router::new().route("/subnets/{secret}", post(review)).with_state(webhook);
    for address in settings.addresses {
        let port = settings.port;
        let listener = listen::bind(SocketAddr::new(*address, port)).await.with_context(|| {
            format!("listening on {address}, port {port} for admission (--admission-port)")
        })?;
        let (router, acceptor, end) = (router.clone(), acceptor.clone(), end.clone());
        tasks.spawn(async move {
            let upgrade = |stream| {
                let acceptor = acceptor.clone();
                async move { acceptor.accept(stream).await }
            };
            listen::serve_upgraded(listener, Limits::default(), upgrade, router, end.cancelled_owned()).await;
        });
    }
    Ok(())
}

fn tls(settings: &Settings<'_>) -> Result<ServerConfig> {
    let certificate = settings.certificate;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certificate.signing_key.serialize_der()));
    let builder = ServerConfig::builder();
    let builder = match settings.client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let why = || {
                format!(
                    "--admission-client-ca={}: no CA certificate in PEM can be read there",
                    file.display()
                )
            };
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_file_iter(file).with_context(why)? {
                roots.add(certificate.with_context(why)?).with_context(why)?;
            }
            builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder(Arc::new(roots)).build().with_context(why)?,
            )
        }
    };
    let mut config = builder
        .with_single_cert(vec![certificate.cert.der().clone()], key)
        .context("using the webhook's certificate")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[derive(Clone)]
struct Webhook {
    metrics: Metrics,
    knowledge: Arc<Knowledge>,
    paths: Paths,
    judges: Arc<Semaphore>,
}

/// An `AdmissionReview`, of which only this is read: its other fields cost nothing.
#[derive(Deserialize)]
struct Review<'a> {
    #[serde(borrow)]
    request: Request<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    uid: String,
    #[serde(borrow, default)]
    object: Option<&'a RawValue>,
    #[serde(borrow, default)]
    old_object: Option<&'a RawValue>,
}

async fn review(State(webhook): State<Webhook>, UrlPath(secret): UrlPath<String>, body: Body) -> Response {
    // Before anything of it is read.
    if !webhook.paths.holds(&secret) {
        webhook.metrics.admission("stranger");
        return StatusCode::FORBIDDEN.into_response();
    }
    let answered = tokio::time::timeout(PATIENCE, judge(&webhook, body));
    let (outcome, response) = match answered.await {
        Ok(answer) => answer,
        Err(_) => ("not_judged", StatusCode::SERVICE_UNAVAILABLE.into_response()),
    };
    webhook.metrics.admission(outcome);
    response
}

async fn judge(webhook: &Webhook, body: Body) -> (&'static str, Response) {
    let Ok(judge) = webhook.judges.clone().acquire_owned().await else {
        return ("not_judged", StatusCode::SERVICE_UNAVAILABLE.into_response());
    };
    let Ok(bytes) = to_bytes(body, BODY).await else {
        return ("too_large", StatusCode::PAYLOAD_TOO_LARGE.into_response());
    };
    let world = webhook.knowledge.now().await;
    // Processor time, so not on the threads that everything else runs on. A judgment whose request is gone still
    // keeps its place until it ends.
    let judged = tokio::task::spawn_blocking(move || {
        let _judge = judge;
        let review: Review = serde_json::from_slice(&bytes).ok()?;
        let verdict = match (subnets(&review.request), world) {
            (Err(error), _) => Err(format!("this Subnet can't be read: {error}")),
            (_, None) => Err("this controller doesn't know enough yet".to_owned()),
            (Ok((new, old)), Some(world)) => Ok(tombolo_plan::admission::subnet(&world, &new, old.as_ref())),
        };
        let outcome = match &verdict {
            Ok(verdict) if verdict.refused.is_empty() => "allowed",
            Ok(_) => "refused",
            Err(_) => "not_judged",
        };
        Some((outcome, response(&review.request.uid, verdict)))
    });
    match judged.await {
        Ok(Some((outcome, response))) => {
            let review = json!({
                "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response,
            });
            (outcome, Json(review).into_response())
        }
        _ => ("not_judged", StatusCode::BAD_REQUEST.into_response()),
    }
}

fn subnets(request: &Request<'_>) -> Result<(Subnet, Option<Subnet>), serde_json::Error> {
    let new = serde_json::from_str(request.object.map_or("null", RawValue::get))?;
    let old = request.old_object.map(|old| serde_json::from_str(old.get())).transpose()?;
    Ok((new, old))
}

fn response(uid: &str, verdict: Result<Verdict, String>) -> Value {
    let texts = |problems: &[tombolo_api::validate::Problem]| {
        let mut left = ANSWER;
        let mut texts = Vec::new();
        for (number, problem) in problems.iter().enumerate() {
            if problem.message.len() > left {
                texts.push(format!("and {} more", problems.len() - number));
                break;
            }
            left -= problem.message.len();
            texts.push(problem.message.clone());
        }
        texts
    };
    let verdict = match verdict {
        Ok(verdict) => verdict,
        Err(why) => {
            let warning = format!("not checked before it is stored, but when it is served: {why}");
            return json!({ "uid": uid, "allowed": true, "warnings": [warning] });
        }
    };
    let warnings = texts(&verdict.warnings);
    if verdict.refused.is_empty() {
        return json!({ "uid": uid, "allowed": true, "warnings": warnings });
    }
    let message = texts(&verdict.refused).join("; ");
    json!({
        "uid": uid, "allowed": false, "warnings": warnings,
        "status": { "status": "Failure", "reason": "Invalid", "code": 422, "message": message },
    })
}

#[cfg(test)]
mod tests {
    use tombolo_api::validate::{Problem, Reason};

    use super::*;

    #[test]
    fn answers() {
        let problem = |text: &str| Problem::refuse("spec.vpc", Reason::UnknownVpc, text);
        let allowed = Verdict { refused: Vec::new(), warnings: vec![problem("w")] };
        assert_eq!(
            response("u", Ok(allowed)),
            json!({ "uid": "u", "allowed": true, "warnings": ["spec.vpc: w"] })
        );
        let refused = Verdict { refused: vec![problem("a"), problem("b")], warnings: Vec::new() };
        let answer = response("u", Ok(refused));
        assert_eq!(answer["allowed"], false);
        assert_eq!(answer["status"]["message"], "spec.vpc: a; spec.vpc: b");
        assert_eq!(response("u", Err("x".to_owned()))["allowed"], true);
    }

    #[test]
    fn an_answer_has_bounds() {
        let refused = vec![Problem::refuse("spec.vpc", Reason::UnknownVpc, "x".repeat(1000)); 10_000];
        let answer = response("u", Ok(Verdict { refused, warnings: Vec::new() })).to_string();
        assert!(answer.len() < ANSWER + 1000 && answer.contains("and 9996 more"), "{answer}");
    }

    #[test]
    fn requests() {
        let read = |request: Value| {
            let text = json!({ "kind": "AdmissionReview", "request": request }).to_string();
            let review: Review = serde_json::from_str(&text).unwrap();
            subnets(&review.request)
        };
        let object = json!({ "metadata": { "name": "a" }, "spec": { "cidrBlock": "10.0.0.0/24" } });
        let (new, old) = read(json!({ "uid": "u", "object": object, "oldObject": null })).unwrap();
        assert_eq!((new.spec.cidr_block.as_str(), old.is_none()), ("10.0.0.0/24", true));
        assert!(read(json!({ "uid": "u", "object": object, "oldObject": object })).unwrap().1.is_some());
        assert!(read(json!({ "uid": "u", "object": { "spec": { "cidrBlock": 7 } } })).is_err());
        assert!(read(json!({ "uid": "u", "oldObject": object })).is_err());
    }
}
