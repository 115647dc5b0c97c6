//! The other end of checks of ports: takes connections, and sends datagrams back.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tombolo_observe::listen;

/// Longest datagram that is sent back: an answer is never longer than what asked for it.
const LONGEST: usize = 64;
/// After an accept that failed: out of file descriptors, as a rule, and that passes.
const PAUSE: Duration = Duration::from_millis(500);

/// Serves both ports until `stop`.
///
/// # Errors
/// A port that is taken.
pub async fn start(tcp: u16, udp: u16, tasks: &TaskTracker, stop: &CancellationToken) -> Result<()> {
    let any = |port| SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
    let doing = |port| move || format!("listening on port {port} for checks: does another program use it?");
    let listener = listen::bind(any(tcp)).await.with_context(doing(tcp))?;
    let socket = UdpSocket::bind(any(udp)).await;
    let socket = match socket {
        Ok(socket) => socket,
        // A host without IPv6.
        Err(_) => UdpSocket::bind(("0.0.0.0", udp)).await.with_context(doing(udp))?,
    };
    let end = stop.clone();
    tasks.spawn(async move { end.run_until_cancelled(accept(listener)).await });
    let end = stop.clone();
    tasks.spawn(async move { end.run_until_cancelled(send_back(socket)).await });
    Ok(())
}

async fn accept(listener: TcpListener) {
    loop {
        // Taken and closed: that it could be made is all that was asked.
        if listener.accept().await.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn send_back(socket: UdpSocket) {
    let mut buffer = [0; LONGEST];
    loop {
        match socket.recv_from(&mut buffer).await {
            // Who asks again if it is lost is the one who asked.
            Ok((length, from)) => drop(socket.send_to(&buffer[..length], from).await),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
