//! One look each at what isn't pinged: the API server, names, ports.

use std::io;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kube::Client;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::targets::{Protocol, Target};

/// For the API server and the DNS. Kube-OVN's histograms end at 50 ms: what takes seconds is down.
const DEADLINE: Duration = Duration::from_secs(5);
/// For a connection, or a datagram's answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks the API server for its version.
///
/// # Errors
/// No answer, or a refusal.
pub async fn api_server(client: &Client) -> Result<Duration> {
    let began = Instant::now();
    let answer = timeout(DEADLINE, client.apiserver_version()).await;
    answer
        .with_context(|| format!("the API server doesn't answer within {DEADLINE:?}"))?
        .context("asking the API server")?;
    Ok(began.elapsed())
}

/// Resolves a name as any program in a pod does: by `/etc/resolv.conf`.
///
/// # Errors
/// No answer, or no address.
pub async fn name(name: &str) -> Result<Duration> {
    let began = Instant::now();
    let answer = timeout(DEADLINE, tokio::net::lookup_host((name, 0))).await;
    let mut all = answer
        .with_context(|| format!("{name} isn't resolved within {DEADLINE:?}"))?
        .with_context(|| format!("resolving {name}"))?;
    ensure!(all.next().is_some(), "{name} has no address");
    Ok(began.elapsed())
}

/// Whether a target takes a connection, or answers a datagram.
///
/// # Errors
/// Why not.
pub async fn port(target: Target) -> Result<()> {
    let doing = || format!("reaching {} {}", target.protocol, target.address);
    let reach = async {
        match target.protocol {
            Protocol::Tcp => TcpStream::connect(target.address).await.map(drop),
            Protocol::Udp => datagram(target).await,
        }
    };
    timeout(PATIENCE, reach)
        .await
        .with_context(|| format!("{}: no answer within {PATIENCE:?}", doing()))?
        .with_context(doing)
}

async fn datagram(target: Target) -> io::Result<()> {
    let any = if target.address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(target.address).await?;
    socket.send(b"health check").await?;
    socket.recv(&mut [0; 64]).await.map(drop)
}
