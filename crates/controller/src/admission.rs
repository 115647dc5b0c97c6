//! The admission webhook: what is wrong with a Subnet is said before it is stored.
//!
//! Each replica answers, from what its watches told it; which one leads doesn't matter. A request that can't be judged
//! is allowed: the same rules hold again when the Subnet is planned. Decides how an `AdmissionReview` is read and
//! answered; what is wrong is decided by `tombolo_plan::admission`, and whom the API server trusts by [`crate::trust`].

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::extract::State;
use axum::routing::post;
use axum::serve::Listener;
use axum::{Json, Router};
use rcgen::{CertifiedKey, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tombolo_api::Subnet;
use tombolo_plan::admission::Verdict;
use tracing::{debug, warn};

use crate::metrics::Metrics;

/// Longest wait for the loop's answer; the API server waits a little longer.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// Longest TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Questions and connections on their way.
const QUEUE: usize = 64;

/// A Subnet to be judged.
#[derive(Debug)]
pub struct Question {
    /// As it is to be.
    pub new: Box<Subnet>,
    /// As it is; `None` for one that is to be created.
    pub old: Option<Box<Subnet>>,
    /// Takes the verdict; `None` when too little is known to judge.
    pub answer: oneshot::Sender<Option<Verdict>>,
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
        Ipv4Addr::LOCALHOST.to_string(),
    ];
    rcgen::generate_simple_self_signed(names).context("making the webhook's certificate")
}

/// Serves on `port` of all addresses until `end` is cancelled.
pub async fn serve(
    port: u16,
    certificate: &CertifiedKey<KeyPair>,
    metrics: Metrics,
    questions: mpsc::Sender<Question>,
    tasks: &TaskTracker,
    end: &CancellationToken,
) -> Result<()> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certificate.signing_key.serialize_der()));
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key)
        .context("using the webhook's certificate")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let any6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let any4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let listener = match TcpListener::bind(any6).await {
        Ok(listener) => listener,
        Err(_) => TcpListener::bind(any4)
            .await
            .with_context(|| format!("listening on port {port} for admission (--admission-port)"))?,
    };
    let address = listener.local_addr().context("asking for our own address")?;
    let (connections, accepted) = mpsc::channel(QUEUE);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let stop = end.clone();
    tasks.spawn(async move {
        stop.run_until_cancelled(accept(listener, acceptor, connections)).await;
    });
    let router = Router::new().route("/subnets", post(review)).with_state(Webhook { metrics, questions });
    let end = end.clone();
    tasks.spawn(async move {
        let listener = Connections { accepted, address };
        let served = axum::serve(listener, router).with_graceful_shutdown(end.cancelled_owned()).await;
        if let Err(error) = served {
            warn!(%error, "admission is not served any more");
        }
    });
    Ok(())
}

/// Connections whose handshake is done. Each is made in a task of its own: one that says nothing holds up nobody.
async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    connections: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                debug!(%error, "a connection was not accepted");
                // Out of file descriptors, as a rule: it passes.
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let (acceptor, connections) = (acceptor.clone(), connections.clone());
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                // Nobody takes it any more at the end.
                Ok(Ok(stream)) => drop(connections.send((stream, peer)).await),
                Ok(Err(error)) => debug!(%error, %peer, "a TLS handshake failed"),
                Err(_) => debug!(%peer, "a TLS handshake took too long"),
            }
        });
    }
}

struct Connections {
    accepted: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
}

impl Listener for Connections {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.accepted.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.address)
    }
}

#[derive(Clone)]
struct Webhook {
    metrics: Metrics,
    questions: mpsc::Sender<Question>,
}

async fn review(State(webhook): State<Webhook>, Json(review): Json<Value>) -> Json<Value> {
    let request = &review["request"];
    let verdict = match subnets(request) {
        Ok((new, old)) => ask(&webhook.questions, new, old).await,
        Err(error) => Err(format!("this Subnet can't be read: {error}")),
    };
    let outcome = match &verdict {
        Ok(verdict) if verdict.refused.is_empty() => "allowed",
        Ok(_) => "refused",
        Err(_) => "not_judged",
    };
    webhook.metrics.admission(outcome);
    Json(json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": response(&request["uid"], verdict),
    }))
}

fn subnets(request: &Value) -> Result<(Box<Subnet>, Option<Box<Subnet>>), serde_json::Error> {
    let read = |object: &Value| serde_json::from_value(object.clone()).map(Box::new);
    let old = &request["oldObject"];
    Ok((read(&request["object"])?, if old.is_null() { None } else { Some(read(old)?) }))
}

/// Asks the loop, which alone knows the world.
async fn ask(
    questions: &mpsc::Sender<Question>,
    new: Box<Subnet>,
    old: Option<Box<Subnet>>,
) -> Result<Verdict, String> {
    let (answer, verdict) = oneshot::channel();
    let asked = async {
        questions.send(Question { new, old, answer }).await.ok()?;
        verdict.await.ok()?
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Some(verdict)) => Ok(verdict),
        _ => Err("this controller doesn't know enough yet".to_owned()),
    }
}

fn response(uid: &Value, verdict: Result<Verdict, String>) -> Value {
    let texts = |problems: &[tombolo_api::validate::Problem]| {
        problems.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>()
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
        let uid = json!("u");
        let problem = |text: &str| Problem::refuse("spec.vpc", Reason::UnknownVpc, text);
        let allowed = Verdict { refused: Vec::new(), warnings: vec![problem("w")] };
        assert_eq!(
            response(&uid, Ok(allowed)),
            json!({ "uid": "u", "allowed": true, "warnings": ["spec.vpc: w"] })
        );
        let refused = Verdict { refused: vec![problem("a"), problem("b")], warnings: Vec::new() };
        let answer = response(&uid, Ok(refused));
        assert_eq!(answer["allowed"], false);
        assert_eq!(answer["status"]["message"], "spec.vpc: a; spec.vpc: b");
        assert_eq!(response(&uid, Err("x".to_owned()))["allowed"], true);
    }

    #[test]
    fn requests() {
        let object = json!({ "metadata": { "name": "a" }, "spec": { "cidrBlock": "10.0.0.0/24" } });
        let (new, old) = subnets(&json!({ "object": object, "oldObject": null })).unwrap();
        assert_eq!((new.spec.cidr_block.as_str(), old.is_none()), ("10.0.0.0/24", true));
        assert!(subnets(&json!({ "object": object, "oldObject": object })).unwrap().1.is_some());
        assert!(subnets(&json!({ "object": { "spec": { "cidrBlock": 7 } } })).is_err());
    }
}
