//! The unix socket for the plugin's requests, with the open file that may come beside a request (unix(7), `SCM_RIGHTS`): a
//! pod's network namespace, which the plugin can see and the agent perhaps can't.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::unix::SocketAddr;
use tokio::net::{UnixListener, UnixStream};

/// Accepts connections.
#[derive(Debug)]
pub struct PassingListener(pub UnixListener);

/// One connection.
#[derive(Debug)]
pub struct PassingStream {
    stream: UnixStream,
    passed: Passed,
}

/// The file that came with a connection, until it is taken. One request a connection has one: the plugin's way.
#[derive(Debug, Clone, Default)]
pub struct Passed(Arc<Mutex<Option<OwnedFd>>>);

impl Passed {
    /// Takes it.
    pub fn take(&self) -> Option<OwnedFd> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The first one counts.
    fn put(&self, file: OwnedFd) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(file);
    }
}

impl Listener for PassingListener {
    type Io = PassingStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (PassingStream, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        (PassingStream { stream, passed: Passed::default() }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, PassingListener>> for Passed {
    fn connect_info(stream: IncomingStream<'_, PassingListener>) -> Self {
        stream.io().passed.clone()
    }
}

impl AsyncRead for PassingStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            ready!(this.stream.poll_read_ready(context))?;
            let unfilled = buffer.initialize_unfilled();
            let read = || tombolo_linux::receive(&this.stream, unfilled);
            match this.stream.try_io(Interest::READABLE, read) {
                Ok((n, file)) => {
                    if let Some(file) = file {
                        this.passed.put(file);
                    }
                    buffer.advance(n);
                    return Poll::Ready(Ok(()));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
    }
}

impl AsyncWrite for PassingStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
