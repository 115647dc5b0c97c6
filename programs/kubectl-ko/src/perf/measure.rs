//! The two ends of a measurement: a server that echoes and counts, and a client that asks it. Both run in pods, from the image that
//! has this program.
//!
//! A TCP connection begins with a line that says what it is for: `echo SIZE` sends back each SIZE bytes, `count` answers with the number
//! of bytes once the client has ended, `datagrams ID` answers `ready`, and after the client's `end` with the number of datagrams and
//! bytes that came for ID. A datagram begins with a byte (0: send it back, 1: count it) and, to be counted, with the ID.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

/// The server's port, of TCP and UDP.
pub const PORT: u16 = 19_765;
/// So many connections, or senders of datagrams, at a time where bandwidth is measured.
const STREAMS: u64 = 10;
/// What a datagram can carry over IPv4.
const LARGEST: usize = 65_507;
/// A datagram that is to be counted: kind and ID.
const HEADER: usize = 9;
/// Datagrams that are under way when the client ends have so long.
const ARRIVES: Duration = Duration::from_millis(300);
/// After which an echo counts as lost, and a peer as gone.
const SILENT: Duration = Duration::from_millis(500);
/// For a connection, and for its last answer.
const ANSWERS: Duration = Duration::from_secs(10);

/// What came of datagrams: their number, and their bytes.
type Counts = Arc<Mutex<BTreeMap<u64, (u64, u64)>>>;

/// What was measured with messages of one size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Half a round trip, in microseconds.
    pub tcp_latency: f64,
    /// Bits a second.
    pub tcp_bandwidth: f64,
    /// Half a round trip, in microseconds; none if nothing came back.
    pub udp_latency: Option<f64>,
    /// Of the datagrams sent as fast as they go, how many didn't arrive: 0 to 1.
    pub udp_lost: f64,
    /// Bits a second that arrived.
    pub udp_bandwidth: f64,
}

/// Serves at `address` until it is killed.
pub fn serve(address: IpAddr) -> Result<()> {
    serve_at(SocketAddr::new(address, PORT))
}

fn serve_at(address: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(address).with_context(|| format!("listening on {address}, TCP"))?;
    let socket = UdpSocket::bind(address).with_context(|| format!("listening on {address}, UDP"))?;
    let counts = Counts::default();
    let of_datagrams = Arc::clone(&counts);
    std::thread::spawn(move || datagrams(&socket, &of_datagrams));
    for stream in listener.incoming() {
        let (Ok(stream), counts) = (stream, Arc::clone(&counts)) else { continue };
        // A client that goes away ends its own connection alone.
        std::thread::spawn(move || drop(connection(stream, &counts)));
    }
    Ok(())
}

fn datagrams(socket: &UdpSocket, counts: &Counts) {
    let mut bytes = vec![0; LARGEST];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut bytes) else { continue };
        match bytes.first() {
            Some(0) => drop(socket.send_to(&bytes[..length], from)),
            Some(1) if length >= HEADER => {
                let mut id = [0; 8];
                id.copy_from_slice(&bytes[1..HEADER]);
                let mut all = counts.lock().unwrap_or_else(PoisonError::into_inner);
                // What nobody asked for isn't kept.
                if let Some((number, sum)) = all.get_mut(&u64::from_be_bytes(id)) {
                    *number += 1;
                    *sum += length as u64;
                }
            }
            _ => {}
        }
    }
}

fn connection(stream: TcpStream, counts: &Counts) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    let line = line(&mut reader)?;
    match line.split_once(' ').unwrap_or((line.as_str(), "")) {
        ("echo", size) => {
            let size: usize = size.parse()?;
            ensure!((1..=LARGEST).contains(&size), "a size of {size}");
            let mut bytes = vec![0; size];
            while reader.read_exact(&mut bytes).is_ok() {
                writer.write_all(&bytes)?;
            }
        }
        ("count", _) => {
            let sum = std::io::copy(&mut reader, &mut std::io::sink())?;
            writeln!(writer, "{sum}")?;
        }
        ("datagrams", id) => {
            let id: u64 = id.parse()?;
            counts.lock().unwrap_or_else(PoisonError::into_inner).insert(id, (0, 0));
            writeln!(writer, "ready")?;
            let ended = self::line(&mut reader);
            std::thread::sleep(ARRIVES);
            let found = counts.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            ended?;
            let (number, sum) = found.unwrap_or_default();
            writeln!(writer, "{number} {sum}")?;
        }
        _ => bail!("an unknown request {line:?}"),
    }
    Ok(())
}

