//! Attaching and detaching pods: ADD, DEL, CHECK, GC and STATUS of CNI, as the agent does them.
//!
//! Decides the order of things. ADD: the controller's decision first, then the link, then the port and the inside of the
//! namespace at once, and success only when ovn-controller has installed the port's flows (invariant 5). A failed ADD is
//! undone. A DEL ends an ADD of the same container that is still under way.

use std::collections::{BTreeSet, HashMap};
use std::error::Error;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tombolo_client::chain;
use tombolo_cni::agent::{IpReply, Request, Response};
use tombolo_cni::{CniError, Code, Dns, Route};
use tombolo_linux::{Netns, Veth, set_sysctl};
use tombolo_names::Reason;
use tombolo_net::Family;

use crate::host::Host;
use crate::metrics::Metrics;
use crate::network::PodNetwork;
use crate::notices::{Notice, Notices};
use crate::ovs::{Ovs, OvsError};
use crate::pods::{Attachment, PodRef, Pods};
use crate::ports::{self, OurPort, PlanError, PodPort};
use crate::{announce, inside, namespace};

/// The least MTU of a link with IPv6 (RFC 8200 §5); below it the kernel has no IPv6 on an interface.
const IPV6_MIN_MTU: u32 = 1280;

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// ADD as a whole. Below the runtime's own (kubelet's is 2 minutes), so that the reason gets through.
    pub add: Duration,
    /// DEL, CHECK and GC.
    pub other: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { add: Duration::from_secs(60), other: Duration::from_secs(30) }
    }
}

/// The node's state, as far as pods depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeState {
    /// Pods can be attached; MTU for those without one of their own.
    Ready {
        /// In bytes.
        mtu: u32,
    },
    /// Not yet, or not now.
    NotReady {
        /// Why.
        why: String,
        /// MTU in bytes, when it is known already.
        mtu: Option<u32>,
    },
}

impl NodeState {
    fn mtu(&self) -> Option<u32> {
        match self {
            Self::Ready { mtu } => Some(*mtu),
            Self::NotReady { mtu, .. } => *mtu,
        }
    }
}

/// One sandbox's interface, and the request that works on it now.
#[derive(Debug, Default)]
struct Slot {
    /// Held by the request that works.
    busy: tokio::sync::Mutex<()>,
    /// Ends the ADD that is under way.
    add: Mutex<Option<CancellationToken>>,
}

/// Serves the plugin's requests.
#[derive(Debug)]
pub struct Attacher {
    ovs: Arc<Ovs>,
    pods: Arc<Pods>,
    host: Arc<Host>,
    node: watch::Receiver<NodeState>,
    metrics: Metrics,
    notices: Notices,
    deadlines: Deadlines,
    slots: Mutex<HashMap<(String, String), Arc<Slot>>>,
}

fn later(msg: impl Into<String>) -> CniError {
    CniError::new(Code::TryAgainLater, msg)
}

impl Attacher {
    /// `node` has whether pods can be attached at all, and their MTU.
    pub fn new(
        ovs: Arc<Ovs>,
        pods: Arc<Pods>,
        host: Arc<Host>,
        node: watch::Receiver<NodeState>,
        metrics: Metrics,
        notices: Notices,
        deadlines: Deadlines,
    ) -> Self {
        Self { ovs, pods, host, node, metrics, notices, deadlines, slots: Mutex::default() }
    }

    /// Attaches a pod. Must run to its end, whether or not a request still waits for it: run it in a task of its own.
    /// `passed` is the pod's network namespace, when the plugin has handed it over.
    pub async fn add(&self, request: &Request, passed: Option<OwnedFd>) -> Result<Response, CniError> {
        let deadline = Instant::now() + self.deadlines.add;
        let slot = self.slot(request);
        let token = CancellationToken::new();
        let busy = slot.busy.lock().await;
        *lock(&slot.add) = Some(token.clone());
        let result = self.add_alone(request, passed, deadline, &token).await;
        *lock(&slot.add) = None;
        drop(busy);
        self.release(request, slot);
        result
    }

