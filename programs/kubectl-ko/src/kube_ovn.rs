//! Kube-OVN's own workloads, which have the same names as ours. Pure.

use serde_json::Value;

/// The scripts by which its containers start; ours start their programs themselves.
const SCRIPTS: [&str; 3] = ["/start-controller.sh", "/start-cniserver.sh", "/start-ic-controller.sh"];

/// Whether a Deployment, a DaemonSet or a pod is Kube-OVN's own: one of its containers starts a script of Kube-OVN's.
pub fn is_theirs(workload: &Value) -> bool {
    let spec = if workload["spec"]["template"].is_object() {
        &workload["spec"]["template"]["spec"]
    } else {
        &workload["spec"]
    };
    let containers = spec["containers"].as_array().into_iter().flatten();
    let words = containers.flat_map(|container| {
        let lists = ["command", "args"].into_iter().filter_map(|key| container[key].as_array());
        lists.flatten().filter_map(Value::as_str)
    });
    words.into_iter().any(|word| SCRIPTS.iter().any(|script| word.ends_with(script)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_starts_by_its_scripts_is_kube_ovns() {
        let spec = |container: Value| json!({ "containers": [container] });
        let of = |container: Value| json!({ "spec": { "template": { "spec": spec(container) } } });
        assert!(is_theirs(&of(json!({ "args": ["/kube-ovn/start-controller.sh", "--x"] }))));
        assert!(is_theirs(&of(json!({ "command": ["bash", "/kube-ovn/start-cniserver.sh"] }))));
        assert!(is_theirs(&json!({ "spec": spec(json!({ "command": ["/kube-ovn/start-controller.sh"] })) })));
        assert!(!is_theirs(&of(json!({ "command": ["/kube-ovn/kube-ovn-controller"] }))));
        assert!(!is_theirs(&json!({})));
    }
}
