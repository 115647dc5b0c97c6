//! A Prometheus on the sandbox: it finds our programs by their Services, as Prometheus' operator does by the chart's
//! ServiceMonitors, and judges the chart's alerts.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::hosts::Host;
use crate::kubernetes::control_plane;
use crate::progress::Phase;
use crate::{exec, go, paths, programs};

/// The daemon's name on its host.
const NAME: &str = "prometheus";
/// Where it answers, on its host only.
const ADDRESS: &str = "127.0.0.1:9090";
/// How often it asks: often, so that a test needn't wait.
const INTERVAL: &str = "5s";

/// A running one.
#[derive(Debug)]
pub struct Prometheus {
    host: Host,
}

/// A target, as Prometheus sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The Service's name.
    pub job: String,
    /// Where it asks.
    pub url: String,
    /// `up` or `down`; `unknown` before it has asked.
    pub health: String,
    /// Why it is down.
    pub error: String,
}

/// An alert's rule, as Prometheus sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// `ok`, or `err`; `unknown` before it was evaluated.
    pub health: String,
    /// Why it can't be evaluated.
    pub error: String,
    /// `inactive`, `pending` or `firing`.
    pub state: String,
    /// The labels of what is pending or fires.
    pub labels: Vec<String>,
}

/// Starts it, anew if it runs already.
///
/// # Errors
/// When it can't be built, or doesn't answer.
pub fn start(phase: &Phase) -> Result<Prometheus> {
    let program = go::prometheus(phase)?.server;
    let this = Prometheus { host: control_plane::host() };
    this.stop()?;
    let dir = this.host.dir().join(NAME);
    // What an earlier one saw is of no use, and its alerts would go on.
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    let config = dir.join("prometheus.json");
    fs::write(&config, configuration().to_string())
        .with_context(|| format!("writing {}", config.display()))?;
    let args = [
        // YAML has JSON in it.
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", dir.join("data").display()),
        format!("--web.listen-address={ADDRESS}"),
    ];
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    phase.doing("starting Prometheus");
    this.host.daemon(NAME, &program.display().to_string(), &args, &[])?;
    exec::wait_ok("Prometheus to be ready", exec::SHORT, || {
        this.host.exec(["curl", "-sf", "-m", "5", &format!("http://{ADDRESS}/-/ready")])
    })
    .with_context(|| format!("see {}", this.host.daemon_log(NAME).display()))?;
    Ok(this)
}

/// Each Service of ours with a port `metrics` is a job, by the Service's name.
fn configuration() -> Value {
    let kubeconfig: PathBuf = paths::state().join("kubernetes/pki/admin.kubeconfig");
    let keep = |label: &str, what: &str| json!({ "source_labels": [label], "regex": what, "action": "keep" });
    json!({
        "global": { "scrape_interval": INTERVAL, "evaluation_interval": INTERVAL },
        "rule_files": [tombolo_chart::chart().join("files/alerts.yaml")],
        "scrape_configs": [{
            "job_name": "tombolo",
            "kubernetes_sd_configs": [{
                "role": "endpointslice",
                "kubeconfig_file": kubeconfig,
                "namespaces": { "names": [programs::NAMESPACE] },
            }],
            "relabel_configs": [
                keep("__meta_kubernetes_service_label_app_kubernetes_io_part_of", "tombolo"),
                keep("__meta_kubernetes_endpointslice_port_name", "metrics"),
                { "source_labels": ["__meta_kubernetes_service_name"], "target_label": "job" },
            ],
        }],
    })
}

impl Prometheus {
    fn ask(&self, path: &str) -> Result<Value> {
        let url = format!("http://{ADDRESS}/api/v1/{path}");
        let text = self.host.exec(["curl", "-sS", "-m", "10", &url])?;
        let answer: Value = serde_json::from_str(&text).with_context(|| format!("reading {url}: {text}"))?;
        ensure!(answer["status"] == "success", "{url}: {answer}");
        Ok(answer["data"].clone())
    }

    /// All targets.
    ///
    /// # Errors
    /// When it doesn't answer.
    pub fn targets(&self) -> Result<Vec<Target>> {
        let data = self.ask("targets?state=active")?;
        let mut targets: Vec<Target> = data["activeTargets"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|target| Target {
                job: word(&target["labels"]["job"]),
                url: word(&target["scrapeUrl"]),
                health: word(&target["health"]),
                error: word(&target["lastError"]),
            })
            .collect();
        targets.sort();
        Ok(targets)
    }

    /// All rules, by the alerts' names.
    ///
    /// # Errors
    /// When it doesn't answer.
    pub fn rules(&self) -> Result<BTreeMap<String, Rule>> {
        let data = self.ask("rules?type=alert")?;
        let groups = data["groups"].as_array().cloned().unwrap_or_default();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default());
        let read = rules.map(|rule| {
            let alerts = rule["alerts"].as_array().cloned().unwrap_or_default();
            let labels = alerts.iter().map(|alert| alert["labels"].to_string()).collect();
            let read = Rule {
                health: word(&rule["health"]),
                error: word(&rule["lastError"]),
                state: word(&rule["state"]),
                labels,
            };
            (word(&rule["name"]), read)
        });
        Ok(read.collect())
    }

    /// Stops it. One that doesn't run is stopped already.
    ///
    /// # Errors
    /// When it doesn't end.
    pub fn stop(&self) -> Result<()> {
        match self.host.daemon_pid(NAME) {
            Some(_) => self.host.stop_daemon(NAME),
            None => Ok(()),
        }
    }
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_our_services_and_the_alerts() {
        let text = configuration().to_string();
        assert!(
            text.contains("files/alerts.yaml")
                && text.contains("\"tombolo\"")
                && text.contains("kube-system")
        );
    }
}
