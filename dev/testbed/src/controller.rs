//! The controller as a process.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::{Process, free_port};

/// How to start `kube-ovn-controller` outside of a cluster.
#[derive(Clone, Debug)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// The controller's identity in the API server.
    pub kubeconfig: PathBuf,
    /// `--ovn-nb-addr`.
    pub nb: String,
    /// Where its log goes, as `NAME.log`.
    pub logs: PathBuf,
}

/// A running controller. Dropping it kills it.
#[derive(Debug)]
pub struct Controller {
    process: Option<Process>,
    name: String,
    log: PathBuf,
    port: u16,
}

impl Controller {
    /// Starts it under the name `name`, with short election times unless `args` say otherwise.
    pub fn start(program: &Program, name: &str, args: &[&str]) -> Result<Self> {
        let port = free_port()?;
        let all: Vec<String> = [
            format!("--kubeconfig={}", program.kubeconfig.display()),
            format!("--ovn-nb-addr={}", program.nb),
            format!("--pprof-port={port}"),
            "--leader-elect-lease-duration=4s".to_owned(),
            "--leader-elect-renew-deadline=3s".to_owned(),
            "--leader-elect-retry-period=1s".to_owned(),
        ]
        .into_iter()
        .chain(args.iter().map(|a| (*a).to_owned()))
        .collect();
        let log = program.logs.join(format!("{name}.log"));
        let process = Process::start(&program.path, &all, &[("POD_NAME", name), ("RUST_LOG", "")], &log)?;
        Ok(Self { process: Some(process), name: name.to_owned(), log, port })
    }

    /// The name it was started under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id; `None` when it was ended.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// What it, and those of its name before it, have logged.
    pub fn log(&self) -> String {
        read(&self.log)
    }

    /// Asks it to end and waits.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.process.take().context("it has ended already")?.stop(Duration::from_secs(10))
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) -> Result<()> {
        self.process.as_ref().context("it has ended")?.signal(name)
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Whether it has neither been ended nor ended by itself.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    /// The status code and the answer, head included, of `GET path`.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let code = text.get(9..12).and_then(|c| c.parse().ok()).context("no status line")?;
        Ok((code, text))
    }

    /// The sum of the metrics whose line begins with `prefix`; 0 when there is none.
    pub fn metric(&self, prefix: &str) -> Result<f64> {
        let text = self.get("/metrics")?.1;
        Ok(crate::sum_of_metrics(&text, |line| line.starts_with(prefix)))
    }
}

fn read(log: &Path) -> String {
    std::fs::read_to_string(log).unwrap_or_default()
}
