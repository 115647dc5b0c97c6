//! Which network namespace a request means. Decides by the open file that the plugin hands over, and never by a path
//! that names a process: the runtime counts processes as the host does, the agent perhaps as its own pod does, where
//! the same number is another process with the host's network.

use std::os::fd::OwnedFd;
use std::path::Path;

use tombolo_client::chain;
use tombolo_cni::{CniError, Code};
use tombolo_linux::{Netns, NetnsId, Result};

/// The pod's namespace: `passed` when the plugin has handed it over, or the one that `path` names here. `host` is the
/// namespace that is no pod's.
pub fn of_request(
    path: &str,
    passed: Option<OwnedFd>,
    host: NetnsId,
) -> std::result::Result<Netns, CniError> {
    let refused = |why: &str| {
        let msg = format!("CNI_NETNS is {path:?}, {why}");
        CniError::new(Code::InvalidEnvironment, msg)
    };
    let netns = match passed {
        Some(file) => Netns::from_fd(file, path),
        None if names_a_process(path) => {
            return Err(refused(
                "which names a process, and the plugin has not handed the namespace over: is the plugin kube-ovn in \
                 the runtime's directory older than the agent?",
            ));
        }
        None => open(path),
    };
    let netns = netns.map_err(|e| CniError::new(Code::TryAgainLater, chain(&e)))?;
    if netns.id() == host {
        return Err(refused("which is the host's own network namespace: only a pod's can be attached"));
    }
    Ok(netns)
}

/// Below /proc, or a link: its end depends on the process that follows it.
fn names_a_process(path: &str) -> bool {
    let path = Path::new(path);
    let linked = std::fs::symlink_metadata(path).is_ok_and(|m| m.is_symlink());
    linked
        || !path.is_absolute()
        || path.starts_with("/proc")
        || path.components().any(|c| c.as_os_str() == "..")
}

/// On a host `/var/run` is a link to `/run`; an image may lack it.
fn open(path: &str) -> Result<Netns> {
    match (Netns::open(path), path.strip_prefix("/var/run/")) {
        (Err(e), Some(rest)) if e.is_not_found() => Netns::open(format!("/run/{rest}")),
        (result, _) => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> NetnsId {
        Netns::current().unwrap().id()
    }

    #[test]
    fn a_process_is_never_looked_for_here() {
        // invariant 13
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("netns");
        std::os::unix::fs::symlink("/proc/1/ns/net", &link).unwrap();
        for path in ["/proc/1/ns/net", "/run/../proc/1/ns/net", "proc/1/ns/net", link.to_str().unwrap()] {
            let err = of_request(path, None, host()).unwrap_err();
            assert_eq!(err.code, Code::InvalidEnvironment);
            assert!(err.msg.contains("names a process"), "{}", err.msg);
        }
    }

    #[test]
    fn the_hosts_namespace_is_no_pods() {
        // invariant 13
        let own = std::fs::File::open("/proc/self/ns/net").unwrap();
        let err = of_request("/proc/4711/ns/net", Some(own.into()), host()).unwrap_err();
        assert_eq!(err.code, Code::InvalidEnvironment);
        assert!(err.msg.contains("host's own"), "{}", err.msg);
    }

    #[test]
    fn what_is_gone_is_tried_again() {
        let err = of_request("/run/netns/surely-not-there", None, host()).unwrap_err();
        assert_eq!(err.code, Code::TryAgainLater);
        let plain = std::fs::File::open("/dev/null").unwrap();
        let err = of_request("/run/netns/x", Some(plain.into()), host()).unwrap_err();
        assert_eq!(err.code, Code::TryAgainLater);
    }
}
