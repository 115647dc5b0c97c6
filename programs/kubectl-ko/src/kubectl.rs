//! The user's `kubectl`: found in `KUBECTL` or on PATH, with the user's own configuration.

use std::ffi::{OsStr, OsString};
use std::process::{Command, ExitCode, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::capture;

/// Where the components run, unless the variable of Kube-OVN's plugin says otherwise.
const NAMESPACE: &str = "kube-system";
/// That variable.
const NAMESPACE_VARIABLE: &str = "KUBE_OVN_NS";
/// For one request whose answer is read here.
const DEADLINE: Duration = Duration::from_secs(60);

/// How to call `kubectl`.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: OsString,
    namespace: String,
}

impl Kubectl {
    /// `$KUBECTL` if it is set, else `kubectl` from PATH.
    pub fn from_env() -> Self {
        let program =
            std::env::var_os("KUBECTL").filter(|v| !v.is_empty()).unwrap_or_else(|| "kubectl".into());
        let namespace = std::env::var(NAMESPACE_VARIABLE).ok().filter(|v| !v.is_empty());
        Self { program, namespace: namespace.unwrap_or_else(|| NAMESPACE.to_owned()) }
    }

    /// This program.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self { program: program.into(), namespace: NAMESPACE.to_owned() }
    }

    /// Where the components run.
    pub fn namespace(&self) -> &str {
        &self.namespace
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

    /// Like [`Self::run`], of a question that one answer settles: it isn't waited for without end.
    pub fn show(&self, args: &[&str]) -> Result<ExitCode> {
        self.run(&[args, &["--request-timeout=30s"]].concat())
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
        let mut command = self.command(args);
        command.args(["-o", "json", "--request-timeout=30s"]);
        let output = capture(&mut command, b"", DEADLINE, &self.cannot_start())?;
        if !output.status.success() {
            return Ok(Err(output.stderr.trim().to_owned()));
        }
        let value = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("reading the output of kubectl {}", args.join(" ")))?;
        Ok(Ok(value))
    }

    /// The objects that `kubectl ARGS` lists. An answer that is no list is an error: nothing follows from half of one.
    pub fn list(&self, args: &[&str]) -> Result<Vec<Value>> {
        let list = self.json(args)?;
        list["items"]
            .as_array()
            .cloned()
            .with_context(|| format!("kubectl {}: it printed no list", args.join(" ")))
    }

    /// The object that `kubectl ARGS` gets; none if there is none of that name.
    pub fn find(&self, args: &[&str]) -> Result<Option<Value>> {
        match self.try_json(args)? {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.contains("NotFound") => Ok(None),
            Err(error) => bail!("kubectl {}: {error}", args.join(" ")),
        }
    }

    /// The output of `kubectl ARGS`.
    pub fn output(&self, args: &[&str]) -> Result<Vec<u8>> {
        let captured = capture(&mut self.command(args), b"", DEADLINE, &self.cannot_start())?;
        captured.success(&format!("kubectl {}", args.join(" ")))
    }

    /// What to do where `kubectl` can't be started.
    pub fn cannot_start(&self) -> String {
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
