//! Manifests decode: the document's, word for word, and whatever else users have.

#![allow(clippy::unwrap_used)] // A test program; helpers of tests aren't recognized as such.

use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tombolo_api::views::{NamespaceView, NodeView, PodView};
use tombolo_api::{Ip, IpCount, Subnet, SubnetStatus, Vpc, annotations as a};

fn document<T: DeserializeOwned>(name: &str) -> T {
    let path = format!("{}/tests/manifests/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_documents_vpc() {
    let vpc: Vpc = document("vpc-from-document.yaml");
    assert_eq!(vpc.name_any(), "neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93");
    assert_eq!(vpc.uid().unwrap(), "18d4c654-f511-4def-a3a0-a6434d237c1e");
    assert_eq!(vpc.labels()[a::VPC_EXTERNAL], "true");
    assert_eq!(vpc.spec.namespaces, ["net2"]);
    assert_eq!(vpc.status, None);
}

#[test]
fn the_documents_subnet() {
    let subnet: Subnet = document("subnet-from-document.yaml");
    assert_eq!(subnet.name_any(), "net2");
    assert_eq!(subnet.spec.vpc, "neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93");
    assert_eq!(subnet.spec.namespaces, ["net2"]);
    assert_eq!(subnet.spec.cidr_block, "12.0.1.0/24");
    assert!(!subnet.spec.nat_outgoing);
}

#[test]
fn the_documents_pod() {
    let pod: PodView = document("pod-from-document.yaml");
    assert_eq!(pod.port_name(), "ubuntu.net2");
    assert_eq!(pod.spec.restart_policy.as_deref(), Some("Always"));
    assert!(!pod.spec.host_network && !pod.is_finished() && !pod.is_terminating());
}

fn round_trip<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(json: &str) -> T {
    let value: T = serde_json::from_str(json).unwrap();
    let again: T = serde_json::from_value(serde_json::to_value(&value).unwrap()).unwrap();
    assert_eq!(value, again);
    value
}

#[test]
fn what_kube_ovn_wrote() {
    let vpc: Vpc = round_trip(
        r#"{"apiVersion":"kubeovn.io/v1","kind":"Vpc","metadata":{"name":"ovn-cluster"},"spec":{},
        "status":{"conditions":[],"standby":true,"default":true,"defaultLogicalSwitch":"ovn-default","router":"ovn-cluster",
        "tcpLoadBalancer":"cluster-tcp-loadbalancer","subnets":["join","ovn-default"],"vpcPeerings":[],
        "bfdPort":{},"aFieldOfTomorrow":1}}"#,
    );
    assert_eq!(vpc.status.unwrap().subnets, ["join", "ovn-default"]);
    let subnet: Subnet = round_trip(
        r#"{"apiVersion":"kubeovn.io/v1","kind":"Subnet","metadata":{"name":"s"},
        "spec":{"cidrBlock":"fd00::/64","enableLb":true,"mtu":1400,"u2oFeatures":{},"acls":[{"direction":"to-lport","priority":1001,"match":"ip","action":"drop"}]},
        "status":{"v6availableIPs":18446744073709552000,"v6usingIPs":0,"natOutgoingPolicyRules":[{"ruleID":"x","match":{"srcIPs":"1.1.1.1"},"action":"nat"}]}}"#,
    );
    assert_eq!((subnet.spec.enable_lb, subnet.spec.mtu), (Some(true), 1400));
    let status = subnet.status.unwrap();
    assert_eq!(status.v6_available_ips, IpCount::from(1 << 64));
    assert_eq!(status.nat_outgoing_policy_rules[0].match_.src_ips, "1.1.1.1");
    let ip: Ip = round_trip(
        r#"{"apiVersion":"kubeovn.io/v1","kind":"IP","metadata":{"name":"ubuntu.net2","labels":{"net2":""}},
        "spec":{"podName":"ubuntu","namespace":"net2","subnet":"net2","attachSubnets":[],"nodeName":"","ipAddress":"12.0.1.2",
        "v4IpAddress":"12.0.1.2","v6IpAddress":"","attachIps":[],"macAddress":"00:00:00:7A:2E:93","attachMacs":[],"containerID":"","podType":""}}"#,
    );
    assert_eq!(
        (ip.spec.v4_ip_address.as_str(), ip.spec.mac_address.as_str()),
        ("12.0.1.2", "00:00:00:7A:2E:93")
    );
    assert_eq!((Ip::kind(&()), Ip::plural(&())), ("IP".into(), "ips".into()));
}

#[test]
fn a_status_is_written_as_a_whole() {
    // A merge patch of the status must be able to take back any of its fields.
    let status = serde_json::to_value(SubnetStatus::default()).unwrap();
    assert_eq!(status["v4availableIPs"], 0);
    assert_eq!(status["v4availableIPrange"], "");
    assert_eq!(status["conditions"], serde_json::json!([]));
    let vpc = serde_json::to_value(tombolo_api::VpcStatus::default()).unwrap();
    assert_eq!((&vpc["standby"], &vpc["subnets"]), (&false.into(), &serde_json::json!([])));
}

#[test]
fn views_drop_what_nobody_reads() {
    let pod: PodView = serde_json::from_str(
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web-0","namespace":"ns","uid":"u","resourceVersion":"7",
        "labels":{"app":"web"},"annotations":{"ovn.kubernetes.io/ip_address":"12.0.1.9","kubectl.kubernetes.io/last-applied-configuration":"{}"},
        "ownerReferences":[{"apiVersion":"apps/v1","kind":"StatefulSet","name":"web","uid":"x","controller":true}],
        "deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":["f"],
        "managedFields":[{"manager":"kubelet","operation":"Update","fieldsV1":{"f:status":{}}}]},
        "spec":{"nodeName":"n1","hostNetwork":true,"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]},
        "status":{"phase":"Succeeded","podIP":"12.0.1.9","containerStatuses":[{"name":"c"}]}}"#,
    )
    .unwrap();
    assert_eq!(pod.metadata.managed_fields, None);
    assert_eq!(pod.metadata.annotations.as_ref().unwrap().len(), 1);
    assert_eq!(pod.annotation(a::IP_ADDRESS), Some("12.0.1.9"));
    assert_eq!(pod.stateful_set(), Some("web"));
    assert_eq!(pod.spec.node_name.as_deref(), Some("n1"));
    assert_eq!(pod.metadata.finalizers.as_deref(), Some(["f".to_owned()].as_slice()));
    assert!(pod.spec.host_network && pod.is_finished() && pod.is_terminating());
    assert_eq!(PodView::api_version(&()), "v1");

    let node: NodeView = serde_json::from_str(
        r#"{"metadata":{"name":"n1"},"spec":{"podCIDR":"10.244.0.0/24","taints":[]},
        "status":{"addresses":[{"type":"Hostname","address":"n1"},{"type":"InternalIP","address":"172.30.0.1"}],"images":[]}}"#,
    )
    .unwrap();
    assert_eq!(node.internal_ips().map(|a| a.to_string()).collect::<Vec<_>>(), ["172.30.0.1"]);
    let ns: NamespaceView = serde_json::from_str(
        r#"{"metadata":{"name":"net2","labels":{"kubernetes.io/metadata.name":"net2"}}}"#,
    )
    .unwrap();
    assert_eq!(ns.name_any(), "net2");
}
