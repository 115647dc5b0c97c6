//! A leader whose write arrives late, when another one leads: the database refuses it (invariant 7).
//!
//! The first controller reaches the NB through a relay. Its write is held there, as a network may do; then the
//! process itself is stopped past its lease. When both are let go, the write arrives at a database that has the epoch
//! of its successor.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tombolo_testbed::{Controller, Nb, Program, eventually};

use super::Line;
use crate::bed::{Bed, Northbound as _, PATIENCE, create_pod};
use crate::pods::Pods;

/// A relay of bytes to one server that can hold what is sent to it.
struct Relay {
    port: u16,
    hold: Arc<AtomicBool>,
    held: Arc<AtomicBool>,
    /// What the server answered.
    answers: Arc<Mutex<Vec<u8>>>,
}

impl Relay {
    fn start(server: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let this = Self {
            port: listener.local_addr()?.port(),
            hold: Arc::default(),
            held: Arc::default(),
            answers: Arc::default(),
        };
        let (server, hold) = (server.to_owned(), this.hold.clone());
        let (held, answers) = (this.held.clone(), this.answers.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // A server that is away: the client sees that its connection ends.
                let Ok(server) = TcpStream::connect(&server) else { continue };
                let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) else { continue };
                let (hold, held, answers) = (hold.clone(), held.clone(), answers.clone());
                std::thread::spawn(move || {
                    copy(from, to, |bytes| {
                        // Probes may wait as well; what counts is the first transaction.
                        while hold.load(Ordering::Relaxed) {
                            if contains(bytes, b"\"transact\"") {
                                held.store(true, Ordering::Relaxed);
                            }
                            std::thread::sleep(Duration::from_millis(5));
                        }
                    })
                });
                std::thread::spawn(move || {
                    copy(server, client, |bytes| {
                        answers.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
                    })
                });
            }
        });
        Ok(this)
    }

    fn answered(&self, text: &str) -> bool {
        contains(&self.answers.lock().unwrap_or_else(PoisonError::into_inner), text.as_bytes())
    }

    fn forget(&self) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

/// Passes bytes on until either end closes.
fn copy(mut from: TcpStream, mut to: TcpStream, look: impl Fn(&[u8])) {
    let mut buffer = vec![0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        look(&buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // The other direction ends with it.
    let _ = to.shutdown(std::net::Shutdown::Both);
    let _ = from.shutdown(std::net::Shutdown::Both);
}

/// The late write.
pub async fn run(controller: &Path) -> Result<Option<Vec<Line>>> {
    let Some(bed) = Bed::start(controller, Nb::start_clustered).await? else { return Ok(None) };
    bed.nodes(1).await?;
    bed.namespace("plain").await?;
    let server = bed.nb.addresses();
    let relay = Relay::start(server.trim_start_matches("tcp:"))?;
    let program = Program { nb: format!("tcp:127.0.0.1:{}", relay.port), ..bed.program() };
    let first = Controller::start(&program, "a", &[])?;
    bed.defaults()?;
    bed.nodes_served().await?;
    let second = bed.controller("b", &[])?;
    logs(&second, "standing by: a leads")?;
    let pods = Pods::watch(&bed.client);
    let pod = |name: &str| ("plain".to_owned(), name.to_owned());
    create_pod(&bed.client, "plain", "before", "node0").await?;
    pods.one(&pod("before"), PATIENCE).await?;

    relay.hold.store(true, Ordering::Relaxed);
    create_pod(&bed.client, "plain", "late", "node0").await?;
    eventually("the write to be held", PATIENCE, || Ok(relay.held.load(Ordering::Relaxed).then_some(())))?;
    first.signal("STOP")?;
    let hung = Instant::now();
    logs(&second, "leading with epoch 2")?;
    let led = hung.elapsed().as_secs_f64();
    pods.one(&pod("late"), PATIENCE).await?;
    let written = bed.nb.nbctl(&["--columns=name,addresses,external_ids", "list", "Logical_Switch_Port"])?;

    relay.forget();
    relay.hold.store(false, Ordering::Relaxed);
    // The database's own words about a `wait` that isn't fulfilled.
    eventually("the database to refuse the late write", PATIENCE, || {
        Ok(relay.answered("timed out").then_some(()))
    })?;
    let after = bed.nb.nbctl(&["--columns=name,addresses,external_ids", "list", "Logical_Switch_Port"])?;
    ensure!(written == after, "the late write changed rows:\n{written}\n{after}");
    first.signal("CONT")?;
    logs(&first, "no longer leading")?;
    eventually("a word about the epoch in the log", PATIENCE, || {
        let log = first.log();
        let says = [
            "the database refused our epoch",
            "the database holds epoch Some(2), ours is 1",
            "the lease could not be renewed in time",
            "the lease was taken from us",
        ];
        Ok(says.iter().any(|text| log.contains(text)).then_some(()))
    })
    .with_context(|| first.log())?;
    create_pod(&bed.client, "plain", "after", "node0").await?;
    pods.one(&pod("after"), PATIENCE).await?;
    pods.sound()?;
    bed.agree(3, 1)?;
    Ok(Some(vec![
        Line::times("leader hangs, until the standby leads (lease 4 s)", vec![led]),
        Line::text("a write of the old leader that arrives late", "refused by the database; no row changed"),
    ]))
}

fn logs(controller: &Controller, text: &str) -> Result<()> {
    let what = format!("{text:?} in the log of {}", controller.name());
    eventually(&what, PATIENCE, || Ok(controller.log().contains(text).then_some(())))
        .with_context(|| controller.log())
}
