//! Keeps ovn0, its addresses and the node's routes as they should be: looks again whenever one of its sources says
//! that something has changed (the Node, the Subnets, Open vSwitch's rows, the kernel's links, addresses, routes).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::watch;
use tokio::time::Instant;
use tombolo_linux::{Event, Link, LinkChange, Monitor};
use tombolo_ovsdb::{Replica, Snapshot};

use crate::attach::NodeState;
use crate::host::Host;
use crate::node::{NodePort, NodeSubnet, OVN0, PROTOCOL, TXQUEUELEN, networks};
use crate::ovs::Ovs;
use crate::ports::{self, ids};

/// What the API server says about this node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inputs {
    /// The node's port; `None` until the controller has decided. An error says what doesn't read.
    pub port: Option<Result<NodePort, String>>,
    /// The Subnets that nodes have routes to; `None` until all are known (invariant 4).
    pub subnets: Option<BTreeMap<String, NodeSubnet>>,
}

/// How MTUs are found.
#[derive(Debug, Clone, Default)]
pub struct MtuOptions {
    /// `--mtu`: what pods get; 0 to derive it.
    pub mtu: u32,
    /// `--iface`: names of links that tunnels may leave by, the first that exists counts. Empty: the one that has
    /// OVN's encapsulation address.
    pub interfaces: Vec<String>,
}

/// What a geneve header takes of a packet over IPv4: Kube-OVN's figure.
const OVERHEAD_V4: u32 = 100;
/// Over IPv6, whose header is longer.
const OVERHEAD_V6: u32 = 120;
/// How long one attempt waits for the gateway.
const GATEWAY: Duration = Duration::from_secs(10);
/// How long one write to Open vSwitch's database may take.
const WRITE: Duration = Duration::from_secs(15);
/// First and longest pause after a failure that no event will end.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

/// Keeps the node's network; see [`NodeTask::run`].
#[derive(Debug)]
pub struct NodeTask {
    /// The node.
    pub host: Arc<Host>,
    /// Open vSwitch's database.
    pub ovs: Arc<Ovs>,
    /// What the API server says.
    pub inputs: watch::Receiver<Inputs>,
    /// How MTUs are found.
    pub mtu: MtuOptions,
    /// Where the outcome goes.
    pub state: watch::Sender<NodeState>,
}

/// What a look came to.
enum Outcome {
    /// All is as it should be.
    Done { mtu: u32, link: u32 },
    /// Something is missing that an event will announce.
    Waiting { why: String, mtu: Option<u32> },
}

/// The columns and links that matter to the node's network; when they are the same, nothing needs a look.
#[derive(PartialEq, Default)]
struct Facts {
    fresh: bool,
    ovn0: Option<tombolo_ovsdb::Row>,
    bridge: bool,
    encap: Option<String>,
}

impl Facts {
    fn of(snapshot: &Snapshot) -> Self {
        let replica = &snapshot.replica;
        Self {
            fresh: snapshot.fresh,
            ovn0: ports::interface(replica, OVN0).map(|(_, row)| row.clone()),
            bridge: ports::bridge(replica, ports::BR_INT).is_some(),
            encap: ports::system_id(replica, "ovn-encap-ip").map(str::to_owned),
        }
    }
}

impl NodeTask {
    /// Runs until the sources end.
    pub async fn run(mut self) -> anyhow::Result<()> {
        // Followed from before the first look, so that nothing falls between.
        let mut monitor = self.host.monitor().await?;
        let mut view = self.ovs.view();
        let mut facts = Facts::default();
        let mut pause = RETRY.0;
        // The link on which the gateway has answered.
        let mut confirmed: Option<u32> = None;
        loop {
            let retry = match self.look(&mut confirmed).await {
                Ok(Outcome::Done { mtu, link }) => {
                    pause = RETRY.0;
                    confirmed = Some(link);
                    self.publish(NodeState::Ready { mtu });
                    None
                }
                Ok(Outcome::Waiting { why, mtu }) => {
                    pause = RETRY.0;
                    self.publish(NodeState::NotReady { why, mtu });
                    None
                }
                Err(e) => {
                    let why = format!("{e:#}");
                    let mtu = self.known_mtu();
                    self.publish(NodeState::NotReady { why, mtu });
                    let now = pause;
                    pause = (pause * 2).min(RETRY.1);
                    Some(now)
                }
            };
            if !self.changed(&mut monitor, &mut view, &mut facts, retry).await {
                return Ok(());
            }
        }
    }

