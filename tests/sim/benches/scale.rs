//! What size costs the engine: a full recompute at 50,000 pods, one pod, one change of Neutron's.
//!
//! Decides nothing; it measures `crates/{plan,diff,engine}` alone. The stores are in memory and their time isn't counted:
//! only what passes inside of [`Engine::handle`] and [`Engine::poll`], or of `plan` and `diff`, is. The cluster comes
//! about by the engine's own writes and transactions, so that what is measured is what it would meet.
//!
//! `cargo bench -p tombolo-tests-sim --bench scale -- --quick`; `docs/measured/performance.md` has figures. Without `--bench` among
//! the arguments (as `cargo test --benches` calls it) a small cluster shows that it all works.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use criterion::Criterion;
use serde_json::{Value, json};
use tombolo_engine::{Effect, Engine, Event, Leadership, NbEvent, WatchEvent};
use tombolo_ovsdb::{Datum, Mutation, Op, Row, Txn};
use tombolo_plan::nb::table;
use tombolo_plan::{Kind, Owner, Stage, World, plan};
use tombolo_tests_sim::api::{self, Api};
use tombolo_tests_sim::nb::{Monitor, Server};
use tombolo_tests_sim::neutron::row_uuid;
use tombolo_tests_sim::{Neutron, Sim, UNIX_AT_ZERO, config};

const NODES: usize = 100;
const SUBNETS: usize = 50;
/// Rows of Neutron's for each router: itself, its network, the two ports that connect them, VMs.
const FOREIGN_PER_ROUTER: usize = 20;
/// What is due later than this is no part of coming to rest: retention.
const REST: u64 = 10_000;

/// How much there is.
#[derive(Clone, Copy)]
struct Size {
    pods: usize,
    routers: usize,
}

/// An engine that leads, its stores, and the time spent in it.
struct Cluster {
    engine: Engine,
    server: Server,
    monitor: Monitor,
    api: Api,
    read: usize,
    now: u64,
    busy: Duration,
    count: u64,
}

