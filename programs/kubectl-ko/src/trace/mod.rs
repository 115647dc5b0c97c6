//! `ko trace` and `ko tcpdump`: what becomes of a packet of a pod or a node, in OVN's flows and in its node's; and the packets there are.

pub mod flow;
pub mod request;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::database::{Database, Place, tool};
use crate::kubectl::{Kubectl, code};
use crate::node::Way;
use crate::rows::{self, Reader};
use flow::{Rows, port_of};
use request::Source;

/// For one answer of a node's Open vSwitch.
const DEADLINE: Duration = Duration::from_secs(60);

/// Traces a packet, first in OVN's logical flows, then on the node.
pub fn command(kubectl: &Kubectl, from: &str, words: &[String]) -> Result<ExitCode> {
    let mut request = request::read(from, words)?;
    let (source, node) = place_of(kubectl, request.source)?;
    request.source = source;
    let nb = Reader::of(kubectl, Database::Nb)?;
    let flow = flow::flow(
        &request,
        &Rows {
            switches: nb.list("Logical_Switch", &["_uuid", "name", "ports"])?,
            ports: nb.list("Logical_Switch_Port", &["_uuid", "name", "type", "addresses", "options"])?,
            router_ports: nb.list("Logical_Router_Port", &["name", "mac", "networks"])?,
        },
    )?;
    let words = flow.ovn_trace();
    shown("ovn-trace", &words);
    let sb = Place::of(kubectl, Database::Sb)?;
    let words: Vec<OsString> =
        std::iter::once("--no-leader-only".into()).chain(words.iter().map(Into::into)).collect();
    let traced = tool(kubectl, &sb, "ovn-trace", &words)?.success("ovn-trace")?;
    print!("{}", String::from_utf8_lossy(&traced));

    println!("--------\nStart OVS Tracing\n");
    let way = Way::to(kubectl, &node)?;
    let port = interface(&way, &flow.port, "ofport")?;
    let port = port.number("ofport").context("its interface has no OpenFlow port yet")?;
    let words = flow.ofproto_trace(port);
    shown(&words[0], &words[1..]);
    let traced = way.capture(&words, DEADLINE)?.success(&format!("ofproto/trace on node {node}"))?;
    print!("{}", String::from_utf8_lossy(&traced));
    Ok(ExitCode::SUCCESS)
}

/// Shows the packets of a pod, at the node's end of its interface; a pod of the node's network has the node's packets.
pub fn tcpdump(kubectl: &Kubectl, pod: &str, arguments: &[OsString]) -> Result<ExitCode> {
    let named = request::source(pod)?;
    let host = matches!(&named, Source::Pod { .. }) && is_on_host(kubectl, &named)?;
    let (source, node) = place_of(kubectl, named)?;
    let way = Way::to(kubectl, &node)?;
    let mut words: Vec<OsString> = ["tcpdump", "-nn"].map(Into::into).to_vec();
    if !host {
        let name = interface(&way, &port_of(&source), "name")?.text("name").to_owned();
        words.extend(["-i".into(), name.into()]);
    }
    words.extend(arguments.iter().cloned());
    let shown: Vec<String> = words[1..].iter().map(|word| word.to_string_lossy().into_owned()).collect();
    eprintln!("+ tcpdump {} on node {node}", quoted(&shown));
    let status = way.command(&words).status().with_context(|| kubectl.cannot_start())?;
    // As a shell has it: no such program.
    if status.code() == Some(127) {
        bail!("node {node} has no tcpdump: install it there, beside Open vSwitch");
    }
    Ok(code(status))
}

/// The node of a source. A pod of its node's network sends as the node does.
fn place_of(kubectl: &Kubectl, source: Source) -> Result<(Source, String)> {
    let (namespace, name) = match &source {
        Source::Node(node) => return Ok((source.clone(), node.clone())),
        Source::Pod { namespace, name } => (namespace, name),
    };
    let pod = kubectl.json(&["get", "pod", "-n", namespace, name])?;
    let node = pod["spec"]["nodeName"].as_str().filter(|node| !node.is_empty());
    let node = node.with_context(|| format!("pod {namespace}/{name} isn't on a node yet"))?.to_owned();
    let source = if on_host(&pod) { Source::Node(node.clone()) } else { source };
    Ok((source, node))
}

fn is_on_host(kubectl: &Kubectl, source: &Source) -> Result<bool> {
    let Source::Pod { namespace, name } = source else { return Ok(true) };
    Ok(on_host(&kubectl.json(&["get", "pod", "-n", namespace, name])?))
}

fn on_host(pod: &Value) -> bool {
    pod["spec"]["hostNetwork"] == true
}

/// The interface of a port on its node.
fn interface(way: &Way<'_>, port: &str, column: &str) -> Result<rows::Row> {
    let columns = format!("--columns={column}");
    let condition = format!("external_ids:iface-id=\"{port}\"");
    let words = ["ovs-vsctl", "--format=json", "--data=json", &columns, "find", "Interface", &condition];
    let text = way.capture(&words, DEADLINE)?.success(&format!("looking for the interface of {port}"))?;
    let found = rows::parse(&text)?.into_iter().next();
    found.with_context(|| format!("Open vSwitch on the node has no interface of port {port}"))
}

fn shown(program: &str, words: &[String]) {
    println!("+ {program} {}", quoted(words));
}

/// As a shell would take them.
fn quoted(words: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,".contains(c);
    let quote = |word: &String| match word.chars().all(plain) && !word.is_empty() {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}
