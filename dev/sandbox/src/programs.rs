//! This project's programs: their image, and installing them by the chart `charts/tombolo` as a user would.
//!
//! The image's name carries the digest of its content, so deploying what runs already changes nothing,
//! and deploying something else makes Kubernetes roll it out.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};

use crate::hosts::{self, Host};
use crate::images::{self, Image, OurPrograms, OvnRelease};
use crate::kubernetes::util::symlink;
use crate::kubernetes::{self, control_plane, kubectl, node};
use crate::ovn::{self, Database};
use crate::progress::Phase;
use crate::{exec, go, keys, paths, release, revive};

/// The Helm release.
pub const RELEASE: &str = "tombolo";
/// The namespace of our workloads.
pub const NAMESPACE: &str = "kube-system";
/// The workloads as `kubectl` names them.
pub const WORKLOADS: [&str; 4] = [CONTROLLER, AGENT, MONITOR, PINGER];
/// The controller's Deployment.
pub const CONTROLLER: &str = "deployment/kube-ovn-controller";
/// The agent's DaemonSet.
pub const AGENT: &str = "daemonset/kube-ovn-cni";
/// The Deployment of what measures OVN's databases.
pub const MONITOR: &str = "deployment/kube-ovn-monitor";
/// The DaemonSet of what measures the network.
pub const PINGER: &str = "daemonset/kube-ovn-pinger";
/// The Deployment of OVN's databases, where they run as pods.
pub const CENTRAL: &str = "deployment/ovn-central";
/// The DaemonSet of Open vSwitch on hosts that have none of their own.
pub const HYPERVISOR: &str = "daemonset/ovs-ovn";
/// The Lease that the leading controller holds.
pub use tombolo_names::workloads::LEASE;

const ROLLOUT: Duration = Duration::from_secs(120);
const READY: Duration = Duration::from_secs(120);

/// What is installed: our programs' image, and that of OVN where it runs as pods.
#[derive(Clone, Debug)]
pub struct Images {
    /// Our programs.
    pub ours: Image,
    /// OVN's pods; none where it runs on the hosts already.
    pub ovn: Option<Pods<Image>>,
}

/// OVN as pods, by the images or by their names.
#[derive(Clone, Debug)]
pub struct Pods<T> {
    /// The databases and northd.
    pub central: T,
    /// Open vSwitch for the hosts that have it as a pod ([`ovn::BY_POD`]), which are newer than the others.
    pub node: T,
    /// Whether the databases' clients speak TLS.
    pub tls: bool,
}

/// The phases that lead to our network in the running cluster: programs, image, deployment.
///
/// # Errors
/// That of the phase that failed.
pub fn phases() -> Result<()> {
    let logs = paths::logs();
    let programs = Phase::run("our programs", logs.join("our-programs.log"), release::build)?;
    let images = Phase::run("our image", logs.join("our-image.log"), |phase| images(phase, &programs, None))?;
    Phase::run("deploy", logs.join("deploy.log"), |phase| deploy(phase, &programs, &images))
}

/// Packs our programs into their image, and OVN into its own if it is to be one, under `~/.cache/tombolo/images`.
///
/// # Errors
/// When a program or a library can't be read, or a tool fails.
pub fn images(phase: &Phase, programs: &OurPrograms, ovn: Option<OvnRelease>) -> Result<Images> {
    let image = |release| images::ovn(&images_dir(), programs, release, phase);
    let pods = |release| {
        anyhow::Ok(Pods { central: image(release)?, node: image(OvnRelease::Debian13)?, tls: false })
    };
    Ok(Images { ours: images::ours(&images_dir(), programs, phase)?, ovn: ovn.map(pods).transpose()? })
}

/// Where image archives lie.
pub fn images_dir() -> PathBuf {
    paths::cache().join("images")
}

