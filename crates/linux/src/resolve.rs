//! Does a neighbor answer? Asked of the kernel, which sends the ARP or neighbor solicitation itself and says
//! when it knows: no packet socket, no ping, no polling.

use std::net::IpAddr;
use std::time::Duration;

use rtnetlink::packet_route::neighbour::{NeighbourFlags, NeighbourState};
use tombolo_net::Mac;

use crate::error::{Error, Result};
use crate::monitor::{Event, Monitor};
use crate::neighbor::Neighbor;
use crate::netlink::{Netlink, bounded};
use crate::netns::Netns;

impl Netlink {
    /// Waits until `ip` on the link `index` of the namespace `netns` (the one that this connection is in) has
    /// answered an ARP request or neighbor solicitation, and gives its MAC. A cached entry doesn't count unless
    /// the kernel has confirmed it within its reachable time (30 s by default).
    ///
    /// The kernel asks three times, a second apart; each time it gives up, a new request makes it start over, until
    /// `deadline` has passed.
    pub async fn resolve(&self, netns: &Netns, index: u32, ip: IpAddr, deadline: Duration) -> Result<Mac> {
        let doing = || format!("waiting for {ip} to answer on link {index} in {}", netns.path().display());
        let mut monitor = netns.run(Monitor::neighbors).await?;
        let answer = async {
            self.solicit(index, ip).await?;
            if let Some(mac) = self.reachable(index, ip).await? {
                return Ok(mac); // confirmed before we asked: there will be no event
            }
            loop {
                match monitor.next().await {
                    Some(Event::Neighbor(n)) if n.link == index && n.ip == ip => match n {
                        Neighbor { reachable: true, mac: Some(mac), .. } => return Ok(mac),
                        Neighbor { failed: true, .. } => self.solicit(index, ip).await?,
                        _ => {}
                    },
                    Some(Event::Lost) => {
                        self.solicit(index, ip).await?;
                        if let Some(mac) = self.reachable(index, ip).await? {
                            return Ok(mac);
                        }
                    }
                    Some(_) => {}
                    None => return Err(Error::new(doing(), std::io::Error::other("rtnetlink is gone"))),
                }
            }
        };
        tokio::time::timeout(deadline, answer).await.unwrap_or_else(|_| Err(Error::timeout(doing())))
    }

    /// Has the kernel ask for `ip`.
    async fn solicit(&self, index: u32, ip: IpAddr) -> Result<()> {
        let mut request = self.handle().neighbours().add(index, ip).replace();
        request.message_mut().header.state = NeighbourState::None;
        request.message_mut().header.flags = NeighbourFlags::Use; // "as if a packet were to be sent there"
        bounded(request.execute(), || format!("asking for {ip} on link {index}")).await
    }

    async fn reachable(&self, index: u32, ip: IpAddr) -> Result<Option<Mac>> {
        let ask = || self.handle().neighbours().get().execute();
        let messages = self.list(ask, || "listing neighbors".to_owned()).await?;
        Ok(messages
            .iter()
            .filter_map(Neighbor::from_message)
            .find(|n| n.link == index && n.ip == ip && n.reachable)
            .and_then(|n| n.mac))
    }
}
