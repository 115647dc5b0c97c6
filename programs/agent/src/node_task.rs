//! Keeps ovn0, its addresses, the node's routes and its forwarding as they should be: looks again after each change of
//! a source (the controller's objects, Open vSwitch's rows, the kernel's links, addresses, routes), and every few seconds
//! for the kernel's sysctls, whose changes have no event.
//!
//! Networks that would cut the node off are refused first, and their routes removed (invariant 13): also while the API
//! server is away, since then no other program could.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::watch;
use tokio::time::Instant;
use tombolo_linux::{Event, Link, LinkChange, Monitor, Route};
use tombolo_names::Reason;
use tombolo_net::IfAddr;
use tombolo_ovsdb::{Replica, Snapshot};

use crate::assignment::Inputs;
use crate::attach::NodeState;
use crate::host::Host;
use crate::local::{Kernel, Local};
use crate::metrics::Metrics;
use crate::node::{NodePort, NodeSubnet, OVN0, PROTOCOL, TXQUEUELEN, networks};
use crate::ovs::Ovs;
use crate::ports::{self, ids};
use crate::surroundings::{Role, Surroundings};
use crate::sysctls;
use crate::troubles::{Trouble, Troubles};

/// The controller's configuration as in force on this node: without networks that would cut it off.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    /// The node's port.
    pub port: Option<NodePort>,
    /// The Subnets; `None` until all are known (invariant 4).
    pub subnets: Option<BTreeMap<String, NodeSubnet>>,
    /// Addresses of the cluster's nodes.
    pub nodes: BTreeSet<IpAddr>,
}

/// How MTUs are found.
#[derive(Debug, Clone, Default)]
pub struct MtuOptions {
    /// `--mtu`: the MTU of pods; 0 to derive it.
    pub mtu: u32,
    /// `--iface`: names of links that tunnels may leave by, the first that exists counts. Empty: the one that has
    /// OVN's encapsulation address.
    pub interfaces: Vec<String>,
}

/// Length of a geneve header over IPv4: Kube-OVN's figure.
const OVERHEAD_V4: u32 = 100;
/// Over IPv6, whose header is longer.
const OVERHEAD_V6: u32 = 120;
/// How long one attempt waits for the gateway.
const GATEWAY: Duration = Duration::from_secs(10);
/// How long one write to Open vSwitch's database may take.
const WRITE: Duration = Duration::from_secs(15);
/// First and longest pause after a failure that no event will end.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));
/// Between two looks: some changes have no event. A look at a node in order asks the kernel a few questions
/// and writes nothing.
const AGAIN: Duration = Duration::from_secs(8);
/// The name of this task as a source of troubles.
const SOURCE: &str = "node";

/// Keeps the node's network; see [`NodeTask::run`].
#[derive(Debug)]
pub struct NodeTask {
    /// The node.
    pub host: Arc<Host>,
    /// Open vSwitch's database.
    pub ovs: Arc<Ovs>,
    /// The node's assignment.
    pub inputs: watch::Receiver<Inputs>,
    /// How MTUs are found.
    pub mtu: MtuOptions,
    /// Receives the outcome.
    pub state: watch::Sender<NodeState>,
    /// Receives the configuration in force.
    pub accepted: watch::Sender<Accepted>,
    /// The destinations that must stay reachable.
    pub local: Local,
    /// Receives this task's troubles.
    pub troubles: Troubles,
    /// Counts restored parts.
    pub metrics: Metrics,
}

/// The state that the last look left: parts that the next one misses were taken away by others.
#[derive(Debug, Default, PartialEq)]
struct Kept {
    link: u32,
    mtu: u32,
    addresses: Vec<IfAddr>,
    routes: BTreeSet<Route>,
    sysctls: bool,
}

