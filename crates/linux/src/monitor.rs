//! What changes in a network namespace, as it changes.

use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use tombolo_net::IfAddr;

use crate::error::{Error, Result};
use crate::link::Link;
use crate::neighbor::Neighbor;
use crate::netlink::{Driver, if_addr};
use crate::netns::Netns;
use crate::route::Route;

/// One change.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A link is new or has changed.
    Link(Link),
    /// A link is gone.
    LinkGone(Link),
    /// A link has an address.
    Address {
        /// Index of the link.
        link: u32,
        /// The address.
        address: IfAddr,
    },
    /// A link has lost an address.
    AddressGone {
        /// Index of the link.
        link: u32,
        /// The address.
        address: IfAddr,
    },
    /// A route of the main table is there.
    Route(Route),
    /// A route of the main table is gone.
    RouteGone(Route),
    /// What the kernel knows about a neighbor.
    Neighbor(Neighbor),
    /// Events were lost because they weren't read in time: check everything again.
    Lost,
}

/// Follows a namespace's changes.
#[derive(Debug)]
pub struct Monitor {
    messages: UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, rtnetlink::sys::SocketAddr)>,
    _driver: Driver,
}

impl Monitor {
    /// Follows links, addresses and routes of the calling thread's namespace; needs a tokio runtime. Open it
    /// first and list afterwards: then nothing falls between.
    pub fn open() -> Result<Self> {
        Self::with(&[
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
            MulticastGroup::Ipv4Route,
            MulticastGroup::Ipv6Route,
        ])
    }

    /// The same in `netns`.
    pub async fn open_in(netns: &Netns) -> Result<Self> {
        netns.run(Self::open).await
    }

    /// Follows neighbors only.
    pub(crate) fn neighbors() -> Result<Self> {
        Self::with(&[MulticastGroup::Neigh])
    }

    fn with(groups: &[MulticastGroup]) -> Result<Self> {
        let (connection, _, messages) = rtnetlink::new_multicast_connection(groups)
            .map_err(|e| Error::new("following rtnetlink's events", e))?;
        Ok(Self { messages, _driver: Driver(tokio::spawn(connection)) })
    }

    /// The next change; `None` when the connection is gone for good. Safe to cancel.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let (message, _) = self.messages.next().await?;
            if let Some(event) = event(message.payload) {
                return Some(event);
            }
        }
    }
}

fn event(payload: NetlinkPayload<RouteNetlinkMessage>) -> Option<Event> {
    use RouteNetlinkMessage as M;
    match payload {
        NetlinkPayload::Overrun(_) => Some(Event::Lost),
        NetlinkPayload::InnerMessage(message) => match message {
            M::NewLink(m) => Some(Event::Link(Link::from_message(&m))),
            M::DelLink(m) => Some(Event::LinkGone(Link::from_message(&m))),
            M::NewAddress(m) => Some(Event::Address { link: m.header.index, address: if_addr(&m)? }),
            M::DelAddress(m) => Some(Event::AddressGone { link: m.header.index, address: if_addr(&m)? }),
            M::NewRoute(m) => Route::from_message(&m).map(Event::Route),
            M::DelRoute(m) => Route::from_message(&m).map(Event::RouteGone),
            M::NewNeighbour(m) => Neighbor::from_message(&m).map(Event::Neighbor),
            _ => None,
        },
        _ => None,
    }
}
