//! The environment of a plugin's call: `CNI_COMMAND`, `CNI_CONTAINERID`, `CNI_NETNS`, `CNI_IFNAME`, `CNI_ARGS`
//! (CNI spec, "Parameters"). Decides which are required for which command and what is well-formed.

use std::path::PathBuf;

use crate::error::{CniError, Code};

/// What the runtime wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Attach a container.
    Add,
    /// Detach it; succeeds also when there is nothing left.
    Del,
    /// Is the attachment as ADD left it? (0.4.0)
    Check,
    /// Can ADD be served? (1.1.0)
    Status,
    /// Remove the attachments that aren't listed. (1.1.0)
    Gc,
    /// Which versions?
    Version,
}

impl Command {
    /// As it stands in `CNI_COMMAND`.
    pub fn as_str(self) -> &'static str {
        match self {
            Command::Add => "ADD",
            Command::Del => "DEL",
            Command::Check => "CHECK",
            Command::Status => "STATUS",
            Command::Gc => "GC",
            Command::Version => "VERSION",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Command::Add, Command::Del, Command::Check, Command::Status, Command::Gc, Command::Version]
            .into_iter()
            .find(|c| c.as_str() == text)
    }
}

/// `CNI_ARGS` as kubelet's runtimes fill it. Keys that aren't listed are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    /// `K8S_POD_NAMESPACE`
    pub pod_namespace: String,
    /// `K8S_POD_NAME`
    pub pod_name: String,
    /// `K8S_POD_UID`; empty with runtimes that don't pass it.
    pub pod_uid: String,
}

impl Args {
    /// Reads `KEY=value;KEY=value`. An element without `=` is an error, as in the reference library.
    pub fn parse(text: &str) -> Result<Self, CniError> {
        let mut args = Args::default();
        for pair in text.split(';').filter(|p| !p.is_empty()) {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(invalid(format!("CNI_ARGS holds {pair:?}, which is not KEY=value")));
            };
            match key {
                "K8S_POD_NAMESPACE" => args.pod_namespace = value.to_owned(),
                "K8S_POD_NAME" => args.pod_name = value.to_owned(),
                "K8S_POD_UID" => args.pod_uid = value.to_owned(),
                _ => {}
            }
        }
        Ok(args)
    }
}

/// The environment of one call, checked for its command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Env {
    /// What is wanted.
    pub command: Command,
    /// The runtime's id of the sandbox; empty for STATUS, GC and VERSION.
    pub container_id: String,
    /// Path of the network namespace. ADD and CHECK have one; DEL may not (the namespace is gone).
    pub netns: Option<PathBuf>,
    /// Name of the interface inside; empty for STATUS, GC and VERSION.
    pub ifname: String,
    /// The pod.
    pub args: Args,
}

fn invalid(msg: String) -> CniError {
    CniError::new(Code::InvalidEnvironment, msg)
}

impl Env {
    /// Reads the variables through `get` (so that tests need no process environment).
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, CniError> {
        let var = |name: &str| get(name).unwrap_or_default();
        let text = var("CNI_COMMAND");
        let command = Command::parse(&text).ok_or_else(|| {
            invalid(if text.is_empty() {
                "CNI_COMMAND is not set: this program is a CNI plugin, which a container runtime calls"
                    .to_owned()
            } else {
                format!("CNI_COMMAND is {text:?}, which is not known")
            })
        })?;
        let (container_id, netns, ifname) = (var("CNI_CONTAINERID"), var("CNI_NETNS"), var("CNI_IFNAME"));
        let per_container = matches!(command, Command::Add | Command::Del | Command::Check);
        if per_container {
            check_container_id(&container_id)?;
            check_ifname(&ifname)?;
            if netns.is_empty() && command != Command::Del {
                return Err(invalid(format!("CNI_NETNS is not set for {}", command.as_str())));
            }
        }
        let args = if per_container { Args::parse(&var("CNI_ARGS"))? } else { Args::default() };
        let netns = (!netns.is_empty()).then(|| PathBuf::from(netns));
        Ok(Self { command, container_id, netns, ifname, args })
    }
}

/// "Must start with an alphanumeric character, optionally followed by any combination of one or more alphanumeric
/// characters, underscore (), dot (.) or hyphen (-)" (CNI spec).
fn check_container_id(id: &str) -> Result<(), CniError> {
    let ok = id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    if ok { Ok(()) } else { Err(invalid(format!("CNI_CONTAINERID {id:?} is not a container id"))) }
}

/// A name that Linux takes for an interface: 1 to 15 bytes, not `.` or `..`, no `/`, `:` or white space.
fn check_ifname(name: &str) -> Result<(), CniError> {
    let ok = !name.is_empty()
        && name.len() <= 15
        && name != "."
        && name != ".."
        && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace());
    if ok { Ok(()) } else { Err(invalid(format!("CNI_IFNAME {name:?} is not a name of an interface"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Result<Env, CniError> {
        Env::read(|k| pairs.iter().find(|(n, _)| *n == k).map(|(_, v)| (*v).to_owned()))
    }

    const ADD: [(&str, &str); 5] = [
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "0f3c"),
        ("CNI_NETNS", "/run/netns/x"),
        ("CNI_IFNAME", "eth0"),
        (
            "CNI_ARGS",
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=net2;K8S_POD_NAME=ubuntu;K8S_POD_INFRA_CONTAINER_ID=0f3c;K8S_POD_UID=u",
        ),
    ];

    #[test]
    fn add_as_containerd_calls_it() {
        let e = env(&ADD).unwrap();
        assert_eq!(e.command, Command::Add);
        assert_eq!(e.netns, Some(PathBuf::from("/run/netns/x")));
        assert_eq!((e.args.pod_namespace.as_str(), e.args.pod_name.as_str()), ("net2", "ubuntu"));
        assert_eq!(e.args.pod_uid, "u");
    }

    #[test]
    fn each_command_asks_for_what_it_needs() {
        let without = |name: &str, command: &'static str| {
            let mut pairs: Vec<_> =
                ADD.into_iter().filter(|(n, _)| *n != name && *n != "CNI_COMMAND").collect();
            pairs.push(("CNI_COMMAND", command));
            env(&pairs)
        };
        for name in ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"] {
            for command in ["ADD", "CHECK"] {
                let err = without(name, command).unwrap_err();
                assert_eq!(err.code, Code::InvalidEnvironment);
                assert!(err.msg.contains(name), "{err}");
            }
        }
        assert_eq!(without("CNI_NETNS", "DEL").unwrap().netns, None, "the namespace may be gone at DEL");
        assert!(without("CNI_CONTAINERID", "DEL").is_err());
        for command in ["VERSION", "STATUS", "GC"] {
            assert!(env(&[("CNI_COMMAND", command)]).is_ok());
        }
        assert!(env(&[("CNI_COMMAND", "UPDATE")]).unwrap_err().msg.contains("UPDATE"));
        assert!(env(&[]).unwrap_err().msg.contains("CNI_COMMAND"));
    }

    #[test]
    fn names_that_would_escape_are_refused() {
        for bad in ["../x", "-x", "a b", "a/b", "a;b", ""] {
            assert!(check_container_id(bad).is_err(), "{bad:?}");
        }
        for bad in ["eth0/..", "..", ".", "a b", "a:1", "sixteen-bytes-xx", ""] {
            assert!(check_ifname(bad).is_err(), "{bad:?}");
        }
        assert!(check_ifname("fifteen-bytes-x").is_ok());
    }
}
