//! Step 3: the document's manifests: a namespace, the Vpc, a subnet on Neutron's router, a pod in it.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::console::Console;
use super::manifests;
use crate::kubernetes::kubectl;
use crate::neutron::Objects;
use crate::progress::Phase;

/// How often the Vpc is applied while its status changes beneath.
const ATTEMPTS: usize = 5;

/// Plays the step.
///
/// # Errors
/// With the check that didn't hold.
pub fn play(stage: &Console, phase: &Phase, objects: &Objects) -> Result<()> {
    stage.write("namespace.yaml", manifests::NAMESPACE)?;
    stage.write("subnet.yaml", &manifests::with_router(manifests::SUBNET, &objects.router)?)?;
    stage.write("pod.yaml", manifests::POD)?;
    stage.remark("The manifests are the document's; the router's UUID in them is ours.");
    stage.run("cat namespace.yaml; kubectl apply -f namespace.yaml")?;
    vpc(stage, objects)?;
    stage.run("cat subnet.yaml; kubectl apply -f subnet.yaml")?;
    stage.run("cat pod.yaml; kubectl apply -f pod.yaml")?;
    phase.doing("waiting for the subnet and the pod");
    stage.run("kubectl wait --for=condition=Ready subnets.kubeovn.io/net2 --timeout=60s")?;
    stage.run("kubectl -n net2 wait --for=condition=Ready pod/ubuntu --timeout=120s")?;
    let subnet = object("subnets.kubeovn.io", "net2")?;
    let field = |name: &str| subnet["spec"][name].as_str().unwrap_or_default().to_owned();
    stage.same(
        "the subnet is on the router, its gateway the first address",
        [field("vpc"), field("cidrBlock"), field("gateway")],
        [objects.logical_router(), "12.0.1.0/24".to_owned(), "12.0.1.1".to_owned()],
    )
}

fn object(kind: &str, name: &str) -> Result<Value> {
    let text = kubectl(["get", kind, name, "-o", "json"])?;
    serde_json::from_str(&text).with_context(|| format!("reading {kind} {name}"))
}

/// Applies the document's Vpc. It names a resource version, so it is refused when the status has changed since it
/// was read: then it is read again, as a user would.
fn vpc(stage: &Console, objects: &Objects) -> Result<()> {
    let name = objects.logical_router();
    stage.remark(
        "The document's Vpc carries the uid, resourceVersion, generation and creationTimestamp of its own cluster's\n\
         object: those of the live object take their place (kubectl get vpc -o yaml).",
    );
    for _ in 0..ATTEMPTS {
        let live = object("vpcs.kubeovn.io", &name)?;
        stage.write("vpc.yaml", &manifests::vpc(&objects.router, &live)?)?;
        let output = stage.try_run("cat vpc.yaml; kubectl apply -f vpc.yaml")?;
        if output.status.success() {
            let live = object("vpcs.kubeovn.io", &name)?;
            return stage.same(
                "the Vpc has the namespace",
                &live["spec"]["namespaces"],
                &serde_json::json!(["net2"]),
            );
        }
        if !output.stderr.contains("the object has been modified") {
            bail!("applying vpc.yaml: {}", output.stderr.trim());
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    bail!("applying vpc.yaml: the object changed each of {ATTEMPTS} times between reading and applying")
}
