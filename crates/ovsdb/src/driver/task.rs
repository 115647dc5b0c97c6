//! The task: feeds the session with bytes, time and transactions, and does what it says.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::changes::{Hub, Update};
use super::endpoint::Endpoint;
use super::stream::{self, Stream};
use super::tls::Tls;
use super::{Snapshot, Status};
use crate::replica::ChangeSet;
use crate::session::{Disconnect, Input, Output, Session, SessionEvent};
use crate::txn::{Txn, TxnError, TxnReply};

const READ_CHUNK: usize = 256 * 1024;

/// A transaction on its way to the session.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) ticket: u64,
    pub(super) txn: Txn,
    pub(super) within: Duration,
    pub(super) answer: oneshot::Sender<Result<TxnReply, TxnError>>,
}

/// What the task owns.
pub(super) struct Task {
    pub(super) session: Session,
    pub(super) database: String,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) tls: Option<Tls>,
    pub(super) snapshots: watch::Sender<Snapshot>,
    pub(super) status: watch::Sender<Status>,
    pub(super) hub: Arc<Hub>,
    pub(super) waiting: BTreeMap<u64, oneshot::Sender<Result<TxnReply, TxnError>>>,
}

type Dial = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

/// The connection, in whatever state.
#[derive(Default)]
struct Link {
    dial: Option<Dial>,
    reader: Option<ReadHalf<Stream>>,
    writer: Option<WriteHalf<Stream>>,
    unsent: Vec<u8>,
    unflushed: bool,
}

/// What became of bytes to send.
enum Pushed {
    Wrote(usize),
    Flushed,
}

enum Event {
    Command(Option<Command>),
    Dialed(io::Result<Stream>),
    Read(io::Result<usize>),
    Pushed(io::Result<Pushed>),
    Tick,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.hub.end();
    }
}