fn router(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

fn network(number: usize) -> String {
    format!("00000000-0000-4001-8000-{number:012}")
}

fn router_port(number: usize) -> String {
    format!("00000000-0000-4002-8000-{number:012}")
}

fn pod_object(namespace: &str, name: &str, node: usize) -> Value {
    json!({
        "metadata": { "namespace": namespace, "name": name },
        "spec": { "nodeName": format!("node{node}") },
        "status": { "phase": "Pending" },
    })
}

/// A database with Neutron's rows in it.
fn openstack(routers: usize) -> Server {
    let mut sim = Sim::without_controller(config(), 1);
    for number in 0..routers {
        let (router, network) = (router(number), network(number));
        let mut neutron = Neutron(&mut sim);
        neutron.network(&network, "tenant", 1442);
        neutron.router(&router, "router");
        neutron.attach(&router, &network, &router_port(number), "192.168.1.1/24");
        for vm in 4..FOREIGN_PER_ROUTER {
            neutron.vm(
                &network,
                &format!("00000000-0000-4003-8{vm:03}-{number:012}"),
                &format!("192.168.1.{vm}"),
            );
        }
    }
    sim.nb().clone()
}

fn monitor(server: &Server) -> Monitor {
    Monitor::new(server, &tombolo_plan::nb::wanted(&config().cluster), &tombolo_plan::nb::indexes())
}

impl Cluster {
    /// A cluster at rest.
    fn new(size: Size) -> Cluster {
        let server = openstack(size.routers);
        let mut cluster = Cluster {
            engine: Engine::new(config(), UNIX_AT_ZERO),
            monitor: monitor(&server),
            server,
            api: Api::at(tombolo_plan::time::text(UNIX_AT_ZERO)),
            read: 0,
            now: 0,
            busy: Duration::ZERO,
            count: 0,
        };
        cluster.create(Kind::Namespace, json!({ "metadata": { "name": "kube-system" } }));
        for node in 0..NODES {
            let address = format!("172.16.0.{}", node + 1);
            let status = json!({ "addresses": [{ "type": "InternalIP", "address": address }] });
            cluster.create(
                Kind::Node,
                json!({ "metadata": { "name": format!("node{node}") }, "status": status }),
            );
        }
        cluster.start();
        for number in 0..SUBNETS {
            let (namespace, vpc) = (format!("ns{number}"), format!("neutron-{}", router(number)));
            cluster.create(Kind::Namespace, json!({ "metadata": { "name": &namespace } }));
            let patch = json!({ "spec": { "namespaces": [&namespace] } });
            cluster.api.patch(Kind::Vpc, "", &vpc, &patch, false).expect("the Vpc shows the router");
            let spec = json!({
                "vpc": vpc,
                "namespaces": [&namespace],
                "cidrBlock": format!("10.{}.{}.0/20", 64 + number / 16, number % 16 * 16),
                "natOutgoing": false,
            });
            cluster.create(Kind::Subnet, json!({ "metadata": { "name": &namespace }, "spec": spec }));
        }
        cluster.rest();
        for number in 0..size.pods {
            let namespace = format!("ns{}", number % SUBNETS);
            cluster.create(Kind::Pod, pod_object(&namespace, &format!("pod{number}"), number % NODES));
        }
        cluster.rest();
        let pods = cluster
            .server
            .rows()
            .rows(table::SWITCH_PORT)
            .filter(|(_, row)| row.key("external_ids", "pod").is_some());
        assert_eq!(pods.count(), size.pods, "each pod has a port");
        cluster
    }

    fn create(&mut self, kind: Kind, object: Value) {
        self.api.create(kind, object).unwrap_or_else(|error| panic!("{kind:?}: {error}"));
    }

    fn handle(&mut self, event: Event) {
        let start = Instant::now();
        self.engine.handle(self.now, event);
        self.busy += start.elapsed();
    }

    fn poll(&mut self) -> Vec<Effect> {
        let start = Instant::now();
        let effects = self.engine.poll(self.now);
        self.busy += start.elapsed();
        effects
    }

    /// Hands the engine all there is, and the lease, and waits until it is at rest.
    fn start(&mut self) {
        for kind in Kind::ALL {
            self.handle(Event::Watch(WatchEvent::Restarted(kind)));
            let objects: Vec<WatchEvent> = self
                .api
                .list(kind)
                .map(|(_, object)| api::Entry { kind, what: api::Happened::Applied, object: object.clone() })
                .map(|entry| api::watch_event(&entry))
                .collect();
            for event in objects {
                self.handle(Event::Watch(event));
            }
            self.handle(Event::Watch(WatchEvent::Synced(kind)));
        }
        self.read = self.api.log().len();
        let replica = self.monitor.replica().clone();
        self.handle(Event::Nb(NbEvent::Replaced(replica)));
        self.handle(Event::Leadership(Leadership::Held));
        self.rest();
    }

    /// Lets the stores do what the engine asks for; their answers, in the order in which they come.
    fn serve(&mut self, effects: Vec<Effect>) -> VecDeque<Event> {
        let mut events = VecDeque::new();
        for effect in effects {
            match effect {
                Effect::Write(write) => {
                    let result = self.api.write(&write).map(|object| {
                        object.map(|it| api::decode(write.kind, &it).unwrap_or_else(|e| panic!("{}", e.1)))
                    });
                    events.push_back(Event::WriteDone { id: write.id, result });
                }
                Effect::Commit { id, txn } => {
                    let (result, changes) = self.server.execute(&txn);
                    if let Err(error) = &result {
                        panic!("a transaction failed: {error}");
                    }
                    events.extend(self.see(&changes));
                    events.push_back(Event::CommitDone { id, result });
                }
                Effect::Resign { reason } => panic!("the engine gave the lease up: {reason}"),
                Effect::Notify(_) | Effect::Log { .. } => {}
            }
        }
        events
    }

    /// The engine's event for a change of the database, if its monitor covers any of it.
    fn see(&mut self, changes: &tombolo_ovsdb::ChangeSet) -> Option<Event> {
        let changes = self.monitor.apply(changes);
        let replica = self.monitor.replica().clone();
        (!changes.is_empty()).then_some(Event::Nb(NbEvent::Changed { replica, changes }))
    }

    /// What the watches say since the last time, the echo of the engine's own writes included.
    fn watched(&mut self) -> Vec<Event> {
        let new = self.api.log()[self.read..].iter().map(|entry| Event::Watch(api::watch_event(entry)));
        let events = new.collect();
        self.read = self.api.log().len();
        events
    }

    /// Runs until nothing is left to do and nothing is due soon.
    fn rest(&mut self) {
        loop {
            let watched = self.watched();
            let quiet = watched.is_empty();
            for event in watched {
                self.handle(event);
            }
            let effects = self.poll();
            let answers = self.serve(effects);
            if !answers.is_empty() {
                for event in answers {
                    self.handle(event);
                }
            } else if quiet {
                match self.engine.next_wakeup().filter(|at| *at <= self.now + REST) {
                    Some(at) => {
                        self.now = at;
                        self.handle(Event::Tick);
                    }
                    None => break,
                }
            }
        }
        assert_eq!(self.engine.health().dirty, 0, "at rest");
    }

    /// A new pod's name and namespace.
    fn next_pod(&mut self) -> (String, String) {
        self.count += 1;
        let subnet = usize::try_from(self.count).expect("invariant: few") % SUBNETS;
        (format!("ns{subnet}"), format!("new{}", self.count))
    }

    /// Time in the engine from the appearance of a pod to the transaction with its port.
    fn pod_to_commit(&mut self) -> Duration {
        let (namespace, name) = self.next_pod();
        self.create(Kind::Pod, pod_object(&namespace, &name, 7));
        self.busy = Duration::ZERO;
        let mut events: VecDeque<Event> = self.watched().into();
        for _ in 0..2 {
            while let Some(event) = events.pop_front() {
                self.handle(event);
            }
            let effects = self.poll();
            let commits = effects.iter().any(|effect| matches!(effect, Effect::Commit { .. }));
            let spent = self.busy;
            for event in self.serve(effects) {
                if commits {
                    self.handle(event);
                } else {
                    events.push_back(event);
                }
            }
            if commits {
                self.rest();
                self.remove_pod(&namespace, &name);
                return spent;
            }
        }
        panic!("no transaction after the address was persisted");
    }

    /// Time in the engine from the appearance of a pod until everything is reported, on the pod and its Subnet too.
    fn pod_to_rest(&mut self) -> Duration {
        let (namespace, name) = self.next_pod();
        self.create(Kind::Pod, pod_object(&namespace, &name, 7));
        self.busy = Duration::ZERO;
        self.rest();
        let spent = self.busy;
        self.remove_pod(&namespace, &name);
        spent
    }

    /// Time in the engine from the deletion of a pod until its address is free and everything is reported.
    fn pod_gone(&mut self) -> Duration {
        let (namespace, name) = self.next_pod();
        self.create(Kind::Pod, pod_object(&namespace, &name, 7));
        self.rest();
        self.busy = Duration::ZERO;
        self.remove_pod(&namespace, &name);
        self.busy
    }

    fn remove_pod(&mut self, namespace: &str, name: &str) {
        self.api.delete(Kind::Pod, namespace, name, None).expect("the pod is there");
        self.rest();
        let port = format!("{name}.{namespace}");
        assert!(self.api.get(Kind::Ip, &port).is_none(), "the address is free");
    }

    /// Time in the engine that a foreign transaction costs. The engine must find nothing to do.
    fn foreign(&mut self, ops: Vec<Op>) -> Duration {
        let (result, changes) = self.server.execute(&Txn::new(ops));
        if let Err(error) = result {
            panic!("the foreign transaction failed: {error}");
        }
        self.busy = Duration::ZERO;
        if let Some(event) = self.see(&changes) {
            self.handle(event);
            for effect in self.poll() {
                assert!(!matches!(effect, Effect::Write(_) | Effect::Commit { .. }), "{effect:?}");
            }
        }
        self.busy
    }

    /// A VM's port comes, or goes, on a network behind a router with a Subnet of ours.
    fn foreign_vm(&mut self) -> Duration {
        self.count += 1;
        let place = usize::try_from(self.count / 2).expect("invariant: few") % SUBNETS;
        let (switch, port) = (
            row_uuid(table::SWITCH, &network(place)),
            row_uuid(table::SWITCH_PORT, &format!("vm of {place}")),
        );
        if self.server.rows().row(table::SWITCH_PORT, &port).is_some() {
            return self.foreign(vec![Op::remove_edge(table::SWITCH, switch, "ports", port)]);
        }
        let row = Row::new().with("name", Datum::string(port.to_string()));
        self.foreign(vec![
            Op::insert(table::SWITCH_PORT, port, row),
            Op::add_edge(table::SWITCH, switch, "ports", port),
        ])
    }

    /// Neutron writes to its own port of a router with a Subnet of ours.
    fn foreign_router_port(&mut self) -> Duration {
        self.count += 1;
        let place = usize::try_from(self.count).expect("invariant: few") % SUBNETS;
        let revision = self.count.to_string();
        let keys = [("neutron:revision_number", revision.as_str())];
        let row = row_uuid(table::ROUTER_PORT, &router_port(place));
        self.foreign(vec![Op::mutate(table::ROUTER_PORT, row, Mutation::set_keys("external_ids", keys))])
    }

    /// A second engine on the same stores, until it knows that nothing is to be done; the time in it.
    fn restart(&mut self) -> Duration {
        self.engine = Engine::new(config(), UNIX_AT_ZERO);
        self.monitor = monitor(&self.server);
        self.busy = Duration::ZERO;
        self.start();
        self.busy
    }
}

/// What one costs where many others wait (invariant 12): each of these must not grow with their number.
impl Cluster {
    /// A Subnet of thirteen addresses, all of them held, and so many pods that wait for one.
    fn crowd(&mut self, waiting: usize) {
        self.create(Kind::Namespace, json!({ "metadata": { "name": "crowd" } }));
        let spec = json!({ "cidrBlock": "10.200.0.0/28", "namespaces": ["crowd"] });
        self.create(Kind::Subnet, json!({ "metadata": { "name": "crowd" }, "spec": spec }));
        self.rest();
        for number in 0..13 + waiting {
            self.create(Kind::Pod, pod_object("crowd", &format!("pod{number}"), 7));
            if number < 13 {
                self.rest();
            }
        }
        self.rest();
        assert_eq!(self.engine.stats().waiting_for_address, waiting as u64);
    }

    /// Time in the engine from the end of a pod until a waiting one has its address and everything is reported.
    fn freed(&mut self) -> Duration {
        let holder = |(_, ip): (&str, &Value)| {
            (ip["spec"]["subnet"] == "crowd").then(|| ip["spec"]["podName"].as_str().map(str::to_owned))?
        };
        let holder = self.api.list(Kind::Ip).find_map(holder).expect("invariant: all are held");
        self.api.delete(Kind::Pod, "crowd", &holder, None).expect("the pod is there");
        self.busy = Duration::ZERO;
        self.rest();
        let spent = self.busy;
        self.count += 1;
        self.create(Kind::Pod, pod_object("crowd", &format!("late{}", self.count), 7));
        self.rest();
        spent
    }

    /// Time in the engine until the address of a namespace's only new pod is written, while so many of another one
    /// came before it.
    fn first_turn(&mut self, before: usize) -> Duration {
        for number in 0..before {
            self.create(Kind::Pod, pod_object("ns1", &format!("burst{number}"), 7));
        }
        self.create(Kind::Pod, pod_object("ns0", "only", 7));
        for event in self.watched() {
            self.handle(event);
        }
        self.busy = Duration::ZERO;
        let is_it = |effect: &Effect| matches!(effect, Effect::Write(write) if write.name == "only.ns0");
        let mut effects = Vec::new();
        while !effects.iter().any(is_it) {
            effects.extend(self.poll());
        }
        let spent = self.busy;
        for event in self.serve(effects) {
            self.handle(event);
        }
        self.rest();
        for number in 0..before {
            self.api.delete(Kind::Pod, "ns1", &format!("burst{number}"), None).expect("the pod is there");
        }
        self.api.delete(Kind::Pod, "ns0", "only", None).expect("the pod is there");
        self.rest();
        spent
    }

    /// So many Subnets on the default Vpc's router.
    fn subnets(&mut self, count: usize) {
        for number in 0..count {
            let cidr = format!("172.{}.{}.{}/28", 20 + number / 4_096, number / 16 % 256, number % 16 * 16);
            self.create(
                Kind::Subnet,
                json!({ "metadata": { "name": format!("s{number}") }, "spec": { "cidrBlock": cidr } }),
            );
        }
        self.rest();
    }

    /// Time in the engine for each of a hundred more Subnets that appear together, until everything is reported.
    fn subnets_more(&mut self) -> Duration {
        const MORE: u32 = 100;
        let name = |number: u32| format!("more{number}");
        for number in 0..MORE {
            let spec = json!({ "cidrBlock": format!("10.201.{number}.0/24") });
            self.create(Kind::Subnet, json!({ "metadata": { "name": name(number) }, "spec": spec }));
        }
        self.busy = Duration::ZERO;
        self.rest();
        let spent = self.busy / MORE;
        for number in 0..MORE {
            self.api.delete(Kind::Subnet, "", &name(number), None).expect("the Subnet is there");
        }
        self.rest();
        spent
    }

    /// Time in the engine from the appearance of one more Subnet until everything is reported.
    fn one_subnet_more(&mut self) -> Duration {
        let spec = json!({ "cidrBlock": "10.201.0.0/24" });
        self.create(Kind::Subnet, json!({ "metadata": { "name": "more" }, "spec": spec }));
        self.busy = Duration::ZERO;
        self.rest();
        let spent = self.busy;
        self.api.delete(Kind::Subnet, "", "more", None).expect("the Subnet is there");
        self.rest();
        spent
    }
}

/// Plans every owner and compares it with what stands; how much differs.
fn recompute(world: &World) -> usize {
    let owners: BTreeSet<Owner> = world.owners().collect();
    let mut acts = 0;
    for owner in &owners {
        let plan = plan(world, owner);
        acts += plan.stages.iter().filter(|stage| !matches!(stage, Stage::Rows(_))).count();
        if let Some(rows) = plan.rows() {
            let group = tombolo_diff::diff(world.nb(), &world.config().cluster, owner, rows);
            acts += group.unwrap_or_else(|refusal| panic!("{owner}: {refusal}")).ops.len();
        }
    }
    acts
}

/// Resident memory of this process in MiB (proc(5)); 0 where it can't be read.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default() / 1024
}