    async fn add_alone(
        &self,
        request: &Request,
        passed: Option<OwnedFd>,
        deadline: Instant,
        token: &CancellationToken,
    ) -> Result<Response, CniError> {
        let pod = PodRef {
            namespace: request.pod_namespace.clone(),
            name: request.pod_name.clone(),
            uid: request.pod_uid.clone(),
        };
        if pod.name.is_empty() || pod.namespace.is_empty() {
            let msg = "CNI_ARGS names no pod (K8S_POD_NAMESPACE, K8S_POD_NAME): only pods are attached here";
            return Err(CniError::new(Code::InvalidEnvironment, msg));
        }
        let netns = namespace::of_request(&request.net_ns, passed, self.host.netns.id())?;
        let name = ports::host_link(&request.container_id, &request.if_name);
        let cancelled = || later(format!("attaching pod {pod} was ended by a DEL of the same container"));

        let since = Instant::now();
        let Attachment { network, uid } = tokio::select! {
            network = self.pods.network(&pod, &request.provider, deadline) => {
                self.metrics.waited_for_address(since.elapsed());
                network.map_err(|e| later(chain(&e)))?
            }
            () = token.cancelled() => return Err(cancelled()),
        };
        let mtu = self.mtu(&pod, &uid, &network)?;
        let port = PodPort {
            name: name.clone(),
            iface_id: ports::iface_id(&pod.name, &pod.namespace, &request.provider),
            container: request.container_id.clone(),
            ifname: request.if_name.clone(),
            pod_name: pod.name.clone(),
            pod_namespace: pod.namespace.clone(),
            pod_uid: uid,
            netns: request.net_ns.clone(),
            ip: network.ip_text(),
            mac: network.mac,
        };
        let plugged = tokio::select! {
            plugged = self.plug(&port, &netns, &network, mtu, deadline) => plugged,
            () = token.cancelled() => Err(cancelled()),
        };
        if let Err(e) = plugged {
            // In time of its own: the deadline may have passed.
            let until = Instant::now() + self.deadlines.other;
            if let Err(undo) = self.unplug(&name, request, until).await {
                tracing::warn!(%pod, port = name, error = %undo, "undoing a failed ADD; DEL will try again");
            }
            return Err(e);
        }
        announce::start(netns, &port.ifname, &network, pod.to_string());
        Ok(response(request, &network, &name, mtu))
    }

    /// The pod's MTU: its network's, bounded by that of this node's tunnels.
    fn mtu(&self, pod: &PodRef, uid: &str, network: &PodNetwork) -> Result<u32, CniError> {
        let Some(bound) = self.node.borrow().mtu() else {
            return Err(later("the MTU of this node's tunnels is not known yet"));
        };
        let mtu = network.mtu.map_or(bound, |wish| wish.min(bound));
        if let Some(wish) = network.mtu.filter(|wish| *wish > bound) {
            self.notices.send(Notice {
                namespace: pod.namespace.clone(),
                name: pod.name.clone(),
                uid: uid.to_owned(),
                reason: Reason::MtuBounded,
                message: format!(
                    "the network of subnet {} has an MTU of {wish} bytes, the tunnels of this node carry {bound}: \
                     the pod's interface has {mtu}",
                    network.subnet
                ),
            });
        }
        let v6 = network.addresses.iter().any(|a| a.address.family() == Family::V6);
        if v6 && mtu < IPV6_MIN_MTU {
            return Err(later(format!(
                "attaching pod {pod}: it has an IPv6 address, which needs an MTU of {IPV6_MIN_MTU} bytes, and its \
                 interface would have {mtu} (subnet {}: {}; tunnels of this node: {bound})",
                network.subnet,
                network.mtu.map_or("none of its own".to_owned(), |m| m.to_string()),
            )));
        }
        Ok(mtu)
    }