/// A line, which is short.
fn line(reader: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    reader.by_ref().take(64).read_line(&mut line)?;
    ensure!(line.ends_with('\n'), "a line that doesn't end");
    Ok(line.trim().to_owned())
}

/// Asks the server at `address`, with messages of `size` bytes, for `time` each.
pub fn ask(address: IpAddr, size: usize, time: Duration) -> Result<Figures> {
    ask_at(SocketAddr::new(address, PORT), size, time)
}

fn ask_at(server: SocketAddr, size: usize, time: Duration) -> Result<Figures> {
    ensure!((HEADER..=LARGEST).contains(&size), "a size of {size}: {HEADER} to {LARGEST} are possible");
    let tcp_latency = tcp_latency(server, size, time).context("measuring the latency of TCP")?;
    let tcp_bandwidth = tcp_bandwidth(server, size, time).context("measuring the bandwidth of TCP")?;
    let udp_latency = udp_latency(server, size, time).context("measuring the latency of UDP")?;
    let (udp_lost, udp_bandwidth) =
        udp_bandwidth(server, size, time).context("measuring the bandwidth of UDP")?;
    Ok(Figures { tcp_latency, tcp_bandwidth, udp_latency, udp_lost, udp_bandwidth })
}

/// A connection for `what`. A server that has just been started is waited for.
fn connect(server: SocketAddr, what: &str) -> Result<TcpStream> {
    let until = Instant::now() + ANSWERS;
    let mut stream = loop {
        match TcpStream::connect_timeout(&server, ANSWERS) {
            Ok(stream) => break stream,
            Err(error) if Instant::now() >= until => {
                return Err(error).with_context(|| format!("reaching {server}"));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    };
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWERS))?;
    stream.set_write_timeout(Some(ANSWERS))?;
    writeln!(stream, "{what}")?;
    Ok(stream)
}

/// Half of a round trip's time, of `number` in `took`.
fn half(took: Duration, number: u32) -> f64 {
    took.as_secs_f64() * 1e6 / f64::from(number) / 2.0
}

fn tcp_latency(server: SocketAddr, size: usize, time: Duration) -> Result<f64> {
    let mut stream = connect(server, &format!("echo {size}"))?;
    let mut bytes = vec![0; size];
    let (start, mut number) = (Instant::now(), 0);
    while start.elapsed() < time || number == 0 {
        stream.write_all(&bytes)?;
        stream.read_exact(&mut bytes)?;
        number += 1;
    }
    Ok(half(start.elapsed(), number))
}

#[allow(clippy::cast_precision_loss, reason = "bits a second, for people")]
fn rate(bytes: u64, took: Duration) -> f64 {
    bytes as f64 * 8.0 / took.as_secs_f64()
}

fn tcp_bandwidth(server: SocketAddr, size: usize, time: Duration) -> Result<f64> {
    let start = Instant::now();
    let one = || -> Result<u64> {
        let mut stream = connect(server, "count")?;
        let bytes = vec![0; size];
        while start.elapsed() < time {
            stream.write_all(&bytes)?;
        }
        stream.shutdown(Shutdown::Write)?;
        Ok(line(&mut BufReader::new(stream))?.parse()?)
    };
    let sum = together(one)?.into_iter().sum();
    Ok(rate(sum, start.elapsed()))
}

/// What so many threads at a time come to.
fn together<T: Send>(one: impl Fn() -> Result<T> + Sync) -> Result<Vec<T>> {
    std::thread::scope(|scope| {
        let started: Vec<_> = (0..STREAMS).map(|_| scope.spawn(&one)).collect();
        let ended = started.into_iter().map(|it| match it.join() {
            Ok(result) => result,
            Err(_) => bail!("a thread ended early"),
        });
        ended.collect()
    })
}

fn socket(server: SocketAddr) -> Result<UdpSocket> {
    let any: IpAddr = if server.is_ipv6() { [0u16; 8].into() } else { [0u8; 4].into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(SILENT))?;
    Ok(socket)
}

