//! `cargo xtask chart`: lints the chart, renders its cases (`charts/cases`) with the real Helm, and has the real promtool check
//! its alerts and run their tests (`charts/alerts.test.yaml`).

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tombolo_sandbox::progress::Phase;
use tombolo_sandbox::{go, paths};

/// Fails with Helm's findings and the cases that differ; with `write`, these are written.
pub fn run(write: bool) -> Result<()> {
    let helm = Phase::run("helm", paths::logs().join("helm.log"), go::helm)?;
    lint(&helm)?;
    let count = tombolo_chart::cases::run(&helm, write)?;
    let prometheus = Phase::run("Prometheus", paths::logs().join("prometheus-build.log"), go::prometheus)?;
    alerts(&prometheus.promtool)?;
    println!("the chart is sound, and so are its {count} cases and its alerts");
    Ok(())
}

/// Prometheus' own look at the alerts, and their tests.
fn alerts(promtool: &Path) -> Result<()> {
    let alerts = tombolo_chart::chart().join("files/alerts.yaml");
    for (what, path) in [("check", alerts), ("test", tombolo_chart::metrics::tests())] {
        let mut command = Command::new(promtool);
        // Lints beyond the syntax, too: a rule that is there twice.
        command.args([what, "rules"]).args((what == "check").then_some("--lint-fatal")).arg(&path);
        let out = command.output().context("running promtool")?;
        let said = [out.stdout, out.stderr].concat();
        ensure!(out.status.success(), "promtool {what} rules: {}", String::from_utf8_lossy(&said).trim());
    }
    Ok(())
}

/// With the least values that the chart installs with.
fn lint(helm: &Path) -> Result<()> {
    let out = Command::new(helm)
        .args([
            "lint",
            "--strict",
            "--quiet",
            "--kube-version",
            "1.34.0",
            "--set",
            "ovn.nb={10.0.0.1},ovn.sb={10.0.0.1}",
        ])
        .arg(tombolo_chart::chart())
        .output()
        .context("running helm lint")?;
    let said = [out.stdout, out.stderr].concat();
    ensure!(out.status.success(), "helm lint: {}", String::from_utf8_lossy(&said).trim());
    Ok(())
}
