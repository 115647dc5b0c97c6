//! Open vSwitch's programs on a node: in the pod that runs Open vSwitch there, if one does.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::kubectl::{Kubectl, NAMESPACE, ready_pod};

/// Runs `program` on `node`.
pub fn exec(kubectl: &Kubectl, program: &str, node: &str, arguments: &[OsString]) -> Result<ExitCode> {
    let selector = format!("spec.nodeName={node}");
    let pods =
        kubectl.json(&["get", "pods", "-n", NAMESPACE, "-l", "app=ovs", "--field-selector", &selector])?;
    let Some(pod) = ready_pod(&pods) else {
        // Says which of the two it is: a wrong name, or an Open vSwitch that isn't ours.
        if let Err(error) = kubectl.try_json(&["get", "node", node])? {
            bail!("{error}");
        }
        bail!(
            "no ovs-ovn pod on node {node}: Open vSwitch there is run by the host, so run it on the host itself: {program}"
        );
    };
    let mut args: Vec<OsString> =
        ["exec", "-i", "-n", NAMESPACE, pod, "-c", "openvswitch", "--", program].map(OsString::from).to_vec();
    args.extend(arguments.iter().cloned());
    kubectl.run(&args)
}
