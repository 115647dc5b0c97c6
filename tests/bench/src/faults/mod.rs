//! What faults do to the controller: each run ends with the check that nothing was lost, given twice or left behind.

pub mod fence;
pub mod kills;
pub mod leaks;
pub mod northbound;
pub mod silent;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tombolo_foreign_rows::Guard;
use tombolo_testbed::{Cluster, Controller};

use crate::bed::{Bed, PATIENCE, create_pod};
use crate::pods::{Name, Pods};

/// How much of each.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// What decides each random choice.
    pub seed: u64,
    /// Pods created while controllers are killed.
    pub kill_pods: usize,
    /// Rounds of all faults of the NB.
    pub nb_rounds: usize,
    /// How long a server of the NB hangs.
    pub nb_hangs: Duration,
    /// How long the API server is away.
    pub api_away: Duration,
    /// Pods, some of which are deleted while no controller runs.
    pub leak_pods: usize,
    /// Routers of Neutron's, each with 20 ports.
    pub routers: usize,
    /// Routers that come one by one while time is taken.
    pub changes: usize,
    /// How long nothing happens.
    pub idle: Duration,
}

impl Sizes {
    /// What each commit is held to: some minutes on two cores.
    pub const SMALL: Sizes = Sizes {
        seed: 1,
        kill_pods: 150,
        nb_rounds: 1,
        nb_hangs: Duration::from_secs(2),
        api_away: Duration::from_secs(5),
        leak_pods: 80,
        routers: 1000,
        changes: 50,
        idle: Duration::from_secs(20),
    };
    /// What docs/measured/faults.md shows.
    pub const FULL: Sizes = Sizes {
        seed: 1,
        kill_pods: 1000,
        nb_rounds: 5,
        nb_hangs: Duration::from_secs(15),
        api_away: Duration::from_secs(30),
        leak_pods: 400,
        routers: 1000,
        changes: 200,
        idle: Duration::from_secs(600),
    };
}

/// How a line begins whose fault isn't possible on this machine.
pub const LEFT_OUT: &str = "left out";

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Line {
    /// What happened.
    pub what: String,
    /// What was seen.
    pub seen: String,
}

impl Line {
    /// A line about times in seconds.
    pub fn times(what: &str, mut seconds: Vec<f64>) -> Line {
        seconds.sort_by(f64::total_cmp);
        let (count, median) = (seconds.len(), seconds.get(seconds.len() / 2).copied().unwrap_or_default());
        let last = seconds.last().copied().unwrap_or_default();
        let seen = match count {
            0 => "did not happen".to_owned(),
            1 => format!("{last:.1} s"),
            _ => format!("median {median:.1} s, longest {last:.1} s ({count} times)"),
        };
        Line { what: what.to_owned(), seen }
    }

    /// Any other line.
    pub fn text(what: &str, seen: impl Into<String>) -> Line {
        Line { what: what.to_owned(), seen: seen.into() }
    }
}

/// Random numbers that are the same each time (splitmix64).
#[derive(Clone, Debug)]
pub struct Rng(pub u64);

impl Rng {
    fn step(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.step() % end.max(1) as u64).unwrap_or_default()
    }

    /// A time of at least `from` and less than `to` milliseconds.
    pub fn millis(&mut self, from: usize, to: usize) -> Duration {
        Duration::from_millis((from + self.below(to - from)) as u64)
    }
}

/// Nodes of each run.
const NODES: usize = 3;
/// Where pods are made: behind a router of Neutron's, and in the default Subnet.
const NAMESPACES: [&str; 2] = ["net2", "plain"];

/// Two controllers on an NB of three.
pub struct Setting {
    /// Around the NB; it fails the run at its end if a row was touched that isn't ours.
    pub guard: Guard,
    /// The servers.
    pub bed: Bed<Cluster>,
    /// The controllers.
    pub pair: [Controller; 2],
    /// What is seen of the pods.
    pub pods: Pods,
}

impl Setting {
    /// Everything up, with nodes, a router of Neutron's and a Subnet on it. `None` if a program is missing.
    pub async fn start(controller: &Path) -> Result<Option<Self>> {
        let Some(bed) = Bed::start(controller, Cluster::start).await? else { return Ok(None) };
        let guard = bed.guarded(&bed.nb.files())?;
        bed.nodes(NODES).await?;
        let (router, _) = bed.nb.neutron_router(1, "router0", "192.168.1.0/24")?;
        let pair = [bed.controller("a", &[])?, bed.controller("b", &[])?];
        bed.defaults()?;
        bed.subnet_on_router(NAMESPACES[0], "12.0.0.0/20", &router).await?;
        bed.namespace(NAMESPACES[1]).await?;
        bed.nodes_served().await?;
        let pods = Pods::watch(&bed.client);
        Ok(Some(Self { guard, bed, pair, pods }))
    }

