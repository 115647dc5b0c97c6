//! Leftover ports: their link went with the pod's namespace, or the pod is gone, and the runtime
//! never sent a DEL. Decides when to search and which ports count as left over; only ports that are ours (invariant 1).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tombolo_linux::{Event, Monitor};
use tombolo_ovn::vswitch::Interface;
use tombolo_ovsdb::{Datum, Mutation, Op, Replica, Uuid};

use crate::attach::Attacher;
use crate::pods::Known;
use crate::ports::{self, OurPort, ids};

/// When searches run.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Between two searches without a reason: some changes have no event.
    pub every: Duration,
    /// From a link's end to the search: a DEL that is under way takes its port itself.
    pub settle: Duration,
    /// How long a pod must be gone before its port goes without a DEL: a pod that was deleted by force may still be
    /// ending, and its runtime sends one.
    pub absent: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(60),
            settle: Duration::from_secs(10),
            absent: Duration::from_secs(120),
        }
    }
}

/// The outcome of one search.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Ports removed.
    pub removed: usize,
    /// Ports of an earlier version that now name their pod.
    pub adopted: usize,
}

/// Since when each port's pod is gone.
#[derive(Debug, Default)]
pub struct Absent(HashMap<Uuid, Instant>);

/// Searches at the start, after links' ends, and now and then; until the program's end.
pub async fn keep(attacher: Arc<Attacher>, pace: Pace) {
    let mut absent = Absent::default();
    let mut monitor: Option<Monitor> = None;
    loop {
        if monitor.is_none() {
            match attacher.host().monitor().await {
                Ok(opened) => monitor = Some(opened),
                Err(error) => tracing::warn!(%error, "following links; leftover ports are found more slowly"),
            }
        }
        match attacher.sweep(&mut absent, pace.absent).await {
            Ok(Swept { removed: 0, adopted: 0 }) => {}
            Ok(Swept { removed, adopted }) => {
                tracing::info!(removed, adopted, "pods' ports were put in order")
            }
            Err(error) => tracing::warn!("searching for leftover ports: {error:#}; trying again"),
        }
        let next = Instant::now() + pace.every;
        let ended = async {
            match &mut monitor {
                None => std::future::pending().await,
                Some(monitor) => loop {
                    match monitor.next().await {
                        Some(Event::LinkGone(link)) => {
                            if ports::our_port(&attacher.replica(), &link.name).is_some() {
                                return true;
                            }
                        }
                        Some(Event::Lost) => return true,
                        Some(_) => {}
                        None => return false,
                    }
                },
            }
        };
        match tokio::time::timeout_at(next, ended).await {
            Ok(true) => tokio::time::sleep(pace.settle).await,
            Ok(false) => {
                monitor = None;
                tokio::time::sleep(pace.settle).await;
            }
            Err(_) => {}
        }
    }
}

impl Attacher {
    /// One search. `patience`: how long a pod must have been gone.
    pub async fn sweep(&self, absent: &mut Absent, patience: Duration) -> anyhow::Result<Swept> {
        let deadline = Instant::now() + self.deadlines().other;
        let replica = self.ovs().fresh(deadline).await?;
        // After the replica: a port whose link comes and goes in between is not taken for a leftover.
        let links: BTreeSet<String> =
            self.host().netlink.links().await?.into_iter().map(|l| l.name).collect();
        let mut swept = Swept::default();
        let mut seen = HashMap::new();
        for port in ports::our_ports(&replica) {
            if self.is_busy(port.id(ids::CONTAINER), port.id(ids::IFNAME)) {
                continue;
            }
            let known = self.pods().known(port.id(ids::POD_NAMESPACE), port.id(ids::POD_NAME));
            let why = if !links.contains(&port.name) {
                "its link is gone"
            } else if is_gone(&port, &known) {
                let since = *absent.0.get(&port.interface).unwrap_or(&Instant::now());
                seen.insert(port.interface, since);
                if since.elapsed() < patience {
                    continue;
                }
                "its pod is gone"
            } else {
                if let Known::Served { uid, ip } = &known
                    && port.id(ids::IFACE_ID_VER).is_empty()
                    && port.id(ids::IP) == ip
                {
                    self.adopt(&port, uid, deadline).await?;
                    swept.adopted += 1;
                }
                continue;
            };
            let pod = format!("{}/{}", port.id(ids::POD_NAMESPACE), port.id(ids::POD_NAME));
            tracing::info!(port = port.name, pod, why, "removing a port that no DEL has removed");
            let interface = port.interface;
            self.ovs()
                .apply([port.name.clone()], deadline, move |replica, _| Ok(removal(replica, interface)))
                .await?;
            self.delete_veth(&port.name).await?;
            self.metrics().left_over();
            swept.removed += 1;
        }
        absent.0 = seen;
        Ok(swept)
    }

    /// Lets a port that an earlier version (or Kube-OVN) made for a running pod name its pod, before the port row in OVN
    /// requires it.
    async fn adopt(&self, port: &OurPort, uid: &str, deadline: Instant) -> anyhow::Result<()> {
        let (interface, uid) = (port.interface, uid.to_owned());
        let plan = move |replica: &Replica, _: &str| {
            let still = ports::our_ports(replica).into_iter().any(|p| p.interface == interface);
            let version = Datum::map_of_strings([(ids::IFACE_ID_VER, uid.as_str())]);
            let set = Mutation::insert(Interface::EXTERNAL_IDS, version);
            Ok(if still { vec![Op::mutate(Interface::TABLE, interface, [set])] } else { vec![] })
        };
        Ok(self.ovs().apply([port.name.clone()], deadline, plan).await?)
    }
}

fn removal(replica: &Replica, interface: Uuid) -> Vec<Op> {
    let still = ports::our_ports(replica).into_iter().filter(|p| p.interface == interface);
    still.flat_map(|p| ports::remove(replica, &p)).collect()
}

/// The API server has listed this node's pods, and the port's is not among them or is another one by now.
fn is_gone(port: &OurPort, known: &Known) -> bool {
    let version = port.id(ids::IFACE_ID_VER);
    match known {
        Known::Nothing | Known::Mirror => false,
        Known::Gone => true,
        Known::Waiting { uid } | Known::Served { uid, .. } => !version.is_empty() && version != uid,
    }
}
