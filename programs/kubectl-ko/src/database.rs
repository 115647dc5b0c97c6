//! The NB and SB databases: where they are, and OVN's own tools on them.
//!
//! With our own OVN the tools run in an `ovn-central` pod. On an OVN that was there before, there is none: the
//! tools of this machine are used, with the endpoints from the controller's Deployment.

use std::ffi::OsString;
use std::io::Read as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;
use tombolo_ovn::addresses;

use crate::kubectl::{Kubectl, NAMESPACE, code, ready_pod};
use crate::tls::Tls;

/// The controller's Deployment.
pub use tombolo_names::workloads::CONTROLLER;
/// How long to wait for the databases to have a leader.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two attempts; an election of OVN's takes about a second.
const PAUSE: Duration = Duration::from_millis(300);

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// OVN_Northbound.
    Nb,
    /// OVN_Southbound.
    Sb,
}

impl Database {
    fn program(self) -> &'static str {
        match self {
            Database::Nb => "ovn-nbctl",
            Database::Sb => "ovn-sbctl",
        }
    }

    fn schema(self) -> &'static str {
        match self {
            Database::Nb => "OVN_Northbound",
            Database::Sb => "OVN_Southbound",
        }
    }

    fn socket(self) -> &'static str {
        match self {
            Database::Nb => "/run/ovn/ovnnb_db.ctl",
            Database::Sb => "/run/ovn/ovnsb_db.ctl",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Database::Nb => "ovn-nb-leader=true",
            Database::Sb => "ovn-sb-leader=true",
        }
    }

    fn address(self) -> addresses::Database {
        match self {
            Database::Nb => addresses::Database::Nb,
            Database::Sb => addresses::Database::Sb,
        }
    }
}

/// `ovn-nbctl` or `ovn-sbctl` with `arguments`.
pub fn ctl(kubectl: &Kubectl, database: Database, arguments: &[OsString]) -> Result<ExitCode> {
    if let Some(pod) = central(kubectl, database)? {
        let mut args: Vec<OsString> =
            ["exec", "-i", "-n", NAMESPACE, &pod, "-c", "ovn-central", "--", database.program()]
                .map(OsString::from)
                .to_vec();
        args.extend(arguments.iter().cloned());
        return kubectl.run(&args);
    }
    let servers = servers(kubectl, database)?;
    local(database, &servers, arguments, Stdio::inherit).map(|(exit, _)| exit)
}

/// The output of `ovn-nbctl ARGUMENTS`.
pub fn query(kubectl: &Kubectl, database: Database, arguments: &[&str]) -> Result<Vec<u8>> {
    let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
    if let Some(pod) = central(kubectl, database)? {
        let mut command = kubectl.command(&["exec", "-n", NAMESPACE, &pod, "-c", "ovn-central", "--"]);
        let output = command.arg(database.program()).args(&arguments).output().context("starting kubectl")?;
        if !output.status.success() {
            bail!("{} in pod {pod}: {}", database.program(), String::from_utf8_lossy(&output.stderr).trim());
        }
        return Ok(output.stdout);
    }
    let servers = servers(kubectl, database)?;
    let (exit, stdout) = local(database, &servers, &arguments, Stdio::piped)?;
    if exit != ExitCode::SUCCESS {
        bail!("{} failed", database.program());
    }
    Ok(stdout)
}

/// The `ovn-central` pod to run a tool in: the leader's, else any that is ready; `None` if OVN isn't run by us.
fn central(kubectl: &Kubectl, database: Database) -> Result<Option<String>> {
    let leader = format!("app=ovn-central,{}", database.label());
    for selector in [leader.as_str(), "app=ovn-central"] {
        let pods = kubectl.json(&["get", "pods", "-n", NAMESPACE, "-l", selector])?;
        if let Some(pod) = ready_pod(&pods) {
            return Ok(Some(pod.to_owned()));
        }
    }
    Ok(None)
}

/// A database's servers, as the controller has them, and the keys for a connection.
struct Servers {
    endpoints: Vec<String>,
    tls: Tls,
}

fn servers(kubectl: &Kubectl, database: Database) -> Result<Servers> {
    let deployment = kubectl.json(&["get", "deployment", "-n", NAMESPACE, CONTROLLER])?;
    let endpoints = from_deployment(&deployment, database)?;
    let tls = Tls::of(kubectl, &deployment, &endpoints)?;
    Ok(Servers { endpoints, tls })
}

/// A flag of the controller's Deployment, with its variables put in.
pub fn flag(deployment: &Value, flag: &str) -> Option<String> {
    let containers = deployment["spec"]["template"]["spec"]["containers"].as_array()?;
    containers.iter().find_map(|container| {
        let variable = |name: &str| variable(container, name);
        flag_value(words(container), flag).map(|value| expand(&value, &variable)).filter(|v| !v.is_empty())
    })
}

fn variable(container: &Value, name: &str) -> Option<String> {
    let all = container["env"].as_array()?;
    Some(all.iter().find(|v| v["name"] == name)?["value"].as_str()?.to_owned())
}

