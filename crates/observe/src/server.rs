//! The HTTP side: `/livez`, `/healthz` (the same), `/readyz` and `/metrics`.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Metric, Registry};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::health::{Health, Probe};
use crate::listen::{self, Limits};
use crate::process::ProcessCollector;
use crate::series::{FromSource, Source};

/// Why the server doesn't serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address couldn't be bound.
    #[error(
        "listening on {addr} for metrics and health: {source}; is another instance running on this host?"
    )]
    Bind {
        /// The address that was wanted.
        addr: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A process's metrics and conditions, and their HTTP server. Clones share both.
#[derive(Debug, Clone)]
pub struct Observer {
    registry: Arc<Mutex<Registry>>,
    // The registry doesn't show a family that has no series yet.
    added: Arc<Mutex<BTreeSet<String>>>,
    // Asked before each page of metrics.
    asked: Arc<Mutex<Vec<Asked>>>,
    health: Health,
}

/// What has to be asked for elsewhere before a source can say it.
#[derive(Clone)]
struct Asked(Arc<dyn Fn() -> BoxFuture + Send + Sync>);

type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asked")
    }
}

/// For all of that, at each page of metrics; Prometheus gives a page ten seconds.
const ASKED: Duration = Duration::from_secs(5);

impl Observer {
    /// Metrics of the process itself and `tombolo_build_info{program,version}` are there from the start.
    pub fn new(program: &'static str, version: &'static str) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(ProcessCollector));
        let info: Gauge = Gauge::default();
        info.set(1);
        registry
            .sub_registry_with_labels(
                [("program".into(), program.into()), ("version".into(), version.into())].into_iter(),
            )
            .register("tombolo_build_info", "Always 1; the labels say what runs", info);
        Self {
            registry: Arc::new(Mutex::new(registry)),
            added: Arc::default(),
            asked: Arc::default(),
            health: Health::new(),
        }
    }

    /// The conditions behind `/livez` and `/readyz`.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// For what [`Observer::metric`] and [`Observer::add`] don't register, as a collector.
    pub fn register<T>(&self, with: impl FnOnce(&mut Registry) -> T) -> T {
        with(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A new metric, registered: `let hits: Counter = observer.metric("hits", "Hits");`.
    ///
    /// prometheus-client appends `_total` to the name of a counter: leave it out.
    pub fn metric<M: Metric + Clone + Default>(&self, name: &str, help: &str) -> M {
        self.add(name, help, M::default())
    }

    /// Registers a metric that isn't made by default, as a histogram with its buckets.
    pub fn add<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        let kind = match metric.metric_type() {
            MetricType::Counter => COUNTER,
            MetricType::Histogram => HISTOGRAM,
            _ => GAUGE,
        };
        self.added.lock().unwrap_or_else(PoisonError::into_inner).extend(series(name, kind));
        self.register(|r| r.register(name, help, metric.clone()));
        metric
    }

    /// Shows what a source says, at each request.
    pub fn source<S: Source>(&self, source: &Arc<S>) {
        self.register(|registry| registry.register_collector(Box::new(FromSource(source.clone()))));
    }

    /// Before each page of metrics `ask` is awaited, some seconds at most; then the sources are shown.
    pub fn ask_before<F>(&self, ask: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let ask = Asked(Arc::new(move || Box::pin(ask())));
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(ask);
    }

    /// All metrics in OpenMetrics' text format.
    pub fn metrics(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        if encode(&mut text, &registry).is_err() {
            // A collector refused: say so in the page instead of showing half of it.
            text.clear();
            let _ = writeln!(text, "# a collector failed\n# EOF");
        }
        text
    }

    /// The names of all series that [`Observer::metrics`] can have, as alerts and dashboards write them.
    pub fn names(&self) -> BTreeSet<String> {
        let text = self.metrics();
        let shown = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let mut names: BTreeSet<String> = shown.flat_map(|(name, kind)| series(name, kind)).collect();
        names.extend(self.added.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned());
        names
    }

    /// The routes, for a program that adds its own.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/livez", get(livez))
            .route("/healthz", get(livez))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(self.clone())
    }

    /// Binds `addr` at once (so that a clash is seen at start-up), then serves until `shutdown` completes. `[::]` means
    /// all addresses of both families ([`listen::bind`]).
    pub async fn serve(
        &self,
        addr: SocketAddr,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let listener = listen::bind(addr).await.map_err(|source| ServeError::Bind { addr, source })?;
        self.serve_on(listener, shutdown).await;
        Ok(())
    }

    /// As [`Observer::serve`], on a port of several addresses, by tasks of `tasks`, until `stop`.
    ///
    /// # Errors
    /// An address whose port is taken, or that isn't the host's.
    pub async fn serve_at(
        &self,
        addresses: &[IpAddr],
        port: u16,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<(), ServeError> {
        for address in addresses {
            let addr = SocketAddr::new(*address, port);
            let listener = listen::bind(addr).await.map_err(|source| ServeError::Bind { addr, source })?;
            let (observer, stop) = (self.clone(), stop.clone());
            tasks.spawn(async move { observer.serve_on(listener, stop.cancelled_owned()).await });
        }
        Ok(())
    }

    /// Serves on a socket that is already bound, until `shutdown` completes.
    pub async fn serve_on(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        listen::serve(listener, Limits::default(), self.router(), shutdown).await;
    }
}