/// Installs our programs into the running cluster: image on every host, release; waits until all
/// workloads are rolled out and all nodes are Ready. Does nothing for what is there already.
///
/// # Errors
/// When something isn't ready in time; the phase's log then has the workloads' state and logs.
pub fn deploy(phase: &Phase, programs: &OurPrograms, images: &Images) -> Result<()> {
    phase.hint(format_args!("{}/kubectl -n {NAMESPACE} describe pods", paths::bin().display()));
    symlink(&programs.kubectl_ko, &kubernetes::plugins().join("kubectl-ko"))?;
    kubernetes::install_helm(&go::helm(phase)?)?;
    let names = names(images)?;
    beside_imports(phase, images, || {
        if names.1.is_some() {
            label()?;
        }
        let tls = names.1.as_ref().is_some_and(|pods| pods.tls);
        install(phase, &names.0, names.1.as_ref(), if tls { Access::Tls } else { Access::Plain })
    })?;
    if let Some(pods) = &images.ovn {
        wait_workload(phase, CENTRAL).inspect_err(|_| describe(phase))?;
        if pods.tls {
            keys::fetch()?;
        }
        wait_workload(phase, HYPERVISOR).inspect_err(|_| describe(phase))?;
        ovn::hypervisors(phase, &ovn::BY_POD)?;
        return revive::revived_while(|| wait(phase));
    }
    wait(phase)
}

/// The names of images.
fn names(images: &Images) -> Result<(String, Option<Pods<String>>)> {
    let name = |image: &Image| image.tags.first().cloned().context("an image has no name");
    let pods = |pods: &Pods<Image>| {
        anyhow::Ok(Pods { central: name(&pods.central)?, node: name(&pods.node)?, tls: pods.tls })
    };
    Ok((name(&images.ours)?, images.ovn.as_ref().map(pods).transpose()?))
}

/// Imports images on all hosts while something else is done.
fn beside_imports<T>(phase: &Phase, images: &Images, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let of_ovn = images.ovn.iter().flat_map(|pods| [&pods.central, &pods.node]);
    let all: Vec<&Image> = std::iter::once(&images.ours).chain(of_ovn).collect();
    let import = |host: &Host| all.iter().try_for_each(|image| node::import(phase, host, image).map(drop));
    thread::scope(|scope| {
        let import = &import;
        let imports: Vec<_> =
            hosts::all().into_iter().map(|host| scope.spawn(move || import(&host))).collect();
        let done = work();
        for import in imports {
            import.join().map_err(|_| anyhow!("a thread that imports an image failed"))??;
        }
        done
    })
}

/// Says which hosts run a member of OVN's databases, and which have Open vSwitch as a pod.
fn label() -> Result<()> {
    kubectl(["label", "node", "--all", "--overwrite", "kube-ovn/role=master"])?;
    let hosts: Vec<Host> = ovn::BY_POD.map(hosts::host).into();
    let nodes = hosts.iter().map(|host| host.name.as_str());
    kubectl(["label", "node", "--overwrite"].into_iter().chain(nodes).chain([OVS_LABEL])).map(drop)
}

/// Where copies of OVN's databases lie on a host.
pub const BACKUP_DIR: &str = "/var/lib/ovn/backup";

/// The label of hosts that have Open vSwitch as a pod.
const OVS_LABEL: &str = "openvswitch=pod";

/// Installs or upgrades the release. Values that didn't change, and the image that runs already, change nothing.
fn install(phase: &Phase, image: &str, pods: Option<&Pods<String>>, access: Access) -> Result<()> {
    release_with(phase, &values_for(image, pods, access)?, &[])
}

/// Installs or upgrades the release with these values, and further flags of Helm's.
fn release_with(phase: &Phase, values: &Value, flags: &[&str]) -> Result<()> {
    let file = paths::state().join("values.json");
    fs::write(&file, values.to_string()).with_context(|| format!("writing {}", file.display()))?;
    phase.doing("helm upgrade --install");
    let chart = tombolo_chart::chart().canonicalize().context("looking for the chart")?;
    let words = ["upgrade", "--install", RELEASE, "--namespace", NAMESPACE, "--values"].map(PathBuf::from);
    let flags = flags.iter().map(PathBuf::from);
    kubernetes::helm(words.into_iter().chain([file, chart]).chain(flags)).map(drop)
}

/// Installs our programs into the OVN in which a Kube-OVN was until now, as docs/operate/take-over.md has it.
///
/// # Errors
/// As [`deploy`].
pub fn take_over(phase: &Phase, images: &Images) -> Result<()> {
    let (image, _) = names(images)?;
    let mut values = values_for(&image, None, Access::Plain)?;
    values["takeOver"] = json!(true);
    beside_imports(phase, images, || release_with(phase, &values, &["--take-ownership"]))?;
    wait(phase)
}

