//! A real Kubernetes on the sandbox's hosts: programs, certificates, control plane, nodes.
//!
//! What is up at the end is a cluster without a network: three registered nodes that are not Ready. The
//! network comes with [`crate::programs`], by manifests, as on any other cluster.

pub mod build;
pub mod certs;
pub mod control_plane;
pub mod node;
pub mod util;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use crate::hosts::{self, Host};
use crate::progress::Phase;
use crate::{exec, images, paths};
use build::Programs;
use certs::Pki;

/// How long nodes have to register.
const REGISTERED: Duration = Duration::from_secs(120);
/// How long one command of Helm's may take: its hooks wait for Jobs.
const HELM: Duration = Duration::from_secs(360);

/// Brings Kubernetes up on the running hosts: control plane on host1, a node on each. `programs` come from
/// [`build::ensure`], `base` from [`images::base`]. Does nothing for what runs already.
///
/// # Errors
/// When a part doesn't come up; the error names the part and its log.
pub fn up(phase: &Phase, programs: &Programs, base: &[images::Image]) -> Result<()> {
    phase.hint(format_args!("the programs' logs are in {}", control_plane::host().log_dir().display()));
    let all = hosts::all();
    let nodes: Vec<certs::Node<'_>> =
        all.iter().map(|host| certs::Node { name: &host.name, address: host.mgmt }).collect();
    let dir = paths::state().join("kubernetes");
    let pki = Pki::create(&dir.join("pki"), control_plane::server(), control_plane::API_SERVICE, &nodes)?;
    install_kubectl(programs)?;

    // Kubelets wait for the API server by themselves, so the nodes' runtimes come up beside it.
    thread::scope(|scope| {
        let runtimes: Vec<_> = all
            .iter()
            .map(|host| {
                scope.spawn(|| {
                    node::runtime_up(phase, host, base)?;
                    node::kubelet_up(host, programs, &pki)
                })
            })
            .collect();
        let control_plane = control_plane::up(phase, programs, &pki);
        for runtime in runtimes {
            runtime.join().map_err(|_| anyhow!("a thread that starts a node failed"))??;
        }
        control_plane
    })?;
    phase.doing("waiting for the nodes to register");
    for host in &all {
        exec::wait_ok(&format!("node {host} to register"), REGISTERED, || {
            kubectl(["get", "node", &host.name])
        })
        .with_context(|| format!("see {}", host.daemon_log("kubelet").display()))?;
        node::proxy_up(host, programs, &pki)?;
    }
    phase.doing("waiting for kube-proxy");
    all.iter().try_for_each(node::proxy_ready)
}

/// The names of the daemons that run on a host for Kubernetes, for [`Host::stop_daemon`] and the like.
pub fn daemons(host: &Host) -> Vec<&'static str> {
    let mut names = vec!["containerd", "kubelet", "kube-proxy"];
    if *host == control_plane::host() {
        names.extend(["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]);
    }
    names
}

/// `bin/kubectl` for people, tests and [`kubectl()`]: as typed on host1 by the cluster's administrator.
fn install_kubectl(programs: &Programs) -> Result<()> {
    fs::create_dir_all(plugins()).with_context(|| format!("creating {}", plugins().display()))?;
    install_tool("kubectl", programs.path("kubectl")?)
}

/// `bin/helm`, likewise.
///
/// # Errors
/// When a file can't be written.
pub fn install_helm(helm: &Path) -> Result<()> {
    install_tool("helm", helm)
}

fn install_tool(name: &str, program: &Path) -> Result<()> {
    let dir = paths::state().join("kubernetes");
    let cache = dir.join(format!("{name}-cache"));
    fs::create_dir_all(&cache).with_context(|| format!("creating {}", cache.display()))?;
    let programs = program.parent().unwrap_or(program);
    // Entering the host loses the working directory, which `-f file.yaml` needs, and PATH, where plugins are
    // found and where they find kubectl.
    let script = format!(
        "#!/bin/bash\n\
         # {name} as the cluster's administrator types it on host1.\n\
         bin=$(dirname \"$(readlink -f \"$0\")\")\n\
         export KUBECONFIG={kubeconfig} KUBECACHEDIR={cache} HELM_CACHE_HOME={cache} HELM_CONFIG_HOME={cache} HELM_DATA_HOME={cache}\n\
         exec \"$bin/enter\" {host} bash -c \\\n  \
         'cd \"$1\" || cd /; shift; PATH={plugins}:{programs}:$PATH exec \"$@\"' {name} \"$PWD\" {program} \"$@\"\n",
        kubeconfig = dir.join("pki/admin.kubeconfig").display(),
        cache = cache.display(),
        host = control_plane::host(),
        plugins = plugins().display(),
        programs = programs.display(),
        program = program.display(),
    );
    hosts::install_script(&paths::bin().join(name), &script)
}

/// Where `kubectl` finds its plugins.
pub fn plugins() -> PathBuf {
    paths::state().join("kubernetes/plugins")
}

/// A `kubectl` command of the cluster's administrator, to add arguments to.
pub fn kubectl_command() -> Command {
    Command::new(paths::bin().join("kubectl"))
}

/// Runs `helm` with these arguments as the cluster's administrator and returns what it prints, within a few minutes.
///
/// # Errors
/// As [`exec::check`].
pub fn helm<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Result<String> {
    exec::check(Command::new(paths::bin().join("helm")).args(args), HELM, None)
}

/// Runs `kubectl` with these arguments and returns what it prints, within a minute.
///
/// # Errors
/// As [`exec::check`].
pub fn kubectl<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Result<String> {
    exec::check(kubectl_command().args(args), exec::SHORT, None)
}

/// `kubectl apply` of some YAML or JSON documents; returns what it prints.
///
/// # Errors
/// As [`exec::check`].
pub fn apply(documents: &str) -> Result<String> {
    exec::check_input(kubectl_command().args(["apply", "-f", "-"]), documents.as_bytes(), exec::SHORT, None)
}
