//! `ko perf`: latency and bandwidth between two nodes, in Kube-OVN's tables: of pods, of the hosts themselves, through a Service.
//!
//! Pods with the agent's image, which each node has, measure by this program's own `measure` (see [`measure`]); they are made with the
//! user's rights, and are removed when the command ends, also after Ctrl-C.

pub mod measure;
mod objects;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use signal_hook::consts::SIGINT;
use tombolo_names::workloads::AGENT;

use crate::kubectl::Kubectl;
use crate::process::capture;
use measure::Figures;
use objects::{LABEL, PROGRAM, Plan, Role};

/// Sizes of messages, as Kube-OVN has them.
const SIZES: [(&str, usize); 5] = [("64", 64), ("128", 128), ("512", 512), ("1k", 1_024), ("4k", 4_096)];
/// For pods to start.
const STARTED: Duration = Duration::from_secs(120);
/// For the API server's answers, and for what a measurement takes beside the time that it is told.
const ANSWERED: Duration = Duration::from_secs(60);
/// Measurements of one size.
const PARTS: u32 = 4;

/// Measures and prints; `image` is another image with this program, `seconds` the time of each measurement.
pub fn command(kubectl: &Kubectl, image: Option<&str>, seconds: u32) -> Result<ExitCode> {
    let agents = kubectl.json(&["get", "daemonset", "-n", kubectl.namespace(), AGENT])?;
    let nodes = kubectl.list(&["get", "nodes"])?;
    let plan =
        Plan::of(&nodes, &agents, image, &format!("{:x}-{:x}", crate::times::now(), std::process::id()))?;
    println!("server on node {}, client on node {}; {seconds} s for each figure", plan.server, plan.client);
    if plan.server == plan.client {
        println!("there is no second node that is ready: nothing crosses the network between hosts");
    }
    let stopped = Arc::new(AtomicBool::new(false));
    // From here on an interrupt ends what runs in a pod, and this process goes on to remove all of them.
    signal_hook::flag::register(SIGINT, Arc::clone(&stopped)).context("preparing for interrupts")?;
    let made = Made { kubectl, run: plan.run.clone() };
    let input = plan.objects(kubectl.namespace()).to_string();
    let mut create = kubectl.command(&["create", "-n", kubectl.namespace(), "-f", "-"]);
    capture(&mut create, input.as_bytes(), ANSWERED, &kubectl.cannot_start())?
        .success("making pods to measure with")?;
    made.wait()?;
    let address = |role: Role| made.address(&plan.name(role));
    let pod = address(Role::Server)?;
    let host = address(Role::HostServer)?;
    let service = made.service(&plan.name(Role::Server))?;
    for (title, from, to) in [
        ("Pod Network", Role::Client, pod),
        ("Host Network", Role::HostClient, host),
        ("Service Network", Role::Client, service),
    ] {
        println!("\n{title}: {to}");
        println!(
            "{}",
            row(["Size", "TCP Latency", "TCP Bandwidth", "UDP Latency", "UDP Lost Rate", "UDP Bandwidth"]
                .map(str::to_owned))
        );
        for (word, size) in SIZES {
            if stopped.load(Ordering::Relaxed) {
                bail!("stopped");
            }
            let found = made.measure(&plan.name(from), &to, size, seconds)?;
            println!("{}", line(word, &found));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What was made, which goes with this.
struct Made<'a> {
    kubectl: &'a Kubectl,
    run: String,
}

impl Made<'_> {
    fn selector(&self) -> String {
        format!("{LABEL}={}", self.run)
    }

    fn wait(&self) -> Result<()> {
        let (selector, timeout) = (self.selector(), format!("--timeout={}s", STARTED.as_secs()));
        let words = [
            "wait",
            "-n",
            self.kubectl.namespace(),
            "--for=condition=Ready",
            &timeout,
            "pod",
            "-l",
            &selector,
        ];
        let mut wait = self.kubectl.command(&words);
        capture(&mut wait, b"", STARTED + ANSWERED, &self.kubectl.cannot_start())?
            .success(
                "waiting for the pods to start (kubectl describe them; does the image have this program?)",
            )
            .map(drop)
    }

    fn address(&self, pod: &str) -> Result<String> {
        let pod = self.kubectl.json(&["get", "pod", "-n", self.kubectl.namespace(), pod])?;
        pod["status"]["podIP"].as_str().map(str::to_owned).context("a pod that runs has no address")
    }

    fn service(&self, name: &str) -> Result<String> {
        let service = self.kubectl.json(&["get", "service", "-n", self.kubectl.namespace(), name])?;
        service["spec"]["clusterIP"].as_str().map(str::to_owned).context("the Service has no address")
    }

    fn measure(&self, pod: &str, to: &str, size: usize, seconds: u32) -> Result<Figures> {
        let (size, time) = (size.to_string(), seconds.to_string());
        let words =
            ["exec", "-n", self.kubectl.namespace(), pod, "--", PROGRAM, "measure", "ask", to, &size, &time];
        let deadline = ANSWERED + Duration::from_secs(u64::from(seconds * PARTS));
        let said = capture(&mut self.kubectl.command(&words), b"", deadline, &self.kubectl.cannot_start())?
            .success(&format!("measuring from pod {pod} to {to}, {size} bytes"))?;
        serde_json::from_slice(&said).context("reading what was measured")
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        let (namespace, selector) = (self.kubectl.namespace(), self.selector());
        let words = ["delete", "pods,services", "-n", namespace, "--now", "--wait=false", "-l", &selector];
        let mut delete = self.kubectl.command(&words);
        let gone = capture(&mut delete, b"", ANSWERED, &self.kubectl.cannot_start())
            .and_then(|got| got.success("kubectl delete"));
        if let Err(error) = gone {
            eprintln!(
                "pods and a Service stay: kubectl delete pods,services -n {namespace} -l {selector} ({error:#})"
            );
        }
    }
}

/// The end that the command line asks for: in a pod.
pub fn end(what: &What) -> Result<ExitCode> {
    match what {
        What::Serve { address } => measure::serve(*address)?,
        What::Ask { address, size, seconds } => {
            let found = measure::ask(*address, *size, Duration::from_secs(u64::from(*seconds)))?;
            println!("{}", serde_json::to_string(&found).context("writing what was measured")?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What a pod does.
#[derive(clap::Subcommand, Debug, Clone)]
pub enum What {
    /// Answer clients until the end
    Serve {
        /// On which address
        address: std::net::IpAddr,
    },
    /// Ask a server, and print figures as JSON
    Ask {
        /// Its address
        address: std::net::IpAddr,
        /// Of messages, in bytes
        size: usize,
        /// For each figure
        seconds: u32,
    },
}

fn line(size: &str, found: &Figures) -> String {
    let latency = |us: f64| if us < 1e3 { format!("{us:.1} us") } else { format!("{:.2} ms", us / 1e3) };
    row([
        size.to_owned(),
        latency(found.tcp_latency),
        bandwidth(found.tcp_bandwidth),
        found.udp_latency.map_or_else(|| "-".to_owned(), latency),
        format!("({:.2}%)", found.udp_lost * 100.0),
        bandwidth(found.udp_bandwidth),
    ])
}

/// As iperf3 writes it.
fn bandwidth(bits: f64) -> String {
    let (value, unit) = match bits {
        bits if bits >= 1e9 => (bits / 1e9, "G"),
        bits if bits >= 1e6 => (bits / 1e6, "M"),
        bits => (bits / 1e3, "K"),
    };
    format!("{value:.2} {unit}bits/sec")
}

/// Kube-OVN's columns.
fn row(cells: [String; 6]) -> String {
    cells.map(|cell| format!("{cell:<16}")).concat().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_kube_ovns_table() {
        let found = Figures {
            tcp_latency: 12.34,
            tcp_bandwidth: 9.414e9,
            udp_latency: Some(1_500.0),
            udp_lost: 0.1234,
            udp_bandwidth: 512e6,
        };
        assert_eq!(
            line("1k", &found),
            "1k              12.3 us         9.41 Gbits/sec  1.50 ms         (12.34%)        512.00 Mbits/sec"
        );
        let none = Figures { udp_latency: None, udp_bandwidth: 0.0, udp_lost: 1.0, ..found };
        assert!(
            line("64", &none).ends_with("-               (100.00%)       0.00 Kbits/sec"),
            "{}",
            line("64", &none)
        );
        // What a pod prints is what is read.
        let text = serde_json::to_string(&none).unwrap();
        assert_eq!(serde_json::from_str::<Figures>(&text).unwrap(), none);
    }
}
