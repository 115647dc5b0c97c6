//! A bed for the controller: API server, NB, and the program as a process.
#![allow(dead_code)] // each test file uses its part

use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;
use tombolo_tests_api::{ApiServer, Nb, Process, eventually, free_port};

/// Both servers, with our kinds installed.
pub struct Bed {
    pub api: ApiServer,
    pub nb: Nb,
    pub dir: TempDir,
}

impl Bed {
    /// `None` if a program is missing on this machine.
    pub fn start() -> Result<Option<Self>> {
        let Some(bed) = Self::start_without_crds()? else { return Ok(None) };
        bed.api.apply_crds()?;
        Ok(Some(bed))
    }

    pub fn start_without_crds() -> Result<Option<Self>> {
        let (Some(api), Some(nb)) = (ApiServer::start()?, Nb::start_clustered()?) else { return Ok(None) };
        Ok(Some(Self { api, nb, dir: TempDir::new()? }))
    }

    /// Waits for the default Vpc with its two Subnets. (An API server lets the first object of a new kind wait
    /// for two seconds.)
    pub fn defaults(&self) -> Result<()> {
        eventually("the default Vpc and its Subnets", Duration::from_secs(20), || {
            let vpc = self.api.json(&["get", "vpc", "ovn-cluster"])?;
            Ok((vpc["status"]["subnets"] == serde_json::json!(["join", "ovn-default"])).then_some(()))
        })
    }

    /// A node as kubelet registers it.
    pub fn node(&self, name: &str, address: &str) -> Result<()> {
        let node = serde_json::json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name } });
        self.api.apply(&node.to_string())?;
        let status =
            serde_json::json!({ "status": { "addresses": [{ "type": "InternalIP", "address": address }] } });
        self.api.kubectl(&[
            "patch",
            "node",
            name,
            "--subresource=status",
            "--type=merge",
            "-p",
            &status.to_string(),
        ])?;
        Ok(())
    }

    /// A pod as the scheduler leaves it.
    pub fn pod(&self, namespace: &str, name: &str, node: &str) -> Result<()> {
        self.pod_with(namespace, name, node, &serde_json::json!({}))
    }

    /// The same, with annotations.
    pub fn pod_with(
        &self,
        namespace: &str,
        name: &str,
        node: &str,
        annotations: &serde_json::Value,
    ) -> Result<()> {
        let pod = serde_json::json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "namespace": namespace, "annotations": annotations },
            "spec": { "nodeName": node, "containers": [{ "name": "c", "image": "none" }] },
        });
        self.api.apply(&pod.to_string())
    }

    /// Waits until a pod is told that its network is ready; its address.
    pub fn routed(&self, namespace: &str, name: &str) -> Result<String> {
        eventually(&format!("pod {namespace}/{name} to be routed"), Duration::from_secs(20), || {
            let pod = self.api.json(&["get", "pod", "-n", namespace, name])?;
            let annotations = &pod["metadata"]["annotations"];
            let routed = annotations["ovn.kubernetes.io/routed"] == "true";
            let address = annotations["ovn.kubernetes.io/ip_address"].as_str();
            Ok(address.filter(|_| routed).map(str::to_owned))
        })
    }
}

/// The program.
pub struct Controller {
    process: Option<Process>,
    port: u16,
}

impl Controller {
    /// Starts it under the name `name`, with short election times unless `args` say otherwise.
    pub fn start(bed: &Bed, name: &str, args: &[&str]) -> Result<Self> {
        let port = free_port()?;
        let all: Vec<String> = [
            format!("--kubeconfig={}", bed.api.kubeconfig().display()),
            format!("--ovn-nb-addr={}", bed.nb.address()),
            format!("--pprof-port={port}"),
            "--leader-elect-lease-duration=4s".to_owned(),
            "--leader-elect-renew-deadline=3s".to_owned(),
            "--leader-elect-retry-period=1s".to_owned(),
        ]
        .into_iter()
        .chain(args.iter().map(|a| (*a).to_owned()))
        .collect();
        let program = Path::new(env!("CARGO_BIN_EXE_tombolo-controller"));
        let log = bed.dir.path().join(format!("{name}.log"));
        let process = Process::start(program, &all, &[("POD_NAME", name), ("RUST_LOG", "")], &log)?;
        Ok(Self { process: Some(process), port })
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::output).unwrap_or_default()
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

    /// The status code and body of `GET path`.
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
}