/// The values for the sandbox: no kube-proxy is needed, and what is tested has all halves of admission.
fn values_for(image: &str, pods: Option<&Pods<String>>, access: Access) -> Result<Value> {
    let (api, port) = control_plane::server();
    let parts = |image: &str| {
        let (name, tag) = image.rsplit_once(':')?;
        let (registry, repository) = name.rsplit_once('/')?;
        Some((registry.to_owned(), repository.to_owned(), tag.to_owned()))
    };
    let parts = |image: &str| parts(image).with_context(|| format!("the image's name {image} has no tag"));
    let (registry, repository, tag) = parts(image)?;
    let members = |database: Database| {
        let all = match access {
            Access::Plain => database.remotes(),
            Access::Tls => database.tls_remotes(),
        };
        all.split(',').map(str::to_owned).collect::<Vec<_>>()
    };
    let mut values = json!({
        "global": {
            "registry": { "address": registry },
            "images": { "tombolo": { "repository": repository, "tag": tag } },
        },
        "apiServer": { "host": api.to_string(), "port": port },
        "ovn": { "nb": members(Database::Nb), "sb": members(Database::Sb) },
        "networking": { "enableSsl": access == Access::Tls },
        "controller": { "extraArgs": ["--admission-port=10663"] },
        // The sandbox's cluster has no DNS.
        "pinger": { "extraArgs": ["--internal-dns="] },
    });
    if let Some(pods) = pods {
        for (of, image) in [("ovn", &pods.central), ("ovs", &pods.node)] {
            let (_, repository, tag) = parts(image)?;
            values["global"]["images"][of] = json!({ "repository": repository, "tag": tag });
        }
        values["ovn"] = json!({ "mode": "central" });
        values["backup"] = json!({ "enabled": true, "directory": BACKUP_DIR });
        let (label, value) = OVS_LABEL.split_once('=').context("invariant: a label has a value")?;
        values["ovsOvn"] = json!({
            // The hosts here share all directories but a few.
            "ovnDirectory": "/var/lib/ovn",
            "ovsDirectory": "/etc/openvswitch",
            "nodeSelector": { label: value },
        });
        let nodes = hosts::all().into_iter().map(|host| host.mgmt.to_string());
        values["masterNodes"] = nodes.collect();
    }
    Ok(values)
}

/// How OVN's databases are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// `tcp:`, as in the document.
    Plain,
    /// `ssl:`, with the Secret.
    Tls,
}

/// Moves the installed controllers to OVN's TLS ports, as docs/operate/install.md has it: the Secret, and one value. A later
/// [`deploy`] moves them back.
///
/// # Errors
/// As [`deploy`].
pub fn over_tls(phase: &Phase) -> Result<()> {
    let authority = ovn::authority();
    let file = |key: &str, path: PathBuf| format!("--from-file={key}={}", path.display());
    let files = [
        file("cacert", authority.certificate("ca")),
        file("cert", authority.certificate(ovn::CLIENT)),
        file("key", authority.key(ovn::CLIENT)),
    ];
    phase.doing(format_args!("making the Secret {TLS_SECRET}"));
    let words =
        ["-n", NAMESPACE, "create", "secret", "generic", TLS_SECRET, "--dry-run=client", "-o", "yaml"];
    let secret = kubectl(words.into_iter().chain(files.iter().map(String::as_str)))?;
    kubernetes::apply(&secret)?;
    phase.doing("giving the controllers the databases' addresses for TLS");
    install(phase, &deployed_image()?, None, Access::Tls)?;
    wait(phase)
}

/// The Secret with the keys for TLS, Kube-OVN's name.
use tombolo_names::workloads::TLS_SECRET;

fn deployed_image() -> Result<String> {
    let image = "jsonpath={.spec.template.spec.containers[0].image}";
    Ok(kubectl(["-n", NAMESPACE, "get", CONTROLLER, "-o", image])?.trim().to_owned())
}

