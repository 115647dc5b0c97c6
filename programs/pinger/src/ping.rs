//! Pings, by a datagram socket for ICMP: no privileges, but the group must be within the sysctl `net.ipv4.ping_group_range`,
//! which the chart sets for the pod (icmp(7)).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use crate::echo::{self, Icmp};

/// Pings of a target in one round.
pub const COUNT: u16 = 3;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(100);
/// One that isn't answered within this is lost.
const PATIENCE: Duration = Duration::from_secs(1);

/// Pings a target [`COUNT`] times: how long each answer took, none for one that was lost.
///
/// # Errors
/// When no socket for it can be made. A target that can't be reached is no error: its pings are lost.
pub async fn ping(target: IpAddr) -> Result<Vec<Option<Duration>>> {
    let (socket, family) = open(target).with_context(|| {
        format!("opening a socket to ping {target}: does net.ipv4.ping_group_range cover this group?")
    })?;
    let mut times = Vec::new();
    for sequence in 0..COUNT {
        if sequence > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let once = tokio::time::timeout(PATIENCE, once(&socket, family, target, sequence));
        times.push(once.await.ok().and_then(Result::ok));
    }
    Ok(times)
}

fn open(target: IpAddr) -> io::Result<(UdpSocket, Icmp)> {
    let (domain, protocol, family, any) = match target {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, Icmp::V4, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, Icmp::V6, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(protocol))?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(any, 0).into())?;
    // For tokio it is a socket that sends and receives datagrams, which is all that a UDP socket is.
    Ok((UdpSocket::from_std(socket.into())?, family))
}

async fn once(socket: &UdpSocket, family: Icmp, target: IpAddr, sequence: u16) -> io::Result<Duration> {
    let began = Instant::now();
    socket.send_to(&echo::request(family, sequence), SocketAddr::new(target, 0)).await?;
    let mut packet = [0; 256];
    loop {
        let (length, from) = socket.recv_from(&mut packet).await?;
        if from.ip() == target && echo::answered(family, &packet[..length]) == Some(sequence) {
            return Ok(began.elapsed());
        }
    }
}
