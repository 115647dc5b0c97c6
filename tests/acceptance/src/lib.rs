//! Shared by the acceptance tests: the running sandbox, namespaces, subnets and pods that are removed with the test,
//! and functions that read objects, Events and logs.
//!
//! Tests run one at a time (`--test-threads=1`) on a sandbox with our programs in it, when `--test acceptance` selects
//! them and `TOMBOLO_ACCEPTANCE=1` is set; without it each fails. They leave the sandbox as they found it, in any case.

pub mod frames;
pub mod healing;
pub mod leaks;
pub mod pings;
pub mod router;

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tombolo_foreign_rows::{Builder, Database, Guard, Seen};
use tombolo_needs::missing;
use tombolo_plan::ClusterId;
use tombolo_sandbox::hosts::{self, Host};
use tombolo_sandbox::kubernetes::{self, kubectl, kubectl_command};
use tombolo_sandbox::neutron::{self, Objects};
use tombolo_sandbox::{exec, ovn, programs};

/// For what takes a moment on a busy machine.
pub const SOON: Duration = Duration::from_secs(60);
/// For what a fault delays: leases, elections, back-off.
pub const LATER: Duration = Duration::from_secs(150);

/// The sandbox, once it is found fit: OpenStack's objects are there, our programs are rolled out, nodes Ready. The guard
/// of foreign rows is around all databases of it until the test ends, and fails the test if a row was touched that
/// isn't ours.
#[derive(Debug)]
pub struct Bed {
    /// Around NB, SB and each host's Open_vSwitch.
    pub guard: Guard,
    /// Network, subnet and router in OpenStack.
    pub objects: Objects,
}

/// The sandbox, or nothing where the tests are not asked for.
///
/// # Errors
/// When they are, but the sandbox isn't fit.
pub fn bed() -> Result<Option<Bed>> {
    if std::env::var("TOMBOLO_ACCEPTANCE").as_deref() != Ok("1") {
        missing("a sandbox that is up, and TOMBOLO_ACCEPTANCE=1, which `cargo xtask test` sets");
        return Ok(None);
    }
    let objects = neutron::objects().context("is the sandbox up? cargo xtask demo")?;
    healthy()?;
    Ok(Some(Bed { guard: guarded()?.start()?, objects }))
}

/// Judges all that the sandbox's databases still tell since they were made: the installation, and the scenario.
///
/// # Errors
/// What was touched that isn't ours.
pub fn history() -> Result<Seen> {
    guarded()?.with_history().start()?.check()
}

/// A guard around the files of all databases of the sandbox (invariant 1).
fn guarded() -> Result<Builder> {
    let uid = kubectl(["get", "namespace", programs::NAMESPACE, "-o", "jsonpath={.metadata.uid}"])?;
    let cluster = ClusterId::new(uid.trim()).map_err(anyhow::Error::msg)?;
    let files =
        |database: ovn::Database| hosts::all().iter().map(|host| database.file(host)).collect::<Vec<_>>();
    let mut guard = Guard::of(cluster).watch(Database::Northbound, "NB", &files(ovn::Database::Nb)).watch(
        Database::Southbound,
        "SB",
        &files(ovn::Database::Sb),
    );
    for host in hosts::all() {
        guard = guard.watch(Database::Vswitch, &host.name, &[ovn::vswitch_file(&host)]);
    }
    Ok(guard)
}

/// Waits until both workloads of ours are complete, all nodes are Ready, and nothing leaks.
///
/// # Errors
/// When they aren't in time.
pub fn healthy() -> Result<()> {
    exec::wait_ok("our workloads and the nodes to be ready", LATER, || {
        for workload in programs::WORKLOADS {
            kubectl(["-n", programs::NAMESPACE, "rollout", "status", workload, "--timeout=20s"])?;
        }
        programs::leader()?;
        kubectl(["wait", "--for=condition=Ready", "node", "--all", "--timeout=20s"]).map(drop)
    })?;
    leaks::none()
}

/// An object as JSON. `place` is its namespace, empty for what has none.
///
/// # Errors
/// When it isn't there.
pub fn get(kind: &str, place: &str, name: &str) -> Result<Value> {
    let mut command = kubectl_command();
    command.args(["get", kind, name, "-o", "json"]);
    if !place.is_empty() {
        command.args(["-n", place]);
    }
    let text = exec::check(&mut command, exec::SHORT, None)?;
    serde_json::from_str(&text).with_context(|| format!("reading {kind} {name}"))
}

