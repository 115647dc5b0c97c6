//! Rendering the chart, and finding a template's part in what was rendered.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The release of Kubernetes that templates see: rendering asks no API server.
const KUBERNETES: &str = "1.34.0";

/// What Helm says to values: manifests, or why it refuses.
#[derive(Debug, PartialEq, Eq)]
pub enum Rendered {
    /// The manifests, each with a comment that names its template.
    Manifests(String),
    /// Helm's message.
    Refused(String),
}

/// Renders the chart with a file of values.
///
/// # Errors
/// Helm that can't be run.
pub fn render(helm: &Path, values: &Path) -> Result<Rendered> {
    let out = Command::new(helm)
        .args(["template", "tombolo"])
        .arg(crate::chart())
        .args(["--namespace", "kube-system", "--kube-version", KUBERNETES, "--values"])
        .arg(values)
        .output()
        .with_context(|| format!("running {}", helm.display()))?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).context("helm's output is no text");
    Ok(match out.status.success() {
        true => Rendered::Manifests(text(out.stdout)?),
        false => Rendered::Refused(reason(&text(out.stderr)?)),
    })
}

/// Helm's message without where in the templates it was made: line numbers are no part of what a user reads.
fn reason(stderr: &str) -> String {
    let said: Vec<&str> = stderr
        .lines()
        .filter(|line| !line.starts_with("Error: execution error at") && !line.starts_with("Use --debug"))
        .filter(|line| !line.trim().is_empty())
        .collect();
    said.join("\n") + "\n"
}

/// The documents of one template.
///
/// # Errors
/// Where there are none.
pub fn part(manifests: &str, template: &str) -> Result<String> {
    let source = format!("# Source: tombolo/templates/{template}\n");
    let documents = manifests.split("---\n").filter(|document| document.starts_with(&source));
    let text: String = documents.map(|document| format!("---\n{document}")).collect();
    if text.is_empty() {
        bail!("no manifest is from the template {template}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_has_several_documents() {
        let all = "---\n# Source: tombolo/templates/a.yaml\nx: 1\n---\n# Source: tombolo/templates/b.yaml\ny: 2\n---\n\
                   # Source: tombolo/templates/a.yaml\nz: 3\n";
        let found = part(all, "a.yaml").unwrap();
        assert!(found.contains("x: 1") && found.contains("z: 3") && !found.contains("y: 2"));
        assert!(part(all, "c.yaml").is_err());
        let stderr = "Error: execution error at (tombolo/templates/agent.yaml:7:9): \n\nno database\n\nUse --debug flag to render out invalid YAML\n";
        assert_eq!(reason(stderr), "no database\n");
    }
}
