//! A node for tests, of real parts in a network namespace of its own: Open vSwitch with its userspace datapath, an
//! OVN of one machine (northbound, southbound, northd, ovn-controller), Nova's tap on br-int; and further nodes of the same
//! OVN. Goes with its value.

#![allow(dead_code)] // each test binary uses a part

pub mod built;
pub mod node;
pub mod program;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tombolo_agent::attach::{Attacher, Deadlines, NodeState};
use tombolo_agent::host::Host;
use tombolo_agent::metrics::Metrics;
use tombolo_agent::notices::{self, Notice};
use tombolo_agent::ovs::Ovs;
use tombolo_agent::pods::Pods;
use tombolo_agent::server;
use tombolo_api::annotations as keys;
use tombolo_foreign_rows::{Database, Guard};
use tombolo_linux::Netns;
use tombolo_observe::Observer;
use tombolo_plan::ClusterId;

/// The databases: file, schema, and what the guard knows them by.
const DATABASES: [(&str, &str, Database); 3] = [
    ("conf", "/usr/share/openvswitch/vswitch.ovsschema", Database::Vswitch),
    ("nb", "/usr/share/ovn/ovn-nb.ovsschema", Database::Northbound),
    ("sb", "/usr/share/ovn/ovn-sb.ovsschema", Database::Southbound),
];

/// The cluster of a bed whose test doesn't say which: the agent writes no row with a cluster's id.
const CLUSTER: &str = "4c2f2c5e-5d0f-4a51-9a0d-9d4e0f0b7c11";

/// One bed at a time: each is seven processes.
static ONE: Mutex<()> = Mutex::const_new(());

pub struct Bed {
    /// Around all three databases (invariant 1): it fails the test at its end if a row was touched that isn't ours.
    pub guard: Guard,
    pub host: Arc<Host>,
    pub dir: tempfile::TempDir,
    children: Vec<Child>,
    vswitchd: Option<Child>,
    _one: Option<MutexGuard<'static, ()>>,
}

