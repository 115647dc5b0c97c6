//! What a pod's containers need of its node: probes over the network, ports of the host. Only whether, not what: a byte
//! for each list of containers, read straight from the watch.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

/// What containers need of their node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// The kubelet dials the pod: a probe or a hook by httpGet, tcpSocket or grpc, to the pod's own address.
    pub probes: bool,
    /// A port of the host leads to the pod.
    pub host_ports: bool,
}

impl std::ops::BitOr for Needs {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self { probes: self.probes || other.probes, host_ports: self.host_ports || other.host_ports }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    liveness_probe: Option<Handler>,
    readiness_probe: Option<Handler>,
    startup_probe: Option<Handler>,
    lifecycle: Option<Lifecycle>,
    ports: Option<Vec<Port>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Lifecycle {
    post_start: Option<Handler>,
    pre_stop: Option<Handler>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Handler {
    http_get: Option<Dial>,
    tcp_socket: Option<Dial>,
    grpc: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Dial {
    /// Another place than the pod's own address.
    host: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Port {
    host_port: Option<u32>,
}

impl Handler {
    fn dials(&self) -> bool {
        let own = |dial: &Option<Dial>| {
            dial.as_ref().is_some_and(|dial| dial.host.as_deref().unwrap_or_default().is_empty())
        };
        own(&self.http_get) || own(&self.tcp_socket) || self.grpc.is_some()
    }
}

impl Container {
    fn needs(&self) -> Needs {
        let hooks = self.lifecycle.iter().flat_map(|all| [&all.post_start, &all.pre_stop]);
        let probes = [&self.liveness_probe, &self.readiness_probe, &self.startup_probe];
        Needs {
            probes: probes.into_iter().chain(hooks).flatten().any(Handler::dials),
            host_ports: self.ports.iter().flatten().any(|port| port.host_port.is_some_and(|port| port > 0)),
        }
    }
}

impl<'de> Deserialize<'de> for Needs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Containers;
        impl<'de> serde::de::Visitor<'de> for Containers {
            type Value = Needs;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of containers")
            }

            fn visit_unit<E>(self) -> Result<Needs, E> {
                Ok(Needs::default())
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut all: A) -> Result<Needs, A::Error> {
                let mut needs = Needs::default();
                while let Some(container) = all.next_element::<Container>()? {
                    needs = needs | container.needs();
                }
                Ok(needs)
            }
        }
        deserializer.deserialize_any(Containers)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn probes_over_the_network_and_ports_of_the_host() {
        let needs = |containers: serde_json::Value| {
            let needs: Needs = serde_json::from_value(containers).unwrap();
            (needs.probes, needs.host_ports)
        };
        for (container, wanted) in [
            (json!({ "name": "c", "image": "i" }), (false, false)),
            (json!({ "readinessProbe": { "exec": { "command": ["true"] } } }), (false, false)),
            (json!({ "readinessProbe": { "httpGet": { "port": 8080, "path": "/" } } }), (true, false)),
            (json!({ "readinessProbe": { "httpGet": { "port": 80, "host": "10.0.0.1" } } }), (false, false)),
            (json!({ "livenessProbe": { "tcpSocket": { "port": "http" } } }), (true, false)),
            (json!({ "startupProbe": { "grpc": { "port": 7 } } }), (true, false)),
            (json!({ "lifecycle": { "postStart": { "httpGet": { "port": 1 } } } }), (true, false)),
            (json!({ "lifecycle": { "preStop": { "exec": {} } } }), (false, false)),
            (
                json!({ "ports": [{ "containerPort": 80 }, { "containerPort": 81, "hostPort": 81 }] }),
                (false, true),
            ),
            (json!({ "ports": null, "lifecycle": null }), (false, false)),
        ] {
            assert_eq!(needs(json!([{ "name": "first" }, container])), wanted, "{container}");
        }
        assert_eq!(needs(json!([])), (false, false));
        assert_eq!(needs(json!(null)), (false, false));
    }

    #[test]
    fn a_pod_with_them_is_read() {
        let pod: crate::views::PodView = serde_json::from_value(json!({
            "metadata": { "name": "p" },
            "spec": {
                "containers": [{ "ports": [{ "hostPort": 80 }] }],
                "initContainers": [{ "restartPolicy": "Always", "startupProbe": { "tcpSocket": {} } }],
            },
        }))
        .unwrap();
        assert_eq!(pod.spec.needs(), Needs { probes: true, host_ports: true });
    }
}