    /// Which of the controllers leads, if one does.
    pub fn leader(&self) -> Option<usize> {
        let leads = |c: &Controller| c.metric("leader_election_master_status").is_ok_and(|n| n == 1.0);
        self.pair.iter().position(leads)
    }

    /// Waits for a leader that has taken the epoch; which one.
    pub async fn led(&self) -> Result<usize> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(n) = self.leader() {
                return Ok(n);
            }
            ensure!(Instant::now() < until, "no controller leads:\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Makes a pod and waits until it is routed: seconds since `since`.
    pub async fn probe(&self, name: &str, since: Instant) -> Result<f64> {
        let pod = (NAMESPACES[0].to_owned(), name.to_owned());
        create(&self.bed.client, &pod, 0).await;
        let at = self.pods.one(&pod, PATIENCE).await.with_context(|| self.logs())?;
        Ok(at.saturating_duration_since(since).as_secs_f64())
    }

    /// Waits until all agree, on so many pods, and fails if any address was ever given twice.
    pub async fn converged(&self, pods: usize) -> Result<()> {
        self.pods.all(PATIENCE).await.with_context(|| self.logs())?;
        self.bed.agree(pods, NODES).with_context(|| self.logs())?;
        self.pods.sound()
    }

    /// Deletes all pods, and waits until nothing of them is left.
    pub async fn empty(&self) -> Result<()> {
        for namespace in NAMESPACES {
            self.bed.api.kubectl(&[
                "delete",
                "pods",
                "--all",
                "-n",
                namespace,
                "--force",
                "--grace-period=0",
                "--wait=false",
            ])?;
        }
        self.bed.agree(0, NODES).with_context(|| self.logs())?;
        let seen = self.guard.check()?;
        ensure!(seen.ours > 0, "the guard saw none of our transactions: {seen:?}");
        Ok(())
    }

    /// What both controllers say, for a run that failed: the last lines of each.
    pub fn logs(&self) -> String {
        let tail = |c: &Controller| {
            let log = c.log();
            let lines: Vec<&str> = log.lines().collect();
            format!("controller {}:\n{}\n", c.name(), lines[lines.len().saturating_sub(40)..].join("\n"))
        };
        self.pair.iter().map(tail).collect()
    }
}

/// Creates a pod, and doesn't give up.
async fn create(client: &kube::Client, pod: &Name, node: usize) {
    loop {
        match create_pod(client, &pod.0, &pod.1, &format!("node{}", node % NODES)).await {
            Ok(_) => return,
            // The answer to an earlier attempt was lost.
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => return,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Pods that come and go.
#[derive(Debug)]
pub struct Churn {
    rng: Rng,
    /// Those that exist.
    pub live: Vec<Name>,
    created: usize,
    pace: Duration,
}

impl Churn {
    /// None yet; one change every `pace`.
    pub fn new(seed: u64, pace: Duration) -> Self {
        Self { rng: Rng(seed), live: Vec::new(), created: 0, pace }
    }

    /// Creates `count` pods, and deletes one for about two that are created.
    pub async fn run(&mut self, client: &kube::Client, count: usize) {
        let end = self.created + count;
        while self.created < end {
            self.step(client).await;
            tokio::time::sleep(self.pace).await;
        }
    }

    /// Goes on until `end` fires.
    pub async fn run_until(mut self, client: kube::Client, end: tokio::sync::oneshot::Receiver<()>) -> Self {
        let mut end = end;
        // Only between two steps: one that is cut short leaves it open whether its pod exists.
        while end.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty) {
            self.step(&client).await;
            tokio::time::sleep(self.pace).await;
        }
        self
    }

    async fn step(&mut self, client: &kube::Client) {
        if !self.live.is_empty() && self.rng.below(3) == 0 {
            let n = self.rng.below(self.live.len());
            let (namespace, name) = self.live.swap_remove(n);
            while crate::bed::delete_pod(client, &namespace, &name).await.is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            return;
        }
        let namespace = NAMESPACES[self.rng.below(NAMESPACES.len())];
        let pod = (namespace.to_owned(), format!("pod{}", self.created));
        create(client, &pod, self.rng.below(NODES)).await;
        self.created += 1;
        self.live.push(pod);
    }
}