    /// Makes the link, the port and the inside; waits for the flows.
    async fn plug(
        &self,
        port: &PodPort,
        netns: &Netns,
        network: &PodNetwork,
        mtu: u32,
        deadline: Instant,
    ) -> Result<(), CniError> {
        let doing = format!("attaching pod {}/{}", port.pod_namespace, port.pod_name);
        let replica = self.ovs.fresh(deadline).await.map_err(|e| failed(&doing, &e))?;
        let userspace = ports::is_userspace(&replica);
        self.link(port, netns, mtu).await.map_err(|e| failed(&doing, &e))?;

        let (wanted, pods) = (port.clone(), self.pods.clone());
        let rows = async {
            self.ovs
                .apply([port.name.clone(), port.iface_id.clone()], deadline, move |replica, tag| {
                    // Its successor of the same name must not lose the port to one that ended meanwhile.
                    if pods.is_superseded(&wanted.pod_namespace, &wanted.pod_name, &wanted.pod_uid) {
                        return Err(PlanError::Superseded(format!(
                            "{}/{}",
                            wanted.pod_namespace, wanted.pod_name
                        )));
                    }
                    ports::add(replica, &wanted, tag)
                })
                .await
                .map_err(|e| failed(&doing, &e))?;
            let since = Instant::now();
            let installed = self.installed(port, deadline).await.map_err(|e| failed(&doing, &e));
            self.metrics.waited_for_connectivity(since.elapsed());
            installed
        };
        let inside = async {
            inside::configure(netns, &port.ifname, network, userspace).await.map_err(|e| failed(&doing, &e))
        };
        tokio::try_join!(rows, inside).map(|_| ())
    }

    /// Makes the veth pair; a former attempt's link of that name goes first.
    async fn link(&self, port: &PodPort, netns: &Netns, mtu: u32) -> tombolo_linux::Result<()> {
        let veth = Veth { name: &port.name, peer: &port.ifname, netns, peer_mac: port.mac, mtu };
        match self.host.netlink.create_veth(&veth).await {
            Err(e) if e.is_exists() && self.delete_veth(&port.name).await? => {
                self.host.netlink.create_veth(&veth).await?
            }
            other => other?,
        }
        // Or the host would speak IPv6 with the pod past OVN, from its end of the pair.
        let key = format!("net/ipv6/conf/{}/disable_ipv6", port.name);
        let quiet = move || match set_sysctl(&key, "1") {
            Err(e) if e.is_not_found() => Ok(()), // a kernel without IPv6
            other => other,
        };
        self.host.netns.run(quiet).await
    }

    async fn installed(&self, port: &PodPort, deadline: Instant) -> Result<(), OvsError> {
        let missing = || {
            let snapshot = self.ovs.snapshot();
            let error = ports::interface(&snapshot.replica, &port.name)
                .and_then(|(_, row)| row.str("error"))
                .map(|e| format!(" (Open vSwitch reports: {e})"))
                .unwrap_or_default();
            format!(
                "ovn-controller has not installed the flows of port {} on interface {} in time{error}: is the port \
                 in the southbound database, and is ovn-controller connected to it?",
                port.iface_id, port.name
            )
        };
        let ours = |p: &OurPort| p.is_installed() && p.id(ports::ids::IFACE_ID) == port.iface_id;
        self.ovs
            .wait(deadline, |replica| ports::our_port(replica, &port.name).filter(ours).map(|_| ()), missing)
            .await
    }

    /// Detaches; fine when there is nothing.
    pub async fn del(&self, request: &Request) -> Result<(), CniError> {
        let deadline = Instant::now() + self.deadlines.other;
        let slot = self.slot(request);
        if let Some(add) = &*lock(&slot.add) {
            add.cancel();
        }
        let busy = slot.busy.lock().await;
        let name = ports::host_link(&request.container_id, &request.if_name);
        let result = self.unplug(&name, request, deadline).await;
        drop(busy);
        self.release(request, slot);
        result
    }