fn udp_latency(server: SocketAddr, size: usize, time: Duration) -> Result<Option<f64>> {
    let socket = socket(server)?;
    let (mut bytes, mut answer) = (vec![0; size], vec![0; LARGEST]);
    let (start, mut number, mut took) = (Instant::now(), 0, Duration::ZERO);
    for turn in 0u64.. {
        if start.elapsed() >= time {
            break;
        }
        bytes[1..HEADER].copy_from_slice(&turn.to_be_bytes());
        let sent = Instant::now();
        socket.send(&bytes)?;
        // One that is lost isn't counted, nor is one of an earlier turn that comes late.
        while socket.recv(&mut answer).is_ok() {
            if answer[..HEADER] == bytes[..HEADER] {
                number += 1;
                took += sent.elapsed();
                break;
            }
        }
    }
    Ok((number > 0).then(|| half(took, number)))
}

#[allow(clippy::cast_precision_loss, reason = "a share, for people")]
fn udp_bandwidth(server: SocketAddr, size: usize, time: Duration) -> Result<(f64, f64)> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let id = u64::from(now.subsec_nanos()) << 32 | u64::from(std::process::id());
    let mut stream = connect(server, &format!("datagrams {id}"))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    ensure!(line(&mut reader)? == "ready", "the server isn't ready");
    let mut bytes = vec![0; size];
    bytes[0] = 1;
    bytes[1..HEADER].copy_from_slice(&id.to_be_bytes());
    let start = Instant::now();
    let one = || -> Result<u64> {
        let socket = socket(server)?;
        let mut sent = 0;
        while start.elapsed() < time {
            // A full queue of the link refuses one: it is lost here already.
            let _ = socket.send(&bytes);
            sent += 1;
        }
        Ok(sent)
    };
    let sent: u64 = together(one)?.into_iter().sum();
    let took = start.elapsed();
    writeln!(stream, "end")?;
    let answer = line(&mut reader)?;
    let (number, sum) = answer.split_once(' ').context("the server's answer can't be read")?;
    let (number, sum): (u64, u64) = (number.parse()?, sum.parse()?);
    Ok((1.0 - number as f64 / sent.max(1) as f64, rate(sum, took)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server on this machine.
    fn server() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        std::thread::spawn(move || serve_at(address).unwrap());
        address
    }

    #[test]
    fn all_figures_of_a_server_on_this_machine() {
        let found = ask_at(server(), 512, Duration::from_millis(200)).unwrap();
        assert!(found.tcp_latency > 0.0 && found.tcp_latency < 1e5, "{found:?}");
        assert!(found.tcp_bandwidth > 1e6 && found.udp_bandwidth > 1e5, "{found:?}");
        assert!(found.udp_latency.is_some_and(|us| us > 0.0 && us < 1e5), "{found:?}");
        assert!((0.0..1.0).contains(&found.udp_lost), "{found:?}");
    }

    #[test]
    fn bytes_and_datagrams_are_counted_one_by_one() {
        let server = server();
        let mut stream = connect(server, "count").unwrap();
        stream.write_all(&[0; 1_234]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(line(&mut BufReader::new(stream)).unwrap(), "1234");

        let mut stream = connect(server, "datagrams 7").unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        assert_eq!(line(&mut reader).unwrap(), "ready");
        let socket = socket(server).unwrap();
        let datagram = |id: u64| [&[1][..], &id.to_be_bytes(), &[0; 91]].concat();
        for id in [7, 7, 8, 7] {
            socket.send(&datagram(id)).unwrap();
        }
        writeln!(stream, "end").unwrap();
        assert_eq!(line(&mut reader).unwrap(), "3 300", "another's datagram doesn't count");
    }

    #[test]
    fn what_it_does_not_know_ends_the_connection_and_not_the_server() {
        let server = server();
        for what in ["nothing", "echo 0", "echo 99999999", "datagrams x"] {
            let mut stream = connect(server, what).unwrap();
            assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0, "{what}");
        }
        assert!(tcp_latency(server, 64, Duration::from_millis(10)).is_ok());
        let size = ask_at(server, 8, Duration::ZERO).unwrap_err().to_string();
        assert!(size.contains("9 to 65507"), "{size}");
    }
}
