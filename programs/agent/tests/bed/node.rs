//! The node's part of the agent, beside the one that serves the plugin.

use std::collections::BTreeMap;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tombolo_agent::assignment::Inputs;
use tombolo_agent::attach::NodeState;
use tombolo_agent::firewall::Firewall;
use tombolo_agent::local::Local;
use tombolo_agent::metrics::Metrics;
use tombolo_agent::node::{NodePort, NodeSubnet};
use tombolo_agent::node_task::{Accepted, MtuOptions, NodeTask};
use tombolo_agent::troubles::Troubles;
use tombolo_names::Reason;
use tombolo_observe::Observer;

use super::{Agent, Bed, SOON};

pub const JOIN_MAC: &str = "00:00:00:6e:53:fd";

pub fn port() -> NodePort {
    NodePort {
        iface_id: "node-node1".into(),
        mac: JOIN_MAC.parse().unwrap(),
        addresses: vec!["100.64.0.2/16".parse().unwrap()],
        gateways: vec!["100.64.0.1".parse().unwrap()],
    }
}

pub fn subnets(cidrs: &[&str]) -> Option<BTreeMap<String, NodeSubnet>> {
    let subnet = |c: &&str| NodeSubnet { networks: vec![c.parse().unwrap()], nat_outgoing: true };
    Some(cidrs.iter().map(|c| ((*c).to_owned(), subnet(c))).collect())
}

pub struct Node {
    pub inputs: watch::Sender<Inputs>,
    pub state: watch::Receiver<NodeState>,
    pub accepted: watch::Receiver<Accepted>,
    pub troubles: Troubles,
    pub metrics: Metrics,
    pub observer: Observer,
    tasks: Vec<AbortHandle>,
}

pub fn start(bed: &Bed, agent: &Agent) -> Node {
    start_with(bed, agent, 1400)
}

pub fn start_with(bed: &Bed, agent: &Agent, mtu: u32) -> Node {
    let (inputs, inputs_seen) = watch::channel(Inputs::default());
    let (state, seen) = watch::channel(NodeState::NotReady { why: "starting".into(), mtu: None });
    let (accepted, accepted_seen) = watch::channel(Accepted::default());
    let observer = Observer::new("agent", "test");
    let metrics = Metrics::new(&observer, "node1");
    let troubles = Troubles::new(metrics.clone());
    let task = NodeTask {
        host: bed.host.clone(),
        ovs: agent.ovs.clone(),
        inputs: inputs_seen,
        mtu: MtuOptions { mtu, interfaces: vec![] },
        state,
        accepted,
        local: Local::new(
            bed.host.clone(),
            Some("203.0.113.6".into()),
            vec!["10.96.0.0/12".parse().unwrap()],
        ),
        troubles: troubles.clone(),
        metrics: metrics.clone(),
    };
    let tasks = vec![tokio::spawn(task.run()).abort_handle()];
    Node { inputs, state: seen, accepted: accepted_seen, troubles, metrics, observer, tasks }
}

impl Drop for Node {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Node {
    /// The firewall's part beside it.
    pub fn firewall(&mut self, bed: &Bed) {
        let firewall = Firewall {
            nat_outgoing: true,
            host: bed.host.clone(),
            accepted: self.accepted.clone(),
            troubles: self.troubles.clone(),
            metrics: self.metrics.clone(),
        };
        self.tasks.push(tokio::spawn(firewall.run()).abort_handle());
    }

    /// Waits for a trouble that says all of this.
    pub async fn trouble(&self, reason: Reason, words: &[&str]) {
        let mut all = self.troubles.watch();
        let said = all.wait_for(|all| {
            let says = |m: &str| words.iter().all(|w| m.contains(w));
            all.values().flatten().any(|t| t.reason == reason && says(&t.message))
        });
        if timeout(SOON, said).await.is_err() {
            panic!("no {reason} with {words:?} in {:?}", self.troubles.watch().borrow());
        }
    }

    pub fn restored(&self, what: &str) -> u32 {
        let metrics = self.observer.metrics();
        let line = format!("tombolo_agent_restored_total{{what=\"{what}\"}} ");
        metrics.lines().find_map(|l| l.strip_prefix(&line)?.parse().ok()).unwrap_or(0)
    }

    pub async fn ready(&mut self) {
        let ready = self.state.wait_for(|s| matches!(s, NodeState::Ready { mtu: 1400 }));
        if timeout(SOON, ready).await.is_err() {
            panic!("the node is not ready: {:?}", self.state.borrow());
        }
    }

    pub async fn not_ready(&mut self, why: &str) {
        let not = |s: &NodeState| matches!(s, NodeState::NotReady { why: w, .. } if w.contains(why));
        if timeout(SOON, self.state.wait_for(not)).await.is_err() {
            panic!("not {why:?} but {:?}", self.state.borrow());
        }
    }
}