fn main() {
    let measures = std::env::args().any(|it| it == "--bench");
    let (many, few, routers, few_routers) =
        if measures { (50_000, 1_000, 1_000, 50) } else { (200, 100, 60, SUBNETS) };
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    let sizes =
        [Size { pods: few, routers: few_routers }, Size { pods: few, routers }, Size { pods: many, routers }];
    for size in sizes {
        let foreign = size.routers * FOREIGN_PER_ROUTER;
        let start = Instant::now();
        let mut cluster = Cluster::new(size);
        eprintln!(
            "{} pods, {foreign} foreign rows: built in {:.1} s, {:.1} s of it in the engine; {} MiB with both stores",
            size.pods,
            start.elapsed().as_secs_f64(),
            cluster.busy.as_secs_f64(),
            resident()
        );
        let name = format!("{} pods, {foreign} foreign rows", size.pods);
        let mut measure = |what: &str, mut once: Box<dyn FnMut(&mut Cluster) -> Duration>| {
            criterion.bench_function(&format!("{what}/{name}"), |bencher| {
                bencher.iter_custom(|times| (0..times).map(|_| once(&mut cluster)).sum());
            });
        };
        measure(
            "recompute",
            Box::new(|cluster| {
                let start = Instant::now();
                assert_eq!(recompute(cluster.engine.world()), 0, "converged");
                start.elapsed()
            }),
        );
        measure("pod/to commit", Box::new(Cluster::pod_to_commit));
        measure("pod/to rest", Box::new(Cluster::pod_to_rest));
        measure("pod/gone", Box::new(Cluster::pod_gone));
        measure("foreign/vm port", Box::new(Cluster::foreign_vm));
        measure("foreign/router port", Box::new(Cluster::foreign_router_port));
        measure("restart", Box::new(Cluster::restart));
    }
    let sizes = if measures { [100, 10_000] } else { [10, 50] };
    for many in sizes {
        let small = Size { pods: 50, routers: SUBNETS };
        let mut cluster = Cluster::new(small);
        cluster.crowd(many);
        criterion.bench_function(&format!("fair/address freed/{many} waiting"), |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| cluster.freed()).sum());
        });
        let mut cluster = Cluster::new(small);
        criterion.bench_function(&format!("fair/first turn/{many} of another namespace"), |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| cluster.first_turn(many)).sum());
        });
        let mut cluster = Cluster::new(small);
        cluster.subnets(many / 10);
        criterion.bench_function(&format!("fair/one Subnet more/{} Subnets", many / 10), |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| cluster.one_subnet_more()).sum());
        });
        criterion.bench_function(&format!("fair/a Subnet of 100 more/{} Subnets", many / 10), |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| cluster.subnets_more()).sum());
        });
    }
    criterion.final_summary();
}
