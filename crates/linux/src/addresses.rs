//! All addresses of a namespace.

use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::AddressHeaderFlags;
use tombolo_net::IfAddr;

use crate::error::Result;
use crate::netlink::{Netlink, if_addr};

/// An address of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkAddress {
    /// Index of the link.
    pub link: u32,
    /// The address.
    pub address: IfAddr,
    /// IPv6, and the kernel made it by a router's advertisement: it goes when no more of them are taken.
    pub advertised: bool,
}

impl Netlink {
    /// All addresses of all links.
    pub async fn all_addresses(&self) -> Result<Vec<LinkAddress>> {
        let ask = || self.handle().address().get().execute();
        let messages = self.list(ask, || "listing addresses".to_owned()).await?;
        let read = |m: &rtnetlink::packet_route::address::AddressMessage| {
            let v6 = m.header.family == AddressFamily::Inet6;
            let advertised = v6 && !m.header.flags.contains(AddressHeaderFlags::Permanent);
            Some(LinkAddress { link: m.header.index, address: if_addr(m)?, advertised })
        };
        Ok(messages.iter().filter_map(read).collect())
    }
}
