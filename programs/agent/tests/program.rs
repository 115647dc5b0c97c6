//! The whole program on a real API server, Open vSwitch and OVN: from an empty node to one that serves pods.

#![allow(clippy::unwrap_used)] // a test may: a panic is its failure

mod bed;

use std::path::PathBuf;
use std::time::Duration;

use bed::program::{Program, get};
use bed::{Bed, Sandbox, conf, forward};
use serde_json::{Value, json};
use tombolo_needs::needs;
use tombolo_testbed::{ApiServer, eventually, free_port};

const PATIENCE: Duration = Duration::from_secs(60);

/// The second cluster of an OVN has its own names.
const ROUTER: &str = "b-cluster";
/// As it gives them to its agents, beside what Kube-OVN's manifests give.
const NAMES: [&str; 4] =
    ["--node-switch=b-join", "--cluster-router=b-cluster", "--enable-mirror=false", "--logtostderr=false"];

/// The controller's words: the status of a Vpc.
fn establish(api: &ApiServer, vpc: &str, join: &str, networks: &[(&str, &str)]) {
    let subnets: Vec<Value> = networks
        .iter()
        .map(|(name, cidr)| json!({"name": name, "cidrBlock": cidr, "natOutgoing": true}))
        .collect();
    let gateway = join.replace(".0.0/16", ".0.1");
    let status = json!({"status": {"nodeNetworks": {
        "join": {"name": "b-join", "cidrBlock": join, "gateway": gateway}, "subnets": subnets}}});
    let patch = status.to_string();
    api.kubectl(&["patch", "vpc", vpc, "--subresource=status", "--type=merge", "-p", &patch]).unwrap();
}

/// The node's IP object.
fn address(api: &ApiServer, namespace: &str) {
    let ip = json!({"apiVersion": "kubeovn.io/v1", "kind": "IP", "metadata": {"name": "node-node1"}, "spec": {
        "podName": "node1", "namespace": namespace, "nodeName": "node1", "subnet": "b-join",
        "ipAddress": "100.64.0.2", "v4IpAddress": "100.64.0.2", "v6IpAddress": "", "macAddress": "00:00:00:6E:53:FD",
        "containerID": "", "podType": ""}});
    api.apply(&ip.to_string()).unwrap();
}

fn annotate_pod(api: &ApiServer, pod: &str, uid: &str, mac: &str, ip: &str) {
    let word = format!("tombolo.io/pod-uid={uid}");
    let annotations = [
        "allocated=true",
        "routed=true",
        &format!("ip_address={ip}"),
        &format!("mac_address={mac}"),
        "cidr=10.16.0.0/16",
        "gateway=10.16.0.1",
        "logical_switch=ovn-default",
    ]
    .map(|a| format!("ovn.kubernetes.io/{a}"));
    let args: Vec<&str> = ["-n", "net2", "annotate", "pod", pod]
        .into_iter()
        .chain(annotations.iter().map(String::as_str))
        .chain([word.as_str()])
        .collect();
    api.kubectl(&args).unwrap();
}

/// Creates a pod on the node; gives its UID.
fn pod(api: &ApiServer, name: &str) -> String {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "net2"},
        "spec": {"nodeName": "node1", "containers": [{"name": "c", "image": "i"}]}});
    api.apply(&pod.to_string()).unwrap();
    let got = api.json(&["-n", "net2", "get", "pod", name]).unwrap();
    got["metadata"]["uid"].as_str().unwrap().to_owned()
}

