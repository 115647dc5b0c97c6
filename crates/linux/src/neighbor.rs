//! Entries of the kernel's neighbor table.

use std::net::IpAddr;

use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use tombolo_net::Mac;

/// An entry of the kernel's neighbor table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbor {
    /// Index of the link.
    pub link: u32,
    /// Its address.
    pub ip: IpAddr,
    /// Its MAC address, when known.
    pub mac: Option<Mac>,
    /// It has answered, lately.
    pub reachable: bool,
    /// It has not answered.
    pub failed: bool,
}

impl Neighbor {
    pub(crate) fn from_message(message: &NeighbourMessage) -> Option<Self> {
        let (mut ip, mut mac) = (None, None);
        for attribute in &message.attributes {
            match attribute {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => ip = Some(IpAddr::from(*v4)),
                NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => ip = Some(IpAddr::from(*v6)),
                NeighbourAttribute::LinkLayerAddress(bytes) => {
                    mac = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(Mac::new);
                }
                _ => {}
            }
        }
        let state = message.header.state;
        Some(Self {
            link: message.header.ifindex,
            ip: ip?,
            mac,
            reachable: matches!(state, NeighbourState::Reachable | NeighbourState::Permanent),
            failed: state == NeighbourState::Failed,
        })
    }
}
