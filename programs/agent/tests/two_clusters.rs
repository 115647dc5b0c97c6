//! Two Kubernetes clusters on one OVN, whole: to each an API server, a controller and a node with its agent, the second with
//! names of its own as docs/operate/install.md has them.

#![allow(clippy::unwrap_used)] // a test may: a panic is its failure

mod bed;

use std::time::Duration;

use bed::program::Program;
use bed::{Bed, Sandbox, built, conf, forward};
use serde_json::json;
use tombolo_needs::needs;
use tombolo_plan::ClusterId;
use tombolo_testbed::{ApiServer, Controller, eventually, free_port};

const PATIENCE: Duration = Duration::from_secs(90);

/// A cluster, as its administrator set it up.
struct Cluster {
    api: ApiServer,
    bed: Bed,
    node: &'static str,
    controller: Controller,
    agent: Program,
}

/// The second one's names and networks.
const CONTROLLER_B: [&str; 5] = [
    "--cluster-router=ovn-cluster-b",
    "--default-ls=ovn-default-b",
    "--node-switch=join-b",
    "--default-cidr=10.17.0.0/16",
    "--node-switch-cidr=100.65.0.0/16",
];
const AGENT_B: [&str; 2] = ["--cluster-router=ovn-cluster-b", "--node-switch=join-b"];

impl Cluster {
    async fn start(
        api: ApiServer,
        bed: Bed,
        nb: &str,
        node: &'static str,
        [controller_args, agent_args]: [&[&str]; 2],
    ) -> Cluster {
        api.apply_crds().unwrap();
        let program = tombolo_testbed::Program {
            path: built::controller(),
            kubeconfig: api.kubeconfig().to_owned(),
            nb: nb.to_owned(),
            logs: bed.dir.path().to_owned(),
        };
        let controller = Controller::start(&program, node, controller_args).unwrap();
        api.kubectl(&["create", "namespace", "net2"]).unwrap();
        let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}});
        api.apply(&object.to_string()).unwrap();
        let address = json!({"status": {"addresses": [{"type": "InternalIP", "address": "172.30.0.1"}]}});
        let patch = address.to_string();
        api.kubectl(&["patch", "node", node, "--subresource=status", "--type=merge", "-p", &patch]).unwrap();
        let server = api.json(&["config", "view"]).unwrap()["clusters"][0]["cluster"]["server"].clone();
        forward(&bed.host, server.as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap()).await;
        let agent = Program::start(&bed, api.kubeconfig(), node, free_port().unwrap(), agent_args).await;
        let ready = || {
            let node = api.json(&["get", "node", node])?;
            let all = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let found = all.into_iter().find(|it| it["type"] == "NetworkUnavailable");
            Ok(found.filter(|it| it["status"] == "False"))
        };
        eventually("the node's network", PATIENCE, ready)
            .unwrap_or_else(|e| panic!("{node}: {e}\n{}\n{}", agent.log(), controller.log()));
        Cluster { api, bed, node, controller, agent }
    }

    fn create_pod(&self, name: &str) {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "net2"},
            "spec": {"nodeName": self.node, "containers": [{"name": "c", "image": "i"}]}});
        self.api.apply(&pod.to_string()).unwrap();
    }

    /// A pod that runs: the runtime's part is played, the rest is the programs'. Gives its sandbox, address and UID.
    async fn pod(&self, name: &str, number: u32) -> (Sandbox, String, String) {
        self.create_pod(name);
        let uid = self.api.json(&["-n", "net2", "get", "pod", name]).unwrap()["metadata"]["uid"].clone();
        let uid = uid.as_str().unwrap().to_owned();
        let sandbox = Sandbox::new(name, number).await;
        let socket = self.bed.dir.path().join("kube-ovn-daemon.sock");
        let added = sandbox.call("ADD", &uid, conf(&socket, "1.0.0")).await;
        assert_eq!(added.code, 0, "{added:?}\n{}\n{}", self.agent.log(), self.controller.log());
        let address = added.out["ips"][0]["address"].as_str().unwrap().split('/').next().unwrap().to_owned();
        (sandbox, address, uid)
    }

    async fn routes(&self) -> Vec<String> {
        let all = self.bed.host.netlink.routes(Some(tombolo_agent::node::PROTOCOL)).await.unwrap();
        all.iter().map(|route| route.dst.to_string()).collect()
    }
}

// invariants 1, 2 and 11
#[tokio::test(flavor = "multi_thread")]
async fn each_cluster_serves_its_own_nodes_and_pods() {
    let one = needs!(ApiServer::start().unwrap());
    let two = needs!(ApiServer::start().unwrap());
    let ids = [&one, &two].map(|api| ClusterId::new(&api.cluster_uid().unwrap()).unwrap());
    let bed = needs!(Bed::up_for(&ids).await);
    let beside = bed.beside("node2", "127.0.0.2").await;
    let nb = format!("unix:{}", bed.at("nb.sock"));
    let b = Cluster::start(two, beside, &nb, "node2", [&CONTROLLER_B, &AGENT_B]).await;
    let a = Cluster::start(one, bed, &nb, "node1", [&[], &[]]).await;

    for (cluster, pod, network, join) in
        [(&a, "ubuntu", "10.16.0.0/16", "100.64."), (&b, "debian", "10.17.0.0/16", "100.65.")]
    {
        let number = if pod == "ubuntu" { 1 } else { 2 };
        let (sandbox, address, uid) = cluster.pod(pod, number).await;
        assert!(address.starts_with(&network[..5]), "{address}");
        // They reach each other, and the pod sees the node's address in the subnet `join`.
        let seen = cluster.bed.exchange(&sandbox, &address).await;
        assert!(seen.to_string().starts_with(join), "{seen}");
        // A node has the networks of its own cluster, and none of the other's.
        assert_eq!(cluster.routes().await, [network], "{}", cluster.node);
        // The port is for this chassis and this pod's interface alone.
        let option = |key: &str| {
            a.bed.nbctl(&["get", "Logical_Switch_Port", &format!("{pod}.net2"), &format!("options:{key}")])
        };
        assert_eq!(option("requested-chassis").trim_matches('"'), cluster.node);
        assert_eq!(option("iface-id-ver").trim_matches('"'), uid);
        let (id, join_port) = ("external_ids:iface-id", format!("node-{}", cluster.node));
        assert_eq!(cluster.bed.vsctl(&["get", "Interface", "ovn0", id]), join_port);
    }
    // Pods of one name are one port: the second one's waits, and the first one's runs on.
    b.create_pod("ubuntu");
    eventually("the Event NameTaken", PATIENCE, || {
        let events = b.api.json(&["-n", "net2", "get", "events", "--field-selector=reason=NameTaken"])?;
        Ok(events["items"].as_array().filter(|all| !all.is_empty()).map(drop))
    })
    .unwrap();
    for cluster in [&a, &b] {
        let seen = cluster.bed.guard.check().unwrap();
        assert!(seen.ours >= 2, "{}: the guard saw what was written: {seen:?}", cluster.node);
    }
}
