//! One transaction over the wire (RFC 7047 §4.1.3), of any size: OVN's tools take theirs from a command line, which has a limit.

use std::io::{BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::tls::Tls;

/// For connecting.
const CONNECT: Duration = Duration::from_secs(5);
/// For the answer: a database of a large site is written within it.
const DEADLINE: Duration = Duration::from_secs(120);

/// Carries out a transaction at `endpoint` (`params` is the database's name, then operations) and returns the operations'
/// answers. An error says whether anything may have been written.
pub fn transact(endpoint: &str, tls: &Tls, params: &Value) -> Result<Vec<Value>> {
    let (method, address) = endpoint.split_once(':').unwrap_or_default();
    let request = json!({ "method": "transact", "params": params, "id": 0 }).to_string();
    let answer = match method {
        "tcp" => {
            let socket = address
                .to_socket_addrs()
                .ok()
                .and_then(|mut all| all.next())
                .with_context(|| format!("{endpoint}: not an address"))?;
            let stream = TcpStream::connect_timeout(&socket, CONNECT)
                .with_context(|| format!("connecting to {endpoint}; nothing was written"))?;
            stream.set_read_timeout(Some(DEADLINE)).context("setting a deadline")?;
            stream.set_write_timeout(Some(DEADLINE)).context("setting a deadline")?;
            (&stream).write_all(request.as_bytes()).context("sending a transaction")?;
            answer(&stream, Instant::now() + DEADLINE)
        }
        "ssl" => over_tls(address, tls, request)?,
        _ => bail!("{endpoint}: neither tcp: nor ssl:"),
    };
    let reply = answer.with_context(|| {
        format!("{endpoint} gave no answer: whether the transaction was carried out is unknown")
    })?;
    results(&reply)
}

/// A `openssl s_client` between: the library that OVN's own tools have their TLS from.
fn over_tls(address: &str, tls: &Tls, request: String) -> Result<Result<Value>> {
    let mut child = Command::new("openssl")
        .args(["s_client", "-quiet", "-verify_return_error", "-verify", "8", "-connect", address])
        .args(tls.openssl())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("starting openssl, by which ssl: endpoints are reached: install it on this machine")?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let mut input = input.context("openssl has no input")?;
    let output = output.context("openssl has no output")?;
    let (sender, receiver) = channel();
    // Both in threads of their own: openssl ends with its input, and neither side's silence may hold us up.
    std::thread::spawn(move || {
        let sent = input.write_all(request.as_bytes());
        let _ = sender.send(
            sent.context("sending a transaction").and_then(|()| answer(output, Instant::now() + DEADLINE)),
        );
        drop(input);
    });
    let got = receiver.recv_timeout(DEADLINE).context("no answer in time").and_then(|got| got);
    end(&mut child);
    Ok(got)
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// The answer among what a server sends, which may ask whether we are still there.
fn answer(stream: impl Read, until: Instant) -> Result<Value> {
    let messages = serde_json::Deserializer::from_reader(BufReader::new(stream)).into_iter::<Value>();
    for message in messages {
        let message = message.context("reading the server's answer")?;
        if message["id"] == 0 && message["method"].is_null() {
            return Ok(message);
        }
        ensure!(Instant::now() < until, "no answer within {} s", DEADLINE.as_secs());
    }
    bail!("the server closed the connection")
}

/// The answers of all operations, or the first refusal.
fn results(reply: &Value) -> Result<Vec<Value>> {
    if !reply["error"].is_null() {
        bail!("the database refuses the transaction: {}", reply["error"]);
    }
    let all = reply["result"].as_array().context("the database's answer has no results")?;
    if let Some(refusal) = all.iter().find(|result| result["error"].is_string()) {
        let text = |key: &str| refusal[key].as_str().unwrap_or_default().to_owned();
        bail!(
            "the database refuses the transaction, nothing was written: {}: {}",
            text("error"),
            text("details")
        );
    }
    Ok(all.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_found_among_questions() {
        let later = Instant::now() + DEADLINE;
        let sent = r#"{"method":"echo","params":[],"id":"echo"}{"id":0,"result":[{"count":1}],"error":null}"#;
        let reply = answer(sent.as_bytes(), later).unwrap();
        assert_eq!(results(&reply).unwrap(), [json!({ "count": 1 })]);
        // A server that asks again and again, and never answers.
        assert!(
            format!("{:#}", answer(sent.as_bytes(), Instant::now()).unwrap_err())
                .contains("no answer within")
        );
        assert!(answer(&b"{\"method\":\"echo\",\"id\":0}"[..], later).is_err());
    }

    #[test]
    fn a_refusal_is_an_error() {
        let reply = json!({ "id": 0, "error": null, "result": [{}, null, { "error": "constraint violation", "details": "two" }] });
        let error = results(&reply).unwrap_err().to_string();
        assert!(error.contains("nothing was written: constraint violation: two"), "{error}");
    }
}