/// Kinds of metrics, as the page of metrics has them.
const COUNTER: &str = "counter";
const HISTOGRAM: &str = "histogram";
const GAUGE: &str = "gauge";

/// What the series of a metric are called.
fn series(name: &str, kind: &str) -> impl Iterator<Item = String> {
    let ends: &[&str] = match kind {
        COUNTER => &["_total"],
        HISTOGRAM => &["_bucket", "_count", "_sum"],
        _ => &[""],
    };
    ends.iter().map(move |end| format!("{name}{end}"))
}

fn answer(health: &Health, probe: Probe) -> Response {
    let (ok, text) = health.report(probe);
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, text).into_response()
}

async fn livez(State(observer): State<Observer>) -> Response {
    answer(&observer.health, Probe::Live)
}

async fn readyz(State(observer): State<Observer>) -> Response {
    answer(&observer.health, Probe::Ready)
}

async fn metrics(State(observer): State<Observer>) -> Response {
    let asked = observer.asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let all = async {
        for Asked(ask) in asked {
            ask().await;
        }
    };
    // Without an answer in time the page is what it was.
    let _ = tokio::time::timeout(ASKED, all).await;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], observer.metrics()).into_response()
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::Family;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;

    use super::*;

    async fn fetch(addr: SocketAddr, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        (text[9..12].parse().unwrap(), text)
    }

    #[derive(Debug)]
    struct Two;

    impl Source for Two {
        fn families(&self) -> Vec<crate::Family> {
            let labels = vec![("of", "\"x\"".to_owned())];
            vec![
                crate::Family::counter("moves", "Moves", vec![(labels, 2.0)]),
                crate::Family::gauge("depth", "Depth", Vec::new()),
            ]
        }
    }

    #[test]
    fn a_source_is_asked_at_each_request_and_shows_names_without_series() {
        let observer = Observer::new("test", "1.2.3");
        observer.source(&Arc::new(Two));
        let _seldom: Family<Vec<(String, String)>, Counter> = observer.metric("seldom", "Seldom");
        let text = observer.metrics();
        assert!(text.contains("moves_total{of=\"\\\"x\\\"\"} 2.0\n"), "{text}");
        assert!(text.contains("# TYPE depth gauge\n"), "{text}");
        let names = observer.names();
        assert!(
            names.contains("moves_total") && names.contains("depth") && !names.contains("moves"),
            "{names:?}"
        );
    }

    #[tokio::test]
    async fn serves_health_and_metrics_and_stops() {
        let observer = Observer::new("test", "1.2.3");
        let hits: Counter = observer.metric("hits", "Hits");
        hits.inc_by(3);
        observer.health().fail(Probe::Ready, "nb", "no leader");
        let asked: Counter = observer.metric("asked", "Pages before which something was asked");
        observer.ask_before(move || {
            let asked = asked.clone();
            async move {
                tokio::task::yield_now().await;
                asked.inc();
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = observer.clone();
        let task = tokio::spawn(async move {
            server
                .serve_on(listener, async {
                    let _ = stopped.await;
                })
                .await
        });

        assert_eq!(fetch(addr, "/livez").await.0, 200);
        let (status, text) = fetch(addr, "/readyz").await;
        assert_eq!(status, 503);
        assert!(text.contains("[-]nb: no leader"), "{text}");
        observer.health().ok(Probe::Ready, "nb");
        assert_eq!(fetch(addr, "/readyz").await.0, 200);
        let (_, text) = fetch(addr, "/metrics").await;
        for want in [
            "hits_total 3\n",
            "tombolo_build_info{program=\"test\",version=\"1.2.3\"} 1\n",
            "process_resident_memory_bytes ",
            "process_cpu_seconds_total ",
            "# EOF",
        ] {
            assert!(text.contains(want), "{want:?} is missing in {text}");
        }

        // A second server on the same address is refused with a message that names it.
        let err = observer.serve(addr, async {}).await.unwrap_err().to_string();
        assert!(err.contains(&addr.to_string()), "{err}");
        stop.send(()).unwrap();
        task.await.unwrap();
    }
}