    fn known_mtu(&self) -> Option<u32> {
        match &*self.state.borrow() {
            NodeState::Ready { mtu } => Some(*mtu),
            NodeState::NotReady { mtu, .. } => *mtu,
        }
    }

    fn publish(&self, state: NodeState) {
        self.state.send_if_modified(|now| {
            if *now == state {
                return false;
            }
            match &state {
                NodeState::Ready { mtu } => tracing::info!(mtu, "the node's network is ready"),
                // On the way up it is news, afterwards it is trouble.
                NodeState::NotReady { why, .. } if matches!(now, NodeState::NotReady { .. }) => {
                    tracing::info!("the node's network is not ready: {why}");
                }
                NodeState::NotReady { why, .. } => {
                    tracing::warn!("the node's network is not ready any more: {why}")
                }
            }
            *now = state;
            true
        });
    }

    /// Waits for a reason to look again. `false` when there will be none.
    async fn changed(
        &mut self,
        monitor: &mut Monitor,
        view: &mut watch::Receiver<Snapshot>,
        facts: &mut Facts,
        retry: Option<Duration>,
    ) -> bool {
        let timer = async {
            match retry {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(timer);
        // Our own changes come back as events; a look at what is as it should be costs little and ends it.
        loop {
            tokio::select! {
                () = &mut timer => return true,
                changed = self.inputs.changed() => return changed.is_ok(),
                changed = view.changed() => {
                    let now = Facts::of(&view.borrow_and_update());
                    if changed.is_err() {
                        return false;
                    }
                    if now != *facts {
                        *facts = now;
                        return true;
                    }
                }
                event = monitor.next() => match event {
                    None => return false,
                    Some(event) if self.concerns(&event) => {
                        // Those that are there already are seen by the same look.
                        while let Some(Some(_)) = monitor.next().now_or_never() {}
                        return true;
                    }
                    Some(_) => {}
                },
            }
        }
    }

    /// Pods' links come and go all the time; those are not looked at.
    fn concerns(&self, event: &Event) -> bool {
        let ours = |link: &Link| link.kind != "veth";
        match event {
            Event::Link(link) | Event::LinkGone(link) => ours(link),
            Event::Address { .. } | Event::AddressGone { .. } | Event::Lost => true,
            Event::Route(route) | Event::RouteGone(route) => route.protocol == PROTOCOL,
            _ => false,
        }
    }

    async fn look(&mut self, confirmed: &mut Option<u32>) -> anyhow::Result<Outcome> {
        let deadline = Instant::now() + WRITE;
        let inputs = self.inputs.borrow_and_update().clone();
        let snapshot = self.ovs.snapshot();
        if !snapshot.fresh {
            let why = format!("Open vSwitch's database can't be reached: {}", self.ovs.status());
            return Ok(Outcome::Waiting { why, mtu: self.known_mtu() });
        }
        let mtu = match self.pod_mtu(&snapshot.replica).await? {
            Ok(mtu) => mtu,
            Err(why) => return Ok(Outcome::Waiting { why, mtu: None }),
        };
        let waiting = |why: String| Ok(Outcome::Waiting { why, mtu: Some(mtu) });
        let port = match inputs.port {
            None => {
                return waiting(
                    "kube-ovn-controller has not given this node its address in the join subnet yet"
                        .to_owned(),
                );
            }
            Some(Err(why)) => return waiting(why),
            Some(Ok(port)) => port,
        };
        if ports::bridge(&snapshot.replica, ports::BR_INT).is_none() {
            return waiting(ports::PlanError::NoBridge.to_string());
        }
        let wanted = port.clone();
        self.ovs
            .apply([OVN0.to_owned()], deadline, move |replica, tag| wanted.plan(replica, mtu, tag))
            .await?;

        let Some(link) = self.host.netlink.link(OVN0).await? else {
            *confirmed = None;
            let replica = self.ovs.snapshot().replica;
            let error = ports::interface(&replica, OVN0).and_then(|(_, row)| row.str("error"));
            let why = error.map_or_else(|| "is ovs-vswitchd running?".to_owned(), str::to_owned);
            return waiting(format!("Open vSwitch has not made the interface {OVN0} yet: {why}"));
        };
        if *confirmed != Some(link.index) {
            *confirmed = None; // another link: ovs-vswitchd was restarted
        }
        self.configure(&link, &port, mtu).await?;
        if link.up && !link.carrier {
            *confirmed = None;
            return waiting(format!("{OVN0} has no carrier: is ovs-vswitchd running?"));
        }
        self.routes(&port, link.index, inputs.subnets.as_ref()).await?;

        let installed = |replica: &Replica| {
            ports::interface(replica, OVN0)
                .is_some_and(|(_, row)| row.key("external_ids", ids::INSTALLED) == Some("true"))
        };
        if !installed(&self.ovs.snapshot().replica) {
            return waiting(format!(
                "ovn-controller has not installed the flows of {OVN0} ({}) yet",
                port.iface_id
            ));
        }
        if inputs.subnets.is_none() {
            return waiting("the API server has not told this node of the Subnets yet".to_owned());
        }
        if confirmed.is_none() {
            for gateway in &port.gateways {
                self.host.netlink.resolve(&self.host.netns, link.index, *gateway, GATEWAY).await?;
            }
        }
        Ok(Outcome::Done { mtu, link: link.index })
    }

    /// ovn0's MAC, MTU and addresses. It is our link: what doesn't belong there goes.
    async fn configure(&self, link: &Link, port: &NodePort, mtu: u32) -> anyhow::Result<()> {
        let netlink = &self.host.netlink;
        let change = LinkChange {
            mac: (link.mac != Some(port.mac)).then_some(port.mac),
            mtu: (link.mtu != mtu).then_some(mtu),
            txqueuelen: (link.txqueuelen != TXQUEUELEN).then_some(TXQUEUELEN),
            up: (!link.up).then_some(true),
        };
        if change != LinkChange::default() {
            netlink.change_link(link.index, &change).await?;
        }
        let present = netlink.addresses(link.index).await?;
        for address in present.iter().filter(|a| !port.addresses.contains(a)) {
            tracing::info!(%address, "taking an address from {OVN0} that is not the node's");
            netlink.delete_address(link.index, *address).await?;
        }
        for address in port.addresses.iter().filter(|a| !present.contains(a)) {
            netlink.add_address(link.index, *address).await?;
        }
        Ok(())
    }

    async fn routes(
        &self,
        port: &NodePort,
        link: u32,
        subnets: Option<&BTreeMap<String, NodeSubnet>>,
    ) -> anyhow::Result<()> {
        let Some(subnets) = subnets else { return Ok(()) }; // invariant 4
        let netlink = &self.host.netlink;
        let wanted = port.routes(&networks(subnets), link);
        let present = netlink.routes(Some(PROTOCOL)).await?;
        for route in present.iter().filter(|r| !wanted.contains(r)) {
            tracing::info!("deleting the {route}");
            netlink.delete_route(route).await?;
        }
        for route in wanted.iter().filter(|r| !present.contains(r)) {
            match netlink.add_route(route).await {
                Ok(()) => tracing::info!("added the {route}"),
                // Of somebody else: theirs stays. Pods of that subnet can't be reached from here; the others can.
                Err(e) if e.is_exists() => {
                    tracing::warn!(
                        "the node has another route to {}: pods there can't be reached from it",
                        route.dst
                    );
                }
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// The MTU of pods without one of their own. The inner error says what is missing.
    async fn pod_mtu(&self, replica: &Replica) -> anyhow::Result<Result<u32, String>> {
        if self.mtu.mtu > 0 {
            return Ok(Ok(self.mtu.mtu));
        }
        let encap = ports::system_id(replica, "ovn-encap-ip").and_then(|ip| ip.split(',').next());
        let encap: Option<IpAddr> = encap.and_then(|ip| ip.parse().ok());
        let overhead = if encap.is_some_and(|ip| ip.is_ipv6()) { OVERHEAD_V6 } else { OVERHEAD_V4 };
        for name in &self.mtu.interfaces {
            if let Some(link) = self.host.netlink.link(name).await? {
                return Ok(Ok(link.mtu.saturating_sub(overhead)));
            }
        }
        if !self.mtu.interfaces.is_empty() {
            return Ok(Err(format!("there is no interface {} (--iface)", self.mtu.interfaces.join(" or "))));
        }
        let Some(encap) = encap else {
            return Ok(Err(
                "Open vSwitch has no external_ids:ovn-encap-ip: set it to this node's address for tunnels"
                    .to_owned(),
            ));
        };
        let Some(index) = self.host.netlink.link_with_address(encap).await? else {
            return Ok(Err(format!(
                "no interface of this node has the address {encap} (external_ids:ovn-encap-ip); name the interface with --iface, or the pods' MTU with --mtu"
            )));
        };
        let links = self.host.netlink.links().await?;
        let mtu = links.iter().find(|l| l.index == index).map_or(0, |l| l.mtu);
        // Loopback has 65536, which no tunnel carries.
        Ok(Ok(mtu.min(65_000).saturating_sub(overhead)))
    }
}