fn words(container: &Value) -> impl Iterator<Item = &str> {
    let lists = ["command", "args"].into_iter().filter_map(|key| container[key].as_array());
    lists.flatten().filter_map(Value::as_str)
}

/// The value of a flag of the controller's Deployment; `None` if it has none, or there is no Deployment.
pub fn controller_flag(kubectl: &Kubectl, flag: &str) -> Result<Option<String>> {
    let found = kubectl.try_json(&["get", "deployment", "-n", NAMESPACE, CONTROLLER])?;
    Ok(found.ok().and_then(|deployment| flag_of(&deployment, flag)))
}

fn flag_of(deployment: &Value, flag: &str) -> Option<String> {
    let containers = deployment["spec"]["template"]["spec"]["containers"].as_array()?;
    containers.iter().find_map(|container| {
        let variable = |name: &str| {
            let all = container["env"].as_array()?;
            Some(all.iter().find(|v| v["name"] == name)?["value"].as_str()?.to_owned())
        };
        let words = ["command", "args"].iter().filter_map(|key| container[key].as_array()).flatten();
        flag_value(words.filter_map(Value::as_str), flag).map(|value| expand(&value, &variable))
    })
}

fn from_deployment(deployment: &Value, database: Database) -> Result<Vec<String>> {
    let containers =
        deployment["spec"]["template"]["spec"]["containers"].as_array().map_or(&[][..], Vec::as_slice);
    let flag = match database {
        Database::Nb => "--ovn-nb-addr",
        Database::Sb => "--ovn-sb-addr",
    };
    for container in containers {
        let variable = |name: &str| variable(container, name);
        let value = flag_value(words(container), flag).map(|v| expand(&v, &variable)).unwrap_or_default();
        let found = addresses::resolve(database.address(), &value, &variable)
            .map_err(|e| anyhow!("in Deployment {NAMESPACE}/kube-ovn-controller: {e}"))?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    bail!("Deployment {NAMESPACE}/kube-ovn-controller names no {} ({flag} or OVN_DB_IPS)", database.schema())
}

/// The last `--flag=value` or `--flag value` among `words`.
fn flag_value<'a>(words: impl Iterator<Item = &'a str>, flag: &str) -> Option<String> {
    let mut found = None;
    let mut next = false;
    for word in words {
        if std::mem::take(&mut next) {
            found = Some(word.to_owned());
        } else if word == flag {
            next = true;
        } else if let Some(value) = word.strip_prefix(flag).and_then(|rest| rest.strip_prefix('=')) {
            found = Some(value.to_owned());
        }
    }
    found
}

/// Kubernetes' `$(NAME)` in a container's arguments; an unknown name stays as it is.
fn expand(text: &str, variable: &impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("$(") {
        let Some(length) = rest[start..].find(')') else { break };
        let name = &rest[start + 2..start + length];
        out.push_str(&rest[..start]);
        match variable(name) {
            Some(value) => out.push_str(&value),
            None => out.push_str(&rest[start..=start + length]),
        }
        rest = &rest[start + length + 1..];
    }
    out.push_str(rest);
    out
}

/// Runs the tool here, again while no server leads. Its output is only then handed on, so that a failed
/// attempt isn't seen.
fn local(
    database: Database,
    servers: &Servers,
    arguments: &[OsString],
    stdout: fn() -> Stdio,
) -> Result<(ExitCode, Vec<u8>)> {
    let program = database.program();
    let until = Instant::now() + PATIENCE;
    loop {
        let mut child = Command::new(program)
            .arg(format!("--db={}", servers.endpoints.join(",")))
            .args(servers.tls.options())
            .args(arguments)
            .stdout(stdout())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| {
                format!("starting {program}: install OVN's tools (Debian: ovn-common) on this machine")
            })?;
        let mut errors = child.stderr.take().context("no pipe for errors")?;
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text);
            text
        });
        let mut output = Vec::new();
        if let Some(mut pipe) = child.stdout.take() {
            pipe.read_to_end(&mut output).with_context(|| format!("reading from {program}"))?;
        }
        let status = child.wait().with_context(|| format!("waiting for {program}"))?;
        let text = reader.join().unwrap_or_default();
        if !status.success() && no_leader(&text) && Instant::now() < until {
            std::thread::sleep(PAUSE);
            continue;
        }
        eprint!("{text}");
        return Ok((code(status), output));
    }
}

/// The tool gave up before it had a server to talk to, so nothing was read or written.
fn no_leader(text: &str) -> bool {
    text.contains("database connection failed")
}

