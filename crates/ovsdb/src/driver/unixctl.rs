//! Control commands to a daemon, as `ovs-appctl` and `ovn-appctl` give them: JSON-RPC on its control
//! socket (ovs-appctl(8)).

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::wire::{self, Frames, Message, WireError};

/// A control command that failed.
#[derive(Debug, thiserror::Error)]
pub enum UnixctlError {
    /// The socket.
    #[error("{command} on {}: {source}; is the daemon running?", .socket.display())]
    Io {
        /// The command.
        command: String,
        /// The socket.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The answer makes no sense.
    #[error("{command}: {source}")]
    Wire {
        /// The command.
        command: String,
        /// Why.
        source: WireError,
    },
    /// The daemon said no.
    #[error("{command}: {message}")]
    Refused {
        /// The command.
        command: String,
        /// The daemon's words.
        message: String,
    },
    /// No answer in time.
    #[error("{command} on {} was not answered within {within:?}", .socket.display())]
    Timeout {
        /// The command.
        command: String,
        /// The socket.
        socket: PathBuf,
        /// How long.
        within: Duration,
    },
}

/// Gives a command and returns the daemon's text.
pub async fn call(
    socket: &Path,
    command: &str,
    args: &[&str],
    within: Duration,
) -> Result<String, UnixctlError> {
    match tokio::time::timeout(within, exchange(socket, command, args)).await {
        Ok(result) => result,
        Err(_) => {
            Err(UnixctlError::Timeout { command: command.to_owned(), socket: socket.to_owned(), within })
        }
    }
}

async fn exchange(socket: &Path, command: &str, args: &[&str]) -> Result<String, UnixctlError> {
    let io = |source| UnixctlError::Io { command: command.to_owned(), socket: socket.to_owned(), source };
    let wire = |source| UnixctlError::Wire { command: command.to_owned(), source };
    let refused = |message| UnixctlError::Refused { command: command.to_owned(), message };
    let mut stream = UnixStream::connect(socket).await.map_err(io)?;
    stream.write_all(&wire::request(0, command, &args)).await.map_err(io)?;
    let mut frames = Frames::new(64 << 20);
    let mut buffer = vec![0; 16 * 1024];
    loop {
        if let Some(frame) = frames.next_frame().map_err(wire)? {
            return match Message::parse(&frame).map_err(wire)? {
                Message::Response { result: Ok(text), .. } => {
                    serde_json::from_str(text.get()).map_err(|error| wire(error.into()))
                }
                Message::Response { result: Err(Value::String(message)), .. } => Err(refused(message)),
                Message::Response { result: Err(error), .. } => Err(refused(error.to_string())),
                Message::Request { method, .. } => Err(refused(format!("asked {method} instead"))),
            };
        }
        let count = stream.read(&mut buffer).await.map_err(io)?;
        if count == 0 {
            return Err(io(io::ErrorKind::UnexpectedEof.into()));
        }
        frames.push(&buffer[..count]);
    }
}
