//! Serving HTTP on a port that untrusted peers reach: every pod can, so no peer may hold a connection for long, or hold so many
//! that the kubelet's own probes find no place.
//!
//! Decides how many connections there may be and how long they may take. Doesn't decide what is answered.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// Most bytes of a request's head.
const HEAD: usize = 16 * 1024;
/// Pause after an accept that failed: out of file descriptors, as a rule, and that passes.
const PAUSE: Duration = Duration::from_millis(500);
/// How long requests under way may take once the end is asked for.
const END: Duration = Duration::from_secs(2);

/// What a listener grants to its peers.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once. A further one is served all the same, and the oldest is closed for it.
    pub connections: usize,
    /// For a TLS handshake, for the head of a request, and for silence between two requests.
    pub patience: Duration,
    /// For a connection, whatever goes on there: a peer that reads or writes byte by byte ends here.
    pub life: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 64, patience: Duration::from_secs(5), life: Duration::from_secs(30) }
    }
}

/// Binds a port. `[::]` means all addresses of both families; on a host without IPv6, those of IPv4.
///
/// # Errors
/// What the system said.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(error) if address.ip().is_unspecified() && address.is_ipv6() && !in_use(&error) => {
            TcpListener::bind((IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port())).await
        }
        bound => bound,
    }
}

fn in_use(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

/// Serves `router` over plain TCP until `end` completes.
pub async fn serve(listener: TcpListener, limits: Limits, router: Router, end: impl Future<Output = ()>) {
    serve_upgraded(listener, limits, |stream| std::future::ready(Ok(stream)), router, end).await;
}

/// Serves `router` until `end` completes. `upgrade` makes of an accepted connection what is spoken over, a TLS stream for
/// example; it is held to [`Limits::patience`].
pub async fn serve_upgraded<Io, F>(
    listener: TcpListener,
    limits: Limits,
    upgrade: impl Fn(TcpStream) -> F,
    router: Router,
    end: impl Future<Output = ()>,
) where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = io::Result<Io>> + Send + 'static,
{
    let (ending, ends) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let mut oldest: VecDeque<AbortHandle> = VecDeque::new();
    let mut end = std::pin::pin!(end);
    loop {
        let stream = tokio::select! {
            () = &mut end => break,
            Some(_) = tasks.join_next() => continue,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::debug!(%error, "a connection was not accepted");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
        };
        if oldest.len() >= limits.connections {
            oldest.retain(|task| !task.is_finished());
            while oldest.len() >= limits.connections {
                if let Some(task) = oldest.pop_front() {
                    task.abort();
                }
            }
        }
        let served = one(upgrade(stream), limits, router.clone(), ends.clone());
        oldest.push_back(tasks.spawn(async move {
            if tokio::time::timeout(limits.life, served).await.is_err() {
                tracing::debug!("a connection took too long and was closed");
            }
        }));
    }
    drop(listener);
    ending.send_replace(true);
    let _ = tokio::time::timeout(END, async { while tasks.join_next().await.is_some() {} }).await;
}

/// One connection, from its handshake to its last request.
async fn one<Io>(
    upgraded: impl Future<Output = io::Result<Io>>,
    limits: Limits,
    router: Router,
    mut ends: watch::Receiver<bool>,
) where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = match tokio::time::timeout(limits.patience, upgraded).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "a handshake failed"),
        Err(_) => return tracing::debug!("a handshake took too long"),
    };
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.patience)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = async { drop(ends.wait_for(|end| *end).await) } => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const SHORT: Limits =
        Limits { connections: 8, patience: Duration::from_millis(300), life: Duration::from_millis(900) };

    async fn start(limits: Limits) -> SocketAddr {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let page = "x".repeat(8 << 20);
        let router = Router::new()
            .route("/", get(|| async { "hello" }))
            .route("/large", get(move || async move { page }));
        tokio::spawn(serve(listener, limits, router, std::future::pending()));
        address
    }

    async fn answer(address: SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    /// How long until the server closes a connection on which `bytes` are sent one by one, for ever.
    async fn until_closed(address: SocketAddr, bytes: &[u8]) -> Duration {
        let started = Instant::now();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut buffer = [0; 1024];
        for byte in bytes.iter().cycle() {
            if stream.write_all(&[*byte]).await.is_err() {
                break;
            }
            match tokio::time::timeout(Duration::from_millis(50), stream.read(&mut buffer)).await {
                Ok(Ok(0) | Err(_)) => break,
                _ => assert!(started.elapsed() < Duration::from_secs(10), "it is never closed"),
            }
        }
        started.elapsed()
    }

    #[tokio::test]
    async fn who_sends_nothing_or_little_is_closed() {
        let address = start(SHORT).await;
        // Nothing at all.
        let mut silent = TcpStream::connect(address).await.unwrap();
        let read = tokio::time::timeout(Duration::from_secs(3), silent.read(&mut [0; 64])).await;
        assert!(read.is_ok(), "a silent connection stays open");
        // A head that never ends (a slow loris).
        assert!(until_closed(address, b"GET / HTTP/1.1\r\nX: yyyyyyyy").await < Duration::from_secs(3));
    }

    #[tokio::test]
    async fn who_does_not_read_is_closed() {
        let address = start(SHORT).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        tokio::time::sleep(SHORT.life + Duration::from_millis(500)).await;
        let (mut all, mut buffer) = (0, vec![0; 1 << 16]);
        while let Ok(count) = stream.read(&mut buffer).await {
            if count == 0 {
                break;
            }
            all += count;
        }
        assert!(all < 8 << 20, "the whole page was kept for a peer that doesn't read");
    }

    #[tokio::test]
    async fn a_probe_is_answered_however_many_hold_connections() {
        let limits = Limits { patience: Duration::from_secs(60), life: Duration::from_secs(60), ..SHORT };
        let address = start(limits).await;
        let mut held = Vec::new();
        for _ in 0..100 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let _ = stream.write_all(b"GET / HT").await;
            held.push(stream);
        }
        assert!(answer(address).await.ends_with("hello"));
        // The oldest are gone, the newest are still there.
        let mut closed = 0;
        for stream in &mut held {
            let read = tokio::time::timeout(Duration::from_millis(20), stream.read(&mut [0; 64])).await;
            closed += usize::from(read.is_ok());
        }
        assert!((90..=99).contains(&closed), "{closed} of 100 are closed");
    }

    #[tokio::test]
    async fn a_head_of_any_size_is_refused() {
        let address = start(Limits::default()).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(HEAD * 4));
        let _ = stream.write_all(head.as_bytes()).await;
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text).await;
        assert!(!text.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&text));
    }

    #[tokio::test]
    async fn all_addresses_are_those_of_both_families() {
        let listener = bind("[::]:0".parse().unwrap()).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(serve(listener, SHORT, Router::new(), std::future::pending()));
        assert!(TcpStream::connect(("127.0.0.1", port)).await.is_ok());
        if std::fs::read_to_string("/proc/net/if_inet6").is_ok_and(|all| !all.is_empty()) {
            assert!(TcpStream::connect(("::1", port)).await.is_ok());
        }
    }
}
