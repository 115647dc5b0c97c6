//! What the controller's Deployment says: the databases' endpoints, and its flags. Pure.

use anyhow::{Result, anyhow, bail};
use serde_json::Value;
use tombolo_ovn::addresses;

use super::{CONTROLLER, Database};

/// A flag of the controller's Deployment, with its variables put in.
pub fn flag(deployment: &Value, flag: &str) -> Option<String> {
    let containers = deployment["spec"]["template"]["spec"]["containers"].as_array()?;
    containers.iter().find_map(|container| {
        let variable = |name: &str| variable(container, name);
        flag_value(words(container), flag).map(|value| expand(&value, &variable)).filter(|v| !v.is_empty())
    })
}

/// All flags of a workload's containers, `--name=value` and `--name value`, with their variables put in. One without a value is a
/// switch that is on.
pub fn flags(workload: &Value) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for container in workload["spec"]["template"]["spec"]["containers"].as_array().into_iter().flatten() {
        let mut words = words(container).peekable();
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix("--").filter(|flag| !flag.is_empty()) else { continue };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, value),
                None => (flag, words.next_if(|next| !next.starts_with('-')).unwrap_or("true")),
            };
            all.push((name.to_owned(), expand(value, &|name| variable(container, name))));
        }
    }
    all
}

fn variable(container: &Value, name: &str) -> Option<String> {
    let all = container["env"].as_array()?;
    Some(all.iter().find(|v| v["name"] == name)?["value"].as_str()?.to_owned())
}

fn words(container: &Value) -> impl Iterator<Item = &str> {
    let lists = ["command", "args"].into_iter().filter_map(|key| container[key].as_array());
    lists.flatten().filter_map(Value::as_str)
}

/// The endpoints of `database`.
pub fn endpoints(deployment: &Value, database: Database) -> Result<Vec<String>> {
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
            .map_err(|e| anyhow!("in Deployment {CONTROLLER}: {e}"))?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    bail!("Deployment {CONTROLLER} names no {} ({flag} or OVN_DB_IPS)", database.schema())
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
        assert_eq!(endpoints(&d, Database::Nb).unwrap(), ["tcp:1.1.1.1:6641", "tcp:1.1.1.2:6641"]);
        assert_eq!(endpoints(&d, Database::Sb).unwrap(), ["tcp:1.1.1.1:6642"]);
    }

    #[test]
    fn endpoints_from_variables() {
        let d = deployment(json!({
            "command": ["c"], "args": ["--ovn-nb-addr=$(NB)"],
            "env": [{ "name": "NB", "value": "tcp:[1.1.1.1,1.1.1.2]:6641" }, { "name": "OVN_DB_IPS", "value": "2.2.2.2" }]
        }));
        assert_eq!(endpoints(&d, Database::Nb).unwrap(), ["tcp:1.1.1.1:6641", "tcp:1.1.1.2:6641"]);
        assert_eq!(endpoints(&d, Database::Sb).unwrap(), ["tcp:2.2.2.2:6642"]);
    }

    #[test]
    fn a_deployment_without_one_is_an_error_that_names_it() {
        let error = endpoints(&deployment(json!({})), Database::Nb).unwrap_err().to_string();
        assert!(error.contains("kube-ovn-controller") && error.contains("--ovn-nb-addr"), "{error}");
    }

    #[test]
    fn a_flag_of_the_controller() {
        let d =
            deployment(json!({ "args": ["--cluster-id=$(ID)"], "env": [{ "name": "ID", "value": "b" }] }));
        assert_eq!(flag(&d, "--cluster-id").as_deref(), Some("b"));
        assert_eq!(flag(&d, "--other"), None);
    }

    #[test]
    fn all_flags_of_a_workload() {
        let d = deployment(
            json!({ "command": ["sh", "/start.sh"], "args": ["--a=$(ID)", "--on", "--b", "2", "--c="],
            "env": [{ "name": "ID", "value": "1" }] }),
        );
        let all = flags(&d);
        let all: Vec<(&str, &str)> =
            all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(all, [("a", "1"), ("on", "true"), ("b", "2"), ("c", "")]);
        assert_eq!(flags(&json!({})), []);
    }

    #[test]
    fn variables_in_arguments() {
        let var = |name: &str| (name == "A").then(|| "1".to_owned());
        assert_eq!(expand("x$(A)y$(A)$(B)$(", &var), "x1y1$(B)$(");
    }
}