/// The outcome of a look.
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
        let mut kept = Kept::default();
        loop {
            let retry = match self.look(&mut confirmed, &mut kept).await {
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
                // During the start it is news, afterwards it is trouble.
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
        let timer = tokio::time::sleep(retry.unwrap_or(AGAIN).min(AGAIN));
        tokio::pin!(timer);
        // Our own changes come back as events; a look at a node in order costs little and ends it.
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

    /// Pods' links come and go all the time, and their link-local addresses with them; those need no look.
    fn concerns(&self, event: &Event) -> bool {
        let ours = |link: &Link| link.kind != "veth";
        match event {
            Event::Link(link) | Event::LinkGone(link) => ours(link),
            Event::Address { address, .. } | Event::AddressGone { address, .. } => {
                !link_local(address.addr())
            }
            Event::Lost => true,
            // Others' too: a network that comes to a link makes a route of ours harmful, and one that goes ends it.
            Event::Route(route) | Event::RouteGone(route) => !link_local(route.dst.network()),
            _ => false,
        }
    }

    async fn look(&mut self, confirmed: &mut Option<u32>, kept: &mut Kept) -> anyhow::Result<Outcome> {
        let mut troubles = BTreeSet::new();
        let mut whole = false;
        let outcome = self.look_at_all(confirmed, kept, &mut troubles, &mut whole).await;
        // A look that ended before the routes were judged knows less than the one before.
        match whole {
            true => self.troubles.set(SOURCE, troubles),
            false => self.troubles.add(SOURCE, troubles),
        }
        outcome
    }

    async fn look_at_all(
        &mut self,
        confirmed: &mut Option<u32>,
        kept: &mut Kept,
        troubles: &mut BTreeSet<Trouble>,
        whole: &mut bool,
    ) -> anyhow::Result<Outcome> {
        let deadline = Instant::now() + WRITE;
        let inputs = self.inputs.borrow_and_update().clone();
        let snapshot = self.ovs.snapshot();
        let kernel = self.local.kernel().await?;
        let mut around = self.local.surroundings(&kernel, &snapshot.replica).await;
        around.hosts.extend(inputs.nodes.iter().map(|ip| (*ip, Role::Node)));
        self.remove_harmful(&around, &kernel, troubles).await?;
        if !snapshot.fresh {
            let why = format!("Open vSwitch's database can't be reached: {}", self.ovs.status());
            return Ok(Outcome::Waiting { why, mtu: self.known_mtu() });
        }
        let mtu = match self.pod_mtu(&snapshot.replica, &kernel, troubles) {
            Ok(mtu) => mtu,
            Err(why) => return Ok(Outcome::Waiting { why, mtu: None }),
        };
        let waiting = |why: String| Ok(Outcome::Waiting { why, mtu: Some(mtu) });
        let Some(port) = inputs.port.clone() else {
            return waiting(
                inputs.missing.unwrap_or_else(|| "the API server has not answered yet".to_owned()),
            );
        };
        // The address of ovn0 brings the route to its network with it.
        let conflict = |a: &IfAddr| Some((a.cidr(), around.conflict(a.cidr())?));
        if let Some((network, why)) = port.addresses.iter().find_map(conflict) {
            return waiting(format!(
                "the join subnet's network {network} is refused on this node: {why}. Choose another join subnet \
                 (--node-switch-cidr of kube-ovn-controller), or renumber the other network"
            ));
        }
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
        if kept.link != link.index {
            // Nothing of a new link's was taken away from it.
            *kept = Kept { link: link.index, sysctls: kept.sysctls, ..Kept::default() };
        }
        let accepted = accept(&inputs, &around, troubles);
        let subnets = accepted.subnets.clone();
        self.accepted.send_if_modified(|now| std::mem::replace(now, accepted.clone()) != accepted);
        let no_v6 = self.sysctls(&kernel, &accepted, kept, troubles).await?;
        self.configure(&link, &port, mtu, no_v6, kept).await?;
        if link.up && !link.carrier {
            *confirmed = None;
            return waiting(format!("{OVN0} has no carrier: is ovs-vswitchd running?"));
        }
        self.routes(&port, link.index, subnets.as_ref(), kept, troubles).await?;
        *whole = true;
        if let Some(missing) = inputs.missing {
            troubles.insert(Trouble { reason: Reason::NodeNetworksMissing, message: missing });
        }

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
        if confirmed.is_none() {
            for gateway in &port.gateways {
                self.host.netlink.resolve(&self.host.netns, link.index, *gateway, GATEWAY).await?;
            }
        }
        Ok(Outcome::Done { mtu, link: link.index })
    }

    /// Removes routes of ours that cut the node off, whatever the reason for them was and however little else is known:
    /// an agent of an older version may have made them.
    async fn remove_harmful(
        &self,
        around: &Surroundings,
        kernel: &Kernel,
        troubles: &mut BTreeSet<Trouble>,
    ) -> anyhow::Result<()> {
        for route in kernel.routes.iter().filter(|r| r.protocol == PROTOCOL) {
            let Some(why) = around.conflict(route.dst) else { continue };
            self.host.netlink.delete_route(route).await?;
            tracing::warn!("deleted the {route}: {why}");
            let message = format!("a route to {} was taken away: {why}", route.dst);
            troubles.insert(Trouble { reason: Reason::NetworkRefused, message });
        }
        Ok(())
    }

    /// Forwarding, and IPv6 on ovn0. Whether ovn0 can't have IPv6.
    async fn sysctls(
        &self,
        kernel: &Kernel,
        accepted: &Accepted,
        kept: &mut Kept,
        troubles: &mut BTreeSet<Trouble>,
    ) -> anyhow::Result<bool> {
        let ovn0_v6 = accepted.port.iter().flat_map(|p| &p.addresses).any(|a| a.addr().is_ipv6());
        let nets = accepted.subnets.iter().flat_map(networks);
        let wish = sysctls::Wish {
            forward_v6: ovn0_v6 || nets.into_iter().any(|n| n.network().is_ipv6()),
            ovn0_v6,
            advertised: sysctls::advertised(&kernel.links, &kernel.addresses, &kernel.routes),
        };
        let found = sysctls::keep(&self.host, wish).await?;
        for what in found.set.iter().filter(|_| kept.sysctls) {
            self.metrics.put_back(what);
        }
        kept.sysctls = true;
        troubles.extend(found.troubles);
        Ok(found.no_v6)
    }

    /// ovn0's MAC, MTU and addresses. It is our link: addresses that don't belong there go.
    async fn configure(
        &self,
        link: &Link,
        port: &NodePort,
        mtu: u32,
        no_v6: bool,
        kept: &mut Kept,
    ) -> anyhow::Result<()> {
        let netlink = &self.host.netlink;
        let change = LinkChange {
            mac: (link.mac != Some(port.mac)).then_some(port.mac),
            mtu: (link.mtu != mtu).then_some(mtu),
            txqueuelen: (link.txqueuelen != TXQUEUELEN).then_some(TXQUEUELEN),
            up: (!link.up).then_some(true),
        };
        if change != LinkChange::default() {
            if kept.mtu == mtu {
                self.metrics.put_back("link");
            }
            netlink.change_link(link.index, &change).await?;
        }
        let present = netlink.addresses(link.index).await?;
        for address in present.iter().filter(|a| !port.addresses.contains(a)) {
            tracing::info!(%address, "taking an address from {OVN0} that is not the node's");
            netlink.delete_address(link.index, *address).await?;
        }
        let can = |a: &&IfAddr| !no_v6 || a.addr().is_ipv4();
        for address in port.addresses.iter().filter(|a| !present.contains(a)).filter(can) {
            netlink.add_address(link.index, *address).await?;
            if kept.addresses.contains(address) {
                tracing::info!(%address, "{OVN0} has its address again");
                self.metrics.put_back("address");
            }
        }
        kept.mtu = mtu;
        kept.addresses = port.addresses.iter().filter(can).copied().collect();
        Ok(())
    }

    async fn routes(
        &self,
        port: &NodePort,
        link: u32,
        subnets: Option<&BTreeMap<String, NodeSubnet>>,
        kept: &mut Kept,
        troubles: &mut BTreeSet<Trouble>,
    ) -> anyhow::Result<()> {
        let Some(subnets) = subnets else { return Ok(()) }; // invariant 4
        let netlink = &self.host.netlink;
        let all = netlink.routes(None).await?;
        let wanted = port.routes(&networks(subnets), link, &all);
        let present: BTreeSet<Route> = all.iter().filter(|r| r.protocol == PROTOCOL).copied().collect();
        for route in present.iter().filter(|r| !wanted.contains(r)) {
            tracing::info!("deleting the {route}");
            netlink.delete_route(route).await?;
        }
        let mut stand = BTreeSet::new();
        for route in &wanted {
            if present.contains(route) {
                stand.insert(*route);
                continue;
            }
            match netlink.add_route(route).await {
                Ok(()) => {
                    tracing::info!("added the {route}");
                    if kept.routes.contains(route) || route.gateway.is_none() {
                        self.metrics.put_back("route");
                    }
                    stand.insert(*route);
                }
                // Another program's route stays. Pods of that subnet can't be reached from here; the others can.
                Err(e) if e.is_exists() => {
                    let message = format!(
                        "this node has another route to {}: pods there can't be reached from it; see `ip route show {}`",
                        route.dst, route.dst
                    );
                    troubles.insert(Trouble { reason: Reason::RouteTaken, message });
                }
                Err(e) => return Err(e.into()),
            }
        }
        kept.routes = stand;
        Ok(())
    }

    /// The MTU of pods without one of their own, never more than a tunnel carries. The error names the missing part.
    fn pod_mtu(
        &self,
        replica: &Replica,
        kernel: &Kernel,
        troubles: &mut BTreeSet<Trouble>,
    ) -> Result<u32, String> {
        let asked = self.mtu.mtu;
        let carried = self.tunnel_mtu(replica, kernel);
        match carried {
            Ok(carried) if asked > carried => {
                let message = format!(
                    "--mtu={asked} is more than a tunnel of this node carries: {carried} is used. Raise the MTU of the tunnels' \
                     interface on all nodes, or lower --mtu"
                );
                troubles.insert(Trouble { reason: Reason::NodeMtuBounded, message });
                Ok(carried)
            }
            // Requested, and no tunnel is known to compare it with.
            Err(_) | Ok(_) if asked > 0 => Ok(asked),
            other => other,
        }
    }

    /// Longest packet in a tunnel.
    fn tunnel_mtu(&self, replica: &Replica, kernel: &Kernel) -> Result<u32, String> {
        let encaps: Vec<IpAddr> = ports::system_id(replica, "ovn-encap-ip")
            .unwrap_or_default()
            .split(',')
            .filter_map(|ip| ip.trim().parse().ok())
            .collect();
        let overhead = |v6: bool| if v6 { OVERHEAD_V6 } else { OVERHEAD_V4 };
        // Loopback has 65536, which no tunnel carries.
        let less = |link: &Link, v6: bool| link.mtu.min(65_000).saturating_sub(overhead(v6));
        let any_v6 = encaps.iter().any(IpAddr::is_ipv6);
        for name in &self.mtu.interfaces {
            if let Some(link) = kernel.links.iter().find(|l| l.name == *name) {
                return Ok(less(link, any_v6));
            }
        }
        if !self.mtu.interfaces.is_empty() {
            return Err(format!("there is no interface {} (--iface)", self.mtu.interfaces.join(" or ")));
        }
        if encaps.is_empty() {
            return Err(
                "Open vSwitch has no external_ids:ovn-encap-ip: set it to this node's address for tunnels"
                    .to_owned(),
            );
        }
        // Of several links the narrowest: a tunnel may leave by any.
        let link_of = |ip: &IpAddr| {
            let index = kernel.addresses.iter().find(|a| a.address.addr() == *ip)?.link;
            kernel.links.iter().find(|l| l.index == index)
        };
        encaps.iter().filter_map(|ip| Some(less(link_of(ip)?, ip.is_ipv6()))).min().ok_or_else(|| {
            format!(
                "no interface of this node has the address {} (external_ids:ovn-encap-ip); name the interface with --iface, or the pods' MTU with --mtu",
                encaps.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" or ")
            )
        })
    }
}

/// Of IPv6, which every link has.
fn link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfe80)
}

/// The controller's configuration without the networks that would cut the node off: each of those is a trouble.
fn accept(inputs: &Inputs, around: &Surroundings, troubles: &mut BTreeSet<Trouble>) -> Accepted {
    let mut subnets = inputs.subnets.clone();
    for (name, subnet) in subnets.iter_mut().flatten() {
        subnet.networks.retain(|network| {
            let Some(why) = around.conflict(*network) else { return true };
            let message = format!(
                "the network {network} of the Subnet {name} is not configured on this node: {why}. Give the Subnet another \
                 network, or renumber the other network"
            );
            troubles.insert(Trouble { reason: Reason::NetworkRefused, message });
            false
        });
    }
    let mut nodes = inputs.nodes.clone();
    if nodes.is_empty() {
        // A controller of a version that doesn't list them: the other ends of the tunnels are the known nodes.
        let ends = around.hosts.iter().filter(|(_, role)| matches!(role, Role::Encap | Role::Peer));
        nodes = ends.map(|(ip, _)| *ip).collect();
    }
    Accepted { port: inputs.port.clone(), subnets, nodes }
}