    async fn unplug(&self, name: &str, request: &Request, deadline: Instant) -> Result<(), CniError> {
        let doing = format!("detaching container {}", request.container_id);
        let (container, ifname) = (request.container_id.clone(), request.if_name.clone());
        self.ovs
            .apply([name.to_owned()], deadline, move |replica, _| {
                let ours = ports::our_ports(replica).into_iter().filter(|p| p.is_of(&container, &ifname));
                Ok(ours.flat_map(|p| ports::remove(replica, &p)).collect())
            })
            .await
            .map_err(|e| failed(&doing, &e))?;
        self.delete_veth(name).await.map_err(|e| failed(&doing, &e))?;
        Ok(())
    }

    /// Deletes a veth of that name; a link of another kind is not ours.
    pub(crate) async fn delete_veth(&self, name: &str) -> tombolo_linux::Result<bool> {
        match self.host.netlink.link(name).await? {
            Some(link) if link.kind == "veth" => self.host.netlink.delete_link(name).await,
            _ => Ok(false),
        }
    }

    /// Compares with how ADD left it.
    pub async fn check(&self, request: &Request, passed: Option<OwnedFd>) -> Result<(), CniError> {
        let deadline = Instant::now() + self.deadlines.other;
        let name = ports::host_link(&request.container_id, &request.if_name);
        let replica = self.ovs.fresh(deadline).await.map_err(|e| later(chain(&e)))?;
        let differs = |difference: String| {
            CniError::new(Code::CheckFailed, format!("container {}: {difference}", request.container_id))
        };
        let port = ports::our_port(&replica, &name)
            .filter(|p| p.is_of(&request.container_id, &request.if_name))
            .ok_or_else(|| differs(format!("there is no port {name} of it on {}", ports::BR_INT)))?;
        if !port.is_installed() {
            return Err(differs(format!("ovn-controller has not installed the flows of port {name}")));
        }
        let netns = namespace::of_request(&request.net_ns, passed, self.host.netns.id())
            .map_err(|e| CniError { code: Code::UnknownContainer, ..e })?;
        let pod = PodRef {
            namespace: request.pod_namespace.clone(),
            name: request.pod_name.clone(),
            uid: request.pod_uid.clone(),
        };
        // The controller's decision as of now; there must be one, since the pod runs.
        let network = self.pods.network(&pod, &request.provider, Instant::now()).await;
        let network = network.map_err(|e| later(chain(&e)))?.network;
        let mut found =
            inside::differences(&netns, &request.if_name, &network).await.map_err(|e| later(chain(&e)))?;
        if port.id(ports::ids::IP) != network.ip_text() {
            found.push(format!(
                "port {name} bears {} instead of {}",
                port.id(ports::ids::IP),
                network.ip_text()
            ));
        }
        for expected in &request.expected_ips {
            if !network.addresses.iter().any(|a| a.address.addr() == expected.addr()) {
                found.push(format!("ADD had given it {expected}, which is not its address any more"));
            }
        }
        if found.is_empty() { Ok(()) } else { Err(differs(found.join("; "))) }
    }

    /// Can ADD be served?
    pub fn status(&self) -> Result<(), CniError> {
        match &*self.node.borrow() {
            NodeState::Ready { .. } if self.ovs.snapshot().fresh => Ok(()),
            NodeState::Ready { .. } => {
                let msg = format!("Open vSwitch's database can't be reached: {}", self.ovs.status());
                Err(CniError::new(Code::UnavailableAndLimited, msg))
            }
            NodeState::NotReady { why, .. } => Err(CniError::new(Code::Unavailable, why.clone())),
        }
    }

