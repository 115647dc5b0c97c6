//! One HTTP/1.1 request over a unix socket (RFC 9112, the little of it that a client with one server needs).

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

/// The agent gives up a pod after about a minute, with an error; this is only for an agent that doesn't answer.
const READ_TIMEOUT: Duration = Duration::from_secs(120);
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// An answer is a few hundred bytes.
const MAX_ANSWER: u64 = 4 << 20;

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Status code.
    pub(crate) status: u16,
    /// Body; empty when there is none.
    pub(crate) body: Vec<u8>,
}

/// Posts JSON and reads the answer. `file` goes along as an open file: its path may name nothing for the server.
pub(crate) fn post(
    socket: &Path,
    path: &str,
    body: &[u8],
    file: Option<BorrowedFd<'_>>,
) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    // The file goes with the first bytes; bytes that the socket didn't take follow without it.
    let sent = match file {
        Some(file) => {
            let files = [file.as_raw_fd()];
            let parts = [IoSlice::new(&request)];
            let rights = [ControlMessage::ScmRights(&files)];
            sendmsg::<()>(stream.as_raw_fd(), &parts, &rights, MsgFlags::MSG_NOSIGNAL, None)?
        }
        None => 0,
    };
    stream.write_all(&request[sent..])?;
    let mut text = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut text).map_err(|e| match e.kind() {
        io::ErrorKind::WouldBlock => io::Error::new(io::ErrorKind::TimedOut, "no answer in 120 s"),
        _ => e,
    })?;
    parse(&text)
}

/// Reads a whole answer, whose end is the end of the connection.
fn parse(text: &[u8]) -> io::Result<Answer> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("the answer {what}"));
    let end = text.windows(4).position(|w| w == b"\r\n\r\n").ok_or_else(|| {
        bad(if text.is_empty() {
            "is empty: the agent closed the connection"
        } else {
            "has no end of its head"
        })
    })?;
    let head = std::str::from_utf8(&text[..end]).map_err(|_| bad("is not text"))?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|l| l.strip_prefix("HTTP/1."))
        .and_then(|l| l.split(' ').nth(1))
        .and_then(|s| s.parse().ok())
        .ok_or_else(|| bad("is not HTTP/1.1"))?;
    let rest = &text[end + 4..];
    let header = |name: &str| {
        head.split("\r\n").skip(1).find_map(|l| {
            let (n, v) = l.split_once(':')?;
            n.eq_ignore_ascii_case(name).then(|| v.trim())
        })
    };
    if header("transfer-encoding").is_some() {
        return Err(bad("is chunked, which this client doesn't read"));
    }
    let body = match header("content-length") {
        None => rest,
        Some(text) => {
            let length: usize = text.parse().map_err(|_| bad("has a content-length that is no number"))?;
            rest.get(..length).ok_or_else(|| bad("ends before its content-length"))?
        }
    };
    Ok(Answer { status, body: body.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let ok = parse(b"HTTP/1.1 200 OK\r\ncontent-type: x\r\nContent-Length: 2\r\n\r\n{}trailing").unwrap();
        assert_eq!(ok, Answer { status: 200, body: b"{}".to_vec() });
        let empty = parse(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        assert_eq!(empty, Answer { status: 204, body: Vec::new() });
    }

    #[test]
    fn answers_that_are_none() {
        for (text, why) in [
            (&b""[..], "closed"),
            (b"HTTP/1.1 200 OK\r\n", "head"),
            (b"SSH-2.0\r\n\r\n", "not HTTP"),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", "ends before"),
            (b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", "no number"),
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "chunked"),
        ] {
            let err = parse(text).unwrap_err().to_string();
            assert!(err.contains(why), "{err}");
        }
    }
}
