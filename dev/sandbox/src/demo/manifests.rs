//! The document's manifests, word for word, and what a user changes in them.
//!
//! Decides how the document's Vpc manifest is fitted to the live object; see docs/understand/scenario.md.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// The namespace.
pub const NAMESPACE: &str = include_str!("../../files/scenario/namespace.yaml");
/// The Vpc, as it was in the document's cluster.
pub const VPC: &str = include_str!("../../files/scenario/vpc.yaml");
/// The subnet on the router.
pub const SUBNET: &str = include_str!("../../files/scenario/subnet.yaml");
/// The pod.
pub const POD: &str = include_str!("../../files/scenario/pod.yaml");
/// UUID of the router in the document.
const ROUTER: &str = "22040ed5-0598-4f77-bffd-e7fd4db47e93";

/// `manifest` with the document's router replaced by this one.
///
/// # Errors
/// When the manifest doesn't name the document's router.
pub fn with_router(manifest: &str, router: &str) -> Result<String> {
    ensure!(manifest.contains(ROUTER), "the manifest names no router");
    Ok(manifest.replace(ROUTER, router))
}

/// The document's Vpc manifest with what the API server gave the object: its UUID, resource version, generation and
/// time of creation are those of `live`.
///
/// # Errors
/// When `live` isn't an object of the API server.
pub fn vpc(router: &str, live: &Value) -> Result<String> {
    let metadata = &live["metadata"];
    let text = |field: &str| metadata[field].as_str().with_context(|| format!("a Vpc without {field}"));
    let fields = [
        ("creationTimestamp", format!("{:?}", text("creationTimestamp")?)),
        ("generation", metadata["generation"].as_i64().context("a Vpc without a generation")?.to_string()),
        ("resourceVersion", format!("{:?}", text("resourceVersion")?)),
        ("uid", text("uid")?.to_owned()),
    ];
    let mut lines: Vec<String> = with_router(VPC, router)?.lines().map(str::to_owned).collect();
    for (field, value) in fields {
        let start = format!("  {field}: ");
        let line = lines
            .iter_mut()
            .find(|line| line.starts_with(&start))
            .with_context(|| format!("the document's Vpc has no {field}"))?;
        *line = start + &value;
    }
    Ok(lines.join("\n") + "\n")
}

/// The document's pod under another name, on a given node.
pub fn pod_on(name: &str, node: &str) -> String {
    POD.replace("  name: ubuntu\n  namespace", &format!("  name: {name}\n  namespace"))
        .replace("spec:\n", &format!("spec:\n  nodeName: {node}\n"))
}

/// A pod of ours in the default subnet, on a given node: a web server whose probes are a TCP connection, an HTTP
/// request and a command. All of them must succeed for it to be Ready and stay so.
pub fn probed(name: &str, node: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata:
  name: {name}
  labels:
    app: demo
spec:
  nodeName: {node}
  terminationGracePeriodSeconds: 0
  containers:
  - image: kubeovn/kube-ovn:v1.8.4
    imagePullPolicy: IfNotPresent
    name: web
    command: [\"sh\", \"-c\", \"mkdir -p /www; hostname >/www/index.html; exec busybox httpd -f -p 8080 -h /www\"]
    startupProbe:
      tcpSocket: {{port: 8080}}
      periodSeconds: 1
      failureThreshold: 60
    readinessProbe:
      httpGet: {{port: 8080, path: /}}
      periodSeconds: 1
    livenessProbe:
      exec: {{command: [\"cat\", \"/www/index.html\"]}}
---
"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_vpc_gets_what_the_api_server_gave_it_and_keeps_the_rest() {
        let live = json!({"metadata": {"uid": "u-1", "resourceVersion": "17", "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z"}});
        let expected = "apiVersion: kubeovn.io/v1
kind: Vpc
metadata:
  creationTimestamp: \"2026-01-01T00:00:00Z\"
  generation: 1
  labels:
    ovn.kubernetes.io/vpc_external: \"true\"
  name: neutron-r-1
  resourceVersion: \"17\"
  uid: u-1
spec:
  namespaces:
  - net2
";
        assert_eq!(vpc("r-1", &live).unwrap(), expected);
        assert!(vpc("r-1", &json!({})).is_err());
    }

    #[test]
    fn the_subnet_names_the_router_and_a_second_pod_its_node() {
        assert!(with_router(SUBNET, "r-1").unwrap().contains("  vpc: neutron-r-1\n"));
        assert!(with_router(POD, "r-1").is_err());
        let pod = pod_on("ubuntu-2", "host3");
        assert!(
            pod.contains("  name: ubuntu-2\n  namespace: net2\nspec:\n  nodeName: host3\n  containers:\n")
        );
        assert!(pod.contains("    name: ubuntu\n"), "{pod}");
    }

    /// The page that explains the scenario quotes the manifests: it must not drift from them.
    #[test]
    fn the_documentation_quotes_the_manifests() {
        let page = include_str!("../../../../docs/understand/scenario.md");
        for manifest in [NAMESPACE, VPC, SUBNET, POD] {
            assert!(
                page.contains(&format!("```yaml\n{manifest}```")),
                "docs/understand/scenario.md lacks:\n{manifest}"
            );
        }
    }
}
