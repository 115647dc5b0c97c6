//! The CNI plugin `kube-ovn`: turns a runtime's call into one request to the node agent and its answer into
//! the CNI specification's JSON on standard output.
//!
//! It decides nothing about the network: the agent does. It decides the error when the agent doesn't answer:
//! try again later, except for a DEL that has nothing left to do.

mod http;

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::libc::O_NONBLOCK;
use serde_json::Value;
use tombolo_cni::agent::{Request, Response, path};
use tombolo_cni::{CniError, Code, Command, Env, NetConf, Version, version_report};

/// Longest standard input: a pod's prevResult and a node's list of attachments are far below.
const MAX_INPUT: u64 = 16 << 20;

/// Serves one call: reads the environment through `env` and the configuration from `stdin`, prints the result or
/// the error to `stdout`, and gives the exit code.
pub fn run(env: impl Fn(&str) -> Option<String>, stdin: &mut dyn Read, stdout: &mut dyn Write) -> u8 {
    // The version to word an error in, as soon as it is known.
    let mut version = Version::LATEST.as_str().to_owned();
    let (text, code) = match serve(env, stdin, &mut version) {
        Ok(None) => return 0,
        Ok(Some(value)) => (value, 0),
        Err(e) => (e.to_json(&version), 1),
    };
    // Printing can only fail when the runtime is gone; then an error has no reader.
    let _ = writeln!(stdout, "{text}");
    code
}

fn serve(
    env: impl Fn(&str) -> Option<String>,
    stdin: &mut dyn Read,
    version: &mut String,
) -> Result<Option<Value>, CniError> {
    let env = Env::read(env)?;
    let mut input = Vec::new();
    stdin
        .take(MAX_INPUT)
        .read_to_end(&mut input)
        .map_err(|e| CniError::new(Code::Io, "reading standard input").details(e.to_string()))?;
    if env.command == Command::Version {
        // Its input is only a hint and may be missing.
        let asked = NetConf::parse(&input).map(|c| c.cni_version).unwrap_or_default();
        return Ok(Some(version_report(Some(&asked))));
    }
    let conf = NetConf::parse(&input)?;
    if !conf.cni_version.is_empty() {
        version.clone_from(&conf.cni_version);
    }
    let spec = conf.version()?;
    let since = match env.command {
        Command::Check => Version::V0_4_0,
        Command::Status | Command::Gc => Version::V1_1_0,
        Command::Add | Command::Del | Command::Version => Version::V0_3_0,
    };
    if spec < since {
        let msg = format!("{} came with CNI {since}, the configuration has {spec}", env.command.as_str());
        return Err(CniError::new(Code::IncompatibleVersion, msg));
    }
    conf.validate()?;
    match env.command {
        Command::Add => {
            let prev = conf.prev()?;
            let netns = open_netns(&env, Code::TryAgainLater)?;
            let body = ask(&conf, path::ADD, &request(&env, &conf), Some(&netns))?;
            let answer: Response = serde_json::from_slice(&body).map_err(|e| {
                CniError::new(Code::TryAgainLater, "reading the node agent's answer").details(e.to_string())
            })?;
            let sandbox = env.netns.as_deref().unwrap_or(Path::new("")).to_string_lossy();
            let outcome = answer.to_outcome(&sandbox, &env.ifname);
            let outcome = match prev {
                Some(prev) => outcome.after(prev),
                None => outcome,
            };
            Ok(Some(outcome.to_json(spec)))
        }
        Command::Del => match ask(&conf, path::DEL, &request(&env, &conf), None) {
            Ok(_) => Ok(None),
            // With the namespace, the kernel has removed both ends of the veth pair; the agent drops the port
            // without a link when it starts. Failing would only keep the pod from going.
            Err(e) if e.code == Code::TryAgainLater && !netns_exists(&env) && !agent_listens(&conf) => {
                Ok(None)
            }
            Err(e) => Err(e),
        },
        Command::Check => {
            let prev = conf.prev()?.ok_or_else(|| {
                CniError::new(Code::InvalidConfig, "CHECK needs prevResult in the network configuration")
            })?;
            let mut request = request(&env, &conf);
            request.expected_ips = prev
                .ips
                .iter()
                .filter(|ip| {
                    let interface = ip.interface.and_then(|i| prev.interfaces.get(i));
                    interface.is_none_or(|i| i.name == env.ifname && !i.sandbox.is_empty())
                })
                .map(|ip| ip.address)
                .collect();
            let netns = open_netns(&env, Code::UnknownContainer)?;
            ask(&conf, path::CHECK, &request, Some(&netns)).map(|_| None)
        }
        Command::Status => match ask(&conf, path::STATUS, &request(&env, &conf), None) {
            Ok(_) => Ok(None),
            Err(e) if e.code == Code::TryAgainLater => Err(CniError { code: Code::Unavailable, ..e }),
            Err(e) => Err(e),
        },
        Command::Gc => {
            let mut request = request(&env, &conf);
            // A list that is missing is not an empty list: nothing may be collected for want of knowledge.
            request.valid_attachments = Some(conf.valid_attachments.clone().ok_or_else(|| {
                CniError::new(Code::InvalidConfig, "GC needs cni.dev/valid-attachments in the configuration")
            })?);
            ask(&conf, path::GC, &request, None).map(|_| None)
        }
        Command::Version => Ok(None), // answered above
    }
}

