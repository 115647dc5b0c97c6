//! The socket for the plugin's requests: HTTP over a unix socket that only root can open.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response as HttpResponse};
use axum::routing::post;
use axum::{Json, Router};
use tokio::net::UnixListener;
use tokio::time::Instant;
use tombolo_cni::agent::{Request, Response, path};
use tombolo_cni::{CniError, Code};

use crate::attach::Attacher;
use crate::metrics::Metrics;
use crate::passing::{Passed, PassingListener};

#[derive(Clone)]
struct Shared {
    attacher: Arc<Attacher>,
    metrics: Metrics,
}

/// Binds the socket, replacing one without a listener.
pub async fn bind(socket: &Path) -> anyhow::Result<UnixListener> {
    let doing = || format!("listening on {}", socket.display());
    if let Some(dir) = socket.parent() {
        std::fs::create_dir_all(dir).with_context(doing)?;
    }
    if tokio::net::UnixStream::connect(socket).await.is_ok() {
        anyhow::bail!("{}: another agent serves there already", doing());
    }
    // Born in a directory that only we can enter, with its mode set before it is seen; the name never lacks a socket.
    let nursery = socket.with_extension(format!("{}", std::process::id()));
    std::fs::create_dir(&nursery).with_context(doing)?;
    let result = born(&nursery, socket);
    let _ = std::fs::remove_dir_all(&nursery);
    result.with_context(doing)
}

fn born(nursery: &Path, socket: &Path) -> anyhow::Result<UnixListener> {
    std::fs::set_permissions(nursery, std::fs::Permissions::from_mode(0o700))?;
    let newborn = nursery.join("s");
    let listener = UnixListener::bind(&newborn)?;
    std::fs::set_permissions(&newborn, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&newborn, socket)?;
    Ok(listener)
}

/// Serves until `shutdown` completes and the requests under way are answered.
pub async fn serve(
    listener: UnixListener,
    attacher: Arc<Attacher>,
    metrics: Metrics,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let router = Router::new()
        .route(path::ADD, post(add))
        .route(path::DEL, post(del))
        .route(path::CHECK, post(check))
        .route(path::STATUS, post(status))
        .route(path::GC, post(gc))
        .with_state(Shared { attacher, metrics })
        .into_make_service_with_connect_info::<Passed>();
    axum::serve(PassingListener(listener), router)
        .with_graceful_shutdown(shutdown)
        .await
        .context("serving the CNI plugin")
}

/// Words an answer, counts and logs it.
fn answer(
    shared: &Shared,
    method: &str,
    request: &Request,
    since: Instant,
    result: Result<Option<Response>, CniError>,
) -> HttpResponse {
    let took = since.elapsed();
    let pod = format!("{}/{}", request.pod_namespace, request.pod_name);
    let container = request.container_id.get(..12).unwrap_or(&request.container_id);
    let (status, response) = match result {
        Ok(Some(body)) => {
            let ips: Vec<String> = body.ips.iter().map(|i| i.ip.to_string()).collect();
            tracing::info!(pod, container, ips = ips.join(","), ms = took.as_millis() as u64, "{method}");
            (StatusCode::OK, Json(body).into_response())
        }
        Ok(None) => {
            tracing::info!(pod, container, ms = took.as_millis() as u64, "{method}");
            (StatusCode::NO_CONTENT, StatusCode::NO_CONTENT.into_response())
        }
        Err(e) => {
            tracing::warn!(pod, container, ms = took.as_millis() as u64, error = %e, "{method} failed");
            let status = match e.code {
                Code::InvalidConfig | Code::InvalidEnvironment | Code::Decode => StatusCode::BAD_REQUEST,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            (status, (status, Json(Response::failed(e.code, e.to_string()))).into_response())
        }
    };
    shared.metrics.served(method, status.as_u16(), took);
    response
}

/// Runs to the end even when the plugin is gone: no other request would finish half a pod.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, CniError>> + Send + 'static,
) -> Result<T, CniError> {
    tokio::spawn(work)
        .await
        .unwrap_or_else(|e| Err(CniError::new(Code::Internal, format!("the agent failed: {e}"))))
}

async fn add(
    State(shared): State<Shared>,
    ConnectInfo(passed): ConnectInfo<Passed>,
    Json(request): Json<Request>,
) -> HttpResponse {
    let since = Instant::now();
    let (attacher, own) = (shared.attacher.clone(), request.clone());
    let result = to_the_end(async move { attacher.add(&own, passed.take()).await }).await;
    answer(&shared, "ADD", &request, since, result.map(Some))
}

async fn del(State(shared): State<Shared>, Json(request): Json<Request>) -> HttpResponse {
    let since = Instant::now();
    let (attacher, own) = (shared.attacher.clone(), request.clone());
    let result = to_the_end(async move { attacher.del(&own).await }).await;
    answer(&shared, "DEL", &request, since, result.map(|()| None))
}

async fn check(
    State(shared): State<Shared>,
    ConnectInfo(passed): ConnectInfo<Passed>,
    Json(request): Json<Request>,
) -> HttpResponse {
    let since = Instant::now();
    let result = shared.attacher.check(&request, passed.take()).await;
    answer(&shared, "CHECK", &request, since, result.map(|()| None))
}

async fn status(State(shared): State<Shared>, Json(request): Json<Request>) -> HttpResponse {
    let since = Instant::now();
    let result = shared.attacher.status();
    answer(&shared, "STATUS", &request, since, result.map(|()| None))
}

async fn gc(State(shared): State<Shared>, Json(request): Json<Request>) -> HttpResponse {
    let since = Instant::now();
    let (attacher, own) = (shared.attacher.clone(), request.clone());
    let result = to_the_end(async move { attacher.gc(&own).await }).await;
    answer(&shared, "GC", &request, since, result.map(|()| None))
}