/// Deletes an object and waits until it is gone.
///
/// # Errors
/// When it doesn't go.
pub fn delete(kind: &str, place: &str, name: &str) -> Result<()> {
    let mut command = kubectl_command();
    command.args(["delete", kind, name, "--ignore-not-found", "--timeout=100s"]);
    if !place.is_empty() {
        command.args(["-n", place]);
    }
    exec::check(&mut command, Duration::from_secs(120), None).map(drop)
}

/// Waits for a condition of a Vpc or Subnet, by `STATUS REASON`, for example `False CidrConflict`.
///
/// # Errors
/// With what the condition is, when it doesn't become that.
pub fn condition(kind: &str, name: &str, type_: &str, wanted: &str) -> Result<String> {
    exec::wait_ok(&format!("{kind} {name} to have {type_} = {wanted}"), SOON, || {
        let object = get(kind, "", name)?;
        let conditions = object["status"]["conditions"].as_array();
        let found = conditions.into_iter().flatten().find(|c| c["type"] == type_);
        let text = |field: &str| found.and_then(|c| c[field].as_str()).unwrap_or_default().to_owned();
        let now = format!("{} {}", text("status"), text("reason"));
        ensure!(now == wanted, "it is {now}: {}", text("message"));
        Ok(text("message"))
    })
}

/// Waits for an Event about an object and returns its message.
///
/// # Errors
/// When none comes.
pub fn event(kind: &str, place: &str, name: &str, reason: &str) -> Result<String> {
    let place = if place.is_empty() { "default" } else { place };
    let selector = format!("involvedObject.kind={kind},involvedObject.name={name},reason={reason}");
    exec::wait_ok(&format!("the Event {reason} about {kind} {name}"), SOON, || {
        let text = kubectl(["-n", place, "get", "events", "--field-selector", &selector, "-o", "json"])?;
        let list: Value = serde_json::from_str(&text)?;
        let message = list["items"][0]["message"].as_str();
        message.map(str::to_owned).context("there is none")
    })
}

/// A namespace that goes with the test, and with it its pods.
#[derive(Debug)]
pub struct Space {
    /// Its name.
    pub name: String,
}

/// Makes a namespace.
///
/// # Errors
/// When it can't be made.
pub fn space(name: &str) -> Result<Space> {
    delete("namespace", "", name)?;
    kubectl(["create", "namespace", name])?;
    Ok(Space { name: name.to_owned() })
}

impl Drop for Space {
    fn drop(&mut self) {
        if let Err(error) = delete("namespace", "", &self.name) {
            eprintln!("the namespace {} stays: {error:#}", self.name);
        }
    }
}

/// A pod that is Ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub place: String,
    /// Its name.
    pub name: String,
    /// The host that it runs on.
    pub host: Host,
    /// Its address.
    pub address: String,
}

impl Space {
    /// Creates a pod with these annotations, on a node or where the scheduler likes.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub fn create(&self, name: &str, node: Option<&str>, annotations: &[(&str, &str)]) -> Result<()> {
        let annotations: serde_json::Map<String, Value> =
            annotations.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": self.name, "annotations": annotations},
            "spec": {"nodeName": node, "terminationGracePeriodSeconds": 0, "containers": [{
                "name": "sleep", "image": "kubeovn/kube-ovn:v1.8.4", "imagePullPolicy": "IfNotPresent",
                "command": ["sleep", "36000"],
            }]},
        });
        kubernetes::apply(&pod.to_string()).map(drop)
    }

    /// Waits until a pod is Ready.
    ///
    /// # Errors
    /// When it isn't in time.
    pub fn ready(&self, name: &str, within: Duration) -> Result<Pod> {
        let timeout = format!("--timeout={}s", within.as_secs());
        let mut wait = kubectl_command();
        wait.args(["-n", &self.name, "wait", "--for=condition=Ready", &format!("pod/{name}"), &timeout]);
        exec::check(&mut wait, within + exec::SHORT, None).with_context(|| {
            let events = kubectl(["-n", &self.name, "describe", "pod", name]).unwrap_or_default();
            let from = events.find("Events:").unwrap_or_default();
            format!("the pod {name}: {}", &events[from..])
        })?;
        let pod = get("pod", &self.name, name)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(Pod {
            place: self.name.clone(),
            name: name.to_owned(),
            host: hosts::by_name(&text(&pod["spec"]["nodeName"]))?,
            address: text(&pod["status"]["podIP"]),
        })
    }

    /// Creates a pod and waits until it is Ready.
    ///
    /// # Errors
    /// As [`Space::create`] and [`Space::ready`].
    pub fn pod(&self, name: &str, node: Option<&str>) -> Result<Pod> {
        self.create(name, node, &[])?;
        self.ready(name, SOON)
    }
}