fn request(env: &Env, conf: &NetConf) -> Request {
    Request {
        cni_type: conf.kind.clone(),
        pod_name: env.args.pod_name.clone(),
        pod_namespace: env.args.pod_namespace.clone(),
        pod_uid: env.args.pod_uid.clone(),
        container_id: env.container_id.clone(),
        net_ns: env.netns.as_deref().map(|p| p.to_string_lossy().into_owned()).unwrap_or_default(),
        if_name: env.ifname.clone(),
        provider: conf.provider().to_owned(),
        routes: if conf.routes.is_empty() { conf.ipam.routes.clone() } else { conf.routes.clone() },
        ..Request::default()
    }
}

/// Posts `request`; gives the body of a 2xx answer.
fn ask(conf: &NetConf, path: &str, request: &Request, netns: Option<&File>) -> Result<Vec<u8>, CniError> {
    let socket = conf.socket();
    let body = serde_json::to_vec(request)
        .map_err(|e| CniError::new(Code::Internal, "wording the request").details(e.to_string()))?;
    let answer = http::post(Path::new(socket), path, &body, netns.map(File::as_fd)).map_err(|e| {
        let msg = format!("asking the node agent on {socket}: is the kube-ovn-cni pod of this node running?");
        CniError::new(Code::TryAgainLater, msg).details(e.to_string())
    })?;
    if (200..300).contains(&answer.status) {
        return Ok(answer.body);
    }
    let response: Response = serde_json::from_slice(&answer.body).unwrap_or_default();
    Err(response.to_error(answer.status))
}

/// Opens the namespace that the runtime names, for the agent: a path like /proc/PID/ns/net means another process, or
/// none, to a process with process numbers of its own.
fn open_netns(env: &Env, code: Code) -> Result<File, CniError> {
    let path = env.netns.as_deref().unwrap_or(Path::new(""));
    // Without blocking: a pipe of that name would wait for its writer.
    OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path).map_err(|e| {
        CniError::new(code, format!("opening network namespace {}", path.display())).details(e.to_string())
    })
}

fn netns_exists(env: &Env) -> bool {
    // An unmounted namespace leaves an empty regular file; a mounted one is a file of nsfs, as is
    // /proc/PID/ns/net. All have size 0, so only the mount distinguishes them.
    env.netns.as_deref().is_some_and(|p| p.exists() && !is_plain_file(p))
}

fn is_plain_file(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(own), Ok(parent)) = (path.metadata(), path.parent().unwrap_or(Path::new("/")).metadata()) else {
        return false;
    };
    own.dev() == parent.dev()
}

fn agent_listens(conf: &NetConf) -> bool {
    std::os::unix::net::UnixStream::connect(conf.socket()).is_ok()
}
