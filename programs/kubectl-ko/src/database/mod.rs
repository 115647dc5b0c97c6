//! The NB and SB databases: where they are, and OVN's own tools on them.
//!
//! With our own OVN the tools run in an `ovn-central` pod. On an OVN that was there before, there is none: the
//! tools of this machine are used, with the endpoints from the controller's Deployment.

pub mod deployment;
pub mod servers;

use std::ffi::OsString;
use std::io::Read as _;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;
use tombolo_names::workloads::CENTRAL;
use tombolo_ovn::addresses;

use crate::kubectl::{Kubectl, code, ready_pod};
use crate::process::{Captured, capture};
use crate::tls::Tls;
pub use deployment::flag;

/// The controller's Deployment.
pub use tombolo_names::workloads::CONTROLLER;
/// How long to wait for the databases to have a leader.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two attempts; an election of OVN's takes about a second.
const PAUSE: Duration = Duration::from_millis(300);
/// For a tool whose output is read here: a large database is dumped within it.
const DEADLINE: Duration = Duration::from_secs(180);

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// OVN_Northbound.
    Nb,
    /// OVN_Southbound.
    Sb,
}

impl Database {
    /// OVN's tool for it.
    pub fn program(self) -> &'static str {
        match self {
            Database::Nb => "ovn-nbctl",
            Database::Sb => "ovn-sbctl",
        }
    }

    /// `nb` or `sb`, as in `kubectl ko nb`.
    pub fn word(self) -> &'static str {
        match self {
            Database::Nb => "nb",
            Database::Sb => "sb",
        }
    }

    /// Its name in OVSDB.
    pub fn schema(self) -> &'static str {
        match self {
            Database::Nb => "OVN_Northbound",
            Database::Sb => "OVN_Southbound",
        }
    }

    /// The socket of its server's commands, in the `ovn-central` pod or on its host.
    pub fn control(self) -> &'static str {
        match self {
            Database::Nb => "/run/ovn/ovnnb_db.ctl",
            Database::Sb => "/run/ovn/ovnsb_db.ctl",
        }
    }

    fn socket(self) -> &'static str {
        match self {
            Database::Nb => "unix:/run/ovn/ovnnb_db.sock",
            Database::Sb => "unix:/run/ovn/ovnsb_db.sock",
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

/// A database's servers, as the controller has them, and the keys for a connection.
#[derive(Debug)]
pub struct Servers {
    /// `tcp:IP:PORT`, `ssl:IP:PORT`.
    pub endpoints: Vec<String>,
    /// For those that speak TLS.
    pub tls: Tls,
}

/// Where OVN's tools run.
#[derive(Debug)]
pub enum Place {
    /// In this pod.
    Pod(String),
    /// On this machine, with these endpoints.
    Here(Servers),
}

impl Place {
    /// Where they run for `database`.
    pub fn of(kubectl: &Kubectl, database: Database) -> Result<Self> {
        match central(kubectl, database)? {
            Some(pod) => Ok(Place::Pod(pod)),
            None => servers(kubectl, database).map(Place::Here),
        }
    }

    /// A tool that takes its server by `--db`: `ovn-nbctl`, `ovn-sbctl`, `ovn-trace`.
    pub fn by_option(&self, kubectl: &Kubectl, program: &str, arguments: &[OsString]) -> Command {
        match self {
            Place::Pod(pod) => in_pod(kubectl, pod, program, arguments),
            Place::Here(servers) => {
                let mut command = Command::new(program);
                command.arg(format!("--db={}", servers.endpoints.join(",")));
                command.args(servers.tls.options()).args(arguments);
                command
            }
        }
    }

    /// `ovsdb-client DOES SERVER …`.
    pub fn client(&self, kubectl: &Kubectl, database: Database, does: &str, rest: &[&str]) -> Command {
        let words = |server: &str| -> Vec<OsString> {
            [does, server].iter().chain(rest).map(OsString::from).collect()
        };
        match self {
            Place::Pod(pod) => {
                let arguments = [vec!["--timeout=120".into()], words(database.socket())].concat();
                in_pod(kubectl, pod, "ovsdb-client", &arguments)
            }
            Place::Here(servers) => {
                let mut command = Command::new("ovsdb-client");
                command.arg("--timeout=120").args(servers.tls.options());
                command.args(words(&servers.endpoints.join(",")));
                command
            }
        }
    }
}

fn in_pod(kubectl: &Kubectl, pod: &str, program: &str, arguments: &[OsString]) -> Command {
    let mut command =
        kubectl.command(&["exec", "-i", "-n", kubectl.namespace(), pod, "-c", CENTRAL, "--", program]);
    command.args(arguments);
    command
}

/// What to do where a tool can't be started.
pub fn cannot_start(program: &str) -> String {
    let package = if program.starts_with("ovn-") { "ovn-common" } else { "openvswitch-common" };
    format!("starting {program}: install OVN's tools (Debian: {package}) on this machine")
}

/// `ovn-nbctl` or `ovn-sbctl` with `arguments`.
pub fn ctl(kubectl: &Kubectl, database: Database, arguments: &[OsString]) -> Result<ExitCode> {
    let place = Place::of(kubectl, database)?;
    let mut command = place.by_option(kubectl, database.program(), arguments);
    if let Place::Pod(_) = place {
        return command.status().map(code).with_context(|| kubectl.cannot_start());
    }
    patiently(|| handed_on(&mut command, database.program()), |(status, text)| (*status, text.as_str())).map(
        |(status, text)| {
            eprint!("{text}");
            code(status)
        },
    )
}

/// The output of `ovn-nbctl ARGUMENTS`.
pub fn query(kubectl: &Kubectl, database: Database, arguments: &[&str]) -> Result<Vec<u8>> {
    let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
    let place = Place::of(kubectl, database)?;
    tool(kubectl, &place, database.program(), &arguments)?.success(&format!(
        "{} {}",
        database.program(),
        arguments.join(" ".as_ref()).display()
    ))
}

/// Runs a tool that takes its server by `--db`, and hands its output over.
pub fn tool(kubectl: &Kubectl, place: &Place, program: &str, arguments: &[OsString]) -> Result<Captured> {
    let mut command = place.by_option(kubectl, program, arguments);
    let start = cannot_start(program);
    patiently(|| capture(&mut command, b"", DEADLINE, &start), |got| (got.status, got.stderr.as_str()))
}

/// The `ovn-central` pod to run a tool in: the leader's, else any that is ready; `None` if OVN isn't run by us.
fn central(kubectl: &Kubectl, database: Database) -> Result<Option<String>> {
    let any = format!("app={CENTRAL}");
    let leader = format!("{any},{}", database.label());
    for selector in [leader, any] {
        let pods = kubectl.json(&["get", "pods", "-n", kubectl.namespace(), "-l", &selector])?;
        if let Some(pod) = ready_pod(&pods) {
            return Ok(Some(pod.to_owned()));
        }
    }
    Ok(None)
}

/// The servers that the controller's Deployment names.
pub fn servers(kubectl: &Kubectl, database: Database) -> Result<Servers> {
    let deployment = controller(kubectl)?;
    let endpoints = deployment::endpoints(&deployment, database)?;
    let tls = Tls::of(kubectl, &deployment, &endpoints)?;
    Ok(Servers { endpoints, tls })
}

/// The controller's Deployment.
pub fn controller(kubectl: &Kubectl) -> Result<Value> {
    kubectl.json(&["get", "deployment", "-n", kubectl.namespace(), CONTROLLER])
}

/// The value of a flag of the controller's Deployment; `None` if it has none, or there is no Deployment.
pub fn controller_flag(kubectl: &Kubectl, name: &str) -> Result<Option<String>> {
    let found = kubectl.try_json(&["get", "deployment", "-n", kubectl.namespace(), CONTROLLER])?;
    Ok(found.ok().and_then(|deployment| flag(&deployment, name)))
}

/// Runs a tool again while no server leads: such an attempt has read and written nothing, and its words aren't shown.
fn patiently<T>(
    mut attempt: impl FnMut() -> Result<T>,
    ended: impl Fn(&T) -> (ExitStatus, &str),
) -> Result<T> {
    let until = Instant::now() + PATIENCE;
    loop {
        let got = attempt()?;
        let (status, errors) = ended(&got);
        if status.success() || !no_leader(errors) || Instant::now() >= until {
            return Ok(got);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Runs a tool with this terminal; what it complains of is kept.
fn handed_on(command: &mut Command, program: &str) -> Result<(ExitStatus, String)> {
    let mut child = command.stderr(Stdio::piped()).spawn().with_context(|| cannot_start(program))?;
    let mut text = String::new();
    if let Some(mut errors) = child.stderr.take() {
        let mut bytes = Vec::new();
        errors.read_to_end(&mut bytes).with_context(|| format!("reading from {program}"))?;
        text = String::from_utf8_lossy(&bytes).into_owned();
    }
    let status = child.wait().with_context(|| format!("waiting for {program}"))?;
    Ok((status, text))
}

/// The tool gave up before it had a server to talk to, so nothing was read or written.
fn no_leader(text: &str) -> bool {
    text.contains("database connection failed")
}
