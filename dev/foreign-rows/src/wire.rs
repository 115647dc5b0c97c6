//! A hand-written transaction, as another program sends it: without our client, which would sign it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

/// Sends a transaction to `unix:PATH` or `tcp:HOST:PORT` and returns the results; comment and operations are given as they
/// go over the wire.
///
/// # Errors
/// When the server refuses it.
pub fn transact(address: &str, database: &str, operations: &[Value]) -> Result<Vec<Value>> {
    let mut params = vec![json!(database)];
    params.extend_from_slice(operations);
    let request = json!({"method": "transact", "params": params, "id": 1}).to_string();
    let timeout = Some(Duration::from_secs(60));
    let reply = if let Some(path) = address.strip_prefix("unix:") {
        let stream = UnixStream::connect(path).with_context(|| format!("connecting to {address}"))?;
        stream.set_read_timeout(timeout)?;
        exchange(stream, &request)?
    } else {
        let at = address.strip_prefix("tcp:").with_context(|| format!("no address: {address}"))?;
        let stream = TcpStream::connect(at).with_context(|| format!("connecting to {address}"))?;
        stream.set_read_timeout(timeout)?;
        exchange(stream, &request)?
    };
    ensure!(reply["error"].is_null(), "the database refuses: {}", reply["error"]);
    let Some(results) = reply["result"].as_array() else { bail!("no results: {reply}") };
    if let Some(error) = results.iter().find(|result| !result["error"].is_null()) {
        bail!("the database refuses: {error}");
    }
    Ok(results.clone())
}

fn exchange(mut stream: impl Read + Write, request: &str) -> Result<Value> {
    stream.write_all(request.as_bytes())?;
    let mut messages = serde_json::Deserializer::from_reader(stream).into_iter::<Value>();
    loop {
        let message = messages.next().context("the server hung up")??;
        // It may ask whether we are still there.
        if message["id"] == json!(1) {
            return Ok(message);
        }
    }
}