/// Waits until all workloads are rolled out and every node is Ready.
///
/// # Errors
/// As [`deploy`].
pub fn wait(phase: &Phase) -> Result<()> {
    let result = WORKLOADS.iter().try_for_each(|workload| wait_workload(phase, workload)).and_then(|()| {
        phase.doing("waiting for the nodes to be Ready");
        exec::wait_ok("the nodes to be Ready", READY, || {
            kubectl(["wait", "--for=condition=Ready", "node", "--all", "--timeout=10s"])
        })
        .map(drop)
    });
    if result.is_err() {
        describe(phase);
    }
    result
}

fn wait_workload(phase: &Phase, workload: &str) -> Result<()> {
    phase.doing(format_args!("waiting for {workload}"));
    let timeout = format!("--timeout={}s", ROLLOUT.as_secs());
    let mut status = kubernetes::kubectl_command();
    status.args(["-n", NAMESPACE, "rollout", "status", workload, &timeout]);
    // kubectl has its own deadline; ours is for a kubectl that hangs.
    exec::check(&mut status, ROLLOUT + exec::SHORT, Some(phase.log())).with_context(|| {
        format!("{workload} did not become ready; `kubectl -n {NAMESPACE} describe {workload}`")
    })?;
    if *workload == *AGENT {
        // A rollout of no pods is complete, too: the DaemonSet's controller may not have seen the nodes yet.
        exec::wait_ok("an agent on each host", ROLLOUT, || {
            let path = "jsonpath={.status.numberReady}";
            let ready = kubectl(["-n", NAMESPACE, "get", workload, "-o", path])?;
            ensure!(
                ready.trim() == hosts::COUNT.to_string(),
                "{} of {} are ready",
                ready.trim(),
                hosts::COUNT
            );
            Ok(())
        })?;
    }
    Ok(())
}

/// Writes what explains a failed rollout to the phase's log.
fn describe(phase: &Phase) {
    for args in [
        vec!["-n", NAMESPACE, "describe", "pods"],
        vec!["-n", NAMESPACE, "logs", "--prefix", "--tail=40", "--all-containers", "-l", "app=kube-ovn-cni"],
        vec![
            "-n",
            NAMESPACE,
            "logs",
            "--prefix",
            "--tail=40",
            "--all-containers",
            "-l",
            "app=kube-ovn-controller",
        ],
        vec!["-n", NAMESPACE, "logs", "--prefix", "--tail=40", "-l", "app=ovn-central"],
        vec!["-n", NAMESPACE, "logs", "--prefix", "--tail=40", "-l", "app=ovs-ovn"],
        // The last lines of the phase's log are shown.
        vec!["get", "nodes,pods", "-A", "-o", "wide"],
    ] {
        // The failure that led here is what counts.
        let _ = exec::run(kubernetes::kubectl_command().args(args), exec::SHORT, Some(phase.log()));
    }
}

/// Restarts a workload the orderly way (`kubectl rollout restart`) and waits for it.
///
/// # Errors
/// As [`deploy`].
pub fn restart(phase: &Phase, workload: &str) -> Result<()> {
    kubectl(["-n", NAMESPACE, "rollout", "restart", workload])?;
    wait_workload(phase, workload)
}

/// The name of the pod whose controller leads.
///
/// # Errors
/// When there is no Lease, or it has no holder.
pub fn leader() -> Result<String> {
    let path = "jsonpath={.spec.holderIdentity}";
    let holder = kubectl(["-n", NAMESPACE, "get", "lease", LEASE, "-o", path])?;
    ensure!(!holder.is_empty(), "nobody holds the Lease {LEASE}");
    Ok(holder)
}

/// One of our pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OurPod {
    /// Its name.
    pub name: String,
    /// Its label `app`: `kube-ovn-controller` or `kube-ovn-cni`.
    pub app: String,
    /// The host that it runs on.
    pub host: String,
    /// How often its containers were restarted.
    pub restarts: u64,
}