fn condition(api: &ApiServer) -> Value {
    let node = api.json(&["get", "node", "node1"]).unwrap();
    let all = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|c| c["type"] == "NetworkUnavailable").unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn from_an_empty_node_to_one_that_serves_pods() {
    let bed = needs!(Bed::up().await);
    let mut api = needs!(ApiServer::start().unwrap());
    api.apply_crds().unwrap();
    bed.default_vpc();
    bed.lsp("ovn-default", "ubuntu.net2", "00:00:00:7A:2E:93", "10.16.0.5");
    bed.lsp("ovn-default", "debian.net2", "00:00:00:7A:2E:94", "10.16.0.6");
    api.kubectl(&["create", "namespace", "net2"]).unwrap();
    api.apply(r#"{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node1"}}"#).unwrap();
    // None of these configures a node: Subnets that aren't established, another cluster's default Vpc, and annotations
    // of the Node, which other nodes' agents may write.
    for (name, cidr) in [("wished", "172.16.0.0/12"), ("all", "0.0.0.0/0")] {
        let subnet = json!({"apiVersion": "kubeovn.io/v1", "kind": "Subnet", "metadata": {"name": name},
            "spec": {"vpc": ROUTER, "cidrBlock": cidr, "natOutgoing": true}});
        api.apply(&subnet.to_string()).unwrap();
    }
    for vpc in ["ovn-cluster", ROUTER] {
        let vpc =
            json!({"apiVersion": "kubeovn.io/v1", "kind": "Vpc", "metadata": {"name": vpc}, "spec": {}});
        api.apply(&vpc.to_string()).unwrap();
    }
    establish(&api, "ovn-cluster", "100.65.0.0/16", &[("theirs", "10.99.0.0/16")]);
    let forged = [
        "allocated=true",
        "ip_address=100.66.0.2",
        "mac_address=00:00:00:6E:53:FE",
        "cidr=0.0.0.0/0",
        "gateway=100.66.0.1",
        "port_name=victim.net2",
    ]
    .map(|a| format!("ovn.kubernetes.io/{a}"));
    let args = ["annotate", "node", "node1"].into_iter().chain(forged.iter().map(String::as_str));
    api.kubectl(&args.collect::<Vec<_>>()).unwrap();
    let server = api.json(&["config", "view"]).unwrap()["clusters"][0]["cluster"]["server"].clone();
    let api_port: u16 = server.as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap();
    forward(&bed.host, api_port).await;
    let port = free_port().unwrap();
    let program = Program::start(&bed, api.kubeconfig(), "node1", port, &NAMES).await;

    // Without the controller's word the node is not ready, and says why; no configuration is installed.
    eventually("the condition NetworkUnavailable", PATIENCE, || {
        Ok((condition(&api)["status"] == "True").then_some(()))
    })
    .unwrap_or_else(|e| panic!("{e}: {}", program.log()));
    assert_eq!(condition(&api)["reason"], "JoinSubnetGatewayUnreachable");
    eventually("the reason", PATIENCE, || {
        Ok(condition(&api)["message"]
            .as_str()
            .unwrap_or_default()
            .contains("the Vpc b-cluster has no status.nodeNetworks")
            .then_some(()))
    })
    .unwrap();
    let conflist = bed.dir.path().join("net.d/01-kube-ovn.conflist");
    assert!(!conflist.exists());
    assert!(get(&bed, port, "/readyz").await.starts_with("HTTP/1.1 503"));

    // A pod's object with the node's name is not the node's.
    address(&api, "com");
    let mut networks = vec![("b-default", "10.16.0.0/16")];
    establish(&api, ROUTER, "100.64.0.0/16", &networks);
    std::thread::sleep(Duration::from_secs(2));
    assert!(!conflist.exists() && bed.host.netlink.link("ovn0").await.unwrap().is_none());
    address(&api, "");
    eventually("the network configuration", PATIENCE, || Ok(conflist.exists().then_some(())))
        .unwrap_or_else(|e| panic!("{e}: {}", program.log()));
    assert!(bed.dir.path().join("bin/kube-ovn").exists(), "the plugin is there before the configuration");
    eventually("the condition", PATIENCE, || Ok((condition(&api)["status"] == "False").then_some(())))
        .unwrap();
    assert_eq!(condition(&api)["reason"], "JoinSubnetGatewayReachable");
    let chassis = || {
        let annotations = &api.json(&["get", "node", "node1"])?["metadata"]["annotations"];
        let said = [&annotations["ovn.kubernetes.io/chassis"], &annotations["tombolo.io/iface-id-ver"]];
        Ok((said == ["node1", "true"]).then_some(()))
    };
    eventually("the annotations with the chassis", PATIENCE, chassis).unwrap();
    assert!(get(&bed, port, "/readyz").await.starts_with("HTTP/1.1 200"));

    // A file that another program removes comes back within ten seconds (invariant 13).
    std::fs::remove_file(&conflist).unwrap();
    eventually("the configuration again", Duration::from_secs(10), || Ok(conflist.exists().then_some(())))
        .unwrap_or_else(|e| panic!("{e}: {}", program.log()));
    let restored = get(&bed, port, "/metrics").await;
    assert!(restored.contains("tombolo_agent_cni_files_restored_total 1"), "{restored}");

    // A pod: its annotations come after the runtime's call.
    let socket = PathBuf::from(bed.at("kube-ovn-daemon.sock"));
    let mode = std::os::unix::fs::PermissionsExt::mode(&socket.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "for root alone");
    let ubuntu = Sandbox::new("ubuntu", 1).await;
    let uid = pod(&api, "ubuntu");
    let (added, ()) = tokio::join!(ubuntu.call("ADD", &uid, conf(&socket, "1.0.0")), async {
        annotate_pod(&api, "ubuntu", &uid, "00:00:00:7A:2E:93", "10.16.0.5");
    });
    assert_eq!(added.code, 0, "{added:?}: {}", program.log());
    assert_eq!(added.out["ips"][0]["address"], "10.16.0.5/16");
    bed.probe(&ubuntu, "10.16.0.5").await;

    // A wish that the node can't grant is an Event on the pod, once.
    let wide_uid = pod(&api, "wide");
    api.kubectl(&["-n", "net2", "annotate", "pod", "wide", "tombolo.io/mtu=9000"]).unwrap();
    annotate_pod(&api, "wide", &wide_uid, "00:00:00:7A:2E:95", "10.16.0.7");
    bed.lsp("ovn-default", "wide.net2", "00:00:00:7A:2E:95", "10.16.0.7");
    for number in [3, 4] {
        let again = Sandbox::new("wide", number).await;
        let added = again.call("ADD", &wide_uid, conf(&socket, "1.0.0")).await;
        assert_eq!(added.code, 0, "{added:?}: {}", program.log());
        let deleted = again.call("DEL", &wide_uid, conf(&socket, "1.0.0")).await;
        assert_eq!(deleted.code, 0, "{deleted:?}");
    }
    let said = || {
        let events = api.json(&["-n", "net2", "get", "events", "--field-selector", "reason=MtuBounded"])?;
        let items = events["items"].as_array().cloned().unwrap_or_default();
        Ok((!items.is_empty()).then_some(items))
    };
    let events = eventually("the Event", PATIENCE, said).unwrap_or_else(|e| panic!("{e}: {}", program.log()));
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["involvedObject"]["uid"], wide_uid.as_str());
    // Only what is established is configured.
    let routes = async || -> Vec<String> {
        let all = bed.host.netlink.routes(Some(tombolo_agent::node::PROTOCOL)).await.unwrap();
        all.iter().map(|r| r.dst.to_string()).collect()
    };
    assert_eq!(routes().await, ["10.16.0.0/16"]);
    assert_eq!(bed.vsctl(&["get", "Interface", "ovn0", "external_ids:iface-id"]), "node-node1");
    // The controller itself asks for a network that would cut the node off: the agent refuses, and reports on the Node.
    networks.push(("all", "0.0.0.0/0"));
    networks.push(("c-default", "10.18.0.0/16"));
    establish(&api, ROUTER, "100.64.0.0/16", &networks);
    let degraded = || {
        let node = api.json(&["get", "node", "node1"])?;
        let all = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
        Ok(all.into_iter().find(|c| c["type"] == "tombolo.io/NetworkDegraded"))
    };
    let said =
        eventually("the condition", PATIENCE, degraded).unwrap_or_else(|e| panic!("{e}: {}", program.log()));
    assert_eq!((&said["status"], &said["reason"]), (&json!("True"), &json!("NetworkRefused")));
    assert!(said["message"].as_str().unwrap().contains("0.0.0.0/0 of the Subnet all"), "{said}");
    eventually("the Event", PATIENCE, || {
        let events = api.json(&["get", "events", "--field-selector=involvedObject.name=node1"])?;
        let all = events["items"].as_array().cloned().unwrap_or_default();
        Ok(all.iter().any(|e| e["reason"] == "NetworkRefused").then_some(()))
    })
    .unwrap();
    assert_eq!(routes().await, ["10.16.0.0/16", "10.18.0.0/16"], "the others go on");
    assert_eq!(condition(&api)["status"], "False", "and pods are served");
    // What the controller doesn't say any more stays as it was, until it says otherwise.
    api.kubectl(&[
        "patch",
        "vpc",
        ROUTER,
        "--subresource=status",
        "--type=merge",
        "-p",
        r#"{"status": {"nodeNetworks": null}}"#,
    ])
    .unwrap();
    eventually("the word about it", PATIENCE, || {
        Ok(degraded()?
            .filter(|c| c["message"].as_str().is_some_and(|m| m.contains("no status.nodeNetworks"))))
    })
    .unwrap();
    assert_eq!(routes().await.len(), 2);
    networks.retain(|(name, _)| *name == "b-default");
    establish(&api, ROUTER, "100.64.0.0/16", &networks);
    eventually("all is well again", PATIENCE, || Ok(degraded()?.filter(|c| c["status"] == "False"))).unwrap();
    assert_eq!(routes().await, ["10.16.0.0/16"]);

    // invariant 9: nothing changes, nothing is written.
    let version = || api.json(&["get", "node", "node1"]).unwrap()["metadata"]["resourceVersion"].clone();
    let (node, ovs) = (version(), bed.vsctl(&["get", "Open_vSwitch", ".", "next_cfg"]));
    // Longer than the pause between two looks.
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(version(), node);
    assert_eq!(bed.vsctl(&["get", "Open_vSwitch", ".", "next_cfg"]), ovs);
    let metrics = get(&bed, port, "/metrics").await;
    for want in [
        "cni_op_latency_seconds_count{node_name=\"node1\",method=\"ADD\",status_code=\"200\"} 3",
        "cni_wait_address_seconds_total{node_name=\"node1\"}",
        "cni_wait_connectivity_seconds_total{node_name=\"node1\"}",
        "tombolo_agent_pod_ports 1",
        "tombolo_agent_ready 1",
        "tombolo_agent_problems{reason=\"NetworkRefused\"} 0",
        // Open vSwitch's own.
        "kube_ovn_ovs_status{hostname=\"node1\",component=\"ovs-vswitchd\"} 1",
        "kube_ovn_datapath{hostname=\"node1\",datapath=\"ovs-netdev\",type=\"netdev\"} 1",
        "kube_ovn_interface_rx_bytes{hostname=\"node1\",interfaceName=\"ovn0\"}",
    ] {
        assert!(metrics.contains(want), "{want} is missing in {metrics}");
    }

    // The API server goes: what runs runs, a DEL works; it comes back: the next pod is served.
    api.pause();
    bed.probe(&ubuntu, "10.16.0.5").await;
    let deleted = ubuntu.call("DEL", &uid, conf(&socket, "1.0.0")).await;
    assert_eq!(deleted.code, 0, "{deleted:?}");
    api.resume().unwrap();
    let debian = Sandbox::new("debian", 2).await;
    let uid = pod(&api, "debian");
    annotate_pod(&api, "debian", &uid, "00:00:00:7A:2E:94", "10.16.0.6");
    let added = debian.call("ADD", &uid, conf(&socket, "1.0.0")).await;
    assert_eq!(added.code, 0, "{added:?}: {}", program.log());

    // It ends on SIGTERM, and its successor finds everything as it was.
    program.stop();
    let gone = debian.call("ADD", &uid, conf(&socket, "1.0.0")).await;
    assert_eq!(gone.out["code"], 11, "the runtime is told to try again");
    let program = Program::start(&bed, api.kubeconfig(), "node1", port, &NAMES).await;
    let serving = || Ok(std::os::unix::net::UnixStream::connect(&socket).is_ok().then_some(()));
    eventually("the successor to serve", PATIENCE, serving).unwrap();
    bed.probe(&debian, "10.16.0.6").await;
    let deleted = debian.call("DEL", &uid, conf(&socket, "1.0.0")).await;
    assert_eq!(deleted.code, 0, "{deleted:?}");
    assert!(!program.log().contains("panicked"), "{}", program.log());
    program.stop();
}
