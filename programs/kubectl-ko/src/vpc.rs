//! Which Vpc is the cluster's own: the one that the controller's flags name, which other clusters on the same OVN call otherwise.

use anyhow::{Result, bail};
use serde_json::Value;

use crate::database::{CONTROLLER, flag};
use crate::kubectl::Kubectl;

/// Kube-OVN's name for it, and the default of the flag.
const USUAL: &str = "ovn-cluster";

/// The name of the default Vpc. Where the Deployment can't be read, the Vpcs' own status decides.
pub fn default(kubectl: &Kubectl) -> Result<String> {
    let deployment = kubectl.try_json(&["get", "deployment", "-n", kubectl.namespace(), CONTROLLER])?;
    match &deployment {
        Ok(deployment) => Ok(flag(deployment, "--cluster-router").unwrap_or_else(|| USUAL.to_owned())),
        Err(why) => match of_status(&kubectl.json(&["get", "vpcs.kubeovn.io"])?)[..] {
            [name] => Ok(name.to_owned()),
            _ => bail!("the cluster's own Vpc is unknown ({why}); name it by --vpc=NAME"),
        },
    }
}

fn of_status(vpcs: &Value) -> Vec<&str> {
    let all = vpcs["items"].as_array().into_iter().flatten();
    all.filter(|vpc| vpc["status"]["default"] == true)
        .filter_map(|vpc| vpc["metadata"]["name"].as_str())
        .collect()
}
