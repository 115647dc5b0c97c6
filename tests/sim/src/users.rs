//! What users, kubelet and Kubernetes' controllers do at the API server, in one word each.

use serde_json::{Value, json};
use tombolo_engine::WriteError;
use tombolo_net::DualCidr;
use tombolo_plan::{ClusterId, Config, Kind, Selector};

use crate::api::merge;
use crate::sim::Sim;

/// The default settings, and the cluster id `c1`.
///
/// # Panics
/// Never.
#[must_use]
pub fn config() -> Config {
    let cidr = |text: &str| text.parse::<DualCidr>().expect("invariant: a CIDR");
    Config {
        cluster: ClusterId::new("c1").expect("invariant: an id"),
        default_subnet: "ovn-default".to_owned(),
        default_cidr: cidr("10.16.0.0/16"),
        default_gateway: Vec::new(),
        default_exclude: Vec::new(),
        cluster_router: "ovn-cluster".to_owned(),
        join_subnet: "join".to_owned(),
        join_cidr: cidr("100.64.0.0/16"),
        join_gateway: Vec::new(),
        service_cidr: Some(cidr("10.96.0.0/12")),
        enable_lb: true,
        port_security: false,
        external_vpcs: true,
        router_selector: Selector::default(),
        retention_secs: 3_600,
        take_over: false,
        leaving: false,
    }
}

impl Sim {
    /// `kubectl apply`: creates the object, or merges it into what is there.
    ///
    /// # Panics
    /// When the API server refuses it.
    pub fn apply(&mut self, kind: Kind, object: &Value) -> Value {
        let meta = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let (namespace, name) = (meta("namespace"), meta("name"));
        self.user(|api| match api.patch(kind, &namespace, &name, object, false) {
            Err(WriteError::NotFound) => api.create(kind, object.clone()),
            result => result,
        })
        .unwrap_or_else(|error| panic!("{kind:?} {namespace} {name}: {error}"))
    }

    /// Creates a namespace.
    pub fn namespace(&mut self, name: &str) {
        self.apply(Kind::Namespace, &json!({ "metadata": { "name": name } }));
    }

    /// Creates a node with an internal address.
    pub fn node(&mut self, name: &str, address: &str) {
        let status = json!({ "addresses": [{ "type": "InternalIP", "address": address }] });
        self.apply(Kind::Node, &json!({ "metadata": { "name": name }, "status": status }));
    }

    /// Sets `spec.namespaces` of a Vpc.
    pub fn vpc_namespaces(&mut self, vpc: &str, namespaces: &[&str]) {
        self.apply(Kind::Vpc, &json!({ "metadata": { "name": vpc }, "spec": { "namespaces": namespaces } }));
    }

    /// Creates or changes a Subnet.
    pub fn subnet(&mut self, name: &str, spec: &Value) {
        self.apply(Kind::Subnet, &json!({ "metadata": { "name": name }, "spec": spec }));
    }

    /// Creates a pod on a node.
    pub fn pod(&mut self, namespace: &str, name: &str, node: &str) {
        self.pod_with(namespace, name, node, &[]);
    }

    /// Creates a pod on a node with annotations.
    pub fn pod_with(&mut self, namespace: &str, name: &str, node: &str, annotations: &[(&str, &str)]) {
        let annotations: Value = annotations
            .iter()
            .map(|(k, v)| ((*k).to_owned(), json!(v)))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let metadata = json!({ "namespace": namespace, "name": name, "annotations": annotations });
        let object =
            json!({ "metadata": metadata, "spec": { "nodeName": node }, "status": { "phase": "Pending" } });
        self.apply(Kind::Pod, &object);
    }

    /// Changes a pod as kubelet does, status included.
    pub fn patch_pod(&mut self, namespace: &str, name: &str, patch: &Value) {
        self.user(|api| {
            if let Some(mut pod) = api.get(Kind::Pod, &format!("{namespace}/{name}")).cloned() {
                merge(&mut pod, patch);
                api.force(Kind::Pod, pod);
            }
        });
    }

    /// A pod begins to end: it has a deletionTimestamp until kubelet is done with it.
    pub fn terminate_pod(&mut self, namespace: &str, name: &str) {
        let now = self.api.now.clone();
        self.patch_pod(namespace, name, &json!({ "metadata": { "deletionTimestamp": now } }));
    }

    /// An object is deleted, pods without grace. Nothing happens if it isn't there.
    pub fn delete(&mut self, kind: Kind, namespace: &str, name: &str) {
        // Not being there is what was wanted.
        let _ = self.user(|api| api.delete(kind, namespace, name, None));
    }

    /// An object.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn object(&self, kind: Kind, key: &str) -> &Value {
        self.api.get(kind, key).unwrap_or_else(|| panic!("there is no {kind:?} {key}"))
    }

    /// An annotation of a pod.
    #[must_use]
    pub fn pod_annotation(&self, pod: &str, key: &str) -> Option<&str> {
        self.api.get(Kind::Pod, pod)?["metadata"]["annotations"][key].as_str()
    }

    /// The address of a pod, if its annotations have one and say that it is routed.
    #[must_use]
    pub fn pod_address(&self, pod: &str) -> Option<&str> {
        self.pod_annotation(pod, tombolo_api::annotations::IP_ADDRESS)
            .filter(|_| self.pod_annotation(pod, tombolo_api::annotations::ROUTED) == Some("true"))
    }

    /// Status and reason of a condition.
    #[must_use]
    pub fn condition(&self, kind: Kind, name: &str, condition: &str) -> Option<(&str, &str, &str)> {
        let conditions = self.api.get(kind, name)?["status"]["conditions"].as_array()?;
        let found = conditions.iter().find(|it| it["type"] == condition)?;
        let text = |key: &str| found[key].as_str().unwrap_or_default();
        Some((text("status"), text("reason"), text("message")))
    }

    /// The Events on an object: their reasons, in order.
    #[must_use]
    pub fn reasons(&self, kind: Kind, name: &str) -> Vec<&str> {
        let about = self.notices.iter().filter(|notice| notice.kind == kind && notice.name == name);
        about.map(|notice| notice.reason.as_str()).collect()
    }

    /// A line of `kubectl get vpc`: STANDBY and SUBNETS.
    #[must_use]
    pub fn vpc_line(&self, name: &str) -> String {
        let status = &self.object(Kind::Vpc, name)["status"];
        format!("{} {}", status["standby"], status["subnets"])
    }
}