impl Task {
    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let origin = Instant::now();
        let mut link = Link::default();
        let mut buffer = vec![0; READ_CHUNK];
        loop {
            let wakeup = self.session.next_wakeup();
            let sleep = async {
                match wakeup {
                    Some(at) => tokio::time::sleep_until(origin + at).await,
                    None => std::future::pending().await,
                }
            };
            // Split borrows: each branch uses another part of the link.
            let Link { dial, reader, writer, unsent, unflushed } = &mut link;
            let event = tokio::select! {
                command = commands.recv() => Event::Command(command),
                stream = poll(dial) => Event::Dialed(stream),
                read = read(reader, &mut buffer) => Event::Read(read),
                pushed = push(writer, unsent, *unflushed) => Event::Pushed(pushed),
                () = sleep => Event::Tick,
            };
            let now = origin.elapsed();
            let outputs = match event {
                Event::Command(None) => return,
                Event::Command(Some(command)) => {
                    let Command { ticket, txn, within, answer } = command;
                    self.waiting.insert(ticket, answer);
                    self.session.step(now, Input::Submit { ticket, txn, deadline: now + within })
                }
                Event::Dialed(Ok(stream)) => {
                    let (reader, writer) = tokio::io::split(stream);
                    link = Link { reader: Some(reader), writer: Some(writer), ..Link::default() };
                    self.session.step(now, Input::Connected)
                }
                Event::Dialed(Err(error)) => {
                    link = Link::default();
                    self.session.step(now, Input::ConnectFailed(error.to_string()))
                }
                Event::Read(Ok(0)) => {
                    link = Link::default();
                    self.session.step(now, Input::Closed("end of stream".to_owned()))
                }
                Event::Read(Ok(count)) => self.session.step(now, Input::Bytes(&buffer[..count])),
                Event::Pushed(Ok(Pushed::Wrote(count))) => {
                    link.unsent.drain(..count);
                    link.unflushed = true;
                    continue;
                }
                Event::Pushed(Ok(Pushed::Flushed)) => {
                    link.unflushed = false;
                    continue;
                }
                Event::Read(Err(error)) | Event::Pushed(Err(error)) => {
                    link = Link::default();
                    self.session.step(now, Input::Closed(error.to_string()))
                }
                Event::Tick => self.session.step(now, Input::Tick),
            };
            self.perform(outputs, &mut link);
        }
    }

    fn perform(&mut self, outputs: Vec<Output>, link: &mut Link) {
        let mut changes = ChangeSet::default();
        let mut resynced = false;
        let mut publish = false;
        let mut answers = Vec::new();
        for output in outputs {
            match output {
                Output::Connect { endpoint } => {
                    let (endpoint, tls) = (self.endpoints[endpoint].clone(), self.tls.clone());
                    self.status.send_modify(|status| status.endpoint = endpoint.to_string());
                    let dial = Box::pin(async move { stream::dial(&endpoint, tls).await });
                    *link = Link { dial: Some(dial), ..Link::default() };
                }
                Output::Send(bytes) => link.unsent.extend_from_slice(&bytes),
                Output::Close => *link = Link::default(),
                Output::Event(SessionEvent::Changed(more)) => {
                    changes.merge(more);
                    publish = true;
                }
                Output::Event(SessionEvent::Answer { ticket, result }) => answers.push((ticket, result)),
                Output::Event(event) => {
                    resynced |= matches!(event, SessionEvent::Fresh { resumed: false, .. });
                    publish |= !matches!(event, SessionEvent::Rejected { .. });
                    self.note(&event);
                }
            }
        }
        if publish {
            let snapshot = Snapshot {
                replica: self.session.replica().clone(),
                fresh: self.session.is_fresh(),
                generation: self.session.generation(),
                capabilities: self.session.capabilities().cloned(),
            };
            self.hub.publish(&self.snapshots, &Update { snapshot, changes, resynced });
        }
        // After the snapshot: a caller that waited for the answer finds its write in the replica.
        for (ticket, result) in answers {
            if let Some(waiting) = self.waiting.remove(&ticket) {
                // Fails only if the caller was dropped.
                let _ = waiting.send(result);
            }
        }
    }

    fn note(&self, event: &SessionEvent) {
        let name = |endpoint: &usize| self.endpoints[*endpoint].to_string();
        let database = self.database.as_str();
        match event {
            SessionEvent::Fresh { endpoint, resumed, capabilities } => {
                let (endpoint, version) = (name(endpoint), capabilities.schema().version.as_str());
                tracing::info!(database, endpoint, version, resumed, "OVSDB replica is fresh");
                self.status.send_modify(|status| {
                    status.fresh = true;
                    status.connects += 1;
                    status.resumes += u64::from(*resumed);
                });
            }
            SessionEvent::Stale { endpoint, reason } => {
                let endpoint = name(endpoint);
                tracing::warn!(database, endpoint, %reason, "OVSDB connection lost, replica is stale");
                self.failed(reason);
            }
            SessionEvent::Rejected { endpoint, reason, retry_in } => {
                let endpoint = name(endpoint);
                // A follower that is passed over on the way to the leader is no trouble.
                if matches!(reason, Disconnect::NotLeader) {
                    tracing::debug!(database, endpoint, %reason, ?retry_in, "OVSDB server passed over");
                } else {
                    tracing::warn!(database, endpoint, %reason, ?retry_in, "OVSDB server not usable");
                }
                self.failed(reason);
            }
            SessionEvent::Changed(_) | SessionEvent::Answer { .. } => {}
        }
    }

    fn failed(&self, reason: &Disconnect) {
        self.status.send_modify(|status| {
            status.fresh = false;
            status.last_error = reason.to_string();
            status.inconsistencies += u64::from(matches!(reason, Disconnect::Inconsistent(_)));
        });
    }
}

async fn poll(dial: &mut Option<Dial>) -> io::Result<Stream> {
    match dial {
        Some(dial) => dial.await,
        None => std::future::pending().await,
    }
}

async fn read(reader: &mut Option<ReadHalf<Stream>>, buffer: &mut [u8]) -> io::Result<usize> {
    match reader {
        Some(reader) => reader.read(buffer).await,
        None => std::future::pending().await,
    }
}

/// Writes what there is, then flushes (TLS keeps back what isn't flushed).
async fn push(writer: &mut Option<WriteHalf<Stream>>, unsent: &[u8], unflushed: bool) -> io::Result<Pushed> {
    match writer {
        Some(writer) if !unsent.is_empty() => writer.write(unsent).await.map(Pushed::Wrote),
        Some(writer) if unflushed => writer.flush().await.map(|()| Pushed::Flushed),
        _ => std::future::pending().await,
    }
}