impl Pod {
    /// Pings from the pod. Returns whether all were answered, and what ping printed.
    ///
    /// # Errors
    /// When no command can be run in the pod.
    pub fn ping(&self, address: &str) -> Result<(bool, String)> {
        let mut command = kubectl_command();
        command.args(["-n", &self.place, "exec", &self.name, "--", "ping", address, "-c2", "-W2"]);
        let output = exec::run(&mut command, exec::SHORT, None)?;
        Ok((output.stdout.contains(" 0% packet loss"), output.stdout + &output.stderr))
    }

    /// Pings until all are answered.
    ///
    /// # Errors
    /// With what ping printed last.
    pub fn reaches(&self, address: &str) -> Result<()> {
        exec::wait_ok(&format!("{} to reach {address}", self.name), SOON, || {
            let (whole, output) = self.ping(address)?;
            ensure!(whole, "{output}");
            Ok(())
        })
    }
}

/// A Subnet that goes with the test, after the namespace whose pods hold its addresses. On Neutron's router, the Vpc
/// loses its namespaces then.
#[derive(Debug)]
pub struct Net {
    /// Its name.
    pub name: String,
    space: String,
    vpc: Option<String>,
}

impl Bed {
    /// Applies a Subnet for a namespace in Neutron's router's Vpc, to whose namespaces that is added.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub fn subnet(&self, name: &str, cidr: &str, space: &Space) -> Result<Net> {
        let vpc = self.objects.logical_router();
        namespaces(&vpc, &[&space.name])?;
        let mut net = Net::of(name, space);
        net.vpc = Some(vpc.clone());
        apply_subnet(name, &vpc, cidr, &[&space.name], &json!({}))?;
        Ok(net)
    }

    /// As [`Bed::subnet`], and waits until the Subnet is Ready.
    ///
    /// # Errors
    /// When it doesn't become Ready.
    pub fn ready_subnet(&self, name: &str, cidr: &str, space: &Space) -> Result<Net> {
        let net = self.subnet(name, cidr, space)?;
        condition("subnets.kubeovn.io", name, "Ready", "True ReconcileLogicalSwitchSuccess")?;
        Ok(net)
    }
}

impl Net {
    /// A Subnet for a namespace that a test applies itself, to be removed with the test.
    pub fn of(name: &str, space: &Space) -> Self {
        Self { name: name.to_owned(), space: space.name.clone(), vpc: None }
    }

    fn remove(&self) -> Result<()> {
        delete("namespace", "", &self.space)?;
        delete("subnets.kubeovn.io", "", &self.name)?;
        self.vpc.as_ref().map_or(Ok(()), |vpc| namespaces(vpc, &[]))
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("the Subnet {} stays: {error:#}", self.name);
        }
    }
}

/// Sets a Vpc's namespaces.
///
/// # Errors
/// When there is no such Vpc in time.
pub fn namespaces(vpc: &str, names: &[&str]) -> Result<()> {
    let patch = json!({"spec": {"namespaces": names}}).to_string();
    exec::wait_ok(&format!("the Vpc {vpc}"), SOON, || {
        kubectl(["patch", "vpcs.kubeovn.io", vpc, "--type=merge", "-p", &patch])
    })
    .map(drop)
}

/// Applies a Subnet with further fields of its spec.
///
/// # Errors
/// When the API server refuses it.
pub fn apply_subnet(name: &str, vpc: &str, cidr: &str, spaces: &[&str], more: &Value) -> Result<()> {
    let mut spec = json!({"vpc": vpc, "namespaces": spaces, "cidrBlock": cidr, "natOutgoing": false});
    let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object()) else {
        bail!("a spec is an object");
    };
    spec.extend(more.clone());
    let subnet =
        json!({"apiVersion": "kubeovn.io/v1", "kind": "Subnet", "metadata": {"name": name}, "spec": spec});
    kubernetes::apply(&subnet.to_string()).map(drop)
}

/// How often the containers of our controllers and agents were restarted, by pod.
///
/// # Errors
/// When Kubernetes can't be asked.
pub fn restarts(app: &str) -> Result<Vec<(String, u64)>> {
    let pods = programs::pods()?.into_iter().filter(|pod| pod.app == app);
    Ok(pods.map(|pod| (pod.name, pod.restarts)).collect())
}