/// Our pods as they are now, by name.
///
/// # Errors
/// When the API server can't be asked.
pub fn pods() -> Result<Vec<OurPod>> {
    let selector = "app in (kube-ovn-controller, kube-ovn-cni)";
    let list: Value =
        serde_json::from_str(&kubectl(["-n", NAMESPACE, "get", "pods", "-l", selector, "-o", "json"])?)
            .context("reading the list of our pods")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut pods: Vec<OurPod> = list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|pod| OurPod {
            name: text(&pod["metadata"]["name"]),
            app: text(&pod["metadata"]["labels"]["app"]),
            host: text(&pod["spec"]["nodeName"]),
            restarts: pod["status"]["containerStatuses"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|status| status["restartCount"].as_u64())
                .sum(),
        })
        .collect();
    pods.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(pods)
}

/// A running process of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OurProcess {
    /// The host that it runs on.
    pub host: String,
    /// `kube-ovn-controller`, `kube-ovn-daemon` …
    pub program: String,
    /// Its pid on the host.
    pub pid: u32,
    /// Resident memory in KiB (`VmRSS`).
    pub rss_kib: u64,
    /// The part of it that is not files' pages, in KiB (`RssAnon`).
    pub anonymous_kib: u64,
}

/// Our processes on all hosts, with their memory.
///
/// # Errors
/// When a host can't be inspected.
pub fn processes() -> Result<Vec<OurProcess>> {
    let mut found = Vec::new();
    for host in hosts::all() {
        // The link shows the path inside the container.
        let script = "for p in /proc/[0-9]*; do exe=$(readlink $p/exe) || continue\n\
                      case $exe in /kube-ovn/*) echo \"${p#/proc/} ${exe##*/}\" \
                      $(grep -E '^(VmRSS|RssAnon):' $p/status | tr -dc '0-9A-Za-z:\\n');; esac; done; true";
        for line in host.script(script)?.lines() {
            found.extend(process_line(&host, line));
        }
    }
    Ok(found)
}

/// `PID PROGRAM VmRSS:1234kB RssAnon:567kB`; nothing for a process that ended meanwhile.
fn process_line(host: &Host, line: &str) -> Option<OurProcess> {
    let mut words = line.split_whitespace();
    let (pid, program) = (words.next()?.parse().ok()?, words.next()?.to_owned());
    let (mut rss_kib, mut anonymous_kib) = (None, None);
    for word in words {
        let (key, value) = word.split_once(':')?;
        let value = value.trim_end_matches("kB").parse().ok();
        match key {
            "VmRSS" => rss_kib = value,
            "RssAnon" => anonymous_kib = value,
            _ => {}
        }
    }
    Some(OurProcess {
        host: host.name.clone(),
        program,
        pid,
        rss_kib: rss_kib?,
        anonymous_kib: anonymous_kib?,
    })
}

/// Kills our processes of this program on one host, as a crash would; Kubernetes restarts them. Returns how many.
///
/// # Errors
/// When the host can't be inspected.
pub fn kill(host: &Host, program: &str, signal: &str) -> Result<usize> {
    let victims: Vec<OurProcess> =
        processes()?.into_iter().filter(|p| p.host == host.name && p.program == program).collect();
    for victim in &victims {
        host.exec(["kill", &format!("-{signal}"), &victim.pid.to_string()])?;
    }
    Ok(victims.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_has_the_image_and_all_members() {
        let values = values_for("docker.io/example/tombolo:abc", None, Access::Plain).unwrap();
        assert_eq!(values["global"]["registry"]["address"], "docker.io/example");
        assert_eq!(values["global"]["images"]["tombolo"], json!({ "repository": "tombolo", "tag": "abc" }));
        assert_eq!(values["ovn"]["nb"][2], "tcp:172.30.0.3:6641");
        let values = values_for("docker.io/example/tombolo:abc", None, Access::Tls).unwrap();
        assert!(values["ovn"]["sb"][0].as_str().unwrap().starts_with("ssl:172.30.0.1:"));
        assert!(values_for("no-tag", None, Access::Plain).is_err());
    }

    #[test]
    fn memory_of_a_process_is_read() {
        let host = hosts::host(2);
        let process = process_line(&host, "17 kube-ovn-daemon VmRSS:12345kB RssAnon:678kB").unwrap();
        assert_eq!((process.pid, process.rss_kib, process.anonymous_kib), (17, 12345, 678));
        assert_eq!(process_line(&host, "18 kube-ovn-daemon"), None);
    }
}
