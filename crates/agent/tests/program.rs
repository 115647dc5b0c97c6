//! The whole program on a real API server, Open vSwitch and OVN: from an empty node to one that serves pods.

#![allow(clippy::unwrap_used)] // a test may: a panic is its failure

mod bed;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bed::{Bed, Sandbox, conf, forward, plugin};
use serde_json::{Value, json};
use tombolo_tests_api::{ApiServer, eventually, free_port};

const PATIENCE: Duration = Duration::from_secs(60);

struct Program {
    child: Child,
    dir: PathBuf,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    async fn start(bed: &Bed, kubeconfig: &Path, port: u16) -> Program {
        let dir = bed.dir.path().to_owned();
        let log = std::fs::File::options().create(true).append(true).open(dir.join("agent.log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tombolo-agent"));
        command
            .env("KUBE_NODE_NAME", "node1")
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .arg(format!("--ovs-socket={}", bed.at("db.sock")))
            .arg(format!("--bind-socket={}", bed.at("kube-ovn-daemon.sock")))
            .arg(format!("--cni-conf-dir={}", bed.at("net.d")))
            .arg(format!("--cni-bin-dir={}", bed.at("bin")))
            .arg(format!("--cni-plugin={}", plugin().display()))
            .arg(format!("--pprof-port={port}"))
            .args(["--mtu=1400", "--node-switch=join", "--enable-mirror=false", "--logtostderr=false"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let child = bed.host.netns.run(move || Ok(command.spawn())).await.unwrap().unwrap();
        Program { child, dir }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("agent.log")).unwrap_or_default()
    }

    /// SIGTERM; it must end by itself, and well.
    fn stop(mut self) {
        let status = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success());
        let ended = eventually("the agent to end", Duration::from_secs(12), || Ok(self.child.try_wait()?));
        assert!(ended.unwrap().success(), "{}", self.log());
    }
}

/// Applies the controller's words to the node.
fn annotate_node(api: &ApiServer) {
    let annotations = [
        "allocated=true",
        "ip_address=100.64.0.2",
        "mac_address=00:00:00:6E:53:FD",
        "cidr=100.64.0.0/16",
        "gateway=100.64.0.1",
        "port_name=node-node1",
        "logical_switch=join",
    ]
    .map(|a| format!("ovn.kubernetes.io/{a}"));
    let args: Vec<&str> =
        ["annotate", "node", "node1"].into_iter().chain(annotations.iter().map(String::as_str)).collect();
    api.kubectl(&args).unwrap();
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

async fn get(bed: &Bed, port: u16, path: &'static str) -> String {
    use std::io::{Read, Write};
    let ask = move || -> std::io::Result<String> {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    bed.host.netns.run(move || Ok(ask())).await.unwrap().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn from_an_empty_node_to_one_that_serves_pods() {
    let Some(bed) = Bed::up("from_an_empty_node_to_one_that_serves_pods").await else { return };
    let Some(mut api) = ApiServer::start().unwrap() else { return };
    api.apply_crds().unwrap();
    bed.default_vpc();
    bed.lsp("ovn-default", "ubuntu.net2", "00:00:00:7A:2E:93", "10.16.0.5");
    bed.lsp("ovn-default", "debian.net2", "00:00:00:7A:2E:94", "10.16.0.6");
    api.kubectl(&["create", "namespace", "net2"]).unwrap();
    api.apply(r#"{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node1"}}"#).unwrap();
    for (name, cidr) in [("join", "100.64.0.0/16"), ("ovn-default", "10.16.0.0/16")] {
        let subnet = json!({"apiVersion": "kubeovn.io/v1", "kind": "Subnet", "metadata": {"name": name},
            "spec": {"vpc": "ovn-cluster", "cidrBlock": cidr, "natOutgoing": name != "join"}});
        api.apply(&subnet.to_string()).unwrap();
    }
    let server = api.json(&["config", "view"]).unwrap()["clusters"][0]["cluster"]["server"].clone();
    let api_port: u16 = server.as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap();
    forward(&bed.host, api_port).await;
    let port = free_port().unwrap();
    let program = Program::start(&bed, api.kubeconfig(), port).await;

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
            .contains("kube-ovn-controller")
            .then_some(()))
    })
    .unwrap();
    let conflist = bed.dir.path().join("net.d/01-kube-ovn.conflist");
    assert!(!conflist.exists());
    assert!(get(&bed, port, "/readyz").await.starts_with("HTTP/1.1 503"));

    annotate_node(&api);
    eventually("the network configuration", PATIENCE, || Ok(conflist.exists().then_some(())))
        .unwrap_or_else(|e| panic!("{e}: {}", program.log()));
    assert!(bed.dir.path().join("bin/kube-ovn").exists(), "the plugin is there before the configuration");
    eventually("the condition", PATIENCE, || Ok((condition(&api)["status"] == "False").then_some(())))
        .unwrap();
    assert_eq!(condition(&api)["reason"], "JoinSubnetGatewayReachable");
    let chassis = || {
        let node = api.json(&["get", "node", "node1"])?;
        Ok((node["metadata"]["annotations"]["ovn.kubernetes.io/chassis"] == "node1").then_some(()))
    };
    eventually("the annotation with the chassis", PATIENCE, chassis).unwrap();
    assert!(get(&bed, port, "/readyz").await.starts_with("HTTP/1.1 200"));

    // What somebody removes comes back within ten seconds (invariant 13).
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

    // invariant 9: nothing changes, nothing is written.
    let version = || api.json(&["get", "node", "node1"]).unwrap()["metadata"]["resourceVersion"].clone();
    let (node, ovs) = (version(), bed.vsctl(&["get", "Open_vSwitch", ".", "next_cfg"]));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(version(), node);
    assert_eq!(bed.vsctl(&["get", "Open_vSwitch", ".", "next_cfg"]), ovs);
    let metrics = get(&bed, port, "/metrics").await;
    for want in [
        "cni_op_latency_seconds_count{node_name=\"node1\",method=\"ADD\",status_code=\"200\"} 3",
        "cni_wait_address_seconds_total{node_name=\"node1\"}",
        "cni_wait_connectivity_seconds_total{node_name=\"node1\"}",
        "tombolo_agent_pod_ports 1",
        "tombolo_agent_ready 1",
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
    let program = Program::start(&bed, api.kubeconfig(), port).await;
    let serving = || Ok(std::os::unix::net::UnixStream::connect(&socket).is_ok().then_some(()));
    eventually("the successor to serve", PATIENCE, serving).unwrap();
    bed.probe(&debian, "10.16.0.6").await;
    let deleted = debian.call("DEL", &uid, conf(&socket, "1.0.0")).await;
    assert_eq!(deleted.code, 0, "{deleted:?}");
    assert!(!program.log().contains("panicked"), "{}", program.log());
    program.stop();
}