/// The servers of a database.
pub fn status(kubectl: &Kubectl, database: Database) -> Result<ExitCode> {
    if let Some(pod) = central(kubectl, database)? {
        let args = ["exec", "-n", NAMESPACE, &pod, "-c", "ovn-central", "--", "ovs-appctl", "-t"];
        let mut args: Vec<&str> = args.to_vec();
        args.extend([database.socket(), "cluster/status", database.schema()]);
        return kubectl.run(&args);
    }
    let Servers { endpoints, tls } = servers(kubectl, database)?;
    let width = endpoints.iter().map(String::len).max().unwrap_or(0).max("ENDPOINT".len());
    println!("{:width$}  {:10}  {:9}  {:6}  {:>8}", "ENDPOINT", "MODEL", "CONNECTED", "LEADER", "INDEX");
    let mut leaders = 0;
    for endpoint in &endpoints {
        match server(endpoint, database, &tls) {
            Ok(server) => {
                leaders += u32::from(server.leader);
                println!(
                    "{endpoint:width$}  {:10}  {:9}  {:6}  {:>8}",
                    server.model, server.connected, server.leader, server.index
                );
            }
            Err(error) => println!("{endpoint:width$}  {error:#}"),
        }
    }
    if leaders == 0 {
        eprintln!("no server of {} leads: nothing can be written", database.schema());
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

struct Server {
    model: String,
    connected: bool,
    leader: bool,
    index: String,
}

/// A server's own row in the database `_Server` (ovsdb-server(5)).
fn server(endpoint: &str, database: Database, tls: &Tls) -> Result<Server> {
    let query = format!(
        r#"["_Server",{{"op":"select","table":"Database","where":[["name","==","{}"]],"columns":["model","connected","leader","index"]}}]"#,
        database.schema()
    );
    let output = Command::new("ovsdb-client")
        .arg("--timeout=3")
        .args(tls.options())
        .args(["query", endpoint, &query])
        .stdin(Stdio::null())
        .output()
        .context("starting ovsdb-client: install Open vSwitch's tools (Debian: openvswitch-common) on this machine")?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        bail!("{}", text.trim().lines().last().unwrap_or("no answer").trim_start_matches("ovsdb-client: "));
    }
    parse_server(&serde_json::from_slice(&output.stdout)?)
}

fn parse_server(reply: &Value) -> Result<Server> {
    let row = &reply[0]["rows"][0];
    let model = row["model"].as_str().context("the server doesn't have this database")?;
    Ok(Server {
        model: model.to_owned(),
        connected: row["connected"].as_bool().unwrap_or(false),
        leader: row["leader"].as_bool().unwrap_or(false),
        // A set when there is none, as in a standalone database.
        index: row["index"].as_u64().map_or_else(|| "-".to_owned(), |i| i.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(container: Value) -> Value {
        json!({ "spec": { "template": { "spec": { "containers": [container] } } } })
    }

    #[test]
    fn endpoints_from_arguments() {
        let d = deployment(
            json!({ "args": ["--x", "--ovn-nb-addr=tcp:1.1.1.1:6641,tcp:1.1.1.2:6641", "--ovn-sb-addr", "tcp:1.1.1.1:6642"] }),
        );
        assert_eq!(from_deployment(&d, Database::Nb).unwrap(), ["tcp:1.1.1.1:6641", "tcp:1.1.1.2:6641"]);
        assert_eq!(from_deployment(&d, Database::Sb).unwrap(), ["tcp:1.1.1.1:6642"]);
    }

    #[test]
    fn endpoints_from_variables() {
        let d = deployment(json!({
            "command": ["c"], "args": ["--ovn-nb-addr=$(NB)"],
            "env": [{ "name": "NB", "value": "tcp:[1.1.1.1,1.1.1.2]:6641" }, { "name": "OVN_DB_IPS", "value": "2.2.2.2" }]
        }));
        assert_eq!(from_deployment(&d, Database::Nb).unwrap(), ["tcp:1.1.1.1:6641", "tcp:1.1.1.2:6641"]);
        assert_eq!(from_deployment(&d, Database::Sb).unwrap(), ["tcp:2.2.2.2:6642"]);
    }

    #[test]
    fn a_deployment_without_one_is_an_error_that_names_it() {
        let error = from_deployment(&deployment(json!({})), Database::Nb).unwrap_err().to_string();
        assert!(error.contains("kube-ovn-controller") && error.contains("--ovn-nb-addr"), "{error}");
    }

    #[test]
    fn a_flag_of_the_controller() {
        let d =
            deployment(json!({ "args": ["--cluster-id=$(ID)"], "env": [{ "name": "ID", "value": "b" }] }));
        assert_eq!(flag_of(&d, "--cluster-id").as_deref(), Some("b"));
        assert_eq!(flag_of(&d, "--other"), None);
    }

    #[test]
    fn variables_in_arguments() {
        let var = |name: &str| (name == "A").then(|| "1".to_owned());
        assert_eq!(expand("x$(A)y$(A)$(B)$(", &var), "x1y1$(B)$(");
    }

    #[test]
    fn what_a_server_says_of_itself() {
        let reply =
            json!([{ "rows": [{ "model": "clustered", "connected": true, "leader": true, "index": 19 }] }]);
        let server = parse_server(&reply).unwrap();
        assert!(server.leader && server.connected);
        assert_eq!((server.model.as_str(), server.index.as_str()), ("clustered", "19"));
        assert!(parse_server(&json!([{ "rows": [] }])).is_err());
    }
}