    /// Removes the ports of sandboxes that aren't listed.
    pub async fn gc(&self, request: &Request) -> Result<(), CniError> {
        let deadline = Instant::now() + self.deadlines.other;
        let Some(valid) = &request.valid_attachments else {
            return Err(CniError::new(
                Code::InvalidConfig,
                "GC without a list of the attachments in use removes nothing",
            ));
        };
        let valid: BTreeSet<(String, String)> =
            valid.iter().map(|a| (a.container_id.clone(), a.ifname.clone())).collect();
        let replica = self.ovs.fresh(deadline).await.map_err(|e| later(chain(&e)))?;
        for port in ports::our_ports(&replica) {
            let key = (port.id(ports::ids::CONTAINER).to_owned(), port.id(ports::ids::IFNAME).to_owned());
            // A port without a container id (Kube-OVN made it) may be in use. One whose
            // ADD is under way may be newer than the list.
            if key.0.is_empty() || valid.contains(&key) || lock(&self.slots).contains_key(&key) {
                continue;
            }
            tracing::info!(
                port = port.name,
                container = key.0,
                "removing a port that the runtime doesn't know"
            );
            let gone = Request { container_id: key.0, if_name: key.1, ..Request::default() };
            self.unplug(&port.name, &gone, deadline).await?;
        }
        Ok(())
    }

    pub(crate) fn ovs(&self) -> &Ovs {
        &self.ovs
    }

    pub(crate) fn replica(&self) -> tombolo_ovsdb::Replica {
        self.ovs.snapshot().replica
    }

    pub(crate) fn pods(&self) -> &Pods {
        &self.pods
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn deadlines(&self) -> Deadlines {
        self.deadlines
    }

    /// A request for that interface is being served.
    pub(crate) fn is_busy(&self, container: &str, ifname: &str) -> bool {
        lock(&self.slots).contains_key(&(container.to_owned(), ifname.to_owned()))
    }

    fn slot(&self, request: &Request) -> Arc<Slot> {
        let key = (request.container_id.clone(), request.if_name.clone());
        lock(&self.slots).entry(key).or_default().clone()
    }

    /// Forgets the slot when no other request holds it.
    fn release(&self, request: &Request, slot: Arc<Slot>) {
        let mut slots = lock(&self.slots);
        let last = Arc::strong_count(&slot) <= 2; // this one and the map's
        drop(slot);
        if last {
            slots.remove(&(request.container_id.clone(), request.if_name.clone()));
        }
    }
}

/// A panic while one of these is held would have to come from the allocator: the content is whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// With all causes: kubelet shows this text in the pod's events, and nothing else of the error.
fn failed(doing: &str, error: &dyn Error) -> CniError {
    later(format!("{doing}: {}", chain(error)))
}

fn response(request: &Request, network: &PodNetwork, host: &str, mtu: u32) -> Response {
    let ips = network.addresses.iter().map(|a| {
        let cidr = a.address.cidr();
        IpReply {
            protocol: match a.address.family() {
                Family::V4 => "IPv4".to_owned(),
                Family::V6 => "IPv6".to_owned(),
            },
            ip: a.address.addr(),
            cidr: IpNet::new_assert(cidr.network(), cidr.prefix()),
            gateway: a.gateway,
        }
    });
    let routes = network
        .routes
        .iter()
        .map(|r| Route { dst: IpNet::new_assert(r.dst.network(), r.dst.prefix()), gw: Some(r.gateway) });
    Response {
        ips: ips.collect(),
        mac_address: network.mac.to_kube_ovn(),
        routes: routes.collect(),
        mtu,
        nicname: request.if_name.clone(),
        host_nicname: host.to_owned(),
        dns: Dns::clone(&request.dns),
        ..Response::default()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("adding a row")]
    struct Outer(#[source] io::Error);

    #[test]
    fn an_error_reaches_the_pods_events_with_all_its_causes() {
        let error = failed("attaching pod net2/ubuntu", &Outer(io::Error::other("the disk is full")));
        assert_eq!(error.code, Code::TryAgainLater);
        assert_eq!(error.msg, "attaching pod net2/ubuntu: adding a row: the disk is full");
        let reply = Response::failed(error.code, error.to_string());
        assert_eq!(reply.to_error(500), error, "and passes the socket");
    }
}