impl Drop for Bed {
    fn drop(&mut self) {
        for child in self.vswitchd.iter_mut().chain(self.children.iter_mut().rev()) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn are_there() -> bool {
    let programs = [
        ("ovsdb-tool", "openvswitch-switch"),
        ("ovsdb-server", "openvswitch-switch"),
        ("ovs-vswitchd", "openvswitch-switch"),
        ("ovs-vsctl", "openvswitch-switch"),
        ("ovn-controller", "ovn-host"),
        ("ovn-northd", "ovn-central"),
        ("ovn-nbctl", "ovn-common"),
        ("nft", "nftables"),
    ];
    tombolo_needs::root() && programs.into_iter().all(|(name, package)| tombolo_needs::program(name, package))
}

impl Bed {
    /// A node that runs, or `None`, counted, where it can't.
    pub async fn up() -> Option<Bed> {
        Self::up_for(&[ClusterId::new(CLUSTER).unwrap()]).await
    }

    /// With the switch of Neutron's that pods of the subnet net2 are on.
    pub async fn with_net2() -> Option<Bed> {
        let bed = Self::up().await?;
        bed.nbctl(&["ls-add", "net2"]);
        Some(bed)
    }

    /// With the default VPC and this node's port there.
    pub async fn with_default_vpc() -> Option<Bed> {
        let bed = Self::up().await?;
        bed.default_vpc();
        Some(bed)
    }

    /// A pod of the subnet net2 with its port and the controller's annotations, and its sandbox.
    pub async fn pod(&self, agent: &Agent, pod: &str, number: u32, mac: &str, ip: &str) -> Sandbox {
        self.lsp("net2", &format!("{pod}.net2"), mac, ip);
        agent.annotate(pod, mac, ip);
        Sandbox::new(pod, number).await
    }

    /// With the clusters whose controllers write to the OVN.
    pub async fn up_for(clusters: &[ClusterId]) -> Option<Bed> {
        if !are_there() {
            return None;
        }
        let one = ONE.lock().await;
        let mut bed = Self::with_databases(&DATABASES, clusters, Some(one)).await;
        let sb = format!("unix:{}", bed.at("sb.sock"));
        bed.start_node("node1", "127.0.0.1", &sb).await;
        let (nb, northd) = (bed.at("nb.sock"), format!("--unixctl={}", bed.at("northd.ctl")));
        let (northd_nb, northd_sb) = (format!("--ovnnb-db=unix:{nb}"), format!("--ovnsb-db={sb}"));
        let child = bed.start("ovn-northd", &[&northd_nb, &northd_sb, &northd]).await;
        bed.children.push(child);
        // Nova's tap and another program's patch port: foreign rows.
        bed.vsctl(&[
            "--no-wait",
            "add-port",
            "br-int",
            "tapa7a2f2be-c8",
            "--",
            "set",
            "Interface",
            "tapa7a2f2be-c8",
            "type=internal",
            "external_ids:iface-id=a7a2f2be-c8e2-4129-b94b-f28f566e4ea6",
            "external_ids:iface-status=active",
            "external_ids:attached-mac=\"fa:16:3e:f4:82:3c\"",
            "external_ids:vm-uuid=8433d622",
        ]);
        Some(bed)
    }

    /// Another node of the same OVN, with an Open vSwitch of its own. The first one must live longer.
    pub async fn beside(&self, name: &str, encap: &str) -> Bed {
        let none = [ClusterId::new(CLUSTER).unwrap()];
        let mut bed = Self::with_databases(&DATABASES[..1], &none, None).await;
        bed.start_node(name, encap, &format!("unix:{}", self.at("sb.sock"))).await;
        bed
    }

    async fn with_databases(
        databases: &[(&str, &str, Database)],
        clusters: &[ClusterId],
        one: Option<MutexGuard<'static, ()>>,
    ) -> Bed {
        let host = Arc::new(Host::of(Netns::create().await.unwrap()).await.unwrap());
        let dir = tempfile::Builder::new().prefix("tombolo-").tempdir().unwrap();
        let path = |db: &str| dir.path().join(format!("{db}.db"));
        let mut guard = clusters[1..]
            .iter()
            .cloned()
            .fold(Guard::of(clusters[0].clone()), tombolo_foreign_rows::Builder::and);
        for &(db, schema, database) in databases {
            let made = Command::new("ovsdb-tool").arg("create").arg(path(db)).arg(schema).status().unwrap();
            assert!(made.success(), "making the database {db}");
            guard = guard.watch(database, db, &[path(db)]);
        }
        let guard = guard.start().unwrap();
        let mut bed = Bed { guard, host, dir, children: Vec::new(), vswitchd: None, _one: one };
        for (db, ..) in databases {
            let child = bed
                .start(
                    "ovsdb-server",
                    &[
                        &bed.at(&format!("{db}.db")),
                        &format!(
                            "--remote=punix:{}",
                            bed.at(&format!("{}.sock", if *db == "conf" { "db" } else { db }))
                        ),
                        &format!("--unixctl={}", bed.at(&format!("{db}.ctl"))),
                    ],
                )
                .await;
            bed.children.push(child);
        }
        bed
    }

    /// Open vSwitch and ovn-controller.
    async fn start_node(&mut self, name: &str, encap: &str, sb: &str) {
        let bed = self;
        bed.vsctl(&["--no-wait", "init"]);
        bed.vsctl(&[
            "--no-wait",
            "set",
            "Open_vSwitch",
            ".",
            &format!("external_ids:system-id={name}"),
            &format!("external_ids:hostname={name}"),
            "external_ids:ovn-encap-type=geneve",
            &format!("external_ids:ovn-encap-ip={encap}"),
            "external_ids:ovn-bridge-datapath-type=netdev",
            &format!("external_ids:ovn-remote={sb}"),
        ]);
        bed.vsctl(&[
            "--no-wait",
            "add-br",
            "br-int",
            "--",
            "set",
            "Bridge",
            "br-int",
            "datapath_type=netdev",
            "fail-mode=secure",
            "other_config:disable-in-band=true",
        ]);
        bed.start_vswitchd().await;
        let child = bed.start("ovn-controller", &[&format!("unix:{}", bed.at("db.sock"))]).await;
        bed.children.push(child);
    }

    /// A path in the bed's directory.
    pub fn at(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).env("OVS_RUNDIR", self.dir.path()).env("OVN_RUNDIR", self.dir.path());
        command.env("OVS_LOGDIR", self.dir.path()).env("OVN_LOGDIR", self.dir.path());
        command.stdin(Stdio::null());
        command
    }

    /// Runs a program to its end; its standard output.
    pub fn run(&self, program: &str, args: &[&str]) -> String {
        let output = self.command(program, args).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {args:?}: {error}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Starts a daemon in the node's namespace, with its log in the bed's directory.
    async fn start(&self, program: &str, args: &[&str]) -> Child {
        let mut command = self.command(program, args);
        let log = std::fs::File::create(self.at(&format!("{program}-{}.log", args.len()))).unwrap();
        command.stdout(Stdio::null()).stderr(log);
        self.host.netns.run(move || Ok(command.spawn())).await.unwrap().unwrap()
    }

    pub async fn start_vswitchd(&mut self) {
        let (db, ctl) =
            (format!("unix:{}", self.at("db.sock")), format!("--unixctl={}", self.at("vswitchd.ctl")));
        let child = self.start("ovs-vswitchd", &[&db, &ctl, "--disable-system"]).await;
        // As in a directory of its own: by the number in its file its socket is found.
        std::fs::write(self.at("ovs-vswitchd.pid"), format!("{}\n", child.id())).unwrap();
        let named = self.at(&format!("ovs-vswitchd.{}.ctl", child.id()));
        std::os::unix::fs::symlink(self.at("vswitchd.ctl"), named).unwrap();
        self.vswitchd = Some(child);
    }

    /// As a crash: its taps stay, without carrier.
    pub fn kill_vswitchd(&mut self) {
        let mut child = self.vswitchd.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// With all it has made: its taps go.
    pub fn exit_vswitchd(&mut self) {
        self.run("ovs-appctl", &["-t", &self.at("vswitchd.ctl"), "exit", "--cleanup"]);
        self.vswitchd.take().unwrap().wait().unwrap();
    }

    pub fn vsctl(&self, args: &[&str]) -> String {
        let db = format!("--db=unix:{}", self.at("db.sock"));
        self.run("ovs-vsctl", &[&["--timeout=30", "--retry", &db][..], args].concat())
    }

    pub fn nbctl(&self, args: &[&str]) -> String {
        let db = format!("--db=unix:{}", self.at("nb.sock"));
        self.run("ovn-nbctl", &[&["--timeout=30", &db][..], args].concat())
    }

    /// A port as the controller writes it.
    pub fn lsp(&self, switch: &str, port: &str, mac: &str, ip: &str) {
        self.nbctl(&["lsp-add", switch, port, "--", "lsp-set-addresses", port, &format!("{mac} {ip}")]);
    }

    /// What the controller writes for the default VPC and one node.
    pub fn default_vpc(&self) {
        self.nbctl(&["lr-add", "ovn-cluster"]);
        for (switch, mac, gateway) in [
            ("join", "00:00:00:32:40:B8", "100.64.0.1/16"),
            ("ovn-default", "00:00:00:48:A1:7D", "10.16.0.1/16"),
        ] {
            let (port, router_port) = (format!("{switch}-ovn-cluster"), format!("ovn-cluster-{switch}"));
            self.nbctl(&["ls-add", switch]);
            self.nbctl(&["lrp-add", "ovn-cluster", &router_port, mac, gateway]);
            self.nbctl(&["lsp-add", switch, &port]);
            self.nbctl(&["lsp-set-type", &port, "router"]);
            self.nbctl(&["lsp-set-addresses", &port, "router"]);
            self.nbctl(&["lsp-set-options", &port, &format!("router-port={router_port}")]);
        }
        self.lsp("join", "node-node1", "00:00:00:6e:53:fd", "100.64.0.2");
    }

    /// The node sends a datagram to the pod and gets it back: what a kubelet's probe does.
    pub async fn probe(&self, pod: &Sandbox, address: &str) {
        let peer = self.exchange(pod, address).await;
        assert_eq!(peer.to_string(), "100.64.0.2", "the node's address in the join subnet");
    }

    /// The same; returns the node's address as the pod sees it.
    pub async fn exchange(&self, pod: &Sandbox, address: &str) -> IpAddr {
        let at = SocketAddr::new(address.parse().unwrap(), 0);
        let server = pod.netns.run(move || Ok(UdpSocket::bind(at).unwrap())).await.unwrap();
        let client = self.host.netns.run(|| Ok(UdpSocket::bind("0.0.0.0:0").unwrap())).await.unwrap();
        let work = move || {
            for socket in [&server, &client] {
                socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            }
            client.send_to(b"probe", server.local_addr().unwrap()).unwrap();
            let mut buffer = [0; 64];
            let (n, peer) = server.recv_from(&mut buffer).expect("the probe arrives");
            server.send_to(&buffer[..n], peer).unwrap();
            client.recv_from(&mut buffer).expect("the answer arrives");
            peer.ip()
        };
        tokio::task::spawn_blocking(work).await.unwrap()
    }

    /// Everything in Open vSwitch's configuration but our ports, without what daemons count and report.
    pub fn foreign(&self) -> String {
        let interfaces =
            self.vsctl(&["--columns=name,type,external_ids,options,mac,mtu_request", "list", "Interface"]);
        let foreign = |row: &&str| !row.contains("vendor=kube-ovn") && !row.contains("vendor=\"kube-ovn\"");
        let mut rows: Vec<&str> = interfaces.split("\n\n").filter(foreign).collect();
        rows.sort_unstable();
        let open = self.vsctl(&["--columns=external_ids,other_config", "list", "Open_vSwitch"]);
        let bridge = self.vsctl(&[
            "--columns=name,datapath_type,fail_mode,external_ids,other_config",
            "list",
            "Bridge",
        ]);
        // What ovn-controller and ovs-vswitchd themselves write some time after their start.
        const THEIRS: [&str; 4] = ["ct-zone-", "ovn-startup-ts", "ovn-chassis-idx-", "vlan-limit"];
        let kept = |text: &str| -> String {
            let parts = text.split(['{', ',', '}', '\n']).map(str::trim).filter(|part| !part.is_empty());
            parts.filter(|part| !THEIRS.iter().any(|key| part.contains(key))).collect::<Vec<_>>().join("\n")
        };
        format!("{}\n{}\n{}", kept(&open), kept(&bridge), rows.join("\n"))
    }

    pub async fn agent(&self) -> Agent {
        self.agent_with(Deadlines::default(), "agent.sock").await
    }

    pub async fn agent_with(&self, deadlines: Deadlines, socket: &str) -> Agent {
        let endpoints = format!("unix:{}", self.at("db.sock")).parse().unwrap();
        let ovs = Arc::new(Ovs::connect(endpoints).unwrap());
        let pods = Arc::new(Pods::new());
        let (node, state) = watch::channel(NodeState::Ready { mtu: 1400 });
        let metrics = Metrics::new(&Observer::new("agent", "test"), "node1");
        let (notices, noticed) = notices::channel();
        let attacher = Attacher::new(
            ovs.clone(),
            pods.clone(),
            self.host.clone(),
            state,
            metrics.clone(),
            notices,
            deadlines,
        );
        let attacher = Arc::new(attacher);
        let socket = PathBuf::from(self.at(socket));
        let listener = server::bind(&socket).await.unwrap();
        let stop = CancellationToken::new();
        let served = server::serve(listener, attacher.clone(), metrics, stop.clone().cancelled_owned());
        tokio::spawn(served);
        Agent { ovs, pods, attacher, node, noticed, socket, stop }
    }
}

/// A port on the bed's loopback that leads to the same port on this process' own: how the node reaches an API server
/// outside of it.
pub async fn forward(host: &Host, port: u16) {
    let lo = host.netlink.link("lo").await.unwrap().unwrap();
    let up = tombolo_linux::LinkChange { up: Some(true), ..Default::default() };
    host.netlink.change_link(lo.index, &up).await.unwrap();
    let listener = host.netns.run(move || Ok(std::net::TcpListener::bind(("127.0.0.1", port)).unwrap()));
    let listener = listener.await.unwrap();
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    tokio::spawn(async move {
        while let Ok((mut inner, _)) = listener.accept().await {
            tokio::spawn(async move {
                if let Ok(mut outer) = tokio::net::TcpStream::connect(("127.0.0.1", port)).await {
                    let _ = tokio::io::copy_bidirectional(&mut inner, &mut outer).await;
                }
            });
        }
    });
}

/// The agent, as it serves the plugin.
pub struct Agent {
    pub ovs: Arc<Ovs>,
    pub pods: Arc<Pods>,
    pub attacher: Arc<Attacher>,
    pub node: watch::Sender<NodeState>,
    pub noticed: mpsc::Receiver<Notice>,
    pub socket: PathBuf,
    stop: CancellationToken,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A pod's sandbox as a runtime makes it: a namespace and an id.
pub struct Sandbox {
    pub netns: Netns,
    pub container: String,
    pub pod: String,
    /// As the runtime names the namespace.
    pub path: PathBuf,
    /// What a shell does before the plugin, in a mount namespace of its own.
    pub wrap: Option<String>,
}

impl Sandbox {
    pub async fn new(pod: &str, number: u32) -> Sandbox {
        let netns = Netns::create().await.unwrap();
        Sandbox {
            path: netns.path().to_owned(),
            wrap: None,
            netns,
            container: format!("{number:08x}0f3c5f1f2a4b9d77{number:08x}"),
            pod: pod.to_owned(),
        }
    }
}

/// What the plugin printed, and its exit code.
#[derive(Debug)]
pub struct Call {
    pub code: i32,
    pub out: Value,
}

/// The configuration of a runtime whose agent serves on `socket`.
pub fn conf(socket: &Path, version: &str) -> Value {
    json!({"cniVersion": version, "name": "kube-ovn", "type": "kube-ovn", "server_socket": socket})
}

impl Sandbox {
    /// Starts the plugin as a runtime does.
    pub async fn call(&self, command: &str, uid: &str, conf: Value) -> Call {
        let sandbox = self;
        let args = format!("K8S_POD_NAMESPACE=net2;K8S_POD_NAME={};K8S_POD_UID={uid}", sandbox.pod);
        let mut child = match &self.wrap {
            None => Command::new(built::plugin()),
            Some(first) => {
                let mut shell = Command::new("unshare");
                let script = format!("{first} && exec {}", built::plugin().display());
                shell.args(["--mount", "sh", "-ec", &script]);
                shell
            }
        };
        child
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", &sandbox.container)
            .env("CNI_NETNS", &sandbox.path)
            .env("CNI_IFNAME", "eth0")
            .env("CNI_ARGS", args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let work = move || {
            use std::io::Write;
            let mut child = child.spawn().unwrap();
            child.stdin.take().unwrap().write_all(conf.to_string().as_bytes()).unwrap();
            let output = child.wait_with_output().unwrap();
            let out = if output.stdout.is_empty() {
                Value::Null
            } else {
                serde_json::from_slice(&output.stdout).unwrap()
            };
            Call { code: output.status.code().unwrap(), out }
        };
        tokio::task::spawn_blocking(work).await.unwrap()
    }
}

impl Agent {
    pub fn conf(&self, version: &str) -> Value {
        conf(&self.socket, version)
    }

    /// Starts the plugin as a runtime does.
    pub async fn call(&self, command: &str, sandbox: &Sandbox, conf: Value) -> Call {
        sandbox.call(command, &format!("uid-{}", sandbox.pod), conf).await
    }

    pub async fn add(&self, sandbox: &Sandbox) -> Call {
        self.call("ADD", sandbox, self.conf("1.0.0")).await
    }

    pub async fn del(&self, sandbox: &Sandbox) -> Call {
        self.call("DEL", sandbox, self.conf("1.0.0")).await
    }

    /// The controller's word for a pod of subnet net2.
    pub fn annotate(&self, pod: &str, mac: &str, ip: &str) {
        self.annotate_in(pod, mac, ip, "12.0.1.0/24", "12.0.1.1");
    }

    /// The controller's word for a pod of a subnet.
    pub fn annotate_in(&self, pod: &str, mac: &str, ip: &str, cidr: &str, gateway: &str) {
        self.annotate_with(pod, mac, ip, cidr, gateway, &[]);
    }

    /// The same and more.
    pub fn annotate_with(
        &self,
        pod: &str,
        mac: &str,
        ip: &str,
        cidr: &str,
        gateway: &str,
        more: &[(&str, &str)],
    ) {
        let uid = format!("uid-{pod}");
        let annotations = [
            (keys::ALLOCATED, "true"),
            (keys::ROUTED, "true"),
            (keys::LOGICAL_SWITCH, "net2"),
            (keys::IP_ADDRESS, ip),
            (keys::MAC_ADDRESS, mac),
            (keys::CIDR, cidr),
            (keys::GATEWAY, gateway),
            (keys::POD_UID, &uid),
        ];
        let all = annotations.iter().chain(more).map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        self.pods.put(ObjectMeta {
            name: Some(pod.into()),
            namespace: Some("net2".into()),
            uid: Some(uid.clone()),
            annotations: Some(all.collect()),
            ..ObjectMeta::default()
        });
    }
}

/// For what must come soon.
pub const SOON: Duration = Duration::from_secs(30);
