//! The user's `kubectl`: found in `KUBECTL` or on PATH, with the user's own configuration.

use std::ffi::{OsStr, OsString};
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Where the components run.
pub const NAMESPACE: &str = "kube-system";

/// How to call `kubectl`.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: OsString,
}

impl Kubectl {
    /// `$KUBECTL` if it is set, else `kubectl` from PATH.
    pub fn from_env() -> Self {
        let program =
            std::env::var_os("KUBECTL").filter(|v| !v.is_empty()).unwrap_or_else(|| "kubectl".into());
        Self { program }
    }

    /// This program.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self { program: program.into() }
    }

    /// A call to be completed by the caller.
    pub fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args);
        command
    }

    /// Runs `kubectl` with our own terminal and hands its exit code on.
    pub fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<ExitCode> {
        let status = self.command(args).status().with_context(|| self.cannot_start())?;
        Ok(code(status))
    }

    /// The JSON that `kubectl ARGS -o json` prints.
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        match self.try_json(args)? {
            Ok(value) => Ok(value),
            Err(error) => bail!("kubectl {}: {error}", args.join(" ")),
        }
    }

    /// Like [`Self::json`]; the inner error is `kubectl`'s own.
    pub fn try_json(&self, args: &[&str]) -> Result<Result<Value, String>> {
        let output = self.command(args).args(["-o", "json"]).output().with_context(|| self.cannot_start())?;
        if !output.status.success() {
            return Ok(Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        let value = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("reading the output of kubectl {}", args.join(" ")))?;
        Ok(Ok(value))
    }

    /// The output of `kubectl ARGS`.
    pub fn output(&self, args: &[&str]) -> Result<Vec<u8>> {
        let output = self.command(args).output().with_context(|| self.cannot_start())?;
        if !output.status.success() {
            bail!("kubectl {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(output.stdout)
    }

    fn cannot_start(&self) -> String {
        format!("starting {:?}: is kubectl on PATH, or named by the variable KUBECTL?", self.program)
    }
}

/// A child's exit code as ours; one that was killed counts as a failure.
pub fn code(status: ExitStatus) -> ExitCode {
    match status.code() {
        Some(code) => u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from),
        None => ExitCode::FAILURE,
    }
}

/// Name of a pod that is ready, among a `PodList`.
pub fn ready_pod(list: &Value) -> Option<&str> {
    let ready = |pod: &&Value| {
        let conditions = pod["status"]["conditions"].as_array();
        conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
    };
    list["items"].as_array()?.iter().find(ready)?["metadata"]["name"].as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_ready_pod_is_used() {
        let pod = |name: &str, ready: &str| {
            json!({ "metadata": { "name": name },
                "status": { "conditions": [{ "type": "Ready", "status": ready }] } })
        };
        assert_eq!(ready_pod(&json!({ "items": [pod("a", "False"), pod("b", "True")] })), Some("b"));
        assert_eq!(
            ready_pod(&json!({ "items": [pod("a", "False"), { "metadata": { "name": "c" } }] })),
            None
        );
        assert_eq!(ready_pod(&json!({ "items": [] })), None);
    }
}
